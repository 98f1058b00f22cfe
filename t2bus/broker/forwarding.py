"""Publications on their way to the other servers of the bus, and their counts on the way back.

The law of this module: what comes from another server never goes to a third one; each publication takes one hop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from ..wire.messages import Publish
from ..wire.values import size_of
from .budget import cells_of
from .joint_count import JointCount
from .member import HeldForMember

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..limits import Limits
    from ..wire.messages import Accepted, PublishRun
    from .joint_count import Acknowledged
    from .member import Member, MemberWindow
    from .peer import Peer
    from .subscriptions import SubscriptionTable


@define(eq=False, repr=False)
class Forwarding:
    """What goes to other servers, through the window of each."""

    limits: Limits
    subscriptions: SubscriptionTable

    def publish(self, peer: Peer, message: Publish, windows: Sequence[MemberWindow], now: float) -> JointCount:
        """Send a publication to these servers; return who is to be told of its count here."""
        tally = JointCount(peer.outbox, message.id, 1, 1 + len(windows))
        for window in windows:
            self._offer(peer, message, window, tally, now)
        return tally

    def publish_run(self, peer: Peer, message: PublishRun, windows: Sequence[MemberWindow], now: float) -> JointCount:
        """Do so with a run: as one where the window takes it, else apart."""
        run = message.run
        count, size = len(run.payloads), run.size
        tally = JointCount(peer.outbox, message.id, count, 1 + len(windows))
        for window in windows:
            if window.gap is not None and (window.lagging or not message.paced):
                window.miss_topic(run.topic, count)
                tally.acknowledge(message.id, (0,) * count, 1)
            elif window.admit_run(count, size):
                window.send_run(message, size, tally)
            else:
                for operation, publication in enumerate(run.publications, message.id):
                    self._offer(peer, Publish(operation, message.paced, publication), window, tally, now)
        return tally

    def _offer(self, peer: Peer, message: Publish, window: MemberWindow, tally: Acknowledged, now: float) -> None:
        """Have a server sent a publication, now or when its window has credit, or have it miss it."""
        publication = message.publication
        size = size_of(publication.topic, publication.payload, publication.headers)
        cells = cells_of(publication.headers)
        if window.admit(size, cells):
            window.send(message, size, cells, tally)
            return
        if message.paced and 4 * size <= peer.outbox.total.limit:
            held = HeldForMember(peer.outbox.total, size, cells - 1, publication, peer, tally, message.id)
            if window.may_hold(held, self.limits.held_messages):
                peer.held += 1
                self.subscriptions.hold(window, held, now)
                return
        window.miss_topic(publication.topic)
        tally.acknowledge(message.id, (0,), 1)

    def note_unreached(self, member: Member, first: int, counts: Sequence[int]) -> None:
        """Take note of how many connections over there are not reached by what is about to be counted."""
        for number, count in enumerate(counts, first):
            if number in member.window.counting:
                member.unreached[number] = count

    def count(self, member: Member, message: Accepted, now: float) -> None:
        """Take the counts of another server, which are credit for its window, and tell whoever waits for them."""
        window, unreached = member.window, member.unreached
        counting, run = window.counting, _Run()
        messages = size = 0
        for number, count in enumerate(message.counts, message.first):
            if (entry := counting.pop(number, None)) is None:
                continue
            tally, operation, bytes_ = entry
            messages += 1
            size += bytes_
            missed = unreached.pop(number, 0) if unreached else 0
            run.add(tally, operation, count, missed)
        run.end()
        if messages:
            window.grant(messages, size, now)

    def refuse(self, member: Member, number: int, now: float) -> bool:
        """Count a publication that another server has refused as missed there; tell whether it is one."""
        if (entry := member.window.counting.pop(number, None)) is None:
            return False
        tally, operation, size = entry
        tally.acknowledge(operation, (0,), 1)
        member.window.grant(1, size, now)
        return True


@define(eq=False)
class _Run:
    """Counts of consecutive operations that one is told of together."""

    tally: Acknowledged | None = None
    first: int = 0
    missed: int = 0
    counts: list[int] = field(factory=list)

    def add(self, tally: Acknowledged, operation: int, count: int, missed: int) -> None:
        """Add a count, behind those before or as the first of others."""
        if tally is self.tally and missed == self.missed and operation == self.first + len(self.counts):
            self.counts.append(count)
        else:
            self.end()
            self.tally, self.first, self.missed, self.counts = tally, operation, missed, [count]

    def end(self) -> None:
        """Tell who is to be told."""
        if self.tally is not None:
            self.tally.acknowledge(self.first, self.counts, self.missed)
