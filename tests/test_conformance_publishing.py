"""Publish and subscribe do the same over every transport."""

from __future__ import annotations

import random

import pytest
import trio

import t2bus
from bus_helpers import Count, Note, Site, settle


async def test_a_published_message_is_received(site: Site) -> None:
    """A message arrives with its full topic and its body, which unpack as a pair."""
    async with (
        site.connect() as publisher,
        site.connect() as subscriber,
        subscriber.subscribe(Note, "alice") as messages,
    ):
        await publisher.publish("alice", Note("hello"))
        topic, body = await messages.receive()
    assert (topic, body) == ("note/alice", Note("hello"))


async def test_publish_returns_the_number_of_connections(site: Site) -> None:
    """Publishing says for how many connections the message was accepted, however many subscriptions they have."""
    async with site.connect() as publisher, site.connect() as one, site.connect() as two, site.connect():
        assert await publisher.publish("x", Note("nobody")) == 0
        async with one.subscribe(Note, "x"), one.subscribe(Note, "*"), two.subscribe(Note, "**"):
            assert await publisher.publish("x", Note("both")) == 2
            assert await publisher.publish("y", Note("both, by one subscription each")) == 2
        assert await publisher.publish("x", Note("nobody again")) == 0


@pytest.mark.parametrize(
    ("subscribed", "published", "count"),
    [
        ("a/b", "a/b", 1),
        ("a/b", "a/c", 0),
        ("a/*", "a/b", 1),
        ("a/*", "a/b/c", 0),
        ("a/**", "a", 1),
        ("a/**", "a/b/c", 1),
        ("a/b", "a/*", 1),
        ("a/b", "**", 1),
        ("a/*/c", "a/**", 1),
        ("*/b", "a/*", 1),
        ("*/b", "a/c", 0),
        ("**", "**", 1),
    ],
)
async def test_wildcards_on_both_sides(site: Site, subscribed: str, published: str, count: int) -> None:
    """A publication reaches a subscription when some concrete topic is of both, with wildcards on either side."""
    async with site.connect() as client, client.subscribe(Note, subscribed):
        assert await client.publish(published, Note("")) == count


async def test_the_published_topic_is_received_with_its_wildcards(site: Site) -> None:
    """What is received names the topic that was published, not the one that was subscribed to."""
    async with site.connect() as client, client.subscribe(Note, "a/*") as messages:
        await client.publish("*/b", Note(""))
        assert (await messages.receive()).topic == "note/*/b"


async def test_the_empty_topic_is_the_prefix_alone(site: Site) -> None:
    """The topic "" of a protocol is its prefix, for publishing, subscribing and publishers."""
    async with site.connect() as client, client.subscribe(Note, "") as messages:
        assert await client.publish("", Note("one")) == 1
        assert await client.publish("x", Note("elsewhere")) == 0
        async with client.open_publisher(Note, "") as publisher:
            await publisher.send(Note("two"))
        assert [await messages.receive(), await messages.receive()] == [
            t2bus.Received("note", Note("one")),
            t2bus.Received("note", Note("two")),
        ]


async def test_headers_travel_with_publications(site: Site) -> None:
    """Headers arrive as they were sent, of any text, by publish and by publishers; without them there are none."""
    headers = {"k": "v", "": "", "snow": "\N{SNOWMAN}" * 100}
    async with site.connect() as client, client.subscribe(Note, "x") as messages:
        await client.publish("x", Note(""), headers=headers)
        async with client.open_publisher(Note, "x") as publisher:
            await publisher.send(Note(""), headers=headers)
            await publisher.send(Note(""))
        received = [(await messages.receive()).headers for _ in range(3)]
    assert received == [headers, headers, {}]


async def test_raw_publications(site: Site) -> None:
    """Any bytes travel untouched under a full topic."""
    payloads = [b"", b"\0", bytes(range(256)), b"\xff" * 10_000]
    async with site.connect() as client, client.subscribe_bytes("raw/**") as messages:
        for payload in payloads:
            assert await client.publish_bytes("raw/x", payload, headers={"n": str(len(payload))}) == 1
        received = [await messages.receive() for _ in payloads]
    assert received == [t2bus.Received("raw/x", payload, {"n": str(len(payload))}) for payload in payloads]


async def test_raw_and_typed_messages_are_the_same(site: Site) -> None:
    """A typed message is CBOR bytes under its full topic, for who reads and for who writes it raw."""
    async with (
        site.connect() as client,
        client.subscribe(Note, "x") as typed,
        client.subscribe_bytes("note/x") as raw,
    ):
        await client.publish("x", Note("hello"))
        topic, payload = await raw.receive()
        await client.publish_bytes(topic, payload)
        assert [await typed.receive() for _ in range(2)] == [t2bus.Received("note/x", Note("hello"))] * 2
    assert payload == b"\xa1\x64text\x65hello"


async def test_iteration(site: Site) -> None:
    """A subscription can be iterated over."""
    async with site.connect() as client, client.subscribe(Count, "x") as messages:
        for number in range(5):
            await client.publish("x", Count(number))
        numbers = []
        async for topic, count in messages:
            assert topic == "count/x"
            numbers.append(count.number)
            if count.number == 4:
                break
    assert numbers == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("paced", [True, False])
async def test_a_publisher_sends_in_order_and_flushes(site: Site, paced: bool) -> None:
    """Leaving a publisher's block waits until every message is accepted, and they arrive in order."""
    async with site.connect() as client, site.connect() as other, other.subscribe(Count, "x") as messages:
        async with client.open_publisher(Count, "x", paced=paced) as publisher:
            for number in range(2000):
                await publisher.send(Count(number))
        assert publisher.accepted == 2000
        received = [(await messages.receive()).body.number for _ in range(2000)]
    assert received == list(range(2000))


async def test_a_raw_publisher(site: Site) -> None:
    """A publisher of bytes sends them as they are."""
    async with site.connect() as client, client.subscribe_bytes("raw/x") as messages:
        async with client.open_bytes_publisher("raw/x") as publisher:
            await publisher.send(b"\0\1", headers={"k": "v"})
            await publisher.flush()
            assert publisher.accepted == 1
        assert await messages.receive() == t2bus.Received("raw/x", b"\0\1", {"k": "v"})


async def test_several_subscriptions_into_one_channel(site: Site) -> None:
    """Subscriptions of several kinds and topics can go into one channel, which stays open when they end."""
    send_channel, receive_channel = trio.open_memory_channel[t2bus.Received[Note | Count] | t2bus.BusError](10)
    async with site.connect() as client:
        async with (
            client.subscribe_into(Note, "x", send_channel),
            client.subscribe_into(Count, "*", send_channel),
        ):
            await client.publish("x", Note("hello"))
            await client.publish("x", Count(7))
            received = [await receive_channel.receive() for _ in range(2)]
        await client.publish("x", Note("after"))
        await settle()
    assert receive_channel.statistics().current_buffer_used == 0
    assert receive_channel.statistics().open_send_channels == 1
    assert sorted(received, key=str) == [
        t2bus.Received("count/x", Count(7)),
        t2bus.Received("note/x", Note("hello")),
    ]


async def test_a_client_receives_what_it_publishes_itself(site: Site) -> None:
    """A client's own subscriptions get its publications, many and large ones too."""
    async with site.connect() as client, client.subscribe_bytes("self") as messages:
        for _ in range(400):
            assert await client.publish_bytes("self", b"x" * 4900) == 1
        for _ in range(400):
            assert len((await messages.receive()).body) == 4900


async def test_many_publications_at_once(site: Site) -> None:
    """256 tasks may publish through one client at the same time, and each gets its own count."""
    async with site.connect() as client, site.connect() as other, trio.open_nursery() as nursery:

        async def publish(number: int) -> None:
            assert await client.publish(f"t{number}", Count(number)) == number % 2

        for number in range(256):
            if number % 2:
                await nursery.start(keep_subscribed, other, f"t{number}")
        async with trio.open_nursery() as publishers:
            for number in range(256):
                publishers.start_soon(publish, number)
        nursery.cancel_scope.cancel()


async def keep_subscribed(
    client: t2bus.Client, topic: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    async with client.subscribe(Count, topic):
        task_status.started()
        await trio.sleep_forever()


async def test_many_subscriptions_of_one_client(site: Site) -> None:
    """One client may hold hundreds of subscriptions, and each gets its own messages only."""
    received: list[tuple[int, int]] = []

    async def take_one(number: int, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with client.subscribe(Count, f"t{number}") as messages:
            task_status.started()
            received.append((number, (await messages.receive()).body.number))

    async with site.connect() as client, site.connect() as other:
        async with trio.open_nursery() as nursery:
            for number in range(300):
                await nursery.start(take_one, number)
            assert client.statistics().subscriptions == 300
            for number in range(300):
                assert await other.publish(f"t{number}", Count(number)) == 1
        assert client.statistics().subscriptions == 0
    assert sorted(received) == [(number, number) for number in range(300)]


@pytest.mark.parametrize("compressible", [True, False])
async def test_the_largest_message(site: Site, compressible: bool) -> None:
    """A message of all that a frame holds arrives whole, whether it can be compressed or not."""
    room = t2bus.Limits().frame - len("large") - 64
    payload = b"x" * room if compressible else random.Random(0).randbytes(room)
    async with site.connect() as client, site.connect() as other, other.subscribe_bytes("large") as messages:
        assert await client.publish_bytes("large", payload) == 1
        assert (await messages.receive()).body == payload
        with pytest.raises(t2bus.MessageTooLarge):
            await client.publish_bytes("large", payload + b"x")


async def test_messages_published_after_subscribing_are_received(site: Site) -> None:
    """Entering a subscription is enough: what is published after it, by whomever, is received."""
    async with site.connect() as publisher, site.connect() as subscriber:
        await publisher.publish("x", Note("before"))
        async with subscriber.subscribe(Note, "x") as messages:
            await publisher.publish("x", Note("after"))
            assert (await messages.receive()).body == Note("after")
        async with subscriber.subscribe(Note, "x"):
            await settle()
            assert subscriber.statistics().messages_waiting == 0
