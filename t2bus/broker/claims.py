"""Which topic is whose: one connection has it, whatever else happens.

A claim gives the topic away at once, and is *wanted* until it is confirmed: the other servers of the bus may have to
agree. Nobody else gets the topic meanwhile, and no request finds it.

The law of this module: a topic is given to one service at a time, and what is released is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from ..errors import InvalidTopic, LimitExceeded, ProtocolViolation, TopicClaimed
from ..liveness import ANSWER_TIME
from ..topic import is_concrete, validate
from .routes import is_own
from .service import Service

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..limits import Limits
    from ..wire.messages import Claim
    from .contests import Contests
    from .events import Events
    from .peer import Peer


@define(eq=False, repr=False)
class ClaimTable:
    """All topics that are served or claimed."""

    limits: Limits
    contests: Contests
    events: Events
    ended: list[str | Service]
    """As in :attr:`.SubscriptionTable.ended`."""
    here: int = field(default=0, init=False)
    """How many of the topics clients of this server have."""
    _services: dict[str, Service] = field(factory=dict, init=False)

    def __len__(self) -> int:
        """Return the number of topics."""
        return len(self._services)

    @property
    def all(self) -> Iterable[Service]:
        """The services of all topics, here and at other servers."""
        return self._services.values()

    def find(self, topic: str) -> Service | None:
        """Return the service of a topic, or what is wanted to be."""
        return self._services.get(topic)

    def is_open(self, service: Service) -> bool:
        """Tell whether it still has its topic."""
        return self._services.get(service.topic) is service

    def claim(self, peer: Peer, message: Claim, count: int, now: float) -> Service:
        """Give a topic to a connection that has ``count`` others; :meth:`confirm` the service that this returns.

        Its window is what it asks for or the bus's own, if that is less.
        """
        limits = self.limits
        self.require_concrete(message.topic, "served")
        if is_own(message.topic):
            raise InvalidTopic(f"{message.topic!r} is the bus's own: serve another topic")
        if (held := self._services.get(message.topic)) is not None:
            raise self._contest(held, peer, now)
        if count >= limits.services:
            raise LimitExceeded(
                f"this connection serves {limits.services} topics, all that Limits.services of the bus allows"
            )
        if not message.requests or not message.size:
            raise ProtocolViolation("a service needs a window of at least one request and one byte")
        requests, size = min(message.requests, limits.service_requests), min(message.size, limits.service_bytes)
        service = Service(message.id, message.topic, peer, requests, size, now, is_wanted=True)
        self.install(service)
        return service

    def _contest(self, service: Service, claimant: Peer, now: float) -> TopicClaimed:
        """Return the refusal of a second claim, and have the holder of the first asked for a sign of life."""
        holder = service.peer
        text = f"{service.topic!r} is served already: serve another topic or end that service first"
        if holder is claimant or not holder.pings:
            return TopicClaimed(text)
        self.contests.begin(holder, service.topic, now)
        asked = f"its holder was asked for a sign of life, and loses it if it gives none within {ANSWER_TIME:g} s"
        return TopicClaimed(f"{text}; {asked}")

    def install(self, service: Service) -> None:
        """Give a service its topic, which is free."""
        self._services[service.topic] = service
        self.here += not service.peer.server

    def confirm(self, service: Service) -> None:
        """Let a claim be a service from now on, and tell who made it."""
        service.is_wanted = False
        service.peer.outbox.acknowledge(service.id)
        self.events.note("claimed", service.peer, service.topic)

    def release(self, service: Service) -> None:
        """Free the topic of a service; what is pending can still be answered. Idempotent."""
        if service.is_finishing:
            return
        service.is_finishing = True
        if self.is_open(service):
            del self._services[service.topic]
            self.here -= not service.peer.server
        self.ended.append(service)
        if not service.is_wanted and not service.peer.server:
            self.events.note("released", service.peer, service.topic)

    def require_concrete(self, topic: str, verb: str) -> None:
        """Raise ``InvalidTopic`` unless it is a topic without wildcards."""
        validate(topic, length=self.limits.topic_length, depth=self.limits.topic_depth)
        if not is_concrete(topic):
            raise InvalidTopic(f"{topic!r} has wildcards: a topic is {verb} as it is, without them")
