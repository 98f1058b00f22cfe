"""A bus that has no descriptor left: those who are in notice nothing, and others get in when there are some."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import trio

import t2bus
from bus_helpers import HELLO, RawPeer
from faults.processes import limits, open_served
from t2bus.wire import native

if TYPE_CHECKING:
    from pathlib import Path

    from cli_helpers import Lines
    from faults.measured import Measured

FILES: Final = 64
CROWD: Final = 200
HELD: Final = 5.0
"""Seconds for which there are none, the time in which the log has one line."""

SHORT: Final = "cannot accept connections"


async def publish_all(client: t2bus.Client, count: list[int]) -> None:
    """Publish numbered messages, a thousand a second, until cancelled."""
    while True:
        await client.publish_bytes("number", str(count[0]).encode())
        count[0] += 1
        await trio.sleep(0.001)


async def gather(lines: Lines, said: list[str]) -> None:
    """Keep all lines that come, until cancelled."""
    while line := await lines.next():
        said.append(line)


async def come_in(address: str) -> None:
    """Open a client, again and again until that succeeds."""
    while True:
        try:
            async with t2bus.open_client(address):
                return
        except t2bus.ConnectFailed:
            await trio.sleep(0.001)


async def test_descriptors_exhausted(folder: Path, measured: Measured) -> None:
    """While a bus is out of descriptors no message is lost and the log stays short; then it accepts again at once."""
    prlimit = ("prlimit", f"--nofile={FILES}:{FILES}")
    count, said = [0], list[str]()
    async with (
        open_served(folder, *limits(connections=FILES), before=prlimit) as served,
        t2bus.open_client(served.address) as publisher,
        t2bus.open_client(served.address) as subscriber,
        subscriber.subscribe_bytes("number") as messages,
        trio.open_nursery() as nursery,
    ):
        async with trio.open_nursery() as publishing:
            publishing.start_soon(publish_all, publisher, count)
            async with AsyncExitStack() as crowd:
                for _ in range(CROWD):
                    stream = await crowd.enter_async_context(await trio.open_unix_socket(f"{folder}/bus"))
                    await RawPeer(stream, native.decode_server_messages).send(HELLO)
                await served.command.stderr.until(SHORT)
                nursery.start_soon(gather, served.command.stderr, said)
                await trio.sleep(HELD)
            begun = trio.current_time()
            lines = 1 + sum(SHORT in line for line in said)
            await come_in(served.address)
            took = trio.current_time() - begun
            publishing.cancel_scope.cancel()
        await publisher.publish_bytes("number", b"end")
        received = list[bytes]()
        while not received or received[-1] != b"end":
            received += [message.body for message in await messages.receive_batch()]
        lost = {str(number).encode() for number in range(count[0])} - set(received)
        nursery.cancel_scope.cancel()
    measured.exactly("descriptors: messages lost", len(lost), 0)
    measured.at_most(f"descriptors: lines in the log in {HELD:g} s", lines, 1)
    measured.at_most("descriptors: until it accepts again", took, 1, "s")
