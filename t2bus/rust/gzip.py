"""Compressed payloads as the Rust crate has them: gzip, which is zlib's data between another head and another checksum.

So a payload that a native sender compressed goes on to a Rust client without being compressed again, and one of a Rust
client to native ones. It is inflated all the same, for the other checksum, and because a broken payload would end a
Rust client; but part by part, so that what is held is what travels.

The law of this module: bytes in, bytes out.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

from ..wire.compression import LEVEL, inflate_in_parts
from ..wire.values import Deflated

if TYPE_CHECKING:
    from collections.abc import Iterator

_GZIP: Final = zlib.MAX_WBITS | 16
"""How zlib is told that a stream is of gzip."""

_GZIP_HEAD: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""Compressed with deflate; no name, no time, by no system in particular."""

_GZIP_END: Final = 8
"""Bytes behind the compressed data: a checksum and the size."""

_ZLIB_HEAD: Final = b"\x78\x01"
"""Compressed with deflate and the largest window, which is that of gzip too; without a dictionary."""

_HAS_CHECKSUM, _HAS_EXTRA, _HAS_NAME, _HAS_COMMENT = 2, 4, 8, 16
"""What the fourth byte of a member says to stand between its head and the compressed data."""


def gzip(payload: bytes) -> bytes:
    """Return the payload as one gzip member, compressed at the fastest level, as native payloads are."""
    return zlib.compress(payload, LEVEL, _GZIP)


def size_in(member: bytes) -> int:
    """Return how many bytes a gzip member says that it holds, in its last four bytes; no sound one holds more."""
    return int.from_bytes(member[-4:], "little")


def gunzip(member: bytes, limit: int) -> bytes:
    """Return what one gzip member holds.

    Raises:
      MalformedMessage: the bytes are not exactly one gzip member, or it holds more than ``limit`` bytes.

    """
    return b"".join(_parts(member, limit))


def gzip_to_zlib(member: bytes, limit: int) -> Deflated:
    """Return one gzip member as a compressed payload, without compressing anything, nor keeping what it holds.

    Raises:
      MalformedMessage: as :func:`gunzip`.

    """
    checksum = zlib.adler32(b"")
    for part in _parts(member, limit):
        checksum = zlib.adler32(part, checksum)
    return Deflated(_ZLIB_HEAD + member[_head_of(member) : -_GZIP_END] + checksum.to_bytes(4, "big"))


def zlib_to_gzip(payload: Deflated, limit: int) -> bytes:
    """Return a compressed payload as one gzip member, without compressing anything, nor keeping what it holds.

    Raises:
      MalformedMessage: as :func:`inflate`; whoever cannot bear a broken payload never sees one.

    """
    checksum = size = 0
    for part in inflate_in_parts(payload.data, limit, zlib.MAX_WBITS):
        checksum = zlib.crc32(part, checksum)
        size += len(part)
    # A zlib stream is two bytes, the compressed data, and four bytes of checksum; one with a dictionary has failed.
    # Behind the data of a gzip member stand the CRC-32 and the size, modulo 2**32, of what is compressed.
    return _GZIP_HEAD + payload.data[2:-4] + struct.pack("<II", checksum, size & 0xFFFFFFFF)


def _parts(member: bytes, limit: int) -> Iterator[bytes]:
    """Return what a member holds, and no more than it says: by that is known how long it takes."""
    if (size := size_in(member)) < limit:
        return inflate_in_parts(member, size, _GZIP, bound="the size at its end")
    return inflate_in_parts(member, limit, _GZIP)


def _head_of(member: bytes) -> int:
    """Return where the compressed data of a sound member begins: behind ten bytes, and what these announce."""
    flags, size = member[3], 10
    if flags & _HAS_EXTRA:
        size += 2 + int.from_bytes(member[size : size + 2], "little")
    for flag in (_HAS_NAME, _HAS_COMMENT):
        if flags & flag:
            size = member.index(0, size) + 1
    return size + 2 if flags & _HAS_CHECKSUM else size
