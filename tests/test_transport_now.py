"""Sending without waiting: what the other end takes is there at once, and the rest goes first afterwards."""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
import trio
import trio.testing
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from bus_helpers import HELLO, WELCOME
from pure_helpers import steady
from rust_corpus import CLIENT_FRAMES
from t2bus.limits import Limits
from t2bus.rust.codec import codec_for_rust_bus
from t2bus.transport.dial import accept
from t2bus.transport.framed import FramedTransport
from t2bus.transport.memory import open_memory_pair
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.codec import codec_for_bus
from t2bus.wire.framing import FrameDecoder, frame

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from t2bus.transport.transport import Transport

LIMITS: Final = Limits()
SMALL: Final = 16_384
"""Bytes of a socket's buffer that is full soon."""

ClientEnd = FramedTransport[m.ServerMessage, m.ClientMessage]


def connect(stream: trio.abc.Stream) -> ClientEnd:
    codec = codec_for_bus()
    return FramedTransport(stream, LIMITS.handshake_bytes, lambda _: codec, codec)


def is_free(transport: Transport[Any, Any]) -> tuple[bool, bool]:
    """Whether something can be sent now, and whether nothing is being written."""
    return transport.can_send_now, transport.writing_since is None


def publication(number: int, size: int = 10) -> m.Publish:
    return m.Publish(number, False, m.Publication("x", bytes([number % 256]) * size))


@define(eq=False)
class Wire:
    """The far end of a socket: it is only read when a test says so, and then without waiting."""

    far: socket.socket
    decoder: FrameDecoder = field(factory=lambda: FrameDecoder(1 << 24))

    def read(self, most: int = 1 << 24) -> list[m.ClientMessage]:
        """Return the messages that are complete with what is here now."""
        messages: list[m.ClientMessage] = []
        while most > 0:
            try:
                data = self.far.recv(min(most, 1 << 16))
            except BlockingIOError:
                break
            most -= len(data)
            messages += native.decode_client_messages(self.decoder.feed(data))
        return messages


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        return near, server.accept()[0]


@define(eq=False)
class Pair:
    """A transport on a real socket, and the other end of that."""

    near: trio.socket.SocketType
    transport: ClientEnd
    wire: Wire

    async def read_until(self, count: int) -> list[m.ClientMessage]:
        """Read as many messages, while others write them."""
        messages: list[m.ClientMessage] = []
        with trio.fail_after(10):
            while len(messages) < count:
                await trio.lowlevel.wait_readable(self.wire.far)
                messages += self.wire.read(1 << 16)
        return messages


@contextmanager
def open_pair(kind: str = "unix") -> Generator[Pair, None, None]:
    """Connect two sockets, whose buffers are full soon."""
    near, far = tcp_pair() if kind == "tcp" else socket.socketpair()
    with near, far:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        # With less TCP waits for acknowledgements that are late on purpose.
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        far.setblocking(False)
        with trio.socket.from_stdlib_socket(near) as ours:
            yield Pair(ours, connect(trio.SocketStream(ours)), Wire(far))


@pytest.fixture(params=["unix", "tcp"])
async def pair(request: pytest.FixtureRequest) -> AsyncGenerator[Pair, None]:
    with open_pair(request.param) as pair:
        yield pair


# --- what the socket takes


async def test_it_is_on_the_wire_at_once(pair: Pair) -> None:
    """Messages that the socket takes are sent when the call returns, though no other task has run."""
    messages: list[m.ClientMessage] = [HELLO, m.Ping(1), publication(2)]
    assert pair.transport.send_now(messages)
    await trio.lowlevel.wait_readable(pair.wire.far)
    assert pair.wire.read() == messages
    assert is_free(pair.transport) == (True, True)


async def test_nothing_is_sent_at_once(pair: Pair) -> None:
    """No messages are no bytes, and all of them are sent."""
    assert pair.transport.send_now([])
    assert pair.transport.writing_since is None
    assert pair.wire.read() == []
    await pair.transport.aclose()


async def test_it_goes_on_after_what_was_sent(pair: Pair) -> None:
    """Messages that are sent at once and such that are sent by waiting come in the order of the calls."""
    messages = [publication(number) for number in range(20)]
    for number, message in enumerate(messages):
        if number % 3:
            assert pair.transport.send_now([message])
        else:
            await pair.transport.send([message])
    assert await pair.read_until(20) == messages


# --- what it does not take


async def test_the_rest_is_kept(pair: Pair) -> None:
    """What does not fit in the socket is kept, and something is being written until the next call has sent it."""
    message = publication(1, 1_000_000)
    assert not pair.transport.send_now([message])
    assert is_free(pair.transport) == (False, False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.transport.send, [])
        assert await pair.read_until(1) == [message]
    assert is_free(pair.transport) == (True, True)


async def test_the_rest_goes_first(pair: Pair) -> None:
    """What is sent after something that did not fit comes behind its rest, and nothing is lost or sent twice."""
    messages = [publication(number, 300_000) for number in range(4)]
    assert not pair.transport.send_now(messages[:2])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.transport.send, messages[2:])
        assert await pair.read_until(4) == messages
    await pair.transport.send([m.Ping(5)])
    assert pair.transport.send_now([m.Ping(6)])
    assert await pair.read_until(2) == [m.Ping(5), m.Ping(6)]


async def test_a_socket_that_is_full_takes_nothing(pair: Pair) -> None:
    """However full the socket is when the last message meets it, all come out, one after the other."""
    messages: list[m.ClientMessage] = [m.Ping(0)]
    while pair.transport.send_now(messages[-1:]):
        messages.append(m.Ping(len(messages)))
    assert len(messages) > 10
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.transport.send, ())
        assert await pair.read_until(len(messages)) == messages


async def test_the_rest_is_as_old_as_the_call(autojump_clock: trio.testing.MockClock) -> None:
    """A peer that takes nothing shows: since the call nothing got anywhere."""
    with open_pair() as pair:
        assert not pair.transport.send_now([publication(1, 1_000_000)])
        began = trio.current_time()
        await trio.sleep(5)
        assert pair.transport.writing_since == began


_sizes = st.sampled_from([0, 1, SMALL, 3 * SMALL, 3 * SMALL + 1, 10 * SMALL, 10 * SMALL + 1])
_steps = st.lists(st.tuples(st.sampled_from(["now", "send", "read"]), _sizes), max_size=20)


@given(_steps)
@steady(100)
async def test_however_it_is_sent_it_comes_in_order(steps: list[tuple[str, int]]) -> None:
    """Whatever is sent in whichever way, and however slowly it is read, each message comes once and in order."""
    said: list[m.ClientMessage] = []
    heard: list[m.ClientMessage] = []
    with open_pair() as pair:
        for step, size in [*steps, ("send", 0)]:
            if step == "read":
                heard += pair.wire.read(size)
                continue
            said.append(publication(len(said), size))
            rest = said[-1:]
            if step == "now" and pair.transport.can_send_now:
                if pair.transport.send_now(rest) or size % 2:
                    # Sent, or its rest is left to the next that is sent.
                    continue
                rest = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pair.transport.send, rest)
                heard += await pair.read_until(len(said) - len(heard))
    assert heard == said


# --- a socket that is no more


@pytest.mark.parametrize("what", ["the peer closed", "the peer closed with something unread", "closed here"])
async def test_a_socket_that_is_no_more(pair: Pair, what: str) -> None:
    """Nothing is raised by a socket that cannot be written to: the next call finds the connection broken."""
    if what == "the peer closed with something unread":
        await pair.transport.send([m.Ping(1)])
    if what == "closed here":
        await pair.transport.aclose()
    else:
        pair.wire.far.close()
        with trio.fail_after(10):
            # A write may be what tells a TCP socket.
            for _ in range(1_000_000):
                if not pair.transport.send_now([m.Ping(2)]):
                    break
                await trio.lowlevel.checkpoint()
    if what == "closed here":
        assert not pair.transport.send_now([m.Ping(3)])
    assert pair.transport.writing_since is not None
    with pytest.raises(trio.BrokenResourceError):
        await pair.transport.send([])
    assert pair.transport.writing_since is None


# --- when and where it may be done


async def test_not_while_something_is_being_sent(pair: Pair) -> None:
    """While another task sends nothing can be sent between its pieces."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.transport.send, [publication(1, 1_000_000)])
        await trio.testing.wait_all_tasks_blocked()
        assert is_free(pair.transport) == (False, False)
        await pair.read_until(1)
    assert is_free(pair.transport) == (True, True)


async def test_not_on_other_streams(pair: Pair) -> None:
    """Only a plain socket can be written to directly: TLS has records, and other streams have no descriptor."""
    context = ssl.create_default_context()
    tls = trio.SSLStream(trio.SocketStream(pair.near), context, server_hostname="localhost")
    memory, _ = trio.testing.memory_stream_pair()
    for stream in (tls, memory, trio.StapledStream(memory, memory)):
        transport: Transport[m.ServerMessage, m.ClientMessage] = connect(stream)
        assert not transport.can_send_now
    await pair.transport.aclose()


async def test_the_bus_sends_now_when_it_knows_the_wire(pair: Pair) -> None:
    """A bus can do it for a client of the native wire, once that has said its first word."""
    far = trio.SocketStream(trio.socket.from_stdlib_socket(pair.wire.far.dup()))
    bus = accept(far, LIMITS)
    assert is_free(bus) == (False, True)
    await pair.transport.send([HELLO])
    await bus.receive()
    assert is_free(bus) == (True, True)
    assert bus.send_now([WELCOME])
    assert await pair.transport.receive() == [WELCOME]
    await far.aclose()


async def test_not_where_payloads_may_have_to_be_inflated(pair: Pair) -> None:
    """Inflating takes long, so what is said to a peer without zlib is left to its writer."""
    for can_inflate in (True, False):
        pair.transport.set_frame_limit(LIMITS.frame, can_inflate=can_inflate)
        assert pair.transport.can_send_now is can_inflate
    await pair.transport.aclose()


async def test_not_for_a_client_of_the_rust_crate(pair: Pair) -> None:
    """What is said to a client of another wire is translated, and left to its writer."""
    far = trio.SocketStream(trio.socket.from_stdlib_socket(pair.wire.far.dup()))
    bus = accept(far, LIMITS)
    await trio.SocketStream(pair.near).send_all(frame(CLIENT_FRAMES["KeepAlive"][0]))
    await bus.receive()
    assert not bus.can_send_now
    await far.aclose()


async def test_not_to_a_bus_of_the_rust_crate(pair: Pair) -> None:
    """What is said to a bus of another wire is translated, and left to the writer."""
    codec = codec_for_rust_bus(LIMITS)
    client = FramedTransport(trio.SocketStream(pair.near), LIMITS.handshake_bytes, lambda _: codec, codec)
    assert not client.can_send_now
    await pair.transport.aclose()


# --- in memory


async def test_in_memory_a_batch_is_handed_over_at_once() -> None:
    """A batch is with the other end when the call returns, if that has taken the one before it."""
    client, bus = open_memory_pair()
    for number in range(3):
        assert is_free(client) == (True, True)
        assert client.send_now([m.Ping(number)])
        assert await bus.receive() == [m.Ping(number)]


async def test_in_memory_the_rest_goes_first() -> None:
    """A batch that finds another one there is kept, and handed over before what is sent next."""
    client, bus = open_memory_pair()
    assert client.send_now([m.Ping(1)])
    assert not client.send_now([m.Ping(2)])
    assert is_free(client) == (False, False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, [m.Ping(3)])
        assert [await bus.receive() for _ in range(3)] == [[m.Ping(number)] for number in (1, 2, 3)]
    assert is_free(client) == (True, True)


@pytest.mark.parametrize("closes", ["client", "bus"])
async def test_in_memory_an_end_that_is_no_more(closes: str) -> None:
    """Nothing is raised where an end has closed: the next call finds the connection broken."""
    client, bus = open_memory_pair()
    await (client if closes == "client" else bus).aclose()
    assert not client.send_now([m.Ping(1)])
    with pytest.raises(trio.BrokenResourceError):
        await client.send([])
    assert client.writing_since is None
