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

    from ..broker.status import Event

_logger = logging.getLogger("t2bus.server")

_LONGEST_REASON: Final = 300
"""Characters of a reason."""

_LONGEST_NEWS: Final = 600
"""Characters of what has happened, which may quote a topic."""

_LEVELS: Final = {"subscribed": logging.DEBUG, "unsubscribed": logging.DEBUG, "denied": logging.WARNING}
"""Where it is not ``INFO``."""


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
    """The lines about what happens to clients."""

    _limiter: LogLimiter = field(factory=lambda: LogLimiter(_INTERVAL), init=False)

    def write(self, events: Iterable[Event], now: float) -> None:
        """Log these events, but not what has just been told of its like."""
        for event in events:
            about = event.identity if event.kind == "denied" else (event.kind, event.client, event.topic)
            if event.kind not in _REPEATED or self._limiter.allows(about, now):
                _log_event(event)


def _log_event(event: Event) -> None:
    """Log what has happened to a client; what it subscribes to is for who wants to have it all."""
    who = (
        f"client {event.client} {event.name} ({event.identity})"
        if event.name
        else f"client {event.client} ({event.identity})"
    )
    what = printable(_told(event), _LONGEST_NEWS)
    extra = {"event": event.kind, "client": event.client, "client_name": event.name, "identity": event.identity}
    _logger.log(_LEVELS.get(event.kind, logging.INFO), "%s %s", who, what, extra=extra)


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
        case "claimed" | "released":
            return f"{event.kind} {event.topic}"
        case _:
            assert_never(event.kind)
