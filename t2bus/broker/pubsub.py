"""Publish and subscribe: who receives a publication, and what becomes of it at each receiver.

A publication is matched once. Then each connection on its route is looked at by itself: what it takes is one delivery
that names the subscriptions that took it.

Matching a fragment, looking at a receiver and taking a publication out of a run are one *step* each. Each publication
says how many steps it took, and a run that would take more than a turn (``Limits.turn_steps``) is carried out in part.

The law of this module: nothing that happens at one receiver, whatever it is, is seen by the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, evolve, field

from ..errors import LimitExceeded, ProtocolViolation
from ..wire.messages import Credit, Deliver, DeliverRun, Publish, PublishRun, Run, Subscribe, Unsubscribe
from ..wire.values import size_of
from .flow import HeldPublication, SendWindow
from .routes import Routes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..limits import Limits
    from ..wire.messages import Publication
    from .outbox import Budget
    from .peer import Peer
    from .routes import Receiver, Route
    from .statistics import Counters


@define(eq=False)
class _Subscriber:
    """The subscriptions of one connection, by id."""

    windows: dict[int, SendWindow] = field(factory=dict)
    behind: dict[int, SendWindow] = field(factory=dict)
    """Those that have a backlog; see :attr:`.SendWindow.behind`."""


@define(eq=False, repr=False)
class PubSub:
    """All subscriptions of a bus, and the way of a publication to them."""

    limits: Limits
    counters: Counters
    total: Budget
    """Shared by the outboxes of all connections."""
    is_alarmed: bool = field(default=False, init=False)
    """Set when a subscription begins to hold something, and so may stall: :meth:`next_deadline` has come nearer."""
    _routes: Routes = field(init=False)
    _subscribers: dict[int, _Subscriber] = field(factory=dict, init=False)
    """By the ids of their connections."""
    _holding: dict[SendWindow, None] = field(factory=dict, init=False)
    """The subscriptions that hold something, or did when last looked at: the only ones that can stall."""

    def __attrs_post_init__(self) -> None:
        """Make the routes with the bounds of this bus."""
        self._routes = Routes(self.limits)

    def __len__(self) -> int:
        """Return the number of subscriptions."""
        return len(self._routes)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of any connection."""
        return self._routes.is_empty and not (self._subscribers or self._holding)

    @property
    def held(self) -> int:
        """How many deliveries wait for credit, over all subscriptions."""
        return sum(window.held for window in self._holding)

    def held_by(self, peer: Peer) -> dict[int, int]:
        """Return how many deliveries wait for credit in each subscription of a connection, by its id."""
        subscriber = self._subscribers.get(peer.id) or _Subscriber()
        return {number: window.held for number, window in subscriber.windows.items()}

    # --- subscriptions

    def subscribe(self, peer: Peer, message: Subscribe) -> None:
        """Open a subscription, with the window that the client asks for or the bus's own, whichever is smaller."""
        limits = self.limits
        subscriber = self._subscribers.get(peer.id) or _Subscriber()
        if len(subscriber.windows) >= limits.subscriptions:
            raise LimitExceeded(
                f"this connection has {limits.subscriptions} subscriptions, all that Limits.subscriptions of the bus "
                "allows: subscribe with wildcards, or open a second connection"
            )
        if not message.messages or not message.size:
            raise ProtocolViolation("a subscription needs a window of at least one message and one byte")
        window = SendWindow(
            message.id,
            message.topic,
            peer,
            # Who cannot be told of a gap is bounded by its outbox alone.
            min(message.messages, limits.subscription_messages) if peer.tells_gaps else message.messages,
            min(message.size, limits.subscription_bytes) if peer.tells_gaps else message.size,
            limits.stall,
            limits.frame,
            self.counters,
            subscriber.behind,
        )
        self._routes.add(window)
        self._subscribers[peer.id] = subscriber
        subscriber.windows[message.id] = window
        peer.outbox.acknowledge(message.id, 0)

    def unsubscribe(self, peer: Peer, message: Unsubscribe) -> None:
        """Close a subscription; one that is not there is closed already."""
        subscriber = self._subscribers.get(peer.id)
        window = None if subscriber is None else subscriber.windows.pop(message.subscription, None)
        if window is not None:
            self._remove(window)
        peer.outbox.acknowledge(message.id, 0)

    def _remove(self, window: SendWindow) -> None:
        self._routes.discard(window)
        self._holding.pop(window, None)
        window.close()

    def disconnect(self, peer: Peer) -> None:
        """Close all subscriptions of a connection that has ended."""
        subscriber = self._subscribers.pop(peer.id, None)
        if subscriber is not None:
            for window in subscriber.windows.values():
                self._remove(window)
        self.share_room()

    def topics(self, peer: Peer) -> Iterable[str]:
        """Yield the topics of a connection's subscriptions."""
        subscriber = self._subscribers.get(peer.id)
        return () if subscriber is None else (window.topic for window in subscriber.windows.values())

    # --- publications

    def publish(self, peer: Peer, message: Publish, now: float) -> int:
        """Deliver a publication to all that it reaches, and acknowledge it, at once or when it is held nowhere any
        more.

        Returns:
          The steps that it took.

        Raises:
          InvalidTopic: the topic is not one.
          TopicTooBroad: finding the receivers costs more than one publication may.

        """
        route, steps = self._routes.find(message.publication.topic)
        self._distribute(peer, message, route.receivers, [], now)
        return steps + route.windows

    def publish_run(self, peer: Peer, message: PublishRun, now: float) -> tuple[int, PublishRun | None]:
        """Do as :meth:`publish` for each of a run, as far as one turn goes.

        Who has room for the whole run takes it as one, which is nearly always so, and whose windows are spent misses it
        as one. The others take it apart.

        Returns:
          The steps that it took, and what is left of the run, if anything.

        """
        route, steps = self._routes.find(message.run.topic)
        message, rest = self._part(message, route)
        run, paced = message.run, message.paced
        count, size = len(run.payloads), run.size
        is_room = self._is_room(message, route)
        taken: list[int] = []
        late: list[Receiver] = []
        apart = missed = 0
        for receiver in route.receivers:
            target, windows, ids = receiver
            is_one = len(ids) == 1
            if is_one and (gap := windows[0].gap) is not None and (windows[0].lagging or not paced):
                # Nearly all that is done for a dead subscriber; there may be hundreds.
                gap.count += count
                missed += count
            elif is_one and is_room and windows[0].admit_run(count, size):
                target.outbox.put(DeliverRun(ids, run), size, count)
                taken.append(target.id)
            elif _miss_whole(windows, paced=paced):
                for window in windows:
                    window.miss(count)
            else:
                late.append(receiver)
                apart += len(ids)
        self.counters.dropped += missed
        if late:
            for operation, publication in enumerate(run.publications, message.id):
                self._distribute(peer, Publish(operation, paced, publication), late, taken, now)
        else:
            self.counters.published += count
            peer.outbox.acknowledge_run(message.id, [len(taken)] * count)
        return steps + route.windows + count * apart, rest

    def _is_room(self, message: PublishRun, route: Route) -> bool:
        """Tell whether all receivers can take all of a run; else they share what room there is as they would one by
        one.
        """
        receivers = len(route.receivers)
        return receivers == 1 or self.total.leaves_room(
            message.run.size * receivers, len(message.run.payloads) * receivers
        )

    def _part(self, message: PublishRun, route: Route) -> tuple[PublishRun, PublishRun | None]:
        """Cut a run where those who take it apart would use up the steps of a turn; return both parts."""
        payloads, turn = message.run.payloads, self.limits.turn_steps
        if len(payloads) * route.windows <= turn:
            return message, None
        count, size, is_room = len(payloads), message.run.size, self._is_room(message, route)
        apart = sum(
            len(ids)
            for _, windows, ids in route.receivers
            if not (is_room and len(ids) == 1 and windows[0].takes_run(count, size))
            and not _miss_whole(windows, paced=message.paced)
        )
        most = max(1, turn // max(1, apart))
        if count <= most or not apart:
            return message, None
        first, rest = (Run(message.run.topic, part) for part in (payloads[:most], payloads[most:]))
        return evolve(message, run=first), evolve(message, id=message.id + most, run=rest)

    def _distribute(
        self, peer: Peer, message: Publish, receivers: Sequence[Receiver], taken: Sequence[int], now: float
    ) -> None:
        """Deliver a publication to these receivers, beside those that have ``taken`` it, and acknowledge it."""
        publication = message.publication
        size = size_of(publication.topic, publication.payload, publication.headers)
        counted = set(taken)
        # One that is too large to be held is not waited for.
        paced = message.paced and 4 * size <= self.total.limit
        held = HeldPublication(publication, peer, message.id, size, counted) if paced else None
        for target, windows, ids in receivers:
            # What is common is kept apart: it is on the hot path.
            if windows[0].gap is not None and _miss_whole(windows, paced=paced):
                for window in windows:
                    window.miss()
                continue
            if len(ids) == 1 and windows[0].admit(size):
                target.outbox.put(Deliver(ids, publication), size)
            elif not self._offer(windows, publication, size, held, now):
                continue
            counted.add(target.id)
        self.counters.published += 1
        if held is not None and held.waiting:
            peer.held += 1
        else:
            peer.outbox.acknowledge(message.id, len(counted))

    def _offer(
        self, windows: list[SendWindow], publication: Publication, size: int, held: HeldPublication | None, now: float
    ) -> bool:
        """Deliver to those of one connection's subscriptions that take the publication now; the others hold it or miss
        it.

        Returns:
          Whether any took it.

        """
        takers, late = [], []
        for window in windows:
            if window.admit(size):
                takers.append(window.id)
            else:
                late.append(window)
        if takers:
            windows[0].peer.outbox.put(Deliver(tuple(takers), publication), size)
        # Only now, because what is held takes of the room that the delivery was promised.
        for window in late:
            if held is not None and self._may_hold(window, held):
                window.hold(held, now)
                self.is_alarmed |= not self._holding
                self._holding[window] = None
            else:
                window.miss()
        return bool(takers)

    def _may_hold(self, window: SendWindow, held: HeldPublication) -> bool:
        outbox = window.peer.outbox
        return (
            not window.lagging
            and held.publisher.held < self.limits.held_messages
            and held.size <= outbox.limit  # else it would wait for room that there never is
            and self.total.may_hold(held.adds)
        )

    # --- credit, room and time

    def credit(self, peer: Peer, message: Credit, now: float) -> None:
        """Take credit for subscriptions; for one that has just been closed it means nothing any more."""
        if (subscriber := self._subscribers.get(peer.id)) is None:
            return
        for number, messages, size in message.grants:
            window = subscriber.windows.get(number)
            if window is not None:
                window.grant(messages, size, now)

    def written(self, peer: Peer) -> bool:
        """Deliver what waited for room in the outbox of a connection; tell whether something still waits."""
        subscriber = self._subscribers.get(peer.id)
        if subscriber is None or not (behind := subscriber.behind):
            return False
        first = next(iter(behind))
        for window in list(behind.values()):
            window.release()
        if first in behind:
            # Whoever went first goes last the next time, else one that is behind could take all the room for ever.
            behind[first] = behind.pop(first)
        return bool(behind)

    def share_room(self) -> None:
        """Deliver what waits for room that others have left, to one subscription after the other."""
        if not self.total.is_short:
            return
        self.total.is_short = False
        for window in list(self._holding):
            if not window.peer.outbox.size:
                window.release()
                if self.total.is_short:
                    return
                # Whoever went first goes last the next time.
                self._holding[window] = self._holding.pop(window)

    def expire(self, now: float) -> None:
        """Stop holding publications for subscribers that took nothing for the stall time."""
        for window in list(self._holding):
            if window.stalls_at <= now:
                window.give_up()
            if not window.held:
                del self._holding[window]

    def next_deadline(self) -> float | None:
        """Return when the next subscriber stalls, if any can."""
        return min((window.stalls_at for window in self._holding if window.held), default=None)


def _miss_whole(windows: Sequence[SendWindow], *, paced: bool) -> bool:
    """Tell whether none of a connection's windows takes or holds any of what is published now."""
    return all((each.gap is not None or each.is_spent) and (each.lagging or not paced) for each in windows)
