"""What a bus does because time passes: stalls and lifetimes end, peers are asked for a sign of life, certificates age.

One task does it all, when it is due, and tells the host of the bus when it has looked at all. So a host that hears
nothing for long knows that the bus hangs: the router task only ever waits for its inbox, and a task that computes
without end keeps this one from running too.

Of very many connections a few are looked at in one go, and more a little later, so that nobody waits until all were.

The law of this module: what comes late blames nobody for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import trio
from attrs import define, field

from ..liveness import LATE, TICK
from .warnings import DAY, warn_of_expiry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .admission import Admission
    from .router_task import PeerConnection, RouterTask

_SPREAD: Final = 0.8 * TICK
"""Seconds over which the looks at all connections are spread."""

_LOOKS: Final = 32
"""Connections that are looked at in one go, which takes 0.2 ms."""

_PINGS: Final = 4
"""Pings that are written in one go, which takes as long. Those of all may be due together."""


@define(eq=False)
class Sweep:
    """Looks at all connections in turn, to see whether the peers are still there: at each about once in a TICK."""

    routing: RouterTask
    due: float
    """When to look at more of them, in seconds of Trio's clock."""
    _begun: float = field(default=0, init=False)
    _all: Sequence[PeerConnection] = field(default=(), init=False)
    _done: int = field(default=0, init=False)
    """How many of them were looked at."""

    def go_on(self, now: float) -> bool:
        """Look at a few more, and tell whether those were the last of all."""
        if not self._done:
            self._begun, self._all = now, list(self.routing.connections.values())
        for connection in self._all[self._done : self._done + _LOOKS]:
            if not connection.ended.is_set():
                connection.check(now)
            self._done += 1
            if len(self.routing.router.dirty) >= _PINGS:
                break
        # To wake a writer for a ping takes longer than to write it.
        self.routing.flush(at_once=True)
        if self._done < len(self._all):
            self.due = self._begun + _SPREAD * self._done / len(self._all)
            return False
        self._all, self._done = (), 0
        self.due = max(now, self._begun + TICK)
        return True


@trio.lowlevel.enable_ki_protection
async def mind_the_time(routing: RouterTask, admission: Admission, looked: Callable[[], None]) -> NoReturn:
    """Do what is due, when it is due, until cancelled; call ``looked`` after each look at all connections."""
    now = trio.current_time()
    sweep, next_day = Sweep(routing, now + TICK), now + DAY
    while True:
        deadline = routing.router.next_deadline()
        due = max(now, sweep.due if deadline is None else min(deadline, sweep.due))
        with trio.move_on_at(due):
            await routing.alarm.wait()
        routing.alarm = trio.Event()
        if (late := trio.current_time() - due) > LATE:
            # What has come meanwhile is read and carried out before anybody is judged.
            await trio.sleep(min(late, TICK))
        now = trio.current_time()
        routing.expire(now)
        routing.flush()
        if now >= sweep.due and sweep.go_on(now):
            looked()
        if now >= next_day:
            next_day = now + DAY
            warn_of_expiry(admission.context)
