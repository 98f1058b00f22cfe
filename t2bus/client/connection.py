"""A client's connection: the session's messages to and from a transport, and the waiting that calls do.

Three tasks serve it: the :mod:`reader <.reader>` feeds the session, the :mod:`writer <.writer>` writes what waits, and
the keeper looks for signs of life and gives credit back. Calls run in the program's own tasks. They put messages in the
session's outbox, and may read and write by themselves where nothing else goes on. When the connection is lost the tasks
end quietly, the transport is closed, and the session gives everyone who waits the reason.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import trio
from attrs import define, field

from ..bell import Bell
from ..errors import BusError, Disconnected, ProtocolViolation
from ..liveness import Liveness
from ..session.windows import PROMPT
from ..wire import messages as m
from .reader import Reader
from .writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..session.session import Outcome, Session
    from ..transport.transport import Transport

__all__ = ["Connection", "PendingAnswer"]

Expected = TypeVar("Expected", int, m.Response)
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

_TICK: Final = 1.0
"""Seconds between two looks at the peer's liveness."""

_LAST_WORDS: Final = 1.0
"""Seconds for the last message of one end to be heard by the other."""


@define(eq=False, repr=False)
class PendingAnswer(Bell):
    """The one outcome of an operation, for the task that waits for it; see :meth:`Connection.outcome`."""

    outcome: Outcome | None = field(default=None, init=False)

    def __call__(self, _operation: int, outcome: Outcome) -> None:
        """Give the outcome."""
        self.outcome = outcome
        self.ring()

    def is_given(self) -> bool:
        """Tell whether the outcome is there."""
        return self.outcome is not None


@define(eq=False, repr=False)
class Connection:
    """The running side of a client."""

    transport: Transport[m.ServerMessage, m.ClientMessage]
    session: Session
    reader: Reader = field(init=False)
    """Waits for what the bus says."""
    _writer: Writer = field(init=False)
    _closed: bool = field(default=False, init=False)
    _debt: Bell = field(factory=Bell, init=False)
    """Wakes the keeper, when credit is owed."""
    _room: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _ended: trio.Event = field(factory=trio.Event, init=False)
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _last_words: m.Error | None = field(default=None, init=False)
    _liveness: Liveness = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the parts."""
        transport, session = self.transport, self.session
        limits = session.limits
        self._writer = Writer(transport, session, self._make_room)
        self.reader = Reader(transport, session, self._writer, self._lose)
        session.owes = self._debt.ring
        self._liveness = Liveness(limits.ping_interval, limits.silence, trio.current_time())

    # --- for calls

    @property
    def is_open(self) -> bool:
        """Whether calls can be made: the client is not closed and the connection has not ended."""
        return not self._closed and self.session.closed is None

    def check_open(self) -> None:
        """Raise if the client was closed or the connection has ended.

        Raises:
          trio.ClosedResourceError: the program closed the client.
          Disconnected: the connection ended; the text says why.

        """
        if self._closed:
            raise trio.ClosedResourceError("this client was closed")
        self.session.check_open()

    async def wait_for_room(self) -> None:
        """Wait until the outbox has room for a message, and raise if it never will have. Send it before the next
        checkpoint, to keep within the outbox's bound.
        """
        self.check_open()
        while not self.session.outbox.has_room:
            await self._room.park()
            self.check_open()

    def _make_room(self) -> None:
        if self._room:
            self._room.unpark_all()

    # An interrupt between two lines would leave an operation that nobody ends, or the writer asleep with one to write.
    @trio.lowlevel.enable_ki_protection
    def call(self, put: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Let a call put its message in the outbox, and write what waited before it with it."""
        result = put(*args, **kwargs)
        if self.session.outbox.presses and self.session.is_quiet:
            self._writer.write_now()
        return result

    @trio.lowlevel.enable_ki_protection
    def give_back(self, give: Callable[[float], None]) -> None:
        """Give credit back, and write it at once.

        A program that computes for long between two messages lets others run so seldom that credit which waited for the
        writer would come too late (Limits.stall).
        """
        give(trio.current_time())
        self._writer.write_now()

    async def operate(self, begin: Callable[[PendingAnswer], int]) -> int:
        """Begin an operation and return its count. Cancelled, it may or may not have been carried out."""
        self.check_open()
        answer = PendingAnswer()
        operation = self.call(begin, answer)
        try:
            return await self.outcome(answer, int)
        finally:
            self.session.forget(operation)

    async def outcome(self, answer: PendingAnswer, expected: type[Expected]) -> Expected:
        """Wait for the outcome of an operation, and return it as :meth:`result` does."""
        await self.reader.wait(answer.is_given, answer.wait)
        return self.result(answer, expected)

    def result(self, answer: PendingAnswer, expected: type[Expected]) -> Expected:
        """Return the outcome of an operation.

        Raises:
          BusError: what it was refused with, or how the connection ended.
          trio.ClosedResourceError: the program closed the client meanwhile.

        """
        outcome = answer.outcome
        if isinstance(outcome, expected):
            return outcome
        if not isinstance(outcome, BusError):
            raise ProtocolViolation("the bus answered an operation with what is no answer to it")
        if self._closed and isinstance(outcome, Disconnected):
            raise trio.ClosedResourceError("this client was closed")
        # A new object each time: one loss of the connection is the outcome of many calls.
        raise type(outcome)(*outcome.args)

    async def end(self, begin: Callable[[PendingAnswer | None], int]) -> None:
        """Carry out the end of a subscription or a service; with its connection it has ended already.

        Cancelled, it is carried out all the same.
        """
        if not self.is_open:
            begin(None)
            await trio.lowlevel.checkpoint()
            return
        with contextlib.suppress(Disconnected, trio.ClosedResourceError):
            await self.operate(begin)

    # --- tasks

    def start(self, nursery: trio.Nursery, rest: Sequence[m.ServerMessage]) -> None:
        """Start the tasks; ``rest`` is what came together with the WELCOME."""
        nursery.start_soon(self._run, rest)

    async def aclose(self) -> None:
        """Write what waits and a goodbye, then close; at once if cancelled."""
        session = self.session
        self._closed = True
        session.outbox.put(m.Goodbye(""))
        session.outbox.shut()
        self._room.unpark_all()
        self._writer.finish()
        try:
            with trio.move_on_after(session.limits.drain):
                await self._writer.finished.wait()
                await self.transport.end()
                # The bus closes first: a socket that is closed with bytes unread takes back what it has not sent yet.
                with trio.move_on_after(_LAST_WORDS):
                    await self._ended.wait()
        finally:
            session.close(Disconnected("this client was closed"))
            self._room.unpark_all()
            await self.transport.aclose()

    async def _run(self, rest: Sequence[m.ServerMessage]) -> None:
        """Run until the connection is lost; then close the transport."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._keep)
                    await self.reader.run(rest)
                    nursery.cancel_scope.cancel()
            if self._last_words is not None:
                with trio.move_on_after(_LAST_WORDS), contextlib.suppress(trio.BrokenResourceError):
                    await self.transport.send([self._last_words])
        finally:
            self._ended.set()
            await self.transport.aclose()

    def _lose(self, reason: str, last_words: m.Error | None = None) -> None:
        """End the connection; the first reason stands."""
        self.session.close(Disconnected(reason))
        self._room.unpark_all()
        if self._last_words is None and self.transport.writing_since is None:
            # Nothing may follow half a frame.
            self._last_words = last_words
        self._scope.cancel()

    async def _write(self) -> None:
        try:
            await self._writer.run()
        except trio.BrokenResourceError:
            # What the bus said before it went may still be unread, the reason among it.
            await trio.sleep(_LAST_WORDS)
            self._lose("the connection to the bus broke")

    async def _keep(self) -> None:
        limits, liveness = self.session.limits, self._liveness
        while self.session.closed is None:
            if self.session.owing:
                await trio.sleep(PROMPT)
                self.give_back(self.session.give_back)
            else:
                with trio.move_on_after(_TICK):
                    await self._debt.wait()
            now = trio.current_time()
            if self.transport.read_at > liveness.heard_at:
                liveness.heard(self.transport.read_at)
            self.transport.look_for_progress()
            writing_since = self.transport.writing_since
            if liveness.is_gone(now):
                self._lose(f"nothing was heard of the bus for {limits.silence:g} s (Limits.silence)")
            elif writing_since is not None and now - writing_since >= limits.write_stall:
                self._lose(
                    f"the bus took nothing that was written to it for {limits.write_stall:g} s (Limits.write_stall)"
                )
            elif liveness.ping_is_due(now):
                self.session.outbox.put(m.Ping(0))
