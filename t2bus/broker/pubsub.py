"""Publish and subscribe: who receives a publication, and what becomes of it at each receiver.

A publication is matched once. Its receivers, grouped by connection, form its *route*; the route of a concrete topic is
remembered until a subscription that could change it comes or goes, because programs publish on few topics, many times.
Then each connection is looked at by itself: what it takes is one delivery that names the subscriptions that took it.

The law of this module: nothing that happens at one receiver, whatever it is, is seen by the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from ..errors import LimitExceeded, ProtocolViolation
from ..topic import TopicTree, is_concrete
from ..wire.messages import (
    Credit,
    Deliver,
    DeliverRun,
    Dialect,
    Publication,
    Publish,
    PublishRun,
    Subscribe,
    Unsubscribe,
)
from ..wire.values import size_of
from .flow import HeldPublication, SendWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..limits import Limits
    from .outbox import Budget
    from .peer import Peer
    from .statistics import Counters

__all__ = ["PubSub"]

_Route = list[tuple["Peer", list[SendWindow], tuple[int, ...]]]

_RECEIVERS = 64
"""For each of ``Limits.routes`` so many subscriptions may be remembered: counting topics alone would not bound memory,
since each may reach all subscriptions of the bus."""


@define(eq=False, repr=False)
class PubSub:
    """All subscriptions of a bus, and the way of a publication to them."""

    limits: Limits
    counters: Counters
    alarm: Callable[[], None]
    """Called when the first subscription begins to hold something, and so may stall."""
    total: Budget
    """Shared by the outboxes of all connections."""
    _tree: TopicTree[SendWindow] = field(init=False)
    _routes: dict[str, _Route] = field(factory=dict, init=False)
    _remembered: int = field(default=0, init=False)
    """The subscriptions in all routes."""
    _holding: dict[SendWindow, None] = field(factory=dict, init=False)
    """The subscriptions that hold something, or did when last looked at: the only ones that can stall."""

    def __attrs_post_init__(self) -> None:
        """Make the tree with the bounds of this bus; routes are remembered here, so it need not remember matches."""
        limits = self.limits
        self._tree = TopicTree(
            steps=limits.matching_steps, cache=0, length=limits.topic_length, depth=limits.topic_depth
        )

    def __len__(self) -> int:
        """Return the number of subscriptions."""
        return len(self._tree)

    @property
    def held(self) -> int:
        """How many deliveries wait for credit, over all subscriptions."""
        return sum(subscription.held for subscription in self._holding)

    def subscribe(self, peer: Peer, message: Subscribe) -> None:
        """Open a subscription, with the window that the client asks for or the bus's own, whichever is smaller."""
        limits = self.limits
        if len(peer.subscriptions) >= limits.subscriptions:
            raise LimitExceeded(
                f"this connection has {limits.subscriptions} subscriptions, all that Limits.subscriptions of the bus "
                "allows: subscribe with wildcards, or open a second connection"
            )
        if not message.messages or not message.size:
            raise ProtocolViolation("a subscription needs a window of at least one message and one byte")
        # A client that knows no credit is bounded by its outbox alone.
        gives_credit = peer.dialect is Dialect.NATIVE
        subscription = SendWindow(
            message.id,
            message.topic,
            peer,
            min(message.messages, limits.subscription_messages) if gives_credit else message.messages,
            min(message.size, limits.subscription_bytes) if gives_credit else message.size,
            limits.stall,
            limits.frame,
            self.counters,
        )
        self._tree.add(message.topic, subscription)
        peer.subscriptions[message.id] = subscription
        self._forget_routes(message.topic)
        peer.outbox.acknowledge(message.id, 0)

    def unsubscribe(self, peer: Peer, message: Unsubscribe) -> None:
        """Close a subscription; one that is not there is closed already."""
        subscription = peer.subscriptions.pop(message.subscription, None)
        if subscription is not None:
            self._remove(subscription)
            self.share_room()
        peer.outbox.acknowledge(message.id, 0)

    def _remove(self, subscription: SendWindow) -> None:
        self._tree.discard(subscription.topic, subscription)
        self._forget_routes(subscription.topic)
        self._holding.pop(subscription, None)
        subscription.close()

    def disconnect(self, peer: Peer) -> None:
        """Close all subscriptions of a connection that has ended."""
        while peer.subscriptions:
            self._remove(peer.subscriptions.popitem()[1])
        self.share_room()

    def publish(self, peer: Peer, message: Publish, now: float) -> None:
        """Deliver a publication to all that it reaches, and acknowledge it, at once or when it is held nowhere any
        more.

        Raises:
          InvalidTopic: the topic is not one.
          TopicTooBroad: finding the receivers costs more than one publication may.

        """
        self._distribute(peer, message, self._route(message.publication.topic), [], now)

    def publish_run(self, peer: Peer, message: PublishRun, now: float) -> None:
        """Do as :meth:`publish` for each of a run.

        Who has room for the whole run takes it as one, which is nearly always so. The others take it apart.
        """
        run = message.run
        count, size = len(run.payloads), run.size
        route = self._route(run.topic)
        # Where not all could take all of it, they share what room there is as they would one by one.
        total, whole = self.total, size * len(route)
        is_room = total.fits(whole, count * len(route)) and (not message.paced or total.leaves_room(whole))
        taken: list[int] = []
        late: _Route = []
        for receiver in route:
            target, subscriptions, ids = receiver
            if is_room and len(ids) == 1 and subscriptions[0].admit_run(count, size):
                target.outbox.put(DeliverRun(ids, run), size, count)
                taken.append(target.id)
            else:
                late.append(receiver)
        if late:
            for operation, publication in enumerate(run.publications, message.id):
                self._distribute(peer, Publish(operation, message.paced, publication), late, taken, now)
        else:
            self.counters.published += count
            peer.outbox.acknowledge_run(message.id, [len(taken)] * count)

    def _distribute(self, peer: Peer, message: Publish, route: _Route, taken: Sequence[int], now: float) -> None:
        """Deliver a publication to these receivers, beside those that have ``taken`` it, and acknowledge it."""
        publication = message.publication
        size = size_of(publication.topic, publication.payload, publication.headers)
        counted = set(taken)
        # One that is too large to be held is not waited for.
        paced = message.paced and 2 * size <= self.total.limit
        ticket = HeldPublication(peer, message.id, size, counted=counted) if paced else None
        for target, subscriptions, ids in route:
            # The common case, kept apart: it is on the hot path.
            if len(ids) == 1 and subscriptions[0].admit(size, paced=paced):
                target.outbox.put(Deliver(ids, publication), size)
            elif not self._offer(subscriptions, publication, size, ticket, now):
                continue
            counted.add(target.id)
        self.counters.published += 1
        if ticket is not None and ticket.waiting:
            ticket.count = len(counted)
            peer.held += 1
        else:
            peer.outbox.acknowledge(message.id, len(counted))

    def _offer(
        self,
        subscriptions: list[SendWindow],
        publication: Publication,
        size: int,
        ticket: HeldPublication | None,
        now: float,
    ) -> bool:
        """Deliver to those of one connection's subscriptions that take the publication now; the others hold it or miss
        it.

        Returns:
          Whether any took it.

        """
        takers, late = [], []
        for subscription in subscriptions:
            if subscription.admit(size, paced=ticket is not None):
                takers.append(subscription.id)
            else:
                late.append(subscription)
        if takers:
            subscriptions[0].peer.outbox.put(Deliver(tuple(takers), publication), size)
        # Only now, because what is held takes of the room that the delivery was promised.
        for subscription in late:
            if ticket is not None and self._may_hold(subscription, ticket):
                subscription.hold(publication, ticket, now)
                if not self._holding:
                    self.alarm()
                self._holding[subscription] = None
            else:
                subscription.miss()
        return bool(takers)

    def _may_hold(self, subscription: SendWindow, ticket: HeldPublication) -> bool:
        outbox = subscription.peer.outbox
        return (
            not subscription.lagging
            and ticket.publisher.held < self.limits.held_messages
            and ticket.size <= outbox.limit  # else it would wait for room that there never is
            and self.total.may_hold(ticket.adds)
        )

    def _route(self, topic: str) -> _Route:
        route = self._routes.get(topic)
        if route is None:
            route = self._find_route(topic)
            if is_concrete(topic):
                self._remember(topic, route)
        return route

    def _find_route(self, topic: str) -> _Route:
        groups: dict[Peer, list[SendWindow]] = {}
        for subscription in sorted(self._tree.match(topic), key=lambda each: (each.peer.id, each.id)):
            groups.setdefault(subscription.peer, []).append(subscription)
        return [(peer, group, tuple(each.id for each in group)) for peer, group in groups.items()]

    def _remember(self, topic: str, route: _Route) -> None:
        """Keep a route, and as many of the youngest others as there is room for."""
        routes, most = self._routes, self.limits.routes
        routes[topic] = route
        self._remembered += _receivers(route)
        while len(routes) > most or (self._remembered > _RECEIVERS * most and len(routes) > 1):
            self._remembered -= _receivers(routes.pop(next(iter(routes))))

    def _forget_routes(self, topic: str) -> None:
        """Forget the routes that a subscription to this topic is, or will be, part of."""
        if is_concrete(topic):
            self._remembered -= _receivers(self._routes.pop(topic, []))
        else:
            self._routes.clear()
            self._remembered = 0

    def credit(self, peer: Peer, message: Credit, now: float) -> None:
        """Take credit for subscriptions; for one that has just been closed it means nothing any more."""
        for number, messages, size in message.grants:
            subscription = peer.subscriptions.get(number)
            if subscription is not None:
                subscription.grant(messages, size, now)

    def written(self, peer: Peer, now: float) -> None:
        """Deliver what waited for room in the outbox of a connection."""
        behind = peer.behind
        first = next(iter(behind), None)
        for subscription in list(behind.values()):
            held = subscription.held
            subscription.release()
            if peer.dialect is Dialect.T2 and 0 < subscription.held < held:
                # Without credit, only what it reads shows that it lives.
                subscription.stalls_at = now + subscription.stall
        if first in behind:
            # Whoever went first goes last the next time, else one that is behind could take all the room for ever.
            behind[first] = behind.pop(first)

    def share_room(self) -> None:
        """Deliver what waits for room that others have left, to one subscription after the other."""
        if not self.total.is_short:
            return
        self.total.is_short = False
        for subscription in list(self._holding):
            if not subscription.peer.outbox.size:
                subscription.release()
                if self.total.is_short:
                    return
                # Whoever went first goes last the next time.
                self._holding[subscription] = self._holding.pop(subscription)

    def expire(self, now: float) -> None:
        """Stop holding publications for subscribers that took nothing for the stall time."""
        for subscription in list(self._holding):
            if subscription.stalls_at <= now:
                subscription.give_up()
            if not subscription.held:
                del self._holding[subscription]
        self.share_room()

    def next_deadline(self) -> float | None:
        """Return when the next subscriber stalls, if any can."""
        return min((subscription.stalls_at for subscription in self._holding if subscription.held), default=None)


def _receivers(route: _Route) -> int:
    return sum(len(ids) for _, _, ids in route)
