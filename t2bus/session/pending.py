"""The operations of a client that somebody waits for, one by one.

The law of this module: each is answered once, and whoever has stopped waiting is not called.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from ..errors import BusError
from ..wire import messages as m
from .receipt import Receipt, ShortReceipt, receipt_for

Outcome = Receipt | m.Response | BusError
Done = Callable[[int, Outcome], None]
"""Called with the id of the operation and its outcome."""


@define(eq=False, repr=False)
class PendingOperations:
    """Who waits, by the id of the operation."""

    _waiting: dict[int, Done] = field(factory=dict, init=False)
    _missed: dict[int, int] = field(factory=dict, init=False)
    """How many connections a publication that is about to be acknowledged did not reach, if any."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, number: int) -> bool:
        return number in self._waiting

    @property
    def numbers(self) -> frozenset[int]:
        """All of them."""
        return frozenset(self._waiting)

    def add(self, number: int, done: Done) -> None:
        """Wait for an operation."""
        self._waiting[number] = done

    def forget(self, number: int) -> bool:
        """Wait for it no more; tell whether it had no answer yet."""
        if self._missed:
            self._missed.pop(number, None)
        return self._waiting.pop(number, None) is not None

    def resolve(self, number: int, outcome: Outcome) -> None:
        """Give the answer to an operation, if somebody waits for it."""
        if (done := self._waiting.pop(number, None)) is not None:
            done(number, outcome)

    def accept(self, message: m.Accepted) -> None:
        """Give the receipts of those operations that somebody waits for."""
        take, missed = self._waiting.pop, self._missed
        for number, count in enumerate(message.counts, message.first):
            if (done := take(number, None)) is not None:
                if missed and number in missed:
                    done(number, ShortReceipt(count, missed.pop(number)))
                else:
                    done(number, receipt_for(count))

    def note_missed(self, message: m.Unreached) -> None:
        """Take note of what belongs on receipts that are about to come."""
        for number, count in enumerate(message.counts, message.first):
            if number in self._waiting:
                self._missed[number] = count

    def close(self, error: BusError) -> None:
        """Give the error to all who wait."""
        waiting, self._waiting = self._waiting, {}
        self._missed.clear()
        for number, done in waiting.items():
            done(number, error)
