"""Request and response: who serves which topic, and what is pending between whom.

A topic is served by one connection at a time. A request that was handed to it is *pending*: it stands in the
requester's table under the id of its operation and in the responder's under a call id of the bus's own, and leaves each
when that side is done with it. The requester is done when it is answered, gives up or disconnects; the responder when
it responds or fails, or when its service ends. So whoever leaves first, the other side hears of it at once, and nothing
is left behind.

A request that was given up may still be worked on, so its place in the service's window is freed by the responder's
end only, or with the request's lifetime: a responder that forgets a request has not lost the place for ever.

The law of this module: a pending request leaves each table once, and whoever finds it gone already does nothing.
"""

from __future__ import annotations

from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Final

from attrs import define, field

from ..errors import (
    BusError,
    LimitExceeded,
    MessageTooLarge,
    ProtocolViolation,
    RequestTimeout,
    ServiceBusy,
    ServiceGone,
    ServiceNotFound,
    TopicClaimed,
)
from ..liveness import ANSWER_TIME
from ..wire.messages import Ask, Call, Claim, Fail, Refused, Respond, Response, Unclaim, Withdraw
from ..wire.values import ErrorCode, size_of
from .budget import ANSWER, cells_beside, cells_of
from .service import Party, PendingRequest, Service
from .turn import HEADERS
from .withdrawals import Withdrawals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..limits import Limits
    from .claims import ClaimTable
    from .member import Numbers
    from .peer import Peer
    from .statistics import Counters
    from .turn import Turn


_ABOUT: Final = 32
"""Requests that are pending at another server about itself. Each may take a page, which is 2 ms of a router."""

_REFUSAL: Final = 4
"""Steps of ending a request that is pending. It took 10 us, a step 2."""


@define(eq=False, repr=False)
class ServiceTable:
    """All services of a bus and all that is pending."""

    limits: Limits
    counters: Counters
    claims: ClaimTable
    numbers: Numbers
    """The ids of calls, and of all else that goes to other servers."""
    turn: Turn
    _parties: dict[int, Party] = field(factory=dict, init=False)
    """The connections that serve or have asked, by id."""
    _pending: dict[int, PendingRequest] = field(factory=dict, init=False)
    """All that a responder has not ended, by call id, oldest first, so that the first expires first."""
    _leaving: dict[Service, str] = field(factory=dict, init=False)
    """Services that have ended while more waited for them than a turn tells, and what those are told."""
    withdrawals: Withdrawals = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Tell responders of what is pending only."""
        self.withdrawals = Withdrawals(self._pending)

    @property
    def pending(self) -> int:
        """The number of requests that responders have not ended."""
        return len(self._pending)

    def _party(self, peer: Peer) -> Party:
        party = self._parties.get(peer.id)
        if party is None:
            party = self._parties[peer.id] = Party(peer)
        return party

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of any connection."""
        tables = self._parties, self._pending, self.claims.contests.open
        return not (any(tables) or len(self.claims)) and self.withdrawals.is_empty

    def of(self, peer: Peer) -> Mapping[int, Service]:
        """Return what a connection serves, by the ids of the claims."""
        party = self._parties.get(peer.id)
        return {} if party is None else party.services

    @property
    def is_waited_for(self) -> bool:
        """Whether a requester waits for an answer."""
        return any(pending.requester is not None for pending in self._pending.values())

    def load_of(self, peer: Peer) -> tuple[int, int, int]:
        """Return how many requests a connection has asked and is asked, and the bytes of the latter."""
        if (party := self._parties.get(peer.id)) is None:
            return 0, 0, 0
        pending, size = sum(len(each.pending) for each in party.asked), sum(each.size for each in party.asked)
        return len(party.requests), pending, size

    # --- claims

    def claim(self, peer: Peer, message: Claim, now: float) -> Service:
        """Give a topic to a connection that wants to serve it, as :meth:`.ClaimTable.claim` does."""
        services = self._party(peer).services
        service = services[message.id] = self.claims.claim(peer, message, len(services), now)
        return service

    def _revoke(self, holder: Peer, topic: str) -> None:
        """End a service whose holder has given no sign of life, if it still has it, and tell it."""
        service = self.claims.find(topic)
        if service is not None and service.peer is holder:
            del self._party(holder).services[service.id]
            self._end(service)
            text = f"{topic!r} was lost: somebody else claimed it, and a ping was not answered within {ANSWER_TIME:g} s"
            holder.refuse(service.id, TopicClaimed(text))

    def unclaim(self, peer: Peer, message: Unclaim) -> Service | None:
        """End a service and tell all that wait for it, or let it finish; return it, or None if it has ended already.

        It is for the caller to acknowledge that.
        """
        services = self._party(peer).services
        service = services.get(message.service)
        if service is not None:
            self.claims.release(service)
            if not (message.finishes and service.pending):
                del services[service.id]
                self._end(service)
        return service

    def _end(self, service: Service) -> None:
        """End a service that its connection has no more."""
        self.claims.release(service)
        self._leave(service, f"the service of {service.topic!r} left with the request pending")

    def _leave(self, service: Service, text: str) -> None:
        """Tell those that wait for a service that it has left, as far as the turn goes; the others are told next."""
        for pending in self._first(service.pending):
            self.turn.taken += _REFUSAL
            self._end_call(pending)
            self._refuse(pending, ServiceGone(text))
        if service.pending:
            self._leaving[service] = text
            self.turn.is_alarmed = True

    def _first(self, pending: dict[int, PendingRequest]) -> list[PendingRequest]:
        """Return the oldest of these, as many as the turn can end."""
        return list(islice(pending.values(), -(-self.turn.left // _REFUSAL)))

    def withdraw(self, service: Service) -> None:
        """End a service or a claim, whose client is told by the caller."""
        del self._party(service.peer).services[service.id]
        self._end(service)

    def stake(self, peer: Peer, number: int, topic: str) -> Service:
        """Note a service of another server, under the number that it is known by there."""
        limits = self.limits
        service = Service(number, topic, peer, limits.service_requests, limits.service_bytes)
        self._party(peer).services[number] = service
        return service

    def open_about(self, peer: Peer) -> Service:
        """Let another server be asked about itself, as if that were a service of it."""
        service = self._party(peer).about = Service(0, "", peer, _ABOUT, self.limits.service_bytes)
        return service

    # --- requests

    def request(self, peer: Peer, message: Ask, now: float) -> None:
        """Hand a request to its service."""
        service, party = self.claims.find(message.topic), self._party(peer)
        if service is not None and (service.is_wanted or (service.peer.server and peer.server)):
            # Others have to agree, or it is elsewhere, where this request comes from: it takes one hop.
            service = None
        if service is None:
            # A topic that is served has been looked at already.
            self.claims.require_concrete(message.topic, "asked")
        self._check_room(party)
        if service is None:
            raise ServiceNotFound(f"nobody serves {message.topic!r}: start its service, or check the topic")
        self._hand(party, message, service, now)

    def ask_about(self, peer: Peer, message: Ask, service: Service, now: float) -> None:
        """Hand a request to another server, which it asks about itself; see :meth:`open_about`."""
        party = self._party(peer)
        self._check_room(party)
        self._hand(party, message, service, now)

    def _check_room(self, party: Party) -> None:
        if len(party.requests) >= self.limits.requests and not party.peer.server:
            raise LimitExceeded(
                f"this connection has {self.limits.requests} requests pending, all that Limits.requests allows"
            )

    def _hand(self, party: Party, message: Ask, service: Service, now: float) -> None:
        """Put a request on its way, if the responder takes one more."""
        size, cells = size_of(message.topic, message.payload, message.headers), cells_of(message.headers)
        self.turn.taken += len(message.headers) // HEADERS
        responder = service.peer
        spent = len(service.pending) >= service.window_requests or service.size >= service.window_size
        if spent or not responder.outbox.fits(size, cells):
            self.counters.requests_busy += 1
            raise ServiceBusy(f"the service of {message.topic!r} has all the requests pending that it takes: try later")
        call = self.numbers.take()
        expires_at = now + self.limits.request_lifetime
        pending = PendingRequest(call, service, size, expires_at, message.id, party)
        party.requests[message.id] = self._pending[call] = service.pending[call] = pending
        service.size += size
        service.calls += 1
        self.counters.requests += not responder.server
        party.peer.note_received(size)
        responder.note_sent(size)
        outgoing = Call(call, service.id, message.timeout, message.topic, message.payload, message.headers)
        responder.outbox.put(outgoing, size, cells)

    def cancel(self, peer: Peer, request: int) -> None:
        """Give a request up; one that has just been answered is not there any more."""
        pending = self._party(peer).requests.pop(request, None)
        if pending is not None:
            self._abandon(pending)

    def respond(self, peer: Peer, message: Respond) -> None:
        """Pass an answer to the requester, if it still waits."""
        pending = self._finish(peer, message.call)
        if pending is not None:
            self.turn.taken += len(message.headers) // HEADERS
            response = Response(pending.request, message.payload, message.headers)
            size = size_of("", message.payload, message.headers)
            peer.note_received(size)
            if peer.server and size > self.limits.frame:
                # The other server has larger frames, and whoever asked here reads no such.
                text = f"the answer of another server has {size} bytes: {self.limits.frame} are allowed (Limits.frame)"
                self._refuse(pending, MessageTooLarge(text))
            else:
                self._answer(pending, response, size, cells_of(message.headers, ANSWER))

    def fail(self, peer: Peer, message: Fail) -> None:
        """Pass a failure to the requester, if it still waits."""
        if message.code not in (ErrorCode.REMOTE_ERROR, ErrorCode.MALFORMED_MESSAGE) and not peer.server:
            raise ProtocolViolation(f"a call cannot fail with {message.code.name}")
        pending = self._finish(peer, message.call)
        if pending is not None:
            # Its text may be as long as a response, and counts as one: as control it could close the requester.
            size, cells = len(message.text.encode()), ANSWER + cells_beside(message.text)
            self._answer(pending, Refused(pending.request, message.code, message.text), size, cells)

    def _finish(self, responder: Peer, call: int) -> PendingRequest | None:
        """End a call of this responder; return it if someone waits for the answer, and count a late one otherwise."""
        pending = self._pending.get(call)
        if pending is not None and pending.service.peer is responder:
            self._end_call(pending)
        else:
            pending = None
        if pending is None or pending.requester is None:
            self.counters.late_responses += 1
            return None
        return pending

    def _answer(self, pending: PendingRequest, message: Response | Refused, size: int, cells: int) -> None:
        requester = pending.requester
        assert requester is not None
        if requester.peer.outbox.fits(size, cells):
            requester.requests.pop(pending.request, None)
            requester.peer.outbox.put(message, size, cells)
            requester.peer.note_sent(size)
        else:
            text = "the answer does not fit: the requester's Limits.outbox_bytes are waiting"
            self._refuse(pending, LimitExceeded(text))

    def _end_call(self, pending: PendingRequest) -> None:
        """Take a request off the responder's side."""
        service = pending.service
        service.size -= pending.size
        del service.pending[pending.call]
        del self._pending[pending.call]
        if service.is_finishing and not service.pending and (party := self._parties.get(service.peer.id)):
            party.services.pop(service.id, None)

    def _refuse(self, pending: PendingRequest, error: BusError) -> None:
        """Answer the requester with an error, if it still waits."""
        requester, pending.requester = pending.requester, None
        if requester is not None:
            requester.requests.pop(pending.request, None)
            requester.peer.refuse(pending.request, error)

    def _abandon(self, pending: PendingRequest) -> None:
        """Tell the responder that nobody waits any more."""
        pending.requester = None
        self.withdrawals.put(pending.service.peer, pending.call)

    # --- ends

    def disconnect(self, peer: Peer) -> None:
        """End the services and give up the requests of a connection that has ended."""
        party = self._parties.pop(peer.id, None)
        self.withdrawals.forget(peer)
        self.claims.contests.end(peer)
        if party is None:
            return
        if party.about is not None:
            self._leave(party.about, f"the server {peer.name!r} left with the request pending")
        while party.services:
            self._end(party.services.popitem()[1])
        while party.requests:
            self._abandon(party.requests.popitem()[1])

    def expire(self, now: float) -> None:
        """Answer the requests whose lifetime is over, and free their places; take away the claims that are lost."""
        for holder, topic in self.claims.contests.take_lost(now):
            self._revoke(holder, topic)
        leaving, self._leaving = self._leaving, {}
        for service, text in leaving.items():
            self._leave(service, text)
        for pending in self._first(self._pending):
            if pending.expires_at > now:
                return
            self.turn.taken += _REFUSAL
            if pending.requester is not None:
                # Whoever has not read for a lifetime is past being spared.
                pending.service.peer.outbox.put_control(Withdraw(pending.call))
            self._end_call(pending)
            text = f"the request was pending for {self.limits.request_lifetime:g} s (Limits.request_lifetime)"
            self._refuse(pending, RequestTimeout(text))

    def next_deadline(self) -> float | None:
        """Return when :meth:`expire` has something to do, if ever."""
        if self._leaving:
            return -inf
        contested = self.claims.contests.next_deadline()
        if not self._pending:
            return contested
        expires_at = next(iter(self._pending.values())).expires_at
        return expires_at if contested is None else min(expires_at, contested)
