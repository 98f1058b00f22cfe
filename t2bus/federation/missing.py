"""Endpoints of nodes that have left, and when to look there again.

::

    missing = Missing()
    missing.left("tls:north.example:7447", now)
    missing.due(now + 1)  # ["tls:north.example:7447"], and again at now + 2, now + 4, ...

Many nodes that leave never come again. But where a network comes apart between two nodes only, each looks to the other
as if it had ended, and nobody tells them of each other. So a node is looked for each time that it has been away for
twice as long: it is found after an outage of any length within as long again, and what is in vain costs less and less.

The law of this module: no clock; time is an argument.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from attrs import define, field

FIRST: Final = 1.0
"""Seconds after which a node is looked for. Most links are made anew before."""

LONGEST: Final = 86_400.0
"""Seconds after which it is looked for no more."""

MOST: Final = 1024
"""Endpoints that are remembered; the first to have been left goes first."""

AT_ONCE: Final = 32
"""Endpoints that are looked at together; the others wait."""


@define
class _Absence:
    since: float
    look_at: float


@define(eq=False)
class Missing:
    """The endpoints of those who have left."""

    _here: Counter[str] = field(factory=Counter, init=False)
    """How many nodes are at each endpoint: two where a server was started again and its old node has not left yet."""
    _absences: dict[str, _Absence] = field(factory=dict, init=False)

    def left(self, endpoint: str, now: float) -> None:
        """Note that a node at this endpoint has left."""
        self._here[endpoint] -= 1
        if self._here[endpoint] > 0:
            return
        del self._here[endpoint]
        self._absences[endpoint] = _Absence(now, now + FIRST)
        if len(self._absences) > MOST:
            del self._absences[next(iter(self._absences))]

    def joined(self, endpoint: str) -> None:
        """Note that a node is at this endpoint, be it another one."""
        self._here[endpoint] += 1
        self._absences.pop(endpoint, None)

    def due(self, now: float) -> list[str]:
        """Return where to look now; each endpoint is returned once for each time."""
        endpoints = [endpoint for endpoint, absence in self._absences.items() if absence.look_at <= now][:AT_ONCE]
        for endpoint in endpoints:
            absence = self._absences[endpoint]
            absence.look_at = now + (now - absence.since)
            if now - absence.since > LONGEST:
                del self._absences[endpoint]
        return endpoints
