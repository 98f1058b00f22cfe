"""The monitor beside a bus: where it listens, who may connect, and what happens when it fails.

::

    async with open_monitor(bus, "127.0.0.1:4280") as addresses:
        print(addresses)  # ("http://127.0.0.1:4280/",)

HTTP is hypercorn's. What it has on a connection is written within :data:`PATIENCE`, or the connection is closed: it
shields its writes from cancellation, and a scraper that never reads would keep the bus from ending.

The law of this module: nothing that happens here reaches the bus. An error of one connection ends that connection, any
other one ends the monitor, which is started again after a pause; each is one entry in the log.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, field
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from ..background import open_background_nursery
from ..endpoints import open_listeners
from ..errors import InvalidAddress
from ..server.limiters import RateLimiter
from ..server.listening import listen
from ..server.warnings import is_exposed
from ..transport.address import TcpAddress, TlsAddress, UnixAddress, is_loopback, parse
from .feed import PATIENCE, Feed
from .glances import Looking
from .web import make_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from ..endpoints import Listener
    from ..server.bus import Bus
    from ..transport.address import Address

_logger = logging.getLogger("t2bus.monitor")

CONNECTIONS: Final = 32
"""Connections at once. One more waits until there is room: idle ones are closed after 5 s."""

SILENCE: Final = 30.0
"""Seconds without anything written to a connection after which it is closed, whatever it waits for."""

PAUSE: Final = 5.0
"""Seconds from a failure of the monitor to its next beginning."""

_RATE: Final = 1000
"""Connections let in per second."""

_PRIVATE: Final = 0o600
"""Mode of a unix socket: for this user alone."""


@asynccontextmanager
async def open_monitor(bus: Bus, address: str) -> AsyncGenerator[tuple[str, ...], None]:
    """Run the monitor of a bus until the body ends, and give where it is.

    Args:
      bus: the bus of this process that it is for.
      address: ``HOST:PORT`` of loopback, or ``unix:PATH``.

    Raises:
      InvalidAddress: it is no address, or one that other machines can reach.
      BindFailed: it is in use, or cannot be listened at.

    """
    async with listening(address) as listeners, open_background_nursery() as nursery:
        nursery.start_soon(_keep_up, bus, listeners)
        yield tuple(_shown(listener.address) for listener in listeners)


@asynccontextmanager
async def listening(address: str) -> AsyncGenerator[Sequence[Listener], None]:
    """Listen where a monitor is to be, until the body ends; raises as :func:`open_monitor`."""
    async with open_listeners(place_of(address), _PRIVATE) as listeners:
        for listener in listeners:
            if is_exposed(listener.address):
                raise InvalidAddress(_exposed(address))
        yield listeners


def place_of(address: str) -> Address:
    """Return the place that is meant by the address of a monitor; raises ``InvalidAddress`` if it can be none."""
    if address.startswith("unix:"):
        return parse(address)
    try:
        place = parse(f"tcp:{address}")
    except InvalidAddress as error:
        raise InvalidAddress(f"{address!r} is no address of a monitor: write 127.0.0.1:4280 or unix:PATH") from error
    assert isinstance(place, TcpAddress)
    if place.host.replace(".", "").isdigit() and not is_loopback(place.host):
        raise InvalidAddress(_exposed(address))
    return place


def _exposed(address: str) -> str:
    return (
        f"{address} can be reached from other machines, and a monitor knows nobody: use 127.0.0.1 or unix:PATH, and "
        "for others a proxy in front that does (`ssh -L 4280:127.0.0.1:4280 HOST` for oneself)"
    )


def _shown(address: Address) -> str:
    return str(address) if isinstance(address, UnixAddress) else f"http://{str(address).removeprefix('tcp:')}/"


def _hosts(listeners: Sequence[Listener]) -> list[str]:
    """Return what ``Host`` may say: no browser reaches a unix socket, and a proxy before one may say anything."""
    hosts = ["localhost"]
    for listener in listeners:
        match listener.address:
            case UnixAddress():
                return ["*"]
            case TcpAddress(host) | TlsAddress(host):
                hosts.append(f"[{host}]" if ":" in host else host)
    return hosts


# --- the monitor


async def _keep_up(bus: Bus, listeners: Sequence[Listener]) -> None:
    """Run the monitor, and again after each failure, until cancelled."""
    while True:
        try:
            await _run(bus, listeners)
        except* Exception:
            _logger.exception("the monitor failed, and begins again in %g s", PAUSE)
        await trio.sleep(PAUSE)


async def _run(bus: Bus, listeners: Sequence[Listener]) -> None:
    """Run the monitor as long as its connection to the bus lasts."""
    async with bus.open_client(name="monitor") as client, trio.open_nursery() as nursery:
        looking = Looking(client)
        feed = Feed(looking)
        nursery.start_soon(feed.run)
        nursery.start_soon(_Connections(_wrapped(make_app(looking, feed, _hosts(listeners)))).serve, listeners)
        await looking.lost.wait()
        raise ConnectionError("the connection to the bus has ended")


def _wrapped(app: Any) -> ASGIWrapper:
    """Return an application as hypercorn takes it, whose types of messages are narrower than Starlette's."""
    return ASGIWrapper(app)


@define(eq=False)
class _Connections:
    """Those who look."""

    _app: ASGIWrapper
    _config: Config = field(init=False)
    _context: WorkerContext = field(init=False)
    _room: trio.Semaphore = field(factory=lambda: trio.Semaphore(CONNECTIONS), init=False)
    _open: set[trio.SocketStream] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        """Tell hypercorn to say nothing of itself, and to leave its log here."""
        self._context = WorkerContext(None)
        self._config = Config()
        self._config.errorlog = _logger
        self._config.include_server_header = False

    async def serve(self, listeners: Sequence[Listener]) -> None:
        """Let them in, until cancelled; then all are cut off at once, whatever hypercorn shields."""
        limiter = RateLimiter(_RATE)
        async with trio.open_nursery() as nursery:

            async def handle(_listener: Listener, stream: trio.SocketStream) -> None:
                self._open.add(stream)
                await self._room.acquire()
                nursery.start_soon(self._serve_one, stream)

            try:
                async with trio.open_nursery() as accepting:
                    for listener in listeners:
                        accepting.start_soon(listen, listener, handle, limiter)
            finally:
                for stream in self._open:
                    stream.socket.close()

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end, which nothing of it survives."""
        try:
            with trio.CancelScope() as scope:
                # Hypercorn names the class of a stream of TLS; it takes any, and asks for `socket`.
                patient: Any = PatientStream(stream, scope)
                await TCPServer(self._app, self._config, self._context, ConnectionState({}), patient)
        except* Exception:
            _logger.exception("a connection to the monitor failed")
        finally:
            self._open.discard(stream)
            stream.socket.close()
            self._room.release()


@define(eq=False)
class PatientStream(trio.abc.HalfCloseableStream):
    """A connection that is written to within a time, and ends when it has been silent for long."""

    _stream: trio.SocketStream
    _scope: trio.CancelScope
    """Of the task that serves it."""

    def __attrs_post_init__(self) -> None:
        """Begin to count the silence."""
        self._scope.deadline = trio.current_time() + SILENCE

    @property
    def socket(self) -> trio.socket.SocketType:
        """What hypercorn asks for addresses."""
        return self._stream.socket

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write, or close the connection if that takes too long.

        Raises:
          trio.BrokenResourceError: it took too long, or the connection is broken.

        """
        with trio.move_on_after(PATIENCE) as scope:
            await self._stream.send_all(data)
        if scope.cancelled_caught:
            self._stream.socket.close()
            raise trio.BrokenResourceError("the other end does not read")
        self._scope.deadline = trio.current_time() + SILENCE

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the stream does."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """End what is written."""
        await self._stream.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Read as the stream does."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close both directions."""
        await self._stream.aclose()
