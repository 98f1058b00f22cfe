"""The frames that carry payloads, read by their bytes.

Most frames are of these kinds, and most of them are written as this library writes them: ids and times in eight bytes,
lengths in as few as they take, a plain payload, no headers. Such a frame is cut up here in a third of the time that a
reader of all CBOR takes. Any other is left to that reader, be it of another form or broken.

The law of this module: bytes in; out comes the message that the general reader reads, or None. Never an error.
"""

# ruff: noqa: PLR2004 -- the numbers in here are those of CBOR (RFC 8949, section 3) and of the kinds of messages

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NoReturn

from . import messages as m
from .cbor import WIDE
from .framing import Frame

__all__ = ["FROM_BUS", "FROM_CLIENT", "Readers", "read"]

Readers = Mapping[bytes, Callable[[Frame], m.ClientMessage | m.ServerMessage]]

_NULL: Final = 0xF6

# What follows the first two bytes of each kind, as far as it is of a fixed length.
_PUBLISH: Final = struct.Struct(">BQB")
_REQUEST: Final = struct.Struct(">BQB")
_RESPOND: Final = struct.Struct(">BQ")
_DELIVER: Final = struct.Struct(">BBQ")
_CALL: Final = struct.Struct(">BBQBQB")
_RESPONSE: Final = struct.Struct(">BBQ")


@lru_cache(maxsize=4096)
def _decode_text(data: bytes) -> str:
    # Topics come again and again. One that is read here has at most 255 bytes, which bounds the memory too.
    return data.decode()


def _timeout(frame: Frame, mark: int, at: int) -> tuple[int, int]:
    """Return the time that this byte begins, and where it ends; ``at`` is the place behind that byte."""
    if mark != WIDE:
        raise ValueError
    return int.from_bytes(frame[at : at + 8], "big"), at + 8


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


def _topic_and_payload(frame: Frame, at: int) -> tuple[str, bytes]:
    """Return the text that begins here, of at most 255 bytes, and the bytes behind it."""
    size = frame[at] - 0x60
    start = at + 1
    if size == 24:
        size = frame[start]
        start += 1
    elif not 0 <= size < 24:
        raise ValueError
    end = start + size
    return _decode_text(frame[start:end]), _payload(frame, end)


def _publish(frame: Frame) -> m.Publish:
    wide, number, paced = _PUBLISH.unpack(frame[2:12])
    if wide != WIDE or paced & 0xFE != 0xF4:
        raise ValueError
    return m.Publish(number, paced == 0xF5, m.Publication(*_topic_and_payload(frame, 12)))


def _request(frame: Frame) -> m.Ask:
    wide, number, mark = _REQUEST.unpack(frame[2:12])
    if wide != WIDE:
        raise ValueError
    timeout, at = (None, 12) if mark == _NULL else _timeout(frame, mark, 12)
    return m.Ask(number, timeout, *_topic_and_payload(frame, at))


def _respond(frame: Frame) -> m.Respond:
    wide, number = _RESPOND.unpack(frame[2:11])
    if wide != WIDE:
        raise ValueError
    return m.Respond(number, _payload(frame, 11))


def _deliver(frame: Frame) -> m.Deliver:
    one, wide, number = _DELIVER.unpack(frame[2:12])
    if one != 0x81 or wide != WIDE:
        raise ValueError
    return m.Deliver((number,), m.Publication(*_topic_and_payload(frame, 12)))


def _call(frame: Frame) -> m.Call:
    kind, wide, number, wide_too, service, mark = _CALL.unpack(frame[2:22])
    if kind != 24 or not wide == wide_too == WIDE:
        raise ValueError
    timeout, at = (None, 22) if mark == _NULL else _timeout(frame, mark, 22)
    return m.Call(number, service, timeout, *_topic_and_payload(frame, at))


def _response(frame: Frame) -> m.Response:
    kind, wide, number = _RESPONSE.unpack(frame[2:12])
    if kind != 26 or wide != WIDE:
        raise ValueError
    return m.Response(number, _payload(frame, 12))


def _leave(_: Frame) -> NoReturn:
    raise ValueError


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


def read(frames: Sequence[Frame], readers: Readers) -> tuple[list[Any], list[int]]:
    """Return the message of each frame, and the places of those that are none of those that are read here."""
    messages: list[m.ClientMessage | m.ServerMessage | None] = []
    others: list[int] = []
    for frame in frames:
        reader = readers.get(frame[:2], _leave)
        try:
            messages.append(reader(frame))
        except (IndexError, ValueError, struct.error):  # it ends too soon, or is of another form
            others.append(len(messages))
            messages.append(None)
    return messages, others
