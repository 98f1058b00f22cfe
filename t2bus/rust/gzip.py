"""Compressed payloads as the Rust crate has them: gzip, which is zlib's data between another head and another checksum.

So a payload that a native sender compressed goes on to a Rust client without being compressed again. It is inflated
all the same, for the other checksum, and because a broken payload would end that client.

The law of this module: bytes in, bytes out.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

from ..wire.compression import LEVEL, inflate, inflate_stream

if TYPE_CHECKING:
    from ..wire.values import Deflated

_GZIP: Final = zlib.MAX_WBITS | 16
"""How zlib is told that a stream is of gzip."""

_GZIP_HEAD: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""Compressed with deflate; no name, no time, by no system in particular."""


def gzip(payload: bytes) -> bytes:
    """Return the payload as one gzip member, compressed at the fastest level, as native payloads are."""
    return zlib.compress(payload, LEVEL, _GZIP)


def gunzip(data: bytes, limit: int) -> bytes:
    """Return what one gzip member holds.

    Raises:
      MalformedMessage: the bytes are not exactly one gzip member, or it holds more than ``limit`` bytes.

    """
    return inflate_stream(data, limit, _GZIP)


def zlib_to_gzip(payload: Deflated, limit: int) -> bytes:
    """Return a compressed payload as one gzip member, without compressing anything.

    Raises:
      MalformedMessage: as :func:`inflate`; whoever cannot bear a broken payload never sees one.

    """
    data = inflate(payload, limit)
    # A zlib stream is two bytes, the compressed data, and four bytes of checksum; one with a dictionary has failed.
    # Behind the data of a gzip member stand the CRC-32 and the size, modulo 2**32, of what is compressed.
    return _GZIP_HEAD + payload.data[2:-4] + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
