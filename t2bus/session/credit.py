"""The credit that a client's subscriptions owe to the bus, and when it goes back.

What is due goes into the outbox. A subscription that owes more than a little is remembered, and whoever has the session
calls :meth:`CreditDue.give_back` now and then while there are any.

The law of this module: what is owed is collected from its window once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from .outbox import ClientOutbox
    from .windows import ReceiveWindow


@define(eq=False, repr=False)
class CreditDue:
    """The credit of all subscriptions of one connection."""

    _outbox: ClientOutbox
    _owing: dict[int, ReceiveWindow] = field(factory=dict, init=False)
    """The subscriptions that owe more than a little."""

    def __bool__(self) -> bool:
        """Whether :meth:`give_back` is to be called now and then."""
        return bool(self._owing)

    def look_at(self, window: ReceiveWindow, now: float) -> bool:
        """Give credit back if it is due; else see that this is looked at now and then.

        Returns:
          Whether the credit should be written at once: the bus may have none left.

        """
        if window.is_due(now):
            is_urgent = window.is_nearly_spent
            self._give_back(window, now)
            return is_urgent
        window.note_look()
        self._owing[window.id] = window
        return False

    def give_back(self, now: float) -> bool:
        """Give back the credit that is owed for long enough; tell whether it should be written at once."""
        is_urgent = False
        for window in list(self._owing.values()):
            if window.is_due(now):
                is_urgent |= window.is_nearly_spent
                self._give_back(window, now)
        return is_urgent

    def _give_back(self, window: ReceiveWindow, now: float) -> None:
        self._outbox.grant(window.id, *window.collect(now))
        self._owing.pop(window.id, None)

    def forget(self, window: ReceiveWindow) -> None:
        """Keep the credit of a subscription that is closed; idempotent."""
        self._owing.pop(window.id, None)
        self._outbox.forget(window.id)

    def clear(self) -> None:
        """Forget all of it: the connection has ended."""
        self._owing.clear()
