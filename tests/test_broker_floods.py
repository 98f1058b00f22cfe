"""What a peer that does not read can make the bus keep for it: bounded in memory, and no reason to part with it."""

from __future__ import annotations

from broker_helpers import bus
from pure_helpers import of_kind, one_by_one, stream
from t2bus.broker.budget import Budget
from t2bus.broker.outbox import DirtyPeers, Outbox
from t2bus.wire import messages as m


def outbox(limit: int, total: Budget) -> Outbox:
    return Outbox(1, limit, 1_000_000, total, DirtyPeers())


def fill(box: Outbox, size: int) -> int:
    """Put messages of a size, and of one cell, until none fits any more, and return how many did."""
    count = 0
    while box.fits(size, 1):
        box.put(m.Deliver((1,), m.Publication("a", b"")), size, 1)
        count += 1
    return count


def test_small_messages_are_bounded_in_number() -> None:
    """An outbox takes no more cells than its bytes would be at 64 for each, however small the messages are."""
    assert fill(outbox(640_000, Budget(10_000_000, 1)), 1) == 10_000


def test_a_small_outbox_is_bounded_by_its_bytes_alone() -> None:
    """Up to 1,024 cells are never too many."""
    assert fill(outbox(1000, Budget(10_000_000, 1)), 1) == 1000


def test_all_outboxes_together_are_bounded_in_number() -> None:
    """The total bounds the cells over all connections too: by half, and an eighth in shares."""
    total = Budget(640_000, 1)
    assert [fill(outbox(600_000, total), 1) for _ in range(2)] == [5000, 1250]


def test_empty_messages_are_bounded_in_number() -> None:
    """What has no bytes at all, an empty answer for instance, counts in cells as all does."""
    total = Budget(640_000, 1)
    assert [fill(outbox(600_000, total), 0) for _ in range(2)] == [5000, 1250]


def test_what_is_written_or_dropped_makes_room_for_as_many() -> None:
    """The number goes down as the bytes do: when messages are written, and when the outbox closes."""
    total = Budget(640_000, 1)
    one, other = outbox(640_000, total), outbox(640_000, total)
    counts = [fill(one, 1), fill(other, 1)]
    one.take()
    counts.append(fill(other, 1))
    one.written()
    counts.append(fill(other, 1))
    other.close()
    counts.append(fill(one, 1))
    assert counts == [5000, 1250, 0, 3750, 5000]
    one.close()
    assert (total.used, total.cells) == (0, 0)


def test_a_run_counts_as_its_publications() -> None:
    """A run fits if there is room for all that it stands for."""
    box = outbox(64_000, Budget(10_000_000, 1))
    box.put(m.DeliverRun((1,), m.Run("a", [b""] * 1000)), 1000, 1000)
    assert [box.fits(1, 24), box.fits(1, 25)] == [True, False]


def test_a_full_outbox_tells_of_all_that_is_missed_at_once() -> None:
    """Subscriptions with credit whose connection does not read are told of their gaps in one message each."""
    one_bus = bus(outbox_bytes=10, control_bytes=1000)
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    numbers = [subscriber.subscribe("a", 1_000_000, 1_000_000), subscriber.subscribe("*", 1_000_000, 1_000_000)]
    subscriber.read()
    for _ in range(1_000):
        publisher.publish("a", b"x" * 8)
        publisher.read()
    heard = subscriber.read()
    assert len(of_kind(heard, m.Gap)) == len(numbers)
    assert subscriber.ending is None
    publisher.publish("a", b"last")
    heard += subscriber.read()
    for number in numbers:
        first, *gaps, last = stream(heard, number)
        assert (first, sum(gap for gap in gaps if isinstance(gap, int)), last) == (b"x" * 8, 999, b"last")


def test_a_gap_after_a_delivery_is_told_in_its_place() -> None:
    """What is missed after something was delivered is not counted before it."""
    box = outbox(1000, Budget(1000, 1))
    box.put_gap(1, 2)
    box.put_gap(1, 3)
    box.put(m.Deliver((1,), m.Publication("a", b"")), 1)
    box.put_gap(1, 4)
    gaps = [message.dropped for message in of_kind(box.take(), m.Gap)]
    box.put_gap(1, 5)
    assert (gaps, box.take()) == ([5, 4], [m.Gap(1, 5)])


def test_requests_that_are_given_up_do_not_cost_the_responder_its_connection() -> None:
    """A responder that does not read is told of every request that was given up once it reads, and not closed."""
    one_bus = bus(control_bytes=10_000, service_requests=100)
    requester, responder = one_bus.connect(), one_bus.connect()
    topics = [f"s/{number}" for number in range(5)]
    for topic in topics:
        responder.claim(topic, requests=100, size=100_000)
    responder.read()
    for topic in topics * 100:
        requester.feed(m.Cancel(requester.request(topic)))
    heard = responder.read()
    while more := responder.read():
        heard += more
    assert responder.ending is None
    assert sorted(each.call for each in of_kind(heard, m.Withdraw)) == [each.id for each in of_kind(heard, m.Call)]


def test_a_call_that_has_ended_is_not_withdrawn_late() -> None:
    """What a responder has answered meanwhile it is not told any more."""
    one_bus = bus(control_bytes=1000, service_requests=100)
    requester, responder = one_bus.connect(), one_bus.connect()
    responder.claim(requests=100, size=100_000)
    for _ in range(20):
        requester.feed(m.Cancel(requester.request()))
    heard = one_by_one(responder.outbox.take())
    for call in of_kind(heard, m.Call):
        responder.feed(m.Respond(call.id, b"r"))
    responder.router.written(responder.peer)
    assert len(of_kind(heard, m.Withdraw)) < 20
    assert responder.read() == []
