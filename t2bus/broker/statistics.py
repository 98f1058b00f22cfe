"""What a bus counts, and the picture of it that its owner is shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import define, frozen

from ..documented import Documented


@define(eq=False)
class Counters:
    """What only ever goes up, from the opening of the bus."""

    published: int = 0
    delivered: int = 0
    dropped: int = 0
    requests: int = 0
    requests_busy: int = 0
    late_responses: int = 0
    violations: int = 0
    refused: int = 0
    denied: int = 0
    withheld: int = 0


@frozen
class BusCounts(metaclass=Documented):
    """What there is in a bus at one moment, then, from ``published`` on, counts since it opened."""

    connections: int
    """Clients that are connected."""
    members: int
    """Other servers of this bus that are connected."""
    newcomers: int
    """Peers that have connected and not said HELLO yet."""
    subscriptions: int
    """Subscriptions of clients here."""
    services: int
    """Topics that clients here serve."""
    requests_pending: int
    """Requests that a service has and has not answered."""
    deliveries_held: int
    """Paced deliveries that wait for a subscriber."""
    buffered_bytes: int
    """Bytes that wait to be written, or are held, over all connections. A publication counts once, however many have
    it."""
    incoming_bytes: int
    """Bytes that have come of large frames that are not complete."""
    published: int
    """Publications accepted from clients here."""
    delivered: int
    """Deliveries made, one for each subscription here."""
    dropped: int
    """Deliveries dropped because the subscription's window was spent; each is told to it by ``Lagged``."""
    requests: int
    """Requests handed to a service here."""
    requests_busy: int
    """Requests answered ``ServiceBusy``."""
    late_responses: int
    """Responses that nobody waited for any more."""
    violations: int
    """Connections closed because of what their peer sent."""
    refused: int
    """Peers that were not let in: a handshake of TLS that failed, no room, or nobody who may connect."""
    denied: int
    """Operations that the access rules refused."""
    withheld: int
    """Messages that Rust clients were not sent because they could not have borne them."""


@frozen
class BusStatistics(BusCounts):
    """One moment of a bus: what ``bus.statistics()`` returns."""

    identities: Mapping[str, int]
    """The number of connections of each identity that has some."""


@frozen
class SubscriptionStatistics:
    """One moment of one subscription."""

    topic: str
    held: int
    """Paced deliveries that wait for credit."""
    dropped: int
    """Publications that it has missed, as long as it exists."""


@frozen
class PeerStatistics:
    """One moment of one connection."""

    subscriptions: Mapping[int, SubscriptionStatistics]
    """By the id of each."""
    services: Collection[str]
    """The topics that it serves."""
    requests: int
    """Requests of this connection that have no answer yet."""
    calls: int
    """Requests that were handed to it and that it has not ended."""
    calls_size: int
    """Their bytes."""
