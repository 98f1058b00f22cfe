"""What connections do, for a log that wants to have it all: at level ``DEBUG``, or with ``t2bus serve -vv``.

::

    connection 3 of uid:1000 has begun, at unix:my_bus
    connection 3 of uid:1000 subscribes to hello/**
    connection 3 of uid:1000 serves oven
    connection 3 of uid:1000 had 512 dropped at hello/**, which it takes too slowly
    connection 3 of uid:1000 stops serving oven
    connection 3 of uid:1000 has left

The broker knows no log and tells nobody. So its tables are looked at when a client has said something that may change
them, and once a second, which shows what was dropped, and claims that were lost.

The law of this module: it costs a publication nothing unless the log wants it. Without a trace, messages go to the
router as if this module was not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from ..broker.statistics import PeerStatistics
from ..wire.messages import Claim, Subscribe, Unclaim, Unsubscribe
from .log import is_log_wanted, log_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..broker.peer import Peer
    from ..broker.router import Router
    from ..wire.messages import ClientMessage

_CHANGES: Final = frozenset({Subscribe, Unsubscribe, Claim, Unclaim})
"""What a client says to change the tables."""


_NOTHING: Final = PeerStatistics({}, (), 0, 0, 0)
"""Of a connection that was not looked at before."""


@define(eq=False)
class Trace:
    """Logs what the connections of a bus do."""

    router: Router
    _seen: dict[int, PeerStatistics] = field(factory=dict, init=False)
    """What each connection had when it was looked at, by its id."""

    def feed(self, peer: Peer, messages: Sequence[ClientMessage], now: float) -> Sequence[ClientMessage]:
        """Do as ``Router.feed``, and log what comes and goes by it."""
        if _CHANGES.isdisjoint(map(type, messages)):
            return self.router.feed(peer, messages, now)
        self.look(peer)  # at what was dropped before a subscription ends
        rest = self.router.feed(peer, messages, now)
        self.look(peer)
        return rest

    def look(self, peer: Peer) -> None:
        """Log what has become of a connection's subscriptions and services since it was last looked at."""
        seen, now = self._seen.get(peer.id, _NOTHING), self.router.statistics_of(peer)
        self._seen[peer.id] = now
        for number in seen.subscriptions.keys() - now.subscriptions.keys():
            log_step(peer, f"unsubscribes from {seen.subscriptions[number].topic}")
        for topic in {*seen.services} - {*now.services}:
            log_step(peer, f"stops serving {topic}")
        for number, subscription in now.subscriptions.items():
            before = seen.subscriptions.get(number)
            if before is None:
                log_step(peer, f"subscribes to {subscription.topic}")
            if more := subscription.dropped - (0 if before is None else before.dropped):
                log_step(peer, f"had {more} dropped at {subscription.topic}, which it takes too slowly")
        for topic in {*now.services} - {*seen.services}:
            log_step(peer, f"serves {topic}")

    def forget(self, peer: Peer) -> None:
        """Look at a connection that is about to end for the last time."""
        self.look(peer)
        del self._seen[peer.id]


def trace_wanted(router: Router, trace: Trace | None) -> Trace | None:
    """Return the trace of a bus if the log wants one now: this one, a new one, or none."""
    return (trace or Trace(router)) if is_log_wanted() else None
