"""Fifteen thousand connections: how fast they are let in, what they cost, and whether anybody notices."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import trio

import t2bus
from cli_helpers import process
from faults.measured import LONGEST, MIB, quantile
from faults.processes import limits, open_served

if TYPE_CHECKING:
    from faults.measured import Measured

ROOT: Final = Path(__file__).parents[2]
IDLE: Final = 15_000
OTHER_FILES: Final = 100
REQUESTS: Final = 2000


async def p99(client: t2bus.Client) -> float:
    """Return the 99th percentile of a request's time, in seconds: the best of three runs."""
    results = []
    for _ in range(3):
        taken = []
        for _ in range(REQUESTS):
            begun = trio.current_time()
            await client.request_bytes("pair", b"x")
            taken.append(trio.current_time() - begun)
        results.append(quantile(taken, 0.99))
    return min(results)


async def answer(requests: t2bus.Requests[bytes, bytes]) -> None:
    """Answer each request with what it brings."""
    async for request in requests:
        await request.respond(request.body)


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < IDLE + OTHER_FILES,
    reason=f"a process may not open {IDLE + OTHER_FILES} files here (ulimit -Hn)",
)
@pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="the benchmarks are in the repository alone")
async def test_a_storm_of_connections(folder: Path, measured: Measured) -> None:
    """Fifteen thousand idle connections are let in quickly, cost little, and do not slow an active pair down."""
    many = IDLE + OTHER_FILES
    own = limits(connections=many, connections_per_identity=many, accepts=1_000_000)
    async with (
        open_served(folder, *own) as served,
        t2bus.open_client(served.address) as client,
        t2bus.open_client(served.address) as responder,
        responder.serve_bytes("pair") as requests,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer, requests)
        alone, before = await p99(client), served.cpu()
        words = (sys.executable, "-m", "benchmarks.idle", served.address, str(IDLE))
        # It knows t2bus by its wire alone, so this path brings no other one than is tested.
        async with process(*words, env={"PYTHONPATH": str(ROOT)}, patience=LONGEST) as idle:
            ready = (await idle.stdout.until("ready")).removeprefix("ready ")
            used = served.cpu() - before
            measured.beside("storm: let in for each second of the bus's processor", IDLE / used)
            assert (await served.status()).connections == IDLE + 3
            measured.at_most("storm: memory of the bus", served.memory() / MIB, 400, "MiB")
            among = await p99(client)
            measured.at_most("storm: p99 of a pair among them, beside that alone", among / alone, 3, "times")
        nursery.cancel_scope.cancel()
    measured.at_least("storm: let in", json.loads(ready)["accepted"], 3000, "a second")
