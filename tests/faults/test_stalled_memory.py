"""A hundred subscribers that take nothing: what a bus keeps for them is bounded, however long it lasts."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import trio

import t2bus
from faults.measured import MIB, lasting
from faults.processes import limits, open_program, open_served

if TYPE_CHECKING:
    from pathlib import Path

    from faults.measured import Measured
    from faults.processes import Served

COUNT: Final = 100
SIZES: Final = (100, 4096)
"""Of the payloads of every other subscriber: small ones cost the most beside their bytes."""

BLOCK: Final = 256
"""Messages that are published to one subscriber before it is another's turn."""


async def publish_all(client: t2bus.Client) -> None:
    """Publish to each of the stalled ones in turn, until cancelled; payloads are such as nothing compresses."""
    payloads = [random.Random(7).randbytes(size) for size in SIZES]
    while True:
        for number in range(COUNT):
            async with client.open_bytes_publisher(f"stalled/{number}", paced=False) as publisher:
                await publisher.send_batch([payloads[number % 2]] * BLOCK)


async def worst_gap(client: t2bus.Client) -> float:
    """Return how long a bystander's publication took to come back to it, at worst of a hundred."""
    worst = 0.0
    async with client.subscribe_bytes("bystander") as messages:
        for _ in range(100):
            begun = trio.current_time()
            await client.publish_bytes("bystander", b"")
            await messages.receive()
            worst = max(worst, trio.current_time() - begun)
    return worst


async def highest_memory(served: Served, seconds: float) -> int:
    """Return the most memory that the bus had in that time."""
    highest = 0
    with trio.move_on_after(seconds):
        while True:
            highest = max(highest, served.memory())
            await trio.sleep(0.1)
    return highest


async def test_stalled_subscribers_cost_bounded_memory(folder: Path, measured: Measured) -> None:
    """With a hundred subscribers that take nothing of what is published to them the bus stays within its total."""
    async with (
        open_served(folder, *limits(write_stall=3600)) as served,
        open_program("stalled", served.address, COUNT) as stalled,
        t2bus.open_client(served.address) as client,
        t2bus.open_client(served.address) as bystander,
        trio.open_nursery() as nursery,
    ):
        base = served.memory()
        total = t2bus.Limits().total_bytes
        nursery.start_soon(publish_all, client)
        highest = await highest_memory(served, lasting(30))
        gap = min([await worst_gap(bystander) for _ in range(3)])
        status = await bystander.request("", t2bus.status.StatusRequest())
        nursery.cancel_scope.cancel()
    assert await stalled.command.process.wait() == -9, "the stalled subscribers ended by themselves"
    name = f"{COUNT} stalled subscribers"
    measured.at_most(f"{name}: memory of the bus", highest / MIB, (base + 1.2 * total) / MIB, "MiB")
    assert status.dropped, "nobody's window was spent: nothing was shown"
    measured.beside(f"{name}: what waits for them", status.buffered_bytes / MIB, "MiB")
    measured.beside(f"{name}: worst round trip of a bystander, best of three", 1000 * gap, "ms")
