"""The other servers of the same bus: what they are told of the clients here, and what waits until they have agreed.

::

    elsewhere.subscribed(peer, 7, "lab/*")  # tells each member Subscribe(40, "lab/**"): the group is new
    elsewhere.agree(consent, member)        # the last one knows: Accepted(7, (0,)) for the client

So a client that has subscribed misses nothing of what is published anywhere from then on, and a topic has one service
in all servers that can reach each other: each *stake* in a topic is told to all others, and of two that do not know
each other yet the older one stands. Both servers decide so by themselves, since they compare the same two.

The servers are told of each other by their owner (:meth:`Elsewhere.join`, :meth:`Elsewhere.leave`). A server that
joins is told everything.

The law of this module: an operation waits for the members that were there when it began, or joined meanwhile, and for
each as long as it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from ..errors import ServiceNotFound, TopicClaimed
from ..text import quote
from ..wire import messages as m
from ..wire.values import FRAME_OVERHEAD
from .budget import ANSWER
from .consent import Consent
from .groups import Groups
from .member import Member
from .routes import is_own
from .welcome import introduction

if TYPE_CHECKING:
    from .claims import ClaimTable
    from .member import Numbers
    from .peer import Peer
    from .requests import ServiceTable
    from .service import Service
    from .subscriptions import SubscriptionTable


@define(eq=False, repr=False)
class Elsewhere:
    """All other servers."""

    numbers: Numbers
    subscriptions: SubscriptionTable
    claims: ClaimTable
    services: ServiceTable
    node: str = field(default="", init=False)
    """What this server is to them; none where there are no others to expect."""
    name: str = field(default="", init=False)
    """What it is called, for people."""
    bus: str = field(default="", init=False)
    """What all of them together are called."""
    epoch: float = field(default=0.0, init=False)
    """The seconds of Unix time at the moment 0 of the router's time."""
    least: int = field(default=1, init=False)
    """Servers that have to be there, this one too, for a claim to be accepted."""
    groups: Groups = field(factory=Groups, init=False)
    members: dict[int, Member] = field(factory=dict, init=False)
    """By the ids of their connections."""
    _unsettled: dict[str, Consent] = field(factory=dict, init=False)
    """By group: what waits until all members know that it is subscribed to."""

    # --- who is there

    def begin(self, node: str, epoch: float, *, depth: int, least: int, name: str = "", bus: str = "") -> None:
        """Be one server of several from now on, of which none has joined yet."""
        self.follow()
        self.node, self.epoch, self.least, self.name, self.bus = node, epoch, least, name, bus
        self.groups = Groups(depth)
        for topic in self.subscriptions.topics():
            self.groups.add(topic)

    def join(self, peer: Peer) -> Member:
        """Take note of a server that can be reached, and have it told of the clients here."""
        way = self.subscriptions.open_way(peer, self.numbers)
        member = Member(peer.server, way, self.services.open_about(peer))
        self.members[peer.id] = member
        peer.outbox.put_control(introduction(self.name or self.node), self.name)
        for group in self.groups.counts:
            self._tell_group(member, group)
        for service in self.claims.all:
            if not service.peer.server:
                self._tell_stake(member, service)
        return member

    def leave(self, peer: Peer) -> bool:
        """Forget a server that is gone: it counts nothing any more, and nobody waits for it.

        Returns:
          Whether anybody was told that it had joined.

        """
        member = self.members.pop(peer.id)
        self.subscriptions.close_way(member.window, member.groups.values())
        asked, member.asked = member.asked, {}
        for consent in asked.values():
            self.agree(consent, member)
        return member.is_known

    def find(self, server: str) -> Member | None:
        """Return the server with this node, or else this name; None if that is this one, as it is for "".

        Raises:
          ServiceNotFound: no server is called so, or several are.

        """
        if server in ("", self.node):
            return None
        found: list[Member | None] = [each for each in self.members.values() if each.node == server]
        if not found:
            found += [each for each in self.members.values() if each.peer.name == server]
            found += [None] if server == self.name else []
        if not found:
            raise ServiceNotFound(f"no server of this bus is called {quote(server)}")
        if len(found) > 1:
            raise ServiceNotFound(f"{len(found)} servers of this bus are called {quote(server)}: give the node of one")
        return found[0]

    @property
    def takes_claims(self) -> bool:
        """Whether enough servers are here."""
        return not self.node or 1 + len(self.members) >= self.least

    @property
    def groups_elsewhere(self) -> int:
        """How many groups all others have subscribed to here."""
        return sum(len(member.groups) for member in self.members.values())

    # --- what clients here do

    def subscribed(self, peer: Peer, operation: int, topic: str) -> None:
        """Have a subscription acknowledged when all members know its group."""
        if not self.node or is_own(topic):
            peer.outbox.acknowledge(operation)
            return
        group, is_new = self.groups.add(topic)
        if is_new:
            self._unsettled[group] = Consent(group)
            for member in self.members.values():
                self._tell_group(member, group)
        if (consent := self._unsettled.get(group)) is not None:
            consent.operations.append((peer, operation))
            self._finish(consent)
        else:
            peer.outbox.acknowledge(operation)

    def claimed(self, service: Service) -> None:
        """Have a claim accepted when all members agree; then it is served.

        Raises:
          TopicClaimed: too few servers are here.

        """
        if not self.takes_claims:
            self.services.withdraw(service)
            raise TopicClaimed(
                f"{1 + len(self.members)} of at least {self.least} servers of this bus are here (min_members): whether "
                f"the others have a service of {service.topic!r} is not known"
            )
        consent = Consent(service=service)
        for member in self.members.values():
            self._tell_stake(member, service, consent)
        self._finish(consent)

    def unclaimed(self, peer: Peer, operation: int, service: Service | None) -> None:
        """Have the end of a service acknowledged when all members know it: its topic is free everywhere then."""
        consent = Consent()
        consent.operations.append((peer, operation))
        if service is not None:
            self._end_stake(service, consent)
        self._finish(consent)

    def follow(self) -> None:
        """Tell the members what has ended since the last time."""
        ended, count = self.subscriptions.ended, 0
        try:
            for count, each in enumerate(ended, 1):  # noqa: B007 -- it is looked at below
                if isinstance(each, str):
                    self._close(each)
                elif not each.peer.server:
                    self._end_stake(each)
                elif (member := self.members.get(each.peer.id)) and member.stakes.get(each.topic) is each:
                    del member.stakes[each.topic]
                    self._take_next(each.topic)
        finally:
            # What fails is not tried again, and keeps nothing behind it from being told.
            del ended[:count]

    def _close(self, topic: str) -> None:
        if self.node and (group := self.groups.discard(topic)) is not None:
            self._end_group(group)

    def _end_group(self, group: str) -> None:
        if (consent := self._unsettled.get(group)) is not None:
            # Those who waited have gone, or closed it before they were told that it is open.
            consent.members.clear()
            self._finish(consent)
        for member in self.members.values():
            if (number := member.told_groups.pop(group, None)) is not None:
                member.asked.pop(number, None)
                member.peer.outbox.put_control(m.Unsubscribe(self.numbers.take(), number))

    def _end_stake(self, service: Service, consent: Consent | None = None) -> None:
        for member in self.members.values():
            if (number := member.told_stakes.pop(service, None)) is not None:
                del member.staked[number]
                member.asked.pop(number, None)
                ending = self.numbers.take()
                if consent is not None:
                    consent.members.add(member.peer.id)
                    member.asked[ending] = consent
                # What is pending is answered still, or refused one by one.
                member.peer.outbox.put_control(m.Unclaim(ending, number, finishes=True))

    def _take_next(self, topic: str) -> None:
        """Send requests to another server that has a stake in a topic, now that this one has none."""
        if self.claims.find(topic) is None:
            for member in self.members.values():
                if (service := member.stakes.get(topic)) is not None:
                    self.claims.install(service)
                    return

    # --- telling

    def _tell_group(self, member: Member, group: str) -> None:
        number = member.told_groups[group] = self.numbers.take()
        if (consent := self._unsettled.get(group)) is not None:
            consent.members.add(member.peer.id)
            member.asked[number] = consent
        _tell(member, m.Subscribe(number, group, 1, 1), group)

    def _tell_stake(self, member: Member, service: Service, consent: Consent | None = None) -> None:
        number = member.told_stakes[service] = self.numbers.take()
        member.staked[number] = service
        if consent is None and service.is_wanted:
            consent = next(
                each for other in self.members.values() for each in other.asked.values() if each.service is service
            )
        if consent is not None:
            consent.members.add(member.peer.id)
            member.asked[number] = consent
        _tell(member, m.Stake(number, service.topic, self._since(service), not service.is_wanted), service.topic)

    def _since(self, service: Service) -> int:
        return max(0, int((self.epoch + service.claimed_at) * 1_000_000))

    # --- who has a topic

    def take_stake(self, member: Member, stake: m.Stake) -> None:
        """Take note of a service over there, unless an older one is here: then refuse it."""
        mine = self.claims.find(stake.topic)
        if mine is not None and not mine.peer.server:
            theirs = not stake.is_held, stake.since, member.node
            if (mine.is_wanted, self._since(mine), self.node) < theirs:
                raise TopicClaimed(f"{stake.topic!r} is served at another server of this bus")
            self.lose(mine, f"{stake.topic!r} was claimed earlier at another server of this bus")
        member.stakes[stake.topic] = self.services.stake(member.peer, stake.id, stake.topic)
        self._take_next(stake.topic)
        member.peer.outbox.acknowledge(stake.id)

    def lose(self, service: Service, text: str) -> None:
        """End a service, or a claim, of a client here: somebody else has the topic."""
        if self.claims.is_open(service):
            self._end_stake(service)
            self.services.withdraw(service)
            service.peer.refuse(service.id, TopicClaimed(text))

    # --- consent

    def agree(self, consent: Consent, member: Member) -> None:
        """Note that one member less is waited for."""
        consent.members.discard(member.peer.id)
        self._finish(consent)

    def _finish(self, consent: Consent) -> None:
        """Acknowledge what has waited, if nobody is waited for any more."""
        if consent.members:
            return
        if consent.service is not None:
            if self.claims.is_open(consent.service) and consent.service.is_wanted:
                self.claims.confirm(consent.service)
            return
        self._unsettled.pop(consent.group, None)
        operations, consent.operations = consent.operations, []
        for peer, operation in operations:
            peer.outbox.acknowledge(operation)


def _tell(member: Member, message: m.Subscribe | m.Stake, topic: str) -> None:
    """Say something that others wait for; a member that joins may be told very much at once."""
    outbox = member.peer.outbox
    size = len(topic) + FRAME_OVERHEAD
    if outbox.fits(size, ANSWER):
        outbox.put(message, size, ANSWER)
    else:
        member.peer.end("what it is to be told of the clients here does not fit: Limits.outbox_bytes")
