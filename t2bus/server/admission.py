"""From a stream that was accepted to a client that is let in, or turned away.

Strangers come through here, so every step is bounded and none concerns anybody else. A peer that has not said HELLO is
a *newcomer*, and there are at most ``Limits.handshakes`` of them. The handshake of TLS, which costs work, begins when
the peer's first bytes are there; there are at most ``Limits.tls_handshakes`` of these at once. In both crowds one more
takes the place of a peer that is stuck, so that those who connect and say nothing hold nobody up for long.
"""

from __future__ import annotations

import logging
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, assert_never

import attrs
import trio
from attrs import define, field

from ..broker.identity import ANONYMOUS, LOCAL, Identity
from ..broker.peer import Origin
from ..endpoints import recognise, require_context
from ..errors import BusError, LimitExceeded, PermissionDenied, ProtocolViolation, TlsFailed
from ..log_limiter import LogLimiter
from ..transport import credentials, handshake, tcp, unix
from ..transport.address import Address, TcpAddress, TlsAddress, UnixAddress
from ..transport.socket_stream import SocketStream
from ..transport.turns import Turns
from ..wire.compression import ZLIB
from ..wire.messages import Error, Hello
from .connection import StreamConnection
from .local import LocalConnection, LocalTransport
from .log import log_ending, log_refusal
from .slots import Occupant, Slots

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from ..endpoints import BusTransport, Listener
    from ..limits import Limits
    from .router_task import RouterTask

_logger = logging.getLogger("t2bus.server")

_LAST_WORDS: Final = 1.0
"""Seconds for telling a peer why it is not let in."""

_LOG_INTERVAL: Final = 1.0
"""Seconds between two lines in the log about peers of one origin that were not let in."""


@define(eq=False)
class Admission:
    """Lets peers in, one task for each; knows all connections of a bus."""

    router_task: RouterTask
    context: ssl.SSLContext | None
    """For the addresses of TLS; it may be replaced, and the next handshake takes the new one."""
    peers: frozenset[str]
    """Whom unix sockets are open to, beside this user."""
    closed: bool = field(default=False, init=False)
    """Whether nobody is let in any more."""
    limits: Limits = field(init=False)
    _newcomers: Slots = field(init=False)
    """The peers that have not said HELLO."""
    _handshakes: Slots = field(init=False)
    """Those of them in a handshake of TLS."""
    _large_frames: Slots = field(init=False)
    """The peers of which a large frame has come in part."""
    _turns: Turns = field(factory=Turns, init=False)
    _log: LogLimiter = field(factory=lambda: LogLimiter(_LOG_INTERVAL), init=False)

    def __attrs_post_init__(self) -> None:
        """Make the slots."""
        limits = self.limits = self.router_task.router.limits
        self._newcomers = Slots(limits.handshakes, "Limits.handshakes")
        self._handshakes = Slots(limits.tls_handshakes, "Limits.tls_handshakes")
        self._large_frames = Slots(max(1, limits.incoming_bytes // limits.frame), "Limits.incoming_bytes")

    def __len__(self) -> int:
        """Return the number of newcomers."""
        return len(self._newcomers)

    def dismiss_newcomers(self) -> None:
        """Close the connections of all who have not said HELLO: the bus shuts down."""
        self._newcomers.dismiss_all()

    @trio.lowlevel.enable_ki_protection
    async def keep_moving(self) -> None:
        """Make peers that are stuck go while others wait, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._newcomers.keep_moving)
            nursery.start_soon(self._handshakes.keep_moving)
            nursery.start_soon(self._large_frames.keep_moving)

    # --- the time of a newcomer

    async def _enter(self, stream: trio.abc.Stream) -> Occupant:
        """Wait until there is room for one more newcomer; if that is given up, close its stream."""
        newcomer = Occupant(trio.CancelScope())
        try:
            await self._newcomers.enter(newcomer)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return newcomer

    @asynccontextmanager
    async def _looking_after(
        self, newcomer: Occupant, stream: trio.abc.Stream, origin: str
    ) -> AsyncGenerator[None, None]:
        """Serve a newcomer in the body, and close its stream; it is counted if it has to go, and raises nothing."""
        newcomer.may_take(handshake.HELLO_TIME)
        try:
            with newcomer.scope:
                yield
        except TlsFailed as error:
            self._note(newcomer, origin, origin, error)
        except trio.BrokenResourceError:
            self._note(newcomer, origin, origin, LimitExceeded("it closed the connection before it said anything"))
        except Exception:
            # A bug in here must cost one connection, not the bus.
            _logger.exception("connection of %s: internal error", origin)
        finally:
            self._newcomers.leave(newcomer)
            await trio.aclose_forcefully(stream)
        if newcomer.scope.cancelled_caught and not newcomer.is_counted:
            self._note(newcomer, origin, origin, LimitExceeded(f"it kept others waiting ({newcomer.dismissed_by})"))

    # --- who comes in through a listener

    async def receive(self, listener: Listener, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
        """Wait until there is room for one more newcomer, then serve this one in a task of its own."""
        newcomer = await self._enter(stream)
        nursery.start_soon(self._serve_socket, listener.address, stream, newcomer)

    @trio.lowlevel.enable_ki_protection
    async def _serve_socket(self, address: Address, stream: trio.SocketStream, newcomer: Occupant) -> None:
        """Serve a peer until its connection ends; nothing that it does raises here."""
        origin = _origin(address, stream)
        async with self._looking_after(newcomer, stream, origin):
            secure = await self._secure(address, stream, newcomer)
            identity, refusal = ANONYMOUS, None
            try:
                identity = self._identify(address, stream, secure)
            except BusError as error:
                refusal = error
            await self._serve(secure, identity, origin, newcomer, _address_of(address, stream), refusal=refusal)

    async def _secure(self, address: Address, stream: trio.SocketStream, newcomer: Occupant) -> trio.abc.Stream:
        """Return the stream that messages travel on.

        Raises:
          TlsFailed: the handshake failed.

        """
        if isinstance(address, UnixAddress):
            unix.widen(stream)
        if not isinstance(address, TlsAddress):
            return SocketStream(stream.socket)
        context = require_context(address, self.context, "server")
        limits = self.limits
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
                    raise PermissionDenied(
                        f"{identity} may not connect: this bus is for its own user and its peers; it has to be started "
                        f"with `--peer {identity}` (peers=[{identity.name!r}] in a program)"
                    )
                return identity
            case TlsAddress():
                return handshake.identity_of(secure)
            case _:
                assert_never(address)

    # --- who comes in over a stream of the program's own, or from the program itself

    async def serve_stream(self, stream: trio.abc.Stream, identity: Identity) -> None:
        """Serve a client at the other end of any stream, until its connection ends; close the stream then."""
        newcomer = await self._enter(stream)
        async with self._looking_after(newcomer, stream, identity.name):
            await self._serve(stream, identity, identity.name, newcomer, "stream")

    def open_local(self, hello: Hello) -> LocalTransport:
        """Let a client of this process in.

        Raises:
          LimitExceeded: there is no room for one more.

        """
        if (refusal := self._lack_of_room(LOCAL)) is not None:
            self._note_refusal(LOCAL.name, refusal)
            raise refusal
        origin = Origin("memory", "t2bus", trio.current_time())
        peer = self.router_task.router.connect(hello, LOCAL, origin, pings=False)
        connection = self.router_task.connections[peer.id] = LocalConnection(peer, self.router_task)
        self.router_task.flush()
        return LocalTransport(connection)

    # --- letting in

    async def _serve(
        self,
        stream: trio.abc.Stream,
        identity: Identity,
        origin: str,
        newcomer: Occupant,
        address: str,
        *,
        refusal: BusError | None = None,
    ) -> None:
        """Hear a HELLO and serve the connection until it ends, or tell the peer why it is not let in."""
        label = identity.name if identity.name == origin else f"{identity} from {origin}"
        refusal = refusal or self._lack_of_room(identity)
        if refusal is not None:
            self._note(newcomer, origin, label, refusal)
        transport: BusTransport | None = None
        connection: StreamConnection | None = None
        try:
            with trio.move_on_after(self.limits.handshake_time if refusal is None else _LAST_WORDS):
                transport = await recognise(stream, self.limits)
                if refusal is None:
                    connection = await self._greet(transport, identity, address)
            if connection is None:
                raise refusal or ProtocolViolation(f"no HELLO within {self.limits.handshake_time:g} s")
        except BusError as error:
            if error is not refusal:
                self._note(newcomer, origin, label, error)
            if transport is not None:
                await self._turn_away(transport, str(error))
        except (trio.BrokenResourceError, trio.EndOfChannel):
            self._log_ending(origin, label, "the peer closed it")
        else:
            self._newcomers.leave(newcomer)
            await connection.run()

    async def _greet(self, transport: BusTransport, identity: Identity, address: str) -> StreamConnection:
        """Hear a HELLO and let its sender in.

        Raises:
          ProtocolViolation: what it says is none.
          LimitExceeded: there is no room for it.
          trio.BrokenResourceError, trio.EndOfChannel: it went.

        """
        limits, router = self.limits, self.router_task.router
        while not (messages := await transport.receive()):
            pass
        hello, *rest = messages
        if rest:
            raise ProtocolViolation("HELLO is sent alone: the client waits for WELCOME")
        if (refusal := self._lack_of_room(identity)) is not None:
            raise refusal
        origin = Origin(address, transport.wire, trio.current_time())
        peer = router.connect(
            hello, identity, origin, tells_gaps=transport.tells_gaps, pings=transport.pings, deep=transport.deep
        )
        can_inflate = isinstance(hello, Hello) and ZLIB in hello.compressions
        transport.set_frame_limit(limits.frame, can_inflate=can_inflate)
        connection = StreamConnection(peer, self.router_task, transport, self._large_frames)
        self.router_task.connections[peer.id] = connection
        return connection

    def _lack_of_room(self, identity: Identity) -> LimitExceeded | None:
        """Return why one more connection of this identity is one too many, if it is."""
        limits, router = self.limits, self.router_task.router
        if self.closed:
            return LimitExceeded("the bus is shutting down")
        if router.connections.clients >= limits.connections:
            return LimitExceeded(f"the bus has {limits.connections} connections, all that Limits.connections allows")
        if router.connections.of(identity) >= limits.connections_per_identity:
            return LimitExceeded(
                f"{identity} has {limits.connections_per_identity} connections, all that "
                "Limits.connections_per_identity allows"
            )
        return None

    async def _turn_away(self, transport: BusTransport, reason: str) -> None:
        """Tell a peer why it is not let in, if it can be told at once."""
        try:
            with trio.move_on_after(_LAST_WORDS):
                await transport.send([Error(reason)])
        except trio.BrokenResourceError:
            pass

    def _note(self, newcomer: Occupant, origin: str, label: str, error: BusError) -> None:
        """Count a peer that was not let in, and log it unless the log has just said so of its like."""
        newcomer.is_counted = True
        if isinstance(error, ProtocolViolation):
            self.router_task.router.counters.violations += 1
            self._log_ending(origin, label, str(error))
        else:
            self._note_refusal(origin, error)

    def _log_ending(self, origin: str, label: str, reason: str) -> None:
        # Of a kind of its own, so that no refusal, which is a warning, is left out for it.
        if self._log.allows((origin, "ended"), trio.current_time()):
            log_ending(label, reason)

    def _note_refusal(self, origin: str, error: BusError) -> None:
        self.router_task.router.counters.refused += 1
        if self._log.allows(origin, trio.current_time()):
            log_refusal(origin, str(error))


def _address_of(address: Address, stream: trio.SocketStream) -> str:
    """Return where a peer comes from: its own host and port, or the unix socket that it came to."""
    if isinstance(address, UnixAddress):
        return str(address)
    try:
        name = stream.socket.getpeername()
        return str(attrs.evolve(address, host=tcp.name_of(name), port=name[1]))
    except OSError:  # it has gone already
        return str(address)


def _origin(address: Address, stream: trio.SocketStream) -> str:
    """Return what is known of a peer before it has said anything, for the log."""
    try:
        if isinstance(address, UnixAddress):
            return credentials.identity_of(stream).name
        return tcp.name_of(stream.socket.getpeername())
    except OSError:  # it has gone already
        return "an unknown user" if isinstance(address, UnixAddress) else "an unknown host"
