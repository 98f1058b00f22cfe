"""A limit on how often the log says one thing, whatever peers do.

::

    limiter = LogLimiter(interval=1.0)
    if limiter.allows("denied", now):
        logger.warning("denied: %s", text)

The law of this module: no clock; time is an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Hashable

_MOST_KINDS: Final = 1024
"""Kinds that are remembered. Peers may choose the kind, so their number is bounded; the oldest goes first."""


@define(eq=False)
class LogLimiter:
    """Allows one of each kind in ``interval`` seconds."""

    interval: float
    _allowed_at: dict[Hashable, float] = field(factory=dict, init=False)

    def __len__(self) -> int:
        """Return how many kinds are remembered."""
        return len(self._allowed_at)

    def allows(self, kind: Hashable, now: float) -> bool:
        """Tell whether one of this kind may be now; if so it has been."""
        last = self._allowed_at.get(kind)
        if last is not None and now - last < self.interval:
            return False
        self._allowed_at.pop(kind, None)
        self._allowed_at[kind] = now
        if len(self._allowed_at) > _MOST_KINDS:
            del self._allowed_at[next(iter(self._allowed_at))]
        return True
