"""Standard output and standard error.

What is shown may come from anybody on the bus, and the screen may be a terminal that obeys escape sequences.

Whoever reads a stream may stop for as long as it likes, as ``| less`` does. Meanwhile the connections have to be
served, and signals obeyed. So a thread writes each of them, which is left behind when the command ends. It writes past
Python's buffers: a thread left in a buffered stream would hold the stream's lock when Python ends, and abort it.

The law of this module: no character that is not printable reaches either stream. :func:`say` escapes them; what is
written to :class:`Output` is printable already, as all is that :mod:`.notation` and :mod:`.table` make. Only
:mod:`.refreshing` writes control sequences, which are its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from ..text import printable

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import TextIO

_ROOM: Final = 1 << 20
"""Characters that may wait for standard error; lines that do not fit are counted."""

_PATIENCE: Final = 1.0
"""Seconds that the last lines have to be written, when the command ends."""


def counted(number: int, one: str, many: str) -> str:
    """Return ``1 message`` or ``2 messages``."""
    return f"{number} {one if number == 1 else many}"


class _Lines:
    """What waits to be written to standard error, by a thread."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._size = self._size_taken = 0
        """Characters that wait or are being written, and those of the latter."""
        self._missed = 0
        """Lines that did not fit behind the texts."""
        self._has_ended = False
        self._news = threading.Condition()

    def put(self, text: str) -> None:
        """Have a line written, or count it if there is no room."""
        with self._news:
            if self._size + len(text) > _ROOM:
                self._missed += 1
            else:
                self._size += len(text)
                self._texts.append(text)
            self._news.notify_all()

    def end(self) -> None:
        """Let the thread end when it has written all."""
        with self._news:
            self._has_ended = True
            self._news.notify_all()

    def wait(self) -> None:
        """Wait until all is written."""
        with self._news:
            self._news.wait_for(lambda: not self._size)

    def write(self) -> None:
        """Write what is put here, until the end."""
        while text := self._take():
            _write_error(text)

    def _take(self) -> str:
        """Wait for something to write, which counts until the next call; there is nothing at the end."""
        with self._news:
            self._size -= self._size_taken
            self._news.notify_all()
            self._news.wait_for(lambda: self._texts or self._missed or self._has_ended)
            if self._missed:
                self._texts.append(f"t2bus: {counted(self._missed, 'line was', 'lines were')} not written here\n")
            text = "".join(self._texts)
            self._size_taken = self._size
            self._missed = 0
            self._texts.clear()
            return text


_lines: ContextVar[_Lines | None] = ContextVar("_lines", default=None)


@contextmanager
def written_beside() -> Generator[None, None, None]:
    """Leave what the body writes to standard error to a thread, so that nothing waits for whoever reads it."""
    lines = _Lines()
    thread = threading.Thread(target=lines.write, name="t2bus-stderr", daemon=True)
    thread.start()
    token = _lines.set(lines)
    try:
        yield
    finally:
        _lines.reset(token)
        lines.end()
        thread.join(_PATIENCE)


def write_line(line: str) -> None:
    """Write one line to standard error; nothing happens if that is closed."""
    if (lines := _lines.get()) is None:
        _write_error(f"{line}\n")
    else:
        lines.put(f"{line}\n")


def say(text: str) -> None:
    """Tell the user something, in one line on standard error."""
    write_line(f"t2bus: {printable(text)}")


async def say_here(text: str) -> None:
    """Do as :func:`say`, and return when it is written, so that what follows on standard output comes behind it."""
    import trio

    say(text)
    if (lines := _lines.get()) is not None:
        await trio.to_thread.run_sync(lines.wait, abandon_on_cancel=True)


def _write_error(text: str) -> None:
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            _write(sys.stderr, text)


class Output:
    """Standard output, line by line.

    Raises:
      OSError: there is no standard output.

    """

    def __init__(self) -> None:
        if sys.stdout is None:  # as it is when it was closed before the start
            raise OSError("standard output is closed")
        self.ascii: bool = (sys.stdout.encoding or "utf-8").lower().replace("-", "") != "utf8"
        """Whether only ASCII may be written: the encoding of the terminal is not UTF-8."""
        self.is_terminal: bool = sys.stdout.isatty()
        """Whether it is for people."""

    @property
    def width(self) -> int | None:
        """How many cells a line has on the terminal; None for a file or a pipe, which has no width."""
        return shutil.get_terminal_size().columns if self.is_terminal else None

    async def write(self, line: str) -> None:
        """Write one line; return when it has left this process. Cancelled, it may still be written.

        Raises:
          BrokenPipeError: whoever read it has gone, as ``| head`` does.
          OSError: it cannot be written.

        """
        import trio

        try:
            await trio.to_thread.run_sync(_write, sys.stdout, f"{line}\n", abandon_on_cancel=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(f"standard output cannot be written: {error.strerror}") from error


def _write(stream: TextIO, text: str) -> None:
    """Write all of a text to a standard stream, or to what a program has put in its place."""
    file = file_number(stream)
    if file is None:
        print(text, end="", file=stream, flush=True)
        return
    data = text.encode(stream.encoding or "utf-8", "backslashreplace")
    while data:
        data = data[os.write(file, data) :]


def file_number(stream: TextIO) -> int | None:
    """Return the number of the open file that the stream stands for, if it stands for one and not for a string."""
    try:
        return stream.fileno()
    except OSError:
        return None
