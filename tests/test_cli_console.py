"""Standard error while a command runs: a thread writes it."""

from __future__ import annotations

import os
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING

from t2bus.cli.console import draw, say, written_beside

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import BinaryIO

LINES = 2000
"""Of 1,000 characters, they are more than a pipe and the queue hold."""


@contextmanager
def standard_error() -> Generator[BinaryIO, None, None]:
    """Make standard error a pipe, and give its other end."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as error, redirect_stderr(error):
        yield reader


def test_lines_come_in_order() -> None:
    """What is said is written line by line, all of it before the block ends."""
    with standard_error() as reader:
        with written_beside():
            for number in range(3):
                say(f"line {number}")
        assert [reader.readline() for _ in range(3)] == [b"t2bus: line %d\n" % number for number in range(3)]


def test_lines_that_do_not_fit_are_counted() -> None:
    """Saying more than anybody reads waits for nobody, and in the place of what is lost stands how much it is."""
    with standard_error() as reader, written_beside():
        for _ in range(LINES):
            say("x" * 1000)
        written = missed = 0
        while written + missed < LINES:
            line = reader.readline()
            if line.endswith(b"x\n"):
                written += 1
            else:
                assert line.endswith(b"not written here\n")
                missed += int(line.split()[1])
        assert 1000 < written < LINES
        say("and on it goes")
        assert reader.readline() == b"t2bus: and on it goes\n"


def test_a_drawn_line_gives_way() -> None:
    """What is drawn takes the place of what was drawn before, and a line that is said takes the place of both."""
    with standard_error() as reader:
        with written_beside():
            draw("one")
            draw("t\x1bwo")
            say("hello")
            draw("")
            say("bye")
        erase = b"\r\x1b[K"
        assert reader.readline() == erase + b"one" + erase + b"t\\x1bwo" + erase + b"t2bus: hello\n"
        assert reader.readline() == b"t2bus: bye\n"
