"""What waits to be written from a client to its bus, bounded.

Whoever puts a message here never waits; whoever writes takes all that waits and reports when it is written. Credit of
all subscriptions goes out as one message behind everything else.

Most messages press: somebody waits for what comes of them. The publications of a publisher do not, as it goes on
without waiting, so the writer may gather some before it writes; :attr:`ClientOutbox.gathered` says how many there are.

The law of this module: synchronous; the one effect outside is the ``wake`` callback, called when the writer has
something new to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from ..wire.messages import ClientMessage, Credit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ClientOutbox"]

_ENOUGH: Final = 256
"""Messages for one write. More make it no cheaper for each, and make the first wait."""


@define(eq=False, repr=False)
class ClientOutbox:
    """The messages that wait for the writer of a client."""

    limit: int
    wake: Callable[[], None]
    _messages: list[ClientMessage] = field(factory=list, init=False)
    _grants: dict[int, tuple[int, int]] = field(factory=dict, init=False)
    _waiting: int = field(default=0, init=False)
    _taken: int = field(default=0, init=False)
    _awake: bool = field(default=False, init=False)
    _pressing: bool = field(default=False, init=False)
    _closed: bool = field(default=False, init=False)

    @property
    def size(self) -> int:
        """The bytes that wait or are being written."""
        return self._waiting + self._taken

    @property
    def has_room(self) -> bool:
        """Whether a publication, request or response may be put now; otherwise wait until some of it is written."""
        return self._waiting + self._taken < self.limit

    @property
    def gathered(self) -> int:
        """How many messages wait that are in no hurry; 0 once one is, or enough have come together for one write."""
        return 0 if self._pressing or len(self._messages) >= _ENOUGH else len(self._messages)

    def put(self, message: ClientMessage, size: int = 0, *, pressing: bool = True) -> None:
        """Add a message; after :meth:`close` it is dropped."""
        if self._closed:
            return
        gathered = self.gathered
        self._messages.append(message)
        self._waiting += size + 1
        self._pressing |= pressing
        if not self._awake or (gathered and not self.gathered):
            self._rouse()

    def grant(self, number: int, messages: int, size: int) -> None:
        """Give credit back for a subscription."""
        if not self._closed:
            before_messages, before_size = self._grants.get(number, (0, 0))
            self._grants[number] = (before_messages + messages, before_size + size)
            if not self._awake:
                self._rouse()

    def forget(self, number: int) -> None:
        """Keep the credit of a subscription that is closed."""
        self._grants.pop(number, None)

    def press(self) -> None:
        """Have what waits written now: somebody waits for what comes of it."""
        if self.gathered:
            self._pressing = True
            self._rouse()

    def _rouse(self) -> None:
        self._awake = True
        self.wake()

    def take(self) -> list[ClientMessage]:
        """Return all that waits to be written and empty the outbox; its bytes count until :meth:`written`."""
        messages, self._messages = self._messages, []
        if self._grants:
            messages.append(Credit(tuple((number, *grant) for number, grant in self._grants.items())))
            self._grants.clear()
        self._taken += self._waiting
        self._waiting = 0
        self._awake = bool(messages)
        self._pressing = False
        return messages

    def written(self) -> None:
        """Stop counting what was taken."""
        self._taken = 0

    def close(self) -> None:
        """Drop what waits and take nothing more; the writer has that to do."""
        self._closed = True
        self._messages, self._waiting = [], 0
        self._grants.clear()
        if not self._awake:
            self._rouse()
