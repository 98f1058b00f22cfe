"""What a client of the crate is answered for a frame that is no operation of the bus, and refusals in both wires.

It has every frame acknowledged, in order. So such a frame becomes a PING, and its PONG, which comes when everything
before it has been answered, is the acknowledgement. For example a ``Stop`` with the id 7 is ``Ping(57)``, as 57 is 7
and behind it, in three bits, the 1 of ``CANNOT_STOP``; ``Pong(57)`` is the ``Ack`` of 7 with that error.

A refusal is a code and a text here, and a variant of an enum in the crate: ``SERVICE_NOT_FOUND`` is there
``{"ServiceNotFound": "a/b"}``. Each is translated to the nearest of the other wire.

Why a bus ends a connection has no frame of its own. It is an ``Ack`` with the reason, under an id that no frame of the
crate's client has: that client passes it over, and one of this package reads it.

The law of this module: a token tells its reply and its number, and nothing else is remembered.
"""

from __future__ import annotations

import enum
from typing import Final

from ..wire import messages as m
from ..wire import values as v
from . import frames as r

_BITS: Final = 3
"""Of a token, for the reply; the number stands above."""

_NO_FRAME: Final = 0
"""The id of a farewell: the crate's client counts its frames from 1."""


class Reply(enum.IntEnum):
    """What the acknowledgement of a frame that is no operation says: the last bits of a PING's token, behind the id."""

    OK = 0
    CANNOT_STOP = 1
    UNKNOWN_REQUEST = 2
    MALFORMED = 3
    TOO_LONG = 4
    """The topic is longer than ``Limits.topic_length`` of the bus."""
    ASKED = 5
    """The request was handed on. Its PING follows it, so that a refusal comes first if there is one."""

    def ping(self, number: int) -> m.Ping:
        """Return the PING whose PONG asks for this reply; the number is that of the frame, or of the operation."""
        return m.Ping(number << _BITS | self)

    @classmethod
    def of(cls, token: int) -> tuple[Reply, int]:
        """Return the reply that a PONG asks for, and its number."""
        return cls(token & ((1 << _BITS) - 1)), token >> _BITS


# What the acknowledgement holds for each reply; nothing where all is well. ASKED, which depends on the request, and
# TOO_LONG, which depends on the bus, have none.
REPLIES: Final[dict[int, r.Failure | None]] = {
    Reply.OK: None,
    Reply.CANNOT_STOP: r.Failure("RequestFailed", ("programs cannot stop this bus: whoever started it does",)),
    Reply.UNKNOWN_REQUEST: r.Failure("InvalidRequestId"),
    Reply.MALFORMED: r.Failure(
        "MalformedMessage", ("payload", "it is no gzip member, or holds more than Limits.frame of this bus")
    ),
}

_CODES: Final = {
    "InvalidTopicString": v.ErrorCode.INVALID_TOPIC,
    "ClaimWildcardNotSupported": v.ErrorCode.INVALID_TOPIC,
    "TopicAlreadyClaimed": v.ErrorCode.TOPIC_CLAIMED,
    "ServiceNotFound": v.ErrorCode.SERVICE_NOT_FOUND,
    "DeliveryFailed": v.ErrorCode.SERVICE_GONE,
    "UnknownClient": v.ErrorCode.SERVICE_GONE,
    "RequestFailedTimeout": v.ErrorCode.REQUEST_TIMEOUT,
    "MalformedMessage": v.ErrorCode.MALFORMED_MESSAGE,
}
"""The codes nearest to the crate's errors; of the others nothing is known but what they say."""

_LONGEST_TEXT: Final = 1000
"""Characters of the text of an error that a client is sent."""


def refusal_of(operation: int, failure: r.Failure) -> m.Refused:
    """Return what an error of the crate is to a native client: a code, and a text with all that the error holds.

    A variant that is not known here, of a newer crate perhaps, is a ``REMOTE_ERROR`` that names it.
    """
    code = _CODES.get(failure.name, v.ErrorCode.REMOTE_ERROR)
    text = ": ".join((failure.name, *map(str, failure.details)))
    return m.Refused(operation, code, f"the Rust bus refused it: {text}")


def failure_of(refused: m.Refused, kind: r.Kind, topic: str) -> r.Failure:
    """Return the crate's error that says the most of a refusal, for a frame of this kind and topic.

    ``ServiceNotFound`` holds the topic alone. Whatever the crate has no variant for is ``RequestFailed``, whose text
    says what it was: a limit, a missing permission, or a topic that is too broad.
    """
    text = refused.text[:_LONGEST_TEXT]
    match refused.code:
        case v.ErrorCode.SERVICE_NOT_FOUND:
            return r.Failure("ServiceNotFound", (topic,))
        case v.ErrorCode.TOPIC_CLAIMED:
            return r.Failure("TopicAlreadyClaimed")
        case v.ErrorCode.INVALID_TOPIC if kind is r.Kind.SRV and "*" in topic:
            return r.Failure("ClaimWildcardNotSupported")
        case v.ErrorCode.INVALID_TOPIC:
            return r.Failure("InvalidTopicString", (text,))
        case _:
            return r.Failure("RequestFailed", (text,))


def too_long(most: int) -> r.Failure:
    """Return the error of a topic that has more than ``most`` characters."""
    return r.Failure("InvalidTopicString", (f"the topic has more than {most} characters (Limits.topic_length)",))


def farewell(reason: str) -> bytes:
    """Return the frame that tells a client why the bus ends its connection."""
    return r.encode_ack(_NO_FRAME, r.Failure("RequestFailed", (reason[:_LONGEST_TEXT],)))


def farewell_in(ack: r.Ack) -> m.Error | None:
    """Return why the bus ends the connection, if an acknowledgement that nobody waits for says that."""
    if ack.operation != _NO_FRAME or ack.failure is None:
        return None
    return m.Error(": ".join(map(str, ack.failure.details)))
