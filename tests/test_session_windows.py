"""The client's end of a window: the law of credit, prompt credit, and the places of a service."""

from __future__ import annotations

from collections import deque

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import publication, size, steady
from t2bus.errors import Disconnected, Lagged, ProtocolViolation
from t2bus.session.windows import PROMPT, UNSEEN, CallWindow, ReceiveWindow
from t2bus.wire import messages as m


@define(eq=False)
class Flow:
    """An inlet and a bus that sends whenever it has credit; deliveries and credit take their time on the way."""

    messages: int
    size: int
    inlet: ReceiveWindow = field(init=False)
    credit: int = field(init=False)
    credit_size: int = field(init=False)
    sending: deque[m.Publication] = field(factory=deque)
    granting: deque[tuple[int, int]] = field(factory=deque)
    in_inlet: deque[m.Publication] = field(factory=deque)

    def __attrs_post_init__(self) -> None:
        self.inlet = ReceiveWindow(1, self.messages, self.size, self._grant, lambda: None)
        self.credit, self.credit_size = self.messages, self.size

    def _grant(self, number: int, messages: int, size: int) -> None:
        assert number == 1
        assert messages > 0
        self.granting.append((messages, size))

    def send(self, length: int) -> bool:
        if self.credit <= 0 or self.credit_size <= 0:
            return False
        self.sending.append(publication("a", bytes(length - 1)))
        self.credit -= 1
        self.credit_size -= length
        return True

    def arrive(self) -> None:
        if self.sending:
            self.in_inlet.append(self.sending.popleft())
            self.inlet.put(self.in_inlet[-1])

    def take(self, now: float = 0.0) -> None:
        """Do as a program that receives."""
        assert self.inlet.take() is self.in_inlet.popleft()
        if self.inlet.owes_credit:
            self.inlet.give_back_promptly(now)

    def return_credit(self) -> None:
        if self.granting:
            messages, size = self.granting.popleft()
            self.credit += messages
            self.credit_size += size

    def check(self) -> None:
        """What is in the inlet, on the way and still to be sent never exceeds the window."""
        waiting = [*self.sending, *self.in_inlet]
        assert len(waiting) + self.credit + sum(messages for messages, _ in self.granting) <= self.messages
        assert sum(map(size, waiting)) + self.credit_size + sum(each for _, each in self.granting) <= self.size


windows = st.integers(1, 20)
sizes = st.sampled_from([1, 2, 3, 7, 20, 1000])
lengths = st.lists(st.sampled_from([1, 1, 2, 5, 50]), min_size=1, max_size=60)

# --- the law


@given(windows, sizes, st.lists(st.sampled_from([1, 2, 30, "arrive", "take", "credit", "time"]), max_size=80))
@steady(300)
def test_the_window_is_never_exceeded(messages: int, size: int, steps: list[int | str]) -> None:
    """What is in the inlet, on the way and left to the bus never exceeds the window, in messages and in bytes."""
    flow = Flow(messages, size)
    now = 0.0
    for step in steps:
        match step:
            case int(length):
                flow.send(length)
            case "arrive":
                flow.arrive()
            case "take" if flow.in_inlet:
                flow.take(now)
            case "credit":
                flow.return_credit()
            case _:
                now += PROMPT / 2
        flow.check()


@given(windows, sizes, lengths)
@steady(300)
def test_a_program_that_takes_never_starves(messages: int, size: int, lengths: list[int]) -> None:
    """Whatever the window, a program that takes all there is gets everything, even if no time passes at all."""
    flow = Flow(messages, size)
    while lengths:
        assert flow.send(lengths[-1]), "the bus has no credit, and the program nothing to take"
        lengths.pop()
        while lengths and flow.send(lengths[-1]):
            lengths.pop()
        while flow.sending:
            flow.arrive()
        while flow.in_inlet:
            flow.take()
        while flow.granting:
            flow.return_credit()


def test_a_large_message_does_not_block_its_window() -> None:
    """A message larger than the window of bytes is delivered, and all of it is given back."""
    flow = Flow(10, 5)
    flow.send(1000)
    assert flow.credit_size == -995
    flow.arrive()
    flow.take()
    flow.return_credit()
    assert (flow.credit, flow.credit_size) == (10, 5)


def test_credit_goes_back_in_bulk() -> None:
    """A program that keeps up gives its credit back in eighths of the window, of messages or of bytes."""
    flow = Flow(80, 1000)
    for _ in range(80):
        flow.send(1)
        flow.arrive()
        flow.inlet.take()
    assert list(flow.granting) == [(10, 10)] * 8
    flow = Flow(80, 80)
    for _ in range(4):
        flow.send(5)
        flow.arrive()
        flow.inlet.take()
    assert list(flow.granting) == [(2, 10)] * 2


@pytest.mark.parametrize(("messages", "size"), [(3, 1000), (100, 3)])
def test_more_than_the_window_breaks_the_rules(messages: int, size: int) -> None:
    """A bus that sends without credit breaks the rules, and what it sent is not taken in."""
    flow = Flow(messages, size)
    for _ in range(3):
        flow.inlet.put(publication("a", b""))
    with pytest.raises(ProtocolViolation, match="window of subscription 1"):
        flow.inlet.put(publication("a", b""))
    assert flow.inlet.waiting == 3


# --- prompt credit


def spent(window: int = 100) -> Flow:
    """An inlet whose whole window has arrived."""
    flow = Flow(window, 1000)
    while flow.send(1):
        flow.arrive()
    return flow


def test_a_slow_program_is_seen_to_be_alive() -> None:
    """While the bus has no credit left, what is taken goes back as soon as the prompt time has passed."""
    flow = spent()
    flow.take(1.0)
    flow.return_credit()
    flow.send(1)
    flow.arrive()
    flow.take(1.0 + PROMPT / 2)
    assert not flow.granting
    flow.take(1.0 + 2 * PROMPT)
    assert list(flow.granting) == [(2, 2)]


def test_a_slow_network_is_no_dead_program() -> None:
    """What is on its way is not known here, so credit goes back in time although the bus may seem to have some."""
    flow = Flow(100, 1000)
    while flow.send(1):
        pass
    for tenth in range(10):
        flow.arrive()
        flow.take(100 + tenth / 10)
    assert sum(messages for messages, _ in flow.granting) >= 9
    assert len(flow.granting) <= 1 + 1 / UNSEEN


def test_nothing_is_given_back_before_something_is_taken() -> None:
    """An inlet that owes nothing is not starving, nor is one from which a gap was taken."""
    flow = spent()
    assert not flow.inlet.owes_credit
    flow = Flow(1, 1)
    flow.inlet.put_gap(1)
    flow.inlet.take()
    assert not flow.inlet.owes_credit


def test_what_was_given_back_in_bulk_is_not_given_twice() -> None:
    """Nothing is owed after credit went back."""
    flow = Flow(1, 1000)
    flow.send(1)
    flow.arrive()
    flow.inlet.take()
    assert list(flow.granting) == [(1, 1)]
    assert not flow.inlet.owes_credit


# --- items


def open_inlet() -> tuple[ReceiveWindow, list[int]]:
    """An inlet and the lengths it had when it woke its program."""
    woken: list[int] = []
    inlet = ReceiveWindow(1, 100, 1000, lambda *_: None, lambda: woken.append(inlet.waiting))
    return inlet, woken


def test_gaps_stand_in_their_places() -> None:
    """Messages and gaps are taken in the order in which they came."""
    inlet, _ = open_inlet()
    one, other = publication("a"), publication("b")
    inlet.put(one)
    inlet.put_gap(3)
    inlet.put(other)
    items = [inlet.take() for _ in range(3)]
    assert items[::2] == [one, other]
    assert isinstance(items[1], Lagged)
    assert items[1].dropped == 3


def test_gaps_side_by_side_are_one() -> None:
    """A program that takes nothing is not filled with gaps: those with nothing between are added up."""
    inlet, _ = open_inlet()
    for _ in range(50):
        inlet.put_gap(2)
    assert inlet.waiting == 1
    gap = inlet.take()
    assert isinstance(gap, Lagged)
    assert gap.dropped == 100


def test_the_program_is_woken_for_each_item() -> None:
    """A delivery, a gap and the end each wake the program, when they are there to be found."""
    inlet, woken = open_inlet()
    inlet.put(publication())
    inlet.put_gap(1)
    inlet.close(Disconnected("gone"))
    assert woken == [1, 2, 2]


def test_what_has_arrived_outlives_the_end() -> None:
    """After the end the reason is there, and what had arrived can still be taken."""
    inlet, _ = open_inlet()
    inlet.put(publication())
    error = Disconnected("gone")
    inlet.close(error)
    assert inlet.closed is error
    assert inlet.take() == publication()


# --- the requests of a service


def call(number: int) -> m.Call:
    return m.Call(number, 1, None, "s", b"")


def open_service(window: int = 3, calls: int = 0) -> tuple[CallWindow, list[int]]:
    """An inlet of requests and how many waited when it woke its program."""
    woken: list[int] = []
    inlet = CallWindow(1, window, lambda: woken.append(len(inlet.waiting)))
    for number in range(1, calls + 1):
        inlet.put(call(number))
    return inlet, woken


def test_requests_are_taken_in_order() -> None:
    """The program takes requests as they came; each stays pending until it is ended."""
    inlet, woken = open_service(calls=3)
    assert [inlet.take().call.id for _ in range(3)] == [1, 2, 3]
    assert (len(inlet.waiting), list(inlet.pending), woken) == (0, [1, 2, 3], [1, 2, 3])


def test_more_requests_than_the_window_break_the_rules() -> None:
    """A bus that hands over more than the window breaks the rules, whether the program has taken them or not."""
    inlet, _ = open_service(window=2, calls=2)
    inlet.take()
    with pytest.raises(ProtocolViolation, match="window of service 1"):
        inlet.put(call(3))
    assert list(inlet.pending) == [1, 2]


def test_a_forgotten_request_loses_its_place() -> None:
    """When the bus uses the place of a withdrawn request again, its lifetime is over and it is pending no more."""
    inlet, _ = open_service(window=2, calls=2)
    inlet.take()
    inlet.withdraw(1)
    inlet.put(call(3))
    assert list(inlet.pending) == [2, 3]
    with pytest.raises(ProtocolViolation):
        inlet.put(call(4))


def test_a_request_withdrawn_before_it_is_taken_is_never_seen() -> None:
    """The program is not given a request that nobody waits for; who withdraws it is told that it need not answer."""
    inlet, _ = open_service(calls=2)
    assert inlet.withdraw(1)
    assert inlet.take().call.id == 2
    assert len(inlet.waiting) == 0


def test_a_request_withdrawn_later_is_told_once() -> None:
    """The program hears that nobody waits any more, once, for the request that it has taken."""
    inlet, _ = open_service(calls=2)
    told: list[int] = []
    pending = inlet.take()
    pending.on_withdraw = lambda: told.append(1)
    assert not inlet.withdraw(1)
    assert not inlet.withdraw(1)
    assert pending.withdrawn
    assert told == [1]
    assert not inlet.withdraw(99)


def test_the_end_withdraws_everything() -> None:
    """At the end nobody waits for any answer: what was taken is withdrawn and what was not is dropped."""
    inlet, woken = open_service(calls=3)
    taken = inlet.take()
    told: list[int] = []
    taken.on_withdraw = lambda: told.append(1)
    error = Disconnected("gone")
    inlet.close(error)
    assert inlet.closed is error
    assert (taken.withdrawn, told) == (True, [1])
    assert (len(inlet.waiting), inlet.pending) == (0, {})
    assert woken[-1] == 0
