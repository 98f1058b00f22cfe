"""The matcher of :mod:`t2bus.topic` against two others: one that is obviously correct, and Zenoh's.

The obviously correct one works on words. A fragment is one letter: ``a``, ``b``, or ``z`` for any that the patterns do
not name; one such letter is enough, since no pattern can tell two of them apart. A pattern is a regular expression
over words, in which ``*`` is ``.`` and ``**`` is ``.*``.

How long must words be? A shortest word in two patterns has no letter that both read with ``**``, for it could be left
out; so patterns of *m* and *n* fragments meet in at most *m + n* letters, and in less when one of the fragments is
a ``**``: patterns without it only have words of their own length. For up to 4 fragments that leaves 3 + 3.
Inclusion is refuted, if at all, by a word whose wildcards stand for ``z`` only, since any other letter can but help the
including pattern; and a run of ``z`` with one letter more than this pattern has fragments is as good as any longer one,
for in both the pattern can only have gone round in a ``**``.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pure_helpers import steady
from t2bus.errors import TopicTooBroad
from t2bus.topic import TopicTree, includes, intersects, is_concrete, main, validate

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH = 4
PATTERNS = ["/".join(word) for n in range(1, DEPTH + 1) for word in itertools.product(["a", "b", "*", "**"], repeat=n)]
PAIRS = [(a, b) for a in PATTERNS for b in PATTERNS]
WORDS = ["".join(letters) for n in range(2 * (DEPTH - 1) + 1) for letters in itertools.product("abz", repeat=n)]

topics = st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=6).map("/".join)


@cache
def regex(pattern: str) -> re.Pattern[str]:
    """Write a pattern as the regular expression of its words."""
    return re.compile("".join({"*": ".", "**": ".*"}.get(fragment, fragment) for fragment in pattern.split("/")))


@cache
def hardest_words(pattern: str, run: int) -> frozenset[str]:
    """Return the words of a pattern whose wildcards stand for ``z``, up to ``run`` of them for each ``**``."""
    choices = {"*": ["z"], "**": ["z" * n for n in range(run + 1)]}
    words = {""}
    for fragment in pattern.split("/"):
        words = {word + choice for word in words for choice in choices.get(fragment, [fragment])}
    return frozenset(words - {""})  # no concrete topic is empty


def truly_includes(a: str, b: str) -> bool:
    """Decide inclusion by words."""
    return all(regex(a).fullmatch(word) for word in hardest_words(b, a.count("/") + 2))


def words_of(pattern: str) -> int:
    """Return the set of short words in a pattern, as the bits of an int."""
    return sum(1 << i for i, word in enumerate(WORDS) if regex(pattern).fullmatch(word))


class ZenohRelations(NamedTuple):
    """The same two relations, as Zenoh decides them."""

    intersects: Callable[[str, str], bool]
    includes: Callable[[str, str], bool]


@pytest.fixture(scope="module")
def zenoh() -> ZenohRelations:
    """Give Zenoh's relations; where it is not installed, the tests that ask it are skipped."""
    key = cache(pytest.importorskip("zenoh").KeyExpr.autocanonize)
    return ZenohRelations(lambda a, b: key(a).intersects(key(b)), lambda a, b: key(a).includes(key(b)))


@cache
def intersecting() -> frozenset[tuple[str, str]]:
    """Return the pairs that intersect, computed once for all tests."""
    return frozenset(pair for pair in PAIRS if intersects(*pair))


@cache
def including() -> frozenset[tuple[str, str]]:
    """Return the pairs of which the first includes the second."""
    return frozenset(pair for pair in PAIRS if includes(*pair))


class TestAllSmallPatterns:
    """All 115,600 pairs of patterns of up to four fragments."""

    def test_intersects_is_exact(self) -> None:
        """Two patterns intersect exactly when they have a word in common."""
        words = {pattern: words_of(pattern) for pattern in PATTERNS}
        assert intersecting() == {(a, b) for a, b in PAIRS if words[a] & words[b]}

    def test_intersects_agrees_with_zenoh(self, zenoh: ZenohRelations) -> None:
        """Two patterns intersect exactly when Zenoh says so."""
        assert intersecting() == {(a, b) for a, b in PAIRS if zenoh.intersects(a, b)}

    def test_intersects_is_symmetric(self) -> None:
        """The order of the arguments does not matter."""
        assert intersecting() == {(b, a) for a, b in intersecting()}

    def test_includes_is_exact(self) -> None:
        """One pattern includes another exactly when it matches all words of the other, and then they intersect."""
        assert including() == {pair for pair in PAIRS if truly_includes(*pair)}
        assert including() <= intersecting()

    def test_includes_is_wider_than_zenoh(self, zenoh: ZenohRelations) -> None:
        """Zenoh never includes more, and less only where a pattern with ``*`` beside ``**`` includes a ``**``."""
        narrower = {pair for pair in PAIRS if zenoh.includes(*pair)}
        assert narrower <= including()
        missed = including() - narrower
        assert len(missed) == 2258
        assert all("**" in b and ("/*/**/" in f"/{a}/" or "/**/*/" in f"/{a}/") for a, b in missed)


class TestProperties:
    """What holds for patterns of any size."""

    @given(a=topics, b=topics)
    def test_example_is_of_both(self, a: str, b: str) -> None:
        """The example of a common topic is one, and is missing exactly where the topics do not intersect."""
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = main([a, b])
        found = re.fullmatch(r"match: both hold '(.*)'; .*\n", said.getvalue())
        assert (found is not None) is (code == 0) is intersects(a, b)
        if found is not None:
            example = found[1]
            assert is_concrete(validate(example, depth=12))
            word = example.replace("/", "").replace("x", "z")
            assert regex(a).fullmatch(word)
            assert regex(b).fullmatch(word)

    @given(topic=topics)
    def test_reflexive(self, topic: str) -> None:
        """Each topic intersects and includes itself, and is included by ``**``."""
        assert intersects(topic, topic)
        assert includes(topic, topic)
        assert includes("**", topic)

    @given(a=topics, b=topics)
    def test_inclusion_is_exact(self, a: str, b: str) -> None:
        """What is included is so word by word, and intersects."""
        assert includes(a, b) is truly_includes(a, b)
        assert intersects(a, b) or not includes(a, b)

    @given(a=topics, b=topics, c=topics)
    def test_inclusion_is_transitive(self, a: str, b: str, c: str) -> None:
        """What a topic includes meets all that the topic is included by."""
        if includes(a, b) and includes(b, c):
            assert includes(a, c)

    @given(a=topics, word=st.text("abz", min_size=1, max_size=8))
    def test_concrete_topics_are_decided_exactly(self, a: str, word: str) -> None:
        """For a concrete topic to match, to intersect and to be included are the same."""
        concrete = "/".join(word)
        assert intersects(a, concrete) is includes(a, concrete) is (regex(a).fullmatch(word) is not None)

    @given(text=st.text("abAB*/\n \u00e9", max_size=12))
    def test_grammar(self, text: str) -> None:
        """A text is valid exactly when all its fragments are."""
        legal = all(re.fullmatch(r"[a-z0-9_]+|\*|\*\*", fragment) for fragment in text.split("/"))
        try:
            assert validate(text) == text
        except ValueError:
            assert not legal
        else:
            assert legal

    @given(pairs=st.lists(st.tuples(topics, st.integers(0, 5)), max_size=30), published=topics)
    def test_tree_matches_what_intersects(self, pairs: list[tuple[str, int]], published: str) -> None:
        """A tree finds the values of exactly the topics that intersect."""
        tree = TopicTree[int]()
        for pair in pairs:
            tree.add(*pair)
        assert tree.match(published) == {value for topic, value in pairs if intersects(topic, published)}
        assert len(tree) == len(set(pairs))


class TreeMachine(RuleBasedStateMachine):
    """A tree beside a set of pairs that is searched from end to end."""

    @initialize(cache=st.integers(0, 4))
    def start(self, cache: int) -> None:
        """Begin empty, with a cache so small that it overflows."""
        self.tree = TopicTree[int](cache=cache)
        self.pairs: set[tuple[str, int]] = set()
        self.done: list[tuple[str, str, int]] = []

    @rule(topic=topics, value=st.integers(0, 3))
    def add(self, topic: str, value: int) -> None:
        """Add a pair to both."""
        self.tree.add(topic, value)
        self.done.append(("add", topic, value))
        self.pairs.add((topic, value))

    @rule(topic=topics, value=st.integers(0, 3))
    def discard(self, topic: str, value: int) -> None:
        """Discard a pair, most likely absent, from both."""
        self.tree.discard(topic, value)
        self.done.append(("discard", topic, value))
        self.pairs.discard((topic, value))

    @rule(data=st.data())
    def discard_present(self, data: st.DataObject) -> None:
        """Discard a pair that is there from both."""
        if self.pairs:
            self.discard(*data.draw(st.sampled_from(sorted(self.pairs))))

    @rule(topic=topics | st.sampled_from(["a", "b", "a/b", "b/a"]))
    def match(self, topic: str) -> None:
        """Find the same in both, twice, so that the second may come from the cache."""
        expected = {value for stored, value in self.pairs if intersects(stored, topic)}
        assert self.tree.match(topic) == self.tree.match_cached(topic) == expected

    @invariant()
    def counted(self) -> None:
        """Both are of the same size."""
        assert len(self.tree) == len(self.pairs)

    @invariant()
    def pruned(self) -> None:
        """What ``**`` has to look at are exactly the beginnings of stored topics, so no empty node remains."""
        stored = {topic for topic, _ in self.pairs}
        begun = {"/".join(topic.split("/")[:n]) for topic in stored for n in range(1, topic.count("/") + 2)}
        assert self.done_again(steps=len(begun)).match("**") == {value for _, value in self.pairs}
        if begun:
            with pytest.raises(TopicTooBroad):
                self.done_again(steps=len(begun) - 1).match("**")

    def done_again(self, steps: int) -> TopicTree[int]:
        """Return another tree with the same history, in which a match may look at so many fragments."""
        tree = TopicTree[int](steps=steps)
        for name, topic, value in self.done:
            getattr(tree, name)(topic, value)
        return tree


TreeMachine.TestCase.settings = steady(60, 40)
TestTreeMachine = TreeMachine.TestCase
