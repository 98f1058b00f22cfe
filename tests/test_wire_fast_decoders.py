"""Frames that are read by their bytes: always what the general reader reads, and the usual ones always so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pure_helpers import steady
from t2bus.errors import ProtocolViolation
from t2bus.wire import messages as m
from t2bus.wire.native import FROM_BUS, FROM_CLIENT, MessageDecoder, decode_client_messages
from t2bus.wire.values import Deflated
from wire_corpus import (
    BUS_TO_CLIENT,
    CLIENT_TO_BUS,
    IDS,
    TEXTS,
    Direction,
    any_bytes,
    any_client_message,
    any_server_message,
    body_of,
    decode_fast,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wire_corpus import Message


class End(NamedTuple):
    """Both ways to read what one end hears."""

    direction: Direction
    decoder: MessageDecoder

    def read(self, frame: bytes) -> Message | None:
        """Return what is read by bytes, or None if the frame is left to the general way."""
        return decode_fast(self.decoder, frame)

    def read_generally(self, frame: bytes) -> Message | None:
        """Return what is read by the rows of the table, or None if they refuse the frame."""
        try:
            (message,) = self.decoder.decode_any([frame])
        except ProtocolViolation:
            return None
        return message  # type: ignore[no-any-return]

    def assert_alike(self, frame: bytes) -> None:
        message = self.read(frame)
        if message is not None:
            # Their texts tell a bool from a number, and bytes from a bytearray.
            general = self.read_generally(frame)
            assert (message, repr(message)) == (general, repr(general))


BUS: Final = End(CLIENT_TO_BUS, FROM_CLIENT)
CLIENT: Final = End(BUS_TO_CLIENT, FROM_BUS)
ENDS = [BUS, CLIENT]
BY_END = pytest.mark.parametrize("end", ENDS, ids=["bus", "client"])

TOPICS = ("", "a", "x" * 23, "x" * 24, "x" * 255, "smörgås", "\N{BUS}" * 63)
PAYLOADS = tuple(bytes([n % 251]) * n for n in (0, 1, 23, 24, 255, 256, 65_535, 65_536, 1_000_000))
TIMEOUTS = (None, *IDS)


def carriers(
    number: int = 7, topic: str = "hello/alice", payload: bytes = b"payload", timeout: int | None = 30_000
) -> list[tuple[End, Message]]:
    """One message of each usual kind, made of these, and the end that hears it."""
    return [
        (BUS, m.Publish(number, False, m.Publication(topic, payload))),
        (BUS, m.Publish(number, True, m.Publication(topic, payload))),
        (BUS, m.Ask(number, timeout, topic, payload)),
        (BUS, m.Respond(number, payload)),
        (CLIENT, m.Accepted(number, (1,))),
        (CLIENT, m.Deliver((number,), m.Publication(topic, payload))),
        (CLIENT, m.Call(number, number, timeout, topic, payload)),
        (CLIENT, m.Response(number, payload)),
    ]


USUAL = [
    *carriers(),
    *(each for number in IDS for each in carriers(number=number)),
    *(each for topic in TOPICS for each in carriers(topic=topic)),
    *(each for payload in PAYLOADS for each in carriers(payload=payload)),
    *(each for timeout in TIMEOUTS for each in carriers(timeout=timeout)),
]


def unusual(topic: str, payload: bytes | Deflated, headers: dict[str, str]) -> list[tuple[End, Message]]:
    return [
        (BUS, m.Publish(7, True, m.Publication(topic, payload, headers))),
        (BUS, m.Ask(7, None, topic, payload, headers)),
        (BUS, m.Respond(7, payload, headers)),
        (CLIENT, m.Deliver((7,), m.Publication(topic, payload, headers))),
        (CLIENT, m.Call(7, 8, None, topic, payload, headers)),
        (CLIENT, m.Response(7, payload, headers)),
    ]


LEFT: dict[str, list[tuple[End, Message]]] = {
    "headers": unusual("hello", b"payload", {"k": "v"}),
    "compressed payloads": unusual("hello", Deflated(b"compressed"), {}),
    "compressed payloads with headers": unusual("hello", Deflated(b"compressed"), {"k": "v"}),
    "long topics": [each for each in unusual("x" * 256, b"", {}) if not isinstance(each[1], m.Respond | m.Response)],
    "several subscriptions": [
        (CLIENT, m.Deliver(ids, m.Publication("hello", b"payload"))) for ids in ((7, 8), tuple(range(30)))
    ],
    "other kinds": [
        *((BUS, message) for message in (m.Ping(7), m.Cancel(7), m.PublishRun(7, True, m.Run("hello", [b"1", b"2"])))),
        *((CLIENT, message) for message in (m.Pong(7), m.Withdraw(7), m.DeliverRun((7,), m.Run("hello", [b"1"] * 2)))),
        (CLIENT, m.Accepted(7, (1, 0))),
        (CLIENT, m.Accepted(7, (24,))),
    ],
}


def by_kind(value: object) -> str:
    return "" if isinstance(value, End) else type(value).__name__


# --- the law: what the general reader reads, or nothing, and never an error


@BY_END
def test_every_message_is_read_alike(end: End) -> None:
    """Each message of the corpus is read as the general reader reads it, or not at all."""
    for message in [*end.direction.messages, *end.direction.large_messages]:
        end.assert_alike(body_of(message))


@BY_END
@given(any_bytes)
@example(b"")
@steady(300)
def test_any_bytes_are_read_alike(end: End, frame: bytes) -> None:
    """Whatever the bytes are, they are what the general reader says they are, or left to it."""
    end.assert_alike(frame)


@BY_END
@given(st.data())
@steady(300)
def test_what_begins_as_usual_is_read_alike(end: End, data: st.DataObject) -> None:
    """Noise behind the first bytes of a frame that is read here is read alike too."""
    start = data.draw(st.sampled_from(sorted(end.decoder.fast)))
    end.assert_alike(start + data.draw(st.binary(max_size=40)))


@pytest.mark.parametrize(("end", "message"), carriers(topic="a/b", payload=b"xyz"), ids=by_kind)
def test_every_change_of_one_byte_is_read_alike(end: End, message: Message) -> None:
    """A usual frame with any of its bytes changed into any other, or taken out, is read alike."""
    frame = body_of(message)
    for place in range(len(frame)):
        for byte in range(256):
            end.assert_alike(frame[:place] + bytes([byte]) + frame[place + 1 :])
        end.assert_alike(frame[:place] + frame[place + 1 :])


@pytest.mark.parametrize(("end", "message"), carriers(256, "x" * 24, b"p" * 256, 65_536), ids=by_kind)
def test_a_usual_frame_cut_short_or_too_long_is_left(end: End, message: Message) -> None:
    """A frame that ends before its payload does, or goes on behind it, is left to the reader that refuses it."""
    frame = body_of(message)
    for wrong in (*(frame[:size] for size in range(len(frame))), frame + b"\0", frame + frame):
        assert end.read(wrong) is None
        assert end.read_generally(wrong) is None


BROKEN = {
    "text that is not UTF-8": "83 0a 07 61 ff",
    "a topic that is not UTF-8": "85 05 07 f4 61 ff 40",
    "a topic with half a surrogate pair": "85 08 07 f6 63 ed a0 80 40",
    "a topic of bytes": "85 05 07 f4 41 61 40",
    "a topic of indefinite length": "85 05 07 f4 7f 61 61 ff 40",
    "a payload of text": "83 0a 07 61 61",
    "a payload of indefinite length": "83 0a 07 5f 41 61 ff",
    "a payload that promises exabytes": "83 0a 07 5b 7f ff ff ff ff ff ff ff",
    "a negative id": "83 0a 20 40",
    "an id with a reserved length": "83 0a 1c 40",
    "an id without its bytes": "83 0a 1b 00",
    "an id of sixteen bytes": "83 0a 1c" + "00" * 16 + "40",
    "a time that is undefined": "85 08 07 f7 61 61 40",
    "a time that is false": "85 08 07 f4 61 61 40",
    "a flag that is null": "85 05 07 f6 61 61 40",
    "a flag that is a number": "85 05 07 01 61 61 40",
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_frames_are_left_and_refused(what: str) -> None:
    """What no reader takes is left here without an error."""
    frame = bytes.fromhex(BROKEN[what])
    assert BUS.read(frame) is None
    with pytest.raises(ProtocolViolation):
        decode_client_messages([frame])


# --- what is read here


@pytest.mark.parametrize("kind", [m.Publish, m.Ask, m.Respond, m.Accepted, m.Deliver, m.Call, m.Response])
def test_usual_frames_are_read_here(kind: type[Message]) -> None:
    """Frames with a plain payload are read by their bytes, at every step of CBOR's numbers and lengths."""
    messages = [(end, message) for end, message in USUAL if isinstance(message, kind)]
    assert len(messages) >= len(IDS)
    for end, message in messages:
        assert end.read(body_of(message)) == message


@pytest.mark.parametrize("what", LEFT)
def test_unusual_frames_are_left(what: str) -> None:
    """Headers, compressed payloads and several subscriptions are for the general reader."""
    for end, message in LEFT[what]:
        assert end.read(body_of(message)) is None
        assert end.read_generally(body_of(message)) == message


def test_the_other_end_is_not_read() -> None:
    """What only one end may say is not read from the other."""
    for end, message in USUAL:
        (other,) = (each for each in ENDS if each is not end)
        assert other.read(body_of(message)) is None


def test_numbers_longer_than_they_need_are_read_alike() -> None:
    """Ids, times and lengths in more bytes than they take mean the same."""
    long = [b"\x18\x07", b"\x19\0\x07", b"\x1a\0\0\0\x07", b"\x1b" + bytes(7) + b"\x07"]
    for number in long:
        for payload in (b"\x41p", b"\x58\x01p", b"\x59\0\x01p", b"\x5a\0\0\0\x01p", b"\x5b" + bytes(7) + b"\x01p"):
            for topic in (b"\x61a", b"\x78\x01a", b"\x79\0\x01a"):
                frame = b"\x85\x08" + number + number + topic + payload
                BUS.assert_alike(frame)
                assert decode_client_messages([frame]) == [m.Ask(7, 7, "a", b"p")]


def is_remembered(topic: str, others: int = 0) -> bool:
    """Whether the topic is the same object again after so many others."""

    def read(topic: str) -> str:
        (message,) = decode_client_messages([body_of(m.Publish(1, False, m.Publication(topic, b"")))])
        assert isinstance(message, m.Publish)
        return message.publication.topic

    first = read(topic)
    assert [read(f"{number}") for number in range(others)] == [f"{number}" for number in range(others)]
    return read(topic) is first


def test_only_short_topics_are_remembered() -> None:
    """What is kept of topics that were read is bounded: in their number, and each in its length."""
    assert is_remembered("x" * 255)
    assert not is_remembered("x" * 256)
    assert is_remembered("hello", others=4095)
    assert not is_remembered("hello", others=4096)


# --- batches


def in_turn(end: End) -> list[Message]:
    """Usual and unusual messages in turn."""
    usual = [message for each, message in carriers() if each is end]
    others = [message for messages in LEFT.values() for each, message in messages if each is end]
    return [each for number, other in enumerate(others) for each in (usual[number % len(usual)], other)]


@BY_END
def test_a_batch_of_both_is_in_order(end: End) -> None:
    """Messages that are read here, and those that are not, come out of a batch in the order in which they were said."""
    messages = in_turn(end)
    for start in range(len(messages)):
        batch = messages[start:] + messages[:start]
        assert end.direction.decode(list(map(body_of, batch))) == batch


@given(st.lists(any_client_message, max_size=8), st.lists(any_server_message, max_size=8))
@steady(100)
def test_batches_are_read_alike(from_client: list[Message], from_bus: list[Message]) -> None:
    """A batch is what the general reader makes of it."""
    batches: list[tuple[End, Sequence[Message]]] = [(BUS, from_client), (CLIENT, from_bus)]
    for end, messages in batches:
        frames = list(map(body_of, messages))
        assert end.direction.decode(frames) == end.decoder.decode_any(frames) == list(messages)


@BY_END
def test_a_bad_frame_among_usual_ones_is_named(end: End) -> None:
    """A frame that nobody takes is the one that the error shows, wherever it stands in a batch."""
    good = [body_of(message) for each, message in carriers() if each is end]
    bad = cbor2.dumps([99, "bad"])
    for place in range(len(good) + 1):
        with pytest.raises(ProtocolViolation, match=rf"\[{len(bad)} bytes: {bad[:4].hex(' ')}\]$"):
            end.direction.decode([*good[:place], bad, *good[place:]])


@pytest.mark.parametrize("topic", TEXTS)
def test_topics_are_read_alike_the_second_time(topic: str) -> None:
    """A topic that has come before is the same again."""
    frame = body_of(m.Publish(7, False, m.Publication(topic, b"")))
    for _ in range(2):
        BUS.assert_alike(frame)
        assert decode_client_messages([frame]) == [m.Publish(7, False, m.Publication(topic, b""))]
