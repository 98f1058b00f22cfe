"""What the log says of peers, in lines that are printable and bounded: a peer may have written a part of them.

The law of this module: what a peer has written goes into the log through here only.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, assert_never

from ..text import printable

if TYPE_CHECKING:
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


def log_event(event: Event) -> None:
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
