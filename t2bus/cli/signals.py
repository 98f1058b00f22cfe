"""SIGINT and SIGTERM, which ask a command to end, and SIGHUP, which asks it to read its files again."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import trio

from ..background import open_background_nursery
from .exits import SIGNALLED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["run_until_signal"]


async def run_until_signal(
    verb: Callable[[], Awaitable[int]],
    *,
    asked: trio.Event | None = None,
    on_hangup: Callable[[], None] | None = None,
) -> int:
    """Run a command and return its exit code.

    A signal cancels it, and its number gives the exit code; with ``asked``, the first signal sets this event instead
    and only the second cancels. With ``on_hangup``, SIGHUP calls it.
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
