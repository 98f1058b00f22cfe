"""Groups: what the other servers of a bus know of the subscriptions here.

They need not know each subscription. They know the *groups*: what stands in the first fragments, and anything behind
it. ``lab/oven/temperature`` and ``lab/*`` are of the group ``lab/**``, ``*/temperature`` is of ``*/**``. A group
includes every topic of it, so what reaches a subscription reaches its group; what reaches only the group is sent in
vain.

The law of this module: at most :data:`MOST` groups at once. A subscription that would be one more is of ``**``.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

MOST: Final = 1024
"""Groups of a server: as many as a connection has subscriptions."""

ALL: Final = "**"


def group_of(topic: str, depth: int) -> str:
    """Return the group of a subscription: the fragments before the first ``**``, ``depth`` at most, and ``**``."""
    fragments = topic.split("/")
    fragments = fragments[: fragments.index(ALL)] if ALL in fragments else fragments
    return "/".join([*fragments[:depth], ALL])


@define(eq=False, repr=False)
class Groups:
    """The groups of the subscriptions of one server, each as often as there are subscriptions in it."""

    depth: int = 1
    counts: dict[str, int] = field(factory=dict, init=False)
    _of: dict[str, tuple[str, int]] = field(factory=dict, init=False)
    """By topic: its group, and how many subscriptions have it. A topic keeps its group while it has any."""

    def add(self, topic: str) -> tuple[str, bool]:
        """Count one subscription more; return its group, and whether that is new."""
        group, count = self._of.get(topic) or (self._new_group_of(topic), 0)
        self._of[topic] = group, count + 1
        self.counts[group] = now = self.counts.get(group, 0) + 1
        return group, now == 1

    def _new_group_of(self, topic: str) -> str:
        group = group_of(topic, self.depth)
        return group if group in self.counts or len(self.counts) < MOST else ALL

    def discard(self, topic: str) -> str | None:
        """Count one less, if it was counted; return its group if that was the last one in it."""
        group, count = self._of.get(topic, ("", 0))
        if not count:
            return None
        if count > 1:
            self._of[topic] = group, count - 1
        else:
            del self._of[topic]
        self.counts[group] -= 1
        if self.counts[group]:
            return None
        del self.counts[group]
        return group
