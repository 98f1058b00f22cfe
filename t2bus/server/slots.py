"""Places for peers that the bus waits for: so many at once, and none that is kept by doing nothing.

There are places for peers that nobody knows yet, and for peers of which a large frame has come in part: both take what
others may need. A peer that has a place may stop at any point, on purpose or not. While there are places for all that
does no harm, and it has its time. When one more peer wants a place, one that has kept the bus waiting for too long
gives up its own: the one that has done so for the longest. A peer that the *bus* keeps waiting, because it has much to
do, loses nothing by that; then the other waits for a place, in the order in which all came.

So a crowd of silent peers delays another by moments, and a fleet that connects all at once is let in one after the
other.
"""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NoReturn

import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_LOOK: Final = 0.025
"""Seconds between two looks for peers that are stuck, while somebody waits."""


@define(eq=False)
class Occupant:
    """A peer that has a place, or wants one."""

    scope: trio.CancelScope
    """Cancelled when it has to go."""
    stuck_at: float = math.inf
    """When it will have kept the bus waiting for too long; never while it is the bus that is to do something."""
    dismissed_by: str = ""
    """The limit that it had to go for, if it had to."""

    is_counted: bool = False
    """Whether it is counted already among those that were not let in, or need not be."""

    def may_take(self, seconds: float) -> None:
        """Note that the peer is to do something now; ``math.inf`` when it is the bus that is."""
        if not self.dismissed_by:
            self.stuck_at = trio.current_time() + seconds


@define(eq=False)
class Slots:
    """A number of places, and the limit that names it."""

    count: int
    limit: str
    _limiter: trio.CapacityLimiter = field(init=False)
    _occupants: dict[Occupant, None] = field(factory=dict, init=False)
    _going: int = field(default=0, init=False)
    """Members that were made to go and have not left yet."""
    _short: trio.Event = field(factory=trio.Event, init=False)
    """Set when somebody waits for a place."""

    def __attrs_post_init__(self) -> None:
        """Make the limiter."""
        self._limiter = trio.CapacityLimiter(self.count)

    def __len__(self) -> int:
        """Return the number of places that are taken."""
        return len(self._occupants)

    async def enter(self, occupant: Occupant) -> None:
        """Take a place when there is one; :meth:`leave` gives it back."""
        if not self._limiter.available_tokens:
            self._make_room(self._limiter.statistics().tasks_waiting + 1)
            self._short.set()
        await self._limiter.acquire_on_behalf_of(occupant)
        self._occupants[occupant] = None

    def enter_nowait(self, occupant: Occupant) -> None:
        """Take a place, or raise ``trio.WouldBlock`` if there is none."""
        self._limiter.acquire_on_behalf_of_nowait(occupant)
        self._occupants[occupant] = None

    def leave(self, occupant: Occupant) -> None:
        """Give a place back. Doing it twice is doing it once."""
        if occupant in self._occupants:
            del self._occupants[occupant]
            self._going -= occupant.dismissed_by == self.limit
            self._limiter.release_on_behalf_of(occupant)

    @asynccontextmanager
    async def place(self, occupant: Occupant) -> AsyncGenerator[None, None]:
        """Hold a place for the time of the body."""
        await self.enter(occupant)
        try:
            yield
        finally:
            self.leave(occupant)

    def dismiss_all(self) -> None:
        """Make all who have a place go."""
        for occupant in self._occupants:
            occupant.is_counted = True
            occupant.scope.cancel()

    @trio.lowlevel.enable_ki_protection
    async def keep_moving(self) -> NoReturn:
        """Dismiss those who are stuck while others wait, until cancelled."""
        while True:
            await self._short.wait()
            while waiting := self._limiter.statistics().tasks_waiting:
                self._make_room(waiting)
                await trio.sleep(_LOOK)
            self._short = trio.Event()

    def _make_room(self, wanted: int) -> None:
        """Make as many peers go as there are places wanted: those first that are stuck for the longest."""
        now = trio.current_time()
        while self._going < wanted:
            occupant = min(self._occupants, key=_stuck_at, default=None)
            if occupant is None or occupant.stuck_at > now:
                return
            self._going += 1
            occupant.stuck_at, occupant.dismissed_by = math.inf, self.limit
            occupant.scope.cancel()


def _stuck_at(occupant: Occupant) -> float:
    return occupant.stuck_at
