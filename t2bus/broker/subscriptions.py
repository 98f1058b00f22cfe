"""The subscriptions of a bus: where they are, what credit they have, and what they hold.

The law of this module: nothing that happens at one subscription is seen by another, but that they share what room there
is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from ..errors import LimitExceeded, ProtocolViolation
from ..wire.messages import Credit
from .flow import SendWindow
from .member import MemberWindow
from .routes import Routes, is_own
from .statistics import Counters, SubscriptionStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..limits import Limits
    from ..wire.messages import Subscribe, Unsubscribe
    from .budget import Budget
    from .events import Events
    from .held import HeldPublication
    from .member import Numbers
    from .peer import Peer
    from .service import Service
    from .turn import Turn


_WAY: Final = 2_097_152
"""Bytes on their way to another server, at most. A host that stands still takes about 4 MB, and as long as no more is
on its way nobody who sends to others waits for it.
"""


@define(eq=False)
class _Subscriber:
    """The subscriptions of one connection, by id."""

    windows: dict[int, SendWindow] = field(factory=dict)
    behind: dict[int, SendWindow] = field(factory=dict)
    """Those that have a backlog; see :attr:`.SendWindow.behind`."""


@define(eq=False, repr=False)
class SubscriptionTable:
    """All subscriptions of a bus."""

    limits: Limits
    counters: Counters
    total: Budget
    """Shared by the outboxes of all connections."""
    events: Events
    ended: list[str | Service]
    """What has ended and other servers are to be told of: the topics of subscriptions, and services."""
    turn: Turn
    routes: Routes = field(init=False)
    own: Routes = field(init=False)
    """Those of subscriptions to the bus's own topics, apart: no publication of others reaches them."""
    _subscribers: dict[int, _Subscriber] = field(factory=dict, init=False)
    """By the ids of their connections."""
    _holding: dict[SendWindow, None] = field(factory=dict, init=False)
    """The subscriptions that hold something, or did when last looked at: the only ones that can stall, or that are
    closed and have not let go of all."""

    def __attrs_post_init__(self) -> None:
        """Make the routes with the bounds of this bus."""
        self.routes, self.own = Routes(self.limits), Routes(self.limits, are_own=True)

    def __len__(self) -> int:
        """Return the number of subscriptions."""
        return len(self.routes) + len(self.own)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of any connection."""
        return self.routes.is_empty and self.own.is_empty and not (self._subscribers or self._holding)

    @property
    def held(self) -> int:
        """How many deliveries wait for credit, over all subscriptions."""
        return sum(window.held for window in self._holding)

    def load_of(self, peer: Peer) -> dict[int, SubscriptionStatistics]:
        """Return the subscriptions of a connection, by their ids."""
        return {key: SubscriptionStatistics(each.topic, each.held, each.dropped) for key, each in self.of(peer).items()}

    def of(self, peer: Peer) -> Mapping[int, SendWindow]:
        """Return the windows of a connection's subscriptions, by their ids."""
        subscriber = self._subscribers.get(peer.id)
        return {} if subscriber is None else subscriber.windows

    def _routes_of(self, window: SendWindow) -> Routes:
        return self.own if is_own(window.topic) else self.routes

    def subscribe(self, peer: Peer, message: Subscribe) -> None:
        """Open a subscription, with the window that the client asks for or the bus's own, whichever is smaller.

        It is for the caller to acknowledge it.
        """
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
            None if is_own(message.topic) else self.events,
            subscriber.behind,
            self.turn,
        )
        self._routes_of(window).add(window)
        self._subscribers[peer.id] = subscriber
        subscriber.windows[message.id] = window
        self.events.note("subscribed", peer, message.topic)

    def unsubscribe(self, peer: Peer, message: Unsubscribe) -> None:
        """Close a subscription; one that is not there is closed already."""
        subscriber = self._subscribers.get(peer.id)
        window = None if subscriber is None else subscriber.windows.pop(message.subscription, None)
        if window is not None:
            peer.note_sent(window.delivered_size, window.delivered)
            self._remove(window)
            self.events.note("unsubscribed", peer, window.topic)
        peer.outbox.acknowledge(message.id)

    def _remove(self, window: SendWindow) -> None:
        self._routes_of(window).discard(window)
        if not is_own(window.topic):
            self.ended.append(window.topic)
        window.close()
        self._leave(window)

    def _leave(self, window: SendWindow) -> None:
        """Forget a window that is closed, at once or when it has let go of what it holds."""
        if window.held:
            self.turn.is_alarmed = True
        else:
            self._holding.pop(window, None)

    def take_alarm(self) -> bool:
        """Tell whether ``Router.next_deadline`` may have come nearer since the last time: a subscriber may stall, or
        something is left to do.
        """
        is_alarmed, self.turn.is_alarmed = self.turn.is_alarmed, False
        return is_alarmed

    # --- for other servers of the bus

    def topics(self) -> list[str]:
        """Return the topic of each subscription that others can publish to."""
        windows = (window for each in self._subscribers.values() for window in each.windows.values())
        return [window.topic for window in windows if not is_own(window.topic)]

    def open_way(self, peer: Peer, numbers: Numbers) -> MemberWindow:
        """Open the window of what goes to another server. What a slow subscriber over there holds up is held there
        first, so it may stall for twice as long.
        """
        limits, subscriber = self.limits, _Subscriber()
        self._subscribers[peer.id] = subscriber
        messages, size = limits.subscription_messages, min(limits.subscription_bytes, _WAY)
        stall = 2 * limits.stall
        # What is on its way counts where it arrives.
        beside = (stall, limits.frame, Counters(), self.events, subscriber.behind, self.turn)
        return MemberWindow(0, "**", peer, messages, size, *beside, numbers)

    def close_way(self, window: MemberWindow, groups: Iterable[str]) -> None:
        """Close it, and let go of what it holds."""
        for group in groups:
            self.routes.discard_at(group, window)
        window.count_none()
        self._leave(window)

    def disconnect(self, peer: Peer) -> None:
        """Close all subscriptions of a connection that has ended."""
        subscriber = self._subscribers.pop(peer.id, None)
        if subscriber is not None:
            for window in subscriber.windows.values():
                self._remove(window)

    def hold(self, window: SendWindow, publication: HeldPublication, now: float) -> None:
        """Have a subscription hold a publication until it has credit and room."""
        window.hold(publication, now)
        self.turn.is_alarmed |= not self._holding
        self._holding[window] = None

    # --- credit, room and time

    def credit(self, peer: Peer, message: Credit, now: float) -> Credit | None:
        """Take credit for subscriptions; for one that has just been closed it means nothing any more.

        Each is a step, and so is each delivery that it frees.

        Returns:
          What is left for another turn, if anything. It may begin with no credit, for a subscription that goes on.

        """
        windows, numbers = self.of(peer), message.numbers
        for place, (number, messages, size) in enumerate(message.grants):
            if not self.turn.left:
                return Credit(numbers[3 * place :])
            if (window := windows.get(number)) is not None:
                window.grant(messages, size, now)
                if window.is_cut_short:
                    return Credit((number, 0, 0, *numbers[3 * place + 3 :]))
            self.turn.taken += 1
        return None

    def written(self, peer: Peer) -> bool:
        """Deliver what waited for room in the outbox of a connection, as far as the turn goes: what is delivered is
        written too, and then it goes on.

        Returns:
          Whether something still waits.

        """
        subscriber = self._subscribers.get(peer.id)
        if subscriber is None or not (behind := subscriber.behind):
            return False
        first = next(iter(behind))
        for window in list(behind.values()):
            window.release()
            if not self.turn.left:
                break
        if first in behind:
            # Whoever went first goes last the next time, else one that is behind could take all the room for ever.
            behind[first] = behind.pop(first)
        return bool(behind)

    def share_room(self) -> None:
        """Deliver what waits for room that others have left, to one subscription after the other, as far as a turn
        goes.
        """
        if not self.total.is_short:
            return
        self.turn.begin()
        self.total.is_short = False
        for window in list(self._holding):
            if not window.peer.outbox.size:
                window.release()
                if self.total.is_short:
                    return
                # Whoever went first goes last the next time.
                self._holding[window] = self._holding.pop(window)

    def expire(self, now: float) -> None:
        """Stop holding publications for subscribers that are gone, or took nothing for the stall time, as far as the
        turn goes.
        """
        for window in list(self._holding):
            if window.is_closed:
                window.close()
            elif window.stalls_at <= now:
                window.give_up()
            if not window.held:
                del self._holding[window]

    def next_deadline(self) -> float | None:
        """Return when the next subscriber stalls, if any can; one that has is left over, and due."""
        return min((window.stalls_at for window in self._holding if window.held), default=None)
