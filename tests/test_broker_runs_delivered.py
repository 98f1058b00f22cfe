"""What becomes of runs: what was held is released as runs, a client takes them in, and they are acknowledged."""

from __future__ import annotations

from itertools import count, repeat
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_helpers import Bus, RawPeer, bus
from pure_helpers import acknowledged, of_kind, one_by_one, payloads, publication, steady
from session_helpers import Program
from t2bus.broker.budget import Budget
from t2bus.broker.outbox import DirtyPeers, Outbox
from t2bus.errors import ProtocolViolation
from t2bus.session.windows import ReceiveWindow
from t2bus.wire import messages as m
from t2bus.wire.framing import HEADER_SIZE
from t2bus.wire.native import encode

LETTERS: Final = [b"1", b"2", b"3"]

# --- released by the bus


def hold(
    one_bus: Bus, *messages: m.Publish | m.PublishRun, window: int = 100, size: int = 1 << 30
) -> tuple[RawPeer, RawPeer, int]:
    """A publisher, and a subscriber that holds these since the messages of its window are spent, and as many bytes."""
    publisher, subscriber, other = (one_bus.connect() for _ in range(3))
    number = subscriber.subscribe("**", window, size)
    for _ in range(window):
        other.publish("a", b"")
        subscriber.read()
    for message in messages:
        publisher.feed(message)
    return publisher, subscriber, number


def released(subscriber: RawPeer, number: int, messages: int) -> list[Any]:
    """Give credit, and return what comes for it as it is."""
    subscriber.credit(number, messages)
    return subscriber.outbox.take()


def test_what_was_held_is_released_as_a_run() -> None:
    """Publications that waited for credit go out together, as far as the credit goes, and are acknowledged."""
    publisher, subscriber, number = hold(bus(), m.PublishRun(2, True, m.Run("a", [b"1", b"2", b"3", b"4"])))
    publisher.read()
    assert released(subscriber, number, 3) == [m.DeliverRun((number,), m.Run("a", LETTERS))]
    assert released(subscriber, number, 3) == [m.Deliver((number,), m.Publication("a", b"4"))]
    assert acknowledged(publisher.read()) == {2: 1, 3: 1, 4: 1, 5: 1}


def test_a_released_run_ends_where_another_one_begins() -> None:
    """What is of another topic, has headers or came compressed is no part of a run, and everything keeps its order."""
    said = [
        *(m.Publication("a", b"1"), m.Publication("a", b"2"), m.Publication("b", b"3"), m.Publication("b", b"4")),
        *(m.Publication("b", b"5", {"k": "v"}), m.Publication("b", b"6"), m.Publication("b", b"7")),
    ]
    _, subscriber, number = hold(bus(), *map(m.Publish, count(2), repeat(True), said))
    messages = released(subscriber, number, 100)
    assert one_by_one(messages) == [m.Deliver((number,), each) for each in said]
    assert [type(each) for each in messages] == [m.DeliverRun, m.DeliverRun, m.Deliver, m.DeliverRun]


def test_a_released_run_ends_at_a_gap() -> None:
    """A gap between held publications is told between two runs."""
    _, subscriber, number = hold(
        bus(),
        m.PublishRun(2, True, m.Run("a", LETTERS)),
        m.PublishRun(5, False, m.Run("a", LETTERS)),
        m.PublishRun(8, True, m.Run("a", LETTERS)),
    )
    run = m.DeliverRun((number,), m.Run("a", LETTERS))
    assert released(subscriber, number, 100) == [run, m.Gap(number, 3), run]


@pytest.mark.parametrize(("last", "runs"), [(5500, [7]), (5501, [6])])
def test_a_released_run_is_bounded_in_bytes(last: int, runs: list[int]) -> None:
    """What is released together has at most 65,536 bytes, five around each payload counted, and the rest follows."""
    said = [*[bytes([number]) * 9_999 for number in range(6)], bytes(last)]
    _, subscriber, number = hold(bus(), m.PublishRun(2, True, m.Run("a", said)))
    messages = released(subscriber, number, 100)
    assert payloads(one_by_one(messages)) == said
    assert [len(each.run.payloads) for each in of_kind(messages, m.DeliverRun)] == runs


def test_a_released_run_fits_in_a_delivery() -> None:
    """Where frames are small, what is released together is no longer than the WELCOME said a delivery may be."""
    _, subscriber, number = hold(bus(frame=1000, subscriptions=1), m.PublishRun(2, True, m.Run("a", [b"x" * 100] * 30)))
    sizes = [len(encode(message)) - HEADER_SIZE for message in released(subscriber, number, 100)]
    assert max(sizes) <= 1000 + 64 + 9


def test_a_large_publication_is_released_alone() -> None:
    """One that is longer than a released run may be comes between two of them."""
    said = [b"1", b"2", bytes(200_000), b"3", b"4"]
    _, subscriber, number = hold(bus(), m.PublishRun(2, True, m.Run("a", said)))
    messages = released(subscriber, number, 100)
    assert payloads(one_by_one(messages)) == said
    assert [type(each) for each in messages] == [m.DeliverRun, m.Deliver, m.DeliverRun]


def test_a_released_run_is_bounded_in_number() -> None:
    """However many are released at once, a run has at most 1,024 of them."""
    runs = [m.PublishRun(first, True, m.Run("a", [b""] * 1024)) for first in (2, 1026, 2050)]
    _, subscriber, number = hold(bus(), *runs, window=3000)
    messages = of_kind(released(subscriber, number, 3000), m.DeliverRun)
    assert [len(each.run.payloads) for each in messages] == [1024, 1024, 952]


def test_a_release_keeps_to_the_bytes_of_the_window() -> None:
    """Credit of bytes ends a released run as it ends single deliveries: the last may run over it."""
    _, subscriber, number = hold(bus(), m.PublishRun(2, True, m.Run("a", [b"1"] * 10)), window=100, size=105)
    (delivery,) = released(subscriber, number, 100)
    assert len(delivery.run.payloads) == 3


def test_a_release_keeps_to_the_outbox() -> None:
    """What does not fit in the outbox any more is held on, and comes when the rest is written."""
    one_bus = bus(outbox_bytes=500)
    one, two, three = bytes(199), b"x" * 199, b"y" * 199
    _, subscriber, number = hold(one_bus, m.PublishRun(2, True, m.Run("a", [one, two, three])))
    (delivery,) = released(subscriber, number, 100)
    assert delivery.run.payloads == [one, two]
    assert one_bus.router.statistics().buffered_bytes == 600
    one_bus.router.written(subscriber.peer)
    assert payloads(subscriber.read()) == [three]
    assert one_bus.router.statistics().buffered_bytes == 0


# --- taken in by a client


def subscribed(program: Program) -> ReceiveWindow:
    """A subscription with a window of 100 messages that is open."""
    window = program.session.subscribe("a", program.done)
    program.feed(m.Accepted(window.id, (0,)))
    return window


def test_a_run_is_taken_one_by_one() -> None:
    """The program gets each publication of a run, and each of its subscriptions gets the very same payloads."""
    program = Program()
    one, other = subscribed(program), subscribed(program)
    run = m.Run("a", LETTERS)
    program.feed(m.DeliverRun((one.id, other.id), run))
    taken = [one.take() for _ in LETTERS]
    assert taken == [publication("a", letter) for letter in LETTERS]
    others = [other.take() for _ in LETTERS]
    assert others == taken
    assert all(each.payload is twin.payload for each, twin in zip(taken, others, strict=True))  # type: ignore[union-attr]
    assert program.session.statistics().received == 6


def test_a_run_is_news_once() -> None:
    """However many come at once, the program is told once for each subscription."""
    program = Program()
    one, other = subscribed(program), subscribed(program)
    assert program.feed(m.DeliverRun((one.id, other.id), m.Run("a", LETTERS))) == [one, other]


def test_a_run_for_a_closed_subscription_is_dropped() -> None:
    """What was on its way when a subscription was closed means nothing any more."""
    program = Program()
    one, other = subscribed(program), subscribed(program)
    program.close(one)
    program.session.take_news()
    assert program.feed(m.DeliverRun((one.id, other.id), m.Run("a", LETTERS))) == [other]
    assert (one.waiting, other.waiting) == (0, 3)
    assert program.session.statistics().received == 3


@given(st.integers(1, 8), st.integers(1, 12), st.lists(st.lists(st.binary(max_size=3), min_size=1, max_size=4)))
@steady(300)
def test_a_run_uses_the_window_of_its_publications(messages: int, size: int, runs: list[list[bytes]]) -> None:
    """A run takes of the window what its publications do, and breaks the rules where one of them does."""
    one, other = (ReceiveWindow(1, messages, size) for _ in range(2))
    for bodies in runs:
        run = m.Run("a", bodies)
        try:
            for each in run.publications:
                one.put(each)
        except ProtocolViolation as error:
            with pytest.raises(ProtocolViolation, match=f"^{error}$"):
                other.put_run(run)
            return
        other.put_run(run)
        assert (one.waiting, one.is_nearly_spent) == (other.waiting, other.is_nearly_spent)
    waiting = one.waiting
    assert [one.take() for _ in range(waiting)] == [other.take() for _ in range(other.waiting)]
    assert one.collect(0.0) == other.collect(0.0)


# --- acknowledged


@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 9), min_size=1, max_size=5)), max_size=10),
    st.sampled_from([60, 100, 200, 10_000]),
)
@steady(200)
def test_acknowledging_a_run_is_acknowledging_its_operations(runs: list[tuple[int, list[int]]], limit: int) -> None:
    """Runs and single operations merge where their ids go on, and count the same bytes of control."""
    one, other = (Outbox(1, 100, limit, Budget(0, 1), DirtyPeers()) for _ in range(2))
    operation = 1
    for skipped, counts in runs:
        operation += skipped
        one.acknowledge(operation, list(counts))
        for each in counts:
            other.acknowledge(operation, [each])
            operation += 1
        assert one.control_size == other.control_size
        assert one.is_overflowed == other.is_overflowed
    assert one.take() == other.take()


def test_acknowledging_runs_overflows_once() -> None:
    """A connection that does not read is given up for acknowledged runs too, and what comes then is dropped."""
    dirty = DirtyPeers()
    outbox = Outbox(7, 100, 64, Budget(0, 1), dirty)
    marked = []
    for first in range(1, 20, 4):
        outbox.acknowledge(first, [1, 1, 1])
        marked.append(dirty.take())
    assert marked == [[7], [7], [], [], []]
    assert outbox.is_overflowed
    assert outbox.take() == []
