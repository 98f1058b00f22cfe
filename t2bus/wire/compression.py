"""Compressed payloads: zlib at its fastest level.

The sender compresses, the bus passes the bytes on, and the receiver inflates. So a message costs one deflate, and one
inflate for each receiver, however many connections it crosses. Ten kilobytes can hold ten megabytes: inflating stops at
a limit.

The law of this module: bytes in, bytes out.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from ..errors import MalformedMessage
from .values import Deflated, Payload

if TYPE_CHECKING:
    from collections.abc import Iterator

ZLIB = "zlib"
"""The name of the one compression there is, as HELLO and WELCOME give it."""

THRESHOLD = 5_000
"""Payloads of up to so many bytes are sent as they are. To compress them would save one packet at most, and no time."""

LEVEL = 1
"""zlib's fastest. Any level can be inflated, so it is no part of the wire."""

_SAMPLE: Final = 1024
"""Bytes from the middle of a payload that show whether compressing all of it is worth the time."""

_WORTH_IT: Final = 0.95
"""What compressing may leave of a sample, at most, if it is worth the time."""

_PART: Final = 65_536
"""Bytes that are taken, and given, at once by what inflates in parts."""


def deflate(payload: bytes) -> Payload:
    """Return the payload compressed, or as it is if it is small or a sample shows that it would not become smaller.

    Pictures, sound and encrypted data do not. To compress all of them to find that out took most of a sender's time.
    """
    if len(payload) <= THRESHOLD:
        return payload
    middle = len(payload) // 2
    if len(zlib.compress(payload[middle : middle + _SAMPLE], LEVEL)) > _WORTH_IT * _SAMPLE:
        return payload
    data = zlib.compress(payload, LEVEL)
    return Deflated(data) if len(data) < len(payload) else payload


def inflate(payload: Payload, limit: int) -> bytes:
    """Return the payload as its sender's program gave it.

    Raises:
      MalformedMessage: the compressed bytes are no zlib stream, or hold more than ``limit`` bytes.

    """
    if isinstance(payload, bytes):
        return payload
    return b"".join(inflate_in_parts(payload.data, limit, zlib.MAX_WBITS))


def inflate_in_parts(compressed: bytes, limit: int, wbits: int, *, bound: str = "Limits.frame") -> Iterator[bytes]:
    """Yield what one stream of this kind (``wbits`` of :mod:`zlib`) holds, part by part; raises as :func:`inflate`.

    Whoever only looks at what it holds needs memory for one part. ``bound`` is what the limit is, for the error.
    """
    inflater, room = zlib.decompressobj(wbits), limit
    for start in range(0, len(compressed), _PART):
        rest, has_more = compressed[start : start + _PART], True
        while has_more:
            most = min(_PART, room + 1)
            try:
                part = inflater.decompress(rest, most)
            except zlib.error as error:
                raise MalformedMessage(f"a compressed payload cannot be inflated: {error}") from error
            room -= len(part)
            if room < 0:
                raise MalformedMessage(f"a compressed payload holds more than {limit} bytes ({bound})")
            yield part
            # Behind a part that is full there may be more, even where all input is used.
            rest, has_more = inflater.unconsumed_tail, len(part) == most
    if not inflater.eof or inflater.unused_data:
        raise MalformedMessage("a compressed payload is cut short or has bytes after its end")
