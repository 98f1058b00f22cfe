"""What has happened in a router since its owner last asked: who came, left, claimed, lags, was denied.

The router notes it and goes on. Its owner takes the events after each step, logs them, and has those who have
subscribed told of them.

The law of this module: it calls nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from ..text import printable
from .status import Event

if TYPE_CHECKING:
    from .peer import Peer
    from .status import EventKind

_LONGEST_TEXT: Final = 600
"""Characters of a reason, which may quote what a peer has sent."""


@define(eq=False, repr=False)
class Events:
    """The events of one router, in their order."""

    _events: list[Event] = field(factory=list, init=False)

    def __bool__(self) -> bool:
        """Whether anything has happened."""
        return bool(self._events)

    def note(self, kind: EventKind, peer: Peer, topic: str | None = None, text: str = "", dropped: int = 0) -> None:
        """Note what has happened to a client or another server."""
        text, server = printable(text, _LONGEST_TEXT), peer.server
        self._events.append(Event(kind, peer.id, peer.name, peer.identity.name, topic, text, dropped, server))

    def take(self) -> list[Event]:
        """Return what has happened since the last time."""
        events, self._events = self._events, []
        return events
