"""What errors tell a user to do: a command that is printed can be copied as it is, and does what it is for."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

import t2bus
from bus_helpers import Note
from cli_helpers import command, process


async def refusal(address: str) -> str:
    """Return what a client is told that reaches no bus at an address."""
    with pytest.raises(t2bus.ConnectFailed) as caught:
        async with t2bus.open_client(address):
            pass
    return str(caught.value)


def commands(text: str) -> list[list[str]]:
    """Return the commands in a text, each as the words that a shell makes of it."""
    return [shlex.split(each) for each in re.findall("`(.*?)`", text)]


@pytest.mark.parametrize("name", ["bus", "a bus", "it's; $(a) & 'bus'"])
async def test_the_command_that_starts_a_bus_starts_it(folder: Path, name: str) -> None:
    """Who finds no bus at a socket can copy the command that starts one there, whatever the path."""
    address = f"unix:{folder}/{name}"
    ((python, dash_m, program, *words),) = commands(await refusal(address))
    assert (python, dash_m, program) == ("python", "-m", "t2bus")
    async with command(*words) as serve:
        await serve.stderr.until("serving at")
        async with t2bus.open_client(address) as client:
            assert await client.publish("x", Note("")) == 0


async def test_commands_are_called_as_the_reader_calls_them(folder: Path) -> None:
    """Who has called ``t2bus`` is told a command that begins so, for another Python may be found first."""
    script = str(Path(sys.executable).with_name("t2bus"))
    for program, begins in (
        ([script], "`t2bus serve unix:"),
        ([sys.executable, "-m", "t2bus"], "`python -m t2bus serve"),
    ):
        async with process(*program, "status", "--addr", f"unix:{folder}/bus") as asking:
            assert begins in await asking.stderr.next()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_command_that_starts_a_bus_at_a_port_starts_it(host: str) -> None:
    """Who finds no bus at a port of this machine can copy the command that starts one there."""
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus:
        address = bus.addresses[0].replace("127.0.0.1", host)
    (words,) = commands(await refusal(address))
    async with command(*words[3:]) as serve:
        await serve.stderr.until("serving at")
        async with t2bus.open_client(address) as client:
            assert await client.publish("x", Note("")) == 0


@pytest.mark.parametrize("address", ["tcp:host.invalid:1", "tcp:0.0.0.0:1"])
async def test_a_bus_of_another_machine_is_not_started_here(address: str) -> None:
    """Who finds no bus at another machine is told no command, which would start one on this."""
    said = await refusal(address)
    assert said.endswith(". Is a bus there?")
    assert commands(said) == []


async def test_a_bus_without_a_folder_is_not_started(folder: Path) -> None:
    """Where no folder is for the socket, that is said, since no bus can be started there."""
    said = await refusal(f"unix:{folder}/none/bus")
    assert said.endswith(f": No such file or directory. There is no folder {folder}/none")


async def test_a_file_is_no_bus(folder: Path) -> None:
    """Where a file is in the place of the socket, that is said, since a bus would leave it alone."""
    (folder / "bus").touch()
    assert (await refusal(f"unix:{folder}/bus")).endswith(": Connection refused. What is there is no socket")
