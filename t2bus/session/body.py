"""What a program wants to send, checked and measured before anything is sent, against what the bus said in its WELCOME.

The law of this module: values only; what is wrong raises in whoever asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import cast

from attrs import frozen

from .. import errors
from ..topic import is_concrete, validate
from ..wire import values as v
from ..wire.compression import THRESHOLD, deflate
from ..wire.messages import Welcome


@lru_cache(maxsize=4096)
def _check_topic(topic: str, length: int, depth: int, *, concrete: bool = False) -> None:
    validate(topic, length=length, depth=depth)
    if concrete and not is_concrete(topic):
        raise errors.InvalidTopic(f"{topic!r} has wildcards: serve and request one topic as it is, without them")


@frozen
class EncodedBatch:
    """Bodies as they travel, one after the other: either all are plain, or all are apart."""

    payloads: Sequence[bytes] = ()
    """Those that are not compressed and have no headers."""
    sizes: Sequence[int] = ()
    """What each of these counts for with its topic."""
    apart: Sequence[v.EncodedBody] = ()


@frozen
class Bounds:
    """What may be sent over one connection."""

    welcome: Welcome
    compress: bool
    """Whether large payloads are worth compressing."""

    def check_topic(self, topic: str, *, concrete: bool = False) -> None:
        """Raise ``InvalidTopic`` unless the bus takes this full topic; one that comes again is looked up.

        Raises ``TypeError`` for what is no text.
        """
        length, depth = self.welcome.topic_length, self.welcome.topic_depth
        try:
            _check_topic(topic, length, depth, concrete=concrete)
        except TypeError:  # a list cannot even be looked up
            _check_topic.__wrapped__(topic, length, depth, concrete=concrete)

    def encode_body(self, topic: str, payload: bytes, headers: Mapping[str, str] | None) -> v.EncodedBody:
        """Return a payload and headers as they travel, and what they count for with the topic.

        Raises:
          TypeError: the payload is not bytes, or the headers are not text to text.
          MalformedMessage: a header has a lone surrogate, which is no text that could travel.
          MessageTooLarge: together they are more than the frame that the bus takes.

        """
        most = self.welcome.frame
        if headers is None and type(payload) is bytes and len(payload) <= THRESHOLD:
            # The usual case, kept apart.
            size = len(topic) + len(payload) + v.FRAME_OVERHEAD
            if size <= most:
                return payload, v.NO_HEADERS, size
        if not isinstance(payload, bytes):
            raise TypeError(f"a payload is bytes, not {type(payload).__name__}")
        sent = v.NO_HEADERS if headers is None else _checked(headers)
        size = v.size_in_frame(topic, payload, sent)
        if size > most:
            raise errors.MessageTooLarge(
                f"a message of {size} bytes does not fit in a frame of {most}: send less, or raise Limits.frame of the "
                "bus"
            )
        return deflate(payload) if self.compress else payload, sent, size

    def encode_bodies(
        self, topic: str, payloads: Sequence[bytes], headers: Mapping[str, str] | None = None
    ) -> EncodedBatch:
        """Do as :meth:`encode_body` for each of many payloads with the same headers."""
        if headers is None and {*map(type, payloads)} <= {bytes}:
            around = len(topic) + v.FRAME_OVERHEAD
            most = min(self.welcome.frame, around + THRESHOLD) if self.compress else self.welcome.frame
            sizes = [around + length for length in map(len, payloads)]
            if max(sizes, default=0) <= most:
                return EncodedBatch(payloads, sizes)
        return EncodedBatch(apart=[self.encode_body(topic, payload, headers) for payload in payloads])


def _checked(headers: Mapping[str, str]) -> v.Headers:
    """Return a copy of the headers.

    Raises:
      TypeError: they are not text to text.
      MalformedMessage: one is not Unicode.
      MessageTooLarge: they are more than a bus reads.

    """
    if not issubclass(type(headers), Mapping):  # isinstance would be unreachable code to type checkers
        kind = type(headers).__name__
        raise TypeError(f"headers map text to text, and {kind} maps nothing: write headers={{'key': 'value'}}")
    sent = dict(headers)
    if len(sent) > v.MOST_LISTED:
        raise errors.MessageTooLarge(f"a message has {v.MOST_LISTED} headers at most, not {len(sent)}: send fewer")
    for key, value in cast("dict[object, object]", sent).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError("headers map text to text")
        try:
            f"{key}{value}".encode()
        except UnicodeEncodeError:
            # The text of the error would be quoted in logs that take Unicode alone.
            raise errors.MalformedMessage(f"the header {key!a} has a lone surrogate, which cannot travel") from None
    return sent or v.NO_HEADERS
