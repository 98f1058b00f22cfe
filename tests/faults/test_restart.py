"""Fleets of reconnecting clients whose bus is killed with ``kill -9`` and comes back, two hundred times."""

from __future__ import annotations

import contextlib
import random
import time
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

import t2bus
from faults.children import open_child
from faults.talkers import serve_bus

if TYPE_CHECKING:
    from pathlib import Path

    from faults.measured import Measured

KILLS: Final = 200
LANES: Final = 4
"""Buses that are killed side by side, each with a fleet of its own."""

MEMBERS: Final = 5
PAUSE: Final = 0.02
"""Seconds between two messages of a member."""

DOWN: Final = 0.2
"""Seconds for which a bus is away, at most."""

CALL_RAISES: Final = 200.0
WHOLE: Final = 1000.0
"""Milliseconds after which calls that wait know of the end of their bus, and after which a fleet is as it was."""


@define(eq=False)
class Member:
    """A client of a fleet: it serves, subscribes, publishes, and has a request pending at all times."""

    number: int
    address: str
    opened: trio.Event = field(factory=trio.Event)
    client: t2bus.Client = field(init=False)
    raised: trio.Event = field(factory=trio.Event)
    """Set when the request that was pending has ended with its bus."""
    raised_at: float = 0.0
    lags: int = 0
    """How often the subscription was told that it may have missed something."""

    @property
    def next(self) -> int:
        """The number of the member that it asks."""
        return (self.number + 1) % MEMBERS

    async def run(self) -> None:
        """Be a member, over all restarts."""
        async with (
            t2bus.open_client(self.address, reconnect=t2bus.Reconnect(first=0.1, longest=0.5)) as client,
            client.subscribe_bytes("all") as messages,
            trio.open_nursery() as nursery,
        ):
            self.client = client
            await nursery.start(client.serve_bytes_with, f"echo/{self.number}", echo)
            await nursery.start(client.serve_bytes_with, f"never/{self.number}", never)
            nursery.start_soon(self.take, messages)
            nursery.start_soon(self.publish)
            nursery.start_soon(self.ask)
            self.opened.set()

    async def take(self, messages: t2bus.Subscription[bytes]) -> None:
        """See that what each member publishes comes in order, and that no gap is silent."""
        last: dict[bytes, int] = {}
        async for item in messages.items():
            match item:
                case t2bus.Received(body=body) if body:
                    member, _, number = body.partition(b" ")
                    assert int(number) == last.get(member, int(number) - 1) + 1
                    last[member] = int(number)
                case t2bus.Lagged():
                    assert item.dropped is None
                    self.lags += 1
                    last.clear()

    async def publish(self) -> None:
        """Publish a number every now and then."""
        number = 0
        while True:
            with contextlib.suppress(t2bus.Disconnected):
                await self.client.publish_bytes("all", b"%d %d" % (self.number, number))
            number += 1
            await trio.sleep(PAUSE)

    async def ask(self) -> None:
        """Have a request pending that is never answered."""
        while True:
            try:
                await self.client.request_bytes(f"never/{self.next}", b"")
            except t2bus.Disconnected:
                self.raised_at = time.monotonic()
                self.raised.set()
            except (t2bus.ServiceNotFound, t2bus.ServiceGone):
                await trio.sleep(0.01)

    async def whole(self) -> None:
        """Wait until it reaches all members by publishing, and the next one by a request."""
        await self.opened.wait()
        while True:
            try:
                reached = await self.client.publish_bytes("all", b"")
                answer = await self.client.request_bytes(f"echo/{self.next}", b"hello")
            except (t2bus.ServiceNotFound, t2bus.ServiceGone, t2bus.Disconnected):
                pass
            else:
                if reached == MEMBERS and answer == b"hello":
                    return
            await trio.sleep(0.02)


async def echo(body: bytes) -> bytes:
    await trio.lowlevel.checkpoint()
    return body


async def never(body: bytes) -> bytes:
    await trio.sleep_forever()
    raise AssertionError


async def all_whole(members: list[Member]) -> float:
    """Wait until a fleet is whole, and return when it is."""
    async with trio.open_nursery() as nursery:
        for member in members:
            nursery.start_soon(member.whole)
    return time.monotonic()


async def all_pending(address: str) -> None:
    """Wait until each member has a request pending."""
    async with t2bus.open_client(address) as client:
        while True:
            status = await client.request("", t2bus.status.StatusRequest())
            if status.requests_pending >= MEMBERS:
                return
            await trio.sleep(0.005)


@define(eq=False)
class Times:
    """What was measured, in seconds."""

    raised: list[float] = field(factory=list)
    whole: list[float] = field(factory=list)


async def restart_often(address: str, times: Times) -> None:
    """Kill a bus under its fleet and start it again, as often as it is this lane's turn."""
    chance = random.Random(address)
    members = [Member(number, address) for number in range(MEMBERS)]
    async with trio.open_nursery() as nursery:
        for member in members:
            nursery.start_soon(member.run)
        for _ in range(KILLS // LANES):
            async with open_child(serve_bus, address) as bus:
                up_at = (await bus.heard("ready")).at
                with trio.fail_after(10):
                    times.whole.append(await all_whole(members) - up_at)
                    await all_pending(address)
                    for member in members:
                        member.raised = trio.Event()
                    killed_at = bus.kill()
                    for member in members:
                        await member.raised.wait()
                times.raised += [member.raised_at - killed_at for member in members]
            await trio.sleep(chance.uniform(0, DOWN))
        nursery.cancel_scope.cancel()
    assert all(member.lags >= KILLS // LANES - 1 for member in members)


async def test_a_fleet_is_whole_soon_after_its_bus_is_back(folder: Path, measured: Measured) -> None:
    """Within a second of a bus that was killed being back, all clients have their subscriptions and services again."""
    times = Times()
    async with trio.open_nursery() as nursery:
        for lane in range(LANES):
            nursery.start_soon(restart_often, f"unix:{folder}/bus{lane}", times)
    for name, seconds, bound in (
        ("kill -9 of the bus: pending requests of its fleet raise", times.raised, CALL_RAISES),
        ("kill -9 of the bus: its fleet is whole again", times.whole, WHOLE),
    ):
        measured.beside(f"{name}, median of {len(seconds)}", sorted(seconds)[len(seconds) // 2] * 1000, "ms")
        measured.at_most(f"{name}, worst of {len(seconds)}", max(seconds) * 1000, bound, "ms")
