"""From a stream that was accepted to a client that is let in, or turned away.

Strangers come through here, so every step is bounded and none concerns anybody else. A peer that has not said HELLO is
a *newcomer*, and there are at most ``Limits.handshakes`` of them. The handshake of TLS, which costs work, begins when
the peer's first bytes are there; there are at most ``Limits.tls_handshakes`` of these at once. In both crowds one more
takes the place of a peer that is stuck, so that those who connect and say nothing hold nobody up for long.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final, assert_never

import trio
from attrs import define, field

from ..broker.identity import ANONYMOUS, LOCAL, Identity
from ..errors import BusError, LimitExceeded, PermissionDenied, ProtocolViolation, TlsFailed
from ..text import printable
from ..transport import credentials, handshake, unix
from ..transport.address import Address, TcpAddress, TlsAddress, UnixAddress
from ..transport.dial import accept, require_context
from ..wire.messages import ClientMessage, Error, ServerMessage
from .connection import Connection, Round
from .limiters import LogLimiter
from .slots import Newcomer, Slots

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from ..broker.router import Router
    from ..transport.dial import Listener
    from ..transport.transport import Transport

__all__ = ["Admission"]

_logger = logging.getLogger("t2bus.server")

_LAST_WORDS: Final = 1.0
"""Seconds for telling a peer why it is not let in."""

_LONGEST_REASON: Final = 300
"""Characters of a reason in the log, which may quote the peer."""

_LOG_INTERVAL: Final = 1.0
"""Seconds between two lines in the log about peers of one origin that were not let in."""


@define(eq=False)
class Admission:
    """Lets peers in, one task for each; knows all connections of a bus."""

    router: Router
    context: ssl.SSLContext | None
    """For the addresses of TLS; it may be replaced, and the next handshake takes the new one."""
    peers: frozenset[str]
    """Whom unix sockets are open to, beside this user."""
    closed: bool = field(default=False, init=False)
    """Whether nobody is let in any more."""
    connections: dict[Connection, None] = field(factory=dict, init=False)
    _round: Round = field(factory=Round, init=False)
    _newcomers: Slots = field(init=False)
    """The peers that have not said HELLO."""
    _handshakes: Slots = field(init=False)
    """Those of them in a handshake of TLS."""
    _by_identity: Counter[str] = field(factory=Counter, init=False)
    _turns: handshake.Turns = field(factory=handshake.Turns, init=False)
    _log: LogLimiter = field(factory=lambda: LogLimiter(_LOG_INTERVAL), init=False)

    def __attrs_post_init__(self) -> None:
        """Make the crowds."""
        limits = self.router.limits
        self._newcomers = Slots(limits.handshakes, "Limits.handshakes")
        self._handshakes = Slots(limits.tls_handshakes, "Limits.tls_handshakes")

    async def receive(self, listener: Listener, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
        """Wait until there is room for one more newcomer, then serve this one in a task of its own."""
        newcomer = Newcomer(trio.CancelScope())
        try:
            await self._newcomers.enter(newcomer)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        nursery.start_soon(self._serve_stream, listener, stream, newcomer)

    async def keep_moving(self) -> None:
        """Make peers that are stuck go while others wait, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._newcomers.keep_moving)
            nursery.start_soon(self._handshakes.keep_moving)

    async def _serve_stream(self, listener: Listener, stream: trio.SocketStream, newcomer: Newcomer) -> None:
        """Serve a peer until its connection ends; nothing that it does raises here."""
        origin = _origin(listener.address, stream)
        newcomer.may_take(handshake.HELLO_TIME)
        with newcomer.scope:
            try:
                secure = await self._secure(listener.address, stream, newcomer)
                transport = accept(secure, self.router.limits)
                identify = partial(self._identify, listener.address, stream, secure)
                await self._serve(transport, identify, origin, newcomer)
            except TlsFailed as error:
                self._note(origin, str(error))
            except trio.BrokenResourceError:
                self._note(origin, "it closed the connection before it said anything")
            except Exception:
                # A bug in here must cost one connection, not the bus.
                _logger.exception("connection of %s: internal error", origin)
            finally:
                self._newcomers.leave(newcomer)
                await trio.aclose_forcefully(stream)
        if newcomer.scope.cancelled_caught and not newcomer.was_refused:
            self._note(origin, f"it kept others waiting ({newcomer.dismissed_by})")

    async def serve_local(self, transport: Transport[ClientMessage, ServerMessage]) -> None:
        """Serve a client of this process, until its connection ends."""
        await self._serve(transport, lambda: LOCAL, LOCAL.name, Newcomer(trio.CancelScope()))

    async def _secure(self, address: Address, stream: trio.SocketStream, newcomer: Newcomer) -> trio.abc.Stream:
        """Return the stream that messages travel on.

        Raises:
          TlsFailed: the handshake failed.

        """
        if isinstance(address, UnixAddress):
            unix.widen(stream)
        if not isinstance(address, TlsAddress):
            return stream
        context = require_context(address, self.context, "server")
        limits = self.router.limits
        with trio.move_on_after(limits.handshake_time):
            await trio.lowlevel.wait_readable(stream.socket)
            newcomer.may_take(math.inf)
            async with self._handshakes.place(newcomer):
                secure = await handshake.accept(stream, context, self._turns, newcomer.may_take)
            newcomer.may_take(handshake.ANSWER_TIME)
            return secure
        raise TlsFailed(f"no handshake of TLS within {limits.handshake_time:g} s (Limits.handshake_time)")

    def _identify(self, address: Address, stream: trio.SocketStream, secure: trio.abc.Stream) -> Identity:
        """Return who the peer is.

        Raises:
          PermissionDenied: this user may not connect.
          TlsFailed: the certificate does not say clearly who this is.

        """
        match address:
            case TcpAddress():
                return ANONYMOUS
            case UnixAddress():
                try:
                    identity = credentials.identity_of(stream)
                except OSError as error:
                    raise PermissionDenied("the system does not say who this is") from error
                if not credentials.is_ours(identity, self.peers):
                    raise PermissionDenied(f"{identity} may not connect: this bus is for its own user and its peers")
                return identity
            case TlsAddress():
                return handshake.identity_of(secure)
            case _:
                assert_never(address)

    async def _serve(
        self,
        transport: Transport[ClientMessage, ServerMessage],
        identify: Callable[[], Identity],
        origin: str,
        newcomer: Newcomer,
    ) -> None:
        try:
            identity = identify()
            self._require_room(identity)
        except BusError as error:
            newcomer.was_refused = True
            self._note(origin, str(error))
            await self._turn_away(transport, str(error))
            return
        transport.first_frame = self.router.limits.frame
        label = identity.name if identity.name == origin else f"{identity} from {origin}"
        on_welcome = partial(self._newcomers.leave, newcomer)
        connection = Connection(self.router, transport, identity, label, on_welcome, self._round)
        self.connections[connection] = None
        self._by_identity[identity.name] += 1
        try:
            await connection.run()
        finally:
            del self.connections[connection]
            self._by_identity[identity.name] -= 1
            self._by_identity += Counter()  # forgets those who have none

    def _require_room(self, identity: Identity) -> None:
        """Raise ``LimitExceeded`` if one more connection of this identity is one too many."""
        limits = self.router.limits
        if self.closed:
            raise LimitExceeded("the bus is shutting down")
        if len(self.connections) >= limits.connections:
            raise LimitExceeded(f"the bus has {limits.connections} connections, all that Limits.connections allows")
        if self._by_identity[identity.name] >= limits.connections_per_identity:
            raise LimitExceeded(
                f"{identity} has {limits.connections_per_identity} connections, all that "
                "Limits.connections_per_identity allows"
            )

    async def _turn_away(self, transport: Transport[ClientMessage, ServerMessage], reason: str) -> None:
        """Tell a peer why it is not let in, if it can be told at once."""
        try:
            with trio.move_on_after(_LAST_WORDS):
                await transport.hear()
                await transport.send([Error(reason)])
        except (trio.BrokenResourceError, trio.EndOfChannel, ProtocolViolation):
            pass
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_WORDS):
                await transport.aclose()

    def _note(self, origin: str, reason: str) -> None:
        """Count a peer that was not let in, and log it unless the log has just said so of its like."""
        self.router.counters.refused += 1
        if self._log.allows(origin, trio.current_time()):
            _logger.warning("connection of %s refused: %s", origin, printable(reason, _LONGEST_REASON))


def _origin(address: Address, stream: trio.SocketStream) -> str:
    """Return what is known of a peer before it has said anything, for the log."""
    try:
        if isinstance(address, UnixAddress):
            return credentials.identity_of(stream).name
        return str(stream.socket.getpeername()[0])
    except OSError:  # it has gone already
        return "an unknown user" if isinstance(address, UnixAddress) else "an unknown host"
