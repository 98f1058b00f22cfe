"""A count for each of many operations, kept as runs of consecutive ids.

For example the counts 1, 0 and 3 of the operations 7, 8 and 9 are one run. It is written as one message, and takes 8
bytes for each count beside 16 for itself.

The law of this module: synchronous, and it calls nobody.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Sequence

_RUN_SIZE: Final = 16

_COUNT_SIZE: Final = 8


def _ids() -> array[int]:
    return array("Q")


@define(eq=False, repr=False)
class CountRuns:
    """Counts in the order in which they were added."""

    counts: list[int] = field(factory=list, init=False)
    _firsts: array[int] = field(factory=_ids, init=False)
    """The first id of each run."""
    _starts: array[int] = field(factory=_ids, init=False)
    """Where each run begins among the counts."""
    _next: int = field(default=-1, init=False)
    """The id that goes on with the last run."""

    def add(self, first: int, counts: Sequence[int]) -> int:
        """Add the counts of ``first``, ``first + 1`` and so on; return the bytes that they take."""
        length = len(counts)
        size = _COUNT_SIZE * length
        if first != self._next:
            self._firsts.append(first)
            self._starts.append(len(self.counts))
            size += _RUN_SIZE
        self.counts.extend(counts)
        self._next = first + length
        return size

    def runs(self, most: int) -> list[tuple[int, tuple[int, ...]]]:
        """Return the first id of each run, and its counts. One of more than ``most`` counts is cut into several."""
        firsts, counts = self._firsts, self.counts
        if len(firsts) == 1 and len(counts) <= most:
            return [(firsts[0], tuple(counts))]
        ends = (*self._starts[1:], len(counts))
        places = zip(firsts, self._starts, ends, strict=False)
        return [
            (first + place - start, tuple(counts[place : min(place + most, end)]))
            for first, start, end in places
            for place in range(start, end, most)
        ]

    def clear(self) -> None:
        """Forget all."""
        del self._firsts[:], self._starts[:], self.counts[:]
        self._next = -1
