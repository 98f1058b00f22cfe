"""Connections that do nothing: `python -m benchmarks.idle ADDRESS COUNT`.

Each says HELLO, waits for WELCOME, and then only answers the bus's pings, on a bare stream: a whole client each would
cost this process more than the bus. Printed is how many were let in per second, when all are in.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Final

import trio

from t2bus.wire import messages as m
from t2bus.wire.framing import FrameDecoder
from t2bus.wire.native import VERSION, decode_server_messages, encode

_AT_ONCE: Final = 64
"""Connections that are being made at any time; more would only wait in the kernel's queue."""

_FRAME: Final = 1 << 20


async def _stay(path: str, gate: trio.Semaphore, task_status: trio.TaskStatus[None]) -> None:
    async with gate:
        stream = await trio.open_unix_socket(path)
        await stream.send_all(encode(m.Hello(VERSION, "idle")))
        decoder = FrameDecoder(_FRAME)
        messages = await _receive(stream, decoder)
        assert isinstance(messages[0], m.Welcome)
    task_status.started()
    async with stream:
        while True:
            for message in await _receive(stream, decoder):
                assert isinstance(message, m.Ping), message
                await stream.send_all(encode(m.Pong(message.token)))


async def _receive(stream: trio.SocketStream, decoder: FrameDecoder) -> list[m.ServerMessage]:
    data = bytes(await stream.receive_some())
    assert data, "the bus closed a connection"
    return decode_server_messages(decoder.feed(data))


async def _hold(path: str, count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gate = trio.Semaphore(_AT_ONCE)
    async with trio.open_nursery() as nursery:
        started = time.perf_counter()
        async with trio.open_nursery() as starting:
            for _ in range(count):
                starting.start_soon(nursery.start, _stay, path, gate)
        print("ready", json.dumps({"accepted": count / (time.perf_counter() - started)}), flush=True)


if __name__ == "__main__":
    trio.run(_hold, sys.argv[1].removeprefix("unix:"), int(sys.argv[2]))
