"""Clients of t2bus at the server of the Rust crate, ``t2 serve``, which speaks no other wire than its own."""

from __future__ import annotations

import random
from json import dumps
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
import trio

import t2bus
from cli_helpers import PATIENCE, run
from interop.helpers import Peers, Running, Rust, open_rust_bus
from interop.protocols import BODIES, ONE_AND_TWO, Add, Count, Hello, Number, Sum, Text, describe, kind_of
from tls_helpers import HOST, bus_leaf, client_leaf, write

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

RANDOM = random.Random(5).randbytes(40_000)
"""More than 5,000 bytes, which the crate compresses, of which nothing is saved."""
TEXT = "abcdefgh" * 10_000
"""The same, of which nearly everything is saved."""

BUSY = 100
"""Seconds, of the clock on the wall: ten more than a Rust server gives a silent client."""
SMALL = t2bus.Limits(subscription_messages=16)
"""Windows so small that a few messages have their credit given back, as many have in one of the usual size."""


@pytest.fixture
async def guest(there: Peers) -> AsyncGenerator[t2bus.Client, None]:
    """Open a client at the Rust server."""
    async with t2bus.open_client(there.address, wire="t2") as client:
        yield client


@pytest.fixture
async def other(there: Peers) -> AsyncGenerator[t2bus.Client, None]:
    """Open another one."""
    async with t2bus.open_client(there.address, wire="t2") as client:
        yield client


async def add(request: Add) -> Sum:
    """Serve additions."""
    await trio.lowlevel.checkpoint()
    return Sum(request.left + request.right)


# --- connecting


async def test_the_native_wire_is_refused_with_a_hint(there: Peers) -> None:
    """Who forgets to name the wire is told so."""
    with trio.fail_after(10), pytest.raises(t2bus.ConnectFailed, match='wire="t2"'):
        async with t2bus.open_client(there.address):
            pass


async def test_a_server_at_a_port(rust: Rust, free_port: int) -> None:
    """The Rust server is reached over TCP as well."""
    address = f"tcp:127.0.0.1:{free_port}"
    async with (
        open_rust_bus(rust, address),
        t2bus.open_client(address, wire="t2") as client,
        client.subscribe(Hello, "x") as messages,
    ):
        assert await Peers(rust, address).run("pub", "hello", "x", '"over TCP"') == [{"recipients": 1}]
        assert await messages.receive() == t2bus.Received("hello/x", Hello("over TCP"))


async def test_names_of_the_tool(there: Peers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tool has registered is imported, and the Rust server is found by that name and as the default."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("T2BUS_CONTEXTS", str(tmp_path / "contexts.toml"))
    assert await there.run_tool("register", "lab") == ""
    assert await run("context", "import") == (0, "", f"t2bus: 1 context imported from {tmp_path}/.t2\n")
    async with t2bus.open_client("name:lab") as client, client.subscribe(Hello, "x") as messages:
        assert (await run("pub", "hello/x", "by its name"))[0] == 0
        assert await messages.receive() == t2bus.Received("hello/x", Hello("by its name"))


async def test_a_server_with_tls(rust: Rust, folder: Path, free_port: int) -> None:
    """The Rust server is reached over mutual TLS, though it names no protocol; without ``wire="t2"`` that is said."""
    files, own = write(folder, "bus", bus_leaf()), write(folder, "alice", client_leaf())
    address = f"tls:{HOST}:{free_port}"
    async with Peers(rust, address).open("serve-tls", files.ca, files.certificate, files.key):
        async with (
            t2bus.open_client(address, tls=own.client(), wire="t2") as client,
            t2bus.open_client(address, tls=own.client(), wire="t2") as other,
            client.subscribe(Hello, "x") as messages,
            trio.open_nursery() as nursery,
        ):
            assert await other.publish("x", Hello("over TLS")) == 1
            assert await messages.receive() == t2bus.Received("hello/x", Hello("over TLS"))
            await nursery.start(client.serve_with, Add, "x", add)
            assert await other.request("x", Add(1, 2)) == Sum(3)
            nursery.cancel_scope.cancel()
        with pytest.raises(t2bus.TlsFailed, match=r'\(ALPN\): .* wire="t2"'):
            async with t2bus.open_client(address, tls=own.client()):
                pass


async def test_the_server_ends(server: Running, guest: t2bus.Client) -> None:
    """When the Rust server ends, what waits raises ``Disconnected``."""
    async with guest.subscribe(Hello, "x") as messages:
        await server.kill()
        with trio.fail_after(5), pytest.raises(t2bus.Disconnected):
            await messages.receive()
        with pytest.raises(t2bus.Disconnected):
            await guest.publish("x", Hello("x"))


# --- the tool


async def test_the_tool_publishes_to_python(there: Peers, guest: t2bus.Client) -> None:
    """What ``t2 pub`` publishes is text or a number here."""
    async with guest.subscribe(Text, "**") as texts, guest.subscribe(Number, "**") as numbers:
        await there.run_tool("pub", "string/a", "grüß dich")
        await there.run_tool("pub", "f32/b", "1.5")
        assert await texts.receive() == t2bus.Received("string/a", Text("grüß dich"))
        assert await numbers.receive() == t2bus.Received("f32/b", Number(1.5))


async def test_the_tool_prints_what_python_publishes(there: Peers, guest: t2bus.Client) -> None:
    """``t2 sub`` prints text and numbers that are published from here."""
    async with there.open_tool("sub", "**") as tool:
        while await guest.publish("a", Text("grüß dich")) == 0:
            pass
        await guest.publish("b", Number(1.5))
        assert [await tool.line() for _ in range(2)] == ["string/a: grüß dich", "f32/b: 1.5"]


# --- publishing


@pytest.mark.parametrize(("body", "json"), BODIES, ids=describe)
async def test_every_shape_comes_from_rust(
    there: Peers, guest: t2bus.Client, body: t2bus.PublishProtocol, json: Any
) -> None:
    """What serde writes of each kind of type is read here as its class."""
    async with guest.subscribe(type(body), "x") as messages:
        assert await there.run("pub", kind_of(body), "x", dumps(json)) == [{"recipients": 1}]
        assert (await messages.receive()).body == body


@pytest.mark.parametrize(("body", "json"), BODIES, ids=describe)
async def test_every_shape_goes_to_rust(
    there: Peers, guest: t2bus.Client, body: t2bus.PublishProtocol, json: Any
) -> None:
    """What is written here of each class is read by serde as its kind of type."""
    kind = kind_of(body)
    async with there.open("sub", kind, "x", 1) as peer:
        assert await guest.publish("x", body) == 1
        assert await peer.event() == {"topic": f"{kind}/x", "value": json}


@pytest.mark.parametrize(
    ("subscribed", "published"), [("*", "a"), ("**", "a/b"), ("a/*", "a/b"), ("a", "*"), ("a/b", "**"), ("", "")]
)
async def test_wildcards_on_either_side(there: Peers, guest: t2bus.Client, subscribed: str, published: str) -> None:
    """Where the Rust server matches topics, a subscription here gets what a Rust one does."""
    topic = f"hello/{published}" if published else "hello"
    async with guest.subscribe(Hello, subscribed) as messages, there.open("sub", "hello", subscribed, 1) as peer:
        assert await guest.publish(published, Hello("x")) == 2
        assert await messages.receive() == t2bus.Received(topic, Hello("x"))
        assert await peer.event() == {"topic": topic, "value": "x"}


async def test_overlapping_subscriptions(guest: t2bus.Client, other: t2bus.Client) -> None:
    """Each of several subscriptions of one client that a publication is for gets it once."""
    async with (
        guest.subscribe(Hello, "a/*") as one,
        guest.subscribe(Hello, "**") as two,
        guest.subscribe(Hello, "a/b") as three,
        guest.subscribe(Hello, "a/b") as four,
        guest.subscribe(Hello, "b") as five,
    ):
        assert await other.publish("a/b", Hello("x")) == 1
        await other.publish("b", Hello("y"))
        for messages in (one, two, three, four):
            assert await messages.receive() == t2bus.Received("hello/a/b", Hello("x"))
        assert await five.receive() == await two.receive() == t2bus.Received("hello/b", Hello("y"))


async def test_one_of_two_subscriptions_may_end(guest: t2bus.Client, other: t2bus.Client) -> None:
    """A client here that ends one of two subscriptions to a topic keeps the other."""
    async with guest.subscribe(Hello, "x") as kept:
        async with guest.subscribe(Hello, "x"):
            pass
        assert await other.publish("x", Hello("still")) == 1
        assert (await kept.receive()).body == Hello("still")
    assert await other.publish("x", Hello("nobody")) == 0


@pytest.mark.parametrize("first", [0, 1])
async def test_nothing_is_left_of_two_subscriptions(guest: t2bus.Client, other: t2bus.Client, first: int) -> None:
    """Whichever of two subscriptions to a topic ends first, the other goes on, and then there is none."""
    async with guest.subscribe(Hello, "x") as one, guest.subscribe(Hello, "x") as two:
        assert await other.publish("x", Hello("both")) == 1
        assert [(await messages.receive()).body for messages in (one, two)] == [Hello("both")] * 2
        await (one, two)[first].aclose()
        assert await other.publish("x", Hello("still")) == 1
        assert (await (one, two)[1 - first].receive()).body == Hello("still")
    assert await other.publish("x", Hello("nobody")) == 0


async def test_recipients_are_counted(there: Peers, guest: t2bus.Client, other: t2bus.Client) -> None:
    """A publisher here is told how many connections the Rust server has passed a publication to."""
    assert await guest.publish("x", Hello("x")) == 0
    async with there.open("sub", "hello", "*", 0), other.subscribe(Hello, "x"), guest.subscribe(Hello, "**"):
        assert await guest.publish("x", Hello("x")) == 3


async def test_large_payloads_come_from_rust(there: Peers, guest: t2bus.Client) -> None:
    """What the crate compresses arrives here as it was."""
    async with guest.subscribe_bytes("raw") as messages:
        for data in (RANDOM, cbor2.dumps(TEXT[:40_000])):
            await there.run("pub-bytes", "raw", data.hex())
            assert (await messages.receive()).body == data


async def test_large_payloads_go_to_rust(there: Peers, guest: t2bus.Client) -> None:
    """What is large here arrives at a Rust client as it was."""
    async with there.open("sub-bytes", "raw", 2) as peer:
        for data in (RANDOM, cbor2.dumps(TEXT)):
            assert await guest.publish_bytes("raw", data) == 1
            assert await peer.event() == {"topic": "raw", "hex": data.hex()}


@pytest.mark.parametrize("window", [1, 256])
async def test_nothing_from_rust_is_lost(there: Peers, guest: t2bus.Client, window: int) -> None:
    """Of 10,000 messages from Rust, one at a time or pipelined, all arrive here in order."""
    async with guest.subscribe(Count, "x") as messages, there.open("flood", "x", 10_000, window) as peer:
        numbers = [(await messages.receive()).body.number for _ in range(10_000)]
        assert numbers == list(range(10_000))
        assert await peer.event() == {"published": 10_000, "recipients": 10_000}


async def test_nothing_to_rust_is_lost(there: Peers, guest: t2bus.Client) -> None:
    """Of 10,000 messages from a publisher here all arrive at Rust in order."""
    async with there.open("count-sub", "x", 10_000) as peer:
        async with guest.open_publisher(Count, "x") as publisher:
            for number in range(10_000):
                await publisher.send(Count(number))
        assert await peer.event() == {"received": 10_000, "in_order": True}


async def test_nothing_to_oneself_is_lost(guest: t2bus.Client) -> None:
    """Of 10,000 messages from a publisher here to a subscription of the same client all arrive in order."""

    async def publish() -> None:
        async with guest.open_publisher(Count, "x") as publisher:
            for number in range(10_000):
                await publisher.send(Count(number))

    async with guest.subscribe(Count, "x") as messages, trio.open_nursery() as nursery:
        nursery.start_soon(publish)
        assert [(await messages.receive()).body.number for _ in range(10_000)] == list(range(10_000))


async def test_a_malformed_payload(there: Peers, guest: t2bus.Client) -> None:
    """A payload from Rust that is no message of the class costs a subscriber here that one item."""
    async with guest.subscribe(Hello, "x") as messages:
        await there.run("pub-bytes", "hello/x", "ff")
        await there.run("pub", "hello", "x", '"next"')
        with pytest.raises(t2bus.MalformedMessage):
            await messages.receive()
        assert (await messages.receive()).body == Hello("next")


# --- silence, which that server measures by a clock of its own


@pytest.mark.real_time
async def test_a_busy_subscriber_is_kept(every_rust: list[Rust], folder: Path) -> None:
    """Who only listens to a busy topic is not taken for silent in 100 s, though 90 s of silence end a connection."""

    async def listen(rust: Rust) -> None:
        address = f"unix:{folder}/{rust.version}"
        async with (
            open_rust_bus(rust, address, patience=PATIENCE + BUSY),
            t2bus.open_client(address, wire="t2", limits=SMALL) as client,
            t2bus.open_client(address, wire="t2") as other,
            client.subscribe(Count, "x") as messages,
        ):
            end = trio.current_time() + BUSY
            number = 0
            while trio.current_time() < end:
                assert await other.publish("x", Count(number)) == 1
                assert (await messages.receive()).body == Count(number)
                number += 1
                await trio.sleep(0.05)

    async with trio.open_nursery() as nursery:
        for rust in every_rust:
            nursery.start_soon(listen, rust)


# --- requests


async def test_rust_asks_and_python_answers(there: Peers, guest: t2bus.Client) -> None:
    """A Rust client's requests are answered by a service here."""
    async with trio.open_nursery() as nursery:
        await nursery.start(guest.serve_with, Add, "x", add)
        assert await there.run("request", "x", ONE_AND_TWO, 2) == [{"response": {"value": 3}}] * 2
        nursery.cancel_scope.cancel()


async def test_python_asks_and_rust_answers(there: Peers, guest: t2bus.Client) -> None:
    """Requests from here are answered by a Rust service."""
    async with there.open("serve", "answer", "x", 1) as peer:
        assert await guest.request("x", Add(1, 2)) == Sum(3)
        assert await peer.rest() == [{"topic": "add/x", "request": {"left": 1, "right": 2}}, {"responded": True}]


async def test_python_asks_and_python_answers(guest: t2bus.Client, other: t2bus.Client) -> None:
    """Requests between two clients here, or of one to itself, are answered."""
    async with trio.open_nursery() as nursery:
        await nursery.start(guest.serve_with, Add, "", add)
        assert await other.request("", Add(1, 2)) == Sum(3)
        assert await guest.request("", Add(2, 2)) == Sum(4)
        nursery.cancel_scope.cancel()


async def test_nobody_serves(guest: t2bus.Client) -> None:
    """A request that nobody serves raises ``ServiceNotFound``, and the client goes on."""
    for _ in range(2):
        with pytest.raises(t2bus.ServiceNotFound):
            await guest.request("x", Add(1, 2))


async def test_a_service_here_fails(there: Peers, guest: t2bus.Client) -> None:
    """When a service here cannot carry a request out, a Rust requester gets an error at once."""
    async with guest.serve(Add, "x") as requests, there.open("request", "x", ONE_AND_TWO) as peer:
        await (await requests.receive()).fail("no way")
        with trio.fail_after(5):
            assert set(await peer.event()) == {"error"}


async def test_a_service_here_ends(there: Peers, guest: t2bus.Client) -> None:
    """When a service here has ended, its topic is free."""
    async with guest.serve(Add, "x"):
        pass
    with pytest.raises(t2bus.ServiceNotFound):
        await guest.request("x", Add(1, 2))
    async with there.open("serve", "answer", "x", 0):
        assert await guest.request("x", Add(1, 2)) == Sum(3)


async def test_a_claimed_topic(there: Peers, guest: t2bus.Client, other: t2bus.Client) -> None:
    """A second claim raises ``TopicClaimed`` here, is refused there, and leaves the first untouched."""
    async with there.open("serve", "answer", "x", 0), other.serve(Add, "y") as requests:
        for topic in ("x", "y"):
            with pytest.raises(t2bus.TopicClaimed):
                async with guest.serve(Add, topic):
                    pass
        assert await there.refused("serve", "answer", "y", 0) == "Request failed: Claim topic failed: Already claimed"
        assert await guest.request("x", Add(1, 2)) == Sum(3)
        async with there.open("request", "y", ONE_AND_TWO) as peer:
            await (await requests.receive()).respond(Sum(3))
            assert await peer.event() == {"response": {"value": 3}}


async def test_a_rust_requester_quits(there: Peers, guest: t2bus.Client) -> None:
    """When a Rust requester ends, a service here goes on."""
    async with guest.serve(Add, "x") as requests:
        async with there.open("request", "x", ONE_AND_TWO):
            request = await requests.receive()
        await request.respond(Sum(3))
        async with there.open("request", "x", ONE_AND_TWO) as peer:
            await (await requests.receive()).respond(Sum(3))
            assert await peer.event() == {"response": {"value": 3}}


async def test_a_requester_here_gives_up(there: Peers, guest: t2bus.Client) -> None:
    """A client here that gave a request up is not confused by its late answer."""
    async with there.open("serve", "late", "x", 0) as service:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(guest.request, "x", Add(1, 2))
            await service.event()
            nursery.cancel_scope.cancel()
        await service.go_on()
        assert await service.event() == {"responded": True}
        await service.go_on()
        assert await guest.request("x", Add(2, 2)) == Sum(4)
