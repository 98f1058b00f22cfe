"""The programs that are killed, cut off and slowed down, and those that have to work meanwhile.

Each runs in a process of its own (:mod:`faults.children`).
"""

from __future__ import annotations

import random
import socket
import struct
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, field

import t2bus
from t2bus.background import leaves

if TYPE_CHECKING:
    from faults.children import Parent

END: Final = b"end"
"""The last message of a topic."""

WINDOW: Final = 1 << 16
"""Bytes that may be on their way to a subscription of :func:`take_slowly`."""

NAME: Final = "talker"
"""What the client of :func:`talk` calls itself."""


async def serve_bus(parent: Parent, *addresses: str) -> None:
    """Be a bus, and report what it is bound to."""
    async with t2bus.open_bus(*addresses) as bus:
        parent.tell("ready", bus.addresses)
        await trio.sleep_forever()


# --- those that are killed


async def load(parent: Parent, address: str) -> None:
    """Publish and take 20,000 messages a second."""

    async def publish(client: t2bus.Client) -> None:
        async with client.open_bytes_publisher("load") as publisher:
            while True:
                await publisher.send_batch([bytes(100)] * 100)
                await trio.sleep(0.005)

    async with (
        t2bus.open_client(address) as client,
        t2bus.open_client(address) as other,
        client.subscribe_bytes("load") as messages,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(publish, other)
        parent.tell("ready")
        async for _ in messages.batches():
            pass


async def hold(parent: Parent, address: str, topic: str) -> None:
    """Serve a topic, answer nothing, and report each request."""
    async with t2bus.open_client(address) as client, client.serve_bytes(topic) as requests:
        parent.tell("serving")
        kept = []
        async for request in requests:
            kept.append(request)
            parent.tell("asked")


def payload(number: int) -> bytes:
    """Return a message in which no part can be missing: its number again and again, so often that a write parts it."""
    return b"%08d" % number * (8_000 + number % 7 * 4_000)


async def publish_on(parent: Parent, address: str, topic: str) -> None:
    """Claim a topic, subscribe to another, and publish large numbered messages to the first."""
    async with (
        t2bus.open_client(address) as client,
        client.serve_bytes(topic),
        client.subscribe_bytes("idle/**"),
        client.open_bytes_publisher(topic) as publisher,
    ):
        for number in count():
            await publisher.send(payload(number))
            await trio.sleep(0.03)
            if number == 2:
                parent.tell("publishing")


# --- those whose line is bad


async def talk(parent: Parent, address: str, messages: int, pause: float) -> None:
    """Publish numbers to ``up`` and take those of ``down``, each way to the end, on one connection.

    It reports the numbers that it has taken, or ``lost`` with the reason as soon as it knows.
    """
    taken: list[bytes] = []

    async def take(subscription: t2bus.Subscription[bytes]) -> None:
        async for message in subscription:
            if message.body == END:
                break
            taken.append(message.body)

    try:
        async with (
            t2bus.open_client(address, name=NAME) as client,
            client.subscribe_bytes("down") as subscription,
            trio.open_nursery() as nursery,
        ):
            parent.tell("talking")
            nursery.start_soon(take, subscription)
            await publish_numbers(client, "up", messages, pause)
    except* t2bus.Disconnected as group:
        parent.tell("lost", str(leaves(group)[0]))
    else:
        parent.tell("taken", taken)


async def publish_numbers(client: t2bus.Client, topic: str, messages: int, pause: float) -> None:
    """Publish numbers with pauses, and then the end, waiting for no subscriber."""
    async with client.open_bytes_publisher(topic) as publisher:
        for number in range(messages):
            await publisher.send(b"%d" % number)
            await trio.sleep(pause)
        await publisher.send(END)


def incompressible(number: int, size: int) -> bytes:
    """Return a message of this size that begins with its number, and that no compression makes smaller."""
    return b"%08d" % number + random.Random(number).randbytes(size - 8)


async def take_slowly(parent: Parent, address: str, count: int, size: int, large: int) -> None:
    """Take ``flood``, ``paced`` and ``large`` through small windows, and publish as much to ``up`` meanwhile.

    It reports, for each topic, the numbers that it has taken and how many were dropped.
    """

    async def take(topic: str, window: int, *, task_status: trio.TaskStatus[None]) -> None:
        async with client.subscribe_bytes(topic, size=window) as messages:
            task_status.started()
            parent.tell(topic, await take_to_end(messages))

    async with t2bus.open_client(address, name=NAME) as client, trio.open_nursery() as nursery:
        for topic, window in (("flood", WINDOW), ("paced", WINDOW), ("large", 2 * large)):
            await nursery.start(take, topic, window)
        parent.tell("talking")
        async with client.open_bytes_publisher("up") as publisher:
            for number in range(count):
                await publisher.send(incompressible(number, size))
            await publisher.send(incompressible(count, large))
            await publisher.send(END)


async def take_to_end(messages: t2bus.Subscription[bytes]) -> tuple[list[int], int]:
    """Return the numbers of the messages up to the end, and how many were dropped; each is checked to be whole."""
    numbers: list[int] = []
    dropped = 0
    async for item in messages.items():
        match item:
            case t2bus.Received(body=body) if body == END:
                break
            case t2bus.Received(body=body):
                number = int(body[:8])
                assert body == incompressible(number, len(body))
                numbers.append(number)
            case t2bus.Lagged(dropped=int(missing)):
                dropped += missing
            case _:
                raise item
    return numbers, dropped


# --- a bad line in user space

_RESETS: Final = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""A socket that is closed with this option tells the other end so by a reset."""


@define(eq=False)
class _Gate:
    """What bytes pass through; while it is shut they wait."""

    _opened: trio.Event = field(factory=trio.Event)

    def open(self) -> None:
        """Let all pass."""
        self._opened.set()

    def shut(self) -> None:
        """Let none pass."""
        self._opened = trio.Event()

    async def passed(self) -> None:
        """Wait until it is open."""
        await self._opened.wait()


async def forward(parent: Parent, address: str, piece: int, delay: float) -> None:
    """Be a proxy of TCP between clients and a bus; ``cut``, ``heal`` and ``reset`` are its commands.

    Cut, it reads and writes nothing and closes nothing. ``piece`` is the most bytes that it passes on at once, and
    before each it waits up to ``delay``.
    """
    chance = random.Random(address)
    gate = _Gate()
    gate.open()
    open_streams: list[trio.SocketStream] = []
    host, _, port = address.removeprefix("tcp:").rpartition(":")

    async def carry(source: trio.SocketStream, sink: trio.SocketStream) -> None:
        try:
            async for data in source:
                rest = memoryview(data)
                while rest:
                    await gate.passed()
                    await trio.sleep(chance.uniform(0, delay))
                    size = chance.randint(1, piece)
                    await sink.send_all(rest[:size])
                    rest = rest[size:]
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.aclose_forcefully(source)
            await trio.aclose_forcefully(sink)

    async def serve(near: trio.SocketStream) -> None:
        async with near, await trio.open_tcp_stream(host, int(port)) as far, trio.open_nursery() as nursery:
            open_streams.extend((near, far))
            nursery.start_soon(carry, near, far)
            nursery.start_soon(carry, far, near)

    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(_listen, serve)
        parent.tell("ready", "tcp:{}:{}".format(*listeners[0].socket.getsockname()))
        while True:
            match await parent.command():
                case "cut":
                    gate.shut()
                case "heal":
                    gate.open()
                case "reset":
                    for stream in open_streams:
                        stream.setsockopt(*_RESETS)
                        stream.socket.close()
                    open_streams.clear()


async def _listen(serve: Any, *, task_status: trio.TaskStatus[list[trio.SocketListener]]) -> None:
    await trio.serve_tcp(serve, 0, host="127.0.0.1", task_status=task_status)
