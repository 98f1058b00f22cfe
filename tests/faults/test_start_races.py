"""Buses that start at one path at the same moment: one of them gets it, and nothing of anybody else is touched."""

from __future__ import annotations

import json
import os
import socket
import struct
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
import trio

import t2bus
from bus_helpers import names
from cli_helpers import process
from faults.measured import times
from faults.processes import SERVE, open_program

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from faults.measured import Measured
    from faults.processes import Process

RACES: Final = 500
RACERS: Final = 4


async def order(racers: Process, text: str) -> Any:
    """Give an order; return the answer."""
    await racers.command.stdin.send_all(f"{text}\n".encode())
    line = await racers.command.stdout.next()
    assert line, await racers.command.stderr.rest()
    return json.loads(line)


async def who_listens(path: Path) -> int:
    """Return the number of the process whose socket is at the path."""
    async with await trio.open_unix_socket(path) as stream:
        credentials = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        assert isinstance(credentials, bytes)
        process, _, _ = struct.unpack("3i", credentials)
        return int(process)


async def test_start_races_have_one_winner(folder: Path, measured: Measured) -> None:
    """Of four buses that start at one path one gets it, after a bus that ended well and after one that was killed."""
    path, count = folder / "bus", times(RACES)
    one_winner = 0
    async with open_program("racers", folder) as racers:
        for number in range(count):
            answer = await order(racers, f"race {RACERS} {path}")
            assert all("is in use" in error for error in answer["errors"]), answer
            if len(answer["winners"]) == 1 and await who_listens(path) == int(answer["winners"][0]):
                one_winner += 1
            assert names(folder) == ["bus"]
            ended = await order(racers, ("end", "kill")[number % 2])
            assert ended == {"well": RACERS}
            assert names(folder) == [[], ["bus"]][number % 2]
    measured.exactly(f"races of {RACERS} buses with one winner", one_winner, count)


async def test_programs_that_race(folder: Path, measured: Measured) -> None:
    """Of four ``t2bus serve`` that start at one path one serves, and the others say that it is in use."""
    won = 0
    async with AsyncExitStack() as stack:
        words = [*SERVE, f"unix:{folder}/bus"]
        commands = [await stack.enter_async_context(process(*words)) for _ in range(RACERS)]
        for command in commands:
            said = await command.stderr.next()
            if "serving at" in said:
                won += 1
            else:
                assert "is in use" in said
                assert await command.end() == 1
        async with t2bus.open_client(f"unix:{folder}/bus"):
            pass
    measured.exactly(f"winners of {RACERS} programs", won, 1)


# --- what is at the path already


@contextmanager
def a_file(path: Path) -> Generator[None, None, None]:
    path.write_text("precious")
    yield
    assert path.read_text() == "precious"


@contextmanager
def a_link_to_a_file(path: Path) -> Generator[None, None, None]:
    target = path.with_name("target")
    target.write_text("precious")
    path.symlink_to(target)
    yield
    assert path.readlink() == target
    assert target.read_text() == "precious"


@contextmanager
def a_link_to_nothing(path: Path) -> Generator[None, None, None]:
    path.symlink_to(path.with_name("nothing"))
    yield
    assert path.is_symlink()
    assert not path.with_name("nothing").exists()


@contextmanager
def a_socket_that_answers(path: Path) -> Generator[None, None, None]:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(path))
        server.listen()
        yield
        client.connect(str(path))


@contextmanager
def a_link_to_a_socket_that_answers(path: Path) -> Generator[None, None, None]:
    target = path.with_name("target")
    with a_socket_that_answers(target):
        path.symlink_to(target)
        yield
        assert path.readlink() == target


@contextmanager
def a_link_to_a_dead_socket(path: Path) -> Generator[None, None, None]:
    target = path.with_name("target")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(target))
    path.symlink_to(target)
    yield
    assert path.readlink() == target
    assert target.is_socket()


@contextmanager
def a_folder(path: Path) -> Generator[None, None, None]:
    path.mkdir()
    yield
    assert path.is_dir()


OCCUPIED = (
    a_file,
    a_link_to_a_file,
    a_link_to_nothing,
    a_socket_that_answers,
    a_link_to_a_socket_that_answers,
    a_link_to_a_dead_socket,
    a_folder,
)


async def test_what_is_not_ours_stays(folder: Path, measured: Measured) -> None:
    """Where anything but a dead socket is at the path no bus starts, and that stays as it is."""
    started = 0
    async with open_program("racers", folder) as racers:
        for occupied in OCCUPIED:
            place = folder / occupied.__name__
            place.mkdir()
            path = place / "bus"
            with occupied(path):
                before = names(place), os.lstat(path).st_ino
                started += len((await order(racers, f"race {RACERS} {path}"))["winners"])
                await order(racers, "end")
                assert (names(place), os.lstat(path).st_ino) == before
    measured.exactly(f"buses started in {len(OCCUPIED)} places that were taken", started, 0)


@pytest.mark.parametrize("is_listening", [False, True], ids=["bound", "listened"])
async def test_a_dead_socket_is_replaced(folder: Path, measured: Measured, is_listening: bool) -> None:
    """Where a socket is whose process is dead one of four buses starts."""
    path = folder / "bus"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        if is_listening:
            server.listen()
    async with open_program("racers", folder) as racers:
        answer = await order(racers, f"race {RACERS} {path}")
        measured.exactly("winners at a dead socket", len(answer["winners"]), 1)
        assert await who_listens(path) == int(answer["winners"][0])
        assert await order(racers, "end") == {"well": RACERS}
    assert names(folder) == []
