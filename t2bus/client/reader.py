"""Who reads from the bus: a task of the client, or a call that waits.

The task reads by default. But a call that waits for what the bus says, where nothing else goes on in its client, takes
the socket over and reads by itself: the task would only wake it, and a switch between tasks takes as long as all else
that is done for one message. A call that has what it waited for leaves, and often another one follows at once, so the
task stands by for a moment before it reads again.

Whoever reads feeds all that came to the session, whomever it is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define, field

from ..bell import Bell
from ..errors import ProtocolViolation
from ..wire.messages import Error
from .writer import PASSES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..session.session import Session
    from ..transport.transport import Transport
    from ..wire.messages import ClientMessage, ServerMessage
    from .writer import Writer

__all__ = ["Reader"]


@define(eq=False, repr=False)
class Reader:
    """The reading side of a client's connection."""

    transport: Transport[ServerMessage, ClientMessage]
    session: Session
    writer: Writer
    lose: Callable[[str, Error | None], None]
    """Called when nothing more can be read, with the reason and what is to be said to the bus about it."""
    _is_taken: bool = field(default=True, init=False)
    """Whether somebody reads, or waits for something to read, or what came first is still to be fed."""
    _parked: int = field(default=0, init=False)
    """The calls that wait and do not read."""
    _vacant: Bell = field(factory=Bell, init=False)
    """Wakes the task when a call has left."""
    _patience: int = field(default=0, init=False)
    """Passes for which the task stands by."""

    async def run(self, messages: Sequence[ServerMessage]) -> None:
        """Read until the connection is lost; ``messages`` have come already."""
        try:
            self._feed(messages)
            self._is_taken = False
            while self.session.closed is None:
                if self.transport.reads_now:
                    await self._read()
                else:
                    self._feed(await self.transport.receive())
        except (trio.EndOfChannel, trio.BrokenResourceError, ProtocolViolation) as error:
            self._lose(error)

    async def _read(self) -> None:
        while self._is_taken or self._patience:
            if self._is_taken:
                await self._vacant.wait()
            else:
                self._patience -= 1
                await trio.lowlevel.checkpoint()
        self._is_taken = True
        try:
            await self.transport.wait_until_readable()
        except trio.ClosedResourceError:
            pass  # as below
        finally:
            self._is_taken = False
        self._read_now()
        # A single call, which asks or answers one at a time, will soon wait for the next.
        self._patience = PASSES if self._parked <= 1 and self.session.is_quiet else 0

    # An interrupt between two lines of it would leave a socket that nobody reads.
    @trio.lowlevel.enable_ki_protection
    async def wait(self, is_over: Callable[[], bool], park: Callable[[], Awaitable[None]]) -> None:
        """Wait until something is so, or the connection has ended. Always a checkpoint.

        Args:
          is_over: tells whether it is so; messages of the bus change that, or whoever calls :meth:`rouse`.
          park: waits for a moment at which to ask again, while somebody else reads.

        """
        session = self.session
        if is_over() or session.closed is not None:
            await trio.lowlevel.checkpoint()
        while not is_over() and session.closed is None:
            if self._is_taken or self._parked or not (self.transport.reads_now and session.is_quiet):
                self._parked += 1
                try:
                    await park()
                finally:
                    self._parked -= 1
                continue
            self._is_taken = True
            try:
                try:  # noqa: SIM105 -- a context manager takes time for each message
                    await self.transport.wait_until_readable()
                except trio.ClosedResourceError:
                    pass  # to look again, or for good: reading will tell
                self._read_now()
                # Whoever else waits is not to be kept waiting for another call of this one.
                self._patience = 0 if self._parked + session.unanswered else PASSES
            except trio.Cancelled:
                # Somebody who tries again and again must not keep all others from what has come.
                self._read_now()
                raise
            finally:
                self._is_taken = False
                self._vacant.ring()

    def rouse(self) -> None:
        """Have a call that reads look again whether it waits for anything."""
        if self._is_taken and self.transport.reads_now:
            self.transport.rouse()

    @trio.lowlevel.enable_ki_protection
    def _read_now(self) -> None:
        """Read what has come, if anything has."""
        try:
            self._feed(self.transport.receive_now())
        except (trio.EndOfChannel, trio.BrokenResourceError, ProtocolViolation) as error:
            self._lose(error)

    def _feed(self, messages: Sequence[ServerMessage]) -> None:
        session = self.session
        for message in messages:
            session.feed(message)
        if self.writer.waits_for_bus:
            self.writer.heard()
        if session.closed is not None:
            self.lose("the bus said goodbye", None)

    def _lose(self, error: Exception) -> None:
        if isinstance(error, ProtocolViolation):
            self.lose(f"the bus broke the rules of the wire: {error}", Error(str(error)))
        else:
            self.lose("the bus closed the connection, or the connection to it broke", None)
