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
from ..wire.messages import Credit, Deliver, Publication, Publish, Subscribe, Unsubscribe
from ..wire.values import size_of
from .subscription import Subscription, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..limits import Limits
    from .link import Link
    from .statistics import Counters

__all__ = ["Broker"]

_Route = list[tuple["Link", list[Subscription], tuple[int, ...]]]


@define(eq=False)
class Broker:
    """All subscriptions of a bus, and the way of a publication to them."""

    limits: Limits
    counters: Counters
    alarm: Callable[[], None]
    """Called when the first subscription begins to hold something, and so may stall."""
    _tree: TopicTree[Subscription] = field(init=False)
    _routes: dict[str, _Route] = field(factory=dict, init=False)
    _holding: dict[Subscription, None] = field(factory=dict, init=False)
    """The subscriptions that hold something, or did when last looked at: the only ones that can stall."""

    def __attrs_post_init__(self) -> None:
        """Make the tree with the bounds of this bus; routes are remembered here, so it need not remember matches."""
        limits = self.limits
        self._tree = TopicTree(
            steps=limits.matching_steps, cache=1, length=limits.topic_length, depth=limits.topic_depth
        )

    def __len__(self) -> int:
        """Return the number of subscriptions."""
        return len(self._tree)

    @property
    def held(self) -> int:
        """How many deliveries wait for credit, over all subscriptions."""
        return sum(subscription.held for subscription in self._holding)

    def subscribe(self, link: Link, message: Subscribe) -> None:
        """Open a subscription, with the window that the client asks for or the bus's own, whichever is smaller."""
        limits = self.limits
        if len(link.subscriptions) >= limits.subscriptions:
            raise LimitExceeded(
                f"this connection has {limits.subscriptions} subscriptions, all that Limits.subscriptions of the bus "
                "allows: subscribe with wildcards, or open a second connection"
            )
        if not message.messages or not message.size:
            raise ProtocolViolation("a subscription needs a window of at least one message and one byte")
        subscription = Subscription(
            message.id,
            message.topic,
            link,
            min(message.messages, limits.subscription_messages),
            min(message.size, limits.subscription_bytes),
            limits.stall,
            self.counters,
        )
        self._tree.add(message.topic, subscription)
        link.subscriptions[message.id] = subscription
        self._forget_routes(message.topic)
        link.outbox.accept(message.id, 0)

    def unsubscribe(self, link: Link, message: Unsubscribe) -> None:
        """Close a subscription; one that is not there is closed already."""
        subscription = link.subscriptions.pop(message.subscription, None)
        if subscription is not None:
            self._remove(subscription)
        link.outbox.accept(message.id, 0)

    def _remove(self, subscription: Subscription) -> None:
        self._tree.discard(subscription.topic, subscription)
        self._forget_routes(subscription.topic)
        self._holding.pop(subscription, None)
        subscription.close()

    def disconnect(self, link: Link) -> None:
        """Close all subscriptions of a connection that has ended."""
        while link.subscriptions:
            self._remove(link.subscriptions.popitem()[1])

    def publish(self, link: Link, message: Publish, now: float) -> None:
        """Deliver a publication to all that it reaches, and acknowledge it, at once or when it is held nowhere any
        more.

        Raises:
          InvalidTopic: the topic is not one.
          TopicTooBroad: finding the receivers costs more than one publication may.

        """
        publication = message.publication
        route = self._route(publication.topic)
        size = size_of(publication.topic, publication.payload, publication.headers)
        ticket = Ticket(link, message.id) if message.paced else None
        count = 0
        for target, subscriptions, ids in route:
            if len(ids) == 1 and subscriptions[0].admit(
                size
            ):  # the common case, kept apart because it is on the hot path
                takers: tuple[int, ...] = ids
            else:
                takers = self._offer(subscriptions, publication, size, ticket, now)
            if takers:
                count += 1
                target.outbox.put(Deliver(takers, publication), size)
                if ticket is not None:
                    ticket.counted.add(target.id)
        self.counters.published += 1
        if ticket is not None and ticket.waiting:
            ticket.count += count
            link.held += 1
        else:
            link.outbox.accept(message.id, count)

    def _offer(
        self, subscriptions: list[Subscription], publication: Publication, size: int, ticket: Ticket | None, now: float
    ) -> tuple[int, ...]:
        """Return which of one connection's subscriptions take the publication now; the others hold it or miss it."""
        takers = []
        for subscription in subscriptions:
            if subscription.admit(size):
                takers.append(subscription.id)
            elif ticket is not None and self._may_hold(subscription, ticket.publisher, size):
                subscription.hold(publication, size, ticket, now)
                if not self._holding:
                    self.alarm()
                self._holding[subscription] = None
            else:
                subscription.miss()
        return tuple(takers)

    def _may_hold(self, subscription: Subscription, publisher: Link, size: int) -> bool:
        total = subscription.link.outbox.total
        return (
            not subscription.lagging and publisher.held < self.limits.held_messages and total.used + size <= total.limit
        )

    def _route(self, topic: str) -> _Route:
        route = self._routes.get(topic)
        if route is not None:
            return route
        groups: dict[Link, list[Subscription]] = {}
        for subscription in sorted(self._tree.match(topic), key=lambda each: (each.link.id, each.id)):
            groups.setdefault(subscription.link, []).append(subscription)
        route = [(link, group, tuple(each.id for each in group)) for link, group in groups.items()]
        if is_concrete(topic):
            if len(self._routes) >= self.limits.routes:
                del self._routes[next(iter(self._routes))]
            self._routes[topic] = route
        return route

    def _forget_routes(self, topic: str) -> None:
        """Forget the routes that a subscription to this topic is, or will be, part of."""
        if is_concrete(topic):
            self._routes.pop(topic, None)
        else:
            self._routes.clear()

    def credit(self, link: Link, message: Credit, now: float) -> None:
        """Take credit for subscriptions; for one that has just been closed it means nothing any more."""
        for number, messages, size in message.grants:
            subscription = link.subscriptions.get(number)
            if subscription is not None:
                subscription.grant(messages, size, now)

    def written(self, link: Link) -> None:
        """Deliver what waited for room in the outbox of a connection."""
        for subscription in link.subscriptions.values():
            if subscription.backlog:
                subscription.release()

    def expire(self, now: float) -> None:
        """Stop holding publications for subscribers that took nothing for the stall time."""
        for subscription in list(self._holding):
            if subscription.stalls_at <= now:
                subscription.give_up()
            if not subscription.held:
                del self._holding[subscription]

    def next_deadline(self) -> float | None:
        """Return when the next subscriber stalls, if any can."""
        return min((subscription.stalls_at for subscription in self._holding), default=None)
