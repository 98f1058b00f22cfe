"""Standard output and standard error.

What is shown may come from anybody on the bus, and the screen may be a terminal that obeys escape sequences.

Whoever reads a stream may stop for as long as it likes, as ``| less`` does. Meanwhile the connections have to be
served, and signals obeyed. So a thread writes each of them, which is left behind when the command ends. It writes past
Python's buffers: a thread left in a buffered stream would hold the stream's lock when Python ends, and abort it.

A program may want to read the lines of standard error, so a command may be told to write each in another form, as
``t2bus serve --log-format json`` does.

The law of this module: no character that is not printable reaches either stream. :func:`say` escapes them; what is
written to :class:`Output` is printable already, as all is that :mod:`.notation` and :mod:`.table` make. The escape
sequences that colour and move are the command line's own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from ..text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import NoReturn, TextIO

    Form = Callable[[str, int], str]

_ROOM: Final = 1 << 20
"""Characters that may wait for standard error; lines that do not fit are counted."""

_PATIENCE: Final = 1.0
"""Seconds that the last lines have to be written, when the command ends."""

_INFO: Final = 20
_WARNING: Final = 30
"""As in :mod:`logging`, the import of which would be a seventh of the time of ``--help``."""

_ERASE: Final = "\r\x1b[K"
"""To the beginning of the line, which is then empty."""


def counted(number: int | None, one: str, many: str) -> str:
    """Return ``1 message`` or ``2 messages``, and ``an unknown number of messages`` for None."""
    return f"{'an unknown number of' if number is None else number} {one if number == 1 else many}"


def plain_form(text: str, level: int) -> str:  # noqa: ARG001 -- a person sees how bad it is
    """Return what is said as a line for people; ``level`` is one of :mod:`logging`."""
    return f"t2bus: {printable(text)}"


class _Lines:
    """What waits to be written to standard error, by a thread."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self._texts: list[str] = []
        self._size = self._size_taken = 0
        """Characters that wait or are being written, and those of the latter."""
        self._missed = 0
        """Lines that did not fit behind the texts."""
        self.is_drawn = False
        """Whether the last line is one of :func:`draw`."""
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
                missed = f"{counted(self._missed, 'line was', 'lines were')} not written here"
                self._texts.append(f"{self.form(missed, _WARNING)}\n")
            text = "".join(self._texts)
            self._size_taken = self._size
            self._missed = 0
            self._texts.clear()
            return text


_lines: ContextVar[_Lines | None] = ContextVar("_lines", default=None)


@contextmanager
def written_beside(form: Form = plain_form) -> Generator[None, None, None]:
    """Leave what the body writes to standard error to a thread, so that nothing waits for whoever reads it.

    ``form`` makes lines of what is said, of a text and of a level of :mod:`logging`.
    """
    lines = _Lines(form)
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
        lines.put(f"{_ERASE if lines.is_drawn else ''}{line}\n")
        lines.is_drawn = False


def draw(text: str) -> None:
    """Show a text in the last line of the terminal that standard error is, in the place of the text before.

    An empty one erases that, and so does the next :func:`write_line`. It works inside of :func:`written_beside`.
    """
    lines = _lines.get()
    if lines is not None and (text or lines.is_drawn):
        lines.put(f"{_ERASE}{printable(text)}")
        lines.is_drawn = bool(text)


def say(text: str, level: int = _INFO) -> None:
    """Tell the user something, in one line on standard error."""
    lines = _lines.get()
    write_line((plain_form if lines is None else lines.form)(text, level))


def say_traceback(error: BaseException) -> None:
    """Show where an error comes from, line by line on standard error."""
    import traceback

    for line in "".join(traceback.format_exception(error)).splitlines():
        write_line(printable(line))


async def say_here(text: str) -> None:
    """Do as :func:`say`, and return when it is written, so that what follows on standard output comes behind it."""
    import trio

    say(text)
    if (lines := _lines.get()) is not None:
        await trio.to_thread.run_sync(lines.wait, abandon_on_cancel=True)


def _write_error(text: str) -> None:
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            write_all(sys.stderr, text)


def may_colour(choice: str) -> bool:
    """Whether standard output is coloured, for ``--color``: ``auto`` looks at the terminal and at ``NO_COLOR``."""
    if choice == "auto":
        is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return sys.stdout is not None and sys.stdout.isatty() and not is_plain
    return choice == "always"


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
        import shutil

        return shutil.get_terminal_size().columns if self.is_terminal else None

    async def wait_until_unread(self) -> NoReturn:
        """Wait until nobody can read what is written, for a command that may have nothing to write for long.

        Only a pipe on Linux tells; elsewhere whoever writes is told.

        Raises:
          BrokenPipeError: whoever read it has gone, as ``| head`` does.

        """
        import stat

        import trio

        file = file_number(sys.stdout)
        if sys.platform == "linux" and file is not None and stat.S_ISFIFO(os.fstat(file).st_mode):
            await trio.lowlevel.wait_readable(file)  # the end that writes has nothing to read, but this error
            raise BrokenPipeError
        await trio.sleep_forever()

    async def write(self, line: str, *, end: str = "\n") -> None:
        """Write one line and its end; return when it has left this process. Cancelled, it may still be written.

        Raises:
          BrokenPipeError: whoever read it has gone, as ``| head`` does.
          OSError: it cannot be written.

        """
        import trio

        try:
            await trio.to_thread.run_sync(write_all, sys.stdout, f"{line}{end}", abandon_on_cancel=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(unwritable(error)) from error


async def print_line(line: str) -> None:
    """Print a line that quotes names and topics, which may hold anything, in the encoding of the terminal."""
    output = Output()
    line = printable(line)
    await output.write(line.encode("ascii", "backslashreplace").decode() if output.ascii else line)


def unwritable(error: OSError) -> str:
    """Return what is said where standard output cannot be written."""
    return f"standard output cannot be written: {error.strerror}"


def write_all(stream: TextIO, text: str) -> None:
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
