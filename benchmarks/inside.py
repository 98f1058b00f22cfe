"""The bus inside one process, beside Trio's own memory channels: `python -m benchmarks.inside SYSTEM WHAT COUNT SIZE`.

SYSTEM is ``t2bus`` or ``bare``; WHAT is ``one`` (a publisher and a subscriber), ``tasks`` (256 tasks that each await
``publish``), ``fan`` (fifty subscribers), ``batch`` (one to one, of t2bus alone), ``turn`` (publish and receive, one
message at a time) or ``ask``. A memory channel frames, copies, routes and encodes nothing, so it is the floor.
"""

from __future__ import annotations

import random
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import trio

import t2bus

from .with_t2bus import ROOMY, publish_from_tasks, send_in_batches, take_turns
from .work import FAN, SERVICE, TASKS, Stopwatch, batch_of, next_burst, ready, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Measured = Mapping[str, object]

_WARM_UP: Final = 50
"""Requests before the measured ones."""
_BUFFER: Final = 1024
"""Of a memory channel: as many as a publisher of t2bus may have in flight."""


async def _drain(channel: trio.abc.ReceiveChannel[bytes], count: int, size: int) -> None:
    for _ in range(count):
        assert len(await channel.receive()) == size


async def _drain_bus(messages: t2bus.Subscription[bytes], count: int, size: int) -> None:
    for _ in range(count):
        assert len((await messages.receive()).body) == size


async def _drain_batches(messages: t2bus.Subscription[bytes], count: int, size: int) -> None:
    while count:
        batch = await messages.receive_batch()
        for _, payload in batch:
            assert len(payload) == size
        count -= len(batch)


async def _publish_bare(count: int, payload: bytes, subscribers: int) -> dict[str, float]:
    pairs = [trio.open_memory_channel[bytes](_BUFFER) for _ in range(subscribers)]
    watch = Stopwatch()
    async with trio.open_nursery() as nursery:
        for _, receiving in pairs:
            nursery.start_soon(_drain, receiving, count, len(payload))
        for _ in range(count):
            for sending, _ in pairs:
                await sending.send(payload)
    return watch.stop()


async def _publish_bare_in_turn(count: int, payload: bytes) -> dict[str, float]:
    sending, receiving = trio.open_memory_channel[bytes](_BUFFER)
    watch = Stopwatch()
    for _ in range(count):
        await sending.send(payload)
        assert len(await receiving.receive()) == len(payload)
    return watch.stop()


async def _publish_bus_in_turn(count: int, payload: bytes) -> dict[str, float]:
    async with t2bus.open_bus() as bus, bus.open_client() as publisher, bus.open_client() as subscriber:
        return await take_turns(publisher, subscriber, count, payload)


async def _publish_bus_from_tasks(count: int, payload: bytes) -> dict[str, float]:
    async with (
        t2bus.open_bus(limits=ROOMY) as bus,
        bus.open_client() as publisher,
        bus.open_client(limits=ROOMY) as subscriber,
        subscriber.subscribe_bytes(SERVICE) as messages,
    ):
        watch = Stopwatch()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish_from_tasks, publisher, SERVICE, payload, count, TASKS)
            await _drain_bus(messages, count, len(payload))
        return watch.stop()


async def _publish_bus_in_batches(count: int, payload: bytes) -> dict[str, float]:
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as publisher,
        bus.open_client() as subscriber,
        subscriber.subscribe_bytes(SERVICE) as messages,
    ):
        watch = Stopwatch()
        async with trio.open_nursery() as nursery, publisher.open_bytes_publisher(SERVICE) as channel:
            nursery.start_soon(_drain_batches, messages, count, len(payload))
            await send_in_batches(channel, payload, count, batch_of(len(payload)))
        return watch.stop()


async def _publish_bus(count: int, payload: bytes, subscribers: int) -> dict[str, float]:
    async with t2bus.open_bus() as bus, bus.open_client() as publisher, AsyncExitStack() as stack:
        feeds = []
        for _ in range(subscribers):
            client = await stack.enter_async_context(bus.open_client())
            feeds.append(await stack.enter_async_context(client.subscribe_bytes(SERVICE)))
        watch = Stopwatch()
        async with trio.open_nursery() as nursery, publisher.open_bytes_publisher(SERVICE) as channel:
            for feed in feeds:
                nursery.start_soon(_drain_bus, feed, count, len(payload))
            for _ in range(count):
                await channel.send(payload)
        return watch.stop()


async def _time(count: int, ask: Callable[[], Awaitable[object]]) -> Measured:
    for _ in range(_WARM_UP):
        await ask()
    times, watch = [], Stopwatch()
    for _ in range(count):
        started = time.perf_counter()
        await ask()
        times.append(time.perf_counter() - started)
    return {**watch.stop(), "times": times}


async def _ask_bare(count: int, payload: bytes) -> Measured:
    ask_out, ask_in = trio.open_memory_channel[bytes](1)
    answer_out, answer_in = trio.open_memory_channel[bytes](1)

    async def answer() -> None:
        async for request in ask_in:
            await answer_out.send(request)

    async def ask() -> None:
        await ask_out.send(payload)
        await answer_in.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        measured = await _time(count, ask)
        nursery.cancel_scope.cancel()
    return measured


async def _ask_bus(count: int, payload: bytes) -> Measured:
    async with t2bus.open_bus() as bus, bus.open_client() as asker, bus.open_client() as server:

        async def answer(requests: t2bus.Requests[bytes, bytes]) -> None:
            async for request in requests:
                await request.respond(request.body)

        async with server.serve_bytes(SERVICE) as requests, trio.open_nursery() as nursery:
            nursery.start_soon(answer, requests)
            measured = await _time(count, lambda: asker.request_bytes(SERVICE, payload))
            nursery.cancel_scope.cancel()
    return measured


async def _burst(system: str, what: str, count: int, size: int) -> Measured:
    payload = random.Random(size).randbytes(size)
    if what == "ask":
        return await (_ask_bus if system == "t2bus" else _ask_bare)(count, payload)
    if what == "turn":
        in_turn = _publish_bus_in_turn if system == "t2bus" else _publish_bare_in_turn
        return await in_turn(count, payload)
    if what in {"tasks", "batch"} and system == "t2bus":
        publish_one = _publish_bus_from_tasks if what == "tasks" else _publish_bus_in_batches
        return await publish_one(count, payload)
    publish = _publish_bus if system == "t2bus" else _publish_bare
    return await publish(count, payload, FAN if what == "fan" else 1)


async def _measure(system: str, what: str, count: int, size: int) -> None:
    ready()
    while await next_burst(trio.to_thread.run_sync):
        say(await _burst(system, what, count, size))


if __name__ == "__main__":
    system, what, count, size = sys.argv[1:]
    trio.run(_measure, system, what, int(count), int(size))
