"""The bus: listeners, their connections, the router, and one task that minds the time."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, NoReturn

import trio
from attrs import define, field

from ..background import open_background_nursery
from ..client.connect import open_client_over
from ..core.router import Router
from ..errors import LimitExceeded, ProtocolViolation
from ..limits import Limits
from ..transport.address import parse
from ..transport.dial import accept, open_listeners
from ..transport.memory import open_memory_pair
from ..wire.messages import ClientMessage, ServerMessage, Violation
from .connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..client.client import Client
    from ..core.statistics import BusStatistics
    from ..transport.transport import Transport

__all__ = ["Bus", "open_bus", "serve"]

_logger = logging.getLogger("t2bus.server")

_TICK: Final = 1.0
"""Seconds between two looks at the liveness of all connections."""

_LAST_WORDS: Final = 1.0
"""Seconds for telling a peer why it is not let in."""

LOCAL: Final = "local"
ANONYMOUS: Final = "anonymous"


@define(eq=False)
class Bus:
    """A bus of this process; made by :func:`open_bus`."""

    limits: Limits
    addresses: tuple[str, ...] = field(default=(), init=False)
    """What the bus is really bound to, in the order it was asked for, with port 0 resolved."""
    _nursery: trio.Nursery
    _router: Router = field(init=False)
    _connections: dict[Connection, None] = field(factory=dict, init=False)
    _alarm: trio.Event = field(factory=trio.Event, init=False)
    _turning_away: int = field(default=0, init=False)
    _accepting: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _closing: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Make the router."""
        self._router = Router(self.limits, self._set_alarm)

    def __repr__(self) -> str:
        return f"<t2bus.Bus at {' '.join(self.addresses) or 'no address'}: {len(self._connections)} connections>"

    @asynccontextmanager
    async def open_client(self, *, limits: Limits | None = None) -> AsyncGenerator[Client, None]:
        """Open a client in this process, over memory channels.

        Payloads are still encoded, so nothing is shared between publisher and subscriber.

        Args:
          limits: the client's own windows; those of the bus by default.

        Raises:
          ConnectFailed: the bus has as many connections as it takes.
          trio.ClosedResourceError: the bus was closed.

        """
        if self._closing:
            raise trio.ClosedResourceError("this bus was closed")
        client_end, bus_end = open_memory_pair()
        self._nursery.start_soon(self._serve_transport, bus_end, LOCAL)
        async with open_client_over(client_end, limits or self.limits) as client:
            yield client

    def statistics(self) -> BusStatistics:
        """Return what the bus looks like now."""
        return self._router.statistics()

    # --- connections

    async def accept(
        self, listeners: list[trio.SocketListener], task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Let connections in until :meth:`stop_accepting`; those that are in stay."""
        with self._accepting:
            await trio.serve_listeners(
                self._serve_stream, listeners, handler_nursery=self._nursery, task_status=task_status
            )

    def stop_accepting(self) -> None:
        """Let nobody in any more."""
        self._closing = True
        self._accepting.cancel()

    async def _serve_stream(self, stream: trio.abc.Stream) -> None:
        await self._serve_transport(accept(stream, self.limits.handshake_bytes), ANONYMOUS)

    async def _serve_transport(self, transport: Transport[ClientMessage, ServerMessage], identity: str) -> None:
        try:
            self._check_room()
        except LimitExceeded as error:
            _logger.warning("connection of %s refused: %s", identity, error)
            await self._turn_away(transport, str(error))
            return
        connection = Connection(self._router, transport, identity)
        self._connections[connection] = None
        try:
            await connection.run()
        finally:
            del self._connections[connection]

    async def _turn_away(self, transport: Transport[ClientMessage, ServerMessage], reason: str) -> None:
        """Tell a peer that has not been let in why, if it can be told at once."""
        self._turning_away += 1
        try:
            if self._turning_away <= self.limits.handshakes:
                with trio.move_on_after(_LAST_WORDS):
                    await transport.receive()
                    await transport.send([Violation(reason)])
        except (trio.BrokenResourceError, trio.EndOfChannel, ProtocolViolation):
            pass
        finally:
            self._turning_away -= 1
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_WORDS):
                await transport.aclose()

    def _check_room(self) -> None:
        limits = self.limits
        if self._closing:
            raise LimitExceeded("the bus is shutting down")
        if len(self._connections) >= limits.connections:
            raise LimitExceeded(f"the bus has {limits.connections} connections, all that Limits.connections allows")
        if sum(not connection.welcomed for connection in self._connections) >= limits.handshakes:
            raise LimitExceeded(f"{limits.handshakes} peers have not said HELLO yet, all that Limits.handshakes allows")

    # --- time

    def _set_alarm(self) -> None:
        self._alarm.set()

    async def mind_the_time(self) -> NoReturn:
        """Do what is due, when it is due, until cancelled."""
        next_look = trio.current_time() + _TICK
        while True:
            deadline = self._router.next_deadline()
            with trio.move_on_at(next_look if deadline is None else min(deadline, next_look)):
                await self._alarm.wait()
            self._alarm = trio.Event()
            now = trio.current_time()
            self._router.expire(now)
            if now >= next_look:
                next_look = now + _TICK
                for connection in self._connections:
                    connection.check(now)

    # --- the end

    async def aclose(self) -> None:
        """Say goodbye to everyone and write what waits, for at most ``Limits.drain``; at once if cancelled.

        ``open_bus`` does so when its body ends.
        """
        self.stop_accepting()
        self._router.say_goodbye("the bus is shutting down")
        connections = list(self._connections)
        for connection in connections:
            connection.finish()
        with trio.move_on_after(self.limits.drain):
            for connection in connections:
                await connection.ended.wait()


@asynccontextmanager
async def open_bus(*addresses: str, limits: Limits | None = None) -> AsyncGenerator[Bus, None]:
    """Open a bus in this process, with any number of listeners beside the in-process transport.

    When the body ends, however it ends, the bus stops accepting, says goodbye, writes what it had accepted for at most
    ``Limits.drain``, and closes; cancelled, it closes at once. All its tasks have ended when this returns.

    Args:
      addresses: where to listen, ``unix:PATH`` or ``tcp:HOST:PORT``.
      limits: the bounds of the bus.

    Raises:
      InvalidAddress: an address is of no kind that the bus speaks.
      BindFailed: an address is in use, or cannot be listened at.

    """
    parsed = [parse(address) for address in addresses]
    async with open_background_nursery() as nursery:
        bus = Bus(limits or Limits(), nursery)
        nursery.start_soon(bus.mind_the_time)
        try:
            async with AsyncExitStack() as stack:
                listeners: list[trio.SocketListener] = []
                for address in parsed:
                    opened, bound = await stack.enter_async_context(open_listeners(address))
                    listeners += opened
                    bus.addresses += bound
                if listeners:
                    await nursery.start(bus.accept, listeners)
                try:
                    yield bus
                finally:
                    bus.stop_accepting()
        finally:
            await bus.aclose()


async def serve(
    *addresses: str, limits: Limits | None = None, task_status: trio.TaskStatus[Bus] = trio.TASK_STATUS_IGNORED
) -> NoReturn:
    """Do as :func:`open_bus`, as a task: ``bus = await nursery.start(t2bus.serve, "unix:my_bus")``.

    Serves until it is cancelled.
    """
    async with open_bus(*addresses, limits=limits) as bus:
        task_status.started(bus)
        await trio.sleep_forever()
