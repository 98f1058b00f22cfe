"""What counts for the memory of what waits: it is within twice what is held, and what is shared counts once."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import count
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_helpers import bus
from pure_helpers import of_kind, steady
from t2bus.broker.budget import CELL, RUN, Budget, Shared, cells_of
from t2bus.broker.count_runs import CountRuns
from t2bus.broker.outbox import DirtyPeers, Outbox
from t2bus.errors import ServiceBusy
from t2bus.wire import messages as m
from t2bus.wire.framing import HEADER_SIZE
from t2bus.wire.native import FROM_BUS, FROM_CLIENT, encode
from t2bus.wire.values import ErrorCode, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MANY: Final = 2000

NUMBERS: Final = count(1000, MANY)
"""Where the numbers of each test begin: a topic that was decoded before is held already, whoever decoded it."""


def big_outbox() -> Outbox:
    return Outbox(1, 1 << 40, 1 << 40, Budget(1 << 40, 1), DirtyPeers())


def frames(make: Callable[[int], m.ClientMessage | m.ServerMessage]) -> list[bytes]:
    first = next(NUMBERS)
    return [encode(make(number))[HEADER_SIZE:] for number in range(first, first + MANY)]


def compare(outbox: Outbox, put: Callable[[bytes], None], frames: Sequence[bytes]) -> float:
    """Put what these frames say into an outbox, and return how many times what is counted then is held."""
    put(frames[0])
    gc.collect()
    tracemalloc.start()
    try:
        for frame in frames[1:]:
            put(frame)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    counted = outbox.total.used + CELL * outbox.total.cells + outbox.control_size
    return held / counted


HEADERS: Final = {
    "none": {},
    "one letter": {chr(code): "v" for code in range(48, 91)},
    "two letters": {f"{number:02}": "vv" for number in range(43)},
    "long": {f"{number:020}": "v" * 20 for number in range(43)},
    "one": {"serial": "4711"},
    "one wide character": {"k": "v" * 1000 + "\U0001f525"},
    "accents": {"k": "\u00e9" * 1000},
    "wide characters": {"k": "\u4e2d" * 1000},
}


@pytest.mark.parametrize("size", [0, 100, 1000])
@pytest.mark.parametrize("headers", HEADERS)
def test_what_counts_for_a_publication_is_within_twice_what_is_held(headers: str, size: int) -> None:
    """One that comes alone, whatever its payload and headers."""
    outbox, carried = big_outbox(), HEADERS[headers]

    def put(frame: bytes) -> None:
        (message,) = FROM_CLIENT.decode([frame])
        publication = message.publication
        outbox.put(
            m.Deliver((message.id,), publication),
            size_of(publication.topic, publication.payload, publication.headers),
            cells_of(publication.headers),
        )

    made = frames(lambda number: m.Publish(number, False, m.Publication(f"a/{number:06}", bytes(size), carried)))
    assert 0.5 <= compare(outbox, put, made) <= 2


@pytest.mark.parametrize(("length", "size"), [(2, 0), (10, 10), (100, 0), (100, 100)])
def test_what_counts_for_a_run_is_within_twice_what_is_held(length: int, size: int) -> None:
    """A run, whatever its length and payloads."""
    outbox = big_outbox()
    payloads = [f"{number:04}".encode() + bytes(size) for number in range(length)]

    def put(frame: bytes) -> None:
        (message,) = FROM_CLIENT.decode([frame])
        outbox.put(m.DeliverRun((1,), message.run), message.run.size, RUN + length)

    made = frames(lambda number: m.PublishRun(number * length, False, m.Run(f"a/{number:06}", payloads)))
    assert 0.5 <= compare(outbox, put, made[:200]) <= 2


@pytest.mark.parametrize(
    "make",
    [
        lambda number: m.Gap(number, number),
        m.Withdraw,
        m.Ping,
        lambda number: m.Refused(number, ErrorCode.of(ServiceBusy("no")), f"the service is busy {number}"),
        lambda number: m.Refused(number, ErrorCode.of(ServiceBusy("no")), f"{number}" * 100),
        lambda number: m.Refused(number, ErrorCode.of(ServiceBusy("no")), f"{number}" * 100 + "\U0001f525"),
    ],
    ids=["gap", "withdrawal", "sign", "refusal", "long refusal", "wide refusal"],
)
def test_what_counts_as_control_is_within_twice_what_is_held(make: Callable[[int], m.ServerMessage]) -> None:
    """What cannot be dropped."""
    outbox = big_outbox()

    def put(frame: bytes) -> None:
        (message,) = FROM_BUS.decode([frame])
        outbox.put_control(message, message.text if isinstance(message, m.Refused) else "")

    assert 0.5 <= compare(outbox, put, frames(make)) <= 2


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("missed", [0, 1])
def test_what_counts_for_acknowledgements_is_within_twice_what_is_held(step: int, missed: int) -> None:
    """Those of consecutive operations, and those that are each a run of their own."""
    outbox = big_outbox()
    numbers = iter(range(1000, 1000 + step * MANY, step))
    ratio = compare(outbox, lambda _: outbox.acknowledge(next(numbers), (1,), missed), [b""] * MANY)
    assert 0.5 <= ratio <= 2


@pytest.mark.parametrize("text", ["it broke", "x" * 1000, "x" * 1000 + "\U0001f525"])
def test_what_counts_for_a_failure_is_within_twice_what_is_held(text: str) -> None:
    """What a handler says of its failure, which waits as an answer does."""
    one_bus = bus(requests=MANY, service_requests=MANY)
    requester, responder = one_bus.connect(), one_bus.connect()
    responder.claim("a", MANY, 1 << 30)
    for _ in range(MANY):
        requester.request("a")
    calls = iter(of_kind(responder.read(), m.Call))
    requester.read()
    before = requester.outbox.total.used + CELL * requester.outbox.total.cells
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(MANY):
            (frame,) = [encode(m.Fail(next(calls).id, ErrorCode.REMOTE_ERROR, text))[HEADER_SIZE:]]
            responder.feed(*FROM_CLIENT.decode([frame]))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    counted = requester.outbox.total.used + CELL * requester.outbox.total.cells - before
    assert 0.5 <= held / counted <= 2


# --- what is shared


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["put", "take", "written", "close"])), max_size=30))
@steady(300)
def test_what_is_shared_counts_once(steps: list[tuple[int, str]]) -> None:
    """Whatever becomes of it at whom, its bytes count exactly while one of them holds it."""
    total = Budget(1000, 1)
    outboxes = [Outbox(number, 1000, 1000, total, DirtyPeers()) for number in range(3)]
    shared = Shared(total, 100, 6)
    waiting, taken, closed = [0] * 3, [0] * 3, [False] * 3
    for number, step in steps:
        outbox = outboxes[number]
        match step:
            case "put" if not closed[number]:
                outbox.put(m.Ping(0), 100, 7, (shared,))
                waiting[number] += 1
            case "take" if not taken[number]:
                outbox.take()
                taken[number], waiting[number] = waiting[number], 0
            case "written":
                outbox.written()
                taken[number] = 0
            case "close":
                outbox.close()
                waiting[number], taken[number], closed[number] = 0, 0, True
        holders = sum(waiting) + sum(taken)
        assert (total.used, total.cells) == ((100, 6 + holders) if holders else (0, 0))
        assert (shared.holders, shared.counted) == (holders, 100 if holders else 0)


# --- counts of operations


@given(
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 300), min_size=1, max_size=4)), max_size=10),
    st.integers(1, 8),
)
@steady(200)
def test_runs_of_counts_say_what_was_added(added: list[tuple[int, list[int]]], most: int) -> None:
    """Each operation has its count, in order, and no run begins where one that has room for it ends."""
    runs, number = CountRuns(), 5
    expected: list[tuple[int, int]] = []
    for skipped, counts in added:
        number += skipped
        runs.add(number, counts)
        expected += enumerate(counts, number)
        number += len(counts)
    said = runs.runs(most)
    assert [pair for first, counts in said for pair in enumerate(counts, first)] == expected
    assert all(len(counts) <= most for _, counts in said)
    ends = {first + len(counts) for first, counts in said if len(counts) < most}
    assert not ends & {first for first, _ in said}
    runs.clear()
    assert (runs.runs(most), runs.counts) == ([], [])
