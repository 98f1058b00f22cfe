"""A request that is to be answered, once.

::

    async for request in requests:
        await request.respond(Reading(celsius=21.5))

What the program does not see of it, such as how answers wait for room, is here too, for one and for many.

The law of this module: a request is answered once.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

import trio
from attrs import define, field

from ..documented import Documented
from ..wire.values import FRAME_OVERHEAD, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from ..session.session import Session
    from ..session.windows import CallWindow, PendingCall
    from ..wire.values import EncodedBody
    from .connection import ClientConnection

Body = TypeVar("Body")
Result = TypeVar("Result")

_TEXT_LENGTH: Final = 4096
"""Characters of a failure that are sent to the requester."""


def text_of(reason: str, frame: int) -> str:
    """Return what of a text travels: its beginning, and of that what is Unicode; a file name may hold other things."""
    return reason[:_TEXT_LENGTH].encode(errors="replace")[: frame - FRAME_OVERHEAD].decode(errors="ignore")


@define(eq=False, slots=False)
class Request(Generic[Body, Result], metaclass=Documented):
    """A request to answer once, with :meth:`respond` or :meth:`fail`, by any task.

    Attributes:
      topic: the full topic of the service.
      body: the request, as the protocol's class or, with ``serve_bytes``, as bytes.
      headers: what the requester sent along, text to text.
      deadline: when the requester stops waiting, on this process's ``trio.current_time()``; ``math.inf`` where it has
        no deadline.
      is_answered: whether it has been answered.

    """

    topic: str
    body: Body
    headers: Mapping[str, str]
    deadline: float
    _connection: ClientConnection
    _session: Session
    """That of the connection over which it came: an answer goes back over no other."""
    _window: CallWindow
    _pending: PendingCall
    _encode: Callable[[Result], bytes]
    is_answered: bool = field(default=False, init=False)
    _scope: trio.CancelScope | None = field(default=None, init=False)
    """What is cancelled when nobody waits for the answer any more."""
    _for_the_house: ClassVar = ("cancelled_when_withdrawn", "check_answerable", "encode", "give_up", "is_of", "put")

    def __repr__(self) -> str:
        return f"<t2bus.Request of {self.topic!r}: {self.body!r}>"

    @property
    def withdrawn(self) -> bool:
        """Whether nobody waits for the answer any more. It still has to be given, to free the request's place."""
        return self._pending.withdrawn

    @property
    def is_connected(self) -> bool:
        """Whether an answer can reach the bus."""
        return self._connection.is_open and self._session.closed is None

    async def respond(self, response: Result, *, headers: Mapping[str, str] | None = None) -> None:
        """Answer; returns when the answer is on its way. One that comes too late is dropped and counted.

        Cancelled while it waits for room, the request can still be answered.

        Args:
          response: of the response type of the request's class or, with ``serve_bytes``, bytes.
          headers: text to text, carried to the requester untouched.

        Raises:
          MalformedMessage: the response is not of the protocol's class; the request can still be answered.
          MessageTooLarge: it does not fit in a frame; likewise.
          Disconnected: the connection over which it came has ended; the requester was told.
          trio.ClosedResourceError: the request was answered before, or the client was closed.

        """
        await answer(self._connection, (self,), partial(self.put, self.encode(response, headers)))

    async def fail(self, reason: str) -> None:
        """Let the requester's call raise ``RemoteError`` with this text, of which it gets the first 4,096 characters.

        Otherwise as :meth:`respond`.
        """
        if not isinstance(reason, str):
            raise TypeError(f"a reason is text, not {type(reason).__name__}")
        await answer(self._connection, (self,), partial(self._fail, reason))

    def _fail(self, reason: str) -> None:
        """End the request without an answer; the requester's call raises ``RemoteError``."""
        self._end()
        session = self._session
        session.fail(self._window, self._pending, ErrorCode.REMOTE_ERROR, text_of(reason, session.welcome.frame))

    def give_up(self, reason: str) -> None:
        """Fail without waiting for room: its place is freed, and if someone waits after all they are told."""
        if not self.is_answered:
            self._connection.call(self._fail, reason)

    def check_answerable(self) -> None:
        """Raise if it was answered, or the connection over which it came has ended."""
        if self.is_answered:
            raise trio.ClosedResourceError("this request was answered already")
        if self._session.closed is not None:
            self._connection.check_open()
            self._session.check_open()

    def _end(self) -> None:
        """Note that it is answered. From then on the scope of :meth:`cancelled_when_withdrawn` has no deadline."""
        self.is_answered = True
        if self._scope is not None:
            self._scope.deadline = math.inf

    def is_of(self, service: CallWindow) -> bool:
        """Tell whether it is a request of this service."""
        return self._window is service

    def encode(self, response: Result, headers: Mapping[str, str] | None = None) -> EncodedBody:
        """Return a response as it travels; raises as :meth:`respond` where it cannot."""
        return self._session.bounds.encode_body("", self._encode(response), headers)

    def put(self, encoded: EncodedBody) -> None:
        """Put the response in the outbox, whatever room that has."""
        self._end()
        self._session.respond(self._window, self._pending, encoded)

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


async def answer(connection: ClientConnection, requests: Sequence[Request[Any, Any]], put: Callable[[], None]) -> None:
    """Put the answers in the outbox when that has room. Cancelled while it waits, all can still be answered.

    Other tasks run behind the answers and not before them, as requesters wait; that is the one checkpoint of this.
    """
    for request in requests:
        request.check_answerable()
    await trio.lowlevel.checkpoint_if_cancelled()
    session = connection.session
    if not session.outbox.has_room:
        await connection.wait_for_room_of(session)
        for request in requests:
            request.check_answerable()
    connection.call(put)
    await trio.lowlevel.cancel_shielded_checkpoint()
