"""The seam between the bus and the world: batches of messages out, batches of messages in.

There are two kinds. A *framed* transport (:mod:`.framed`) turns batches into bytes on a Trio stream, whatever kind of
stream that is. A *memory* transport hands the batches over as they are: it is the two channels of an in-process client.
What runs above cannot tell them apart.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from ..wire.messages import ClientMessage, ServerMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..liveness import Signs

Incoming = TypeVar("Incoming")
Outgoing = TypeVar("Outgoing", bound=ClientMessage | ServerMessage)


class Transport(ABC, Generic[Incoming, Outgoing]):
    """One end of one connection. One task may receive while another sends."""

    wire: str = "t2bus"
    """Which wire it speaks."""

    compresses: bool = False
    """Whether large payloads are worth compressing here."""

    is_secure: bool = False
    """Whether this is TLS, whose handshake may fail as late as the first read."""

    pings: bool = True
    """Whether a peer is asked for signs of life. In memory it is not: what stops it stops this end as well. Nor where
    its wire has no word for that."""

    silence: float | None = None
    """Seconds without a byte after which the peer is gone, if its wire sets them."""

    speaks_within: float = math.inf
    """Seconds after which this end has to say something again, whatever it hears, if its wire sets them."""

    tells_gaps: bool = True
    """Whether its wire has a word for messages that are missing."""

    deep: float = math.inf
    """How many ``**`` the topic of a publication may have that is sent to the peer."""

    speaks_for_peer: bool = False
    """Whether :meth:`take_inbound` and :meth:`take_withheld` ever have anything to tell."""

    writing_since: float | None = None
    """When the write in progress last got anywhere (``trio.current_time()``), or None when nothing is being written."""

    take_signs: Callable[[], Sequence[Outgoing]] = tuple
    """Called for PING and PONG in the course of a long :meth:`send`, between two frames: they wait for no other."""

    @property
    def incoming(self) -> int:
        """How many bytes have come of a large frame that is not complete; 0 if there is none."""
        return 0

    @abstractmethod
    async def receive(self) -> Sequence[Incoming]:
        """Return the next messages; none if more has come of a large frame (:attr:`incoming`) that is not complete.

        Cancelled, it loses nothing that it would have returned.

        Raises:
          trio.EndOfChannel: the peer has closed its end.
          trio.BrokenResourceError: the connection broke.
          ProtocolViolation: the peer sent what the wire forbids.

        """

    @abstractmethod
    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Send all these messages. Cancelled, it may have sent half of one: close the transport then.

        It may be no checkpoint where the other end takes all of it at once.

        Raises:
          trio.BrokenResourceError: the connection broke.

        """

    @property
    def can_send_nowait(self) -> bool:
        """Whether :meth:`send_nowait` may be called: nothing is being sent, and this kind of transport can do it."""
        return False

    def takes_nowait(self, messages: Sequence[Outgoing]) -> bool:  # noqa: ARG002 -- it depends on some wires
        """Whether :meth:`send_nowait` may be called for these messages: it is, or none of them takes long to encode."""
        return self.can_send_nowait

    def send_nowait(self, messages: Sequence[Outgoing]) -> bool:
        """Send these few messages as far as that goes without waiting.

        Returns:
          Whether all is sent. Otherwise call :meth:`send`, with nothing if there is nothing more, which sends the rest
          first; until then ``writing_since`` says that something is being written.

        """
        raise NotImplementedError

    def take_inbound(self) -> Sequence[Incoming]:
        """Return what this end has to say to its own side in the peer's name, since the last time.

        A wire that knows no credit, for instance, gives it back when a delivery is written.
        """
        return ()

    def take_withheld(self) -> int:
        """Return how many messages the peer could not have taken and was not sent, since the last time."""
        return 0

    def signs(self) -> Signs:
        """Return what was seen of the peer; asked only where it may be gone without its end being seen."""
        raise NotImplementedError

    def set_frame_limit(self, frame: int, *, can_inflate: bool = True) -> None:
        """Allow frames of this size from the peer, now that the handshake is over, and know what it can read."""

    async def end(self) -> None:
        """Let the peer see that nothing more will be sent, where its wire has no word for that."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close this end; immediate if cancelled."""
