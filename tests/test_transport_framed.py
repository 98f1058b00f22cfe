"""The framed transport over any stream: pieces, progress, compression and the ends of a stream."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import HELLO, WELCOME, Bystanders, RawPeer, Site, open_peer
from t2bus.errors import ProtocolViolation
from t2bus.transport.framed import FramedTransport
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.codec import codec_for_bus, codec_for_client
from t2bus.wire.values import Deflated

if TYPE_CHECKING:
    from t2bus.transport.transport import Transport

LIMIT = 4096


def connect(stream: trio.abc.Stream) -> FramedTransport[m.ServerMessage, m.ClientMessage]:
    return FramedTransport(stream, codec_for_bus(), LIMIT)


def accept(stream: trio.abc.Stream) -> FramedTransport[m.ClientMessage, m.ServerMessage]:
    return FramedTransport(stream, codec_for_client(), LIMIT)


async def test_two_ends_understand_each_other() -> None:
    """What one end sends the other receives, in batches, over whatever stream."""
    client_stream, bus_stream = trio.testing.memory_stream_pair()
    client, bus = connect(client_stream), accept(bus_stream)
    await client.send([HELLO, m.Ping(1)])
    assert await bus.receive() == [HELLO, m.Ping(1)]
    await bus.send([WELCOME])
    assert await client.receive() == [WELCOME]


async def test_bytes_that_come_one_by_one() -> None:
    """Messages are received whole, however their bytes are torn."""
    peer, stream = trio.testing.memory_stream_pair()
    bus = accept(stream)
    messages: list[m.ClientMessage] = [HELLO, m.Ping(1), m.Subscribe(1, "x", 10, 10), m.Goodbye("so long")]
    received: list[m.ClientMessage] = []

    async def send() -> None:
        for byte in b"".join(native.encode(message) for message in messages):
            await peer.send_all(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while len(received) < len(messages):
            received += await bus.receive()
    assert received == messages


async def test_a_cancelled_receive_loses_nothing() -> None:
    """Bytes that arrived before receiving was cancelled are part of what is received next."""
    peer, stream = trio.testing.memory_stream_pair()
    bus = accept(stream)
    data = native.encode(HELLO)
    await peer.send_all(data[:7])
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bus.receive)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    await peer.send_all(data[7:])
    assert await bus.receive() == [HELLO]


async def test_many_small_messages_are_decoded_in_parts() -> None:
    """Others run between two parts of what one read brought; cancelling there loses nothing, and all is in order."""
    peer, stream = trio.testing.memory_stream_pair()
    bus = accept(stream)
    bus.set_frame_limit(1 << 20)
    await peer.send_all(b"".join(native.encode(m.Ping(number)) for number in range(5000)))
    received = [*await bus.receive()]
    assert 0 < len(received) < 2000
    with trio.CancelScope() as scope:
        scope.cancel()
        await bus.receive()
    assert scope.cancelled_caught
    while len(received) < 5000:
        received += await bus.receive()
    assert received == [m.Ping(number) for number in range(5000)]


async def test_the_end_of_a_stream() -> None:
    """A stream that its peer has closed is at its end, for receiving, and broken, for sending."""
    client_stream, bus_stream = trio.testing.memory_stream_pair()
    client, bus = connect(client_stream), accept(bus_stream)
    await client.send([HELLO])
    await bus.receive()
    await client.aclose()
    with pytest.raises(trio.EndOfChannel):
        await bus.receive()
    with pytest.raises(trio.BrokenResourceError):
        await bus.send([WELCOME])


async def test_the_own_end_closed() -> None:
    """Tasks that use a transport which another task closes find it broken, as if the peer had."""
    client_stream, _bus_stream = trio.testing.memory_stream_pair()
    client = connect(client_stream)
    await client.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await client.receive()
    with pytest.raises(trio.BrokenResourceError):
        await client.send([HELLO])
    assert client.writing_since is None


async def test_what_was_read_before_is_part_of_it() -> None:
    """What was read of a stream to know its wire is the beginning of what is received."""
    peer, stream = trio.testing.memory_stream_pair()
    data = native.encode(HELLO) + native.encode(m.Ping(1))
    for size in range(1, len(data)):
        bus = FramedTransport(stream, codec_for_client(), LIMIT, data[:size])
        await peer.send_all(data[size:])
        received: list[m.ClientMessage] = []
        while len(received) < 2:
            received += await bus.receive()
        assert received == [HELLO, m.Ping(1)]


async def test_the_limit_of_the_handshake_is_raised_after_it() -> None:
    """Frames are small until the handshake is over."""
    for raised in (False, True):
        peer, stream = trio.testing.memory_stream_pair()
        bus = accept(stream)
        large = m.Goodbye("x" * LIMIT)
        await peer.send_all(native.encode(HELLO))
        await bus.receive()
        await peer.send_all(native.encode(large))
        if raised:
            bus.set_frame_limit(2 * LIMIT)
            assert await bus.receive() == [large]
        else:
            with pytest.raises(ProtocolViolation):
                await bus.receive()


async def test_a_slow_reader_is_told_from_one_that_does_not_read(autojump_clock: trio.testing.MockClock) -> None:
    """The progress of a large write shows while it goes on, piece by piece."""
    client_stream, peer = trio.testing.lockstep_stream_pair()
    client: Transport[m.ServerMessage, m.ClientMessage] = connect(client_stream)
    seen: set[float] = set()
    read = 0
    message = m.Publish(1, False, m.Publication("x", bytes(1_000_000)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, [message])
        while read < 1_000_000:
            await trio.sleep(1)
            assert client.writing_since is not None
            seen.add(client.writing_since)
            read += len(await peer.receive_some(100_000))
        while read < len(native.encode(message)):
            read += len(await peer.receive_some(100_000))
    assert client.writing_since is None
    assert len(seen) >= 4


async def test_reading_a_part_of_a_frame_shows() -> None:
    """A transport says when it last read anything, be it one byte."""
    peer, stream = trio.testing.memory_stream_pair()
    bus = accept(stream)
    assert bus.read_at < trio.current_time()
    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bus.receive)
        await peer.send_all(b"\0")
        await trio.testing.wait_all_tasks_blocked()
        assert bus.read_at >= before
        nursery.cancel_scope.cancel()


async def subscribe(peer: RawPeer[m.ServerMessage], compressions: tuple[str, ...]) -> None:
    await peer.send(m.Hello(1, "a test", compressions))
    await peer.expect(m.Welcome)
    await peer.send(m.Subscribe(1, "**", 1000, 1 << 30), m.Claim(2, "raw", 10, 1 << 30))
    await peer.expect(m.Accepted)


async def test_large_payloads_are_compressed_over_tcp(tcp: Site, bystanders: Bystanders) -> None:
    """A client on TCP sends what is worth it compressed, and the bus passes it on as it is."""
    async with open_peer(tcp.bus) as peer:
        await subscribe(peer, ("zlib",))
        for payload in (b"x" * 5000, b"x" * 5001):
            await bystanders.one.publish_bytes("x", payload)
            sent = (await peer.expect(m.Deliver)).publication.payload
            assert isinstance(sent, Deflated) == (len(payload) > 5000)


async def test_the_bus_inflates_for_who_cannot(tcp: Site, bystanders: Bystanders) -> None:
    """A peer that did not list zlib in its HELLO gets payloads, requests and responses inflated."""
    payload = b"x" * 100_000
    async with open_peer(tcp.bus) as peer, trio.open_nursery() as nursery:
        await subscribe(peer, ())
        await bystanders.one.publish_bytes("x", payload)
        assert (await peer.expect(m.Deliver)).publication.payload == payload
        nursery.start_soon(bystanders.one.request_bytes, "raw", payload)
        call = await peer.expect(m.Call)
        assert call.payload == payload
        await peer.send(m.Respond(call.id, b""))


async def test_unix_and_memory_do_not_compress(folder: object) -> None:
    """Where nothing leaves the machine payloads travel as they are."""
    async with t2bus.open_bus("tcp:127.0.0.1:0", f"unix:{folder}/bus") as bus, open_peer(bus) as peer:
        await subscribe(peer, ("zlib",))
        async with bus.open_client() as by_memory, t2bus.open_client(bus.addresses[1]) as by_unix:
            for client in (by_memory, by_unix):
                await client.publish_bytes("x", b"x" * 100_000)
                assert (await peer.expect(m.Deliver)).publication.payload == b"x" * 100_000


async def test_what_is_inflated_for_a_peer_is_inflated_bit_by_bit(tcp: Site, bystanders: Bystanders) -> None:
    """Megabytes of compressed payloads that wait for a peer without zlib are not all inflated at once."""
    async with open_peer(tcp.bus) as peer:
        await subscribe(peer, ())
        payload = bytes(1_000_000)
        tracemalloc.start()
        async with bystanders.one.open_bytes_publisher("x") as publisher:
            for _ in range(100):
                await publisher.send(payload)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20_000_000
        for _ in range(100):
            assert (await peer.expect(m.Deliver)).publication.payload == payload
