"""The bus: listeners, their connections, the router, and one task that minds the time."""

from __future__ import annotations

import logging
import resource
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, NoReturn

import trio
from attrs import define, field

from .. import tls as contexts
from ..background import open_background_nursery
from ..broker.router import Router
from ..client.connect import open_client_over
from ..errors import LimitExceeded
from ..limits import Limits
from ..text import printable
from ..transport.address import TlsAddress, parse
from ..transport.credentials import check_peers
from ..transport.dial import open_listeners, require_context
from ..transport.memory import open_memory_pair
from .admission import Admission
from .limiters import LogLimiter
from .listening import RateLimiter, listen
from .rules import read_access
from .warnings import warn_of_expiry, warn_of_exposure

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import AsyncGenerator, Collection, Sequence

    from ..broker.identity import Identity
    from ..broker.statistics import BusStatistics
    from ..client.client import Client
    from ..transport.address import Address
    from ..transport.dial import Listener

__all__ = ["Bus", "open_bus", "serve"]

_logger = logging.getLogger("t2bus.server")

_TICK: Final = 1.0
"""Seconds between two looks at the liveness of all connections."""

_DAY: Final = 86_400.0
"""Seconds between two looks at how long the certificate is still valid."""

_DENIALS: Final = 1.0
"""Seconds between two lines in the log about what the access rules refused to one identity."""

_LONGEST_TEXT: Final = 600
"""Characters of a line in the log about a refusal, which quotes a topic of the peer."""

_OTHER_FILES: Final = 64
"""Files that a process opens beside its connections: modules, logs, listeners."""

_PRIVATE, _PUBLIC = 0o600, 0o666
"""Modes of a unix socket: for this user alone, and for whoever the bus then finds among its peers."""


@define(eq=False)
class Bus:
    """A bus of this process; made by :func:`open_bus`."""

    limits: Limits
    addresses: tuple[str, ...] = field(default=(), init=False)
    """What the bus is really bound to, in the order it was asked for, with port 0 resolved."""
    _nursery: trio.Nursery
    _context: ssl.SSLContext | None = None
    _access: str | os.PathLike[str] | None = None
    _peers: frozenset[str] = frozenset()
    _router: Router = field(init=False)
    _admission: Admission = field(init=False)
    _alarm: trio.Event = field(factory=trio.Event, init=False)
    _accepting: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _denials: LogLimiter = field(factory=lambda: LogLimiter(_DENIALS), init=False)

    def __attrs_post_init__(self) -> None:
        """Make the router and the admission."""
        access = None if self._access is None else read_access(self._access)
        self._router = Router(self.limits, self._set_alarm, self._report, access)
        self._admission = Admission(self._router, self._context, self._peers)

    def __repr__(self) -> str:
        count = len(self._admission.connections)
        return f"<t2bus.Bus at {' '.join(self.addresses) or 'no address'}: {count} connections>"

    @asynccontextmanager
    async def open_client(self, *, limits: Limits | None = None) -> AsyncGenerator[Client, None]:
        """Open a client in this process, over memory channels.

        Payloads are still encoded, so nothing is shared between publisher and subscriber. Its identity is ``local``.

        Args:
          limits: the client's own windows; those of the bus by default.

        Raises:
          ConnectFailed: the bus has as many connections as it takes.
          trio.ClosedResourceError: the bus was closed.

        """
        if self._admission.closed:
            raise trio.ClosedResourceError("this bus was closed")
        client_end, bus_end = open_memory_pair()
        self._nursery.start_soon(self._admission.serve_local, bus_end)
        async with open_client_over(client_end, limits or self.limits) as client:
            yield client

    def statistics(self) -> BusStatistics:
        """Return what the bus looks like now."""
        return self._router.statistics()

    def reload(self) -> None:
        """Read the certificates and the access rules again, and put them in force; both or neither.

        Connections stay, except those that have subscribed to, or serve, what the rules forbid now. A context that was
        not made by :mod:`t2bus.tls` stays as it is.

        Raises:
          TlsFailed: the certificates cannot be used, or a client would not take them.
          InvalidAccess: the access rules cannot be used.

        """
        context = self._admission.context
        fresh = None if context is None else contexts.reread(context)
        access = None if self._access is None else read_access(self._access)
        if fresh is not None:
            self._admission.context = fresh
            warn_of_expiry(fresh)
        if access is not None:
            self._router.set_access(access)

    # --- connections

    async def accept(self, listeners: Sequence[Listener]) -> None:
        """Let connections in until :meth:`stop_accepting`; those that are in stay."""
        limiter = RateLimiter(self.limits.accepts)

        async def handle(listener: Listener, stream: trio.SocketStream) -> None:
            await self._admission.receive(listener, stream, self._nursery)

        with self._accepting:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._admission.keep_moving)
                for listener in listeners:
                    nursery.start_soon(listen, listener, handle, limiter)

    def stop_accepting(self) -> None:
        """Let nobody in any more."""
        self._admission.closed = True
        self._accepting.cancel()

    def _report(self, identity: Identity, text: str) -> None:
        if self._denials.allows(identity.name, trio.current_time()):
            _logger.warning("denied: %s", printable(text, _LONGEST_TEXT))

    # --- time

    def _set_alarm(self) -> None:
        self._alarm.set()

    async def mind_the_time(self) -> NoReturn:
        """Do what is due, when it is due, until cancelled."""
        next_look = trio.current_time() + _TICK
        next_day = trio.current_time() + _DAY
        while True:
            deadline = self._router.next_deadline()
            with trio.move_on_at(next_look if deadline is None else min(deadline, next_look)):
                await self._alarm.wait()
            self._alarm = trio.Event()
            now = trio.current_time()
            self._router.expire(now)
            if now >= next_look:
                next_look = now + _TICK
                for connection in self._admission.connections:
                    connection.check(now)
            if now >= next_day:
                next_day = now + _DAY
                warn_of_expiry(self._admission.context)

    # --- the end

    async def aclose(self) -> None:
        """Say goodbye to everyone and write what waits, for at most ``Limits.drain``; at once if cancelled.

        ``open_bus`` does so when its body ends.
        """
        self.stop_accepting()
        self._router.say_goodbye("the bus is shutting down")
        connections = list(self._admission.connections)
        for connection in connections:
            connection.finish()
        with trio.move_on_after(self.limits.drain):
            for connection in connections:
                await connection.ended.wait()


@asynccontextmanager
async def open_bus(
    *addresses: str,
    tls: ssl.SSLContext | None = None,
    access: str | os.PathLike[str] | None = None,
    peers: Collection[str] = (),
    limits: Limits | None = None,
) -> AsyncGenerator[Bus, None]:
    """Open a bus in this process, with any number of listeners beside the in-process transport.

    When the body ends, however it ends, the bus stops accepting, says goodbye, writes what it had accepted for at most
    ``Limits.drain``, and closes; cancelled, it closes at once. All its tasks have ended when this returns.

    Args:
      addresses: where to listen, ``unix:PATH``, ``tcp:HOST:PORT`` or ``tls:HOST:PORT``.
      tls: what the bus shows and asks for at its addresses of TLS: ``t2bus.tls.server_context(...)``, or a context
        of your own that verifies the client.
      access: the file of access rules. With it nobody may do anything that it does not allow, this process included.
      peers: who may use unix sockets beside this user, as ``uid:N`` or ``gid:N``.
      limits: the bounds of the bus.

    Raises:
      InvalidAddress: an address is of no kind that the bus speaks, or needs ``tls``.
      InvalidAccess: the file of access rules cannot be used.
      LimitExceeded: this process may not open as many files as ``Limits.connections`` needs.
      BindFailed: an address is in use, or cannot be listened at.
      ValueError: ``tls`` does not verify the client or is for one, or a peer is none.

    """
    parsed = [parse(address) for address in addresses]
    limits = limits or Limits()
    check_addresses(parsed, tls, limits)
    known = check_peers(peers)
    async with open_background_nursery() as nursery:
        bus = Bus(limits, nursery, tls, access, known)
        nursery.start_soon(bus.mind_the_time)
        try:
            async with AsyncExitStack() as stack:
                listeners: list[Listener] = []
                for address in parsed:
                    opened = await stack.enter_async_context(open_listeners(address, _PUBLIC if known else _PRIVATE))
                    listeners += opened
                    bus.addresses += tuple(str(listener.address) for listener in opened)
                warn_of_expiry(tls)
                warn_of_exposure([listener.address for listener in listeners])
                if listeners:
                    nursery.start_soon(bus.accept, listeners)
                try:
                    yield bus
                finally:
                    bus.stop_accepting()
        finally:
            await bus.aclose()


def check_addresses(addresses: Sequence[Address], context: ssl.SSLContext | None, limits: Limits) -> None:
    """Raise what :func:`open_bus` raises for what it is given before anything is opened."""
    if context is not None:
        contexts.prepare(context, is_server=True)
    for address in addresses:
        if isinstance(address, TlsAddress):
            require_context(address, context, "server")
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if addresses and files != resource.RLIM_INFINITY and files < limits.connections:
        raise LimitExceeded(
            f"this process may open {files} files, too few for {limits.connections} connections: run `ulimit -n "
            f"{limits.connections + _OTHER_FILES}` before, or set Limits.connections to {max(1, files - _OTHER_FILES)}"
        )


async def serve(
    *addresses: str,
    tls: ssl.SSLContext | None = None,
    access: str | os.PathLike[str] | None = None,
    peers: Collection[str] = (),
    limits: Limits | None = None,
    task_status: trio.TaskStatus[Bus] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Do as :func:`open_bus`, as a task: ``bus = await nursery.start(t2bus.serve, "unix:my_bus")``.

    Serves until it is cancelled.
    """
    async with open_bus(*addresses, tls=tls, access=access, peers=peers, limits=limits) as bus:
        task_status.started(bus)
        await trio.sleep_forever()
