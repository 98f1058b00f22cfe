"""Frames that would take many times their length once they are read: refused before, in both wires."""

from __future__ import annotations

import tracemalloc

import cbor2
import pytest

from session_helpers import Program
from t2bus.errors import MessageTooLarge, ProtocolViolation
from t2bus.rust.byte_arrays import bytes_of
from t2bus.rust.frames import decode_client_frames
from t2bus.session.outbox import ClientOutbox
from t2bus.wire import messages as m
from t2bus.wire.cbor import encode_head, is_crowded
from t2bus.wire.native import decode_client_messages, decode_server_messages
from t2bus.wire.values import MOST_ITEMS, MOST_LISTED
from wire_corpus import body_of

FRAME = 1_048_576
"""The largest frame by default."""

UNIT = 1_000_000

# Long texts, as many as there may be beside the array that they are in, and one more.
TEXTS = [cbor2.dumps(["x" * 20] * (MOST_ITEMS - 1 + more)) for more in (0, 1)]

CROWDED = {
    "empty arrays": encode_head(4, UNIT) + b"\x80" * UNIT,
    "empty maps": encode_head(4, UNIT) + b"\xa0" * UNIT,
    "simple values": encode_head(4, UNIT) + b"\xe0" * UNIT,
    "numbers that are cached": encode_head(4, UNIT) + b"\x00" * UNIT,
    "numbers that are not": encode_head(4, UNIT // 3) + b"\x0c" + b"\x19\x10\x00" * (UNIT // 3),
    "texts": encode_head(4, UNIT // 3) + b"\x62ab" * (UNIT // 3),
    "numbers in an element": b"\x83\x03" + encode_head(4, UNIT // 3) + b"\x19\x10\x00" * (UNIT // 3) + b"\x00",
    "headers": cbor2.dumps([10, 7, b"", {f"{n:x}": "" for n in range(UNIT // 8)}]),
    "a map with a key that nobody asked for": b"\xa2\x62id\x01\x61x" + encode_head(4, UNIT) + b"\x80" * UNIT,
}
"""Bodies of nearly as many bytes as a frame may have."""


def peak_of(body: bytes) -> int:
    """The most bytes that were in use while both wires refuse a body."""
    tracemalloc.start()
    try:
        for decode in (decode_client_messages, decode_client_frames):
            with pytest.raises(ProtocolViolation):
                decode([body])
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("what", CROWDED)
def test_a_crowded_frame_is_refused_unread(what: str) -> None:
    """A frame of a million items takes no memory: it is refused before they are made."""
    assert peak_of(CROWDED[what]) < FRAME


def test_so_many_items_are_read_and_no_more() -> None:
    """The bound is on the items of a frame, the array itself among them."""
    assert [is_crowded(body) for body in TEXTS] == [False, True]


def test_the_bytes_of_strings_are_no_items() -> None:
    """However large a payload is, and whatever is in it, it is one item."""
    assert not is_crowded(body_of(m.Publish(1, True, m.Publication("a", b"\x80" * FRAME, {"k": "\0" * FRAME}))))


@pytest.mark.parametrize("end", ["", "18", "1b00", "5bffffffffffffffff", "1c", "ff", "f8"])
def test_a_frame_may_end_in_an_item(end: str) -> None:
    """Where a frame ends in the middle of an item, counting ends with it."""
    assert not is_crowded(b"\x83\x0a\x07" + encode_head(2, FRAME) + bytes(FRAME) + bytes.fromhex(end))


@pytest.mark.parametrize("key", [b"\0" * 400_000, b"secret", "\U000e0001" * 100_000])
def test_a_key_that_comes_twice_is_not_quoted(key: str | bytes) -> None:
    """The error of a map with a key twice is short, however long the key is, and tells nothing of it."""
    pair = cbor2.dumps(key) + b"\x60"
    for body, decode in (
        (b"\x84\x0a\x07\x40\xa2" + pair + pair, decode_client_messages),
        (b"\xa2" + pair + pair, decode_client_frames),
    ):
        with pytest.raises(ProtocolViolation, match=r"wire allows: a map has a key twice \["):
            decode([body])


@pytest.mark.parametrize("start", [b"", b"\x01", b"\x19", b"\x18", b"\x01\x18\x19"])
@pytest.mark.parametrize("end", [b"", b"\x01", b"\x19"])
def test_a_long_payload_of_the_crate_is_read_in_pieces(start: bytes, end: bytes) -> None:
    """Wherever a long array of numbers is cut, it is the same bytes, and takes no more memory than these."""
    payload = start + b"\x18" * 400_000 + end
    items = b"".join(map(cbor2.dumps, payload))
    tracemalloc.start()
    try:
        assert bytes_of(items) == payload
        assert tracemalloc.get_traced_memory()[1] < 4 * len(payload)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("flaw", [b"\x18", b"\x18\x01", b"\x19", b"\x18\x18\x18"])
@pytest.mark.parametrize("before", [65_533, 65_534, 65_535, 65_536, 131_071])
def test_a_flaw_is_found_wherever_it_is_cut(before: int, flaw: bytes) -> None:
    """Items that are not written as the crate does it are told from others at the end of a piece too."""
    assert bytes_of(b"\x01" * before + flaw) is None
    assert bytes_of(b"\x01" * before + flaw + b"\x01" * 10) is None


def test_credit_for_many_subscriptions_is_said_in_parts() -> None:
    """A client with more subscriptions than fit into one CREDIT says several, each with as many as a bus reads."""
    outbox, count = ClientOutbox(1000), 2 * MOST_LISTED + 1
    grants = [(number, 2**32, 2**63) for number in range(count)]
    for grant in grants:
        outbox.grant(*grant)
    said = outbox.take()
    assert all(isinstance(message, m.Credit) for message in said)
    assert decode_client_messages([body_of(message) for message in said]) == said
    assert [grant for message in said if isinstance(message, m.Credit) for grant in message.grants] == grants


MANY = dict.fromkeys(map(str, range(MOST_LISTED + 1)), "")


@pytest.mark.parametrize(
    "message",
    [m.Publish(1, False, m.Publication("a", b"", MANY)), m.Ask(1, None, "s", b"", MANY), m.Respond(7, b"", MANY)],
    ids=["publish", "ask", "respond"],
)
def test_a_bus_reads_no_more_headers_than_there_may_be(message: m.ClientMessage) -> None:
    """A short frame, whose items are not counted, is a violation too if it has more headers than a message may have."""
    body = body_of(message)
    assert len(body) < 65_536
    with pytest.raises(ProtocolViolation, match="a message has 2000 headers at most, not 2001"):
        decode_client_messages([body])


@pytest.mark.parametrize(
    "message",
    [
        m.Deliver((1,), m.Publication("a", b"", MANY)),
        m.Call(1, 1, None, "s", b"", MANY),
        m.Response(7, b"", MANY),
    ],
    ids=["deliver", "call", "response"],
)
def test_a_client_reads_no_more_headers_than_there_may_be(message: m.ServerMessage) -> None:
    """What a bus says has no more headers than a message may have either."""
    with pytest.raises(ProtocolViolation, match="a message has 2000 headers at most, not 2001"):
        decode_server_messages([body_of(message)])


def test_more_headers_than_a_bus_reads_are_refused_to_the_caller() -> None:
    """A message with too many headers raises in whoever sends it, and with as many as there may be it is read."""
    bounds = Program().session.bounds
    headers = {f"{number:x}": "" for number in range(MOST_LISTED)}
    message = m.Respond(7, b"", headers)
    assert decode_client_messages([body_of(message)]) == [message]
    with pytest.raises(MessageTooLarge, match=r"2000 headers at most, not 2001: send fewer"):
        bounds.encode_body("a", b"", {**headers, "one": "more"})
