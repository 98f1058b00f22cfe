"""The in-process transport: batches handed over, nothing shared, the same ends as a socket has."""

from __future__ import annotations

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import HELLO, WELCOME, Note
from t2bus.transport.memory import open_memory_pair
from t2bus.wire import messages as m


async def test_batches_are_handed_over() -> None:
    """A batch is received as it was sent, in either direction."""
    client, bus = open_memory_pair()
    await client.send([HELLO, m.Ping(1)])
    assert await bus.receive() == [HELLO, m.Ping(1)]
    await bus.send([WELCOME])
    assert await client.receive() == [WELCOME]
    client.set_frame_limit(10)


async def test_a_writer_waits_for_the_reader(autojump_clock: trio.testing.MockClock) -> None:
    """A batch that finds the one before it not taken waits, and shows since when."""
    client, bus = open_memory_pair()
    await client.send([m.Ping(1)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, [m.Ping(2)])
        start = trio.current_time()
        await trio.sleep(3)
        assert client.writing_since == start
        assert await bus.receive() == [m.Ping(1)]
        assert bus.read_at == trio.current_time()
        assert await bus.receive() == [m.Ping(2)]
    assert client.writing_since is None


async def test_the_end_of_a_pair() -> None:
    """When one end is closed the other receives its end, and finds it broken for sending."""
    client, bus = open_memory_pair()
    await client.aclose()
    with pytest.raises(trio.EndOfChannel):
        await bus.receive()
    with pytest.raises(trio.BrokenResourceError):
        await bus.send([WELCOME])
    for use in (client.receive, lambda: client.send([HELLO])):
        with pytest.raises(trio.BrokenResourceError):
            await use()


async def test_nothing_is_shared() -> None:
    """Changing headers after they were sent, or after they were received, changes nobody else's."""
    headers = {"k": "sent"}
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        client.subscribe(Note, "x") as one,
        client.subscribe(Note, "x") as other,
    ):
        await client.publish("x", Note(""), headers=headers)
        headers["k"] = "changed"
        received = (await one.receive()).headers
        assert received == {"k": "sent"}
        received["k"] = "changed"  # type: ignore[index]
        assert (await other.receive()).headers == {"k": "sent"}
