"""SIGINT and SIGTERM, which ask a command to end, and SIGHUP, which asks it to read its files again.

::

    return await run_until_signal(partial(_publish, arguments))  # a signal cancels it: exit code 128 + n
    return await run_until_signal(run, asked=asked, on_hangup=reload)  # the first one sets `asked`

The law of this module: a signal stops a command by Trio's cancellation alone, so that connections are closed and
sockets removed as at any other end.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import trio

from ..background import open_background_nursery
from .exits import SIGNALLED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def run_until_signal(
    verb: Callable[[], Awaitable[int]], *, asked: trio.Event | None = None, on_hangup: Callable[[], None] | None = None
) -> int:
    """Run a command and return its exit code.

    Args:
      verb: the command. A signal cancels it, and the exit code is then 128 and the number of the signal.
      asked: set by the first signal, if it is given; the command then ends by itself, and only a second one cancels.
      on_hangup: called by SIGHUP; without it SIGHUP ends the process as the system has it.

    Raises:
      RuntimeError: this is not the main thread, which alone may set signal handlers. What the command raises leaves as
        it is.

    """
    code = 0

    async def watch() -> None:
        nonlocal code
        async for number in signals:
            if number == signal.SIGHUP and on_hangup is not None:
                on_hangup()
            elif asked is not None and not asked.is_set():
                asked.set()
            else:
                code = SIGNALLED + number
                scope.cancel()

    minded = [signal.SIGINT, signal.SIGTERM, *([] if on_hangup is None else [signal.SIGHUP])]
    with trio.open_signal_receiver(*minded) as signals:
        async with open_background_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(watch)
                code = await verb()
    return code
