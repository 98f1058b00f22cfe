"""The native wire, ``t2bus/1``: each message is one flat CBOR array ``[kind, …]``. ``docs/wire.md`` is its
specification.

Decoding trusts nothing. The CBOR reader is hardened (:mod:`.cbor`); the array must fill its frame exactly; then each
element is checked for its exact type and range, so that a message class always holds what its annotations say. Whatever
the bytes are, the outcome is a message or a :class:`~t2bus.errors.ProtocolViolation` that shows where the frame begins.

The law of this module: bytes in, messages out; :mod:`.native_writer` has the way back.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import cbor2

from ..errors import ProtocolViolation
from . import direct
from . import messages as m
from . import values as v
from .cbor import make_reader, violation
from .native_writer import encode, encode_parts

if TYPE_CHECKING:
    from .framing import Frame

__all__ = ["VERSION", "decode_client_messages", "decode_server_messages", "encode", "encode_parts"]

VERSION: Final = 1

_MAX_DEPTH = 2
_DEFLATED = 1
"""A compressed payload is the array ``[1, bytes]`` where a plain one is the bytes alone."""


# --- decoding: hardened CBOR


def _items(frames: Sequence[bytes]) -> Iterable[list[Any]]:
    """Yield the array in each frame. One reader serves the batch: making one costs as much as reading a frame."""
    buffer = io.BytesIO(b"".join(frames))
    read = make_reader(buffer, _MAX_DEPTH).decode
    end = 0
    for frame in frames:
        end += len(frame)
        try:
            item = read()
        except cbor2.CBORError as error:
            raise violation(f"a frame is not the CBOR this wire allows: {error}", frame) from error
        if buffer.tell() != end:
            raise violation("a frame holds more or less than one CBOR item", frame)
        if type(item) is not list or not item:
            raise violation("a frame is not an array that starts with its kind", frame)
        yield item


# --- decoding: exact types

_Check = Callable[[Any], Any]


def _uint(value: Any) -> int:
    # An integer of more than 64 bits would be a tag.
    if type(value) is not int or value < 0:
        raise ProtocolViolation("expected an unsigned integer of 64 bits")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ProtocolViolation("expected text")
    return value


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise ProtocolViolation("expected true or false")
    return value


def _timeout(value: Any) -> int | None:
    return None if value is None else _uint(value)


def _payload(value: Any) -> v.Payload:
    if type(value) is bytes:
        return value
    if type(value) is list and list(map(type, value)) == [int, bytes] and value[0] == _DEFLATED:
        return v.Deflated(value[1])
    raise ProtocolViolation("expected a payload: a byte string, or [1, byte string]")


def _headers(value: Any) -> v.Headers:
    if type(value) is not dict or any(type(key) is not str or type(text) is not str for key, text in value.items()):
        raise ProtocolViolation("expected headers: a map of text to text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if type(value) is not list:
        raise ProtocolViolation("expected an array of texts")
    return tuple(map(_text, value))


def _uints(value: Any) -> tuple[int, ...]:
    if type(value) is not list or not value or set(map(type, value)) != {int} or min(value) < 0:
        raise ProtocolViolation("expected an array of one or more unsigned integers of 64 bits")
    return tuple(value)


def _code(value: Any) -> v.ErrorCode:
    try:
        return v.ErrorCode(_uint(value))
    except ValueError as error:
        raise ProtocolViolation(f"unknown error code {value}") from error


def _fixed(make: Callable[..., Any], *checks: _Check) -> _Check:
    """Read a message whose array has one element for each check."""

    def read(item: list[Any]) -> Any:
        if len(item) != len(checks) + 1:
            raise ProtocolViolation(f"a message of kind {item[0]} has {len(item) - 1} elements, not {len(checks)}")
        return make(*[check(value) for check, value in zip(checks, item[1:], strict=True)])

    return read


def _with_headers(make: Callable[..., Any], *checks: _Check) -> _Check:
    """Read a message that may have headers as one more element."""
    bare = _fixed(make, *checks)
    full = _fixed(make, *checks, _headers)
    return lambda item: full(item) if len(item) == len(checks) + 2 else bare(item)


def _publish(number: int, paced: Any, topic: str, payload: v.Payload, headers: v.Headers = v.NO_HEADERS) -> m.Publish:
    return m.Publish(number, paced, m.Publication(topic, payload, headers))


def _deliver(ids: tuple[int, ...], topic: str, payload: v.Payload, headers: v.Headers = v.NO_HEADERS) -> m.Deliver:
    return m.Deliver(ids, m.Publication(topic, payload, headers))


def _accepted(item: list[Any]) -> m.Accepted:
    first, *counts = _uints(item[1:])
    if not counts:
        raise ProtocolViolation("an acknowledgement has one or more counts")
    return m.Accepted(first, tuple(counts))


def _credit(item: list[Any]) -> m.Credit:
    flat = _uints(item[1:])
    if len(flat) % 3:
        raise ProtocolViolation("credit comes in triples of subscription, messages and bytes")
    return m.Credit(tuple(zip(flat[::3], flat[1::3], flat[2::3], strict=True)))


def _run(rest: list[Any]) -> m.Run:
    topic, *payloads = rest or [None]
    if not 0 < len(payloads) <= m.MOST_IN_RUN or set(map(type, payloads)) != {bytes}:
        raise ProtocolViolation(f"expected a run: a topic and 1 to {m.MOST_IN_RUN} byte strings")
    return m.Run(_text(topic), payloads)


def _with_run(make: Callable[..., Any], *checks: _Check) -> _Check:
    """Read a message that ends in a run."""
    read, start = _fixed(make, *checks, _run), len(checks) + 1
    return lambda item: read([*item[:start], item[start:]])


def _publish_run(number: int, paced: Any, run: m.Run) -> m.PublishRun:
    if number + len(run.payloads) > 1 << 64:
        raise ProtocolViolation("expected operation ids of 64 bits")
    return m.PublishRun(number, paced, run)


_BOTH: dict[int, _Check] = {
    13: _fixed(m.Ping, _uint),
    14: _fixed(m.Pong, _uint),
    15: _fixed(m.Goodbye, _text),
    16: _fixed(m.Error, _text),
}
_FROM_CLIENT: dict[int, _Check] = _BOTH | {
    1: _fixed(m.Hello, _uint, _text, _texts),
    3: _fixed(m.Subscribe, _uint, _text, _uint, _uint),
    4: _fixed(m.Unsubscribe, _uint, _uint),
    5: _with_headers(_publish, _uint, _bool, _text, _payload),
    6: _fixed(m.Claim, _uint, _text, _uint, _uint),
    7: _fixed(m.Unclaim, _uint, _uint),
    8: _with_headers(m.Ask, _uint, _timeout, _text, _payload),
    9: _fixed(m.Cancel, _uint),
    10: _with_headers(m.Respond, _uint, _payload),
    11: _fixed(m.Fail, _uint, _code, _text),
    12: _credit,
    17: _with_run(_publish_run, _uint, _bool),
}
_FROM_SERVER: dict[int, _Check] = _BOTH | {
    2: _fixed(m.Welcome, _uint, _text, _texts, *[_uint] * 10),
    18: _with_run(m.DeliverRun, _uints),
    20: _accepted,
    21: _fixed(m.Refused, _uint, _code, _text),
    22: _with_headers(_deliver, _uints, _text, _payload),
    23: _fixed(m.Gap, _uint, _uint),
    24: _with_headers(m.Call, _uint, _uint, _timeout, _text, _payload),
    25: _fixed(m.Withdraw, _uint),
    26: _with_headers(m.Response, _uint, _payload),
}


def _decode(frames: Sequence[bytes], kinds: Mapping[int, _Check]) -> list[Any]:
    decoded = []
    for frame, item in zip(frames, _items(frames), strict=True):
        kind = item[0]
        if type(kind) is not int or (read := kinds.get(kind)) is None:
            raise violation("a message is of a kind that this end does not take", frame)
        try:
            decoded.append(read(item))
        except ProtocolViolation as error:
            raise violation(str(error), frame) from error
    return decoded


def _decoder(readers: direct.Readers, kinds: Mapping[int, _Check]) -> Callable[[Sequence[Frame]], list[Any]]:
    """Return what decodes frames: each that :mod:`.direct` can read by itself, and all others together."""

    def decode(frames: Sequence[Frame]) -> list[Any]:
        decoded, others = direct.read(frames, readers)
        if others:
            for place, message in zip(others, _decode([bytes(frames[place]) for place in others], kinds), strict=True):
                decoded[place] = message
        return decoded

    return decode


decode_client_messages: Callable[[Sequence[Frame]], list[m.ClientMessage]] = _decoder(direct.FROM_CLIENT, _FROM_CLIENT)
"""Return what a client says in these frames; raise ``ProtocolViolation`` if any is not of this wire."""

decode_server_messages: Callable[[Sequence[Frame]], list[m.ServerMessage]] = _decoder(direct.FROM_BUS, _FROM_SERVER)
"""Return what a bus says in these frames; raise ``ProtocolViolation`` if any is not of this wire."""
