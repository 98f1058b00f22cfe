"""Programs on the Rust crate, unchanged, at a bus of t2bus: what works for them there."""

from __future__ import annotations

import random
from json import dumps
from typing import Any

import cbor2
import pytest
import trio

import t2bus
from bus_helpers import wait_until
from cli_helpers import PATIENCE
from interop.helpers import VERSIONS, Peers, Rust
from interop.protocols import BODIES, ONE_AND_TWO, Add, Count, Hello, Number, Sum, Text, describe, kind_of

RANDOM = random.Random(5).randbytes(40_000)
"""More than 5,000 bytes, which the crate compresses, of which nothing is saved."""
TEXT = "abcdefgh" * 10_000
"""The same, of which nearly everything is saved."""


async def add(request: Add) -> Sum:
    """Serve additions."""
    await trio.lowlevel.checkpoint()
    return Sum(request.left + request.right)


# --- the tool


async def test_the_tool_publishes_text(here: Peers, client: t2bus.Client) -> None:
    """What ``t2 pub`` publishes below ``string/`` is text here."""
    async with client.subscribe(Text, "**") as messages:
        assert await here.run_tool("pub", "string/greeting", "grüß dich") == ""
        assert await messages.receive() == t2bus.Received("string/greeting", Text("grüß dich"))


async def test_the_tool_publishes_numbers(here: Peers, client: t2bus.Client) -> None:
    """What ``t2 pub`` publishes below ``f32/`` is a number here."""
    async with client.subscribe(Number, "x") as messages:
        assert await here.run_tool("pub", "f32/x", "1.5") == ""
        assert await messages.receive() == t2bus.Received("f32/x", Number(1.5))


async def test_the_tool_prints_what_is_published_here(here: Peers, bus: t2bus.Bus, client: t2bus.Client) -> None:
    """``t2 sub`` prints text, numbers and, in hexadecimal, bytes that are published here."""
    async with here.open_tool("sub", "**") as tool:
        await wait_until(lambda: bus.statistics().subscriptions == 1)
        await client.publish("a", Text("grüß dich"))
        await client.publish("b", Number(1.5))
        await client.publish_bytes("other", b"\x01\xff")
        lines = [await tool.line() for _ in range(3)]
    assert lines == ["string/a: grüß dich", "f32/b: 1.5", "other: 0x01ff"]


async def test_the_tool_lists_topics_once(here: Peers, bus: t2bus.Bus, client: t2bus.Client) -> None:
    """``t2 ls`` prints each topic that something is published on, once."""
    async with here.open_tool("ls", "a/**") as tool:
        await wait_until(lambda: bus.statistics().subscriptions == 1)
        for topic in ("a/x", "b", "a/x", "a/y/z"):
            await client.publish_bytes(topic, b"")
        assert [await tool.line() for _ in range(2)] == ["a/x", "a/y/z"]


# --- publishing


@pytest.mark.parametrize(("body", "json"), BODIES, ids=describe)
async def test_every_shape_comes_from_rust(
    here: Peers, client: t2bus.Client, body: t2bus.PublishProtocol, json: Any
) -> None:
    """What serde writes of each kind of type is read here as its class."""
    async with client.subscribe(type(body), "x") as messages:
        assert await here.run("pub", kind_of(body), "x", dumps(json)) == [{"recipients": 1}]
        assert (await messages.receive()).body == body


@pytest.mark.parametrize(("body", "json"), BODIES, ids=describe)
async def test_every_shape_goes_to_rust(
    here: Peers, client: t2bus.Client, body: t2bus.PublishProtocol, json: Any
) -> None:
    """What is written here of each class is read by serde as its kind of type."""
    kind = kind_of(body)
    async with here.open("sub", kind, "x", 1) as peer:
        assert await client.publish("x", body) == 1
        assert await peer.event() == {"topic": f"{kind}/x", "value": json}


@pytest.mark.parametrize(
    ("subscribed", "published"),
    [
        ("*", "a"),
        ("**", "a/b"),
        ("a/**", "a/b/c"),
        ("**/b", "a/b"),
        ("a", "*"),
        ("a/b", "**"),
        ("a/*", "*/b"),
        ("", ""),
    ],
)
async def test_wildcards_on_either_side(here: Peers, client: t2bus.Client, subscribed: str, published: str) -> None:
    """A Rust subscription gets what a client here does, under the topic it was published on."""
    topic = f"hello/{published}" if published else "hello"
    async with here.open("sub", "hello", subscribed, 1) as peer, client.subscribe(Hello, subscribed) as messages:
        assert await client.publish(published, Hello("x")) == 2
        assert (await messages.receive()).topic == topic
        assert await peer.event() == {"topic": topic, "value": "x"}


async def test_what_the_matcher_of_rust_misses(here: Peers, client: t2bus.Client) -> None:
    """Where the crate's own matcher sees no match, a Rust client passes a publication over and goes on."""
    async with here.open("sub", "hello", "a/**", 1) as peer:
        assert await client.publish("a", Hello("missed")) == 1
        await client.publish("a/b", Hello("seen"))
        assert await peer.event() == {"topic": "hello/a/b", "value": "seen"}


async def test_publications_with_wildcards_come_from_rust(here: Peers, client: t2bus.Client) -> None:
    """What a Rust client publishes on a topic with wildcards reaches whatever it intersects."""
    async with client.subscribe(Hello, "a") as one, client.subscribe(Hello, "b/c") as two:
        await here.run("pub", "hello", "**", '"x"')
        assert [(await messages.receive()).topic for messages in (one, two)] == ["hello/**"] * 2


async def test_recipients_are_counted_for_rust(here: Peers, client: t2bus.Client) -> None:
    """A Rust publisher is told how many connections a publication was for, of either wire."""
    assert await here.run("pub", "hello", "x", '"x"') == [{"recipients": 0}]
    async with here.open("sub", "hello", "*", 0), here.open("sub", "hello", "x", 0), client.subscribe(Hello, "**"):
        assert await here.run("pub", "hello", "x", '"x"', 2) == [{"recipients": 3}] * 2


async def test_compressed_payloads_come_from_rust(here: Peers, client: t2bus.Client) -> None:
    """What the crate compresses arrives here as it was."""
    async with client.subscribe_bytes("raw") as messages:
        for data in (RANDOM, cbor2.dumps(TEXT[:40_000])):
            assert await here.run("pub-bytes", "raw", data.hex()) == [{"recipients": 1}]
            assert (await messages.receive()).body == data


async def test_large_payloads_go_to_rust(here: Peers, client: t2bus.Client) -> None:
    """What is large here arrives at a Rust client as it was, compressed or not."""
    async with here.open("sub-bytes", "raw", 2) as peer:
        for data in (RANDOM, cbor2.dumps(TEXT)):
            assert await client.publish_bytes("raw", data) == 1
            assert await peer.event() == {"topic": "raw", "hex": data.hex()}


async def test_large_payloads_go_between_rust_clients(here: Peers) -> None:
    """What the crate compresses passes through the bus to another Rust client."""
    async with here.open("sub-bytes", "raw", 1) as peer:
        await here.run("pub-bytes", "raw", RANDOM.hex())
        assert await peer.event() == {"topic": "raw", "hex": RANDOM.hex()}


@pytest.mark.parametrize("window", [1, 256])
async def test_nothing_from_rust_is_lost(here: Peers, client: t2bus.Client, window: int) -> None:
    """Of 10,000 messages from Rust, one at a time or pipelined, all arrive here in order."""
    async with client.subscribe(Count, "x") as messages, here.open("flood", "x", 10_000, window) as peer:
        numbers = [(await messages.receive()).body.number for _ in range(10_000)]
        assert numbers == list(range(10_000))
        assert await peer.event() == {"published": 10_000, "recipients": 10_000}


async def test_nothing_to_rust_is_lost(here: Peers, client: t2bus.Client) -> None:
    """Of 10,000 messages from a publisher here all arrive at Rust in order."""
    async with here.open("count-sub", "x", 10_000) as peer:
        async with client.open_publisher(Count, "x") as publisher:
            for number in range(10_000):
                await publisher.send(Count(number))
        assert await peer.event() == {"received": 10_000, "in_order": True}


async def test_nothing_between_rust_clients_is_lost(here: Peers) -> None:
    """Of 10,000 messages between two Rust clients all arrive in order."""
    async with here.open("count-sub", "x", 10_000) as subscriber:
        assert await here.run("flood", "x", 10_000, 256) == [{"published": 10_000, "recipients": 10_000}]
        assert await subscriber.event() == {"received": 10_000, "in_order": True}


async def test_one_of_two_subscriptions_may_end(here: Peers, client: t2bus.Client) -> None:
    """A Rust client that drops one of two subscriptions to a topic keeps the other."""
    async with here.open("sub-twice", "hello", "x", 1) as peer:
        assert await client.publish("x", Hello("still")) == 1
        assert await peer.event() == {"topic": "hello/x", "value": "still"}


# --- requests


async def test_rust_asks_and_python_answers(here: Peers, client: t2bus.Client) -> None:
    """A Rust client's requests are answered by a service here."""
    async with trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, "x", add)
        assert await here.run("request", "x", ONE_AND_TWO, 2) == [{"response": {"value": 3}}] * 2
        nursery.cancel_scope.cancel()


async def test_python_asks_and_rust_answers(here: Peers, client: t2bus.Client) -> None:
    """Requests from here are answered by a Rust service."""
    async with here.open("serve", "answer", "x", 1) as peer:
        assert await client.request("x", Add(1, 2)) == Sum(3)
        assert await peer.rest() == [{"topic": "add/x", "request": {"left": 1, "right": 2}}, {"responded": True}]


async def test_rust_asks_and_rust_answers(here: Peers) -> None:
    """Requests between two Rust clients are answered."""
    async with here.open("serve", "answer", "", 0):
        assert await here.run("request", "", ONE_AND_TWO) == [{"response": {"value": 3}}]


async def test_many_requests_wait_together(here: Peers, client: t2bus.Client) -> None:
    """A hundred requests from here to one Rust service get each its own answer."""
    answers: dict[int, Sum] = {}

    async def ask(number: int) -> None:
        answers[number] = await client.request("x", Add(number, 1))

    async with here.open("serve", "answer", "x", 0):
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(ask, number)
        assert answers == {number: Sum(number + 1) for number in range(100)}


async def test_a_late_answer_arrives(here: Peers, client: t2bus.Client) -> None:
    """A Rust service may take its time, while others are answered."""
    results: list[Sum] = []

    async def ask() -> None:
        results.append(await client.request("slow", Add(1, 2)))

    async with (
        here.open("serve", "late", "slow", 0) as slow,
        here.open("serve", "answer", "fast", 0),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(ask)
        await slow.event()
        assert await client.request("fast", Add(2, 2)) == Sum(4)
        assert results == []
        await slow.go_on()
    assert results == [Sum(3)]


async def test_a_service_that_has_ended_leaves_its_topic_free(here: Peers, client: t2bus.Client) -> None:
    """When a Rust client stops serving, a request finds nobody, and the topic may be claimed."""
    async with here.open("serve", "unserve", "x", 1) as peer:
        assert await client.request("x", Add(1, 2)) == Sum(3)
        while await peer.event() != {"unserved": True}:
            pass
        with pytest.raises(t2bus.ServiceNotFound):
            await client.request("x", Add(1, 2))
        async with client.serve(Add, "x"):
            pass


async def test_nobody_serves(here: Peers) -> None:
    """A Rust client's request that nobody serves fails with the crate's text."""
    assert await here.run("request", "x", ONE_AND_TWO) == [{"error": "Request failed: Service not found: add/x"}]


# --- places and times


async def test_rust_comes_over_tcp(rust: Rust) -> None:
    """A Rust client finds a bus over TCP."""
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus, bus.open_client() as client:
        here = Peers(rust, bus.addresses[0])
        async with client.subscribe(Hello, "x") as messages, here.open("sub", "hello", "x", 1) as peer:
            assert await here.run("pub", "hello", "x", '"over TCP"') == [{"recipients": 2}]
            assert (await messages.receive()).body == Hello("over TCP")
            assert await peer.event() == {"topic": "hello/x", "value": "over TCP"}


async def test_rust_arrives_and_leaves(here: Peers, bus: t2bus.Bus, client: t2bus.Client) -> None:
    """Nothing is left of Rust clients that have gone, in order or by force."""
    async with here.open("sub", "hello", "x", 1) as peer, here.open("serve", "answer", "x", 0) as service:
        assert bus.statistics().subscriptions == 1
        await client.publish("x", Hello("x"))
        assert await peer.end() == 0
        await service.kill()
    await wait_until(lambda: bus.statistics().connections == 1)
    assert (bus.statistics().subscriptions, bus.statistics().services) == (0, 0)


@pytest.mark.parametrize("rust", VERSIONS[-1:], indirect=True)
async def test_a_request_does_not_end_the_bus(here: Peers, client: t2bus.Client) -> None:
    """Half a minute after a request, where the crate's own server ends, Rust clients go on."""
    async with here.open("sub", "hello", "x", 1) as quiet, here.open("serve", "answer", "x", 0):
        with trio.fail_after(PATIENCE):
            assert await here.run("live", "x", 32) == [{"response": {"value": 3}}] * 2
        assert await client.publish("x", Hello("still there")) == 1
        assert await quiet.event() == {"topic": "hello/x", "value": "still there"}
