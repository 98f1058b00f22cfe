"""A text on a terminal that is written again and again in its own place.

::

    screen = InPlace(output)
    while True:
        await screen.show(lines)
        await trio.sleep(1)

What stood above it stays, and the last text stays when the command ends.

The law of this module: the control sequences here are the only ones that are written to :class:`.Output`; the lines
between them are printable.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from attrs import define, field

from .console import counted

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from .console import Output

_UP: Final = "\x1b[{}A"
"""Moves the cursor so many lines up."""
_CLEAR_BELOW: Final = "\r\x1b[J"
_CLEAR: Final = "\x1b[H\x1b[J"


@define(eq=False)
class InPlace:
    """The place on the terminal. Each line has to fit in its width."""

    output: Output
    _height: int = field(default=0, init=False)
    """Lines that stand there."""
    _size: os.terminal_size | None = field(default=None, init=False)

    async def show(self, lines: Sequence[str]) -> None:
        """Write the lines in the place of the last ones, as many as the terminal has room for."""
        size = shutil.get_terminal_size()
        room = max(size.lines - 1, 2)
        if len(lines) > room:
            lines = [*lines[: room - 1], f"... and {counted(len(lines) - room + 1, 'line', 'lines')} more"]
        if self._size not in (None, size):
            begin = _CLEAR  # the lines that stand there may have been broken, and nobody knows where
        else:
            begin = (_UP.format(self._height) if self._height else "") + _CLEAR_BELOW
        self._size, self._height = size, len(lines)
        await self.output.write(begin + "\n".join(lines))
