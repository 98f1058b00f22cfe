"""What a client counts, and the picture of it that its owner is shown."""

from __future__ import annotations

from attrs import define, frozen

from ..documented import Documented


@define(eq=False)
class ClientCounters:
    """What only ever goes up, from the opening of a client."""

    published: int = 0
    received: int = 0
    dropped: int = 0
    replaced: int = 0
    requested: int = 0
    late_responses: int = 0
    malformed_requests: int = 0


@frozen
class ClientStatistics(metaclass=Documented):
    """One moment of a client: what there is, then, from ``published`` on, counts since it opened."""

    subscriptions: int
    """Subscriptions that are open."""
    services: int
    """Topics that it serves."""
    requests_pending: int
    """Own requests that are not answered yet."""
    calls_pending: int
    """Requests of others that this client has not answered yet."""
    messages_waiting: int
    """Messages that have arrived and that the program has not taken."""
    outbox_bytes: int
    """Bytes that wait to be written."""
    published: int
    """Publications sent."""
    received: int
    """Messages that arrived, one for each subscription."""
    dropped: int
    """Messages that were dropped because a window of this client was spent; each is told by ``Lagged``."""
    replaced: int
    """Messages that a newer one of their topic has replaced, of subscriptions to the newest of each."""
    requested: int
    """Requests sent."""
    late_responses: int
    """Answers given to requests that nobody waited for any more."""
    malformed_requests: int
    """Requests that the services of this client could not read, each answered with ``MalformedMessage``."""
