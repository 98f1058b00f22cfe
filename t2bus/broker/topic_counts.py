"""How much is published to which topic: of those that were published to lately.

::

    count = counts.of("sensor/7")       # kept with the route of the topic, so that a publication looks for nothing
    count.add(1, 20, now)

There may be any number of topics, so only so many are counted. When one more comes, the oldest goes. One that was
published to since it was last the oldest becomes the youngest instead, but not many of them do for one that comes.

The law of this module: a publication costs three additions and a new topic a few looks, whatever the number of topics.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import nsmallest
from operator import itemgetter
from typing import Final

from attrs import define, field

_CHANCES: Final = 8
"""Topics that may stay for one that comes, though they are the oldest. To look at all 8,192 took 45 ms."""


@define(eq=False, repr=False)
class TopicCount:
    """What was published to one topic."""

    messages: int = 0
    size: int = 0
    """The bytes of their topics, payloads and headers."""
    at: float = 0.0
    """When the last one was."""
    seen: int = field(default=0, init=False)
    """``messages`` when it was last the oldest."""

    def add(self, messages: int, size: int, now: float) -> None:
        """Count publications."""
        self.messages += messages
        self.size += size
        self.at = now


@define(eq=False, repr=False)
class TopicCounts:
    """The counts of the topics that were published to lately."""

    most: int
    _counts: OrderedDict[str, TopicCount] = field(factory=OrderedDict, init=False)

    def of(self, topic: str) -> tuple[TopicCount, str | None]:
        """Return the count of a topic, and the topic that went for it, if one did."""
        count = self._counts.get(topic)
        if count is not None:
            return count, None
        forgotten = self._forget_one() if len(self._counts) >= self.most else None
        count = self._counts[topic] = TopicCount()
        return count, forgotten

    def _forget_one(self) -> str:
        topic, count = self._counts.popitem(last=False)
        for _ in range(_CHANCES):
            if count.messages == count.seen:
                break
            count.seen = count.messages
            self._counts[topic] = count
            topic, count = self._counts.popitem(last=False)
        return topic

    def behind(self, topic: str, most: int) -> list[tuple[str, TopicCount]]:
        """Return the first topics behind this one in the order of the alphabet, with their counts."""
        return nsmallest(most, (each for each in self._counts.items() if each[0] > topic), key=itemgetter(0))
