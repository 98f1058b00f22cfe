"""A peer that reads slowly is told from one that does not read, by what the kernel keeps."""

from __future__ import annotations

from typing import Final

import trio
import trio.testing

from stream_helpers import connect, open_transport_pair, publication

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
