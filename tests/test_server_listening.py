"""Accepting: no shortage of the machine ends it, and a crowd comes in at a bounded rate."""

from __future__ import annotations

import errno
import logging
import os
import socket
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest
import trio
import trio.testing
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

import t2bus
from bus_helpers import HELLO, Note, RawPeer, open_bystanders, settle
from program_helpers import open_program
from pure_helpers import steady
from t2bus.endpoints import Listener
from t2bus.server.limiters import RateLimiter
from t2bus.server.listening import listen
from t2bus.transport.address import TcpAddress
from t2bus.wire import messages as m
from t2bus.wire import native

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

HERE = TcpAddress("127.0.0.1", 4242)
EAGER = 1_000_000
"""A rate that holds nobody up in a test."""


async def ignore(listener: Listener, stream: trio.SocketStream) -> None:
    """Let a connection be."""
    await trio.lowlevel.checkpoint()


@define(eq=False)
class Accepting:
    """What a listening socket does on each try: fails with an error's number, or brings this connection."""

    tries: Iterator[int | trio.SocketStream]
    at: list[float] = field(factory=list)
    """When it was tried."""

    async def accept(self) -> trio.SocketStream:
        """Do the next."""
        await trio.lowlevel.checkpoint()
        self.at.append(trio.current_time())
        for what in self.tries:
            if isinstance(what, int):
                raise OSError(what, os.strerror(what))
            return what
        raise trio.ClosedResourceError

    def pauses(self) -> list[float]:
        """Return the times between two tries."""
        return [round(later - earlier, 4) for earlier, later in zip(self.at, self.at[1:], strict=False)]


def listener_of(accepting: Accepting) -> Listener:
    return Listener(cast("trio.SocketListener", accepting), HERE)


async def try_all(*tries: int | trio.SocketStream) -> Accepting:
    """Accept until all tries are used up."""
    accepting = Accepting(iter(tries))
    await listen(listener_of(accepting), ignore, RateLimiter(EAGER))
    return accepting


@pytest.fixture
def stream() -> Generator[trio.SocketStream, None, None]:
    """Give a connection that was accepted."""
    one, other = socket.socketpair()
    with one, other:
        yield trio.SocketStream(trio.socket.from_stdlib_socket(one))


# --- shortage


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
async def test_shortage_is_waited_out(clock: trio.testing.MockClock, number: int) -> None:
    """Out of files or memory, it tries again after 10 ms, and then after twice as long each time, up to 0.5 s."""
    accepting = await try_all(*[number] * 10)
    assert accepting.pauses() == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5, 0.5, 0.5]


async def test_success_makes_the_next_pause_short(clock: trio.testing.MockClock, stream: trio.SocketStream) -> None:
    """Once a connection was accepted, the next shortage begins with the shortest pause."""
    accepting = await try_all(*[errno.EMFILE] * 3, stream, errno.EMFILE, errno.EMFILE)
    assert accepting.pauses() == [0.01, 0.02, 0.04, 0, 0.01, 0.02]


async def test_accepting_goes_on(clock: trio.testing.MockClock, stream: trio.SocketStream) -> None:
    """Who waited is handed on once, with the listener that it came to, and the next is accepted when that is done."""
    handled: list[tuple[object, ...]] = []
    accepting = Accepting(iter((errno.EMFILE, stream)))
    listener = listener_of(accepting)

    async def handle(*what: object) -> None:
        handled.append(what)
        await trio.sleep(7)

    await listen(listener, handle, RateLimiter(EAGER))
    assert handled == [(listener, stream)]
    assert accepting.pauses() == [0.01, 7]


async def test_shortage_is_logged_now_and_then(clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """A shortage is told at once, with its address and reason, and then every 5 s."""
    accepting = await try_all(*[errno.EMFILE] * 30)
    assert 11 < accepting.at[-1] - accepting.at[0] < 13
    assert caplog.messages == [f"cannot accept connections at {HERE} for now: {os.strerror(errno.EMFILE)}"] * 3
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


async def test_a_closed_listener_ends_it() -> None:
    """When its listener is closed, it returns."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, Listener(listener, HERE), ignore, RateLimiter(EAGER))
            await settle()
            await listener.aclose()


OUT_OF_FILES = """
    import logging, resource, sys, trio, t2bus

    async def main():
        files = int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        async with t2bus.open_bus("tcp:127.0.0.1:0", limits=t2bus.Limits(connections=files)) as bus:
            print(bus.addresses[0], flush=True)
            await trio.sleep_forever()

    logging.basicConfig()
    trio.run(main)
"""


async def is_welcomed(
    peer: RawPeer[m.ServerMessage], welcomed: trio.MemorySendChannel[RawPeer[m.ServerMessage]]
) -> None:
    await peer.expect(m.Welcome)
    await welcomed.send(peer)


async def test_a_bus_that_is_out_of_files_goes_on() -> None:
    """While a bus has no file to accept with, those who are connected go on, and others get in when some leave."""
    crowd = 40
    async with open_program(OUT_OF_FILES, str(crowd)) as program, AsyncExitStack() as stack:
        address = await program.stdout.next()
        host, _, port = address.removeprefix("tcp:").rpartition(":")
        bystanders = await stack.enter_async_context(open_bystanders(partial(t2bus.open_client, address)))
        send, receive = trio.open_memory_channel[RawPeer[m.ServerMessage]](crowd)
        nursery = await stack.enter_async_context(trio.open_nursery())
        for _ in range(crowd):
            stream = await stack.enter_async_context(await trio.open_tcp_stream(host, int(port)))
            peer = RawPeer(stream, native.decode_server_messages)
            await peer.send(HELLO)
            nursery.start_soon(is_welcomed, peer, send)
        assert os.strerror(errno.EMFILE) in await program.stderr.until("cannot accept connections")
        await bystanders.try_out()
        inside = receive.statistics().current_buffer_used
        assert 0 < inside < crowd
        for _ in range(inside):
            await (await receive.receive()).stream.aclose()
        for _ in range(crowd - inside):
            await receive.receive()
        await bystanders.try_out()
        async with t2bus.open_client(address) as client:
            assert await client.publish("x", Note("")) == 0


# --- pace


def let_in(rate: int, comings: Sequence[Sequence[float]]) -> list[float]:
    """Let peers come to several listeners, each so long after the one before it; return when each was let in."""
    times: list[float] = []

    async def come(pauses: Sequence[float], pace: RateLimiter, start: float) -> None:
        now = start
        for pause in pauses:
            now += pause
            await trio.sleep_until(now)  # it returns at once if the peer has waited in the queue of the kernel
            times.append(trio.current_time() - start)
            await pace.wait()

    async def main() -> None:
        pace = RateLimiter(rate)
        async with trio.open_nursery() as nursery:
            for pauses in comings:
                nursery.start_soon(come, pauses, pace, trio.current_time())

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return times


def test_a_burst_takes_a_second_of_the_rate() -> None:
    """Of a crowd a second's worth is let in at once, and the others at an even pace."""
    times = let_in(4, [[0.0] * 9])
    assert times == pytest.approx([0, 0, 0, 0, 0, 0.25, 0.5, 0.75, 1.0])


def test_rest_gathers_one_burst_and_no_more() -> None:
    """However long nobody came, the next burst is as large as the first."""
    times = let_in(4, [[0.0] * 5 + [1000.0] + [0.0] * 6])
    assert times[5:] == pytest.approx([1000] * 5 + [1000.25, 1000.5])


def test_who_come_slower_than_the_rate_never_wait() -> None:
    """Peers that come at the rate, or slower, are let in when they come."""
    pauses = [0.25, 0.25, 0.3, 5.0, 0.25] * 10
    expected = [sum(pauses[: number + 1]) for number in range(len(pauses))]
    assert let_in(4, [pauses]) == pytest.approx(expected)


PAUSES = st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.1, 0.3, 1.0, 3.0]), max_size=30)


@given(st.integers(1, 20), st.lists(PAUSES, min_size=1, max_size=3))
@steady(150)
def test_the_rate_holds_in_every_window(rate: int, comings: list[list[float]]) -> None:
    """In any t seconds at most ``rate * (t + 1)`` are let in, and one more for each listener that they come to."""
    times = sorted(let_in(rate, comings))
    assert len(times) == sum(map(len, comings))
    for first, start in enumerate(times):
        for count, end in enumerate(times[first:], 1):
            assert count <= rate * (end - start + 1) + len(comings) + 1e-6
