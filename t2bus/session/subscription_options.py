"""What a program asks of one subscription, beside its topic, and the window that it gets.

The law of this module: what is asked for is checked before anything is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import ge, instance_of, optional

from .latest import LatestWindow
from .windows import ReceiveWindow

if TYPE_CHECKING:
    from ..limits import Limits
    from ..wire.messages import Welcome
    from .counters import ClientCounters


def _bound() -> Any:
    return field(default=None, validator=optional([instance_of(int), ge(1)]))


@frozen
class SubscriptionOptions:
    """The options of a subscription.

    Raises:
      TypeError, ValueError: a bound is no whole number, or is below 1.

    """

    messages: int | None = _bound()
    """Messages that may be on their way or wait, or with ``latest`` topics that may wait; by default as in the client's
    ``Limits``. The bus's limit caps it."""
    size: int | None = _bound()
    """The same, in bytes."""
    latest: bool = False
    """Whether only the newest message of each topic waits."""

    def window(self, number: int, own: Limits, bus: Welcome, counters: ClientCounters) -> ReceiveWindow:
        """Make the window of a subscription with this id."""
        usual = min(own.subscription_messages, bus.subscription_messages)
        usual_size = min(own.subscription_bytes, bus.subscription_bytes)
        messages = usual if self.messages is None else min(self.messages, bus.subscription_messages)
        size = usual_size if self.size is None else min(self.size, bus.subscription_bytes)
        if self.latest:
            # What waits takes no credit, so that the window is for what is on its way.
            return LatestWindow(number, usual, usual_size, messages, size, counters)
        return ReceiveWindow(number, messages, size)


USUAL = SubscriptionOptions()
