"""A bar that shows how far a command is, where somebody may be waiting for it.

::

    progress = Progress("published", total=100_000)
    async with progress.shown():
        progress.done += len(batch)

    published [############------------------]  40 %, 52340/s, 1 s left

The law of this module: it is drawn on standard error if that is a terminal, and only after a second.
"""

from __future__ import annotations

import math
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio
from attrs import define

from ..background import open_background_nursery
from .console import draw

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_PATIENCE: Final = 1.0
"""Seconds after which the bar is shown."""

_PERIOD: Final = 0.1
"""Seconds between two drawings."""

_WIDTH: Final = 30
"""Characters of the bar itself."""


@define(eq=False)
class Progress:
    """How much is done of what; the command adds to ``done``."""

    what: str
    total: float = math.inf
    """How much is to be done; infinite if nobody knows."""
    done: int = 0

    @asynccontextmanager
    async def shown(self) -> AsyncGenerator[None, None]:
        """Show the bar during the body if that takes more than a second, and erase it at the end."""
        if sys.stderr is None or not sys.stderr.isatty():
            yield
            return
        try:
            async with open_background_nursery() as nursery:
                nursery.start_soon(self._draw)
                yield
        finally:
            draw("")

    async def _draw(self) -> None:
        begun = trio.current_time()
        await trio.sleep(_PATIENCE)
        while True:
            draw(self.line(trio.current_time() - begun)[: _columns() - 1])
            await trio.sleep(_PERIOD)

    def line(self, seconds: float) -> str:
        """Return what is shown after so many seconds.

        >>> Progress("published", total=200, done=50).line(2.0)
        'published [#######-----------------------]  25 %, 25/s, 6 s left'
        >>> Progress("published", done=50).line(2.0)
        'published 50, 25/s'
        """
        rate = self.done / seconds
        if self.total == math.inf:
            return f"{self.what} {self.done}, {rate:.0f}/s"
        part = min(self.done / self.total, 1.0)
        bar = "#" * int(part * _WIDTH)
        left = f", {(self.total - self.done) / rate:.0f} s left" if rate else ""
        return f"{self.what} [{bar:-<{_WIDTH}}] {int(part * 100):3} %, {rate:.0f}/s{left}"


def _columns() -> int:
    """Return how wide the terminal is; one that does not say is taken for the usual one."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
