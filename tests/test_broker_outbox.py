"""The outbox of one connection: bounds, runs of acknowledgements, and what counts for how long."""

from __future__ import annotations

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import bus, steady
from t2bus.broker.outbox import Budget, Outbox
from t2bus.wire import messages as m

PING = m.Ping(0)


@define(eq=False)
class Owner:
    """An outbox and how often its owner was called."""

    limit: int = 100
    control_limit: int = 1000
    total: Budget = field(factory=lambda: Budget(1000))
    wakes: int = field(default=0, init=False)
    overflows: int = field(default=0, init=False)
    outbox: Outbox = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.outbox = Outbox(self.limit, self.control_limit, self.total, self._wake, self._overflow)

    def _wake(self) -> None:
        self.wakes += 1

    def _overflow(self) -> None:
        self.overflows += 1


def test_what_is_put_is_taken_in_order() -> None:
    """The writer takes all that waits, in the order in which it was put, whatever its kind."""
    outbox = Owner().outbox
    messages: list[m.ServerMessage] = [m.Ping(1), m.Deliver((1,), m.Publication("a", b"")), m.Ping(2)]
    outbox.put_control(messages[0])
    outbox.put(messages[1], 10)
    outbox.put_control(messages[2])
    assert outbox.take() == messages
    assert outbox.take() == []


def test_acknowledgements_are_taken_first() -> None:
    """The answer to a SUBSCRIBE is written before the deliveries that follow it."""
    outbox = Owner().outbox
    outbox.put_control(PING)
    outbox.acknowledge(7, 0)
    assert outbox.take() == [m.Accepted(7, (0,)), PING]


def test_consecutive_acknowledgements_are_one_message() -> None:
    """A run of consecutive operations is acknowledged at once, and a new run begins where an id is left out."""
    outbox = Owner().outbox
    for operation in (1, 2, 3, 5, 6, 4):
        outbox.acknowledge(operation, operation * 10)
    assert outbox.take() == [m.Accepted(1, (10, 20, 30)), m.Accepted(5, (50, 60)), m.Accepted(4, (40,))]


def test_a_run_ends_with_what_is_taken() -> None:
    """An acknowledgement that follows what was taken starts a run of its own."""
    outbox = Owner().outbox
    outbox.acknowledge(1, 0)
    outbox.take()
    outbox.acknowledge(2, 5)
    assert outbox.take() == [m.Accepted(2, (5,))]


def test_the_writer_is_woken_once() -> None:
    """However much is put, the writer is woken once before it has found the outbox empty."""
    owner = Owner()
    owner.outbox.put_control(PING)
    owner.outbox.put(PING, 1)
    owner.outbox.acknowledge(1, 0)
    assert owner.wakes == 1
    owner.outbox.take()
    owner.outbox.put(PING, 1)
    assert owner.wakes == 1, "the writer looks again after it has written"
    owner.outbox.take()
    owner.outbox.take()
    owner.outbox.put(PING, 1)
    assert owner.wakes == 2


def test_a_writer_that_rests_is_woken() -> None:
    """Whoever has written all that waited may rest, and is woken for what is put next."""
    owner = Owner()
    owner.outbox.put(PING, 1)
    owner.outbox.take()
    owner.outbox.written()
    assert owner.outbox.rest()
    assert owner.wakes == 1
    owner.outbox.put(PING, 1)
    assert owner.wakes == 2
    assert owner.outbox.take() == [PING]


@pytest.mark.parametrize("what", ["delivery", "control", "acknowledgement"])
def test_nobody_rests_while_something_waits(what: str) -> None:
    """What was put since the last writing keeps the outbox awake: whoever wrote has to see that it is written."""
    owner = Owner()
    owner.outbox.acknowledge(1, 0)
    owner.outbox.take()
    match what:
        case "delivery":
            owner.outbox.put(PING, 1)
        case "control":
            owner.outbox.put_control(PING)
        case _:
            owner.outbox.acknowledge(2, 0)
    assert not owner.outbox.rest()
    assert owner.wakes == 1, "nobody was woken for it"
    owner.outbox.put_control(PING)
    assert owner.wakes == 1
    assert owner.outbox.take()
    assert owner.outbox.rest()


def test_an_outbox_that_is_empty_or_closed_rests() -> None:
    """Where nothing waits, or ever will, there is nothing to stay awake for."""
    owner = Owner()
    assert owner.outbox.rest()
    owner.outbox.put(PING, 1)
    owner.outbox.close()
    assert owner.outbox.rest()


@given(st.lists(st.sampled_from(["put", "control", "accept", "take", "rest"]), max_size=30))
@steady(200)
def test_whoever_is_asleep_is_woken_once(steps: list[str]) -> None:
    """The writer is woken exactly when something is put after it was told that nothing waits."""
    owner = Owner(limit=1000, control_limit=100_000)
    asleep, waiting, wakes = True, 0, 0
    for number, step in enumerate(steps):
        match step:
            case "rest":
                assert owner.outbox.rest() == (waiting == 0)
                asleep = asleep or waiting == 0
            case "take":
                assert bool(owner.outbox.take()) == (waiting > 0)
                asleep, waiting = waiting == 0, 0
            case _:
                if step == "put":
                    owner.outbox.put(PING, 1)
                elif step == "control":
                    owner.outbox.put_control(PING)
                else:
                    owner.outbox.acknowledge(number, 0)
                wakes += asleep
                asleep, waiting = False, waiting + 1
        assert owner.wakes == wakes


def test_each_way_of_putting_wakes() -> None:
    """A delivery, a control message and an acknowledgement each wake a writer that waits."""
    owner = Owner()
    owner.outbox.acknowledge(1, 0)
    owner.outbox.take()
    owner.outbox.take()
    owner.outbox.put_control(PING)
    assert owner.wakes == 2


def test_it_fits_up_to_the_limit() -> None:
    """A message fits while all that waits is at most the outbox's limit."""
    outbox = Owner(limit=100).outbox
    assert outbox.fits(100)
    outbox.put(PING, 60)
    assert outbox.fits(40)
    assert not outbox.fits(41)


def test_it_fits_up_to_the_total() -> None:
    """A message fits while all that waits for all connections is at most their total."""
    total = Budget(100)
    one, other = Owner(total=total).outbox, Owner(total=total).outbox
    one.put(PING, 60)
    assert other.fits(40)
    assert not other.fits(41)


def test_what_is_being_written_counts() -> None:
    """Bytes that were taken count until they are written."""
    total = Budget(1000)
    outbox = Owner(total=total).outbox
    outbox.put(PING, 60)
    outbox.take()
    outbox.put(PING, 30)
    assert (outbox.size, total.used) == (90, 90)
    assert not outbox.fits(11)
    outbox.written()
    assert (outbox.size, total.used) == (30, 30)


def test_control_does_not_count_as_a_delivery() -> None:
    """Control messages leave the room for deliveries as it is."""
    owner = Owner(limit=1)
    owner.outbox.put_control(PING, "some text")
    owner.outbox.acknowledge(1, 1)
    assert owner.outbox.fits(1)
    assert owner.total.used == owner.outbox.size == 0


def test_control_overflows_once() -> None:
    """A connection that does not even take its control messages is given up, once, and its outbox is empty."""
    owner = Owner(control_limit=100)
    owner.outbox.put(PING, 5)
    for _ in range(3):
        owner.outbox.put_control(PING)
        owner.outbox.acknowledge(1, 0)
    assert owner.overflows == 1
    assert owner.outbox.take() == []
    assert owner.total.used == 0


def test_text_counts_as_control() -> None:
    """The free text of a control message counts with it."""
    owner = Owner(control_limit=100)
    owner.outbox.put_control(PING, "x" * 30)
    assert not owner.overflows
    owner.outbox.put_control(PING, "x" * 30)
    assert owner.overflows


def test_acknowledgements_overflow_too() -> None:
    """A client that publishes and never reads is given up for its acknowledgements."""
    owner = Owner(control_limit=100)
    for operation in range(1, 20):
        owner.outbox.acknowledge(operation, 1)
    assert owner.overflows == 1


def test_room_for_control_comes_back_when_taken() -> None:
    """Control counts while it waits."""
    owner = Owner(control_limit=100)
    for _ in range(10):
        owner.outbox.put_control(PING)
        owner.outbox.take()
    assert not owner.overflows


def test_acknowledgements_of_all_held_publications_fit() -> None:
    """Subscribers that let go of all they hold at once, in the worst order, do not cost a publisher its connection."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    numbers = [subscriber.subscribe(topic, 1) for topic in ("a", "b")]
    for number in range(one_bus.limits.held_messages + 2):
        publisher.publish("ab"[number % 2], paced=True)
    publisher.read()
    publisher.feed(PING)
    for number in numbers:
        subscriber.unsubscribe(number)
    assert publisher.reasons == []
    assert sum(len(each.counts) for each in publisher.read() if isinstance(each, m.Accepted)) == 16_384


def test_a_closed_outbox_takes_nothing() -> None:
    """What is put after the end is dropped, counts nowhere and wakes nobody."""
    owner = Owner()
    owner.outbox.put(PING, 10)
    owner.outbox.take()
    owner.outbox.put(PING, 10)
    owner.outbox.close()
    owner.outbox.put(PING, 10)
    owner.outbox.put_control(PING)
    owner.outbox.acknowledge(1, 1)
    owner.outbox.written()
    assert owner.outbox.take() == []
    assert (owner.outbox.size, owner.total.used, owner.wakes, owner.overflows) == (0, 0, 1, 0)


@given(st.lists(st.sampled_from(["put", "take", "written", "control", "accept"]), max_size=30), st.integers(0, 30))
@steady(100)
def test_the_budget_is_what_waits(steps: list[str], size: int) -> None:
    """Whatever is done, the budget is the sum of what waits and is being written, and 0 after the end."""
    total = Budget(1000)
    outboxes = [Owner(total=total, control_limit=10_000).outbox for _ in range(2)]
    for number, step in enumerate(steps):
        outbox = outboxes[number % 2]
        match step:
            case "put" if outbox.fits(size):
                outbox.put(PING, size)
            case "take":
                outbox.take()
            case "written":
                outbox.written()
            case "control":
                outbox.put_control(PING)
            case _:
                outbox.acknowledge(number, 0)
        assert total.used == sum(each.size for each in outboxes)
        assert all(each.size <= each.limit for each in outboxes)
    for outbox in outboxes:
        outbox.close()
    assert total.used == 0
