"""Buses and programs in processes of their own, and what the system says of them.

::

    async with open_served(folder, "--limit", "write_stall=600") as served:
        async with t2bus.open_client(served.address) as client: ...
        served.memory(), served.cpu(), served.files()
"""

from __future__ import annotations

import resource
import signal
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

import t2bus
from cli_helpers import Command, process
from faults.measured import LONGEST

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence


PROGRAMS: Final = Path(__file__).with_name("programs")
SERVE: Final = (sys.executable, "-m", "t2bus", "serve")


@frozen
class Process:
    """A process that runs."""

    command: Command

    @property
    def pid(self) -> int:
        """Its number."""
        return self.command.process.pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.command.process.send_signal(number)

    async def stop(self) -> None:
        """Stop it where it is, as a machine that is suspended, and wait until it is stopped."""
        self.send(signal.SIGSTOP)
        with trio.fail_after(5):
            while self._state() not in {"T", "t"}:  # noqa: ASYNC110 -- the kernel tells nobody
                await trio.sleep(0.001)

    def go_on(self) -> None:
        """Let it go on."""
        self.send(signal.SIGCONT)

    def _state(self) -> str:
        return Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]

    def memory(self) -> int:
        """Return how many bytes of it are in memory."""
        pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * resource.getpagesize()

    def files(self) -> int:
        """Return how many files it has open."""
        return len([*Path(f"/proc/{self.pid}/fd").iterdir()])

    def cpu(self) -> float:
        """Return the seconds of a processor that it has used: Linux's clock of another process."""
        return time.clock_gettime(~self.pid << 3 | 2)


@frozen
class Served(Process):
    """A bus that runs."""

    address: str

    async def status(self) -> t2bus.status.Status:
        """Return what it says of itself; whoever asks is one of its connections meanwhile."""
        async with t2bus.open_client(self.address) as client:
            return await client.request("", t2bus.status.StatusRequest())


@asynccontextmanager
async def open_served(
    folder: Path, *options: str, before: Sequence[str] = (), env: Mapping[str, str] | None = None, name: str = "bus"
) -> AsyncGenerator[Served, None]:
    """Run ``t2bus serve`` at a unix socket in the folder; ``before`` are the words of a program that runs it."""
    address = f"unix:{folder}/{name}"
    async with process(*before, *SERVE, address, *options, env=env, patience=LONGEST) as command:
        await command.stderr.until("to talk")
        yield Served(command, address)


@asynccontextmanager
async def open_program(
    name: str, *arguments: object, env: Mapping[str, str] | None = None
) -> AsyncGenerator[Process, None]:
    """Run one of the programs of the folder; it has said ``ready`` when this has been entered."""
    words = (sys.executable, str(PROGRAMS / f"{name}.py"), *map(str, arguments))
    async with process(*words, env=env, patience=LONGEST) as command:
        line = await command.stdout.next()
        assert line == "ready", "\n".join([line, *await command.stderr.rest()])
        yield Process(command)


def limits(**bounds: float) -> list[str]:
    """Return the options that give a bus these limits."""
    return [word for name, value in bounds.items() for word in ("--limit", f"{name}={value}")]
