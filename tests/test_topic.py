"""What :mod:`t2bus.topic` promises, fact by fact; its agreement with other matchers is in test_topic_properties."""

from __future__ import annotations

import itertools
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import t2bus
from pure_helpers import calls_into
from t2bus import topic as topics
from t2bus.errors import BusError, InvalidTopic, TopicTooBroad
from t2bus.topic import TopicTree, includes, intersects, is_concrete, main, validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HOSTILE = "/".join(["**"] * 24)
ALTERNATING = "/".join(["**", "a"] * 12)
WIDE_OPEN = {"length": 1 << 20, "depth": 64}


def steps_of(call: Callable[[], object]) -> int:
    """Count the functions of :mod:`t2bus.topic` that a call runs: one for each fragment that is matched, and a few."""
    return calls_into(topics, call)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the module, and nothing else, to a folder of its own."""
    return Path(shutil.copy(topics.__file__, tmp_path))


def run_alone(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script with the standard library and what lies beside it: ``-I`` and ``-S`` keep all else away."""
    command = [sys.executable, "-I", "-S", str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def stored_by(steps: int, done: Iterable[tuple[str, str, int]]) -> TopicTree[int]:
    """Return a tree to which all this was done, in which ``**`` may look at so many fragments."""
    tree = TopicTree[int](steps=steps)
    for name, topic, value in done:
        getattr(tree, name)(topic, value)
    return tree


class TestValidate:
    """The grammar and its refusals."""

    @pytest.mark.parametrize(
        "text", ["a", "a/b", "*", "**", "0_z/9", "**/**", "*/**/a", "_", "x" * 256, "/".join("a" * 16)]
    )
    def test_legal(self, text: str) -> None:
        """A topic of the grammar and within the limits is returned as it is."""
        assert validate(text) is text

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", r"the topic is empty: name at least one fragment"),
            ("/", r"fragment 1 of topic '/' is empty: take out the extra '/'"),
            ("/a", r"fragment 1 of topic '/a' is empty"),
            ("a/", r"fragment 2 of topic 'a/' is empty"),
            ("a//b", r"fragment 2 of topic 'a//b' is empty"),
            ("a/B", r"fragment 2 of topic 'a/B' has 'B' in it: use a-z, 0-9 and _ only"),
            ("a/b-c", r"fragment 2 of topic 'a/b-c' has '-' in it"),
            ("a b", r"fragment 1 of topic 'a b' has ' ' in it"),
            ("a\n", r"fragment 1 of topic 'a\\n' has '\\n' in it"),
            ("a\n/b", r"fragment 1 of topic 'a\\n/b' has '\\n' in it"),
            ("caf\u00e9", r"fragment 1 of topic 'caf\u00e9' has '\u00e9' in it"),
            ("\u0663", r"fragment 1 of topic '\u0663' has '\u0663' in it"),
            ("a/\x00", r"fragment 2 of topic 'a/\\x00' has '\\x00' in it"),
            ("a/\ud800", r"fragment 2 of topic 'a/\\ud800' has '\\ud800' in it"),
            ("a*", r"fragment 1 of topic 'a\*' mixes a wildcard with something else: let '\*' or '\*\*' stand alone"),
            ("a/***", r"fragment 2 of topic 'a/\*\*\*' mixes a wildcard"),
            ("x" * 257, r"has 257 characters where 256 are allowed: shorten it"),
            ("x" * 255 + "A", r"has 'A' in it"),
            ("/".join("a" * 15 + "A"), r"fragment 16 of topic 'a/.*' has 'A' in it"),
            ("/".join("a" * 17), r"has 17 fragments where 16 are allowed: use fewer '/'"),
        ],
    )
    def test_illegal(self, text: str, says: str) -> None:
        """Any other text is refused, saying what is wrong, where, and how to mend it."""
        with pytest.raises(InvalidTopic, match=says):
            validate(text)

    @pytest.mark.parametrize("value", [b"a", None, 1, ["a"], b"a" * 1000])
    def test_not_text(self, value: object) -> None:
        """A value that is not text raises ``TypeError``."""
        with pytest.raises(TypeError, match=rf"a topic is a str, not {type(value).__name__}"):
            validate(value)  # type: ignore[arg-type]

    def test_limits_are_arguments(self) -> None:
        """Both limits may be moved, and hold exactly where they are put."""
        assert validate("a/b/c", length=5, depth=3) == "a/b/c"
        with pytest.raises(InvalidTopic, match="5 characters where 4"):
            validate("a/b/c", length=4)
        with pytest.raises(InvalidTopic, match="3 fragments where 2"):
            validate("a/b/c", depth=2)

    @pytest.mark.parametrize("text", ["a" * (1 << 20), "a/" * 500_000, "\U000e0001" * (1 << 20), "\x00" * 79])
    def test_the_text_is_short(self, text: str) -> None:
        """However long or odd a topic is, no more than 80 characters of it are echoed, escaped."""
        with pytest.raises(InvalidTopic) as caught:
            validate(text)
        assert len(str(caught.value)) < 80 + 80
        assert str(caught.value).isprintable()

    def test_length_comes_first(self) -> None:
        """A topic that is too long is refused by its length, whatever else is wrong with it."""
        with pytest.raises(InvalidTopic, match="1048576 characters"):
            validate("/" * (1 << 20))

    def test_concrete(self) -> None:
        """A topic is concrete when it has no wildcard."""
        assert is_concrete("a/b")
        assert not is_concrete("a/*")
        assert not is_concrete("**")


class TestRelations:
    """Where intersection and inclusion are easy to get wrong."""

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            ("a/b", "a/b"),
            ("a/**", "a"),
            ("**/*", "a/b"),  # missed by the Rust original
            ("**/a", "a"),
            ("**/a", "a/b/a"),
            ("a/**/b", "a/b"),
            ("a/**/b", "**/a/b"),
            ("a/*", "*/b"),
            ("a/**", "**/b"),
            ("**", "**"),
            ("*/**", "**"),
            ("**/*/**", "a"),
            ("a/**/**/b", "a/b"),
        ],
    )
    def test_intersecting(self, a: str, b: str) -> None:
        """These have a concrete topic in common, in either order."""
        assert intersects(a, b)
        assert intersects(b, a)

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            ("a", "b"),
            ("a", "a/b"),
            ("a/*", "a"),
            ("**/a", "a/**/b"),  # matched by the Rust original, though one ends with a and the other with b
            ("*/*", "a"),
            ("*/*/**", "a"),
            ("a/**", "b/**"),
            ("a/*/b", "a/b"),
        ],
    )
    def test_disjoint(self, a: str, b: str) -> None:
        """These have none, in either order."""
        assert not intersects(a, b)
        assert not intersects(b, a)

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            ("a", "a"),
            ("a/**", "a"),
            ("**", "*/**"),
            ("*/**", "**/*"),
            ("**/*", "*/**"),
            ("**/**", "**"),
            ("*/**", "a/**/b"),
            ("*/**", "**"),  # no concrete topic is empty
            ("*/**", "**/a"),
            ("*/*/**", "**/a/**/b"),
            ("**/a/*/**", "**/a/**/b"),
        ],
    )
    def test_including(self, a: str, b: str) -> None:
        """Every concrete topic of the second matches the first."""
        assert includes(a, b)

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            ("a", "a/**"),
            ("*", "**"),
            ("a/*", "a"),
            ("a/**", "**"),
            ("a", "*"),
            ("*/a", "*/*"),
            ("*/*/**", "**"),
            ("*/*/**", "**/a"),
            ("**/a/*", "**/a/**"),
            ("**/a/*/b", "**/a/**/b"),
        ],
    )
    def test_not_including(self, a: str, b: str) -> None:
        """Some concrete topic of the second does not match the first, or they only intersect."""
        assert not includes(a, b)

    @pytest.mark.parametrize("relation", [intersects, includes])
    @pytest.mark.parametrize(
        ("a", "b"), [("A", "a"), ("a", "A"), ("a/" * 500_000, "a"), ("**", HOSTILE), ("a", "x" * (1 << 20))]
    )
    def test_arguments_are_validated(self, relation: Callable[[str, str], bool], a: str, b: str) -> None:
        """Neither relation works on an invalid topic, whichever argument it is; so hostile ones cost nothing."""
        with pytest.raises(InvalidTopic):
            relation(a, b)

    @pytest.mark.parametrize("a", [HOSTILE, ALTERNATING, ALTERNATING + "/b"])
    @pytest.mark.parametrize("b", [HOSTILE, ALTERNATING, ALTERNATING + "/c"])
    def test_work_is_linear(self, a: str, b: str) -> None:
        """With the limits raised, 24 ``**`` on both sides still cost one step for each fragment of one of them."""
        assert intersects(a, b, **WIDE_OPEN) is (HOSTILE in (a, b) or a[-1] == b[-1])
        least = steps_of(lambda: intersects(a, "a", **WIDE_OPEN))
        assert steps_of(lambda: intersects(a, b, **WIDE_OPEN)) - least == b.count("/")
        assert steps_of(lambda: includes(a, b, **WIDE_OPEN)) - least <= b.count("/")


class TestTree:
    """Storing and finding."""

    def test_pairs_are_a_set(self) -> None:
        """A pair counts once however often it is added, and each topic and value pair by itself."""
        tree = TopicTree[int]()
        for pair in [("a", 1), ("a", 1), ("a", 2), ("**/*", 1), ("*/**", 1)]:
            tree.add(*pair)
        assert len(tree) == 4

    def test_discarding_what_is_not_there(self) -> None:
        """Discarding an absent topic, a mere prefix of one, or an absent value changes nothing."""
        tree = TopicTree[int]()
        tree.add("a/b", 1)
        for pair in [("x", 1), ("a", 1), ("a/b/c", 1), ("a/b", 2)]:
            tree.discard(*pair)
        assert len(tree) == 1
        assert tree.match("a/b") == {1}

    def test_equivalent_spellings_are_stored_apart(self) -> None:
        """Two spellings of one set of topics match alike, but each is discarded by its own name."""
        tree = TopicTree[int]()
        tree.add("**/*", 1)
        tree.discard("*/**", 1)
        assert tree.match("a/b") == tree.match("*/*") == {1}

    @pytest.mark.parametrize("published", ["a", "*", "**", "a/**", "**/a", "**/**/a"])
    def test_either_side_may_have_wildcards(self, published: str) -> None:
        """A stored ``a/**`` is found by all that intersect it, also by the ``a`` it starts with."""
        tree = TopicTree[int]()
        tree.add("a/**", 1)
        tree.add("b", 2)
        assert 1 in tree.match(published)

    def test_match_is_the_callers_own(self) -> None:
        """The set that match returns may be changed without harm."""
        tree = TopicTree[int]()
        tree.add("a", 1)
        tree.match("a").clear()
        assert tree.match("a") == {1}

    def test_pruned_when_emptied(self) -> None:
        """No node stays that has neither values nor children, whatever the order of discards."""
        pairs = [("/".join(word), value) for word in itertools.product("ab", ["*", "**", "c"]) for value in (1, 2)]
        pairs += [("a", 1), ("a/c/d/e", 1)]
        added = [("add", *pair) for pair in pairs]
        for order in (pairs, pairs[::-1], sorted(pairs, key=hash)):
            for count in range(len(order) + 1):
                done = added + [("discard", *pair) for pair in order[:count]]
                words = [topic.split("/") for topic, _ in order[count:]]
                left = len({tuple(word[:n]) for word in words for n in range(1, len(word) + 1)})
                assert stored_by(left, done).match("**") == {value for _, value in order[count:]}
                if left:
                    with pytest.raises(TopicTooBroad):
                        stored_by(left - 1, done).match("**")

    @pytest.mark.parametrize("bad", ["", "a/" * 500_000, "x" * (1 << 20), HOSTILE])
    def test_every_entrance_validates(self, bad: str) -> None:
        """An invalid topic is neither added, discarded nor matched."""
        tree = TopicTree[int](steps=0)
        for call in (lambda: tree.add(bad, 1), lambda: tree.discard(bad, 1), lambda: tree.match(bad)):
            with pytest.raises(InvalidTopic):
                call()
        assert tree.match("**") == set()

    def test_limits_are_the_trees_own(self) -> None:
        """A tree may be built for longer and deeper topics than are usual."""
        tree = TopicTree[int](**WIDE_OPEN)
        tree.add(HOSTILE, 1)
        assert tree.match("/".join(["a"] * 40)) == {1}

    def test_a_value_that_cannot_be_stored_leaves_nothing(self) -> None:
        """An unhashable value raises before any node is made for it."""
        tree = TopicTree[int](steps=0)
        with pytest.raises(TypeError):
            tree.add("a/b", [])  # type: ignore[arg-type]
        assert tree.match("**") == set()


class TestBudget:
    """What a match may cost."""

    def test_broad_publication_is_refused(self) -> None:
        """Publishing ``**`` to 100,000 stored topics would visit them all, and is refused with advice."""
        tree = TopicTree[int]()
        for value in range(100_000):
            tree.add(f"a/{value % 1000}/c{value}", value)
        with pytest.raises(TopicTooBroad, match=r"topic '\*\*' meets more than 50000 .* publish to a narrower topic"):
            tree.match("**")
        assert tree.match("a/*/c5") == {5}
        assert tree.match("a/5/**") == set(range(5, 100_000, 1000))

    def test_budget_counts_stored_fragments(self) -> None:
        """The budget is exact: one step for each stored fragment below what the topic reaches."""
        pairs = [("a/b", 1), ("a/c", 2), ("d", 3)]
        exact, short = TopicTree[int](steps=4), TopicTree[int](steps=3)
        for pair in pairs:
            exact.add(*pair)
            short.add(*pair)
        assert exact.match("**") == {1, 2, 3}
        with pytest.raises(TopicTooBroad):
            short.match("**")

    def test_a_refusal_leaves_the_tree_usable(self) -> None:
        """A publication that was too broad changes nothing for the next."""
        tree = TopicTree[int](steps=1)
        tree.add("a/b", 1)
        for _ in range(2):
            with pytest.raises(TopicTooBroad):
                tree.match("**")
            assert tree.match("a/b") == {1}

    def test_concrete_publication_is_never_refused(self) -> None:
        """A publisher who could not narrow the topic is not refused for what others subscribed to."""
        tree = TopicTree[int](steps=0)
        for value, word in enumerate(itertools.product("a*", repeat=8)):
            tree.add("/".join(word), value)
        assert tree.match("/".join("a" * 8)) == set(range(256))

    @pytest.mark.parametrize("published", ["/".join("a" * 6), "/".join(["a", "**"] * 3), "**/a/**/a", "*/**/*/**"])
    def test_no_node_is_read_twice(self, published: str) -> None:
        """In a tree of nothing but overlapping wildcards the work is at most two reads for each stored fragment."""
        stored_fragments = sum(3**depth for depth in range(1, 7))
        tree = TopicTree[str](steps=stored_fragments)
        for word in itertools.product(["a", "*", "**"], repeat=6):
            tree.add("/".join(word), "/".join(word))
        expected = {
            stored
            for word in itertools.product(["a", "*", "**"], repeat=6)
            if intersects(stored := "/".join(word), published)
        }
        assert steps_of(lambda: tree.match(published)) <= 2 * stored_fragments
        assert tree.match(published) == expected

    @pytest.mark.parametrize("stored", [HOSTILE, ALTERNATING])
    @pytest.mark.parametrize("published", [HOSTILE, ALTERNATING, "/".join("a" * 60)])
    def test_hostile_topics_cost_their_length(self, stored: str, published: str) -> None:
        """24 ``**`` on both sides, with the depth limit raised, match within one step for each stored fragment."""
        tree = TopicTree[int](steps=24, **WIDE_OPEN)
        tree.add(stored, 1)
        assert tree.match(published) == {1}


class TestCache:
    """What is kept, and what a change drops."""

    @pytest.fixture
    def tree(self) -> TopicTree[int]:
        """Give a tree of one concrete and one wildcard topic."""
        tree = TopicTree[int]()
        tree.add("a", 1)
        tree.add("**/b", 2)
        return tree

    def test_hit_is_identical(self, tree: TopicTree[int]) -> None:
        """An unchanged tree answers a concrete topic with the identical object, also when nobody listens."""
        for topic in ("a", "a/b", "nobody/here"):
            assert tree.match_cached(topic) is tree.match_cached(topic)
        assert tree.match_cached("a") == {1}

    def test_a_hit_is_not_validated_and_reads_nothing(self, tree: TopicTree[int]) -> None:
        """A cached topic costs one call, which neither validates nor matches."""
        tree.match("a")
        assert steps_of(lambda: tree.match_cached("a")) == 1
        assert tree.match_cached("a") == {1}

    def test_wildcards_are_not_cached(self, tree: TopicTree[int]) -> None:
        """A published wildcard is answered afresh, so it always sees the last change."""
        assert tree.match_cached("*") == {1, 2}
        tree.add("c", 3)
        assert tree.match_cached("*") == {1, 2, 3}

    @pytest.mark.parametrize("change", ["add", "discard"])
    def test_concrete_change_drops_its_own_topic_only(self, tree: TopicTree[int], change: str) -> None:
        """Adding or discarding a concrete topic is seen at once, and leaves other topics' results identical."""
        own, other = tree.match_cached("a"), tree.match_cached("a/b")
        getattr(tree, change)("a", 3 if change == "add" else 1)
        assert tree.match_cached("a") == ({1, 3} if change == "add" else set())
        assert tree.match_cached("a") is not own
        assert tree.match_cached("a/b") is other

    @pytest.mark.parametrize("change", ["add", "discard"])
    def test_wildcard_change_drops_all(self, tree: TopicTree[int], change: str) -> None:
        """Adding or discarding a topic with wildcards is seen at once by every topic."""
        tree.match("a"), tree.match("a/b")
        getattr(tree, change)("**/b", 3 if change == "add" else 2)
        assert tree.match_cached("a/b") == ({2, 3} if change == "add" else set())
        assert tree.match_cached("a") == {1}

    @pytest.mark.parametrize("call", [("add", "a", 1), ("add", "**/b", 2), ("discard", "a", 9), ("discard", "*", 9)])
    def test_no_change_drops_nothing(self, tree: TopicTree[int], call: tuple[str, str, int]) -> None:
        """Adding what is there and discarding what is not keep every result."""
        before = tree.match_cached("a"), tree.match_cached("a/b")
        name, *pair = call
        getattr(tree, name)(*pair)
        assert tree.match_cached("a") is before[0]
        assert tree.match_cached("a/b") is before[1]

    def test_oldest_goes_first(self) -> None:
        """A full cache drops its oldest topic for a new one."""
        tree = TopicTree[int](cache=2)
        tree.add("**", 1)
        a, b = tree.match_cached("a"), tree.match_cached("b")
        tree.match_cached("c")
        assert tree.match_cached("b") is b
        assert tree.match_cached("a") is not a

    def test_values_are_bounded_too(self) -> None:
        """Results of many values push older ones out before there are too many topics, down to a single result."""
        tree = TopicTree[int](cache=2)
        for value in range(100):
            tree.add("**", value)
        a, b = tree.match_cached("a"), tree.match_cached("b")
        assert tree.match_cached("b") is b
        assert tree.match_cached("a") is not a
        for value in range(100, 200):
            tree.add("**", value)
        assert tree.match_cached("b") is tree.match_cached("b")
        assert a == b == set(range(100))

    def test_the_count_of_values_is_exact(self) -> None:
        """However results come and go, as many values are kept as may be, and not one more."""
        tree = TopicTree[int](cache=3)
        for topic, value in itertools.product("xyz", range(64)):
            tree.add(topic, value)
        for value in range(20):
            tree.add(f"a{value % 5}", value)
            tree.match("a1"), tree.match(f"a{value % 4}"), tree.match("b")
            tree.discard(f"a{value % 3}", value - 3)
            for topic in "pqr":  # results without values push all others out
                tree.match(topic)
            x, y, z = map(tree.match_cached, "xyz")  # 3 times 64 values: all that a cache of 3 topics holds
            assert tree.match_cached("x") is x
            assert tree.match_cached("y") is y
            assert tree.match_cached("z") is z
            tree.add("z", 64)
            tree.match("z")
            assert tree.match_cached("y") is y
            assert tree.match_cached("x") is not x
            tree.discard("z", 64)
            if value % 7 == 0:
                tree.add("*", value)
                tree.discard("*", value)

    def test_no_cache(self) -> None:
        """A cache of no topics keeps nothing and answers all the same."""
        tree = TopicTree[int](cache=0)
        tree.add("a", 1)
        first = tree.match_cached("a")
        assert tree.match_cached("a") == first == {1}
        assert tree.match_cached("a") is not first


class TestCommandLine:
    """``python -m t2bus.topic SUB PUB``."""

    @pytest.mark.parametrize(
        ("sub", "pub", "says"),
        [
            ("a/**", "a", "match: both hold 'a'; SUB includes PUB\n"),
            ("a", "**", "match: both hold 'a'; PUB includes SUB\n"),
            ("**", "**", "match: both hold 'x'; each includes the other\n"),
            ("*/**", "**", "match: both hold 'x'; each includes the other\n"),
            ("a/*", "*/b", "match: both hold 'a/b'; neither includes the other\n"),
        ],
    )
    def test_match(self, capsys: pytest.CaptureFixture[str], sub: str, pub: str, says: str) -> None:
        """Topics that intersect are shown a concrete topic of both, and which includes which."""
        assert main([sub, pub]) == 0
        assert capsys.readouterr() == (says, "")

    @pytest.mark.parametrize(
        ("sub", "pub", "says"),
        [
            ("a/b", "a/c/d", "no match: SUB has nothing for fragment 2 of PUB, 'c'\n"),
            ("a/b", "a", "no match: SUB cannot end where PUB ends\n"),
            ("**/a", "a/**/b", "no match: SUB cannot end where PUB ends\n"),
        ],
    )
    def test_no_match(self, capsys: pytest.CaptureFixture[str], sub: str, pub: str, says: str) -> None:
        """Topics that do not intersect are told where they part."""
        assert main([sub, pub]) == 1
        assert capsys.readouterr() == (says, "")

    @pytest.mark.parametrize("arguments", [["A", "b"], ["a", "B"]])
    def test_invalid_topic(self, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
        """An invalid topic is reported on standard error."""
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert (out, err[:20]) == ("", "python -m t2bus.topi")
        assert "use a-z, 0-9 and _ only" in err

    def test_usage(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A missing argument is a usage error."""
        with pytest.raises(SystemExit) as caught:
            main(["a"])
        assert caught.value.code == 2
        assert "usage: python -m t2bus.topic" in capsys.readouterr().err

    def test_as_a_program(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Run as a program, the module exits with the status of main."""
        monkeypatch.setattr(sys, "argv", ["topic", "a/**", "a/b"])
        monkeypatch.delitem(sys.modules, "t2bus.topic")
        with pytest.raises(SystemExit) as caught:
            runpy.run_module("t2bus.topic", run_name="__main__")
        assert caught.value.code == 0
        assert capsys.readouterr().out == "match: both hold 'a/b'; SUB includes PUB\n"

    def test_a_copy_is_called_by_its_own_name(self, copy: Path) -> None:
        """A copy explains pairs too, with the same exit codes, and calls itself by the name of its file."""
        runs = [run_alone(copy, *pair) for pair in (("a/*", "a/b"), ("a", "b"), ("a", "B"))]
        assert [(run.returncode, run.stdout) for run in runs] == [
            (0, "match: both hold 'a/b'; SUB includes PUB\n"),
            (1, "no match: SUB has nothing for fragment 1 of PUB, 'b'\n"),
            (2, ""),
        ]
        assert runs[2].stderr == "topic.py: fragment 1 of topic 'B' has 'B' in it: use a-z, 0-9 and _ only\n"


USES_A_COPY = """
import sys
sys.path.insert(0, sys.argv[1])
import topic
tree = topic.TopicTree(steps=1)
for name in ("a", "b/**"):
    tree.add(topic.validate(name), name)
assert tree.match("b") == {"b/**"} and topic.intersects("a/*", "*/b") and not topic.includes("a", "*")
for call, error in ((lambda: topic.validate("A"), topic.InvalidTopic), (lambda: tree.match("**"), topic.TopicTooBroad)):
    try:
        call()
    except topic.BusError as raised:
        assert type(raised) is error
    else:
        raise AssertionError(error)
modules = {name.partition(".")[0] for name in sys.modules}
print(*sorted(modules - sys.stdlib_module_names))
"""


class TestAlone:
    """The module beside the rest of t2bus, and without it."""

    def test_a_copy_works_in_another_project(self, copy: Path) -> None:
        """The file alone, in a folder of another project, has the grammar, the relations, the tree and their errors."""
        script = copy.with_name("script.py")
        script.write_text(USES_A_COPY)
        run = run_alone(script, str(copy.parent))
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout.split() == ["__main__", "topic"]

    def test_its_errors_are_those_of_the_bus(self) -> None:
        """In t2bus the errors of topics are children of the one root, under their public names."""
        assert (t2bus.BusError, t2bus.InvalidTopic, t2bus.TopicTooBroad) == (BusError, InvalidTopic, TopicTooBroad)
        for public in (t2bus.InvalidTopic, t2bus.TopicTooBroad, t2bus.ServiceNotFound):
            assert issubclass(public, topics.BusError)

    def test_the_rest_of_t2bus_is_not_loaded(self) -> None:
        """Importing the module from t2bus loads nothing but the standard library."""
        script = "import sys, t2bus.topic; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
        environment = {"PYTHONPATH": ":".join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert not {"trio", "attr", "attrs", "cbor2", "outcome"} & set(run.stdout.split())
        assert "t2bus" in run.stdout.split()
