"""Gzip for the Rust crate: as capped and as strict as zlib on the native wire, and the same data between other ends."""

from __future__ import annotations

import gzip as reference
import os
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2bus.errors import MalformedMessage
from t2bus.rust.gzip import gunzip, gzip, gzip_to_zlib, size_in, zlib_to_gzip
from t2bus.wire.compression import inflate
from t2bus.wire.values import Deflated

if TYPE_CHECKING:
    from collections.abc import Callable

CUT_SHORT = "cut short or has bytes after its end"


@given(st.binary())
def test_gzip_is_gzip(payload: bytes) -> None:
    """What we compress anybody inflates, and what anybody compresses we inflate."""
    assert reference.decompress(gzip(payload)) == payload
    assert gunzip(reference.compress(payload), len(payload)) == payload


@given(st.binary(max_size=2000), st.integers(0, 9))
def test_zlib_becomes_gzip_without_being_compressed_again(payload: bytes, level: int) -> None:
    """The compressed data is the same, and the ends around it are those of gzip."""
    deflated = Deflated(zlib.compress(payload, level))
    member = zlib_to_gzip(deflated, len(payload))
    assert reference.decompress(member) == payload
    assert deflated.data[2:-4] in member


@given(st.binary(max_size=2000), st.integers(0, 9))
def test_gzip_becomes_zlib_without_being_compressed_again(payload: bytes, level: int) -> None:
    """The compressed data is the same, and the ends around it are those of zlib."""
    member = reference.compress(payload, level)
    deflated = gzip_to_zlib(member, len(payload))
    assert zlib.decompress(deflated.data) == inflate(deflated, len(payload)) == payload
    assert deflated.data[2:-4] == member[10:-8]


@pytest.mark.parametrize("flags", range(0, 32, 2))
def test_what_a_member_says_of_itself_is_left_behind(flags: int) -> None:
    """A member may have a checksum of its head, a field of its own, a name and a comment before what it holds."""
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6)
    head += b"\x03\x00a\x00b" if flags & 4 else b""
    head += b"name\0" if flags & 8 else b""
    head += b"comment\0" if flags & 16 else b""
    head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little") if flags & 2 else b""
    member = head + reference.compress(b"payload")[10:]
    assert gunzip(member, 100) == b"payload"
    assert inflate(gzip_to_zlib(member, 100), 100) == b"payload"


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_what_is_large_is_inflated_in_parts(size: int) -> None:
    """Where a part ends neither hides nor cuts what a member holds, whatever it is made of."""
    for payload in (bytes(size), os.urandom(size)):
        member = gzip(payload)
        deflated = gzip_to_zlib(member, size)
        assert (gunzip(member, size), inflate(deflated, size)) == (payload, payload)
        assert reference.decompress(zlib_to_gzip(deflated, size)) == payload
        assert size_in(member) == size


def test_what_goes_on_is_not_kept_inflated() -> None:
    """A megabyte in a kilobyte is looked at in parts, from either wire to the other."""
    size = 1_048_576
    member = gzip(bytes(size))
    tracemalloc.start()
    try:
        zlib_to_gzip(gzip_to_zlib(member, size), size)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size / 3


@pytest.mark.parametrize("inflated", [gunzip, gzip_to_zlib])
def test_a_member_that_holds_more_than_it_says_is_malformed(inflated: Callable[[bytes, int], object]) -> None:
    """How long a member takes is known by what it says that it holds, so it may not hold more."""
    member = reference.compress(bytes(1000))
    with pytest.raises(MalformedMessage, match="the size at its end"):
        inflated(member[:-4] + (99).to_bytes(4, "little"), 1_000_000)


def test_more_than_the_limit_is_malformed() -> None:
    """A member may hold exactly the limit, and not a byte more."""
    data = reference.compress(bytes(1000))
    assert gunzip(data, 1000) == bytes(1000)
    with pytest.raises(MalformedMessage, match=r"holds more than 999 bytes"):
        gunzip(data, 999)
    with pytest.raises(MalformedMessage, match=r"holds more than 999 bytes"):
        gzip_to_zlib(data, 999)
    with pytest.raises(MalformedMessage, match=r"holds more than 999 bytes"):
        zlib_to_gzip(Deflated(zlib.compress(bytes(1000))), 999)


def test_a_member_that_is_cut_short_is_malformed() -> None:
    """A member that ends before its checksum is complete is refused, even if all the data is there."""
    data = reference.compress(b"payload " * 10)
    for length in range(len(data)):
        with pytest.raises(MalformedMessage, match=CUT_SHORT):
            gunzip(data[:length], 1000)


@pytest.mark.parametrize("rest", [b"\0", reference.compress(b"more")], ids=["a byte", "a member"])
def test_bytes_after_the_member_are_malformed(rest: bytes) -> None:
    """One member is a payload, and a second one is too much."""
    with pytest.raises(MalformedMessage, match=f"{CUT_SHORT}|the size at its end"):
        gunzip(reference.compress(b"payload") + rest, 1000)


def test_zlib_is_not_gzip() -> None:
    """The two are told apart."""
    with pytest.raises(MalformedMessage, match="cannot be inflated"):
        gunzip(zlib.compress(b"payload"), 1000)


@given(st.binary() | st.binary().map(reference.compress).flatmap(lambda data: st.just(data[:-1]) | st.just(data * 2)))
def test_any_bytes_are_a_payload_or_malformed(data: bytes) -> None:
    """Nothing but MalformedMessage ever comes of compressed bytes, and never more than the limit."""
    try:
        payload = gunzip(data, 100)
    except MalformedMessage:
        return
    assert len(payload) <= 100
