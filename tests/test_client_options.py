"""What a subscription may ask for: a window of its own, or the newest of each topic."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Count, Note, Site, settle

if TYPE_CHECKING:
    from collections.abc import Callable

DOORS: dict[str, Callable[..., Any]] = {
    "subscribe": lambda client, **options: client.subscribe(Count, "*", **options),
    "subscribe_bytes": lambda client, **options: client.subscribe_bytes("count/*", **options),
    "subscribe_into": lambda client, channel, **options: client.subscribe_into(Count, "*", channel, **options),
    "subscribe_bytes_into": lambda client, channel, **options: client.subscribe_bytes_into(
        "count/*", channel, **options
    ),
}
CHANNELS = ["subscribe", "subscribe_bytes"]
INTO = ["subscribe_into", "subscribe_bytes_into"]


async def drain(messages: Any) -> list[Any]:
    """Take all that arrives; gaps as their length. A gap comes when there is credit again."""
    items: list[Any] = []
    has_more = True
    while has_more:
        has_more = False
        await settle()
        with suppress(trio.WouldBlock):
            while True:
                try:
                    items.append(messages.receive_nowait())
                except t2bus.Lagged as lag:
                    items.append(lag.dropped)
                has_more = True
    return items


@pytest.mark.parametrize("door", CHANNELS)
async def test_a_window_of_messages(memory: Site, door: str) -> None:
    """A subscription with ``messages=`` has so many on their way, and the next is dropped and told."""
    async with memory.connect() as client, DOORS[door](client, messages=2) as messages:
        for number in range(4):
            await client.publish("x", Count(number))
        first, second, dropped = await drain(messages)
        assert (first.topic, second.topic, dropped) == ("count/x", "count/x", 2)


@pytest.mark.parametrize("door", CHANNELS)
async def test_a_window_of_bytes(memory: Site, door: str) -> None:
    """A subscription with ``size=`` has so many bytes on their way; the last message may run over."""
    async with memory.connect() as client, DOORS[door](client, size=20) as messages:
        for number in range(4):
            await client.publish("x", Count(number))
        assert (await drain(messages))[2:] == [2]


@pytest.mark.parametrize("door", INTO)
async def test_a_window_before_a_channel(memory: Site, door: str) -> None:
    """What goes into a channel has a window of its own too."""
    send_channel, receive_channel = trio.open_memory_channel[Any](0)
    async with memory.connect() as client, DOORS[door](client, send_channel, messages=2):
        for number in range(6):
            await client.publish("x", Count(number))
        await settle()
        items = [await receive_channel.receive() for _ in range(4)]
        assert [type(item) for item in items] == [t2bus.Received] * 3 + [t2bus.Lagged]


async def test_windows_are_their_own(memory: Site) -> None:
    """Two subscriptions of one client have each the window that it asked for, or that of the client's limits."""
    async with (
        memory.connect(limits=t2bus.Limits(subscription_messages=3)) as client,
        client.subscribe(Count, "*") as usual,
        client.subscribe(Count, "*", messages=5) as wide,
        client.subscribe(Count, "*", messages=1) as narrow,
    ):
        for number in range(6):
            await client.publish("x", Count(number))
        taken = [await drain(each) for each in (usual, wide, narrow)]
        assert [(len(items), items[-1]) for items in taken] == [(4, 3), (6, 1), (2, 5)]


async def test_the_bus_caps_a_window() -> None:
    """A window larger than that of the bus is as large as that."""
    async with (
        t2bus.open_bus(limits=t2bus.Limits(subscription_messages=2, subscription_bytes=10_000)) as bus,
        bus.open_client(limits=t2bus.Limits()) as client,
        client.subscribe(Count, "*", messages=10, size=1 << 30) as messages,
    ):
        for number in range(4):
            await client.publish("x", Count(number))
        assert (await drain(messages))[2:] == [2]


@pytest.mark.parametrize("options", [{"messages": 0}, {"size": 0}, {"messages": -1}], ids=str)
@pytest.mark.parametrize("door", CHANNELS)
async def test_a_window_of_nothing_is_refused(memory: Site, door: str, options: dict[str, int]) -> None:
    """A window in which nothing fits is refused in the caller, and the client goes on."""
    async with memory.connect() as client:
        with pytest.raises(ValueError, match="must be >= 1"):
            DOORS[door](client, **options)
        with pytest.raises(TypeError):
            DOORS[door](client, messages="many")
        assert await client.publish("x", Count(1)) == 0


# --- the newest of each topic


@pytest.mark.parametrize("door", CHANNELS)
async def test_only_the_newest_of_each_topic_waits(site: Site, door: str) -> None:
    """However much is published, a program that was away finds one message of each topic, the newest."""
    async with site.connect() as client, site.connect() as other, DOORS[door](client, latest=True) as messages:
        for number in range(300):
            await other.publish("xyz"[number % 3], Count(number))
        items = await drain(messages)
        assert [item.topic for item in items] == ["count/x", "count/y", "count/z"]
        newest = [item.body.number if isinstance(item.body, Count) else item.body[-1] for item in items]
        assert newest == ([297, 298, 299] if door == "subscribe" else [n & 255 for n in (297, 298, 299)])
        assert messages.replaced == client.statistics().replaced == 297
        assert client.statistics().dropped == 0


@pytest.mark.parametrize("paced", [True, False])
async def test_the_newest_holds_no_publisher_up(memory: Site, paced: bool) -> None:
    """A subscription to the newest takes whatever a publisher sends, far beyond its window, and loses nothing."""
    count = 5_000
    limits = t2bus.Limits(subscription_messages=64)
    async with (
        memory.connect(limits=limits) as client,
        memory.connect() as other,
        client.subscribe(Count, "x", latest=True) as messages,
    ):
        with trio.fail_after(5):
            async with other.open_publisher(Count, "x", paced=paced) as publisher:
                for number in range(count):
                    await publisher.send(Count(number))
                    if not paced and number % 32 == 31:
                        await publisher.flush()
                        await trio.testing.wait_all_tasks_blocked()
        received = (await drain(messages))[-1]
        assert received.body.number == count - 1


async def test_the_newest_are_bounded(memory: Site) -> None:
    """At most ``messages`` topics wait; what makes room is told as ``Lagged``, for it was the newest of its topic."""
    async with memory.connect() as client, client.subscribe(Count, "*", latest=True, messages=3) as messages:
        for number in range(10):
            await client.publish(f"t{number}", Count(number))
        await settle()
        assert client.statistics().messages_waiting == 4
        dropped, *items = await drain(messages)
        assert (dropped, [item.body.number for item in items]) == (7, [7, 8, 9])
        assert client.statistics().dropped == 7


async def test_a_small_window_keeps_the_newest(memory: Site) -> None:
    """One place is enough for one topic: what waits there is replaced, and takes no credit."""
    async with memory.connect() as client, client.subscribe(Count, "x", latest=True, messages=1) as messages:
        for number in range(100):
            await client.publish("x", Count(number))
        assert [item.body.number for item in await drain(messages)] == [99]


async def test_the_newest_into_a_channel(memory: Site) -> None:
    """While the channel is full the newest of each topic waits before it."""
    send_channel, receive_channel = trio.open_memory_channel[Any](0)
    async with memory.connect() as client, client.subscribe_into(Note, "*", send_channel, latest=True):
        for text in ("one", "two", "three"):
            await client.publish("x", Note(text))
            await settle()
        assert [(await receive_channel.receive()).body.text for _ in range(2)] == ["one", "three"]


async def test_receiving_the_newest_waits_for_it(memory: Site) -> None:
    """A program that waits is given each message as it comes, and headers with it."""
    async with memory.connect() as client, client.subscribe(Count, "x", latest=True) as messages:
        for number in range(3):
            await client.publish("x", Count(number), headers={"n": str(number)})
            received = await messages.receive()
            assert (received.body.number, received.headers) == (number, {"n": str(number)})
        assert messages.replaced == 0
