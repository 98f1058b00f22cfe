"""A peer that reads slowly is told from one that does not read, by what the kernel keeps."""

from __future__ import annotations

import math
import ssl
from typing import Final

import trio
import trio.testing

from stream_helpers import connect, open_sockets, open_transport_pair, publication
from t2bus.transport.any_stream import direct
from t2bus.wire import messages as m
from t2bus.wire import native
from tls_peer_helpers import open_tls_pair

WIDE: Final = 1 << 19
"""Bytes of a socket's buffer that holds several of the kernel's pieces."""


async def test_a_slow_reader_is_told_from_one_that_does_not_read(autojump_clock: trio.testing.MockClock) -> None:
    """A peer that takes a little shows at the next look, long before the socket has room; one that takes nothing does
    not.
    """
    with open_transport_pair(buffer=WIDE) as pair:
        assert not pair.transport.send_nowait([publication(1, 16 * WIDE)])
        began = trio.current_time()
        for _ in range(3):
            await trio.sleep(1)
            pair.transport.look_for_progress()
            assert pair.transport.writing_since == began
        pair.wire.read(WIDE // 2)
        await trio.sleep(1)
        pair.transport.look_for_progress()
        assert pair.transport.writing_since == trio.current_time()


async def test_where_nothing_is_written_nothing_gets_anywhere() -> None:
    """A look at a socket that is not full changes nothing, nor does one at a stream that has no socket of its own."""
    memory, _ = trio.testing.memory_stream_pair()
    other = connect(memory)
    other.look_for_progress()
    with open_transport_pair() as pair:
        pair.transport.look_for_progress()
        assert (pair.transport.writing_since, other.writing_since) == (None, None)
    await memory.aclose()


async def test_a_stream_that_does_not_tell_shows_when_it_takes_something(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A look at a stream without a socket shows no progress; a send that goes on is some."""
    near, far = trio.testing.lockstep_stream_pair()
    transport = connect(near)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.send, [publication(1, 400_000)])
        await trio.sleep(3)
        transport.look_for_progress()
        assert transport.writing_since == trio.current_time() - 3
        received = 0
        while received < 300_000:
            received += len(await far.receive_some(1 << 16))
        await trio.testing.wait_all_tasks_blocked()
        assert transport.writing_since == trio.current_time()
        nursery.cancel_scope.cancel()


async def test_what_the_peer_has_not_taken_is_known() -> None:
    """What was written and not taken counts; of a stream that is closed nothing is known."""
    with open_transport_pair(buffer=WIDE) as pair:
        assert pair.stream.unsent() == 0
        pair.stream.send_nowait([bytes(WIDE)])
        assert (pair.stream.unsent() or 0) > 0
        await pair.stream.aclose()
        assert pair.stream.unsent() is None


async def test_what_is_kept_below_tls_is_known() -> None:
    """What a peer has not taken is told of a socket of Trio's own too, also through TLS."""
    with open_sockets(buffer=WIDE) as (near, _):
        plain = trio.SocketStream(near)
        secure = trio.SSLStream(plain, ssl.create_default_context(), server_hostname="x")
        assert (direct(plain).unsent(), direct(secure).unsent()) == (0, 0)
        await plain.send_all(bytes(WIDE // 2))
        assert direct(plain).unsent() == direct(secure).unsent() != 0


async def test_much_that_is_taken_is_a_sign_of_life(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever takes of much that is on its way is there, though nothing is being written; little tells nothing."""
    with open_transport_pair(buffer=WIDE) as pair:
        for size, is_heard in ((WIDE // 2, True), (1000, False)):
            await pair.transport.send([publication(1, size)])
            pair.transport.look_for_progress()
            await trio.sleep(1)
            pair.wire.read()
            assert (pair.transport.signs().heard_at == trio.current_time()) is is_heard
            assert not pair.transport.signs().has_written


async def test_what_fills_a_socket_is_no_sign_of_life(autojump_clock: trio.testing.MockClock) -> None:
    """That a socket has become full since the last look says nothing of the peer, and the write stands from there."""
    with open_transport_pair() as pair:
        for _ in range(3):
            pair.transport.send_nowait([publication(1, 100)])
            await trio.sleep(1)
            pair.transport.look_for_progress()
        while pair.transport.send_nowait([publication(1, 10_000)]):
            pass
        full_at = trio.current_time()
        for _ in range(3):
            await trio.sleep(1)
            signs = pair.transport.signs()
            assert (signs.heard_at, signs.writing_since) == (-math.inf, full_at)


async def test_parts_of_a_write_are_no_sign_of_life() -> None:
    """That a socket with room takes a write in parts, since TLS encrypts no more at once, says nothing of the peer."""
    with open_tls_pair(buffer=4 * WIDE) as pair:
        transport = connect(pair.stream)
        with trio.fail_after(5):
            await transport.send([publication(1, WIDE)])
        assert transport.signs().heard_at == -math.inf


async def test_signs_of_life_pass_a_long_send() -> None:
    """They are sent between two frames of a batch, behind the one that has begun, in the order of their encoding."""
    encoded: list[type] = []

    def encode(message: m.ClientMessage) -> tuple[bytes, ...]:
        encoded.append(type(message))
        return native.encode_parts(message)

    with open_transport_pair() as pair:
        pair.transport.codec.encode_one = encode
        signs: list[m.ClientMessage] = [m.Ping(1), m.Pong(2)]
        pair.transport.take_signs = lambda: [signs.pop(0) for _ in range(len(signs))]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.transport.send, [publication(number, 300_000) for number in range(3)])
            kinds = [type(message) for message in await pair.read_until(5)]
        assert kinds == encoded == [m.Publish, m.Ping, m.Pong, m.Publish, m.Publish]
