"""What has happened in a router since its owner last asked: who came, left, claimed, lags, was denied.

::

    async with client.subscribe(Event, "*") as events: ...  # bus/event/connected, bus/event/claimed, ...

The router notes it and goes on. Its owner takes the events after each step, logs them, and has those who have
subscribed told of them.

The law of this module: it calls nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from attrs import define, field, frozen

from ..documented import Documented
from ..protocol import PublishProtocol
from ..text import printable

if TYPE_CHECKING:
    from .peer import Peer

_LONGEST_TEXT: Final = 600
"""Characters of a reason, which may quote what a peer has sent."""


EventKind = Literal[
    "connected", "left", "subscribed", "unsubscribed", "claimed", "released", "lagging", "denied", "joined", "lost"
]


@frozen
class Event(PublishProtocol, prefix="bus/event", metaclass=Documented):
    """What has happened to a client or another server; its kind is the end of its topic, ``bus/event/claimed``."""

    kind: EventKind
    """``lagging`` is the first message that a subscription misses after one that it was sent; none to the bus's own
    topics lags. A client that has ``left`` is unsubscribed from everything, without an event for each. Other servers
    are ``joined`` and ``lost``, and may be ``lagging``.
    """
    client: int
    """The id of the client, or of the other server."""
    name: str
    """What it calls itself."""
    identity: str
    """Who the client is, as its transport says; ``server NODE`` for another server."""
    topic: str | None = None
    """The full topic of the subscription or service, where it is about one."""
    text: str = ""
    """Where it came from, why it left, or what it was denied."""
    dropped: int = field(default=0)
    """Messages that a lagging subscription has missed so far."""
    server: str = ""
    """The node of the other server that it has happened to, or "" for a client."""


@define(eq=False, repr=False)
class Events:
    """The events of one router, in their order."""

    noted: list[Event] = field(factory=list, init=False)
    """What has happened since the last time."""

    def note(self, kind: EventKind, peer: Peer, topic: str | None = None, text: str = "", dropped: int = 0) -> None:
        """Note what has happened to a client or another server."""
        text, server = printable(text, _LONGEST_TEXT), peer.server
        self.noted.append(Event(kind, peer.id, peer.name, peer.identity.name, topic, text, dropped, server))

    def take(self) -> list[Event]:
        """Return what was noted, and begin anew."""
        events, self.noted = self.noted, []
        return events
