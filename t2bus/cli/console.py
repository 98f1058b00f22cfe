"""Standard output and standard error.

What is shown may come from anybody on the bus, and the screen may be a terminal that obeys escape sequences.

The law of this module: no character that is not printable reaches either stream. :func:`say` escapes them; what is
written to :class:`Output` is printable already, as all is that :mod:`.notation` makes.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from ..text import printable

if TYPE_CHECKING:
    from typing import TextIO


def counted(number: int, one: str, many: str) -> str:
    """Return ``1 message`` or ``2 messages``."""
    return f"{number} {one if number == 1 else many}"


def say(text: str) -> None:
    """Tell the user something, in one line on standard error; nothing happens if that is closed."""
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            print(f"t2bus: {printable(text)}", file=sys.stderr, flush=True)


class Output:
    """Standard output, line by line.

    A reader may stop for as long as it likes, as ``| less`` does. Meanwhile the connection has to answer the bus, and
    the command its signals. So each line is written by a thread, which is left behind when the command is cancelled. It
    writes past Python's buffers: a thread left in a buffered stream would hold the stream's lock when Python ends, and
    abort it.

    Raises:
      OSError: there is no standard output.

    """

    def __init__(self) -> None:
        if sys.stdout is None:  # as it is when it was closed before the start
            raise OSError("standard output is closed")
        self.ascii: bool = (sys.stdout.encoding or "utf-8").lower().replace("-", "") != "utf8"
        """Whether only ASCII may be written: the encoding of the terminal is not UTF-8."""

    async def write(self, line: str) -> None:
        """Write one line; return when it has left this process. Cancelled, it may still be written.

        Raises:
          BrokenPipeError: whoever read it has gone, as ``| head`` does.
          OSError: it cannot be written.

        """
        import trio

        try:
            await trio.to_thread.run_sync(_write, f"{line}\n", abandon_on_cancel=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(f"standard output cannot be written: {error.strerror}") from error


def _write(text: str) -> None:
    """Write all of a text to standard output, or to what a program has put in its place."""
    file = file_number(sys.stdout)
    if file is None:
        print(text, end="", flush=True)
        return
    data = text.encode()
    while data:
        data = data[os.write(file, data) :]


def file_number(stream: TextIO) -> int | None:
    """Return the number of the open file that the stream stands for, if it stands for one and not for a string."""
    try:
        return stream.fileno()
    except OSError:
        return None
