"""The crate's wire as a transport: native messages above, the crate's frames on the stream.

A bus has a :class:`RustClientTransport` for each client of the crate, a client a :class:`RustBusTransport` for a bus of
the crate. Nothing above them knows that there is another wire: what the crate's peers do not say, their transport says
for them, a HELLO for instance, or the credit for what was written to them.

For example ``{"id": 1, "content": {"Sub": {"topic": "a"}}}`` is the first that comes from a client. The bus receives a
HELLO, then SUBSCRIBE; its WELCOME is written as nothing, and its acknowledgement as an ``Ack``.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final, cast

import trio
from attrs import define, field

from ..transport.framed import FramedTransport
from ..transport.transport import Incoming, Outgoing
from ..transport.turns import AT_ONCE
from ..wire.codec import Codec
from ..wire.messages import ClientMessage, ServerMessage
from .bus_translator import BusTranslator
from .client_translator import ClientTranslator
from .frames import FRAME, Ack, Answer, Carrier, Control, decode_client_frames, decode_server_frames
from .gzip import size_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..limits import Limits

    _Frame = Control | Carrier | Answer | Ack


_logger = logging.getLogger("t2bus.client")


def _codec(decode: Callable[[Sequence[Any]], list[Any]], translator: Any) -> Codec[Any, Any]:
    """Return the codec that decodes the crate's frames, which are translated later, and encodes what is translated.

    What is encoded is small, or compressed, and not worth being left in parts.
    ``inflates_itself``: a compressed payload is inflated to be checked, which takes long, so it is not done in the turn
    of the router.
    """
    return Codec(decode, lambda message: (translator.encode_one(message),), inflates_itself=True)


_SILENCE: Final = 90.0
"""Seconds without a byte after which a client of the crate is gone: it speaks every 30, and answers no PING."""

MOST_DEEP: Final = 3
"""The ``**`` in a topic that a client of the crate is sent. Its matcher tries choice after choice, and each multiplies
them by four or five. Measured with the crate's matcher over topics of 16 fragments, the worst found: against a
subscription of names 1 ms, with two ``**`` in it 15 ms, with ten 40 ms. A fourth costs 120 ms, a sixth seconds."""

_KEEP_ALIVE: Final = 30.0
"""Seconds after which a client says something again, as the crate's own does: their bus counts its client's silence."""


@define(eq=False, repr=False)
class CrateTransport(FramedTransport[Incoming, Outgoing]):
    """What both ends have in common: what a read brought is translated in pieces, because that inflates payloads.

    64 KiB can hold 58 payloads that become 1 MiB each. So a piece has its turn, among all connections.
    """

    translator: Any = field(kw_only=True)
    """The one of this end."""
    _said: Sequence[_Frame] = field(default=(), init=False)
    """What was decoded and is not translated."""

    async def receive(self) -> Sequence[Incoming]:
        """Return what a piece of that means, or of the next read; nothing where a large frame has come in part."""
        messages: Sequence[Incoming] = ()
        while not messages and (said := await self._hear()):
            count, size = _piece_of(said)
            if size:
                await (inflating := self._rations.inflating).take()
                inflating.spent += size
            messages = self._take(count)
        return messages

    async def _hear(self) -> Sequence[_Frame]:
        """Return what is to be translated: frames, for the codec decodes no further."""
        if not self._said:
            self._said = cast("Sequence[_Frame]", await FramedTransport.receive(self))
        return self._said

    def _take(self, count: int) -> Sequence[Incoming]:
        """Return what so many frames mean."""
        piece, self._said = self._said[:count], self._said[count:]
        return cast("Sequence[Incoming]", self.translator.decode(piece))


def _piece_of(said: Sequence[_Frame]) -> tuple[int, int]:
    """Return how many of these frames to translate at once, and how many bytes are inflated for that, at most."""
    size = 0
    for count, frame in enumerate(said, 1):
        if isinstance(frame, Carrier | Answer) and frame.body.is_compressed:
            # No more than that is inflated, whatever it holds.
            size += size_in(frame.body.data)
            if size >= AT_ONCE:
                return count, size
    return len(said), size


@define(eq=False, repr=False)
class RustClientTransport(CrateTransport[ClientMessage, ServerMessage]):
    """The bus's end of a connection to a client of the crate.

    It tells no gaps: the bus disconnects such a client where it would drop a publication. A PING is not sent either, so
    a client that is silent for too long is gone.
    """

    translator: ClientTranslator = field(kw_only=True)
    # What the bus asks its transport: whether to ping, how long silence may last, whether the wire has a word for gaps,
    # how many ``**`` a topic may have, whether something is said in the client's name.
    wire: str = field(default="t2", init=False)
    pings: bool = field(default=False, init=False)
    silence: float | None = field(default=_SILENCE, init=False)
    tells_gaps: bool = field(default=False, init=False)
    speaks_for_peer: bool = field(default=True, init=False)
    deep: float = field(default=MOST_DEEP, init=False)

    @classmethod
    def open(cls, stream: trio.abc.Stream, limits: Limits, head: bytes) -> RustClientTransport:
        """Return the transport of a client whose wire is known by ``head``, the beginning of its first frame."""
        translator = ClientTranslator(limits.frame, limits.topic_length)
        codec = _codec(decode_client_frames, translator)
        # There is no handshake whose limits would hold first: it may begin with a large frame.
        return cls(stream, codec, max(limits.handshake_bytes, limits.frame), head, translator=translator)

    async def receive(self) -> Sequence[ClientMessage]:
        """Return what the client says, after the HELLO that it does not say.

        The bus admits a connection by its first message, and reads on after that. So the HELLO is returned alone.
        """
        if self.translator.is_greeted:
            return await CrateTransport.receive(self)
        return self._take(0) if await self._hear() else ()

    @property
    def _inflated(self) -> int:
        return self.translator.inflated

    def take_inbound(self) -> Sequence[ClientMessage]:
        """Return credit for what was written, and failures of the calls that the client could not be sent.

        Written is not taken: the kernel and the client hold some of it. But that is all that this wire lets be known.
        """
        return self.translator.inbound.take()

    def take_withheld(self) -> int:
        """Return how many messages the translator could not send since the last time, and count anew."""
        withheld, self.translator.withheld = self.translator.withheld, 0
        return withheld

    def set_frame_limit(self, frame: int, *, can_inflate: bool = True) -> None:  # noqa: ARG002 -- it never can
        """Leave the limits of the handshake behind; the translator inflates what has to be inflated."""
        FramedTransport.set_frame_limit(self, frame)


@define(eq=False, repr=False)
class RustBusTransport(CrateTransport[ServerMessage, ClientMessage]):
    """A client's end of a connection to a bus of the crate.

    A frame of that bus may be as large as the crate's largest, whatever the client's own limit: it is one for payloads.
    """

    translator: BusTranslator = field(kw_only=True)
    speaks_within: float = field(default=_KEEP_ALIVE, init=False)
    _has_warned: bool = field(default=False, init=False)
    """Whether the log says that headers are dropped."""

    @classmethod
    def open(cls, stream: trio.abc.Stream, limits: Limits, *, is_secure: bool) -> RustBusTransport:
        """Return the transport of a client that has connected to such a bus, over TLS if ``is_secure``."""
        translator = BusTranslator(limits)
        codec = _codec(decode_server_frames, translator)
        # Payloads are compressed as the crate does it, by the translator.
        limit = max(limits.handshake_bytes, FRAME)
        return cls(stream, codec, limit, compresses=True, is_secure=is_secure, translator=translator)

    async def send(self, messages: Sequence[ClientMessage]) -> None:
        """Write the messages; that their headers are dropped is logged once."""
        await FramedTransport.send(self, messages)
        if self.translator.dropped_headers and not self._has_warned:
            self._has_warned = True
            _logger.warning("headers are dropped: the wire of the Rust crate t2_bus has no place for them")

    async def end(self) -> None:
        """Close the sending side of the stream: the crate's wire has no GOODBYE."""
        if isinstance(self.stream, trio.abc.HalfCloseableStream):
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self.stream.send_eof()
