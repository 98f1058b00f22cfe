"""Accepting connections, at a bounded rate, whatever the machine is short of."""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from .limiters import LogLimiter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..transport.dial import Listener

__all__ = ["RateLimiter", "listen"]

_logger = logging.getLogger("t2bus.server")

_SHORTEST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 1.0
"""Seconds between two tries to accept while the machine has no file, memory or buffer to spare."""

_LOG_INTERVAL: Final = 5.0
"""Seconds between two lines in the log about that."""

_GONE_ALREADY: Final = {errno.ECONNABORTED, errno.EPROTO}
"""The peer left while it waited to be accepted: nothing is wrong here."""


@define(eq=False)
class RateLimiter:
    """Lets as many through as a rate allows, in bursts of at most a second's worth."""

    rate: int
    """In one second."""
    _next: float = field(default=0.0, init=False)
    """When the next one would go through if all came at an even limiter."""

    async def wait(self) -> None:
        """Wait for as long as the rate asks for."""
        now = trio.current_time()
        self._next = max(self._next, now) + 1 / self.rate
        if self._next > now + 1:
            await trio.sleep_until(self._next - 1)


async def listen(
    listener: Listener, handle: Callable[[Listener, trio.SocketStream], Awaitable[None]], limiter: RateLimiter
) -> None:
    """Accept connections and hand each to ``handle``, until cancelled or the listener is closed.

    No error ends it: when the machine is short of files, those who are connected go on, and it tries again, after
    10 ms at first and 1 s at last.
    """
    pause = _SHORTEST_PAUSE
    log = LogLimiter(_LOG_INTERVAL)
    while True:
        try:
            stream = await listener.listener.accept()
        except trio.ClosedResourceError:
            return
        except OSError as error:
            if error.errno in _GONE_ALREADY:
                continue
            if log.allows("accept", trio.current_time()):
                _logger.warning("cannot accept connections at %s for now: %s", listener.address, error.strerror)
            await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            continue
        pause = _SHORTEST_PAUSE
        await handle(listener, stream)
        await limiter.wait()
