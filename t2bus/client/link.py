"""One connection to a bus: the session's messages to and from a transport, as long as it lasts.

Three tasks serve it: one reads and feeds the session, the :mod:`writer <.writer>` writes what waits, and the keeper
looks for signs of life and gives credit back. When the connection is lost the tasks end quietly, the transport is
closed, and the session gives everyone who waits the reason.

The law of this module: whoever has something new is woken, the end included, and the first reason stands.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from ..disconnected import Disconnected
from ..errors import ProtocolViolation
from ..liveness import TICK, Liveness, Verdict
from ..session.resuming import Resuming
from ..session.windows import PROMPT
from ..wire import messages as m
from .writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..endpoints import ClientTransport
    from ..session.session import Session
    from ..session.windows import ReceiveWindow

_LAST_WORDS: Final = 1.0
"""Seconds for the last message of one end to be heard by the other."""


@define(eq=False, repr=False)
class ClientLink:
    """The running side of one connection."""

    transport: ClientTransport
    session: Session
    _wakers: Mapping[object, Callable[[], None]]
    """Whom to wake when one of the session's windows has something new, or a call is withdrawn."""
    _room: trio.lowlevel.ParkingLot
    """Those who wait for room in the outbox."""
    goes_on: bool
    """Whether there will be another link when this one is lost."""
    is_watched: bool = field(default=False, init=False)
    """Whether those who wait for room wait for what is read too."""
    writer: Writer = field(init=False)
    resuming: Resuming = field(init=False)
    """What was open over the link before this one."""
    _debt: trio.Event = field(factory=trio.Event, init=False)
    """Set when credit is owed."""
    _ended: trio.Event = field(factory=trio.Event, init=False)
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _last_words: m.Error | None = field(default=None, init=False)
    _liveness: Liveness = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the parts."""
        self.writer = Writer(self.transport, self.session, self._room)
        self.resuming = Resuming(self.session)
        self.transport.take_signs = self.session.outbox.take_signs
        limits = self.session.limits
        interval = min(limits.ping_interval, self.transport.speaks_within)
        self._liveness = Liveness(interval, limits.silence, limits.write_stall, trio.current_time())

    def look_at_credit(self, window: ReceiveWindow) -> None:
        """See whether credit is to go back, and write it at once if the bus may have none left.

        A program that computes for long between two messages lets others run so seldom that credit which waited for the
        writer would come too late (Limits.stall).
        """
        if self.session.credit.look_at(window, trio.current_time()):
            self.writer.write_now()
        else:
            self.writer.flush()
            self._debt.set()

    def tell(self) -> None:
        """Wake whoever waits for what has something new."""
        for source in self.session.take_news():
            if (wake := self._wakers.get(source)) is not None:
                wake()

    # --- tasks

    async def run(self, rest: Sequence[m.ServerMessage]) -> None:
        """Run until the connection is lost, then close the transport; ``rest`` came together with the WELCOME."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    # A task goes through all its callers whenever it goes on, and reading does so most often.
                    nursery.start_soon(self._read, rest)
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._keep)
            if self._last_words is not None:
                with trio.move_on_after(_LAST_WORDS), contextlib.suppress(trio.BrokenResourceError):
                    await self.transport.send([self._last_words])
        finally:
            self._ended.set()
            await self.transport.aclose()

    async def aclose(self) -> None:
        """Write what waits and a goodbye, then close; at once if cancelled."""
        session, self.goes_on = self.session, False
        session.outbox.put(m.Goodbye(""))
        session.outbox.shut()
        self.writer.make_room()
        self.writer.finish()
        try:
            with trio.move_on_after(session.limits.drain):
                await self.writer.finished.wait()
                await self.transport.end()
                # The bus closes first: a socket that is closed with bytes unread takes back what it has not sent yet.
                with trio.move_on_after(_LAST_WORDS):
                    await self._ended.wait()
        finally:
            self.close(Disconnected("this client was closed"))
            self._scope.cancel()
            await self.transport.aclose()

    def close(self, error: Disconnected) -> None:
        """End everything that waits; the first reason stands."""
        self.session.close(error)
        self._tell_end()

    def _tell_end(self) -> None:
        self.tell()
        self.writer.make_room()
        self._debt.set()

    @trio.lowlevel.enable_ki_protection
    async def _read(self, messages: Sequence[m.ServerMessage]) -> None:
        session, receive, wakers = self.session, self.transport.receive, self._wakers
        outbox = session.outbox
        try:
            while True:
                for source in session.feed(messages):
                    if (wake := wakers.get(source)) is not None:
                        wake()
                if outbox.calls:
                    self.writer.flush()
                if self.is_watched:
                    self._room.unpark_all()
                if session.farewell is not None:
                    self._lose(session.farewell)
                    return
                messages = await receive()
        except ProtocolViolation as error:
            self._lose(f"the bus broke the rules of the wire: {error}", m.Error(str(error)))
        except (trio.EndOfChannel, trio.BrokenResourceError):
            self._lose("the bus closed the connection, or the connection to it broke")

    def _lose(self, reason: str, last_words: m.Error | None = None) -> None:
        """End the connection; the first reason stands."""
        error = Disconnected(reason)
        if self.goes_on:
            self.session.lose(error, self.resuming.unanswered)
        else:
            self.session.close(error)
        self._tell_end()
        if self._last_words is None and self.transport.writing_since is None:
            # Nothing may follow half a frame.
            self._last_words = last_words
        self._scope.cancel()

    @trio.lowlevel.enable_ki_protection
    async def _write(self) -> None:
        try:
            await self.writer.run()
        except trio.BrokenResourceError:
            # What the bus said before it went may still be unread, the reason among it.
            await trio.sleep(_LAST_WORDS)
            self._lose("the connection to the bus broke")

    @trio.lowlevel.enable_ki_protection
    async def _keep(self) -> None:
        # Without signs of life to look for there is nothing to do before credit is owed.
        tick = TICK if self.transport.pings else math.inf
        while self.session.closed is None:
            if self.session.credit:
                await trio.sleep(PROMPT)
                if self.session.credit.give_back(trio.current_time()):
                    self.writer.write_now()
                else:
                    self.writer.flush()
            else:
                self._debt = trio.Event()
                with trio.move_on_after(tick):
                    await self._debt.wait()
            if self.transport.pings:
                self._check(trio.current_time())

    def _check(self, now: float) -> None:
        liveness = self._liveness
        match liveness.look(now, self.transport.signs()):
            case Verdict.STALLED:
                limit = f"{liveness.write_stall:g} s (Limits.write_stall)"
                self._lose(f"the bus took nothing that was written to it for {limit}")
            case Verdict.SILENT:
                reason = f"nothing was heard of the bus for {liveness.silence:g} s (Limits.silence)"
                self._lose(reason, m.Error(reason))
            case Verdict.PING:
                self.session.outbox.put_sign(m.Ping(0))
                self.writer.flush()
            case Verdict.FINE:
                pass
