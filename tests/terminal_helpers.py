"""For tests of programs at a terminal: a pseudo-terminal, and what a person would see on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import termios
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pyte
import trio
import trio.testing
from attrs import define, field

from cli_helpers import ForkedCommand, started

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@define(eq=False)
class Terminal:
    """A program at a terminal. What it writes is read while :meth:`until` or :meth:`end` waits."""

    process: trio.Process | ForkedCommand
    master: trio.lowlevel.FdStream
    slave: int
    screen: pyte.Screen
    written: bytearray = field(factory=bytearray, init=False)
    """All that it wrote."""
    _stream: pyte.ByteStream = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._stream = pyte.ByteStream(self.screen)

    @property
    def shown(self) -> str:
        """What stands on the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    async def until(self, text: str, *, gone: bool = False) -> str:
        """Read until the text is on the screen, or is no longer; return the screen."""
        while (text in self.shown) is gone:
            assert await self._read(), f"the program ended, and its screen was:\n{self.shown}"
        return self.shown

    async def _read(self) -> bool:
        try:
            data = await self.master.receive_some()
        except trio.BrokenResourceError:  # so Linux says that nobody has the other end any more
            return False
        self.written += data
        self._stream.feed(bytes(data))
        return True

    async def type(self, keys: str) -> None:
        """Press keys."""
        await self.master.send_all(keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Make the terminal larger or smaller, and tell the program."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)
        self.process.send_signal(signal.SIGWINCH)

    async def end(self) -> int:
        """Wait for its end and return its exit code. The test has the terminal open too, so reading would not end."""
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                while await self._read():
                    pass

            nursery.start_soon(read)
            code = await self.process.wait()
            await trio.testing.wait_all_tasks_blocked(0.05)
            nursery.cancel_scope.cancel()
        return code


@asynccontextmanager
async def at_a_terminal(
    *arguments: str, columns: int = 100, lines: int = 20, encoding: str = "utf-8"
) -> AsyncGenerator[Terminal, None]:
    """Start Python with these arguments at a terminal; it is killed at the end."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name != "LC_ALL"}
    env |= {"TERM": "xterm", "LANG": "C.UTF-8", "PYTHONIOENCODING": encoding}
    stream = trio.lowlevel.FdStream(master)
    try:
        async with started(*arguments, env=env, given=dict.fromkeys(range(3), slave)) as process:
            yield Terminal(process, stream, slave, pyte.Screen(columns, lines))
    finally:
        os.close(slave)
        with trio.CancelScope(shield=True):
            await stream.aclose()
