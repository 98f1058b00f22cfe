"""The frames that carry payloads, read by their bytes.

Most frames are of these kinds, and most of them are written as this library writes them: numbers and lengths in as few
bytes as they take, a plain payload, no headers. Such a frame is cut up here in half the time that a reader of all CBOR
takes. Any other is left to that reader, be it of another form or broken.

The law of this module: bytes in; out comes the message that the general reader reads, or None. Never an error.
"""

# ruff: noqa: PLR2004 -- the numbers in here are those of CBOR (RFC 8949, section 3) and of the kinds of messages

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from . import messages as m
from .framing import Frame

__all__ = ["FROM_BUS", "FROM_CLIENT", "Readers", "read"]

Readers = Mapping[bytes, Callable[[Frame], m.ClientMessage | m.ServerMessage]]

_NULL: Final = 0xF6


@lru_cache(maxsize=4096)
def _decode_text(data: bytes) -> str:
    # Topics come again and again. One that is read here has at most 255 bytes, which bounds the memory too.
    return data.decode()


def _number(frame: Frame, at: int) -> tuple[int, int]:
    """Return the unsigned integer that begins here, and where it ends."""
    number = frame[at]
    if number < 24:
        return number, at + 1
    if number > 27:
        raise ValueError
    end = at + 1 + (1 << number - 24)
    # What is cut short is found at the end of the frame.
    return int.from_bytes(frame[at + 1 : end], "big"), end


def _timeout(frame: Frame, at: int) -> tuple[int | None, int]:
    return (None, at + 1) if frame[at] == _NULL else _number(frame, at)


def _text(frame: Frame, at: int) -> tuple[str, int]:
    """Return the text that begins here, of at most 255 bytes, and where it ends."""
    size = frame[at] - 0x60
    if size == 24:
        at += 1
        size = frame[at]
    elif not 0 <= size < 24:
        raise ValueError
    end = at + 1 + size
    return _decode_text(frame[at + 1 : end]), end


def _payload(frame: Frame, at: int) -> bytes:
    """Return the bytes that begin here, if they are all the rest of the frame."""
    size = frame[at] - 0x40
    if 0 <= size < 24:
        start = at + 1
    elif size == 24:
        start = at + 2
        size = frame[at + 1]
    elif size == 25:
        start = at + 3
        size = frame[at + 1] << 8 | frame[at + 2]
    elif size == 26:
        start = at + 5
        size = int.from_bytes(frame[at + 1 : start], "big")
    else:
        raise ValueError
    if start + size != len(frame):
        raise ValueError
    return frame[start:]


def _publish(frame: Frame) -> m.Publish:
    number, at = _number(frame, 2)
    if frame[at] & 0xFE != 0xF4:
        raise ValueError
    topic, end = _text(frame, at + 1)
    return m.Publish(number, frame[at] == 0xF5, m.Publication(topic, _payload(frame, end)))


def _request(frame: Frame) -> m.Request:
    number, at = _number(frame, 2)
    timeout, at = _timeout(frame, at)
    topic, at = _text(frame, at)
    return m.Request(number, timeout, topic, _payload(frame, at))


def _respond(frame: Frame) -> m.Respond:
    number, at = _number(frame, 2)
    return m.Respond(number, _payload(frame, at))


def _deliver(frame: Frame) -> m.Deliver:
    if frame[2] != 0x81:
        raise ValueError
    number, at = _number(frame, 3)
    topic, at = _text(frame, at)
    return m.Deliver((number,), m.Publication(topic, _payload(frame, at)))


def _call(frame: Frame) -> m.Call:
    if frame[2] != 24:
        raise ValueError
    number, at = _number(frame, 3)
    service, at = _number(frame, at)
    timeout, at = _timeout(frame, at)
    topic, at = _text(frame, at)
    return m.Call(number, service, timeout, topic, _payload(frame, at))


def _response(frame: Frame) -> m.Response:
    if frame[2] != 26:
        raise ValueError
    number, at = _number(frame, 3)
    return m.Response(number, _payload(frame, at))


FROM_CLIENT: Final[Readers] = {
    b"\x85\x05": _publish,
    b"\x85\x08": _request,
    b"\x83\x0a": _respond,
}
"""Readers by the first two bytes of a frame: the head of its array, and its kind or the head of that."""

FROM_BUS: Final[Readers] = {
    b"\x84\x16": _deliver,
    b"\x86\x18": _call,
    b"\x83\x18": _response,
}


def read(frame: Frame, readers: Readers) -> m.ClientMessage | m.ServerMessage | None:
    """Return the message of a frame, or None if it is none of those that are read here."""
    reader = readers.get(frame[:2])
    if reader is None:
        return None
    try:
        return reader(frame)
    except (IndexError, ValueError):  # it ends too soon, or is of another form
        return None
