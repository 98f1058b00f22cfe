"""What the tests of the session share: a session, and what the program around it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from pure_helpers import WELCOME, one_by_one
from t2bus.disconnected import Disconnected
from t2bus.limits import Limits
from t2bus.session.outbox import ClientOutbox
from t2bus.session.session import Session
from t2bus.session.unacknowledged import PublisherWindow
from t2bus.session.windows import CallWindow

if TYPE_CHECKING:
    from t2bus.session.pending import Done, Outcome
    from t2bus.session.windows import ReceiveWindow
    from t2bus.wire import messages as m


@define(eq=False)
class Program:
    """A session and what the program around it is told."""

    limits: Limits = field(factory=Limits)
    welcome: m.Welcome = WELCOME
    session: Session = field(init=False)
    outcomes: dict[int, Outcome] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.session = Session(self.limits, self.welcome, ClientOutbox(self.limits.outbox_bytes))

    def done(self, operation: int, outcome: Outcome) -> None:
        assert operation not in self.outcomes, "an operation has one outcome"
        self.outcomes[operation] = outcome

    def close(self, window: ReceiveWindow | CallWindow, done: Done | None = None) -> int:
        """Close a subscription or a service on both sides, as the program does."""
        self.session.end(window, Disconnected("closed here"))
        if isinstance(window, CallWindow):
            return self.session.unclaim(window, done)
        return self.session.unsubscribe(window, done)

    def feed(self, *messages: m.ServerMessage) -> list[object]:
        """Let the bus say this, and return what has something new."""
        return list(self.session.feed(messages))

    def read(self) -> list[m.ClientMessage]:
        """Take all that waits, one by one, and say that it is written."""
        messages = one_by_one(self.session.outbox.take())
        self.session.outbox.written()
        return messages


def take_call(outbox: ClientOutbox) -> bool:
    """Tell whether the writer is called, and answer that, as whoever calls it does."""
    calls, outbox.calls = outbox.calls, False
    return calls


def publisher_window() -> PublisherWindow:
    """A publisher with nothing on its way, and room for much."""
    return PublisherWindow(1 << 10, 1 << 20)
