"""Limits on how often something happens: lines in the log, and connections that are let in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Hashable

_MOST_KINDS: Final = 1024
"""Kinds that are remembered. Peers may choose the kind, so their number is bounded; the oldest goes first."""


@define(eq=False)
class LogLimiter:
    """Allows one of each kind in ``interval`` seconds."""

    interval: float
    _allowed_at: dict[Hashable, float] = field(factory=dict, init=False)

    def __len__(self) -> int:
        """Return how many kinds are remembered."""
        return len(self._allowed_at)

    def allows(self, kind: Hashable, now: float) -> bool:
        """Tell whether one of this kind may be now; if so it has been."""
        last = self._allowed_at.get(kind)
        if last is not None and now - last < self.interval:
            return False
        self._allowed_at.pop(kind, None)
        self._allowed_at[kind] = now
        if len(self._allowed_at) > _MOST_KINDS:
            del self._allowed_at[next(iter(self._allowed_at))]
        return True


@define(eq=False)
class RateLimiter:
    """Lets as many through as a rate allows, in bursts of at most a second's worth."""

    rate: int
    """In one second."""
    _next: float = field(default=0.0, init=False)
    """When the next one would go through if all came at an even pace."""

    async def wait(self) -> None:
        """Wait for as long as the rate asks for."""
        now = trio.current_time()
        self._next = max(self._next, now) + 1 / self.rate
        if self._next > now + 1:
            await trio.sleep_until(self._next - 1)
