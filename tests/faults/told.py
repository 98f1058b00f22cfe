"""What a program has published and what its subscriptions have given it, held against what is promised of both.

::

    told = sent.begin(seat, "a/b", {subscription}, epoch)  # before the call
    told.end(sent.now(), epoch)  # when it is on its way
    heard.note(told)  # a subscription gave it
    heard.check(sent, is_whole=True)

Time is a number that grows with each thing that happens, so *before* is what a program can tell of two calls: one had
ended when the other began. Between two losses of the bus is an *epoch*. While the bus is being lost or drained it is
an odd one, in which the epoch before may still go on.

The law of this module: it claims of an order or a number only what a program can know, and claims all of that.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from attrs import define, field

from t2bus.topic import intersects

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from faults.seats import Seat


@define(eq=False, repr=False)
class Told:
    """One publication."""

    number: int
    publisher: Seat
    """The client that it came from."""
    topic: str
    begun: int
    sure: Collection[Heard]
    """The subscriptions that were open in the bus when the call began."""
    first_epoch: int
    batch: object
    last_epoch: float = math.inf
    put: float = math.inf
    """When it certainly was on its way."""
    settled: float = math.inf
    """When it certainly had been carried out."""
    is_void: bool = False
    """Whether the call has ended without sending anything."""

    def __repr__(self) -> str:
        return f"{self.number} to {self.topic}"

    def end(self, now: int, epoch: int) -> None:
        """Take note that it is on its way, or carried out."""
        self.put, self.last_epoch = now, epoch

    def is_of(self, epoch: int) -> bool:
        """Whether it may have been published in this epoch."""
        return self.first_epoch <= epoch <= self.last_epoch

    @property
    def is_of_one_epoch(self) -> bool:
        return self.first_epoch == self.last_epoch

    @property
    def is_accepted(self) -> bool:
        """Whether the bus has certainly taken it: a client that is closed at once may leave some unwritten."""
        return self.settled < math.inf or self.publisher.is_there

    def comes_before(self, other: Told) -> bool:
        """Whether both were put on one connection, and this one first."""
        if self.publisher is not other.publisher or not self.is_of_one_epoch or not other.is_of(self.first_epoch):
            return False
        if self.batch is not None and self.batch is other.batch:
            return self.number < other.number
        return other.is_of_one_epoch and self.put < other.begun


@define(eq=False, repr=False)
class Sent:
    """All publications, and the time."""

    all: list[Told] = field(factory=list)
    _ticks: itertools.count[int] = field(factory=itertools.count)

    def now(self) -> int:
        """Return the time, which is another one for each call."""
        return next(self._ticks)

    def begin(self, publisher: Seat, topic: str, heard: Iterable[Heard], epoch: int, batch: object = None) -> Told:
        """Return a publication that is about to be made."""
        sure = {each for each in heard if intersects(each.topic, topic)}
        told = Told(len(self.all), publisher, topic, self.now(), sure, epoch - epoch % 2, batch)
        self.all.append(told)
        return told


@define(eq=False, repr=False)
class Heard:
    """What one subscription gave: publications, and how many are missing where, None if that is not known."""

    topic: str
    is_latest: bool
    owner: object
    """The client that it belongs to."""
    begun: int
    is_open: bool = False
    items: list[Told | int | None] = field(factory=list)

    def note(self, item: Told | int | None) -> None:
        """Take note of what was received."""
        if isinstance(item, Told):
            assert item not in self.items, "received twice"
            assert not item.is_void, "received, and its call had sent nothing"
            assert intersects(self.topic, item.topic), "received and not subscribed to"
        else:
            assert item is None or item > 0, "a gap of nothing"
        self.items.append(item)

    def check(self, sent: Sent, *, is_whole: bool, losses: int, replaced: int, epoch: int) -> None:
        """Check order and gaps; ``is_whole`` if all that was published to it has been taken."""
        assert self.items.count(None) <= losses, "a gap of unknown length, and the bus was not lost"
        parts = [_Part(self, sent.all, [*items], place > 0) for place, items in enumerate(_split(self.items))]
        for part in parts:
            part.check_order()
            if not self.is_latest:
                # There is one gap at a time in a subscription to the newest, behind all that is not new.
                part.check_epoch()
                part.check_gaps()
        if is_whole and (not self.is_latest or len(parts) == 1):
            parts[-1].check_whole(epoch, replaced)


def _split(items: Sequence[Told | int | None]) -> Iterable[list[Told | int]]:
    part: list[Told | int] = []
    for item in items:
        if item is None:
            yield part
            part = []
        else:
            part.append(item)
    yield part


@define(eq=False, repr=False)
class _Part:
    """What a subscription gave between two losses."""

    heard: Heard
    sent: Sequence[Told]
    items: Sequence[Told | int]
    is_after_loss: bool
    """Whether what is missing at the beginning is told already."""
    received: Sequence[Told] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.received = [item for item in self.items if isinstance(item, Told)]

    def check_epoch(self) -> None:
        if self.received:
            first = max(told.first_epoch for told in self.received)
            last = min(told.last_epoch for told in self.received)
            assert first <= last, "no gap where the bus was lost"

    def check_order(self) -> None:
        for earlier, later in itertools.combinations(self.received, 2):
            assert not later.comes_before(earlier), "out of order"

    def missing(self, among: Iterable[Told]) -> list[Told]:
        """Return those that the subscription has not been given, though it was there in time."""
        begins = [*self.received[:1]] if self.is_after_loss else []
        return [
            told
            for told in among
            if self.heard in told.sure
            and told.is_of_one_epoch
            and all(first.settled < told.begun or first.comes_before(told) for first in begins)
            and told not in self.heard.items
        ]

    def check_gaps(self) -> None:
        candidates, lagged = self.missing(self.sent), 0
        for item in self.items:
            if isinstance(item, int):
                lagged += item
            else:
                missing = [told for told in candidates if told.comes_before(item)]
                assert len(missing) <= lagged, f"missing without notice: {missing}"

    def check_whole(self, epoch: int, replaced: int) -> None:
        told_of = replaced + sum(item for item in self.items if isinstance(item, int))
        if self.received or not self.is_after_loss:
            missing = [told for told in self.missing(self.sent) if told.first_epoch == epoch and told.is_accepted]
            assert len(missing) <= told_of, f"missing without notice in the end: {missing}"
        others = [told for told in self.sent if told not in self.heard.items and told.settled > self.heard.begun]
        others = [told for told in others if intersects(told.topic, self.heard.topic)]
        assert told_of <= len(others), "more are said to be missing than there are"
