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
    """A connection to a bus: what :func:`t2bus.open_client` and :meth:`t2bus.Bus.open_client` give.

    ::

        await client.publish("alice", Hello("Hello Alice"))  # typed: below the prefix of Hello, which is "hello"
        await client.publish_bytes("hello/alice", payload)  # raw: by full topic

    All methods may be called from several tasks at once. Every asynchronous one is a checkpoint. Cancelling it leaves
    the client usable and nothing registered; what was sent by then may have had effect.

    Each call that uses the bus may raise, beside what it names itself:

    - ``Disconnected`` where the connection ended while the call was pending, which may have had effect, and in every
      call once the bus is lost for good. For a client that reconnects (:class:`t2bus.Reconnect`) that is only where a
      certificate is refused; calls that it makes before the bus is there again wait.
    - ``trio.ClosedResourceError`` after this program closed the client, or while it drains it.
    - ``TypeError`` for an argument of the wrong type; nothing was sent.
    """

    def __repr__(self) -> str:
        return f"<t2bus.Client: connection {self._connection.session.welcome.connection} of its bus>"

    def statistics(self) -> ClientStatistics:
        """Return what the client looks like now: what is open, what waits, and counts since it opened."""
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
        """Why the client is not connected, or that this program has closed it; None while it is connected."""
        return self._connection.last_error

    async def connected(self) -> None:
        """Wait until the client is connected, and everything that was open is registered again.

        Without ``reconnect`` it waits for nothing. Cancelled, it changes nothing.

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

        A state that is over before the program looks is left out. The iterator ends after ``"disconnected"`` or
        ``"closed"``. Cancelled, it loses nothing.
        """
        return States(self._connection)

    async def drain(self) -> None:
        """Begin nothing new, finish what was begun, and close; all within ``Limits.drain``, and at once if cancelled.

        What was published is acknowledged and what was asked answered. Subscriptions receive what the bus has sent, and
        then end (``trio.EndOfChannel``); this waits until the program has taken it all. Services get no more requests,
        and answer those that they have. Publishing, asking, subscribing and serving raise ``trio.ClosedResourceError``
        meanwhile.

        A client that is not connected is closed at once; nothing of the bus is raised. Called again meanwhile, it waits
        for the same end.
        """
        self._connection.check_run()
        await drain(self._connection)

    async def aclose(self) -> None:
        """Write what was sent and not written yet, for at most ``Limits.drain``, and disconnect; at once if cancelled.

        The block of ``open_client`` does so when it ends. Whatever still waits raises ``trio.ClosedResourceError``.
        Closing once more does nothing.
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
