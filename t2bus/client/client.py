"""The client: what programs call.

Each call comes typed, by a protocol class and a topic below its prefix, and raw, by full topic and bytes::

    await client.publish("alice", Hello("Hello Alice"))  # Hello has the prefix "hello"
    await client.publish_bytes("hello/alice", payload)  # to the same subscribers

The law of this module: what cannot be sent is refused before anything is sent.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, get_origin

import trio
from attrs import define

from .. import protocol as protocols
from ..background import closing, open_background_nursery
from ..errors import MalformedMessage
from ..protocol import PublishProtocol, RequestProtocol, decode, encode, encode_as
from ..wire.compression import inflate
from ..wire.messages import Response
from ..wire.values import NO_HEADERS
from .connection import ClientConnection, PendingAnswer
from .publisher import Publisher
from .service import Requests, handle
from .subscription import Received, Subscription, forward

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from ..errors import BusError
    from ..session.counters import ClientStatistics
    from ..session.receipt import Receipt

Published = TypeVar("Published", bound=PublishProtocol)
Requested = TypeVar("Requested", bound=RequestProtocol[Any])
Result = TypeVar("Result")
Opened = TypeVar("Opened", bound=Subscription[Any] | Requests[Any, Any])

Headers = Mapping[str, str]

_FOR_EVER: Final = 1e9
"""Seconds; a deadline further off than this is none. In milliseconds it still fits in what the wire has for it."""


def _same(payload: bytes) -> bytes:
    """Encode and decode what is raw."""
    return payload


@define(eq=False)
class Client:
    """A connection to a bus; made by ``t2bus.open_client`` or ``bus.open_client``.

    Every method may be called from several tasks at once. Every call is a checkpoint; cancelling one leaves the client
    usable. After the bus is lost each call raises ``Disconnected``, after the client is closed
    ``trio.ClosedResourceError``.
    """

    _connection: ClientConnection

    def __repr__(self) -> str:
        return f"<t2bus.Client: connection {self._connection.session.welcome.connection} of its bus>"

    def statistics(self) -> ClientStatistics:
        """Return what the connection looks like now."""
        return self._connection.session.statistics()

    # --- publish

    async def publish(self, topic: str, body: PublishProtocol, *, headers: Headers | None = None) -> Receipt:
        """Publish a message once, to all subscriptions that its topic intersects.

        Args:
          topic: below the prefix of the message's class; may have wildcards; ``""`` is the prefix alone.
          body: the message.
          headers: carried to the receivers untouched.

        Returns:
          For how many connections the bus accepted it, as a number; its ``missed`` says how many more it should have
          reached. It waits for none of them.

        Raises:
          InvalidTopic, MalformedMessage, MessageTooLarge: an argument is not sendable; nothing was sent.
          TopicTooBroad, PermissionDenied: the bus refused it.
          Disconnected: the connection ended; the message may have been published.

        """
        full_topic = protocols.full_topic(_role(type(body), PublishProtocol), topic)
        return await self.publish_bytes(full_topic, encode(body), headers=headers)

    async def publish_bytes(self, topic: str, payload: bytes, *, headers: Headers | None = None) -> Receipt:
        """Do as :meth:`publish` by full topic, with a payload that is sent as it is."""
        connection = self._connection
        session = connection.session
        session.bounds.check_topic(topic)
        encoded = session.bounds.encode_body(topic, payload, headers)
        await trio.lowlevel.checkpoint_if_cancelled()
        if not session.outbox.has_room:
            await connection.wait_for_room()
        return await connection.operate(partial(session.publish, topic, encoded))

    def open_publisher(self, protocol: type[Published], topic: str, *, paced: bool = True) -> Publisher[Published]:
        """Return a channel for publishing many messages to one topic, to be used as ``async with``.

        Its messages are pipelined and acknowledged in bulk. Leaving the block waits until all are acknowledged.

        Args:
          protocol: the class of the messages.
          topic: below its prefix; may have wildcards.
          paced: whether live subscribers set the pace and lose nothing. Otherwise, and where a subscriber takes nothing
            for ``Limits.stall``, what finds a window spent is missed there, and ``Lagged`` says so.

        Raises:
          InvalidTopic: the topic is not one.

        """
        write = partial(_encode_exactly, _role(protocol, PublishProtocol), get_origin(protocol) or protocol)
        return Publisher(self._connection, write, protocols.full_topic(protocol, topic), bool(paced))

    def open_bytes_publisher(self, topic: str, *, paced: bool = True) -> Publisher[bytes]:
        """Do as :meth:`open_publisher` by full topic, for payloads that are sent as they are."""
        return Publisher(self._connection, _same, topic, bool(paced))

    # --- subscribe

    @asynccontextmanager
    async def subscribe(self, protocol: type[Published], topic: str) -> AsyncGenerator[Subscription[Published], None]:
        """Open a channel of the messages published to topics that this one intersects, until the body ends.

        Messages published after this has been entered are received, in the order of each publisher.

        Args:
          protocol: the class that the messages are read as.
          topic: below its prefix; may have wildcards; ``""`` is the prefix alone.

        Raises:
          InvalidTopic: the topic is not one; nothing was sent.
          LimitExceeded, PermissionDenied: the bus refused it.
          Disconnected: the connection ended.

        """
        full_topic = protocols.full_topic(_role(protocol, PublishProtocol), topic)
        read = partial(decode, type_=protocol)
        async with self._opened(Subscription(self._connection, read, full_topic)) as subscription:
            yield subscription

    def subscribe_bytes(self, topic: str) -> AbstractAsyncContextManager[Subscription[bytes]]:
        """Do as :meth:`subscribe` by full topic, giving payloads as they came."""
        return self._opened(Subscription(self._connection, _same, topic))

    @asynccontextmanager
    async def subscribe_into(
        self, protocol: type[Published], topic: str, send_channel: trio.abc.SendChannel[Received[Published] | BusError]
    ) -> AsyncGenerator[None, None]:
        """Subscribe, and send what is received into a channel of the caller's, until the body ends.

        Several subscriptions may go into one channel; when it is full they wait, each within its own window. The
        channel is not closed at the end. Where a message is missing or cannot be read, the ``Lagged`` or
        ``MalformedMessage`` is sent in its place; the loss of the bus is sent as a last ``Disconnected``.

        Raises: as :meth:`subscribe`, and ``trio.BrokenResourceError`` if the channel's receiving end is closed.
        """
        async with self.subscribe(protocol, topic) as subscription, open_background_nursery() as nursery:
            nursery.start_soon(forward, subscription, send_channel)
            yield

    # --- request

    async def request(self, topic: str, body: RequestProtocol[Result], *, headers: Headers | None = None) -> Result:
        """Ask the service of a topic and wait for its answer.

        The caller's deadline (``trio.fail_after``) travels with the request. Cancelled, the service is told.

        Args:
          topic: below the prefix of the request's class, without wildcards.
          body: the request.
          headers: carried to the service untouched.

        Raises:
          InvalidTopic, MalformedMessage, MessageTooLarge: an argument is not sendable; nothing was sent.
            ``MalformedMessage`` is raised too where the service cannot read the request, or its answer is not of the
            protocol's class.
          LimitExceeded: too many requests of this client are pending.
          ServiceNotFound: nobody serves the topic.
          ServiceBusy: the service has as many requests pending as it takes.
          ServiceGone: the service left with the request pending.
          RemoteError: the handler failed, with this text.
          RequestTimeout: the request was pending for the bus's ``Limits.request_lifetime``.
          Disconnected: the connection ended.

        """
        return (await self.request_received(topic, body, headers=headers)).body

    async def request_received(
        self, topic: str, body: RequestProtocol[Result], *, headers: Headers | None = None
    ) -> Received[Result]:
        """Do as :meth:`request`, giving the topic and the headers of the answer with it."""
        protocol = _role(type(body), RequestProtocol)
        full_topic = protocols.full_topic(protocol, topic)
        result = protocols.response_type(protocol)
        payload, response_headers = await self._request(full_topic, encode(body), headers)
        try:
            return Received(full_topic, decode(payload, result), response_headers)
        except MalformedMessage as error:
            error.at(full_topic, response_headers)
            raise

    async def request_bytes(self, topic: str, payload: bytes, *, headers: Headers | None = None) -> bytes:
        """Do as :meth:`request` by full topic, with payloads as they are."""
        return (await self._request(topic, payload, headers))[0]

    async def _request(self, topic: str, payload: bytes, headers: Headers | None) -> tuple[bytes, Headers]:
        """Return the payload and the headers of the answer; however it ends, the request is pending no more."""
        connection = self._connection
        session = connection.session
        session.bounds.check_topic(topic, concrete=True)
        encoded = session.bounds.encode_body(topic, payload, headers)
        await trio.lowlevel.checkpoint_if_cancelled()
        if not session.outbox.has_room:
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

    @asynccontextmanager
    async def serve(self, protocol: type[Requested], topic: str) -> AsyncGenerator[Requests[Requested, Any], None]:
        """Claim a topic and open the channel of its requests, until the body ends.

        At most ``Limits.service_requests`` are pending at once; more are answered ``ServiceBusy`` by the bus. Leaving
        the body ends the service: requesters that wait get ``ServiceGone``.

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
        full_topic = protocols.full_topic(_role(protocol, RequestProtocol), topic)
        read, write = partial(decode, type_=protocol), partial(encode_as, type_=protocols.response_type(protocol))
        async with self._opened(Requests(self._connection, read, write, full_topic), concrete=True) as requests:
            yield requests

    def serve_bytes(self, topic: str) -> AbstractAsyncContextManager[Requests[bytes, bytes]]:
        """Do as :meth:`serve` by full topic, with payloads as they are."""
        return self._opened(Requests(self._connection, _same, _same, topic), concrete=True)

    async def serve_with(
        self,
        protocol: type[Requested],
        topic: str,
        handler: Callable[[Requested], Awaitable[Any]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> NoReturn:
        """Claim a topic and answer each request with what ``await handler(body)`` returns, until cancelled.

        Handlers run concurrently, at most ``Limits.service_requests`` of them. One is cancelled when its requester
        gives up or its deadline passes. An exception of a handler is logged, goes to its requester as ``RemoteError``
        with its text, or with those of all in a group of exceptions, and ends nothing else.

        For use with ``await nursery.start(client.serve_with, ...)``, which returns when the topic is claimed.

        Raises: as :meth:`serve`.
        """
        async with self.serve(protocol, topic) as requests, open_background_nursery() as nursery:
            task_status.started()
            while True:
                nursery.start_soon(handle, await requests.receive(), handler)

    @asynccontextmanager
    async def _opened(self, channel: Opened, *, concrete: bool = False) -> AsyncGenerator[Opened, None]:
        """Open a channel and close it when the body ends; ``concrete`` refuses a topic with wildcards."""
        self._connection.session.bounds.check_topic(channel.topic, concrete=concrete)
        self._connection.check_open()
        await channel.open()
        async with closing(channel.aclose):
            yield channel


def _milliseconds_left() -> int | None:
    """Return how long this task may wait, rounded up, or None where that is as good as for ever."""
    seconds = trio.current_effective_deadline() - trio.current_time()
    return max(0, math.ceil(seconds * 1000)) if -math.inf < seconds < _FOR_EVER else None


def _role(protocol: Any, role: type) -> Any:
    """Return the class if it is of this role.

    Raises:
      TypeError: it is not; the text says what is wanted here.

    """
    cls = protocol if isinstance(protocol, type) else get_origin(protocol)  # of Event[int] it is Event
    if isinstance(cls, type) and issubclass(cls, role):
        return protocol
    name = getattr(protocol, "__name__", repr(protocol))
    raise TypeError(f"{name} is not a t2bus.{role.__name__}: derive its class from it, with a prefix")


def _encode_exactly(protocol: type[Published], cls: type, body: Published) -> bytes:
    """Encode a message of this very class: a subclass has a prefix of its own, so its topics are others."""
    if type(body) is not cls:
        raise TypeError(f"this publisher sends {cls.__name__}, not {type(body).__name__}")
    return encode_as(body, protocol)
