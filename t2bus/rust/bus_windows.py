"""The credit windows of a client's subscriptions on a Rust bus, which knows none.

That bus sends a publication once to each client whose topics match, whatever has been taken. Here it is matched to the
client's subscriptions, and handed to those whose window has room: one message and some bytes, as the native bus counts
them. What finds no room is dropped for that subscription alone and counted, and a GAP tells it before the next
delivery to it, or as soon as there is credit again and anything else comes from the bus.

For example a window of two messages gets three of one byte, then credit for one, then another message::

    windows.open(Subscribe(1, "a", 2, 1000))
    windows.deliver("a", b"x")                    [Deliver((1,), …)], and a second time the same
    windows.deliver("a", b"x")                    []: there is no room
    windows.credit(Credit((1, 1, 2)))             one message and two bytes: those of the topic and the payload
    windows.deliver("a", b"x")                    [Gap(1, 1), Deliver((1,), …)]

That bus knows a topic of one client once, and forgets it at the first ``Unsub``; one of this package takes each ``Sub``
for a subscription of its own. So the subscriptions of one topic share it: the first says ``Sub``, the last ``Unsub``.

The law of this module: a subscription's window is never overrun, and its stream has no gap without notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from ..topic import TopicTree
from ..wire import messages as m

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..limits import Limits
    from .frames import Failure


@define(eq=False, repr=False)
class SharedTopic:
    """A topic that was said to that bus, for one subscription or several."""

    topic: str
    subscriptions: int = 0
    failure: Failure | None = None
    """Why that bus refused it, to all who share it."""


@define(eq=False, repr=False)
class _Window:
    """What a subscription may still be handed. ``size`` is in bytes and may fall below 0 by the last message."""

    shared: SharedTopic
    messages: int
    size: int

    def has_room(self) -> bool:
        # One byte is room for a message of any size, so that one larger than the whole window can come at all.
        return self.messages > 0 and self.size > 0


@define(eq=False, repr=False)
class Windows:
    """All subscriptions of one connection; the client's limits bound how many there are and their topics."""

    limits: Limits
    _windows: dict[int, _Window] = field(factory=dict, init=False)
    """By the id of the subscription, as everything here."""
    _topics: dict[str, SharedTopic] = field(factory=dict, init=False)
    """Those that have subscriptions and were not refused."""
    _behind: dict[int, int] = field(factory=dict, init=False)
    """How many messages each lacks since its last delivery or gap."""
    _tree: TopicTree[int] = field(init=False)
    """The subscriptions by their topics, for which that bus leaves the client to find them."""

    def __attrs_post_init__(self) -> None:
        """Make a tree that finds no topic too broad: it has few fragments, all of the client's own choosing."""
        depth = self.limits.topic_depth
        steps = self.limits.subscriptions * depth
        self._tree = TopicTree(steps=steps, length=self.limits.topic_length, depth=depth)

    def open(self, message: m.Subscribe) -> SharedTopic:
        """Open a subscription, with the window that it asks for; return its topic, which others may share."""
        topic = message.topic
        self._tree.add(topic, message.id)
        shared = self._topics.setdefault(topic, SharedTopic(topic))
        shared.subscriptions += 1
        self._windows[message.id] = _Window(shared, message.messages, message.size)
        return shared

    def close(self, number: int) -> str | None:
        """Close a subscription if it is there; return its topic if that is to be ended, for this was the last of it.

        What it lacks is forgotten: a subscription that is closed is told of nothing any more.
        """
        if (window := self._windows.pop(number, None)) is None:
            return None
        shared = window.shared
        self._tree.discard(shared.topic, number)
        self._behind.pop(number, None)
        shared.subscriptions -= 1
        if shared.subscriptions or not self._forget(shared):
            return None
        return shared.topic

    def refuse(self, shared: SharedTopic, failure: Failure) -> None:
        """Note that the bus refused a topic: who subscribes to it now asks anew."""
        shared.failure = failure
        self._forget(shared)

    def _forget(self, shared: SharedTopic) -> bool:
        """Forget a topic, unless it was forgotten before."""
        if self._topics.get(shared.topic) is not shared:
            return False
        del self._topics[shared.topic]
        return True

    def credit(self, message: m.Credit) -> None:
        """Give windows back what the program took. Credit for a subscription that is closed is ignored."""
        for number, messages, size in message.grants:
            if (window := self._windows.get(number)) is not None:
                window.messages += messages
                window.size += size

    def gaps(self) -> list[m.Gap]:
        """Return what is missing in the subscriptions that have credit, and count anew.

        One that has none is told later, so that it is told once: until then more may be dropped.
        """
        numbers = [number for number in self._behind if self._windows[number].has_room()]
        return [m.Gap(number, self._behind.pop(number)) for number in numbers]

    def deliver(self, topic: str, payload: bytes | None) -> Sequence[m.Gap | m.Deliver]:
        """Return what a publication is to the client; one without a payload that can be read is missing everywhere.

        Gaps come first: each stands in its subscription's stream where the messages are missing.

        Raises:
          InvalidTopic: no subscription of this client could have this topic.

        """
        gaps, taking = [], []
        for number in sorted(self._tree.match_cached(topic)):
            window = self._windows[number]
            if payload is None or not window.has_room():
                self._behind[number] = self._behind.get(number, 0) + 1
                continue
            if dropped := self._behind.pop(number, 0):
                gaps.append(m.Gap(number, dropped))
            window.messages -= 1
            window.size -= len(topic) + len(payload)
            taking.append(number)
        if payload is None or not taking:
            return gaps
        return [*gaps, m.Deliver(tuple(taking), m.Publication(topic, payload))]
