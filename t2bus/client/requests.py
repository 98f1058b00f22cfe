"""The calls of a client that ask and answer."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

import trio
from attrs import define

from .. import protocol as protocols
from ..errors import MalformedMessage, ServiceNotFound
from ..protocol import RequestProtocol, decode, encode, encode_as
from ..wire.compression import inflate
from ..wire.messages import Response
from ..wire.values import NO_HEADERS
from .base import ClientBase, Headers, begins_with_prefix, prefix_hint, same
from .connection import PendingAnswer
from .handlers import Handler, RequestHandler
from .received import Received
from .service import Requests

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from .request import Request

Requested = TypeVar("Requested", bound=RequestProtocol[Any])
Result = TypeVar("Result")

_FOR_EVER: Final = 1e9
"""Seconds; a deadline further off than this is none. In milliseconds it still fits in what the wire has for it."""


@define(eq=False, slots=False)
class RequestResponse(ClientBase):
    """Asking services, and being one."""

    # --- request

    async def request(self, topic: str, body: RequestProtocol[Result], *, headers: Headers | None = None) -> Result:
        """Ask the service of a topic, and wait for its answer.

        ::

            with trio.fail_after(2):
                reading = await client.request("oven", Measure(samples=3))

        The caller's deadline travels with the request, so that the service can stop too. Cancelled, it waits no more
        and the service is told; the request may have been carried out.

        Args:
          topic: below the prefix of the request's class, without wildcards; ``""`` is the prefix alone.
          body: the request.
          headers: text to text, carried to the service untouched.

        Returns:
          The answer, of the response type that the request's class names.

        Raises:
          InvalidTopic, MalformedMessage, MessageTooLarge: an argument cannot be sent; nothing was.
            ``MalformedMessage`` is raised too where the service cannot read the request, or its answer is not of the
            response type.
          PermissionDenied: the access rules forbid it.
          LimitExceeded: too many requests of this client are pending (``Limits.requests`` of the bus).
          ServiceNotFound: nobody serves the topic.
          ServiceBusy: the service has as many requests pending as it takes.
          ServiceGone: the service left with the request pending.
          RemoteError: the handler failed, with this text.
          RequestTimeout: the request was pending for the bus's ``Limits.request_lifetime``.
          Disconnected: the connection ended; the request may have been carried out.

        """
        return (await self.request_received(topic, body, headers=headers)).body

    async def request_received(
        self, topic: str, body: RequestProtocol[Result], *, headers: Headers | None = None
    ) -> Received[Result]:
        """Ask as :meth:`request` does, and return the answer with its headers, and the full topic."""
        protocol = type(body)
        full_topic = self._full_topic("request", protocol, RequestProtocol, topic, body)
        result = protocols.response_type(protocol)
        try:
            payload, response_headers = await self._request(full_topic, encode(body), headers)
        except ServiceNotFound as error:
            if begins_with_prefix(protocol, topic):
                raise ServiceNotFound(f"{error}; {prefix_hint(protocol, topic)}") from None
            raise
        try:
            return Received(full_topic, decode(payload, result), response_headers)
        except MalformedMessage as error:
            error.at(full_topic, response_headers)
            raise

    async def request_bytes(self, topic: str, payload: bytes, *, headers: Headers | None = None) -> bytes:
        """Ask by full topic, prefix included, with bytes, and return bytes; otherwise as :meth:`request`."""
        return (await self._request(topic, payload, headers))[0]

    async def request_bytes_received(
        self, topic: str, payload: bytes, *, headers: Headers | None = None
    ) -> Received[bytes]:
        """Ask as :meth:`request_bytes` does, and return the answer with its headers, and the topic."""
        return Received(topic, *await self._request(topic, payload, headers))

    async def _request(self, topic: str, payload: bytes, headers: Headers | None) -> tuple[bytes, Headers]:
        """Return the payload and the headers of the answer; however it ends, the request is pending no more."""
        connection = self._connection
        while True:
            session = connection.session
            session.bounds.check_topic(topic, concrete=True)
            encoded = session.bounds.encode_body(topic, payload, headers)
            await trio.lowlevel.checkpoint_if_cancelled()
            if session.outbox.has_room:
                break
            # Then again from the beginning: it may be the session of another bus by now.
            await connection.wait_for_room()
        answer = PendingAnswer()
        operation = connection.call(session.request, topic, encoded, _milliseconds_left(), answer)
        try:
            response = await connection.outcome(answer, Response)
            response_headers = dict(response.headers) if response.headers else NO_HEADERS
            return inflate(response.payload, session.welcome.frame), response_headers
        except MalformedMessage as error:
            error.at(topic, NO_HEADERS)
            raise
        finally:
            connection.call(session.end_request, operation)

    # --- serve

    def serve(self, protocol: type[Requested], topic: str) -> AbstractAsyncContextManager[Requests[Requested, Any]]:
        """Serve a topic until the body ends; ``async with`` gives the channel of its requests, :class:`t2bus.Requests`.

        ::

            async with client.serve(Measure, "oven") as requests:
                async for request in requests:
                    await request.respond(Reading(celsius=21.5))

        The claim is exclusive. At most ``Limits.service_requests`` are pending at once; the bus answers more with
        ``ServiceBusy``. Leaving the body ends the service: requesters that wait get ``ServiceGone``. Cancelled on
        entering, the topic is not claimed.

        Args:
          protocol: the class that the requests are read as; its response type is what they are answered with.
          topic: below its prefix, without wildcards.

        Raises:
          InvalidTopic: the topic is not one, or has wildcards; nothing was sent.
          TopicClaimed: the topic is served already. Its holder loses it if it answers no ping within a second: a
            client that comes back after a lost connection tries again then.
          LimitExceeded, PermissionDenied: the bus refused it.
          Disconnected: the connection ended.

        """
        return self._service("serve", protocol, topic)

    def serve_bytes(self, topic: str) -> AbstractAsyncContextManager[Requests[bytes, bytes]]:
        """Serve a full topic, prefix included, and answer bytes with bytes; otherwise as :meth:`serve`."""
        return self._service_of_bytes(topic)

    @overload
    def serve_with(
        self,
        protocol: type[Requested],
        topic: str,
        handler: Callable[[Requested], Awaitable[Any]],
        *,
        whole: Literal[False] = False,
        finish: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> Coroutine[Any, Any, None]: ...

    @overload
    def serve_with(
        self,
        protocol: type[Requested],
        topic: str,
        handler: Callable[[Request[Requested, Any]], Awaitable[Any]],
        *,
        whole: Literal[True],
        finish: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> Coroutine[Any, Any, None]: ...

    def serve_with(
        self,
        protocol: type[Requested],
        topic: str,
        handler: Handler,
        *,
        whole: bool = False,
        finish: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> Coroutine[Any, Any, None]:
        """Serve a topic, and answer each request with what ``await handler(body)`` returns, until cancelled.

        ::

            await nursery.start(client.serve_with, Measure, "oven", measure)

        ``nursery.start`` returns when the topic is claimed. Handlers run side by side, ``Limits.service_requests`` of
        them at most. One is cancelled when its requester gives up or the requester's deadline passes.

        A handler says no by ``raise t2bus.RemoteError("no such oven")``, whose text the requester gets. Any other
        exception is logged, and the requester gets its type and text; from a group, those of all in it. It ends nothing
        else. When the client is drained, this returns after the last answer.

        Args:
          protocol: as for :meth:`serve`.
          topic: the same.
          handler: is given the request's body.
          whole: whether it is given the whole :class:`t2bus.Request` instead, with topic, headers and deadline. It may
            answer that itself, with headers for one, and go on then; what it returns is the answer where it has not.
          finish: whether handlers may go on when this is cancelled, for at most ``Limits.drain``. Requests that come
            meanwhile get ``ServiceGone`` when these have ended. Otherwise handlers are cancelled, and all get that.
          task_status: given by ``nursery.start``.

        Raises:
          ServiceRevoked: somebody else serves the topic by now.

        and as :meth:`serve`.

        """
        opened = self._service("serve_with", protocol, topic)
        response = protocols.name_of(protocols.response_type(protocol))
        return self._handle(opened, handler, response, task_status, whole=whole, finish=finish)

    @overload
    def serve_bytes_with(
        self,
        topic: str,
        handler: Callable[[bytes], Awaitable[bytes]],
        *,
        whole: Literal[False] = False,
        finish: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> Coroutine[Any, Any, None]: ...

    @overload
    def serve_bytes_with(
        self,
        topic: str,
        handler: Callable[[Request[bytes, bytes]], Awaitable[bytes | None]],
        *,
        whole: Literal[True],
        finish: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> Coroutine[Any, Any, None]: ...

    def serve_bytes_with(
        self,
        topic: str,
        handler: Handler,
        *,
        whole: bool = False,
        finish: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> Coroutine[Any, Any, None]:
        """Serve a full topic, and handle bytes; otherwise as :meth:`serve_with`."""
        opened = self._service_of_bytes(topic)
        return self._handle(opened, handler, "bytes", task_status, whole=whole, finish=finish)

    def _handle(
        self,
        opened: AbstractAsyncContextManager[Requests[Any, Any]],
        handler: Handler,
        response: str,
        task_status: trio.TaskStatus[None],
        *,
        whole: bool,
        finish: bool,
    ) -> Coroutine[Any, Any, None]:
        time_to_finish = self._connection.session.limits.drain if finish else 0.0
        return RequestHandler(handler, whole, time_to_finish, response).run(opened, task_status)

    def _service(
        self, call: str, protocol: type[Requested], topic: str
    ) -> AbstractAsyncContextManager[Requests[Requested, Any]]:
        full_topic = self._full_topic(call, protocol, RequestProtocol, topic)
        read, write = partial(decode, type_=protocol), partial(encode_as, type_=protocols.response_type(protocol))
        return self._opened(Requests(self._connection, read, write, full_topic), concrete=True)

    def _service_of_bytes(self, topic: str) -> AbstractAsyncContextManager[Requests[bytes, bytes]]:
        return self._opened(Requests(self._connection, same, same, topic), concrete=True)


def _milliseconds_left() -> int | None:
    """Return how long this task may wait, rounded up, or None where that is as good as for ever."""
    seconds = trio.current_effective_deadline() - trio.current_time()
    return max(0, math.ceil(seconds * 1000)) if -math.inf < seconds < _FOR_EVER else None
