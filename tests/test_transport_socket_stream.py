"""Streams on sockets: what waits, what does not, what is left of what did not fit, and what every Trio stream does."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from stream_helpers import SMALL, open_sockets, stream_pair
from t2bus.transport.socket_stream import SocketStream, drop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence

MOST_BUFFERS = 1024
"""Of one write."""


@define(eq=False)
class Pair:
    """Both ends of a connection: one that is a stream, and one that does just what a test says."""

    near: trio.socket.SocketType
    far: socket.socket
    stream: SocketStream

    def fill(self) -> int:
        """Write until the socket is full, and return how many bytes it took."""
        total = 0
        while written := self.stream.send_nowait([bytes(SMALL)]):
            total += written
        return total

    async def read(self, count: int) -> bytes:
        """Return so many bytes as the far end reads them."""
        data = b""
        with trio.fail_after(10):
            while len(data) < count:
                await trio.lowlevel.wait_readable(self.far)
                data += self.far.recv(count - len(data))
        return data

    async def arrived(self) -> None:
        """Wait until something has come, be it the end."""
        with trio.fail_after(10):
            await trio.lowlevel.wait_readable(self.near)


@contextmanager
def open_pair(kind: str = "unix") -> Generator[Pair, None, None]:
    with open_sockets(kind) as (near, far):
        yield Pair(near, far, SocketStream(near))


@pytest.fixture(params=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Generator[Pair, None, None]:
    with open_pair(request.param) as pair:
        yield pair


def reset(far: socket.socket) -> None:
    """Close the far end of a TCP connection so that what is on its way is given up."""
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()


@define(eq=False)
class BeforeItReads(trio.abc.Instrument):
    """Does something after a waiting task was told that it can read, and before it does."""

    task: trio.lowlevel.Task
    act: Callable[[], object]

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            trio.lowlevel.remove_instrument(self)
            self.act()


# --- reading


async def test_what_has_come_is_returned(pair: Pair) -> None:
    """Reading returns what is there, up to as much as was asked for, and leaves the rest."""
    pair.far.send(b"abcdef")
    await pair.arrived()
    assert await pair.stream.receive_some(4) == b"abcd"
    assert await pair.stream.receive_some(4) == b"ef"


async def test_reading_waits_for_something(pair: Pair) -> None:
    """While nothing has come reading waits, and others run."""
    received: list[bytes] = []

    async def receive() -> None:
        received.append(await pair.stream.receive_some(100))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        assert received == []
        pair.far.send(b"late")
    assert received == [b"late"]


async def test_reading_is_a_checkpoint(pair: Pair) -> None:
    """Others run before what has come already is returned."""
    pair.far.send(b"here")
    await pair.arrived()
    with trio.testing.assert_checkpoints():
        assert await pair.stream.receive_some(100) == b"here"


async def test_cancelled_it_has_read_nothing(pair: Pair) -> None:
    """Reading that was cancelled, before it waited or while it did, leaves everything to the next call."""
    with trio.move_on_after(0) as scope:
        await pair.stream.receive_some(100)
    assert scope.cancelled_caught
    pair.far.send(b"kept")
    await pair.arrived()
    with trio.CancelScope() as scope:
        scope.cancel()
        await pair.stream.receive_some(100)
    assert scope.cancelled_caught
    assert await pair.stream.receive_some(100) == b"kept"


async def test_the_end_is_no_bytes(pair: Pair) -> None:
    """When the peer has closed its end, what it sent before is read first, and then nothing, again and again."""
    pair.far.send(b"last")
    pair.far.close()
    assert [await pair.stream.receive_some(100) for _ in range(3)] == [b"last", b"", b""]


async def test_woken_for_nothing_it_waits_again(pair: Pair) -> None:
    """What somebody else has read before the task came to it is not missed: it waits for the next."""
    received: list[bytes] = []
    taken: list[bytes] = []
    is_taken = trio.Event()

    def take() -> None:
        taken.append(os.read(pair.near.fileno(), 100))
        is_taken.set()

    async def receive() -> None:
        trio.lowlevel.add_instrument(BeforeItReads(trio.lowlevel.current_task(), take))
        received.append(await pair.stream.receive_some(100))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        pair.far.send(b"one")
        with trio.fail_after(10):
            await is_taken.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert received == []
        pair.far.send(b"two")
    assert (taken, received) == ([b"one"], [b"two"])


# --- writing


async def test_what_is_written_is_there_at_once(pair: Pair) -> None:
    """Writing does not wait, and returns how many bytes the socket took."""
    assert pair.stream.send_nowait([b"abc"]) == 3
    assert await pair.read(3) == b"abc"


async def test_several_buffers_are_one_write(pair: Pair) -> None:
    """Buffers of either kind, and empty ones among them, are written with one call and in order."""
    assert pair.stream.send_nowait([b"a", memoryview(b"xbcx")[1:3], b"", b"d"]) == 4
    await trio.lowlevel.wait_readable(pair.far)
    assert pair.far.recv(100) == b"abcd"


async def test_a_full_socket_takes_nothing() -> None:
    """When the socket is full, one buffer and several are both written as no bytes, which is no error."""
    with open_pair() as pair:
        pair.fill()
        assert pair.stream.send_nowait([b"one"]) == 0
        assert pair.stream.send_nowait([b"one", b"two"]) == 0
        await trio.lowlevel.checkpoint()


async def test_a_part_is_written(pair: Pair) -> None:
    """Of more than the socket takes the beginning is written, as many bytes as is returned, and no others."""
    data = bytes(number % 251 for number in range(1_000_000))
    written = pair.stream.send_nowait([data[:100], data[100:]])
    assert 0 < written < len(data)
    assert await pair.read(written) == data[:written]
    with pytest.raises(BlockingIOError):
        pair.far.recv(1)


async def test_a_full_socket_is_waited_for() -> None:
    """Writing some waits while the socket is full, and writes what it can when it is not."""
    written: list[int] = []
    with open_pair() as pair:

        async def write() -> None:
            written.append(await pair.stream.send_some([b"more"]))

        total = pair.fill()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked()
            assert written == []
            await pair.read(total)
    assert written == [4]


async def test_more_buffers_than_one_call_takes(pair: Pair) -> None:
    """Of more buffers than the system takes at once the first 1,024 are written."""
    buffers = [b"%d " % number for number in range(2 * MOST_BUFFERS + 1)]
    assert pair.stream.send_nowait(buffers) == len(b"".join(buffers[:MOST_BUFFERS]))
    assert pair.stream.send_nowait(buffers[MOST_BUFFERS:]) == len(b"".join(buffers[MOST_BUFFERS:-1]))
    assert await pair.read(len(b"".join(buffers[:-1]))) == b"".join(buffers[:-1])


@given(st.lists(st.sampled_from([0, 1, 2, 5, SMALL, 5 * SMALL]), max_size=20), st.integers(0, 3 * MOST_BUFFERS))
@steady(100)
async def test_all_is_written_in_the_end(sizes: list[int], others: int) -> None:
    """Whatever the buffers are, writing and waiting in turn brings all of their bytes to the far end, in order."""
    buffers = [bytes([number]) * size for number, size in enumerate(sizes)] + [b"%d " % each for each in range(others)]
    with open_pair() as pair:

        async def write() -> None:
            rest: Sequence[bytes | memoryview] = buffers
            while rest := drop(rest, pair.stream.send_nowait(rest)):
                rest = drop(rest, await pair.stream.send_some(rest))
                if not rest:
                    return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            assert await pair.read(len(b"".join(buffers))) == b"".join(buffers)


# --- without waiting


async def test_reading_now(pair: Pair) -> None:
    """Without waiting, what has come is returned, the end is no bytes, again and again, and nothing is no result."""
    with pytest.raises(trio.WouldBlock):
        pair.stream.receive_nowait(100)
    pair.far.send(b"abc")
    await pair.arrived()
    assert [pair.stream.receive_nowait(2) for _ in range(2)] == [b"ab", b"c"]
    with pytest.raises(trio.WouldBlock):
        pair.stream.receive_nowait(100)
    pair.far.close()
    await pair.arrived()
    assert [pair.stream.receive_nowait(100) for _ in range(2)] == [b"", b""]


async def test_reading_now_from_what_is_no_more() -> None:
    """A connection that the peer has given up is broken, and a stream that was closed here is closed."""
    with open_pair("tcp") as pair:
        reset(pair.far)
        await pair.arrived()
        with pytest.raises(trio.BrokenResourceError, match="reset by peer"):
            pair.stream.receive_nowait(1)
        await pair.stream.aclose()
        with pytest.raises(trio.ClosedResourceError):
            pair.stream.receive_nowait(1)


async def test_writing_some_waits_for_room_first() -> None:
    """It is always a checkpoint, and writes a batch as far as the socket takes it, full or not when it was called."""
    with open_pair() as pair:
        with trio.testing.assert_checkpoints():
            assert await pair.stream.send_some([b"a", b"b"]) == 2
        total = 2 + pair.fill()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.read, total)
            with trio.testing.assert_checkpoints():
                assert await pair.stream.send_some([b"c"]) == 1


# --- as any Trio stream


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_it_is_what_trio_calls_a_stream_that_can_be_half_closed(kind: str) -> None:
    """It passes Trio's own checks: of checkpoints, cancelling, conflicts, ends, errors and everything closed."""

    async def make() -> tuple[SocketStream, SocketStream]:
        await trio.lowlevel.checkpoint()
        return stream_pair(kind)

    async def make_clogged() -> tuple[SocketStream, SocketStream]:
        left, right = stream_pair(kind, SMALL)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clog, left)
            nursery.start_soon(clog, right)
        return left, right

    with trio.fail_after(30):
        await trio.testing.check_half_closeable_stream(make, make_clogged)


async def clog(stream: SocketStream) -> None:
    """Write until neither this socket nor the other one takes any more.

    What one of TCP has taken goes on to the other in the kernel's own time.
    """
    took_nothing = 0
    while took_nothing < 3:
        took_nothing = 0 if stream.send_nowait([bytes(SMALL)]) else took_nothing + 1
        await trio.sleep(0.01)


async def test_nothing_is_sent_after_the_end(pair: Pair) -> None:
    """After ``send_eof`` the peer reads the end, nothing more is sent, and what it says can still be read."""
    await pair.stream.send_all(b"last")
    for _ in range(2):
        await pair.stream.send_eof()
    assert await pair.read(4) == b"last"
    await trio.lowlevel.wait_readable(pair.far)
    assert pair.far.recv(1) == b""
    with pytest.raises(trio.ClosedResourceError):
        await pair.stream.send_all(b"more")
    pair.far.send(b"answer")
    assert await pair.stream.receive_some() == b"answer"


async def test_the_end_of_a_connection_that_broke() -> None:
    """``send_eof`` to a peer that has given the connection up says that it is broken."""
    with open_pair("tcp") as pair:
        reset(pair.far)
        await pair.arrived()
        with pytest.raises(trio.BrokenResourceError):
            await pair.stream.receive_some(1)
        with pytest.raises(trio.BrokenResourceError):
            await pair.stream.send_eof()


# --- a socket that is no more

CALLS: dict[str, Callable[[SocketStream], Awaitable[object]]] = {
    "receive_some": lambda stream: stream.receive_some(1),
    "send_some": lambda stream: stream.send_some([b"x"]),
    "send_all": lambda stream: stream.send_all(b"x"),
    "wait_send_all_might_not_block": lambda stream: stream.wait_send_all_might_not_block(),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_closed_socket_cannot_be_waited_for(pair: Pair, call: str) -> None:
    """After the stream was closed here waiting says so, whatever had come before."""
    pair.far.send(b"unread")
    await pair.stream.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await CALLS[call](pair.stream)


@pytest.mark.parametrize("buffers", [[b"x"], [b"x", b"y"]])
async def test_a_closed_socket_cannot_be_written(pair: Pair, buffers: list[bytes]) -> None:
    """After the stream was closed here writing says so."""
    await pair.stream.aclose()
    with pytest.raises(trio.ClosedResourceError):
        pair.stream.send_nowait(buffers)


@pytest.mark.parametrize("call", CALLS)
async def test_closing_wakes_who_waits(call: str) -> None:
    """A task that waits while another closes the stream is told that it was closed."""
    with open_pair() as pair, trio.fail_after(10):

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await CALLS[call](pair.stream)

        pair.fill()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await pair.stream.aclose()


async def test_nobody_elses_descriptor_is_read(pair: Pair) -> None:
    """A stream that is closed after something came and before it is read is closed, whoever has its number by then."""
    number = pair.near.fileno()

    def replace() -> None:
        closing = pair.stream.aclose().__await__()
        next(closing)  # it is closed, and gives others their turn
        closing.close()
        other = os.open("/dev/zero", os.O_RDONLY)
        if other != number:
            os.dup2(other, number)
            os.close(other)

    pair.far.send(b"unread")
    await pair.arrived()
    trio.lowlevel.add_instrument(BeforeItReads(trio.lowlevel.current_task(), replace))
    with pytest.raises(trio.ClosedResourceError):
        await pair.stream.receive_some(100)
    assert os.read(number, 3) == bytes(3)
    os.close(number)


async def test_a_reset_is_a_broken_connection_to_a_reader() -> None:
    """Reading from a peer that has given the connection up raises that it is broken, with the system's reason."""
    with open_pair("tcp") as pair:
        reset(pair.far)
        with pytest.raises(trio.BrokenResourceError, match="reset by peer") as caught:
            await pair.stream.receive_some(100)
        assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("buffers", [[b"x"], [b"x", b"y"]])
async def test_a_reset_is_a_broken_connection_to_a_writer(buffers: list[bytes]) -> None:
    """Writing to a peer that has given the connection up raises that it is broken, with the system's reason."""
    with open_pair("tcp") as pair:
        reset(pair.far)
        await pair.arrived()
        for _ in range(2):
            with pytest.raises(trio.BrokenResourceError, match=r"reset by peer|Broken pipe") as caught:
                pair.stream.send_nowait(buffers)
            assert isinstance(caught.value.__cause__, OSError)


async def test_a_unix_peer_that_leaves_something_unread_breaks_the_connection() -> None:
    """A peer of a unix socket that closes with something unread breaks the connection, for a reader and a writer."""
    with open_pair() as pair:
        pair.stream.send_nowait([b"unread"])
        pair.far.close()
        with pytest.raises(trio.BrokenResourceError, match="reset by peer"):
            await pair.stream.receive_some(100)
        with pytest.raises(trio.BrokenResourceError, match="Broken pipe"):
            pair.stream.send_nowait([b"x"])
