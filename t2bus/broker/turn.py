"""The turns of the router: how much it does in one call, so that others run before the next.

What a connection says, or leaves behind, may lead to far more work than it takes to say: a CREDIT frees what was held
for a second, and a connection that ends lets go of it. Whoever does such work counts it here, stops when no step is
left, and goes on in another call::

    while backlog and turn.left:
        deliver(backlog.popleft())
        turn.taken += 1

The law of this module: arithmetic only.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

HEADERS: Final = 4
"""Headers of a message for which it takes a step more: counting their bytes and cells took 0.5 us each, a step 2."""


@define(eq=False)
class Turn:
    """The steps of a bus. Each call of its router begins a turn; what has few steps by nature may go beyond its end."""

    steps: int
    """Of one turn; ``Limits.turn_steps``."""
    taken: int = field(default=0, init=False)
    """All steps so far."""
    end: int = field(default=0, init=False)
    """How many will have been taken when this turn ends."""
    is_alarmed: bool = field(default=False, init=False)
    """Set when something is left to do, or will be: ``Router.next_deadline`` has come nearer."""

    def begin(self) -> None:
        """Begin a turn."""
        self.end = self.taken + self.steps

    @property
    def left(self) -> int:
        """The steps that are left of it, 0 at least."""
        return max(0, self.end - self.taken)
