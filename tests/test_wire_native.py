"""The native wire: every message survives the way through bytes, and nothing but a message does."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, get_args

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2bus.errors import ProtocolViolation
from t2bus.wire import messages as m
from t2bus.wire import values as v
from t2bus.wire.framing import HEADER_SIZE, FrameDecoder, frame
from t2bus.wire.native import decode_client_messages, decode_server_messages, encode
from wire_corpus import (
    BETWEEN_SERVERS,
    BUS_TO_CLIENT,
    CLIENT_MESSAGES,
    CLIENT_TO_BUS,
    DIRECTIONS,
    EXAMPLES,
    RIGHT_VALUES,
    SERVER_MESSAGES,
    VALUES,
    Direction,
    Form,
    any_bytes,
    any_client_message,
    any_server_message,
    body_of,
    specified_examples,
    specified_forms,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wire_corpus import Message

FORMS = specified_forms()
DECODERS = {direction.sender: direction.decode for direction in DIRECTIONS}
BY_SENDER = pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda each: each.sender)
BY_FORM = pytest.mark.parametrize("form", FORMS, ids=lambda each: f"{each.name}-{each.sender}")
FLAT = {"CREDIT": 3, "ACCEPTED": 1, "UNREACHED": 1}
"""The messages that repeat their last elements, and how many of them make a round."""


def is_taken(form: Form, body: bytes) -> bool:
    """Whether these bytes are a message of the form's sender."""
    try:
        DECODERS[form.sender]([body])
    except ProtocolViolation:
        return False
    return True


def assert_violation(body: bytes) -> None:
    """Nobody takes these bytes, whoever says them, alone or in the middle of a batch."""
    for decode, good in ((decode_client_messages, body_of(m.Ping(1))), (decode_server_messages, body_of(m.Pong(1)))):
        with pytest.raises(ProtocolViolation):
            decode([body])
        with pytest.raises(ProtocolViolation):
            decode([good, body, good])


# --- there and back


@BY_SENDER
def test_every_message_survives(direction: Direction) -> None:
    """Each message of the corpus is what its one frame decodes to."""
    for message in [*direction.messages, *direction.large_messages]:
        assert direction.decode(FrameDecoder(2_000_000).feed(encode(message))) == [message]


@BY_SENDER
def test_messages_come_out_of_a_batch_in_order(direction: Direction) -> None:
    """All frames of the corpus in one batch are the messages in their order."""
    assert direction.decode(list(map(body_of, direction.messages))) == direction.messages


@pytest.mark.parametrize(
    ("messages", "union"), [(CLIENT_MESSAGES, m.ClientMessage), (SERVER_MESSAGES, m.ServerMessage)]
)
def test_the_corpus_has_every_class(messages: Sequence[Message], union: object) -> None:
    """No class of message is left out of these tests."""
    assert {type(message) for message in messages} == set(get_args(union))


@given(st.lists(any_client_message, max_size=5))
def test_any_client_messages_survive(messages: list[m.ClientMessage]) -> None:
    """Whatever a client can say, the bus reads."""
    assert decode_client_messages(list(map(body_of, messages))) == messages


@given(st.lists(any_server_message, max_size=5))
def test_any_server_messages_survive(messages: list[m.ServerMessage]) -> None:
    """Whatever a bus can say, a client reads."""
    assert decode_server_messages(list(map(body_of, messages))) == messages


# --- exact bytes


def test_the_specification_shows_these_examples() -> None:
    """The examples of the specification are those that are tested here."""
    assert specified_examples().keys() == EXAMPLES.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_frames_are_the_bytes_of_the_specification(name: str) -> None:
    """A message is encoded to exactly the frame that the specification shows."""
    assert encode(EXAMPLES[name]).hex(" ") == specified_examples()[name].hex(" ")


@BY_SENDER
def test_the_length_is_that_of_the_body(direction: Direction) -> None:
    """Every frame declares the bytes that follow, which are one CBOR array."""
    for message in direction.messages:
        data = encode(message)
        assert data == frame(body_of(message))
        assert isinstance(cbor2.loads(data[HEADER_SIZE:]), list)


def test_a_number_may_be_longer_than_it_needs() -> None:
    """An id in one byte and the same id in nine are the same."""
    assert decode_client_messages([bytes([0x82, 9, 7]), b"\x82\x18\x09\x1b" + bytes(7) + b"\7"]) == [m.Cancel(7)] * 2


def test_empty_headers_are_no_headers() -> None:
    """An empty map of headers is read as none, and none is written."""
    said = decode_client_messages([cbor2.dumps([10, 7, b"payload", {}])])
    assert said == [m.Respond(7, b"payload")]
    assert cbor2.loads(body_of(said[0])) == [10, 7, b"payload"]


# --- once for all receivers


@pytest.mark.parametrize("headers", [v.NO_HEADERS, {"k": "v"}])
def test_a_publication_is_encoded_once_for_all_receivers(headers: v.Headers) -> None:
    """The end of the frame is made for the first receiver and kept for the next, whatever their ids."""
    publication = m.Publication("hello/alice", b"payload" * 100, headers)
    encode(m.Deliver((1,), publication))
    tail = publication.tail
    assert tail is not None
    for ids in ((2,), (1, 500, 2**64 - 1)):
        assert decode_server_messages([body_of(m.Deliver(ids, publication))]) == [m.Deliver(ids, publication)]
        assert encode(m.Deliver(ids, publication)).endswith(tail)
        assert publication.tail is tail


def test_publish_and_deliver_share_the_tail() -> None:
    """In a process that does both, what was encoded to be published is not encoded again to be delivered."""
    publication = m.Publication("hello/alice", b"payload")
    encode(m.Publish(1, True, publication))
    tail = publication.tail
    assert body_of(m.Deliver((1,), publication)).endswith(b"payload")
    assert publication.tail is tail


def test_the_tail_is_no_part_of_a_publication() -> None:
    """Encoded or not, equal publications are equal."""
    publication = m.Publication("hello/alice", b"payload")
    encode(m.Publish(1, True, publication))
    assert publication == m.Publication("hello/alice", b"payload")


# --- the form of every message


@BY_FORM
def test_the_specified_form_is_taken(form: Form) -> None:
    """Every message of the specification is taken from the end that it is specified for, with and without headers."""
    assert all(is_taken(form, cbor2.dumps(item)) for item in form.items())


@BY_FORM
def test_elements_of_another_type_are_refused(form: Form) -> None:
    """At each place exactly the values of the specified type are taken: no bool for a number, no bytes for a text."""
    *_, item = form.items()
    for place, kind in enumerate(form.types, 1):
        bodies = [(value, cbor2.dumps([*item[:place], value, *item[place + 1 :]])) for value in VALUES]
        taken = [value for value, body in bodies if is_taken(form, body)]
        right = set(map(repr, RIGHT_VALUES[kind]))
        assert list(map(repr, taken)) == [repr(value) for value in VALUES if repr(value) in right]


@BY_FORM
def test_elements_too_many_or_too_few_are_refused(form: Form) -> None:
    """A message with any other number of elements than specified is refused."""
    *_, item = form.items()
    sizes = {size for size in range(1, 2 * len(item)) if is_taken(form, cbor2.dumps((item * 2)[:size]))}
    specified = {len(each) for each in form.items()}
    if form.name in FLAT:
        specified = set(range(len(item), 2 * len(item), FLAT[form.name]))
    assert sizes == specified


@BY_SENDER
def test_other_kinds_are_refused(direction: Direction) -> None:
    """A kind that is not specified for the sender, and a first element that is no kind at all, are refused; to a server
    another may say all kinds.
    """
    takes_all = direction is BETWEEN_SERVERS
    specified = {form.kind for form in FORMS if takes_all or form.sender == direction.sender}
    for kind in [*range(300), *VALUES]:
        if type(kind) is not int or kind not in specified:
            with pytest.raises(ProtocolViolation):
                direction.decode([cbor2.dumps([kind, 1])])


@pytest.mark.parametrize(("sent", "read"), [(CLIENT_TO_BUS, BUS_TO_CLIENT), (BUS_TO_CLIENT, CLIENT_TO_BUS)])
def test_messages_of_the_other_end_are_refused(sent: Direction, read: Direction) -> None:
    """What only one end may say is refused from the other."""
    for message in sent.messages:
        if not isinstance(message, m.Ping | m.Pong | m.Goodbye | m.Error):
            with pytest.raises(ProtocolViolation, match="of a kind that this end does not take"):
                read.decode([body_of(message)])


@pytest.mark.parametrize("value", [value for value in VALUES if not isinstance(value, list)] + [[]], ids=repr)
def test_what_is_no_array_with_a_kind_is_refused(value: object) -> None:
    """A frame that is no array, or an empty one, is refused."""
    assert_violation(cbor2.dumps(value))


# --- hardened CBOR


def test_every_tag_is_refused() -> None:
    """Tags are refused, those that CBOR libraries give a meaning and all others, as an element and around all."""
    for tag in [*range(1_100), 1_004, 43_000, 55_799, 2**16 - 1, 2**16, 2**32 - 1, 2**32, 2**64 - 1]:
        for content in (1, b"\1", "1", [1, 2]):
            with pytest.raises(ProtocolViolation, match="not the CBOR"):
                decode_client_messages([b"\x82\x09" + cbor2.dumps(cbor2.CBORTag(tag, content))])
        with pytest.raises(ProtocolViolation, match="not the CBOR"):
            decode_client_messages([cbor2.dumps(cbor2.CBORTag(tag, [9, 1]))])


HARDENED = {
    "array of indefinite length": "9f 09 01 ff",
    "bytes of indefinite length": "83 0a 07 5f 41 61 ff",
    "text of indefinite length": "82 0f 7f 61 61 ff",
    "map of indefinite length": "84 0a 07 40 bf 61 61 61 62 ff",
    "a break": "ff",
    "a break as an element": "82 09 ff",
    "duplicate keys": "84 0a 07 40 a2 61 6b 61 76 61 6b 61 76",
    "a number as a key": "84 0a 07 40 a1 01 61 76",
    "an array as a key": "84 0a 07 40 a1 80 61 76",
    "an array three deep": "82 0f 81 81 00",
    "a map three deep": "82 0f 81 a1 61 6b 00",
    "text that is not UTF-8": "82 0f 61 ff",
    "text with half a surrogate pair": "82 0f 63 ed a0 80",
    "a reserved length": "82 09 1c",
    "nothing": "",
    "bytes after the end": "82 09 01 00",
    "a second item": "82 09 01 82 09 01",
    "more than is there, of bytes": "83 0a 07 5b 7f ff ff ff ff ff ff ff",
    "more than is there, of text": "82 0f 7b 7f ff ff ff ff ff ff ff",
    "more than is there, in an array": "9b ff ff ff ff ff ff ff ff",
    "more than is there, in a map": "84 0a 07 40 bb 7f ff ff ff ff ff ff ff",
    "another wire": b"GET / HTTP/1.1\r\n".hex(),
}


@pytest.mark.parametrize("what", HARDENED)
def test_other_cbor_is_refused(what: str) -> None:
    """What the wire has no use for is refused as it is read, before any message is looked for in it."""
    body = bytes.fromhex(HARDENED[what])
    assert_violation(body)
    with pytest.raises(ProtocolViolation, match=r"not the CBOR|more or less than one CBOR item"):
        decode_client_messages([body])


def test_an_item_keeps_to_its_frame() -> None:
    """A message that reaches into the next frame is refused, even if another one fills that frame's rest."""
    with pytest.raises(ProtocolViolation, match="more or less than one CBOR item"):
        decode_client_messages([b"\x83\x0a\x07\x42", b"ab" + body_of(m.Ping(1))])


@pytest.mark.parametrize("head", [b"\x81", b"\xa1", b"\xa1\x61k", b"\xc1", b"\xd8\x1c", b"\x9f", b"\x82\x00"])
def test_deep_nesting_is_refused(head: bytes) -> None:
    """However deep items are nested, reading them ends early."""
    assert_violation(head * 100_000 + b"\0")
    assert_violation(b"\x82\x09" + head * 100_000 + b"\0")


@BY_SENDER
def test_truncated_frames_are_refused(direction: Direction) -> None:
    """A frame that ends before its message does is refused at every length, in front of another frame too."""
    for message in direction.messages:
        body = body_of(message)
        for length in range(min(100, len(body))):
            for rest in ([], [body]):
                with pytest.raises(ProtocolViolation):
                    direction.decode([body[:length], *rest])


@pytest.mark.parametrize("head", ["5b", "7b", "9b", "bb"])
def test_a_declared_size_allocates_nothing(head: str) -> None:
    """An item that promises exabytes costs at most what one read takes."""
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolViolation):
            decode_client_messages([bytes.fromhex(f"83 0a 07 {head} 40 00 00 00 00 00 00 00")])
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_credit_takes_little_more_than_its_bytes() -> None:
    """A read full of CREDIT takes less than 14 times its bytes once it is decoded: its triples are no objects."""
    numbers = tuple(each for number in range(1000, 1100) for each in (number, 1, 1))
    data = encode(m.Credit(numbers)) * 125
    decoder = FrameDecoder(2_000_000)
    tracemalloc.start()
    try:
        messages = decode_client_messages(decoder.feed(data))
        assert tracemalloc.get_traced_memory()[0] < 14 * len(data)
    finally:
        tracemalloc.stop()
    assert len(messages) == 125


# --- a bad frame is named


def test_a_bad_frame_in_a_batch_is_named() -> None:
    """The error of a batch says what is wrong with which frame, by how that one begins."""
    good, bad = body_of(m.Ping(1)), cbor2.dumps([5, 77, False, "hello", "no payload" * 10])
    with pytest.raises(ProtocolViolation, match=rf"^expected a payload: .* \[113 bytes: {bad[:4].hex(' ')}\]$"):
        decode_client_messages([good, good, bad, good])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff", "a frame is not the CBOR this wire allows: .*"),
        (b"\x82\x09\x01\x00", "a frame holds more or less than one CBOR item"),
        (b"\x80", "a frame is not an array that starts with its kind"),
        (b"\x81\x02", "a message is of a kind that this end does not take"),
        (b"\x81\x09", "a message of kind 9 has 0 elements, not 1"),
        (b"\x83\x0c\x01\x01", "credit comes in triples of subscription, messages and bytes"),
        (b"\x84\x0b\x01\x0d\x60", "unknown error code 13"),
    ],
)  # fmt: skip
def test_a_violation_says_why(body: bytes, reason: str) -> None:
    """The error says which rule was broken, and shows the frame."""
    with pytest.raises(ProtocolViolation, match=rf"^{reason} \[{len(body)} bytes: {body[:4].hex(' ')}\]$"):
        decode_client_messages([body_of(m.Ping(1)), body])


# --- whatever the bytes are


@given(st.lists(any_bytes, min_size=1, max_size=3))
def test_any_bytes_are_messages_or_a_violation(bodies: list[bytes]) -> None:
    """Nothing but ProtocolViolation ever leaves the decoder, and what it takes it can say."""
    for direction in DIRECTIONS:
        try:
            messages = direction.decode(bodies)
        except ProtocolViolation:
            continue
        assert direction.decode(list(map(body_of, messages))) == messages
