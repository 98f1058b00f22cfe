"""What a program wants to send, checked and measured before anything is sent.

The law of this module: values only; what is wrong raises in whoever asks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, cast

from .. import errors
from ..topic import is_concrete, validate
from ..wire import values as v
from ..wire.compression import deflate

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_topic", "encode_body"]


@lru_cache(maxsize=4096)
def check_topic(topic: str, length: int, depth: int, *, concrete: bool = False) -> None:
    """Raise ``InvalidTopic`` unless a bus with these bounds takes the topic; one that comes again is known by heart."""
    validate(topic, length=length, depth=depth)
    if concrete and not is_concrete(topic):
        raise errors.InvalidTopic(f"{topic!r} has wildcards: serve and request one topic as it is, without them")


def encode_body(
    topic: str, payload: bytes, headers: Mapping[str, str] | None, most: int, *, compress: bool
) -> v.EncodedBody:
    """Return a payload and headers as they travel, and what they count for with the topic.

    Raises:
      TypeError: the payload is not bytes, or the headers are not text to text.
      MessageTooLarge: together they are more than ``most`` bytes of a frame.

    """
    if not isinstance(payload, bytes):
        raise TypeError(f"a payload is bytes, not {type(payload).__name__}")
    sent: v.Headers = v.NO_HEADERS
    if headers:
        sent = dict(headers)
        for key, value in cast("dict[object, object]", sent).items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise TypeError("headers map text to text")
    size = v.size_in_frame(topic, payload, sent)
    if size > most:
        raise errors.MessageTooLarge(
            f"a message of {size} bytes does not fit in a frame of {most}: send less, or raise Limits.frame of the bus"
        )
    return deflate(payload) if compress else payload, sent, size
