"""The floor: three processes on Trio, and nobody frames, routes, bounds or acknowledges anything.

The server joins its first two connections and passes bytes on as they come. The distance to it is the price of what a
bus promises. Settings: chunks of 64 KiB, as Trio's own default, and a write of at least one message.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Final

import trio

from .work import Meter, Work, next_burst, ready, say

RUN = trio.run

_CHUNK: Final = 65_536


async def serve(address: str, _work: Work) -> None:
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
    await sock.bind(address)
    sock.listen()
    ready(address)
    await trio.serve_listeners(join, [trio.SocketListener(sock)])


async def _pump(source: trio.abc.Stream, target: trio.abc.Stream) -> None:
    async for data in source:
        await target.send_all(data)


async def publish(address: str, work: Work) -> None:
    payload = work.payload
    async with await trio.open_unix_socket(address) as stream:
        ready()
        while await next_burst(trio.to_thread.run_sync):
            for _ in range(work.count):
                await stream.send_all(payload)
            # The subscriber says when it has everything.
            await stream.receive_some(1)
            say({})


async def subscribe(address: str, work: Work) -> None:
    meter, size, buffered = Meter(work.size, 1), work.size, 0
    async with await trio.open_unix_socket(address) as stream:
        ready()
        while True:
            for _ in range(work.count):
                while buffered < size:
                    buffered += len(await stream.receive_some(_CHUNK))
                # Every receive of a Trio channel is a checkpoint.
                await trio.lowlevel.checkpoint()
                buffered -= size
                meter.take(size)
            meter.stop()
            await stream.send_all(b".")


async def answer(address: str, _work: Work) -> None:
    async with await trio.open_unix_socket(address) as stream:
        ready()
        async for data in stream:
            await stream.send_all(data)


async def ask(address: str, work: Work) -> None:
    async with await trio.open_unix_socket(address) as stream:
        ready()
        while await next_burst(trio.to_thread.run_sync):
            started = time.perf_counter()
            times = await _ask(stream, work)
            say({"seconds": time.perf_counter() - started, "times": times})


async def _ask(stream: trio.abc.Stream, work: Work) -> list[float]:
    """Keep ``flight`` payloads on their way; they come back in the order in which they went."""
    payload, size, buffered = work.payload, work.size, 0
    sent, times = deque[float](), list[float]()
    for number in range(work.count + work.flight):
        if number >= work.flight:
            while buffered < size:
                buffered += len(await stream.receive_some(_CHUNK))
            buffered -= size
            times.append(time.perf_counter() - sent.popleft())
        if number < work.count:
            if work.pause:
                await trio.sleep(work.pause)
            sent.append(time.perf_counter())
            await stream.send_all(payload)
    return times
