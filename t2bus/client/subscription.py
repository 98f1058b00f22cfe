"""The channel of a subscription, and what it gives."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio
from attrs import define, field

from ..bell import Bell
from ..errors import BusError, Disconnected, Lagged
from ..wire.compression import inflate
from .connection import Connection, PendingAnswer
from .received import Received

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..session.windows import ReceiveWindow
    from ..wire.messages import Publication

__all__ = ["Subscription", "forward"]

Body_co = TypeVar("Body_co", covariant=True)


@define(eq=False, slots=False)
class Subscription(trio.abc.ReceiveChannel[Received[Body_co]]):
    """The messages of one subscription; ``client.subscribe`` opens it."""

    _connection: Connection
    _decode: Callable[[bytes], Body_co]
    topic: str
    """The full topic of the subscription."""
    _window: ReceiveWindow = field(init=False)
    _bell: Bell = field(factory=Bell, init=False)
    _receiving: bool = field(default=False, init=False)
    _closed: bool = field(default=False, init=False)

    def __repr__(self) -> str:
        return f"<t2bus.Subscription to {self.topic!r}>"

    # An interrupt between two lines of it would leave something open that nobody closes.
    @trio.lowlevel.enable_ki_protection
    async def open(self) -> None:
        """Subscribe; whatever goes wrong leaves nothing registered."""
        session = self._connection.session
        answer = PendingAnswer()
        self._window = session.subscribe(self.topic, self._bell.ring, answer)
        try:
            await self._connection.outcome(answer, int)
        except BaseException:
            self._closed = True
            session.unsubscribe(self._window, None)
            raise
        finally:
            session.forget(self._window.id)

    async def receive(self) -> Received[Body_co]:
        """Return the next message.

        Cancelled, it loses nothing. After ``Lagged`` and ``MalformedMessage`` call it again: the subscription goes on.

        Raises:
          Lagged: messages were dropped here; ``dropped`` says how many.
          MalformedMessage: this one message cannot be read as the subscription's class.
          Disconnected: the connection ended, and everything that had arrived was taken.
          trio.ClosedResourceError: the subscription, or its client, was closed here.
          trio.BusyResourceError: another task is receiving from this subscription.

        """
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving from this subscription")
        window = self._window
        self._receiving = True
        try:
            # Whether it waits or not, this is one checkpoint, and what is taken is taken after it.
            if window.waiting:
                await trio.lowlevel.checkpoint()
            else:
                await self._wait_for_item()
        finally:
            self._receiving = False
        if self._closed:
            self._check_open()
        part = window.take_of_run()
        item = window.take() if part is None else None
        if window.is_nearly_spent and window.is_due(trio.current_time()):
            self._connection.give_back(window.give_back_promptly)
        if part is not None:
            topic, payload = part
            # Without headers there is nothing to do for Received.__new__, and it would be a tenth of the rest.
            return tuple.__new__(Received, (topic, self._decode(payload)))
        if isinstance(item, Lagged):
            raise item
        assert item is not None
        return self._received(item)

    async def _wait_for_item(self) -> None:
        window = self._window
        if self._closed or window.closed is not None:
            await trio.lowlevel.checkpoint()
        while not window.waiting:
            self._check_open()
            await self._connection.reader.wait(self._has_news, self._bell.wait)

    def _has_news(self) -> bool:
        return self._window.waiting > 0 or self._closed or self._window.closed is not None

    def _received(self, item: Publication) -> Received[Body_co]:
        body = self._decode(inflate(item.payload, self._connection.session.welcome.frame))
        return Received(item.topic, body, dict(item.headers)) if item.headers else Received(item.topic, body)

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
        self._bell.ring()
        self._connection.reader.rouse()
        await self._connection.end(partial(self._connection.session.unsubscribe, self._window))


async def forward(
    subscription: Subscription[Body_co], send_channel: trio.abc.SendChannel[Received[Body_co] | BusError]
) -> None:
    """Send what a subscription receives into a channel, its errors in their places, until the connection ends."""
    while True:
        item: Received[Body_co] | BusError
        try:
            item = await subscription.receive()
        except BusError as error:
            item = error
        await send_channel.send(item)
        if isinstance(item, Disconnected):
            return
