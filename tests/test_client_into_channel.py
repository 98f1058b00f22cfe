"""Into a channel of the program: as fast as it has room, each in its place, and nothing lost."""

# ruff: noqa: PT012 -- what raises here is the end of a block

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Note, Site, settle
from t2bus.testing import unsteady_bus

if TYPE_CHECKING:
    from collections.abc import Sequence


async def publish(client: t2bus.Client, bodies: Sequence[bytes]) -> None:
    """Publish notes in one batch."""
    async with client.open_bytes_publisher("note/x") as publisher:
        await publisher.send_batch(bodies)
    await settle()


def note(text: str) -> bytes:
    return b"\xa1dtext" + bytes([0x60 + len(text)]) + text.encode()


@pytest.mark.parametrize("room", [0, 1, 3, math.inf])
async def test_all_is_forwarded_whatever_the_room(memory: Site, room: float) -> None:
    """However much the channel holds, it gets each message once, in order, with errors in their places."""
    send, receive = trio.open_memory_channel[Any](room)
    bodies = [*map(note, "1234"), b"\xff", *map(note, "5678")]
    async with memory.connect() as client, client.subscribe_into(Note, "*", send), receive:
        await publish(client, bodies)
        items = [await receive.receive() for _ in bodies]
        assert isinstance(items.pop(4), t2bus.MalformedMessage)
        assert [body.text for _, body in items] == [*"12345678"]


async def test_a_channel_takes_what_it_has_room_for(memory: Site) -> None:
    """What does not fit in the channel stays in the window of the subscription, where it is counted."""
    send, receive = trio.open_memory_channel[Any](5)
    async with memory.connect() as client, client.subscribe_into(Note, "*", send), receive:
        await publish(client, [note("a")] * 20)
        assert receive.statistics().current_buffer_used == 5
        # One is in the hand of the task that waits for room.
        assert client.statistics().messages_waiting == 20 - 5 - 1
        for _ in range(20):
            await receive.receive()


async def test_the_loss_of_the_bus_comes_last() -> None:
    """What had arrived stands before the ``Disconnected``, and nothing behind it."""
    send, receive = trio.open_memory_channel[Any](math.inf)
    async with t2bus.open_bus() as bus, bus.open_client() as client, client.subscribe_into(Note, "*", send):
        async with client.open_bytes_publisher("note/x") as publisher:
            await publisher.send_batch([note("1"), note("2")])
        await bus.aclose()
        await settle()
        items = [receive.receive_nowait() for _ in range(3)]
        assert [body.text for _, body in items[:2]] == ["1", "2"]
        assert isinstance(items[2], t2bus.Disconnected)
        with pytest.raises(trio.WouldBlock):
            receive.receive_nowait()


@pytest.mark.parametrize("room", [0, 1, math.inf])
async def test_a_refusal_comes_last(autojump_clock: trio.testing.MockClock, room: float) -> None:
    """What the bus refuses after a loss gets that refusal once, behind the gap, and nothing after it."""
    send, receive = trio.open_memory_channel[Any](room)
    async with (
        unsteady_bus() as place,
        place.open_client(reconnect=t2bus.Reconnect(first=0.1, jitter=0)) as client,
        client.subscribe(Note, "kept"),
        client.subscribe_into(Note, "*", send),
    ):
        await place.lose()
        place.limits = t2bus.Limits(subscriptions=1)
        await place.restore()
        await client.connected()
        items = [await receive.receive() for _ in range(2)]
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.WouldBlock):
            receive.receive_nowait()
    assert [type(item) for item in items] == [t2bus.Lagged, t2bus.LimitExceeded]


async def test_any_channel_will_do(memory: Site) -> None:
    """A send channel of the program's own is sent one item after the other."""

    class Channel(trio.abc.SendChannel[Any]):
        def __init__(self) -> None:
            self.items: list[Any] = []

        async def send(self, value: Any) -> None:
            self.items.append(value)
            await trio.lowlevel.checkpoint()

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    channel = Channel()
    async with memory.connect() as client, client.subscribe_into(Note, "*", channel):
        await publish(client, [note("1"), note("2"), note("3")])
        assert [body.text for _, body in channel.items] == ["1", "2", "3"]


async def test_a_closed_channel_ends_the_block(memory: Site) -> None:
    """When nobody takes from the channel any more, the block is ended with ``trio.BrokenResourceError``."""
    send, receive = trio.open_memory_channel[Any](10)
    with pytest.raises(trio.BrokenResourceError):
        async with memory.connect() as client, client.subscribe_into(Note, "*", send):
            await receive.aclose()
            await publish(client, [note("1"), note("2")])
            await trio.sleep_forever()
