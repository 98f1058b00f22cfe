"""Whether the peer is still there: ping in time, and give it up when it stays silent or takes nothing.

Both ends look every now and then, about once in a :data:`TICK`. Silence, not the age of a ping, is what counts: a
peer that sends anything at all is alive. So an end that has said nothing for long says something, whatever it hears.

An end may be stopped itself: its machine sleeps, its program computes. It finds that its look comes late, and the time
of that is nobody's silence. Nor is anybody given up at such a look: what has come meanwhile is read before the next.

The law of this module: time is an argument.
"""

from __future__ import annotations

import enum
from typing import Final

from attrs import define, field, frozen

TICK: Final = 1.0
"""Seconds between two looks, more or less. Of the time between two, at most twice as much counts."""

LATE: Final = 0.1
"""Seconds more from which a look is late: this end was stopped, or computed, and peers may have spoken meanwhile."""

ANSWER_TIME: Final = 1.0
"""Seconds for a sign of life of a peer that was asked for one, as somebody else wants what it serves. It overtakes
data, so only a program that computes, or a very slow line, takes longer."""


class Verdict(enum.Enum):
    """What follows from a look."""

    FINE = enum.auto()
    PING = enum.auto()
    """A ping is due, for this end has said nothing for the interval, or has heard nothing; one for each such time."""
    SILENT = enum.auto()
    """The peer is gone: nothing was heard of it."""
    STALLED = enum.auto()
    """The peer takes nothing of what is written to it."""


@frozen
class Signs:
    """What the transport has seen of the peer."""

    heard_at: float
    """When anything was last read from it, or was taken by it."""
    writing_since: float | None
    """When the write in progress last got anywhere, or None when nothing is being written."""
    has_written: bool
    """Whether anything was written since the last look."""


@define(eq=False)
class Liveness:
    """What is known of one peer, in seconds; it is alive when this is made."""

    ping_interval: float
    silence: float
    write_stall: float
    _looked_at: float
    heard_at: float = field(init=False)
    """When the peer last gave a sign of life, as of the last look, and as if this end had never been stopped."""
    _said_at: float = field(init=False)
    _stuck_since: float | None = field(default=None, init=False)
    _is_pinged: bool = field(default=False, init=False)
    """Whether a ping was due in this silence."""
    _is_doubted: bool = field(default=False, init=False)
    """Whether the last look found against the peer, and was late."""

    def __attrs_post_init__(self) -> None:
        """Begin now."""
        self.heard_at = self._said_at = self._looked_at

    def look(self, now: float, signs: Signs) -> Verdict:
        """Tell what follows from what was seen."""
        is_late = now - self._looked_at > TICK + LATE
        self._take_in(now, signs)
        is_stalled = self._stuck_since is not None and now - self._stuck_since >= self.write_stall
        is_over = is_stalled or now - self.heard_at >= self.silence
        if is_over and (self._is_doubted or not is_late):
            return Verdict.STALLED if is_stalled else Verdict.SILENT
        self._is_doubted = is_over
        is_silent = now - self.heard_at >= self.ping_interval
        if now - self._said_at >= self.ping_interval or (is_silent and not self._is_pinged):
            self._is_pinged = is_silent
            self._said_at = now
            return Verdict.PING
        return Verdict.FINE

    def _take_in(self, now: float, signs: Signs) -> None:
        pause = max(0.0, now - self._looked_at - 2 * TICK)
        if signs.has_written:
            # It may have been as early as that. A pause is no excuse here: the peer knows nothing of it.
            self._said_at = self._looked_at
        self._looked_at = now
        if signs.heard_at > self.heard_at:
            self.heard_at = signs.heard_at
            self._is_pinged = False
        self.heard_at = min(now, self.heard_at + pause)
        since = signs.writing_since
        if since is not None:
            since = min(now, (since if self._stuck_since is None else max(since, self._stuck_since)) + pause)
        self._stuck_since = since
