"""The counts of topics: which ones stay where there are more topics than counts."""

from __future__ import annotations

from t2bus.broker.topic_counts import TopicCounts


def counted(number: int) -> TopicCounts:
    """So many topics, each published to once, and no room for one more."""
    counts = TopicCounts(number)
    for each in range(number):
        count, forgotten = counts.of(f"t{each}")
        assert forgotten is None
        count.add(1, 1, 0.0)
    return counts


def test_the_oldest_that_nobody_publishes_to_goes() -> None:
    """A topic that was published to since it was the oldest stays, and the next one goes."""
    counts = counted(3)
    assert counts.of("first")[1] == "t0"
    counts.of("t1")[0].add(1, 1, 0.0)
    assert counts.of("second")[1] == "t2"
    assert counts.of("t1")[0].messages == 2


def test_one_new_topic_looks_at_a_few_others() -> None:
    """Where all are published to all the time one of the oldest goes all the same: to look at all takes too long."""
    counts = counted(1000)
    assert counts.of("new")[1] == "t8"
