"""Figures and their bounds, and how large a run is.

::

    measured.at_most("memory of the bus", 290.4, 320.0, "MiB")  # memory of the bus: 290 MiB, at most 320

``T2BUS_SOAK`` is how many minutes each test that lasts is to last (``nox -s soak -- --minutes N``). What is counted is
as many times as much then; without it a run takes a few minutes in all.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUTES: Final = float(os.environ.get("T2BUS_SOAK", "0"))
LONGEST: Final = 300 + 90 * MINUTES
"""Seconds after which a test has hung."""

MIB: Final = 1 << 20


def times(count: int) -> int:
    """Return how often something is done that is done so often in a short run."""
    return round(count * max(1.0, MINUTES))


def lasting(seconds: float) -> float:
    """Return the seconds that something lasts which lasts so long in a short run."""
    return max(seconds, 60 * MINUTES)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of them does not exceed: 0.99 for the 99th percentile."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


TIMED: Final = frozenset({"s", "ms", "%", "times", "a second"})
"""Units of what the machine and its neighbours have a part in."""


@frozen
class Measured:
    """Takes the figures of a run, each with a name that says what was measured, and holds them against their bounds.

    A count or a memory beyond its bound fails the test. A time or a rate is kept in ``missed``: the test has to go on,
    and is an expected failure with that figure.
    """

    lines: list[str]
    missed: list[str] = field(factory=list, init=False)

    def at_most(self, name: str, figure: float, bound: float, unit: str = "") -> None:
        """Take a figure that must not be above its bound."""
        self._take(name, figure, f"at most {bound:,.4g}", unit, is_reached=figure <= bound)

    def at_least(self, name: str, figure: float, bound: float, unit: str = "") -> None:
        """Take a figure that must not be below its bound."""
        self._take(name, figure, f"at least {bound:,.4g}", unit, is_reached=figure >= bound)

    def exactly(self, name: str, figure: float, bound: float, unit: str = "") -> None:
        """Take a count that must be right."""
        self._take(name, figure, f"exactly {bound:,.10g}", unit, is_reached=figure == bound)

    def beside(self, name: str, figure: float, unit: str = "") -> None:
        """Take a figure that has no bound, for those who compare runs."""
        self.lines.append(f"{name}: {_shown(figure)} {unit}".rstrip())

    def _take(self, name: str, figure: float, bound: str, unit: str, *, is_reached: bool) -> None:
        line = f"{name}: {f'{_shown(figure)} {unit}'.strip()}, {bound}"
        self.lines.append(line if is_reached else f"{line} -- NOT REACHED")
        if not is_reached and unit in TIMED:
            self.missed.append(line)
        else:
            assert is_reached, line


def _shown(figure: float) -> str:
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:,.4g}"
