"""An in-process client of a bus: it holds the ends of the two channels itself, and no task stands between.

What it sends goes into the inbox of the router, and what the router has for it comes through a channel of capacity 1,
batch by batch, as to the writer of any connection. Nothing is framed and nothing is shared: a message is an immutable
value whose payload its sender has encoded. It has no liveness, since what stops this process stops both ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define, field

from ..transport.transport import Transport
from ..wire.messages import ClientMessage, ServerMessage
from .router_task import PeerConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..broker.peer import Ending


@define(eq=False, repr=False, slots=False)
class LocalConnection(PeerConnection):
    """The bus's end of an in-process connection."""

    def end_input(self) -> None:
        """End the connection; the client can still take the batch that is in the channel."""
        if self.ended.is_set():
            return
        self.end_output()
        self.router_task.forget(self)

    def end(self, ending: Ending) -> None:
        """End the connection, unless the client is to take what waits before."""
        if not ending.is_flushed:
            self.close(ending.reason)

    def close(self, reason: str) -> None:
        """End the connection at once."""
        self.note_reason(reason)
        self.end_input()

    def check(self, now: float) -> None:
        """Do nothing: it has no liveness."""

    def last_heard(self, now: float) -> float:
        """Return this moment: it lives as long as the bus."""
        return now


@define(eq=False, repr=False)
class LocalTransport(Transport[ServerMessage, ClientMessage]):
    """The client's end."""

    _connection: LocalConnection
    _incoming: trio.MemoryReceiveChannel[Sequence[ServerMessage]] = field(init=False)
    take_signs: Callable[[], Sequence[ClientMessage]] = field(default=tuple, init=False)
    writing_since: float | None = field(default=None, init=False)
    pings: bool = field(default=False, init=False)
    _unsent: list[ClientMessage] = field(factory=list, init=False)
    """What :meth:`send_nowait` could not send."""

    def __attrs_post_init__(self) -> None:
        """Take the end of the channel."""
        self._incoming = self._connection.outgoing

    async def receive(self) -> Sequence[ServerMessage]:
        """Return the next batch."""
        try:
            messages = await self._incoming.receive()
        except trio.ClosedResourceError as error:
            raise trio.BrokenResourceError("the channel was closed") from error
        self._connection.note_sent()
        return messages

    async def send(self, messages: Sequence[ClientMessage]) -> None:
        """Put a batch into the inbox, when there is room and what came before has been carried out."""
        self._check_open()
        self._unsent += messages
        self.writing_since = trio.current_time()
        try:
            if self._unsent:
                await self._connection.hand_over(self._unsent)
                self._unsent = []
        finally:
            self.writing_since = None

    @property
    def can_send_nowait(self) -> bool:
        """Unless a batch waits to be handed over, or to be carried out."""
        return self.writing_since is None and not self._unsent and not self._connection.batches

    def send_nowait(self, messages: Sequence[ClientMessage]) -> bool:
        """Put a batch into the inbox, if there is room."""
        if not messages:
            return True
        if not self._connection.ended.is_set():
            try:
                self._connection.hand_over_nowait(messages)
            except trio.WouldBlock:
                pass
            else:
                return True
        self._unsent = list(messages)
        self.writing_since = trio.current_time()
        return False

    def _check_open(self) -> None:
        if self._connection.ended.is_set():
            raise trio.BrokenResourceError("the bus has ended this connection")

    async def aclose(self) -> None:
        """Close both directions, behind what was sent."""
        self._incoming.close()
        if not self._connection.ended.is_set():
            try:
                self._connection.hand_over_nowait(())
            except trio.WouldBlock:
                self._connection.end_input()
        await trio.lowlevel.checkpoint()
