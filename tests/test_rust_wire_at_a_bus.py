"""Clients of this package that speak the crate's wire (``wire="t2"``), at a bus that takes either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Note

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@pytest.fixture
async def client(bus: t2bus.Bus) -> AsyncGenerator[t2bus.Client, None]:
    """Open a client on the crate's wire."""
    async with t2bus.open_client(bus.addresses[0], wire="t2") as client:
        yield client


@pytest.fixture
async def other(bus: t2bus.Bus) -> AsyncGenerator[t2bus.Client, None]:
    """Open a native client of the same bus."""
    async with bus.open_client() as client:
        yield client


# --- signs of life: that bus counts its client's silence, and gives it 90 s


async def publish_for(client: t2bus.Client, seconds: int) -> None:
    """Publish once a second."""
    for number in range(seconds):
        await client.publish("x", Note(str(number)))
        await trio.sleep(1)


async def test_who_only_listens_speaks_too(
    clock: trio.testing.MockClock, client: t2bus.Client, other: t2bus.Client
) -> None:
    """A subscriber of a busy topic, which hears something all the time, is not silent itself."""
    async with client.subscribe(Note, "x") as notes, trio.open_nursery() as nursery:
        nursery.start_soon(publish_for, other, 200)
        assert [(await notes.receive()).body.text for _ in range(200)] == [str(number) for number in range(200)]


async def test_a_long_interval_is_cut_short(clock: trio.testing.MockClock, bus: t2bus.Bus) -> None:
    """A client that asks for signs of life more seldom than that wire allows gives its own in time."""
    limits = t2bus.Limits(ping_interval=1000, silence=2000)
    async with t2bus.open_client(bus.addresses[0], wire="t2", limits=limits) as client:
        await trio.sleep(500)
        assert await client.publish("x", Note("still here")) == 0
