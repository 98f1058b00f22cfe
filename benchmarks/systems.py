"""The systems that are measured, each in the same few roles.

``t2bus`` is the bus as its users run it. ``bare`` is the floor: what three processes cost on Trio when nobody frames,
routes, bounds or acknowledges anything, so that the distance to it is the price of what the bus promises.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import trio

import t2bus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

TOPIC = "bench/one"
_CHUNK = 65_536


class System(Protocol):
    """One system under measurement; every path is a unix socket's."""

    async def serve(self, path: str, task_status: trio.TaskStatus[object]) -> None:
        """Serve until cancelled."""

    async def publish(self, path: str, count: int, size: int) -> None:
        """Send that many messages of that size."""

    async def subscribe(self, path: str, count: int, size: int, task_status: trio.TaskStatus[None]) -> None:
        """Return when that many messages have been taken, one by one."""

    async def answer(self, path: str, task_status: trio.TaskStatus[None]) -> None:
        """Echo requests until cancelled."""

    def open_asker(self, path: str) -> AbstractAsyncContextManager[Asker]:
        """Connect something that asks."""


class Asker(Protocol):
    """A client that asks what the responder answers."""

    async def ask(self, payload: bytes) -> bytes:
        """Return the answer."""


class T2Bus:
    """The bus of this repository."""

    async def serve(self, path: str, task_status: trio.TaskStatus[object]) -> None:
        await t2bus.serve(f"unix:{path}", task_status=task_status)

    async def publish(self, path: str, count: int, size: int) -> None:
        payload = bytes(size)
        async with t2bus.open_client(f"unix:{path}") as client, client.open_bytes_publisher(TOPIC) as publisher:
            for _ in range(count):
                await publisher.send(payload)

    async def subscribe(self, path: str, count: int, size: int, task_status: trio.TaskStatus[None]) -> None:
        async with t2bus.open_client(f"unix:{path}") as client, client.subscribe_bytes(TOPIC) as messages:
            task_status.started()
            for _ in range(count):
                received = await messages.receive()
                assert len(received.body) == size

    async def answer(self, path: str, task_status: trio.TaskStatus[None]) -> None:
        async with t2bus.open_client(f"unix:{path}") as client, client.serve_bytes(TOPIC) as requests:
            task_status.started()
            async for request in requests:
                await request.respond(request.body)

    @asynccontextmanager
    async def open_asker(self, path: str) -> AsyncGenerator[T2BusAsker, None]:
        async with t2bus.open_client(f"unix:{path}") as client:
            yield T2BusAsker(client)


class T2BusAsker:
    def __init__(self, client: t2bus.Client) -> None:
        self._client = client

    async def ask(self, payload: bytes) -> bytes:
        return await self._client.request_bytes(TOPIC, payload)


class Bare:
    """Three processes on Trio: the first two connections are joined, and bytes are passed on as they come."""

    async def serve(self, path: str, task_status: trio.TaskStatus[object]) -> None:
        waiting: list[trio.abc.Stream] = []

        async def join(stream: trio.abc.Stream) -> None:
            if not waiting:
                waiting.append(stream)
                await trio.sleep_forever()
            other = waiting.pop()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_pump, stream, other)
                nursery.start_soon(_pump, other, stream)

        sock = trio.socket.socket(trio.socket.AF_UNIX)
        await sock.bind(path)
        sock.listen()
        await trio.serve_listeners(join, [trio.SocketListener(sock)], task_status=task_status)

    async def publish(self, path: str, count: int, size: int) -> None:
        payload = bytes(size)
        async with await trio.open_unix_socket(path) as stream:
            for _ in range(count):
                await stream.send_all(payload)
            await stream.receive_some(1)

    async def subscribe(self, path: str, count: int, size: int, task_status: trio.TaskStatus[None]) -> None:
        async with await trio.open_unix_socket(path) as stream:
            task_status.started()
            taken = buffered = 0
            while taken < count:
                if buffered < size:
                    buffered += len(await stream.receive_some(_CHUNK))
                else:
                    await trio.lowlevel.checkpoint()
                    buffered -= size
                    taken += 1
            await stream.send_all(b".")

    async def answer(self, path: str, task_status: trio.TaskStatus[None]) -> None:
        async with await trio.open_unix_socket(path) as stream:
            task_status.started()
            async for data in stream:
                await stream.send_all(data)

    @asynccontextmanager
    async def open_asker(self, path: str) -> AsyncGenerator[BareAsker, None]:
        async with await trio.open_unix_socket(path) as stream:
            yield BareAsker(stream)


class BareAsker:
    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def ask(self, payload: bytes) -> bytes:
        await self._stream.send_all(payload)
        return bytes(await self._stream.receive_some(_CHUNK))


async def _pump(source: trio.abc.Stream, target: trio.abc.Stream) -> None:
    async for data in source:
        await target.send_all(data)


SYSTEMS: dict[str, System] = {"t2bus": T2Bus(), "bare": Bare()}
