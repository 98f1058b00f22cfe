"""Messages as frames on a Trio stream: a socket, which is read and written directly, or whatever else carries bytes."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from ..rust.client_translator import ClientTranslator
from ..wire.framing import HEADER_SIZE, FrameDecoder, LargeFrame
from .socket_stream import DirectSocket, drop
from .transport import Incoming, Outgoing, Transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..wire.codec import Codec
    from ..wire.framing import Frame

__all__ = ["FramedTransport"]

_RECEIVE_SIZE: Final = 65_536
_LONG_RECEIVE_SIZE: Final = 262_144
"""What is read at once when more than the other is known to be missing of a frame, or of a peer that sends in bulk."""
_BULK: Final = 4096
"""Bytes of a frame, on average, from which a peer that fills a read sends in bulk. What is read at once is dealt with
before anybody else is served, so it must not be many frames; but a read that brings only a few costs more than they."""
_SEND_SIZE: Final = 262_144
"""What is not a plain socket is written in pieces of this size, so that a slow peer that reads is told from one that
does not. A socket says itself how much it has taken."""


_PIECE: Final = 512
"""Messages that are encoded at once, each a run at most. A backlog may be a million: nobody else is served while they
are encoded."""


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
    _is_in_bulk: bool = field(default=False, init=False)
    """Whether the last read was full, of frames that are neither small nor large."""
    _clock: trio.abc.Clock = field(factory=trio.lowlevel.current_clock, init=False)
    """Asked for each read, without the calls that find it."""
    _socket: DirectSocket | None = field(init=False)
    """The socket of the stream, if it is nothing else."""

    def __attrs_post_init__(self) -> None:
        """Start with the limit of the handshake, for frames and for what is read at once."""
        self._decoder = FrameDecoder(self.limit)
        self._receive_size = self.limit
        self._socket = DirectSocket(self.stream.socket) if isinstance(self.stream, trio.SocketStream) else None

    async def receive(self) -> Sequence[Incoming]:
        """Return what one read brought, decoded; read on while that is no complete frame."""
        try:
            while True:
                if self._socket is None:
                    messages = self._take_in(bytes(await self.stream.receive_some(self._most)))
                else:
                    await self._socket.wait_until_readable()
                    messages = self.receive_now()
                if messages:
                    return messages
        except trio.ClosedResourceError as error:
            raise trio.BrokenResourceError("the stream was closed") from error

    @property
    def reads_now(self) -> bool:
        """On a plain socket."""
        return self._socket is not None

    def wait_until_readable(self) -> Awaitable[None]:
        """Wait for the socket."""
        assert self._socket is not None
        return self._socket.wait_until_readable()

    def receive_now(self) -> Sequence[Incoming]:
        """Read from the socket itself."""
        assert self._socket is not None
        is_plain = not self._decoder.buffered and not self._is_in_bulk
        try:
            data = self._socket.receive_now(self._receive_size if is_plain else self._most)
            if data is None:
                return ()
            messages = self._take_in(data)
            if not messages and len(data) == self._receive_size:
                # A large frame has begun. The rest of it is mostly there, and to read again costs less than to wait.
                data = self._socket.receive_now(self._most)
                return () if data is None else self._take_in(data)
        except trio.ClosedResourceError as error:
            raise trio.BrokenResourceError("the stream was closed") from error
        return messages

    def rouse(self) -> None:
        """Wake whoever waits for the socket."""
        with contextlib.suppress(trio.ClosedResourceError):
            assert self._socket is not None
            self._socket.rouse()

    @property
    def _most(self) -> int:
        """How many bytes to read."""
        size, missing = self._receive_size, self._decoder.missing
        if missing > size:
            # A large frame: no more than what is missing, so that the next one too comes in pieces of its own.
            return min(missing, max(size, _LONG_RECEIVE_SIZE))
        return _LONG_RECEIVE_SIZE if self._is_in_bulk else size

    def _take_in(self, data: bytes) -> Sequence[Incoming]:
        """Return the messages that this completes; no checkpoint parts them from the reading."""
        if not data:
            raise trio.EndOfChannel
        self.read_at = self._clock.current_time()
        if self.codec is None:
            self._choose(data)
        frames = self._decoder.feed(data)
        self._is_in_bulk = len(data) >= _RECEIVE_SIZE and self._is_bulk(data, frames)
        if not frames:
            return ()
        assert self.codec is not None
        return self.codec.decode(frames)

    @staticmethod
    def _is_bulk(data: bytes, frames: Sequence[Frame]) -> bool:
        return 0 < _BULK * len(frames) <= len(data) and not isinstance(frames[-1], LargeFrame)

    async def hear(self) -> None:
        """Read until the first byte of the first frame is there."""
        while self.codec is None:
            if self._socket is None:
                data = bytes(await self.stream.receive_some(HEADER_SIZE + 1))
            else:
                data = await self._socket.receive(HEADER_SIZE + 1)
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
        codec = self.codec
        # Nothing is to be inflated here, see can_send_now.
        buffers: Sequence[bytes | memoryview]
        buffers = codec.encode_one(messages[0]) if len(messages) == 1 else codec.encode_parts(messages)
        try:
            written = self._socket.send_now(buffers) if buffers else 0
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            written = 0  # send will meet it again
        if len(buffers) == 1 and written == len(buffers[0]):
            # Nearly always, kept apart.
            return True
        buffers = drop(buffers, written)
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
        written = self._socket.send_now(buffers)
        while buffers := drop(buffers, written):
            await self._socket.wait_until_writable()
            if written := self._socket.send_now(buffers):
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

    def set_frame_limit(self, frame: int, *, can_inflate: bool = True) -> None:
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
        if self._socket is not None:
            self._socket.close()
        await self.stream.aclose()
