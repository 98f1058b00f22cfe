"""What the log says of peers, in lines that are printable and bounded: a peer may have written a part of them.

The law of this module: what a peer has written goes into the log through here only.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from ..text import printable

if TYPE_CHECKING:
    from ..broker.peer import Peer

_logger = logging.getLogger("t2bus.server")

_LONGEST_REASON: Final = 300
"""Characters of a reason."""

_LONGEST_DENIAL: Final = 600
"""Characters of what the access rules refused, which quotes a topic."""


def log_ending(label: str, reason: str) -> None:
    """Log why the connection of somebody has ended."""
    _logger.info("connection of %s ended: %s", label, printable(reason, _LONGEST_REASON))


def log_refusal(origin: str, reason: str) -> None:
    """Log why somebody was not let in."""
    _logger.warning("connection of %s refused: %s", origin, printable(reason, _LONGEST_REASON))


def log_denial(text: str) -> None:
    """Log what the access rules refused, and to whom."""
    _logger.warning("denied: %s", printable(text, _LONGEST_DENIAL))


def is_log_wanted() -> bool:
    """Tell whether the log wants to have what :func:`log_step` says."""
    return _logger.isEnabledFor(logging.DEBUG)


def log_step(peer: Peer, text: str) -> None:
    """Log what a connection does or what becomes of it: it begins, subscribes, serves, misses something, leaves."""
    _logger.debug("connection %d of %s %s", peer.id, peer.identity, printable(text, _LONGEST_DENIAL))
