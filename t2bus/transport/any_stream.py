"""What a stream of ours can do and another Trio stream cannot, asked for in one place.

It can receive and send without waiting, and say how much the peer has not taken. ``direct(stream)`` gives a framed
transport that for any stream: one of ours as it is, and for all others an adapter, which never has anything without
waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, cast

import trio
from attrs import frozen

from .socket_stream import beginning, kept_by_kernel

if TYPE_CHECKING:
    from .socket_stream import Buffers

_SEND_SIZE: Final = 262_144
"""Bytes of one ``send_all``, so that a slow peer that reads is told from one that does not: a stream says only that all
was taken. A socket says how much."""


class DirectStream(Protocol):
    """What a framed transport reads and writes."""

    @property
    def sends_now(self) -> bool:
        """Whether :meth:`send_nowait` ever takes anything."""
        ...

    @property
    def written(self) -> int:
        """Bytes that were taken to be sent so far; the peer has taken those that are not :meth:`unsent`."""
        ...

    def receive_nowait(self, max_bytes: int) -> bytes:
        """Return what has come, or raise ``trio.WouldBlock``."""
        ...

    def send_nowait(self, buffers: Buffers) -> int:
        """Take some of the buffers to be sent, and return how many bytes, 0 if there is no room."""
        ...

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait until something has come and return it; nothing when the peer has closed its end."""
        ...

    async def send_some(self, buffers: Buffers) -> int:
        """Wait for room, take some of the buffers, and return how many bytes."""
        ...

    def unsent(self) -> int | None:
        """Return how many bytes the peer has not taken; None if nobody tells."""
        ...


@frozen(eq=False)
class _Adapter:
    """Any other stream, as far as it can do what a :class:`.DirectStream` can."""

    stream: trio.abc.Stream
    sends_now: bool = False
    written: int = 0
    """Nobody tells. So what is :meth:`unsent` has to become less for the peer to be seen to take something."""

    def receive_nowait(self, max_bytes: int) -> bytes:  # noqa: ARG002 -- there is never anything
        raise trio.WouldBlock

    def send_nowait(self, buffers: Buffers) -> int:  # noqa: ARG002 -- nothing is taken
        return 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self.stream.receive_some(max_bytes))

    async def send_some(self, buffers: Buffers) -> int:
        data = beginning(buffers, _SEND_SIZE)
        await self.stream.send_all(data)
        return len(data)

    def unsent(self) -> int | None:
        below = self.stream.transport_stream if isinstance(self.stream, trio.SSLStream) else self.stream
        return kept_by_kernel(below.socket.fileno()) if isinstance(below, trio.SocketStream) else None


def direct(stream: trio.abc.Stream) -> DirectStream:
    """Return what a framed transport reads and writes of a stream."""
    # An instance check would look at each attribute of the protocol, for each connection.
    return cast("DirectStream", stream) if hasattr(stream, "sends_now") else _Adapter(stream)
