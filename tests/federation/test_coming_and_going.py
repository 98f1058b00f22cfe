"""Servers that start, end and start again, and those that never get in."""

from __future__ import annotations

import socket
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final

import pytest
import trio
from attrs import define, field

import t2bus
from cli_helpers import process
from faults.measured import LONGEST
from faults.processes import SERVE
from federation.servers import PATIENCE, certificates, come_until, endpoint, free_ports, members, met, running
from tls_helpers import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from faults.measured import Measured
    from federation.servers import Server

TOPIC: Final = "lab/a"
TASKS: Final = 8
"""That publish at once."""


@define(eq=False)
class Load:
    """What is published at one server while another one is started again, and what comes of it."""

    counted: list[int] = field(factory=list)
    """Of each publication, how many connections it reached as the server says."""
    taken: dict[str, list[int]] = field(factory=dict)
    """What came at each server, by the address."""
    is_enough: bool = False

    async def publish(self, client: t2bus.Client) -> None:
        """Publish one number after the other, until there are enough."""
        while not self.is_enough:
            number = len(self.counted)
            self.counted.append(0)
            self.counted[number] = await client.publish_bytes(TOPIC, b"%d" % number)

    async def take(self, server: Server, *, task_status: trio.TaskStatus[None]) -> None:
        """Take what comes until the server ends."""
        numbers = self.taken.setdefault(server.address, [])
        with suppress(t2bus.Disconnected):
            async with server.client() as client, client.subscribe_bytes(TOPIC) as messages:
                task_status.started()
                while True:
                    numbers += [int(message.body) for message in await messages.receive_batch()]

    async def more(self, count: int, reached: int) -> None:
        """Wait until so many more have reached so many connections."""
        place = len(self.counted)
        await come_until(lambda: self.counted[place:].count(reached) >= count)


@pytest.mark.parametrize("way", ["ended", "killed"])
async def test_the_others_lose_nothing_while_servers_restart(folder: Path, measured: Measured, way: str) -> None:
    """Each server is started again in turn under load; what the others publish reaches them all, and is counted so."""
    lost = published = 0
    servers = members(folder, 3)
    async with AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(server.run())
        await met(servers)
        for restarted in range(3):
            *stable, leaver = servers[restarted - 2 :] + servers[: restarted - 2]
            load = Load()
            async with stable[0].client() as client, trio.open_nursery() as takers:
                for server in servers:
                    await takers.start(load.take, server)
                async with trio.open_nursery() as publishers:
                    for _ in range(TASKS):
                        publishers.start_soon(load.publish, client)
                    await load.more(100, 3)
                    await leave(leaver, way)
                    await load.more(100, 2)
                    await stack.enter_async_context(leaver.run())
                    await takers.start(load.take, leaver)
                    await load.more(100, 3)
                    load.is_enough = True
                await all_taken(load, stable)
                takers.cancel_scope.cancel()
            published += len(load.counted)
            lost += sum(each not in {2, 3} for each in load.counted)
            for server in stable:
                assert sorted(load.taken[server.address]) == list(range(len(load.counted)))
    measured.exactly(f"each of 3 servers {way} and started again: of {published:,} publications miscounted", lost, 0)


async def leave(server: Server, way: str) -> None:
    """End a server in an orderly way, or not, and wait until its process is no more."""
    if way == "ended":
        server.child.say("end")
    else:
        server.child.kill()
    await server.child.ended()


async def all_taken(load: Load, servers: Sequence[Server]) -> None:
    """Wait until these servers' subscribers have taken as much as was published."""
    await come_until(lambda: all(len(load.taken[server.address]) >= len(load.counted) for server in servers))


async def test_what_an_authority_unknown_to_all_has_certified_never_joins(folder: Path, measured: Measured) -> None:
    """A server with a certificate of another authority is met by nobody, serves its own clients, and says why."""
    endpoints = [endpoint(port) for port in free_ports(3)]
    servers = members(folder, 2, endpoints=endpoints[:2], seeds=endpoints)
    (strangers := folder / "strangers").mkdir()
    stranger = members(strangers, 1, endpoints=endpoints[2:], seeds=endpoints)[0]
    stranger.options |= certificates(strangers, by="theirs")
    async with (
        running(servers),
        stranger.run(),
        stranger.client() as client,
        servers[0].client() as other,
        client.subscribe_bytes(TOPIC),
        other.subscribe_bytes(TOPIC),
    ):
        line = await stranger.logged("is not met")
        assert await other.publish_bytes(TOPIC, b"") == 1
        assert await client.publish_bytes(TOPIC, b"") == 1
    assert "certificate" in line


def words(server: Server) -> list[str]:
    """Return what a server is, as options of the command line."""
    names = {"endpoint": "federate", "bus": "bus", "ca": "fed-ca", "cert": "fed-cert", "key": "fed-key"}
    options = [f"--{name}={server.options[option]}" for option, name in names.items()]
    return [server.address, *options, *(f"--seed={seed}" for seed in server.options["seeds"])]


@pytest.mark.parametrize("seeds", ["nobody", "silent", "frozen"])
async def test_a_process_ends_when_it_is_told_to(folder: Path, measured: Measured, seeds: str) -> None:
    """A server ends within 2 s of SIGTERM, be its seeds unreachable, silent, or servers that are frozen."""
    async with AsyncExitStack() as stack:
        servers = members(folder, 2)
        if seeds == "frozen":
            await stack.enter_async_context(servers[1].run())
        elif seeds == "silent":
            listener = stack.enter_context(socket.socket())
            listener.bind((HOST, int(servers[1].options["endpoint"].rpartition(":")[2])))
            listener.listen()
        command = await stack.enter_async_context(process(*SERVE, *words(servers[0]), patience=LONGEST))
        await command.stderr.until("to talk")
        if seeds == "frozen":
            await met(servers)
            await servers[1].stop()
        started = time.monotonic()
        command.process.terminate()
        with trio.fail_after(PATIENCE):
            assert await command.end() == 0
        measured.at_most(f"SIGTERM, seeds {seeds}: ended after", time.monotonic() - started, 2.0, "s")
