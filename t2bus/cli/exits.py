"""The exit codes of the command line."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["SIGNALLED", "Exit"]


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    ERROR = 1
    USAGE = 2
    """The command line itself is at fault: an option, a topic, an address or a value."""
    UNREACHABLE = 3
    """No bus could be reached."""
    NOBODY = 4
    """Nobody serves the topic of a request."""
    TIMEOUT = 5
    """A request was not answered in time."""


SIGNALLED: Final = 128
"""Plus the number of the signal: what was to be done is not done, as a shell reports it of a killed program."""
