"""One process of a measurement: `python -m benchmarks.role SYSTEM ROLE PATH [COUNT SIZE]`.

It says ``ready`` on standard output when others may start, and then what it measured as one line of JSON. A server and
a responder end when standard input is closed.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import TYPE_CHECKING

import trio

from .systems import SYSTEMS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_WARM_UP = 200


async def _until_told(serve: Callable[..., Awaitable[object]], path: str) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, path)
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


async def _run(name: str, role: str, path: str, count: int, size: int) -> None:
    system = SYSTEMS[name]
    if role == "serve":
        await _until_told(system.serve, path)
    elif role == "answer":
        await _until_told(system.answer, path)
    elif role == "subscribe":
        async with trio.open_nursery() as nursery:
            await nursery.start(system.subscribe, path, count, size)
            print("ready", flush=True)
            started = time.perf_counter()
        print(json.dumps({"seconds": time.perf_counter() - started}))
    elif role == "publish":
        print("ready", flush=True)
        await system.publish(path, count, size)
    elif role == "ask":
        async with system.open_asker(path) as asker:
            payload = bytes(size)
            print("ready", flush=True)
            times = []
            for _ in range(count + _WARM_UP):
                started = time.perf_counter()
                await asker.ask(payload)
                times.append(time.perf_counter() - started)
        quantiles = statistics.quantiles(times[_WARM_UP:], n=100)
        print(json.dumps({"p50": quantiles[49], "p99": quantiles[98]}))
    else:
        raise SystemExit(f"unknown role {role}")


if __name__ == "__main__":
    name, role, path, *numbers = sys.argv[1:]
    count, size = map(int, numbers or ("0", "0"))
    trio.run(_run, name, role, path, count, size)
