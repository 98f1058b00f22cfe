"""What the end-to-end tests share: protocols, a bus over each transport, raw peers, bystanders and cancellation."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs
import pytest
import trio
import trio.testing
from attrs import define, field, frozen

import t2bus
from pure_helpers import one_by_one
from t2bus.transport.address import TcpAddress, parse
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.framing import FrameDecoder

if TYPE_CHECKING:
    from pathlib import Path

    from t2bus.wire.framing import Frame

Connect = Callable[..., AbstractAsyncContextManager[t2bus.Client]]
Incoming = TypeVar("Incoming")
Message = TypeVar("Message")
Streams = tuple[trio.abc.Stream, trio.abc.Stream]
"""The client's end and the bus's."""

HELLO = m.Hello(native.VERSION, "a test", ())
WELCOME = m.Welcome(native.VERSION, "a test", (), 1, 1 << 20, 1 << 21, 256, 16, 256, 1024, 256, 16_384, 1 << 23)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


ADDRESSES = {"memory": None, "unix": "unix:{}/bus", "tcp4": "tcp:127.0.0.1:0", "tcp6": "tcp:[::1]:0"}
TRANSPORTS = [name for name in ADDRESSES if name != "tcp6" or _has_ipv6()]


# --- protocols


@frozen
class Note(t2bus.PublishProtocol, prefix="note"):
    text: str


@frozen
class Count(t2bus.PublishProtocol, prefix="count"):
    number: int


@frozen
class Sum:
    value: int


@frozen
class Add(t2bus.RequestProtocol[Sum], prefix="add"):
    left: int
    right: int


# --- buses


@frozen
class Site:
    """A bus and the way to it."""

    bus: t2bus.Bus
    connect: Connect
    """Opens a new client; takes ``limits``."""


@asynccontextmanager
async def open_site(kind: str, folder: Path, *, limits: t2bus.Limits | None = None) -> AsyncGenerator[Site, None]:
    """Open a bus that is reached over one kind of transport."""
    address = ADDRESSES[kind]
    if address is None:
        async with t2bus.open_bus(limits=limits) as bus:
            yield Site(bus, bus.open_client)
    else:
        async with t2bus.open_bus(address.format(folder), limits=limits) as bus:
            yield Site(bus, partial(t2bus.open_client, bus.addresses[0]))


@asynccontextmanager
async def open_joined(bus: t2bus.Bus, streams: Streams) -> AsyncGenerator[t2bus.Client, None]:
    """Open a client whose stream is served by the bus; both have ended when the body has."""
    near, far = streams
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(bus.serve_stream, far, identity="robot"))
        async with t2bus.open_client(near) as client:
            yield client


async def settle() -> None:
    """Let everything happen that will happen without the passing of time, on its way through the kernel as well."""
    await trio.testing.wait_all_tasks_blocked(0.002)


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    with trio.fail_after(10):
        await trio.lowlevel.checkpoint()
        while not condition():
            await settle()


async def add(request: Add) -> Sum:
    """Serve :class:`Add`."""
    await trio.lowlevel.checkpoint()
    return Sum(request.left + request.right)


async def expect(kind: type[Exception], call: Callable[[], Awaitable[object]]) -> None:
    """Make a call that raises this, as a task of a nursery may."""
    with pytest.raises(kind):
        await call()


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


# --- peers that say just what a test wants


@define(eq=False)
class RawPeer(Generic[Incoming]):
    """One end of a socket, speaking the native wire when asked to and no more."""

    stream: trio.abc.Stream
    decode: Callable[[Sequence[Frame]], list[Incoming]]
    decoder: FrameDecoder = field(factory=lambda: FrameDecoder(1 << 24))
    kept: list[Incoming] = field(factory=list)
    """What came together with a message that was expected, and after it."""

    async def send(self, *messages: Any) -> None:
        await self.stream.send_all(b"".join(map(native.encode, messages)))

    async def send_bytes(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def receive(self) -> list[Incoming]:
        """Return the next messages, runs taken apart, or nothing when the other end has closed."""
        if self.kept:
            kept, self.kept = self.kept, []
            return kept
        while True:
            try:
                data = await self.stream.receive_some(65_536)
            except trio.BrokenResourceError:
                return []
            if not data:
                return []
            if frames := self.decoder.feed(bytes(data)):
                return one_by_one(self.decode(frames))

    async def expect(self, kind: type[Message]) -> Message:
        """Return the next message of this kind, skipping others."""
        while messages := await self.receive():
            for number, message in enumerate(messages, 1):
                if isinstance(message, kind):
                    self.kept = messages[number:]
                    return message
        raise AssertionError(f"the connection was closed before {kind.__name__} came")

    async def read_to_end(self) -> list[Incoming]:
        """Return all messages until the other end closes."""
        received: list[Incoming] = []
        while messages := await self.receive():
            received += messages
        return received

    async def shake_hands(self: RawPeer[m.ServerMessage]) -> m.Welcome:
        """Say HELLO, as a client, and return the WELCOME."""
        await self.send(HELLO)
        return await self.expect(m.Welcome)


@asynccontextmanager
async def open_peer(bus: t2bus.Bus) -> AsyncGenerator[RawPeer[m.ServerMessage], None]:
    """Connect to a bus over TCP and say nothing yet."""
    address = parse(bus.addresses[0])
    assert isinstance(address, TcpAddress)
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        yield RawPeer(stream, native.decode_server_messages)


@asynccontextmanager
async def open_fake_bus(handler: Callable[[RawPeer[m.ClientMessage]], Awaitable[None]]) -> AsyncGenerator[str, None]:
    """Listen at a port of TCP, and let the handler do what it likes with each connection; give the address."""

    async def handle(stream: trio.abc.Stream) -> None:
        await handler(RawPeer(stream, native.decode_client_messages))

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, handle, 0, host="127.0.0.1")
        listeners: list[trio.SocketListener] = await nursery.start(serve)
        yield str(TcpAddress(*listeners[0].socket.getsockname()))
        nursery.cancel_scope.cancel()


async def welcome(peer: RawPeer[m.ClientMessage]) -> None:
    """Answer a HELLO, as a bus."""
    await peer.expect(m.Hello)
    await peer.send(WELCOME)


# --- bystanders


@frozen
class Bystanders:
    """Two clients that have to work whatever happens to others."""

    one: t2bus.Client
    other: t2bus.Client

    async def try_out(self) -> None:
        """Publish, subscribe, request and serve."""
        with trio.fail_after(5):
            async with self.one.subscribe(Note, "bystander/*") as notes, trio.open_nursery() as nursery:
                assert await self.other.publish("bystander/x", Note("hello")) == 1
                assert await notes.receive() == t2bus.Received("note/bystander/x", Note("hello"))
                await nursery.start(self.one.serve_with, Add, "bystander", add)
                assert await self.other.request("bystander", Add(1, 2)) == Sum(3)
                nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_bystanders(connect: Connect) -> AsyncGenerator[Bystanders, None]:
    """Open two clients and see that they work."""
    async with connect() as one, connect() as other:
        bystanders = Bystanders(one, other)
        await bystanders.try_out()
        yield bystanders


# --- cancellation


@define(eq=False)
class _CancelAt(trio.abc.Instrument):
    """Cancels a scope when tasks, whichever they are, have given way for the n-th time."""

    scope: trio.CancelScope
    countdown: int

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.countdown -= 1
        if self.countdown == 0:
            self.scope.cancel()


async def is_cancelled_at(step: int, call: Callable[[], Awaitable[object]]) -> bool:
    """Run a call and cancel it after that many steps of all tasks; tell whether it took as many.

    Steps of all tasks, since a call that waits can be cancelled between any two steps of those it waits for.
    """
    with trio.CancelScope() as scope:
        instrument = _CancelAt(scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            await call()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return instrument.countdown <= 0


_HISTORY = {
    "published",
    "delivered",
    "dropped",
    "requests",
    "requests_busy",
    "late_responses",
    "received",
    "replaced",
    "requested",
}


def registered(*owners: t2bus.Bus | t2bus.Client) -> list[dict[str, int]]:
    """Return what the owners have registered, pending or waiting: their statistics without what only ever grows."""
    return [
        {name: value for name, value in attrs.asdict(owner.statistics()).items() if name not in _HISTORY}
        for owner in owners
    ]
