"""What a bus is told in the name of a client of the crate, which has no words for it.

What was written to such a client counts as taken by its program, and its credit goes back. A request that it cannot be
sent fails.

For example, after a delivery of 15 bytes to subscription 7 was written, ``take`` returns ``Credit((7, 1, 15))``.

The law of this module: what is said once is not said again.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from attrs import define, field

from ..wire.messages import Credit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..wire.messages import ClientMessage


@define(eq=False, repr=False)
class Inbound:
    """The messages that wait to be said to the bus."""

    _messages: list[ClientMessage] = field(factory=list, init=False)
    _written: dict[int, tuple[int, int]] = field(factory=dict, init=False)
    """The messages and bytes that each subscription was sent since the last credit."""

    def say(self, message: ClientMessage) -> None:
        """Add a message, which is said at the next :meth:`take`."""
        self._messages.append(message)

    def note_written(self, subscriptions: Sequence[int], messages: int, size: int) -> None:
        """Add so many messages, of so many bytes in all, to the credit of each of these subscriptions."""
        for number in subscriptions:
            before_messages, before_size = self._written.get(number, (0, 0))
            self._written[number] = (before_messages + messages, before_size + size)

    def take(self) -> Sequence[ClientMessage]:
        """Return what is to be said, now that all so far is written.

        It is one credit for all subscriptions, after the failures. Often there is nothing to say.
        """
        messages, self._messages = self._messages, []
        if self._written:
            grants = ((number, *written) for number, written in self._written.items())
            messages.append(Credit(tuple(chain.from_iterable(grants))))
            self._written = {}
        return messages
