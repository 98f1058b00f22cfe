"""Messages to the bytes of the native wire.

The messages that carry payloads are assembled by hand from precomputed pieces, since each passes here once per message
and receiver; the end of a publication's frame (topic, payload, headers) is the same for all its receivers and is kept
in the publication.

The law of this module: messages in, bytes out.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cbor2

from . import messages as m
from . import values as v
from .cbor import encode_head, encode_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["encode"]

_FRAME = struct.Struct(">I")
_PUBLISH = struct.Struct(">IBBBQB")
_head = encode_head
_encode_ids = lru_cache(maxsize=1024)(cbor2.dumps)


_KEPT = 4096
"""Bytes of a payload up to which the end of a frame is kept. A longer one costs less to put in each frame than to copy
once more."""


def _encode_payload(payload: v.Payload) -> bytes:
    if type(payload) is v.Deflated:
        return b"\x82\x01" + _encode_payload(payload.data)
    return encode_head(2, len(payload)) + payload  # type: ignore[arg-type, operator]


def _tail(publication: m.Publication) -> tuple[bytes, ...]:
    """Return the end of the frame of a publication, in pieces."""
    if publication.tail is not None:
        return (publication.tail,)
    payload = publication.payload
    head = encode_text(publication.topic)
    pieces: tuple[bytes, ...]
    if type(payload) is bytes:
        pieces = (head + encode_head(2, len(payload)), payload)
    else:
        pieces = (head, _encode_payload(payload))
    if publication.headers:
        pieces = (*pieces, cbor2.dumps(dict(publication.headers)))
    if len(pieces[1]) > _KEPT:
        return pieces
    publication.tail = b"".join(pieces)
    return (publication.tail,)


def _encode_publish(message: m.Publish) -> bytes:
    # One pack for length, array, kind, a fixed 64-bit id and the flag: publishing is what a client does most.
    tail = _tail(message.publication)
    array = 0x86 if message.publication.headers else 0x85
    size = 12 + sum(map(len, tail))
    return b"".join((_PUBLISH.pack(size, array, 5, 0x1B, message.id, 0xF5 if message.paced else 0xF4), *tail))


def _encode_deliver(message: m.Deliver) -> bytes:
    tail = _tail(message.publication)
    ids = _encode_ids(message.subscriptions)
    kind = b"\x85\x16" if message.publication.headers else b"\x84\x16"
    return b"".join((_FRAME.pack(2 + len(ids) + sum(map(len, tail))), kind, ids, *tail))


def _encode_publish_run(message: m.PublishRun) -> bytes:
    run = message.run
    if len(run.payloads) == 1:
        return _encode_publish(m.Publish(message.id, message.paced, run.publications[0]))
    return _encode_run((17, message.id, message.paced), run)


def _encode_deliver_run(message: m.DeliverRun) -> bytes:
    run = message.run
    if len(run.payloads) == 1:
        return _encode_deliver(m.Deliver(message.subscriptions, run.publications[0]))
    return _encode_run((18, message.subscriptions), run)


def _encode_run(elements: Sequence[object], run: m.Run) -> bytes:
    if run.tail is None:
        # The items of an array, without its head.
        payloads = cbor2.dumps(run.payloads)
        run.tail = encode_text(run.topic) + payloads[len(encode_head(4, len(run.payloads))) :]
    head = encode_head(4, len(elements) + 1 + len(run.payloads)) + b"".join(map(cbor2.dumps, elements))
    return b"".join((_FRAME.pack(len(head) + len(run.tail)), head, run.tail))


def _time(timeout: int | None) -> bytes:
    return b"\xf6" if timeout is None else encode_head(0, timeout)


def _carrier(kind: int, elements: tuple[bytes, ...], payload: v.Payload, headers: v.Headers) -> bytes:
    """Frame a message that ends in a payload and perhaps headers, after these encoded elements."""
    parts = (_head(4, 2 + len(elements) + bool(headers)), _head(0, kind), *elements, _encode_payload(payload))
    if headers:
        parts = (*parts, cbor2.dumps(dict(headers)))
    return b"".join((_FRAME.pack(sum(map(len, parts))), *parts))


def _flat(kind: int, fields: Callable[[Any], Iterable[object]]) -> Callable[[Any], bytes]:
    def write(message: Any) -> bytes:
        body = cbor2.dumps([kind, *fields(message)])
        return _FRAME.pack(len(body)) + body

    return write


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    m.Publish: _encode_publish,
    m.Deliver: _encode_deliver,
    m.PublishRun: _encode_publish_run,
    m.DeliverRun: _encode_deliver_run,
    m.Request: lambda x: _carrier(8, (_head(0, x.id), _time(x.timeout), encode_text(x.topic)), x.payload, x.headers),
    m.Respond: lambda x: _carrier(10, (_head(0, x.call),), x.payload, x.headers),
    m.Call: lambda x: _carrier(
        24,
        (_head(0, x.id), _head(0, x.service), _time(x.timeout), encode_text(x.topic)),
        x.payload,
        x.headers,
    ),
    m.Response: lambda x: _carrier(26, (_head(0, x.request),), x.payload, x.headers),
    m.Hello: _flat(1, lambda x: (x.version, x.agent, list(x.compressions))),
    m.Welcome: _flat(
        2,
        lambda x: (
            *(x.version, x.agent, list(x.compressions), x.connection),
            *(x.frame, x.delivery, x.topic_length, x.topic_depth, x.requests),
            *(x.subscriptions, x.services, x.subscription_messages, x.subscription_bytes),
        ),
    ),
    m.Subscribe: _flat(3, lambda x: (x.id, x.topic, x.messages, x.size)),
    m.Unsubscribe: _flat(4, lambda x: (x.id, x.subscription)),
    m.Claim: _flat(6, lambda x: (x.id, x.topic, x.requests, x.size)),
    m.Unclaim: _flat(7, lambda x: (x.id, x.service)),
    m.Cancel: _flat(9, lambda x: (x.request,)),
    m.Fail: _flat(11, lambda x: (x.call, x.code, x.text)),
    m.Credit: _flat(12, lambda x: (number for grant in x.grants for number in grant)),
    m.Ping: _flat(13, lambda x: (x.token,)),
    m.Pong: _flat(14, lambda x: (x.token,)),
    m.Goodbye: _flat(15, lambda x: (x.text,)),
    m.Violation: _flat(16, lambda x: (x.text,)),
    m.Accepted: _flat(20, lambda x: (x.first, *x.counts)),
    m.Refused: _flat(21, lambda x: (x.id, x.code, x.text)),
    m.Gap: _flat(23, lambda x: (x.subscription, x.dropped)),
    m.Withdraw: _flat(25, lambda x: (x.call,)),
}


def encode(message: m.ClientMessage | m.ServerMessage) -> bytes:
    """Return the message as one frame, its length in front."""
    return _ENCODERS[type(message)](message)
