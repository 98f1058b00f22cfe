"""The window that keeps the newest of each topic: what it gives, counts and holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2bus.errors import Lagged, ProtocolViolation
from t2bus.session.counters import ClientCounters
from t2bus.session.latest import LatestWindow
from t2bus.wire.messages import Publication, Run

Given = tuple[str, bytes] | int


def window(most: int = 100, most_size: int = 1 << 20, credit: int = 1 << 20) -> LatestWindow:
    return LatestWindow(1, credit, credit, most, most_size, ClientCounters())


def publication(topic: str, number: int, size: int = 1) -> Publication:
    return Publication(topic, bytes([number]) * size)


def take_all(latest: LatestWindow) -> list[Given]:
    """Take what waits: topics and payloads, and in their places the lengths of gaps."""
    taken: list[Given] = []
    while latest.waiting:
        item = latest.take()
        if isinstance(item, Lagged):
            taken.append(item.dropped or 0)
        else:
            assert isinstance(item.payload, bytes)
            taken.append((item.topic, item.payload))
    return taken


def test_a_newer_message_replaces_the_older_of_its_topic() -> None:
    """The newest of each topic waits, in the order in which they came, and what it replaced is counted."""
    latest = window()
    for topic, number in [("a", 1), ("b", 2), ("a", 3), ("a", 4)]:
        latest.put(publication(topic, number))
    assert latest.replaced == 2
    assert take_all(latest) == [("b", b"\2"), ("a", b"\4")]


def test_the_last_of_a_run_is_the_newest() -> None:
    """Of a run the last message waits, and all others are counted."""
    latest = window()
    latest.put(publication("a", 0))
    latest.put_run(Run("a", [b"1", b"2", b"3"]))
    assert (latest.replaced, take_all(latest)) == (3, [("a", b"3")])


def test_what_arrives_is_owed_at_once() -> None:
    """Credit goes back for what has arrived, whether it is taken or not."""
    latest = window()
    latest.put(publication("a", 1))
    latest.put_run(Run("a", [b"1", b"2"]))
    assert latest.collect(0.0) == (3, 6)
    assert take_all(latest) == [("a", b"2")]
    assert latest.collect(0.0) == (0, 0)


def test_more_than_the_credit_breaks_the_rules() -> None:
    """A bus that sends more than it has credit for is found out, though nothing more would wait."""
    latest = window(credit=2)
    latest.put(publication("a", 1))
    with pytest.raises(ProtocolViolation):
        latest.put_run(Run("a", [b"1", b"2"]))


@pytest.mark.parametrize("bounds", [{"most": 2}, {"most_size": 6}], ids=["topics", "bytes"])
def test_the_oldest_makes_room(bounds: dict[str, int]) -> None:
    """Where more topics wait than may, the message that waits for the longest is dropped, with a gap in its place."""
    latest = window(**bounds)
    for number, topic in enumerate("abcd"):
        latest.put(publication(topic, number, size=2))
    assert take_all(latest) == [2, ("c", b"\2\2"), ("d", b"\3\3")]


def test_the_newest_message_may_run_over_the_bound() -> None:
    """The last message to come always waits, however large it is; the next one may find no room beside it."""
    latest = window(most_size=6)
    latest.put(publication("a", 1))
    latest.put(publication("b", 2, size=50))
    assert latest.waiting == 2
    latest.put(publication("c", 3))
    assert take_all(latest) == [2, ("c", b"\3")]


def test_gaps_are_one_and_told_early() -> None:
    """What the bus dropped is one gap, which stays where it began."""
    latest = window()
    latest.put(publication("a", 1))
    latest.put_gap(5)
    latest.put(publication("b", 2))
    latest.put_gap(7)
    assert take_all(latest) == [("a", b"\1"), 12, ("b", b"\2")]


arrivals = st.lists(
    st.one_of(
        st.tuples(st.just("message"), st.sampled_from("abcdef")),
        st.tuples(st.just("run"), st.sampled_from("abcdef")),
        st.tuples(st.just("gap"), st.just("")),
        st.tuples(st.just("take"), st.just("")),
    ),
    max_size=60,
)


@given(arrivals, st.integers(1, 4))
def test_every_message_is_given_or_replaced_or_in_a_gap(steps: list[tuple[str, str]], most: int) -> None:
    """Whatever arrives, what is given is in order, and what is not given was replaced or is part of a gap."""
    latest = window(most)
    number = lost = 0
    newest: dict[str, int] = {}
    given_out: list[int] = []

    def take() -> int:
        item = latest.take()
        if isinstance(item, Lagged):
            return item.dropped or 0
        assert isinstance(item.payload, bytes)
        given_out.append(int(item.payload))
        return 0

    for kind, topic in steps:
        if kind == "message":
            number += 1
            latest.put(Publication(topic, b"%d" % number))
            newest[topic] = number
        elif kind == "run":
            latest.put_run(Run(topic, [b"%d" % n for n in (number + 1, number + 2)]))
            number += 2
            newest[topic] = number
        elif kind == "gap":
            lost -= 1
            latest.put_gap(1)
        elif latest.waiting:
            lost += take()
        assert latest.waiting <= most + 1
    while latest.waiting:
        lost += take()
    assert given_out == sorted(given_out)
    assert len(given_out) + latest.replaced + lost == number
    if len(newest) <= most:
        assert set(newest.values()) <= set(given_out)
