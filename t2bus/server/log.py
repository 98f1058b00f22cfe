"""What the log says of peers, in lines that are printable and bounded: a peer may have written a part of them.

The law of this module: what a peer has written goes into the log through here only.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, assert_never

from attrs import define, field

from ..log_limiter import LogLimiter
from ..text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..broker.events import Event

_logger = logging.getLogger("t2bus.server")

_LONGEST_REASON: Final = 300
"""Characters of a reason."""

_LONGEST_NEWS: Final = 600
"""Characters of what has happened, which may quote a topic."""

_LEVELS: Final = {"subscribed": logging.DEBUG, "unsubscribed": logging.DEBUG, "denied": logging.WARNING}
"""Where it is not ``INFO``. A server that is lost for a reason is a warning: without one it is this end that left."""


def log_ending(label: str, reason: str) -> None:
    """Log why the connection of somebody has ended."""
    _logger.info("connection of %s ended: %s", label, printable(reason, _LONGEST_REASON))


def log_refusal(origin: str, reason: str) -> None:
    """Log why somebody was not let in."""
    _logger.warning("connection of %s refused: %s", origin, printable(reason, _LONGEST_REASON))


_REPEATED: Final = frozenset({"denied", "lagging", "claimed", "released"})
"""Events that a peer may cause as often as it likes."""

_INTERVAL: Final = 1.0
"""Seconds between two lines about what one identity is denied, or one client does with one topic."""


@define(eq=False)
class EventLog:
    """The lines about what happens to clients and other servers."""

    _limiter: LogLimiter = field(factory=lambda: LogLimiter(_INTERVAL), init=False)

    def write(self, events: Iterable[Event], now: float) -> None:
        """Log these events, but not what has just been told of its like."""
        for event in events:
            about = event.identity if event.kind == "denied" else (event.kind, event.client, event.topic)
            if event.kind not in _REPEATED or self._limiter.allows(about, now):
                _log_event(event)


def _log_event(event: Event) -> None:
    """Log what has happened; what a client subscribes to is for who wants to have it all."""
    what = printable(_told(event), _LONGEST_NEWS)
    extra = {"event": event.kind, "client": event.client, "client_name": event.name, "identity": event.identity}
    level = logging.WARNING if event.kind == "lost" and event.text else _LEVELS.get(event.kind, logging.INFO)
    _logger.log(level, "%s %s", _who(event), what, extra=extra | ({"server": event.server} if event.server else {}))


def _who(event: Event) -> str:
    """Say whom it has happened to."""
    if event.server:
        name = "" if event.name == event.server else f" {event.name}"
        return f"federation: server {event.server}{name}"
    name = f" {event.name}" if event.name else ""
    return f"client {event.client}{name} ({event.identity})"


def _told(event: Event) -> str:
    """Say what has happened."""
    match event.kind:
        case "connected":
            return f"connected from {event.text}"
        case "left":
            return f"left: {event.text}" if event.text else "left"
        case "subscribed":
            return f"subscribed to {event.topic}"
        case "unsubscribed":
            return f"unsubscribed from {event.topic}"
        case "lagging":
            return f"lags at {event.topic}: {event.dropped} dropped so far"
        case "denied":
            return f"denied: {event.text}"
        case "joined":
            return "joined"
        case "lost":
            return f"lost: {event.text}" if event.text else "lost"
        case "claimed" | "released":
            return f"{event.kind} {event.topic}"
        case _:
            assert_never(event.kind)
