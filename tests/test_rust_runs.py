"""Publications that follow one another are put together to runs: bounded, as long as may be, and saying the same."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import one_by_one, steady
from t2bus.rust.runs import in_runs
from t2bus.wire import messages as m
from t2bus.wire import values as v
from t2bus.wire.framing import HEADER_SIZE
from t2bus.wire.native import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BOUND = 65_536
"""Bytes of a run, each publication as its own frame would count it."""

WIDE = 1 << 20
"""A frame that is no bound."""

ZEROS = bytes(2 * BOUND)


def publish(number: int, topic: str = "a", payload: v.Payload = b"x", *, paced: bool = False) -> m.Publish:
    return m.Publish(number, paced, m.Publication(topic, payload))


def publications(count: int, payload: bytes = b"x", first: int = 1) -> list[m.Publish]:
    return [publish(number, payload=payload) for number in range(first, first + count)]


def joined(messages: Iterable[m.ClientMessage], frame: int = WIDE) -> list[m.ClientMessage]:
    return list(in_runs(messages, frame))


def lengths(messages: Iterable[m.ClientMessage], frame: int = WIDE) -> list[int]:
    """How many publications each message publishes."""
    return [len(each.run.payloads) if isinstance(each, m.PublishRun) else 1 for each in joined(messages, frame)]


def is_plain(message: m.ClientMessage) -> bool:
    """Whether a run may hold it."""
    return (
        isinstance(message, m.Publish)
        and isinstance(message.publication.payload, bytes)
        and not message.publication.headers
    )


def size(message: m.ClientMessage) -> int:
    assert isinstance(message, m.Publish)
    assert isinstance(message.publication.payload, bytes)
    return v.size_in_frame(message.publication.topic, message.publication.payload, v.NO_HEADERS)


AROUND = size(publish(1, "a", b""))
"""What a publication counts for beside its payload."""


# --- the law

gaps = st.sampled_from([1] * 8 + [0, 2])
paces = st.sampled_from([True] * 8 + [False])
topics = st.sampled_from(["a"] * 8 + ["long/er"])
sizes = st.sampled_from([0, 1, 10, 1000, 2000]) | st.builds(
    lambda bound, part, around, more: max(0, bound // part - around + more),
    *[st.sampled_from(each) for each in ((4000, BOUND), (1, 2, 3), (0, AROUND, 2 * AROUND), (-1, 0, 1))],
)
frames = st.sampled_from([1000, 4000, BOUND - 1, BOUND, WIDE])
payloads: st.SearchStrategy[v.Payload] = (
    sizes.map(lambda length: ZEROS[:length]) | st.binary(max_size=3) | st.sampled_from([b"x"] * 8 + [v.Deflated(b"d")])
)
headers: st.SearchStrategy[v.Headers] = st.sampled_from([v.NO_HEADERS] * 8 + [{"k": "v"}])
OTHERS: tuple[m.ClientMessage, ...] = (m.Ping(1), m.Subscribe(7, "a", 1, 1))
RUN = m.PublishRun(9, True, m.Run("a", [b"1", b"2"]))
publishing = st.tuples(gaps, paces, topics, payloads, headers)


def mixed(*others: m.ClientMessage) -> st.SearchStrategy[list[m.ClientMessage]]:
    """Publications, each with an id that is that gap above the one before, and now and then another message."""
    before = st.sampled_from([None] * 10 + list(others))
    return st.lists(st.tuples(publishing, before), max_size=60).map(said)


def said(
    steps: Sequence[tuple[tuple[int, bool, str, v.Payload, v.Headers], m.ClientMessage | None]],
) -> list[m.ClientMessage]:
    messages: list[m.ClientMessage] = []
    number = 0
    for (gap, paced, topic, payload, head), before in steps:
        if before is not None:
            messages.append(before)
        number += gap
        messages.append(m.Publish(number, paced, m.Publication(topic, payload, head)))
    return messages


@given(mixed(*OTHERS, RUN), frames)
@steady(500)
def test_runs_say_the_same(messages: list[m.ClientMessage], frame: int) -> None:
    """Taken apart, what comes out is what went in, in the same order."""
    assert one_by_one(joined(messages, frame)) == one_by_one(messages)


@given(mixed(*OTHERS), frames)
@steady(500)
def test_runs_are_bounded(messages: list[m.ClientMessage], frame: int) -> None:
    """A run is of two publications at least and of no more than one may have, and fits in a frame."""
    for each in joined(messages, frame):
        if isinstance(each, m.PublishRun):
            assert 2 <= len(each.run.payloads) <= m.MOST_IN_RUN
            assert sum(map(size, one_by_one([each]))) <= min(BOUND, frame)
            assert len(encode(each)) - HEADER_SIZE <= min(BOUND, frame)


@given(mixed(*OTHERS), frames)
@steady(500)
def test_runs_are_as_long_as_they_may_be(messages: list[m.ClientMessage], frame: int) -> None:
    """Two neighbours that one run might say are said by one."""
    for run, after in pairwise(one_by_one([each]) for each in joined(messages, frame)):
        last, following = run[-1], after[0]
        if not (is_plain(last) and is_plain(following)):
            continue
        assert isinstance(last, m.Publish)
        assert isinstance(following, m.Publish)
        assert (
            last.publication.topic != following.publication.topic
            or last.paced is not following.paced
            or last.id + 1 != following.id
            or sum(map(size, run)) + size(following) > min(BOUND, frame)
        )


# --- the bounds


@pytest.mark.parametrize("payload", [b"", b"x", b"payload" * 10])
def test_a_run_is_filled(payload: bytes) -> None:
    """The publication that would be one too many begins the next run."""
    most = BOUND // (AROUND + len(payload))
    assert most <= m.MOST_IN_RUN
    assert [lengths(publications(count, payload)) for count in (1, 2, most)] == [[1], [2], [most]]
    assert lengths(publications(2 * most + 3, payload)) == [most, most, 3]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([BOUND // 2, BOUND // 2], [2]),
        ([BOUND // 2, BOUND // 2 + 1], [1, 1]),
        ([BOUND - AROUND, AROUND], [2]),
        ([BOUND - AROUND + 1, AROUND], [1, 1]),
        ([BOUND, AROUND, AROUND], [1, 2]),
        ([BOUND + 1, AROUND, BOUND + 1], [1, 1, 1]),
        ([BOUND // 4] * 6, [4, 2]),
    ],
)
def test_a_run_has_so_many_bytes_at_most(sizes: list[int], expected: list[int]) -> None:
    """The publications of a run are 65,536 bytes at most, each as its frame counts it, and a larger one is alone."""
    messages = [publish(number, payload=ZEROS[: each - AROUND]) for number, each in enumerate(sizes, 1)]
    assert [size(message) for message in messages] == sizes
    assert lengths(messages) == expected


@pytest.mark.parametrize(("frame", "expected"), [(4000, [4, 2]), (3999, [3, 3]), (1000, [1] * 6), (10, [1] * 6)])
def test_a_run_has_no_more_bytes_than_a_frame(frame: int, expected: list[int]) -> None:
    """Where frames are small a run is as small as they are, and what does not fit in one is passed on alone."""
    assert lengths(publications(6, ZEROS[: 1000 - AROUND]), frame) == expected


# --- what is put together


def test_neighbours_become_one_run() -> None:
    """Publications to one topic with consecutive ids are one run, under the first one's id and pace."""
    messages = [publish(number, "b", b"%d" % number, paced=True) for number in (7, 8, 9)]
    assert joined(messages) == [m.PublishRun(7, True, m.Run("b", [b"7", b"8", b"9"]))]


def test_one_alone_stays_what_it_is() -> None:
    """A publication without a neighbour is passed on itself."""
    message = publish(1)
    (out,) = joined([message])
    assert out is message


def test_nothing_is_nothing() -> None:
    """No messages are no runs."""
    assert joined([]) == []


@pytest.mark.parametrize(
    "other",
    [
        publish(2, "b"),
        publish(2, paced=True),
        publish(3),
        publish(1),
        publish(2, payload=v.Deflated(b"x")),
        m.Publish(2, False, m.Publication("a", b"x", {"k": "v"})),
        m.Ping(2),
        m.Subscribe(2, "a", 1, 1),
    ],
)
def test_what_is_different_is_kept_apart(other: m.ClientMessage) -> None:
    """Another topic, pace or kind, an id that does not follow, headers and compression each end a run, in place."""
    before, after = publications(2, first=0), publications(2, first=3)
    first, alone, last = joined([*before, other, *after])
    assert alone is other
    assert [one_by_one([first]), one_by_one([last])] == [before, after]


def test_runs_pass_as_they_are() -> None:
    """A run that somebody said is neither taken apart nor made longer."""
    run = m.PublishRun(2, False, m.Run("a", [b"1", b"2"]))
    messages: list[m.ClientMessage] = [publish(1), run, publish(4)]
    assert joined(messages) == messages


def test_a_run_is_passed_on_as_soon_as_it_ends() -> None:
    """No more is read than what shows where a run ends."""
    read: list[m.ClientMessage] = []

    def source() -> Iterator[m.ClientMessage]:
        messages: list[m.ClientMessage] = [*publications(2), m.Ping(1), m.Ping(2)]
        for message in messages:
            read.append(message)
            yield message

    assert isinstance(next(in_runs(source(), WIDE)), m.PublishRun)
    assert read[-1] == m.Ping(1)
