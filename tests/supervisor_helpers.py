"""For the tests of a bus as a service: a supervisor's socket, and a process that inherits sockets."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from cli_helpers import PATIENCE, Command, forked

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping, Sequence


@define(eq=False)
class Supervisor:
    """The socket that ``NOTIFY_SOCKET`` names, as systemd has it."""

    env: dict[str, str]
    sock: socket.socket
    said: list[str] = field(factory=list)
    """All lines that have come."""

    async def next(self) -> list[str]:
        """Return the lines of the next datagram."""
        reader = trio.socket.from_stdlib_socket(self.sock.dup())
        try:
            with trio.fail_after(PATIENCE):
                lines = (await reader.recv(65536)).decode().split("\n")
        finally:
            reader.close()
        self.said += lines
        return lines

    async def until(self, text: str) -> list[str]:
        """Return the next datagram of which a line begins with the text."""
        while True:
            lines = await self.next()
            if any(line.startswith(text) for line in lines):
                return lines

    def nowait(self) -> list[str]:
        """Return all lines that have come and were not read."""
        lines: list[str] = []
        self.sock.setblocking(False)
        try:
            while True:
                lines += self.sock.recv(65536).decode().split("\n")
        except BlockingIOError:
            return lines


@contextmanager
def supervisor(place: str, **env: str) -> Generator[Supervisor, None, None]:
    """Listen where a bus says how it is; a name that begins with ``@`` is abstract."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{place[1:]}" if place.startswith("@") else place)
        yield Supervisor({"NOTIFY_SOCKET": place, **env}, sock)


@asynccontextmanager
async def serve_inherited(
    sockets: Sequence[socket.socket], *arguments: str, names: str = "", env: Mapping[str, str] | None = None
) -> AsyncGenerator[Command, None]:
    """Run ``t2bus serve`` with these sockets from file 3 on, as a process that systemd has started."""
    told = {"LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names, **(env or {})}
    numbers = {number: sock.fileno() for number, sock in enumerate(sockets, 3)}
    async with forked("serve", *arguments, env=told, inherited=numbers) as serve:
        yield serve
