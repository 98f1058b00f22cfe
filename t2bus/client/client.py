"""The client: what programs call.

Each call comes typed, by a protocol class and a topic below its prefix, and raw, by full topic and bytes::

    await client.publish("alice", Hello("Hello Alice"))  # Hello has the prefix "hello"
    await client.publish_bytes("hello/alice", payload)  # to the same subscribers
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from ..background import Resource
from .draining import drain
from .pubsub import PublishSubscribe
from .requests import RequestResponse

if TYPE_CHECKING:
    from ..errors import BusError
    from ..session.counters import ClientStatistics
    from .connection import ClientConnection, State


@define(eq=False, slots=False)
class Client(PublishSubscribe, RequestResponse, Resource):
    """A connection to a bus; made by ``t2bus.open_client`` or ``bus.open_client``.

    Every method may be called from several tasks at once. Every call is a checkpoint; cancelling one leaves the client
    usable. After the bus is lost for good each call raises ``Disconnected``, after the client is closed
    ``trio.ClosedResourceError``. A client that reconnects (:class:`t2bus.Reconnect`) loses it for good only where a
    certificate is refused; calls that are made before it is there again wait.
    """

    def __repr__(self) -> str:
        return f"<t2bus.Client: connection {self._connection.session.welcome.connection} of its bus>"

    def statistics(self) -> ClientStatistics:
        """Return what the connection looks like now."""
        return self._connection.session.statistics()

    @property
    def state(self) -> State:
        """Whether the client is ``"connected"``.

        It is ``"connecting"`` while a client that reconnects has no connection, or what was open is not registered
        again yet; ``"disconnected"`` when the bus was lost for good, and ``"closed"`` when this program closed it.
        """
        return self._connection.state

    @property
    def last_error(self) -> BusError | None:
        """Why the client is not connected; None while it is."""
        return self._connection.last_error

    async def connected(self) -> None:
        """Wait until the client is connected, and everything that was open is registered.

        Raises:
          Disconnected: the bus was lost for good.
          trio.ClosedResourceError: the client was closed.

        """
        await trio.lowlevel.checkpoint()
        while self.state == "connecting":
            await self._connection.wait_for_change("connecting")
        self._connection.check_open()

    def states(self) -> States:
        """Return an iterator that gives the state now and then each new one, for programs that show it.

        ::

            async for state in client.states():
                print(state, client.last_error or "")

        A change that was over before anyone looked is left out. It ends behind ``"disconnected"`` and ``"closed"``.
        """
        return States(self._connection)

    async def drain(self) -> None:
        """Begin nothing new, finish what was begun, and close; all within ``Limits.drain``, and at once if cancelled.

        What was published is acknowledged and what was asked answered. Subscriptions receive what the bus has sent, and
        end then (``trio.EndOfChannel``); this waits until the program has taken it. Services get no request any more,
        and their requesters the answers to those that they have. Calls that are made meanwhile raise
        ``trio.ClosedResourceError``, answers aside.
        """
        await drain(self._connection)

    async def aclose(self) -> None:
        """Write what was sent and not written yet, for at most ``Limits.drain``, and disconnect; at once if cancelled.

        The block of ``open_client`` does so when it ends. Closed earlier, whatever waits raises
        ``trio.ClosedResourceError``.
        """
        await self._connection.aclose()


@define(eq=False)
class States(AsyncIterator["State"]):
    """The states of a client, one after the other."""

    _connection: ClientConnection
    _given: State | None = field(default=None, init=False)

    async def __anext__(self) -> State:
        await trio.lowlevel.checkpoint()
        given, state = self._given, self._connection.state
        if given in ("disconnected", "closed"):
            raise StopAsyncIteration
        self._given = state = await self._connection.wait_for_change(state) if state == given else state
        return state
