"""Another server of the same bus, as this one knows it: a peer that counts for several receivers.

It has subscribed to the groups of what its clients have subscribed to (:mod:`.groups`), and says of each publication
for how many connections it was accepted there. So the acknowledgement of a publication waits until it has
(:mod:`.joint_count`).

What goes to it goes through one window, like that of a subscription: what it acknowledges is credit again. A
publication that finds none is missed, as by a subscriber that reads slowly, or held if it is paced. What was missed is
told by topic, since over there it is missing at other subscriptions than here.

The law of this module: it decides for one server alone.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, cast

from attrs import define, field

from ..errors import ProtocolViolation
from ..wire.messages import Lapse, Publish, PublishRun, Run
from .budget import RUN
from .flow import Missed, SendWindow
from .groups import ALL
from .held import HeldPublication
from .welcome import name_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..wire.messages import Hello
    from .consent import Consent
    from .events import Events
    from .joint_count import Acknowledged
    from .peer import Peer
    from .service import Service

_MOST_TOPICS: Final = 256
"""Topics of one gap. What is missing beyond them is told of ``**``: nobody misses more than he is told."""


@define(eq=False)
class Numbers:
    """The ids of what a router says to others: never one twice, each above the last."""

    last: int = 0

    def take(self, count: int = 1) -> int:
        """Use up so many; return the first."""
        first = self.last + 1
        self.last += count
        return first


@define(eq=False)
class LostTopics(Missed):
    """A gap in what goes to another server."""

    topics: Counter[str] = field(factory=Counter)

    def add(self, topic: str, count: int) -> None:
        """Count publications of one topic."""
        known = topic in self.topics or len(self.topics) < _MOST_TOPICS
        self.topics[topic if known else ALL] += count


@define(eq=False, repr=False)
class HeldForMember(HeldPublication):
    """A paced publication that waits for the window of another server."""

    def settle(self, accepted_by: Peer | None) -> None:
        """Note that the server takes it, and so will count it, or misses it."""
        self.publisher.held -= 1
        if accepted_by is None:
            self.told.acknowledge(self.operation, (0,), 1)


@define(eq=False, repr=False)
class MemberWindow(SendWindow):
    """The window of all that goes to one other server."""

    numbers: Numbers
    counting: dict[int, tuple[Acknowledged, int, int]] = field(factory=dict, init=False)
    """What it has not counted yet, by the id that it knows it by: who is told, of which operation, and the bytes."""

    def send(self, message: Publish, size: int, cells: int, tally: Acknowledged) -> None:
        """Send a publication that it has admitted."""
        number = self.numbers.take()
        self.counting[number] = tally, message.id, size
        self.peer.outbox.put(Publish(number, message.paced, message.publication), size, cells)

    def send_run(self, message: PublishRun, size: int, tally: Acknowledged) -> None:
        """Send a run that it has admitted as one."""
        payloads, topic = message.run.payloads, len(message.run.topic)
        first = self.numbers.take(len(payloads))
        operation = message.id - first
        for number, payload in enumerate(payloads, first):
            self.counting[number] = tally, operation + number, topic + len(payload)
        self.peer.outbox.put(PublishRun(first, message.paced, message.run), size, RUN + len(payloads))

    def deliver(self, batch: Sequence[HeldPublication], size: int, cells: int) -> None:
        """Send what it has held, now that it has admitted it."""
        outbox, first = self.peer.outbox, self.numbers.take(len(batch))
        for number, held in enumerate(batch, first):
            self.counting[number] = held.told, held.operation, held.size
        publication = batch[0].publication
        if len(batch) == 1:
            outbox.put(Publish(first, paced=True, publication=publication), size, cells, batch)
        else:
            payloads = [cast("bytes", held.publication.payload) for held in batch]
            outbox.put(PublishRun(first, paced=True, run=Run(publication.topic, payloads)), size, cells, batch)

    # --- what is missing

    def miss_topic(self, topic: str, count: int = 1) -> None:
        """Count publications as missing over there."""
        self.miss(count)
        gap = self.backlog[-1]
        assert isinstance(gap, LostTopics)
        gap.add(topic, count)

    def gap_of(self, count: int) -> LostTopics:
        """Return a gap of so many, whose topics are added to it."""
        return LostTopics(count)

    def give_one_up(self, entry: HeldPublication | Missed) -> None:
        """Put a gap into the backlog, as of what topics."""
        SendWindow.give_one_up(self, entry)
        gap = self.backlog[-1]
        assert isinstance(gap, LostTopics)
        if isinstance(entry, LostTopics):
            for topic, count in entry.topics.items():
                gap.add(topic, count)
        else:
            assert isinstance(entry, HeldPublication)
            gap.add(entry.publication.topic, 1)

    def tell_gap(self, gap: Missed) -> None:
        """Say what is missing at this place."""
        assert isinstance(gap, LostTopics)
        for topic, count in gap.topics.items():
            self.peer.outbox.put_control(Lapse(topic, count), topic)

    # --- the end

    def count_none(self) -> None:
        """Let go of what is held, as :meth:`close` does: the server is gone, and what it has not counted reached nobody
        there that is known.
        """
        self.close()
        counting, self.counting = self.counting, {}
        for tally, operation, _ in counting.values():
            tally.acknowledge(operation, (0,), 1)


@define(eq=False, repr=False)
class Member:
    """One other server."""

    node: str
    window: MemberWindow
    about: Service
    """What it is asked about itself."""
    groups: dict[int, str] = field(factory=dict, init=False)
    """What it has subscribed to, by the ids of its subscriptions."""
    stakes: dict[str, Service] = field(factory=dict, init=False)
    """What its clients serve, by topic, as far as no older claim is known here."""
    told_groups: dict[str, int] = field(factory=dict, init=False)
    """The groups here that it was told of, and under which ids."""
    told_stakes: dict[Service, int] = field(factory=dict, init=False)
    """The services here, and what is claimed."""
    staked: dict[int, Service] = field(factory=dict, init=False)
    """The same, by these ids."""
    asked: dict[int, Consent] = field(factory=dict, init=False)
    """Of these the ones that it has not agreed to, and what waits for it."""
    unreached: dict[int, int] = field(factory=dict, init=False)
    """How many connections over there were to be reached and were not, of what it is about to count."""
    heard_at: float = field(init=False)
    """When it said something last."""
    is_known: bool = field(default=False, init=False)
    """Whether it has said what it is."""

    def __attrs_post_init__(self) -> None:
        """Begin to wait for what it says."""
        self.heard_at = self.peer.origin.begun_at

    def introduce(self, message: Hello, events: Events) -> None:
        """Take note of what it says first, and with it of its name: now it has joined.

        Raises:
          ProtocolViolation: it speaks another version of the wire, or has said it before.

        """
        if self.is_known:
            raise ProtocolViolation("HELLO is said once")
        self.is_known = True
        self.peer.name = name_in(message)
        events.note("joined", self.peer)

    @property
    def peer(self) -> Peer:
        """Its connection."""
        return self.window.peer
