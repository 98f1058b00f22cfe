"""What the tests of the wire share: messages of every class at the edges of every encoding, and the specification.

The corpus is data: each class of message at least once, with and without headers, plain and compressed, with ids and
lengths on both sides of every step of CBOR's number encoding. The specification is read from ``docs/wire.md``, so that
what the tests expect of the decoder is what the page promises to people who write another client.
"""

from __future__ import annotations

import re
import zlib
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, get_args

import attrs
import cbor2
from hypothesis import strategies as st

from t2bus.wire import messages as m
from t2bus.wire import values as v
from t2bus.wire.fast_decoders import UNUSUAL
from t2bus.wire.framing import HEADER_SIZE
from t2bus.wire.native import (
    MessageDecoder,
    decode_client_messages,
    decode_member_messages,
    decode_server_messages,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from t2bus.wire.framing import Frame

Message: TypeAlias = m.ClientMessage | m.ServerMessage | m.MemberMessage

IDS = (0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1)
TEXTS = ("", "a", "x" * 23, "x" * 24, "x" * 255, "x" * 256, "smörgås", "バス", "\N{BUS}", "\0")
PAYLOADS: tuple[v.Payload, ...] = (
    *(b"", b"\0", b"p" * 23, b"p" * 24, b"p" * 255, b"p" * 256, bytes(range(256))),
    *(v.Deflated(b""), v.Deflated(zlib.compress(b"compressed " * 1000))),
)
LARGE_PAYLOADS: tuple[v.Payload, ...] = (b"p" * 65_535, b"p" * 65_536, v.Deflated(b"p" * 65_536), b"p" * 1_000_000)
HEADERS = (v.NO_HEADERS, {"k": "v"}, {"": "", "ключ": "\N{BUS}" * 100}, {str(n): "v" for n in range(24)})
MANY_HEADERS = {f"{n:024}": "v" * 256 for n in range(256)}
CONTENTS = [*((payload, HEADERS[0]) for payload in PAYLOADS), *((PAYLOADS[1], headers) for headers in HEADERS[1:])]

RUNS = (
    m.Run("hello", [b"", b"p"]),
    m.Run("smörgås", [b"", b"p" * 23, b"p" * 24, b"p" * 256]),
    m.Run("x" * 256, [b"%d" % n for n in range(m.MOST_IN_RUN)]),
)

BOTH: list[m.Ping | m.Pong | m.Goodbye | m.Error] = [
    *(m.Ping(number) for number in IDS),
    *(m.Pong(number) for number in IDS),
    *(m.Goodbye(text) for text in TEXTS),
    *(m.Error(text) for text in TEXTS),
]
CLIENT_MESSAGES: list[m.ClientMessage] = [
    m.Hello(1, "t2bus-python", ("zlib",)),
    m.Hello(2**64 - 1, "\N{BUS}", ()),
    m.Hello(1, "", ("zlib", "", "zstd")),
    m.Hello(1, "t2bus-python", (), "oven \N{BUS}"),
    *(m.Subscribe(number, "hello/*", number, number) for number in IDS),
    *(m.Subscribe(1, topic, 1, 1) for topic in TEXTS),
    *(m.Unsubscribe(number, number) for number in IDS),
    *(m.Publish(number, number % 2 == 0, m.Publication("hello/alice", b"")) for number in IDS),
    *(m.Publish(7, True, m.Publication(topic, b"payload")) for topic in TEXTS),
    *(m.Publish(7, False, m.Publication("hello", *content)) for content in CONTENTS),
    *(m.PublishRun(number, number % 2 == 0, RUNS[0]) for number in (*IDS[:-1], 2**64 - 2)),
    *(m.PublishRun(7, True, run) for run in RUNS),
    *(m.Claim(number, "hello/*", number, number) for number in IDS),
    *(m.Unclaim(number, number) for number in IDS),
    *(m.Ask(number, number, "hello", b"") for number in IDS),
    *(m.Ask(7, None, "hello", *content) for content in CONTENTS),
    *(m.Cancel(number) for number in IDS),
    *(m.Respond(number, b"") for number in IDS),
    *(m.Respond(7, *content) for content in CONTENTS),
    *(m.Fail(number, v.ErrorCode.REMOTE_ERROR, "it broke") for number in IDS),
    *(m.Fail(7, code, text) for code, text in zip(v.ErrorCode, TEXTS * 2, strict=False)),
    *(m.Credit((number, number, number)) for number in IDS),
    m.Credit(tuple(range(300))),
    *BOTH,
]
SERVER_MESSAGES: list[m.ServerMessage] = [
    m.Welcome(1, "t2bus", ("zlib",), 1, 1_048_576, 1_057_856, 256, 16, 256, 1024, 256, 16_384, 8_388_608),
    *(m.Welcome(number, "", (), *[number] * 10) for number in IDS),
    *(m.Accepted(number, (number,)) for number in IDS),
    m.Accepted(7, (1, 0, 3)),
    m.Accepted(7, tuple(range(300))),
    *(m.Unreached(number, (number,)) for number in IDS),
    m.Unreached(7, (1, 0, 3)),
    *(m.Refused(number, v.ErrorCode.SERVICE_BUSY, "try later") for number in IDS),
    *(m.Refused(7, code, text) for code, text in zip(v.ErrorCode, TEXTS * 2, strict=False)),
    *(m.Deliver((number,), m.Publication("hello/alice", b"")) for number in IDS),
    m.Deliver(IDS, m.Publication("hello/alice", b"payload", {"k": "v"})),
    m.Deliver(tuple(range(300)), m.Publication("hello/alice", b"payload")),
    *(m.Deliver((7,), m.Publication(topic, b"payload")) for topic in TEXTS),
    *(m.Deliver((7,), m.Publication("hello", *content)) for content in CONTENTS),
    *(m.DeliverRun((number,), RUNS[0]) for number in IDS),
    *(m.DeliverRun(IDS, run) for run in RUNS),
    *(m.Gap(number, number) for number in IDS),
    *(m.Call(number, number, number, "hello", b"") for number in IDS),
    *(m.Call(7, 8, None, "hello", *content) for content in CONTENTS),
    *(m.Withdraw(number) for number in IDS),
    *(m.Response(number, b"") for number in IDS),
    *(m.Response(7, *content) for content in CONTENTS),
    *BOTH,
]
MEMBER_MESSAGES: list[Message] = [
    *(m.Stake(number, "hello", number, is_held) for number in IDS for is_held in (False, True)),
    *(m.Stake(1, topic, 1, True) for topic in TEXTS),
    *(m.Lapse("hello", number) for number in IDS),
    *(m.Lapse(topic, 1) for topic in TEXTS),
]
"""What servers alone say, to each other."""

LARGE_CLIENT_MESSAGES: list[m.ClientMessage] = [
    *(m.Publish(1, True, m.Publication("hello", payload)) for payload in LARGE_PAYLOADS),
    m.PublishRun(1, True, m.Run("hello", [b"p" * 70_000] * 10)),
    *(m.Ask(1, None, "hello", payload, {"k": "v" * 70_000}) for payload in LARGE_PAYLOADS),
    *(m.Respond(1, payload, MANY_HEADERS) for payload in LARGE_PAYLOADS),
]
LARGE_SERVER_MESSAGES: list[m.ServerMessage] = [
    *(m.Deliver((1,), m.Publication("hello", payload, {"k": "v" * 70_000})) for payload in LARGE_PAYLOADS),
    m.DeliverRun((1,), m.Run("hello", [b"p" * 70_000] * 10)),
    *(m.Call(1, 2, None, "hello", payload) for payload in LARGE_PAYLOADS),
    *(m.Response(1, payload, MANY_HEADERS) for payload in LARGE_PAYLOADS),
]


class Direction(NamedTuple):
    """What one end says, and how the other reads it."""

    sender: str
    messages: Sequence[Message]
    large_messages: Sequence[Message]
    decode: Callable[[Sequence[Frame]], Sequence[Message]]


CLIENT_TO_BUS = Direction("client", CLIENT_MESSAGES, LARGE_CLIENT_MESSAGES, decode_client_messages)
BUS_TO_CLIENT = Direction("bus", SERVER_MESSAGES, LARGE_SERVER_MESSAGES, decode_server_messages)
BETWEEN_SERVERS = Direction("server", MEMBER_MESSAGES, LARGE_SERVER_MESSAGES, decode_member_messages)
DIRECTIONS = [CLIENT_TO_BUS, BUS_TO_CLIENT, BETWEEN_SERVERS]

EXAMPLES: dict[str, Message] = {
    "HELLO": m.Hello(1, "t2bus-python", ("zlib",)),
    "WELCOME": m.Welcome(1, "t2bus", ("zlib",), 1, 1_048_576, 1_057_856, 256, 16, 256, 1024, 256, 16_384, 8_388_608),
    "PUBLISH": m.Publish(7, False, m.Publication("hello/alice", cbor2.dumps({"text": "Hi"}))),
    "PUBLISH_RUN": m.PublishRun(7, True, m.Run("hello/alice", [b"Hi", b"", b"Ho"])),
    "DELIVER_RUN": m.DeliverRun((1,), m.Run("hello/alice", [b"Hi", b"", b"Ho"])),
    "DELIVER": m.Deliver((1, 500), m.Publication("hello/alice", cbor2.dumps({"text": "Hi"}), {"k": "v"})),
    "ACCEPTED": m.Accepted(7, (1, 0, 3)),
    "UNREACHED": m.Unreached(8, (2,)),
    "CREDIT": m.Credit((1, 2048, 204_800)),
    "REFUSED": m.Refused(8, v.ErrorCode.TOPIC_CLAIMED, "taken"),
}
"""What the examples of the specification say."""


def body_of(message: Message) -> bytes:
    return encode(message)[HEADER_SIZE:]


def decode_fast(decoder: MessageDecoder, frame: Frame) -> Message | None:
    """Return the message that is read by the bytes of its frame, or None if the frame is left to the general way."""
    decode = decoder.fast.get(frame[:2])
    try:
        return None if decode is None else decode(frame)
    except UNUSUAL:
        return None


# --- anything, for Hypothesis

VALUES: list[object] = [
    *(0, 1, 13, 2**64 - 1, 2**64, -1, -(2**64), 2**64 - 1 + 0j, 0.0, 1.0, float("nan"), float("inf")),
    *(False, True, None, cbor2.undefined, cbor2.CBORSimpleValue(1), cbor2.CBORSimpleValue(99), cbor2.CBORTag(99, 1)),
    *("", "v", b"", b"v", [], ["v"], [b"v"], [1], [1, 2], [-1], [True], [None], [1.0], [2**64], [[]], [[1]], [{}]),
    *([1, b"v"], [2, b"v"], [0, b"v"], [True, b"v"], [1.0, b"v"], ["1", b"v"], [1, "v"], [1, [b"v"]], [1, b"v", b"v"]),
    *({}, {"k": "v"}, {"k": 1}, {"k": b"v"}, {"k": None}, {"k": {}}, {1: "v"}, {b"k": "v"}, {None: "v"}),
]
"""Something of everything that CBOR can say, most of which fits nowhere."""

_uints = st.sampled_from(IDS) | st.integers(0, 2**64 - 1)
_payloads = st.binary(max_size=300) | st.builds(v.Deflated, st.binary(max_size=300))
_headers = st.dictionaries(st.text(), st.text(), max_size=3)
_BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "int": _uints,
    "int | None": st.none() | _uints,
    "bool": st.booleans(),
    "str": st.text(),
    "tuple[str, ...]": st.lists(st.text()).map(tuple),
    "tuple[int, ...]": st.lists(_uints, min_size=1).map(tuple),
    "ErrorCode": st.sampled_from(v.ErrorCode),
    "Payload": _payloads,
    "Headers": _headers,
    "Publication": st.builds(m.Publication, st.text(), _payloads, _headers),
    "Run": st.builds(m.Run, st.text(), st.lists(st.binary(max_size=300), min_size=2)),
}
_triples = st.lists(st.tuples(_uints, _uints, _uints), min_size=1)
_BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "numbers": _triples.map(lambda grants: tuple(chain.from_iterable(grants)))
}
"""Where the type does not say all."""


def _has_legal_ids(message: Message) -> bool:
    return not isinstance(message, m.PublishRun) or message.id + len(message.run.payloads) <= 2**64


def _of_field(field: attrs.Attribute[Any]) -> st.SearchStrategy[Any]:
    return _BY_NAME[field.name] if field.name in _BY_NAME else _BY_TYPE[str(field.type)]


def _any_of(union: object) -> st.SearchStrategy[Any]:
    classes = get_args(union)
    fields = [{each.name: _of_field(each) for each in attrs.fields(cls)} for cls in classes]
    return st.one_of([st.builds(cls, **each) for cls, each in zip(classes, fields, strict=True)]).filter(_has_legal_ids)


any_client_message: st.SearchStrategy[m.ClientMessage] = _any_of(m.ClientMessage)
any_server_message: st.SearchStrategy[m.ServerMessage] = _any_of(m.ServerMessage)


def _edited(body: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Take out and put in a few bytes here and there."""
    for place, removed, added in edits:
        body = body[:place] + added + body[place + removed :]
    return body


_bodies = st.sampled_from([body_of(message) for messages in (CLIENT_MESSAGES, SERVER_MESSAGES) for message in messages])
_edits = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.binary(max_size=3)), max_size=3)
_items = st.recursive(
    st.sampled_from(VALUES), lambda item: st.lists(item, max_size=4) | st.dictionaries(st.text(), item, max_size=2)
)
any_bytes: st.SearchStrategy[bytes] = st.one_of(
    st.binary(max_size=40),
    st.builds(_edited, _bodies, _edits),
    st.builds(lambda kind, items: cbor2.dumps([kind, *items]), st.integers(0, 30), st.lists(_items, max_size=6)),
)
"""Noise, messages with a few bytes changed, and arrays that are nearly messages."""


# --- the specification

SPECIFICATION = (Path(__file__).parents[1] / "docs" / "wire.md").read_text(encoding="utf-8")

RIGHT_VALUES: dict[str, list[object]] = {
    "uint": [0, 1, 13, 2**64 - 1],
    "uint or null": [0, 1, 13, 2**64 - 1, None],
    "bool": [False, True],
    "code": [1],
    "text": ["", "v"],
    "texts": [[], ["v"]],
    "uints": [[1], [1, 2]],
    "payload": [b"", b"v", [1, b"v"]],
    "bytes": [b"", b"v"],
    "headers": [{}, {"k": "v"}],
}
"""For each type of the specification, those of :data:`VALUES` that are of it."""


class Form(NamedTuple):
    """The specified form of one kind of message: the types of its elements, the last of which may be optional."""

    kind: int
    sender: str
    name: str
    types: tuple[str, ...]
    is_last_optional: bool

    def items(self) -> Iterator[list[Any]]:
        """Give arrays of this form, without and with what is optional."""
        item: list[Any] = [self.kind, *(RIGHT_VALUES[each][0] for each in self.types)]
        if self.is_last_optional:
            yield item[:-1]
        yield item


def _type_of(element: str) -> str:
    found = re.search(r"`\[?(\w+)(…)?]?`( .*or null)?", element)
    if found is None:
        return "code" if element == "code" else "uint"
    name, many, nullable = found.groups()
    return f"{name}s" if many else f"{name} or null" if nullable else name


def specified_forms() -> list[Form]:
    """Return the rows of the table of messages; one that is flat is given with a single round of its elements."""
    forms = []
    for kind, sender, name, elements in re.findall(
        r"^\| (\d+) \| (\w+) \| (\w+) \| (.+) \|$", SPECIFICATION, re.MULTILINE
    ):
        listed = elements.rpartition("flat: ")[2]
        types = tuple(map(_type_of, listed.removesuffix(", flat").split(", ")))
        senders = ("client", "bus") if sender == "both" else (sender,)
        forms += [Form(int(kind), each, name, types, listed.endswith("]")) for each in senders]
    return forms


def specified_examples() -> dict[str, bytes]:
    """Return the whole frames that the specification shows, by the name of their message."""
    section = SPECIFICATION.partition("## Examples")[2]
    return {
        name: bytes.fromhex(frame)
        for name, frame in re.findall(r"^([A-Z_]+) .*\n((?: +[0-9a-f ]+\n)+)", section, re.MULTILINE)
    }
