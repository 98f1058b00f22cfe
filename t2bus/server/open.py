"""Opening a bus: as a context, as a task, or for a host that has something to say about it.

The law of this module: what cannot be is refused before anything is opened, and what goes wrong later leaves nothing
open.
"""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

import trio

from .. import tls as contexts
from ..background import closing, open_background_nursery
from ..endpoints import require_context
from ..hints import require
from ..limits import Limits
from ..transport.address import Address, TlsAddress, parse
from ..transport.credentials import check_peers
from ..under_trio import require_trio
from .bus import Bus
from .files import require_files
from .hosting import Host
from .joining import check_federation, joined
from .warnings import warn_of_expiry, warn_of_exposure

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Collection, Sequence

    from ..federation.federation import Federation


def open_bus(
    *addresses: str,
    tls: ssl.SSLContext | None = None,
    access: str | os.PathLike[str] | None = None,
    peers: Collection[str] = (),
    limits: Limits | None = None,
    federation: Federation | None = None,
) -> AbstractAsyncContextManager[Bus]:
    """Run a bus in this process until the body ends; ``async with`` gives the :class:`t2bus.Bus`.

    ::

        async with t2bus.open_bus("unix:my_bus", "tcp:127.0.0.1:0") as bus:
            print(*bus.addresses)  # unix:my_bus tcp:127.0.0.1:40961
            async with bus.open_client() as client: ...

    Clients can connect once the block is entered. When the body ends, however it ends, the bus lets nobody in, says
    goodbye, writes what it had accepted for at most ``Limits.drain``, and closes; cancelled, it closes at once. Then
    all its tasks have ended. The body's exceptions leave as they are.

    Args:
      addresses: where to listen, ``unix:PATH``, ``tcp:HOST:PORT`` or ``tls:HOST:PORT``; without one, clients come
        by ``bus.open_client`` and ``bus.serve_stream`` alone.
      tls: what the bus shows and asks for at ``tls:`` addresses: :func:`t2bus.tls.server_context`, or a context of your
        own that verifies the client.
      access: the file of access rules. With it nobody may do anything that it does not allow, clients of this process
        included; without it whoever is let in may do everything.
      peers: who may use unix sockets beside this user, as ``uid:N`` or ``gid:N``.
      limits: the bounds of the bus; by default ``Limits()``.
      federation: how it joins the other servers of one bus, on other hosts for instance. Clients of all of them meet as
        if they were connected to one. Needs the extra ``t2bus[zenoh]``.

    Raises:
      InvalidAddress: an address is of no known kind, or needs ``tls``.
      InvalidAccess: the file of access rules cannot be used.
      TlsFailed: the certificates of ``federation`` cannot be used, or are of an authority that has certified clients,
        who could join as servers then, while there are access rules.
      ModuleNotFoundError: ``federation`` is given, and the extra is not installed.
      LimitExceeded: this process may not open as many files as ``Limits.connections`` needs.
      BindFailed: an address is in use, or cannot be listened at.
      ValueError: ``tls`` does not verify the client, or is made for a client; or a peer cannot be one.
      RuntimeError: this does not run under Trio.

    """

    def judge(asked: Address, bound: Sequence[Address]) -> None:  # noqa: ARG001 -- names tell nothing
        warn_of_exposure(bound)

    return open_hosted_bus(
        Host(judge), *addresses, tls=tls, access=access, peers=peers, limits=limits, federation=federation
    )


@asynccontextmanager
async def open_hosted_bus(
    host: Host,
    *addresses: str,
    tls: ssl.SSLContext | None = None,
    access: str | os.PathLike[str] | None = None,
    peers: Collection[str] = (),
    limits: Limits | None = None,
    federation: Federation | None = None,
) -> AsyncGenerator[Bus, None]:
    """Do as :func:`open_bus`, for a host; what its ``judge`` raises closes the bus and leaves as it is."""
    require_trio()
    require("limits", limits, Limits, "t2bus.Limits(...)")
    require("access", access, (str, os.PathLike), '"access.toml"')
    parsed = [parse(address) for address in addresses]
    limits = limits or Limits()
    check_addresses([*parsed, *(listener.address for listener in host.inherited)], tls, limits)
    shown = check_federation(federation, tls, has_rules=access is not None)
    bus = Bus(limits, host, tls, access, check_peers(peers))
    async with open_background_nursery() as nursery:
        connections: trio.Nursery = await nursery.start(bus.run)
        async with closing(bus.aclose):
            listeners = await bus.listen(parsed)
            warn_of_expiry(tls)
            async with joined(bus.routing, federation, shown):  # before anybody is let in
                if listeners:
                    connections.start_soon(bus.accept, listeners, connections)
                yield bus


def check_addresses(addresses: Sequence[Address], context: ssl.SSLContext | None, limits: Limits) -> None:
    """Raise what :func:`open_bus` raises for what it is given before anything is opened."""
    if context is not None:
        contexts.prepare(context, is_server=True)
    for address in addresses:
        if isinstance(address, TlsAddress):
            require_context(address, context, "server")
    if addresses:
        require_files(limits)


async def serve(
    *addresses: str,
    tls: ssl.SSLContext | None = None,
    access: str | os.PathLike[str] | None = None,
    peers: Collection[str] = (),
    limits: Limits | None = None,
    federation: Federation | None = None,
    task_status: trio.TaskStatus[Bus] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Run a bus as a task until cancelled: ``bus = await nursery.start(t2bus.serve, "unix:my_bus")``.

    ``nursery.start`` returns the :class:`t2bus.Bus` when clients can connect. Options, errors and the end are those of
    :func:`t2bus.open_bus`.
    """
    async with open_bus(*addresses, tls=tls, access=access, peers=peers, limits=limits, federation=federation) as bus:
        task_status.started(bus)
        await trio.sleep_forever()
