"""Codecs: both ends of the native wire, and what is done for a client that cannot inflate."""

from __future__ import annotations

import pytest

from t2bus.wire import messages as m
from t2bus.wire import values as v
from t2bus.wire.codec import codec_for_bus, codec_for_client
from t2bus.wire.compression import deflate
from t2bus.wire.framing import FrameDecoder
from t2bus.wire.native import encode
from wire_corpus import CLIENT_MESSAGES, SERVER_MESSAGES

LIMIT = 100_000
PAYLOAD = b"payload " * 10_000
DEFLATED = deflate(PAYLOAD)
BOMB = deflate(b"p" * LIMIT)
BROKEN = v.Deflated(b"no zlib stream")
HEADERS = {"k": "v"}


def said_to_a_client_without_zlib(message: m.ServerMessage) -> m.ServerMessage:
    """Return what such a client reads of a message, and check that it keeps within the limit."""
    codec = codec_for_client()
    codec.inflate_limit = LIMIT
    read = codec_for_bus().decode(FrameDecoder(LIMIT).feed(codec.encode([message])))
    assert len(read) == 1
    return read[0]


# --- both ends


def test_the_bus_reads_what_clients_write() -> None:
    """A client's codec and the bus's codec for it are each other's other end."""
    data = codec_for_bus().encode(CLIENT_MESSAGES)
    assert codec_for_client().decode(FrameDecoder(LIMIT).feed(data)) == CLIENT_MESSAGES


def test_clients_read_what_the_bus_writes() -> None:
    """Compressed payloads arrive compressed at a client that reads zlib."""
    data = codec_for_client().encode(SERVER_MESSAGES)
    assert codec_for_bus().decode(FrameDecoder(LIMIT).feed(data)) == SERVER_MESSAGES


def test_no_messages_are_no_bytes() -> None:
    """An empty batch writes nothing."""
    assert codec_for_bus().encode([]) == b""


# --- for a client that cannot inflate


@pytest.mark.parametrize("headers", [v.NO_HEADERS, HEADERS])
def test_payloads_are_inflated_for_a_client_that_cannot(headers: v.Headers) -> None:
    """Deliveries, calls and responses reach a client without zlib with plain payloads, and otherwise as they were."""
    compressed: list[m.ServerMessage] = [
        m.Deliver((1, 2), m.Publication("hello", DEFLATED, headers)),
        m.Call(1, 2, 3, "hello", DEFLATED, headers),
        m.Response(1, DEFLATED, headers),
    ]
    assert list(map(said_to_a_client_without_zlib, compressed)) == [
        m.Deliver((1, 2), m.Publication("hello", PAYLOAD, headers)),
        m.Call(1, 2, 3, "hello", PAYLOAD, headers),
        m.Response(1, PAYLOAD, headers),
    ]


def test_everything_else_reaches_it_unchanged() -> None:
    """Messages without a compressed payload are the same for every client."""
    for message in SERVER_MESSAGES:
        match message:
            case m.Call(payload=v.Deflated()) | m.Response(payload=v.Deflated()):
                continue
            case m.Deliver(publication=m.Publication(payload=v.Deflated())):
                continue
            case _:
                assert said_to_a_client_without_zlib(message) == message


def test_the_shared_publication_stays_compressed() -> None:
    """Inflating for one receiver leaves the publication, and its kept tail, as they are for the others."""
    publication = m.Publication("hello", DEFLATED)
    encode(m.Deliver((1,), publication))
    tail = publication.tail
    said_to_a_client_without_zlib(m.Deliver((1,), publication))
    assert publication.payload is DEFLATED
    assert publication.tail is tail


@pytest.mark.parametrize("payload", [BROKEN, BOMB], ids=["broken", "bomb"])
def test_a_payload_that_cannot_be_inflated_is_left_to_the_receiver(payload: v.Payload) -> None:
    """A malformed payload, or one above the limit, is passed on as it came and fails there, alone."""
    for message in (
        m.Deliver((1,), m.Publication("hello", payload)),
        m.Call(1, 2, None, "hello", payload),
        m.Response(1, payload),
    ):
        assert said_to_a_client_without_zlib(message) == message


def test_a_frame_that_would_become_too_long_is_left_compressed() -> None:
    """Headers and topic count as well: inflating a payload never makes a frame above the limit."""
    headers = {f"{number:05}": "v" * 20 for number in range(2_000)}
    for message in (
        m.Deliver((1,), m.Publication("hello", DEFLATED, headers)),
        m.Call(1, 2, None, "hello", DEFLATED, headers),
        m.Response(1, DEFLATED, headers),
    ):
        assert said_to_a_client_without_zlib(message) == message


def test_headers_alone_at_the_limit_leave_no_room() -> None:
    """Where nothing is left for a payload, an empty one at most is inflated."""
    message = m.Response(1, DEFLATED, {"k": "v" * (LIMIT - 1_000)})
    assert said_to_a_client_without_zlib(message) == message
    crowded = m.Response(1, v.Deflated(b"\x78\x9c\x03\x00\x00\x00\x00\x01"), {"k": "v" * (LIMIT - 50)})
    assert said_to_a_client_without_zlib(crowded) == m.Response(1, b"", crowded.headers)


def test_one_bad_payload_of_a_batch_harms_no_other() -> None:
    """The messages around a malformed payload are inflated all the same."""
    codec = codec_for_client()
    codec.inflate_limit = LIMIT
    data = codec.encode([m.Response(1, DEFLATED), m.Response(2, BROKEN), m.Response(3, DEFLATED)])
    assert codec_for_bus().decode(FrameDecoder(LIMIT).feed(data)) == [
        m.Response(1, PAYLOAD),
        m.Response(2, BROKEN),
        m.Response(3, PAYLOAD),
    ]


# --- pieces


def test_pieces_are_the_whole() -> None:
    """A batch that is encoded in pieces has the same bytes, and no piece has more messages than asked for."""
    codec = codec_for_client()
    messages: list[m.ServerMessage] = [m.Pong(number) for number in range(10)]
    pieces = list(map(b"".join, codec.encode_in_pieces(messages, 4)))
    assert [len(FrameDecoder(LIMIT).feed(piece)) for piece in pieces] == [4, 4, 2]
    assert b"".join(pieces) == codec.encode(messages)


@pytest.mark.parametrize(("size", "are_joined"), [(100, True), (200, True), (300, False), (100_000, False)])
def test_the_parts_of_a_piece(size: int, are_joined: bool) -> None:
    """What is small is put together for one write, and what is large is written from where it is."""
    codec = codec_for_client()
    messages: list[m.ServerMessage] = [m.Deliver((1,), m.Publication("a", b"p" * size)) for _ in range(2)]
    (piece,) = codec.encode_in_pieces(messages, 100)
    assert (len(piece) == 1) is are_joined
    assert b"".join(piece) == codec.encode(messages)


def test_many_bytes_end_a_piece() -> None:
    """No piece goes on behind the message with which it has 262,144 bytes."""
    codec = codec_for_client()
    messages: list[m.ServerMessage] = [m.Response(number, bytes(65_536)) for number in range(10)]
    pieces = list(map(b"".join, codec.encode_in_pieces(messages, 100)))
    assert [len(FrameDecoder(LIMIT).feed(piece)) for piece in pieces] == [4, 4, 2]


def test_what_has_to_be_inflated_ends_a_piece() -> None:
    """For a client without zlib each compressed payload is the last of its piece, since it takes long."""
    codec = codec_for_client()
    codec.inflate_limit = LIMIT
    messages: list[m.ServerMessage] = [
        m.Pong(1),
        m.Response(2, DEFLATED),
        m.Deliver((3,), m.Publication("a", DEFLATED)),
        m.Response(4, b"plain"),
    ]
    pieces = list(map(b"".join, codec.encode_in_pieces(messages, 100)))
    assert [len(FrameDecoder(LIMIT).feed(piece)) for piece in pieces] == [2, 1, 1]
