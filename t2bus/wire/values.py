"""What messages are made of: payloads, headers and the codes of refusals. And how many bytes a message counts for.

In windows and outboxes a message counts for its topic, payload and headers, as they travel (:func:`size_of`). Both ends
count so, and therefore agree. Its frame takes more, by the overheads in here at most (:func:`size_in_frame`). For
example the topic ``hello`` and a payload of 10 bytes count for 15 bytes, and fit in a frame of 79.

The law of this module: values only.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen

from .. import errors

Headers = Mapping[str, str]
"""Text to text, carried untouched."""

NO_HEADERS: Headers = MappingProxyType({})
"""What all messages without headers share; it cannot be changed."""


NAME_LENGTH: Final = 64
"""Characters of what a client calls itself; a longer one is cut where it is shown."""


class ErrorCode(enum.IntEnum):
    """Why an operation was refused: a number on the wire, and in the program the exception of the same name.

    For example 7, ``TOPIC_CLAIMED``, is raised as :class:`~t2bus.errors.TopicClaimed`.
    """

    INVALID_TOPIC = 1
    MALFORMED_MESSAGE = 2
    MESSAGE_TOO_LARGE = 3
    TOPIC_TOO_BROAD = 4
    LIMIT_EXCEEDED = 5
    PERMISSION_DENIED = 6
    TOPIC_CLAIMED = 7
    SERVICE_NOT_FOUND = 8
    SERVICE_BUSY = 9
    SERVICE_GONE = 10
    REMOTE_ERROR = 11
    REQUEST_TIMEOUT = 12

    @classmethod
    def of(cls, error: errors.BusError) -> ErrorCode:
        """Return the code of an error that the bus answers with; ``KeyError`` for one that never travels."""
        return _CODES[type(error)]

    def error(self, text: str) -> errors.BusError:
        """Return the exception that this refusal is in the caller."""
        return _ERRORS[self](text)


_ERRORS: Final[dict[ErrorCode, type[errors.BusError]]] = {
    code: getattr(errors, code.name.title().replace("_", "")) for code in ErrorCode
}
_CODES: Final = {error: code for code, error in _ERRORS.items()}


@frozen
class Deflated:
    """A payload that its sender compressed with zlib. The bus passes it on as it is, and the receiver inflates it."""

    data: bytes

    def __len__(self) -> int:
        return len(self.data)


Payload = bytes | Deflated
"""A payload as it travels. Its ``len`` is the number of bytes that travel."""

EncodedBody = tuple[Payload, Headers, int]
"""A payload and headers as they travel, and the bytes of a frame that they and their topic took before compression."""

FRAME_OVERHEAD: Final = 64
"""Bytes of a frame beside topic, payload and headers, at most; also beside the one text of a message that has one."""

HEADER_OVERHEAD: Final = 10
"""Bytes of a frame beside the key and the value of one header, at most."""

PAYLOAD_OVERHEAD: Final = 5
"""Bytes of a frame beside each payload of a run, at most."""


MOST_ITEMS: Final = 8192
"""CBOR items of a frame that a client sends: an array or a map is one, and so is each item in it."""

MOST_LISTED: Final = 2000
"""Headers of a message, at most, and triples of a CREDIT that is sent: three items each, they fit in such a frame."""


def size_of(topic: str, payload: Payload, headers: Headers) -> int:
    """Return the bytes that a message counts for in windows and outboxes. The topic is ASCII."""
    size = len(topic) + len(payload)
    return size + _size_of_headers(headers) if headers else size


def size_in_frame(topic: str, payload: Payload, headers: Headers) -> int:
    """Return the bytes that the frame of a message takes at most, without the subscription ids of a delivery."""
    size = len(topic) + len(payload) + FRAME_OVERHEAD
    return size + _size_of_headers(headers) + HEADER_OVERHEAD * len(headers) if headers else size


def room_for_payload(limit: int, topic: str, headers: Headers = NO_HEADERS) -> int:
    """Return the most bytes that a payload may have for its frame to keep within ``limit``, with this topic.

    0 if not even an empty payload is sure to fit. For example 921 for a limit of 1,000 bytes and a topic of 15.
    """
    return max(0, limit - size_in_frame(topic, b"", headers))


def _size_of_headers(headers: Headers) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in headers.items())
