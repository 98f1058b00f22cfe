"""What the calls of a client have in common: how typed ones become raw ones, and what an ``async with`` opens.

A typed call has a protocol and a topic below its prefix; a raw one the full topic and bytes. ``publish("oven",
Setpoint(180.0))`` publishes to ``setpoint/oven``. Who writes ``publish("setpoint/oven", Setpoint(180.0))`` publishes to
``setpoint/setpoint/oven``, where most likely nobody listens; so that is warned of.

The law of this module: what cannot be sent is refused before anything is sent.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import define, field

from .. import protocol as protocols
from ..background import closing
from ..hints import class_of, why_no_protocol
from ..under_trio import require_trio
from .service import Requests
from .subscription import Subscription

if TYPE_CHECKING:
    from .connection import ClientConnection

Opened = TypeVar("Opened", bound=Subscription[Any] | Requests[Any, Any])

Raw = TypeVar("Raw")

Headers = Mapping[str, str]

_BETWEEN: Final = frozenset(["t2bus", "contextlib", "functools", "trio"])
"""Packages whose code stands between a call and the program that made it."""


def same(payload: Raw) -> Raw:
    """Encode and decode what is raw, be it one payload or many."""
    return payload


@define(eq=False, slots=False)
class ClientBase:
    """The connection that calls use, and what it takes to begin one."""

    _connection: ClientConnection
    _warned: set[tuple[str, type]] = field(factory=set, init=False)
    """The calls, each by name and protocol, whose topic began with its own prefix."""

    def _full_topic(self, call: str, protocol: Any, role: type, topic: str, *body: object) -> str:
        """Return the full topic of a typed call, which has a ``body`` or not.

        Raises:
          TypeError: the protocol is not of this role, or cannot travel, or the topic is no text.

        """
        if class_of(protocol, role) is None:
            raise TypeError(why_no_protocol(call, protocol, role, topic, *body))
        full_topic = protocols.full_topic(protocol, topic)
        if begins_with_prefix(protocol, topic) and (call, protocol) not in self._warned:
            self._warned.add((call, protocol))
            text = f"{call}({topic!r}, ...): {prefix_hint(protocol, topic)}"
            warnings.warn(text, stacklevel=_level_of_program())
        return full_topic

    def _check_call(self, topic: str, *, concrete: bool = False) -> None:
        """Raise unless a task of the client's own Trio run calls, with a full topic that the bus takes."""
        require_trio()
        self._connection.check_run()
        self._connection.session.bounds.check_topic(topic, concrete=concrete)

    @asynccontextmanager
    async def _opened(self, channel: Opened, *, concrete: bool = False) -> AsyncGenerator[Opened, None]:
        """Open a channel and close it when the body ends; ``concrete`` refuses a topic with wildcards."""
        self._check_call(channel.topic, concrete=concrete)
        connection = self._connection
        connection.check_open()
        if not connection.session.outbox.has_room:
            await connection.wait_for_room()
            # It may be the session of another bus by now.
            connection.session.bounds.check_topic(channel.topic, concrete=concrete)
        await channel.open()
        async with closing(channel.aclose):
            yield channel


def begins_with_prefix(protocol: type, topic: str) -> bool:
    """Tell whether a topic begins with the prefix that will be put before it: ``oven/x`` does with ``oven``."""
    prefix = protocols.prefix_of(protocol)
    return topic.startswith(prefix) and topic[len(prefix) :][:1] in ("", "/")


def prefix_hint(protocol: type, topic: str) -> str:
    """Say what a topic that begins with its own prefix has become, and what was probably meant."""
    prefix = protocols.prefix_of(protocol)
    meant = topic[len(prefix) + 1 :]
    return (
        f"the topic begins with {prefix!r}, the prefix of {protocol.__name__}, which is put before it, so that it is "
        f"{f'{prefix}/{topic}'!r} on the bus; {meant!r} is {topic!r} there"
    )


def _level_of_program() -> int:
    """Return the ``stacklevel`` for a warning of my caller's that is to name the line of the program."""
    level, frame = 1, sys._getframe(1).f_back  # noqa: SLF001 -- it is public but for its name
    while frame is not None:
        level += 1
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _BETWEEN:
            return level
        frame = frame.f_back
    return 1
