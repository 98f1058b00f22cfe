"""The seam between the bus and the world: batches of messages out, batches of messages in.

There are two kinds. A *framed* transport (see :mod:`.framed`) turns batches into bytes on a Trio stream, whatever kind
of stream that is. A *memory* transport (see :mod:`.memory`) hands the batches over as they are. What runs above cannot
tell them apart.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from ..wire.messages import ClientMessage, ServerMessage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

__all__ = ["Incoming", "Outgoing", "Transport"]

Incoming = TypeVar("Incoming")
Outgoing = TypeVar("Outgoing", bound=ClientMessage | ServerMessage)


class Transport(ABC, Generic[Incoming, Outgoing]):
    """One end of one connection. One task may receive while another sends."""

    compresses: bool = False
    """Whether large payloads are worth compressing here."""

    is_secure: bool = False
    """Whether this is TLS, whose handshake may fail as late as the first read."""

    first_frame: int = 0
    """What a peer may begin with whose wire has no HELLO; more than in a handshake, if it is to be let in at all."""

    writing_since: float | None = None
    """When the write in progress last got anywhere (``trio.current_time()``), or None when nothing is being written."""

    read_at: float = -math.inf
    """When anything was last read (``trio.current_time()``), be it a part of a frame."""

    @abstractmethod
    async def receive(self) -> Sequence[Incoming]:
        """Return the next messages, at least one.

        Cancelled, it loses nothing that it would have returned.

        Raises:
          trio.EndOfChannel: the peer has closed its end.
          trio.BrokenResourceError: the connection broke.
          ProtocolViolation: the peer sent what the wire forbids.

        """

    @property
    def reads_now(self) -> bool:
        """Whether this kind of transport has the next three methods, for whoever wants to read without a task."""
        return False

    def wait_until_readable(self) -> Awaitable[None]:
        """Wait until :meth:`receive_now` has something to read or to say, or for nothing.

        Raises:
          trio.ClosedResourceError: this end was closed, or :meth:`rouse` was called.

        """
        raise NotImplementedError

    def receive_now(self) -> Sequence[Incoming]:
        """Return the messages that have come, if any have.

        Raises what :meth:`receive` raises.
        """
        raise NotImplementedError

    def rouse(self) -> None:
        """Let a task go on that waits for something to read."""
        raise NotImplementedError

    @abstractmethod
    async def hear(self) -> None:
        """Wait until the peer has said anything, and look no further at it than to know which wire it speaks.

        Raises what :meth:`receive` raises.
        """

    @abstractmethod
    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Send all these messages. Cancelled, it may have sent half of one: close the transport then.

        It may be no checkpoint where the other end takes all of it at once.

        Raises:
          trio.BrokenResourceError: the connection broke.

        """

    @property
    def can_send_now(self) -> bool:
        """Whether :meth:`send_now` may be called: nothing is being sent, and this kind of transport can do it."""
        return False

    def send_now(self, messages: Sequence[Outgoing]) -> bool:
        """Send these few messages as far as that goes without waiting.

        Returns:
          Whether all is sent. Otherwise call :meth:`send`, with nothing if there is nothing more, which sends the rest
          first; until then ``writing_since`` says that something is being written.

        """
        raise NotImplementedError

    def look_for_progress(self) -> None:
        """Note whether the peer has taken anything of what is being written since the last look.

        A write goes on when a socket has much room again, which takes a slow reader long.
        """

    def set_frame_limit(self, frame: int, *, can_inflate: bool = True) -> None:
        """Allow frames of this size from the peer, now that the handshake is over, and know what it can read."""

    async def end(self) -> None:
        """Let the peer see that nothing more will be sent, where its wire has no word for that."""

    def take_withheld(self) -> tuple[int, Sequence[int]]:
        """Return how many messages the peer could not have borne and was not sent since the last time, and the calls
        among them.
        """
        return 0, ()

    @abstractmethod
    async def aclose(self) -> None:
        """Close this end; immediate if cancelled."""
