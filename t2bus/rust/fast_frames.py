"""The frames that a client of the crate is sent most often, put together by hand: runs of publications, and receipts.

For example ``a`` and ``b``, published to ``x``, differ in one byte of their frames: all else is made once for each
topic and length, from a frame that :mod:`.frames` has encoded. So a publication of 100 bytes takes 0.3 us here, and 2.3
there. A receipt is the acknowledgement of a publication; it takes 0.5 us, and 1.1 there.

The law of this module: byte for byte the frames of :mod:`.frames`.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ..wire.cbor import encode_head
from ..wire.framing import HEADER_SIZE
from .frames import Body, Kind, encode_ack, encode_carrier

if TYPE_CHECKING:
    from collections.abc import Sequence

_END: Final = b"\x6dis_compressed\xf4"
"""What stands behind a payload that is not compressed."""

_LENGTH: Final = struct.Struct(">I")


def encode_publications(topic: str, payloads: Sequence[bytes]) -> bytes:
    """Return a ``Pub`` for each payload, none of them compressed, as a bus says it."""
    empty = encode_carrier(0, Kind.PUB, topic, Body(b""))
    start = empty[HEADER_SIZE : -len(_END) - 1]
    heads: dict[int, bytes] = {}
    parts: list[bytes] = []
    for payload in payloads:
        size = len(payload)
        head = heads.get(size)
        if head is None:
            array = start + encode_head(2, size)
            head = heads[size] = _LENGTH.pack(len(array) + size + len(_END)) + array
        parts += (head, payload, _END)
    return b"".join(parts)


@lru_cache(maxsize=256)
def _around(width: int, recipients: int) -> tuple[bytes, bytes]:
    # What stands before an id of that many bytes, and behind it. The counts are few different ones as a rule.
    start, name, end = encode_ack(0, None, recipients)[HEADER_SIZE:].partition(b"\x66msg_id")
    start, end = start + name, end[1:]
    return _LENGTH.pack(len(start) + width + len(end)) + start, end


def encode_receipt(operation: int, recipients: int) -> bytes:
    """Return the ``Ack`` of a ``Pub`` that was carried out."""
    number = encode_head(0, operation)
    start, end = _around(len(number), recipients)
    return start + number + end
