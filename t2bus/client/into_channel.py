"""From a subscription into a channel of the program's own, which may take several.

::

    async with client.subscribe_into(Hello, "*", send_channel), client.subscribe_into(Note, "*", send_channel):
        async for item in receive_channel: ...

The law of this module: whatever a subscription would raise stands in the channel, in its place.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from ..background import open_background_nursery
from ..errors import BusError, Lagged, MalformedMessage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from .received import Received
    from .subscription import Subscription

Body = TypeVar("Body")

_AT_ONCE: Final = 1024
"""Items that are forwarded without letting others run."""


@asynccontextmanager
async def into(
    opened: AbstractAsyncContextManager[Subscription[Body]],
    send_channel: trio.abc.SendChannel[Received[Body] | BusError],
) -> AsyncGenerator[None, None]:
    """Open a subscription and send what it receives into a channel, until the body ends."""
    async with opened as subscription, open_background_nursery() as nursery:
        nursery.start_soon(forward, subscription, send_channel)
        yield


async def forward(
    subscription: Subscription[Body], send_channel: trio.abc.SendChannel[Received[Body] | BusError]
) -> None:
    """Send what a subscription receives into a channel, its errors in their places, until one ends it.

    That is the last item: a ``Disconnected``, or why the bus refused it after the connection was made again. Cancelled
    while the channel is full, it loses the item in its hand.

    Raises:
      trio.BrokenResourceError: the channel's receiving end was closed.

    """
    try:
        async for item in subscription.items():
            await send_channel.send(item)
            if isinstance(send_channel, trio.MemorySendChannel):
                _forward_nowait(subscription, send_channel)
    except BusError as error:
        await send_channel.send(error)


def _forward_nowait(
    subscription: Subscription[Body], send_channel: trio.MemorySendChannel[Received[Body] | BusError]
) -> None:
    """Forward what else has arrived, as far as the channel has room; raises what ends the subscription.

    Two checkpoints for each message would be most of what it costs.
    """
    statistics = send_channel.statistics()
    room = min(statistics.max_buffer_size - statistics.current_buffer_used, _AT_ONCE)
    while room > 0:
        item: Received[Body] | BusError
        try:
            item = subscription.receive_nowait()
        except (trio.WouldBlock, trio.EndOfChannel):
            break
        except (Lagged, MalformedMessage) as error:
            item = error
        send_channel.send_nowait(item)
        room -= 1
