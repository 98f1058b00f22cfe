"""The bus: listeners, their connections, the router task, and one task that minds the time."""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from threading import get_ident
from typing import TYPE_CHECKING, ClassVar

import trio
from attrs import define, field

from .. import tls as contexts
from ..background import Resource, finish_and_close
from ..broker.identity import Identity
from ..broker.router import Router
from ..client.connect import run_client
from ..client.dialling import Dialled
from ..client.greeting import hello
from ..endpoints import open_listeners
from ..errors import ConnectFailed, LimitExceeded
from ..hints import require
from ..limits import Limits
from ..under_trio import require_thread, require_trio
from ..wire.messages import Welcome
from .admission import Admission
from .due import mind_the_time
from .limiters import RateLimiter
from .listening import listen
from .router_task import RouterTask
from .rules import read_access
from .warnings import warn_of_expiry

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Sequence
    from contextlib import AbstractAsyncContextManager

    from ..broker.access import Access
    from ..broker.statistics import BusStatistics
    from ..client.client import Client
    from ..endpoints import Listener
    from ..transport.address import Address
    from .hosting import Host


_PRIVATE, _PUBLIC = 0o600, 0o666
"""Modes of a unix socket: for this user alone, and for whoever the bus then finds among its peers."""


@define(eq=False, slots=False)
class Bus(Resource):
    """A bus in this process: what :func:`t2bus.open_bus` and :func:`t2bus.serve` give.

    Attributes:
      limits: its :class:`t2bus.Limits`.
      addresses: where it really listens, in the order that was asked for, with port 0 resolved; a tuple of text.

    """

    limits: Limits
    _host: Host
    addresses: tuple[str, ...] = field(default=(), init=False)
    _context: ssl.SSLContext | None = None
    _access: str | os.PathLike[str] | None = None
    _peers: frozenset[str] = frozenset()
    routing: RouterTask = field(init=False)
    _admission: Admission = field(init=False)
    _accepting: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _tasks: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _ended: trio.Event = field(factory=trio.Event, init=False)
    """Set when all tasks have ended."""
    _listeners: AsyncExitStack = field(factory=AsyncExitStack, init=False)
    _closed: bool = field(default=False, init=False)
    _thread: int = field(factory=get_ident, init=False)
    """The thread of the Trio run that the bus belongs to."""
    _for_the_house: ClassVar = ("accept", "listen", "routing", "run", "stop_accepting")

    def __attrs_post_init__(self) -> None:
        """Make the router and the admission."""
        access = None if self._access is None else read_access(self._access)
        self.routing = RouterTask(Router(self.limits, access))
        self._admission = Admission(self.routing, self._context, self._peers)
        about = self.routing.router.about
        # By way of sys.modules, for nothing inside the package imports its public names.
        about.version = sys.modules[__name__.partition(".")[0]].__version__
        about.process, about.opened_at, about.newcomers = os.getpid(), trio.current_time(), self._admission

    def __repr__(self) -> str:
        count = self.routing.router.connections.clients
        return f"<t2bus.Bus at {' '.join(self.addresses) or 'no address'}: {count} connections>"

    def open_client(
        self, *, limits: Limits | None = None, name: str | None = None
    ) -> AbstractAsyncContextManager[Client]:
        """Open a client in this process, without a socket, until the body ends; ``async with`` gives it.

        It is a :class:`t2bus.Client` as any other. Messages are encoded for it too, so that publisher and subscriber
        share no objects. Its identity is ``local``.

        Args:
          limits: the client's own windows and times; by default those of the bus.
          name: what this part of the program is called, as in :func:`t2bus.open_client`.

        Raises:
          ConnectFailed: the bus has as many connections as it takes, or as many of this identity.
          ValueError: the name cannot be one.
          RuntimeError: this does not run under Trio.
          trio.ClosedResourceError: the bus was closed.

        """
        return self._open_client(limits, name)

    @asynccontextmanager
    async def _open_client(self, limits: Limits | None, name: str | None) -> AsyncGenerator[Client, None]:
        require_trio()
        require("limits", limits, Limits, "t2bus.Limits(...)")
        self._check_open()
        try:
            transport = self._admission.open_local(hello(name))
        except LimitExceeded as error:
            raise ConnectFailed(f"the bus did not let this client in: {error}") from error
        welcome, *rest = await transport.receive()
        assert isinstance(welcome, Welcome)
        async with run_client(Dialled(transport, welcome, rest), limits or self.limits) as client:
            yield client

    async def serve_stream(self, stream: trio.abc.Stream, *, identity: str) -> None:
        """Serve a client at the other end of any Trio stream, until its connection ends; then close the stream.

        ::

            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(bus.serve_stream, stream, identity="robot"))

        Nothing that the peer does raises here. Cancelled, the connection ends and the stream is closed.

        Args:
          stream: what connects this process with the client: a pair of pipes, a stream in memory, an ``SSLStream``.
          identity: who it is, for access rules, limits and logs; the bus asks nobody else.

        Raises:
          ValueError: the identity is empty.
          trio.ClosedResourceError: the bus was closed.

        """
        require_trio()
        if not identity:
            raise ValueError("an identity is a text that is not empty")
        self._check_open()
        await self._admission.serve_stream(stream, Identity(identity))

    def _check_open(self) -> None:
        if self._admission.closed:
            raise trio.ClosedResourceError("this bus was closed")
        require_thread(self._thread, "bus")

    def statistics(self) -> BusStatistics:
        """Return what the bus looks like now: what is open, what waits, and counts since it opened."""
        return self.routing.router.statistics()

    def reload(self) -> None:
        """Read the certificates and the access rules from their files again, and put both in force, or neither.

        Connections stay, but those that have subscribed to, or serve, what the rules forbid now are closed with the
        reason. A context that was not made by :mod:`t2bus.tls` stays as it is. It blocks while it reads.

        Raises:
          TlsFailed: the certificates cannot be used, or a client would not take them.
          InvalidAccess: the access rules cannot be used.

        """
        self._put_in_force(*self._read_again())

    async def reload_in_thread(self) -> None:
        """Reload as :meth:`reload` does, but read in a thread, so that nobody waits for a large file.

        Cancelled, it changes nothing.
        """
        self._put_in_force(*await trio.to_thread.run_sync(self._read_again, abandon_on_cancel=True))

    def _read_again(self) -> tuple[ssl.SSLContext | None, Access | None]:
        context = self._admission.context
        fresh = None if context is None else contexts.reread(context)
        return fresh, None if self._access is None else read_access(self._access)

    def _put_in_force(self, fresh: ssl.SSLContext | None, access: Access | None) -> None:
        if fresh is not None:
            self._admission.context = fresh
            warn_of_expiry(fresh)
        if access is not None:
            self.routing.router.set_access(access)
            self.routing.flush()

    # --- connections

    async def listen(self, addresses: Sequence[Address]) -> list[Listener]:
        """Listen at the addresses, and where the host did before, until the bus is closed; return all listeners."""
        listeners = list(self._host.inherited)
        for listener in listeners:
            self._listeners.push_async_callback(listener.listener.aclose)
        for listener in listeners:
            self._judge(listener.address, [listener])
        mode = _PUBLIC if self._peers else _PRIVATE
        for address in addresses:
            opened = await self._listeners.enter_async_context(open_listeners(address, mode))
            self._judge(address, opened)
            listeners += opened
        return listeners

    def _judge(self, address: Address, opened: Sequence[Listener]) -> None:
        """Have the host look at what an address is bound to, and take note of it."""
        bound = [listener.address for listener in opened]
        self._host.judge(address, bound)
        self.addresses += tuple(map(str, bound))
        self.routing.router.about.addresses = self.addresses

    def stop_accepting(self) -> None:
        """Let nobody in any more."""
        self._admission.closed = True
        self._accepting.cancel()

    # --- tasks

    @trio.lowlevel.enable_ki_protection
    async def run(self, *, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        """Run the router task, what makes stuck newcomers go, and what minds the time, until the bus is closed.

        Connections run in the same nursery, which this reports.
        """
        try:
            with self._tasks:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.routing.run)
                    nursery.start_soon(self._admission.keep_moving)
                    nursery.start_soon(mind_the_time, self.routing, self._admission, self._host.looked)
                    task_status.started(nursery)
        finally:
            self._ended.set()

    @trio.lowlevel.enable_ki_protection
    async def accept(self, listeners: Sequence[Listener], nursery: trio.Nursery) -> None:
        """Let connections in until :meth:`stop_accepting`; those that are in stay."""
        limiter = RateLimiter(self.limits.accepts)

        async def handle(listener: Listener, stream: trio.SocketStream) -> None:
            await self._admission.receive(listener, stream, nursery)

        with self._accepting:
            async with trio.open_nursery() as accepting:
                for listener in listeners:
                    accepting.start_soon(listen, listener, handle, limiter)

    # --- the end

    async def drain(self) -> None:
        """Begin nothing new, finish what was begun, and close; all within ``Limits.drain``, and at once if cancelled.

        Nobody is let in any more. What was accepted is delivered, paced publications that wait for room too, and
        requests that services work on are answered. What clients begin meanwhile is not looked at; their calls raise
        ``Disconnected`` in the end.
        """
        await finish_and_close(self._finish, self.aclose, self.limits.drain)

    async def _finish(self) -> None:
        if not self._closed:
            self.stop_accepting()
            await self.routing.drain()

    async def aclose(self) -> None:
        """Let nobody in, say goodbye, write what waits for at most ``Limits.drain``, and close; at once if cancelled.

        Then nothing of the bus is left: no task, and no socket file. The block of ``open_bus`` does so when it ends.
        Closing once more does nothing.
        """
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        self.stop_accepting()
        try:
            try:
                await self._listeners.aclose()
            finally:
                await self._say_goodbye()  # noqa: ASYNC102 -- in a cancelled scope it waits for nothing
        finally:
            self._tasks.cancel()
        await self._ended.wait()

    async def _say_goodbye(self) -> None:
        routing = self.routing
        self._admission.dismiss_newcomers()
        routing.router.say_goodbye("the bus is shutting down")
        connections = list(routing.connections.values())
        for connection in connections:
            connection.finish()
        with trio.move_on_after(self.limits.drain):
            for connection in connections:
                await connection.ended.wait()
