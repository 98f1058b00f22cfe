"""The calls of a client that publish and subscribe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_origin, overload

import trio
from attrs import define

from ..hints import require_send_channel
from ..protocol import PublishProtocol, decode, decode_all, encode
from ..session.subscription_options import SubscriptionOptions
from .base import ClientBase, Headers, same
from .handlers import Handler, MessageHandler
from .into_channel import into
from .publisher import Publisher, encode_all_exactly, encode_exactly
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
        """Publish a message to all subscriptions whose topics meet its topic, and wait until the bus has accepted it.

        It waits for no subscriber: one whose window is spent misses the message, and is told so by ``Lagged``.
        Cancelled while it waits for room in the outbox, it has sent nothing; later, the message may be published.

        Args:
          topic: below the prefix of the message's class; may have wildcards; ``""`` is the prefix alone.
          body: the message.
          headers: text to text, carried to the receivers untouched.

        Returns:
          The number of connections that the bus accepted it for, as an ``int``. Its ``missed`` says how many more it
          was for.

        Raises:
          InvalidTopic, MalformedMessage, MessageTooLarge: an argument cannot be sent; nothing was.
          TopicTooBroad, PermissionDenied: the bus refused it; nobody received it.
          Disconnected: the connection ended; the message may have been published.

        """
        full_topic = self._full_topic("publish", type(body), PublishProtocol, topic, body)
        return await self.publish_bytes(full_topic, encode(body), headers=headers)

    async def publish_bytes(self, topic: str, payload: bytes, *, headers: Headers | None = None) -> Receipt:
        """Publish bytes to a full topic, prefix included; otherwise as :meth:`publish`."""
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

        Many messages are on their way at once, and are acknowledged in bulk. Leaving the block waits until all are.
        This call sends nothing, and does not wait.

        Args:
          protocol: the class of the messages; a subclass of it is not sent.
          topic: below its prefix; may have wildcards; ``""`` is the prefix alone.
          paced: whether subscribers that take messages set the pace and lose none. Otherwise, and for a subscriber that
            takes nothing for ``Limits.stall``, what finds a window spent is dropped there, and ``Lagged`` says so.

        Raises:
          InvalidTopic: the topic is not one.

        """
        full_topic = self._full_topic("open_publisher", protocol, PublishProtocol, topic)
        cls = get_origin(protocol) or protocol
        write, write_all = partial(encode_exactly, protocol, cls), partial(encode_all_exactly, protocol, cls)
        return self._publisher(write, write_all, full_topic, paced=paced)

    def open_bytes_publisher(self, topic: str, *, paced: bool = True) -> Publisher[bytes]:
        """Return a channel for publishing bytes to a full topic; otherwise as :meth:`open_publisher`."""
        return self._publisher(same, list, topic, paced=paced)

    def _publisher(
        self,
        write: Callable[[Body], bytes],
        write_all: Callable[[Sequence[Body]], list[bytes]],
        full_topic: str,
        *,
        paced: bool,
    ) -> Publisher[Body]:
        self._check_call(full_topic)
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
        """Subscribe to a topic until the body ends; ``async with`` gives a :class:`t2bus.Subscription`.

        ::

            async with client.subscribe(Setpoint, "*/oven") as setpoints:
                async for topic, setpoint in setpoints:
                    print(topic, setpoint.celsius)

        What is published after the block was entered, to any topic that meets this one, is received, in the order of
        each publisher. Cancelled on entering, nothing stays subscribed.

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
        return self._subscription("subscribe", protocol, topic, SubscriptionOptions(messages, size, latest))

    def subscribe_bytes(
        self, topic: str, *, messages: int | None = None, size: int | None = None, latest: bool = False
    ) -> AbstractAsyncContextManager[Subscription[bytes]]:
        """Subscribe to a full topic, prefix included, and receive bytes; otherwise as :meth:`subscribe`."""
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
        """Subscribe, and send what is received into a channel of the program's, until the body ends.

        ::

            async with client.subscribe_into(Hello, "*", send_channel), client.subscribe_into(Note, "*", send_channel):
                async for item in receive_channel: ...

        The channel gets :class:`t2bus.Received`, and errors in their places: ``Lagged`` where messages are missing,
        ``MalformedMessage`` for one that cannot be read. Any other is the last item of its subscription:
        ``Disconnected`` if the bus is lost for good, or what it refuses the subscription with after a loss. When the
        channel is full, each waits within its own window. It stays open at the end; an item that finds it full is lost.

        Args:
          protocol: as for :meth:`subscribe`.
          topic: the same.
          send_channel: where to; several subscriptions may go into one.
          messages: as for :meth:`subscribe`.
          size: the same.
          latest: the same.

        Raises:
          trio.BrokenResourceError: the receiving end of the channel was closed; the body is cancelled.

        and as :meth:`subscribe`.

        """
        options = SubscriptionOptions(messages, size, latest)
        return into(self._subscription("subscribe_into", protocol, topic, options), require_send_channel(send_channel))

    def subscribe_bytes_into(
        self,
        topic: str,
        send_channel: trio.abc.SendChannel[Received[bytes] | BusError],
        *,
        messages: int | None = None,
        size: int | None = None,
        latest: bool = False,
    ) -> AbstractAsyncContextManager[None]:
        """Subscribe to a full topic, and send bytes into a channel; otherwise as :meth:`subscribe_into`."""
        options = SubscriptionOptions(messages, size, latest)
        return into(self._subscription_of_bytes(topic, options), require_send_channel(send_channel))

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

        ::

            await nursery.start(client.subscribe_with, Setpoint, "oven", heat)

        ``nursery.start`` returns when the topic is subscribed to. The handler sets the pace, as a loop with ``receive``
        does. What it raises leaves from here as it is. Cancelled, so is the handler that runs. When the client is
        drained, this returns.

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

        Raises:
          Disconnected: the bus was lost for good, and all that had arrived was handled.

        and as :meth:`subscribe`, and what the three functions raise.

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
        """Subscribe to a full topic, and handle bytes; otherwise as :meth:`subscribe_with`."""
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
