"""The client: what programs call.

Each call comes typed, by a protocol class and a topic below its prefix, and raw, by full topic and bytes::

    await client.publish("alice", Hello("Hello Alice"))  # Hello has the prefix "hello"
    await client.publish_bytes("hello/alice", payload)  # to the same subscribers
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from ..background import Resource
from .pubsub import PublishSubscribe
from .requests import RequestResponse

if TYPE_CHECKING:
    from ..session.counters import ClientStatistics


@define(eq=False, slots=False)
class Client(PublishSubscribe, RequestResponse, Resource):
    """A connection to a bus; made by ``t2bus.open_client`` or ``bus.open_client``.

    Every method may be called from several tasks at once. Every call is a checkpoint; cancelling one leaves the client
    usable. After the bus is lost each call raises ``Disconnected``, after the client is closed
    ``trio.ClosedResourceError``.
    """

    def __repr__(self) -> str:
        return f"<t2bus.Client: connection {self._connection.session.welcome.connection} of its bus>"

    def statistics(self) -> ClientStatistics:
        """Return what the connection looks like now."""
        return self._connection.session.statistics()

    async def aclose(self) -> None:
        """Write what was sent and not written yet, for at most ``Limits.drain``, and disconnect; at once if cancelled.

        The block of ``open_client`` does so when it ends. Closed earlier, whatever waits raises
        ``trio.ClosedResourceError``.
        """
        await self._connection.aclose()
