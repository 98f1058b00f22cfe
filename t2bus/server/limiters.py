"""Keeping peers from filling the log: of lines of one kind, one in a while is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["LogLimiter"]

_MOST_KINDS: Final = 1024
"""Kinds that are remembered. Peers may choose the kind, so their number is bounded; the oldest goes first."""


@define(eq=False)
class LogLimiter:
    """Allows one of each kind in ``interval`` seconds."""

    interval: float
    _allowed_at: dict[Hashable, float] = field(factory=dict, init=False)

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
