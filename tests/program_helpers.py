"""For tests of what a process is allowed: Python programs that run with less than the tests have."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

from cli_helpers import IS_LINUX, forked, python

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from cli_helpers import Command


def open_program(code: str, *arguments: str) -> AbstractAsyncContextManager[Command]:
    """Start a program, as :func:`cli_helpers.command` does. Closing what it reads lets it go on."""
    if IS_LINUX:
        return forked(*arguments, code=dedent(code))
    return python("-c", dedent(code), *arguments)
