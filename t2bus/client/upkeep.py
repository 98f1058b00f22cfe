"""The task of a client: it runs the link, and makes another one when that is lost, if the client reconnects.

Over the new one everything that was open is registered first. Then the calls go on that were made meanwhile. A claim
that is refused is made once more, a little later: mostly the topic is still held by the client's own lost connection,
which the bus finds to be dead when it asks it for a sign of life.

The law of this module: it ends when the client is closed, or when trying again does not help.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio
from attrs import define

from ..disconnected import Disconnected
from ..errors import ConnectFailed, TlsFailed
from ..liveness import ANSWER_TIME
from ..session.outbox import ClientOutbox

if TYPE_CHECKING:
    from .connection import ClientConnection
    from .dialling import Dialled, Redial
    from .link import ClientLink

_logger = logging.getLogger("t2bus.client")

_CONTEST: Final = 1.25 * ANSWER_TIME
"""Seconds after which a holder of a topic that gives no sign of life has lost it."""


@trio.lowlevel.enable_ki_protection
async def run_links(connection: ClientConnection, redial: Redial | None) -> None:
    """Run one link after the other, until the client is closed or the bus is lost for good."""
    with connection.scope:
        await connection.link.run(connection.first.rest)
        if redial is None:
            connection.note(connection.session.closed)
        else:
            await _Upkeep(connection, redial).run()


@define(eq=False)
class _Upkeep:
    """What comes after the first link."""

    _connection: ClientConnection
    _redial: Redial

    async def run(self) -> None:
        """Come back to the bus whenever it is lost."""
        connection = self._connection
        while not (connection.is_closed or connection.is_draining):
            connection.note(connection.session.closed)
            self._redial.log_loss(connection.last_error)
            try:
                dialled = await self._dial()
            except TlsFailed as error:
                connection.give_up(Disconnected(f"the bus was lost, and cannot be reached again: {error}"))
                connection.note(error)
                return
            await self._go_on(dialled)

    async def _dial(self) -> Dialled:
        """Connect to the bus, whatever it takes; raises ``TlsFailed`` where trying again does not help."""
        while True:
            await trio.sleep(self._redial.next_delay())
            try:
                return await self._redial.dial()
            except ConnectFailed as error:
                # It was let in once. So it is again, unless its certificate or that of the bus is at fault.
                if isinstance(error, TlsFailed) and not error.retryable:
                    raise
                self._redial.log_failure(error)
                self._connection.note(error)

    async def _go_on(self, dialled: Dialled) -> None:
        """Run another link until it is lost, with everything that was open over the last one."""
        connection, begun_at = self._connection, trio.current_time()
        if connection.is_closed:
            # In the pass in which the bus was found: this task is cancelled, and has not met that yet.
            await dialled.transport.aclose()
            return
        lost = connection.session
        # There is no room for calls before everything is registered.
        connection.use(dialled, ClientOutbox(0, dialled.welcome.frame))
        connection.session.counters = lost.counters
        connection.link.resuming.take_over(lost)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._resume, connection.link)
            await connection.link.run(dialled.rest)
            nursery.cancel_scope.cancel()
        self._redial.note_lasted(trio.current_time() - begun_at)

    @trio.lowlevel.enable_ki_protection
    async def _resume(self, link: ClientLink) -> None:
        """Let the calls go on, once the bus has answered everything that was open before."""
        await self._all_answered(link)
        if link.resuming.is_contested:
            await trio.sleep(_CONTEST)
            link.resuming.try_again()
            await self._all_answered(link)
        if link.session.closed is not None:
            # The loss of the bus has answered them.
            return
        link.session.outbox.open(self._connection.limits.outbox_bytes)
        _logger.info("connected again, with %d subscriptions and services", len(link.session.registrations))
        self._connection.note(None)

    async def _all_answered(self, link: ClientLink) -> None:
        link.writer.flush()
        link.tell()
        while link.resuming.unanswered:
            answered = trio.Event()
            self._connection.on_news(link.resuming, answered.set)
            await answered.wait()
        self._connection.forget(link.resuming)
