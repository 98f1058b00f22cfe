"""The window of a subscription that wants the newest of each topic: ``client.subscribe(Price, "*", latest=True)``.

It holds one message of each topic, in the order in which they came. A newer one takes the place of the older one of its
topic, and stands at the end, so that nothing overtakes::

    arrives    a1  b1  a2        waits    b1  a2

So what waits takes no credit: a message that has arrived is credited at once, whether the program takes it or the next
one replaces it. Publishers are never held up by the program, only by the way to it, and what waits is bounded here.
Where more topics wait than may, the message that waits for the longest goes, and a :class:`~t2bus.Lagged` stands in its
place: nothing newer of that topic is known. So does one where the bus had to drop something, which is when all credit
was on its way. There is one gap at a time, and it stays where it began: it is to be told soon.

The law of this module: a message that is not given was replaced, and counted, or is part of a gap.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from attrs import define, field

from ..errors import Lagged
from ..wire.messages import Publication, Run
from ..wire.values import size_of
from .windows import ReceiveWindow, joined

if TYPE_CHECKING:
    from .counters import ClientCounters


@define(eq=False, repr=False)
class LatestWindow(ReceiveWindow):
    """The newest message of each topic of one subscription."""

    most: int
    """Topics that wait at most."""
    most_size: int
    """The same, in bytes; the last message may run over it."""
    _counters: ClientCounters
    replaced: int = field(default=0, init=False)
    _newest: OrderedDict[str | None, Publication | Lagged] = field(factory=OrderedDict, init=False)
    """By topic, in the order in which they are given; the gap, if there is one, is under None."""
    _size: int = field(default=0, init=False)

    def put(self, publication: Publication) -> None:
        """Take in a delivery; the older one of its topic is replaced."""
        size = self._admit(publication)
        self._credit_back(1, size)
        self._keep(publication, size)

    def put_run(self, run: Run) -> None:
        """Take in deliveries of one topic, of which the last one is the newest."""
        self._admit_run(run)
        self._credit_back(len(run.payloads), run.size)
        self._note_replaced(len(run.payloads) - 1)
        last = run.payloads[-1]
        self._keep(Publication(run.topic, last), len(run.topic) + len(last))

    def lose(self) -> None:
        """Take in that the connection was lost: the gap stands behind all that has arrived."""
        self._note_gap(None, at_front=False)
        self._newest.move_to_end(None)
        self._set_waiting(len(self._newest))
        self._forget_debt()

    def put_gap(self, dropped: int | None) -> None:
        """Take in the news that messages are missing."""
        self._note_gap(dropped, at_front=False)
        self._set_waiting(len(self._newest))

    def take(self) -> Publication | Lagged:
        """Return the next item, which must be there."""
        _, item = self._newest.popitem(last=False)
        self._set_waiting(len(self._newest))
        if isinstance(item, Publication):
            self._size -= size_of(item.topic, item.payload, item.headers)
        return item

    def take_of_run(self) -> None:
        """Return None: there are no runs here."""

    def front(self, most: int) -> Publication | Lagged:  # noqa: ARG002 -- it is one
        """Return the next item, which must be there, and leave it."""
        return next(iter(self._newest.values()))

    def _keep(self, publication: Publication, size: int) -> None:
        older = self._newest.pop(publication.topic, None)
        if isinstance(older, Publication):
            self._size -= size_of(older.topic, older.payload, older.headers)
            self._note_replaced(1)
        self._newest[publication.topic] = publication
        self._size += size
        while len(self._newest) - (None in self._newest) > self.most or self._size - size >= self.most_size:
            self._drop_oldest()
        self._set_waiting(len(self._newest))

    def _drop_oldest(self) -> None:
        topic, oldest = next((topic, item) for topic, item in self._newest.items() if isinstance(item, Publication))
        del self._newest[topic]
        self._size -= size_of(oldest.topic, oldest.payload, oldest.headers)
        self._counters.dropped += 1
        self._note_gap(1, at_front=True)

    def _note_gap(self, dropped: int | None, *, at_front: bool) -> None:
        gap = self._newest.get(None)
        if isinstance(gap, Lagged):
            self._newest[None] = joined(gap, dropped)
            return
        self._newest[None] = Lagged(dropped)
        if at_front:
            self._newest.move_to_end(None, last=False)

    def _note_replaced(self, count: int) -> None:
        self.replaced += count
        self._counters.replaced += count
