"""For the tests of the command line: commands as processes, and a bus for commands that run inside the test."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import trio
from attrs import define, field

import t2bus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

PATIENCE = 60
"""Seconds after which a test has hung; a command needs less than one."""


@define(eq=False)
class Lines:
    """What a process writes, line by line."""

    _stream: trio.abc.ReceiveStream
    _buffer: bytes = field(default=b"", init=False)

    async def next(self) -> str:
        """Return the next line, or what there is at the end."""
        while b"\n" not in self._buffer:
            chunk = await self._stream.receive_some()
            if not chunk:
                rest, self._buffer = self._buffer, b""
                return rest.decode()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    async def until(self, text: str) -> str:
        """Return the next line that has the text in it."""
        while True:
            line = await self.next()
            if text in line:
                return line
            assert line, f"the process ended without saying {text!r}"

    async def rest(self) -> list[str]:
        """Return all lines up to the end."""
        data = self._buffer + b"".join([chunk async for chunk in self._stream])
        return data.decode().splitlines()


@define(eq=False)
class Command:
    """A running program: ``python -m t2bus``, one of a test, or a shell."""

    process: trio.Process
    stdin: trio.abc.SendStream
    stdout: Lines
    stderr: Lines

    async def end(self) -> int:
        """Wait for its end and return its exit code."""
        return await self.process.wait()


def python(
    *arguments: str, env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
) -> AbstractAsyncContextManager[Command]:
    """Start Python with these arguments, as :func:`process` does."""
    return process(sys.executable, *arguments, env=env, pass_fds=pass_fds)


@asynccontextmanager
async def process(
    *words: str, env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = (), patience: float = PATIENCE
) -> AsyncGenerator[Command, None]:
    """Start a program; it is killed at the end, and fails the test if that takes longer than so many seconds."""
    with trio.fail_after(patience):
        started = await trio.lowlevel.open_process(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            pass_fds=pass_fds,
        )
        assert started.stdin is not None
        assert started.stdout is not None
        assert started.stderr is not None
        try:
            yield Command(started, started.stdin, Lines(started.stdout), Lines(started.stderr))
        finally:
            with trio.CancelScope(shield=True):
                with contextlib.suppress(ProcessLookupError):
                    started.kill()
                await started.wait()
                for stream in (started.stdin, started.stdout, started.stderr):
                    await stream.aclose()


def command(
    *arguments: str, env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
) -> AbstractAsyncContextManager[Command]:
    """Start a command, as :func:`python` does."""
    return python("-m", "t2bus", *arguments, env=env, pass_fds=pass_fds)


async def run(*arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command to its end; return its exit code and what it wrote to standard output and standard error."""
    with trio.fail_after(PATIENCE):
        done = await trio.run_process(
            [sys.executable, "-m", "t2bus", *arguments],
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env={**os.environ, **(env or {})},
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@contextmanager
def bus_in_a_thread(folder: Path) -> Generator[str, None, None]:
    """Run a bus beside the test, for commands that take the main thread themselves; give its address.

    It serves ``echo``; ``failing``, which fails in two lines; and ``silent``, which never answers.
    """
    address = f"unix:{folder}/bus"
    ready = threading.Event()
    stop = trio.Event()
    token: trio.lowlevel.TrioToken | None = None

    async def answer(requests: t2bus.Requests[bytes, bytes]) -> None:
        async for request in requests:
            if request.topic == "echo":
                await request.respond(request.body)
            else:
                await request.fail("no\n\x1b[31mway")

    async def main() -> None:
        nonlocal token
        token = trio.lowlevel.current_trio_token()
        async with (
            t2bus.open_bus(address) as bus,
            bus.open_client() as client,
            client.serve_bytes("echo") as echo,
            client.serve_bytes("failing") as failing,
            client.serve_bytes("silent"),
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(answer, echo)
            nursery.start_soon(answer, failing)
            ready.set()
            await stop.wait()
            nursery.cancel_scope.cancel()

    thread = threading.Thread(target=trio.run, args=[main])
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield address
    finally:
        if token is not None:
            token.run_sync_soon(stop.set)
        thread.join()
