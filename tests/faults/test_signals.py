"""SIGTERM under traffic: a bus writes what it had accepted, in its time, and ends; a second one ends it at once."""

from __future__ import annotations

import json
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio
from attrs import define

import t2bus
from bus_helpers import names
from faults.processes import limits, open_program, open_served

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from faults.measured import Measured
    from faults.processes import Process, Served

TOPIC: Final = "fault/all"
PUBLISHERS: Final = 32
BEFORE: Final = 1.0
"""Seconds of traffic before the signal."""

AT_ONCE: Final = 0.5
"""Seconds in which what happens at once has happened, the end of Python included."""


@define(eq=False)
class Traffic:
    """A bus, a subscriber, and tasks that publish until the bus ends."""

    served: Served
    taker: Process
    accepted: int = 0
    """Publications that the bus has acknowledged."""

    async def publish(self, client: t2bus.Client) -> None:
        """Publish until the bus ends."""
        try:
            while True:
                await client.publish_bytes(TOPIC, bytes(1000))
                self.accepted += 1
        except t2bus.Disconnected:
            pass

    async def ends(self) -> float:
        """Return how long it takes from now until the bus has ended."""
        begun = trio.current_time()
        with trio.fail_after(60):
            await self.served.command.end()
        return trio.current_time() - begun


@asynccontextmanager
async def open_traffic(folder: Path, *, takes: bool = True) -> AsyncGenerator[Traffic, None]:
    """Let traffic run for a while, with a subscriber that takes all or nothing; the bus ends in the body."""
    async with (
        open_served(folder, *limits(write_stall=3600)) as served,
        open_program("taker", served.address, TOPIC) as taker,
        t2bus.open_client(served.address) as client,
        trio.open_nursery() as nursery,
    ):
        if not takes:
            await taker.stop()
        traffic = Traffic(served, taker)
        for _ in range(PUBLISHERS):
            nursery.start_soon(traffic.publish, client)
        await trio.sleep(BEFORE)
        yield traffic
    assert names(folder) == []


async def test_once(folder: Path, measured: Measured) -> None:
    """At the first SIGTERM a bus with live subscribers has soon written all that it had accepted, and is gone."""
    async with open_traffic(folder) as traffic:
        traffic.served.send(signal.SIGTERM)
        took = await traffic.ends()
        end = json.loads(await traffic.taker.command.stdout.next())
    assert await traffic.served.command.process.wait() == 0
    measured.at_most("SIGTERM under traffic: until the bus has ended", took, t2bus.Limits().drain, "s")
    measured.exactly("SIGTERM under traffic: accepted and not taken", max(0, traffic.accepted - end["taken"]), 0)


async def test_once_beside_a_subscriber_that_takes_nothing(folder: Path, measured: Measured) -> None:
    """At the first SIGTERM a bus that has more to write than is taken gives up when the time of a shutdown is over."""
    async with open_traffic(folder, takes=False) as traffic:
        traffic.served.send(signal.SIGTERM)
        took = await traffic.ends()
    assert await traffic.served.command.process.wait() == 0
    most = t2bus.Limits().drain + AT_ONCE
    measured.at_most("SIGTERM beside one that takes nothing: until the bus has ended", took, most, "s")


async def test_twice(folder: Path, measured: Measured) -> None:
    """A second SIGTERM ends a bus that still writes at once, with the exit code of the signal."""
    async with open_traffic(folder, takes=False) as traffic:
        traffic.served.send(signal.SIGTERM)
        await traffic.served.command.stderr.until("shutting down")
        traffic.served.send(signal.SIGTERM)
        took = await traffic.ends()
    assert await traffic.served.command.process.wait() == 128 + signal.SIGTERM
    measured.at_most("SIGTERM twice: until the bus has ended", took, AT_ONCE, "s")
