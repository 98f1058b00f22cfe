"""Children that are forked: they neither end what is their parent's, nor keep it when the parent has died."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

import t2bus
from bus_helpers import Note, names, wait_until
from program_helpers import open_program

if TYPE_CHECKING:
    from pathlib import Path

UNWINDS, LIVES = "unwinds", "lives"
"""What a child does: it leaves by an exception, or lives until its standard input, its parent's too, ends."""

FORK = """
    import os, sys, trio, t2bus

    def fork():
        if os.fork() == 0:
            if sys.argv[2] == "unwinds":
                sys.exit()
            print("forked", flush=True)
            os.read(0, 1)
            os._exit(0)
        if sys.argv[2] == "unwinds":
            os.wait()
            print("forked", flush=True)
"""

BUS = f"""{FORK}
    async def main():
        async with t2bus.open_bus("unix:" + sys.argv[1], "tcp:127.0.0.1:0") as bus:
            print(bus.addresses[1], flush=True)
            await trio.lowlevel.wait_readable(0)
            os.read(0, 1)
            fork()
            await trio.sleep_forever()

    trio.run(main)
"""
"""It forks at a byte on its standard input."""

CLIENT = f"""{FORK}
    async def main():
        async with t2bus.open_client(sys.argv[1]) as client, client.subscribe_bytes("**") as messages:
            fork()
            print((await messages.receive()).topic, flush=True)

    trio.run(main)
"""


async def test_a_child_of_a_bus_that_unwinds_ends_nothing(folder: Path) -> None:
    """A child that leaves the body of its parent's bus leaves the path, the clients and the listeners alone."""
    async with open_program(BUS, f"{folder}/bus", UNWINDS) as program:
        addresses = [f"unix:{folder}/bus", await program.stdout.next()]
        async with t2bus.open_client(addresses[0]) as one, t2bus.open_client(addresses[1]) as two:
            await program.stdin.send_all(b".")
            assert await program.stdout.next() == "forked"
            assert names(folder) == ["bus"]
            for client in one, two:
                assert await client.publish("x", Note("")) == 0
        for address in addresses:
            async with t2bus.open_client(address) as client:
                assert await client.publish("x", Note("")) == 0


async def test_a_child_of_a_bus_that_lives_keeps_no_address(folder: Path) -> None:
    """When a bus was killed another can take its addresses at once, though a child of it lives."""
    async with open_program(BUS, f"{folder}/bus", LIVES) as program:
        addresses = [f"unix:{folder}/bus", await program.stdout.next()]
        await program.stdin.send_all(b".")
        assert await program.stdout.next() == "forked"
        program.process.kill()
        await program.end()
        async with t2bus.open_bus(*addresses) as bus:
            assert list(bus.addresses) == addresses


async def test_a_child_of_a_bus_that_lives_keeps_no_client(folder: Path) -> None:
    """When a bus was killed its clients notice at once, though a child of it lives."""
    async with open_program(BUS, f"{folder}/bus", LIVES) as program:
        address = await program.stdout.next()
        async with t2bus.open_client(address) as client, client.subscribe(Note, "x") as messages:
            await program.stdin.send_all(b".")
            assert await program.stdout.next() == "forked"
            program.process.kill()
            with trio.fail_after(5), pytest.raises(t2bus.Disconnected):
                await messages.receive()


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_a_child_of_a_client_that_unwinds_ends_nothing(folder: Path, kind: str) -> None:
    """A child that leaves the body of its parent's client leaves the connection alone."""
    address = f"unix:{folder}/bus" if kind == "unix" else "tcp:127.0.0.1:0"
    async with t2bus.open_bus(address) as bus, open_program(CLIENT, bus.addresses[0], UNWINDS) as program:
        assert await program.stdout.next() == "forked"
        async with bus.open_client() as client:
            assert await client.publish_bytes("topic", b"") == 1
            assert await program.stdout.next() == "topic"


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_a_child_of_a_client_that_lives_keeps_no_connection(folder: Path, kind: str) -> None:
    """When a client was killed the bus notices at once, though a child of it lives."""
    address = f"unix:{folder}/bus" if kind == "unix" else "tcp:127.0.0.1:0"
    async with t2bus.open_bus(address) as bus, open_program(CLIENT, bus.addresses[0], LIVES) as program:
        assert await program.stdout.next() == "forked"
        program.process.kill()
        with trio.fail_after(5):
            await wait_until(lambda: bus.statistics().connections == 0)
