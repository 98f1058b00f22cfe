"""Servers that are killed, and servers that are frozen and come back."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NoReturn

import pytest
import trio
from attrs import define, field, frozen

import t2bus
from federation.servers import LEASE, claimed, come_until, met, open_fleet, reaches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from faults.measured import Measured
    from federation.servers import Server

TOPIC: Final = "lab/a"
SERVICE: Final = "lab/one"
FLOOD: Final = 500
"""Messages before a server is frozen in a flood."""
BODY: Final = bytes(10_000)
SLACK: Final = 1.0
"""Seconds beyond the lease, for a machine that does other things too."""


@define(eq=False)
class Lost:
    """When the other servers found that one is gone."""

    at: float = field(default=0.0, init=False)
    uncounted: float = field(default=0.0, init=False)
    freed: float = field(default=0.0, init=False)
    gone: float = field(default=0.0, init=False)


async def occupy(server: Server, asked: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
    """Have a client of a server subscribe to the topic and serve the other one; it never answers."""
    with suppress(t2bus.Disconnected):  # when the server is killed
        async with (
            server.client() as client,
            client.subscribe_bytes(TOPIC),
            client.serve_bytes(SERVICE) as requests,
        ):
            task_status.started()
            await requests.receive()
            asked.set()
            await trio.sleep_forever()


async def find(fleet: Sequence[Server], lose: Callable[[], Awaitable[float]]) -> Lost:
    """Lose the last of three servers, at which a request of the first one waits; return when that was found."""
    near, other, far = fleet
    lost = Lost()
    async with (
        near.client() as client,
        near.client() as requester,
        other.client() as claimant,
        other.client() as subscriber,
        subscriber.subscribe_bytes(TOPIC),
        trio.open_nursery() as nursery,
    ):
        asked = trio.Event()
        await nursery.start(occupy, far, asked)

        async def ask() -> None:
            with pytest.raises(t2bus.ServiceGone):
                await requester.request_bytes(SERVICE, b"")
            lost.gone = time.monotonic()

        async def claim() -> None:
            lost.freed = await claimed(claimant, SERVICE)

        assert await client.publish_bytes(TOPIC, b"") == 2
        async with trio.open_nursery() as finding:
            finding.start_soon(ask)
            await asked.wait()
            lost.at = await lose()
            finding.start_soon(claim)
            lost.uncounted = await reaches(client, 1, TOPIC)
        nursery.cancel_scope.cancel()
    return lost


async def test_a_killed_server_is_found_at_once(folder: Path, measured: Measured) -> None:
    """Its subscribers are counted no more, what it served is free, and a request to it raises ``ServiceGone``."""
    async with open_fleet(folder, 3) as fleet:

        async def kill() -> float:
            at = fleet[2].send(signal.SIGKILL)
            await fleet[2].child.ended()
            return at

        lost = await find(fleet, kill)
    measured.at_most("a server is killed: not counted any more after", lost.uncounted - lost.at, 1.0, "s")
    measured.at_most("a server is killed: its claims are free after", lost.freed - lost.at, 1.0, "s")
    measured.at_most("a server is killed: ServiceGone after", lost.gone - lost.at, 1.0, "s")


async def test_a_frozen_server_is_found_after_the_lease(folder: Path, measured: Measured) -> None:
    """The same happens when the lease of a server that is stopped is over, and no later."""
    async with open_fleet(folder, 3) as fleet:
        lost = await find(fleet, fleet[2].stop)
        fleet[2].send(signal.SIGCONT)
        await met(fleet)
    bound = LEASE + SLACK
    measured.at_most("a server is frozen: not counted any more after", lost.uncounted - lost.at, bound, "s")
    measured.at_most("a server is frozen: its claims are free after", lost.freed - lost.at, bound, "s")
    measured.at_most("a server is frozen: ServiceGone after", lost.gone - lost.at, bound, "s")


@frozen
class Published:
    """What a publisher saw of one publication."""

    count: int
    seconds: float


async def publish_on(client: t2bus.Client, published: list[Published]) -> None:
    """Publish one number after the other, each when the one before is counted."""
    await publish_until(lambda: False, client, published, TOPIC)


async def publish_until(
    condition: Callable[[], bool], client: t2bus.Client, published: list[Published], topic: str
) -> None:
    """Do so until this is so."""
    while not condition():
        started = time.monotonic()
        count = await client.publish_bytes(topic, b"%d" % len(published))
        published.append(Published(count, time.monotonic() - started))
        await trio.sleep(0.001)


async def take_on(server: Server, taken: list[int], *, task_status: trio.TaskStatus[None]) -> NoReturn:
    """Take what is published, for ever."""
    async with server.client() as client, client.subscribe_bytes(TOPIC) as messages:
        task_status.started()
        while True:
            with suppress(t2bus.Lagged):
                taken += [int(message.body) for message in await messages.receive_batch()]


async def take_batches(server: Server, arrivals: list[float], *, task_status: trio.TaskStatus[None]) -> NoReturn:
    """Take what is published, for ever, and note when it came."""
    async with server.client() as client, client.subscribe_bytes(TOPIC) as messages:
        task_status.started()
        while True:
            arrivals += [time.monotonic()] * len(await messages.receive_batch())


async def test_publishers_wait_once_for_a_frozen_server(folder: Path, measured: Measured) -> None:
    """They wait for the lease at most, once; frozen and back, the server's subscribers are given nothing twice."""
    published: list[Published] = []
    taken: list[list[int]] = [[], []]
    async with open_fleet(folder, 3) as fleet, fleet[0].client() as client, trio.open_nursery() as nursery:
        far = fleet[2]
        for server, numbers in zip(fleet[1:], taken, strict=True):
            await nursery.start(take_on, server, numbers)
        nursery.start_soon(publish_on, client, published)
        await some_more(published, 100, 2)
        await far.stop()
        await some_more(published, 100, 1)
        far.send(signal.SIGCONT)
        await some_more(published, 100, 2)
        nursery.cancel_scope.cancel()
    waits = [each.seconds for each in published if each.seconds > LEASE / 4]
    measured.at_most("a server is frozen: publications elsewhere that wait", len(waits), 1)
    measured.at_most("a server is frozen: the longest that one waits", max(waits, default=0.0), LEASE + SLACK, "s")
    assert all(numbers == sorted(set(numbers)) for numbers in taken)
    # The one that stays is given everything.
    assert taken[0] == list(range(taken[0][-1] + 1))
    counts = [each.count for each in published]
    measured.exactly("a server was frozen: counted there and not received", missing(counts, taken[1]), 0)


async def test_a_flood_waits_once_for_a_frozen_server(folder: Path, measured: Measured) -> None:
    """Paced publications that are more than fits on the way to a frozen server wait for the lease, and then go on."""
    arrivals: list[float] = []

    async def publish(client: t2bus.Client) -> NoReturn:
        async with client.open_bytes_publisher(TOPIC) as publisher:
            while True:
                await publisher.send(BODY)

    async with open_fleet(folder, 3) as fleet, fleet[0].client() as client, trio.open_nursery() as nursery:
        frozen: list[float] = []
        await nursery.start(take_batches, fleet[1], arrivals)
        await nursery.start(take_batches, fleet[2], frozen)
        nursery.start_soon(publish, client)
        await come_until(lambda: len(arrivals) > FLOOD)
        place = len(arrivals) - 1
        await fleet[2].stop()
        await come_until(lambda: arrivals[-1] - arrivals[place] > LEASE + SLACK)
        fleet[2].send(signal.SIGCONT)
        nursery.cancel_scope.cancel()
    gaps = [after - before for before, after in pairwise(arrivals[place:])]
    measured.at_most("a server is frozen in a flood: another receives nothing for", max(gaps), LEASE + SLACK, "s")
    measured.at_most("a server is frozen in a flood: such gaps", sum(gap > LEASE / 4 for gap in gaps), 1)


@pytest.mark.parametrize("size", [100, 10_000])
async def test_who_needs_no_other_server_does_not_wait(folder: Path, measured: Measured, size: int) -> None:
    """A server goes on serving its own clients while another one is frozen that much is published to."""
    alone: list[Published] = []
    arrivals: list[float] = []

    async def flood(client: t2bus.Client) -> NoReturn:
        async with client.open_bytes_publisher(TOPIC) as publisher:
            while True:
                await publisher.send_batch([bytes(size)] * 50)

    async with (
        open_fleet(folder, 2) as fleet,
        fleet[0].client() as client,
        fleet[0].client() as other,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(take_batches, fleet[1], arrivals)
        nursery.start_soon(flood, client)
        await publish_until(lambda: len(alone) > FLOOD and len(arrivals) > FLOOD, other, alone, "here/alone")
        place = len(alone)
        stopped = await fleet[1].stop()
        await publish_until(lambda: time.monotonic() - stopped > LEASE + SLACK, other, alone, "here/alone")
        fleet[1].send(signal.SIGCONT)
        nursery.cancel_scope.cancel()
    longest = max(each.seconds for each in alone[place:])
    measured.at_most(f"a server is frozen in a flood of {size:,} B: who does not need it waits for", longest, 0.5, "s")


async def some_more(published: Sequence[Published], more: int, count: int) -> None:
    """Wait until so many more in a row were counted so often."""
    place = len(published)
    await come_until(
        lambda: len(published) >= place + more and all(each.count == count for each in published[-more:]),
    )


def missing(counts: Sequence[int], taken: Sequence[int]) -> int:
    """Return how many were counted at both servers and not received, up to the last that was."""
    got = set(taken)
    return sum(count == 2 and number not in got for number, count in enumerate(counts[: taken[-1] + 1]))
