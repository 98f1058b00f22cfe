"""What a bus does because time passes: stalls and lifetimes end, peers are asked for a sign of life, certificates age.

One task does it all, when it is due, and tells the host of the bus when it has looked at all. So a host that hears
nothing for long knows that the bus hangs: the router task only ever waits for its inbox, and a task that computes
without end keeps this one from running too.

The law of this module: what comes late blames nobody for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import trio

from ..liveness import LATE, TICK
from .warnings import DAY, warn_of_expiry

if TYPE_CHECKING:
    from collections.abc import Callable

    from .admission import Admission
    from .router_task import RouterTask

_LOOKS: Final = 128
"""Connections that are looked at before others run. Thousands of pings may be due together."""


@trio.lowlevel.enable_ki_protection
async def mind_the_time(routing: RouterTask, admission: Admission, looked: Callable[[], None]) -> NoReturn:
    """Do what is due, when it is due, until cancelled; call ``looked`` after each look at all connections."""
    now = trio.current_time()
    next_look, next_day = now + TICK, now + DAY
    while True:
        deadline = routing.router.next_deadline()
        due = max(now, next_look if deadline is None else min(deadline, next_look))
        with trio.move_on_at(due):
            await routing.alarm.wait()
        routing.alarm = trio.Event()
        if (late := trio.current_time() - due) > LATE:
            # What has come meanwhile is read and carried out before anybody is judged.
            await trio.sleep(min(late, TICK))
        now = trio.current_time()
        routing.expire(now)
        if now >= next_look:
            next_look = now + TICK
            await _look_at_all(routing, now)
            looked()
        routing.flush()
        if now >= next_day:
            next_day = now + DAY
            warn_of_expiry(admission.context)


async def _look_at_all(routing: RouterTask, now: float) -> None:
    """See whether all peers are still there, and let others run in between."""
    for number, connection in enumerate(list(routing.connections.values()), 1):
        connection.check(now)
        if number % _LOOKS == 0:
            routing.flush()
            await trio.lowlevel.checkpoint()
