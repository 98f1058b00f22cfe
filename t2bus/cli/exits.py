"""The exit codes of the command line, so that a script can tell what to do next without reading the message.

::

    t2bus request measure/oven --timeout 2 || case $? in 4) start_the_oven;; 5) try_again;; esac
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    """Done; also for ``sub``, ``reply`` and ``serve`` that a signal has ended."""
    ERROR = 1
    """Everything that no other code is for; also a package that is not installed."""
    USAGE = 2
    """The command line or a file of settings is at fault: an option, a topic, an address, a value or access rules."""
    UNREACHABLE = 3
    """No bus could be reached, TLS failed, the bus did not let this client in, or the connection was lost."""
    NOBODY = 4
    """Nobody serves the topic of a request."""
    TIMEOUT = 5
    """A request was not answered in time, or no message came for as long as ``--wait`` allows."""
    REMOTE = 6
    """The service of a request failed, and said why."""
    DENIED = 7
    """The access rules of the bus forbid it."""
    TOO_FEW = 8
    """A message was accepted for fewer connections than ``--require`` asks for."""


SIGNALLED: Final = 128
"""Plus the number of the signal, for a command that was stopped before it was done: a shell reports programs so."""
