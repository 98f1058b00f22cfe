"""The seam between the bus and the world: batches of messages out, batches of messages in.

There are two kinds. A *framed* transport turns batches into bytes on a Trio stream, whatever kind of stream that is. A
*memory* transport (see :mod:`.memory`) hands the batches over as they are. What runs above cannot tell them apart.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import trio
from attrs import define, field

from ..wire.framing import HEADER_SIZE, FrameDecoder
from ..wire.messages import ClientMessage, ServerMessage
from ..wire.rust_client import ClientTranslator
from .sockets import DirectSocket, drop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..wire.codec import Codec

__all__ = ["FramedTransport", "Transport"]

Incoming = TypeVar("Incoming")
Outgoing = TypeVar("Outgoing", bound=ClientMessage | ServerMessage)

_RECEIVE_SIZE: Final = 65_536
_LONG_RECEIVE_SIZE: Final = 262_144
"""What is read at once when more than the other is known to be missing of a frame."""
_SEND_SIZE: Final = 262_144
"""What is not a plain socket is written in pieces of this size, so that a slow peer that reads is told from one that
does not. A socket says itself how much it has taken."""


_PIECE: Final = 512
"""Messages that are encoded at once, each a run at most. A backlog may be a million: nobody else is served while they
are encoded."""


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

    def raise_limit(self, frame: int, *, can_inflate: bool = True) -> None:
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


@define(eq=False, repr=False)
class FramedTransport(Transport[Incoming, Outgoing]):
    """Messages as frames on a stream.

    ``codec`` is None on the side of a bus until the first byte of the first frame has shown which wire the client
    speaks.
    """

    stream: trio.abc.Stream
    limit: int
    choose: Callable[[bytes], Codec[Incoming, Outgoing]]
    codec: Codec[Incoming, Outgoing] | None = None
    compresses: bool = False
    is_secure: bool = False
    first_frame: int = 0
    writing_since: float | None = field(default=None, init=False)
    read_at: float = field(default=-math.inf, init=False)
    _head: bytes = field(default=b"", init=False)
    """The first bytes from the peer, until there is a codec."""
    _unsent: Sequence[bytes | memoryview] = field(default=(), init=False)
    """What :meth:`send_now` could not send."""
    _torn: bool = field(default=False, init=False)
    """Whether a send was given up: half a frame may have gone, and nothing may follow it."""
    _kept: int | None = field(default=None, init=False)
    """What the kernel kept of what was written at the last look, while something was being written."""
    _withheld: int = field(default=0, init=False)
    _decoder: FrameDecoder = field(init=False)
    _receive_size: int = field(init=False)
    _socket: DirectSocket | None = field(init=False)
    """The socket of the stream, if it is nothing else."""
    _receive: Callable[[int], Awaitable[bytes]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Start with the limit of the handshake, for frames and for what is read at once."""
        self._decoder = FrameDecoder(self.limit)
        self._receive_size = self.limit
        self._socket = DirectSocket(self.stream.socket) if isinstance(self.stream, trio.SocketStream) else None
        self._receive = self._receive_from_stream if self._socket is None else self._socket.receive

    async def receive(self) -> Sequence[Incoming]:
        """Return what one read brought, decoded; read on while that is no complete frame."""
        while True:
            try:
                size = self._receive_size
                if self._decoder.missing > size:
                    size = min(self._decoder.missing, max(size, _LONG_RECEIVE_SIZE))
                data = await self._receive(size)
            except trio.ClosedResourceError as error:
                raise trio.BrokenResourceError("the stream was closed") from error
            if not data:
                raise trio.EndOfChannel
            # No checkpoint from here on: what was read is decoded or the connection is over.
            self.read_at = trio.current_time()
            if self.codec is None:
                self._choose(data)
            frames = self._decoder.feed(data)
            if frames:
                assert self.codec is not None
                return self.codec.decode(frames)

    async def _receive_from_stream(self, most: int) -> bytes:
        return bytes(await self.stream.receive_some(most))

    async def hear(self) -> None:
        """Read until the first byte of the first frame is there."""
        while self.codec is None:
            data = await self._receive(HEADER_SIZE + 1)
            if not data:
                raise trio.EndOfChannel
            self._choose(data)

    def _choose(self, data: bytes) -> None:
        """Choose the codec, once enough has come to tell."""
        self._head = (self._head + data)[: HEADER_SIZE + 1]
        if len(self._head) > HEADER_SIZE:
            self.codec = self.choose(self._head[HEADER_SIZE:])
            if self.codec.translator is not None:
                self._decoder.limit = max(self.limit, self.first_frame)
                self._receive_size = _RECEIVE_SIZE

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Write the messages as one run of bytes."""
        codec = self.codec
        if codec is None:
            # A peer that has not shown its wire cannot be told anything.
            return
        try:
            if self._unsent:
                unsent, self._unsent = self._unsent, ()
                await self._write(unsent)
            for piece in codec.encode_in_pieces(messages, _PIECE):
                if self.writing_since is not None:
                    # The last piece was taken without waiting: others run between two of them.
                    await trio.lowlevel.checkpoint()
                await self._write(piece)
        except trio.ClosedResourceError as error:
            raise trio.BrokenResourceError("the stream was closed") from error
        except trio.Cancelled:
            self._torn = True
            raise
        finally:
            self.writing_since = None

    @property
    def can_send_now(self) -> bool:
        """On a plain socket; not for a peer whose messages may take long to encode."""
        return (
            self._socket is not None
            and self.writing_since is None
            and not self._torn
            and self.codec is not None
            and not self.codec.may_inflate
        )

    def send_now(self, messages: Sequence[Outgoing]) -> bool:
        """Write to the socket itself."""
        assert self.codec is not None
        assert self._socket is not None
        buffers: Sequence[bytes | memoryview] = self.codec.encode_parts(messages)
        # What else goes wrong than that the socket is full, send will meet again.
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            buffers = drop(buffers, self._socket.send_now(buffers)) if buffers else ()
        if not buffers:
            return True
        self._unsent = buffers
        self.writing_since = trio.current_time()
        return False

    async def _write(self, buffers: Sequence[bytes | memoryview]) -> None:
        self.writing_since = trio.current_time()
        if self._socket is None:
            await self._write_to_stream(b"".join(buffers))
            return
        while buffers := drop(buffers, self._socket.send_now(buffers)):
            await self._socket.wait_until_writable()
            self.writing_since = trio.current_time()

    async def _write_to_stream(self, data: bytes) -> None:
        if len(data) <= _SEND_SIZE:
            await self.stream.send_all(data)
            return
        with memoryview(data) as view:
            for start in range(0, len(data), _SEND_SIZE):
                self.writing_since = trio.current_time()
                await self.stream.send_all(view[start : start + _SEND_SIZE])

    def look_for_progress(self) -> None:
        """Ask the kernel, while a plain socket is full."""
        if self._socket is None or self.writing_since is None:
            self._kept = None
            return
        before, self._kept = self._kept, self._socket.unsent()
        if None not in (before, self._kept) and before != self._kept:
            self.writing_since = trio.current_time()

    def raise_limit(self, frame: int, *, can_inflate: bool = True) -> None:
        """Leave the limits of the handshake behind."""
        self._decoder.limit = frame
        self._receive_size = _RECEIVE_SIZE
        if not can_inflate and self.codec is not None:
            self.codec.inflate_limit = frame

    async def end(self) -> None:
        """Close the sending side of a stream to a bus of the Rust crate, which knows no goodbye."""
        is_translated = self.codec is not None and self.codec.translator is not None
        if is_translated and isinstance(self.stream, trio.abc.HalfCloseableStream):
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self.stream.send_eof()

    def take_withheld(self) -> tuple[int, Sequence[int]]:
        """Return what the translator of another wire has withheld."""
        translator = None if self.codec is None else self.codec.translator
        if not isinstance(translator, ClientTranslator):
            return 0, ()
        count, self._withheld = translator.withheld - self._withheld, translator.withheld
        calls, translator.withheld_calls = translator.withheld_calls, []
        return count, calls

    async def aclose(self) -> None:
        """Close the stream."""
        await self.stream.aclose()
