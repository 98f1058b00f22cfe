"""Processes that are killed with ``kill -9``, two hundred of each kind, while others publish as fast as they can."""

from __future__ import annotations

import contextlib
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest
import trio
from attrs import frozen

import t2bus
from faults.children import open_child
from faults.talkers import hold, load, payload, publish_on, serve_bus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from faults.children import Child, Program
    from faults.measured import Measured

KILLS: Final = 200
AT_ONCE: Final = 10
"""Victims that live at the same time."""
CALLS: Final = 3
"""Requests that wait for each responder that is killed."""

CLAIM_FREE: Final = 100.0
CALL_RAISES: Final = 200.0
"""Milliseconds after which what a process held is free, and after which who waits for it knows."""


@frozen
class Loaded:
    """A bus in another process under load, and a client of it in this one."""

    address: str
    client: t2bus.Client

    async def left(self) -> tuple[int, ...]:
        """Return what is registered with the bus."""
        status = await self.client.request("", t2bus.status.StatusRequest())
        return status.connections, status.subscriptions, status.services, status.requests_pending


@pytest.fixture
async def loaded(folder: Path) -> AsyncGenerator[Loaded, None]:
    address = f"unix:{folder}/bus"
    async with open_child(serve_bus, address) as bus:
        await bus.heard("ready")
        async with t2bus.open_client(address) as client, open_child(load, address) as loading:
            await loading.heard("ready")
            yield Loaded(address, client)


@asynccontextmanager
async def open_victims(program: Program, address: str, start: int, said: str) -> AsyncGenerator[dict[str, Child], None]:
    """Start some programs that claim a topic each, and wait until all have said that they are at work."""
    async with AsyncExitStack() as stack:
        victims = {
            topic: await stack.enter_async_context(open_child(program, address, topic))
            for topic in (f"victim/{number}" for number in range(start, start + AT_ONCE))
        }
        for victim in victims.values():
            await victim.heard(said)
        yield victims


async def claim(client: t2bus.Client, topic: str) -> float:
    """Claim a topic as soon as that is possible, and return when it was."""
    with trio.fail_after(10):
        while True:
            try:
                async with client.serve_bytes(topic):
                    return time.monotonic()
            except t2bus.TopicClaimed:
                await trio.sleep(0.001)


def worst(measured: Measured, name: str, seconds: list[float], bound: float) -> None:
    """Take the worst of many times, and the usual one beside it."""
    middle = sorted(seconds)[len(seconds) // 2]
    measured.beside(f"{name}, median of {len(seconds)}", middle * 1000, "ms")
    measured.at_most(f"{name}, worst of {len(seconds)}", max(seconds) * 1000, bound, "ms")


async def test_promise_07_what_killed_responders_held_is_free_at_once(loaded: Loaded, measured: Measured) -> None:
    """When responders are killed their requesters know within 200 ms, and their topics are free within 100 ms."""
    free: list[float] = []
    raised: list[float] = []
    killed: dict[str, float] = {}
    before = await loaded.left()

    async def ask(topic: str) -> None:
        with pytest.raises(t2bus.ServiceGone):
            await loaded.client.request_bytes(topic, b"")
        raised.append(time.monotonic() - killed[topic])

    for start in range(0, KILLS, AT_ONCE):
        async with open_victims(hold, loaded.address, start, "serving") as victims, trio.open_nursery() as nursery:
            for topic, victim in victims.items():
                for _ in range(CALLS):
                    nursery.start_soon(ask, topic)
                for _ in range(CALLS):
                    await victim.heard("asked")
            for topic, victim in victims.items():
                killed[topic] = victim.kill()
                free.append(await claim(loaded.client, topic) - killed[topic])
    assert await loaded.left() == before
    assert len(raised) == KILLS * CALLS
    worst(measured, "kill -9 of a responder: its topic is free", free, CLAIM_FREE)
    worst(measured, "kill -9 of a responder: its requesters know", raised, CALL_RAISES)


async def test_promise_07_what_killed_clients_sent_is_whole(loaded: Loaded, measured: Measured) -> None:
    """Of clients killed while they write all that arrives is whole, no gap is silent, and their topics are free."""
    free: list[float] = []
    seen: dict[str, int] = {}
    before = await loaded.left()

    async def take(messages: t2bus.Subscription[bytes]) -> None:
        told = 0
        async for item in messages.items():
            match item:
                case t2bus.Received(topic=topic, body=body):
                    number = int(body[:8])
                    told -= number - seen.get(topic, -1) - 1
                    assert told >= 0
                    assert body == payload(number)
                    seen[topic] = number
                case t2bus.Lagged(dropped=int(dropped)):  # what was held when its publisher died is told of too
                    told += dropped
                case _:
                    raise item

    async with loaded.client.subscribe_bytes("victim/*") as messages, trio.open_nursery() as nursery:
        nursery.start_soon(take, messages)
        for start in range(0, KILLS, AT_ONCE):
            async with open_victims(publish_on, loaded.address, start, "publishing") as victims:
                for topic, victim in victims.items():
                    killed_at = victim.kill()
                    free.append(await claim(loaded.client, topic) - killed_at)
        nursery.cancel_scope.cancel()
    assert await loaded.left() == before
    assert len(seen) == KILLS
    worst(measured, "kill -9 of a client: its topic is free", free, CLAIM_FREE)
    measured.beside("kill -9 of a client: messages of theirs that came, all whole", sum(seen.values()) + KILLS)


# --- the bus

LANES: Final = 4
"""Buses that are killed side by side, each with clients of its own."""


async def in_lanes(run: Callable[[str, int], Awaitable[None]], folder: Path) -> None:
    """Share all kills among lanes, each with an address of its own."""
    async with trio.open_nursery() as nursery:
        for lane in range(LANES):
            nursery.start_soon(run, f"unix:{folder}/bus{lane}", KILLS // LANES)


async def test_promise_11_calls_that_wait_when_their_bus_is_killed_raise(folder: Path, measured: Measured) -> None:
    """Calls of every kind that wait when the bus is killed under load raise ``Disconnected`` within 200 ms."""
    raised: list[float] = []

    async def kill_often(address: str, kills: int) -> None:
        for _ in range(kills):
            async with open_child(serve_bus, address) as bus:
                await bus.heard("ready")
                raised.extend(await kill_under(address, bus))

    await in_lanes(kill_often, folder)
    assert len(raised) == KILLS * len(WAITS)
    worst(measured, "kill -9 of the bus: calls that wait raise", raised, CALL_RAISES)


async def kill_under(address: str, bus: Child) -> list[float]:
    """Kill a bus under load while a client waits in every way, and return how long after that each call has raised."""
    ended: list[float] = []

    async def wait(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(t2bus.Disconnected):
            await call()
        ended.append(time.monotonic())

    one = t2bus.Limits(publisher_messages=1)
    async with (
        open_child(load, address) as loading,
        t2bus.open_client(address) as other,
        t2bus.open_client(address, limits=one) as client,
        other.serve_bytes("never") as requests,
        other.subscribe_bytes("held", messages=1),
        client.subscribe_bytes("idle") as messages,
        client.serve_bytes("idle") as idle,
        AsyncExitStack() as stack,
    ):
        await loading.heard("ready")
        publisher = await stack.enter_async_context(silenced(client.open_bytes_publisher("held")))
        for _ in range(2):
            await publisher.send(b"")
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "request": lambda: client.request_bytes("never", b""),
            "receive a message": messages.receive,
            "receive a request": idle.receive,
            "send": lambda: publisher.send(b""),
        }
        assert list(calls) == WAITS
        async with trio.open_nursery() as nursery:
            for call in calls.values():
                nursery.start_soon(wait, call)
            await requests.receive()
            killed_at = bus.kill()
    return [at - killed_at for at in ended]


WAITS: Final = ["request", "receive a message", "receive a request", "send"]


@asynccontextmanager
async def silenced(publisher: t2bus.Publisher[bytes]) -> AsyncGenerator[t2bus.Publisher[bytes], None]:
    """Open a publisher that may end with its bus."""
    with contextlib.suppress(t2bus.Disconnected):
        async with publisher:
            yield publisher
