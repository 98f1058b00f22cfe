"""The frames of the Rust crate ``t2_bus``: CBOR maps ``{"id": …, "content": {"Kind": {…}}}``.

``docs/rust-wire.md`` specifies them. The crate publishes the bytes 49 and 50 to ``a/b`` so, behind the length::

    a2 | 62 69 64 07 | 67 63 6f 6e 74 65 6e 74 | a1 63 50 75 62       {"id": 7, "content": {"Pub":
    a2 | 65 74 6f 70 69 63 63 61 2f 62                                  {"topic": "a/b",
       | 67 70 61 79 6c 6f 61 64 | a2 64 64 61 74 61 82 18 31 18 32      "payload": {"data": [49, 50],
         6d 69 73 5f 63 6f 6d 70 72 65 73 73 65 64 f4                               "is_compressed": false}}}}

Decoding trusts nothing: its CBOR reader is the native wire's, with maps. As in the crate, unknown keys are ignored,
whatever they hold; what is missing or of another kind or type is a ``ProtocolViolation``. The crate writes a payload as
an array of integers, and every frame in one way. A frame is first tried as exactly that (:mod:`.byte_arrays`): for a
payload of 1,000 bytes it takes 12 us where the CBOR reader takes 45. What does not match goes to the CBOR reader, and
means the same. Payloads are written as byte strings, at half the size.

The law of this module: bytes in, frames out; frames in, bytes out.
"""

from __future__ import annotations

import enum
import io
import re
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import cbor2
from attrs import frozen

from ..errors import ProtocolViolation
from ..wire.cbor import CROWDED, KeptReader, encode_head, encode_text, flaw_in, is_crowded, violation
from ..wire.framing import frame as _frame
from ..wire.messages import carrier
from .byte_arrays import bytes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..wire.framing import Frame

FRAME: Final = 1_048_576
"""The largest frame that the crate reads; a larger one ends its connection."""

_U32 = 0xFFFFFFFF
_kept: Final = KeptReader(depth=5)
"""The containers inside each other: the message, its content, its fields, its payload, the array of bytes."""


class Kind(enum.Enum):
    """What a frame is, by the name that it has on the wire.

    The first nine may come from a client, ``Pub``, ``Req``, ``Rsp`` and ``Ack`` from a bus.
    """

    SUB = "Sub"
    UNSUB = "Unsub"
    PUB = "Pub"
    SRV = "Srv"
    UNSRV = "Unsrv"
    REQ = "Req"
    RSP = "Rsp"
    STOP = "Stop"
    KEEP_ALIVE = "KeepAlive"
    ACK = "Ack"


class AnswerStatus(enum.Enum):
    """How a request ended. A handler that failed has no status of its own: it is a ``Timeout`` too."""

    OK = "Ok"
    TIMEOUT = "Timeout"


@carrier
class Control:
    """A client's frame with a topic and nothing else, or without a topic: ``Stop`` and ``KeepAlive``.

    For example ``{"id": 1, "content": {"Sub": {"topic": "a"}}}``, and ``{"id": 2, "content": "KeepAlive"}``.
    """

    id: int
    kind: Kind
    topic: str = ""


@carrier
class Body:
    """A payload as it travels: as it is, or as one gzip member. Whether that is sound shows when it is inflated."""

    data: bytes
    is_compressed: bool = False


@carrier
class Carrier:
    """``Pub`` or ``Req``, in either direction."""

    id: int
    kind: Kind
    topic: str
    body: Body


@carrier
class Answer:
    """``Rsp``, in either direction; ``request`` is the id that its reader gave the ``Req``."""

    id: int
    request: int
    status: AnswerStatus
    body: Body


@frozen
class Failure:
    """A ``BusError``: the name of the variant and what it holds, numbers and texts.

    For example ``{"ServiceNotFound": "a/b"}`` is ``Failure("ServiceNotFound", ("a/b",))``. Any name is taken, since a
    newer bus may have others.
    """

    name: str
    details: tuple[int | str, ...] = ()


@frozen
class Ack:
    """A bus's answer to the frame with the id ``operation``; ``recipients`` for a ``Pub`` that was carried out.

    For example ``{"Ack": {"msg_id": 3, "err": null, "num_recipients": 2}}``.
    """

    id: int
    operation: int
    failure: Failure | None
    recipients: int | None


# --- decoding: the one way in which the crate writes payloads


def _number(base: int) -> bytes:
    """Return the pattern of a CBOR head whose major type makes ``base`` of its first byte, as one group."""
    return b"([\\x%02x-\\x%02x]|\\x%02x.|\\x%02x..|\\x%02x....)" % (base, *(base + n for n in (23, 24, 25, 26)))


_BEFORE_ITEMS: Final = re.compile(
    rb"\xa2\x62id" + _number(0x00) + rb"\x67content\xa1\x63(?:"
    rb"(Pub|Req)\xa2\x65topic" + _number(0x60) + rb"([a-z0-9_*/]*)"
    rb"|Rsp\xa3\x66req_id" + _number(0x00) + rb"\x66status(\x62Ok|\x67Timeout))"
    rb"\x67payload\xa2\x64data" + _number(0x80),
    re.DOTALL,
)
_PLAIN, _COMPRESSED = b"\x6dis_compressed\xf4", b"\x6dis_compressed\xf5"
_LAST: Final = len(_PLAIN)


def _value(head: bytes) -> int:
    """Return the number of a CBOR head."""
    return int.from_bytes(head[1:], "big") if len(head) > 1 else head[0] & 0x1F


def _read_quickly(frame: bytes) -> Carrier | Answer | None:
    """Return the message of a frame that has a payload, written as the crate does it; None for any other."""
    match, end = _BEFORE_ITEMS.match(frame), frame[-_LAST:]
    if match is None or end not in (_PLAIN, _COMPRESSED):
        return None
    number, kind, topic_head, topic, request, status, data_head = match.groups()
    data = bytes_of(frame[match.end() : -_LAST])
    if data is None or len(data) != _value(data_head) or (kind is not None and len(topic) != _value(topic_head)):
        return None
    number, body = _value(number), Body(data, end == _COMPRESSED)
    if kind is None:
        return Answer(number, _value(request), AnswerStatus.OK if status == b"\x62Ok" else AnswerStatus.TIMEOUT, body)
    return Carrier(number, Kind.PUB if kind == b"Pub" else Kind.REQ, topic.decode(), body)


# --- decoding: anything


def _read(frame: bytes) -> Any:
    """Return the one CBOR item of a frame."""
    if is_crowded(frame):
        raise ProtocolViolation(CROWDED)
    reader = _kept.reader
    reader.fp = buffer = io.BytesIO(frame)
    try:
        item = reader.decode()
    except cbor2.CBORError as error:
        raise ProtocolViolation(f"a frame is not the CBOR this wire allows: {flaw_in(error)}") from error
    if buffer.tell() != len(frame):
        raise ProtocolViolation("a frame holds more or less than one CBOR item")
    return item


def _field(fields: Any, name: str, kind: type) -> Any:
    """Return a field, which must be there and of exactly this type."""
    if type(fields) is not dict or type(value := fields.get(name)) is not kind:
        raise ProtocolViolation(f"expected a map with {name!r}, of type {kind.__name__}")
    return value


def _u32(fields: Any, name: str) -> int:
    """Return a field that holds an id. The crate could not read a larger one, nor a negative one."""
    value = _field(fields, name, int)
    if not 0 <= value <= _U32:
        raise ProtocolViolation(f"{name!r} is not an unsigned integer of 32 bits")
    return int(value)


def _variant(value: Any) -> tuple[str, Any]:
    """Return the name and the fields of an enumeration's variant; one without fields may be its bare name."""
    if type(value) is str:
        return value, None
    if type(value) is dict and list(map(type, value)) == [str]:
        ((name, fields),) = value.items()
        return name, fields
    raise ProtocolViolation("expected a variant: its name, or a map of its name to its fields")


def _body(fields: Any) -> Body:
    """Return the payload of a frame, whose data is a byte string or an array of numbers."""
    payload = _field(fields, "payload", dict)
    is_compressed = _field(payload, "is_compressed", bool)
    data = payload.get("data")
    if type(data) is bytes:
        return Body(data, is_compressed)
    if type(data) is list and set(map(type, data)) <= {int}:
        with suppress(ValueError):
            return Body(bytes(data), is_compressed)
    raise ProtocolViolation("expected the data of a payload: bytes, or an array of integers from 0 to 255")


def _failure(value: Any) -> Failure:
    """Return an error, whose variant holds one value, an array of values, or nothing."""
    name, details = _variant(value)
    listed = details if type(details) is list else [] if details is None else [details]
    if not set(map(type, listed)) <= {int, str}:
        raise ProtocolViolation("expected the details of an error: numbers and texts")
    return Failure(name, tuple(listed))


_FROM_CLIENT: Final = {kind.value: kind for kind in Kind if kind is not Kind.ACK}
_FROM_SERVER: Final = {kind.value: kind for kind in (Kind.PUB, Kind.REQ, Kind.RSP, Kind.ACK)}


def _message(item: Any, kinds: Mapping[str, Kind]) -> Any:
    """Return the message that a CBOR item is; ``kinds`` are those that this end takes, by name."""
    number = _u32(item, "id")
    name, fields = _variant(item.get("content"))
    match kinds.get(name):
        case None:
            raise ProtocolViolation("a message is of a kind that this end does not take")
        case Kind.ACK:
            operation = _u32(fields, "msg_id")
            failure = None if fields.get("err") is None else _failure(fields["err"])
            recipients = fields.get("num_recipients")
            if recipients is not None and (type(recipients) is not int or recipients < 0):
                raise ProtocolViolation("'num_recipients' is not an unsigned integer")
            return Ack(number, operation, failure, recipients)
        case (Kind.PUB | Kind.REQ) as kind:
            return Carrier(number, kind, _field(fields, "topic", str), _body(fields))
        case Kind.RSP:
            try:
                status = AnswerStatus(_field(fields, "status", str))
            except ValueError as error:
                raise ProtocolViolation("the status of a response is 'Ok' or 'Timeout'") from error
            return Answer(number, _u32(fields, "req_id"), status, _body(fields))
        case (Kind.STOP | Kind.KEEP_ALIVE) as kind:
            if fields is not None:
                raise ProtocolViolation(f"{kind.value} has no fields")
            return Control(number, kind)
        case kind:
            return Control(number, kind, _field(fields, "topic", str))


def _decode_one(frame: bytes, kinds: Mapping[str, Kind]) -> Any:
    """Return the message of one frame. What is read quickly is of kinds that both ends take."""
    try:
        return _read_quickly(frame) or _message(_read(frame), kinds)
    except ProtocolViolation as error:
        raise violation(str(error), frame) from error


def decode_client_frames(frames: Sequence[Frame]) -> list[Control | Carrier | Answer]:
    """Return what a client says in these frames; raise ``ProtocolViolation`` if any is not of this wire."""
    return [_decode_one(bytes(frame), _FROM_CLIENT) for frame in frames]


def decode_server_frames(frames: Sequence[Frame]) -> list[Carrier | Answer | Ack]:
    """Return what a bus says in these frames; raise as :func:`decode_client_frames`."""
    return [_decode_one(bytes(frame), _FROM_SERVER) for frame in frames]


# --- encoding, each as one frame with its length in front, byte for byte as the crate does but for the payload


def _start(number: int, content: bytes) -> bytes:
    """Return the map of a frame as far as its content, of which the beginning is given."""
    return b"\xa2\x62id" + encode_head(0, number) + b"\x67content" + content


_ACK: Final = _start(0, b"\xa1\x63Ack\xa3\x66msg_id")


def _end(body: Body) -> bytes:
    """Return the last field of a frame. A byte string takes half of what the crate's array of numbers does."""
    flag = b"\xf5" if body.is_compressed else b"\xf4"
    return b"".join((b"\x67payload\xa2\x64data", encode_head(2, len(body.data)), body.data, b"\x6dis_compressed", flag))


def encode_control(number: int, kind: Kind, topic: str = "") -> bytes:
    """Return a client's frame without a payload; the topic is left out where the kind has none."""
    content = kind.value if kind in (Kind.STOP, Kind.KEEP_ALIVE) else {kind.value: {"topic": topic}}
    return _frame(_start(number, cbor2.dumps(content)))


@lru_cache(maxsize=1024)
def _addressed(kind: Kind, topic: str) -> bytes:
    # The same topics come again and again.
    return b"\xa1" + encode_text(kind.value) + b"\xa2\x65topic" + encode_text(topic)


def encode_carrier(number: int, kind: Kind, topic: str, body: Body) -> bytes:
    """Return ``Pub`` or ``Req``, for either direction."""
    return _frame(_start(number, _addressed(kind, topic)) + _end(body))


def encode_answer(request: int, status: AnswerStatus, number: int, body: Body) -> bytes:
    """Return ``Rsp``, for either direction."""
    fields = b"\xa1\x63Rsp\xa3\x66req_id" + encode_head(0, request) + b"\x66status" + encode_text(status.value)
    return _frame(_start(number, fields) + _end(body))


def encode_ack(operation: int, failure: Failure | None = None, recipients: int | None = None) -> bytes:
    """Return a bus's answer to a frame: an error, a count of connections for a ``Pub``, or neither.

    Its own id says nothing, and is 0.
    """
    count = b"\xf6" if recipients is None else encode_head(0, recipients)
    error = b"\xf6" if failure is None else _encode_failure(failure)
    return _frame(b"".join((_ACK, encode_head(0, operation), b"\x63err", error, b"\x6enum_recipients", count)))


def _encode_failure(failure: Failure) -> bytes:
    # As serde writes an enum: no value is the bare name, one stands alone, and several are an array.
    details = failure.details
    return cbor2.dumps({failure.name: details[0] if len(details) == 1 else details} if details else failure.name)
