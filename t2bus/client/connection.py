"""A client's connection: the session's messages to and from a transport, and the waiting that calls do.

Three tasks serve it. The reader feeds the session; the writer takes all that waits and writes it at once; the keeper
looks for signs of life, and gives credit back. Calls run in the program's own tasks. They put messages in the session's
outbox, and write what comes alone as far as that goes without waiting, so that cancelling a call can never leave half a
frame on the stream. When the connection is lost these tasks end quietly, the transport is closed, and the session gives
everyone who waits the reason.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import trio
from attrs import define, field

from ..bell import Bell
from ..core.inlet import PROMPT
from ..core.liveness import Liveness
from ..errors import BusError, Disconnected, ProtocolViolation
from ..wire import messages as m

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..core.client_outbox import ClientOutbox
    from ..core.session import Outcome, Session
    from ..transport.transport import Transport

__all__ = ["Answer", "Connection"]

Expected = TypeVar("Expected", int, m.Response)
Result = TypeVar("Result")

_TICK: Final = 1.0
"""Seconds between two looks at the peer's liveness."""

_GATHER_TIME: Final = 0.002
"""Seconds for which publications are gathered."""

_PASSES: Final = 3
"""Passes of the scheduler in which the next one is to come: to answer a request and take the next one takes two."""

_BUSY_TIME: Final = 0.02
"""Seconds for which they are gathered at most, if the bus has not answered what it was sent before."""

_LAST_WORDS: Final = 1.0
"""Seconds for the last message of one end to be heard by the other."""


@define(eq=False, repr=False)
class Answer:
    """The one outcome of an operation, for the task that waits for it; see :meth:`Connection.outcome`."""

    outcome: Outcome | None = field(default=None, init=False)
    bell: Bell = field(factory=Bell, init=False)

    def __call__(self, _operation: int, outcome: Outcome) -> None:
        """Give the outcome."""
        self.outcome = outcome
        self.bell.ring()


@define(eq=False, repr=False)
class Connection:
    """The running side of a client."""

    transport: Transport[m.ServerMessage, m.ClientMessage]
    session: Session
    _closed: bool = field(default=False, init=False)
    _idle: Bell = field(factory=Bell, init=False)
    """Wakes the writer."""
    _debt: Bell = field(factory=Bell, init=False)
    """Wakes the keeper, when credit is owed."""
    _is_calling: bool = field(default=False, init=False)
    """Whether a call puts its message in the outbox, and will see to it itself."""
    _is_put: bool = field(default=False, init=False)
    """Whether it did."""
    _room: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _waits_for_bus: bool = field(default=False, init=False)
    _finishing: bool = field(default=False, init=False)
    _finished: trio.Event = field(factory=trio.Event, init=False)
    """Set when the writer writes nothing more."""
    _ended: trio.Event = field(factory=trio.Event, init=False)
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _last_words: m.Violation | None = field(default=None, init=False)
    _liveness: Liveness = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Take the place of whoever wakes the writer."""
        limits = self.session.limits
        self.session.outbox.wake = self._wake
        self.session.owes = self._debt.ring
        self._liveness = Liveness(limits.ping_interval, limits.silence, trio.current_time())

    def _wake(self) -> None:
        if self._is_calling:
            self._is_put = True
        else:
            self._idle.ring()

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

    @property
    def has_room(self) -> bool:
        """Whether a call may send a message now; :meth:`wait_for_room` waits for that, and raises if it never will."""
        return self.session.outbox.has_room

    async def wait_for_room(self) -> None:
        """Wait until a message may be sent; send it before the next checkpoint, to keep within the outbox's bound."""
        self.check_open()
        while not self.session.outbox.has_room:
            await self._room.park()
            self.check_open()

    # An interrupt between two lines of it would leave the writer asleep with something to write.
    @trio.lowlevel.enable_ki_protection
    def call(self, put: Callable[[], Result], *, at_once: bool = False) -> Result:
        """Let a call put its message in the outbox, and write it at once if nothing else of this client is under way,
        or if it has to be.

        A switch to the writer's task takes as long as the rest of a request. It pays where several write together.
        """
        self._is_calling = True
        try:
            return put()
        finally:
            self._is_calling = False
            if self._is_put:
                self._is_put = False
                if at_once or self.session.is_quiet:
                    self._write_now()
                else:
                    self._idle.ring()

    def _write_now(self) -> None:
        outbox, transport = self.session.outbox, self.transport
        if transport.can_send_now and transport.send_now(outbox.take()):
            outbox.written()
            if self._room:
                self._room.unpark_all()
            if outbox.rest():
                return
        self._idle.ring()

    async def operate(self, begin: Callable[[Answer], int]) -> int:
        """Begin an operation and return its count. Cancelled, it may or may not have been carried out."""
        self.check_open()
        answer = Answer()
        operation = self.call(partial(begin, answer))
        try:
            return await self.outcome(answer, int)
        finally:
            self.session.forget(operation)

    async def outcome(self, answer: Answer, expected: type[Expected]) -> Expected:
        """Return the outcome of an operation.

        Raises:
          BusError: what it was refused with, or how the connection ended.
          trio.ClosedResourceError: the program closed the client meanwhile.

        """
        if answer.outcome is None:
            await answer.bell.wait()
        else:
            await trio.lowlevel.checkpoint()
        outcome = answer.outcome
        if isinstance(outcome, expected):
            return outcome
        if not isinstance(outcome, BusError):
            raise ProtocolViolation("the bus answered an operation with what is no answer to it")
        if self._closed and isinstance(outcome, Disconnected):
            raise trio.ClosedResourceError("this client was closed")
        # A new object each time: one loss of the connection is the outcome of many calls.
        raise type(outcome)(*outcome.args)

    async def end(self, begin: Callable[[Answer | None], int]) -> None:
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
        self._finishing = True
        self._idle.ring()
        try:
            with trio.move_on_after(session.limits.drain):
                await self._finished.wait()
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
                    await self._read(rest)
            if self._last_words is not None:
                with trio.move_on_after(_LAST_WORDS), contextlib.suppress(trio.BrokenResourceError):
                    await self.transport.send([self._last_words])
        finally:
            self._ended.set()
            await self.transport.aclose()

    def _lose(self, reason: str, last_words: m.Violation | None = None) -> None:
        """End the connection; the first reason stands."""
        self.session.close(Disconnected(reason))
        self._room.unpark_all()
        if self.transport.writing_since is None:
            # Nothing may follow half a frame.
            self._last_words = last_words
        self._scope.cancel()

    async def _read(self, messages: Sequence[m.ServerMessage]) -> None:
        session, receive = self.session, self.transport.receive
        try:
            while True:
                for message in messages:
                    session.feed(message)
                if self._waits_for_bus and not self._is_bus_busy:
                    self._idle.ring()
                if session.closed is not None:
                    self._lose("the bus said goodbye")
                messages = await receive()
        except (trio.EndOfChannel, trio.BrokenResourceError):
            self._lose("the bus closed the connection, or the connection to it broke")
        except ProtocolViolation as error:
            self._lose(f"the bus broke the rules of the wire: {error}", m.Violation(str(error)))

    async def _write(self) -> None:
        outbox, send = self.session.outbox, self.transport.send
        try:
            while True:
                if outbox.gathered:
                    await self._gather(outbox)
                messages = outbox.take()
                if messages or self.transport.writing_since is not None:
                    await send(messages)
                    outbox.written()
                    if self._room:
                        self._room.unpark_all()
                elif self._finishing:
                    return
                else:
                    await self._idle.wait()
        except trio.BrokenResourceError:
            # What the bus said before it went may still be unread, the reason among it.
            self._finished.set()
            await trio.sleep(_LAST_WORDS)
            self._lose("the connection to the bus broke")
        finally:
            self._finished.set()

    async def _gather(self, outbox: ClientOutbox) -> None:
        """Wait while publications keep coming, so that one write takes many.

        A write and the task switch to it cost more than ten publications, here, in the bus and at every subscriber. One
        that comes alone waits for a few passes of the scheduler. A bus that is busy would not come to what is written
        now: until it has answered what it has, more are gathered.
        """
        before = outbox.gathered
        for _ in range(_PASSES):
            await trio.lowlevel.checkpoint()
            if outbox.gathered != before:
                break
        if outbox.gathered > before:
            with trio.move_on_after(_GATHER_TIME):
                await self._idle.wait()
            self._waits_for_bus = outbox.gathered > 0
            if self._waits_for_bus and self._is_bus_busy:
                with trio.move_on_after(_BUSY_TIME):
                    await self._idle.wait()
            self._waits_for_bus = False

    @property
    def _is_bus_busy(self) -> bool:
        """Whether more is unanswered than waits here to be written."""
        return self.session.unanswered > self.session.outbox.gathered

    async def _keep(self) -> None:
        limits, liveness = self.session.limits, self._liveness
        while self.session.closed is None:
            if self.session.owing:
                await trio.sleep(PROMPT)
                # A program that computes for long between two messages lets others run so seldom that credit which
                # waited for the writer would come too late (Limits.stall).
                self.call(partial(self.session.give_back, trio.current_time()), at_once=True)
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
