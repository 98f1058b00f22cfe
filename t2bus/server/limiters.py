"""A limit on how often something happens: on how many connections are let in, for one."""

from __future__ import annotations

import trio
from attrs import define, field


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
