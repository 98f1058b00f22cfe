"""What the log says of peers, in lines that are printable and bounded: a peer may have written a part of them.

The law of this module: what a peer has written goes into the log through here only.
"""

from __future__ import annotations

import logging
from typing import Final

from ..text import printable

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
