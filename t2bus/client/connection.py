"""A client's connection: the session's messages to and from a transport, and the waiting that calls do.

Three tasks serve it: one reads and feeds the session, the :mod:`writer <.writer>` writes what waits, and the keeper
looks for signs of life and gives credit back. Calls run in the program's own tasks: they put messages in the session's
outbox and wait for what the session says of them. When the connection is lost the tasks end quietly, the transport is
closed, and the session gives everyone who waits the reason.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import trio
from attrs import define, field

from ..disconnected import Disconnected
from ..errors import BusError, ProtocolViolation
from ..liveness import TICK, Liveness, Verdict
from ..session.receipt import Receipt
from ..session.windows import PROMPT
from ..wire import messages as m
from .writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..endpoints import ClientTransport
    from ..session.pending import Outcome
    from ..session.session import Session
    from ..session.windows import CallWindow, ReceiveWindow

Expected = TypeVar("Expected", Receipt, m.Response)
Result = TypeVar("Result")
Window = TypeVar("Window", "ReceiveWindow", "CallWindow")
Arguments = ParamSpec("Arguments")

_LAST_WORDS: Final = 1.0
"""Seconds for the last message of one end to be heard by the other."""


@define(eq=False, repr=False)
class PendingAnswer:
    """The one outcome of an operation, for the task that waits for it."""

    outcome: Outcome | None = field(default=None, init=False)
    given: trio.Event = field(factory=trio.Event, init=False)

    def __call__(self, _operation: int, outcome: Outcome) -> None:
        """Give the outcome."""
        self.outcome = outcome
        self.given.set()


@define(eq=False, repr=False)
class ClientConnection:
    """The running side of a client."""

    transport: ClientTransport
    session: Session
    writer: Writer = field(init=False)
    _wakers: dict[object, Callable[[], None]] = field(factory=dict, init=False)
    """Whom to wake when one of the session's windows has something new, or a call is withdrawn."""
    _closed: bool = field(default=False, init=False)
    _debt: trio.Event = field(factory=trio.Event, init=False)
    """Set when credit is owed."""
    _ended: trio.Event = field(factory=trio.Event, init=False)
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _last_words: m.Error | None = field(default=None, init=False)
    _liveness: Liveness = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the parts."""
        self.writer = Writer(self.transport, self.session)
        self.transport.take_signs = self.session.outbox.take_signs
        limits = self.session.limits
        interval = min(limits.ping_interval, self.transport.speaks_within)
        self._liveness = Liveness(interval, limits.silence, limits.write_stall, trio.current_time())

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
            await self.writer.wait_for_room()
            self.check_open()

    # An interrupt between two lines would leave an operation that nobody ends, or the writer asleep with one to write.
    @trio.lowlevel.enable_ki_protection
    def call(self, put: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Let a call put its message in the outbox, and have it written."""
        result = put(*args, **kwargs)
        if self.session.outbox.calls:
            self.writer.flush()
        return result

    @trio.lowlevel.enable_ki_protection
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

    async def operate(self, begin: Callable[[PendingAnswer], int]) -> Receipt:
        """Begin an operation and return its receipt. Cancelled, it may or may not have been carried out."""
        if self._closed or self.session.closed is not None:
            self.check_open()
        answer = PendingAnswer()
        operation = self.call(begin, answer)
        try:
            return await self.outcome(answer, Receipt)
        finally:
            if answer.outcome is None:
                self.session.forget(operation)

    async def outcome(self, answer: PendingAnswer, expected: type[Expected]) -> Expected:
        """Wait for the outcome of an operation, and return it.

        Raises:
          BusError: what it was refused with, or how the connection ended.
          trio.ClosedResourceError: the program closed the client meanwhile.

        """
        await answer.given.wait()
        outcome = answer.outcome
        if isinstance(outcome, expected):
            return outcome
        if not isinstance(outcome, BusError):
            raise ProtocolViolation("the bus answered an operation with what is no answer to it")
        if self._closed and isinstance(outcome, Disconnected):
            raise trio.ClosedResourceError("this client was closed")
        # A new object each time: one loss of the connection is the outcome of many calls.
        raise type(outcome)(*outcome.args)

    # An interrupt between two lines of it would leave something open that nobody closes.
    @trio.lowlevel.enable_ki_protection
    async def open(
        self, window: Window, answer: PendingAnswer, wake: Callable[[], None], end: Callable[[Window, None], int]
    ) -> None:
        """Wait until a subscription or a service is open; whatever goes wrong leaves nothing registered.

        Raises: as :meth:`outcome`.
        """
        self.on_news(window, wake)
        try:
            await self.outcome(answer, Receipt)
        except BaseException:
            self.forget(window)
            self.call(end, window, None)
            raise
        finally:
            self.session.forget(window.id)

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

    def on_news(self, source: object, wake: Callable[[], None]) -> None:
        """Have this called when a window of the session has something new, or a call is withdrawn."""
        self._wakers[source] = wake

    def forget(self, source: object) -> None:
        """Call nobody for this any more; idempotent."""
        self._wakers.pop(source, None)

    def tell(self, news: Iterable[object]) -> None:
        """Wake whoever waits for what has something new."""
        for source in news:
            if (wake := self._wakers.get(source)) is not None:
                wake()

    # --- tasks

    def start(self, nursery: trio.Nursery, rest: Sequence[m.ServerMessage]) -> None:
        """Start the tasks; ``rest`` is what came together with the WELCOME."""
        nursery.start_soon(self._run, rest)

    def outlive_cancellation(self) -> None:
        """Let the tasks end with :meth:`aclose` alone: what closes in a body that is cancelled may still need them."""
        self._scope.shield = True

    async def aclose(self) -> None:
        """Write what waits and a goodbye, then close; at once if cancelled."""
        session = self.session
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
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
            self._close_session(Disconnected("this client was closed"))
            self._scope.cancel()
            await self.transport.aclose()

    async def _run(self, rest: Sequence[m.ServerMessage]) -> None:
        """Run until the connection is lost; then close the transport."""
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
        self._close_session(Disconnected(reason))
        if self._last_words is None and self.transport.writing_since is None:
            # Nothing may follow half a frame.
            self._last_words = last_words
        self._scope.cancel()

    def _close_session(self, error: BusError) -> None:
        self.session.close(error)
        self.tell(self.session.take_news())
        self.writer.make_room()
        self._debt.set()

    async def _write(self) -> None:
        try:
            await self.writer.run()
        except trio.BrokenResourceError:
            # What the bus said before it went may still be unread, the reason among it.
            await trio.sleep(_LAST_WORDS)
            self._lose("the connection to the bus broke")

    async def _keep(self) -> None:
        while self.session.closed is None:
            if self.session.credit:
                await trio.sleep(PROMPT)
                if self.session.credit.give_back(trio.current_time()):
                    self.writer.write_now()
                else:
                    self.writer.flush()
            else:
                self._debt = trio.Event()
                with trio.move_on_after(TICK):
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
