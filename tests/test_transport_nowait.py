"""Sending without waiting: what the other end takes is there at once, and the rest goes first afterwards."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from bus_helpers import HELLO, WELCOME
from pure_helpers import steady
from stream_helpers import LIMITS, SMALL, TransportPair, Wire, connect, open_transport_pair, publication, stream_on
from t2bus.endpoints import open_transport, recognise
from t2bus.wire import messages as m
from t2bus.wire import values as v
from t2bus.wire.framing import frame
from tls_peer_helpers import open_tls_pair

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from t2bus.transport.transport import Transport

KEEP_ALIVE: Final = bytes.fromhex("a26269640167636f6e74656e74694b656570416c697665")
"""What a client of the Rust crate says now and then."""


def is_free(transport: Transport[Any, Any]) -> tuple[bool, bool]:
    """Whether something can be sent now, and whether nothing is being written."""
    return transport.can_send_nowait, transport.writing_since is None


@pytest.fixture(params=["unix", "tcp", "tls"])
async def pair(request: pytest.FixtureRequest) -> AsyncGenerator[TransportPair, None]:
    if request.param == "tls":
        with open_tls_pair("tcp") as secure:
            yield TransportPair(secure.stream, connect(secure.stream), Wire(secure.peer.far, secure.peer.open))
    else:
        with open_transport_pair(request.param) as pair:
            yield pair


plain = pytest.mark.parametrize("pair", ["unix", "tcp"], indirect=True)


# --- what the socket takes


async def test_it_is_on_the_wire_at_once(pair: TransportPair) -> None:
    """Messages that the socket takes are sent when the call returns, though no other task has run."""
    messages: list[m.ClientMessage] = [HELLO, m.Ping(1), publication(2)]
    assert pair.transport.send_nowait(messages)
    await trio.lowlevel.wait_readable(pair.wire.far)
    assert pair.wire.read() == messages
    assert is_free(pair.transport) == (True, True)


async def test_nothing_is_sent_at_once(pair: TransportPair) -> None:
    """No messages are no bytes, and all of them are sent."""
    assert pair.transport.send_nowait([])
    assert pair.transport.writing_since is None
    assert pair.wire.read() == []
    await pair.transport.aclose()


async def test_it_goes_on_after_what_was_sent(pair: TransportPair) -> None:
    """Messages that are sent at once and such that are sent by waiting come in the order of the calls."""
    messages = [publication(number) for number in range(20)]
    for number, message in enumerate(messages):
        if number % 3:
            assert pair.transport.send_nowait([message])
        else:
            await pair.transport.send([message])
    assert await pair.read_until(20) == messages


# --- what it does not take


async def test_the_rest_is_kept(pair: TransportPair) -> None:
    """What does not fit in the socket is kept, and something is being written until the next call has sent it."""
    message = publication(1, 1_000_000)
    assert not pair.transport.send_nowait([message])
    assert is_free(pair.transport) == (False, False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.transport.send, [])
        assert await pair.read_until(1) == [message]
    assert is_free(pair.transport) == (True, True)


async def test_the_rest_goes_first(pair: TransportPair) -> None:
    """What is sent after something that did not fit comes behind its rest, and nothing is lost or sent twice."""
    messages = [publication(number, 300_000) for number in range(4)]
    assert not pair.transport.send_nowait(messages[:2])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.transport.send, messages[2:])
        assert await pair.read_until(4) == messages
    await pair.transport.send([m.Ping(5)])
    assert pair.transport.send_nowait([m.Ping(6)])
    assert await pair.read_until(2) == [m.Ping(5), m.Ping(6)]


async def test_a_socket_that_is_full_takes_nothing(pair: TransportPair) -> None:
    """However full the socket is when the last message meets it, all come out, one after the other."""
    messages: list[m.ClientMessage] = [m.Ping(0)]
    while pair.transport.send_nowait(messages[-1:]):
        messages.append(m.Ping(len(messages)))
    assert len(messages) > 10
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.transport.send, ())
        assert await pair.read_until(len(messages)) == messages


async def test_the_rest_is_as_old_as_the_call(autojump_clock: trio.testing.MockClock) -> None:
    """A peer that takes nothing shows: since the call nothing got anywhere."""
    with open_transport_pair() as pair:
        assert not pair.transport.send_nowait([publication(1, 1_000_000)])
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
    with open_transport_pair() as pair:
        for step, size in [*steps, ("send", 0)]:
            if step == "read":
                heard += pair.wire.read(size)
                continue
            said.append(publication(len(said), size))
            rest = said[-1:]
            if step == "now" and pair.transport.can_send_nowait:
                if pair.transport.send_nowait(rest) or size % 2:
                    # Sent, or its rest is left to the next that is sent.
                    continue
                rest = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pair.transport.send, rest)
                heard += await pair.read_until(len(said) - len(heard))
    assert heard == said


# --- a socket that is no more


@pytest.mark.parametrize("what", ["the peer closed", "the peer closed with something unread", "closed here"])
async def test_a_socket_that_is_no_more(pair: TransportPair, what: str) -> None:
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
                if not pair.transport.send_nowait([m.Ping(2)]):
                    break
                await trio.lowlevel.checkpoint()
    if what == "closed here":
        assert not pair.transport.send_nowait([m.Ping(3)])
    assert pair.transport.writing_since is not None
    with pytest.raises(trio.BrokenResourceError):
        await pair.transport.send([])
    assert pair.transport.writing_since is None


# --- when and where it may be done


async def test_not_while_something_is_being_sent(pair: TransportPair) -> None:
    """While another task sends nothing can be sent between its pieces."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.transport.send, [publication(1, 1_000_000)])
        await trio.testing.wait_all_tasks_blocked()
        assert is_free(pair.transport) == (False, False)
        await pair.read_until(1)
    assert is_free(pair.transport) == (True, True)


async def test_not_on_other_streams() -> None:
    """Only a socket of ours, with TLS or not, can be written to directly: what is below another stream is its own."""
    memory, _ = trio.testing.memory_stream_pair()
    tls = trio.SSLStream(memory, ssl.create_default_context(), server_hostname="localhost")
    for stream in (tls, memory, trio.StapledStream(memory, memory)):
        assert not connect(stream).can_send_nowait
    await memory.aclose()


@plain
async def test_the_bus_sends_now_to_a_client_of_the_native_wire(pair: TransportPair) -> None:
    """What a bus says to a client of its own wire, once that has said its first word, can be sent at once."""
    far = stream_on(pair.wire.far.dup())
    await pair.transport.send([HELLO])
    bus = await recognise(far, LIMITS)
    assert await bus.receive() == [HELLO]
    assert is_free(bus) == (True, True)
    assert bus.send_nowait([WELCOME])
    assert await pair.transport.receive() == [WELCOME]
    await far.aclose()


async def test_not_where_payloads_may_have_to_be_inflated(pair: TransportPair) -> None:
    """Inflating takes long, so what is said to a peer without zlib is left to its writer."""
    for can_inflate in (True, False):
        pair.transport.set_frame_limit(LIMITS.frame, can_inflate=can_inflate)
        assert pair.transport.can_send_nowait is can_inflate
    await pair.transport.aclose()


async def test_what_has_nothing_to_inflate_can_be_sent_all_the_same(pair: TransportPair) -> None:
    """To a peer without zlib, only what holds a compressed payload is left to its writer."""
    plain, compressed = m.Respond(1, b"x"), m.Respond(2, v.Deflated(b"y"))
    for can_inflate in (True, False):
        pair.transport.set_frame_limit(LIMITS.frame, can_inflate=can_inflate)
        takes: list[bool] = [pair.transport.takes_nowait(each) for each in ([plain], [plain, compressed])]
        assert takes == [True, can_inflate]
    await pair.transport.aclose()


@plain
async def test_not_for_a_client_of_the_rust_crate(pair: TransportPair) -> None:
    """What is said to a client of another wire is translated, and left to its writer if it is not known what it is."""
    far = stream_on(pair.wire.far.dup())
    await pair.stream.send_all(frame(KEEP_ALIVE))
    bus = await recognise(far, LIMITS)
    await bus.receive()
    assert not bus.can_send_nowait
    assert bus.takes_nowait([m.Pong(0)])
    await far.aclose()


async def test_not_to_a_bus_of_the_rust_crate(pair: TransportPair) -> None:
    """What is said to a bus of another wire is translated, and left to the writer."""
    client = open_transport(pair.stream, LIMITS, wire="t2", stays_here=True)
    assert not client.can_send_nowait
    await pair.transport.aclose()
