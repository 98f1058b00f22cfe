"""Standard input, as lines or as a whole.

It is read by a thread and past Python's buffers, for the reasons that :class:`.console.Output` gives: whoever types may
take their time, and a signal has to end the command meanwhile.

The law of this module: what is gathered is bounded by :data:`LONGEST`, whatever comes in.
"""

from __future__ import annotations

import codecs
import os
import stat
import sys
from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from ..program.options import plain
from .console import file_number
from .notation import BadValue

if TYPE_CHECKING:
    from typing import TextIO

LONGEST: Final = 16 * 1024 * 1024
"""Bytes of a value. A frame is smaller, but JSON takes more room than what it becomes."""

_PIECE: Final = 65_536
"""Bytes that are read at once: what a pipe holds on Linux."""


def is_terminal() -> bool:
    """Whether standard input is a keyboard, whose user has to be told that it is being read."""
    return sys.stdin is not None and sys.stdin.isatty()


def is_regular_file() -> bool:
    """Whether standard input is a file on a disk, which comes to its end without anybody's doing."""
    file = None if sys.stdin is None else file_number(sys.stdin)
    return file is not None and stat.S_ISREG(os.fstat(file).st_mode)


class LineReader:
    r"""The lines of standard input, for one task; they are numbered for the texts of errors.

    What ends each is ``b"\n"`` or, where texts may have that in them, ``b"\0"``.
    """

    def __init__(self, end: bytes = b"\n") -> None:
        self._end = end
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._number = 0
        self._what = "line" if end == b"\n" else "text"

    @property
    def place(self) -> str:
        """Which line was read last, for texts about it."""
        return f"{self._what} {self._number} of standard input"

    @property
    def has_line(self) -> bool:
        """Whether the next line is there already, so that :meth:`read` does not wait."""
        return bool(self._lines)

    async def read(self) -> str | None:
        """Return the next line without its end, or None where there are no more.

        A line is returned when its end has come, not when a buffer is full; the last one may lack it. Cancelled, it may
        have taken input that is then lost.

        Raises:
          BadValue: the line is too long, or is not UTF-8.

        """
        while not self._lines:
            chunk = await _read()
            if not (chunk or self._rest):
                return None
            *lines, self._rest = (self._rest + (chunk or self._end)).split(self._end)  # the last one may lack its end
            self._lines.extend(lines)
            if len(self._rest) > LONGEST:
                raise BadValue(f"a {self._what} of standard input has more than {LONGEST} bytes")
        self._number += 1
        return _decoded(self._lines.popleft(), self.place)


async def read_all() -> str:
    """Return all of standard input without the end of its last line; it waits until that ends.

    Raises:
      BadValue: it is too long, or is not UTF-8.

    """
    data = b""
    while chunk := await _read():
        data += chunk
        if len(data) > LONGEST:
            raise BadValue(f"standard input has more than {LONGEST} bytes")
    return _decoded(data, "standard input").removesuffix("\n")


async def _read() -> bytes:
    """Wait for some bytes, and return those that are there; none at the end."""
    if sys.stdin is None:
        raise BadValue("standard input is closed: name a VALUE")
    return await trio.to_thread.run_sync(_read_some, sys.stdin, abandon_on_cancel=True)


def _read_some(stream: TextIO) -> bytes:
    """Do as :func:`_read` in a thread; a stream that a program has put in the place of a file is read as text."""
    file = file_number(stream)
    return stream.read(_PIECE).encode() if file is None else os.read(file, _PIECE)


def _decoded(data: bytes, what: str) -> str:
    """Return the text that the bytes are, without what Windows adds."""
    try:
        return plain(data.decode())
    except UnicodeDecodeError as error:
        is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        remedy = ", but UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`" if is_utf16 else ""
        raise BadValue(f"{what} is not UTF-8{remedy}") from error
