"""Messages to the bytes of the native wire.

The messages that carry payloads are assembled by hand from precomputed pieces, since each passes here once per message
and receiver; the end of a publication's frame (topic, payload, headers) is the same for all its receivers and is kept
in the publication.

The law of this module: messages in, bytes out.
"""

from __future__ import annotations

import struct
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import cbor2

from . import messages as m
from . import values as v
from .cbor import WIDE, encode_head, encode_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["encode", "encode_parts"]

_FRAME = struct.Struct(">I")
_PUBLISH = struct.Struct(">IBBBQB")
_REQUEST = _RESPOND = struct.Struct(">BBBQ")
_CALL = struct.Struct(">BHBQBQ")
_RESPONSE = struct.Struct(">BHBQ")
"""How a message begins: array, kind, ids."""

_WIDE_NUMBER = struct.Struct(">BQ")
"""Ids and times are written so where a reader should not have to look for the place behind them (:mod:`.direct`)."""
_ONE_ID = struct.Struct(">BBQ")


@lru_cache(maxsize=1024)
def _encode_ids(ids: tuple[int, ...]) -> bytes:
    return _ONE_ID.pack(0x81, WIDE, *ids) if len(ids) == 1 else cbor2.dumps(ids)


_payload_head = lru_cache(maxsize=1024)(partial(encode_head, 2))


_KEPT = 4096
"""Bytes of a payload up to which the end of a frame is kept, and a frame is put together. A longer one costs less to
write as it is than to copy once more."""

_LONG = 512
"""Bytes of the payloads of a run from which they are not put together: that would copy each four times. Of 16 kB
messages a bus passed 40 % more on."""

Parts = tuple[bytes, ...]
"""A frame, to be joined or to be written part after part."""


def _encode_payload(payload: v.Payload) -> tuple[bytes, bytes]:
    """Return a payload as its head and itself."""
    if isinstance(payload, bytes):
        return _payload_head(len(payload)), payload
    return b"\x82\x01" + _payload_head(len(payload.data)), payload.data


def _tail(publication: m.Publication) -> Parts:
    """Return the end of the frame of a publication, in parts."""
    if publication.tail is not None:
        return (publication.tail,)
    head, payload = _encode_payload(publication.payload)
    parts: Parts = (encode_text(publication.topic) + head, payload)
    if publication.headers:
        parts = (*parts, cbor2.dumps(dict(publication.headers)))
    if len(payload) > _KEPT:
        return parts
    publication.tail = b"".join(parts)
    return (publication.tail,)


def _encode_publish(message: m.Publish) -> Parts:
    first, *rest = _tail(message.publication)
    array = 0x86 if message.publication.headers else 0x85
    size = 12 + len(first) + sum(map(len, rest))
    return _PUBLISH.pack(size, array, 5, WIDE, message.id, 0xF5 if message.paced else 0xF4) + first, *rest


def _encode_deliver(message: m.Deliver) -> Parts:
    first, *rest = _tail(message.publication)
    start = (b"\x85\x16" if message.publication.headers else b"\x84\x16") + _encode_ids(message.subscriptions) + first
    return _FRAME.pack(len(start) + sum(map(len, rest))) + start, *rest


def _encode_publish_run(message: m.PublishRun) -> Parts:
    run = message.run
    if len(run.payloads) == 1:
        return _encode_publish(m.Publish(message.id, message.paced, run.publications[0]))
    return _encode_run((17, message.id, message.paced), run)


def _encode_deliver_run(message: m.DeliverRun) -> Parts:
    run = message.run
    if len(run.payloads) == 1:
        return _encode_deliver(m.Deliver(message.subscriptions, run.publications[0]))
    return _encode_run((18, message.subscriptions), run)


def _encode_run(elements: Sequence[object], run: m.Run) -> Parts:
    first, *rest = _run_tail(run)
    head = encode_head(4, len(elements) + 1 + len(run.payloads)) + b"".join(map(cbor2.dumps, elements))
    return _FRAME.pack(len(head) + len(first) + sum(map(len, rest))) + head + first, *rest


def _run_tail(run: m.Run) -> Parts:
    """Return the end of the frame of a run, in parts."""
    if run.tail is None:
        topic, payloads = encode_text(run.topic), run.payloads
        if len(payloads[0]) >= _LONG:
            # The others are mostly of the same length.
            head, *parts = [part for payload in payloads for part in (_payload_head(len(payload)), payload)]
            run.tail = (topic + head, *parts)
        else:
            # The items of an array, without its head.
            run.tail = (topic + cbor2.dumps(payloads)[len(encode_head(4, len(payloads))) :],)
    return run.tail


def _encode_time(timeout: int | None) -> bytes:
    return b"\xf6" if timeout is None else _WIDE_NUMBER.pack(WIDE, timeout)


def _carry(start: bytes, payload: v.Payload, headers: v.Headers) -> Parts:
    """Return the frame of a message that begins so and ends in a payload, and headers if there are any."""
    if type(payload) is bytes and len(payload) <= _KEPT and not headers:
        # The usual case, kept apart.
        end = _payload_head(len(payload)) + payload
        return (_FRAME.pack(len(start) + len(end)) + start + end,)
    head, data = _encode_payload(payload)
    end = cbor2.dumps(dict(headers)) if headers else b""
    first = _FRAME.pack(len(start) + len(head) + len(data) + len(end)) + start + head
    return (first + data + end,) if len(data) <= _KEPT else (first, data, end)


def _encode_request(message: m.Ask) -> Parts:
    start = _REQUEST.pack(0x86 if message.headers else 0x85, 8, WIDE, message.id)
    return _carry(start + _encode_time(message.timeout) + encode_text(message.topic), message.payload, message.headers)


def _encode_respond(message: m.Respond) -> Parts:
    start = _RESPOND.pack(0x84 if message.headers else 0x83, 10, WIDE, message.call)
    return _carry(start, message.payload, message.headers)


def _encode_call(message: m.Call) -> Parts:
    array = 0x87 if message.headers else 0x86
    start = _CALL.pack(array, 0x1818, WIDE, message.id, WIDE, message.service)
    return _carry(start + _encode_time(message.timeout) + encode_text(message.topic), message.payload, message.headers)


def _encode_response(message: m.Response) -> Parts:
    start = _RESPONSE.pack(0x84 if message.headers else 0x83, 0x181A, WIDE, message.request)
    return _carry(start, message.payload, message.headers)


def _flat(kind: int, fields: Callable[[Any], Iterable[object]]) -> Callable[[Any], Parts]:
    def write(message: Any) -> Parts:
        body = cbor2.dumps([kind, *fields(message)])
        return (_FRAME.pack(len(body)) + body,)

    return write


_ENCODERS: dict[type, Callable[[Any], Parts]] = {
    m.Publish: _encode_publish,
    m.Deliver: _encode_deliver,
    m.PublishRun: _encode_publish_run,
    m.DeliverRun: _encode_deliver_run,
    m.Ask: _encode_request,
    m.Respond: _encode_respond,
    m.Call: _encode_call,
    m.Response: _encode_response,
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
    m.Error: _flat(16, lambda x: (x.text,)),
    m.Accepted: _flat(20, lambda x: (x.first, *x.counts)),
    m.Refused: _flat(21, lambda x: (x.id, x.code, x.text)),
    m.Gap: _flat(23, lambda x: (x.subscription, x.dropped)),
    m.Withdraw: _flat(25, lambda x: (x.call,)),
}


def encode_parts(message: m.ClientMessage | m.ServerMessage) -> Parts:
    """Return the message as one frame, its length in front, in parts: a large payload is one of its own."""
    return _ENCODERS[type(message)](message)


def encode(message: m.ClientMessage | m.ServerMessage) -> bytes:
    """Return the message as one frame, its length in front."""
    return b"".join(encode_parts(message))
