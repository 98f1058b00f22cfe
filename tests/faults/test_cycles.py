"""Ten thousand clients that come, do everything and drop: nothing of them is left in the bus."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import attrs
import trio

from bus_helpers import RawPeer
from faults.measured import MIB, times
from faults.processes import limits, open_served
from t2bus.wire import messages as m
from t2bus.wire import native

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import t2bus
    from faults.measured import Measured
    from faults.processes import Served

WARM_UP: Final = 3000
CYCLES: Final = 10_000
AT_ONCE: Final = 8
TOPICS: Final = 1000
"""Topics that are published to in turn: the bus remembers those of late, for ``bus/topics``."""

LEFT: Final = (
    "connections",
    "newcomers",
    "subscriptions",
    "services",
    "requests_pending",
    "deliveries_held",
    "buffered_bytes",
    "incoming_bytes",
)


async def cycle(path: str, number: int) -> None:
    """Connect, subscribe, claim, publish, request and answer, and drop with another request not answered."""
    async with await trio.open_unix_socket(path) as stream:
        peer = RawPeer(stream, native.decode_server_messages)
        await peer.shake_hands()
        topic, service = f"cycle/t{number % TOPICS}", f"cycle/s{number}"
        await peer.send(
            m.Subscribe(1, topic, 10, 1000),
            m.Claim(2, service, 10, 1000),
            m.Publish(3, False, m.Publication(topic, b"x")),
            m.Ask(4, None, service, b"x"),
        )
        call = await peer.expect(m.Call)
        await peer.send(m.Respond(call.id, b"y"))
        await peer.expect(m.Response)
        await peer.send(m.Ask(5, None, service, b"x"))
        await peer.expect(m.Call)


async def run_all(path: str, numbers: Iterator[int]) -> None:
    """Run a cycle for each of the numbers, several at once."""

    async def run() -> None:
        for number in numbers:
            with trio.fail_after(10):
                await cycle(path, number)

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(run)


async def left(served: Served) -> dict[str, int]:
    """Return what there is in the bus when nothing changes any more."""
    kept = partial(_kept, served)
    before = await kept()
    with trio.fail_after(10):
        while (after := await kept()) != before or after["newcomers"]:
            before = after
            await trio.sleep(0.05)
    return after


async def _kept(served: Served) -> dict[str, int]:
    status: t2bus.status.Status = await served.status()
    return {name: value for name, value in attrs.asdict(status).items() if name in LEFT}


async def test_cycles_leave_nothing(folder: Path, measured: Measured) -> None:
    """After ten thousand clients the router is empty, no descriptor is open, and memory is as before."""
    count = times(CYCLES)
    numbers = iter(range(WARM_UP + count))
    path = f"{folder}/bus"
    async with open_served(folder, *limits(accepts=1_000_000)) as served:
        await run_all(path, iter([next(numbers) for _ in range(WARM_UP)]))
        empty, files, memory = await left(served), served.files(), served.memory()
        await run_all(path, numbers)
        now = await left(served)
        assert now == empty
        others = sum(now.values()) - 1  # beside the connection of whoever asks
        measured.exactly(f"{count:,} cycles: left in the router", others, 0)
        measured.exactly(f"{count:,} cycles: descriptors more than before", served.files() - files, 0)
        measured.at_most(f"{count:,} cycles: memory more than before", (served.memory() - memory) / MIB, 2, "MiB")
