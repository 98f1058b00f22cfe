"""SIGINT and SIGTERM, which ask a command to end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import trio

from ..background import open_background_nursery
from .exits import SIGNALLED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["run_until_signal"]


async def run_until_signal(verb: Callable[[], Awaitable[int]], *, asked: trio.Event | None = None) -> int:
    """Run a command and return its exit code.

    A signal cancels it, and its number gives the exit code; with ``asked``, the first signal sets this event instead
    and only the second cancels.
    """
    code = 0

    async def watch() -> None:
        nonlocal code
        number = await anext(signals)
        if asked is not None:
            asked.set()
            number = await anext(signals)
        code = SIGNALLED + number
        scope.cancel()

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_background_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(watch)
                code = await verb()
    return code
