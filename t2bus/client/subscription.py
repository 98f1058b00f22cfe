"""The channel of a subscription, and what it gives.

::

    async with client.subscribe(Hello, "*") as messages:
        async for topic, hello in messages:
            print(topic, hello.text)

What has arrived waits in a window, ``Limits.subscription_messages`` and ``Limits.subscription_bytes`` of it at most.
Where the program takes too little of it the bus lets paced publishers wait, and drops what others publish; ``Lagged``
says where and how many.

The law of this module: messages are given in the order in which they came, each once; and none is lost by cancelling.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from attrs import define, field

from ..background import Resource, open_background_nursery
from ..disconnected import Disconnected
from ..errors import BusError, Lagged, MalformedMessage
from ..session.latest import LatestWindow
from ..session.options import USUAL, SubscriptionOptions
from ..wire.compression import inflate
from ..wire.values import NO_HEADERS
from .connection import ClientConnection, PendingAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from ..session.windows import ReceiveWindow
    from ..wire.values import Payload

Body_co = TypeVar("Body_co", covariant=True)


class Received(tuple[str, Body_co]):  # noqa: SLOT001 -- a tuple of variable size cannot have slots
    """A message that arrived; ``topic, body = received`` takes the two parts that most programs want.

    It is a pair, rather than a class that can be iterated over, because only so do type checkers know that the second
    part is the body. Hence it equals the bare pair too; two of them are equal if their headers are as well.
    """

    headers: Mapping[str, str] = NO_HEADERS
    """What the sender sent along."""

    def __new__(cls, topic: str, body: Body_co, headers: Mapping[str, str] = NO_HEADERS) -> Received[Body_co]:
        """Make a pair with headers."""
        self = tuple.__new__(cls, (topic, body))  # super() is half of the time of this
        if headers is not NO_HEADERS:
            self.headers = headers
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (*self, self.headers)

    @property
    def topic(self) -> str:
        """The full topic that was published, prefix and wildcards included."""
        return self[0]

    @property
    def body(self) -> Body_co:
        """The message."""
        return self[1]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Received):
            return tuple(self) == tuple(other) and self.headers == other.headers
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        headers = f", headers={dict(self.headers)!r}" if self.headers else ""
        return f"Received(topic={self.topic!r}, body={self.body!r}{headers})"


@define(eq=False, slots=False)
class Subscription(Resource, trio.abc.ReceiveChannel[Received[Body_co]]):
    """The messages of one subscription; ``client.subscribe`` opens it."""

    _connection: ClientConnection
    _decode: Callable[[bytes], Body_co]
    topic: str
    """The full topic of the subscription."""
    _options: SubscriptionOptions = USUAL
    _window: ReceiveWindow = field(init=False)
    _news: trio.Event = field(factory=trio.Event, init=False)
    """Set when there is something new to take, or the end; whoever waits for it puts another in its place."""
    _receiving: bool = field(default=False, init=False)
    """Whether a task is receiving. A second one is refused: which of them got a message would be chance."""
    _closed: bool = field(default=False, init=False)

    def __repr__(self) -> str:
        return f"<t2bus.Subscription to {self.topic!r}>"

    # An interrupt between two lines of it would leave something open that nobody closes.
    @trio.lowlevel.enable_ki_protection
    async def open(self) -> None:
        """Subscribe; whatever goes wrong leaves nothing registered."""
        connection, answer = self._connection, PendingAnswer()
        self._window = connection.call(connection.session.subscribe, self.topic, answer, self._options)
        await connection.open(self._window, answer, self._wake, connection.session.unsubscribe)

    async def receive(self) -> Received[Body_co]:
        """Return the next message.

        Cancelled, it loses nothing. After ``Lagged`` and ``MalformedMessage`` call it again: the subscription goes on.

        Raises:
          Lagged: messages were dropped here; ``dropped`` says how many.
          MalformedMessage: this one message cannot be read as the subscription's class; it has the topic and headers.
          Disconnected: the connection ended, and everything that had arrived was taken.
          trio.ClosedResourceError: the subscription, or its client, was closed here.
          trio.BusyResourceError: another task is receiving from this subscription.

        """
        self._check_idle()
        window = self._window
        self._receiving = True
        try:
            # Whether it waits or not, this is one checkpoint, and what is taken is taken after it.
            if window.waiting:
                await trio.lowlevel.checkpoint()
            while not window.waiting:
                self._check_open()
                self._news = trio.Event()
                await self._news.wait()
        finally:
            self._receiving = False
        if self._closed:
            self._check_open()
        return self._take()

    def receive_nowait(self) -> Received[Body_co]:
        """Return the next message if one has arrived, without a checkpoint.

        Raises:
          trio.WouldBlock: none has. More arrive while the program waits for something.

        and as :meth:`receive`.

        """
        self._check_idle()
        if self._closed or not self._window.waiting:
            self._check_open()
            raise trio.WouldBlock
        return self._take()

    def items(self) -> Items[Body_co]:
        """Return an iterator that gives ``Lagged`` and ``MalformedMessage`` in their places, and goes on.

        ::

            async for item in messages.items():
                match item:
                    case t2bus.Received(topic, hello): ...
                    case t2bus.Lagged(): ...
                    case t2bus.MalformedMessage(): ...

        It raises what else :meth:`receive` raises. Left and begun again it loses nothing.
        """
        return Items(self)

    @property
    def replaced(self) -> int:
        """How many messages of a subscription with ``latest=True`` a newer one of their topic has replaced."""
        window = self._window
        return window.replaced if isinstance(window, LatestWindow) else 0

    def _take(self) -> Received[Body_co]:
        """Take the next item, which must be there; raises it if it is an error."""
        window = self._window
        part = window.take_of_run()
        item = window.take() if part is None else None
        if window.wants_look:
            self._connection.look_at_credit(window)
        if part is not None:
            topic, payload = part
            try:
                return tuple.__new__(Received, (topic, self._decode(payload)))
            except MalformedMessage as error:
                error.at(topic, NO_HEADERS)
                raise
        if isinstance(item, Lagged):
            raise item
        assert item is not None
        try:
            body = self._decode(self._inflated(item.payload))
        except MalformedMessage as error:
            error.at(item.topic, dict(item.headers))
            raise
        if item.headers:
            return Received(item.topic, body, dict(item.headers))
        # Without headers there is nothing to do for Received.__new__, and it would be a tenth of the rest.
        return tuple.__new__(Received, (item.topic, body))

    def _inflated(self, payload: Payload) -> bytes:
        """Return a payload as it was published; most never were compressed, and cost no call here."""
        return payload if isinstance(payload, bytes) else inflate(payload, self._connection.session.welcome.frame)

    def _wake(self) -> None:
        self._news.set()
        window = self._window
        if self._options.latest and window.wants_look and window.closed is None:
            # What has arrived is credited whether the program takes it or not.
            self._connection.look_at_credit(window)

    def _check_idle(self) -> None:
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving from this subscription")

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this subscription was closed")
        self._connection.check_open()

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Close the subscription; returns when the bus sends nothing more for it.

        What has arrived and was not taken is dropped. Cancelled, it is closed all the same, here at once and in the
        bus soon.
        """
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        self._wake()
        self._connection.forget(self._window)
        await self._connection.end(partial(self._connection.session.unsubscribe, self._window))


@define(eq=False)
class Items(AsyncIterator[Received[Body_co] | Lagged | MalformedMessage]):
    """What a subscription receives, with what is missing or cannot be read in its place."""

    _subscription: Subscription[Body_co]

    async def __anext__(self) -> Received[Body_co] | Lagged | MalformedMessage:
        try:
            return await self._subscription.receive()
        except (Lagged, MalformedMessage) as error:
            return error


@asynccontextmanager
async def into(
    opened: AbstractAsyncContextManager[Subscription[Body_co]],
    send_channel: trio.abc.SendChannel[Received[Body_co] | BusError],
) -> AsyncGenerator[None, None]:
    """Open a subscription and send what it receives into a channel, until the body ends."""
    async with opened as subscription, open_background_nursery() as nursery:
        nursery.start_soon(forward, subscription, send_channel)
        yield


async def forward(
    subscription: Subscription[Body_co], send_channel: trio.abc.SendChannel[Received[Body_co] | BusError]
) -> None:
    """Send what a subscription receives into a channel, its errors in their places, until the connection ends.

    Its end is the last item, a ``Disconnected``. Cancelled while the channel is full, it loses the item in its hand.

    Raises:
      trio.BrokenResourceError: the channel's receiving end was closed.

    """
    while True:
        item: Received[Body_co] | BusError
        try:
            item = await subscription.receive()
        except BusError as error:
            item = error
        await send_channel.send(item)
        if isinstance(item, Disconnected):
            return
