"""One connection of a bus over a stream: a task that reads and one that writes, between the stream and two channels.

The *reader* puts what one read brought into the inbox of the router. The *writer* takes batches from a channel of
capacity 1 and writes each at once; it gets the next one when it has written the last, with all that came together
meanwhile. So each batch, not each message, pays for a task switch, and neither direction holds the other up: a bus that
stopped reading while it writes could lock up with a client that does the same. What waits for a stream is only ever
written by the writer, because a send that is cancelled leaves half a frame.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from ..errors import ProtocolViolation
from ..liveness import Liveness, Verdict
from ..wire import messages as m
from .router_task import PeerConnection
from .slots import Occupant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..broker.peer import Ending
    from ..transport.transport import Transport
    from .slots import Slots

_logger = logging.getLogger("t2bus.server")

_AT_ONCE: Final = 65_536
"""Bytes that are encoded and written without letting others run before."""

_SLOW: Final = 100_000
"""Bytes per second. A large frame that comes slower may lose its place to another."""

_GRACE: Final = 1.0
"""Seconds that it may stand still."""

_INCOMING: Final = "Limits.incoming_bytes"

_LAST_WORDS: Final = 1.0
"""Seconds for telling a peer why its connection is closed."""


@define(eq=False, repr=False, slots=False)
class StreamConnection(PeerConnection):
    """The bus's end of one client's connection, from its HELLO to the last byte."""

    transport: Transport[m.ClientMessage, m.ServerMessage]
    _places: Slots
    """For peers of which a large frame has come in part."""
    _sender: Occupant = field(factory=lambda: Occupant(trio.CancelScope()), init=False)
    """This connection as one that may need such a place."""
    _begun_at: float = field(default=math.inf, init=False)
    """When it got the place that it has."""
    _violation: str = field(default="", init=False)
    """What the peer has sent that the wire forbids. Not the error, whose traceback would keep a frame and itself."""
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _liveness: Liveness = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Open the channel to the writer, let signs of life pass it, and take the peer for alive."""
        PeerConnection.__attrs_post_init__(self)
        limits, transport = self.router_task.router.limits, self.transport
        interval = limits.ping_interval if transport.pings else math.inf
        silence = transport.silence or limits.silence
        transport.take_signs = self.peer.outbox.take_signs
        self._liveness = Liveness(interval, silence, limits.write_stall, trio.current_time())

    async def run(self) -> None:
        """Serve the client until either side ends the connection; nothing that the peer does raises here."""
        try:
            with self._scope:
                self.flush()
                async with trio.open_nursery() as nursery:
                    # A task goes through all its callers whenever it goes on. Reading does so most often: it has none.
                    nursery.start_soon(self._read)
                    await self._write()
        except Exception:
            # A bug in here must cost one connection, not the bus.
            _logger.exception("connection of %s: internal error", self.peer.identity)
        finally:
            self._places.leave(self._sender)
            self.router_task.forget(self)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_WORDS):
                await self.transport.aclose()

    # --- tasks

    @trio.lowlevel.enable_ki_protection
    async def _read(self) -> None:
        transport = self.transport
        try:
            with self._sender.scope:
                while True:
                    messages = await transport.receive()
                    if (size := transport.incoming) or self._begun_at < math.inf:
                        await self._hold_place(size)
                    if messages:
                        await self.hand_over(messages)
            self._violation = f"a frame came too slowly while others waited ({_INCOMING})"
        except ProtocolViolation as error:
            self._violation = str(error)
        except (trio.BrokenResourceError, trio.EndOfChannel):
            self.note_reason("the peer closed it")
        await self.hand_over(())

    @property
    def _waits_for_place(self) -> bool:
        """Whether it is not read from, and so is not heard."""
        return self._begun_at == math.inf and self.transport.incoming > 0

    async def _hold_place(self, size: int) -> None:
        """Have a place while a large frame comes, of which so many bytes are there; have none when there are none."""
        self.peer.incoming = size
        if not size:
            self._places.leave(self._sender)
            self._begun_at = math.inf
            return
        if self._begun_at == math.inf:
            try:
                self._places.enter_nowait(self._sender)
            except trio.WouldBlock:
                await self._places.enter(self._sender)
            self._begun_at = trio.current_time()
        self._sender.stuck_at = min(self._begun_at + _GRACE + size / _SLOW, trio.current_time() + _GRACE)

    async def _write(self) -> None:
        transport = self.transport
        try:
            async for messages in self.outgoing:
                await transport.send(messages)
                if transport.speaks_for_peer:
                    self._hear_transport()
                self.note_sent()
        except trio.BrokenResourceError:
            # What the peer said before it closed may still be unread: the reader comes to the end of it.
            self.note_reason("the peer closed it")
        self._scope.deadline = trio.current_time() + _LAST_WORDS

    # --- what the router task asks for

    def send_now(self, messages: Sequence[m.ServerMessage]) -> Sequence[m.ServerMessage] | None:
        """Write a small batch; what the stream does not take at once is kept by the transport, for the writer."""
        transport = self.transport
        if self.peer.outbox.taken > _AT_ONCE or not transport.takes_nowait(messages):
            return messages
        if not transport.send_nowait(messages):
            return ()
        if transport.speaks_for_peer:
            self._hear_transport()
        return None

    def _hear_transport(self) -> None:
        """Do what the transport has to say in the peer's name, now that something is written."""
        transport, router = self.transport, self.router_task.router
        if withheld := transport.take_withheld():
            router.counters.withheld += withheld
        inbound = transport.take_inbound()
        while inbound:
            inbound = router.feed(self.peer, inbound, trio.current_time())

    def end(self, ending: Ending) -> None:
        """End the connection at once, or when what waits is written."""
        if ending.is_flushed:
            self._scope.deadline = min(self._scope.deadline, trio.current_time() + self.router_task.router.limits.drain)
        else:
            self._scope.cancel()

    def end_input(self) -> None:
        """End the connection: the peer has closed its end, or has sent what the wire forbids."""
        if self._violation:
            self.router_task.router.counters.violations += 1
            self.reject(self._violation)
        else:
            self._scope.cancel()

    def reject(self, reason: str) -> None:
        """Say why, as far as the peer listens."""
        self._scope.deadline = trio.current_time() + _LAST_WORDS
        PeerConnection.reject(self, reason)

    def close(self, reason: str) -> None:
        """End the connection at once."""
        self.note_reason(reason)
        self._scope.cancel()

    def check(self, now: float) -> None:
        """Send a ping when one is due, or end the connection of a peer that is gone, and say why."""
        liveness = self._liveness
        match liveness.look(now, self.transport.signs()):
            case _ if self.is_finishing or self._waits_for_place:
                pass
            case Verdict.STALLED:
                limit = f"{liveness.write_stall:g} s (Limits.write_stall)"
                self.close(f"it took nothing of what was written to it for {limit}")
            case Verdict.SILENT:
                # Nothing may follow half a frame.
                tell = self.reject if self.transport.writing_since is None else self.close
                limit = "Limits.silence" if self.transport.silence is None else "which its wire sets"
                tell(f"nothing was heard of it for {liveness.silence:g} s ({limit})")
            case Verdict.PING:
                self.peer.outbox.put_sign(m.Ping(0))
            case Verdict.FINE:
                pass

    def last_heard(self, now: float) -> float:
        """Look, and return when the peer last gave a sign of life."""
        self.check(now)
        return self._liveness.heard_at
