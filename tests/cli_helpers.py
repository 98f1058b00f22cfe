"""For the tests of the command line: commands as processes, and a bus for commands that run inside the test."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import define, field

import t2bus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

PATIENCE = 60
"""Seconds after which a test has hung; a command needs less than one."""

IS_LINUX = sys.platform == "linux"
"""Elsewhere there is no server of commands."""


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

    async def read(self) -> bytes:
        """Return all up to the end."""
        return self._buffer + b"".join([chunk async for chunk in self._stream])

    async def rest(self) -> list[str]:
        """Return all lines up to the end."""
        return (await self.read()).decode().splitlines()


@define(eq=False)
class ForkedCommand:
    """A command that the server of commands has become; it has what tests use of :class:`trio.Process`."""

    pid: int
    _keeper: trio.socket.SocketType
    stdout: trio.abc.ReceiveStream | None = field(default=None, init=False)
    """The other end of its standard output, where that is a pipe."""
    _code: int | None = field(default=None, init=False)

    async def wait(self) -> int:
        """Wait for its end and return its exit code."""
        if self._code is None:
            self._code = int(await self._keeper.recv(16))
        return self._code

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@define(eq=False)
class Command:
    """A running program: ``python -m t2bus``, one of a test, or a shell."""

    process: trio.Process | ForkedCommand
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
    """Start a command, as :func:`python` does, by forking what has imported it already where that can be the same."""
    if IS_LINUX and not any(name.startswith(("PYTHON", "LANG", "LC_")) for name in env or ()):
        return forked(*arguments, env=env, inherited=dict(zip(pass_fds, pass_fds, strict=True)))
    return python("-m", "t2bus", *arguments, env=env, pass_fds=pass_fds)


FAST_T2BUS = """
import functools, sys, trio, trio.testing
from t2bus.cli import main
trio.run = functools.partial(trio.run, clock=trio.testing.MockClock(rate=5))
sys.exit(main())
"""
"""The command, for which time passes five times as fast, so that what it does each second is soon."""


def fast_command(*arguments: str) -> AbstractAsyncContextManager[Command]:
    """Start a command whose clock runs five times as fast, as :func:`command` does."""
    return forked(*arguments, code=FAST_T2BUS) if IS_LINUX else python("-c", FAST_T2BUS, *arguments)


@cache
def command_server() -> socket.socket:
    """Start the server of commands, once; it ends when this process does, and the socket with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("command_server.py")), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            cwd=Path(__file__).parents[1],  # where a PYTHONPATH like "." means what it meant when the tests began
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


@asynccontextmanager
async def fork(
    *words: str, env: Mapping[str, str], given: Mapping[int, int], code: str | None = None
) -> AsyncGenerator[ForkedCommand, None]:
    """Have the server of commands become this one, or a program; it is killed at the end.

    What it is given are descriptors of this process by the numbers that they have there, the standard streams first.
    """
    start = {"code": code, "words": words, "numbers": [*given], "env": dict(env), "folder": str(Path.cwd())}
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        socket.send_fds(command_server(), [json.dumps(start).encode()], [theirs.fileno(), *given.values()])
    with trio.fail_after(PATIENCE), trio.socket.from_stdlib_socket(ours) as keeper:
        started = ForkedCommand(int(await keeper.recv(16)), keeper)
        try:
            yield started
        finally:
            with trio.CancelScope(shield=True):
                started.kill()
                await started.wait()


@asynccontextmanager
async def started(
    *arguments: str, env: Mapping[str, str], given: Mapping[int, int]
) -> AsyncGenerator[trio.Process | ForkedCommand, None]:
    """Start Python with these arguments and standard streams, or fork the command; it is killed at the end."""
    if IS_LINUX and arguments[:2] == ("-m", "t2bus"):
        async with fork(*arguments[2:], env=env, given=given) as process:
            yield process
        return
    words = [sys.executable, *arguments]
    with trio.fail_after(PATIENCE):
        opened = await trio.lowlevel.open_process(words, stdin=given[0], stdout=given[1], stderr=given[2], env=env)
        try:
            yield opened
        finally:
            with trio.CancelScope(shield=True):
                with contextlib.suppress(ProcessLookupError):
                    opened.kill()
                await opened.wait()


@asynccontextmanager
async def forked(
    *words: str,
    code: str | None = None,
    env: Mapping[str, str] | None = None,
    inherited: Mapping[int, int] | None = None,
) -> AsyncGenerator[Command, None]:
    """Have the server of commands become this one, or a program, and else do as :func:`process` does.

    What it inherits are descriptors by the numbers that they have there.
    """
    (reads, stdin), (stdout, writes), (stderr, writes_errors) = os.pipe(), os.pipe(), os.pipe()
    streams = [trio.lowlevel.FdStream(descriptor) for descriptor in (stdin, stdout, stderr)]
    given = {0: reads, 1: writes, 2: writes_errors, **(inherited or {})}
    async with fork(*words, code=code, env={**os.environ, **(env or {})}, given=given) as started:
        for descriptor in (reads, writes, writes_errors):
            os.close(descriptor)
        started.stdout = streams[1]
        try:
            yield Command(started, streams[0], Lines(streams[1]), Lines(streams[2]))
        finally:
            with trio.CancelScope(shield=True):
                started.kill()
                for stream in streams:
                    await stream.aclose()


async def run(*arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command to its end; return its exit code and what it wrote to standard output and standard error."""
    return await _run(command(*arguments, env=env), stdin)


async def fast_run(*arguments: str) -> tuple[int, str, str]:
    """Run a command whose clock runs five times as fast, as :func:`run` does."""
    return await _run(fast_command(*arguments), b"")


async def _run(start: AbstractAsyncContextManager[Command], stdin: bytes) -> tuple[int, str, str]:

    async def write() -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await running.stdin.send_all(stdin)
        await running.stdin.aclose()

    async def read(number: int, lines: Lines) -> None:
        said[number] = (await lines.read()).decode()

    said = ["", ""]
    async with start as running:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            nursery.start_soon(read, 0, running.stdout)
            nursery.start_soon(read, 1, running.stderr)
        return await running.end(), said[0], said[1]


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
