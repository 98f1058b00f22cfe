"""The roles on t2bus, as its users run it.

Settings: the defaults; but the bus allows windows of any size, and the subscriber of ``publish`` from many tasks asks
for such a one, because ``publish`` does not wait for subscribers and what finds a window spent is lost. The other
systems buffer without bound there too. ``open_publisher`` is paced, and its subscriber has the default window. Where
it publishes in batches, the subscriber takes what has come by the batch, and looks at each message of it.
"""

from __future__ import annotations

import resource
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import frozen

import t2bus
from t2bus.protocol import encode

from .work import SERVICE, Meter, Stopwatch, Work, next_burst, ready, say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

RUN = trio.run

_GIB: Final = 1 << 30
ROOMY: Final = t2bus.Limits(
    subscription_messages=1_000_000, subscription_bytes=_GIB, outbox_bytes=_GIB, total_bytes=2 * _GIB
)
_OTHER_FILES: Final = 100


@frozen
class Reading(t2bus.PublishProtocol, prefix="reading"):
    """A typed message of a common shape."""

    sensor: str
    value: float
    unit: str
    tags: list[str]


READING: Final = Reading("boiler_room_7", 21.625, "celsius", ["indoor", "calibrated", "floor_2"])
ENCODED: Final = encode(READING)


@asynccontextmanager
async def open_client(address: str, limits: t2bus.Limits | None = None) -> AsyncGenerator[t2bus.Client, None]:
    """Open a client; an address of TLS ends with ``#`` and the folder of the certificates."""
    address, _, folder = address.partition("#")
    tls = None
    if folder:
        tls = t2bus.tls.client_context(
            ca=f"{folder}/ca.pem", certificate=f"{folder}/client.pem", key=f"{folder}/client.key"
        )
    async with t2bus.open_client(address, tls=tls, limits=limits) as client:
        yield client


async def serve(address: str, work: Work) -> None:
    """Serve; a crowd of ``work.connections`` gets a bus that lets so many in, and windows of the default."""
    address, _, folder = address.partition("#")
    limits = ROOMY
    if work.connections > 1:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        count = work.connections + _OTHER_FILES
        limits = t2bus.Limits(connections=count, connections_per_identity=count, accepts=1_000_000, handshakes=256)
    tls = None
    if folder:
        tls = t2bus.tls.server_context(ca=f"{folder}/ca.pem", certificate=f"{folder}/bus.pem", key=f"{folder}/bus.key")
    async with t2bus.open_bus(address, tls=tls, limits=limits) as bus:
        ready(bus.addresses[0])
        await trio.sleep_forever()


async def publish(address: str, work: Work) -> None:
    accepted = 0

    async def one(client: t2bus.Client, number: int) -> None:
        nonlocal accepted
        topic = work.topic_of(number)
        if work.tasks:
            count = await publish_from_tasks(client, topic, _payload(work), work.share, work.flight)
        else:
            count = await _publish_pipelined(client, work, topic)
        accepted += count

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(open_client(address)) for _ in range(work.connections)]
        ready()
        while await next_burst(trio.to_thread.run_sync):
            accepted = 0
            async with trio.open_nursery() as nursery:
                for number, client in enumerate(clients):
                    nursery.start_soon(one, client, number)
            say({"accepted": accepted})


async def _publish_pipelined(client: t2bus.Client, work: Work, topic: str) -> int:
    publisher: t2bus.Publisher[Any]
    body: Any
    if work.kind == "typed":
        publisher, body = client.open_publisher(Reading, topic.partition("/")[2]), READING
    else:
        publisher, body = client.open_bytes_publisher(topic), _payload(work)
    async with publisher:
        if work.batch:
            await send_in_batches(publisher, body, work.share, work.batch)
        else:
            for _ in range(work.share):
                await publisher.send(body)
    return publisher.accepted


async def send_in_batches(publisher: t2bus.Publisher[Any], body: object, count: int, length: int) -> None:
    """Send a body that often, in batches of that length; the last may be shorter."""
    batch = [body] * length
    for left in range(count, 0, -length):
        await publisher.send_batch(batch[:left])


async def publish_from_tasks(client: t2bus.Client, topic: str, payload: bytes, count: int, tasks: int) -> int:
    """Publish that often from so many tasks, each of which awaits the answer; return for how many it was accepted."""
    left, accepted = iter(range(count)), 0

    async def one() -> None:
        nonlocal accepted
        for _ in left:
            connections = await client.publish_bytes(topic, payload)
            accepted += connections

    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(one)
    return accepted


def _payload(work: Work) -> bytes:
    return ENCODED if work.kind == "encoded" else work.payload


async def subscribe(address: str, work: Work) -> None:
    meter = Meter(work.size, work.connections)
    async with trio.open_nursery() as nursery:
        for _ in range(work.connections):
            await nursery.start(_take, address, work, meter)
        ready()


async def _take(address: str, work: Work, meter: Meter, task_status: trio.TaskStatus[None]) -> None:
    async with open_client(address, ROOMY if work.tasks else None) as client:
        if work.kind == "typed":
            async with client.subscribe(Reading, work.topic.partition("/")[2]) as readings:
                task_status.started()
                while True:
                    await _take_readings(readings, work, meter)
                    meter.stop()
        else:
            async with client.subscribe_bytes(work.topic) as messages:
                task_status.started()
                while True:
                    await _take_bytes(messages, work, meter)
                    meter.stop()


async def _take_readings(readings: t2bus.Subscription[Reading], work: Work, meter: Meter) -> None:
    """Take a burst."""
    if work.batch:
        left = work.count
        while left:
            batch = await readings.receive_batch()
            for _, body in batch:
                meter.take(work.size if body.sensor == READING.sensor else 0)
            left -= len(batch)
    else:
        for _ in range(work.count):
            _, body = await readings.receive()
            meter.take(work.size if body.sensor == READING.sensor else 0)


async def _take_bytes(messages: t2bus.Subscription[bytes], work: Work, meter: Meter) -> None:
    """Take a burst."""
    if work.batch:
        left = work.count
        while left:
            batch = await messages.receive_batch()
            for _, payload in batch:
                meter.take(len(payload))
            left -= len(batch)
    else:
        for _ in range(work.count):
            _, payload = await messages.receive()
            meter.take(len(payload))


async def turn(address: str, work: Work) -> None:
    """Publish and receive in turn, one message at a time, over two connections of one program."""
    async with open_client(address) as publisher, open_client(address) as subscriber:
        ready()
        while await next_burst(trio.to_thread.run_sync):
            say(await take_turns(publisher, subscriber, work.count, work.payload))


async def take_turns(publisher: t2bus.Client, subscriber: t2bus.Client, count: int, payload: bytes) -> dict[str, float]:
    """Publish a message and then receive it, that often; return what it takes."""
    async with subscriber.subscribe_bytes(SERVICE) as messages:
        watch = Stopwatch()
        for _ in range(count):
            await publisher.publish_bytes(SERVICE, payload)
            assert len((await messages.receive()).body) == len(payload)
        return watch.stop()


async def answer(address: str, work: Work) -> None:
    async with open_client(address) as client, client.serve_bytes(SERVICE) as requests:
        ready()
        if work.batch:
            async for batch in requests.batches():
                await requests.respond_batch([(request, request.body) for request in batch])
        async for request in requests:
            await request.respond(request.body)


async def ask(address: str, work: Work) -> None:
    payload, times = work.payload, list[float]()

    async def some(client: t2bus.Client, left: Iterator[int]) -> None:
        for _ in left:
            if work.pause:
                await trio.sleep(work.pause)
            started = time.perf_counter()
            response = await client.request_bytes(SERVICE, payload)
            times.append(time.perf_counter() - started)
            assert len(response) == work.size

    async with open_client(address) as client:
        ready()
        while await next_burst(trio.to_thread.run_sync):
            times.clear()
            started, left = time.perf_counter(), iter(range(work.count))
            async with trio.open_nursery() as nursery:
                for _ in range(work.flight):
                    nursery.start_soon(some, client, left)
            say({"seconds": time.perf_counter() - started, "times": times})
