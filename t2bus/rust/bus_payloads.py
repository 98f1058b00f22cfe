"""Payloads on their way to a bus of the Rust crate, so that it can pass them on.

That bus writes a payload as an array of numbers, up to twice as long as it came, and its clients take no frame above
1 MiB. For example the bytes 7 and 200 take two bytes here, and three there: ``07 18 c8``. What would grow too long is
not sent. Long payloads are compressed, as the crate does it.

The law of this module: bytes in, bytes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import MalformedMessage
from ..wire.compression import THRESHOLD
from ..wire.framing import HEADER_SIZE
from ..wire.values import Deflated
from .frames import FRAME, Body
from .gzip import gzip, zlib_to_gzip

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..wire.values import Payload

_ID_GROWTH: Final = 4
"""Bytes that the id of a frame grows by at most, when that bus gives it one of its own."""

_INLINE: Final = bytes(range(24))
"""The bytes that take one byte each in an array of numbers; the others take two."""


def fit(encode: Callable[[Body], bytes], payload: Payload, limit: int) -> bytes:
    """Return the frame that ``encode`` makes of this payload; nothing if it would grow too long.

    Nothing, too, for one that came compressed and is broken, or holds more than ``limit`` bytes.
    """
    try:
        body = _body(payload, limit)
    except MalformedMessage:
        return b""
    encoded = encode(body)
    grown = len(encoded) - HEADER_SIZE + _ID_GROWTH + len(body.data.translate(None, _INLINE))
    return encoded if grown <= FRAME else b""


def _body(payload: Payload, limit: int) -> Body:
    """Return a payload as the crate has it: gzip if it came compressed, or is long and becomes shorter by that."""
    if isinstance(payload, Deflated):
        return Body(zlib_to_gzip(payload, limit), is_compressed=True)
    if len(payload) > THRESHOLD and len(packed := gzip(payload)) < len(payload):
        return Body(packed, is_compressed=True)
    return Body(payload)
