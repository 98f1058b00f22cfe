"""Messages to the bytes of their frames, put together by hand.

Each message that carries a payload passes here once for each receiver. The end of a publication's frame, that is its
topic, payload and headers, is the same for all receivers. It is made once and kept in the publication.

An encoder returns a frame in parts, its length in front. As a rule that is one part. A large payload is a part of its
own, because to write it from where it is costs less than to copy it.

For example ``Deliver((7,), Publication("a/b", b"12"))`` is made of three pieces. Another receiver has another id and
the same end::

    00 00 00 13 | 84 16 81 1b 00 00 00 00 00 00 00 07 | 63 61 2f 62 42 31 32
    length        kind and ids of this receiver         topic and payload, kept

The law of this module: messages in; out come the elements that the message's row names (:mod:`.kinds`). The ids and
times in front of a payload take eight bytes, which :mod:`.fast_decoders` counts on; everything else is as short as it
goes.
"""

from __future__ import annotations

import struct
from functools import lru_cache, partial
from typing import Final

import cbor2

from . import messages as m
from . import values as v
from .cbor import WIDE, encode_head, encode_text

Parts = tuple[bytes, ...]
"""A frame, to be joined or to be written part after part."""

_FRAME: Final = struct.Struct(">I")
_PUBLISH: Final = struct.Struct(">IBBBQB")
_ASK: Final = struct.Struct(">IBBBQ")
_RESPOND: Final = struct.Struct(">IBBBQ")
_CALL: Final = struct.Struct(">IBHBQBQ")
_RESPONSE: Final = struct.Struct(">IBHBQ")
"""How a frame begins: length, array, kind, ids."""

_ONE_ID: Final = struct.Struct(">BBQ")
_TIME: Final = struct.Struct(">BQ")
_NO_TIME: Final = b"\xf6"

_KEPT: Final = 4096
"""Bytes of a payload up to which a frame is one part, and the end of a publication's frame is kept. To write a longer
payload as it is costs less than to copy it once more."""

_LONG: Final = 512
"""Bytes of the payloads of a run from which each is a part of its own. To join them would copy each four times: without
that a bus passed on 40 % more messages of 16 kB."""


@lru_cache(maxsize=1024)
def _encode_ids(ids: tuple[int, ...]) -> bytes:
    # A connection is told the same subscriptions again and again.
    return _ONE_ID.pack(0x81, WIDE, *ids) if len(ids) == 1 else cbor2.dumps(ids)


# Counts of connections, and lengths of payloads, are few different ones as a rule.
_encode_count = lru_cache(maxsize=256)(partial(encode_head, 0))
_payload_head = lru_cache(maxsize=1024)(partial(encode_head, 2))


# --- publications


def _encode_tail(publication: m.Publication) -> tuple[bytes, Parts]:
    """Return the end of a publication's frame, the first part and the others; keep it if it is one part."""
    payload, headers = publication.payload, publication.headers
    if isinstance(payload, bytes):
        head, data = _payload_head(len(payload)), payload
    else:
        head, data = b"\x82\x01" + _payload_head(len(payload.data)), payload.data
    first, end = encode_text(publication.topic) + head, cbor2.dumps(dict(headers)) if headers else b""
    if len(data) > _KEPT:
        return first, (data, end) if headers else (data,)
    tail = publication.tail = first + data + end
    return tail, ()


def encode_publish(message: m.Publish) -> Parts:
    """Encode a publication for the bus: ``[5, id, paced, topic, payload]``, and headers if there are any."""
    publication = message.publication
    first, rest = _encode_tail(publication) if (tail := publication.tail) is None else (tail, ())
    array = 0x86 if publication.headers else 0x85
    size = 12 + len(first) + (sum(map(len, rest)) if rest else 0)
    first = _PUBLISH.pack(size, array, 5, WIDE, message.id, 0xF5 if message.paced else 0xF4) + first
    return (first, *rest) if rest else (first,)


def encode_deliver(message: m.Deliver) -> Parts:
    """Encode a publication for a subscriber."""
    publication = message.publication
    first, rest = _encode_tail(publication) if (tail := publication.tail) is None else (tail, ())
    start = (b"\x85\x16" if publication.headers else b"\x84\x16") + _encode_ids(message.subscriptions) + first
    if rest:
        return _FRAME.pack(len(start) + sum(map(len, rest))) + start, *rest
    return (_FRAME.pack(len(start)) + start,)


# --- runs


def encode_publish_run(message: m.PublishRun) -> Parts:
    """Encode a run for the bus; one publication goes as PUBLISH."""
    run = message.run
    if len(run.payloads) == 1:
        return encode_publish(m.Publish(message.id, message.paced, run.publications[0]))
    start = b"\x11" + encode_head(0, message.id) + (b"\xf5" if message.paced else b"\xf4")
    return _encode_run(4, start, run)


def encode_deliver_run(message: m.DeliverRun) -> Parts:
    """Encode a run for a subscriber; one publication goes as DELIVER."""
    run = message.run
    if len(run.payloads) == 1:
        return encode_deliver(m.Deliver(message.subscriptions, run.publications[0]))
    ids = message.subscriptions
    start = b"\x12\x81" + encode_head(0, ids[0]) if len(ids) == 1 else b"\x12" + cbor2.dumps(ids)
    return _encode_run(3, start, run)


def _encode_run(elements: int, start: bytes, run: m.Run) -> Parts:
    """Return the frame of a run, and keep its end in the run. ``start`` is the kind and what stands before the topic,
    which is the last of so many elements in front of the payloads.
    """
    if run.tail is None:
        topic, payloads = encode_text(run.topic), run.payloads
        if len(payloads[0]) >= _LONG:
            # The others are mostly of the same length.
            first, *rest = [part for payload in payloads for part in (_payload_head(len(payload)), payload)]
            run.tail = (topic + first, *rest)
        else:
            # The array of the payloads, without its head.
            run.tail = (topic + cbor2.dumps(payloads)[len(encode_head(4, len(payloads))) :],)
    first, *rest = run.tail
    head = encode_head(4, elements + len(run.payloads)) + start
    return _FRAME.pack(len(head) + len(first) + sum(map(len, rest))) + head + first, *rest


# --- requests and their answers


def _carry(start: bytes, payload: v.Payload, headers: v.Headers) -> Parts:
    """Return the frame that begins so, with four bytes for its length, and ends in a payload and headers.

    Each encoder does a plain payload without headers itself, the usual case: this call would be a sixth of it.
    """
    if isinstance(payload, bytes):
        head, data = _payload_head(len(payload)), payload
    else:
        head, data = b"\x82\x01" + _payload_head(len(payload.data)), payload.data
    end = cbor2.dumps(dict(headers)) if headers else b""
    first = _FRAME.pack(len(start) - 4 + len(head) + len(data) + len(end)) + start[4:] + head
    if len(data) <= _KEPT:
        return (first + data + end,)
    return (first, data, end) if headers else (first, data)


def encode_ask(message: m.Ask) -> Parts:
    """Encode a request for the bus."""
    payload, headers, timeout = message.payload, message.headers, message.timeout
    middle = (_NO_TIME if timeout is None else _TIME.pack(WIDE, timeout)) + encode_text(message.topic)
    if headers or type(payload) is not bytes:
        return _carry(_ASK.pack(0, 0x86 if headers else 0x85, 8, WIDE, message.id) + middle, payload, headers)
    middle += _payload_head(len(payload))
    start = _ASK.pack(11 + len(middle) + len(payload), 0x85, 8, WIDE, message.id) + middle
    return (start + payload,) if len(payload) <= _KEPT else (start, payload)


def encode_call(message: m.Call) -> Parts:
    """Encode a request for its service. Its kind, 24, and that of a response take two bytes: ``18 18``, ``18 1a``."""
    payload, headers, timeout = message.payload, message.headers, message.timeout
    middle = (_NO_TIME if timeout is None else _TIME.pack(WIDE, timeout)) + encode_text(message.topic)
    if headers or type(payload) is not bytes:
        start = _CALL.pack(0, 0x87 if headers else 0x86, 0x1818, WIDE, message.id, WIDE, message.service)
        return _carry(start + middle, payload, headers)
    middle += _payload_head(len(payload))
    size = 21 + len(middle) + len(payload)
    start = _CALL.pack(size, 0x86, 0x1818, WIDE, message.id, WIDE, message.service) + middle
    return (start + payload,) if len(payload) <= _KEPT else (start, payload)


def encode_respond(message: m.Respond) -> Parts:
    """Encode an answer for the bus."""
    payload, headers = message.payload, message.headers
    if headers or type(payload) is not bytes:
        return _carry(_RESPOND.pack(0, 0x84 if headers else 0x83, 10, WIDE, message.call), payload, headers)
    head = _payload_head(len(payload))
    start = _RESPOND.pack(11 + len(head) + len(payload), 0x83, 10, WIDE, message.call) + head
    return (start + payload,) if len(payload) <= _KEPT else (start, payload)


def encode_response(message: m.Response) -> Parts:
    """Encode an answer for the caller."""
    payload, headers = message.payload, message.headers
    if headers or type(payload) is not bytes:
        return _carry(_RESPONSE.pack(0, 0x84 if headers else 0x83, 0x181A, WIDE, message.request), payload, headers)
    head = _payload_head(len(payload))
    start = _RESPONSE.pack(12 + len(head) + len(payload), 0x83, 0x181A, WIDE, message.request) + head
    return (start + payload,) if len(payload) <= _KEPT else (start, payload)


# --- acknowledgements


def encode_accepted(message: m.Accepted) -> Parts:
    """Encode an acknowledgement, most of which are of one operation."""
    counts = message.counts
    if len(counts) == 1:
        body = b"\x83\x14" + cbor2.dumps(message.first) + _encode_count(counts[0])
    else:
        body = cbor2.dumps((20, message.first, *counts))
    return (_FRAME.pack(len(body)) + body,)
