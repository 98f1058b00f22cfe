"""Messages out of the bytes of their frames, without a CBOR reader.

Most frames carry one payload, or acknowledge one operation, and are written as this library writes them: ids and times
in eight bytes, lengths in as few as they take, a plain payload, no headers. Such a frame is cut at known places. This
is a PUBLISH of two bytes to ``a/b``::

    85 05 | 1b 00 00 00 00 00 00 00 07 | f5 | 63 61 2f 62 | 42 01 02
    kind    id 7, in eight bytes         paced  topic         payload

That takes a third of the time of the general way, :meth:`.native.MessageDecoder.decode_any`. For a frame of another
form, or a broken one, a decoder raises one of :data:`UNUSUAL`, and the general way decides.

The first two bytes of a frame have chosen its decoder (:attr:`.kinds.Row.opening`), which does not look at them again.
Bytes are read by slices, since a :class:`~.framing.LargeFrame` is not a buffer.

The law of this module: bytes in; out comes the message that the general way returns, or one of :data:`UNUSUAL`.
"""

# ruff: noqa: PLR2004 -- the numbers in here are those of CBOR (RFC 8949, section 3) and of the kinds of messages

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from . import messages as m
from .cbor import WIDE

if TYPE_CHECKING:
    from .framing import Frame

UNUSUAL: Final = (LookupError, ValueError, struct.error)
"""What a decoder raises for a frame that is of another form or ends too soon."""

_NULL: Final = 0xF6

# What follows the opening of each kind, as far as its length is fixed: ids with their heads, and the byte behind them.
_PUBLISH: Final = struct.Struct(">BQB")
_ASK: Final = struct.Struct(">BQB")
_RESPOND: Final = struct.Struct(">BQ")
_DELIVER: Final = struct.Struct(">BBQ")
_CALL: Final = struct.Struct(">BBQBQB")
_RESPONSE: Final = struct.Struct(">BBQ")

_LENGTH_SIZES: Final = {25: 2, 26: 4}
"""The bytes of a length, by the low five bits of the head in front of it."""

_ID_HEADS: Final = {5: 0x18, 6: 0x19, 8: 0x1A, 12: 0x1B}
"""The head of the id, by the bytes of a frame that acknowledges one operation."""


@lru_cache(maxsize=4096)
def _decode_text(data: bytes) -> str:
    # The same topics come again and again. One that is read here has at most 255 bytes, so the memory is bounded too.
    return data.decode()


def _payload(frame: Frame, at: int) -> bytes:
    """Return the byte string that begins at this place, which must fill the rest of the frame.

    For example ``42 01 02`` is two bytes, ``58 1e …`` thirty, ``59 04 00 …`` 1,024. The first byte of any other type
    gives a length that is not in the table or does not fill the frame.
    """
    size = frame[at] - 0x40
    start = at + 1
    if size == 24:
        size = frame[start]
        start += 1
    elif size > 24:
        end = start + _LENGTH_SIZES[size]
        size = int.from_bytes(frame[start:end], "big")
        start = end
    if start + size != len(frame):
        raise ValueError
    return frame[start:]


def _topic_and_payload(frame: Frame, at: int) -> tuple[str, bytes]:
    """Return the text that begins at this place, of at most 255 bytes, and the byte string behind it."""
    size = frame[at] - 0x60
    start = at + 1
    if size == 24:
        size = frame[start]
        start += 1
    elif not 0 <= size < 24:
        raise ValueError
    at = start + size
    topic = _decode_text(frame[start:at])
    # As in _payload. To call it would add a tenth to what decoding a small message takes.
    size = frame[at] - 0x40
    start = at + 1
    if size == 24:
        size = frame[start]
        start += 1
    elif size > 24:
        end = start + _LENGTH_SIZES[size]
        size = int.from_bytes(frame[start:end], "big")
        start = end
    if start + size != len(frame):
        raise ValueError
    return topic, frame[start:]


def decode_publish(frame: Frame) -> m.Publish:
    """Decode ``85 05``, ``[5, id, paced, topic, payload]``."""
    wide, number, paced = _PUBLISH.unpack(frame[2:12])
    if wide != WIDE or paced & 0xFE != 0xF4:
        raise ValueError
    topic, payload = _topic_and_payload(frame, 12)
    return m.Publish(number, paced == 0xF5, m.Publication(topic, payload))


def decode_ask(frame: Frame) -> m.Ask:
    """Decode ``85 08``, ``[8, id, timeout, topic, payload]``."""
    wide, number, mark = _ASK.unpack(frame[2:12])
    if wide != WIDE:
        raise ValueError
    if mark == _NULL:
        timeout, at = None, 12
    elif mark == WIDE:
        timeout, at = int.from_bytes(frame[12:20], "big"), 20
    else:
        raise ValueError
    topic, payload = _topic_and_payload(frame, at)
    return m.Ask(number, timeout, topic, payload)


def decode_respond(frame: Frame) -> m.Respond:
    """Decode ``83 0a``, ``[10, call, payload]``. The call is the bus's id of the request."""
    wide, number = _RESPOND.unpack(frame[2:11])
    if wide != WIDE:
        raise ValueError
    return m.Respond(number, _payload(frame, 11))


def decode_accepted(frame: Frame) -> m.Accepted:
    """Decode ``83 14``, ``[20, first, count]``, if the count is below 24 and so in one byte, the last."""
    # The length of the frame tells the length of the id, which is all between the opening and the last byte.
    size = len(frame)
    count = frame[size - 1]
    first = frame[2] if size == 4 else int.from_bytes(frame[3 : size - 1], "big")
    if count > 23 or (first > 23 if size == 4 else frame[2] != _ID_HEADS[size]):
        raise ValueError
    return m.Accepted(first, (count,))


def decode_deliver(frame: Frame) -> m.Deliver:
    """Decode ``84 16``, ``[22, [subscription], topic, payload]``, for one subscription.

    A delivery to several is rarer, and its ids have no fixed length: the general way decodes it.
    """
    one, wide, number = _DELIVER.unpack(frame[2:12])
    if one != 0x81 or wide != WIDE:
        raise ValueError
    topic, payload = _topic_and_payload(frame, 12)
    return m.Deliver((number,), m.Publication(topic, payload))


def decode_call(frame: Frame) -> m.Call:
    """Decode ``86 18 18``, ``[24, id, service, timeout, topic, payload]``."""
    kind, wide, number, wide_too, service, mark = _CALL.unpack(frame[2:22])
    if kind != 24 or not wide == wide_too == WIDE:
        raise ValueError
    if mark == _NULL:
        timeout, at = None, 22
    elif mark == WIDE:
        timeout, at = int.from_bytes(frame[22:30], "big"), 30
    else:
        raise ValueError
    topic, payload = _topic_and_payload(frame, at)
    return m.Call(number, service, timeout, topic, payload)


def decode_response(frame: Frame) -> m.Response:
    """Decode ``83 18 1a``, ``[26, request, payload]``."""
    kind, wide, number = _RESPONSE.unpack(frame[2:12])
    if kind != 26 or wide != WIDE:
        raise ValueError
    return m.Response(number, _payload(frame, 12))
