"""What is published: one publication, or a run of them.

A bus reads each once and hands it to all its receivers; so what is derived from one is kept with it.

The law of this module: values only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from .values import NO_HEADERS, Headers, Payload

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MOST_IN_RUN", "RUN_SIZE", "Publication", "Run"]

MOST_IN_RUN: Final = 1024
"""Publications of one run, so that nobody else waits long while it is dealt with one by one."""

RUN_SIZE: Final = 65_536
"""Bytes of a run at most, unless it is of one. A longer one is no cheaper."""


@define
class Publication:
    """One published message, shared by all its receivers.

    ``tail`` is the native codec's own: the encoded end of the frame, kept here so that it is made once for all
    receivers; ``t2_frame`` is the same for Rust clients, the whole frame, and empty if they cannot take it. Both are
    derived from the other fields, take no part in equality, and are why this class is not frozen.
    """

    topic: str
    payload: Payload
    headers: Headers = NO_HEADERS
    tail: bytes | None = field(default=None, init=False, eq=False, repr=False)
    t2_frame: bytes | None = field(default=None, init=False, eq=False, repr=False)

    def goes_on(self, other: Publication) -> bool:
        """Whether both can be said in one :class:`Run`."""
        return (
            self.topic == other.topic
            and type(self.payload) is type(other.payload) is bytes
            and not (self.headers or other.headers)
        )


@define
class Run:
    """Publications to one topic that follow one another, plain and without headers: what a busy publisher publishes.

    A run is only a shorter way to say them. Whoever has to treat them differently takes them apart.
    """

    topic: str
    payloads: Sequence[bytes]
    """One at least, and :data:`MOST_IN_RUN` at most."""
    tail: tuple[bytes, ...] | None = field(default=None, init=False, eq=False, repr=False)
    """As in a :class:`Publication`, in parts."""
    _publications: list[Publication] | None = field(default=None, init=False, eq=False, repr=False)

    @property
    def size(self) -> int:
        """The bytes that they count for together."""
        return len(self.topic) * len(self.payloads) + sum(map(len, self.payloads))

    @property
    def publications(self) -> Sequence[Publication]:
        """The publications, one by one; made once, for all who take the run apart."""
        if self._publications is None:
            self._publications = [Publication(self.topic, payload) for payload in self.payloads]
        return self._publications
