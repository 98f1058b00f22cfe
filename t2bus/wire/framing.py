"""Frames: a 4-byte big-endian length, then that many bytes. Both wires of the bus are framed so.

A :class:`FrameDecoder` is fed whatever the network brought, and returns the bodies of the frames that are complete. For
example, fed with ``00 00 00 02 82``, then with ``0d 00``, it returns nothing, then ``82 0d``, and keeps the last byte.

It looks at a length as soon as its four bytes are there, and refuses it at once if it is over the limit. It allocates
for bytes that have arrived, never for a length that was declared. An incomplete frame is kept as it came, and is looked
at again when it is complete. So a peer that sends a large frame in small pieces costs linear time, and hardly more
memory than the frame.

A frame that came in large pieces is left in them (:class:`LargeFrame`). To join them and then cut the payload out would
copy a large payload twice.

The law of this module: bytes in, bytes out.
"""

from __future__ import annotations

import struct
from typing import Final, TypeAlias, overload

from ..errors import ProtocolViolation

_LENGTH = struct.Struct(">I")
HEADER_SIZE = _LENGTH.size
"""Bytes of the length."""

_LARGE: Final = 65_536
"""Bytes of a frame from which it pays to leave it in pieces."""

_PIECE: Final = 4096
"""Bytes from which a piece is kept as an object of its own. Smaller ones are gathered into one, so that they are
few."""


def frame(body: bytes) -> bytes:
    """Return the body with its length in front."""
    return _LENGTH.pack(len(body)) + body


class LargeFrame:
    """The body of a frame in the pieces in which it came.

    Near its beginning it is read like bytes: ``frame[2]``, ``frame[2:12]``, and ``frame[30:]`` for all the rest, which
    is the one copy of a payload. A place that is not in the first piece, or not in its first 4,096 bytes, raises
    ``IndexError``. Then ``bytes(frame)`` is the way.
    """

    __slots__ = ("_head", "_length", "_pieces")

    def __init__(self, pieces: list[bytes | bytearray | memoryview], length: int) -> None:
        # ``length`` is what the pieces have together. The head is copied, as most of what is read is in it.
        self._pieces = pieces
        self._head = bytes(pieces[0][:_PIECE])
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces)

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice[int | None, int | None, None]) -> bytes: ...
    def __getitem__(self, place: int | slice[int | None, int | None, None]) -> int | bytes:
        if isinstance(place, int):
            return self._head[place]
        start, stop = place.start or 0, place.stop
        if (start if stop is None else stop) > len(self._head):
            raise IndexError
        if stop is not None:
            return self._head[start:stop]
        first, *rest = self._pieces
        with memoryview(first) as view:
            return b"".join((view[start:], *rest))


Frame: TypeAlias = bytes | LargeFrame


class FrameDecoder:
    """Cuts a stream of bytes into frames of at most ``limit`` bytes. The limit may be changed between two calls."""

    __slots__ = ("_needed", "_pieces", "buffered", "limit")

    def __init__(self, limit: int) -> None:
        self.limit: int = limit
        self._pieces: list[bytes | bytearray | memoryview] = []
        """What came of an incomplete frame, from its length on."""
        self.buffered: int = 0
        """How many bytes of an incomplete frame are there, those of its length among them."""
        self._needed = HEADER_SIZE
        """How many bytes the incomplete frame has, or its length alone while that is incomplete."""

    @property
    def size(self) -> int:
        """How many bytes an incomplete frame has, or its length alone while that is incomplete; 0 if none is."""
        return self._needed if self.buffered else 0

    @property
    def missing(self) -> int:
        """How many bytes are missing of an incomplete frame, or of its length; 0 if none is incomplete."""
        return self._needed - self.buffered if self.buffered else 0

    def feed(self, data: bytes) -> list[Frame]:
        """Return the bodies of the frames that ``data`` completes, oldest first.

        Raises:
          ProtocolViolation: a frame is empty or declares more than ``limit`` bytes. The stream means nothing from
            there on: close it.

        """
        if not self.buffered:
            size = len(data) - HEADER_SIZE
            if 0 < size <= self.limit and _LENGTH.unpack_from(data)[0] == size:
                # One frame and nothing else, the usual case, kept apart.
                return [data[HEADER_SIZE:]]
            return self._cut(data)
        missing = self._needed - self.buffered
        if len(data) < missing:
            self._keep(data)
            return []
        if self._needed == HEADER_SIZE:
            data = b"".join((*self._pieces, data))
            self._pieces, self.buffered = [], 0
            return self._cut(data)
        self._keep(data[:missing])
        return [self._complete(), *self._cut(data, missing)]

    def _keep(self, data: bytes) -> None:
        """Add to the incomplete frame.

        Large data stays as it came. Small data is joined, so that a frame that comes byte by byte is no list of bytes.
        """
        pieces = self._pieces
        self.buffered += len(data)
        if len(data) >= _PIECE:
            pieces.append(data)
        elif pieces and isinstance(last := pieces[-1], bytearray):
            last += data
        else:
            pieces.append(bytearray(data))

    def _complete(self) -> Frame:
        """Return the body of the frame, which is complete now, and forget it."""
        pieces, length = self._pieces, self._needed - HEADER_SIZE
        self._pieces, self.buffered = [], 0
        is_large = length >= _LARGE and len(pieces[0]) >= _PIECE
        pieces[0] = memoryview(pieces[0])[HEADER_SIZE:]
        return LargeFrame(pieces, length) if is_large else b"".join(pieces)

    def _cut(self, data: bytes, start: int = 0) -> list[Frame]:
        """Return the frames in data that begins with a frame, and keep what is incomplete behind them."""
        frames: list[Frame] = []
        end, limit = len(data), self.limit
        self._needed = HEADER_SIZE
        unpack = _LENGTH.unpack_from
        while end - start >= HEADER_SIZE:
            (length,) = unpack(data, start)
            if not 0 < length <= limit:
                raise ProtocolViolation(f"a frame declares {length} bytes; 1 to {limit} are allowed here")
            body = start + HEADER_SIZE
            if end - body < length:
                self._needed = HEADER_SIZE + length
                break
            start = body + length
            frames.append(data[body:start])
        if start < end:
            self._keep(data[start:])
        return frames
