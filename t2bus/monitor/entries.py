"""A list of the bus, of two moments: its busiest entries with their rates, and what all others have moved together.

::

    listing = Listing(CLIENTS, at=12.0, before=previous)
    for page in pages:
        listing.add(page.clients)
    listed = listing.end()
    listed.rows[0]["received_rate"]  # messages a second, since `previous`

Whatever the length of the list, :data:`SHOWN` rows are made of it, those that have moved most. The rest is one sum,
which only goes up: what an entry moves counts there from one moment to the next, for as long as it is no row, so that
nothing is taken back when entries leave.

The law of this module: no Trio, no clock; what is done at once is bounded by a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import nlargest
from operator import add, attrgetter, sub
from typing import Any, Final

import attrs
from attrs import define, field, frozen

from ..text import printable

SHOWN: Final = 100
"""Rows of a list, at most."""

_LONGEST: Final = 300
"""Characters of a text of a peer, as it is shown: more than a topic may have."""

Counts = tuple[int, ...]


@frozen
class Counted:
    """What is counted in a list."""

    key: tuple[str, ...]
    """The fields that tell entries apart."""
    counted: tuple[str, ...]
    """The fields that only go up."""
    movement: tuple[str, ...]
    """Those of them whose sum says how much an entry has moved."""
    lag: tuple[str, ...] = ()
    """The fields whose sum says how far an entry is behind."""


CLIENTS: Final = Counted(
    ("id",), ("received", "received_bytes", "sent", "sent_bytes"), ("received", "sent"), ("dropped", "held")
)
MEMBERS: Final = Counted(("id",), ("received", "received_bytes", "sent", "sent_bytes", "dropped"), ("received", "sent"))
SERVICES: Final = Counted(("client", "topic"), ("calls",), ("calls",))
TOPICS: Final = Counted(("topic",), ("messages", "bytes"), ("messages",))


@frozen(eq=False)
class Listed:
    """A list at one moment."""

    at: float
    total: int
    """How many entries there are."""
    rows: list[dict[str, Any]]
    """Those that have moved most, with ``…_rate`` beside each field that is counted; None where nothing is known."""
    others: Counts
    """What all others have moved, since the first of these moments."""
    seen: Mapping[tuple[Any, ...], Counts]
    """Of all."""
    lagging: list[tuple[Any, ...]]
    """The keys of those that are furthest behind, as many as there may be rows."""


@define(eq=False)
class Listing:
    """A list that comes page by page."""

    _kind: Counted
    _at: float
    _before: Listed | None
    _rows: list[tuple[int, tuple[Any, ...], Any]] = field(factory=list, init=False)
    """How much each has moved, its key and itself."""
    _seen: dict[tuple[Any, ...], Counts] = field(factory=dict, init=False)
    _lagging: list[tuple[int, tuple[Any, ...]]] = field(factory=list, init=False)
    """How far each is behind, and its key."""
    _moved: Counts = field(init=False)
    """What all entries have moved since the moment before."""

    def __attrs_post_init__(self) -> None:
        """Begin with nothing."""
        self._moved = (0,) * len(self._kind.counted)

    def add(self, entries: Iterable[Any]) -> None:
        """Take the entries of a page."""
        kind = self._kind
        key_of, counts_of, movement_of, lag_of = map(_reader, (kind.key, kind.counted, kind.movement, kind.lag))
        fresh = []
        for entry in entries:
            key, counts = key_of(entry), counts_of(entry)
            self._seen[key] = counts
            self._moved = _sum(self._moved, self._since(key, counts) or counts)
            fresh.append((sum(movement_of(entry)), key, entry))
            if behind := sum(lag_of(entry)):
                self._lagging.append((behind, key))
        self._rows = nlargest(SHOWN, self._rows + fresh, key=lambda row: row[0])
        self._lagging = nlargest(SHOWN, self._lagging)

    def end(self) -> Listed:
        """Return what has come."""
        others = self._moved if self._before is None else _sum(self._moved, self._before.others)
        rows = []
        for _, key, entry in self._rows:
            counts = self._seen[key]
            since = self._since(key, counts)
            others = tuple(map(sub, others, since or counts))
            rows.append(_shown(entry) | self._rates(since))
        lagging = [key for _, key in self._lagging]
        return Listed(self._at, len(self._seen), rows, others, self._seen, lagging)

    def _since(self, key: tuple[Any, ...], counts: Counts) -> Counts | None:
        """Return what an entry has moved since the moment before, if it was there, and is the same that it was."""
        known = None if self._before is None else self._before.seen.get(key)
        if known is None:
            return None
        since = tuple(map(sub, counts, known))
        return None if min(since) < 0 else since

    def _rates(self, since: Counts | None) -> dict[str, float | None]:
        seconds = 0.0 if self._before is None else self._at - self._before.at
        known = since is not None and seconds > 0
        return {
            f"{name}_rate": since[place] / seconds if known and since is not None else None
            for place, name in enumerate(self._kind.counted)
        }


def _reader(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes these fields out of an entry. Of one name or none ``attrgetter`` makes no tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda entry: tuple([getattr(entry, name) for name in names])


def _sum(one: Counts, other: Counts) -> Counts:
    return tuple(map(add, one, other))


def _shown(entry: Any) -> dict[str, Any]:
    """Return an entry as JSON may have it, with each text fit to be shown."""
    return {name: shown(value) for name, value in attrs.asdict(entry, recurse=False).items()}


def shown(value: Any) -> Any:
    """Return a value, escaped and shortened if it is text."""
    return printable(value, _LONGEST) if isinstance(value, str) else value
