"""Messages as frames on a Trio stream, whatever kind of stream that is.

A socket can also be read and written without waiting; what that is good for, and that other streams never have or take
anything so, is behind :class:`.DirectStream`.
"""

from __future__ import annotations

import contextlib
import math
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from ..liveness import Signs
from ..wire.codec import is_deflated
from ..wire.framing import FrameDecoder, LargeFrame
from .any_stream import direct
from .socket_stream import drop
from .transport import Incoming, Outgoing, Transport
from .turns import Rations, rations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..wire.codec import Codec
    from ..wire.framing import Frame
    from .any_stream import DirectStream
    from .socket_stream import Buffers

_RECEIVE_SIZE: Final = 65_536
_LONG_RECEIVE_SIZE: Final = 262_144
"""What is read at once when more than the other is known to be missing of a frame, or of a peer that sends in bulk."""

_BULK: Final = 4096
"""Bytes of a frame, on average, from which a peer that fills a read sends in bulk. What is read at once is one batch of
the router's inbox, so it must not be many frames; but a read that brings only a few costs more than they."""

_FRAMES_AT_ONCE: Final = 1024
"""Frames that are decoded without letting others run. A read may bring 9,000 small ones, which took 50 to 100 ms."""

_SMALL: Final = 1024
"""Bytes that are decoded whoever else decodes, with 250 headers at most: one message does not wait behind many."""

_KEPT: Final = 4_194_304
"""Bytes of a block that is freed once, see :func:`keep_memory`."""

_MUCH: Final = 65_536
"""Bytes that are on their way for a while. Whatever is less is taken by the system of a peer whose program is gone."""

_PIECE: Final = 512
"""Messages that are encoded at once, each a run at most. A backlog may be a million: nobody else is served while they
are encoded."""


@define(eq=False, repr=False)
class FramedTransport(Transport[Incoming, Outgoing]):
    """Messages as frames on a stream, which it closes.

    ``limit`` bounds a frame until :meth:`set_frame_limit`, and ``head`` is what was read of the stream already.
    """

    stream: trio.abc.Stream
    codec: Codec[Incoming, Outgoing]
    limit: int
    head: bytes = b""
    compresses: bool = False
    is_secure: bool = False
    take_signs: Callable[[], Sequence[Outgoing]] = field(default=tuple, init=False)
    writing_since: float | None = field(default=None, init=False)
    read_at: float = field(default=-math.inf, init=False)
    """When anything was last read, be it a part of a frame."""
    taken_at: float = field(default=-math.inf, init=False)
    """When the peer was last seen to take something."""
    has_written: bool = field(default=False, init=False)
    """Whether anything was written since :meth:`signs` was last asked."""
    _unsent: Buffers = field(default=(), init=False)
    """What :meth:`send_nowait` could not send."""
    _sends_now: bool = field(init=False)
    """Not once a send was given up: half a frame may have gone, and nothing may follow it."""
    _may_inflate: bool = field(init=False)
    """Whether messages for the peer may take long to encode."""
    _unsent_before: int | None = field(default=None, init=False)
    """What the kernel had not sent at the last look; None where it does not tell."""
    _taken_before: int = field(default=0, init=False)
    """How many bytes the peer had taken by then."""
    _decoder: FrameDecoder = field(init=False)
    _undecoded: Sequence[Frame] = field(default=(), init=False)
    """What a read has brought and is not decoded yet."""
    _is_small: bool = field(default=True, init=False)
    """Whether all that is decoded next is so small that it needs no turn."""
    _receive_size: int = field(init=False)
    _is_in_bulk: bool = field(default=False, init=False)
    """Whether the last read was full, of frames that are neither small nor large."""
    _clock: trio.abc.Clock = field(factory=trio.lowlevel.current_clock, init=False)
    """Asked for each read, without the calls that find it."""
    _direct: DirectStream = field(init=False)
    _rations: Rations = field(factory=rations, init=False)

    def __attrs_post_init__(self) -> None:
        """Start with the limit of the handshake, for frames and for what is read at once."""
        self._decoder = FrameDecoder(self.limit)
        self._receive_size = self.limit
        self._direct = direct(self.stream)
        self._sends_now, self._may_inflate = self._direct.sends_now, self.codec.may_inflate
        self.look_for_progress()

    # --- receiving

    @property
    def incoming(self) -> int:
        """How many bytes have come of a large frame that is not complete: one of more than 64 KiB."""
        decoder = self._decoder
        return decoder.buffered if decoder.size > _RECEIVE_SIZE else 0

    async def receive(self) -> Sequence[Incoming]:
        """Return what one read brought, decoded; read on while that is no complete frame, unless it is a large one.

        A read of very many small frames is returned in several parts, between which others run.
        """
        try:
            if self._undecoded:
                await trio.lowlevel.checkpoint()
            while not self._undecoded:
                data, self.head = self.head, b""
                if not data:
                    is_plain = not self._decoder.buffered and not self._is_in_bulk
                    data = await self._direct.receive_some(self._receive_size if is_plain else self._most)
                self._take_in(data)
                if not self._undecoded and len(data) == self._receive_size:
                    self._take_more()
                if not self._undecoded and self.incoming:
                    return ()
        except trio.ClosedResourceError as error:
            raise trio.BrokenResourceError("the stream was closed") from error
        if not self._is_small:
            await self._rations.decoding.take()
        return self._decode()

    def _take_more(self) -> None:
        """Read on: a large frame has begun, the rest is mostly there, and to read again costs less than to wait."""
        keep_memory()
        with contextlib.suppress(trio.WouldBlock):
            self._take_in(self._direct.receive_nowait(self._most))

    @property
    def _most(self) -> int:
        """How many bytes to read."""
        size, missing = self._receive_size, self._decoder.missing
        if missing > size:
            # A large frame: no more than what is missing, so that the next one too comes in pieces of its own.
            return min(missing, max(size, _LONG_RECEIVE_SIZE))
        return _LONG_RECEIVE_SIZE if self._is_in_bulk else size

    def _take_in(self, data: bytes) -> None:
        """Keep the frames that this completes; no checkpoint parts them from the reading."""
        if not data:
            raise trio.EndOfChannel
        self.read_at = self._clock.current_time()
        self._is_small = self._decoder.buffered + len(data) <= _SMALL
        self._undecoded = frames = self._decoder.feed(data)
        self._is_in_bulk = len(data) >= _RECEIVE_SIZE and self._is_bulk(data, frames)

    def _decode(self) -> Sequence[Incoming]:
        """Decode what was read, or the first part of it; what is not small uses up the ration."""
        frames, self._undecoded = self._undecoded, ()
        if self._is_small:
            return self.codec.decode(frames)
        if len(frames) > _FRAMES_AT_ONCE:
            frames, self._undecoded = frames[:_FRAMES_AT_ONCE], frames[_FRAMES_AT_ONCE:]
        began = perf_counter()
        try:
            return self.codec.decode(frames)
        finally:
            self._rations.decoding.spent += perf_counter() - began

    @staticmethod
    def _is_bulk(data: bytes, frames: Sequence[Frame]) -> bool:
        """Whether frames fill a read and are long on average, but the last is not so long that it came in pieces."""
        return 0 < _BULK * len(frames) <= len(data) and not isinstance(frames[-1], LargeFrame)

    # --- sending

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Write the messages as one run of bytes."""
        try:
            if self._unsent:
                unsent, self._unsent = self._unsent, ()
                await self._write(unsent)
            pieces = self.codec.encode_in_pieces(messages, _PIECE)
            inflates = self._may_inflate and any(map(is_deflated, messages))
            while piece := await self._inflate(pieces) if inflates else next(pieces, None):
                if self.writing_since is not None:
                    # The last piece was taken without waiting: others run between two of them.
                    await trio.lowlevel.checkpoint()
                await self._write(piece)
                # Before the next piece is encoded: a wire may number its frames.
                if signs := self.take_signs():
                    await self._write(self.codec.encode_parts(signs))
        except trio.ClosedResourceError as error:
            raise trio.BrokenResourceError("the stream was closed") from error
        except trio.Cancelled:
            self._sends_now = False
            raise
        finally:
            self.writing_since = None

    async def _inflate(self, pieces: Iterator[list[bytes]]) -> list[bytes] | None:
        """Return the next piece, for which something may have to be inflated, or None if there is none."""
        await (inflating := self._rations.inflating).take()
        before = self._inflated
        piece = next(pieces, None)
        inflating.spent += self._inflated - before
        return piece

    @property
    def _inflated(self) -> int:
        """How many bytes were inflated for the peer so far."""
        return self.codec.inflated

    async def _write(self, buffers: Buffers) -> None:
        """Write all of the buffers; ``writing_since`` follows each part that the stream takes."""
        buffers = drop(buffers, 0)  # another wire may have nothing to say of a message
        self.writing_since = self._clock.current_time()
        self.has_written |= bool(buffers)
        buffers = drop(buffers, self._direct.send_nowait(buffers) if buffers else 0)
        while buffers:
            buffers = drop(buffers, await self._direct.send_some(buffers))
            self.writing_since = self._clock.current_time()
            self.has_written = True
            if buffers and self._unsent_before is None:
                # Where the kernel tells, a look does: a socket that has room takes a part too.
                self.taken_at = self.writing_since

    @property
    def can_send_nowait(self) -> bool:
        """Unless something is being written, never will be so, or may have to be inflated first."""
        return self._sends_now and self.writing_since is None and not self._may_inflate

    def takes_nowait(self, messages: Sequence[Outgoing]) -> bool:
        """Tell for these messages: those of which nothing has to be inflated take no time."""
        if not self._sends_now or self.writing_since is not None:
            return False
        return not (self._may_inflate and any(map(is_deflated, messages)))

    def send_nowait(self, messages: Sequence[Outgoing]) -> bool:
        """Write what the stream takes."""
        # Nothing is to be inflated here, see takes_nowait.
        codec = self.codec
        buffers: Buffers = codec.encode_one(messages[0]) if len(messages) == 1 else codec.encode_parts(messages)
        try:
            written = self._direct.send_nowait(buffers) if buffers else 0
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            written = 0  # send will meet it again
        self.has_written |= written > 0
        if len(buffers) == 1 and written == len(buffers[0]):
            # Nearly always, kept apart.
            return True
        self._unsent = drop(buffers, written)
        if not self._unsent:
            return True
        self.writing_since = self._clock.current_time()
        return False

    def signs(self) -> Signs:
        """Return what was seen of the peer."""
        self.look_for_progress()
        has_written, self.has_written = self.has_written, False
        return Signs(max(self.read_at, self.taken_at), self.writing_since, has_written)

    def look_for_progress(self) -> None:
        """Ask the kernel whether the peer has taken anything since the last look.

        A write goes on when a socket has much room again, which takes a slow reader long. And much of what was written
        may still be on its way, with a ping behind it: whoever takes of that is there. What this end has written is no
        sign of the peer: a socket that nobody takes from becomes full in the end.
        """
        unsent_before, taken_before = self._unsent_before, self._taken_before
        self._unsent_before = unsent = self._direct.unsent()
        if unsent is None:
            return
        self._taken_before = taken = self._direct.written - unsent
        if unsent_before is None or taken <= taken_before:
            return
        if self.writing_since is not None:
            self.writing_since = self.taken_at = self._clock.current_time()
        elif unsent_before >= _MUCH:
            self.taken_at = self._clock.current_time()

    # --- the ends

    def set_frame_limit(self, frame: int, *, can_inflate: bool = True) -> None:
        """Leave the limits of the handshake behind."""
        self._decoder.limit = frame
        self._receive_size = _RECEIVE_SIZE
        if not can_inflate:
            self.codec.inflate_limit = frame
            self._may_inflate = True

    async def aclose(self) -> None:
        """Close the stream; two tasks may, and one that is cancelled takes TLS's last word from the other."""
        with contextlib.suppress(trio.ClosedResourceError):
            await self.stream.aclose()


@cache
def keep_memory() -> None:
    """Have the C library keep the memory of one large frame for the next.

    glibc gives the end of its heap back to the system when what is free there is more than twice the largest block
    that was ever freed. Without this, each frame of 256 kB asks for its memory anew, which costs a fifth of the rate.
    The block is never touched, so it takes no memory itself.
    """
    bytes(_KEPT)
