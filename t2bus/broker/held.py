"""What is held of a paced publication, until those whose window is spent take it or have missed it.

The law of this module: a publication is acknowledged once, when nobody holds it any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from .budget import Shared

if TYPE_CHECKING:
    from ..wire.messages import Publication
    from .joint_count import Acknowledged
    from .peer import Peer

_HELD: Final = 4
"""Cells of what is held, beside those of the publication and for each subscription that holds it."""


@define(eq=False, repr=False)
class HeldPublication(Shared):
    """A paced publication that waits for room somewhere, and whom to tell when it waits no more."""

    publication: Publication
    publisher: Peer
    told: Acknowledged
    """Who is told what became of it: the publisher's outbox, or what stands before that."""
    operation: int
    reached: int = 0
    """How many connections it is for."""
    takers: set[int] = field(factory=set)
    """The connections that took it, by id: each counts once."""
    waiting: int = field(default=0, init=False)
    """The subscriptions that hold it."""

    @property
    def counted(self) -> int:
        """What is held counts for itself, and not among what waits in outboxes."""
        return self.size if self.holders > self.waiting else 0

    def hold(self) -> None:
        """Note that one subscription more holds it."""
        if not self.waiting:
            self.total.held += self.size
        self.waiting += 1
        self.total.used += self.size
        self.total.cells += self.cells + _HELD
        self.join()

    def let_go(self) -> None:
        """Note that one of them holds it no more."""
        self.waiting -= 1
        if not self.waiting:
            self.total.held -= self.size
        self.total.used -= self.size
        self.total.cells -= self.cells + _HELD
        self.leave()

    def may_wait(self) -> bool:
        """Tell whether there is room for one subscription more to hold it."""
        counted = self.size if self.holders else 0
        return self.total.may_hold(0 if self.waiting else self.size, self.cells + _HELD, counted)

    def settle(self, accepted_by: Peer | None) -> None:
        """Note that a subscription that has let it go took it, or missed it; acknowledge it when it was the last."""
        if accepted_by is not None:
            self.takers.add(accepted_by.id)
        if not self.waiting:
            self.publisher.held -= 1
            taken = len(self.takers)
            self.told.acknowledge(self.operation, (taken,), self.reached - taken)
