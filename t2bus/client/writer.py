"""Writing to the bus: a message that comes alone at once, all others together.

Calls put their messages in the session's outbox and never wait for the stream, so that cancelling one can never leave
half a frame on it. What comes alone is written by the call itself, as far as that goes without waiting; the task of the
writer does the rest, and takes all that waits each time.

Publications are gathered meanwhile: a publisher that sends a thousand in a row costs few writes, while a request that
comes alone waits for none.

The law of this module: nothing is written behind half a frame but its other half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

if TYPE_CHECKING:
    from ..endpoints import ClientTransport
    from ..session.session import Session

_GATHER_TIME: Final = 0.002
"""Seconds for which publications are gathered. A write, and the task switch to it, cost more than ten publications,
here, in the bus and at every subscriber."""

_GATHER_PASSES: Final = 16
"""Passes of the scheduler for which they are gathered, where that is longer: of many publishers in one program each
sends one message in a pass, which may take a good part of the time."""

_GATHER_MOST: Final = 0.02
"""Seconds for which they are gathered at most."""


@define(eq=False, repr=False)
class Writer:
    """The writing side of a client's connection."""

    transport: ClientTransport
    session: Session
    _room: trio.lowlevel.ParkingLot
    """Those who wait for room."""
    finished: trio.Event = field(factory=trio.Event, init=False)
    """Set when nothing more is written."""
    _called: trio.Event = field(factory=trio.Event, init=False)
    """Set when the task has something new to do."""
    _is_finishing: bool = field(default=False, init=False)

    def flush(self) -> None:
        """See to what was put in the outbox, if the writer is called: it is written now if it comes alone."""
        outbox = self.session.outbox
        if outbox.calls:
            outbox.calls = False
            if outbox.presses and self.session.is_quiet:
                self.write_now()
            else:
                self._called.set()

    # An interrupt between two lines of it would leave half a frame that nobody finishes.
    @trio.lowlevel.enable_ki_protection
    def write_now(self) -> None:
        """Write what waits, as far as that goes without waiting."""
        outbox = self.session.outbox
        if self.transport.can_send_nowait and self.transport.send_nowait(outbox.take()):
            outbox.written()
            if self._room:
                self.make_room()
        else:
            self._called.set()

    def make_room(self) -> None:
        """Wake those who wait for room, to look again."""
        self._room.unpark_all()

    def finish(self) -> None:
        """Write what waits and nothing after it."""
        self._is_finishing = True
        self._called.set()

    async def run(self) -> None:
        """Write until :meth:`finish` is called.

        Raises:
          trio.BrokenResourceError: the connection broke.

        """
        outbox, send = self.session.outbox, self.transport.send
        try:
            while True:
                if outbox.gathered:
                    await self._gather()
                messages = outbox.take()
                if messages or self.transport.writing_since is not None:
                    await send(messages)
                    outbox.written()
                    self.make_room()
                elif self._is_finishing:
                    return
                else:
                    await self._wait()
        finally:
            self.finished.set()

    async def _wait(self) -> None:
        """Wait for the next call; one that came before is not remembered, so look at the outbox first."""
        self._called = trio.Event()
        await self._called.wait()

    async def _gather(self) -> None:
        """Wait while publications keep coming, so that one write takes many; one that comes alone waits for none."""
        before, started = self.session.outbox.gathered, trio.current_time()
        # A publisher that goes on has sent the next one by then.
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        if self.session.outbox.gathered > before:
            passes = (trio.current_time() - started) / 2 * _GATHER_PASSES
            with trio.move_on_after(min(max(_GATHER_TIME, passes), _GATHER_MOST)):
                await self._wait()
