"""Gzip for the Rust crate: as capped and as strict as zlib on the native wire, and the same data between other ends."""

from __future__ import annotations

import gzip as reference
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2bus.errors import MalformedMessage
from t2bus.rust.gzip import gunzip, gzip, zlib_to_gzip
from t2bus.wire.values import Deflated

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


def test_more_than_the_limit_is_malformed() -> None:
    """A member may hold exactly the limit, and not a byte more."""
    data = reference.compress(bytes(1000))
    assert gunzip(data, 1000) == bytes(1000)
    with pytest.raises(MalformedMessage, match=r"holds more than 999 bytes"):
        gunzip(data, 999)
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
    with pytest.raises(MalformedMessage, match=CUT_SHORT):
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
