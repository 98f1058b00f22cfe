"""Who may do what: access rules, and their verdict on one topic.

With the rules ``subscribe = ["oven/**"]`` and ``deny.subscribe = ["oven/key"]``, an identity may subscribe to
``oven/heat``, but neither to ``oven/key`` nor to ``oven/*``, which would reach it, nor to ``**``.

A *rule* is a topic, with or without wildcards, under a verb: its holder may, or may not, use these topics so. The rules
of an identity are those of everyone, of its name and of each of its groups. All of them have the same rank, and their
order in a file means nothing.

The theory. What is asked for is a topic too, and so a set of concrete topics.

* It is *allowed* only if one allow rule **includes** it. Whoever asks for more than one rule grants is refused, not
  given a part; two rules that include it only together do not allow it.
* It is *denied* if any deny rule **intersects** it. What is denied is never reached, not even by asking for more.
* Denial wins, and what no rule allows is denied.

A publication with wildcards reaches subscribers of topics that it does not name, so the right to it is a verb of its
own, and ``publish`` rules do not grant it. But to forbid publishing to a topic is to forbid reaching it, so the deny
rules of ``publish`` count for it as well.

The law of this module: a verdict depends on the rules, the identity, the verb and the topic, and on nothing else. It is
found and explained by the same code.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from ..errors import PermissionDenied
from ..topic import DEPTH, LENGTH, TopicTree, includes, is_concrete, validate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .identity import Identity

REMEMBERED: Final = 1024
"""Verdicts that are remembered for one identity: as many as a connection may have subscriptions. They take about half a
megabyte if all topics are of the greatest length."""

_ANY_SIZE: Final = sys.maxsize
"""Length and depth of rules here: the file has bounded those of rules, and the bus those of what is asked for."""


class Verb(StrEnum):  # a str has its hash ready; that of an Enum would take half of the time of a check
    """What is done with a topic; the values are the words of the file."""

    PUBLISH = "publish"
    PUBLISH_WILDCARDS = "publish_wildcards"
    SUBSCRIBE = "subscribe"
    SERVE = "serve"
    REQUEST = "request"


_PHRASES: Final = {
    Verb.PUBLISH: "publish to",
    Verb.PUBLISH_WILDCARDS: "publish with wildcards to",
    Verb.SUBSCRIBE: "subscribe to",
    Verb.SERVE: "serve",
    Verb.REQUEST: "request",
}

_DENIED_BY: Final = {verb: (verb,) for verb in Verb} | {
    Verb.PUBLISH_WILDCARDS: (Verb.PUBLISH, Verb.PUBLISH_WILDCARDS),
}


def _tree(topics: tuple[str, ...]) -> TopicTree[str]:
    """Store rules so that those that meet a topic are found without looking at all of them.

    The steps need no bound of their own: they are at most the fragments of all rules.
    """
    tree: TopicTree[str] = TopicTree(steps=sys.maxsize, cache=0, length=_ANY_SIZE, depth=_ANY_SIZE)
    for topic in topics:
        tree.add(topic, topic)
    return tree


@frozen
class Rules:
    """What is allowed to, and denied to, one name; neither mapping may be changed afterwards.

    Raises:
      InvalidTopic: a rule is no topic.

    """

    allow: Mapping[Verb, tuple[str, ...]] = field(factory=dict)
    deny: Mapping[Verb, tuple[str, ...]] = field(factory=dict)
    # Those of a verb are stored for matching when they are first asked for: a file has rules of many who never come.
    _allow_trees: dict[Verb, TopicTree[str]] = field(factory=dict, init=False, eq=False, repr=False)
    _deny_trees: dict[Verb, TopicTree[str]] = field(factory=dict, init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Check the rules."""
        for topics in (*self.allow.values(), *self.deny.values()):
            for topic in topics:
                validate(topic, length=_ANY_SIZE, depth=_ANY_SIZE)

    def __len__(self) -> int:
        """Count the rules."""
        return sum(len(topics) for rules in (self.allow, self.deny) for topics in rules.values())

    def allowing(self, verb: Verb, topic: str) -> list[str]:
        """Return the allow rules that intersect a valid topic, in the order that they were given in."""
        return _meeting(self.allow, self._allow_trees, verb, topic)

    def denying(self, verb: Verb, topic: str) -> list[str]:
        """Return the deny rules that intersect a valid topic, in the order that they were given in."""
        return _meeting(self.deny, self._deny_trees, verb, topic)


def _meeting(
    rules: Mapping[Verb, tuple[str, ...]], trees: dict[Verb, TopicTree[str]], verb: Verb, topic: str
) -> list[str]:
    topics = rules.get(verb)
    if not topics:
        return []
    if (tree := trees.get(verb)) is None:
        tree = trees[verb] = _tree(topics)
    met = tree.match_cached(topic)
    return [rule for rule in topics if rule in met] if met else []


@frozen
class Access:
    """All access rules of a bus: those of everyone, and those of each name, be it of an identity or of a group."""

    everyone: Rules
    identities: Mapping[str, Rules]

    def permissions(self, identity: Identity, *, length: int = LENGTH, depth: int = DEPTH) -> Permissions:
        """Return what an identity may do; ``length`` and ``depth`` bound the topics it may ask for."""
        names = dict.fromkeys((identity.name, *identity.groups))
        own = tuple((repr(name), self.identities[name]) for name in names if name in self.identities)
        return Permissions(identity, (("everyone", self.everyone), *own), length, depth)


@frozen
class Explanation:
    """A verdict, and the rule that it comes from. It is for those who keep the rules, not for peers."""

    allowed: bool
    text: str


@frozen
class _Grant:
    """An allow or deny rule that meets what is asked for, written as in the file, and whose it is."""

    rule: str
    key: str
    owner: str

    def __str__(self) -> str:
        return f"{self.key} {self.rule!r} of {self.owner}"

    def covers(self, topic: str) -> bool:
        """Tell whether the rule includes the whole of a topic that it meets."""
        return is_concrete(topic) or includes(self.rule, topic, length=_ANY_SIZE, depth=_ANY_SIZE)


@define(eq=False)
class Permissions:
    """What one identity may do. Made by :meth:`Access.permissions`; connections of one identity may share it."""

    identity: Identity
    _sources: tuple[tuple[str, Rules], ...]
    """All rules that count, each with the words for its owner."""
    _length: int
    _depth: int
    _verdicts: dict[tuple[Verb, str], bool] = field(factory=dict, init=False, repr=False)

    def check(self, verb: Verb, topic: str) -> None:
        """Return if the topic may be used so.

        A publication is ``PUBLISH`` whatever its topic: which right it needs is found here. Every publication is
        checked, so one that is remembered costs a single look-up.

        Raises:
          PermissionDenied: it may not; the text does not tell peers which rules there are.
          InvalidTopic: it is no topic, or longer or deeper than the bus allows.

        """
        allowed = self._verdicts.get((verb, topic))
        if allowed is None:
            allowed = self._judge(verb, topic)
        if not allowed:
            raise PermissionDenied(f"{self.identity.name!r} may not {_PHRASES[_right(verb, topic)]} {topic!r}")

    def _judge(self, verb: Verb, topic: str) -> bool:
        """Find a verdict and remember it; the oldest is evicted where there are too many."""
        validate(topic, length=self._length, depth=self._depth)
        right = _right(verb, topic)
        allowed = next(self._denying(right, topic), None) is None and any(
            grant.covers(topic) for grant in self._allowing(right, topic)
        )
        if len(self._verdicts) >= REMEMBERED:
            del self._verdicts[next(iter(self._verdicts))]
        self._verdicts[verb, topic] = allowed
        return allowed

    def explain(self, verb: Verb, topic: str) -> Explanation:
        """Return the verdict of :meth:`check` and its reason: a rule and its owner, or that there is none.

        Raises:
          InvalidTopic: as :meth:`check`.

        """
        validate(topic, length=self._length, depth=self._depth)
        right = _right(verb, topic)
        for grant in self._denying(right, topic):
            part = "" if grant.covers(topic) else "a part of "
            return Explanation(allowed=False, text=f"{grant} forbids {part}{topic!r}")
        met = list(self._allowing(right, topic))
        for grant in met:
            if grant.covers(topic):
                return Explanation(allowed=True, text=f"{grant} includes {topic!r}")
        return Explanation(allowed=False, text=self._lack(right, topic, met))

    def _lack(self, right: Verb, topic: str, met: list[_Grant]) -> str:
        """Say that no rule includes a topic, and which comes nearest."""
        names = [owner for owner, _ in self._sources]
        owners = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
        text = f"no {right.value} rule of {owners} includes {topic!r}"
        if met:
            return f"{text}; {met[0]} covers a part of it only"
        if right is Verb.PUBLISH_WILDCARDS:
            for grant in self._allowing(Verb.PUBLISH, topic):
                return f"{text}; {grant} does not count, for the topic has wildcards"
        return text

    def _denying(self, right: Verb, topic: str) -> Iterator[_Grant]:
        for verb in _DENIED_BY[right]:
            for owner, rules in self._sources:
                for rule in rules.denying(verb, topic):
                    yield _Grant(rule, f"deny.{verb.value}", owner)

    def _allowing(self, right: Verb, topic: str) -> Iterator[_Grant]:
        for owner, rules in self._sources:
            for rule in rules.allowing(right, topic):
                yield _Grant(rule, right.value, owner)


def _right(verb: Verb, topic: str) -> Verb:
    """Return the right that is needed: of the two to publish, the one for topics of this kind."""
    if verb is Verb.PUBLISH or verb is Verb.PUBLISH_WILDCARDS:
        return Verb.PUBLISH if is_concrete(topic) else Verb.PUBLISH_WILDCARDS
    return verb
