"""Standard input, as lines or as a whole.

It is read by a thread and past Python's buffers, for the reasons that :class:`.console.Output` gives.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import trio

from .values import BadValue

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["is_terminal", "read_all", "read_lines"]

_LONGEST: Final = 16 * 1024 * 1024
"""Bytes of a value. A frame is smaller, but JSON takes more room than what it becomes."""


def is_terminal() -> bool:
    """Whether somebody has to be told that their keyboard is being read."""
    return sys.stdin is not None and sys.stdin.isatty()


async def read_lines() -> AsyncGenerator[str, None]:
    """Yield the lines, without their ends, as they come.

    Raises:
      BadValue: a line is too long, or is not UTF-8.

    """
    rest, number = b"", 0
    while chunk := await _read():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            number += 1
            yield _decoded(line, f"line {number} of standard input")
        if len(rest) > _LONGEST:
            raise BadValue(f"line {number + 1} of standard input has more than {_LONGEST} bytes")
    if rest:
        yield _decoded(rest, f"line {number + 1} of standard input")


async def read_all() -> str:
    """Return all of it.

    Raises:
      BadValue: it is too long, or is not UTF-8.

    """
    data = b""
    while chunk := await _read():
        data += chunk
        if len(data) > _LONGEST:
            raise BadValue(f"standard input has more than {_LONGEST} bytes")
    return _decoded(data, "standard input")


async def _read() -> bytes:
    if sys.stdin is None:
        raise BadValue("standard input is closed: name a VALUE")
    return await trio.to_thread.run_sync(os.read, sys.stdin.fileno(), 65_536, abandon_on_cancel=True)


def _decoded(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadValue(f"{what} is not UTF-8") from error
