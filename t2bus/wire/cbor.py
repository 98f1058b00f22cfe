"""CBOR as both wires read and write it.

The reader is hardened: no tags, nothing of indefinite length, no duplicate keys, a small depth. What it returns is
still of any type: a wire checks that, element by element.

The law of this module: bytes in, values out; values in, bytes out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NoReturn

import cbor2

from ..errors import ProtocolViolation

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["WIDE", "encode_head", "encode_text", "make_reader", "violation"]

_SHOWN: Final = 4
"""Bytes of a bad frame that its error shows: its kind. What follows may be a payload, which no log may hold."""


class _RefuseTags(dict[int, Callable[..., object]]):
    """A table of semantic decoders that has a refusing one for every tag."""

    def __missing__(self, tag: int) -> Callable[..., object]:
        def refuse(*_: object) -> NoReturn:
            raise cbor2.CBORDecodeError(f"tag {tag} is not allowed")

        return refuse


def make_reader(buffer: BinaryIO, depth: int) -> cbor2.CBORDecoder:
    """Return a reader of one item after the other, of at most so many containers inside each other."""
    return cbor2.CBORDecoder(
        buffer,
        semantic_decoders=_RefuseTags(),
        max_depth=depth,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )


def violation(text: str, frame: bytes) -> ProtocolViolation:
    """Return the error that names a frame by its size and how it begins, which shows its kind."""
    return ProtocolViolation(f"{text} [{len(frame)} bytes: {frame[:_SHOWN].hex(' ')}]")


WIDE: Final = 0x1B
"""How a number of eight bytes begins."""

_INLINE = 24
"""Numbers below this stand in the first byte of a CBOR item; 24 to 27 there say that 1, 2, 4 or 8 bytes follow."""
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
"""Return a text as CBOR; topics come again and again."""
