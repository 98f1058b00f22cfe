"""A drain waits for what the program still takes, and for nothing else; and it is no loss of the bus."""

from __future__ import annotations

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Note, Sum
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


@pytest.mark.parametrize("whose", ["client", "bus"])
async def test_promise_12_a_second_drain_waits_for_the_first(autojump_clock: Clock, whose: str) -> None:
    """It does not cut the first one short: what is being answered is answered, and then both return."""
    ended: list[float] = []

    async def drain(drained: t2bus.Client | t2bus.Bus) -> None:
        await drained.drain()
        ended.append(trio.current_time())

    async with (
        memory_bus() as bus,
        bus.open_client() as other,
        bus.open_client() as client,
        client.serve(Add, "") as requests,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(other.request, "", Add(1, 2))
        request = await requests.receive()
        nursery.start_soon(drain, client if whose == "client" else bus)
        await trio.sleep(1)
        nursery.start_soon(drain, client if whose == "client" else bus)
        await trio.sleep(1)
        await request.respond(Sum(3))
    assert ended == [2, 2]


async def test_a_second_drain_that_is_cancelled_closes_at_once(autojump_clock: Clock) -> None:
    """Then the first one has nothing left to wait for."""
    async with (
        memory_bus() as bus,
        bus.open_client() as client,
        client.subscribe(Note, ""),
        trio.open_nursery() as nursery,
    ):
        await client.publish("", Note("x"))
        nursery.start_soon(client.drain)
        with trio.move_on_after(1):
            await client.drain()
    assert trio.current_time() == 1


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
