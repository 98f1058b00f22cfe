"""A client and a bus over any Trio stream: pipes, TLS, memory, and streams that behave badly."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from attrs import define, field

import t2bus
from bus_helpers import HELLO, WELCOME, Add, RawPeer, Streams, Sum, add, open_joined, registered
from stream_helpers import stream_pair
from t2bus.wire import messages as m
from t2bus.wire import native
from tap_helpers import until
from tls_helpers import bus_leaf, client_leaf, write

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path


def pipes() -> Streams:
    """Two pipes, one for each direction."""
    (read_1, write_1), (read_2, write_2) = os.pipe(), os.pipe()
    one, other = ((read_1, write_2), (read_2, write_1))
    return tuple(  # type: ignore[return-value]
        trio.StapledStream(trio.lowlevel.FdStream(send), trio.lowlevel.FdStream(receive))
        for receive, send in (one, other)
    )


def secure(folder: Path, *, https_compatible: bool = False) -> Streams:
    """TLS over a stream in memory."""
    near, far = trio.testing.memory_stream_pair()
    context = write(folder, "bus", bus_leaf()).server()
    client = write(folder, "client", client_leaf()).client()
    return (
        trio.SSLStream(near, client, server_hostname="127.0.0.1", https_compatible=https_compatible),
        trio.SSLStream(far, context, server_side=True, https_compatible=https_compatible),
    )


KINDS: dict[str, Callable[[Path], Streams]] = {
    "memory": lambda _: trio.testing.memory_stream_pair(),
    "lockstep": lambda _: trio.testing.lockstep_stream_pair(),
    "pipes": lambda _: pipes(),
    "tls": secure,
    "unix": lambda _: stream_pair("unix"),
    "tcp": lambda _: stream_pair("tcp"),
}

each_kind = pytest.mark.parametrize("kind", KINDS)


def held(*owners: t2bus.Bus | t2bus.Client) -> list[dict[str, int]]:
    """What is registered, but for the peers that were not let in, which are counted."""
    counts = registered(*owners)
    return [{name: count for name, count in each.items() if name not in ("refused", "violations")} for each in counts]


@asynccontextmanager
async def nothing_left(*owners: t2bus.Bus | t2bus.Client) -> AsyncGenerator[None, None]:
    """See that nothing is registered, and no task runs, after the body that was not before it."""
    await trio.testing.wait_all_tasks_blocked()
    tasks, before = trio.lowlevel.current_statistics().tasks_living, held(*owners)
    yield
    await until(lambda: held(*owners) == before)
    await until(lambda: trio.lowlevel.current_statistics().tasks_living == tasks)


# --- every kind


@each_kind
async def test_a_client_over_any_stream(kind: str, tmp_path: Path) -> None:
    """Over each kind of stream all kinds of calls work, with payloads of any size, and leave nothing behind."""
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as other,
        nothing_left(bus, other),
        open_joined(bus, KINDS[kind](tmp_path)) as client,
    ):
        async with client.subscribe_bytes("x/*") as messages:
            for size in (0, 10, 300_000):
                assert await other.publish_bytes("x/a", bytes(size)) == 1
                assert (await messages.receive()).body == bytes(size)
            async with client.open_bytes_publisher("x/b") as publisher:
                for number in range(100):
                    await publisher.send(b"%d" % number)
            assert [(await messages.receive()).body for _ in range(100)] == [b"%d" % each for each in range(100)]
        async with trio.open_nursery() as nursery:
            await nursery.start(client.serve_with, Add, "x", add)
            assert await other.request("x", Add(1, 2)) == Sum(3)
            nursery.cancel_scope.cancel()


@each_kind
async def test_a_stream_is_closed_at_the_end(kind: str, tmp_path: Path) -> None:
    """After a client has ended, its stream and that of the bus are closed."""
    streams = KINDS[kind](tmp_path)
    async with t2bus.open_bus() as bus, open_joined(bus, streams):
        pass
    for stream in streams:
        with pytest.raises(trio.ClosedResourceError):
            await stream.send_all(b"x")


async def test_an_identity_is_what_the_program_says() -> None:
    """The peer of a stream is who the program says it is: for the statistics and for the access rules."""
    async with t2bus.open_bus() as bus, open_joined(bus, trio.testing.memory_stream_pair()):
        assert bus.statistics().identities == {"robot": 1}


async def test_the_access_rules_know_the_identity(tmp_path: Path) -> None:
    """What the rules allow to an identity, its stream may do, and nothing else."""
    rules = tmp_path / "access.toml"
    rules.write_text('[identity."robot"]\npublish = ["x"]\n')
    async with (
        t2bus.open_bus(access=rules) as bus,
        open_joined(bus, trio.testing.memory_stream_pair()) as client,
    ):
        assert await client.publish_bytes("x", b"") == 0
        with pytest.raises(t2bus.PermissionDenied):
            await client.publish_bytes("y", b"")


CHILD = """
    import trio, t2bus

    async def main():
        stream = trio.StapledStream(trio.lowlevel.FdStream(1), trio.lowlevel.FdStream(0))
        async with t2bus.open_client(stream) as client:
            async with client.subscribe_bytes("to/child") as messages, client.serve_bytes("square") as requests:
                await client.publish_bytes("from/child", b"ready")
                async for request in requests:
                    await request.respond(b"%d" % (int(request.body) ** 2))
                    if request.body == b"9":
                        break
                await client.publish_bytes("from/child", (await messages.receive()).body)

    trio.run(main)
"""


async def test_a_child_process_over_its_pipes() -> None:
    """A program whose client speaks over its standard input and output is a client as any other, until it ends."""
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        client.subscribe_bytes("from/child") as messages,
        nothing_left(bus, client),
    ):
        with trio.fail_after(60):
            process = await trio.lowlevel.open_process(
                [sys.executable, "-c", dedent(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert process.stdin is not None
            assert process.stdout is not None
            async with trio.open_nursery() as nursery:
                pipe = trio.StapledStream(process.stdin, process.stdout)
                nursery.start_soon(partial(bus.serve_stream, pipe, identity="child"))
                assert (await messages.receive()).body == b"ready"
                assert bus.statistics().identities == {"local": 1, "child": 1}
                await client.publish_bytes("to/child", b"thank you")
                for number in (2, 9):
                    assert await client.request_bytes("square", b"%d" % number) == b"%d" % number**2
                assert (await messages.receive()).body == b"thank you"
            assert await process.wait() == 0


# --- misuse


async def test_an_identity_is_not_empty() -> None:
    """Nobody is served without a name, and the stream is left as it was."""
    near, far = trio.testing.memory_stream_pair()
    async with t2bus.open_bus() as bus:
        with pytest.raises(ValueError, match="identity"):
            await bus.serve_stream(far, identity="")
    await far.send_all(b"still open")
    assert await near.receive_some() == b"still open"


async def test_a_bus_that_was_closed_serves_no_stream() -> None:
    """After the bus has ended it serves nobody more, and the stream is left as it was."""
    near, far = trio.testing.memory_stream_pair()
    async with t2bus.open_bus() as bus:
        pass
    with pytest.raises(trio.ClosedResourceError):
        await bus.serve_stream(far, identity="robot")
    await far.send_all(b"still open")
    assert await near.receive_some() == b"still open"


async def test_a_bus_with_no_room_tells_a_stream() -> None:
    """A bus with as many connections as it takes tells the client so, and closes the stream."""
    async with t2bus.open_bus(limits=t2bus.Limits(connections=1)) as bus, bus.open_client(), nothing_left(bus):
        near, far = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(bus.serve_stream, far, identity="robot"))
            with pytest.raises(t2bus.ConnectFailed, match=r"Limits\.connections"):
                async with t2bus.open_client(near):
                    pass
        assert bus.statistics().refused == 1


# --- who ends it


@each_kind
async def test_serving_a_stream_can_be_cancelled(kind: str, tmp_path: Path) -> None:
    """When serving a stream is cancelled the client loses its bus, and nothing of it is left."""
    near, far = KINDS[kind](tmp_path)
    async with t2bus.open_bus() as bus, nothing_left(bus), trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def serve() -> None:
            with scope:
                await bus.serve_stream(far, identity="robot")

        nursery.start_soon(serve)
        async with t2bus.open_client(near) as client, client.subscribe_bytes("x") as messages:
            scope.cancel()
            with pytest.raises(t2bus.Disconnected):
                await messages.receive()


@each_kind
async def test_the_bus_says_goodbye_to_a_stream(kind: str, tmp_path: Path) -> None:
    """When the bus shuts down, the client of a stream is told so, and serving it ends."""
    near, far = KINDS[kind](tmp_path)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            async with t2bus.open_bus() as bus, trio.open_nursery() as inner:
                inner.start_soon(partial(bus.serve_stream, far, identity="robot"))
                await stop.wait()
                await bus.aclose()

        nursery.start_soon(run)
        async with t2bus.open_client(near) as client, client.subscribe_bytes("x") as messages:
            stop.set()
            with pytest.raises(t2bus.Disconnected, match="the bus is shutting down"):
                await messages.receive()


@each_kind
async def test_a_client_that_is_cancelled_leaves_nothing(kind: str, tmp_path: Path) -> None:
    """When the block of a client is cancelled at once, serving its stream ends, with nothing left."""
    near, far = KINDS[kind](tmp_path)
    async with t2bus.open_bus() as bus, nothing_left(bus), trio.open_nursery() as nursery:
        nursery.start_soon(partial(bus.serve_stream, far, identity="robot"))
        with trio.CancelScope() as scope:
            async with t2bus.open_client(near) as client, client.subscribe_bytes("x"), client.serve_bytes("y"):
                scope.cancel()
                await trio.sleep_forever()


# --- streams that behave badly


@define(eq=False)
class Odd(trio.abc.Stream):
    """A stream that can be made to trickle, to break or to take nothing."""

    stream: trio.abc.Stream
    size: int | None = None
    """Bytes that it receives and sends at once, at most."""
    is_broken: bool = field(default=False, init=False)
    is_stuck: bool = field(default=False, init=False)

    def _check(self) -> None:
        if self.is_broken:
            raise trio.BrokenResourceError("it broke")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        self._check()
        data = await self.stream.receive_some(self.size or max_bytes)
        self._check()
        return bytes(data)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._check()
        if self.is_stuck:
            await trio.sleep_forever()
        step = self.size or max(1, len(data))
        for place in range(0, len(data), step):
            await self.stream.send_all(data[place : place + step])

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.stream.aclose()


async def test_streams_that_trickle() -> None:
    """Where each byte comes alone, in both directions, all calls work."""
    near, far = trio.testing.memory_stream_pair()
    async with (
        t2bus.open_bus() as bus,
        nothing_left(bus),
        open_joined(bus, (Odd(near, 1), Odd(far, 1))) as client,
        client.subscribe_bytes("x") as messages,
    ):
        for number in range(3):
            assert await client.publish_bytes("x", b"%d" % number * 50) == 1
            assert (await messages.receive()).body == b"%d" % number * 50


@pytest.mark.parametrize("end", ["client", "bus"])
async def test_a_stream_that_breaks(end: str) -> None:
    """When a stream breaks, at either end, every call of the client says so, and the bus has forgotten it."""
    near, far = (Odd(stream) for stream in trio.testing.memory_stream_pair())
    async with t2bus.open_bus() as bus, bus.open_client() as other, nothing_left(bus, other):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(bus.serve_stream, far, identity="robot"))
            async with t2bus.open_client(near) as client, client.subscribe_bytes("x") as messages:
                (near if end == "client" else far).is_broken = True
                await other.publish_bytes("x", b"lost")
                await until(lambda: bus.statistics().connections == 1)
                with pytest.raises(t2bus.Disconnected):
                    await messages.receive()
                with pytest.raises(t2bus.Disconnected):
                    await client.request_bytes("x", b"")
        assert await other.publish_bytes("x", b"") == 0


async def test_a_stream_that_fails_when_the_bus_ends(caplog: pytest.LogCaptureFixture) -> None:
    """A stream whose reading fails in a nursery when it is cancelled is logged, and ends that connection alone."""

    class Failing(Odd):
        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.read)
                await trio.sleep_forever()
            raise AssertionError

        async def read(self) -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("the device is gone")

    _near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery, t2bus.open_bus() as bus:
        nursery.start_soon(partial(bus.serve_stream, Failing(far), identity="robot"))  # noqa: ASYNC111 -- the bus ends
        await until(lambda: bus.statistics().newcomers == 1)
        await trio.testing.wait_all_tasks_blocked()
    assert "connection of robot: internal error" in caplog.text


@pytest.mark.parametrize("size", [1, 3, 4, 5, 20])
async def test_a_peer_that_ends_in_half_a_frame(size: int) -> None:
    """A stream that ends in the middle of a frame has ended: what came before is carried out, the half is not."""
    near, far = trio.testing.memory_stream_pair()
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as other,
        other.subscribe_bytes("x") as messages,
        nothing_left(bus, other),
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(bus.serve_stream, far, identity="robot"))
            peer: RawPeer[m.ServerMessage] = RawPeer(near, native.decode_server_messages)
            await peer.shake_hands()
            whole = native.encode(m.Publish(1, False, m.Publication("x", b"whole")))
            half = native.encode(m.Publish(2, False, m.Publication("x", bytes(100))))
            await peer.send_bytes(whole + half[:size])
            await peer.stream.aclose()
        assert (await messages.receive()).body == b"whole"
        assert other.statistics().messages_waiting == 0


@pytest.mark.parametrize("size", [1, 3, 4, 5, 20])
async def test_a_bus_that_ends_in_half_a_frame(size: int) -> None:
    """A client whose stream ends in the middle of a frame has got what came before, and has lost its bus."""
    near, far = trio.testing.memory_stream_pair()
    peer: RawPeer[m.ClientMessage] = RawPeer(far, native.decode_client_messages)
    await peer.send(WELCOME)
    tasks = trio.lowlevel.current_statistics().tasks_living
    async with t2bus.open_client(near) as client:
        await peer.expect(m.Hello)
        await peer.send(m.Accepted(1, (0,)))
        async with client.subscribe_bytes("x") as messages:
            whole = native.encode(m.Deliver((1,), m.Publication("x", b"whole")))
            half = native.encode(m.Deliver((1,), m.Publication("x", bytes(100))))
            await peer.send_bytes(whole + half[:size])
            await far.aclose()
            assert (await messages.receive()).body == b"whole"
            with pytest.raises(t2bus.Disconnected):
                await messages.receive()
    assert trio.lowlevel.current_statistics().tasks_living == tasks


async def test_a_stream_that_ends_in_the_handshake() -> None:
    """A client whose stream ends before a bus has answered is told so; a bus whose peer goes forgets it."""
    near, far = trio.testing.memory_stream_pair()
    await far.aclose()
    with pytest.raises(t2bus.ConnectFailed, match="closed before a bus answered"):
        async with t2bus.open_client(near):
            pass
    near, far = trio.testing.memory_stream_pair()
    async with t2bus.open_bus() as bus, nothing_left(bus):
        await near.send_all(native.encode(HELLO)[:10])
        await near.aclose()
        await bus.serve_stream(far, identity="robot")


async def test_a_silent_stream_gives_its_place_away(autojump_clock: trio.testing.MockClock) -> None:
    """A client that says nothing on its stream makes room for the next one at once, and is counted as refused."""
    async with t2bus.open_bus(limits=t2bus.Limits(handshakes=1)) as bus, nothing_left(bus):
        silent, far = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(bus.serve_stream, far, identity="silent"))
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
            async with open_joined(bus, trio.testing.memory_stream_pair()) as client:
                assert await client.publish_bytes("x", b"") == 0
                assert trio.current_time() - began < 0.5
            assert await silent.receive_some() == b""
        assert bus.statistics().refused == 1


async def test_a_stream_on_which_nobody_answers(autojump_clock: trio.testing.MockClock) -> None:
    """Who says nothing is waited for as long as a handshake may take, at either end, and then left."""
    limits = t2bus.Limits()
    near, _far = trio.testing.memory_stream_pair()
    began = trio.current_time()
    with pytest.raises(t2bus.ConnectFailed, match="no bus answered"):
        async with t2bus.open_client(near):
            pass
    assert trio.current_time() - began == pytest.approx(limits.handshake_time)
    _near, far = trio.testing.memory_stream_pair()
    async with t2bus.open_bus() as bus, nothing_left(bus):
        began = trio.current_time()
        await bus.serve_stream(far, identity="robot")
        assert trio.current_time() - began == pytest.approx(limits.handshake_time)


async def test_a_bus_that_takes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """A client whose stream takes nothing any more gives it up after ``Limits.write_stall``, and says why."""
    near, far = trio.testing.memory_stream_pair()
    odd = Odd(near)
    async with t2bus.open_bus() as bus, nothing_left(bus), trio.open_nursery() as nursery:
        nursery.start_soon(partial(bus.serve_stream, far, identity="robot"))
        async with t2bus.open_client(odd) as client:
            odd.is_stuck = True
            began = trio.current_time()
            with pytest.raises(t2bus.Disconnected, match=r"Limits\.write_stall"):
                await client.publish_bytes("x", b"")
            assert 10 <= trio.current_time() - began <= 12


async def test_a_client_that_takes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """A bus gives a stream that takes nothing any more up after ``Limits.write_stall``; others wait for nothing."""
    near, far = trio.testing.memory_stream_pair()
    odd = Odd(far)
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as other,
        other.subscribe_bytes("x") as messages,
        nothing_left(bus, other),
        trio.open_nursery() as nursery,
    ):
        began = trio.current_time()

        async def serve() -> None:
            await bus.serve_stream(odd, identity="robot")
            ended.append(trio.current_time() - began)

        ended: list[float] = []
        nursery.start_soon(serve)
        async with t2bus.open_client(near) as client, client.subscribe_bytes("x"):
            odd.is_stuck = True
            for number in range(20):
                assert await other.publish_bytes("x", b"%d" % number) == 2 - bool(ended)
                assert (await messages.receive()).body == b"%d" % number
                await trio.sleep(1)
        assert len(ended) == 1
        assert 10 <= ended[0] <= 12


async def test_a_stream_that_is_not_the_bus_s(tmp_path: Path) -> None:
    """A client whose TLS the other end does not take is told that certificates may be the cause."""
    near, far = trio.testing.memory_stream_pair()
    client: Any = write(tmp_path, "client", client_leaf(), trusts="others").client()
    server: Any = write(tmp_path, "bus", bus_leaf()).server()
    async with t2bus.open_bus() as bus, nothing_left(bus), trio.open_nursery() as nursery:
        stream = trio.SSLStream(far, server, server_side=True)
        nursery.start_soon(partial(bus.serve_stream, stream, identity="robot"))
        with pytest.raises(t2bus.TlsFailed):
            async with t2bus.open_client(trio.SSLStream(near, client, server_hostname="127.0.0.1")):
                pass
