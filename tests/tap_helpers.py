"""Sockets that are read after every step of any task: they show in which step something was written, and with what."""

from __future__ import annotations

import socket
import time
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio
import trio.testing
from attrs import define, field, frozen

import t2bus
from bus_helpers import WELCOME
from stream_helpers import stream_on
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.framing import FrameDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Sequence

    from t2bus.wire.framing import Frame

Incoming = TypeVar("Incoming")
Kind = TypeVar("Kind")

HELLO = m.Hello(native.VERSION, "a test", ("zlib",))
"""Nothing has to be inflated for this peer, which would be left to the writer."""

CALLER = "caller"
"""The name of a test's own task that calls a client."""

SILENT = "silent"
"""The topic on which a bus that answers at once answers nothing."""


def delivery(number: int, subscription: int = 1) -> m.Deliver:
    return m.Deliver((subscription,), m.Publication("x", b"%d" % number))


def call(number: int) -> m.Call:
    return m.Call(number, 1, None, "x", b"%d" % number)


def delivered(tap: Tap[m.ServerMessage]) -> list[int]:
    """The numbers of the publications that came, each of which was complete."""
    payloads = [message.publication.payload for message in tap.of_kind(m.Deliver)]
    assert all(isinstance(payload, bytes) and len(set(payload)) == 1 for payload in payloads)
    return [payload[0] for payload in payloads if isinstance(payload, bytes)]


def kinds(messages: Sequence[object]) -> list[str]:
    return [type(message).__name__ for message in messages]


@frozen
class Step(Generic[Incoming]):
    """One step of a task, from where it went on to where it gave way, and what it wrote to the socket."""

    task: trio.lowlevel.Task
    messages: list[Incoming]

    @property
    def is_of_caller(self) -> bool:
        return self.task.name == CALLER


@define(eq=False)
class Tap(trio.abc.Instrument, Generic[Incoming]):
    """The far end of a socket. What has come is read without waiting, as long as ``is_open``."""

    far: socket.socket
    decode: Callable[[Sequence[Frame]], list[Incoming]]
    closes: bool = False
    """Whether this end says nothing more when it is told goodbye: the other waits for that."""
    is_open: bool = field(default=True, init=False)
    hear: Callable[[Incoming], object] = field(default=lambda _: None, init=False)
    """Called with each message before anybody else runs."""
    steps: list[Step[Incoming]] = field(factory=list, init=False)
    test: trio.lowlevel.Task = field(factory=trio.lowlevel.current_task, init=False)
    _heard: trio.Event = field(factory=trio.Event, init=False)
    _decoder: FrameDecoder = field(factory=lambda: FrameDecoder(1 << 24), init=False)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        messages = self._read() if self.is_open else []
        self.steps.append(Step(task, messages))
        for message in messages:
            self.hear(message)
            if isinstance(message, m.Goodbye) and self.closes:
                self.far.shutdown(socket.SHUT_WR)
        if messages:
            self._heard.set()
            self._heard = trio.Event()

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
    def places(self) -> list[int]:
        """For each write, in which step it was, counted from 1 over all tasks but the test's own."""
        steps = [step for step in self.steps if step.task is not self.test]
        return [number for number, step in enumerate(steps, 1) if step.messages]

    @property
    def messages(self) -> list[Incoming]:
        """All that was written, in order."""
        return [message for step in self.steps for message in step.messages]

    def of_kind(self, kind: type[Kind]) -> list[Kind]:
        return [message for message in self.messages if isinstance(message, kind)]

    async def expect(self, kind: type[Kind], count: int = 1) -> Kind:
        """Wait until so many messages of this kind have come, and return the last."""
        with trio.fail_after(10):
            while len(found := self.of_kind(kind)) < count:
                await self._heard.wait()
        return found[count - 1]

    def say(self, *messages: Any) -> None:
        """Send messages as one write."""
        self.far.sendall(b"".join(map(native.encode, messages)))


async def start(*taps: Tap[Any]) -> None:
    """Wait until nobody has anything left to do, and count steps from there on, at all these ends."""
    await trio.testing.wait_all_tasks_blocked()
    for tap in taps:
        tap.steps.clear()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; it is asked each time that nobody has anything left to do."""
    patience = time.perf_counter() + 10  # of this world, since no clock of a test goes on meanwhile
    while not condition():
        assert time.perf_counter() < patience
        await trio.testing.wait_all_tasks_blocked()


@contextmanager
def tapped(tap: Tap[Any]) -> Generator[None, None, None]:
    trio.lowlevel.add_instrument(tap)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(tap)


# --- a client, and what a test says to it as its bus


@asynccontextmanager
async def open_tapped_client(
    buffer: int | None = None, *, limits: t2bus.Limits | None = None
) -> AsyncGenerator[tuple[t2bus.Client, Tap[m.ClientMessage]], None]:
    """Open a client of a bus that says nothing but WELCOME; ``buffer`` makes its socket full soon."""
    near, far = socket.socketpair()
    with near, far:
        far.setblocking(False)
        if buffer is not None:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        tap = Tap(far, native.decode_client_messages, closes=True)
        tap.say(WELCOME)
        with tapped(tap):
            async with t2bus.open_client(stream_on(near), limits=limits) as client:
                await trio.testing.wait_all_tasks_blocked()
                assert kinds(tap.messages) == ["Hello"]
                tap.steps.clear()
                yield client, tap


def answer(message: m.ClientMessage) -> Sequence[m.ServerMessage]:
    """What a bus says to this."""
    match message:
        case m.Ask(id=number, topic=topic, payload=payload) if topic != SILENT:
            return (m.Response(number, payload),)
        case m.Publish(id=number, publication=m.Publication(topic=topic)) if topic != SILENT:
            return (m.Accepted(number, (1,)),)
        case m.Subscribe(id=number) | m.Unsubscribe(id=number) | m.Claim(id=number) | m.Unclaim(id=number):
            return (m.Accepted(number, (0,)),)
    return ()


@asynccontextmanager
async def open_answered_client(
    buffer: int | None = None,
    answer: Callable[[m.ClientMessage], Sequence[m.ServerMessage]] = answer,
    *,
    limits: t2bus.Limits | None = None,
) -> AsyncGenerator[tuple[t2bus.Client, Tap[m.ClientMessage]], None]:
    """Open a client of a bus that answers at once, before another task runs."""
    async with open_tapped_client(buffer, limits=limits) as (client, tap):

        def hear(message: m.ClientMessage) -> None:
            if answers := answer(message):
                tap.say(*answers)

        tap.hear = hear
        yield client, tap


@asynccontextmanager
async def open_service(
    tap: Tap[m.ClientMessage], client: t2bus.Client, count: int
) -> AsyncGenerator[list[t2bus.Request[bytes, bytes]], None]:
    """Serve, and give as many requests, which have come together."""
    tap.say(m.Accepted(1, (0,)))
    async with client.serve_bytes("x") as requests:
        tap.say(*(call(number) for number in range(count)))
        taken = [await requests.receive() for _ in range(count)]
        tap.steps.clear()
        try:
            yield taken
        finally:
            tap.say(m.Accepted(2, (0,)))


# --- a bus, and what a test says to it as its peer


@asynccontextmanager
async def open_tapped_peer(
    bus: t2bus.Bus, *first: m.ClientMessage, hello: m.Hello = HELLO, buffer: int | None = None
) -> AsyncGenerator[Tap[m.ServerMessage], None]:
    """Be a peer of a bus, at its unix socket, and say this after the HELLO.

    ``buffer`` gives it a socket of its own instead, which is full soon.
    """
    async with _open_far_end(bus, buffer) as far:
        tap = Tap(far, native.decode_server_messages)
        with tapped(tap):
            tap.say(hello)
            await tap.expect(m.Welcome)
            for count, message in enumerate(first, 1):
                tap.say(message)
                await tap.expect(m.Accepted, count)
            await trio.testing.wait_all_tasks_blocked()
            tap.steps.clear()
            yield tap


@asynccontextmanager
async def _open_far_end(bus: t2bus.Bus, buffer: int | None) -> AsyncGenerator[socket.socket, None]:
    if buffer is None:
        with socket.socket(socket.AF_UNIX) as far:
            far.connect(bus.addresses[0].removeprefix("unix:"))
            far.setblocking(False)
            yield far
        return
    far, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(bus.serve_stream, stream_on(theirs), identity="a test"))
        with far:
            far.setblocking(False)
            yield far
