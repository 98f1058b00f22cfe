"""The programs of the lab, on a bus in memory: no socket, no process, and no waiting."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
import trio

import t2bus
from t2bus.testing import unsteady_bus

import console
from lab import Measure, Setpoint
from oven import Oven
from recorder import record

if TYPE_CHECKING:
    from trio.testing import MockClock


async def test_an_oven_heats(bus: t2bus.Bus, autojump_clock: MockClock) -> None:
    async with (
        bus.open_client() as client,
        bus.open_client() as asker,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(Oven("north/oven").work, client)
        await asker.publish("*/oven", Setpoint(180.0))
        await trio.sleep(60)
        measured = await asker.request("north/oven", Measure(samples=10))
        assert measured.mean == pytest.approx(180.0, abs=0.1)
        nursery.cancel_scope.cancel()


async def test_an_answer_takes_too_long(bus: t2bus.Bus, autojump_clock: MockClock) -> None:
    words = ["measure", "north/oven", "--samples", "1000", "--within", "10"]
    async with bus.open_client() as client, trio.open_nursery() as nursery:
        await nursery.start(Oven("north/oven").work, client)
        with pytest.raises(SystemExit, match="no answer within 10 s"):
            await console.measure(client, console.parser().parse_args(words))
        assert trio.current_time() == pytest.approx(10, abs=1)
        nursery.cancel_scope.cancel()


async def test_nobody_is_there(bus: t2bus.Bus) -> None:
    words = ["measure", "west/oven"]
    async with bus.open_client() as client:
        with pytest.raises(SystemExit, match="no instrument is at west/oven"):
            await console.measure(client, console.parser().parse_args(words))


async def test_the_recorder_says_where_the_bus_was_lost(autojump_clock: MockClock) -> None:
    file = io.StringIO()
    async with (
        unsteady_bus() as place,
        place.open_client(reconnect=t2bus.Reconnect()) as one,
        place.open_client(reconnect=t2bus.Reconnect()) as other,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(record, one, "*/oven", file)
        await nursery.start(Oven("north/oven").work, other)
        await trio.sleep(5)
        await place.lose()
        await trio.sleep(60)
        await place.restore()
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    rows = [row.split(",")[1:] for row in file.getvalue().splitlines()]
    assert rows.count(["missing", "some"]) == 1
    assert rows[0] == rows[-1] == ["reading/north/oven", "20.0"]
