"""Paced publications and the room that all connections share: who reads loses nothing, however little room there is."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_helpers import Bus, RawPeer, assert_empty, bus
from pure_helpers import acknowledged, one_by_one, steady, stream
from test_broker_runs import publish_run

if TYPE_CHECKING:
    from collections.abc import Iterable

TOTAL: Final = 400


def open_some(one_bus: Bus, count: int) -> tuple[RawPeer, list[RawPeer], list[int]]:
    """A publisher, and subscribers with ample windows."""
    publisher = one_bus.connect()
    subscribers = [one_bus.connect() for _ in range(count)]
    numbers = [subscriber.subscribe("a", 1000, 1_000_000) for subscriber in subscribers]
    for subscriber in subscribers:
        subscriber.read()
    return publisher, subscribers, numbers


def buffered(one_bus: Bus) -> int:
    """What counts in the total, which it never exceeds."""
    used = one_bus.router.statistics().buffered_bytes
    assert used <= TOTAL
    return used


def fill(one_bus: Bus, publisher: RawPeer, size: int) -> RawPeer:
    """Have so many bytes wait for one who does not read."""
    full = one_bus.connect()
    full.subscribe("b", 1000, 1_000_000)
    publisher.publish("b", bytes(size - 1))
    return full


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
    """What is not acknowledged: the operation, and its place among what was published."""
    published: list[bytes] = []
    heard: dict[RawPeer, list[object]] = defaultdict(list)

    def sizes(places: Iterable[int]) -> int:
        return sum(1 + len(published[place]) for place in places)

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
        if 4 * (sizes(on_their_way.values()) + size) > TOTAL:
            continue
        first = publisher.last_operation + 1
        publish_run(publisher, [payload] * many, paced=True)
        on_their_way.update((first + place, len(published) + place) for place in range(many))
        published += [payload] * many
        for operation in acknowledged(publisher.read()):
            on_their_way.pop(operation, None)
        waiting = set(on_their_way.values())
        for subscriber, name in zip(subscribers, numbers, strict=True):
            begin = len(heard[subscriber])
            waiting.update(range(begin, begin + len(stream(one_by_one(subscriber.outbox.peek()), name))))
        assert buffered(one_bus) == sizes(waiting), "each counts once, however many have it"
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
    fill(one_bus, publisher, 160)
    for _ in range(4):
        publisher.publish("a", bytes(19), paced=True)
    assert [subscriber.outbox.size for subscriber in subscribers] == [40] * 3
    assert one_bus.router.statistics().deliveries_held == 6
    assert buffered(one_bus) == 160 + 40 + 2 * 20
    assert stream(subscribers[0].read(), numbers[0]) == [bytes(19)] * 2


@pytest.mark.parametrize(("size", "delivered"), [(90, 3), (100, 3), (101, 0)])
def test_what_is_too_large_to_be_held_is_delivered_where_it_fits(size: int, delivered: int) -> None:
    """A paced publication of more than a quarter of the total waits for nobody: who has no room for it misses it."""
    one_bus = bus(total_bytes=TOTAL)
    publisher, subscribers, numbers = open_some(one_bus, 3)
    full = fill(one_bus, publisher, 160)
    publisher.publish("a", bytes(size - 1), paced=True)
    full.read()
    for _ in range(2):
        for subscriber, number in zip(subscribers, numbers, strict=True):
            assert stream(subscriber.read(), number) in ([bytes(size - 1)], [1], [])
    statistics = one_bus.router.statistics()
    assert (statistics.delivered, statistics.dropped) == (1 + delivered, 3 - delivered)
    assert acknowledged(publisher.read()) == {1: 1, 2: delivered}


def test_what_waits_counts_once() -> None:
    """A publication as large as the total reaches all who have nothing else, since they share its memory."""
    one_bus = bus(total_bytes=TOTAL)
    publisher, subscribers, _ = open_some(one_bus, 3)
    publisher.publish("a", bytes(399))
    assert [subscriber.outbox.size for subscriber in subscribers] == [400] * 3
    assert buffered(one_bus) == 400
    for subscriber in subscribers:
        assert buffered(one_bus) == 400, "until the last of them is sent it"
        subscriber.read()
    assert buffered(one_bus) == 0


def test_what_is_held_counts_once() -> None:
    """A publication that waits for many takes the room of one, and none when the last of them has it."""
    one_bus = bus(total_bytes=TOTAL)
    publisher, subscribers, _ = open_some(one_bus, 4)
    full = fill(one_bus, publisher, 180)
    publisher.publish("a", bytes(99), paced=True)
    assert one_bus.router.statistics().deliveries_held == 4
    assert buffered(one_bus) == 280
    full.read()
    assert [subscriber.outbox.size for subscriber in subscribers] == [100] * 4
    assert buffered(one_bus) == 100


@pytest.mark.parametrize("how", ["written", "disconnected"])
def test_room_that_others_leave_is_used(how: str) -> None:
    """Who has read everything and waits for room in the total is sent what waits as soon as others leave some."""
    one_bus = bus(total_bytes=TOTAL)
    publisher, waiting, _ = open_some(one_bus, 2)
    full = fill(one_bus, publisher, 220)
    publisher.publish("a", bytes(39), paced=True)
    assert [each.outbox.size for each in waiting] == [0, 0]
    assert buffered(one_bus) == 220 + 40
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
    assert buffered(one_bus) == 20 + 5 * 20
    publisher.publish("a", bytes(179))
    assert one.outbox.size == 180


def test_who_does_not_read_is_given_up() -> None:
    """Where somebody who does not read takes the room of all, the others wait for the stall time and no longer."""
    one_bus = bus(total_bytes=TOTAL, stall=1.0)
    publisher, (one, _), numbers = open_some(one_bus, 2)
    full = fill(one_bus, publisher, 300)
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
    for _ in range(6):
        publisher.publish("a", bytes(49), paced=True)
    assert one_bus.router.statistics().deliveries_held
    for peer in (publisher, *subscribers):
        peer.disconnect()
    assert_empty(one_bus.router)
