"""What the other servers of the bus say, and what follows here.

A server says much of what a client says, and of what a bus says: it passes on what its clients do, and answers what it
is told. A request comes as the CALL that it is for the other server, an answer as its RESPONSE.

The law of this module: what a server asks for is done or refused; what it answers is believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define

from ..errors import BusError, MessageTooLarge, ProtocolViolation
from ..wire import messages as m
from ..wire.values import size_in_frame
from .routes import is_own

if TYPE_CHECKING:
    from collections.abc import Callable

    from .elsewhere import Elsewhere
    from .forwarding import Forwarding
    from .member import Member
    from .own_topics import OwnTopics
    from .peer import Peer
    from .pubsub import PubSub
    from .requests import ServiceTable
    from .subscriptions import SubscriptionTable

_STEPS: Final = 16
"""Steps of what a member says, publications aside; as those of a client's operation."""


@define(eq=False, repr=False)
class Hearing:
    """The ear for all other servers."""

    elsewhere: Elsewhere
    subscriptions: SubscriptionTable
    services: ServiceTable
    forwarding: Forwarding
    pubsub: PubSub
    own_topics: OwnTopics

    def hear(self, member: Member, message: m.MemberMessage | m.ClientMessage, now: float) -> int:
        """Carry out what a member says, publications aside; return the steps that it took.

        Raises:
          ProtocolViolation: no member says that.

        """
        peer = member.peer
        match message:
            case m.Accepted():
                self._hear_accepted(member, message, now)
                return len(message.counts)
            case m.Unreached():
                self.forwarding.note_unreached(member, message.first, message.counts)
            case m.Refused():
                self._hear_refused(member, message, now)
            case m.Response():
                self.services.respond(peer, m.Respond(message.request, message.payload, message.headers))
            case m.Withdraw():
                self.services.cancel(peer, message.call)
            case m.Lapse():
                return self._try(peer, None, lambda: self.pubsub.lapse(message))
            case m.Call():
                ask = m.Ask(message.id, message.timeout, message.topic, message.payload, message.headers)
                return self._try(peer, message.id, lambda: self._request(peer, ask, now))
            case m.Subscribe():
                return self._try(peer, message.id, lambda: self._open_group(member, message))
            case m.Unsubscribe():
                if (group := member.groups.pop(message.subscription, None)) is not None:
                    self.subscriptions.routes.discard_at(group, member.window)
            case m.Stake():
                return self._try(peer, message.id, lambda: self.elsewhere.take_stake(member, message))
            case m.Unclaim():
                self._end_stake(peer, message)
            case m.Hello():
                member.introduce(message, self.elsewhere.claims.events)
            case m.Ping():
                peer.put_sign(m.Pong(message.token))
            case m.Pong():
                pass
            case m.Goodbye() | m.Error():
                peer.end(f"it says: {message.text}")
            case _:
                raise ProtocolViolation(f"no server says {type(message).__name__} to another")
        return _STEPS

    def _try(self, peer: Peer, operation: int | None, carry_out: Callable[[], int | None]) -> int:
        """Do what a member asks for, or refuse it; return the steps."""
        try:
            return carry_out() or _STEPS
        except BusError as error:
            if operation is not None:
                peer.refuse(operation, error)
            return _STEPS

    def _request(self, peer: Peer, ask: m.Ask, now: float) -> int | None:
        if is_own(ask.topic):
            return self.own_topics.request(peer, ask, now)
        size, most = size_in_frame(ask.topic, ask.payload, ask.headers), self.services.limits.frame
        if size > most:
            text = f"the request takes {size} bytes: {most} are allowed at the server of its service (Limits.frame)"
            raise MessageTooLarge(text)
        self.services.request(peer, ask, now)
        return None

    def _hear_accepted(self, member: Member, message: m.Accepted, now: float) -> None:
        if member.asked:
            for number in range(message.first, message.first + len(message.counts)):
                if (consent := member.asked.pop(number, None)) is not None:
                    self.elsewhere.agree(consent, member)
        self.forwarding.count(member, message, now)

    def _hear_refused(self, member: Member, message: m.Refused, now: float) -> None:
        if self.forwarding.refuse(member, message.id, now):
            return
        if (service := member.staked.get(message.id)) is not None:
            self.elsewhere.lose(service, message.text)
        elif (consent := member.asked.pop(message.id, None)) is not None:
            # It cannot take the group, as its limits are others: nothing comes from there.
            self.elsewhere.agree(consent, member)
        else:
            self.services.fail(member.peer, m.Fail(message.id, message.code, message.text))

    def _end_stake(self, peer: Peer, message: m.Unclaim) -> None:
        self.services.unclaim(peer, message)
        self.elsewhere.follow()
        peer.outbox.acknowledge(message.id)

    def _open_group(self, member: Member, message: m.Subscribe) -> None:
        self.subscriptions.routes.add_at(message.topic, member.window)
        member.groups[message.id] = message.topic
        member.peer.outbox.acknowledge(message.id)
