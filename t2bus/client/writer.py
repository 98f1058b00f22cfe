"""Writing to the bus: a message that comes alone at once, all others together.

Calls put their messages in the session's outbox and never wait for the socket, so that cancelling one can never leave
half a frame on the stream. What comes alone is written by the call itself, as far as that goes without waiting; the
task of the writer does the rest, and takes all that waits each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from ..bell import Bell

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..session.outbox import ClientOutbox
    from ..session.session import Session
    from ..transport.transport import Transport
    from ..wire.messages import ClientMessage, ServerMessage

__all__ = ["PASSES", "Writer"]

_GATHER_TIME: Final = 0.002
"""Seconds for which publications are gathered."""

_BUSY_TIME: Final = 0.02
"""Seconds for which they are gathered at most, if the bus has not answered what it was sent before."""

PASSES: Final = 3
"""Passes of the scheduler in which what often follows is to come: to answer a request and take the next takes two."""


@define(eq=False, repr=False)
class Writer:
    """The writing side of a client's connection."""

    transport: Transport[ServerMessage, ClientMessage]
    session: Session
    made_room: Callable[[], None]
    """Called when something was written."""
    finished: trio.Event = field(factory=trio.Event, init=False)
    """Set when nothing more is written."""
    _outbox: ClientOutbox = field(init=False)
    _idle: Bell = field(factory=Bell, init=False)
    """Wakes the task."""
    _finishing: bool = field(default=False, init=False)
    waits_for_bus: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Take the place of whoever wakes the writer."""
        outbox = self._outbox = self.session.outbox
        outbox.wake = self._idle.ring
        outbox.through = self._write_through

    # An interrupt between two lines of it would leave half a frame that nobody finishes.
    @trio.lowlevel.enable_ki_protection
    def _write_through(self, message: ClientMessage, size: int) -> bool:
        """Write a message if nothing else of this client is under way, and tell whether it was so.

        A switch to the writer's task takes as long as the rest of a request. It pays where several write together.
        """
        transport = self.transport
        if not (transport.can_send_now and self.session.is_quiet):
            return False
        if not transport.send_now((message,)):
            self._outbox.leave_rest(size)
        return True

    def write_now(self) -> None:
        """Write what waits, as far as that goes without waiting."""
        outbox, transport = self._outbox, self.transport
        if transport.can_send_now and transport.send_now(outbox.take()):
            outbox.written()
            self.made_room()
            if outbox.rest():
                return
        self._idle.ring()

    def finish(self) -> None:
        """Write what waits and nothing after it."""
        self._finishing = True
        self._idle.ring()

    def heard(self) -> None:
        """Take note that the bus has said something, while :attr:`waits_for_bus`."""
        if not self._is_bus_busy:
            self._idle.ring()

    async def run(self) -> None:
        """Write until :meth:`finish` is called.

        Raises:
          trio.BrokenResourceError: the connection broke.

        """
        outbox, send = self._outbox, self.transport.send
        try:
            while True:
                if outbox.gathered:
                    await self._gather(outbox)
                messages = outbox.take()
                if messages or self.transport.writing_since is not None:
                    await send(messages)
                    outbox.written()
                    self.made_room()
                elif self._finishing:
                    return
                else:
                    await self._idle.wait()
        finally:
            self.finished.set()

    async def _gather(self, outbox: ClientOutbox) -> None:
        """Wait while publications keep coming, so that one write takes many.

        A write and the task switch to it cost more than ten publications, here, in the bus and at every subscriber. One
        that comes alone waits for a few passes of the scheduler. A bus that is busy would not come to what is written
        now: until it has answered what it has, more are gathered.
        """
        before = outbox.gathered
        for _ in range(PASSES):
            await trio.lowlevel.checkpoint()
            if outbox.gathered != before:
                break
        if outbox.gathered > before:
            with trio.move_on_after(_GATHER_TIME):
                await self._idle.wait()
            self.waits_for_bus = outbox.gathered > 0
            if self.waits_for_bus and self._is_bus_busy:
                with trio.move_on_after(_BUSY_TIME):
                    await self._idle.wait()
            self.waits_for_bus = False

    @property
    def _is_bus_busy(self) -> bool:
        """Whether more is unanswered than waits here to be written."""
        return self.session.unanswered > self._outbox.gathered
