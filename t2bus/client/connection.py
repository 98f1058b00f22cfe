"""A client's way to its bus: one link after the other, and the waiting that calls do.

Calls run in the program's own tasks: they put messages in the session's outbox and wait for what the session says of
them. A task of the client runs the :mod:`.link`; when that is lost it may make another one (:mod:`.upkeep`), and what
calls use is exchanged here.

The law of this module: a call is carried out over one link, or raises; it is never sent again behind its caller's back.
"""

from __future__ import annotations

import contextlib
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Literal, ParamSpec, TypeVar

import trio
from attrs import define, field

from ..disconnected import Disconnected
from ..errors import BusError, ProtocolViolation, anew
from ..session.outbox import ClientOutbox
from ..session.receipt import Receipt
from ..session.session import Session
from ..under_trio import require_thread
from ..wire import messages as m
from .link import ClientLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..limits import Limits
    from ..session.pending import Outcome
    from ..session.windows import CallWindow, ReceiveWindow
    from .dialling import Dialled
    from .writer import Writer

Expected = TypeVar("Expected", Receipt, m.Response)
Result = TypeVar("Result")
Window = TypeVar("Window", "ReceiveWindow", "CallWindow")
Arguments = ParamSpec("Arguments")

State = Literal["connected", "connecting", "disconnected", "closed"]


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

    limits: Limits
    first: Dialled
    reconnects: bool
    """Whether there will be another link when one is lost."""
    session: Session = field(init=False)
    writer: Writer = field(init=False)
    link: ClientLink = field(init=False)
    _noted: BusError | None = field(default=None, init=False)
    """What was last taken note of, as :meth:`note` does."""
    is_draining: bool = field(default=False, init=False)
    """Whether nothing new is begun any more."""
    has_all: bool = field(default=False, init=False)
    """Whether everything that the subscriptions receive has arrived."""
    room: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    """Those who wait for room in the outbox, and for what else may come of what is written."""
    scope: trio.CancelScope = field(factory=lambda: trio.CancelScope(shield=True), init=False)
    """Of the task that runs the links: shielded, for what closes in a body that is cancelled may still need them."""
    _wakers: dict[object, Callable[[], None]] = field(factory=dict, init=False)
    """Whom to wake when one of the session's windows has something new, or a call is withdrawn."""
    _changes: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    """Those who wait for another state."""
    is_closed: bool = field(default=False, init=False)
    _thread: int = field(factory=get_ident, init=False)
    """The thread of the Trio run that the client belongs to."""

    def __attrs_post_init__(self) -> None:
        """Make the first link."""
        self.use(self.first, ClientOutbox(self.limits.outbox_bytes, self.first.welcome.frame))

    def use(self, dialled: Dialled, outbox: ClientOutbox) -> None:
        """Make a link, and let calls use it."""
        transport, welcome = dialled.transport, dialled.welcome
        compress = transport.compresses and bool(welcome.compressions)
        self.session = Session(self.limits, welcome, outbox, compress=compress)
        self.link = ClientLink(transport, self.session, self._wakers, self.room, self.reconnects)
        self.writer = self.link.writer

    # --- for calls

    @property
    def is_open(self) -> bool:
        """Whether messages can be put now: the client is not closed, and there is a connection."""
        return not self.is_closed and self.session.closed is None

    def check_run(self) -> None:
        """Raise ``RuntimeError`` if another Trio run calls this than that of the client; nothing was done then."""
        if get_ident() != self._thread:  # here as well, since every message that is sent asks for it
            require_thread(self._thread, "client")

    def check_open(self) -> None:
        """Raise if the client was closed, or has lost the bus for good.

        Raises:
          trio.ClosedResourceError: the program closed the client.
          Disconnected: the connection ended; the text says why.
          RuntimeError: as :meth:`check_run`.

        """
        if self.is_closed:
            raise trio.ClosedResourceError("this client was closed")
        self.check_run()
        if not self.session.is_lost:
            self.session.check_open()

    async def wait_for_room(self) -> None:
        """Wait until the outbox has room for a message, and raise if it never will have. Send it before the next
        checkpoint, to keep within the outbox's bound.
        """
        while not self.check_room():
            await self.room.park()

    def check_room(self) -> bool:
        """Tell whether the outbox has room for a message, and raise if it never will have."""
        self.check_open()
        if self.is_draining:
            raise trio.ClosedResourceError("this client begins nothing new: it is being drained")
        return self.session.outbox.has_room

    async def wait_for_room_of(self, session: Session) -> None:
        """Do the same for an answer, which goes out over the connection of its request alone, and while the client is
        drained at once.
        """
        while True:
            self.check_open()
            session.check_open()
            if session.outbox.has_room or self.is_draining:
                return
            await self.room.park()

    # An interrupt between two lines would leave an operation that nobody ends, or the writer asleep with one to write.
    @trio.lowlevel.enable_ki_protection
    def call(self, put: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Let a call put its message in the outbox, and have it written; raises as :meth:`check_run`."""
        self.check_run()
        result = put(*args, **kwargs)
        if self.session.outbox.calls:
            self.writer.flush()
        return result

    @trio.lowlevel.enable_ki_protection
    def look_at_credit(self, window: ReceiveWindow) -> None:
        """See whether credit is to go back, or whether the client waits for the program to have taken everything."""
        self.check_run()
        if self.is_draining:
            self.room.unpark_all()
        else:
            self.link.look_at_credit(window)

    async def operate(self, begin: Callable[[PendingAnswer], int]) -> Receipt:
        """Begin an operation and return its receipt. Cancelled, it may or may not have been carried out."""
        if self.is_closed or self.session.closed is not None:
            self.check_open()
        session, answer = self.session, PendingAnswer()
        operation = self.call(begin, answer)
        try:
            return await self.outcome(answer, Receipt)
        finally:
            if answer.outcome is None:
                session.forget(operation)

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
        if self.is_closed and isinstance(outcome, Disconnected):
            raise trio.ClosedResourceError("this client was closed")
        # One loss of the connection is the outcome of many calls.
        raise anew(outcome)

    # An interrupt between two lines of it would leave something open that nobody closes.
    @trio.lowlevel.enable_ki_protection
    async def open(
        self, window: Window, answer: PendingAnswer, wake: Callable[[], None], end: Callable[[Window, None], int]
    ) -> None:
        """Wait until a subscription or a service is open; whatever goes wrong leaves nothing registered.

        Raises: as :meth:`outcome`.
        """
        session, number = self.session, window.id
        self.on_news(window, wake)
        try:
            await self.outcome(answer, Receipt)
        except BaseException:
            self.forget(window)
            if session.end(window, Disconnected("it was not opened")):
                self.call(end, window, None)
            raise
        finally:
            session.forget(number)

    async def end(self, window: Window, begin: Callable[[Window, PendingAnswer], int], reason: str) -> None:
        """Carry out the end of a subscription or a service, for this reason.

        The bus is told nothing of one that it has ended itself, nor where there is no connection. Cancelled, it is
        carried out all the same.
        """
        was_open = self.session.end(window, Disconnected(reason))
        self.tell()
        self.forget(window)
        if was_open and self.is_open:
            with contextlib.suppress(Disconnected, trio.ClosedResourceError):
                await self.operate(partial(begin, window))
        else:
            await trio.lowlevel.checkpoint()

    def on_news(self, source: object, wake: Callable[[], None]) -> None:
        """Have this called when a window of the session has something new, or a call is withdrawn."""
        self._wakers[source] = wake

    def forget(self, source: object) -> None:
        """Call nobody for this any more; idempotent."""
        self._wakers.pop(source, None)

    def wake(self, source: object) -> None:
        """Wake whoever waits for news of this."""
        if (wake := self._wakers.get(source)) is not None:
            wake()

    def tell(self) -> None:
        """Wake whoever waits for what has something new."""
        self.link.tell()

    # --- the state of the connection

    @property
    def state(self) -> State:
        """Whether there is a connection, or will be one."""
        if self.is_closed:
            return "closed"
        if self.last_error is None:
            return "connected"
        return "connecting" if self.reconnects and not self._is_over else "disconnected"

    @property
    def last_error(self) -> BusError | None:
        """Why there is no connection; None while there is one. It is known as soon as a call raises for it."""
        return self._noted or self.session.closed

    @property
    def _is_over(self) -> bool:
        """Whether there will be no connection any more."""
        return self.session.closed is not None and not self.session.is_lost

    async def wait_for_change(self, state: State) -> State:
        """Wait while the connection is in this state; return the next one."""
        self.check_run()
        while self.state == state:
            await self._changes.park()
        return self.state

    def note(self, error: BusError | None) -> None:
        """Take note of why there is no connection, or that there is one, and tell those who wait for it."""
        if not self.is_closed:
            self._noted = error
        self._changes.unpark_all()
        self.room.unpark_all()

    # --- the end

    def give_up(self, error: BusError) -> None:
        """End everything that waits: there will be no connection any more."""
        self.session.close(error)
        self.tell()
        self.room.unpark_all()

    async def aclose(self) -> None:
        """Write what waits and a goodbye, then close; at once if cancelled."""
        if self.is_closed:
            await trio.lowlevel.checkpoint()
            return
        self.check_run()
        # What the bus says to a goodbye is no reason.
        self._noted = self.last_error or Disconnected("this client was closed")
        self.is_closed = True
        self._changes.unpark_all()
        try:
            await self.link.aclose()
        finally:
            self.scope.cancel()
            # The bus may have been found again meanwhile, and what was open is over another link by then.
            self.give_up(Disconnected("this client was closed"))
