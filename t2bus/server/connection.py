"""One connection of a bus: a task that reads and one that writes.

The reader hands whatever one read brought to the router, which never waits; the writer takes all that has come
together for the peer and writes it at once. So each batch, not each message, pays for a task switch, and neither
direction holds the other up. A message that comes alone is written on by the reader, see :class:`Round`. What waits for
a stream is only ever written by the writer, because a send that is cancelled leaves half a frame.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from ..bell import Bell
from ..errors import ProtocolViolation
from ..liveness import Liveness
from ..text import printable
from ..wire import messages as m

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..broker.identity import Identity
    from ..broker.peer import Peer
    from ..broker.router import Router
    from ..transport.transport import Transport

__all__ = ["Connection", "Round"]

_logger = logging.getLogger("t2bus.server")

_T2_SILENCE: Final = 90.0
"""Seconds without a byte after which a client of the Rust crate is gone: it speaks every 30, and answers no pings."""

_LONGEST_REASON: Final = 300
"""Characters of a reason in the log, which may quote the peer."""

_AT_ONCE: Final = 65_536
"""Bytes that are encoded and written without letting others run before."""

_LAST_WORDS: Final = 1.0
"""Seconds for telling a peer why its connection is closed."""


@define(eq=False, repr=False)
class Round:
    """The connections of a bus that have something to write since a message that came alone was fed.

    What comes alone is written on at once, by whoever read it: a switch to the task of a writer takes longer than all
    else that is done for one message. What comes in batches, or as a run, is left to the writers, which gather what
    several readers have for one peer.
    """

    is_open: bool = field(default=False, init=False)
    woken: list[Connection] = field(factory=list, init=False)


@define(eq=False, repr=False)
class Connection:
    """The bus's end of one client's connection, from the first byte to the last."""

    router: Router
    transport: Transport[m.ClientMessage, m.ServerMessage]
    identity: Identity
    label: str
    """Who this is, for the log."""
    on_welcome: Callable[[], None]
    """Called when the peer has said HELLO and is let in."""
    round: Round
    """Shared by all connections of the bus."""
    _peer: Peer | None = field(default=None, init=False)
    _liveness: Liveness | None = field(default=None, init=False)
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _idle: Bell = field(factory=Bell, init=False)
    """Wakes the writer."""
    _finishing: bool = field(default=False, init=False)
    _finished: trio.Event = field(factory=trio.Event, init=False)
    """Set when the writer writes nothing more."""
    ended: trio.Event = field(factory=trio.Event, init=False)
    _reason: str = field(default="", init=False)

    def close(self, reason: str) -> None:
        """End the connection at once."""
        self._reason = self._reason or reason
        self._scope.cancel()

    def expel(self, reason: str) -> None:
        """Write what waits, for at most ``Limits.drain``, then end the connection."""
        self._reason = self._reason or reason
        self._scope.deadline = trio.current_time() + self.router.limits.drain
        self.finish()

    def _wake(self) -> None:
        if self.round.is_open:
            self.round.woken.append(self)
        else:
            self._idle.ring()

    async def run(self) -> None:
        """Serve the client until either side ends the connection; nothing that the peer does raises here."""
        try:
            with self._scope:
                await self._converse()
        except (trio.BrokenResourceError, trio.EndOfChannel):
            self._reason = self._reason or "the peer closed it"
        except Exception:
            # A bug in here must cost one connection, not the bus.
            _logger.exception("connection of %s: internal error", self.label)
        finally:
            if self._peer is not None:
                self.router.disconnect(self._peer)
            self.ended.set()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_WORDS):
                await self.transport.aclose()
        if self._reason:
            _logger.info("connection of %s ended: %s", self.label, printable(self._reason, _LONGEST_REASON))

    async def _converse(self) -> None:
        try:
            peer, rest = await self._shake_hands()
        except ProtocolViolation as error:
            await self._reject(str(error))
            return
        limits = self.router.limits
        if peer.dialect is m.Dialect.NATIVE:
            self._liveness = Liveness(limits.ping_interval, limits.silence, trio.current_time())
        else:
            self._liveness = Liveness(math.inf, _T2_SILENCE, trio.current_time())
        async with trio.open_nursery() as nursery:
            # A task goes through all its callers whenever it goes on. Reading does so the most often: it has none.
            nursery.start_soon(self._read, peer, rest, nursery.cancel_scope)
            await self._write(peer)

    async def _shake_hands(self) -> tuple[Peer, Sequence[m.ClientMessage]]:
        """Return the connection's place in the router, and what came with the HELLO: a wire without one has begun."""
        limits = self.router.limits
        messages: Sequence[m.ClientMessage] = []
        with trio.move_on_after(limits.handshake_time) as scope:
            messages = await self.transport.receive()
        if scope.cancelled_caught:
            raise ProtocolViolation(f"no HELLO within {limits.handshake_time:g} s")
        hello, *rest = messages
        can_inflate = True
        if isinstance(hello, m.Hello):
            if rest and hello.dialect is m.Dialect.NATIVE:
                raise ProtocolViolation("HELLO is sent alone: the client waits for WELCOME")
            can_inflate = hello.dialect is not m.Dialect.NATIVE or "zlib" in hello.compressions
        peer = self._peer = self.router.connect(
            hello, self.identity, wake=self._wake, close=self.close, expel=self.expel
        )
        self.transport.set_frame_limit(limits.frame, can_inflate=can_inflate)
        self.on_welcome()
        return peer, rest

    async def _reject(self, reason: str) -> None:
        """Say why the connection is not to be, as far as the peer listens."""
        self.router.counters.violations += 1
        self._reason = reason
        with trio.move_on_after(_LAST_WORDS):
            await self.transport.send([m.Error(reason)])

    async def _read(self, peer: Peer, messages: Sequence[m.ClientMessage], scope: trio.CancelScope) -> None:
        """Read until the peer ends the connection, or breaks a rule of the wire, then cancel the scope."""
        try:
            while True:
                self._feed(peer, messages)
                messages = await self.transport.receive()
        except ProtocolViolation as error:
            self.router.counters.violations += 1
            self._reason = str(error)
            peer.outbox.put_control(m.Error(self._reason), self._reason)
            self.finish()
            with trio.move_on_after(_LAST_WORDS):
                await self._finished.wait()
        except (trio.BrokenResourceError, trio.EndOfChannel):
            self._reason = self._reason or "the peer closed it"
        scope.cancel()

    def _feed(self, peer: Peer, messages: Sequence[m.ClientMessage]) -> None:
        """Feed what one read brought; what comes of a message that came alone is written too."""
        if self._finishing:
            # Once the goodbye is said nothing that comes can be answered; only the peer's end is awaited.
            return
        now = self.transport.read_at
        if len(messages) != 1 or isinstance(messages[0], m.PublishRun):
            for message in messages:
                self.router.feed(peer, message, now)
            return
        self.round.is_open = True
        try:
            self.router.feed(peer, messages[0], now)
        finally:
            self.round.is_open = False
            woken, self.round.woken = self.round.woken, []
            for connection in woken:
                connection.write_now(now)

    def write_now(self, now: float) -> None:
        """Write what waits, or wake the writer if that may take a while."""
        peer, transport = self._peer, self.transport
        if (
            peer is not None
            and peer.outbox.size <= _AT_ONCE
            and transport.can_send_now
            and not self._finishing
            and transport.send_now(peer.outbox.take())
        ):
            self.router.written(peer, now)
            if peer.outbox.rest():
                return
        self._idle.ring()

    async def _write(self, peer: Peer) -> None:
        outbox, send = peer.outbox, self.transport.send
        try:
            while True:
                messages = outbox.take()
                if messages or self.transport.writing_since is not None:
                    await send(messages)
                    self.router.written(peer, trio.current_time())
                    if peer.dialect is m.Dialect.T2:
                        self.router.withhold(peer, *self.transport.take_withheld())
                    if not outbox.is_empty:
                        # What was written made room for more: a peer that reads fast must not keep others waiting.
                        await trio.lowlevel.checkpoint()
                elif self._finishing:
                    return
                else:
                    await self._idle.wait()
        except trio.BrokenResourceError:
            # What the peer said before it closed may still be unread: the reader comes to the end of it.
            self._reason = self._reason or "the peer closed it"
        finally:
            self._finished.set()
            self._scope.deadline = trio.current_time() + _LAST_WORDS

    def finish(self) -> None:
        """Write what waits and nothing after it, and let the peer close the connection then; ``ended`` says when.

        The peer goes first because a socket that is closed with bytes unread takes back what it has not sent yet.
        """
        if self._peer is None:
            self.close("the bus is shutting down")
        self._finishing = True
        self._idle.ring()

    def check(self, now: float) -> None:
        """Do what the time asks for: a ping, or the end of a peer that is gone."""
        limits = self.router.limits
        self.transport.look_for_progress()
        writing_since = self.transport.writing_since
        if writing_since is not None and now - writing_since >= limits.write_stall:
            self.close(f"it took nothing of what was written to it for {limits.write_stall:g} s (Limits.write_stall)")
        elif self._liveness is not None and self._peer is not None:
            if self.transport.read_at > self._liveness.heard_at:
                self._liveness.heard(self.transport.read_at)
            if self._liveness.is_gone(now):
                self.close(f"nothing was heard of it for {limits.silence:g} s (Limits.silence)")
            elif self._liveness.ping_is_due(now):
                self._peer.outbox.put_control(m.Ping(0))
