"""Large frames: left in the pieces in which they came, and the same frames and messages whatever these were."""

from __future__ import annotations

import tracemalloc
from itertools import chain, repeat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from t2bus.errors import ProtocolViolation
from t2bus.wire import messages as m
from t2bus.wire import values as v
from t2bus.wire.framing import HEADER_SIZE, Frame, FrameDecoder, LargeFrame, frame
from t2bus.wire.native import FROM_BUS, FROM_CLIENT, decode_client_messages, decode_server_messages, encode
from wire_corpus import decode_fast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LIMIT = 2_000_000
LARGE = 65_536
"""Bytes of a frame that is left in pieces, if the first has so many as :data:`PIECE`."""
PIECE = 4096
READ = 65_536
"""What is read at once, as a rule."""

BYTES = bytes(number % 251 for number in range(300_000 + 251))
"""Bytes that tell where they come from."""


def cut(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """The data in pieces of these sizes, the rest in large ones."""
    start = 0
    for size in chain(sizes, repeat(READ)):
        if start >= len(data):
            return
        yield data[start : start + size]
        start += size


def fed(data: bytes, sizes: Iterable[int]) -> list[Frame]:
    """The frames of a stream that came in pieces."""
    decoder = FrameDecoder(LIMIT)
    frames = [body for piece in cut(data, sizes) for body in decoder.feed(piece)]
    assert (decoder.buffered, decoder.missing) == (0, 0)
    return frames


def large(data: bytes, sizes: Sequence[int] = (PIECE,)) -> LargeFrame:
    """A body that came in pieces and was left so."""
    (body,) = fed(frame(data), sizes)
    assert isinstance(body, LargeFrame)
    return body


pieces = st.lists(
    st.sampled_from(
        [*(0, 1, 1, 2, 3, 4, 5, 100), *(PIECE - 1, PIECE, PIECE + 1, PIECE + HEADER_SIZE), *(20_000, READ, 300_000)]
    )
    | st.integers(1, 2 * PIECE),
    max_size=40,
)
lengths = (
    st.integers(1, 300)
    | st.sampled_from([LARGE - 1, LARGE, LARGE + 1, PIECE - HEADER_SIZE, PIECE])
    | st.integers(60_000, 300_000)
)
bodies = st.lists(
    st.tuples(lengths, st.integers(0, 250)).map(lambda each: BYTES[each[1] : each[1] + each[0]]), max_size=5
)

# --- any pieces, the same frames


@given(bodies, pieces)
@steady(300)
def test_any_bodies_come_out_of_any_pieces(bodies: list[bytes], sizes: list[int]) -> None:
    """What was framed comes out, large among small, in whichever pieces the stream came."""
    assert list(map(bytes, fed(b"".join(map(frame, bodies)), sizes))) == bodies


@given(bodies, pieces)
@steady(100)
def test_what_is_buffered_and_missing_is_known(bodies: list[bytes], sizes: list[int]) -> None:
    """After each piece it is known how much of a frame is there, and how much is missing as far as its length tells."""
    decoder, stream = FrameDecoder(LIMIT), b"".join(map(frame, bodies))
    ends = [len(b"".join(map(frame, bodies[:count]))) for count in range(len(bodies) + 1)]
    place = 0
    for piece in cut(stream, sizes):
        decoder.feed(piece)
        place += len(piece)
        start = max(end for end in ends if end <= place)
        end = next((end for end in ends if end > place), start)
        buffered = place - start
        known = end if buffered >= HEADER_SIZE else start + HEADER_SIZE
        assert (decoder.buffered, decoder.missing) == (buffered, known - place if buffered else 0)


@pytest.mark.parametrize(
    ("length", "first", "is_large"),
    [
        (LARGE, PIECE, True),
        (LARGE - 1, PIECE, False),
        (LARGE, PIECE - 1, False),
        (LARGE, LARGE + HEADER_SIZE - 1, True),
        (LARGE, LARGE + HEADER_SIZE, False),
        (LARGE, HEADER_SIZE - 1, True),
    ],
)
def test_a_large_frame_in_large_pieces_is_left_in_them(length: int, first: int, is_large: bool) -> None:
    """A frame is bytes if it is small, began with a small piece, or came at once, and otherwise left as it came."""
    (body,) = fed(frame(BYTES[:length]), (first, READ))
    assert isinstance(body, LargeFrame) is is_large
    assert isinstance(body, bytes) is not is_large
    assert bytes(body) == BYTES[:length]


def test_what_follows_a_large_frame_is_cut_as_well() -> None:
    """A piece that completes a large frame may hold further ones, and the beginning of the next."""
    decoder = FrameDecoder(LIMIT)
    stream = frame(BYTES[:100_000]) + frame(b"small") + frame(b"next")
    assert decoder.feed(stream[:50_000]) == []
    first, *rest = decoder.feed(stream[50_000:-2])
    assert (len(first), rest) == (100_000, [b"small"])
    assert (decoder.buffered, decoder.missing) == (HEADER_SIZE + 2, 2)
    assert decoder.feed(stream[-2:]) == [b"next"]


def test_a_bad_length_behind_a_large_frame_is_refused() -> None:
    """What completes a large frame is looked at to its end, and no length that is out of bounds is taken."""
    decoder = FrameDecoder(100_000)
    assert decoder.feed(frame(BYTES[:100_000])[:50_000]) == []
    with pytest.raises(ProtocolViolation, match="declares 100001 bytes"):
        decoder.feed(frame(BYTES[:100_000])[50_000:] + (100_001).to_bytes(HEADER_SIZE, "big"))


# --- read like bytes, as far as its head goes


@given(st.sampled_from([PIECE, PIECE + 1, 50_000]), st.integers(0, 6000), st.integers(0, 6000))
@steady(200)
def test_the_head_is_read_like_bytes(first: int, start: int, stop: int) -> None:
    """An element or a slice is that of the bytes, or beyond the head; all within the first 4,092 bytes are there."""
    data = BYTES[:LARGE]
    body = large(data, (first,))
    is_near, is_far = max(start, stop) < PIECE - HEADER_SIZE, max(start, stop) > PIECE
    try:
        assert (body[start], body[start:stop], body[start:]) == (data[start], data[start:stop], data[start:])
    except IndexError:
        assert not is_near
    else:
        assert not is_far


def test_whole_frames() -> None:
    """A frame knows its length, and is all of its bytes as a slice too."""
    body = large(BYTES[:100_000], (5000, 1, 2, PIECE, 3))
    assert len(body) == 100_000
    assert bytes(body) == body[:] == body[0:] == BYTES[:100_000]
    assert body[:2] == BYTES[:2]


def test_beyond_the_head_is_an_index_error() -> None:
    """What is not in the first 4,096 bytes of the first piece cannot be read in place; what begins there can."""
    body = large(BYTES[:100_000], (50_000,))
    assert (body[PIECE - 1], body[PIECE - 1 : PIECE]) == (BYTES[PIECE - 1], BYTES[PIECE - 1 : PIECE])
    assert body[PIECE:] == BYTES[PIECE:100_000]
    with pytest.raises(IndexError):
        body[PIECE]
    for place in (slice(PIECE + 1, None), slice(PIECE, PIECE + 1), slice(0, 100_000)):
        with pytest.raises(IndexError):
            body[place]


# --- messages

sizes = st.sampled_from([LARGE - 1, LARGE, LARGE + 1, 100_000]) | st.integers(60_000, 300_000)
payloads = st.builds(lambda size, start: BYTES[start : start + size], sizes, st.integers(0, 250))
numbers = st.sampled_from([0, 23, 24, 255, 256, 65_536, 1 << 32, (1 << 64) - 1])
timeouts = st.none() | numbers
topics = st.sampled_from([0, 1, 23, 24, 255]).map(lambda length: "t" * length)
publications = st.builds(m.Publication, topics, payloads)

from_client = (
    st.builds(m.Publish, numbers, st.booleans(), publications)
    | st.builds(m.Ask, numbers, timeouts, topics, payloads)
    | st.builds(m.Respond, numbers, payloads)
)
from_bus = (
    st.builds(m.Deliver, st.tuples(numbers), publications)
    | st.builds(m.Call, numbers, numbers, timeouts, topics, payloads)
    | st.builds(m.Response, numbers, payloads)
)


@given(st.lists(from_client, min_size=1, max_size=3), pieces)
@steady(100)
def test_what_clients_say_comes_out_of_any_pieces(messages: list[m.ClientMessage], sizes: list[int]) -> None:
    """Large messages of a client, with small ones between, are what was said, in whichever pieces they came."""
    said = [each for message in messages for each in (message, m.Ping(1))]
    assert decode_client_messages(fed(b"".join(map(encode, said)), sizes)) == said


@given(st.lists(from_bus, min_size=1, max_size=3), pieces)
@steady(100)
def test_what_a_bus_says_comes_out_of_any_pieces(messages: list[m.ServerMessage], sizes: list[int]) -> None:
    """Large messages of a bus, with small ones between, are what was said, in whichever pieces they came."""
    said = [each for message in messages for each in (message, m.Ping(1))]
    assert decode_server_messages(fed(b"".join(map(encode, said)), sizes)) == said


@given(from_client, from_bus)
@steady(100)
def test_payloads_are_cut_out_of_the_pieces(said: m.ClientMessage, heard: m.ServerMessage) -> None:
    """A large message as this library writes it is read from its head, and its payload is the rest."""
    for message, decoder in ((said, FROM_CLIENT), (heard, FROM_BUS)):
        (body,) = fed(encode(message), (PIECE,))
        read = decode_fast(decoder, body)
        assert read == message
        payload = read.publication.payload if isinstance(read, m.Publish | m.Deliver) else getattr(read, "payload", b"")
        assert type(payload) is bytes


PAYLOAD = BYTES[:100_000]
RUN = m.Run("hello", [PAYLOAD, b"small", PAYLOAD])
PUBLICATIONS = {
    "headers": m.Publication("hello", PAYLOAD, {"k": "v"}),
    "large headers": m.Publication("hello", b"small", {"k": "v" * 100_000}),
    "compressed": m.Publication("hello", v.Deflated(PAYLOAD)),
    "long topic": m.Publication("t" * 256, PAYLOAD),
    "topic beyond the head": m.Publication("t" * 5000, PAYLOAD),
}
SAID: dict[str, m.ClientMessage] = {
    "run": m.PublishRun(1, True, RUN),
    **{name: m.Publish(1, False, each) for name, each in PUBLICATIONS.items()},
    "request with headers": m.Ask(1, 1, "hello", PAYLOAD, {"k": "v"}),
    "compressed answer": m.Respond(1, v.Deflated(PAYLOAD)),
    "goodbye": m.Goodbye("t" * 100_000),
}
HEARD: dict[str, m.ServerMessage] = {
    "run": m.DeliverRun((1, 2), RUN),
    **{name: m.Deliver((1,), each) for name, each in PUBLICATIONS.items()},
    "many subscriptions": m.Deliver((1, 2), m.Publication("hello", PAYLOAD)),
    "subscriptions beyond the head": m.Deliver(tuple(range(1 << 32, (1 << 32) + 1000)), PUBLICATIONS["headers"]),
    "compressed call": m.Call(1, 2, None, "hello", v.Deflated(PAYLOAD)),
    "answer with headers": m.Response(1, PAYLOAD, {"k": "v"}),
    "acknowledgements": m.Accepted(1, (1 << 62,) * 10_000),
}


@pytest.mark.parametrize("what", SAID)
def test_other_large_messages_of_a_client_are_read_as_a_whole(what: str) -> None:
    """What the head does not tell is read from all bytes of the frame, between others that it does tell."""
    message, plain = SAID[what], m.Respond(7, PAYLOAD)
    bodies = [large(encode(each)[HEADER_SIZE:], (5000, READ)) for each in (plain, message, plain)]
    assert [decode_fast(FROM_CLIENT, body) for body in bodies] == [plain, None, plain]
    assert decode_client_messages(bodies) == [plain, message, plain]


@pytest.mark.parametrize("what", HEARD)
def test_other_large_messages_of_a_bus_are_read_as_a_whole(what: str) -> None:
    """What the head does not tell is read from all bytes of the frame, between others that it does tell."""
    message, plain = HEARD[what], m.Response(7, PAYLOAD)
    bodies = [large(encode(each)[HEADER_SIZE:], (5000, READ)) for each in (plain, message, plain)]
    assert [decode_fast(FROM_BUS, body) for body in bodies] == [plain, None, plain]
    assert decode_server_messages(bodies) == [plain, message, plain]


@pytest.mark.parametrize("missing", [1, 1000])
def test_a_large_frame_that_is_no_message_is_refused(missing: int) -> None:
    """A payload that is longer or shorter than its frame says is a violation, which shows where the frame begins."""
    data = encode(m.Respond(7, PAYLOAD))[HEADER_SIZE:]
    for body in (data[:-missing], data + bytes(missing)):
        with pytest.raises(ProtocolViolation, match=rf"\[{len(body)} bytes: {data[:4].hex(' ')}"):
            decode_client_messages([large(body)])


# --- what it costs


def peak_of_feeding(data: bytes, pieces: Sequence[bytes]) -> int:
    """The most memory that is in use while the message of a frame is put together and read."""
    decoder = FrameDecoder(LIMIT)
    tracemalloc.start()
    try:
        frames = [body for piece in pieces for body in decoder.feed(piece)]
        messages = decode_client_messages(frames)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert messages == [m.Respond(7, data)]
    return peak


def test_byte_by_byte_is_no_object_for_each_byte() -> None:
    """A frame that came byte by byte takes less than four times its size, and so no objects for its bytes."""
    stream = encode(m.Respond(7, PAYLOAD))
    assert peak_of_feeding(PAYLOAD, list(cut(stream, repeat(1)))) < 4 * len(stream)


def test_a_payload_is_copied_once() -> None:
    """A message that came in large pieces takes hardly more memory beside these than its payload does."""
    data = BYTES[:300_000]
    pieces = list(cut(encode(m.Respond(7, data)), ()))
    assert peak_of_feeding(data, pieces) < 1.5 * len(data)
