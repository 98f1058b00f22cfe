"""Topics: their grammar, when two of them meet, and the tree that finds who listens.

::

    topic    = fragment *( "/" fragment )
    fragment = 1*( a-z / 0-9 / "_" ) / "*" / "**"     ; "*" is any one fragment, "**" any number of them, also none

    >>> intersects("oven/*", "*/status"), includes("oven/**", "oven/*/status"), includes("oven/*", "oven/**")
    (True, True, False)

The theory. A topic is a pattern of concrete topics: a regular expression whose letters are fragments. Its automaton is
a line of places. Place *i* stands before fragment *i*, the last place is the end. A name or ``*`` is read by moving one
place on, ``**`` by staying, and ``**`` may be skipped. A set of places is an ``int``, bit *i* for place *i*.

* Two topics **intersect** when one concrete topic leads both lines to their ends. Reading one topic fragment by
  fragment, while holding *all* places the other may be in, sees each pair of places once. There are more fragments than
  two topics can name, so ``*`` meets anything, and ``**`` leads to every place from the lowest on.
* One topic **includes** another when it matches whatever the other may stand for. It is enough to try fragments that
  nobody names for the other's wildcards, for a place that reads such a fragment reads any. How many for a ``**``? Call
  a place *lasting* if a ``**`` follows it with nothing but ``*`` in between. Reading moves it nearer to that ``**``,
  which never makes it match less. All other places are lost when enough is read, for a ``*`` there leads to a name or
  the end. So the lasting places are what is left in the worst case. Both relations are exact.
* A stored set of topics is a **tree** of fragments. The path to a node is one topic read so far, so each node is seen
  at most once, with exactly one set of places.

The law of this module: it works alone, copied into another project, on the standard library; no input or output but in
:func:`main`, no recursion, and no work that a hostile topic can make more than proportional to what is allowed of it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import OrderedDict
from collections.abc import Hashable
from functools import reduce
from itertools import accumulate, product
from reprlib import Repr
from typing import Final, Generic, TypeVar

__all__ = ["BusError", "InvalidTopic", "TopicTooBroad"]
__all__ += ["DEPTH", "LENGTH", "TopicTree", "explain", "includes", "intersects", "is_concrete", "main", "validate"]

LENGTH: Final = 256
"""Characters of a topic unless told otherwise; NATS recommends this bound, and the next, for its subjects."""
DEPTH: Final = 16
"""Fragments of a topic unless told otherwise."""

_OTHER: Final = ""  # stands for any fragment that no topic in question names
_FRAGMENT: Final = re.compile(r"[a-z0-9_]+|\*\*?")
_TOPIC: Final = re.compile(rf"(?:{_FRAGMENT.pattern})(?:/(?:{_FRAGMENT.pattern}))*")
_STRAY: Final = re.compile(r"[^a-z0-9_*]")
_SHORT: Final = Repr()
_SHORT.maxstring = 80  # characters that are shown of a topic, escaped

V = TypeVar("V", bound=Hashable)


class BusError(Exception):
    """The root of every error that t2bus raises of its own: ``except t2bus.BusError`` catches them all."""


class InvalidTopic(BusError, ValueError):
    """A topic is not of the grammar, is too long, or has a wildcard where none may be: in ``serve`` and ``request``."""


class TopicTooBroad(BusError):
    """A topic with wildcards meets more subscribed fragments than one publication may: nobody received it."""


def validate(topic: str, *, length: int = LENGTH, depth: int = DEPTH) -> str:
    """Return the topic unchanged if it is of the grammar, at most ``length`` characters and ``depth`` fragments.

    Raises :exc:`InvalidTopic`, "fragment 2 of topic 'a/B' has 'B' in it: use a-z, 0-9 and _ only", or ``TypeError``.
    """
    if not issubclass(type(topic), str):  # isinstance would be unreachable code to type checkers
        raise TypeError(f"a topic is a str, not {type(topic).__name__}")
    # The two counts come first: they are cheap, and bound the text that the expression has to match.
    if len(topic) <= length and topic.count("/") < depth and _TOPIC.fullmatch(topic):
        return topic
    raise InvalidTopic(_flaw(topic, length, depth))


def _flaw(topic: str, length: int, depth: int) -> str:
    """Name the first flaw of a topic that is known to be invalid."""
    if not topic:
        return "the topic is empty: name at least one fragment, or '**' for every topic"
    shown = f"topic {_SHORT.repr_str(topic, 0)}"
    if len(topic) > length:
        return f"{shown} has {len(topic)} characters where {length} are allowed: shorten it"
    if (count := topic.count("/") + 1) > depth:
        return f"{shown} has {count} fragments where {depth} are allowed: use fewer '/'"
    number, fragment = next((n, f) for n, f in enumerate(topic.split("/"), 1) if not _FRAGMENT.fullmatch(f))
    if not fragment:
        return f"fragment {number} of {shown} is empty: take out the extra '/'"
    if stray := _STRAY.search(fragment):
        return f"fragment {number} of {shown} has {stray[0]!r} in it: use a-z, 0-9 and _ only"
    return f"fragment {number} of {shown} mixes a wildcard with something else: let '*' or '**' stand alone"


def is_concrete(topic: str) -> bool:
    """Tell whether a valid topic is free of wildcards. It is not validated here."""
    return "*" not in topic


def _canonical(topic: str) -> list[str]:
    """Split a valid topic, each run of wildcards in one spelling: every ``*`` first, then at most one ``**``."""
    fragments: list[str] = []
    for fragment in topic.split("/"):
        if fragment == "*" and fragments[-1:] == ["**"]:
            fragments.insert(-1, fragment)
        elif fragment != "**" or fragments[-1:] != ["**"]:
            fragments.append(fragment)
    return fragments


class _Pattern:
    """The automaton of one topic: for ``a/*/b`` there are places 0 to 3, and ``meet(0b1, "a")`` is ``0b10``.

    In 0, the empty set of places, nothing can match any more, and it leads to 0 for ever. Sets are *closed*: with the
    place before a ``**`` they hold the one after it, for ``**`` may stand for nothing.
    ``names`` maps each name to the places before it; ``single`` and ``deep`` are the places before ``*`` and ``**``.
    """

    __slots__ = ("deep", "end", "names", "single", "start")

    def __init__(self, topic: str) -> None:
        fragments = _canonical(topic)
        self.names: dict[str, int] = {}
        for place, fragment in enumerate(fragments):
            self.names[fragment] = self.names.get(fragment, 0) | 1 << place
        self.single = self.names.pop("*", 0)
        self.deep = self.names.pop("**", 0)
        self.end = 1 << len(fragments)
        self.start = 1 | (1 & self.deep) << 1

    def meet(self, places: int, fragment: str) -> int:
        """Return where one fragment of another topic leads from these places; a wildcard stands for all that fits."""
        if fragment == "**":
            return -(places & -places) & (self.end << 1) - 1  # the lowest place, and all that follow it
        reading = self.end - 1 if fragment == "*" else self.single | self.names.get(fragment, 0)
        places = (places & reading) << 1 | places & self.deep
        return places | (places & self.deep) << 1  # no ``**`` follows another, so skipping one is enough


def intersects(a: str, b: str, *, length: int = LENGTH, depth: int = DEPTH) -> bool:
    """Tell whether some concrete topic matches both, in either order. Raises as :func:`validate`."""
    pattern = _Pattern(validate(a, length=length, depth=depth))
    fragments = validate(b, length=length, depth=depth).split("/")
    return bool(reduce(pattern.meet, fragments, pattern.start) & pattern.end)


def includes(a: str, b: str, *, length: int = LENGTH, depth: int = DEPTH) -> bool:
    """Tell whether every concrete topic of ``b`` matches ``a``. Raises as :func:`validate`."""
    pattern = _Pattern(validate(a, length=length, depth=depth))
    fragments = _canonical(validate(b, length=length, depth=depth))
    if fragments == ["**"]:
        fragments = ["*", "**"]  # no concrete topic is empty
    lasting = pattern.deep
    for _ in range(a.count("/")):
        lasting |= lasting >> 1 & pattern.single
    places = pattern.start
    for fragment in fragments:
        if fragment == "**":
            places = places & lasting | (places & pattern.deep) << 1
        else:
            places = pattern.meet(places, _OTHER if fragment == "*" else fragment)
    return bool(places & pattern.end)


class _Node(Generic[V]):
    """A stored fragment: what may follow it, and the values of the topic that ends here. Only a root may lack both."""

    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[V]] = {}
        self.values: set[V] = set()


class TopicTree(Generic[V]):
    """A set of (topic, value) pairs that finds the values of all topics that intersect a given one.

    >>> tree = TopicTree[int](); tree.add("oven/**", 7); tree.match("*/status")
    {7}

    ``length`` and ``depth`` are for :func:`validate`. ``cache`` is how many concrete topics have their result kept, of
    64 values on average; the oldest go first. ``steps`` is how many stored fragments a topic *with wildcards* may look
    at; 50,000 took 20 to 50 ms in CPython 3.11, and everybody waits meanwhile. A concrete topic is never refused: its
    publisher could not narrow it, and it looks only at stored topics that agree with it so far, which are few unless
    many have wildcards. ``last_steps`` is how many the last search looked at.
    """

    def __init__(self, *, steps: int = 50_000, cache: int = 4096, length: int = LENGTH, depth: int = DEPTH) -> None:
        self._steps = steps
        self.last_steps: int = 0
        self._limits = {"length": length, "depth": depth}
        self._root: _Node[V] = _Node()
        self._size = 0
        self._cache: OrderedDict[str, frozenset[V]] = OrderedDict()
        self._cache_topics, self._cached_values = cache, 0

    def __len__(self) -> int:
        """Count the (topic, value) pairs."""
        return self._size

    def add(self, topic: str, value: V) -> None:
        """Store a pair; idempotent. Raises :exc:`InvalidTopic` as :func:`validate`, ``TypeError`` for no hash."""
        hash(value)  # a value that cannot be stored raises here, before a node is made for it
        node = self._root
        for fragment in validate(topic, **self._limits).split("/"):
            node = node.children.setdefault(fragment, _Node())
        if value not in node.values:  # else nothing changes, and what is cached stays valid
            node.values.add(value)
            self._size += 1
            self._forget(topic)

    def discard(self, topic: str, value: V) -> None:
        """Remove a pair and the nodes that it leaves empty; idempotent. Raises :exc:`InvalidTopic` as :meth:`add`."""
        node = self._root
        trail: list[tuple[_Node[V], str]] = []
        for fragment in validate(topic, **self._limits).split("/"):
            trail.append((node, fragment))
            if (child := node.children.get(fragment)) is None:
                return
            node = child
        if value in node.values:
            node.values.remove(value)
            self._size -= 1
            self._forget(topic)
        while trail and not node.values and not node.children:  # from the leaf up, as far as nothing is left
            node, fragment = trail.pop()
            del node.children[fragment]

    def match(self, topic: str) -> set[V]:
        """Return the values of all stored topics that intersect this one, as a set of the caller's own.

        Raises :exc:`InvalidTopic` as :func:`validate`, and :exc:`TopicTooBroad` for wildcards that would look at more
        than ``steps`` stored fragments.
        """
        return set(self.match_cached(topic))

    def match_cached(self, topic: str) -> frozenset[V]:
        """Return what :meth:`match` does as a shared set: while it is kept and no change touches it, the same object.

        So a caller who keeps something derived from a result may test with ``is`` whether it is still valid.
        """
        cache = self._cache
        found = cache.get(topic)
        if found is None:  # measured: a hit takes 0.1 us, a search 10 us
            validate(topic, **self._limits)
            found = frozenset(self._search(topic))
            if is_concrete(topic):
                cache[topic] = found
                self._cached_values += len(found)
                # Each result may have all values, so both are counted; one alone may be as large as it is.
                while len(cache) > self._cache_topics or 64 * self._cache_topics < self._cached_values > len(found):
                    self._cached_values -= len(cache.popitem(last=False)[1])
        return found

    def _search(self, topic: str) -> set[V]:
        """Walk the tree with the set of places that the path to each node leads to."""
        pattern = _Pattern(topic)
        wild = pattern.single | pattern.deep
        named = {*pattern.names, "*", "**"}
        steps, most = 0, sys.maxsize if is_concrete(topic) else self._steps  # see __init__ for why
        found: set[V] = set()
        work = [(self._root, pattern.start)]
        while work:
            node, places = work.pop()  # depth first, so that little waits
            if places & pattern.end:
                found |= node.values
            if not (children := node.children):
                continue
            fragments = children if places & wild else named & children.keys()
            steps += len(fragments)
            if steps > most:
                reason = f"meets more than {self._steps} subscribed fragments: publish to a narrower topic"
                raise TopicTooBroad(f"topic {_SHORT.repr_str(topic, 0)} {reason}")
            # Fragments that the topic does not name lead to the same places: ``**`` to 100,000 took 69 ms, not 123.
            other = pattern.meet(places, _OTHER)
            for fragment in fragments:
                after = pattern.meet(places, fragment) if fragment in named else other
                if after:
                    work.append((children[fragment], after))
        self.last_steps = steps
        return found

    def _forget(self, topic: str) -> None:
        """Drop the results that a change at this topic may touch: its own if it is concrete, else all.

        Subscribing to a concrete topic is what programs do all day, for replies or one device; it costs nobody else.
        """
        if is_concrete(topic):
            self._cached_values -= len(self._cache.pop(topic, ()))
        else:
            self._cache.clear()
            self._cached_values = 0


def _example(a: str, b: str) -> str | None:
    """Find a concrete topic that matches both of two valid topics, by a walk through pairs of places."""
    left, right = [*_canonical(a), ""], [*_canonical(b), ""]  # the empty fragment marks the end: nothing reads it
    paths: dict[tuple[int, int], tuple[str, ...]] = {(0, 0): ()}
    for (i, x), (j, y) in product(enumerate(left), enumerate(right)):  # every move leads to a later pair, or stays
        if (path := paths.get((i, j))) is None:
            continue
        if x == "**":
            paths.setdefault((i + 1, j), path)
        if y == "**":
            paths.setdefault((i, j + 1), path)
        if x == y or (x and "*" in y) or (y and "*" in x):
            name = next((name for name in (x, y) if is_concrete(name)), "x")
            paths.setdefault((i + (x != "**"), j + (y != "**")), (*path, name))
    path = paths.get((len(left) - 1, len(right) - 1))
    return None if path is None else "/".join(path) or "x"  # where the empty sequence is in both, everything is


def explain(sub: str, pub: str) -> str:
    """Say in one line why two valid topics meet, or from which fragment on they cannot."""
    if example := _example(sub, pub):
        relations = ("neither includes the other", "PUB includes SUB", "SUB includes PUB", "each includes the other")
        return f"match: both hold '{example}'; {relations[2 * includes(sub, pub) + includes(pub, sub)]}"
    pattern, fragments = _Pattern(sub), pub.split("/")
    reached = list(accumulate(fragments, pattern.meet, initial=pattern.start))
    if 0 in reached:
        number = reached.index(0)
        return f"no match: SUB has nothing for fragment {number} of PUB, '{fragments[number - 1]}'"
    return "no match: SUB cannot end where PUB ends"


def main(argv: list[str] | None = None) -> int:
    """Explain on standard output whether two topics match; return 0 if so, 1 if not, 2 if one of them is invalid."""
    about = "Explain whether a publication to PUB reaches a subscription to SUB: exit 0 if so, 1 if not."
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.topic" if __package__ else None, description=about)
    parser.add_argument("sub", metavar="SUB", help="the subscribed topic, such as 'hello/*'")
    parser.add_argument("pub", metavar="PUB", help="the published topic, such as 'hello/alice' or 'hello/**'")
    arguments = parser.parse_args(argv)
    try:
        sub, pub = validate(arguments.sub), validate(arguments.pub)
    except InvalidTopic as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(explain(sub, pub))
    return 0 if intersects(sub, pub) else 1


if __name__ == "__main__":
    raise SystemExit(main())
