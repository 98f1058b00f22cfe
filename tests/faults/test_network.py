"""A client whose line to its bus fails, heals, is slow, or takes everything apart.

The bus and the client are processes in two network namespaces. Where the machine allows none, and beside them anyway,
a proxy between two processes stands in. All are measured at the same time, since a peer that is gone takes 20 s to
find, and each test looks at one of them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import trio
from attrs import define, field, frozen

import t2bus
from faults.children import open_child
from faults.network import FAR, open_cable, why_there_is_none
from faults.talkers import (
    END,
    NAME,
    WINDOW,
    forward,
    incompressible,
    publish_numbers,
    serve_bus,
    take_slowly,
    take_to_end,
    talk,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from faults.measured import Measured

FOUND_IN: Final = 25.0
"""Seconds in which both ends have to find that the other is gone."""

OUTAGE: Final = 5.0
"""Seconds after which a line is healed."""

EACH_WAY: Final = 900
"""Messages each way, one every 10 ms, so that a line that is cut after a second is healed while they go on."""

SMALL, LARGE = 1_000, 200_000
"""Bytes of the messages on a slow line."""

PACED, FLOOD = 200, 2_000
"""How many of the small ones are published so that none is dropped, and so that most are."""

cables = pytest.mark.skipif(bool(why_there_is_none()), reason=why_there_is_none())


# --- lines


@frozen
class Line:
    """A bus, the line that leads to it, and a way to it that nothing happens to."""

    local: str
    address: str
    near: str | None
    """The namespace of the client, if it has one."""
    cut: Callable[[], object]
    heal: Callable[[], object]
    reset: Callable[[], object] = lambda: None


@asynccontextmanager
async def open_cable_line(folder: Path, name: str, kind: str) -> AsyncGenerator[Line, None]:
    """Put a cable between a bus and its client, which is then pulled, drops everything, or is slow from the start."""
    local, address = f"unix:{folder}/{name}", f"tcp:{FAR}:4242"
    with open_cable() as cable:
        async with open_child(serve_bus, local, address, namespace=cable.far) as bus:
            await bus.heard("ready")
            if kind == "slow":
                cable.limit("1mbit")
            cut, heal = (cable.pull, cable.plug) if kind == "pulled" else (cable.drop, cable.free)
            yield Line(local, address, cable.near, cut, heal)


@asynccontextmanager
async def open_proxy_line(folder: Path, name: str, kind: str) -> AsyncGenerator[Line, None]:
    """Put a proxy between a bus and its client; a slow one passes on little at once, after a while."""
    local = f"unix:{folder}/{name}"
    piece, delay = (2_000, 0.01) if kind == "slow" else (1 << 16, 0.0)
    async with open_child(serve_bus, local, "tcp:127.0.0.1:0") as bus:
        ready = await bus.heard("ready")
        async with open_child(forward, ready.value[1], piece, delay) as proxy:
            address = (await proxy.heard("ready")).value
            yield Line(local, address, None, *(partial(proxy.say, word) for word in ("cut", "heal", "reset")))


OPEN: Final = {"a cable": open_cable_line, "a proxy": open_proxy_line}


@define(eq=False)
class Watcher:
    """A client beside the bus, and the time at which the bus says that the talker has left."""

    client: t2bus.Client
    left_at: float | None = None
    reason: str = ""
    has_left: trio.Event = field(factory=trio.Event)

    async def watch(self, events: t2bus.Subscription[t2bus.status.Event]) -> None:
        """Wait until the talker has left."""
        async for _, event in events:
            if event.name == NAME:
                self.left_at, self.reason = time.monotonic(), event.text
                self.has_left.set()


@asynccontextmanager
async def open_watcher(line: Line) -> AsyncGenerator[Watcher, None]:
    async with (
        t2bus.open_client(line.local) as client,
        client.subscribe(t2bus.status.Event, "left") as events,
        trio.open_nursery() as nursery,
    ):
        watcher = Watcher(client)
        nursery.start_soon(watcher.watch, events)
        yield watcher
        nursery.cancel_scope.cancel()


# --- what is measured


@frozen
class Found:
    """How long each end took to find that the other was gone, and what it said."""

    by_client: float
    by_bus: float
    reasons: tuple[str, str]


async def find(line: Line, way: str) -> Found:
    """Cut a line for good, while both ends talk or neither has anything to say."""
    messages, pause = (100_000, 0.01) if way == "talking" else (1, 3600.0)
    async with (
        open_watcher(line) as watcher,
        open_child(talk, line.address, messages, pause, namespace=line.near) as talker,
        trio.open_nursery() as nursery,
    ):
        await talker.heard("talking")
        nursery.start_soon(publish_numbers, watcher.client, "down", messages, pause)
        await trio.sleep(1)
        cut_at = time.monotonic()
        (line.reset if way == "reset" else line.cut)()
        lost = await talker.heard("lost")
        await watcher.has_left.wait()
        assert watcher.left_at is not None
        nursery.cancel_scope.cancel()
    return Found(lost.at - cut_at, watcher.left_at - cut_at, (lost.value, watcher.reason))


@frozen
class Healed:
    """What came over a line that was cut for a while."""

    down: list[bytes]
    up: list[bytes]
    reason: str
    """Why the bus gave the client up, if it did."""
    arrivals: list[float]
    """When each of those came that went up."""
    healed_at: float

    @property
    def gap(self) -> float:
        """How long nothing came: the line was cut indeed."""
        return max(after - before for before, after in pairwise(self.arrivals))

    @property
    def after(self) -> float:
        """How long after the line was healed something came."""
        return min(at for at in self.arrivals if at > self.healed_at) - self.healed_at


async def heal(line: Line, _way: str) -> Healed:
    """Cut a line for a while, in which both ends publish on."""
    up: list[bytes] = []
    arrivals: list[float] = []
    healed_at: list[float] = []
    async with (
        open_watcher(line) as watcher,
        watcher.client.subscribe_bytes("up") as messages,
        open_child(talk, line.address, EACH_WAY, 0.01, namespace=line.near) as talker,
        trio.open_nursery() as nursery,
    ):
        await talker.heard("talking")
        nursery.start_soon(publish_numbers, watcher.client, "down", EACH_WAY, 0.01)
        nursery.start_soon(_interrupt, line, healed_at)
        async for message in messages:
            arrivals.append(time.monotonic())
            if message.body == END:
                break
            up.append(message.body)
        taken = await talker.heard("taken")
        return Healed(taken.value, up, watcher.reason, arrivals, healed_at[0])  # noqa: ASYNC121 -- both tasks have ended


async def _interrupt(line: Line, healed_at: list[float]) -> None:
    """Cut a line for a while."""
    await trio.sleep(1)
    line.cut()
    await trio.sleep(OUTAGE)
    line.heal()
    healed_at.append(time.monotonic())


@frozen
class Slow:
    """What came over a slow line: for each topic the numbers, and how many were dropped."""

    taken: dict[str, tuple[list[int], int]]
    waiting: int
    """The most bytes that waited in the bus."""
    reason: str
    """Why the bus gave the client up, if it did."""
    seconds: float


async def crawl(line: Line, _way: str) -> Slow:
    """Publish more than a slow line carries, and what has to arrive behind it, while as much comes the other way."""
    taken: dict[str, tuple[list[int], int]] = {}
    waiting = [0]
    started = time.monotonic()
    async with (
        open_watcher(line) as watcher,
        watcher.client.subscribe_bytes("up") as messages,
        open_child(take_slowly, line.address, PACED, SMALL, LARGE, namespace=line.near) as talker,
        trio.open_nursery() as nursery,
    ):
        await talker.heard("talking")
        nursery.start_soon(_watch_memory, watcher.client, waiting)
        for number in range(FLOOD):
            await watcher.client.publish_bytes("flood", incompressible(number, SMALL))
        for topic, count, size in (("flood", 0, SMALL), ("paced", PACED, SMALL), ("large", 1, LARGE)):
            async with watcher.client.open_bytes_publisher(topic) as publisher:
                for number in range(count):
                    await publisher.send(incompressible(number, size))
            refused = await _end(watcher.client, topic)
            numbers, dropped = (await talker.heard(topic)).value
            taken[topic] = numbers, dropped - refused
        taken["up"] = await take_to_end(messages)
        nursery.cancel_scope.cancel()
        return Slow(taken, waiting[0], watcher.reason, time.monotonic() - started)  # noqa: ASYNC121 -- it is at the end


async def _end(client: t2bus.Client, topic: str) -> int:
    """Publish the end until it is accepted, which it is not while the subscriber lags; return how often it was not."""
    refused = 0
    while not await client.publish_bytes(topic, END):
        refused += 1
        await trio.sleep(0.2)
    return refused


async def _watch_memory(client: t2bus.Client, waiting: list[int]) -> None:
    """Note the most bytes that wait in the bus."""
    while True:
        status = await client.request("", t2bus.status.StatusRequest())
        waiting[0] = max(waiting[0], status.buffered_bytes)
        await trio.sleep(0.05)


# --- all of it at once

PATIENCE: Final = 60
"""Seconds after which one of them hangs."""


@frozen
class Scenario:
    """One line and what is measured on it."""

    line: str
    kind: str
    measure: Callable[[Line, str], Awaitable[Any]]
    way: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.line, self.kind, self.way)))


FINDING = [
    Scenario(line, kind, find, way)
    for line, kind in (("a cable", "pulled"), ("a cable", "dropping"), ("a proxy", "stopped"))
    for way in ("talking", "idle")
]
RESET = Scenario("a proxy", "closing", find, "reset")
HEALING = [
    Scenario(line, kind, heal)
    for line, kind in (("a cable", "pulled"), ("a cable", "dropping"), ("a proxy", "stopped"))
]
CRAWLING = [Scenario(line, "slow", crawl) for line in ("a cable", "a proxy")]


async def measure_all(folder: Path) -> dict[Scenario, Any]:
    """Measure whatever this machine allows; what is raised stands for its scenario's outcome."""
    outcomes: dict[Scenario, Any] = {}

    async def measure(number: int, scenario: Scenario) -> None:
        try:
            with trio.fail_after(PATIENCE):
                async with OPEN[scenario.line](folder, f"bus{number}", scenario.kind) as line:
                    outcomes[scenario] = await scenario.measure(line, scenario.way)
        except Exception as error:  # noqa: BLE001 -- it is raised in the test that is about it
            outcomes[scenario] = error

    async with trio.open_nursery() as nursery:
        for number, scenario in enumerate((*FINDING, RESET, *HEALING, *CRAWLING)):
            if scenario.line == "a proxy" or not why_there_is_none():
                nursery.start_soon(measure, number, scenario)
    return outcomes


Outcome = Callable[[Scenario], Any]


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """Measure everything once, and give the outcome of each, or raise it."""
    with tempfile.TemporaryDirectory(prefix="t2bus-") as folder:
        outcomes: Mapping[Scenario, Any] = trio.run(measure_all, Path(folder))

    def outcome_of(scenario: Scenario) -> Any:
        found = outcomes[scenario]
        if isinstance(found, Exception):
            raise found
        return found

    return outcome_of


def each(*scenarios: Scenario) -> pytest.MarkDecorator:
    """Parametrise a test by scenarios; those that this machine does not allow are skipped, with the reason."""
    params = [pytest.param(each, id=str(each), marks=[cables] if each.line == "a cable" else []) for each in scenarios]
    return pytest.mark.parametrize("scenario", params)


@each(*FINDING)
def test_promise_11_a_peer_that_is_cut_off_is_found(outcome: Outcome, measured: Measured, scenario: Scenario) -> None:
    """Both ends find within 25 s that the other is gone, and say why, whether they talk or have nothing to say."""
    found: Found = outcome(scenario)
    assert all("Limits." in reason for reason in found.reasons)
    measured.at_most(f"cut off by {scenario}: found by the client", found.by_client, FOUND_IN, "s")
    measured.at_most(f"cut off by {scenario}: found by the bus", found.by_bus, FOUND_IN, "s")


@each(RESET)
def test_a_connection_that_is_reset_ends_at_once(outcome: Outcome, measured: Measured, scenario: Scenario) -> None:
    """A proxy that gives a connection up is found at once from both ends."""
    found: Found = outcome(scenario)
    measured.at_most("connection reset: found by the client", found.by_client, 1.0, "s")
    measured.at_most("connection reset: found by the bus", found.by_bus, 1.0, "s")


@each(*HEALING)
def test_a_line_that_heals_in_time_loses_nothing(outcome: Outcome, measured: Measured, scenario: Scenario) -> None:
    """What is published while a line is cut for 5 s all arrives afterwards, in order, on the same connection."""
    healed: Healed = outcome(scenario)
    assert healed.gap > OUTAGE * 0.8
    assert not healed.reason
    for way, numbers in (("down", healed.down), ("up", healed.up)):
        wanted = [b"%d" % number for number in range(EACH_WAY)]
        assert [number for number in wanted if number in set(numbers)] == numbers, f"{way} is out of order"
        measured.exactly(f"healed after 5 s, {scenario}: lost {way} of {EACH_WAY}", EACH_WAY - len(numbers), 0)
    measured.at_most(f"healed after 5 s, {scenario}: heard again after", healed.after, FOUND_IN - OUTAGE, "s")


@each(*CRAWLING)
def test_order_and_bounds_hold_on_a_slow_line(outcome: Outcome, measured: Measured, scenario: Scenario) -> None:
    """On a line that is far slower than what is published all arrives in order, or is counted where it is missing."""
    slow: Slow = outcome(scenario)
    assert not slow.reason
    for numbers, _ in slow.taken.values():
        assert numbers == sorted(set(numbers))
    numbers, dropped = slow.taken["flood"]
    assert numbers
    measured.exactly(f"{scenario}: of {FLOOD:,} in a flood taken or told of", len(numbers) + dropped, FLOOD)
    assert slow.taken["paced"] == (list(range(PACED)), 0)
    assert slow.taken["large"] == ([0], 0)
    assert slow.taken["up"] == (list(range(PACED + 1)), 0)
    # The windows of the three subscriptions, and what two paced publishers may have on their way.
    bound = 2 * WINDOW + 2 * LARGE + PACED * SMALL + LARGE
    measured.at_most(f"{scenario}: waited in the bus", slow.waiting / 1024, bound / 1024, "KiB")
    measured.beside(f"{scenario}: took", slow.seconds, "s")
