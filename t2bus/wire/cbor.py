"""CBOR as both wires read and write it.

The reader is hardened: no tags, nothing of indefinite length, no duplicate keys, a small depth. What it returns may
still be of any type; whoever reads checks that.

To make a reader takes longer than to read a small item. So a reader is kept and given one source after the other, and
each thread has its own (:class:`KeptReader`), since a reader is in the middle of an item while its source is read::

    kept = KeptReader(depth=2)
    reader = kept.reader
    reader.fp = source = io.BytesIO(data)
    item = reader.decode()  # source.tell() says where the item ended

The law of this module: bytes in, values out; values in, bytes out.
"""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NoReturn

import cbor2

from ..errors import ProtocolViolation
from ..text import shorten
from .values import MOST_ITEMS

_UNCOUNTED: Final = 65_536
"""Bytes of a frame whose items are not counted: read, it takes 4 MiB at most. What is said most often is no longer."""

CROWDED: Final = f"a frame holds more than {MOST_ITEMS:,} CBOR items"
"""What is wrong with a frame that :func:`is_crowded`."""

_SHOWN: Final = 4
"""Bytes of a bad frame that its error shows: its kind. What follows may be a payload, which no log may hold."""


class _RefuseTags(dict[int, Callable[..., object]]):
    """A table of semantic decoders that has none: whatever is tagged is refused before it is read."""

    def __missing__(self, tag: int) -> NoReturn:
        raise cbor2.CBORDecodeError(f"tag {tag} is not allowed")


class KeptReader(threading.local):
    """A reader for each thread that asks for it, of items with at most ``depth`` containers inside each other."""

    def __init__(self, depth: int) -> None:
        self.reader: cbor2.CBORDecoder = cbor2.CBORDecoder(
            io.BytesIO(),
            semantic_decoders=_RefuseTags(),
            max_depth=depth,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )
        """Set its ``fp`` before each use. Its ``decode`` returns one item after the other, and raises
        :class:`cbor2.CBORError` and nothing else, whatever the bytes are. After that it may go on with another source.
        """


_LONGEST_FLAW: Final = 200
"""Characters of what a reader says is wrong."""


def flaw_in(error: cbor2.CBORError) -> str:
    """Return what a reader has found wrong, without what the source holds: it quotes a key that comes twice as a whole.

    A key may be as long as its frame, and may be a secret.
    """
    text = str(error)
    return "a map has a key twice" if "Duplicate map key" in text else shorten(text, _LONGEST_FLAW)


def is_crowded(frame: bytes) -> bool:
    """Tell whether a frame is so long that its items count, and holds more than ``MOST_ITEMS`` of them.

    For example ``82 05 80`` has three: an array, a number and another array. Each of a million empty arrays takes 64
    bytes once it is read, and each number above 256 takes 40; so they are counted before. The heads are looked at one
    after the other, and the bytes of strings are passed over. It ends where what is left cannot be too many.
    """
    at, items, end = 0, 0, len(frame)
    if end <= _UNCOUNTED:
        return False
    while end - at > MOST_ITEMS - items:
        if items == MOST_ITEMS:
            return True
        head = frame[at]
        at += 1
        items += 1
        number = head & 0x1F
        if number >= _INLINE:
            size = 1 << (number - _INLINE & 7)
            number = int.from_bytes(frame[at : at + size], "big")
            at += size
        if head >> 5 in _STRINGS:
            at += number
    return False


def violation(text: str, frame: bytes) -> ProtocolViolation:
    """Return the error that names a frame by its size and how it begins, which shows its kind."""
    return ProtocolViolation(f"{text} [{len(frame)} bytes: {frame[:_SHOWN].hex(' ')}]")


WIDE: Final = 0x1B
"""The first byte of a number in eight bytes."""

_STRINGS: Final = (2, 3)
"""The major types of bytes and text."""

_INLINE = 24
"""A smaller number stands in the first byte of a CBOR item. 24 to 27 there say that 1, 2, 4 or 8 bytes follow."""
_MOST_IN_ONE, _MOST_IN_TWO, _MOST_IN_FOUR = 0xFF, 0xFFFF, 0xFFFF_FFFF
_ONE, _TWO, _FOUR, _EIGHT = (struct.Struct(form).pack for form in (">BB", ">BH", ">BI", ">BQ"))


def encode_head(major: int, number: int) -> bytes:
    """Return the CBOR head of an item: its major type and its number, as short as it goes."""
    head = major << 5
    if number < _INLINE:
        return bytes((head | number,))
    if number <= _MOST_IN_ONE:
        return _ONE(head | 24, number)
    if number <= _MOST_IN_TWO:
        return _TWO(head | 25, number)
    return _FOUR(head | 26, number) if number <= _MOST_IN_FOUR else _EIGHT(head | 27, number)


encode_text: Callable[[str], bytes] = lru_cache(maxsize=4096)(cbor2.dumps)
"""Return a text as CBOR; the same topics come again and again."""
