"""Servers of one bus, each a process of its own, on loopback with the real engine and mutual TLS.

::

    async with open_fleet(folder, 3) as fleet:
        async with fleet[0].client() as near, fleet[2].client() as far: ...
        fleet[1].child.kill()

They know each other when :func:`open_fleet` gives them: what is published at each has reached all.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, field

import t2bus
from faults.children import start
from federation.member import serve_member
from tls_helpers import HOST, authority, leaf

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Sequence
    from contextlib import AbstractAsyncContextManager

    from faults.children import Child

LEASE: Final = 2.0
"""Seconds of silence after which a server is gone, as it is by default."""

PATIENCE: Final = 30.0
"""Seconds after which servers that have not met never will."""

PROBE: Final = "probe/met"


# --- certificates


@cache
def _pems(hosts: tuple[str, ...], by: str) -> dict[str, bytes]:
    made = leaf(*hosts, by=by)
    return {"ca.pem": authority(by).cert_pem.bytes(), "own.pem": made.certificate, "own.key": made.key}


def certificates(folder: Path, hosts: tuple[str, ...] = (HOST,), by: str = "ours") -> dict[str, Any]:
    """Write what servers of these hosts show and trust, by an authority, and return it as options."""
    for name, pem in _pems(hosts, by).items():
        (folder / name).touch(0o600)
        (folder / name).write_bytes(pem)
    return {"ca": f"{folder}/ca.pem", "cert": f"{folder}/own.pem", "key": f"{folder}/own.key"}


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at, each another one."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def endpoint(port: int) -> str:
    """Return an endpoint of this machine."""
    return f"tls:{HOST}:{port}"


# --- servers that run


@define(eq=False)
class Server:
    """One of them."""

    address: str
    """Where its clients are."""
    options: dict[str, Any]
    limits: dict[str, int] = field(factory=dict)
    namespace: str | None = None
    child: Child = field(init=False)

    @contextmanager
    def begin(self) -> Generator[None, None, None]:
        """Start it, and go on before it is ready; it is killed when the body ends."""
        child = self.child = start(serve_member, self.address, self.options, self.limits, namespace=self.namespace)
        try:
            yield
        finally:
            child.close()

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None, None]:
        """Run it; its clients can connect when the body begins."""
        with self.begin():
            await self.child.heard("ready")
            yield

    def client(self, name: str | None = None) -> AbstractAsyncContextManager[t2bus.Client]:
        """Open a client of it."""
        return t2bus.open_client(self.address, name=name)

    def send(self, number: signal.Signals) -> float:
        """Send it a signal, and return when."""
        assert self.child.process.pid is not None
        at = time.monotonic()
        os.kill(self.child.process.pid, number)
        return at

    async def stop(self) -> float:
        """Stop it where it is, as a machine that is suspended, and return when."""
        at = self.send(signal.SIGSTOP)
        await come_until(lambda: self._state() in {"T", "t"})
        return at

    def _state(self) -> str:
        status = Path(f"/proc/{self.child.process.pid}/stat")
        return status.read_text(encoding="ascii").rpartition(")")[2].split()[0]

    async def logged(self, text: str) -> str:
        """Return the next thing that it logs and that has the text in it."""
        with trio.fail_after(PATIENCE):
            while text not in (line := (await self.child.heard("log")).value):
                pass
        return str(line)


def members(
    folder: Path,
    count: int,
    *,
    bus: str = "plant",
    hosts: tuple[str, ...] = (HOST,),
    endpoints: Sequence[str] = (),
    **options: Any,
) -> list[Server]:
    """Return servers that are not running yet; each has all others for seeds."""
    endpoints = endpoints or [endpoint(port) for port in free_ports(count)]
    common = {"bus": bus, "seeds": endpoints, **certificates(folder, hosts), **options}
    names = [f"{bus}{number}" for number in range(count)]
    return [
        Server(f"unix:{folder}/{name}", {**common, "endpoint": own}) for name, own in zip(names, endpoints, strict=True)
    ]


@asynccontextmanager
async def running(servers: Sequence[Server]) -> AsyncGenerator[None, None]:
    """Run servers, which have met when the body begins."""
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(server.begin())
        for server in servers:
            await server.child.heard("ready")
        await met(servers)
        yield


@asynccontextmanager
async def open_fleet(folder: Path, count: int, **options: Any) -> AsyncGenerator[list[Server], None]:
    """Run so many servers of one bus, which have met when the body begins."""
    servers = members(folder, count, **options)
    async with running(servers):
        yield servers


async def met(servers: Sequence[Server], count: int | None = None) -> float:
    """Wait until what is published at each of these servers is received at all of them; return the seconds it took.

    ``count`` is how many they are with those that are not named.
    """
    began = time.monotonic()
    wanted = len(servers) if count is None else count
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.client()) for server in servers]
        for client in clients:
            await stack.enter_async_context(client.subscribe_bytes(PROBE))
        with trio.fail_after(PATIENCE):
            for client in clients:
                await reaches(client, wanted)
    return time.monotonic() - began


async def come_until(condition: Callable[[], bool]) -> None:
    """Wait until this is so; unlike ``wait_until`` also in a program that is never idle."""
    with trio.fail_after(20):
        while not condition():  # noqa: ASYNC110 -- nobody tells
            await trio.sleep(0.005)


async def reaches(client: t2bus.Client, count: int, topic: str = PROBE) -> float:
    """Publish until so many connections are reached, no more and no fewer; return when that was."""
    while await client.publish_bytes(topic, b"") != count:  # noqa: ASYNC110 -- a server tells nobody who joins it
        await trio.sleep(0.005)
    return time.monotonic()


@asynccontextmanager
async def opened(client: t2bus.Client, topic: str) -> AsyncGenerator[t2bus.Requests[bytes, bytes], None]:
    """Serve a topic as soon as it is free."""
    async with AsyncExitStack() as stack:
        service = None
        while service is None:
            try:
                service = await stack.enter_async_context(client.serve_bytes(topic))
            except t2bus.TopicClaimed:
                await trio.sleep(0.005)
        yield service


async def claimed(client: t2bus.Client, topic: str) -> float:
    """Claim a topic until it is free; return when it was."""
    async with opened(client, topic):
        return time.monotonic()
