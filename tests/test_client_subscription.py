"""Subscriptions into a channel of the program's own, and the ends of a subscription."""

# ruff: noqa: PT012 -- what raises here is the end of a block, or one of several calls

from __future__ import annotations

import itertools
from typing import Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Count, Note, Site


def test_received_unpacks_into_two() -> None:
    """What is received unpacks as topic and body, and has headers beside them."""
    received = t2bus.Received("note/x", Note("hello"), {"k": "v"})
    topic, body = received
    assert (topic, body, received.headers) == ("note/x", Note("hello"), {"k": "v"})


async def test_errors_stand_in_their_places_in_a_channel(memory: Site) -> None:
    """``subscribe_into`` sends what is missing or cannot be read as an error, where it belongs."""
    send_channel, receive_channel = trio.open_memory_channel[Any](0)
    limits = t2bus.Limits(subscription_messages=3)
    async with (
        memory.connect() as client,
        memory.connect(limits=limits) as subscriber,
        subscriber.subscribe_into(Note, "x", send_channel),
    ):
        await client.publish("x", Note("one"))
        await client.publish_bytes("note/x", b"\xff")
        await client.publish("x", Note("two"))
        await client.publish("x", Note("three"))
        await client.publish("x", Note("four"))
        items = [await receive_channel.receive() for _ in range(4)]
    assert items[0] == t2bus.Received("note/x", Note("one"))
    assert isinstance(items[1], t2bus.MalformedMessage)
    assert items[2] == t2bus.Received("note/x", Note("two"))
    assert isinstance(items[3], t2bus.Received | t2bus.Lagged)


async def test_a_full_channel_holds_one_subscription_up(memory: Site) -> None:
    """While the channel of one subscription is full another subscription of the client goes on."""
    send_channel, receive_channel = trio.open_memory_channel[Any](0)
    async with (
        memory.connect() as client,
        client.subscribe(Count, "x") as live,
        client.subscribe_into(Count, "x", send_channel),
    ):
        for number in range(10):
            await client.publish("x", Count(number))
            assert (await live.receive()).body.number == number
        assert [(await receive_channel.receive()).body.number for _ in range(10)] == list(range(10))


async def test_a_channel_whose_receiver_is_gone_ends_the_block(memory: Site) -> None:
    """``subscribe_into`` raises ``trio.BrokenResourceError`` when nobody can receive from the channel any more."""
    send_channel, receive_channel = trio.open_memory_channel[Any](0)
    receive_channel.close()
    async with memory.connect() as client:
        with pytest.raises(trio.BrokenResourceError):
            async with client.subscribe_into(Note, "x", send_channel):
                await client.publish("x", Note("hello"))
                await trio.sleep_forever()
        await trio.testing.wait_all_tasks_blocked()
        assert memory.bus.statistics().subscriptions == 0


async def test_what_was_not_taken_is_dropped_on_closing(memory: Site) -> None:
    """Closing a subscription with messages waiting drops them, and a later one starts afresh."""
    async with memory.connect() as client:
        async with client.subscribe(Note, "x"):
            await client.publish("x", Note("left"))
            await trio.testing.wait_all_tasks_blocked()
        assert client.statistics().messages_waiting == 0
        async with client.subscribe(Note, "x") as messages:
            await client.publish("x", Note("new"))
            assert (await messages.receive()).body == Note("new")


async def test_publications_while_closing_are_dropped(memory: Site) -> None:
    """Messages that are on their way while a subscription closes disturb nobody."""
    async with memory.connect() as client, memory.connect() as other, trio.open_nursery() as nursery:

        async def publish() -> None:
            async with other.open_publisher(Count, "x") as publisher:
                for number in itertools.count():
                    await publisher.send(Count(number))

        nursery.start_soon(publish)
        for _ in range(20):
            async with client.subscribe(Count, "x") as messages:
                await trio.lowlevel.checkpoint()
                first = (await messages.receive()).body.number
                assert (await messages.receive()).body.number == first + 1
        nursery.cancel_scope.cancel()
