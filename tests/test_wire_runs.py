"""Runs on the wires: bounds of the native frames, one encoding for all receivers, and single frames for the crate."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import one_by_one
from rust_corpus import RustClient, ack, carrier, written
from t2bus.errors import ProtocolViolation
from t2bus.limits import Limits
from t2bus.rust import frames as r
from t2bus.rust.bus_translator import BusTranslator
from t2bus.wire import messages as m
from t2bus.wire import values as v
from t2bus.wire.codec import codec_for_bus, codec_for_client
from t2bus.wire.compression import deflate
from t2bus.wire.framing import FrameDecoder
from t2bus.wire.native import decode_client_messages, decode_server_messages, encode, encode_parts
from wire_corpus import IDS, VALUES, body_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from t2bus.wire.framing import Frame

LIMIT = 1_000_000
LARGE = b"payload " * 1000
PUB = r.Kind.PUB

KINDS: dict[str, tuple[list[Any], Callable[[Sequence[Frame]], Sequence[Any]]]] = {
    "PUBLISH_RUN": ([17, 7, True, "hello"], decode_client_messages),
    "DELIVER_RUN": ([18, [1, 500], "hello"], decode_server_messages),
}
"""How each kind begins in front of its payloads, and who reads it."""

BY_KIND = pytest.mark.parametrize("kind", KINDS)
payloads = st.binary(max_size=300) | st.sampled_from([b"p" * size for size in (511, 512, 20_000)])
"""A run whose first payload has 512 bytes or more is written in another way."""
runs = st.builds(m.Run, st.text(max_size=40), st.lists(payloads, min_size=1, max_size=40))
numbers = st.sampled_from(IDS[:-1]) | st.integers(0, 2**64 - 50)
messages = st.builds(m.PublishRun, numbers, st.booleans(), runs) | st.builds(
    m.DeliverRun, st.lists(numbers, min_size=1, max_size=30).map(tuple), runs
)


def read(kind: str, payloads: list[Any]) -> Any:
    """What a run with these payloads is read as, alone and in the middle of others."""
    start, decode = KINDS[kind]
    body = cbor2.dumps([*start, *payloads])
    good = cbor2.dumps([*start, b"1", b"2"])
    _, in_the_middle, _ = decode([good, body, good])
    (message,) = decode([body])
    assert message == in_the_middle
    return message


def assert_refused(kind: str, payloads: list[Any]) -> None:
    with pytest.raises(ProtocolViolation):
        read(kind, payloads)


# --- the native wire


@given(messages)
def test_any_run_says_the_same_after_the_way_through_bytes(message: m.PublishRun | m.DeliverRun) -> None:
    """Whoever reads a run is told the publications that were written, under their ids or for their subscriptions."""
    decode = decode_client_messages if isinstance(message, m.PublishRun) else decode_server_messages
    assert one_by_one(decode([body_of(message)])) == one_by_one([message])


@given(messages)
def test_a_run_is_the_array_of_its_elements(message: m.PublishRun | m.DeliverRun) -> None:
    """The frame of a run is one flat array; a run of one is the frame of that publication."""
    topic, payloads = message.run.topic, message.run.payloads
    body = cbor2.loads(body_of(message))
    if isinstance(message, m.PublishRun):
        assert body == [17 if len(payloads) > 1 else 5, message.id, message.paced, topic, *payloads]
    else:
        assert body == [18 if len(payloads) > 1 else 22, list(message.subscriptions), topic, *payloads]


def test_a_run_is_written_as_short_as_it_goes() -> None:
    """A payload below 24 bytes costs a run one byte more than it has."""
    one, other = (m.PublishRun(7, True, m.Run("hello", [b"p" * 23] * many)) for many in (100, 101))
    assert len(encode(other)) - len(encode(one)) == 24
    assert body_of(one) == cbor2.dumps([17, 7, True, "hello", *[b"p" * 23] * 100])


def test_large_payloads_of_a_run_are_not_copied() -> None:
    """A run of large payloads is written from where they are, each behind its own head."""
    payloads = [bytes([number]) * 512 for number in range(3)]
    first, *rest = encode_parts(m.PublishRun(7, True, m.Run("hello", payloads)))
    assert first.endswith(b"\x65hello\x59\x02\x00")
    assert [part for part in rest if len(part) > 3] == payloads
    assert all(part is payload for part, payload in zip(rest[::2], payloads, strict=True))
    assert set(rest[1::2]) == {b"\x59\x02\x00"}


@BY_KIND
@pytest.mark.parametrize("many", [1, 2, 23, 24, 1024])
def test_runs_of_up_to_1024_are_taken(kind: str, many: int) -> None:
    """A run has from one publication, which another client may well write so, to 1,024."""
    payloads = [b"%d" % number for number in range(many)]
    assert one_by_one([read(kind, payloads)]) == [
        m.Publish(7 + number, True, m.Publication("hello", payload))
        if kind == "PUBLISH_RUN"
        else m.Deliver((1, 500), m.Publication("hello", payload))
        for number, payload in enumerate(payloads)
    ]


@BY_KIND
@pytest.mark.parametrize("many", [0, 1025, 100_000])
def test_runs_of_none_or_more_are_refused(kind: str, many: int) -> None:
    """A run of nothing says nothing, and one of more than 1,024 would keep all others waiting."""
    assert_refused(kind, [b""] * many)


@BY_KIND
@pytest.mark.parametrize("place", [0, 1, 23, 1023])
def test_payloads_of_a_run_are_byte_strings(kind: str, place: int) -> None:
    """Nothing else is taken at any place of a run: no text, no compressed payload, no headers."""
    payloads: list[Any] = [b"p"] * 1024
    for value in VALUES:
        payloads[place] = value
        if isinstance(value, bytes):
            read(kind, payloads)
        else:
            assert_refused(kind, payloads)
            assert_refused(kind, payloads[: place + 1])


def test_a_run_without_its_beginning_is_refused() -> None:
    """A run that ends before its payloads is none, wherever it ends."""
    for start, decode in KINDS.values():
        for length in range(1, len(start) + 1):
            with pytest.raises(ProtocolViolation):
                decode([cbor2.dumps(start[:length])])


@pytest.mark.parametrize("many", [1, 2, 3, 1024])
def test_ids_of_a_run_keep_to_64_bits(many: int) -> None:
    """A run whose last operation has the largest id is taken, and the next one is refused."""
    payloads = [b"p"] * many
    first = 2**64 - many
    (message,) = decode_client_messages([cbor2.dumps([17, first, False, "hello", *payloads])])
    assert [each.id for each in one_by_one([message])] == list(range(first, 2**64))
    with pytest.raises(ProtocolViolation):
        decode_client_messages([cbor2.dumps([17, first + 1, False, "hello", *payloads])])


# --- once for all receivers


def test_a_run_is_encoded_once_for_all_receivers() -> None:
    """The end of the frame is made for the first receiver and kept for the next, whatever their ids."""
    run = m.Run("hello", [b"1", b"2" * 100])
    encode(m.DeliverRun((1,), run))
    tail = run.tail
    assert tail is not None
    for ids in ((2,), (1, 500, 2**64 - 1)):
        assert decode_server_messages([body_of(m.DeliverRun(ids, run))]) == [m.DeliverRun(ids, run)]
        assert encode(m.DeliverRun(ids, run)).endswith(b"".join(tail))
        assert run.tail is tail


def test_a_run_of_one_is_encoded_once_for_all_receivers() -> None:
    """The publication of a run of one is made once, and keeps its end of the frame."""
    run = m.Run("hello", [b"1"])
    frames = [encode(m.DeliverRun((number,), run)) for number in (1, 2)]
    tail = run.publications[0].tail
    assert tail is not None
    assert all(frame.endswith(tail) for frame in frames)
    assert run.publications[0].tail is tail


def test_publishing_and_delivering_a_run_share_the_tail() -> None:
    """In a process that does both, what was encoded to be published is not encoded again to be delivered."""
    run = m.Run("hello", [b"1", b"2"])
    encode(m.PublishRun(1, True, run))
    tail = run.tail
    assert body_of(m.DeliverRun((1,), run)).endswith(b"\x41\x31\x41\x32")
    assert run.tail is tail


def test_what_is_kept_is_no_part_of_a_run() -> None:
    """Encoded and taken apart or not, equal runs are equal."""
    run = m.Run("hello", [b"1", b"2"])
    encode(m.PublishRun(1, True, run))
    assert run.publications is run.publications
    assert run == m.Run("hello", [b"1", b"2"])


# --- codecs


def test_a_run_counts_as_its_publications_in_a_piece() -> None:
    """What is encoded at once has about as many publications as messages may be, so that no piece takes long."""
    codec = codec_for_client()
    run = m.DeliverRun((1,), m.Run("hello", [b"p"] * 4))
    said: list[m.ServerMessage] = [m.Pong(1), run, m.Pong(2), run, run, m.Pong(3)]
    pieces = list(map(b"".join, codec.encode_in_pieces(said, 5)))
    assert [len(FrameDecoder(LIMIT).feed(piece)) for piece in pieces] == [2, 2, 2]
    assert b"".join(pieces) == codec.encode(said)


def test_a_published_run_counts_as_well() -> None:
    """A client writes its runs in pieces too, and one that is longer than a piece is one of its own."""
    codec = codec_for_bus()
    said: list[m.ClientMessage] = [m.PublishRun(number, True, m.Run("hello", [b"p"] * 9)) for number in (1, 10)]
    assert list(map(b"".join, codec.encode_in_pieces(said, 5))) == list(map(encode, said))


def test_runs_reach_a_client_that_cannot_inflate() -> None:
    """Nothing in a run is compressed, so it reaches a client without zlib as it is, beside what is inflated for it."""
    codec = codec_for_client()
    codec.inflate_limit = LIMIT
    run = m.DeliverRun((1,), m.Run("hello", [LARGE, LARGE]))
    data = codec.encode([run, m.Deliver((1,), m.Publication("hello", deflate(LARGE)))])
    read = codec_for_bus().decode(FrameDecoder(LIMIT).feed(data))
    assert read == [run, m.Deliver((1,), m.Publication("hello", LARGE))]


# --- the wire of the crate


def test_a_rust_client_is_written_single_frames() -> None:
    """A run is one Pub for each publication, in order."""
    run = m.Run("a", [b"1", b"", b"3"])
    assert RustClient().hears(m.DeliverRun((1,), run)) == [carrier(0, PUB, "a", payload) for payload in run.payloads]


def test_a_run_is_encoded_once_for_all_rust_clients() -> None:
    """The frames of a run are kept with it for the next client of the crate."""
    run = m.Run("a", [b"1", b"2"])
    RustClient().hears(m.DeliverRun((1,), run))
    frames = run.t2_frames
    assert frames == b"".join(written(carrier(0, PUB, "a", payload)) for payload in run.payloads)
    RustClient().hears(m.DeliverRun((2,), run))
    assert run.t2_frames is frames


def test_what_a_rust_client_cannot_bear_of_a_run_is_withheld_alone() -> None:
    """What is too large for the crate is counted, and what stands beside it in the run is sent."""
    client = RustClient()
    run = m.Run("a", [b"1", random.Random(1).randbytes(r.FRAME), b"2"])
    assert client.hears(m.DeliverRun((1,), run)) == [carrier(0, PUB, "a", payload) for payload in (b"1", b"2")]
    assert client.translator.withheld == 1


def test_a_run_to_a_rust_bus_is_single_frames() -> None:
    """Each publication is a Pub of its own, and its Ack answers the operation that it has in the run."""
    bus = BusTranslator(Limits())
    data = bus.encode_one(m.PublishRun(70, True, m.Run("a", [b"1", b"", b"3"])))
    said = r.decode_client_frames(FrameDecoder(r.FRAME).feed(data))
    assert said == [carrier(number, PUB, "a", payload) for number, payload in enumerate((b"1", b"", b"3"), 1)]
    acks = (ack(1, to=4), ack(2, "InternalError"), ack(3, to=0))
    heard = bus.decode(acks)
    text = "the Rust bus refused it: InternalError"
    assert heard == [m.Accepted(70, (4,)), m.Refused(71, v.ErrorCode.REMOTE_ERROR, text), m.Accepted(72, (0,))]


def test_a_publication_of_a_run_too_large_for_a_rust_bus_is_refused_alone() -> None:
    """What would not fit in a frame of the crate is refused in its turn, and what stands beside it is published."""
    bus = BusTranslator(Limits())
    large = random.Random(1).randbytes(700_000)
    data = bus.encode_one(m.PublishRun(70, True, m.Run("a", [b"1", large, b"3"])))
    said = r.decode_client_frames(FrameDecoder(r.FRAME).feed(data))
    assert [type(each) for each in said] == [r.Carrier, r.Control, r.Carrier]
    heard = bus.decode([ack(each.id, to=1) for each in said])
    assert [type(each) for each in heard] == [m.Accepted, m.Refused, m.Accepted]
