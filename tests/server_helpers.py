"""Buses of this process that are one, over a network in memory that breaks when it is told to."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING

import trio
from attrs import define, field

import t2bus
from bus_helpers import wait_until
from t2bus import status
from t2bus.federation.memory import MemoryNetwork
from t2bus.server.federated import federated

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from pathlib import Path

    from t2bus.federation.engine import Engine


@define(eq=False)
class Server:
    """One server, and the node that it is now."""

    name: str
    bus: t2bus.Bus
    network: MemoryNetwork
    _numbers: Iterator[int] = field(factory=lambda: count(1))
    node: str = ""

    def open_engine(self, federation: t2bus.Federation) -> AbstractAsyncContextManager[Engine]:
        self.node = f"{self.name}{next(self._numbers)}"
        return self.network.open_engine(self.node)

    @property
    def members(self) -> int:
        """How many other servers it is connected with."""
        return len(self.bus.routing.router.elsewhere.members)


@asynccontextmanager
async def open_servers(
    *names: str, limits: t2bus.Limits | None = None, min_members: int = 1
) -> AsyncGenerator[tuple[MemoryNetwork, dict[str, Server]], None]:
    """Open a server for each name; they are not joined yet."""
    network = MemoryNetwork()
    options = t2bus.Federation(bus="lab", endpoint="tcp:127.0.0.1:7447", min_members=min_members)
    async with AsyncExitStack() as stack:
        servers = {}
        for name in names:
            bus = await stack.enter_async_context(t2bus.open_bus(limits=limits))
            server = servers[name] = Server(name, bus, network)
            await stack.enter_async_context(federated(bus.routing, options, server.open_engine))
        yield network, servers


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds, which may take a minute of the test's clock."""
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110 -- a condition of others, on a clock that jumps
            await trio.sleep(0.01)


async def joined(*servers: Server) -> None:
    """Wait until each of these servers is connected with all the others."""
    await until(lambda: all(server.members == len(servers) - 1 for server in servers))


# --- two of them, by name

NORTH, SOUTH = "0d5b83f1c6a2e947", "4f1d0c7a93b2e856"
"""Nodes."""

PLACE = "tcp:127.0.0.1:7447"


async def be_among(
    bus: t2bus.Bus,
    network: MemoryNetwork,
    node: str,
    name: str,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Have a bus be among others in memory, until this is cancelled."""
    federation = t2bus.Federation(bus="plant", endpoint=PLACE, name=name, min_members=2)
    async with federated(bus.routing, federation, lambda _: network.open_engine(node)):
        task_status.started()
        await trio.sleep_forever()


@asynccontextmanager
async def two_servers(
    *addresses: str, limits: t2bus.Limits | None = None, access: Path | None = None
) -> AsyncGenerator[tuple[t2bus.Bus, t2bus.Bus, MemoryNetwork], None]:
    """Open the servers ``north``, which has these addresses and rules, and ``south``, each of which knows the other."""
    network = MemoryNetwork()
    async with (
        t2bus.open_bus(*addresses, limits=limits, access=access) as north,
        t2bus.open_bus(limits=limits) as south,
        trio.open_nursery() as nursery,
    ):
        async with heard_of(north, "joined"), heard_of(south, "joined"):
            await nursery.start(be_among, north, network, NORTH, "north")
            await nursery.start(be_among, south, network, SOUTH, "south")
        await wait_until(lambda: not (north.statistics().connections or south.statistics().connections))
        yield north, south, network
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def heard_of(bus: t2bus.Bus, kind: str, count: int = 1) -> AsyncGenerator[None, None]:
    """Wait, behind the body, until a bus has told of so many events of a kind."""
    async with bus.open_client() as client, client.subscribe(status.Event, kind) as events:
        yield
        with trio.fail_after(60):
            for _ in range(count):
                await events.receive()
