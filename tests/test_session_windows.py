"""The client's end of a window: the law of credit, prompt credit, and the places of a service."""

from __future__ import annotations

from collections import deque

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import publication, size, steady
from t2bus.disconnected import Disconnected
from t2bus.errors import Lagged, ProtocolViolation
from t2bus.session.windows import PROMPT, UNSEEN, CallWindow, ReceiveWindow
from t2bus.wire import messages as m


@define(eq=False)
class Flow:
    """A window and a bus that sends whenever it has credit; deliveries and credit take their time on the way."""

    messages: int
    size: int
    window: ReceiveWindow = field(init=False)
    credit: int = field(init=False)
    credit_size: int = field(init=False)
    sending: deque[m.Publication] = field(factory=deque)
    granting: deque[tuple[int, int]] = field(factory=deque)
    in_window: deque[m.Publication] = field(factory=deque)
    is_watched: bool = False
    """Whether somebody looks now and then if credit is due."""

    def __attrs_post_init__(self) -> None:
        self.window = ReceiveWindow(1, self.messages, self.size)
        self.credit, self.credit_size = self.messages, self.size

    def send(self, length: int) -> bool:
        if self.credit <= 0 or self.credit_size <= 0:
            return False
        self.sending.append(publication("a", bytes(length - 1)))
        self.credit -= 1
        self.credit_size -= length
        return True

    def arrive(self) -> None:
        if self.sending:
            self.in_window.append(self.sending.popleft())
            self.window.put(self.in_window[-1])

    def take(self, now: float = 0.0) -> None:
        """Do as a program that receives."""
        assert self.window.take() is self.in_window.popleft()
        if self.window.wants_look and not self.look(now):
            self.window.note_look()
            self.is_watched = True

    def look(self, now: float) -> bool:
        """Give credit back if it is due, and tell whether it was."""
        if not self.window.is_due(now):
            return False
        self.granting.append(self.window.collect(now))
        assert self.granting[-1][0] > 0
        self.is_watched = False
        return True

    def pass_time(self, now: float) -> None:
        """Do as whoever looks now and then."""
        if self.is_watched:
            self.look(now)

    def return_credit(self) -> None:
        if self.granting:
            messages, size = self.granting.popleft()
            self.credit += messages
            self.credit_size += size

    def check(self) -> None:
        """What is in the window, on the way and still to be sent never exceeds it."""
        waiting = [*self.sending, *self.in_window]
        assert len(waiting) + self.credit + sum(messages for messages, _ in self.granting) <= self.messages
        assert sum(map(size, waiting)) + self.credit_size + sum(each for _, each in self.granting) <= self.size


windows = st.integers(1, 20)
sizes = st.sampled_from([1, 2, 3, 7, 20, 1000])
lengths = st.lists(st.sampled_from([1, 1, 2, 5, 50]), min_size=1, max_size=60)

# --- the law


@given(windows, sizes, st.lists(st.sampled_from([1, 2, 30, "arrive", "take", "credit", "time"]), max_size=80))
@steady(300)
def test_the_window_is_never_exceeded(messages: int, size: int, steps: list[int | str]) -> None:
    """What is in the window, on the way and left to the bus never exceeds the window, in messages and in bytes."""
    flow = Flow(messages, size)
    now = 0.0
    for step in steps:
        match step:
            case int(length):
                flow.send(length)
            case "arrive":
                flow.arrive()
            case "take" if flow.in_window:
                flow.take(now)
            case "credit":
                flow.return_credit()
            case _:
                now += PROMPT / 2
                flow.pass_time(now)
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
        while flow.in_window:
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
        flow.take()
    assert list(flow.granting) == [(10, 10)] * 8
    flow = Flow(80, 80)
    for _ in range(4):
        flow.send(5)
        flow.arrive()
        flow.take()
    assert list(flow.granting) == [(2, 10)] * 2


@pytest.mark.parametrize(("messages", "size", "little"), [(16_384, 1 << 23, 16), (1 << 20, 16_384, 16), (100, 100, 1)])
def test_a_little_that_is_owed_is_not_looked_at(messages: int, size: int, little: int) -> None:
    """Less than a 1,024th of a window is worth no look at the clock, and no credit, while the bus has much."""
    flow = Flow(messages, size)
    for number in range(little):
        assert not flow.is_watched
        flow.send(1)
        flow.arrive()
        flow.take(float(number) * UNSEEN / 100)
    assert flow.is_watched
    assert not flow.granting


@pytest.mark.parametrize(("messages", "size"), [(3, 1000), (100, 3)])
def test_more_than_the_window_breaks_the_rules(messages: int, size: int) -> None:
    """A bus that sends without credit breaks the rules, and what it sent is not taken in."""
    flow = Flow(messages, size)
    for _ in range(3):
        flow.window.put(publication("a", b""))
    with pytest.raises(ProtocolViolation, match="window of subscription 1"):
        flow.window.put(publication("a", b""))
    assert flow.window.waiting == 3


# --- prompt credit


def spent() -> Flow:
    """A window that has arrived as a whole."""
    flow = Flow(100, 1000)
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


def test_a_slow_program_need_not_come_again() -> None:
    """What one has taken goes back when the prompt time has passed although it takes nothing more."""
    flow = spent()
    flow.take(1.0)
    flow.return_credit()
    flow.send(1)
    flow.arrive()
    flow.take(1.0 + PROMPT / 2)
    flow.pass_time(1.0 + PROMPT / 2)
    assert not flow.granting
    flow.pass_time(1.0 + 2 * PROMPT)
    assert list(flow.granting) == [(1, 1)]


def test_a_slow_network_is_no_dead_program() -> None:
    """What is on its way is not known here, so credit goes back in time although the bus may seem to have some."""
    flow = Flow(100, 1000)
    while flow.send(1):
        pass
    for twentieth in range(24):
        if twentieth % 2 == 0 and twentieth < 20:
            flow.arrive()
            flow.take(100 + twentieth / 20)
        flow.pass_time(100 + twentieth / 20)
    assert sum(messages for messages, _ in flow.granting) == 10
    assert len(flow.granting) <= 1 + 1 / UNSEEN


@pytest.mark.parametrize("is_last", [False, True])
def test_a_window_is_nearly_spent_below_an_eighth(is_last: bool) -> None:
    """The bus may have too little to wait for the next look when it has less than an eighth of the window left."""
    flow = Flow(80, 1000)
    for _ in range(71 if is_last else 70):
        flow.send(1)
        flow.arrive()
    assert flow.window.is_nearly_spent is is_last


def test_nothing_is_given_back_before_something_is_taken() -> None:
    """A window that owes nothing is never due, nor is one from which a gap was taken."""
    flow = spent()
    assert not flow.window.is_due(1000.0)
    flow = Flow(1, 1)
    flow.window.put_gap(1)
    flow.window.take()
    assert (flow.window.is_due(1000.0), flow.window.wants_look) == (False, False)


def test_what_was_given_back_in_bulk_is_not_given_twice() -> None:
    """Nothing is owed after credit went back."""
    flow = Flow(1, 1000)
    flow.send(1)
    flow.arrive()
    flow.take()
    assert list(flow.granting) == [(1, 1)]
    assert not flow.window.is_due(1000.0)
    assert flow.window.collect(1000.0) == (0, 0)


# --- items


def test_gaps_stand_in_their_places() -> None:
    """Messages and gaps are taken in the order in which they came."""
    window = ReceiveWindow(1, 100, 1000)
    one, other = publication("a"), publication("b")
    window.put(one)
    window.put_gap(3)
    window.put(other)
    items = [window.take() for _ in range(3)]
    assert items[::2] == [one, other]
    assert isinstance(items[1], Lagged)
    assert items[1].dropped == 3


def test_gaps_side_by_side_are_one() -> None:
    """A program that takes nothing is not filled with gaps: those with nothing between are added up."""
    window = ReceiveWindow(1, 100, 1000)
    for _ in range(50):
        window.put_gap(2)
    assert window.waiting == 1
    gap = window.take()
    assert isinstance(gap, Lagged)
    assert gap.dropped == 100


def test_a_run_is_taken_one_by_one() -> None:
    """The publications of a run are items of their own, between those before and behind them."""
    window = ReceiveWindow(1, 100, 1000)
    window.put(publication("a", b"0"))
    window.put_run(m.Run("a", [b"1", b"2"]))
    window.put_gap(1)
    waiting, taken = [], []
    for _ in range(4):
        waiting.append(window.waiting)
        taken.append(window.take())
    assert waiting == [4, 3, 2, 1]
    assert taken[:3] == [publication("a", payload) for payload in (b"0", b"1", b"2")]
    assert isinstance(taken[3], Lagged)
    assert window.collect(0.0) == (3, 6)


def test_a_run_is_taken_in_parts_or_as_items() -> None:
    """What is of a run can be taken without making an object of it; what is not is left for the other way."""
    window = ReceiveWindow(1, 100, 1000)
    window.put_run(m.Run("a", [b"1", b"2"]))
    window.put(publication("b"))
    assert (window.take_of_run(), window.take()) == (("a", b"1"), publication("a", b"2"))
    assert window.take_of_run() is None
    assert (window.waiting, window.take()) == (1, publication("b"))


@pytest.mark.parametrize(("messages", "size", "fits"), [(2, 100, False), (3, 5, True), (3, 4, False), (3, 6, True)])
def test_a_run_keeps_within_the_window(messages: int, size: int, fits: bool) -> None:
    """A run needs credit for all its messages, and for the bytes of all but the last, which may run over."""
    window = ReceiveWindow(1, messages, size)
    run = m.Run("a", [b"1", b"2", b"3"])
    if fits:
        window.put_run(run)
    else:
        with pytest.raises(ProtocolViolation, match="window of subscription 1"):
            window.put_run(run)
    assert window.waiting == (3 if fits else 0)


def test_what_has_arrived_outlives_the_end() -> None:
    """After the end the reason is there, and what had arrived can still be taken."""
    window = ReceiveWindow(1, 100, 1000)
    window.put(publication())
    error = Disconnected("gone")
    window.close(error)
    assert window.closed is error
    assert window.take() == publication()


# --- the requests of a service


def call(number: int) -> m.Call:
    return m.Call(number, 1, None, "s", b"")


def open_service(window: int = 3, calls: int = 0) -> CallWindow:
    """The window of a service in which so many requests wait."""
    service = CallWindow(1, window)
    for number in range(1, calls + 1):
        service.put(call(number))
    return service


def test_requests_are_taken_in_order() -> None:
    """The program takes requests as they came; each stays pending until it is ended."""
    service = open_service(calls=3)
    assert [service.take().call.id for _ in range(3)] == [1, 2, 3]
    assert (len(service.waiting), list(service.pending)) == (0, [1, 2, 3])


def test_more_requests_than_the_window_break_the_rules() -> None:
    """A bus that hands over more than the window breaks the rules, whether the program has taken them or not."""
    service = open_service(window=2, calls=2)
    service.take()
    with pytest.raises(ProtocolViolation, match="window of service 1"):
        service.put(call(3))
    assert list(service.pending) == [1, 2]


def test_a_forgotten_request_loses_its_place() -> None:
    """When the bus uses the place of a withdrawn request again, its lifetime is over and it is pending no more."""
    service = open_service(window=2, calls=2)
    service.withdraw(service.take())
    service.put(call(3))
    assert list(service.pending) == [2, 3]
    with pytest.raises(ProtocolViolation):
        service.put(call(4))


def test_a_request_withdrawn_before_it_is_taken_is_never_seen() -> None:
    """The program is not given a request that nobody waits for; who withdraws it is told that it need not answer."""
    service = open_service(calls=2)
    assert service.withdraw(service.pending[1])
    assert service.take().call.id == 2
    assert len(service.waiting) == 0


def test_a_request_withdrawn_later_has_to_be_answered() -> None:
    """The program sees that nobody waits any more for the request that it has taken; its place is still taken."""
    service = open_service(calls=2)
    pending = service.take()
    assert not service.withdraw(pending)
    assert pending.withdrawn
    assert (list(service.pending), list(service.waiting)) == ([1, 2], [2])


def test_the_end_withdraws_everything() -> None:
    """At the end nobody waits for any answer: what was taken is withdrawn and what was not is dropped, each once."""
    service = open_service(calls=3)
    taken, withdrawn, left = service.take(), service.take(), service.pending[3]
    service.withdraw(withdrawn)
    error = Disconnected("gone")
    assert service.close(error) == [taken, left]
    assert service.closed is error
    assert taken.withdrawn
    assert left.withdrawn
    assert (len(service.waiting), service.pending, service.close(error)) == (0, {}, [])
