"""Nodes that are joined by Zenoh: over loopback, some of them processes that end as processes do."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trustme

from cli_helpers import python
from federation_helpers import LEASE, certified, free_endpoint, joined, left, pieces, secure
from t2bus.certs import Role, issue_server, make_ca
from t2bus.errors import TlsFailed
from t2bus.federation.engine import EngineFailed, Joined
from t2bus.federation.federation import Federation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from cli_helpers import Command
    from t2bus.federation.engine import Engine

pytest.importorskip("zenoh", reason="eclipse-zenoh is not installed")

from t2bus.federation.zenoh import open_engine

NODE = """
import sys
import trio
from t2bus.federation.engine import Arrived
from t2bus.federation.federation import Federation
from t2bus.federation.zenoh import open_engine


async def main():
    endpoint, *seeds = sys.argv[1:]
    async with open_engine(Federation(bus="plant", endpoint=endpoint, seeds=seeds, lease=0.5)) as engine:
        print(engine.node, flush=True)
        while True:
            for event in await engine.receive():
                if isinstance(event, Arrived):
                    await engine.send(event.node, event.data)


trio.run(main)
"""
"""A node that sends back what it is sent."""


@asynccontextmanager
async def open_node(*seeds: str, bus: str = "plant", endpoint: str | None = None) -> AsyncGenerator[Engine, None]:
    options = Federation(bus=bus, endpoint=endpoint or free_endpoint(), seeds=seeds, lease=LEASE)
    with trio.fail_after(20):
        async with open_engine(options) as engine:
            yield engine


@asynccontextmanager
async def open_pair() -> AsyncGenerator[tuple[Engine, Engine], None]:
    """Open two nodes that have seen each other."""
    seed = free_endpoint()
    async with open_node(endpoint=seed) as a, open_node(seed) as b:
        assert (await joined(a), await joined(b)) == ([b.node], [a.node])
        yield a, b


@asynccontextmanager
async def open_process(*seeds: str) -> AsyncGenerator[tuple[Command, str], None]:
    """Start a node that is a process, and give its name too."""
    async with python("-c", NODE, free_endpoint(), *seeds) as process:
        yield process, await process.stdout.next()


async def test_names_are_made_anew() -> None:
    """A node is named by 16 hexadecimal digits, which are others the next time."""
    endpoint = free_endpoint()
    async with open_node(endpoint=endpoint) as first:
        assert len(bytes.fromhex(first.node)) == 8
    async with open_node(endpoint=endpoint) as second:
        assert second.node != first.node


async def test_who_joins_says_where_it_listens() -> None:
    """A node is seen to join with the endpoint of its options."""
    seed = free_endpoint()
    async with open_node(endpoint=seed), open_node(seed) as b:
        (event,) = await b.receive()
        assert isinstance(event, Joined)
        assert event.endpoint == seed


async def test_who_has_joined_can_be_sent_to() -> None:
    """What is sent to a node as soon as it is seen arrives, whole and in order, however large."""
    seed, sizes = free_endpoint(), [0, 100, 60_000, 1_000_000, 1]
    async with open_node(endpoint=seed) as a, open_node(seed) as b:
        (node,) = await joined(a)
        for size in sizes:
            await a.send(node, bytes(size))
        assert [len(data) for data in await pieces(b, len(sizes))] == sizes


async def test_who_sends_at_once_is_heard() -> None:
    """A node that joins and sends at once is seen to join before that arrives."""
    seed = free_endpoint()
    async with open_node(endpoint=seed) as a:
        for number in range(20):
            async with open_node(seed) as b:
                await joined(b)
                await b.send(a.node, bytes([number]))
                assert await pieces(a, 1) == [bytes([number])]


async def test_nodes_of_one_seed_meet() -> None:
    """Nodes that know nobody but a common seed see each other too."""
    seed = free_endpoint()
    async with open_node(endpoint=seed) as hub, open_node(seed) as b, open_node(seed) as c:
        assert set(await joined(b, 2)) == {hub.node, c.node}
        assert set(await joined(c, 2)) == {hub.node, b.node}


async def test_buses_of_other_names_are_not_met() -> None:
    """A node of a bus of another name is not seen, though it is connected."""
    seed = free_endpoint()
    async with open_node(endpoint=seed) as a, open_node(seed, bus="office"), open_node(seed) as c:
        assert (await joined(a), await joined(c)) == ([c.node], [a.node])


async def test_who_closes_leaves() -> None:
    """A node whose block has ended is seen to leave, and what is sent to it then is dropped."""
    seed = free_endpoint()
    async with open_node(endpoint=seed) as a:
        async with open_node(seed) as b:
            await joined(a)
        assert await left(a) == b.node
        await a.send(b.node, b"too late")


async def test_seeds_need_not_be_there() -> None:
    """A node opens at once where its seeds are not, and meets them when they come."""
    seed = free_endpoint()
    async with open_node(seed) as a, open_node(endpoint=seed) as b:
        assert (await joined(a), await joined(b)) == ([b.node], [a.node])


async def test_an_endpoint_in_use() -> None:
    """An engine whose endpoint is taken fails, and says which one that is."""
    endpoint = free_endpoint()
    async with open_node(endpoint=endpoint):
        with pytest.raises(EngineFailed, match=f"^cannot listen .* at {endpoint}: Address already in use$"):
            async with open_node(endpoint=endpoint):
                pass


async def test_the_killed_leave_at_once() -> None:
    """A process that is killed is seen to leave long before the lease is over."""
    seed = free_endpoint()
    async with open_node(endpoint=seed) as a, open_process(seed) as (process, node):
        await joined(a)
        process.process.kill()
        with trio.fail_after(LEASE / 2):
            assert await left(a) == node


async def test_the_frozen_delay_their_senders_for_the_lease() -> None:
    """A process that is stopped is seen to leave after the lease, and whoever floods it waits no longer than that."""
    seed = free_endpoint()
    async with open_node(endpoint=seed) as a, open_process(seed) as (process, node):
        await joined(a)
        process.process.send_signal(signal.SIGSTOP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, a, node)
            with trio.fail_after(LEASE + 1.5):
                assert await left(a) == node
            nursery.cancel_scope.cancel()
        process.process.send_signal(signal.SIGCONT)
        assert await joined(a) == [node]


async def flood(engine: Engine, node: str) -> None:
    while True:
        await engine.send(node, bytes(60_000))


async def test_a_frozen_member_keeps_nobody_from_leaving() -> None:
    """A block ends in about a second where Zenoh waits for a node that takes nothing."""
    seed = free_endpoint()
    async with open_process(seed) as (process, node):
        async with open_node(endpoint=seed) as a:
            await joined(a)
            process.process.send_signal(signal.SIGSTOP)
            with trio.move_on_after(LEASE / 2):
                await flood(a, node)
            start = trio.current_time()
        assert trio.current_time() - start < 2


async def test_who_has_nobody_in_common_meets_again() -> None:
    """Two nodes that have lost each other, and whom they know each other from, meet again."""
    seed = free_endpoint()
    async with open_process(seed) as (process, node), open_node(seed) as a:
        async with open_node(endpoint=seed):
            await joined(a, 2)
            process.process.send_signal(signal.SIGSTOP)
            assert await left(a) == node
        process.process.send_signal(signal.SIGCONT)
        assert await joined(a) == [node]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_ends(number: signal.Signals) -> None:
    """A process with an engine whose seeds are not there ends within two seconds when it is told to."""
    async with open_process(free_endpoint()) as (process, _):
        process.process.send_signal(number)
        with trio.fail_after(2):
            assert await process.end() != 0


# --- mutual TLS


async def test_strangers_never_join(folder: Path) -> None:
    """Nodes with certificates of one authority meet; one of another is met by nobody."""
    ours, seed = trustme.CA(), free_endpoint("tls")
    files, foreign = certified(ours, "ours", folder), certified(trustme.CA(), "foreign", folder)
    with trio.fail_after(20):
        async with (
            open_engine(secure(files, endpoint=seed)) as a,
            open_engine(secure(foreign, seed)) as stranger,
            open_engine(secure(files, seed)) as b,
        ):
            assert (await joined(a), await joined(b)) == ([b.node], [a.node])
            with trio.move_on_after(2 * LEASE):
                pytest.fail(f"the stranger has met somebody: {await stranger.receive()}")


async def test_a_plain_node_does_not_join_secure_ones(folder: Path) -> None:
    """A node without TLS is not let in where others have it."""
    seed = free_endpoint("tls")
    ours = secure(certified(trustme.CA(), "ours", folder), endpoint=seed)
    async with open_engine(ours), open_node(seed.replace("tls", "tcp")) as plain:
        with trio.move_on_after(2 * LEASE):
            pytest.fail(f"the plain node has met somebody: {await plain.receive()}")


async def test_a_certificate_that_cannot_be_used(folder: Path) -> None:
    """Files that would be refused by all others are named when the engine opens."""
    files = certified(trustme.CA(), "ours", folder)
    files["ca"] = certified(trustme.CA(), "foreign", folder)["ca"]
    with pytest.raises(TlsFailed, match=r"ours-cert\.pem"):
        async with open_engine(secure(files)):
            pass


async def test_a_certificate_for_one_end(folder: Path) -> None:
    """A certificate that others would refuse at one end is named with the command that makes another."""
    make_ca(folder / "members", role=Role.MEMBER)
    issue_server(folder / "members", "server", ["127.0.0.1"])
    files = {"ca": "ca.pem", "cert": "server.pem", "key": "server.key"}
    with pytest.raises(TlsFailed, match=r"a server needs one for both ends, as `.* certs issue NAME --member` makes"):
        async with open_engine(secure({name: str(folder / "members" / file) for name, file in files.items()})):
            pass
