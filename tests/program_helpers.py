"""For tests of what a process is allowed: Python programs that run with less than the tests have."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from contextlib import asynccontextmanager
from textwrap import dedent
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from cli_helpers import PATIENCE, Lines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@frozen
class Program:
    """A running program. Closing what it reads lets it go on."""

    stdin: trio.abc.SendStream
    stdout: Lines
    stderr: Lines


@asynccontextmanager
async def open_program(code: str, *arguments: str) -> AsyncGenerator[Program, None]:
    """Start a program; it is killed at the end, and fails the test if that takes forever."""
    with trio.fail_after(PATIENCE):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", dedent(code), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            yield Program(process.stdin, Lines(process.stdout), Lines(process.stderr))
        finally:
            with trio.CancelScope(shield=True):
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
                for stream in (process.stdin, process.stdout, process.stderr):
                    await stream.aclose()
