"""What pipelined publishers have on their way: the publications that the bus has not answered yet.

Each is an operation with an id of its own, but they are sent, and mostly answered, by the hundred. So they are kept as
*ranges* of consecutive ids, and an answer to a whole range costs what an answer to one does. An answer to a part of one
takes the range apart; whatever is answered is not there any more, so that a second answer to it finds nobody.

The law of this module: synchronous, and it calls nobody. Each operation is settled once.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import takewhile
from typing import TYPE_CHECKING

from attrs import define, field

from ..errors import Unconfirmed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..errors import BusError


@define(eq=False, repr=False)
class PublisherWindow:
    """What one pipelined publisher has on its way, within its window of messages and bytes."""

    messages: int
    size: int
    in_flight: int = field(default=0, init=False)
    in_flight_size: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)
    """The receivers of all publications so far."""
    missed: int = field(default=0, init=False)
    """Those that they should have reached and did not."""
    error: BusError | None = field(default=None, init=False)
    """What is to be raised next: the first refusal, or what was on its way when the connection was lost."""
    _unconfirmed: int = field(default=0, init=False)
    """Publications that were on their way then, and wait behind a refusal to be told of."""

    def settle(self, count: int, size: int, accepted: int) -> None:
        """Take note of that many answers, to publications of that many bytes, and of their receivers together."""
        self.in_flight -= count
        self.in_flight_size -= size
        self.accepted += accepted

    def refuse(self, count: int, size: int, error: BusError) -> None:
        """Take note of that many refusals."""
        self.error = self.error or error
        self.settle(count, size, 0)

    def lose(self, count: int, size: int) -> None:
        """Take note of that many of which nothing will be heard, as the connection was lost."""
        self.settle(count, size, 0)
        self._unconfirmed += count
        if self.error is None or isinstance(self.error, Unconfirmed):
            earlier = 0 if self.error is None else self.error.count
            self.error, self._unconfirmed = Unconfirmed(earlier + self._unconfirmed), 0

    def take_error(self) -> BusError | None:
        """Return what is to be raised next, if there is anything, once."""
        error, self.error = self.error, None
        if error is not None and self._unconfirmed:
            self.error, self._unconfirmed = Unconfirmed(self._unconfirmed), 0
        return error


@define(eq=False)
class _Range:
    owner: PublisherWindow
    first: int
    sizes: list[int]

    @property
    def end(self) -> int:
        return self.first + len(self.sizes)


def _first(each: _Range) -> int:
    return each.first


@define(eq=False, repr=False)
class Unacknowledged:
    """The operations of all pipelined publishers of one connection."""

    _ranges: list[_Range] = field(factory=list, init=False)
    """In the order of their ids, none empty, none touching another's ids."""
    count: int = field(default=0, init=False)
    """How many operations are not answered."""

    @property
    def end(self) -> int:
        """The id behind the last of them."""
        return self._ranges[-1].end if self._ranges else 0

    def has(self, owner: PublisherWindow, end: int) -> bool:
        """Tell whether a publisher has one whose id is below this."""
        if not owner.in_flight:
            return False
        return any(each.owner is owner for each in takewhile(lambda each: each.first < end, self._ranges))

    def add(self, number: int, size: int, owner: PublisherWindow) -> None:
        """Add an operation, whose id is above all others so far."""
        self.count += 1
        owner.in_flight += 1
        owner.in_flight_size += size
        if self._ranges:
            last = self._ranges[-1]
            sizes = last.sizes
            if last.owner is owner and last.first + len(sizes) == number:
                sizes.append(size)
                return
        self._ranges.append(_Range(owner, number, [size]))

    def add_all(self, first: int, sizes: Sequence[int], owner: PublisherWindow) -> None:
        """Add operations ``first``, ``first + 1`` and so on, one of each size, as :meth:`add` does one by one."""
        self.count += len(sizes)
        owner.in_flight += len(sizes)
        owner.in_flight_size += sum(sizes)
        if self._ranges and (last := self._ranges[-1]).owner is owner and last.end == first:
            last.sizes += sizes
        else:
            self._ranges.append(_Range(owner, first, [*sizes]))

    def acknowledge(self, first: int, counts: Sequence[int], touched: dict[object, None]) -> int:
        """Settle the operations ``first``, ``first + 1`` and so on that are here, and return how many they are.

        Those whose operations they were are put into ``touched``.
        """
        end, settled = first + len(counts), 0
        for taken in self._take(first, end):
            start, count = taken.first - first, len(taken.sizes)
            settled += count
            taken.owner.settle(count, sum(taken.sizes), sum(counts[start : start + count]))
            touched[taken.owner] = None
        return settled

    def note_missed(self, first: int, counts: Sequence[int]) -> None:
        """Take note of how many ``first``, ``first + 1`` and so on did not reach, where these are here."""
        begin = max(0, bisect_right(self._ranges, first, key=_first) - 1)
        for place in range(begin, len(self._ranges)):
            if (each := self._ranges[place]).first >= first + len(counts):
                break
            each.owner.missed += sum(counts[max(0, each.first - first) : max(0, each.end - first)])

    def refuse(self, number: int, error: BusError) -> PublisherWindow | None:
        """Settle an operation with an error; return whose it was, if it is here."""
        for each in self._take(number, number + 1):
            each.owner.refuse(1, each.sizes[0], error)
            return each.owner
        return None

    def close(self, error: BusError | None) -> list[PublisherWindow]:
        """Settle everything with an error, or without one as lost on the way; return whose it was."""
        ranges, self._ranges, self.count = self._ranges, [], 0
        for each in ranges:
            if error is None:
                each.owner.lose(len(each.sizes), sum(each.sizes))
            else:
                each.owner.refuse(len(each.sizes), sum(each.sizes), error)
        return [each.owner for each in ranges]

    def _take(self, first: int, end: int) -> list[_Range]:
        """Take out what has ids from ``first`` to before ``end``."""
        ranges = self._ranges
        if ranges and ranges[0].first == first and ranges[0].end == end:
            # The usual case: a run is answered as a whole, and in turn.
            self.count -= end - first
            return [ranges.pop(0)]
        place = max(0, bisect_right(ranges, first, key=_first) - 1)
        taken: list[_Range] = []
        left: list[_Range] = []
        stop = place
        while stop < len(ranges) and (each := ranges[stop]).first < end:
            stop += 1
            low, high = max(first - each.first, 0), min(end, each.end) - each.first
            if low:
                left.append(_Range(each.owner, each.first, each.sizes[:low]))
            if low < high:
                taken.append(_Range(each.owner, each.first + low, each.sizes[low:high]))
            if high < len(each.sizes):
                left.append(_Range(each.owner, each.first + high, each.sizes[high:]))
        ranges[place:stop] = left
        self.count -= sum(len(each.sizes) for each in taken)
        return taken
