"""Buses of this process that are one, over a network in memory that breaks when it is told to."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING

import trio
from attrs import define, field

import t2bus
from t2bus.federation.memory import MemoryNetwork
from t2bus.server.federated import federated

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

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
