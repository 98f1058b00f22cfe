"""Fuzz topics: the grammar, the two relations between topics, and the tree that finds who listens."""

from __future__ import annotations

from contextlib import suppress

from harness import fuzz
from t2bus.topic import (
    InvalidTopic,
    TopicTooBroad,
    TopicTree,
    explain,
    includes,
    intersects,
    is_concrete,
    validate,
)

SEEDS = [
    *(b"a\na", b"oven/heat\noven/*", b"oven/**\n**/status", b"**\n**", b"*/*/**\na/**/b", b"a/**/*/**/b\n**/a/*/b"),
    *(b"A/b\n", b"a//b\n/", b"a/**b\n***", b"\xff\n\0", b"/".join([b"**"] * 16) + b"\n" + b"/".join([b"*"] * 16)),
    *(b"a_0/z9\na_0/*\na/**\n**", b"x" * 256 + b"\n" + b"x" * 257),
]

STEPS = 1000
"""Of matching: so few that a tree of an input can be too broad."""


def run(data: bytes) -> None:
    """Look at each line as a topic, at its relations to the first valid one, and at a tree of all."""
    topics = []
    for line in data.decode("latin-1").split("\n"):
        with suppress(InvalidTopic):
            topics.append(validate(line))
    if not topics:
        return
    tree = TopicTree[int](steps=STEPS, cache=2)
    for number, topic in enumerate(topics):
        tree.add(topic, number)
    first = topics[0]
    for topic in topics:
        meets = intersects(first, topic)
        assert meets is intersects(topic, first), "to intersect is symmetric"
        assert explain(first, topic).startswith("match") is meets
        if includes(first, topic):
            assert meets, "what includes a topic intersects it"
        if is_concrete(topic):
            assert meets is includes(first, topic), "a concrete topic is met as a whole"
    with suppress(TopicTooBroad):
        assert tree.match(first) == {number for number, topic in enumerate(topics) if intersects(first, topic)}
    for number, topic in enumerate(topics):
        tree.discard(topic, number)
    assert not len(tree)


if __name__ == "__main__":
    fuzz(run, SEEDS)
