"""A hostile client against a bus in another process, beside a bystander that publishes and receives all the while.

Whatever it sends is refused or carried out within 300 ms, takes at most four times the memory of the largest frame, and
lets the bystander wait at most 50 ms, of a hundred times once. What is sent is in :mod:`faults.hostile`.
"""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import trio
from attrs import define, field, frozen

import t2bus
from bus_helpers import HELLO
from cli_helpers import command, python
from faults.hostile import BUS_FLOODS, FLOODS, FRAME, NATIVE, RUST
from faults.measured import MIB, Measured, quantile
from t2bus.rust import frames as r
from t2bus.transport.address import UnixAddress, parse
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.framing import FrameDecoder
from t2bus.wire.framing import frame as framed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

TIMES: Final = 20
"""How often each hostile frame is sent."""

LONGEST: Final = 0.3
"""Seconds until it is refused or carried out."""

WAIT: Final = 0.05
"""Seconds that the bystander waits for a message of its own, but for one of a hundred."""

ENOUGH: Final = 200
"""Messages of the bystander, at least."""

MEMORY: Final = 4 * FRAME

FLOOD: Final = 2.0
"""Seconds of a flood, unless it ends before."""

TOKEN: Final = 4711
"""Of a PING, and the id of a KeepAlive, that show that all before was carried out."""


# --- the bus


@frozen
class HostileSite:
    """A bus in another process, and its memory."""

    address: str
    pid: int

    async def connect(self) -> trio.SocketStream:
        place = parse(self.address)
        assert isinstance(place, UnixAddress)
        return await trio.open_unix_socket(place.path)

    def _memory(self, what: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))

    def begin(self) -> int:
        """Return the bytes in memory now, and let the most that is measured begin with these."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")
        return self._memory("VmRSS:")

    def most(self) -> int:
        """Return the most bytes that were in memory since then."""
        return self._memory("VmHWM:")


@pytest.fixture
async def hostile_site(folder: Path) -> AsyncGenerator[HostileSite, None]:
    """Run a bus that has passed on a few messages of the largest size, as any bus in use has."""
    address = f"unix:{folder}/bus"
    async with command("serve", address) as serve:
        await serve.stderr.until("to talk")
        async with t2bus.open_client(address) as client, client.subscribe_bytes("warm") as messages:
            for _ in range(5):
                await client.publish_bytes("warm", os.urandom(FRAME - 1000))
                await messages.receive()
        yield HostileSite(address, serve.process.pid)


# --- the bystander


@define(eq=False)
class Waits:
    """How long a bystander waited for each of its messages.

    What it waits for is the bus, not the machine, which others use too: it waits as long as the bus computes meanwhile,
    or less.
    """

    pid: int
    seconds: list[float] = field(factory=list)
    """By the processor's clock."""
    wall: list[float] = field(factory=list)
    """By the clock on the wall."""
    enough: trio.Event = field(factory=trio.Event)
    """Set when there are so many that one of a hundred means something."""

    def _used(self) -> float:
        """Return the seconds that the bus has computed so far: Linux's clock of another process."""
        return time.clock_gettime(~self.pid << 3 | 2)

    async def go_on(self, address: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Publish and receive, one message after the other, until cancelled."""
        async with (
            t2bus.open_client(address) as one,
            t2bus.open_client(address) as other,
            one.subscribe_bytes("bystander") as messages,
        ):
            await other.publish_bytes("bystander", b"")
            await messages.receive()
            task_status.started()
            while True:
                began, used = trio.current_time(), self._used()
                await other.publish_bytes("bystander", b"x")
                await messages.receive()
                self.wall.append(trio.current_time() - began)
                self.seconds.append(min(self.wall[-1], self._used() - used))
                if len(self.seconds) == ENOUGH:
                    self.enough.set()
                await trio.sleep(0.001)


async def take_bombs(site: HostileSite, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Subscribe to compressed payloads as a client that cannot inflate them, so that the bus has to, and take each.

    Whoever took none would have them held for it: what its window has no room for waits, and is never inflated.
    """
    async with await site.connect() as stream:
        await shake_hands(stream)
        await stream.send_all(native.encode(m.Subscribe(1, "bombs", 16_384, FRAME)))
        await heard(stream, bool)
        task_status.started()
        decoder = FrameDecoder(1 << 24)
        while data := await stream.receive_some(1 << 18):
            for _ in decoder.feed(bytes(data)):
                await stream.send_all(native.encode(m.Credit((1, 1, FRAME))))


@asynccontextmanager
async def watched(site: HostileSite, measured: Measured, name: str, memory: int) -> AsyncGenerator[None, None]:
    """Measure what the body costs the bus and the bystander."""
    waits = Waits(site.pid)
    async with trio.open_nursery() as nursery:
        await nursery.start(waits.go_on, site.address)
        await nursery.start(take_bombs, site)
        before = site.begin()
        yield
        grown = site.most() - before
        await waits.enough.wait()
        nursery.cancel_scope.cancel()
    measured.at_most(f"{name}: memory of the bus", grown / MIB, memory / MIB, "MiB")
    wait, wall = (quantile(each, 0.99) * 1000 for each in (waits.seconds, waits.wall))
    measured.beside(f"{name}: the bystander's 99th percentile by the clock on the wall", wall, "ms")
    measured.at_most(f"{name}: the bystander's 99th percentile", wait, WAIT * 1000, "ms")


# --- frames


async def heard(stream: trio.SocketStream, is_answer: Callable[[Sequence[bytes]], bool]) -> None:
    """Read until an answer comes or the bus closes the connection."""
    decoder = FrameDecoder(1 << 24)
    try:
        while data := await stream.receive_some(1 << 18):
            if is_answer([bytes(frame) for frame in decoder.feed(bytes(data))]):
                return
    except trio.BrokenResourceError:
        pass


async def send(stream: trio.SocketStream, data: bytes) -> None:
    """Send it as far as the bus takes it."""
    with suppress(trio.BrokenResourceError):
        await stream.send_all(data)


def is_pong(frames: Sequence[bytes]) -> bool:
    return any(message == m.Pong(TOKEN) for message in native.decode_server_messages(frames))


def is_ack(frames: Sequence[bytes]) -> bool:
    acks = r.decode_server_frames(frames)
    return any(isinstance(ack, r.Ack) and ack.operation == TOKEN for ack in acks)


async def shake_hands(stream: trio.SocketStream) -> None:
    await stream.send_all(native.encode(HELLO))
    await heard(stream, bool)


async def time_of(site: HostileSite, data: bytes, *, is_native: bool) -> float:
    """Send a frame and what shows that it was carried out; return the seconds until that is seen, or the end is."""
    async with await site.connect() as stream:
        if is_native:
            await shake_hands(stream)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, stream, data)
            await heard(stream, is_pong if is_native else is_ack)
            nursery.cancel_scope.cancel()
        return trio.current_time() - began


def memory_for(name: str) -> int:
    """Return the bound on the memory that something takes: twice the usual one in two cases."""
    # cbor2's error quotes the key, at four bytes for each of its characters that has no picture. And what a client has
    # open stays: 1,024 subscriptions (Limits.subscriptions).
    return 2 * MEMORY if name.startswith(("a long key twice", "SUBSCRIBE")) else MEMORY


async def measure_frame(site: HostileSite, measured: Measured, name: str, data: bytes, *, is_native: bool) -> None:
    """Send a frame several times, and hold what it costs against the bounds."""
    longest = 0.0
    async with watched(site, measured, name, memory_for(name.removeprefix("Rust: "))):
        for _ in range(TIMES):
            longest = max(longest, await time_of(site, data, is_native=is_native))
    measured.at_most(f"{name}: until it is refused or carried out", longest * 1000, LONGEST * 1000, "ms")


@pytest.mark.parametrize("name", NATIVE)
async def test_a_hostile_frame(hostile_site: HostileSite, measured: Measured, name: str) -> None:
    """A hostile frame of the native wire costs its sender the connection or nothing, and nobody else anything."""
    data = framed(NATIVE[name]()) + native.encode(m.Ping(TOKEN))
    await measure_frame(hostile_site, measured, name, data, is_native=True)


@pytest.mark.parametrize("name", RUST)
async def test_a_hostile_frame_of_the_rust_wire(hostile_site: HostileSite, measured: Measured, name: str) -> None:
    """A hostile frame of the wire of the Rust crate costs its sender the connection or nothing, and nobody else
    anything.
    """
    data = framed(RUST[name]()) + r.encode_control(TOKEN, r.Kind.KEEP_ALIVE)
    await measure_frame(hostile_site, measured, f"Rust: {name}", data, is_native=False)


@pytest.mark.parametrize("length", [0, 1, 5000, FRAME + 1, 2**31, 2**32 - 1])
async def test_a_length_that_is_none(hostile_site: HostileSite, measured: Measured, length: int) -> None:
    """A frame that declares what it may not, or more than comes, is refused as soon as its length is read."""
    data = length.to_bytes(4, "big") + bytes(100_000)
    name = f"a frame of {length:,} bytes"
    longest = 0.0
    async with watched(hostile_site, measured, name, MEMORY):
        for number in range(TIMES):
            longest = max(longest, await time_of(hostile_site, data, is_native=bool(number % 2)))
    measured.at_most(f"{name}: until it is refused", longest * 1000, LONGEST * 1000, "ms")


# --- floods


async def flood(stream: trio.SocketStream, data: bytes) -> None:
    """Send it in pieces as far as the bus takes it."""
    for place in range(0, len(data), 1 << 16):
        await send(stream, data[place : place + (1 << 16)])


async def drain(stream: trio.SocketStream) -> None:
    await heard(stream, lambda _: False)


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "deaf"])
@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood(hostile_site: HostileSite, measured: Measured, name: str, reads: bool) -> None:
    """As many messages of one kind as go into two seconds, from a client that reads what follows or does not."""
    data = b"".join(map(native.encode, FLOODS[name]()))
    async with await hostile_site.connect() as stream:
        await shake_hands(stream)
        title = f"a flood of {name}{'' if reads else ', deaf'}"
        async with watched(hostile_site, measured, title, memory_for(name)), trio.open_nursery() as nursery:
            if reads:
                nursery.start_soon(drain, stream)
            with trio.move_on_after(FLOOD):
                await flood(stream, data)
            nursery.cancel_scope.cancel()


# --- a hostile bus


@asynccontextmanager
async def open_hostile_bus(folder: Path, kind: str) -> AsyncGenerator[str, None]:
    """Run a bus that says one kind of message to its clients, as often as they listen."""
    async with python(str(Path(__file__).with_name("hostile_bus.py")), f"{folder}/hostile", kind) as program:
        assert await program.stdout.next() == "ready"
        yield f"unix:{folder}/hostile"


async def suffer(address: str) -> None:
    """Be a client that has one of everything open and takes nothing of it, until its connection is lost."""
    own = t2bus.Limits(subscription_messages=1000, subscription_bytes=FRAME, service_requests=1000)
    try:
        async with (
            t2bus.open_client(address, limits=own) as client,
            client.subscribe_bytes("a"),
            client.serve_bytes("s"),
        ):
            await client.request_bytes("t", b"")
            await trio.sleep_forever()
    except t2bus.BusError:
        pass


@pytest.mark.parametrize("name", BUS_FLOODS)
async def test_a_hostile_bus(folder: Path, measured: Measured, name: str) -> None:
    """A program that has come to a hostile bus goes on with another, and what it keeps for the first one is bounded."""
    async with t2bus.open_bus(f"unix:{folder}/bus") as bus, open_hostile_bus(folder, name) as address:
        site = HostileSite(bus.addresses[0], os.getpid())
        async with watched(site, measured, f"a bus that floods with {name}", MEMORY):
            with trio.move_on_after(FLOOD):
                await suffer(address)
