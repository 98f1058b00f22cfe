"""Places for handshakes that take work: so many at once, and none for ever.

A peer that has begun a handshake may stop in its middle, on purpose or not. While nobody waits that does no harm, and
it has its time. When places are short, each holder has a short turn only: strangers that stop in the middle delay a
newcomer by that much, and those who answer are done long before.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["Slots"]

_TURN: Final = 0.25
"""Seconds of a holder's turn while others wait: some round trips between continents."""


@define(eq=False)
class Slots:
    """A number of places, given out in the order of asking."""

    count: int
    _limiter: trio.CapacityLimiter = field(init=False)
    _holders: dict[trio.CancelScope, float] = field(factory=dict, init=False)
    """With the time at which each got its place."""

    def __attrs_post_init__(self) -> None:
        """Make the limiter."""
        self._limiter = trio.CapacityLimiter(self.count)

    @asynccontextmanager
    async def hold(self) -> AsyncGenerator[None, None]:
        """Wait for a place and hold it for the time of the body, which is cut short when its turn is over."""
        if not self._limiter.available_tokens:
            for scope, since in self._holders.items():
                scope.deadline = since + _TURN
        async with self._limiter:
            now = trio.current_time()
            with trio.CancelScope() as scope:
                if self._limiter.statistics().tasks_waiting:
                    scope.deadline = now + _TURN
                self._holders[scope] = now
                try:
                    yield
                finally:
                    del self._holders[scope]
