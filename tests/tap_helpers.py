"""Sockets that are read after every step of any task: they show which task wrote what, and that nobody ran before."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio
from attrs import define, field, frozen

import t2bus
from bus_helpers import WELCOME, settle, wait_until
from t2bus.client.connect import open_client_over
from t2bus.transport.framed import FramedTransport
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.codec import codec_for_bus
from t2bus.wire.framing import FrameDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Sequence

    from t2bus.wire.framing import Frame

Incoming = TypeVar("Incoming")
Kind = TypeVar("Kind")

HELLO = m.Hello(native.VERSION, "a test", ("zlib",))
"""Nothing has to be inflated for this peer, which would be left to the writer."""

READER, WRITER = "_read", "_serve_stream"
"""How the tasks of a bus's connection are called: the one that writes is the one that let the client in."""

CLIENT_WRITER = "_write"
"""How that of a client is called."""


def publication(number: int, size: int = 10) -> m.Publish:
    return m.Publish(number, False, m.Publication("x", bytes([number]) * size))


def delivered(tap: Tap[m.ServerMessage]) -> list[int]:
    """The numbers of the publications that came, each of which was complete."""
    payloads = [message.publication.payload for message in tap.of_kind(m.Deliver)]
    assert all(isinstance(payload, bytes) and len(set(payload)) == 1 for payload in payloads)
    return [payload[0] for payload in payloads if isinstance(payload, bytes)]


@frozen
class Step(Generic[Incoming]):
    """One step of a task, from where it went on to where it gave way, and what it wrote to the socket."""

    task: str
    messages: list[Incoming]


@define(eq=False)
class Tap(trio.abc.Instrument, Generic[Incoming]):
    """The far end of a socket. What has come is read without waiting, as long as ``is_open``."""

    far: socket.socket
    decode: Callable[[Sequence[Frame]], list[Incoming]]
    closes: bool = False
    """Whether this end says nothing more when it is told goodbye: the other waits for that."""
    is_open: bool = field(default=True, init=False)
    hear: Callable[[Incoming], None] = field(default=lambda _: None, init=False)
    """Called with each message before anybody else runs."""
    steps: list[Step[Incoming]] = field(factory=list, init=False)
    _decoder: FrameDecoder = field(factory=lambda: FrameDecoder(1 << 24), init=False)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        messages = self._read() if self.is_open else []
        self.steps.append(Step(task.name.rpartition(".")[2], messages))
        for message in messages:
            self.hear(message)
            if isinstance(message, m.Goodbye) and self.closes:
                self.far.shutdown(socket.SHUT_WR)

    def _read(self) -> list[Incoming]:
        messages: list[Incoming] = []
        try:
            while data := self.far.recv(1 << 16):
                messages += self.decode(self._decoder.feed(data))
        except OSError:
            pass  # nothing is here, or nothing more will be
        return messages

    @property
    def writes(self) -> list[Step[Incoming]]:
        """The steps that wrote something."""
        return [step for step in self.steps if step.messages]

    @property
    def messages(self) -> list[Incoming]:
        """All that was written, in order."""
        return [message for step in self.steps for message in step.messages]

    def of_kind(self, kind: type[Kind]) -> list[Kind]:
        return [message for message in self.messages if isinstance(message, kind)]

    async def expect(self, kind: type[Kind], count: int = 1) -> Kind:
        """Wait until so many messages of this kind have come, and return the last."""
        await wait_until(lambda: len(self.of_kind(kind)) >= count)
        return self.of_kind(kind)[count - 1]

    def say(self, *messages: Any) -> None:
        """Send messages as one write."""
        self.far.sendall(b"".join(map(native.encode, messages)))


@contextmanager
def _tapped(tap: Tap[Any]) -> Generator[None, None, None]:
    trio.lowlevel.add_instrument(tap)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(tap)


@asynccontextmanager
async def open_tapped_client(
    buffer: int | None = None,
) -> AsyncGenerator[tuple[t2bus.Client, Tap[m.ClientMessage]], None]:
    """Open a client of a bus that says nothing but WELCOME; ``buffer`` makes its socket full soon."""
    near, far = socket.socketpair()
    with near, far:
        far.setblocking(False)
        if buffer is not None:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        tap = Tap(far, native.decode_client_messages, closes=True)
        tap.say(WELCOME)
        codec = codec_for_bus()
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(near))
        transport = FramedTransport(stream, 4096, lambda _: codec, codec)
        with _tapped(tap):
            async with open_client_over(transport, t2bus.Limits()) as client:
                await tap.expect(m.Hello)
                await settle()
                tap.steps.clear()
                yield client, tap


@asynccontextmanager
async def open_tapped_peer(
    bus: t2bus.Bus, *first: m.ClientMessage, hello: m.Hello = HELLO
) -> AsyncGenerator[Tap[m.ServerMessage], None]:
    """Connect to a bus at a unix socket, and say this after the HELLO."""
    with socket.socket(socket.AF_UNIX) as far:
        far.connect(bus.addresses[0].removeprefix("unix:"))
        far.setblocking(False)
        tap = Tap(far, native.decode_server_messages)
        with _tapped(tap):
            tap.say(hello)
            await tap.expect(m.Welcome)
            for count, message in enumerate(first, 1):
                tap.say(message)
                await tap.expect(m.Accepted, count)
            await settle()
            tap.steps.clear()
            yield tap


@asynccontextmanager
async def open_service(
    tap: Tap[m.ClientMessage], client: t2bus.Client, count: int
) -> AsyncGenerator[list[t2bus.Request[bytes, bytes]], None]:
    """Serve, and give as many requests, which have come together."""
    tap.say(m.Accepted(1, (0,)))
    async with client.serve_bytes("x") as requests:
        tap.say(*(m.Call(number, 1, None, "x", b"q") for number in range(count)))
        taken = [await requests.receive() for _ in range(count)]
        tap.steps.clear()
        try:
            yield taken
        finally:
            tap.say(m.Accepted(2, (0,)))
