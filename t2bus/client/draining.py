"""Draining a client: nothing new is begun, and what was begun is finished.

Its subscriptions end behind what has arrived for them, its services behind the requests that they have; what it has
published and asked is answered. Then it is closed.

The law of this module: it takes as long as the program and the bus take, and ``Limits.drain`` at most.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

from ..background import finish_and_close
from ..errors import BusError

if TYPE_CHECKING:
    from .connection import ClientConnection


async def drain(connection: ClientConnection) -> None:
    """Finish what was begun, and close."""
    await finish_and_close(partial(_finish, connection), connection.aclose, connection.limits.drain)


async def _finish(connection: ClientConnection) -> None:
    if connection.is_draining:
        # Another call of drain finishes it, and then closes.
        await connection.wait_for_change("connected")
    elif connection.state == "connected":
        # The bus may be lost meanwhile, or the client closed.
        with suppress(BusError, trio.ClosedResourceError):
            await _finish_all(connection)


async def _finish_all(connection: ClientConnection) -> None:
    session = connection.session
    connection.is_draining = connection.link.is_watched = True
    connection.link.goes_on = False
    session.outbox.open(0)
    services, windows = session.services.values, session.subscriptions.values
    endings = [partial(session.unclaim, service, finishes=True) for service in services()]
    endings += [partial(session.unsubscribe, window) for window in windows()]
    for end in endings[:-1]:
        connection.call(end, None)
    for end in endings[-1:]:
        # The bus answers in order: behind this answer nothing more arrives.
        await connection.operate(end)
    connection.has_all = True
    for window in windows():
        window.watch()
    for channel in (*services(), *windows()):
        connection.wake(channel)
    # What the program has closed meanwhile is not among them any more.
    while session.unanswered or any(each.waiting for each in windows()) or any(each.pending for each in services()):
        connection.check_open()
        session.check_open()
        await connection.room.park()
