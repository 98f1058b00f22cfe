"""What is published: one publication, or a run of them.

A bus decodes each once, and hands the same object to all its receivers. What is made of it for one receiver, such as
the end of its frame, is kept in it for the others.

The law of this module: values only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from .values import NO_HEADERS, Headers, Payload

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_IN_RUN: Final = 1024
"""Publications of one run at most, so that nobody else waits long while a run is taken apart."""

RUN_SIZE: Final = 65_536
"""Bytes of a run of several at most. A longer one would be no cheaper."""


@define
class Publication:
    """One published message, shared by all its receivers.

    ``tail`` is the end of its native frame, once that was made: topic, payload and headers, the same for every
    receiver. ``t2_frame`` is the whole frame for Rust clients, empty if they cannot take it. Both follow from the other
    fields and take no part in equality. They are why this class is not frozen.
    """

    topic: str
    payload: Payload
    headers: Headers = NO_HEADERS
    tail: bytes | None = field(default=None, init=False, eq=False, repr=False)
    t2_frame: bytes | None = field(default=None, init=False, eq=False, repr=False)

    def goes_on(self, other: Publication) -> bool:
        """Whether both can be in one :class:`Run`: one topic, plain payloads, no headers."""
        return (
            self.topic == other.topic
            and type(self.payload) is type(other.payload) is bytes
            and not (self.headers or other.headers)
        )


@define
class Run:
    """Publications to one topic that follow one another, without compression or headers: what a busy publisher makes.

    A run is only a shorter way to say them. Whoever has to treat them differently takes the run apart.
    """

    topic: str
    payloads: Sequence[bytes]
    """One to :data:`MOST_IN_RUN`."""
    tail: tuple[bytes, ...] | None = field(default=None, init=False, eq=False, repr=False)
    """As in a :class:`Publication`, in parts."""
    t2_frames: bytes | None = field(default=None, init=False, eq=False, repr=False)
    """All the frames for Rust clients, once they were made."""
    _publications: list[Publication] | None = field(default=None, init=False, eq=False, repr=False)

    @property
    def size(self) -> int:
        """The bytes that they count for together, each with the topic."""
        return len(self.topic) * len(self.payloads) + sum(map(len, self.payloads))

    @property
    def publications(self) -> Sequence[Publication]:
        """The publications one by one, made once for all who take the run apart."""
        if self._publications is None:
            self._publications = [Publication(self.topic, payload) for payload in self.payloads]
        return self._publications
