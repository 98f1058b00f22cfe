"""How responders are told that nobody waits for an answer any more.

Others decide how often they give up, so what a responder does not read of that must not cost its connection: it is told
at once, or when it has read what waits.

The law of this module: a call that its responder has ended meanwhile is told of no more.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field

from ..wire.messages import Withdraw

if TYPE_CHECKING:
    from collections.abc import Container

    from .peer import Peer


@define(eq=False, repr=False)
class Withdrawals:
    """All that responders are to be told."""

    pending: Container[int]
    """The calls that responders have not ended."""
    _untold: dict[int, deque[int]] = field(factory=dict, init=False)
    """By responder, the calls of which it has not been told: it reads slowly."""

    @property
    def is_empty(self) -> bool:
        """Whether all have been told."""
        return not self._untold

    def put(self, responder: Peer, call: int) -> None:
        """Tell a responder that nobody waits for this call, now or later."""
        if responder.outbox.is_calm:
            responder.outbox.put_control(Withdraw(call))
        else:
            self._untold.setdefault(responder.id, deque()).append(call)
            responder.waits_for_room = True

    def written(self, responder: Peer) -> bool:
        """Tell a responder what it was not told before; tell whether something still waits."""
        untold = self._untold.get(responder.id)
        if untold is None:
            return False
        while untold and responder.outbox.is_calm:
            call = untold.popleft()
            if call in self.pending:
                responder.outbox.put_control(Withdraw(call))
        if not untold:
            del self._untold[responder.id]
        return bool(untold)

    def forget(self, responder: Peer) -> None:
        """Tell a connection that has ended nothing more."""
        self._untold.pop(responder.id, None)
