"""Serving: the channel of the requests to one topic.

::

    async with client.serve(Measure, "oven") as requests:
        async for request in requests:
            await request.respond(Reading(celsius=21.5))

A request has a place in the window of its service (``Limits.service_requests``) until it is answered, so each has to
be, also one that nobody waits for any more. ``client.serve_with`` sees to that (:mod:`.handlers`).

The law of this module: a request is given once, or answered here.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import trio
from attrs import define, field

from ..background import Resource
from ..errors import MalformedMessage, anew
from ..log_limiter import LogLimiter
from ..wire.compression import inflate
from ..wire.values import NO_HEADERS, ErrorCode
from .batches import Batches, most_of
from .connection import ClientConnection, PendingAnswer
from .request import Body, Request, Result, answer, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..session.windows import CallWindow, PendingCall

_logger = logging.getLogger("t2bus.client")

_LOG_INTERVAL = 1.0
"""Seconds between two lines in the log on requests that a service cannot read."""


@define(eq=False, slots=False)
class Requests(Resource, trio.abc.ReceiveChannel[Request[Body, Result]]):
    """The requests of one service: what :meth:`t2bus.Client.serve` gives.

    It is a ``trio.abc.ReceiveChannel`` of :class:`t2bus.Request`. Each request has a place in the window of the service
    until it is answered, so each has to be, in any order and by any task, also one that nobody waits for any more.
    Several tasks may receive at once.

    Attributes:
      topic: the full topic of the service.

    """

    _connection: ClientConnection
    _decode: Callable[[bytes], Body]
    _encode: Callable[[Result], bytes]
    topic: str
    _window: CallWindow = field(init=False)
    _lot: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _log: LogLimiter = field(factory=partial(LogLimiter, _LOG_INTERVAL), init=False)
    _closed: bool = field(default=False, init=False)
    _for_the_house: ClassVar = ("open",)

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
        now = trio.current_time()
        for pending in reversed(self._window.waiting.values()):
            if pending.deadline is not None:
                break
            # Counted from here, as the requester waits while the request waits for the program.
            timeout = pending.call.timeout
            pending.deadline = math.inf if timeout is None else now + timeout / 1000
        if self._window.closed is None and not self._connection.has_all:
            self._lot.unpark(count=len(self._window.waiting))
        else:
            self._lot.unpark_all()

    async def receive(self) -> Request[Body, Result]:
        """Wait for the next request that can be read, and return it.

        One that cannot is answered with ``MalformedMessage`` by itself, counted in ``client.statistics()``, and logged,
        at most once a second. Cancelled, it loses nothing.

        Raises:
          Disconnected: the connection ended.
          ServiceRevoked: the claim was lost: somebody else wanted the topic, and this client answered no ping; or it
            was claimed while this client had no connection.
          trio.EndOfChannel: the client was drained.
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
          trio.WouldBlock: none has. Others arrive only while the program waits for something.

        and as :meth:`receive`.

        """
        while self._window.waiting:
            if (request := self._next()) is not None:
                return request
        self._check_open()
        raise trio.WouldBlock

    async def receive_batch(self, most: int | None = None) -> list[Request[Body, Result]]:
        """Wait for a request, and return all that have arrived and can be read, ``most`` at most; never an empty list.

        It is one checkpoint, however many they are. Cancelled, it loses nothing.

        Raises:
          ValueError: ``most`` is below 1.

        and as :meth:`receive`.

        """
        room = most_of(most)
        batch = [await self.receive()]
        while len(batch) < room and self._window.waiting:
            if (request := self._next()) is not None:
                batch.append(request)
        return batch

    def batches(self, most: int | None = None) -> Batches[Request[Body, Result]]:
        """Return an iterator that gives what :meth:`receive_batch` does, and raises what it raises.

        It ends at ``trio.EndOfChannel``. Cancelled, or left and begun again, it loses nothing.
        """
        return Batches(self.receive_batch, most)

    async def respond_batch(self, responses: Sequence[tuple[Request[Body, Result], Result]]) -> None:
        """Answer several requests of this service, all or none, by one checkpoint; as :meth:`t2bus.Request.respond`.

        ::

            async for batch in requests.batches():
                await requests.respond_batch([(request, measure(request.body)) for request in batch])

        Cancelled while it waits for room, all can still be answered.

        Raises:
          ValueError: a request is of another service, or there twice; none was answered.

        and as :meth:`t2bus.Request.respond`, for the first that is wrong: none was answered.

        """
        requests = [request for request, _ in responses]
        if len({*map(id, requests)}) < len(requests) or not all(map(self._has, requests)):
            raise ValueError("each of the requests is one of this service, and there once")
        encoded = [request.encode(response) for request, response in responses]

        def put() -> None:
            for request, body in zip(requests, encoded, strict=True):
                request.put(body)

        await answer(self._connection, requests, put)

    def _has(self, request: Request[Body, Result]) -> bool:
        return request.is_of(self._window)

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this service was closed")
        if self._connection.has_all:
            raise trio.EndOfChannel
        self._connection.check_open()
        if (error := self._window.closed) is not None:
            raise anew(error)

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
        deadline = pending.deadline
        assert deadline is not None
        headers = dict(call.headers) if call.headers else NO_HEADERS
        return Request(call.topic, body, headers, deadline, self._connection, session, window, pending, self._encode)

    def _refuse(self, pending: PendingCall, error: MalformedMessage) -> None:
        """Tell the requester that its request cannot be read, and whoever runs the service, who sees nothing of it."""
        session = self._connection.session
        session.counters.malformed_requests += 1
        if self._log.allows(None, trio.current_time()):
            so_far = session.counters.malformed_requests
            _logger.warning("a request of %s cannot be read: %s (%d so far)", error.topic, error, so_far)
        text = text_of(str(error), session.welcome.frame)
        self._connection.call(session.fail, self._window, pending, ErrorCode.MALFORMED_MESSAGE, text)

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """End the service; every requester that still waits gets ``ServiceGone`` at once. Leaving the block does so.

        Cancelled, the service is ended all the same, here at once and in the bus soon.
        """
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._connection.check_run()
        self._closed = True
        connection = self._connection
        await connection.end(self._window, connection.session.unclaim, "this service was closed")
