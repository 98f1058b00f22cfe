"""Every call of a client, each as a short scene that can be cancelled at any moment, over every transport.

::

    async with open_world("tls", folder) as world:
        for call in CALLS:
            await cancel_everywhere(world, call)

Cancelled at whatever moment, a call must leave nothing registered, break no connection and lose no message.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest
import trio
import trio.testing
from attrs import frozen

import t2bus
from bus_helpers import Add, Note, Site, Sum, add, is_cancelled_at, open_site, registered
from tls_helpers import open_tls_site

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    Call = Callable[["World"], Awaitable[None]]

NEAR_KINDS: Final = ("memory", "tcp4")
FAR_KINDS: Final = ("unix", "tls", "stream")
"""The transports, in two halves: trying all takes a minute."""

PATIENCE: Final = 5.0
"""Seconds after which what a cancelled call has left behind is there for good."""


# --- a bus to try them on


@frozen
class World:
    """A client to try, another that subscribes to ``note/x`` and serves ``add/x``, and one that sees everything."""

    site: Site
    client: t2bus.Client
    other: t2bus.Client
    notes: t2bus.Subscription[Note]
    everything: t2bus.Subscription[bytes]
    seen: list[int]
    """How many publications ``everything`` has taken so far, as the one item."""

    def drain(self) -> None:
        """Take what has arrived."""
        for messages in (self.notes, self.everything):
            try:
                while True:
                    messages.receive_nowait()
                    self.seen[0] += messages is self.everything
            except trio.WouldBlock:
                pass

    def held(self) -> list[dict[str, int]]:
        """Return what is registered anywhere, after what has arrived is taken."""
        self.drain()
        held = registered(self.site.bus, self.client, self.other)
        # A peer of TLS that stops in its handshake was refused; it is counted, and holds nothing.
        return [{name: count for name, count in each.items() if name != "refused"} for each in held]

    def lost(self) -> int:
        """Return how many publications the bus has accepted and not delivered, or dropped."""
        statistics = self.site.bus.statistics()
        return statistics.published - self.seen[0] + statistics.dropped

    async def is_as_before(self, before: list[dict[str, int]]) -> bool:
        """Tell whether all is as it was, waiting for what is still on its way."""
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(PATIENCE):
            while self.held() != before or self.lost():
                await trio.testing.wait_all_tasks_blocked(0.002)
        return self.held() == before and not self.lost()


@asynccontextmanager
async def open_world(kind: str, folder: Path) -> AsyncGenerator[World, None]:
    """Open a bus whose clients are connected over one kind of transport."""
    async with (
        open_any_site(kind, folder) as site,
        site.connect() as client,
        site.connect() as other,
        site.bus.open_client() as witness,
        witness.subscribe_bytes("**") as everything,
        other.subscribe(Note, "x") as notes,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(other.serve_with, Add, "x", add)
        yield World(site, client, other, notes, everything, [0])
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_any_site(kind: str, folder: Path) -> AsyncGenerator[Site, None]:
    """Open a bus that is reached over one kind of transport, which may be TLS, or a stream of the program's own."""
    match kind:
        case "tls":
            async with open_tls_site(folder) as site:
                yield site
        case "stream":
            async with t2bus.open_bus() as bus:
                yield Site(bus, partial(_open_on_stream, bus))
        case _:
            async with open_site(kind, folder) as site:
                yield site


@asynccontextmanager
async def _open_on_stream(bus: t2bus.Bus, **options: Any) -> AsyncGenerator[t2bus.Client, None]:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(bus.serve_stream, far, identity="robot"))
        async with t2bus.open_client(near, **options) as client:
            yield client


async def cancel_everywhere(world: World, call: Call) -> int:
    """Cancel a call at each moment until it gets to its end, and return how often that was.

    After each, nothing is registered that was not before, and nothing lost; in the end all clients still work.
    """
    before = world.held()
    step = 1
    while await is_cancelled_at(step, lambda: call(world)):
        is_as_before = await world.is_as_before(before)
        assert is_as_before, f"cancelled at {step}: {world.held()} is not {before}, {world.lost()} lost"
        step += 1
    assert step > 1
    with trio.fail_after(PATIENCE):
        assert await world.is_as_before(before)
        assert await world.client.publish("x", Note("after")) == 2
        assert (await world.notes.receive()).body == Note("after")
        assert await world.client.request("x", Add(1, 2)) == Sum(3)
    return step - 1


# --- the calls

CALLS: Final[list[Call]] = []
TRIED: Final[set[str]] = set()
"""The calls of the public classes that the scenes below make, such as ``Client.publish``."""

Scene = TypeVar("Scene", bound="Call")


def tries(*names: str) -> Callable[[Scene], Scene]:
    """Enter a scene, and the calls that it makes and waits for."""

    def enter(scene: Scene) -> Scene:
        CALLS.append(scene)
        TRIED.update(names)
        return scene

    return enter


@tries("Client.publish")
async def publish(world: World) -> None:
    await world.client.publish("x", Note("hello"), headers={"k": "v"})


@tries("Client.publish_bytes")
async def publish_much(world: World) -> None:
    await world.client.publish_bytes("y", bytes(1_000_000))


@tries("Client.request")
async def request(world: World) -> None:
    assert await world.client.request("x", Add(1, 2)) == Sum(3)


@tries("Client.request_received")
async def request_received(world: World) -> None:
    assert (await world.client.request_received("x", Add(1, 2))).body == Sum(3)


@tries("Client.request_bytes")
async def request_bytes(world: World) -> None:
    with pytest.raises(t2bus.ServiceNotFound):
        await world.client.request_bytes("nobody", b"")


@tries("Client.subscribe", "Client.subscribe_bytes", "Subscription.open", "Subscription.aclose")
async def subscribe(world: World) -> None:
    async with world.client.subscribe(Note, "x"), world.client.subscribe_bytes("**"):
        pass


@tries("Subscription.receive")
async def subscribe_and_receive(world: World) -> None:
    async with world.client.subscribe(Note, "x") as messages:
        await world.other.publish("x", Note("hello"))
        await messages.receive()


@tries("Client.subscribe_into")
async def subscribe_into(world: World) -> None:
    send_channel, receive_channel = trio.open_memory_channel[Any](0)
    async with world.client.subscribe_into(Note, "x", send_channel):
        await world.other.publish("x", Note("hello"))
        await receive_channel.receive()


@tries("Client.subscribe_with")
async def subscribe_with(world: World) -> None:
    send_channel, receive_channel = trio.open_memory_channel[Any](0)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.client.subscribe_with, Note, "x", send_channel.send)
        await world.other.publish("x", Note("hello"))
        await receive_channel.receive()
        nursery.cancel_scope.cancel()


@tries("Subscription.items")
async def subscribe_to_the_newest(world: World) -> None:
    async with world.client.subscribe(Note, "x", latest=True) as messages:
        for text in ("one", "two"):
            await world.other.publish("x", Note(text))
        await anext(messages.items())


@tries("Client.serve", "Client.serve_bytes", "Requests.open", "Requests.aclose")
async def serve(world: World) -> None:
    async with world.client.serve(Add, "y"), world.client.serve_bytes("z"):
        pass


@tries("Requests.receive", "Request.respond")
async def serve_and_answer(world: World) -> None:
    async with world.client.serve(Add, "y") as requests, trio.open_nursery() as nursery:
        nursery.start_soon(world.other.request, "y", Add(1, 2))
        await (await requests.receive()).respond(Sum(3))


@tries("Request.fail")
async def serve_and_fail(world: World) -> None:
    async def ask() -> None:
        with pytest.raises(t2bus.RemoteError):
            await world.other.request("y", Add(1, 2))

    async with world.client.serve(Add, "y") as requests, trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await (await requests.receive()).fail("no")


@tries("Client.serve_with")
async def serve_with(world: World) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(world.client.serve_with, Add, "y", add)
        assert await world.other.request("y", Add(1, 2)) == Sum(3)
        nursery.cancel_scope.cancel()


@tries()
async def serve_with_and_finish(world: World) -> None:
    async def answer(request: t2bus.Request[Add, Any]) -> None:
        await request.respond(await add(request.body), headers={"k": "v"})

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(world.client.serve_with, Add, "y", answer, whole=True, finish=True))
        assert await world.other.request("y", Add(1, 2)) == Sum(3)
        nursery.cancel_scope.cancel()


@tries()
async def refused_claim(world: World) -> None:
    with pytest.raises(t2bus.TopicClaimed):
        async with world.client.serve(Add, "x"):
            pass


@tries("Client.open_publisher", "Publisher.send", "Publisher.flush", "Publisher.aclose")
async def publisher(world: World) -> None:
    async with world.client.open_publisher(Note, "x") as publisher:
        await publisher.send(Note("one"))
        await publisher.send(Note("two"), headers={"k": "v"})
        await publisher.flush()
        await publisher.send(Note("three"))


@tries("Client.open_bytes_publisher")
async def bytes_publisher(world: World) -> None:
    async with world.client.open_bytes_publisher("y", paced=False) as publisher:
        await publisher.send(b"")


@tries("Publisher.send_batch", "Subscription.receive_batch")
async def batches(world: World) -> None:
    async with world.client.subscribe(Note, "y") as messages, world.client.open_publisher(Note, "y") as publisher:
        await publisher.send_batch([Note("one"), Note("two")])
        await publisher.send_batch([Note("three")], headers={"k": "v"})
        taken = len(await messages.receive_batch(1))
        while taken < 3:
            taken += len(await messages.receive_batch())


@tries("Requests.receive_batch", "Requests.respond_batch")
async def serve_batches(world: World) -> None:
    async with world.client.serve(Add, "y") as requests, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(world.other.request, "y", Add(1, 2))
        left = 2
        while left:
            batch = await requests.receive_batch()
            await requests.respond_batch([(request, Sum(3)) for request in batch])
            left -= len(batch)


@tries("Client.request_bytes_received", "Client.serve_bytes_with")
async def serve_bytes_with_and_ask(world: World) -> None:
    async def echo(body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return body

    async with trio.open_nursery() as nursery:
        await nursery.start(world.client.serve_bytes_with, "y", echo)
        assert (await world.client.request_bytes_received("y", b"body")).body == b"body"
        nursery.cancel_scope.cancel()


@tries("Client.subscribe_bytes_into", "Client.subscribe_bytes_with")
async def subscribe_bytes_into_and_with(world: World) -> None:
    send_channel, receive_channel = trio.open_memory_channel[Any](0)
    async with trio.open_nursery() as nursery, world.client.subscribe_bytes_into("y", send_channel):
        await nursery.start(world.client.subscribe_bytes_with, "y", send_channel.send)
        await world.other.publish_bytes("y", b"hello")
        for _ in range(2):
            await receive_channel.receive()
        nursery.cancel_scope.cancel()


@tries("Subscription.batches", "Requests.batches")
async def iterate(world: World) -> None:
    async with (
        world.client.subscribe(Note, "y") as messages,
        world.client.serve(Add, "y") as requests,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(world.other.publish, "y", Note("hello"))
        assert [received.body for received in await anext(messages.batches())] == [Note("hello")]
        nursery.start_soon(world.other.request, "y", Add(1, 2))
        for request in await anext(requests.batches(1)):
            await request.respond(Sum(3), headers={"k": "v"})


@tries()
async def publish_into_a_full_outbox(world: World) -> None:
    small = t2bus.Limits(frame=65_536, outbox_bytes=65_536)
    async with world.site.connect(limits=small) as client, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(client.publish_bytes, "y", bytes(60_000))


@tries()
async def send_into_a_spent_window(world: World) -> None:
    async def receive(messages: t2bus.Subscription[Note]) -> None:
        for _ in range(3):
            await messages.receive()

    small = t2bus.Limits(publisher_messages=1)
    async with (
        world.site.connect(limits=small) as client,
        world.client.subscribe(Note, "y", messages=1) as messages,
        client.open_publisher(Note, "y") as publisher,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(receive, messages)
        for _ in range(3):
            await publisher.send(Note("paced"))


@tries("Client.connected", "Client.states")
async def ask_for_the_state(world: World) -> None:
    await world.client.connected()
    assert await anext(world.client.states()) == "connected"


@tries("Client.drain")
async def drain_what_is_there(world: World) -> None:
    async with world.site.connect() as client, client.subscribe(Note, "y") as messages:
        await client.publish("y", Note("hello"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.drain)
            assert (await messages.receive()).body == Note("hello")


@tries("Client.aclose")
async def open_client(world: World) -> None:
    async with world.site.connect() as client:
        await client.publish("y", Note(""))
        await client.aclose()
