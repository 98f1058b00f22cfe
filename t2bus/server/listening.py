"""Accepting connections, at a bounded rate, whatever the machine is short of."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from ..log_limiter import LogLimiter
from ..transport.forks import keep_from_children

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..endpoints import Listener
    from .limiters import RateLimiter

_logger = logging.getLogger("t2bus.server")

_SHORTEST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.5
"""Seconds between two tries to accept while the machine has no file, memory or buffer to spare."""

_LOG_INTERVAL: Final = 5.0
"""Seconds between two lines in the log about that."""


@trio.lowlevel.enable_ki_protection
async def listen(
    listener: Listener, handle: Callable[[Listener, trio.SocketStream], Awaitable[None]], limiter: RateLimiter
) -> None:
    """Accept connections and hand each to ``handle``, until cancelled or the listener is closed.

    No error ends it: when the machine is short of files, those who are connected go on, and it tries again, after
    10 ms at first and half a second at last.
    """
    pause = _SHORTEST_PAUSE
    log = LogLimiter(_LOG_INTERVAL)
    while True:
        try:
            stream = keep_from_children(await listener.listener.accept())
        except trio.ClosedResourceError:
            return
        except OSError as error:
            if log.allows("accept", trio.current_time()):
                _logger.warning("cannot accept connections at %s for now: %s", listener.address, error.strerror)
            await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            continue
        pause = _SHORTEST_PAUSE
        await handle(listener, stream)
        await limiter.wait()
