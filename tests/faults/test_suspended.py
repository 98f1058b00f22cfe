"""Machines that sleep: an end that was stopped for longer than ``Limits.silence`` drops nobody for that.

A machine may sleep with a bus, with clients, or with both, and here all sleep through the same half minute. An end that
stays awake finds a peer that sleeps as silent as one that is gone, and gives it up in 25 s, unless its own limits are
more patient than that.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import trio

import t2bus
from faults.processes import limits, open_program, open_served

if TYPE_CHECKING:
    from pathlib import Path

    from faults.measured import Measured

ASLEEP: Final = 30.0
SETTLED: Final = 3.0
"""Seconds behind the end of the sleep in which a wrong verdict would fall: each side looks once a second."""

FOUND: Final = 25.0
PATIENT: Final = t2bus.Limits(silence=60.0, write_stall=60.0)


async def ids(client: t2bus.Client) -> set[int]:
    """Return the numbers of all connections; none is given twice."""
    return {each.id for each in await t2bus.status.clients(client)}


async def notice(address: str, found: list[float], task_status: trio.TaskStatus[None]) -> None:
    """Be a client with the usual limits; keep when it found that its bus has gone."""
    async with t2bus.open_client(address) as client, client.subscribe_bytes("fault/none") as messages:
        task_status.started()
        try:
            await messages.receive()
        except t2bus.Disconnected:
            found.append(trio.current_time())


async def test_machines_that_sleep(folder: Path, measured: Measured) -> None:
    """A bus or a client that was stopped for 30 s drops no peer, and a client that stays awake finds its bus silent."""
    found: list[float] = []
    async with (
        open_served(folder, name="asleep") as asleep,
        open_served(folder, *limits(silence=60, write_stall=60), name="awake") as awake,
        # On the machine of the bus that sleeps, and on a machine of its own.
        open_program("responder", asleep.address, "fault/echo") as beside,
        open_program("responder", awake.address, "fault/echo") as alone,
        t2bus.open_client(asleep.address, limits=PATIENT) as one,
        t2bus.open_client(awake.address) as other,
        trio.open_nursery() as nursery,
    ):
        before = await ids(one), await ids(other)
        await nursery.start(partial(notice, asleep.address, found))
        for each in (beside, alone, asleep):
            await each.stop()
        begun = trio.current_time()
        await trio.sleep(ASLEEP)
        for each in (asleep, beside, alone):
            each.go_on()
        await trio.sleep(SETTLED)
        with trio.fail_after(10):
            assert await one.request_bytes("fault/echo", b"x") == b"x"
            assert await other.request_bytes("fault/echo", b"x") == b"x"
        after = await ids(one), await ids(other)
        nursery.cancel_scope.cancel()
    measured.exactly("asleep for 30 s: peers dropped by a bus, and by clients", len(before[0] - after[0]), 0)
    measured.exactly("asleep for 30 s: peers dropped by a client that slept alone", len(before[1] - after[1]), 0)
    measured.at_most("asleep for 30 s: until a client that was awake found it", found[0] - begun, FOUND, "s")
