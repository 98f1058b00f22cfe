"""The wall clock is set forwards and back while a bus serves: it lives by the monotonic one, and so do its clients.

Nobody sets the clock of a machine that runs tests. A library of a few lines, loaded into the processes of this test,
adds to the wall clock, and to no other, what a file says.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
import trio

import t2bus
from faults.measured import lasting
from faults.processes import PROGRAMS, limits, open_program, open_served

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from faults.measured import Measured
    from faults.processes import Served

TOPIC: Final = "fault/clock"
DAY: Final = 86_400
STEPS: Final = (DAY, -DAY, 3600, 3600 - DAY, 400 * DAY, -1, 0)
"""Seconds that the clock is off, one after the other."""

WAIT: Final = 0.4
"""Seconds until the next step: what is due by a clock that was set would be due at once, or never."""

HASTY: Final = limits(ping_interval=0.5, silence=1.5, write_stall=1, request_lifetime=2, handshake_time=1)


@pytest.fixture
def clock_file(tmp_path: Path) -> Path:
    """Give the file that says how many seconds the clock is off."""
    path = tmp_path / "step"
    path.write_bytes(bytes(8))
    return path


@pytest.fixture
def stepped(tmp_path: Path, clock_file: Path) -> Mapping[str, str]:
    """Build the library; give the environment of a process that has it."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler, so no clock can be set")
    library = tmp_path / "stepped_clock.so"
    source = PROGRAMS / "stepped_clock.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True, timeout=60)
    return {"LD_PRELOAD": str(library), "STEPPED_CLOCK": str(clock_file)}


def step(clock_file: Path, seconds: int) -> None:
    """Set the clock."""
    with clock_file.open("r+b") as file:
        file.write(seconds.to_bytes(8, sys.byteorder, signed=True))


async def off_by(served: Served, name: str) -> timedelta:
    """Return how far the clock of the bus is off, as its log says when a client of this name comes."""
    async with t2bus.open_client(served.address, name=name):
        line = json.loads(await served.command.stderr.until(f" {name} "))
    return datetime.fromisoformat(line["time"]) - datetime.now().astimezone()


async def ids(client: t2bus.Client) -> set[int]:
    """Return the numbers of all connections; none is given twice."""
    return {each.id for each in await t2bus.status.clients(client)}


async def publish_all(client: t2bus.Client, numbers: list[int]) -> None:
    """Publish numbered messages, a thousand a second, until cancelled."""
    async with client.open_bytes_publisher(TOPIC) as publisher:
        while True:
            await publisher.send(numbers[0].to_bytes(8, "big") + b"\0")
            numbers[0] += 1
            await trio.sleep(0.001)


async def ask(client: t2bus.Client, answered: list[int]) -> None:
    """Ask again and again, each time with a deadline, until cancelled."""
    while True:
        with trio.fail_after(1):
            await client.request_bytes("fault/echo", b"x")
        answered[0] += 1
        await trio.sleep(0.01)


async def test_a_clock_that_is_set(
    folder: Path, measured: Measured, stepped: Mapping[str, str], clock_file: Path
) -> None:
    """While the wall clock jumps by days, on both sides, nobody is dropped, no message is lost, no request ends."""
    numbers, answered = [0], [0]
    async with (
        open_served(folder, *HASTY, "-v", "--log-format", "json", env=stepped) as served,
        open_program("subscriber", served.address, TOPIC, 1, env=stepped) as subscriber,
        open_program("responder", served.address, "fault/echo", env=stepped),
        t2bus.open_client(served.address) as client,
    ):
        before = await ids(client)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish_all, client, numbers)
            nursery.start_soon(ask, client, answered)
            for number in range(round(lasting(len(STEPS) * WAIT) / WAIT)):
                seconds = STEPS[number % len(STEPS)]
                step(clock_file, seconds)
                await trio.sleep(WAIT)
                assert abs(await off_by(served, f"step-{number}") - timedelta(seconds=seconds)) < timedelta(seconds=5)
            nursery.cancel_scope.cancel()
        after = await ids(client)
        await client.publish_bytes(TOPIC, numbers[0].to_bytes(8, "big") + b"\1")
        end = json.loads(await subscriber.command.stdout.next())
    measured.exactly("clock set: connections lost", len(before - after), 0)
    measured.exactly("clock set: messages lost", end["dropped"], 0)
    measured.exactly("clock set: messages received", end["received"], numbers[0] + 1)
    measured.beside("clock set: requests answered meanwhile", answered[0])
