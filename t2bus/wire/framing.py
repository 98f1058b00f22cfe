"""Frames: a 4-byte big-endian length, then that many bytes. Both wires of the bus are framed so.

A decoder is fed whatever the network brought and returns the frames that are complete. It looks at a length as soon as
its four bytes are there and refuses it at once if it is over the limit; it allocates for bytes that have arrived,
never for a length that was declared. What is incomplete grows in one buffer and is looked at again when the frame is
whole, so that a peer that sends a large frame in small pieces costs linear time, and no more memory than the frame.

The law of this module: bytes in, bytes out.
"""

from __future__ import annotations

import struct

from ..errors import ProtocolViolation

__all__ = ["HEADER_SIZE", "FrameDecoder", "frame"]

_LENGTH = struct.Struct(">I")
HEADER_SIZE = _LENGTH.size


def frame(body: bytes) -> bytes:
    """Return the body with its length in front."""
    return _LENGTH.pack(len(body)) + body


class FrameDecoder:
    """Cuts a stream of bytes into frames of at most ``limit`` bytes, which may be changed between two calls."""

    __slots__ = ("_incomplete", "_needed", "limit")

    def __init__(self, limit: int) -> None:
        self.limit: int = limit
        self._incomplete = bytearray()
        self._needed = HEADER_SIZE

    @property
    def buffered(self) -> int:
        """How many bytes of an incomplete frame are waiting for the rest."""
        return len(self._incomplete)

    @property
    def missing(self) -> int:
        """How many bytes are known to be missing of an incomplete frame."""
        return self._needed - len(self._incomplete) if self._incomplete else 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the bodies of the frames that ``data`` completes, oldest first.

        Raises:
          ProtocolViolation: a frame is empty or declares more than ``limit`` bytes. The stream has lost its meaning
            then: close it.

        """
        if self._incomplete:
            self._incomplete += data
            if len(self._incomplete) < self._needed:
                return []
            incomplete, needed = self._incomplete, self._needed
            self._incomplete = bytearray()
            with memoryview(incomplete) as view:
                if needed == HEADER_SIZE:
                    return self._cut(bytes(view))
                # A large frame is copied once.
                return [bytes(view[HEADER_SIZE:needed]), *self._cut(bytes(view[needed:]))]
        return self._cut(data)

    def _cut(self, data: bytes) -> list[bytes]:
        frames = []
        start, end, limit = 0, len(data), self.limit
        self._needed = HEADER_SIZE
        while end - start >= HEADER_SIZE:
            (length,) = _LENGTH.unpack_from(data, start)
            if not 0 < length <= limit:
                raise ProtocolViolation(f"a frame declares {length} bytes; 1 to {limit} are allowed here")
            body = start + HEADER_SIZE
            if end - body < length:
                self._needed = HEADER_SIZE + length
                break
            start = body + length
            frames.append(data[body:start])
        self._incomplete += data[start:]
        return frames
