"""What a bus knows of itself: the figures of its tables, and the answers to requests at the topics that are its own.

::

    request = about.read("bus/clients", encode(ClientsRequest(after=100)))
    about.answer(peer, 7, request, now)
    # puts Response(7, encode(Clients([...], next=200))) in the peer's outbox, and returns how many steps that took

A request is answered at once, so nothing of it is pending anywhere. A list is answered page by page. A page ends behind
:data:`~.status.PAGE` entries, or earlier where that is enough work for a turn, or more would not fit in a frame.

The law of this module: it reads the tables, and changes nothing but the outbox of who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import asdict, define, evolve, field

from ..errors import LimitExceeded, MessageTooLarge, ServiceNotFound
from ..protocol import decode, encode_as, prefix_of, response_type
from ..text import quote
from ..wire.messages import Response
from ..wire.values import FRAME_OVERHEAD
from . import status as s
from .budget import ANSWER
from .statistics import BusStatistics, PeerStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sized

    from ..limits import Limits
    from ..wire.values import Payload
    from .budget import Budget
    from .connections import Connections
    from .elsewhere import Elsewhere
    from .flow import SendWindow
    from .member import Member
    from .peer import Peer
    from .requests import ServiceTable
    from .service import Service
    from .statistics import Counters
    from .subscriptions import SubscriptionTable

Request = (
    s.StatusRequest | s.ClientsRequest | s.ServicesRequest | s.SubscriptionsRequest | s.MembersRequest | s.TopicsRequest
)
"""What a bus may be asked about itself."""

Key = TypeVar("Key")
Entry = TypeVar("Entry")

_ENTRY_STEPS: Final = 10
"""What an entry of a page counts for: it took 10 to 20 us in CPython 3.11, and a step 2."""

_LONGEST_REQUEST: Final = 512
"""Bytes of a request and the name of a server in it, beside a topic. It is read in a turn of the router: a megabyte
took 100 ms, and 64 MB.
"""

_PAGE_ROUTES: Final = 2000
"""Subscriptions and services that are looked at for one page of clients; the client that is the last one may have
more.
"""


@define(eq=False, repr=False)
class About:
    """The figures of one bus, of which all but the first three are the router's own."""

    version: str = field(default="", init=False)
    process: int = field(default=0, init=False)
    opened_at: float = field(default=0.0, init=False)
    addresses: Sequence[str] = field(default=(), init=False)
    newcomers: Sized = field(default=(), init=False)
    """The peers that have connected and not said HELLO, of whom the owner of the router knows."""
    limits: Limits
    counters: Counters
    total: Budget
    connections: Connections
    subscriptions: SubscriptionTable
    services: ServiceTable
    elsewhere: Elsewhere

    # --- figures

    def _counts(self) -> dict[str, Any]:
        return {
            "connections": self.connections.clients,
            "members": len(self.elsewhere.members),
            "newcomers": len(self.newcomers),
            "incoming_bytes": sum(peer.incoming for peer in self.connections.peers.values()),
            "subscriptions": len(self.subscriptions) - self.elsewhere.groups_elsewhere,
            "services": self.services.claims.here,
            "requests_pending": self.services.pending,
            "deliveries_held": self.subscriptions.held,
            "buffered_bytes": self.total.used,
            **asdict(self.counters),
        }

    def statistics(self) -> BusStatistics:
        """Return what the bus looks like now."""
        return BusStatistics(identities=dict(self.connections.identities), **self._counts())

    def statistics_of(self, peer: Peer) -> PeerStatistics:
        """Return what one connection looks like now."""
        topics = [service.topic for service in self.services.of(peer).values()]
        return PeerStatistics(self.subscriptions.load_of(peer), topics, *self.services.load_of(peer))

    # --- answers

    def read(self, topic: str, payload: Payload) -> Request:
        """Return what is asked at one of the bus's own topics.

        Raises:
          ServiceNotFound: there is no such topic.
          MalformedMessage: the request is not of its class.
          MessageTooLarge: the request is longer than any has to be.

        """
        if (request_class := _REQUESTS.get(topic)) is None:
            raise ServiceNotFound(f"the bus has no {quote(topic)} of its own: there are {', '.join(_REQUESTS)}")
        longest = _LONGEST_REQUEST + self.limits.topic_length
        if not isinstance(payload, bytes) or len(payload) > longest:
            raise MessageTooLarge(f"a request to the bus itself has at most {longest} bytes, which are not compressed")
        return decode(payload, request_class)

    def answer(self, peer: Peer, operation: int, request: Request, now: float) -> int:
        """Answer a request that was read, under its id, and return the steps that it took.

        Raises:
          MessageTooLarge: not even one entry fits in a frame.
          LimitExceeded: the requester has not read what waits for it.

        """
        payload, steps = self._payload(request, now)
        if not peer.outbox.fits(len(payload), ANSWER):
            raise LimitExceeded("the answer does not fit: the requester's Limits.outbox_bytes are waiting")
        peer.outbox.put_answer(Response(operation, payload), len(payload))
        return steps

    def _payload(self, request: Request, now: float) -> tuple[bytes, int]:
        """Return the payload of an answer, and the steps that it took."""
        request_class, most = type(request), s.PAGE
        give = _ANSWERS[request_class]
        while True:
            data = encode_as(give(self, request, now, most), response_type(request_class))
            if len(data) + FRAME_OVERHEAD <= self.limits.frame:
                return data, _ENTRY_STEPS * most
            if most == 1:
                text = f"an entry of {prefix_of(request_class)} needs a frame of {len(data) + FRAME_OVERHEAD} bytes"
                raise MessageTooLarge(text)
            most //= 2

    def status(self, _request: s.StatusRequest, now: float, _most: int) -> s.Status:
        """Return the bus as a whole."""
        age, addresses, others = now - self.opened_at, list(self.addresses), self.elsewhere
        alone = s.Status(version=self.version, process=self.process, age=age, addresses=addresses, **self._counts())
        if not others.node:
            return alone
        among = evolve(alone, bus=others.bus, name=others.name, node=others.node)
        return evolve(among, min_members=others.least, takes_claims=others.takes_claims)

    def clients(self, request: s.ClientsRequest, now: float, most: int) -> s.Clients:
        """Return a page of clients."""
        found: list[s.ClientStatus] = []
        seen = 0
        for peer in self._peers_behind(request.after):
            if peer.server:
                continue
            if len(found) == most or seen >= _PAGE_ROUTES:
                return s.Clients(found, found[-1].id)
            found.append(self._client(peer, self.subscriptions.of(peer), now))
            seen += found[-1].subscriptions + found[-1].services
        return s.Clients(found, None)

    def _client(self, peer: Peer, windows: Mapping[int, SendWindow], now: float) -> s.ClientStatus:
        requests, calls, _ = self.services.load_of(peer)
        return s.ClientStatus(
            id=peer.id,
            name=peer.name,
            identity=peer.identity.name,
            address=peer.origin.address,
            wire=peer.origin.wire,
            age=now - peer.origin.begun_at,
            received=peer.received,
            received_bytes=peer.received_size,
            sent=peer.sent + sum(window.delivered for window in windows.values()),
            sent_bytes=peer.sent_size + sum(window.delivered_size for window in windows.values()),
            waiting_bytes=peer.outbox.size + peer.outbox.control_size,
            held=sum(window.held for window in windows.values()),
            dropped=sum(window.dropped for window in windows.values()),
            subscriptions=len(windows),
            services=len(self.services.of(peer)),
            requests=requests,
            calls=calls,
        )

    def _peers_behind(self, number: int) -> Iterator[Peer]:
        return (peer for key, peer in self.connections.peers.items() if key > number)

    def all_services(self, request: s.ServicesRequest, _now: float, most: int) -> s.Services:
        """Return a page of services."""
        page, behind = _page(self._behind(request.after, self.services.of), most)
        return s.Services([_service(peer, service) for peer, service in page], behind)

    def all_subscriptions(self, request: s.SubscriptionsRequest, _now: float, most: int) -> s.Subscriptions:
        """Return a page of subscriptions."""
        page, behind = _page(self._behind(request.after, self.subscriptions.of), most)
        return s.Subscriptions([_subscription(peer, window) for peer, window in page], behind)

    def _behind(
        self, after: s.Place, of: Callable[[Peer], Mapping[int, Entry]]
    ) -> Iterator[tuple[s.Place, tuple[Peer, Entry]]]:
        """Give what clients have behind this place, by place."""
        for peer in self._peers_behind(after[0] - 1):
            for number, entry in of(peer).items():
                if (peer.id, number) > after:
                    yield (peer.id, number), (peer, entry)

    def members(self, request: s.MembersRequest, now: float, most: int) -> s.Members:
        """Return a page of other servers."""
        behind = ((key, each) for key, each in self.elsewhere.members.items() if key > request.after)
        page, last = _page(behind, most)
        return s.Members([self._member(each, now) for each in page], last)

    def _member(self, member: Member, now: float) -> s.MemberStatus:
        peer, window = member.peer, member.window
        requests, calls, _ = self.services.load_of(peer)
        return s.MemberStatus(
            id=peer.id,
            name=peer.name,
            node=member.node,
            age=now - peer.origin.begun_at,
            heard=now - member.heard_at,
            received=peer.received,
            received_bytes=peer.received_size,
            sent=peer.sent + window.delivered,
            sent_bytes=peer.sent_size + window.delivered_size,
            unacknowledged=len(window.counting),
            waiting_bytes=peer.outbox.size + peer.outbox.control_size,
            held=window.held,
            dropped=window.dropped,
            groups=len(member.groups),
            services=len(member.stakes),
            requests=requests,
            calls=calls,
        )

    def topics(self, request: s.TopicsRequest, now: float, most: int) -> s.Topics:
        """Return a page of topics."""
        behind = self.subscriptions.routes.counts.behind(request.after, most + 1)
        page, last = _page(((topic, (topic, count)) for topic, count in behind), most)
        return s.Topics([s.TopicStatus(topic, each.messages, each.size, now - each.at) for topic, each in page], last)


def _page(entries: Iterable[tuple[Key, Entry]], most: int) -> tuple[list[Entry], Key | None]:
    """Return the first entries, and the key of the last of them if more are behind it."""
    taken = [*islice(entries, most + 1)]
    page = taken[:most]
    return [entry for _, entry in page], page[-1][0] if len(taken) > most else None


def _service(peer: Peer, service: Service) -> s.ServiceStatus:
    return s.ServiceStatus(
        topic=service.topic,
        client=peer.id,
        name=peer.name,
        identity=peer.identity.name,
        window=service.window_requests,
        pending=len(service.pending),
        calls=service.calls,
        server=peer.server,
    )


def _subscription(peer: Peer, window: SendWindow) -> s.SubscriptionStatus:
    return s.SubscriptionStatus(
        topic=window.topic,
        client=peer.id,
        name=peer.name,
        identity=peer.identity.name,
        window=window.window_messages,
        free=max(0, window.messages) if window.size > 0 else 0,
        delivered=window.delivered,
        held=window.held,
        dropped=window.dropped,
    )


_Answer = Callable[[About, Any, float, int], object]

_ANSWERS: Final[dict[type[Request], _Answer]] = {
    s.StatusRequest: About.status,
    s.ClientsRequest: About.clients,
    s.ServicesRequest: About.all_services,
    s.SubscriptionsRequest: About.all_subscriptions,
    s.MembersRequest: About.members,
    s.TopicsRequest: About.topics,
}
"""What answers each."""

_REQUESTS: Final = {prefix_of(request): request for request in _ANSWERS}
"""By topic: what is asked there."""
