"""Sockets that are read without waiting, and those that wait for one and are roused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from bus_helpers import WELCOME
from t2bus.wire import messages as m
from t2bus.wire import native
from test_transport_now import connect, tcp_pair
from test_transport_now import open_pair as open_transport_pair
from test_transport_socket_stream import Pair, open_pair, reset

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from t2bus.transport.socket_stream import DirectSocket


@pytest.fixture(params=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Generator[Pair, None, None]:
    with open_pair(request.param) as pair:
        yield pair


async def test_who_waits_to_read_is_roused(pair: Pair) -> None:
    """A task that waits for something to read is told to look again, and can then wait again, and read."""
    async with trio.open_nursery() as nursery:
        received: list[bytes | None] = []

        async def receive() -> None:
            for _ in range(2):
                with pytest.raises(trio.ClosedResourceError):
                    await pair.direct.wait_until_readable()
                assert pair.direct.receive_now(100) is None
            await pair.direct.wait_until_readable()
            received.append(pair.direct.receive_now(100))

        nursery.start_soon(receive)
        for _ in range(2):
            await trio.testing.wait_all_tasks_blocked()
            pair.direct.rouse()
        await trio.testing.wait_all_tasks_blocked()
        assert received == []
        pair.far.send(b"here")
    assert received == [b"here"]


async def test_a_writer_that_is_roused_goes_on() -> None:
    """Who waits for a full socket merely looks again when it is roused, however often, and all it writes arrives."""
    message = m.Publish(1, False, m.Publication("x", bytes(range(250)) * 4000))
    with open_transport_pair() as pair:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.transport.send, [message])
            for _ in range(5):
                await trio.testing.wait_all_tasks_blocked()
                pair.transport.rouse()
            assert await pair.read_until(1) == [message]
        assert pair.transport.writing_since is None


async def test_rousing_is_no_progress(autojump_clock: trio.testing.MockClock) -> None:
    """A peer that takes nothing shows, however often those who wait for its socket are roused."""
    with open_transport_pair() as pair:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.transport.send, [m.Publish(1, False, m.Publication("x", bytes(1_000_000)))])
            await trio.testing.wait_all_tasks_blocked()
            began = pair.transport.writing_since
            await trio.sleep(5)
            pair.transport.rouse()
            await trio.testing.wait_all_tasks_blocked()
            assert pair.transport.writing_since == began
            nursery.cancel_scope.cancel()


async def test_rousing_where_nobody_waits(pair: Pair) -> None:
    """Who begins to wait after somebody roused is not woken by it, and a closed transport can be roused for nothing."""
    pair.direct.rouse()
    with trio.move_on_after(0) as scope:
        await pair.direct.wait_until_readable()
    assert scope.cancelled_caught
    transport = connect(trio.SocketStream(pair.near))
    await transport.aclose()
    transport.rouse()
    pair.direct.close()
    with pytest.raises(trio.ClosedResourceError):
        pair.direct.rouse()


async def test_reading_now(pair: Pair) -> None:
    """Without waiting, nothing is None, what has come is returned, and the end is no bytes, again and again."""
    assert pair.direct.receive_now(100) is None
    pair.far.send(b"abc")
    await pair.arrived()
    assert [pair.direct.receive_now(2) for _ in range(3)] == [b"ab", b"c", None]
    pair.far.close()
    await pair.arrived()
    assert [pair.direct.receive_now(100) for _ in range(2)] == [b"", b""]


CALLS: dict[str, Callable[[DirectSocket], object]] = {
    "receive": lambda direct: direct.receive_now(1),
    "send one": lambda direct: direct.send_now([b"x"]),
    "send two": lambda direct: direct.send_now([b"x", b"y"]),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_closed_socket_is_closed(pair: Pair, name: str) -> None:
    """Reading or writing now on a socket that was closed here says so, and waiting for it as well."""
    pair.direct.close()
    with pytest.raises(trio.ClosedResourceError):
        CALLS[name](pair.direct)
    with pytest.raises(trio.ClosedResourceError):
        await pair.direct.wait_until_readable()


@pytest.mark.parametrize("name", CALLS)
async def test_a_broken_socket_is_broken(name: str) -> None:
    """Reading or writing now on a connection that the peer has given up says that it is broken."""
    with open_pair("tcp") as pair:
        reset(pair.far)
        await pair.arrived()
        with pytest.raises(trio.BrokenResourceError, match=r"reset by peer|Broken pipe"):
            CALLS[name](pair.direct)


async def test_a_transport_reads_now() -> None:
    """A transport on a plain socket gives the messages that are complete, none where none is, and then the end."""
    near, far = tcp_pair()
    with far, trio.socket.from_stdlib_socket(near) as ours:
        transport = connect(trio.SocketStream(ours))
        assert transport.reads_now
        assert transport.receive_now() == ()
        data = native.encode(WELCOME) + native.encode(m.Ping(1))
        for part, expected in ((data[:10], ()), (data[10:], [WELCOME, m.Ping(1)])):
            far.sendall(part)
            await transport.wait_until_readable()
            assert transport.receive_now() == expected
        far.close()
        await transport.wait_until_readable()
        with pytest.raises(trio.EndOfChannel):
            transport.receive_now()
        await transport.aclose()
        with pytest.raises(trio.BrokenResourceError):
            transport.receive_now()
