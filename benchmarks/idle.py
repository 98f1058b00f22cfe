"""Connections that do nothing: `python -m benchmarks.idle ADDRESS COUNT`.

Each says HELLO, waits for WELCOME, and then only answers the bus's pings, on a bare stream: a whole client each would
cost this process more than the bus. Printed is how many were let in per second, when all are in.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any, Final

import trio

from . import wire

_AT_ONCE: Final = 64
"""Connections that are being made at any time; more would only wait in the kernel's queue."""


async def _stay(path: str, gate: trio.Semaphore, task_status: trio.TaskStatus[None]) -> None:
    async with gate:
        stream = await trio.open_unix_socket(path)
        await stream.send_all(wire.hello())
        received = bytearray()
        welcome, *_ = await _receive(stream, received)
        assert welcome[0] == wire.WELCOME, welcome
    task_status.started()
    async with stream:
        while True:
            for message in await _receive(stream, received):
                kind, token = message
                assert kind == wire.PING, message
                await stream.send_all(wire.pong(token))


async def _receive(stream: trio.SocketStream, received: bytearray) -> list[list[Any]]:
    """Return the next messages, at least one; ``received`` keeps what is not a whole frame yet."""
    while not (messages := wire.take_messages(received)):
        data = await stream.receive_some()
        assert data, "the bus closed a connection"
        received += data
    return messages


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
