"""A bus that answers at once and sees which task reads what it says."""

from __future__ import annotations

import array
import fcntl
import termios
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field

from bus_helpers import settle
from t2bus.wire import messages as m
from tap_helpers import Tap, open_tapped_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    import t2bus

CALLER, TASK = "caller", "_run"
SILENT = "silent"
"""The topic on which the bus answers nothing."""


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


@define(eq=False)
class WatchedBus(trio.abc.Instrument):
    """A bus that answers at once, before another task runs, and sees which task reads what it says."""

    client: t2bus.Client
    tap: Tap[m.ClientMessage]
    answer: Callable[[m.ClientMessage], Sequence[m.ServerMessage]] = field(default=answer)
    reads: list[str] = field(factory=list, init=False)
    """Who read, one entry for each step of a task."""
    _before: int = field(default=0, init=False)

    @property
    def _unread(self) -> int:
        unread = array.array("i", [0])
        transport: Any = self.client._connection.transport
        number = transport.stream.socket.fileno()
        if number >= 0:
            fcntl.ioctl(number, termios.FIONREAD, unread)
        return unread[0]

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._before = self._unread

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._unread < self._before:
            self.reads.append(task.name.rpartition(".")[2])
        if self.tap.steps and self.tap.is_open:
            for message in self.tap.steps[-1].messages:
                if answers := self.answer(message):
                    self.tap.say(*answers)

    @property
    def is_led(self) -> bool:
        """Whether a call reads, and the client's task waits until it has left."""
        return self.client._connection.reader._vacant._task is not None

    async def until_led(self) -> None:
        await settle()
        assert self.is_led


@asynccontextmanager
async def open_watched_client(buffer: int | None = None) -> AsyncGenerator[tuple[t2bus.Client, WatchedBus], None]:
    async with open_tapped_client(buffer) as (client, tap):
        bus = WatchedBus(client, tap)
        trio.lowlevel.add_instrument(bus)
        try:
            yield client, bus
        finally:
            trio.lowlevel.remove_instrument(bus)


def delivery(number: int, subscription: int = 1) -> m.Deliver:
    return m.Deliver((subscription,), m.Publication("x", b"%d" % number))


def call(number: int) -> m.Call:
    return m.Call(number, 1, None, "x", b"%d" % number)
