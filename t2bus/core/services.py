"""Request and response: who serves which topic, and what is pending between whom.

A topic is served by one connection at a time. A request becomes an *exchange*: it stands in the requester's table
under the id of its operation and in the responder's under a call id of the bus's own, and leaves each when that side
is done with it. The requester is done when it is answered, gives up or disconnects; the responder when it responds or
fails, or when its service ends. So whoever leaves first, the other side hears of it at once, and nothing is left
behind.

A request that was given up may still be worked on, so its place in the service's window is freed by the responder's
end only, or with the request's lifetime: a responder that forgets a request has not lost the place for ever.

The law of this module: every way out of an exchange is ``pop``; none is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from ..errors import (
    BusError,
    InvalidTopic,
    LimitExceeded,
    ProtocolViolation,
    RequestTimeout,
    ServiceBusy,
    ServiceGone,
    ServiceNotFound,
    TopicClaimed,
)
from ..topic import is_concrete, validate
from ..wire.messages import Call, Claim, Fail, Refused, Request, Respond, Response, Unclaim, Withdraw
from ..wire.values import ErrorCode, size_of

if TYPE_CHECKING:
    from ..limits import Limits
    from .link import Link
    from .statistics import Counters

__all__ = ["Exchange", "Service", "ServiceTable"]


@define(eq=False, repr=False)
class Service:
    """The claim of one topic by one connection."""

    id: int
    topic: str
    link: Link
    window_requests: int
    window_size: int
    pending: dict[int, Exchange] = field(factory=dict)
    """What was handed to the responder and not ended by it, by call id."""
    size: int = 0


@define(eq=False, repr=False)
class Exchange:
    """One request on its way from its requester to its responder and back."""

    call: int
    service: Service
    size: int
    expires_at: float
    request: int
    requester: Link | None
    """None when nobody waits for the answer any more; else its table has this exchange."""


@define(eq=False, repr=False)
class ServiceTable:
    """All services of a bus and all that is pending."""

    limits: Limits
    counters: Counters
    _services: dict[str, Service] = field(factory=dict, init=False)
    _exchanges: dict[int, Exchange] = field(factory=dict, init=False)
    """All exchanges that a responder has not ended, oldest first, so that the first expires first."""
    _last_call: int = field(default=0, init=False)

    def __len__(self) -> int:
        """Return the number of services."""
        return len(self._services)

    @property
    def pending(self) -> int:
        """The number of requests that responders have not ended."""
        return len(self._exchanges)

    # --- claims

    def claim(self, link: Link, message: Claim) -> None:
        """Make a connection the server of a topic; its window is what it asks for or the bus's own, if that is less."""
        limits = self.limits
        self._require_concrete(message.topic, "served")
        if message.topic in self._services:
            raise TopicClaimed(f"{message.topic!r} is served already: serve another topic or end that service first")
        if len(link.services) >= limits.services:
            raise LimitExceeded(
                f"this connection serves {limits.services} topics, all that Limits.services of the bus allows"
            )
        if not message.requests or not message.size:
            raise ProtocolViolation("a service needs a window of at least one request and one byte")
        service = Service(
            message.id,
            message.topic,
            link,
            min(message.requests, limits.service_requests),
            min(message.size, limits.service_bytes),
        )
        link.services[message.id] = self._services[message.topic] = service
        link.outbox.accept(message.id, 0)

    def unclaim(self, link: Link, message: Unclaim) -> None:
        """End a service and tell all that wait for it; one that is not there has ended already."""
        service = link.services.pop(message.service, None)
        if service is not None:
            self._end(service)
        link.outbox.accept(message.id, 0)

    def _end(self, service: Service) -> None:
        del self._services[service.topic]
        for exchange in service.pending.copy().values():
            self._end_call(exchange)
            self._refuse(exchange, ServiceGone(f"the service of {service.topic!r} left with the request pending"))

    def _require_concrete(self, topic: str, verb: str) -> None:
        validate(topic, length=self.limits.topic_length, depth=self.limits.topic_depth)
        if not is_concrete(topic):
            raise InvalidTopic(f"{topic!r} has wildcards: a topic is {verb} as it is, without them")

    # --- requests

    def request(self, link: Link, message: Request, now: float) -> None:
        """Hand a request to its service."""
        service = self._services.get(message.topic)
        if service is None:
            # A topic that is served has been looked at already.
            self._require_concrete(message.topic, "asked")
        if len(link.requests) >= self.limits.requests:
            raise LimitExceeded(
                f"this connection has {self.limits.requests} requests pending, all that Limits.requests allows"
            )
        if service is None:
            raise ServiceNotFound(f"nobody serves {message.topic!r}: start its service, or check the topic")
        size = size_of(message.topic, message.payload, message.headers)
        responder = service.link
        spent = len(service.pending) >= service.window_requests or service.size >= service.window_size
        if spent or not responder.outbox.fits(size):
            self.counters.busy += 1
            raise ServiceBusy(f"the service of {message.topic!r} has all the requests pending that it takes: try later")
        self._last_call = call = self._last_call + 1
        expires_at = now + self.limits.request_lifetime
        exchange = Exchange(call, service, size, expires_at, message.id, link)
        link.requests[message.id] = exchange
        self._exchanges[call] = service.pending[call] = responder.calls[call] = exchange
        service.size += size
        self.counters.requests += 1
        outgoing = Call(call, service.id, message.timeout, message.topic, message.payload, message.headers)
        responder.outbox.put(outgoing, size)

    def cancel(self, link: Link, request: int) -> None:
        """Give a request up; one that has just been answered is not there any more."""
        exchange = link.requests.pop(request, None)
        if exchange is not None:
            self._abandon(exchange)

    def respond(self, link: Link, message: Respond) -> None:
        """Pass an answer to the requester, if it still waits."""
        exchange = self._finish(link, message.call)
        if exchange is not None:
            size = size_of("", message.payload, message.headers)
            self._answer(exchange, Response(exchange.request, message.payload, message.headers), size)

    def fail(self, link: Link, message: Fail) -> None:
        """Pass a failure to the requester, if it still waits."""
        if message.code not in (ErrorCode.REMOTE_ERROR, ErrorCode.MALFORMED_MESSAGE):
            raise ProtocolViolation(f"a call cannot fail with {message.code.name}")
        exchange = self._finish(link, message.call)
        if exchange is not None:
            # Its text may be as long as a response, and counts as one: as control it could close the requester.
            self._answer(exchange, Refused(exchange.request, message.code, message.text), len(message.text))

    def _finish(self, responder: Link, call: int) -> Exchange | None:
        """End a call; return its exchange if someone waits for the answer, and count a late one otherwise."""
        exchange = responder.calls.get(call)
        if exchange is not None:
            self._end_call(exchange)
        if exchange is None or exchange.requester is None:
            self.counters.late_responses += 1
            return None
        return exchange

    def _answer(self, exchange: Exchange, message: Response | Refused, size: int) -> None:
        requester = exchange.requester
        assert requester is not None
        if requester.outbox.fits(size):
            requester.requests.pop(exchange.request, None)
            requester.outbox.put(message, size)
        else:
            text = "the answer does not fit: the requester's Limits.outbox_bytes are waiting"
            self._refuse(exchange, LimitExceeded(text))

    def _end_call(self, exchange: Exchange) -> None:
        """Take an exchange off the responder's side."""
        service = exchange.service
        service.size -= exchange.size
        del service.pending[exchange.call]
        del service.link.calls[exchange.call]
        del self._exchanges[exchange.call]

    def _refuse(self, exchange: Exchange, error: BusError) -> None:
        """Answer the requester with an error, if it still waits."""
        requester, exchange.requester = exchange.requester, None
        if requester is not None:
            requester.requests.pop(exchange.request, None)
            requester.refuse(exchange.request, error)

    def _abandon(self, exchange: Exchange) -> None:
        """Tell the responder that nobody waits any more."""
        exchange.requester = None
        self._withdraw(exchange)

    def _withdraw(self, exchange: Exchange) -> None:
        """Tell a responder that nobody waits any more, at once or when it has read what waits.

        Others decide how often they give up, so what a responder does not read of that must not cost its connection.
        """
        responder = exchange.service.link
        if responder.outbox.is_calm:
            responder.outbox.put_control(Withdraw(exchange.call))
        else:
            responder.untold.append(exchange.call)

    def written(self, link: Link) -> None:
        """Tell a responder what it was not told before."""
        while link.untold and link.outbox.is_calm:
            call = link.untold.popleft()
            if call in link.calls:
                link.outbox.put_control(Withdraw(call))

    # --- ends

    def disconnect(self, link: Link) -> None:
        """End the services and give up the requests of a connection that has ended."""
        while link.services:
            self._end(link.services.popitem()[1])
        while link.requests:
            self._abandon(link.requests.popitem()[1])

    def expire(self, now: float) -> None:
        """Answer the requests whose lifetime is over, and free their places."""
        while self._exchanges:
            exchange = next(iter(self._exchanges.values()))
            if exchange.expires_at > now:
                return
            if exchange.requester is not None:
                # Whoever has not read for a lifetime is past being spared.
                exchange.service.link.outbox.put_control(Withdraw(exchange.call))
            self._end_call(exchange)
            lifetime = self.limits.request_lifetime
            self._refuse(
                exchange, RequestTimeout(f"the request was pending for {lifetime:g} s (Limits.request_lifetime)")
            )

    def next_deadline(self) -> float | None:
        """Return when the oldest request's lifetime is over, if there is one."""
        return next(iter(self._exchanges.values())).expires_at if self._exchanges else None
