"""Compressed payloads: worth it or left alone, and never more than the cap."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2bus.errors import MalformedMessage
from t2bus.wire.compression import THRESHOLD, deflate, inflate
from t2bus.wire.values import Deflated

MEBIBYTE = 1_048_576
CUT_SHORT = "cut short or has bytes after its end"


def compressed(data: bytes) -> Deflated:
    return Deflated(zlib.compress(data))


# --- deflating


def test_what_is_compressed_already_is_left_alone() -> None:
    """A sample from the middle decides: a payload with such a middle is sent as it is, whatever is around it."""
    payload = b"p" * THRESHOLD + random.Random(0).randbytes(THRESHOLD) + b"p" * THRESHOLD
    assert deflate(payload) is payload


@pytest.mark.parametrize("size", [0, 1, THRESHOLD])
def test_payloads_up_to_the_threshold_stay_as_they_are(size: int) -> None:
    """A payload of up to the threshold is the same object, however well it would compress."""
    payload = bytes(size)
    assert deflate(payload) is payload


def test_payloads_above_the_threshold_are_compressed() -> None:
    """One byte above the threshold a payload is sent as a zlib stream."""
    payload = b"p" * (THRESHOLD + 1)
    sent = deflate(payload)
    assert isinstance(sent, Deflated)
    assert zlib.decompress(sent.data) == payload


def test_incompressible_payloads_stay_as_they_are() -> None:
    """A payload that zlib makes no smaller is the same object."""
    payload = random.Random(0).randbytes(2 * THRESHOLD)
    assert deflate(payload) is payload


# --- inflating


@given(st.binary(max_size=50), st.integers(1, 1_000))
def test_every_payload_survives(pattern: bytes, times: int) -> None:
    """What is inflated is what was given to be sent, compressed or not."""
    payload = pattern * times
    assert inflate(deflate(payload), len(payload)) == payload


def test_a_plain_payload_is_not_copied() -> None:
    """What is not compressed is handed on as it is; its size was bounded by its frame."""
    payload = b"p" * 100
    assert inflate(payload, 10) is payload


@pytest.mark.parametrize("limit", [0, 1, 10_000])
def test_exactly_the_limit_is_inflated(limit: int) -> None:
    """A payload of as many bytes as are allowed is allowed."""
    assert inflate(compressed(bytes(limit)), limit) == bytes(limit)


@pytest.mark.parametrize("limit", [0, 1, 10_000])
def test_one_byte_above_the_limit_is_malformed(limit: int) -> None:
    """A payload of one byte more than is allowed is refused, and the error names the bound."""
    with pytest.raises(MalformedMessage, match=rf"more than {limit} bytes \(Limits.frame\)"):
        inflate(compressed(bytes(limit + 1)), limit)


def test_a_bomb_is_malformed_and_never_inflated_above_the_cap() -> None:
    """Ten megabytes in ten kilobytes are refused, and memory is taken for the allowed part at most."""
    bomb = compressed(bytes(10 * MEBIBYTE))
    assert len(bomb.data) < 11_000
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage, match="more than 65536 bytes"):
            inflate(bomb, 65_536)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * 65_536


def test_a_truncated_stream_is_malformed_at_every_length() -> None:
    """A stream that ends before its checksum is complete is refused, even if all the data is there."""
    data = zlib.compress(b"payload " * 10)
    for length in range(len(data)):
        with pytest.raises(MalformedMessage, match=CUT_SHORT):
            inflate(Deflated(data[:length]), 1_000)


@pytest.mark.parametrize("rest", [b"\0", zlib.compress(b"more")])
def test_bytes_after_the_end_are_malformed(rest: bytes) -> None:
    """A stream with anything behind it, another stream included, is refused."""
    with pytest.raises(MalformedMessage, match=CUT_SHORT):
        inflate(Deflated(zlib.compress(b"payload") + rest), 1_000)


def test_a_wrong_checksum_is_malformed() -> None:
    """A stream whose data does not fit its checksum is refused."""
    data = zlib.compress(b"payload")
    with pytest.raises(MalformedMessage, match="cannot be inflated"):
        inflate(Deflated(data[:-1] + bytes([data[-1] ^ 1])), 1_000)


def test_a_stream_that_needs_a_dictionary_is_malformed() -> None:
    """There are no preset dictionaries on the bus."""
    deflater = zlib.compressobj(zdict=b"payload")
    data = deflater.compress(b"payload") + deflater.flush()
    with pytest.raises(MalformedMessage, match="cannot be inflated"):
        inflate(Deflated(data), 1_000)


@given(st.binary() | st.binary().map(zlib.compress).flatmap(lambda data: st.just(data[:-1]) | st.just(data + data)))
def test_any_bytes_are_a_payload_or_malformed(data: bytes) -> None:
    """Nothing but MalformedMessage ever comes of compressed bytes, and never more than the limit."""
    try:
        payload = inflate(Deflated(data), 100)
    except MalformedMessage:
        return
    assert len(payload) <= 100
