"""Programs of a test in processes of their own, which can be killed and put into a network namespace.

::

    async with open_child(serve_bus, "unix:/tmp/bus") as bus:
        await bus.heard("ready")
        bus.kill()

A program is an asynchronous function of a module. It is given a way to report, and commands in the other direction.
All are forked from one process that has imported t2bus, so that one starts in milliseconds where Python takes 300.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

PATIENCE = 60
"""Seconds after which a child that says nothing hangs."""

_LIBC = ctypes.CDLL(None, use_errno=True)
"""Python 3.11 has no ``os.setns``, and none has ``prctl``."""

_NEW_NETWORK = 0x40000000
"""``CLONE_NEWNET`` of ``setns``: the descriptor is of a network namespace."""

_DIES_WITH_PARENT = 1
"""``PR_SET_PDEATHSIG`` of ``prctl``."""

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["trio", "t2bus.server.open", "t2bus.client.connect", "t2bus.status"])


@frozen
class Report:
    """What a child says, and when, on the clock that all processes of a machine share."""

    kind: str
    value: Any
    at: float


@define(eq=False)
class Parent:
    """The way from a child to its test and back."""

    _connection: Connection[Any, Any]

    def tell(self, kind: str, value: Any = None) -> None:
        """Report something; it waits while the test has much to read."""
        self._connection.send(Report(kind, value, time.monotonic()))

    async def command(self) -> Any:
        """Return the next command."""
        await trio.lowlevel.wait_readable(self._connection.fileno())
        return self._connection.recv()


Program = Callable[..., Coroutine[Any, Any, object]]
"""An asynchronous function of a module, called with a :class:`Parent` and arguments that can be pickled."""


@define(eq=False)
class Child:
    """A running program."""

    process: ForkServerProcess
    _connection: Connection[Any, Any]
    reports: list[Report] = field(factory=list)
    """All that it has said so far."""

    async def next(self) -> Report:
        """Return the next report; raises ``EOFError`` when the program has ended."""
        await trio.lowlevel.wait_readable(self._connection.fileno())
        report: Report = self._connection.recv()
        self.reports.append(report)
        return report

    async def heard(self, kind: str) -> Report:
        """Return the next report of a kind, skipping others."""
        with trio.fail_after(PATIENCE):
            while (report := await self.next()).kind != kind:
                pass
            return report

    def say(self, command: Any) -> None:
        """Give a command."""
        self._connection.send(command)

    def kill(self) -> float:
        """Kill it as ``kill -9`` does, and return when."""
        assert self.process.pid is not None
        at = time.monotonic()
        os.kill(self.process.pid, signal.SIGKILL)
        return at

    async def ended(self) -> None:
        """Wait until the process is no more."""
        with trio.fail_after(PATIENCE):
            await trio.lowlevel.wait_readable(self.process.sentinel)

    def close(self) -> None:
        """Free what the test holds of it; it is killed if it still runs."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self._connection.close()


def start(program: Program, *arguments: Any, namespace: str | None = None) -> Child:
    """Start a program, in the network namespace of this name if there is one; close it in the end."""
    ours, theirs = _FORKS.Pipe()
    process = _FORKS.Process(target=_run, args=(program, theirs, arguments, namespace))
    process.start()
    theirs.close()
    return Child(process, ours)


@asynccontextmanager
async def open_child(program: Program, *arguments: Any, namespace: str | None = None) -> AsyncGenerator[Child, None]:
    """Start a program, and kill it when the body ends."""
    child = start(program, *arguments, namespace=namespace)
    try:
        yield child
    finally:
        child.close()


def _run(program: Program, connection: Connection[Any, Any], arguments: tuple[Any, ...], namespace: str | None) -> None:
    """Run a program in its process, which ends with that of the tests at the latest."""
    _LIBC.prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    if namespace is not None:
        _enter(namespace)
    trio.run(program, Parent(connection), *arguments)


def _enter(namespace: str) -> None:
    """Put this process into a network namespace that has a name."""
    file = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if _LIBC.setns(file, _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {namespace}")
    finally:
        os.close(file)
