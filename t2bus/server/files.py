"""Open files: a bus has one for each connection, and the system bounds how many a process may have.

It does so twice. The *soft* limit is what holds, 1,024 on most systems and 256 on macOS; a process may raise its own up
to the *hard* limit. ``t2bus serve`` has a process of its own, and raises it. A bus in a program leaves it alone, for
other parts of that program may rely on it: ``select`` knows no file above 1,023.

The law of this module: a bus that could never have all its connections says so when it is opened.
"""

from __future__ import annotations

import logging
import math
import resource
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ..errors import LimitExceeded

if TYPE_CHECKING:
    from ..limits import Limits

_logger = logging.getLogger("t2bus.server")

_OTHER_FILES: Final = 64
"""Files that a process opens beside its connections: modules, logs, listeners."""


def raise_soft_limit(limits: Limits) -> None:
    """Let this process open as many files as a bus with these limits needs, as far as its hard limit allows."""
    soft, hard = _limits()
    wanted = min(limits.connections + _OTHER_FILES, hard)
    if wanted > soft:
        with suppress(ValueError, OSError):  # a system may have a third bound, as macOS has
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(wanted), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            _logger.info("raised the soft limit of open files from %d to %d", soft, wanted)


def require_files(limits: Limits) -> None:
    """Raise ``LimitExceeded`` if this process may not open as many files as ``Limits.connections``."""
    soft, hard = _limits()
    connections, fewer = limits.connections, max(1, int(min(soft, limits.connections)) - _OTHER_FILES)
    if soft >= connections:
        return
    wrong = f"this process may open {soft} files, too few for {connections} connections"
    if hard < connections:
        raise LimitExceeded(
            f"{wrong}, and its hard limit of {hard} allows no more: set Limits.connections to {fewer} "
            f"(`--limit connections={fewer}` with serve), or have that limit raised"
        )
    raise LimitExceeded(
        f"{wrong}: run `ulimit -n {min(connections + _OTHER_FILES, hard)}` before, or set Limits.connections to {fewer}"
    )


def _limits() -> tuple[float, float]:
    """Return the soft and the hard limit of open files."""
    soft, hard = (
        math.inf if number == resource.RLIM_INFINITY else number
        for number in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    return soft, hard
