"""Opening a client: what is asked for is checked, the bus is dialled, and the client runs until its body ends.

The law of this module: what is wrong with the arguments raises before anything is opened.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import trio

from ..background import closing, open_background_nursery
from ..contexts.document import PREFIX
from ..contexts.file import find
from ..hints import require
from ..limits import Limits
from ..tls import client_context, prepare
from ..transport.address import parse
from ..transport.credentials import check_peers
from ..under_trio import require_trio
from .client import Client
from .connection import ClientConnection
from .dialling import Destination, Dialled, Reconnect, Redial
from .greeting import hello
from .upkeep import run_links

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
    from contextlib import AbstractAsyncContextManager

    Place = str | trio.abc.Stream | Callable[[], Awaitable[trio.abc.Stream]]
    Wire = Literal["t2bus", "t2"]


def open_client(
    address: str | trio.abc.Stream | Callable[[], Awaitable[trio.abc.Stream]],
    *,
    tls: ssl.SSLContext | None = None,
    peers: Collection[str] = (),
    wire: Literal["t2bus", "t2"] | None = None,
    limits: Limits | None = None,
    name: str | None = None,
    reconnect: Reconnect | None = None,
) -> AbstractAsyncContextManager[Client]:
    """Connect to a bus until the body ends; ``async with`` gives the :class:`t2bus.Client`.

    ::

        async with t2bus.open_client("unix:my_bus") as client:
            await client.publish("alice", Hello("Hello Alice"))

    Entering waits until the bus has let the client in. Cancelled there, nothing stays open. Leaving writes what was
    sent and not written yet, for at most ``Limits.drain``; cancelled, it leaves at once. The body's exceptions leave as
    they are. Losing the bus does not end the body: every call raises ``Disconnected`` from then on.

    With ``reconnect`` entering waits until the bus is there (``trio.fail_after`` bounds that), and the client connects
    again whenever it has lost the bus. Then

    - what was pending raises ``Disconnected``, since it may have had effect; it is not sent again;
    - calls that are made meanwhile wait;
    - subscriptions and services go on by themselves: they are registered again, in their order, before any call is
      carried out. A subscription gives ``Lagged`` with ``dropped=None`` where messages may be missing; a service whose
      topic somebody else serves by then ends with ``ServiceRevoked``;
    - a publisher raises ``Unconfirmed`` once if publications were on their way, and goes on.

    Args:
      address: ``unix:PATH``, ``tcp:HOST:PORT`` or ``tls:HOST:PORT``; ``name:NAME`` for what ``t2bus register NAME``
        has written down; or any Trio stream whose other end a bus serves (:meth:`t2bus.Bus.serve_stream`), which is
        closed at the end; or an asynchronous function that opens one, and raises ``OSError``,
        ``trio.BrokenResourceError`` or ``trio.TooSlowError`` where no bus is there.
      tls: what this client shows and asks for at a ``tls:`` address: :func:`t2bus.tls.client_context`, or a context of
        your own that verifies the bus. By default it is made of the certificates of ``name:NAME``, if it has some.
      peers: whose bus it may be at a unix socket, beside this user's and root's, as ``uid:N`` or ``gid:N``. By default
        those that are written down for ``name:NAME``.
      wire: ``"t2"`` for a bus of the Rust crate ``t2_bus``, whose wire is another one, without headers. By default it
        is ``"t2bus"``, or what is written down for ``name:NAME``.
      limits: the client's own windows and times; by default ``Limits()``.
      name: what the program calls itself, for people who read the bus's logs or :mod:`t2bus.status`; at most 64
        printable characters. By default the program and the id of its process, as ``recorder.py[4711]``. It gives no
        rights.
      reconnect: how to come back to a bus that was lost, or that is not there yet; by default not at all.

    Raises:
      InvalidAddress: the address is of no known kind, needs ``tls``, or is a name that is not written down.
      ConnectFailed: nothing listens there, no bus answers within ``Limits.handshake_time``, or it did not let this
        client in; the text says which. With ``reconnect`` only where trying again does not help (not ``retryable``).
      TlsFailed: a ``ConnectFailed`` for which certificates, keys or host names are the likely cause.
      ValueError: ``tls`` does not verify the bus, or is made for a bus; a peer, the name or the wire cannot be one; or
        ``reconnect`` is given for a stream, which cannot be opened again.
      TypeError: an argument is of another type; the text says what to write.
      RuntimeError: this does not run under Trio.

    """
    return _connected_client(address, tls=tls, peers=peers, wire=wire, limits=limits, name=name, reconnect=reconnect)


@asynccontextmanager
async def _connected_client(
    address: Place,
    *,
    tls: ssl.SSLContext | None,
    peers: Collection[str],
    wire: Wire | None,
    limits: Limits | None,
    name: str | None,
    reconnect: Reconnect | None,
) -> AsyncGenerator[Client, None]:
    """Check what was asked for, dial, and run the client."""
    require_trio()
    _check(address, wire, limits, reconnect)
    own, known, greeting = limits or Limits(), check_peers(peers), hello(name)
    if isinstance(address, str) and address.startswith(PREFIX):
        bus = find(address)
        address, wire, known = bus.address, wire or bus.wire, known or frozenset(bus.peers)
        tls = client_context(**bus.files) if tls is None and bus.files else tls
    place = parse(address) if isinstance(address, str) else address
    if tls is not None:
        prepare(tls, is_server=False)
    destination = Destination(place=place, limits=own, tls=tls, peers=known, wire=wire or "t2bus", hello=greeting)
    redial = None if reconnect is None else Redial(destination, reconnect)
    dialled = await (destination.dial() if redial is None else redial.dial_until_there())
    async with run_client(dialled, own, redial) as client:
        yield client


def _check(address: Place, wire: Wire | None, limits: Limits | None, reconnect: Reconnect | None) -> None:
    """Raise ``TypeError`` or ``ValueError`` for what cannot be asked for."""
    is_named = isinstance(address, str | trio.abc.Stream)
    if not (is_named or callable(address)):
        kind = type(address).__name__
        raise TypeError(f"a bus is at an address, a Trio stream, or what an asynchronous function opens, not {kind}")
    if wire not in ("t2bus", "t2", None):
        raise ValueError(f"there is no wire {wire!r}: it is 't2bus', or 't2' for a bus of the Rust crate t2_bus")
    require("limits", limits, Limits, "t2bus.Limits(...)")
    require("reconnect", reconnect, Reconnect, "t2bus.Reconnect()")
    if reconnect is not None and isinstance(address, trio.abc.Stream):
        raise ValueError("a stream cannot be opened again: pass an asynchronous function that opens one")


@asynccontextmanager
async def run_client(dialled: Dialled, limits: Limits, redial: Redial | None = None) -> AsyncGenerator[Client, None]:
    """Run a client over a connection, which is closed at the end.

    A client in the process of its bus is run so too, by ``bus.open_client``.
    """
    connection = ClientConnection(limits, dialled, redial is not None)
    async with open_background_nursery() as nursery:
        nursery.start_soon(run_links, connection, redial)
        async with closing(connection.aclose):
            yield Client(connection)
