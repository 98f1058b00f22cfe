"""Networks that come apart and heal: a cable between two hosts that drops everything, and a proxy that stops."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest
import trio

import t2bus
from faults.children import open_child
from faults.network import FAR, NEAR, open_cable, why_there_is_none
from faults.talkers import forward
from federation.servers import (
    LEASE,
    PATIENCE,
    claimed,
    endpoint,
    free_ports,
    members,
    met,
    opened,
    reaches,
)
from tls_helpers import HOST

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from faults.measured import Measured
    from faults.network import Cable
    from federation.servers import Server

TOPIC: Final = "lab/a"
HEALED: Final = 5.0
"""Seconds in which servers that can reach each other again have met."""

cables = pytest.mark.skipif(bool(why_there_is_none()), reason=why_there_is_none())


@asynccontextmanager
async def open_hosts(folder: Path, *hosts: str, least: int = 1) -> AsyncGenerator[tuple[list[Server], Cable], None]:
    """Run a server at each of these addresses of two hosts, with a cable between the hosts."""
    places = [f"tls:{host}:{7447 + number}" for number, host in enumerate(hosts)]
    servers = members(folder, len(hosts), endpoints=places, hosts=(NEAR, FAR), min_members=least)
    with open_cable() as cable, ExitStack() as stack:
        for server, host in zip(servers, hosts, strict=True):
            server.namespace = cable.near if host == NEAR else cable.far
            stack.enter_context(server.begin())
        for server in servers:
            await server.child.heard("ready")
        await met(servers)
        yield servers, cable


@asynccontextmanager
async def open_clients(servers: Sequence[Server]) -> AsyncGenerator[list[t2bus.Client], None]:
    """Give a client of each."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(server.client()) for server in servers]


@cables
async def test_the_older_claim_wins_when_the_network_heals(folder: Path, measured: Measured) -> None:
    """Each side serves a topic while they are apart; then the older service goes on, and the other one is revoked."""
    async with (
        open_hosts(folder, NEAR, FAR) as (servers, cable),
        open_clients(servers) as (near, far),
        near.serve_bytes("old/near"),
        far.serve_bytes("old/far") as older,
    ):
        cable.drop()
        with trio.fail_after(PATIENCE):
            async with opened(far, "old/near") as revoked, opened(near, "old/far") as also_revoked:
                cable.free()
                healed_at = time.monotonic()
                for service in (revoked, also_revoked):
                    with pytest.raises(t2bus.ServiceRevoked):
                        await service.receive()
                found = time.monotonic() - healed_at
        measured.at_most("a cable heals: the younger services are revoked after", found, HEALED, "s")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.request_bytes, "old/far", b"1")
            await (await older.receive()).respond(b"2")


@cables
async def test_too_few_servers_accept_no_claim(folder: Path, measured: Measured) -> None:
    """With ``min_members`` a server that is cut off refuses claims until the network heals; what it serves goes on."""
    async with (
        open_hosts(folder, NEAR, FAR, least=2) as (servers, cable),
        open_clients(servers) as (near, far),
        far.subscribe_bytes(TOPIC),
        near.serve_bytes("old/near") as requests,
    ):
        cable.drop()
        with trio.fail_after(PATIENCE):
            await reaches(near, 0, TOPIC)
        for client in (near, far):
            with trio.fail_after(PATIENCE), pytest.raises(t2bus.TopicClaimed, match="min_members"):
                async with client.serve_bytes("new"):
                    pass
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.request_bytes, "old/near", b"1")
            await (await requests.receive()).respond(b"2")
        cable.free()
        healed_at = time.monotonic()
        with trio.fail_after(PATIENCE):
            accepted_at = await claimed(near, "new")
            await claimed(far, "new")
        measured.at_most("a cable heals: claims are accepted after", accepted_at - healed_at, HEALED, "s")


async def test_a_link_that_stops_is_replaced(folder: Path, measured: Measured) -> None:
    """Two servers whose link alone stops, and not the network, meet again by another one."""
    ports = free_ports(2)
    async with open_child(forward, f"tcp:{HOST}:{ports[1]}", 1 << 16, 0.0) as proxy:
        through = endpoint(int((await proxy.heard("ready")).value.rpartition(":")[2]))
        near, far = members(folder, 2, endpoints=[endpoint(port) for port in ports], seeds=[through])
        far.options["seeds"] = []
        async with (
            far.run(),  # before anybody comes to it by the proxy
            near.run(),
            open_clients([near, far]) as (client, other),
            other.subscribe_bytes(TOPIC),
        ):
            await met([near, far])
            proxy.say("cut")
            cut_at = time.monotonic()
            with trio.fail_after(PATIENCE):
                lost_at = await reaches(client, 0, TOPIC)
                met_at = await reaches(client, 1, TOPIC)
    measured.at_most("a link stops: not counted any more after", lost_at - cut_at, LEASE + 1, "s")
    measured.at_most("a link stops: counted again after", met_at - cut_at, LEASE + HEALED, "s")


@cables
async def test_the_majority_goes_on(folder: Path, measured: Measured) -> None:
    """Of three servers two that reach each other accept claims; the third accepts none until the cable heals."""
    async with (
        open_hosts(folder, NEAR, NEAR, FAR, least=2) as (servers, cable),
        open_clients(servers) as (one, two, alone),
    ):
        cable.drop()
        cut_at = time.monotonic()
        async with alone.subscribe_bytes(TOPIC), two.subscribe_bytes(TOPIC):
            with trio.fail_after(PATIENCE):
                measured.at_most(
                    "a cable is cut: not counted any more after", await reaches(one, 1, TOPIC) - cut_at, LEASE + 1, "s"
                )
            async with one.serve_bytes("lab/one"):
                with trio.fail_after(PATIENCE), pytest.raises(t2bus.TopicClaimed, match="min_members"):
                    async with alone.serve_bytes("lab/other"):
                        pass
                cable.free()
                healed_at = time.monotonic()
                with trio.fail_after(PATIENCE):
                    met_at = await reaches(one, 2, TOPIC)
                    with pytest.raises(t2bus.TopicClaimed, match="served"):
                        async with alone.serve_bytes("lab/one"):
                            pass
                    await claimed(alone, "lab/other")
        measured.at_most("a cable heals: counted again after", met_at - healed_at, HEALED, "s")
