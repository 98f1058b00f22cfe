"""Opening a client: connect, shake hands, run.

::

    client   HELLO    the version of the wire, the compressions that it can read, and its name
    bus      WELCOME  the bounds of the client, and the number of its connection; or ERROR, which says why not

A bus may send more right behind its WELCOME, so what came together with that is handed on.

The law of this module: a connection that does not become a client is closed, and the error says what to do.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal

import trio

from ..background import closing, open_background_nursery
from ..contexts.document import PREFIX
from ..contexts.file import find
from ..endpoints import connect, open_transport
from ..errors import ConnectFailed, ProtocolViolation
from ..limits import Limits
from ..session.outbox import ClientOutbox
from ..session.session import Session
from ..tls import client_context, prepare
from ..transport.address import UnixAddress, parse
from ..transport.credentials import check_peers
from ..transport.handshake import failure
from ..under_trio import require_trio
from ..wire.messages import Error, Welcome
from ..wire.native import VERSION
from .client import Client
from .connection import ClientConnection
from .greeting import hello

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Collection, Sequence

    from ..endpoints import ClientTransport
    from ..wire.messages import Hello, ServerMessage

_WHO_LISTENS: Final = (
    "is it a t2bus bus that listens there? One with TLS is at a tls: address, and one of the Rust crate t2_bus needs "
    'wire="t2" (on the command line --wire t2)'
)


@asynccontextmanager
async def open_client(
    address: str | trio.abc.Stream,
    *,
    tls: ssl.SSLContext | None = None,
    peers: Collection[str] = (),
    wire: Literal["t2bus", "t2"] | None = None,
    limits: Limits | None = None,
    name: str | None = None,
) -> AsyncGenerator[Client, None]:
    """Connect to the bus at an address, and disconnect when the body ends.

    Leaving the body writes what was sent and not written yet, for at most ``Limits.drain``; cancelled, it leaves at
    once. The body's exceptions leave as they are. Losing the bus does not end the body: every call then raises
    ``Disconnected``.

    Args:
      address: ``unix:PATH``, ``tcp:HOST:PORT`` or ``tls:HOST:PORT``; ``name:NAME`` for what ``t2bus register NAME``
        has written down; or any Trio stream that leads to a bus (``bus.serve_stream``), which is closed at the end.
      tls: what this client shows and asks for at an address of TLS: ``t2bus.tls.client_context(...)``, or a context
        of your own that verifies the bus. By default it is made of the certificates of ``name:NAME``, if it has some.
      peers: whose bus it may be at a unix socket, beside this user's and root's, as ``uid:N`` or ``gid:N``. By default
        those that are written down for ``name:NAME``.
      wire: ``"t2"`` for a bus of the Rust crate ``t2_bus``, whose wire is another one, without headers. By default it
        is ``"t2bus"``, or what is written down for ``name:NAME``.
      limits: the client's own windows and times.
      name: what the program calls itself, in the bus's logs and in what it says of itself (:mod:`t2bus.status`); at
        most 64 printable characters. By default the program and the id of its process, as ``recorder.py[4711]``. It
        gives no rights, and is never taken for an identity.

    Raises:
      InvalidAddress: the address is of no kind that the bus speaks, needs ``tls``, or is a name that is not known.
      ConnectFailed: no bus answers there, or it did not let this client in; the text says why.
      TlsFailed: it is a ConnectFailed for which certificates, keys or host names are the likely cause.
      ValueError: ``tls`` does not verify the bus or is for one, a peer or a name is none, or there is no such wire.
      RuntimeError: it is not Trio that runs this.

    """
    require_trio()
    if wire not in ("t2bus", "t2", None):
        raise ValueError(f"there is no wire {wire!r}: it is 't2bus', or 't2' for a bus of the Rust crate t2_bus")
    own, known, greeting = limits or Limits(), check_peers(peers), hello(name)
    if isinstance(address, str) and address.startswith(PREFIX):
        bus = find(address)
        address, wire, known = bus.address, wire or bus.wire, known or frozenset(bus.peers)
        tls = client_context(**bus.files) if tls is None and bus.files else tls
    wire = wire or "t2bus"
    if tls is not None:
        prepare(tls, is_server=False)
    if isinstance(address, trio.abc.Stream):
        stream, stays_here = address, False
    else:
        place = parse(address)
        stays_here = isinstance(place, UnixAddress)
        stream = await connect(place, own, tls, known, wire=wire)
    transport = open_transport(stream, own, wire=wire, stays_here=stays_here)
    try:
        welcome, rest = await _shake_hands(transport, own, greeting)
    except BaseException:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
            await transport.aclose()
        raise
    async with run_client(transport, welcome, rest, own) as client:
        yield client


@asynccontextmanager
async def run_client(
    transport: ClientTransport, welcome: Welcome, rest: Sequence[ServerMessage], limits: Limits
) -> AsyncGenerator[Client, None]:
    """Run a client over a transport, which is closed at the end; ``rest`` is what came together with the WELCOME.

    A client in the process of its bus is run so too, by ``bus.open_client``.
    """
    outbox = ClientOutbox(limits.outbox_bytes, welcome.frame)
    session = Session(limits, welcome, outbox, compress=transport.compresses and bool(welcome.compressions))
    connection = ClientConnection(transport, session)
    async with open_background_nursery() as nursery:
        connection.start(nursery, rest)
        async with closing(connection.aclose):
            connection.outlive_cancellation()
            yield Client(connection)


async def _shake_hands(
    transport: ClientTransport, limits: Limits, greeting: Hello
) -> tuple[Welcome, Sequence[ServerMessage]]:
    """Return the bus's WELCOME and what came together with it.

    Raises:
      ConnectFailed: what answers is no bus, or does not let this client in, or nothing answers within
        ``Limits.handshake_time``.
      TlsFailed: the connection has TLS and broke. A bus that refuses a certificate is heard of only now, with the first
        read.

    """
    messages: list[ServerMessage] = []
    try:
        with trio.move_on_after(limits.handshake_time) as scope:
            await transport.send([greeting])
            while not messages:
                messages += await transport.receive()
    except (trio.EndOfChannel, trio.BrokenResourceError) as error:
        if transport.is_secure:
            raise failure(error) from error
        raise ConnectFailed(f"the connection was closed before a bus answered: {_WHO_LISTENS}") from error
    except ProtocolViolation as error:
        raise ConnectFailed(f"what listens there does not speak the wire of t2bus: {error}") from error
    if scope.cancelled_caught:
        raise ConnectFailed(f"no bus answered within {limits.handshake_time:g} s: {_WHO_LISTENS}")
    first, *rest = messages
    if isinstance(first, Error):
        raise ConnectFailed(f"the bus did not let this client in: {first.text}")
    if not isinstance(first, Welcome) or first.version != VERSION:
        raise ConnectFailed("the bus answered something else than a WELCOME of this version of the wire")
    transport.set_frame_limit(first.delivery)
    return first, rest
