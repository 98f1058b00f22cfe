"""What a bus says of itself: typed messages at topics of its own, which any client may ask for and subscribe to.

::

    status = await client.request("", StatusRequest())           # bus/status
    page = await client.request("", ClientsRequest(after=0))     # bus/clients
    async with client.subscribe(Event, "*") as events: ...       # bus/event/connected, bus/event/claimed, ...

The lists come in pages, so that a bus of 10,000 clients is looked at in pieces while it works. A page has at most
:data:`PAGE` entries, and in ``next`` where the one behind it begins, or None if it is the last. What comes or goes
between two pages is in one of them or in none.

The law of this module: values only.
"""

from __future__ import annotations

from typing import Final, Literal

from attrs import field, frozen

from ..documented import Documented
from ..protocol import PublishProtocol, RequestProtocol
from .statistics import BusCounts

PAGE: Final = 100
"""Entries of a page, at most."""

Place = tuple[int, int]
"""The id of a client, and that of one of its subscriptions or services."""

_BEGINNING: Final[Place] = (0, 0)


# --- the bus


@frozen
class Status(BusCounts):
    """One moment of a bus, with all that ``bus.statistics()`` counts but the identities."""

    version: str
    """The version of t2bus."""
    process: int
    """The id of its process."""
    age: float
    """Seconds since it opened."""
    addresses: list[str]
    """Where it listens."""
    bus: str = ""
    """The name that the servers of this bus have in common, or "" where it has one server alone."""
    name: str = ""
    """What this server is called, for people; "" where it has no others."""
    node: str = ""
    """The id of this server to the others, made anew whenever it joins them."""
    min_members: int | None = None
    """Servers, this one too, without which no new topic is served; None where it has no others."""
    takes_claims: bool | None = None
    """Whether so many are here; None likewise."""


@frozen
class StatusRequest(RequestProtocol[Status], prefix="bus/status", metaclass=Documented):
    """Asks the bus how it is: ``await client.request("", t2bus.status.StatusRequest())`` gives :class:`Status`."""


# --- clients


@frozen
class ClientStatus(metaclass=Documented):
    """One moment of one connection. Counts are from its beginning; of two such, their difference gives rates."""

    id: int
    """The id of the connection, never given again."""
    name: str
    """What the client calls itself, for people; "" if it says nothing. Anybody may have any name."""
    identity: str
    """Who it is, as its transport says: ``alice``, ``uid:1000``, ``anonymous``, ``local``."""
    address: str
    """Where it comes from: ``unix:PATH``, ``tcp:HOST:PORT``, ``memory``."""
    wire: str
    """``t2bus``, or ``t2`` for that of the Rust crate."""
    age: float
    """Seconds since it was let in."""
    received: int
    """Publications, requests and answers that have come from it."""
    received_bytes: int
    """Bytes of their topics, payloads and headers."""
    sent: int
    """Deliveries, requests and answers that were put on their way to it."""
    sent_bytes: int
    """Bytes of their topics, payloads and headers."""
    waiting_bytes: int
    """Bytes that wait to be written to it."""
    held: int
    """Paced deliveries that wait until it takes what it has."""
    dropped: int
    """Deliveries that its subscriptions have missed, as long as they exist."""
    subscriptions: int
    """Subscriptions that it has."""
    services: int
    """Topics that it serves."""
    requests: int
    """Its requests that have no answer yet."""
    calls: int
    """Requests that it has to answer."""


@frozen
class Clients(metaclass=Documented):
    """A page of clients, in the order in which they came."""

    clients: list[ClientStatus]
    """Those of this page."""
    next: int | None
    """What ``after`` is for the next page."""


@frozen
class ClientsRequest(RequestProtocol[Clients], prefix="bus/clients", metaclass=Documented):
    """Asks for a page of clients."""

    after: int = 0
    """Those whose id is above this one."""


# --- services


@frozen
class ServiceStatus(metaclass=Documented):
    """One moment of one service. Of one at another server it is known which server that is, and not who serves it."""

    topic: str
    """The full topic that is served."""
    client: int
    """The id of who serves it, or of the other server."""
    name: str
    """What that client, or server, calls itself."""
    identity: str
    """Who the client is, as its transport says; ``server NODE`` for another server."""
    window: int
    """Requests that it may have at once."""
    pending: int
    """Requests that it has and has not answered."""
    calls: int
    """Requests that it was handed so far."""
    server: str = ""
    """The node of the server that it is at, or "" if it is here."""


@frozen
class Services(metaclass=Documented):
    """A page of services, by client."""

    services: list[ServiceStatus]
    """Those of this page."""
    next: Place | None
    """What ``after`` is for the next page."""


@frozen
class ServicesRequest(RequestProtocol[Services], prefix="bus/services", metaclass=Documented):
    """Asks for a page of services."""

    after: Place = _BEGINNING
    """Those behind this one."""


# --- subscriptions


@frozen
class SubscriptionStatus(metaclass=Documented):
    """One moment of one subscription."""

    topic: str
    """The full topic that is subscribed to."""
    client: int
    """The id of the client whose it is."""
    name: str
    """What that client calls itself."""
    identity: str
    """Who that client is."""
    window: int
    """Messages that may be on their way to its program and not taken."""
    free: int
    """How many of these places are free. Where it stays 0, the program takes nothing."""
    delivered: int
    """Messages that were put on their way to it."""
    held: int
    """Paced deliveries that wait until there is a place."""
    dropped: int
    """Publications that it has missed."""


@frozen
class Subscriptions(metaclass=Documented):
    """A page of subscriptions, by client."""

    subscriptions: list[SubscriptionStatus]
    """Those of this page."""
    next: Place | None
    """What ``after`` is for the next page."""


@frozen
class SubscriptionsRequest(RequestProtocol[Subscriptions], prefix="bus/subscriptions", metaclass=Documented):
    """Asks for a page of subscriptions."""

    after: Place = _BEGINNING
    """Those behind this one."""


# --- other servers


@frozen
class MemberStatus(metaclass=Documented):
    """One moment of another server of this bus. Counts are from the beginning of its connection."""

    id: int
    """The id of its connection, never given again."""
    name: str
    """What it calls itself, for people: its host, unless it was told otherwise. Its node, until it has said that."""
    node: str
    """Its id to the others, made anew whenever it joins them."""
    age: float
    """Seconds since it joined."""
    heard: float
    """Seconds since it was heard last."""
    received: int
    """Publications, requests and answers that have come from it."""
    received_bytes: int
    """Bytes of their topics, payloads and headers."""
    sent: int
    """Publications, requests and answers that were put on their way to it."""
    sent_bytes: int
    """Bytes of their topics, payloads and headers."""
    unacknowledged: int
    """Publications that it was sent, and of which it has not said yet whom they have reached there."""
    waiting_bytes: int
    """Bytes that wait to be written to it."""
    held: int
    """Paced publications that wait until it takes what it has."""
    dropped: int
    """Publications that it was not sent, as it did not keep up."""
    groups: int
    """What its clients subscribe to, as far as this server has to know: see ``group_depth``."""
    services: int
    """Topics that its clients serve."""
    requests: int
    """Its requests to services here that have no answer yet."""
    calls: int
    """Requests from here that it has to answer."""


@frozen
class Members(metaclass=Documented):
    """A page of other servers, in the order in which they joined."""

    members: list[MemberStatus]
    """Those of this page."""
    next: int | None
    """What ``after`` is for the next page."""


@frozen
class MembersRequest(RequestProtocol[Members], prefix="bus/members", metaclass=Documented):
    """Asks for a page of the other servers that are connected."""

    after: int = 0
    """Those whose id is above this one."""


# --- topics


@frozen
class TopicStatus(metaclass=Documented):
    """What was published to one topic lately."""

    topic: str
    """As it was published: it may have wildcards."""
    messages: int
    """Publications since the bus began to count this topic; one that nobody publishes to for long is forgotten."""
    bytes: int
    """Bytes of their topics, payloads and headers."""
    age: float
    """Seconds since the last one."""


@frozen
class Topics(metaclass=Documented):
    """A page of topics, in the order of the alphabet."""

    topics: list[TopicStatus]
    """Those of this page."""
    next: str | None
    """What ``after`` is for the next page."""


@frozen
class TopicsRequest(RequestProtocol[Topics], prefix="bus/topics", metaclass=Documented):
    """Asks for a page of the topics that were published to lately (twice ``Limits.routes`` at most)."""

    after: str = ""
    """Those behind this one."""


# --- what happens

EventKind = Literal[
    "connected", "left", "subscribed", "unsubscribed", "claimed", "released", "lagging", "denied", "joined", "lost"
]


@frozen
class Event(PublishProtocol, prefix="bus/event", metaclass=Documented):
    """What has happened to a client or another server; its kind is the end of its topic, ``bus/event/claimed``."""

    kind: EventKind
    """``lagging`` is the first message that a subscription misses after one that it took. A client that has ``left`` is
    unsubscribed from everything, without an event for each. Other servers are ``joined`` and ``lost``, and may be
    ``lagging``.
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
