"""The in-process transport: two memory channels of batches.

Nothing is framed and nothing is shared: a message is an immutable value whose payload the sender has encoded already.
Each channel takes one batch, and a writer that finds it full waits, as it would for a socket.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

import trio
from attrs import define, field

from ..wire.messages import ClientMessage, ServerMessage
from .transport import Incoming, Outgoing, Transport

__all__ = ["MemoryTransport", "open_memory_pair"]

T = TypeVar("T")


@define(eq=False, repr=False)
class MemoryTransport(Transport[Incoming, Outgoing]):
    """One end of an in-process connection."""

    _receive_channel: trio.MemoryReceiveChannel[Sequence[Incoming]]
    _send_channel: trio.MemorySendChannel[Sequence[Outgoing]]
    writing_since: float | None = field(default=None, init=False)
    read_at: float = field(default=-math.inf, init=False)
    _torn: bool = field(default=False, init=False)
    """Whether a batch was given up: what followed it would leave a gap that nobody is told of."""
    _unsent: Sequence[Outgoing] = field(default=(), init=False)
    """What :meth:`send_now` could not send."""

    async def receive(self) -> Sequence[Incoming]:
        """Return the next batch."""
        try:
            messages = await self._receive_channel.receive()
        except trio.ClosedResourceError as error:
            raise trio.BrokenResourceError("the channel was closed") from error
        self.read_at = trio.current_time()
        return messages

    async def hear(self) -> None:
        """Take the first batch."""
        await self.receive()

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Hand a batch over, when the one before it has been taken."""
        self.writing_since = trio.current_time()
        try:
            if self._unsent:
                unsent, self._unsent = self._unsent, ()
                await self._send_channel.send(unsent)
            if messages:
                await self._send_channel.send(messages)
        except trio.ClosedResourceError as error:
            raise trio.BrokenResourceError("the channel was closed") from error
        except trio.Cancelled:
            self._torn = True
            raise
        finally:
            self.writing_since = None

    @property
    def can_send_now(self) -> bool:
        """Unless a batch is being handed over already."""
        return self.writing_since is None and not self._torn

    def send_now(self, messages: Sequence[Outgoing]) -> bool:
        """Hand a batch over, if the one before it has been taken."""
        if not messages:
            return True
        # That the other end has gone, send will meet again.
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.WouldBlock):
            self._send_channel.send_nowait(messages)
            return True
        self._unsent = messages
        self.writing_since = trio.current_time()
        return False

    async def aclose(self) -> None:
        """Close both directions."""
        self._send_channel.close()
        self._receive_channel.close()
        await trio.lowlevel.checkpoint()


def open_memory_pair() -> tuple[
    MemoryTransport[ServerMessage, ClientMessage], MemoryTransport[ClientMessage, ServerMessage]
]:
    """Return the client's and the bus's end of a new in-process connection."""
    to_bus, from_client = trio.open_memory_channel[Sequence[ClientMessage]](1)
    to_client, from_bus = trio.open_memory_channel[Sequence[ServerMessage]](1)
    return MemoryTransport(from_bus, to_bus), MemoryTransport(from_client, to_client)
