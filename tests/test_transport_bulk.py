"""How much is read at once: from a peer that sends in bulk more than from others, and a large frame as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
import trio
import trio.testing
from attrs import define

from stream_helpers import ClientEnd, connect, socket_pair, stream_on
from t2bus.wire import messages as m
from t2bus.wire import native

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator

READ: Final = 65_536
"""What is read at once, as a rule."""


@define(eq=False)
class Writer:
    """A client's transport that reads what a test has written to its socket."""

    transport: ClientEnd
    far: socket.socket
    frames: bytes = b""

    def write(self, size: int) -> None:
        """Write so many bytes of the frames."""
        assert self.far.send(self.frames[:size]) == min(size, len(self.frames))
        self.frames = self.frames[size:]

    async def read(self) -> int:
        """Return how many messages are there with one wait, or with as many as a large frame that has begun takes."""
        received: list[m.ServerMessage] = []

        async def receive() -> None:
            received.extend(await self.transport.receive())
            while self.transport.incoming:
                received.extend(await self.transport.receive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        return len(received)


@pytest.fixture
async def peer() -> AsyncGenerator[Writer, None]:
    near, far = socket_pair()
    with far:
        far.setblocking(False)
        async with stream_on(near) as stream:
            transport = connect(stream)
            transport.set_frame_limit(1 << 20)
            yield Writer(transport, far)


def frames(size: int, count: int) -> bytes:
    """So many frames of that size."""
    around = len(native.encode(m.Response(1, bytes(size)))) - size
    data = native.encode(m.Response(1, bytes(size - around)))
    assert len(data) == size
    return data * count


@pytest.mark.parametrize(
    ("size", "read"),
    [(500, READ), (3000, READ), (4097, 120_000), (16_000, 120_000), (60_000, 120_000)],
)
async def test_bulk_is_read_at_length(peer: Writer, size: int, read: int) -> None:
    """Who fills a read with few frames is read at length the next time; who sends small ones is not."""
    peer.frames = frames(size, 200_000 // size)
    peer.write(READ)
    first = await peer.read()
    assert first == READ // size
    peer.write(120_000)
    assert first + await peer.read() == (READ + read) // size


async def test_who_sends_less_is_read_as_before(peer: Writer) -> None:
    """One read that is not full ends the reading at length."""
    peer.frames = frames(16_000, 20)
    for size in (READ, 1000):
        peer.write(size)
        await peer.read()
    peer.write(120_000)
    assert await peer.read() == (READ + 1000 + READ) // 16_000 - (READ + 1000) // 16_000


@pytest.mark.parametrize("size", [70_000, 100_000, 150_000])
async def test_a_large_frame_that_is_there_is_read_as_a_whole(peer: Writer, size: int) -> None:
    """A frame that one read does not bring, and a second one does, is there with the second."""
    peer.frames = frames(size, 1)
    peer.write(size)
    assert await peer.read() == 1


async def test_a_large_frame_that_is_not_there_is_waited_for(peer: Writer) -> None:
    """What is missing of a large frame after the first read may come later, in any parts."""
    peer.frames = frames(150_000, 1)
    for size in (READ, 10_000, READ):
        peer.write(size)
        assert await peer.read() == 0
    peer.write(150_000)
    assert await peer.read() == 1


async def test_the_end_behind_half_a_large_frame(peer: Writer) -> None:
    """A peer that goes away in the middle of a large frame has ended the stream, and is not waited for."""
    peer.frames = frames(150_000, 1)
    peer.write(READ)
    peer.far.close()
    with pytest.raises(trio.EndOfChannel):
        await peer.transport.receive()
