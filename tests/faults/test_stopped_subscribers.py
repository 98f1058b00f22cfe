"""Subscribers in SIGSTOP: what they cost the bus, its publishers and those who go on.

The bus closes whoever takes nothing for ``Limits.write_stall``. Here it is told to be patient, so that what is measured
is a bus that has them all the while.
"""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING, Final

import pytest
import trio
from attrs import define, field

import t2bus
from faults.measured import times
from faults.processes import limits, open_program, open_served

if TYPE_CHECKING:
    from pathlib import Path

    from faults.measured import Measured
    from faults.processes import Process, Served

MOVING: Final = "fault/moving"
STOPPED: Final = "fault/stopped"
"""Topics of one length: what is published to the second is for the stopped ones too."""

BURST: Final = 2000
ROUNDS: Final = 25
"""Short bursts, so that whatever else the machine does meanwhile meets both topics alike."""

BODY: Final = 100
LONG: Final = t2bus.Limits().stall / 2
"""Seconds from which a send has waited for the stopped ones, and not for a machine that is busy."""

PATIENT: Final = limits(write_stall=3600, silence=3600)


@define(eq=False)
class Numbered:
    """What is published to the stopped ones: numbered from 0, over all publishers."""

    count: int = 0

    def next(self, *, is_last: bool = False) -> bytes:
        number, self.count = self.count, self.count + 1
        return number.to_bytes(8, "big") + bytes([is_last]) + bytes(BODY - 9)


@define(eq=False)
class Live:
    """A subscriber that goes on, to both topics."""

    taken: int = 0
    _news: trio.Event = field(factory=trio.Event)

    async def take_all(self, client: t2bus.Client, task_status: trio.TaskStatus[None]) -> None:
        """Take until cancelled; a message that is lost raises."""
        async with client.subscribe_bytes("fault/*") as messages:
            task_status.started()
            while True:
                self.taken += len(await messages.receive_batch())
                self._news.set()

    async def has(self, count: int) -> None:
        """Wait until it has taken so many in all."""
        with trio.fail_after(30):
            while self.taken < count:
                self._news = trio.Event()
                await self._news.wait()


@define(eq=False)
class Scene:
    """A bus, one subscriber that goes on, others that are stopped, and a client that publishes."""

    served: Served
    stopped: Process
    client: t2bus.Client
    live: Live
    numbered: Numbered = field(factory=Numbered)
    sent: int = 0
    """Messages that the live one is to have."""

    async def waits_of_a_paced_publisher(self, count: int) -> list[float]:
        """Publish so many, which is more than the stopped ones take; return how long the sends that waited did so."""
        waits = []
        async with self.client.open_bytes_publisher(STOPPED) as publisher:
            for _ in range(count):
                begun = trio.current_time()
                await publisher.send(self.numbered.next())
                if (waited := trio.current_time() - begun) > LONG:
                    waits.append(waited)
        self.sent += count
        await self.live.has(self.sent)
        return waits

    async def worst_gap_of_publish(self, count: int) -> float:
        """Publish one by one; return the longest that one took."""
        worst = 0.0
        for _ in range(count):
            begun = trio.current_time()
            await self.client.publish_bytes(STOPPED, self.numbered.next())
            worst = max(worst, trio.current_time() - begun)
        self.sent += count
        return worst

    async def cost(self, topic: str) -> float:
        """Publish a burst; return what it cost the bus, in seconds of a processor."""
        bodies = [self.numbered.next() if topic == STOPPED else bytes(BODY) for _ in range(BURST)]
        before = self.served.cpu()
        async with self.client.open_bytes_publisher(topic) as publisher:
            for body in bodies:
                await publisher.send(body)
        self.sent += BURST
        await self.live.has(self.sent)
        return self.served.cpu() - before

    async def throughput(self, rounds: int) -> float:
        """Return how much of the throughput is left beside the stopped ones, in percent; both are measured in turn."""
        alone, beside = [], []
        for _ in range(rounds):
            alone.append(await self.cost(MOVING))
            beside.append(await self.cost(STOPPED))
        return 100 * median(alone) / median(beside)

    async def end(self, count: int) -> list[dict[str, int]]:
        """Let the stopped ones go on to a last message; return what each of them had."""
        self.stopped.go_on()
        ends: list[dict[str, int]] = []
        while len(ends) < count:
            await self.client.publish_bytes(STOPPED, self.numbered.next(is_last=True))
            with trio.move_on_after(0.1):
                while len(ends) < count:
                    line = await self.stopped.command.stdout.next()
                    assert line, await self.stopped.command.stderr.rest()
                    ends.append(json.loads(line))
        return ends


@pytest.mark.parametrize(("count", "least"), [(1, 95), (10, 90)])
async def test_stopped_subscribers_cost_next_to_nothing(
    folder: Path, measured: Measured, count: int, least: float
) -> None:
    """Beside subscribers in SIGSTOP others go on as without, publishers wait once, and every lost message is told."""
    async with (
        open_served(folder, *PATIENT) as served,
        open_program("subscriber", served.address, STOPPED, count) as stopped,
        t2bus.open_client(served.address) as client,
        t2bus.open_client(served.address) as other,
        trio.open_nursery() as nursery,
    ):
        scene = Scene(served, stopped, client, Live())
        await nursery.start(scene.live.take_all, other)
        await stopped.stop()
        name = f"{count} stopped"
        stall, window = t2bus.Limits().stall, t2bus.Limits().subscription_messages
        waits = await scene.waits_of_a_paced_publisher(window + 3 * t2bus.Limits().publisher_messages)
        measured.exactly(f"{name}: times that a paced publisher waited", len(waits), 1)
        measured.at_most(f"{name}: its wait", waits[0], stall, "s")
        gap = min([await scene.worst_gap_of_publish(times(2000)) for _ in range(3)])
        measured.at_most(f"{name}: worst gap of publish, best of three", 1000 * gap, 50, "ms")
        shares = [await scene.throughput(times(ROUNDS)) for _ in range(3)]
        measured.beside(f"{name}: throughput by the bus's processor time, median of three", median(shares), "%")
        measured.at_least(f"{name}: throughput by the bus's processor time, best of three", max(shares), least, "%")
        ends = await scene.end(count)
        dropped = sum(each["dropped"] for each in ends)
        measured.exactly(f"{name}: lost as they were told", dropped, (await served.status()).dropped, "messages")
        nursery.cancel_scope.cancel()
