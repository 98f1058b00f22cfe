"""What goes on over the next connection: the subscriptions and services of one that was lost.

::

    resuming = Resuming(session)  # of the new connection
    resuming.take_over(lost_session)  # puts SUBSCRIBE and CLAIM messages into its outbox, in the order of the old ones
    ...  # feed the session until nothing of it is unanswered

The windows are the same objects, so whoever receives from one goes on with it. What the bus refuses now is closed with
that error. A topic that somebody else serves may be served by this client itself: the bus has not noticed yet that the
old connection is lost, and does when it asks for a sign of life. So such a claim is *contested*, and made once more a
little later.

The law of this module: each window of the lost session is open in the new one, or closed with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from ..errors import BusError, ServiceRevoked, TopicClaimed

if TYPE_CHECKING:
    from collections.abc import Collection

    from .pending import Outcome
    from .registrations import Window
    from .session import Session


@define(eq=False, repr=False)
class Resuming:
    """The registrations that a new session takes over, until the bus has answered all of them."""

    _session: Session
    _unanswered: dict[int, tuple[str, Window]] = field(factory=dict, init=False)
    _contested: list[tuple[str, Window]] = field(factory=list, init=False)
    _is_last_try: bool = field(default=False, init=False)

    def take_over(self, lost: Session) -> None:
        """Open everything that was open in a session that was lost."""
        for topic, window in lost.registrations.take():
            self._open(topic, window)

    def try_again(self) -> None:
        """Make the contested claims once more; whoever has the topic now is to keep it.

        Over a connection that is lost meanwhile they are not made, and stay open for the next one.
        """
        if self._session.closed is not None:
            return
        contested, self._contested, self._is_last_try = self._contested, [], True
        for topic, window in contested:
            if self._session.registrations.discard(window):
                self._open(topic, window)

    def _open(self, topic: str, window: Window) -> None:
        session = self._session
        number = session.begin(self._answered)
        self._unanswered[number] = topic, window
        window.renew(number, session.welcome)
        session.outbox.put(session.registrations.open(number, topic, window))

    @property
    def unanswered(self) -> Collection[int]:
        """What the bus has not answered yet; then see :attr:`is_contested`."""
        return self._unanswered.keys()

    @property
    def is_contested(self) -> bool:
        """Whether somebody else serves the topic of a claim, so that :meth:`try_again` is to follow."""
        return bool(self._contested)

    def _answered(self, number: int, outcome: Outcome) -> None:
        topic, window = self._unanswered.pop(number)
        if not self._unanswered:
            self._session.note([self])
        if not isinstance(outcome, BusError) or self._session.closed is not None:
            return
        if isinstance(outcome, TopicClaimed):
            if not self._is_last_try:
                self._contested.append((topic, window))
                return
            outcome = ServiceRevoked(f"{topic!r} was lost with the connection: somebody else serves it now")
        self._session.end(window, outcome)
