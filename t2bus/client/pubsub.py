"""The calls of a client that publish and subscribe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, get_origin, overload

import trio
from attrs import define

from ..protocol import PublishProtocol, decode, decode_all, encode, encode_all, encode_as
from ..session.options import SubscriptionOptions
from ..under_trio import require_trio
from .base import ClientBase, Headers, same
from .forwarding import into
from .handlers import Handler, MessageHandler
from .publisher import Publisher
from .subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from ..errors import BusError, Lagged, MalformedMessage
    from ..session.receipt import Receipt
    from .received import Received

Body = TypeVar("Body")
Published = TypeVar("Published", bound=PublishProtocol)

OnLag = Callable[["Lagged"], object]
OnMalformed = Callable[["MalformedMessage"], object]


@define(eq=False, slots=False)
class PublishSubscribe(ClientBase):
    """Publishing, and subscribing in each of the forms that a program may want."""

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
        full_topic = self._full_topic("publish", type(body), PublishProtocol, topic)
        return await self.publish_bytes(full_topic, encode(body), headers=headers)

    async def publish_bytes(self, topic: str, payload: bytes, *, headers: Headers | None = None) -> Receipt:
        """Do as :meth:`publish` by full topic, with a payload that is sent as it is."""
        connection = self._connection
        while True:
            session = connection.session
            session.bounds.check_topic(topic)
            encoded = session.bounds.encode_body(topic, payload, headers)
            await trio.lowlevel.checkpoint_if_cancelled()
            if session.outbox.has_room:
                return await connection.operate(partial(session.publish, topic, encoded))
            # Then again from the beginning: it may be the session of another bus by now.
            await connection.wait_for_room()

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
        full_topic = self._full_topic("open_publisher", protocol, PublishProtocol, topic)
        cls = get_origin(protocol) or protocol
        write, write_all = partial(_encode_exactly, protocol, cls), partial(_encode_all_exactly, protocol, cls)
        return self._publisher(write, write_all, full_topic, paced=paced)

    def open_bytes_publisher(self, topic: str, *, paced: bool = True) -> Publisher[bytes]:
        """Do as :meth:`open_publisher` by full topic, for payloads that are sent as they are."""
        return self._publisher(same, list, topic, paced=paced)

    def _publisher(
        self,
        write: Callable[[Body], bytes],
        write_all: Callable[[Sequence[Body]], list[bytes]],
        full_topic: str,
        *,
        paced: bool,
    ) -> Publisher[Body]:
        require_trio()
        return Publisher(self._connection, write, write_all, full_topic, bool(paced))

    # --- subscribe

    def subscribe(
        self,
        protocol: type[Published],
        topic: str,
        *,
        messages: int | None = None,
        size: int | None = None,
        latest: bool = False,
    ) -> AbstractAsyncContextManager[Subscription[Published]]:
        """Open a channel of the messages published to topics that this one intersects, until the body ends.

        Messages published after this has been entered are received, in the order of each publisher.

        Args:
          protocol: the class that the messages are read as.
          topic: below its prefix; may have wildcards; ``""`` is the prefix alone.
          messages: the window of this subscription, instead of ``Limits.subscription_messages``: so many may be on
            their way or wait. The limit of the bus caps it.
          size: the same in bytes, instead of ``Limits.subscription_bytes``.
          latest: whether only the newest message of each topic waits; what it replaced is counted, not raised. The
            window is then of topics and their bytes. Where more wait, or where so much came at once that the bus
            dropped something, ``Lagged`` says that there may be newer ones of some topics.

        Raises:
          InvalidTopic: the topic is not one; nothing was sent.
          LimitExceeded, PermissionDenied: the bus refused it.
          Disconnected: the connection ended.
          ValueError: ``messages`` or ``size`` is below 1.

        """
        options = SubscriptionOptions(messages, size, latest)
        return self._subscription("subscribe", protocol, topic, options)

    def subscribe_bytes(
        self, topic: str, *, messages: int | None = None, size: int | None = None, latest: bool = False
    ) -> AbstractAsyncContextManager[Subscription[bytes]]:
        """Do as :meth:`subscribe` by full topic, giving payloads as they came."""
        return self._subscription_of_bytes(topic, SubscriptionOptions(messages, size, latest))

    def subscribe_into(
        self,
        protocol: type[Published],
        topic: str,
        send_channel: trio.abc.SendChannel[Received[Published] | BusError],
        *,
        messages: int | None = None,
        size: int | None = None,
        latest: bool = False,
    ) -> AbstractAsyncContextManager[None]:
        """Subscribe, and send what is received into a channel of the caller's, until the body ends.

        Several subscriptions may go into one channel; when it is full they wait, each within its own window. The
        channel is not closed at the end. Where a message is missing or cannot be read, the ``Lagged`` or
        ``MalformedMessage`` is sent in its place; the loss of the bus is sent as a last ``Disconnected``.

        Args and Raises: as :meth:`subscribe`, and ``trio.BrokenResourceError`` if the channel's receiving end is
        closed.
        """
        options = SubscriptionOptions(messages, size, latest)
        return into(self._subscription("subscribe_into", protocol, topic, options), send_channel)

    def subscribe_bytes_into(
        self,
        topic: str,
        send_channel: trio.abc.SendChannel[Received[bytes] | BusError],
        *,
        messages: int | None = None,
        size: int | None = None,
        latest: bool = False,
    ) -> AbstractAsyncContextManager[None]:
        """Do as :meth:`subscribe_into` by full topic, giving payloads as they came."""
        return into(self._subscription_of_bytes(topic, SubscriptionOptions(messages, size, latest)), send_channel)

    @overload
    def subscribe_with(
        self,
        protocol: type[Published],
        topic: str,
        handler: Callable[[Published], Awaitable[object]],
        *,
        whole: Literal[False] = False,
        on_lag: OnLag | None = None,
        on_malformed: OnMalformed | None = None,
        messages: int | None = None,
        size: int | None = None,
        latest: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> Coroutine[Any, Any, None]: ...

    @overload
    def subscribe_with(
        self,
        protocol: type[Published],
        topic: str,
        handler: Callable[[Received[Published]], Awaitable[object]],
        *,
        whole: Literal[True],
        on_lag: OnLag | None = None,
        on_malformed: OnMalformed | None = None,
        messages: int | None = None,
        size: int | None = None,
        latest: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> Coroutine[Any, Any, None]: ...

    def subscribe_with(
        self,
        protocol: type[Published],
        topic: str,
        handler: Handler,
        *,
        whole: bool = False,
        on_lag: OnLag | None = None,
        on_malformed: OnMalformed | None = None,
        messages: int | None = None,
        size: int | None = None,
        latest: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> Coroutine[Any, Any, None]:
        """Subscribe and ``await handler(body)`` for each message, one after the other, until cancelled.

        The handler sets the pace, as a loop with ``receive`` does. What it raises leaves from here as it is.

        For use with ``await nursery.start(client.subscribe_with, ...)``, which returns when the topic is subscribed to.

        Args:
          protocol: as for :meth:`subscribe`.
          topic: the same.
          handler: is given the message's body.
          whole: whether it is given the whole :class:`t2bus.Received` instead, with topic and headers.
          on_lag: called with a ``Lagged`` where messages are missing; may be asynchronous. Without it that is logged,
            at most once a second.
          on_malformed: the same for a ``MalformedMessage``.
          messages: as for :meth:`subscribe`.
          size: the same.
          latest: the same.
          task_status: given by ``nursery.start``.

        Raises: as :meth:`subscribe`, and what the three functions raise.

        """
        options = SubscriptionOptions(messages, size, latest)
        opened = self._subscription("subscribe_with", protocol, topic, options)
        return MessageHandler(handler, whole, on_lag, on_malformed).run(opened, task_status)

    @overload
    def subscribe_bytes_with(
        self,
        topic: str,
        handler: Callable[[bytes], Awaitable[object]],
        *,
        whole: Literal[False] = False,
        on_lag: OnLag | None = None,
        on_malformed: OnMalformed | None = None,
        messages: int | None = None,
        size: int | None = None,
        latest: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> Coroutine[Any, Any, None]: ...

    @overload
    def subscribe_bytes_with(
        self,
        topic: str,
        handler: Callable[[Received[bytes]], Awaitable[object]],
        *,
        whole: Literal[True],
        on_lag: OnLag | None = None,
        on_malformed: OnMalformed | None = None,
        messages: int | None = None,
        size: int | None = None,
        latest: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> Coroutine[Any, Any, None]: ...

    def subscribe_bytes_with(
        self,
        topic: str,
        handler: Handler,
        *,
        whole: bool = False,
        on_lag: OnLag | None = None,
        on_malformed: OnMalformed | None = None,
        messages: int | None = None,
        size: int | None = None,
        latest: bool = False,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> Coroutine[Any, Any, None]:
        """Do as :meth:`subscribe_with` by full topic, giving payloads as they came."""
        opened = self._subscription_of_bytes(topic, SubscriptionOptions(messages, size, latest))
        return MessageHandler(handler, whole, on_lag, on_malformed).run(opened, task_status)

    def _subscription(
        self, call: str, protocol: type[Published], topic: str, options: SubscriptionOptions
    ) -> AbstractAsyncContextManager[Subscription[Published]]:
        full_topic = self._full_topic(call, protocol, PublishProtocol, topic)
        read, read_all = partial(decode, type_=protocol), partial(decode_all, type_=protocol)
        return self._opened(Subscription(self._connection, read, read_all, full_topic, options))

    def _subscription_of_bytes(
        self, topic: str, options: SubscriptionOptions
    ) -> AbstractAsyncContextManager[Subscription[bytes]]:
        return self._opened(Subscription(self._connection, same, same, topic, options))


def _encode_exactly(protocol: type[Published], cls: type, body: Published) -> bytes:
    """Encode a message of this very class: a subclass has a prefix of its own, so its topics are others."""
    if type(body) is not cls:
        _refuse_class(cls, body)
    return encode_as(body, protocol)


def _encode_all_exactly(protocol: type[Published], cls: type, bodies: Sequence[Published]) -> list[bytes]:
    """Do as :func:`_encode_exactly` for each, after all have been seen to be of the class."""
    for body in bodies:
        if type(body) is not cls:
            _refuse_class(cls, body)
    return encode_all(bodies, protocol)


def _refuse_class(cls: type, body: object) -> NoReturn:
    raise TypeError(f"this publisher sends {cls.__name__}, not {type(body).__name__}")
