"""What access rules allow: on all small topics, against a model that is obviously correct, and fact by fact.

The model knows nothing of automata. A concrete topic is a word, a topic the set of all short words that it matches, as
the bits of an int; inclusion and intersection are then what they are for sets. For topics of three fragments words of
4 letters decide both, one of which must be a letter that no topic names; the model has words of up to 5.
"""

from __future__ import annotations

import itertools
import re
from functools import cache
from typing import TYPE_CHECKING

import pytest
from attrs import field, frozen
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from t2bus.broker.access import REMEMBERED, Access, Permissions, Rules, Verb
from t2bus.broker.identity import Identity
from t2bus.errors import InvalidTopic, PermissionDenied
from t2bus.testing import topics
from t2bus.topic import is_concrete

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOPICS = ["/".join(word) for n in (1, 2, 3) for word in itertools.product(["a", "b", "*", "**"], repeat=n)]
WORDS = ["/".join(word) for n in range(1, 6) for word in itertools.product("abz", repeat=n)]
OVEN = Identity("oven", ("gid:1", "gid:2"))


@cache
def words_of(topic: str) -> int:
    """Return the set of short words in a topic, as the bits of an int."""
    pattern = re.compile("".join({"*": "[^/]+/", "**": "([^/]+/)*"}.get(f, f"{f}/") for f in topic.split("/")))
    return sum(1 << i for i, word in enumerate(WORDS) if pattern.fullmatch(f"{word}/"))


def within(topic: str, rule: str) -> bool:
    return not words_of(topic) & ~words_of(rule)


def meets(topic: str, rule: str) -> bool:
    return bool(words_of(topic) & words_of(rule))


def permissions(
    allow: Mapping[Verb, tuple[str, ...]] | None = None, deny: Mapping[Verb, tuple[str, ...]] | None = None
) -> Permissions:
    """Return what the oven may do if these are the rules of everyone."""
    return Access(Rules(allow or {}, deny or {}), {}).permissions(OVEN)


def is_allowed(permissions: Permissions, verb: Verb, topic: str) -> bool:
    try:
        permissions.check(verb, topic)
    except PermissionDenied:
        return False
    return True


@frozen
class WatchedRules(Rules):
    """Rules that note which topics they are asked about: what is remembered is not asked again."""

    judged: list[str] = field(factory=list, init=False, eq=False)

    def denying(self, verb: Verb, topic: str) -> list[str]:
        self.judged.append(topic)
        return super().denying(verb, topic)


class TestAllSmallTopics:
    """All 84 topics of up to three fragments, as rules and as what is asked for."""

    def test_one_allow_rule(self) -> None:
        """A rule allows exactly what lies within it."""
        for rule in TOPICS:
            granted = permissions({Verb.SUBSCRIBE: (rule,)})
            allowed = [topic for topic in TOPICS if is_allowed(granted, Verb.SUBSCRIBE, topic)]
            assert allowed == [topic for topic in TOPICS if within(topic, rule)]

    def test_one_deny_rule(self) -> None:
        """A rule denies exactly what it meets, when all is allowed."""
        for rule in TOPICS:
            granted = permissions({Verb.SUBSCRIBE: ("**",)}, {Verb.SUBSCRIBE: (rule,)})
            denied = [topic for topic in TOPICS if not is_allowed(granted, Verb.SUBSCRIBE, topic)]
            assert denied == [topic for topic in TOPICS if meets(topic, rule)]

    def test_a_deny_rule_alone_allows_nothing(self) -> None:
        """A deny rule without an allow rule allows nothing, whatever it leaves out."""
        for rule in TOPICS:
            granted = permissions(deny={Verb.SUBSCRIBE: (rule,)})
            assert not any(is_allowed(granted, Verb.SUBSCRIBE, topic) for topic in TOPICS)

    def test_an_allow_and_a_deny_rule(self) -> None:
        """Of what lies within the allow rule, exactly what the deny rule does not meet is allowed."""
        # One of those that say the same is enough, as ``a/**`` and ``a/**/**``: each by itself is tried above.
        several = list({words_of(topic): topic for topic in TOPICS}.values())
        met = {rule: {topic for topic in several if meets(topic, rule)} for rule in several}
        # Swapping the letters in all three topics changes nothing: allow rules that come to ``a`` first are enough.
        for allow in (rule for rule in several if "b" not in rule.partition("a")[0]):
            inside = [topic for topic in several if within(topic, allow)]
            for deny in several:
                granted = permissions({Verb.SERVE: (allow,)}, {Verb.SERVE: (deny,)})
                allowed = [topic for topic in several if is_allowed(granted, Verb.SERVE, topic)]
                assert allowed == [topic for topic in inside if topic not in met[deny]]

    @pytest.mark.parametrize("right", [Verb.PUBLISH, Verb.PUBLISH_WILDCARDS])
    def test_publishing(self, right: Verb) -> None:
        """Each of the two rights to publish allows the topics of its kind that lie within the rule, and no others."""
        for rule in TOPICS:
            granted = permissions({right: (rule,)})
            allowed = [topic for topic in TOPICS if is_allowed(granted, Verb.PUBLISH, topic)]
            kind = right is Verb.PUBLISH
            assert allowed == [topic for topic in TOPICS if is_concrete(topic) == kind and within(topic, rule)]

    @pytest.mark.parametrize("right", [Verb.PUBLISH, Verb.PUBLISH_WILDCARDS])
    def test_denied_publishing(self, right: Verb) -> None:
        """Denying ``publish`` denies every topic that meets the rule, denying wildcards those with wildcards alone."""
        for rule in TOPICS:
            granted = permissions({Verb.PUBLISH: ("**",), Verb.PUBLISH_WILDCARDS: ("**",)}, {right: (rule,)})
            denied = [topic for topic in TOPICS if not is_allowed(granted, Verb.PUBLISH, topic)]
            every = right is Verb.PUBLISH
            assert denied == [t for t in TOPICS if meets(t, rule) and (every or not is_concrete(t))]


# --- many rules, of many

HOLDERS = ["oven", "gid:1", "gid:2", "everyone"]
few_topics = topics(max_depth=3, alphabet="ab").map(lambda topic: re.sub("[ab]+", lambda name: name[0][0], topic))
tables = st.dictionaries(st.sampled_from(Verb), st.lists(few_topics, max_size=3).map(tuple))
rule_sets = st.fixed_dictionaries({holder: st.tuples(tables, tables) for holder in HOLDERS})
identities = st.builds(
    Identity, st.sampled_from([*HOLDERS, "stranger"]), st.lists(st.sampled_from(HOLDERS), max_size=3).map(tuple)
)

Table = dict[Verb, tuple[str, ...]]


def truly_allowed(rules: dict[str, tuple[Table, Table]], identity: Identity, verb: Verb, topic: str) -> bool:
    """Decide by words; ``verb`` is PUBLISH for any publication."""
    wild_publication = verb is Verb.PUBLISH and "*" in topic

    def of(side: int, wanted: Verb) -> Iterator[str]:
        for holder in ["everyone", identity.name, *identity.groups]:
            yield from rules.get(holder, ({}, {}))[side].get(wanted, ())

    denying = [*of(1, verb), *(of(1, Verb.PUBLISH_WILDCARDS) if wild_publication else ())]
    if any(meets(topic, rule) for rule in denying):
        return False
    return any(within(topic, rule) for rule in of(0, Verb.PUBLISH_WILDCARDS if wild_publication else verb))


class TestRandomRules:
    """Rules of everyone, identities and groups, under all verbs."""

    @steady(150)
    @given(rule_sets, identities, st.lists(few_topics, min_size=1, max_size=8))
    def test_agrees_with_the_model(
        self, rules: dict[str, tuple[Table, Table]], identity: Identity, asked: list[str]
    ) -> None:
        """Whatever the rules, exactly what the model allows is allowed, at first and from memory, and explained so."""
        made = {holder: Rules(allow, deny) for holder, (allow, deny) in rules.items()}
        # A name may be that of the table of everyone; then it adds nothing, for those rules count anyhow.
        granted = Access(made["everyone"], made).permissions(identity)
        for verb, topic in itertools.product([v for v in Verb if v is not Verb.PUBLISH_WILDCARDS], asked):
            expected = truly_allowed(rules, identity, verb, topic)
            assert is_allowed(granted, verb, topic) == expected
            assert is_allowed(granted, verb, topic) == expected
            assert granted.explain(verb, topic).allowed == expected


class TestCheck:
    """What the caller of a check sees."""

    @pytest.mark.parametrize(
        ("verb", "topic", "says"),
        [
            (Verb.PUBLISH, "secret/x", "'oven' may not publish to 'secret/x'"),
            (Verb.PUBLISH, "secret/*", "'oven' may not publish with wildcards to 'secret/*'"),
            (Verb.PUBLISH_WILDCARDS, "secret/*", "'oven' may not publish with wildcards to 'secret/*'"),
            (Verb.PUBLISH_WILDCARDS, "secret/x", "'oven' may not publish to 'secret/x'"),
            (Verb.SUBSCRIBE, "**", "'oven' may not subscribe to '**'"),
            (Verb.SERVE, "a", "'oven' may not serve 'a'"),
            (Verb.REQUEST, "a", "'oven' may not request 'a'"),
        ],
    )
    def test_the_text(self, verb: Verb, topic: str, says: str) -> None:
        """The error names the identity, what it may not do, and the topic, at first and from memory."""
        granted = permissions()
        for _ in range(2):
            with pytest.raises(PermissionDenied) as caught:
                granted.check(verb, topic)
            assert str(caught.value) == says

    def test_peers_do_not_learn_the_rules(self) -> None:
        """The error for what is denied is that for what no rule allows."""
        granted = permissions({Verb.SERVE: ("**",)}, {Verb.SERVE: ("hidden/**",)})
        with pytest.raises(PermissionDenied) as caught:
            granted.check(Verb.SERVE, "hidden/x")
        assert str(caught.value) == "'oven' may not serve 'hidden/x'"

    def test_two_rules_do_not_add_up(self) -> None:
        """A topic that two rules include only together is refused."""
        granted = permissions({Verb.SUBSCRIBE: ("a", "a/*/**")})
        assert not is_allowed(granted, Verb.SUBSCRIBE, "a/**")

    @pytest.mark.parametrize("topic", ["a//b", "", "a/" * 16 + "a", "a" * 257])
    def test_invalid_topics_are_not_judged(self, topic: str) -> None:
        """A text that is no topic, or is beyond the default bounds, raises ``InvalidTopic`` and is not remembered."""
        rules = WatchedRules({Verb.PUBLISH: ("**",)})
        granted = Access(rules, {}).permissions(OVEN)
        for number in range(REMEMBERED):
            granted.check(Verb.PUBLISH, f"a/{number}")
        rules.judged.clear()
        for _ in range(2):
            with pytest.raises(InvalidTopic):
                granted.check(Verb.PUBLISH, topic)
        with pytest.raises(InvalidTopic):
            granted.explain(Verb.PUBLISH, topic)
        granted.check(Verb.PUBLISH, "a/0")  # the first to be forgotten for another
        assert rules.judged == []

    @pytest.mark.parametrize("topic", ["/".join(["a", "*"] * 10), f"*/{'b' * 300}"])
    def test_the_bounds_are_those_of_the_bus(self, topic: str) -> None:
        """Topics beyond the default bounds are judged by rules within them where the bus takes them."""
        rules = Rules({Verb.SUBSCRIBE: ("**",)})
        granted = Access(rules, {}).permissions(OVEN, length=400, depth=20)
        granted.check(Verb.SUBSCRIBE, topic)
        assert granted.explain(Verb.SUBSCRIBE, topic).allowed
        with pytest.raises(InvalidTopic, match="characters where 3 are"):
            Access(rules, {}).permissions(OVEN, length=3).check(Verb.SUBSCRIBE, "a/aa")

    def test_rules_are_topics(self) -> None:
        """A rule that is not a topic raises ``InvalidTopic``."""
        with pytest.raises(InvalidTopic):
            Rules({Verb.SERVE: ("A",)})
        with pytest.raises(InvalidTopic):
            Rules(deny={Verb.SERVE: ("a//b",)})

    def test_rules_are_counted(self) -> None:
        """The length of rules is that of all their lists."""
        assert len(Rules({Verb.SERVE: ("a", "b"), Verb.REQUEST: ("a",)}, {Verb.SERVE: ("c",)})) == 4
        assert len(Rules()) == 0


class TestMemory:
    """What is remembered, and how much."""

    def test_is_bounded(self) -> None:
        """However many topics are asked for, allowed or denied, 1,024 verdicts are kept, the youngest ones."""
        rules = WatchedRules({Verb.PUBLISH: ("a/**",)})
        granted = Access(rules, {}).permissions(OVEN)
        asked = [f"{'ab'[number % 2]}/{number}" for number in range(3 * REMEMBERED)]
        for topic in asked:
            is_allowed(granted, Verb.PUBLISH, topic)
        assert rules.judged == asked
        kept, forgotten = asked[-1024:], asked[-1025::-1]
        for topic in kept + forgotten:
            is_allowed(granted, Verb.PUBLISH, topic)
        assert rules.judged == asked + forgotten

    def test_a_verdict_is_found_once(self) -> None:
        """A remembered topic, allowed or denied, is not matched again."""
        rules = WatchedRules({Verb.PUBLISH: ("a",)})
        granted = Access(rules, {}).permissions(OVEN)
        before = [is_allowed(granted, Verb.PUBLISH, topic) for topic in ("a", "b")]
        assert [is_allowed(granted, Verb.PUBLISH, topic) for topic in ("a", "b")] == before == [True, False]
        assert rules.judged == ["a", "b"]

    def test_verbs_are_remembered_apart(self) -> None:
        """What is remembered of one verb says nothing of another."""
        granted = permissions({Verb.SERVE: ("a",)})
        granted.check(Verb.SERVE, "a")
        assert not is_allowed(granted, Verb.REQUEST, "a")

    def test_connections_are_remembered_apart(self) -> None:
        """Two connections of one identity share the rules and no memory."""
        rules = WatchedRules({Verb.SERVE: ("a",)})
        access = Access(rules, {})
        first, second = access.permissions(OVEN), access.permissions(OVEN)
        for granted in (first, second, first, second):
            granted.check(Verb.SERVE, "a")
        assert rules.judged == ["a", "a"]


class TestExplain:
    """What whoever keeps the rules is told."""

    ACCESS = Access(
        Rules({Verb.SUBSCRIBE: ("public/**", "**/end")}, {Verb.PUBLISH: ("secret/**",)}),
        {
            "oven": Rules({Verb.PUBLISH: ("oven/**",), Verb.SERVE: ("oven/*",)}, {Verb.SERVE: ("oven/off",)}),
            "gid:1": Rules({Verb.REQUEST: ("*/status",), Verb.PUBLISH_WILDCARDS: ("lamp/**", "**")}),
            "gid:3": Rules(dict.fromkeys(Verb, ("**",))),
        },
    )

    @pytest.mark.parametrize(
        ("verb", "topic", "says"),
        [
            (Verb.SUBSCRIBE, "public/*", "subscribe 'public/**' of everyone includes 'public/*'"),
            (Verb.SUBSCRIBE, "public/a/end", "subscribe 'public/**' of everyone includes 'public/a/end'"),
            (Verb.PUBLISH, "oven/x", "publish 'oven/**' of 'oven' includes 'oven/x'"),
            (Verb.REQUEST, "a/status", "request '*/status' of 'gid:1' includes 'a/status'"),
            (Verb.PUBLISH, "oven/*", "publish_wildcards '**' of 'gid:1' includes 'oven/*'"),
        ],
    )
    def test_allowed(self, verb: Verb, topic: str, says: str) -> None:
        """Of what is allowed it names the first rule that includes it, and whose that is."""
        explanation = self.ACCESS.permissions(OVEN).explain(verb, topic)
        assert (explanation.allowed, explanation.text) == (True, says)

    @pytest.mark.parametrize(
        ("verb", "topic", "says"),
        [
            (Verb.SERVE, "oven/off", "deny.serve 'oven/off' of 'oven' forbids 'oven/off'"),
            (Verb.PUBLISH, "secret/*", "deny.publish 'secret/**' of everyone forbids 'secret/*'"),
            (Verb.PUBLISH, "*/x", "deny.publish 'secret/**' of everyone forbids a part of '*/x'"),
        ],
    )
    def test_forbidden(self, verb: Verb, topic: str, says: str) -> None:
        """Of what is denied it names the rule that meets it, whose that is, and whether it meets a part only."""
        explanation = self.ACCESS.permissions(OVEN).explain(verb, topic)
        assert (explanation.allowed, explanation.text) == (False, says)

    @pytest.mark.parametrize(
        ("name", "verb", "topic", "says"),
        [
            ("x", Verb.SERVE, "a", "no serve rule of everyone includes 'a'"),
            ("oven", Verb.SERVE, "a", "no serve rule of everyone or 'oven' includes 'a'"),
            (
                "oven",
                Verb.SUBSCRIBE,
                "*/a",
                (
                    "no subscribe rule of everyone or 'oven' includes '*/a'; "
                    "subscribe 'public/**' of everyone covers a part of it only"
                ),
            ),
            (
                "oven",
                Verb.PUBLISH,
                "oven/*",
                (
                    "no publish_wildcards rule of everyone or 'oven' includes 'oven/*'; "
                    "publish 'oven/**' of 'oven' does not count, for the topic has wildcards"
                ),
            ),
            ("oven", Verb.PUBLISH, "b/*", "no publish_wildcards rule of everyone or 'oven' includes 'b/*'"),
        ],
    )
    def test_not_allowed(self, name: str, verb: Verb, topic: str, says: str) -> None:
        """Of what no rule includes it names whose rules there are, and the one that comes nearest."""
        explanation = self.ACCESS.permissions(Identity(name)).explain(verb, topic)
        assert (explanation.allowed, explanation.text) == (False, says)

    def test_all_whose_rules_count(self) -> None:
        """All groups that have rules are named, once, and those without are not."""
        granted = self.ACCESS.permissions(Identity("oven", ("gid:1", "gid:2", "gid:1", "oven")))
        assert granted.explain(Verb.SERVE, "a").text == "no serve rule of everyone, 'oven' or 'gid:1' includes 'a'"
