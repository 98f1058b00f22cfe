"""Paced publications and the room that all connections share: who reads loses nothing, however little room there is."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_helpers import Bus, RawPeer, assert_empty, bus
from pure_helpers import acknowledged, steady, stream
from test_broker_runs import publish_run

TOTAL: Final = 400


def open_some(one_bus: Bus, count: int) -> tuple[RawPeer, list[RawPeer], list[int]]:
    """A publisher, and subscribers with ample windows."""
    publisher = one_bus.connect()
    subscribers = [one_bus.connect() for _ in range(count)]
    numbers = [subscriber.subscribe("a", 1000, 1_000_000) for subscriber in subscribers]
    for subscriber in subscribers:
        subscriber.read()
    return publisher, subscribers, numbers


def buffered(one_bus: Bus, *held: int) -> int:
    """What counts in the total, which is what waits in the outboxes and these sizes of what is held."""
    used = one_bus.router.statistics().buffered_bytes
    assert used == sum(peer.outbox.size for peer in one_bus.peers) + sum(held) <= TOTAL
    return used


# --- the law


@given(
    st.integers(1, 9),
    st.lists(
        st.tuples(st.just("publish"), st.integers(0, 49), st.integers(1, 4))
        | st.tuples(st.just("read"), st.integers(0, 8), st.just(0)),
        max_size=60,
    ),
)
@steady(400)
def test_who_reads_loses_nothing(count: int, steps: list[tuple[str, int, int]]) -> None:
    """Whoever reads when, a publisher whose window is a quarter of the total reaches all of its subscribers."""
    one_bus = bus(total_bytes=TOTAL)
    publisher, subscribers, numbers = open_some(one_bus, count)
    on_their_way: dict[int, int] = {}
    published: list[bytes] = []
    heard: dict[RawPeer, list[object]] = defaultdict(list)

    def read(subscriber: RawPeer, number: int) -> None:
        heard[subscriber] += stream(subscriber.read(), number)

    for what, number, many in steps:
        if what == "read":
            read(subscribers[number % count], numbers[number % count])
            continue
        payload = bytes([len(published) % 256]) * number
        size = (1 + len(payload)) * many
        for operation in acknowledged(publisher.read()):
            on_their_way.pop(operation, None)
        if 4 * (sum(on_their_way.values()) + size) > TOTAL:
            continue
        first = publisher.last_operation + 1
        publish_run(publisher, [payload] * many, paced=True)
        on_their_way.update((operation, 1 + len(payload)) for operation in range(first, first + many))
        published += [payload] * many
        for operation in acknowledged(publisher.read()):
            on_their_way.pop(operation, None)
        buffered(one_bus, *on_their_way.values())
    while any(len(heard[subscriber]) < len(published) for subscriber in subscribers):
        before = sum(map(len, heard.values()))
        for subscriber, number in zip(subscribers, numbers, strict=True):
            read(subscriber, number)
        assert sum(map(len, heard.values())) > before, "nobody gets anything any more"
    assert all(heard[subscriber] == published for subscriber in subscribers)
    assert buffered(one_bus) == one_bus.router.statistics().dropped == 0


# --- who waits for whom


def test_what_could_be_held_leaves_half_of_the_total() -> None:
    """Paced publications wait once outboxes take half of the total; who has nothing is still delivered one."""
    one_bus = bus(total_bytes=TOTAL)
    publisher, subscribers, numbers = open_some(one_bus, 3)
    for _ in range(5):
        publisher.publish("a", bytes(19), paced=True)
    assert [subscriber.outbox.size for subscriber in subscribers] == [80, 60, 60]
    assert one_bus.router.statistics().deliveries_held == 5
    assert buffered(one_bus, *[20] * 2) == 200 + 2 * 20
    assert stream(subscribers[0].read(), numbers[0]) == [bytes(19)] * 4


@pytest.mark.parametrize(("size", "delivered"), [(100, 3), (101, 2), (400, 1)])
def test_what_is_too_large_to_be_held_is_delivered_where_it_fits(size: int, delivered: int) -> None:
    """A paced publication of more than a quarter of the total waits for nobody: who has no room for it misses it."""
    one_bus = bus(total_bytes=TOTAL)
    publisher, subscribers, numbers = open_some(one_bus, 3)
    publisher.publish("a", bytes(size - 1), paced=True)
    for _ in range(2):
        for subscriber, number in zip(subscribers, numbers, strict=True):
            assert stream(subscriber.read(), number) in ([bytes(size - 1)], [1], [])
    statistics = one_bus.router.statistics()
    assert (statistics.delivered, statistics.dropped) == (delivered, 3 - delivered)
    assert acknowledged(publisher.read()) == {1: delivered}


def test_what_is_held_counts_once() -> None:
    """A publication that waits for many takes the room of one, and none when the last of them has it."""
    one_bus = bus(total_bytes=TOTAL)
    publisher, subscribers, _ = open_some(one_bus, 4)
    publisher.publish("a", bytes(99), paced=True)
    assert [subscriber.outbox.size for subscriber in subscribers] == [100, 100, 0, 0]
    assert buffered(one_bus, 100) == 300
    for subscriber in subscribers[:2]:
        subscriber.read()
    assert [subscriber.outbox.size for subscriber in subscribers] == [0, 0, 100, 100]
    assert buffered(one_bus) == 200


@pytest.mark.parametrize("how", ["written", "disconnected"])
def test_room_that_others_leave_is_used(how: str) -> None:
    """Who has read everything and waits for room in the total is sent what waits as soon as others leave some."""
    one_bus = bus(total_bytes=TOTAL)
    publisher, waiting, _ = open_some(one_bus, 2)
    full = one_bus.connect()
    full.subscribe("b", 1000, 1_000_000)
    publisher.publish("b", bytes(219))
    publisher.publish("a", bytes(39), paced=True)
    assert [each.outbox.size for each in waiting] == [0, 0]
    assert buffered(one_bus, 40) == 220 + 40
    if how == "written":
        full.read()
    else:
        full.disconnect()
    assert [each.outbox.size for each in waiting] == [40, 40]


def test_what_is_held_takes_no_room_of_outboxes() -> None:
    """What is held, a quarter of the total at most, is beside what others may have."""
    one_bus = bus(total_bytes=TOTAL)
    publisher, (one,), _ = open_some(one_bus, 1)
    one_bus.connect().subscribe("c", 1)
    for _ in range(7):
        publisher.publish("c", bytes(19), paced=True)
    assert buffered(one_bus, *[20] * 5) == 20 + 5 * 20
    publisher.publish("a", bytes(179))
    assert one.outbox.size == 180


def test_who_does_not_read_is_given_up() -> None:
    """Where somebody who does not read takes the room of all, the others wait for the stall time and no longer."""
    one_bus = bus(total_bytes=TOTAL, stall=1.0)
    publisher, (one, _), numbers = open_some(one_bus, 2)
    full = one_bus.connect()
    full.subscribe("b", 1000, 1_000_000)
    publisher.publish("b", bytes(299))
    publisher.publish("a", bytes(79), paced=True)
    one_bus.router.expire(1.0)
    assert acknowledged(publisher.read())[2] == 0
    full.read()
    publisher.publish("a", b"1", paced=True)
    assert stream(one.read(), numbers[0]) == [1, b"1"]


def test_everything_is_let_go_in_the_end() -> None:
    """When all have gone while publications are held nothing counts any more."""
    one_bus = bus(total_bytes=TOTAL)
    publisher, subscribers, _ = open_some(one_bus, 5)
    for _ in range(4):
        publisher.publish("a", bytes(49), paced=True)
    assert one_bus.router.statistics().deliveries_held
    for peer in (publisher, *subscribers):
        peer.disconnect()
    assert_empty(one_bus.router)
