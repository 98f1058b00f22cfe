"""Whatever goes wrong raises the error that is named for it, with a text that says what to do, and harms nobody else.

Two bystanders work before, during and after each fault (see the fixture).
"""

# ruff: noqa: PT012 -- what raises here is the end of a block, or one of several calls

from __future__ import annotations

import logging
import random
import socket
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from attrs import evolve

import t2bus
from bus_helpers import (
    WELCOME,
    Add,
    Bystanders,
    Count,
    Note,
    RawPeer,
    Site,
    Sum,
    open_fake_bus,
    open_peer,
    settle,
    wait_until,
    welcome,
)
from pure_helpers import limits_with
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.values import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

HELLO_FRAME = native.encode(m.Hello(1, "a test", ()))


# --- mistakes of the caller


class Unserialisable:
    """What no message can hold."""


MISTAKES: dict[str, tuple[type[Exception], str, Callable[[t2bus.Client], Awaitable[object]]]] = {
    "an invalid topic": (
        t2bus.InvalidTopic,
        "use a-z, 0-9 and _ only",
        lambda client: client.publish("Not/Valid", Note("")),
    ),
    "a wildcard in a request": (
        t2bus.InvalidTopic,
        "serve and request one topic as it is",
        lambda client: client.request("*", Add(1, 2)),
    ),
    "a wildcard in a service": (
        t2bus.InvalidTopic,
        "serve and request one topic as it is",
        lambda client: client.serve(Add, "**").__aenter__(),
    ),
    "an unserved request": (
        t2bus.ServiceNotFound,
        "start its service, or check the topic",
        lambda client: client.request("nobody", Add(1, 2)),
    ),
    "an oversized message": (
        t2bus.MessageTooLarge,
        r"send less, or raise Limits\.frame",
        lambda client: client.publish("x", Note("x" * 2_000_000)),
    ),
    "an unserialisable object": (
        t2bus.MalformedMessage,
        "text",
        lambda client: client.publish("x", Note(Unserialisable())),  # type: ignore[arg-type]
    ),
    "a message of no protocol": (
        TypeError,
        "derive its class from it",
        lambda client: client.publish("x", Unserialisable()),  # type: ignore[arg-type]
    ),
    "a second claim": (
        t2bus.TopicClaimed,
        "serve another topic or end that service first",
        lambda client: client.serve(Add, "claimed").__aenter__(),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
async def test_a_mistake_raises_and_the_client_goes_on(tcp: Site, bystanders: Bystanders, name: str) -> None:
    """A mistake raises the error named for it, with a text that says what to do, and the client works afterwards."""
    expected, text, call = MISTAKES[name]
    async with tcp.connect() as client, bystanders.one.serve(Add, "claimed"):
        with pytest.raises(expected, match=text):
            await call(client)
        assert await client.publish("x", Note("")) == 0


async def test_a_payload_of_another_type(tcp: Site, bystanders: Bystanders) -> None:
    """A message of another class than the subscription's raises ``MalformedMessage`` with the field that is wrong."""
    async with tcp.connect() as client, client.subscribe(Note, "x") as messages:
        await bystanders.one.publish_bytes("note/x", b"\xa1\x64text\x07")
        await bystanders.one.publish("x", Note("next"))
        with pytest.raises(t2bus.MalformedMessage, match="text"):
            await messages.receive()
        assert (await messages.receive()).body == Note("next")


# --- misuse of an object


async def test_two_tasks_receive_from_one_subscription(memory: Site) -> None:
    """The second task to receive from a subscription raises ``trio.BusyResourceError``, and the first goes on."""
    async with memory.connect() as client, client.subscribe(Note, "x") as messages, trio.open_nursery() as nursery:
        received: list[t2bus.Received[Note]] = []

        async def receive() -> None:
            received.append(await messages.receive())

        nursery.start_soon(receive)
        await settle()
        with pytest.raises(trio.BusyResourceError, match="another task is receiving"):
            await messages.receive()
        await client.publish("x", Note("hello"))
        await wait_until(lambda: bool(received))


async def closed_client(site: Site) -> t2bus.Client:
    async with site.connect() as client:
        return client


async def test_a_closed_client(memory: Site) -> None:
    """Every call of a client that was closed raises ``trio.ClosedResourceError``."""
    client = await closed_client(memory)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: client.publish("x", Note("")),
        lambda: client.request("x", Add(1, 2)),
        client.subscribe(Note, "x").__aenter__,
        client.subscribe_bytes("x").__aenter__,
        client.serve(Add, "x").__aenter__,
        lambda: client.open_publisher(Note, "x").send(Note("")),
    ]
    for call in calls:
        with pytest.raises(trio.ClosedResourceError):
            await call()


async def test_closed_channels(memory: Site) -> None:
    """Subscriptions, services and publishers that were closed raise ``trio.ClosedResourceError``; closing twice is
    nothing.
    """
    async with memory.connect() as client:
        async with client.subscribe(Note, "x") as messages, client.serve(Add, "x") as requests:
            async with client.open_publisher(Note, "x") as publisher:
                await publisher.send(Note("never taken"))
            await settle()
        for channel in (messages, requests, publisher):
            await channel.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await messages.receive()
        with pytest.raises(trio.ClosedResourceError):
            await requests.receive()
        with pytest.raises(trio.ClosedResourceError):
            await publisher.send(Note(""))


async def test_closing_wakes_who_waits(memory: Site, clock: trio.testing.MockClock) -> None:
    """A channel that is closed while another task waits for it ends that wait with ``trio.ClosedResourceError``."""
    ended = 0

    async def closes(call: Callable[[], Awaitable[object]]) -> None:
        nonlocal ended
        with pytest.raises(trio.ClosedResourceError):
            await call()
        ended += 1

    own = t2bus.Limits(publisher_messages=1, subscription_messages=1)
    async with (
        memory.connect(limits=own) as client,
        client.subscribe(Note, "idle"),
        client.subscribe(Note, "x") as messages,
        client.serve(Add, "x") as requests,
        client.open_publisher(Note, "idle") as publisher,
        trio.open_nursery() as nursery,
    ):
        for text in ("taken", "held"):
            await publisher.send(Note(text))
        nursery.start_soon(closes, messages.receive)
        nursery.start_soon(closes, requests.receive)
        nursery.start_soon(closes, requests.receive)
        nursery.start_soon(closes, lambda: publisher.send(Note("waits")))
        await settle()
        for count, channel in ((1, messages), (3, requests), (4, publisher)):
            await channel.aclose()
            await settle()
            assert ended == count


async def test_closing_a_client_ends_its_calls(memory: Site) -> None:
    """Calls of other tasks that wait when a client is closed raise ``trio.ClosedResourceError``."""
    ended = 0

    async def closes(call: Callable[[], Awaitable[object]]) -> None:
        nonlocal ended
        with pytest.raises(trio.ClosedResourceError):
            await call()
        ended += 1

    async def hold(publisher: t2bus.Publisher[Note]) -> None:
        async with publisher:
            for text in ("taken", "held"):
                await publisher.send(Note(text))

    async with (
        memory.connect(limits=t2bus.Limits(subscription_messages=1)) as other,
        trio.open_nursery() as nursery,
        other.subscribe(Note, "idle"),
        other.serve(Add, "never"),
        AsyncExitStack() as outliving,
    ):
        async with memory.connect() as client:
            messages = await outliving.enter_async_context(client.subscribe(Note, "x"))
            requests = await outliving.enter_async_context(client.serve(Add, "x"))
            nursery.start_soon(closes, messages.receive)
            nursery.start_soon(closes, requests.receive)
            nursery.start_soon(closes, lambda: client.request("never", Add(1, 2)))
            nursery.start_soon(closes, lambda: hold(client.open_publisher(Note, "idle")))
            await settle()
        await settle()
        assert ended == 4
        for channel in (messages, requests):
            with trio.testing.assert_checkpoints():
                await channel.aclose()
        assert client.statistics().subscriptions == client.statistics().services == 0


async def test_a_request_is_answered_once(memory: Site) -> None:
    """Answering a second time raises ``trio.ClosedResourceError``, however it was answered first."""
    async with memory.connect() as client, client.serve(Add, "x") as requests, trio.open_nursery() as nursery:
        nursery.start_soon(client.request, "x", Add(1, 2))
        request = await requests.receive()
        await request.respond(Sum(3))
        with pytest.raises(trio.ClosedResourceError, match="answered already"):
            await request.respond(Sum(3))
        with pytest.raises(trio.ClosedResourceError, match="answered already"):
            await request.fail("again")
        request.give_up("again")


async def test_an_answer_after_the_service_ended_is_dropped(memory: Site) -> None:
    """Answering a request whose service was closed is no error: its requester was told, and it counts as late."""
    async with memory.connect() as client, memory.connect() as server, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(t2bus.ServiceGone):
                await client.request("x", Add(1, 2))

        async with server.serve(Add, "x") as requests:
            nursery.start_soon(ask)
            request = await requests.receive()
        assert request.withdrawn
        await request.respond(Sum(3))
        assert server.statistics().late_responses == 1


async def test_a_closed_bus(tcp: Site) -> None:
    """A bus that was closed lets nobody in: ``trio.ClosedResourceError`` inside this process."""
    async with t2bus.open_bus() as bus:
        pass
    with pytest.raises(trio.ClosedResourceError):
        async with bus.open_client():
            pass


# --- peers that break the rules


GARBAGE: dict[str, bytes] = {
    "a garbage frame": b"\x00\x00\x00\x07garbage",
    "an empty frame": b"\x00\x00\x00\x00",
    "a huge declared length": b"\xff\xff\xff\xff",
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "a message of the bus": native.encode(WELCOME),
    "a second HELLO": HELLO_FRAME,
    "an id that was used": native.encode(m.Unsubscribe(1, 1)) * 2,
    "a window of nothing": native.encode(m.Subscribe(1, "x", 0, 0)),
    "a call that fails with what it may not": native.encode(m.Fail(1, ErrorCode.SERVICE_BUSY, "")),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_after_the_handshake(
    clock: trio.testing.MockClock, tcp: Site, bystanders: Bystanders, name: str
) -> None:
    """A client that breaks the rules is told which, and closed."""
    async with open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        await peer.send_bytes(GARBAGE[name])
        last = (await peer.read_to_end())[-1]
    assert isinstance(last, m.Error)
    assert last.text
    await bystanders.try_out()
    assert tcp.bus.statistics().connections == 2


@pytest.mark.parametrize("name", [name for name in GARBAGE if name != "a second HELLO"])
async def test_garbage_instead_of_a_handshake(tcp: Site, bystanders: Bystanders, name: str) -> None:
    """What begins with anything but HELLO is closed; it is told why if it speaks this wire at all."""
    async with open_peer(tcp.bus) as peer:
        await peer.send_bytes(GARBAGE[name])
        assert all(isinstance(message, m.Error) for message in await peer.read_to_end())
    assert tcp.bus.statistics().violations == 1


async def test_an_unknown_version(tcp: Site, bystanders: Bystanders) -> None:
    """A client of another version of the wire is told so."""
    async with open_peer(tcp.bus) as peer:
        await peer.send(m.Hello(2, "from the future", ()))
        assert await peer.read_to_end() == [
            m.Error("version 2 of the wire is not spoken here, only 1"),
        ]


async def test_a_hello_with_more_behind_it(tcp: Site, bystanders: Bystanders) -> None:
    """A client that does not wait for WELCOME is told so."""
    async with open_peer(tcp.bus) as peer:
        await peer.send_bytes(HELLO_FRAME + native.encode(m.Ping(0)))
        (violation,) = await peer.read_to_end()
    assert isinstance(violation, m.Error)
    assert "waits for WELCOME" in violation.text


@pytest.mark.parametrize("length", [1, 4, 10])
async def test_a_peer_that_vanishes_mid_frame(tcp: Site, bystanders: Bystanders, length: int) -> None:
    """A client that breaks off inside a frame is forgotten, with all it had registered and nothing of that frame."""
    async with bystanders.one.subscribe_bytes("**") as messages, open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        await peer.send(m.Subscribe(1, "x", 10, 1000), m.Claim(2, "raw", 10, 1000))
        await peer.expect(m.Accepted)
        await peer.send_bytes(native.encode(m.Publish(3, False, m.Publication("x", b"")))[:length])
        await settle()
        await trio.aclose_forcefully(peer.stream)
        await wait_until(lambda: tcp.bus.statistics().connections == 2)
        assert tcp.bus.statistics().services == 0
        await bystanders.other.publish_bytes("end", b"")
        assert (await messages.receive()).topic == "end"


async def test_a_peer_that_says_nothing(clock: trio.testing.MockClock, tcp: Site, bystanders: Bystanders) -> None:
    """A peer that does not say HELLO is closed after ``Limits.handshake_time``."""
    async with open_peer(tcp.bus) as peer:
        start = trio.current_time()
        assert await peer.read_to_end() == []
        assert trio.current_time() - start == pytest.approx(5, abs=0.1)


async def test_strangers_do_not_fill_the_log(
    mock_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the ends of peers from one origin that said no HELLO one line in a second is logged, and all are counted."""
    caplog.set_level("INFO", "t2bus")
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus:
        for said in (b"", b"\0\0\0\5hello", b"\0\0\0\5hello"):
            for _ in range(3):
                async with open_peer(bus) as peer:
                    assert isinstance(peer.stream, trio.SocketStream)
                    await peer.send_bytes(said)
                    await peer.stream.send_eof()
                    await peer.read_to_end()
            mock_clock.jump(0.5)
        assert bus.statistics().violations == 6
        start = "connection of anonymous from 127.0.0.1 ended: "
        endings = [line.removeprefix(start) for line in caplog.messages if line.startswith(start)]
    assert len(endings) == 2
    assert endings[0] == "the peer closed it"


async def test_a_peer_that_says_hello_slowly(clock: trio.testing.MockClock, tcp: Site, bystanders: Bystanders) -> None:
    """A HELLO that trickles in is not waited for any longer than one that does not come."""
    async with open_peer(tcp.bus) as peer:
        start = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            for byte in HELLO_FRAME:
                await peer.send_bytes(bytes([byte]))
                await trio.sleep(1)
        assert trio.current_time() - start < 8


async def test_more_silent_peers_than_allowed(
    clock: trio.testing.MockClock, tcp: Site, bystanders: Bystanders, caplog: pytest.LogCaptureFixture
) -> None:
    """A crowd of silent peers is bounded: who comes takes the place of the one that has been silent for the longest."""
    limits = t2bus.Limits(handshakes=3)
    async with (
        t2bus.open_bus("tcp:127.0.0.1:0", limits=limits) as bus,
        bus.open_client() as client,
        open_peer(bus) as oldest,
    ):
        await settle()
        async with open_peer(bus) as younger, open_peer(bus):
            await settle()
            start = trio.current_time()
            async with t2bus.open_client(bus.addresses[0]) as late:
                assert await late.publish("x", Note("")) == 0
                assert await oldest.read_to_end() == []
                assert trio.current_time() - start < 0.5
                await younger.shake_hands()
        assert await client.publish("x", Note("")) == 0
    assert "Limits.handshakes" in caplog.text


async def test_a_crowd_that_is_turned_away_is_bounded_too(clock: trio.testing.MockClock) -> None:
    """Of peers that cannot be let in only so many are waited for to be told why; one more ends the oldest."""
    limits = t2bus.Limits(handshakes=2, connections=1)
    async with t2bus.open_bus("tcp:127.0.0.1:0", limits=limits) as bus, bus.open_client() as client:
        async with open_peer(bus) as one_too_many:
            await settle()
            async with open_peer(bus), open_peer(bus):
                start = trio.current_time()
                assert await one_too_many.read_to_end() == []
                assert trio.current_time() - start < 0.5
        assert await client.publish("x", Note("")) == 0


@pytest.mark.parametrize("data", [b"\x00\x00\x00\x07garbage", b"\xff\xff\xff\xff", b"", HELLO_FRAME[:3]])
async def test_a_peer_that_is_turned_away_harms_nobody(clock: trio.testing.MockClock, data: bytes) -> None:
    """What a peer sends that cannot be let in, or that it sends nothing, is nothing to the bus."""
    async with (
        t2bus.open_bus("tcp:127.0.0.1:0", limits=t2bus.Limits(connections=1)) as bus,
        bus.open_client() as client,
    ):
        async with open_peer(bus) as peer:
            await peer.send_bytes(data)
            assert await peer.read_to_end() == []
        assert await client.publish("x", Note("")) == 0


# --- peers that do not keep up


async def test_a_client_that_stops_reading(
    clock: trio.testing.MockClock, tcp: Site, bystanders: Bystanders, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that reads nothing is closed after 10 s without progress, and the others go on all the while."""
    caplog.set_level(logging.INFO, "t2bus")
    payload = random.Random(0).randbytes(900_000)
    async with open_peer(tcp.bus) as peer, bystanders.one.subscribe_bytes("x") as messages:
        await peer.shake_hands()
        await peer.send(m.Subscribe(1, "x", 10_000, 1 << 40))
        await peer.expect(m.Accepted)
        start = trio.current_time()
        # The kernel probes a full peer when it pleases, in real time, and what it takes then is progress.
        while tcp.bus.statistics().connections == 3:
            assert trio.current_time() - start < 60
            # It lives: only that it does not read counts here.
            await peer.send(m.Ping(0))
            for _ in range(3):
                await bystanders.other.publish_bytes("x", payload)
                assert (await messages.receive()).body == payload
            await bystanders.try_out()
            await trio.sleep(1)
        assert trio.current_time() - start >= 10
    assert "Limits.write_stall" in caplog.text


async def test_a_reader_that_stalls_beside_one_that_does_not(memory: Site) -> None:
    """While one subscription of a client is full, another goes on, and the first continues where it stopped."""
    limits = t2bus.Limits(subscription_messages=3)
    async with (
        memory.connect(limits=limits) as client,
        memory.connect() as other,
        client.subscribe(Count, "*") as stalled,
        client.subscribe(Count, "*") as live,
    ):
        for number in range(20):
            await other.publish("x", Count(number))
            assert (await live.receive()).body.number == number
        assert [(await stalled.receive()).body.number for _ in range(3)] == [0, 1, 2]
        with pytest.raises(t2bus.Lagged, match="17 messages were dropped here; receive again"):
            await stalled.receive()
        await other.publish("x", Count(20))
        assert (await stalled.receive()).body.number == (await live.receive()).body.number == 20


async def test_sending_waits_for_room(clock: trio.testing.MockClock) -> None:
    """While the bus reads nothing, calls wait for room in the client's outbox, and go on or end with the bus."""
    release = trio.Event()
    received: list[m.ClientMessage] = []

    async def serve(peer: RawPeer[m.ClientMessage]) -> None:
        await welcome(peer)
        await release.wait()
        while len([message for message in received if isinstance(message, m.Publish)]) < 8:
            received.extend(await peer.receive())

    limits = limits_with(outbox_bytes=1_000_000)
    ended = 0

    async def publish() -> None:
        nonlocal ended
        with pytest.raises(t2bus.Disconnected):
            await client.publish_bytes("x", random.Random(0).randbytes(1_000_000))
        ended += 1

    async def send() -> None:
        nonlocal ended
        with pytest.raises(t2bus.Disconnected):
            async with client.open_bytes_publisher("x") as publisher:
                while True:
                    await publisher.send(random.Random(0).randbytes(1_000_000))
        ended += 1

    async with open_fake_bus(serve) as address, t2bus.open_client(address, limits=limits) as client:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(publish)
            nursery.start_soon(send)
            await settle()
            assert client.statistics().outbox_bytes < 3_000_000
            release.set()
        assert ended == 21


# --- buses that break the rules


async def test_no_bus_at_the_port(clock: trio.testing.MockClock) -> None:
    """Connecting to a port where nothing listens raises ``ConnectFailed`` that says how to start a bus."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(t2bus.ConnectFailed, match=f"python -m t2bus serve tcp:127.0.0.1:{port}"):
        async with t2bus.open_client(f"tcp:127.0.0.1:{port}"):
            pass


async def test_a_missing_socket(folder: Path) -> None:
    """Connecting to a socket that is not there raises ``ConnectFailed`` that says how to start a bus."""
    with pytest.raises(t2bus.ConnectFailed, match=r"No such file.*python -m t2bus serve unix:"):
        async with t2bus.open_client(f"unix:{folder}/missing"):
            pass


async def test_a_path_that_is_a_regular_file(folder: Path) -> None:
    """Connecting to a regular file raises ``ConnectFailed``, and the file is untouched."""
    path = folder / "file"
    path.write_text("precious")
    with pytest.raises(t2bus.ConnectFailed, match="Connection refused"):
        async with t2bus.open_client(f"unix:{path}"):
            pass
    assert path.read_text() == "precious"


async def say_nothing(_peer: RawPeer[m.ClientMessage]) -> None:
    await trio.sleep_forever()


async def hang_up(peer: RawPeer[m.ClientMessage]) -> None:
    await peer.receive()


BAD_BUSES: dict[str, tuple[str, Callable[[RawPeer[m.ClientMessage]], Awaitable[None]]]] = {
    "says nothing": ("no bus answered within 5 s", say_nothing),
    "hangs up": ("closed before a bus answered", hang_up),
    "speaks another protocol": ("does not speak the wire", lambda peer: peer.send_bytes(b"SSH-2.0-OpenSSH\r\n")),
    "refuses": ("did not let this client in: go away", lambda peer: peer.send(m.Error("go away"))),
    "begins elsewhere": ("something else than a WELCOME", lambda peer: peer.send(m.Ping(0))),
    "is of another version": ("of this version", lambda peer: peer.send(evolve(WELCOME, version=2))),
}


@pytest.mark.parametrize("name", BAD_BUSES)
async def test_what_listens_is_no_bus(clock: trio.testing.MockClock, name: str) -> None:
    """Connecting to what does not answer like a bus raises ``ConnectFailed`` that says what was met."""
    text, answer = BAD_BUSES[name]
    async with open_fake_bus(answer) as address:
        with pytest.raises(t2bus.ConnectFailed, match=text):
            async with t2bus.open_client(address):
                pass


BAD_WORDS: dict[str, Any] = {
    "a second WELCOME": WELCOME,
    "more than the window": m.Deliver((1,), m.Publication("x", b"")),
    "more requests than the window": m.Call(1, 2, None, "raw", b""),
}


@pytest.mark.parametrize("name", BAD_WORDS)
async def test_a_bus_that_breaks_the_rules_is_told(clock: trio.testing.MockClock, name: str) -> None:
    """A client tells a bus that breaks the rules which, closes, and its calls raise ``Disconnected`` with the same."""
    last: list[m.ClientMessage] = []

    async def serve(peer: RawPeer[m.ClientMessage]) -> None:
        await welcome(peer)
        await peer.expect(m.Subscribe)
        await peer.send(m.Accepted(1, (0,)))
        await peer.expect(m.Claim)
        await peer.send(m.Accepted(2, (0,)))
        words = BAD_WORDS[name]
        await peer.send(words, evolve(words, id=2) if isinstance(words, m.Call) else words)
        last.extend(await peer.read_to_end())

    limits = t2bus.Limits(subscription_messages=1, service_requests=1)
    async with open_fake_bus(serve) as address, t2bus.open_client(address, limits=limits) as client:
        with pytest.raises(t2bus.Disconnected, match="broke the rules of the wire"):
            async with client.subscribe_bytes("x"), client.serve_bytes("raw"):
                await client.publish_bytes("y", b"")
        await wait_until(lambda: bool(last))
    assert isinstance(last[-1], m.Error)


async def test_an_answer_of_the_wrong_kind(clock: trio.testing.MockClock) -> None:
    """A bus that answers a request like a publication makes that call raise, and no other."""

    async def serve(peer: RawPeer[m.ClientMessage]) -> None:
        await welcome(peer)
        await peer.expect(m.Ask)
        await peer.send(m.Accepted(1, (1,)), m.Ping(0))
        await peer.expect(m.Publish)
        await peer.send(m.Accepted(2, (7,)))
        await trio.sleep_forever()

    async with open_fake_bus(serve) as address, t2bus.open_client(address) as client:
        with pytest.raises(t2bus.ProtocolViolation):
            await client.request_bytes("raw", b"")
        assert await client.publish_bytes("x", b"") == 7


async def test_a_bus_says_why_it_closes(clock: trio.testing.MockClock) -> None:
    """The reason that a bus gives for closing a connection is in the error of every call."""

    async def serve(peer: RawPeer[m.ClientMessage]) -> None:
        await welcome(peer)
        await peer.send(m.Error("I do not like you"))
        await peer.read_to_end()

    async with open_fake_bus(serve) as address, t2bus.open_client(address) as client:
        await settle()
        with pytest.raises(t2bus.Disconnected, match="I do not like you"):
            await client.publish_bytes("x", b"")


async def test_a_bus_that_hangs_up_mid_write_is_heard_out(clock: trio.testing.MockClock) -> None:
    """The reason that a bus gives is not lost because writing to it fails first."""

    async def serve(peer: RawPeer[m.ClientMessage]) -> None:
        await welcome(peer)
        await peer.expect(m.Publish)
        await peer.send(m.Error("enough"))

    async with open_fake_bus(serve) as address, t2bus.open_client(address) as client:
        with pytest.raises(t2bus.Disconnected, match="enough"):
            async with client.open_bytes_publisher("x") as publisher:
                while True:
                    await publisher.send(random.Random(0).randbytes(500_000))


async def test_a_connection_that_is_broken_one_way(clock: trio.testing.MockClock) -> None:
    """A bus that takes nothing any more but leaves the other direction open is soon taken for lost."""
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(welcome, RawPeer(far, native.decode_client_messages))
        async with t2bus.open_client(near) as client:
            far.receive_stream.close()
            with trio.fail_after(2), pytest.raises(t2bus.Disconnected, match="the connection to the bus broke"):
                await client.publish_bytes("x", b"")


async def test_a_client_that_is_broken_one_way(clock: trio.testing.MockClock) -> None:
    """A client that takes nothing any more but leaves the other direction open is soon closed."""
    near, far = trio.testing.memory_stream_pair()
    async with t2bus.open_bus() as bus, bus.open_client() as client, trio.open_nursery() as nursery:
        nursery.start_soon(partial(bus.serve_stream, far, identity="deaf"))
        peer = RawPeer(near, native.decode_server_messages)
        await peer.shake_hands()
        await peer.send(m.Subscribe(1, "x", 10, 1000))
        await peer.expect(m.Accepted)
        near.receive_stream.close()
        assert await client.publish_bytes("x", b"") == 1
        await trio.sleep(1.1)
        assert bus.statistics().connections == 1


async def test_an_error_inside_the_bus_costs_one_connection(
    tcp: Site, bystanders: Bystanders, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the bus itself fail over a message, it logs that, closes that connection, and goes on."""
    async with open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        with monkeypatch.context() as patch:
            patch.setattr("t2bus.broker.subscriptions.SubscriptionTable.credit", None)
            await peer.send(m.Credit((1, 1, 1)))
            assert await peer.read_to_end() == []
    assert "internal error" in caplog.text
    assert tcp.bus.statistics().connections == 2


async def test_an_error_over_the_end_of_a_connection_costs_nobody_else(
    tcp: Site, bystanders: Bystanders, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the bus itself fail over the end of a connection, it logs that, and goes on."""
    with monkeypatch.context() as patch:
        patch.setattr("t2bus.broker.subscriptions.SubscriptionTable.disconnect", None)
        async with tcp.bus.open_client():
            assert tcp.bus.statistics().connections == 3
        await wait_until(lambda: tcp.bus.statistics().connections == 2)
    assert "the end of local: internal error" in caplog.text
