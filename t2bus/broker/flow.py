"""A subscription as the bus sees it: a credit window, and what waits behind a spent one.

Each delivery uses credit up, in messages and bytes; the client gives it back as its program takes messages. So the
window bounds the client's buffer, the network and the outbox together, and the bus never waits for a subscriber: a
publication that finds no credit is *missed*, and counted where it is missing, or, if its publisher is paced, *held*.

The backlog keeps held publications and counts of missed ones in the order of publication, so that what is delivered
later stands where it belongs and every gap is told at its place. While anything is in the backlog nothing overtakes
it.

A subscriber that gives no credit for the stall time holds nobody any more: what was held for it becomes missed, and it
*lags* until half its window is free again. (Half, because a client gives credit back in bulk: all of it free is a
moment that may never come.)

The law of this module: it decides for one subscription alone; no other subscription, nor its connection's others, is
read or changed.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, cast

from attrs import define, field

from ..wire.messages import MOST_IN_RUN, RUN_SIZE, Deliver, DeliverRun, Run
from ..wire.values import PAYLOAD_OVERHEAD
from .budget import ALONE, RUN
from .held import HeldPublication

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .events import Events
    from .peer import Peer
    from .statistics import Counters
    from .turn import Turn


@define(eq=False)
class Missed:
    """A gap in the backlog: so many publications were dropped here."""

    count: int


@define(eq=False, repr=False)
class SendWindow:
    """One subscription of one connection."""

    id: int
    topic: str
    peer: Peer
    window_messages: int
    window_size: int
    stall: float
    frame: int
    counters: Counters
    events: Events | None
    """Where it is noted that it lags. None for the bus's own topics: who is told of events and lags would be told of
    that, and lag again.
    """
    behind: dict[int, SendWindow]
    """Shared by the windows of one connection: those with a backlog. Who waits the longest for room comes first."""
    turn: Turn
    messages: int = field(init=False)
    size: int = field(init=False)
    held: int = field(default=0, init=False)
    dropped: int = field(default=0, init=False)
    """Publications that it has missed."""
    granted: int = field(default=0, init=False)
    granted_size: int = field(default=0, init=False)
    """The credit that was given back so far."""
    lagging: bool = field(default=False, init=False)
    is_closed: bool = field(default=False, init=False)
    lagged_at: int = field(default=-1, init=False)
    """How many deliveries were made when it was last noted that it lags: once for all that is missed between two."""
    stalls_at: float = field(default=math.inf, init=False)
    backlog: deque[HeldPublication | Missed] = field(factory=deque, init=False)
    gap: Missed | None = field(default=None, init=False)
    """The end of the backlog while there is no credit, if that is a gap: what is published now only makes it longer,
    unless it is held. An attribute, since each publication asks each dead subscriber."""

    def __attrs_post_init__(self) -> None:
        """Start with the whole window as credit."""
        self.messages = self.window_messages
        self.size = self.window_size

    @property
    def is_cut_short(self) -> bool:
        """Whether more of what it holds might be delivered if the turn had steps left."""
        return bool(self.backlog) and self.has_credit and not self.turn.left

    @property
    def has_credit(self) -> bool:
        """Whether a delivery may be made."""
        return self.messages > 0 and self.size > 0

    @property
    def delivered(self) -> int:
        """How many deliveries were made."""
        return self.granted + self.window_messages - self.messages

    @property
    def delivered_size(self) -> int:
        """Their bytes."""
        return self.granted_size + self.window_size - self.size

    @property
    def is_spent(self) -> bool:
        """Whether nothing can be delivered before there is more credit, or room for what waits."""
        if self.backlog:
            self.release()
        return bool(self.backlog) or not self.has_credit

    def admit(self, size: int, cells: int = ALONE, counted: int = 0) -> bool:
        """Use credit for a delivery now, or return False: there is none, the outbox has no room, or something waits.

        The caller puts the delivery in the outbox, one for all subscriptions of the connection that admit it. So many
        bytes of it are ``counted`` already, as others hold them.
        """
        if self.backlog:
            self.release()
        if self.backlog or self.messages <= 0 or self.size <= 0:
            return False
        outbox = self.peer.outbox
        if not outbox.fits(size, cells, counted):
            return False
        self.messages -= 1
        self.size -= size
        self.counters.delivered += 1
        return True

    def takes_run(self, count: int, size: int, counted: int = 0) -> bool:
        """Tell whether :meth:`admit_run` would admit it as things are, which uses nothing."""
        return (
            not self.backlog
            and self.messages >= count
            and self.size >= size
            and self.peer.outbox.fits(size, RUN + count, counted, is_run=count > 1)
        )

    def admit_run(self, count: int, size: int, counted: int = 0) -> bool:
        """Use credit for the deliveries of a whole run now, or return False, as :meth:`admit` does."""
        if self.backlog:
            self.release()
        if not self.takes_run(count, size, counted):
            return False
        self.messages -= count
        self.size -= size
        self.counters.delivered += count
        return True

    def may_hold(self, publication: HeldPublication, most: int) -> bool:
        """Tell whether it may hold a publication that finds no credit, of a publisher that may have ``most`` held."""
        return (
            not self.lagging
            and publication.publisher.held < most
            and publication.size <= self.peer.outbox.limit  # else it would wait for room that there never is
            and publication.may_wait()
        )

    def hold(self, publication: HeldPublication, now: float) -> None:
        """Keep a paced publication until there is credit."""
        if not self.held:
            self.stalls_at = now + self.stall
        self.held += 1
        publication.hold()
        self._note_shortage()
        self._put_behind(publication)

    def miss(self, count: int = 1) -> None:
        """Count publications as dropped at this place of the stream; who cannot be told so is disconnected."""
        self.counters.dropped += count
        self.dropped += count
        if self.gap is not None:
            self.gap.count += count
            return
        if not self.peer.tells_gaps:
            self.peer.end("it lags, and its wire has no word for that: it does not read as fast as others publish")
        self._mark_missed(count)

    def _mark_missed(self, count: int) -> None:
        if self.backlog and isinstance(last := self.backlog[-1], Missed):
            last.count += count
        else:
            last = self.gap_of(count)
            self._put_behind(last)
            if self.events is not None and self.lagged_at != self.delivered:
                self.lagged_at = self.delivered
                self.events.note("lagging", self.peer, self.topic, dropped=self.dropped)
        self.gap = None if self.has_credit else last

    def gap_of(self, count: int) -> Missed:
        """Return what stands for so many missed publications in the backlog."""
        return Missed(count)

    def _put_behind(self, entry: HeldPublication | Missed) -> None:
        self.gap = None
        self.backlog.append(entry)
        self.behind[self.id] = self
        self.peer.waits_for_room = True

    def grant(self, messages: int, size: int, now: float) -> None:
        """Take credit back from the client and deliver what waits for it.

        Credit beyond the window is none: it does not show that the program takes messages.
        """
        self.gap = None
        before, size_before = self.messages, self.size
        self.messages = min(before + messages, self.window_messages)
        self.size = min(size_before + size, self.window_size)
        self.granted += self.messages - before
        self.granted_size += self.size - size_before
        if self.held and self.messages > before:
            self.stalls_at = now + self.stall
        if 2 * self.messages >= self.window_messages and 2 * self.size >= self.window_size:
            self.lagging = False
        self.release()

    def release(self) -> None:
        """Deliver from the backlog, in order, as far as credit, the outbox and the turn go."""
        self._release()
        if not self.backlog:
            self.behind.pop(self.id, None)

    def _release(self) -> None:
        while self.backlog and self.has_credit:
            if isinstance(head := self.backlog[0], Missed):
                self.backlog.popleft()
                self.tell_gap(head)
                continue
            batch, size, cells = self._take_batch()
            if not batch:
                self._note_shortage()
                return
            self.messages -= len(batch)
            self.size -= size
            self.counters.delivered += len(batch)
            self.turn.taken += len(batch)
            self.deliver(batch, size, cells)
            for held in batch:
                held.settle(self.peer)

    def tell_gap(self, gap: Missed) -> None:
        """Tell the client what it misses at this place."""
        self.peer.outbox.put_gap(self.id, gap.count)

    def deliver(self, batch: Sequence[HeldPublication], size: int, cells: int) -> None:
        """Deliver what was held, several publications as a run."""
        outbox, publication = self.peer.outbox, batch[0].publication
        if len(batch) == 1:
            outbox.put(Deliver((self.id,), publication), size, cells, batch)
        else:
            payloads = [held.publication.payload for held in batch]
            run = Run(publication.topic, cast("list[bytes]", payloads))
            outbox.put(DeliverRun((self.id,), run), size, cells, batch)

    def _note_shortage(self) -> None:
        """Note that room in the outbox is not what is missing: what is written to others will make some."""
        if not self.peer.outbox.size and self.has_credit:
            self.peer.outbox.total.is_short = True

    def _take_batch(self) -> tuple[list[HeldPublication], int, int]:
        """Take from the front of the backlog what may be delivered now, if it is several then as one run.

        Returns:
          It, its bytes and its cells.

        """
        outbox, backlog = self.peer.outbox, self.backlog
        batch: list[HeldPublication] = []
        size, counted, cells = 0, 0, 1
        most = min(self.messages, MOST_IN_RUN, self.turn.left)
        while backlog and len(batch) < most and size < self.size:
            entry = backlog[0]
            if isinstance(entry, Missed):
                break
            more = entry.size
            room = min(RUN_SIZE, self.frame) - size - PAYLOAD_OVERHEAD * len(batch)
            if batch and (more + PAYLOAD_OVERHEAD > room or not entry.publication.goes_on(batch[0].publication)):
                break
            # What is held by nobody else counts no more.
            entry.let_go()
            if not outbox.fits(size + more, cells + entry.cells, counted + entry.counted, is_run=bool(batch)):
                entry.hold()
                break
            size += more
            counted += entry.counted
            cells += entry.cells
            self._unhold()
            batch.append(entry)
            backlog.popleft()
        return batch, size, cells

    def give_up(self) -> None:
        """Turn what is held into missed, and lag: the subscriber took nothing for the stall time.

        It does as much of that as the turn allows. What is left is still held, and given up by another call.
        """
        self.lagging = True
        left, self.backlog, gap, self.gap = self.backlog, deque(), self.gap, None
        while left and self.turn.left:
            self.give_one_up(left.popleft())
        if left:
            left.extendleft(reversed(self.backlog))
            self.backlog, self.gap = left, gap

    def give_one_up(self, entry: HeldPublication | Missed) -> None:
        """Put a gap into the backlog for something that was there."""
        if isinstance(entry, Missed):
            self._mark_missed(entry.count)
        else:
            self.miss()
            self._forget(entry)

    def close(self) -> None:
        """Let go of what is held, as far as the turn goes: the subscription is gone. What is left waits for another."""
        self.is_closed = True
        self.messages = 0
        self.stalls_at = -math.inf
        self.behind.pop(self.id, None)
        while self.backlog and self.turn.left:
            if isinstance(entry := self.backlog.popleft(), HeldPublication):
                self._forget(entry)

    def _forget(self, held: HeldPublication) -> None:
        self.turn.taken += 1
        self._unhold()
        held.let_go()
        held.settle(None)

    def _unhold(self) -> None:
        self.held -= 1
        if not self.held:
            self.stalls_at = math.inf
