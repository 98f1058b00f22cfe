"""Publications: who receives one, and what becomes of it at each receiver.

A publication is matched once. Then each connection on its route is looked at by itself: what it takes is one delivery
that names the subscriptions that took it.

Matching a fragment, looking at a receiver and taking a publication out of a run are one *step* each, and so are four
headers. Each publication says how many steps it took, and a run that would take more than a turn
(``Limits.turn_steps``) is carried out in part.

The law of this module: nothing that happens at one receiver, whatever it is, is seen by the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from attrs import define, evolve, frozen

from ..protocol import encode, full_topic
from ..wire.messages import Deliver, DeliverRun, Lapse, Publication, Publish, PublishRun, Run
from ..wire.values import FRAME_OVERHEAD, size_in_frame, size_of
from .budget import RUN, Shared, cells_of
from .events import Event
from .held import HeldPublication
from .turn import HEADERS

if TYPE_CHECKING:
    from ..limits import Limits
    from .budget import Budget
    from .flow import SendWindow
    from .forwarding import Forwarding
    from .joint_count import Acknowledged
    from .peer import Peer
    from .routes import Receiver, Route
    from .statistics import Counters
    from .subscriptions import SubscriptionTable

    Receivers = Sequence[Receiver]


@frozen(eq=False)
class _Others:
    """Those who took the run that a publication is of as one, or missed it as one, or cannot be sent it."""

    takers: Sequence[int] = ()
    """The ids of the connections that took it."""
    missed: int = 0
    """How many missed it."""
    token: Shared | None = None
    """What the takers have in common."""


_NOBODY: Final = _Others()


@define(eq=False, repr=False)
class PubSub:
    """The way of a publication to all subscriptions of a bus."""

    limits: Limits
    counters: Counters
    total: Budget
    subscriptions: SubscriptionTable
    forwarding: Forwarding

    def publish(self, peer: Peer, message: Publish, now: float) -> int:
        """Deliver a publication to all that it reaches, and acknowledge it, at once or when it is held nowhere any
        more.

        Returns:
          The steps that it took.

        Raises:
          InvalidTopic: the topic is not one.
          TopicTooBroad: finding the receivers costs more than one publication may.

        """
        route, steps = self.subscriptions.routes.find(message.publication.topic)
        self.counters.withheld += route.withheld
        others = _Others(missed=route.withheld) if route.withheld else _NOBODY
        told: Acknowledged = peer.outbox
        if peer.server:
            publication = message.publication
            if size_in_frame(publication.topic, publication.payload, publication.headers) > self.limits.frame:
                return steps + self._miss(peer, message, len(route.receivers))
        elif route.ways:
            told = self.forwarding.publish(peer, message, route.ways, now)
        size = self._distribute(peer, told, message, route.receivers, now, others)
        # Without the calls, which would be a thirtieth of a lone publication.
        peer.received += 1
        peer.received_size += size
        count = route.count
        count.messages += 1
        count.size += size
        count.at = now
        return steps + route.windows + len(message.publication.headers) // HEADERS

    def publish_run(self, peer: Peer, message: PublishRun, now: float) -> tuple[int, PublishRun | None]:
        """Do as :meth:`publish` for each of a run, as far as one turn goes.

        Who has room for the whole run takes it as one, which is nearly always so, and whose windows are spent misses it
        as one. The others take it apart.

        Returns:
          The steps that it took, and what is left of the run, if anything.

        """
        route, steps = self.subscriptions.routes.find(message.run.topic)
        message, rest = self._part(message, route)
        count, size, reached = len(message.run.payloads), message.run.size, len(route.receivers) + route.withheld
        if peer.server and size + FRAME_OVERHEAD > self.limits.frame:
            parts = enumerate(message.run.publications, message.id)
            return sum(self.publish(peer, Publish(number, message.paced, each), now) for number, each in parts), rest
        peer.note_received(size, count)
        route.count.add(count, size, now)
        told: Acknowledged = peer.outbox
        if route.ways and not peer.server:
            told = self.forwarding.publish_run(peer, message, route.ways, now)
        token = Shared(self.total, size, RUN + count - 1) if len(route.receivers) > 1 else None
        takers, late = self._deliver_whole(message, size, route, token)
        missed = reached - len(takers) - len(late)
        self.counters.withheld += count * route.withheld
        if late:
            others = _Others(takers, missed, token)
            for operation, publication in enumerate(message.run.publications, message.id):
                self._distribute(peer, told, Publish(operation, message.paced, publication), late, now, others)
        else:
            if not peer.server:
                self.counters.published += count
            told.acknowledge(message.id, [len(takers)] * count, missed)
        return steps + route.windows + count * sum(len(ids) for _, _, ids in late), rest

    def announce(self, event: Event) -> None:
        """Deliver what the bus itself has to say to those who have subscribed to it by name."""
        topic, payload = full_topic(Event, event.kind), encode(event)
        publication, size = Publication(topic, payload), len(topic) + len(payload)
        for target, windows, _ in self.subscriptions.own.find(topic)[0].receivers:
            if takers := tuple(each.id for each in windows if _admit_or_miss(each, size)):
                target.outbox.put(Deliver(takers, publication), size)

    def _miss(self, peer: Peer, message: Publish, reached: int) -> int:
        """Have a publication missed that is longer than clients here can read: other servers may have larger frames."""
        peer.outbox.acknowledge(message.id, (0,), reached)
        return self.lapse(Lapse(message.publication.topic, 1))

    def lapse(self, lapse: Lapse) -> int:
        """Have the subscriptions that a topic reaches miss so many publications, and return the steps that it took."""
        route, steps = self.subscriptions.routes.find(lapse.topic)
        for _, windows, _ in route.receivers:
            for window in windows:
                window.miss(lapse.dropped)
                window.release()
        return steps + route.windows

    def _part(self, message: PublishRun, route: Route) -> tuple[PublishRun, PublishRun | None]:
        """Cut a run where those who take it apart would use up the steps of a turn; return both parts."""
        payloads, turn = message.run.payloads, self.limits.turn_steps
        if len(payloads) * route.windows <= turn:
            return message, None
        count, size = len(payloads), message.run.size
        is_room = self._is_room(count, size, route)
        apart = sum(
            len(ids)
            for _, windows, ids in route.receivers
            if not (is_room and all(each.takes_run(count, size) for each in windows))
            and not _miss_whole(windows, paced=message.paced)
        )
        most = max(1, turn // max(1, apart))
        if count <= most or not apart:
            return message, None
        first, rest = (Run(message.run.topic, part) for part in (payloads[:most], payloads[most:]))
        return evolve(message, run=first), evolve(message, id=message.id + most, run=rest)

    def _is_room(self, count: int, size: int, route: Route) -> bool:
        """Tell whether all receivers can take all of a run; else they share what room there is as they would one by
        one.
        """
        receivers = len(route.receivers)
        return receivers == 1 or self.total.leaves_room(size, RUN + count + receivers)

    def _deliver_whole(
        self, message: PublishRun, size: int, route: Route, token: Shared | None
    ) -> tuple[list[int], list[Receiver]]:
        """Deliver a run of ``size`` bytes to those who take it as one, and have it missed by those who miss it as one.

        Returns:
          The ids of the connections that took it, and the receivers that take it apart.

        """
        run, paced, count = message.run, message.paced, len(message.run.payloads)
        is_room, shared = self._is_room(count, size, route), () if token is None else (token,)
        takers: list[int] = []
        late: list[Receiver] = []
        counted = dropped = 0
        for receiver in route.receivers:
            target, windows, ids = receiver
            is_one = len(ids) == 1
            if is_one and (gap := windows[0].gap) is not None and (windows[0].lagging or not paced):
                # Nearly all that is done for a dead subscriber; there may be hundreds.
                gap.count += count
                windows[0].dropped += count
                dropped += count
            elif is_room and (
                windows[0].admit_run(count, size, counted) if is_one else _admit_all(windows, count, size, counted)
            ):
                target.outbox.put(DeliverRun(ids, run), size, RUN + count, shared)
                counted = size
                takers.append(target.id)
            elif _miss_whole(windows, paced=paced):
                for window in windows:
                    window.miss(count)
            else:
                late.append(receiver)
        self.counters.dropped += dropped
        return takers, late

    def _distribute(  # noqa: PLR0917 -- a keyword takes time for each message
        self, peer: Peer, told: Acknowledged, message: Publish, receivers: Receivers, now: float, others: _Others
    ) -> int:
        """Deliver a publication to these receivers, and acknowledge it; return its bytes."""
        publication, total = message.publication, self.total
        size = size_of(publication.topic, publication.payload, publication.headers)
        cells = cells_of(publication.headers)
        takers = set(others.takers)
        reached = len(receivers) + len(takers) + others.missed
        token: Shared | None = None
        # One that is too large to be held is not waited for.
        if paced := message.paced and 4 * size <= total.limit:
            token = HeldPublication(total, size, cells - 1, publication, peer, told, message.id, reached, takers)
        elif reached > 1:
            token = Shared(total, size, cells - 1)
        if token is not None and others.token is not None:
            others.token.add_part(token)
        shared = () if token is None else (token,)
        counted = size if takers else 0
        for target, windows, ids in receivers:
            # What is common is kept apart: it is on the hot path.
            if windows[0].gap is not None and _miss_whole(windows, paced=paced):
                for window in windows:
                    window.miss()
                continue
            if len(ids) == 1 and windows[0].admit(size, cells, counted):
                target.outbox.put(Deliver(ids, publication), size, cells, shared)
            elif not self._offer(windows, publication, token or Shared(total, size, cells - 1), now):
                continue
            counted = size
            takers.add(target.id)
        if not peer.server:
            self.counters.published += 1
        if isinstance(token, HeldPublication) and token.waiting:
            peer.held += 1
        else:
            told.acknowledge(message.id, (len(takers),), reached - len(takers))
        return size

    def _offer(self, windows: list[SendWindow], publication: Publication, token: Shared, now: float) -> bool:
        """Deliver to those of one connection's subscriptions that take the publication now; the others hold it or miss
        it.

        Returns:
          Whether any took it.

        """
        takers, late = [], []
        cells = token.cells + 1
        for window in windows:
            if window.admit(token.size, cells, token.counted):
                takers.append(window.id)
            else:
                late.append(window)
        if takers:
            windows[0].peer.outbox.put(Deliver(tuple(takers), publication), token.size, cells, (token,))
        # Only now, because what is held takes of the room that the delivery was promised.
        for window in late:
            if isinstance(token, HeldPublication) and window.may_hold(token, self.limits.held_messages):
                self.subscriptions.hold(window, token, now)
            else:
                window.miss()
        return bool(takers)


def _admit_all(windows: Sequence[SendWindow], count: int, size: int, counted: int) -> bool:
    """Use credit of all of a connection's windows for a run, or tell that one of them does not take it."""
    return all(not each.is_spent and each.takes_run(count, size, counted) for each in windows) and all(
        each.admit_run(count, size, counted) for each in windows
    )


def _admit_or_miss(window: SendWindow, size: int) -> bool:
    """Use credit for a delivery, or count it as missed."""
    if not (is_admitted := window.admit(size)):
        window.miss()
    return is_admitted


def _miss_whole(windows: Sequence[SendWindow], *, paced: bool) -> bool:
    """Tell whether none of a connection's windows takes or holds any of what is published now."""
    return all((each.gap is not None or each.is_spent) and (each.lagging or not paced) for each in windows)
