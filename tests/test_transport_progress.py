"""A peer that reads slowly is told from one that does not read, by what the kernel keeps."""

from __future__ import annotations

import socket
from typing import Final

import trio
import trio.testing

from t2bus.transport.memory import open_memory_pair
from t2bus.transport.socket_stream import DirectSocket
from test_transport_now import connect, open_pair, publication

WIDE: Final = 1 << 19
"""Bytes of a socket's buffer that holds several of the kernel's pieces."""


async def test_a_slow_reader_is_told_from_one_that_does_not_read(autojump_clock: trio.testing.MockClock) -> None:
    """A peer that takes a little shows at the next look, long before the socket has room; one that takes nothing does
    not.
    """
    with open_pair() as pair:
        pair.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WIDE)
        assert not pair.transport.send_now([publication(1, 16 * WIDE)])
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
    client, _ = open_memory_pair()
    client.look_for_progress()
    with open_pair() as pair:
        pair.transport.look_for_progress()
        assert (pair.transport.writing_since, other.writing_since, client.writing_since) == (None, None, None)
    await memory.aclose()


async def test_what_the_peer_has_not_taken_is_known() -> None:
    """What was written and not taken counts; of a stream that is closed nothing is known."""
    with open_pair() as pair:
        direct = DirectSocket(pair.near)
        assert direct.unsent() == 0
        direct.send_now([bytes(WIDE)])
        assert (direct.unsent() or 0) > 0
        direct.close()
        assert direct.unsent() is None
    await trio.lowlevel.checkpoint()
