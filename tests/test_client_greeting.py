"""What a program calls itself when it says HELLO."""

from __future__ import annotations

import os
import sys

import pytest

import t2bus
from t2bus.client.greeting import hello
from t2bus.wire import messages as m
from t2bus.wire.compression import ZLIB
from t2bus.wire.native import VERSION
from t2bus.wire.values import NAME_LENGTH

PID = f"[{os.getpid()}]"


def test_hello_is_of_this_version() -> None:
    """A client opens with the version that is spoken here, the compressions that it reads, and its name."""
    assert hello("oven") == m.Hello(VERSION, "t2bus-python", (ZLIB,), "oven")


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("/usr/bin/recorder.py", "recorder.py"),
        ("/usr/lib/recorder/__main__.py", "recorder"),
        ("-c", "python"),
        ("", "python"),
        ("/bin/a\nb", "a\\nb"),
        ("/bin/" + "x" * 500, "x" * (NAME_LENGTH - len(PID))),
    ],
)
def test_a_client_without_a_name_has_that_of_its_process(
    monkeypatch: pytest.MonkeyPatch, program: str, name: str
) -> None:
    """By default the name is the program and the id of its process, printable and short."""
    monkeypatch.setattr(sys, "argv", [program])
    assert hello(None).name == name + PID


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[31m", "x" * (NAME_LENGTH + 1)])
async def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    """A name that is empty, too long or not printable raises where it is given, before anything is connected to."""
    with pytest.raises(ValueError, match="no name of a client"):
        async with t2bus.open_client("unix:nowhere", name=name):
            raise AssertionError
    async with t2bus.open_bus() as bus:
        with pytest.raises(ValueError, match="no name of a client"):
            async with bus.open_client(name=name):
                raise AssertionError
