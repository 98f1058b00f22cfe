"""What messages are made of: payloads, headers, and the codes of refusals.

The law of this module: values only.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from attrs import frozen

from .. import errors

__all__ = ["NO_HEADERS", "Deflated", "EncodedBody", "ErrorCode", "Headers", "Payload", "size_in_frame", "size_of"]

Headers = Mapping[str, str]
NO_HEADERS: Headers = MappingProxyType({})


class ErrorCode(enum.IntEnum):
    """Why an operation was refused, as a number on the wire and as the exception that the caller meets."""

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


_ERRORS: dict[ErrorCode, type[errors.BusError]] = {
    ErrorCode.INVALID_TOPIC: errors.InvalidTopic,
    ErrorCode.MALFORMED_MESSAGE: errors.MalformedMessage,
    ErrorCode.MESSAGE_TOO_LARGE: errors.MessageTooLarge,
    ErrorCode.TOPIC_TOO_BROAD: errors.TopicTooBroad,
    ErrorCode.LIMIT_EXCEEDED: errors.LimitExceeded,
    ErrorCode.PERMISSION_DENIED: errors.PermissionDenied,
    ErrorCode.TOPIC_CLAIMED: errors.TopicClaimed,
    ErrorCode.SERVICE_NOT_FOUND: errors.ServiceNotFound,
    ErrorCode.SERVICE_BUSY: errors.ServiceBusy,
    ErrorCode.SERVICE_GONE: errors.ServiceGone,
    ErrorCode.REMOTE_ERROR: errors.RemoteError,
    ErrorCode.REQUEST_TIMEOUT: errors.RequestTimeout,
}
_CODES: dict[type[errors.BusError], ErrorCode] = {error: code for code, error in _ERRORS.items()}


@frozen
class Deflated:
    """A payload that its sender compressed with zlib; the bus passes it on as it is."""

    data: bytes


Payload = bytes | Deflated

EncodedBody = tuple[Payload, Headers, int]
"""A payload and headers as they travel, and what they count for."""

_AROUND = 64
"""Bytes of a frame around topic, payload and headers, at most."""

_AROUND_HEADER = 10
"""Bytes around the key and the value of one header, at most."""


def size_of(topic: str, payload: Payload, headers: Headers) -> int:
    """Return the bytes that a message counts for in every window and outbox: its topic, which is ASCII, its payload as
    it travels, and its headers.
    """
    size = len(topic) + len(payload.data if type(payload) is Deflated else payload)  # type: ignore[arg-type]
    if headers:
        size += sum(len(key.encode()) + len(value.encode()) for key, value in headers.items())
    return size


def size_in_frame(topic: str, payload: Payload, headers: Headers) -> int:
    """Return the bytes that a message's frame takes at most, the subscription ids of a delivery aside."""
    return _AROUND + size_of(topic, payload, headers) + _AROUND_HEADER * len(headers)
