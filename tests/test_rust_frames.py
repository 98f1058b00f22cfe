"""The frames of the Rust crate: what both its versions wrote is read, and what is no such frame is refused."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import calls_into
from rust_corpus import CLIENT_FRAMES, SERVER_FRAMES, any_carrier, any_client_frame, any_server_frame, spelt, written
from t2bus.errors import ProtocolViolation
from t2bus.rust import frames as r
from t2bus.wire.framing import HEADER_SIZE, FrameDecoder, frame

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = {"data": [1, 2], "is_compressed": False}
PUB = {"topic": "a", "payload": BODY}
RSP = {"req_id": 1, "status": "Ok", "payload": BODY}
ACK = {"msg_id": 1, "err": None, "num_recipients": None}


def read_client(item: object) -> r.Control | r.Carrier | r.Answer:
    (read,) = r.decode_client_frames([cbor2.dumps(item)])
    return read


def read_server(item: object) -> r.Carrier | r.Answer | r.Ack:
    (read,) = r.decode_server_frames([cbor2.dumps(item)])
    return read


def read_or_none(data: bytes) -> r.Control | r.Carrier | r.Answer | None:
    try:
        (read,) = r.decode_client_frames([data])
    except ProtocolViolation:
        return None
    return read


def message(kind: str, fields: object, number: object = 7) -> dict[str, Any]:
    return {"id": number, "content": {kind: fields}}


# --- what the crate wrote


@pytest.mark.parametrize("name", CLIENT_FRAMES)
def test_what_a_rust_client_wrote_is_read(name: str) -> None:
    """Each frame that the crate's client was recorded to write means what its program said."""
    recorded, meaning = CLIENT_FRAMES[name]
    assert r.decode_client_frames([recorded]) == [meaning]


@pytest.mark.parametrize("name", SERVER_FRAMES)
def test_what_a_rust_bus_wrote_is_read(name: str) -> None:
    """Each frame that the crate's bus was recorded to write means what it did."""
    recorded, meaning = SERVER_FRAMES[name]
    assert r.decode_server_frames([recorded]) == [meaning]


@pytest.mark.parametrize("name", [name for name in CLIENT_FRAMES if isinstance(CLIENT_FRAMES[name][1], r.Control)])
def test_frames_without_a_payload_are_written_as_the_crate_writes_them(name: str) -> None:
    """Sub, Unsub, Srv, Unsrv, Stop and KeepAlive are the crate's byte for byte."""
    recorded, meaning = CLIENT_FRAMES[name]
    assert written(meaning) == frame(recorded)


@pytest.mark.parametrize("name", [name for name in SERVER_FRAMES if isinstance(SERVER_FRAMES[name][1], r.Ack)])
def test_acknowledgements_are_written_as_the_crate_writes_them(name: str) -> None:
    """An Ack is the crate's byte for byte, its own id aside, which says nothing."""
    recorded, meaning = SERVER_FRAMES[name]
    assert cbor2.loads(written(meaning)[HEADER_SIZE:]) == cbor2.loads(recorded) | {"id": 0}
    assert written(meaning)[HEADER_SIZE:].endswith(recorded[recorded.index(b"\x67content") :])


@pytest.mark.parametrize(("recorded", "meaning"), [*CLIENT_FRAMES.values(), *SERVER_FRAMES.values()])
def test_a_payload_is_all_in_which_our_frames_differ(
    recorded: bytes, meaning: r.Control | r.Carrier | r.Answer | r.Ack
) -> None:
    """A frame of ours holds what the crate's holds, with a byte string in the place of an array of its bytes."""
    ours, theirs = cbor2.loads(written(meaning)[HEADER_SIZE:]), cbor2.loads(recorded)
    for fields in theirs["content"].values() if isinstance(theirs["content"], dict) else ():
        if "payload" in fields:
            fields["payload"]["data"] = bytes(fields["payload"]["data"])
    assert ours["content"] == theirs["content"]


# --- there and back


@given(any_client_frame)
def test_any_frame_of_a_client_is_itself_again(meaning: r.Control | r.Carrier | r.Answer) -> None:
    """What is written for a bus is what is read there."""
    assert r.decode_client_frames([written(meaning)[HEADER_SIZE:]]) == [meaning]


@given(any_server_frame)
def test_any_frame_of_a_bus_is_itself_again(meaning: r.Carrier | r.Answer | r.Ack) -> None:
    """What is written for a client is what is read there."""
    assert r.decode_server_frames([written(meaning)[HEADER_SIZE:]]) == [meaning]


@given(any_carrier)
def test_the_quick_way_reads_what_the_long_way_reads(meaning: r.Carrier | r.Answer) -> None:
    """A frame in the crate's own spelling is read without the CBOR reader, and as the CBOR reader reads it."""
    item = spelt(meaning)
    assert calls_into(cbor2, lambda: read_client(item)) == 0
    assert read_client(item) == meaning
    # The same with its keys in another order, which no pattern knows.
    other = {"content": item["content"], "id": item["id"]}
    assert calls_into(cbor2, lambda: read_client(other)) > 0
    assert read_client(other) == meaning


def test_the_items_of_a_payload_mean_what_they_are_in_cbor() -> None:
    """Bytes with a prefix, bytes without and prefixes, in any order, are read in the quick way as in the long one."""
    number, content = b"\x62id\x07", b"\x67content" + cbor2.dumps({"Pub": PUB})
    for length in range(6):
        for items in map(bytes, itertools.product((0x00, 0x17, 0x18, 0x19), repeat=length)):
            for count in range(length + 1):
                told = content.replace(b"\x82\x01\x02", bytes((0x80 | count, *items)))
                assert read_or_none(b"\xa2" + number + told) == read_or_none(b"\xa2" + told + number)


@pytest.mark.parametrize("name", CLIENT_FRAMES)
def test_a_client_s_frame_reads_alike_wherever_it_is_split(name: str) -> None:
    """Split at any byte, a recorded frame is the same frame."""
    recorded, meaning = CLIENT_FRAMES[name]
    _check_splits(recorded, lambda bodies: r.decode_client_frames(bodies) == [meaning])


@pytest.mark.parametrize("name", SERVER_FRAMES)
def test_a_bus_s_frame_reads_alike_wherever_it_is_split(name: str) -> None:
    """Split at any byte, a recorded frame is the same frame."""
    recorded, meaning = SERVER_FRAMES[name]
    _check_splits(recorded, lambda bodies: r.decode_server_frames(bodies) == [meaning])


def _check_splits(recorded: bytes, is_right: Callable[[list[bytes]], bool]) -> None:
    data = frame(recorded)
    bodies: set[bytes] = set()
    for split in range(len(data)):
        decoder = FrameDecoder(r.FRAME)
        assert decoder.feed(data[:split]) == []
        bodies.update(map(bytes, decoder.feed(data[split:])))
    assert len(bodies) == 1
    assert is_right(list(bodies))


# --- as lenient as the crate


def test_keys_that_are_not_known_are_ignored() -> None:
    """A later version may say more everywhere, even with a payload."""
    item = {"id": 7, "more": {"a": [1]}, "content": {"Pub": PUB | {"more": None, "payload": BODY | {"more": 1.5}}}}
    assert read_client(item) == r.Carrier(7, r.Kind.PUB, "a", r.Body(b"\1\2"))


def test_an_ack_may_leave_out_what_is_null() -> None:
    """What is optional is null where it is missing."""
    assert read_server(message("Ack", {"msg_id": 3})) == r.Ack(7, 3, None, None)


def test_an_error_that_is_not_known_is_read_with_its_details() -> None:
    """A failure keeps the name and the details of whatever variant it is."""
    fields = ACK | {"err": {"Newer": ["a", 1]}}
    assert read_server(message("Ack", fields)) == r.Ack(7, 1, r.Failure("Newer", ("a", 1)), None)


def test_a_variant_without_fields_may_be_a_map_to_null() -> None:
    """Stop may be a bare name or a map of it to nothing."""
    assert read_client(message("Stop", None)) == r.Control(7, r.Kind.STOP)


# --- what is refused

NO_TOPICS: list[object] = [None, [], {}, {"topic": 1}, {"topic": b"a"}]
NO_BYTES: list[object] = [None, "a", {}, [256], [-1], [2**64 - 1], [True], [1.0], [None], [[]], ["1"], [b"1"]]
NO_ERRORS: list[object] = [1, True, [], {}, {1: "a"}, {"A": 1.0}, {"A": [None]}]
WRONG_FOR_A_BUS: list[object] = [
    *([], 1, None, "Stop", {}, {"id": 7}, {"content": "Stop"}, {"id": 7, "content": None}, {"id": 7, "content": []}),
    *({"id": number, "content": "Stop"} for number in (-1, 2**32, True, 1.0, "1", None)),
    *({"id": 7, "content": content} for content in ("Nothing", "Sub", "Ack", {}, {1: PUB}, {"Sub": {}, "Pub": PUB})),
    *(message("Sub", fields) for fields in NO_TOPICS),
    *(message("Pub", fields) for fields in ({"topic": "a"}, {"payload": BODY}, PUB | {"payload": b""})),
    *(message("Pub", PUB | {"payload": BODY | {"is_compressed": flag}}) for flag in (None, 0, 1, "true")),
    *(message("Pub", PUB | {"payload": BODY | {"data": data}}) for data in NO_BYTES),
    *(message("Rsp", RSP | {"req_id": number}) for number in (-1, 2**32, True, "1", None)),
    *(message("Rsp", RSP | {"status": status}) for status in ("Fine", None, 1, {"Ok": None})),
    *(message("Ack", ACK), message("Stop", {}), message("KeepAlive", {"topic": "a"})),
]
WRONG_FOR_A_CLIENT: list[object] = [
    *(message("Sub", {"topic": "a"}), {"id": 7, "content": "Stop"}, message("Ack", None), message("Ack", {})),
    *(message("Ack", ACK | {"num_recipients": count}) for count in (-1, True, "1", 1.0)),
    *(message("Ack", ACK | {"err": failure}) for failure in NO_ERRORS),
]


@pytest.mark.parametrize("item", WRONG_FOR_A_BUS, ids=repr)
def test_what_a_client_does_not_say_is_a_violation(item: object) -> None:
    """A frame that serde would not read, or no client writes, ends the connection with the bytes it began with."""
    with pytest.raises(ProtocolViolation, match=r"\[\d+ bytes: [0-9a-f ]+\]$"):
        read_client(item)


@pytest.mark.parametrize("item", WRONG_FOR_A_CLIENT, ids=repr)
def test_what_a_bus_does_not_say_is_a_violation(item: object) -> None:
    """The same holds at the other end."""
    with pytest.raises(ProtocolViolation, match=r"\[\d+ bytes: [0-9a-f ]+\]$"):
        read_server(item)


SPELT = cbor2.dumps({"id": 7, "content": {"Pub": PUB}})


@pytest.mark.parametrize(
    "data",
    [
        SPELT[:-1],
        SPELT + b"\0",
        SPELT.replace(b"\x82\x01\x02", b"\x83\x01\x02"),
        SPELT.replace(b"\x82\x01\x02", b"\x82\x01\x20"),
        SPELT.replace(b"\x82\x01\x02", b"\x9f\x01\x02\xff"),
        SPELT.replace(b"\x61a", b"\x63a"),
        SPELT.replace(b"\x62id\x07", b"\x62id\xc1\x07"),
        cbor2.dumps({"id": 7, "content": "Stop", "more": [[[[[1]]]]]}),
        cbor2.dumps({"id": 7, "content": "Stop", "more": cbor2.CBORTag(258, [1])}),
        b"\xa3\x62id\x07\x62id\x07\x67content\x64Stop",
    ],
)
def test_bytes_that_are_not_the_cbor_of_this_wire_are_a_violation(data: bytes) -> None:
    """What is cut short, too long, tagged, of indefinite length, too deep or said twice is refused."""
    with pytest.raises(ProtocolViolation):
        r.decode_client_frames([data])


@given(st.binary(min_size=1))
def test_any_bytes_are_a_frame_or_a_violation(data: bytes) -> None:
    """Nothing but ProtocolViolation ever comes of bytes from a peer."""
    for decode in (r.decode_client_frames, r.decode_server_frames):
        try:
            decode([data])
        except ProtocolViolation:
            continue


@given(any_carrier, st.data())
def test_a_damaged_frame_is_a_frame_or_a_violation(meaning: r.Carrier | r.Answer, data: st.DataObject) -> None:
    """With any byte changed, a frame is read as CBOR would read it or refused."""
    damaged = bytearray(cbor2.dumps(spelt(meaning)))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        (read,) = r.decode_client_frames([bytes(damaged)])
    except ProtocolViolation:
        return
    item = cbor2.loads(bytes(damaged))
    assert read == read_client({"content": item["content"], "id": item["id"]})
