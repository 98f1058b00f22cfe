"""What a client has opened on its bus: its subscriptions and services, by the ids of the operations that opened them.

They are what outlives a connection. Everything else of a session, the operations that wait for their answer, ends with
it; these go on in the session of the next connection (:mod:`.resuming`).

The law of this module: what is closed says why, and the first reason stands. What has something new is returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from ..errors import LimitExceeded
from ..wire.messages import Claim, Subscribe
from .windows import CallWindow, ReceiveWindow

if TYPE_CHECKING:
    from collections.abc import Container, Sized

    from ..errors import BusError
    from ..wire.messages import Call
    from .windows import PendingCall

Window = ReceiveWindow | CallWindow

_NOTHING: Final = "", None


@define(eq=False, repr=False)
class Registrations:
    """The subscriptions and services of one client."""

    _service_size: int
    """Bytes that may be pending at each service."""
    subscriptions: dict[int, ReceiveWindow] = field(factory=dict, init=False)
    services: dict[int, CallWindow] = field(factory=dict, init=False)
    _opened: dict[int, tuple[str, Window]] = field(factory=dict, init=False)
    """All of them with their topics, in the order of opening."""
    calls: dict[int, CallWindow] = field(factory=dict, init=False)
    """The service of each request that is not ended, by the id of its call."""

    def __len__(self) -> int:
        return len(self._opened)

    def open(self, number: int, topic: str, window: Window) -> Subscribe | Claim:
        """Keep a subscription or a service, and return the message that opens it."""
        self._opened[number] = topic, window
        if isinstance(window, CallWindow):
            self.services[number] = window
            return Claim(number, topic, window.window, self._service_size)
        self.subscriptions[number] = window
        return Subscribe(number, topic, window.window_messages, window.window_size)

    def discard(self, window: Window) -> bool:
        """Keep one no more, and tell whether it was there.

        One that ended over an earlier connection is not, though another may have its id here.
        """
        number = window.id
        if self._opened.get(number, _NOTHING)[1] is not window:
            return False
        del self._opened[number]
        self.subscriptions.pop(number, None)
        if (service := self.services.pop(number, None)) is not None:
            for call in service.pending:
                self.calls.pop(call, None)
        return True

    def take(self) -> list[tuple[str, Window]]:
        """Return everything that is open, with its topic, in the order of opening; keep none of it."""
        taken = [*self._opened.values()]
        for _, window in taken:
            self.discard(window)
        return [(topic, window) for topic, window in taken if window.closed is None]

    def put_call(self, call: Call) -> CallWindow | None:
        """Take in a request; return its service, or None where that is not there.

        Raises:
          ProtocolViolation: the bus hands over more than the window of the service allows.

        """
        service = self.services.get(call.service)
        if service is not None:
            if (ended := service.put(call)) is not None:
                self.calls.pop(ended, None)
            self.calls[call.id] = service
        return service

    def end_call(self, service: CallWindow, pending: PendingCall) -> bool:
        """Note that a request is ended; tell whether it was not before.

        One that was lost with its connection was, though another of its number may be there.
        """
        number = pending.call.id
        if service.pending.get(number) is not pending:
            return False
        del service.pending[number]
        self.calls.pop(number, None)
        return True

    def withdraw(self, call: int) -> tuple[CallWindow, PendingCall, bool] | None:
        """Note that nobody waits for a call any more: return it with its service, and whether the program has not seen
        it; None where that is known, or there is no such call.
        """
        service = self.calls.get(call)
        if service is None or (pending := service.pending[call]).withdrawn:
            return None
        return service, pending, service.withdraw(pending)

    def end(self, window: Window, error: BusError) -> list[object]:
        """Close one with an error and keep it no more; return nothing where it was not there."""
        return _closed(window, error) if self.discard(window) else []

    def lose(self, unanswered: Container[int]) -> list[object]:
        """Keep what is open over the loss of the connection, and nothing else: what is unanswered is not open yet."""
        for window in [window for number, (_, window) in self._opened.items() if number in unanswered]:
            self.discard(window)
        for subscription in self.subscriptions.values():
            subscription.lose()
        self.calls.clear()
        lost = [pending for service in self.services.values() for pending in service.lose()]
        return [*self.subscriptions.values(), *self.services.values(), *lost]

    def close(self, error: BusError) -> list[object]:
        """Close all with an error."""
        self.calls.clear()
        windows: list[Window] = [*self.subscriptions.values(), *self.services.values()]
        return [item for window in windows if window.closed is None for item in _closed(window, error)]

    def load(self) -> dict[str, int]:
        """Return how many there are and what waits at them, as :class:`.ClientStatistics` has it."""
        return {
            "subscriptions": len(self.subscriptions),
            "services": len(self.services),
            "calls_pending": len(self.calls),
            "messages_waiting": sum(window.waiting for window in self.subscriptions.values()),
        }


def _closed(window: Window, error: BusError) -> list[object]:
    if isinstance(window, CallWindow):
        return [window, *window.close(error)]
    window.close(error)
    return [window]


def require_place(taken: Sized, most: int, what: str) -> None:
    """Raise ``LimitExceeded`` where as many are open as the bus allows."""
    if len(taken) >= most:
        raise LimitExceeded(
            f"this connection has {most} {what}, all that Limits.{what} of the bus allows: open a second connection"
        )
