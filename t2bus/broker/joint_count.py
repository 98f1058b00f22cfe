"""What several servers of a bus count together: for how many connections each of some publications was accepted.

::

    tally = JointCount(outbox, 7, 2, parts=2)  # of the operations 7 and 8, here and at one other server
    tally.acknowledge(7, (1, 1))          # here each reached one connection
    tally.acknowledge(7, (3,))            # there 7 reached three: outbox.acknowledge(7, (4,)) follows
    tally.acknowledge(8, (0,), missed=1)  # outbox.acknowledge(8, (1,), 1)

The law of this module: each part counts each publication once, and the publisher is told when the last one has.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Sequence


class Acknowledged(Protocol):
    """Whoever is told what became of operations: the publisher's outbox, or a tally before it."""

    def acknowledge(self, first: int, counts: Sequence[int] = (0,), missed: int = 0) -> None:
        """Take the counts of consecutive operations, of which so many ``missed`` each."""


@define(eq=False, repr=False)
class JointCount:
    """The counts of one publication, or of a run, while they come in."""

    publisher: Acknowledged
    first: int
    count: int
    parts: int
    """How many count."""
    _left: list[int] = field(init=False)
    _counts: list[int] = field(init=False)
    _missed: list[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with nothing counted."""
        self._left = [self.parts] * self.count
        self._counts, self._missed = [0] * self.count, [0] * self.count

    def acknowledge(self, first: int, counts: Sequence[int] = (0,), missed: int = 0) -> None:
        """Add what one part says of consecutive operations."""
        left = self._left
        start = first - self.first
        for place, count in enumerate(counts, start):
            self._counts[place] += count
            self._missed[place] += missed
            left[place] -= 1
        done = [
            (self._missed[n], n - at, n)
            for at, n in enumerate(n for n in range(start, start + len(counts)) if not left[n])
        ]
        for (missed_each, _), run in groupby(done, key=itemgetter(0, 1)):
            places = [place for _, _, place in run]
            self.publisher.acknowledge(self.first + places[0], self._counts[places[0] : places[-1] + 1], missed_each)
