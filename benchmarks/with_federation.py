"""The roles on several servers of t2bus that are one bus.

Settings: the defaults, but for windows of any size, as for one server; and between the servers TCP without TLS.

An address of ``serve`` is that of its clients, its endpoint, and the endpoints of the servers that were there before.
It is ready when what it publishes to a topic that all servers subscribe to has reached all of them.
"""

from __future__ import annotations

import json
import statistics
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import trio

import t2bus

from .with_t2bus import ROOMY, open_client
from .work import SERVICE, next_burst, ready, say

if TYPE_CHECKING:
    from .work import Work

RUN = trio.run

_PROBE: Final = "probe/met"
_LOOK: Final = 0.002
_EACH: Final = 1_000
"""Subscriptions of a connection."""


async def serve(address: str, _work: Work) -> None:
    """Be one of several servers; ready, with the seconds that took, when it and those before are one bus."""
    place, endpoint, *seeds = address.split(",")
    started = time.perf_counter()
    federation = t2bus.Federation(bus="bench", endpoint=endpoint, seeds=seeds)
    async with (
        t2bus.open_bus(place, limits=ROOMY, federation=federation) as bus,
        bus.open_client() as client,
        client.subscribe_bytes(_PROBE),
    ):
        opened = time.perf_counter() - started
        while await client.publish_bytes(_PROBE, b"") < 1 + len(seeds):  # noqa: ASYNC110 -- nobody tells
            await trio.sleep(_LOOK)
        ready(json.dumps({"opened": opened, "met": time.perf_counter() - started}))
        await trio.sleep_forever()


async def count(address: str, work: Work) -> None:
    """Publish one message after the other, each when the one before is counted; say how long each took."""
    times: list[float] = []
    async with open_client(address) as client:
        ready()
        while await next_burst(trio.to_thread.run_sync):
            times.clear()
            started = time.perf_counter()
            for _ in range(work.count):
                sent = time.perf_counter()
                assert await client.publish_bytes(SERVICE, work.payload) == 1
                times.append(time.perf_counter() - sent)
            say({"seconds": time.perf_counter() - started, "times": times})


async def subscribe(address: str, work: Work) -> None:
    """Subscribe to so many topics, all of one group or, with a topic of ``**``, each of one of its own."""
    async with AsyncExitStack() as stack:
        times = []
        for first in range(0, work.count, _EACH):
            client = await stack.enter_async_context(open_client(address))
            for number in range(first, min(work.count, first + _EACH)):
                started = time.perf_counter()
                await stack.enter_async_context(client.subscribe_bytes(f"{work.topic_of(number)}/{number}"))
                times.append(time.perf_counter() - started)
        ready(json.dumps({"subscribe": 1e6 * statistics.median(times)}))
        await trio.sleep_forever()
