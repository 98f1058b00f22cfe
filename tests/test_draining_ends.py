"""A drain waits for what the program still takes, and for nothing else; and it is no loss of the bus."""

from __future__ import annotations

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Note
from t2bus.testing import memory_bus, unsteady_bus

Clock = trio.testing.MockClock


async def test_a_drain_does_not_wait_for_what_is_closed_meanwhile(autojump_clock: Clock) -> None:
    """A subscription that the program closes with messages in it holds its client's drain no longer."""
    async with memory_bus() as bus, bus.open_client() as client, trio.open_nursery() as nursery:
        async with client.subscribe(Note, ""):
            await client.publish("", Note("x"))
            nursery.start_soon(client.drain)
            await trio.testing.wait_all_tasks_blocked()
            before: str = client.state
        await trio.testing.wait_all_tasks_blocked()
        assert (before, client.state) == ("connected", "closed")
        assert trio.current_time() < 1


async def test_a_drained_subscription_ends_without_a_gap(autojump_clock: Clock) -> None:
    """The end of a client that would come back is no loss, not even if the bus goes behind what has arrived."""
    async with (
        unsteady_bus() as place,
        place.open_client(reconnect=t2bus.Reconnect()) as client,
        client.subscribe(Note, "") as notes,
        trio.open_nursery() as nursery,
    ):
        await client.publish("", Note("x"))
        nursery.start_soon(client.drain)
        await trio.testing.wait_all_tasks_blocked()
        await place.lose()
        assert (await notes.receive()).body == Note("x")
        with pytest.raises(trio.EndOfChannel):
            await notes.receive()
