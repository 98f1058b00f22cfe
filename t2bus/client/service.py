"""Serving: the channel of requests, and the request that is to be answered.

::

    async with client.serve(Measure, "oven") as requests:
        async for request in requests:
            await request.respond(Reading(celsius=21.5))

A request has a place in the window of its service (``Limits.service_requests``) until it is answered, so each has to
be, also one that nobody waits for any more. ``client.serve_with`` sees to that (:mod:`.handlers`).

The law of this module: a request is answered once.
"""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import trio
from attrs import define, field

from ..background import Resource
from ..disconnected import Disconnected
from ..errors import MalformedMessage
from ..log_limiter import LogLimiter
from ..wire.compression import inflate
from ..wire.values import FRAME_OVERHEAD, NO_HEADERS, ErrorCode
from .connection import ClientConnection, PendingAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from ..session.windows import CallWindow, PendingCall

_logger = logging.getLogger("t2bus.client")

Body = TypeVar("Body")
Result = TypeVar("Result")

_TEXT_LENGTH = 4096
"""Characters of a failure that are sent to the requester."""

_LOG_INTERVAL = 1.0
"""Seconds between two lines in the log on requests that a service cannot read."""


def _text(reason: str, frame: int) -> str:
    """Return what of a text travels: its beginning, and of that what is Unicode; a file name may hold other things."""
    return reason[:_TEXT_LENGTH].encode(errors="replace")[: frame - FRAME_OVERHEAD].decode(errors="ignore")


@define(eq=False, slots=False)
class Request(Generic[Body, Result]):
    """A request to answer, once, with :meth:`respond` or :meth:`fail`."""

    topic: str
    """The full topic of the service."""
    body: Body
    """The request, as the protocol's class or, with ``serve_bytes``, as it came."""
    headers: Mapping[str, str]
    """What the requester sent along."""
    deadline: float
    """When the requester stops waiting, on this process's ``trio.current_time()``; ``math.inf`` if it named no time."""
    _connection: ClientConnection
    _window: CallWindow
    _pending: PendingCall
    _encode: Callable[[Result], bytes]
    is_answered: bool = field(default=False, init=False)
    """Whether it has been answered, or given up."""
    _scope: trio.CancelScope | None = field(default=None, init=False)
    """What is cancelled when nobody waits for the answer any more."""

    def __repr__(self) -> str:
        return f"<t2bus.Request of {self.topic!r}: {self.body!r}>"

    @property
    def withdrawn(self) -> bool:
        """Whether nobody waits for the answer any more; it still has to be given, to free the request's place."""
        return self._pending.withdrawn

    @property
    def is_connected(self) -> bool:
        """Whether an answer can reach the bus."""
        return self._connection.is_open

    async def respond(self, response: Result, *, headers: Mapping[str, str] | None = None) -> None:
        """Answer; returns when the answer is on its way. One that comes too late is dropped, and counted in the
        statistics.

        Raises:
          MalformedMessage: the response is not of the protocol's class; the request can still be answered.
          MessageTooLarge: it does not fit in a frame; likewise.
          Disconnected: the connection ended; the requester was told.
          trio.ClosedResourceError: the request was answered before, or the client was closed.

        """
        session = self._connection.session
        await self._answer(session.respond, session.bounds.encode_body("", self._encode(response), headers))

    async def fail(self, reason: str) -> None:
        """Let the requester's call raise ``RemoteError`` with this text, of which it gets the first 4,096 characters.

        Raises: as :meth:`respond`.
        """
        if not isinstance(reason, str):
            raise TypeError(f"a reason is text, not {type(reason).__name__}")
        await self._answer(self._fail, reason)

    async def _answer(self, put: Callable[..., None], *what: object) -> None:
        """Put the answer in the outbox when that has room. Cancelled while it waits, the request can still be answered.

        Other tasks run behind the answer and not before it, as a requester waits; that is the one checkpoint of this.
        """
        self._check_unanswered()
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._connection.session.outbox.has_room:
            await self._connection.wait_for_room()
            self._check_unanswered()
        self.is_answered = True
        self._connection.call(put, self._window, self._pending, *what)
        if self._scope is not None:
            self._scope.deadline = math.inf
        await trio.lowlevel.cancel_shielded_checkpoint()

    def _check_unanswered(self) -> None:
        if self.is_answered:
            raise trio.ClosedResourceError("this request was answered already")

    def _fail(self, window: CallWindow, pending: PendingCall, reason: str) -> None:
        """End the request without an answer; the requester's call raises ``RemoteError``."""
        session = self._connection.session
        session.fail(window, pending, ErrorCode.REMOTE_ERROR, _text(reason, session.welcome.frame))

    def give_up(self, reason: str) -> None:
        """Fail without waiting for room: its place is freed, and if someone waits after all they are told."""
        if not self.is_answered:
            self.is_answered = True
            self._connection.call(self._fail, self._window, self._pending, reason)

    @contextmanager
    def cancelled_when_withdrawn(self, scope: trio.CancelScope) -> Generator[None, None, None]:
        """Cancel a scope when nobody waits for the answer any more, while the body runs.

        Its deadline, that of the request, is for the answer too: once that is given there is none.
        """
        self._scope = scope
        if self._pending.withdrawn:
            scope.cancel()
        self._connection.on_news(self._pending, scope.cancel)
        try:
            yield
        finally:
            self._connection.forget(self._pending)


@define(eq=False, slots=False)
class Requests(Resource, trio.abc.ReceiveChannel[Request[Body, Result]]):
    """The requests of one service; ``client.serve`` opens it."""

    _connection: ClientConnection
    _decode: Callable[[bytes], Body]
    _encode: Callable[[Result], bytes]
    topic: str
    """The full topic of the service."""
    _window: CallWindow = field(init=False)
    _lot: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _log: LogLimiter = field(factory=partial(LogLimiter, _LOG_INTERVAL), init=False)
    _closed: bool = field(default=False, init=False)

    def __repr__(self) -> str:
        return f"<t2bus.Requests of {self.topic!r}>"

    # An interrupt between two lines of it would leave something open that nobody closes.
    @trio.lowlevel.enable_ki_protection
    async def open(self) -> None:
        """Claim the topic; whatever goes wrong leaves nothing registered."""
        connection, answer = self._connection, PendingAnswer()
        self._window = connection.call(connection.session.claim, self.topic, answer)
        await connection.open(self._window, answer, self._wake, connection.session.unclaim)

    def _wake(self) -> None:
        """Wake a receiver for each request that waits; at the end wake all, who have an error to raise."""
        if self._window.closed is None:
            self._lot.unpark(count=len(self._window.waiting))
        else:
            self._lot.unpark_all()

    async def receive(self) -> Request[Body, Result]:
        """Return the next request that can be read.

        One that cannot is answered with ``MalformedMessage`` by itself, counted in ``client.statistics()``, and logged,
        at most once a second.

        Several tasks may receive at once. Cancelled, it loses nothing.

        Raises:
          Disconnected: the connection ended.
          TopicClaimed: the claim was lost: somebody else wanted the topic, and this client answered no ping.
          trio.ClosedResourceError: the service, or its client, was closed here.

        """
        window = self._window
        if window.waiting:
            await trio.lowlevel.checkpoint()
        while True:
            while not window.waiting:
                self._check_open()
                await self._lot.park()
            if (request := self._next()) is not None:
                return request

    def receive_nowait(self) -> Request[Body, Result]:
        """Return the next request that has arrived and can be read, without a checkpoint.

        Raises:
          trio.WouldBlock: none has. More arrive while the program waits for something.

        and as :meth:`receive`.

        """
        while self._window.waiting:
            if (request := self._next()) is not None:
                return request
        self._check_open()
        raise trio.WouldBlock

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this service was closed")
        self._connection.check_open()
        if (error := self._window.closed) is not None:
            # A new object each time: a raised exception gathers the traceback of whoever raises it.
            raise type(error)(*error.args)

    def _next(self) -> Request[Body, Result] | None:
        """Take the oldest request, or answer it and return None if it is not of the protocol's class."""
        session, window = self._connection.session, self._window
        pending = window.take()
        call = pending.call
        try:
            body = self._decode(
                payload if isinstance(payload := call.payload, bytes) else inflate(payload, session.welcome.frame)
            )
        except MalformedMessage as error:
            error.at(call.topic, dict(call.headers))
            self._refuse(pending, error)
            return None
        deadline = math.inf if call.timeout is None else trio.current_time() + call.timeout / 1000
        headers = dict(call.headers) if call.headers else NO_HEADERS
        return Request(call.topic, body, headers, deadline, self._connection, window, pending, self._encode)

    def _refuse(self, pending: PendingCall, error: MalformedMessage) -> None:
        """Tell the requester that its request cannot be read, and whoever runs the service, who sees nothing of it."""
        session = self._connection.session
        session.counters.malformed_requests += 1
        if self._log.allows(None, trio.current_time()):
            so_far = session.counters.malformed_requests
            _logger.warning("a request of %s cannot be read: %s (%d so far)", error.topic, error, so_far)
        text = _text(str(error), session.welcome.frame)
        self._connection.call(session.fail, self._window, pending, ErrorCode.MALFORMED_MESSAGE, text)

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """End the service; every requester that still waits gets ``ServiceGone`` at once."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        session = self._connection.session
        session.close_service(self._window, Disconnected("this service was closed"))
        self._connection.tell(session.take_news())
        self._connection.forget(self._window)
        await self._connection.end(partial(self._connection.session.unclaim, self._window))
