"""Three servers that are well: one bus, whichever of them a client is connected to."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest
import trio
from attrs import frozen

import t2bus
from faults.measured import quantile
from federation.servers import LEASE, claimed, endpoint, free_ports, members, met, open_fleet, running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from faults.measured import Measured

ROUNDS: Final = 300
"""Claims of one topic each, by three clients at once."""

NUMBERS: Final = 5_000
"""Messages whose order is looked at."""

BATCH: Final = 250


@frozen
class Reading(t2bus.PublishProtocol, prefix="lab"):
    """What is published."""

    value: int


@asynccontextmanager
async def clients(folder: Path, count: int = 3) -> AsyncGenerator[list[t2bus.Client], None]:
    """Give a client of each of so many servers."""
    async with open_fleet(folder, count) as fleet, AsyncExitStack() as stack:
        yield [await stack.enter_async_context(server.client()) for server in fleet]


async def test_what_is_published_reaches_all_servers(folder: Path, measured: Measured) -> None:
    """A typed message published at any server reaches the subscribers of all, and its count is of all."""
    async with clients(folder) as three, AsyncExitStack() as stack:
        subscriptions = [await stack.enter_async_context(client.subscribe(Reading, "oven")) for client in three]
        counts = [await client.publish("oven", Reading(number)) for number, client in enumerate(three)]
        taken = [sorted([(await each.receive()).body.value for _ in three]) for each in subscriptions]
    measured.exactly("a subscriber at each of 3 servers: counted of 3 publications", sum(counts), 9)
    assert taken == [[0, 1, 2]] * 3


@pytest.mark.parametrize(
    ("subscription", "published"), [("lab/*", "lab/a"), ("**/b", "lab/a/b"), ("lab/a/b", "*/a/*"), ("*/a", "lab/**")]
)
async def test_wildcards_match_on_both_sides(folder: Path, subscription: str, published: str) -> None:
    """Wildcards match across servers as they do within one, in what is subscribed to and in what is published."""
    async with clients(folder, 2) as (near, far), far.subscribe_bytes(subscription) as messages:
        assert await near.publish_bytes(published, b"1") == 1
        assert await near.publish_bytes("elsewhere", b"2") == 0
        assert (await messages.receive()).body == b"1"


async def _send_all(publisher: t2bus.Publisher[bytes], payloads: Sequence[bytes]) -> None:
    for place in range(0, len(payloads), BATCH):
        await publisher.send_batch(payloads[place : place + BATCH])


async def test_order_holds_across_servers(folder: Path, measured: Measured) -> None:
    """What one client publishes is received at another server in its order, and counted to the last message."""
    wanted = [b"%d" % number for number in range(NUMBERS)]
    async with (
        clients(folder, 2) as (near, far),
        far.subscribe_bytes("lab/numbers") as messages,
        near.open_bytes_publisher("lab/numbers") as publisher,
    ):
        taken: list[bytes] = []
        started = time.monotonic()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_all, publisher, wanted)
            while len(taken) < NUMBERS:
                taken += [message.body for message in await messages.receive_batch()]
        seconds = time.monotonic() - started
    assert taken == wanted
    measured.beside(
        f"2 servers: {NUMBERS:,} messages in batches of {BATCH}, received at", NUMBERS / seconds, "a second"
    )


async def race(claimants: Sequence[t2bus.Client], topic: str) -> tuple[int, float]:
    """Have all claim a topic at once; return how many got it, and the seconds that the first of them waited."""
    won: list[float] = []
    lost: list[t2bus.Client] = []
    all_tried = trio.Event()

    def note() -> None:
        if len(won) + len(lost) == len(claimants):
            all_tried.set()

    async def claim(client: t2bus.Client) -> None:
        started = time.monotonic()
        try:
            async with client.serve_bytes(topic):
                won.append(time.monotonic() - started)
                note()
                await all_tried.wait()
        except t2bus.TopicClaimed:
            lost.append(client)
            note()

    async with trio.open_nursery() as nursery:
        for client in claimants:
            nursery.start_soon(claim, client)
    return len(won), min(won, default=0.0)


async def test_three_that_claim_at_once_have_one_winner(folder: Path, measured: Measured) -> None:
    """Of three clients of three servers that claim one topic at the same moment exactly one has it, in each round."""
    async with clients(folder) as three:
        outcomes = [await race(three, f"race/{number}") for number in range(ROUNDS)]
    ones = sum(winners == 1 for winners, _ in outcomes)
    measured.exactly(f"three claims at once, {ROUNDS} times: with one winner", ones, ROUNDS)
    measured.beside(
        "three claims at once: accepted after, p50", 1e3 * quantile([each for _, each in outcomes], 0.5), "ms"
    )


async def test_requests_find_their_service_at_another_server(folder: Path, measured: Measured) -> None:
    """A request is answered by a service of another server; one that nobody serves is refused at once."""

    async def answer(requests: t2bus.Requests[bytes, bytes]) -> None:
        async for request in requests:
            await request.respond(request.body + b"!")

    async with (
        clients(folder, 2) as (near, far),
        far.serve_bytes("lab/echo") as requests,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer, requests)
        assert await near.request_bytes("lab/echo", b"1") == b"1!"
        started = time.monotonic()
        with pytest.raises(t2bus.ServiceNotFound):
            await near.request_bytes("lab/nobody", b"1")
        measured.at_most("2 servers: refused that nobody serves it after", time.monotonic() - started, 0.5, "s")
        nursery.cancel_scope.cancel()


async def test_each_server_tells_of_itself_through_any(folder: Path, measured: Measured) -> None:
    """A client of any server is told by each of them who is connected there, as that tells its own clients."""
    async with clients(folder) as three:
        own = [await t2bus.status.status(client) for client in three]
        started = time.monotonic()
        told = [
            [[each.id for each in await t2bus.status.clients(client, server=other.node)] for other in own]
            for client in three
        ]
        taken = (time.monotonic() - started) / len(own) ** 2
        assert [[each.id for each in await t2bus.status.clients(client)] for client in three] == told[0]
    measured.exactly("3 servers: told the same of each through all", sum(each == told[0] for each in told), len(own))
    measured.beside("3 servers: a page of clients, through any, mean", 1e3 * taken, "ms")


async def test_a_topic_is_served_once_among_all(folder: Path) -> None:
    """A topic that is served at one server cannot be claimed at another, until its service ends."""
    async with clients(folder, 2) as (near, far):
        async with far.serve_bytes("lab/one"):
            with pytest.raises(t2bus.TopicClaimed):
                async with near.serve_bytes("lab/one"):
                    pass
        with trio.fail_after(5):
            await claimed(near, "lab/one")


async def test_buses_of_two_names_never_mix(folder: Path) -> None:
    """Servers that have those of a bus of another name for seeds meet their own alone."""
    endpoints = [endpoint(port) for port in free_ports(4)]
    plant = members(folder, 2, endpoints=endpoints[:2], seeds=endpoints)
    office = members(folder, 2, bus="office", endpoints=endpoints[2:], seeds=endpoints)
    async with running(plant), running(office), plant[0].client() as here, office[0].client() as there:
        async with here.subscribe_bytes("lab/a"), there.serve_bytes("lab/one"):
            assert await there.publish_bytes("lab/a", b"") == 0
            with pytest.raises(t2bus.ServiceNotFound):
                await here.request_bytes("lab/one", b"")
            # They have been connected for long enough to have met, and still each reaches its own two.
            await trio.sleep(2 * LEASE)
            assert await there.publish_bytes("lab/a", b"") == 0
        await met(plant)
        await met(office)
