"""Claims that somebody else wants: their holder is asked for a sign of life, and loses them if it gives none.

A client whose connection was lost comes back at once, but the bus finds the lost one by its silence, which takes much
longer. Until then the *ghost* would keep the claims. So a second claim of a topic is refused, and has the holder
pinged. Whoever does not answer is not taken for gone, which takes its time: it loses what is wanted, and no more.

The law of this module: a holder is asked once, until it is heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from ..liveness import ANSWER_TIME
from ..wire.messages import Ping

if TYPE_CHECKING:
    from collections.abc import Collection

    from .peer import Peer


@define(eq=False, repr=False)
class Contest:
    """One connection that was asked and not heard since."""

    holder: Peer
    asked_at: float
    topics: set[str] = field(factory=set, init=False)
    """What is wanted of it, and not lost yet."""


@define(eq=False, repr=False)
class Contests:
    """All who were asked and not heard since."""

    _contests: dict[int, Contest] = field(factory=dict, init=False)
    """By the ids of the holders, the one first that was asked first."""

    @property
    def open(self) -> Collection[Contest]:
        """All of them, in a copy."""
        return tuple(self._contests.values())

    def begin(self, holder: Peer, topic: str, now: float) -> None:
        """Note that somebody else wants a topic, and ask its holder unless it was asked already."""
        contest = self._contests.get(holder.id)
        if contest is None:
            contest = self._contests[holder.id] = Contest(holder, now)
            holder.outbox.put_sign(Ping(0))
        contest.topics.add(topic)

    def end(self, holder: Peer) -> None:
        """Let a connection keep what it has: it was heard, or is no more. Idempotent."""
        self._contests.pop(holder.id, None)

    def take_lost(self, now: float) -> list[tuple[Peer, str]]:
        """Return what was lost since the last time, and by whom; it may have been given up already."""
        lost = []
        for contest in self._contests.values():
            if contest.asked_at + ANSWER_TIME <= now:
                lost += [(contest.holder, topic) for topic in sorted(contest.topics)]
                contest.topics.clear()
        return lost

    def next_deadline(self) -> float | None:
        """Return when something is lost, if anything may be."""
        waiting = (contest.asked_at for contest in self._contests.values() if contest.topics)
        return next((asked_at + ANSWER_TIME for asked_at in waiting), None)
