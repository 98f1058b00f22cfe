"""Frames: whatever pieces a stream comes in, the frames are the same, and a length costs nothing until it is paid."""

from __future__ import annotations

import tracemalloc
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2bus.errors import ProtocolViolation
from t2bus.wire.framing import HEADER_SIZE, FrameDecoder, frame
from t2bus.wire.native import encode
from wire_corpus import DIRECTIONS, Direction

LIMIT = 2_000_000


def declare(length: int) -> bytes:
    return length.to_bytes(HEADER_SIZE, "big")


def feed_in_pieces(decoder: FrameDecoder, data: bytes, size: int) -> list[bytes]:
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    return [bytes(body) for piece in pieces for body in decoder.feed(piece)]


# --- any pieces, the same frames


@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda each: each.sender)
def test_frames_decode_alike_wherever_the_stream_is_split(direction: Direction) -> None:
    """Split in or beside any header, and in the middle of any body, the corpus is the same messages."""
    encoded = list(map(encode, direction.messages))
    stream = b"".join(encoded)
    bodies = [data[HEADER_SIZE:] for data in encoded]
    assert direction.decode(bodies) == direction.messages
    # Any other byte of a body is its middle too: the next test splits each frame at all of them.
    splits = {len(stream)}
    for start, data in zip(accumulate(map(len, encoded), initial=0), encoded, strict=False):
        splits |= {*range(max(start - 1, 0), start + HEADER_SIZE + 2), start + len(data) // 2}
    for split in sorted(splits):
        decoder = FrameDecoder(LIMIT)
        assert decoder.feed(stream[:split]) + decoder.feed(stream[split:]) == bodies
        assert decoder.buffered == 0


@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda each: each.sender)
def test_each_frame_decodes_alike_wherever_it_is_split(direction: Direction) -> None:
    """Each message of the corpus is itself again after any split of its one frame, and nothing before its last byte."""
    for message in direction.messages:
        data = encode(message)
        bodies: set[bytes] = set()
        for split in range(len(data)):
            decoder = FrameDecoder(LIMIT)
            assert decoder.feed(data[:split]) == []
            assert decoder.buffered == split
            bodies.update(map(bytes, decoder.feed(data[split:])))
        assert direction.decode(list(bodies)) == [message]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 64, 4096])
@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda each: each.sender)
def test_frames_decode_alike_in_pieces_of_any_size(direction: Direction, size: int) -> None:
    """Fed byte by byte, or in larger pieces, the corpus is the same messages."""
    stream = b"".join(map(encode, direction.messages))
    assert direction.decode(feed_in_pieces(FrameDecoder(LIMIT), stream, size)) == direction.messages


@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda each: each.sender)
def test_all_frames_of_one_feed_are_returned(direction: Direction) -> None:
    """The corpus in one feed, large messages included, is all its messages in order."""
    messages = [*direction.messages, *direction.large_messages]
    assert direction.decode(FrameDecoder(LIMIT).feed(b"".join(map(encode, messages)))) == messages


@given(st.lists(st.binary(min_size=1)), st.lists(st.integers(0, 400)))
def test_any_bodies_come_out_of_any_pieces(bodies: list[bytes], cuts: list[int]) -> None:
    """What was framed comes out of the decoder, wherever the stream was cut, empty pieces included."""
    stream = b"".join(map(frame, bodies))
    decoder = FrameDecoder(LIMIT)
    frames = []
    places = sorted(min(cut, len(stream)) for cut in cuts)
    for start, end in zip([0, *places], [*places, len(stream)], strict=True):
        frames += decoder.feed(stream[start:end])
    assert frames == bodies
    assert decoder.buffered == 0


def test_bodies_are_bytes_even_if_the_stream_gave_a_bytearray() -> None:
    """A body that was put together from pieces is immutable."""
    decoder = FrameDecoder(LIMIT)
    decoder.feed(frame(b"body")[:5])
    assert [type(body) for body in decoder.feed(frame(b"body")[5:])] == [bytes]


# --- lengths that are refused


@pytest.mark.parametrize("length", [0, 101, 2**31, 2**32 - 1, int.from_bytes(b"GET ", "big")])
def test_a_length_out_of_bounds_is_refused_with_its_fourth_byte(length: int) -> None:
    """An empty frame and one above the limit are refused as soon as their length is there, and no sooner."""
    decoder = FrameDecoder(100)
    assert decoder.feed(declare(length)[:3]) == []
    with pytest.raises(ProtocolViolation, match=rf"declares {length} bytes; 1 to 100 are allowed"):
        decoder.feed(declare(length)[3:])


def test_a_bad_length_behind_good_frames_is_refused_at_once() -> None:
    """The stream is over with a bad length, however much good came with it."""
    with pytest.raises(ProtocolViolation, match="declares 0 bytes"):
        FrameDecoder(100).feed(frame(b"good") + declare(0) + frame(b"good"))


def test_a_frame_of_exactly_the_limit_is_taken() -> None:
    """The limit is the largest length that is allowed."""
    assert FrameDecoder(100).feed(frame(bytes(100))) == [bytes(100)]


def test_the_limit_may_be_raised_between_feeds() -> None:
    """After the handshake longer frames are taken."""
    decoder = FrameDecoder(10)
    assert decoder.feed(frame(b"HELLO") + declare(100)[:2]) == [b"HELLO"]
    decoder.limit = 100
    assert decoder.feed(declare(100)[2:] + bytes(100)) == [bytes(100)]


# --- what an incomplete frame costs


def test_a_declared_length_allocates_nothing() -> None:
    """Memory is taken for bytes that have arrived, whatever the length promises."""
    decoder = FrameDecoder(2**32)
    tracemalloc.start()
    try:
        decoder.feed(declare(2**32 - 1))
        decoder.feed(b"abc")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert decoder.buffered == HEADER_SIZE + 3
    assert peak < 4096


def test_a_frame_in_small_pieces_takes_the_memory_of_the_frame() -> None:
    """Two bytes at a time a frame takes no more than thrice its size, not an object for each piece."""
    data = frame(bytes(20_000))
    decoder = FrameDecoder(LIMIT)
    tracemalloc.start()
    try:
        bodies = feed_in_pieces(decoder, data, 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(bodies) == 1
    assert peak < 3 * len(data) + 4096


def test_feeding_byte_by_byte_is_linear() -> None:
    """One byte more of an incomplete frame takes the memory of small objects, not that of a copy of what is there."""
    size = 20_000
    data, decoder = frame(bytes(size)), FrameDecoder(LIMIT)
    bodies, taken = [], 0
    tracemalloc.start()
    try:
        for place in range(len(data)):
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            bodies += decoder.feed(data[place : place + 1])
            taken += tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert bodies == [bytes(size)]
    assert taken < 1_000 * len(data) < sum(range(len(data)))
