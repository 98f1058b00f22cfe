"""TCP, with TLS above it or not: IPv4, IPv6 and host names.

Trio's streams switch Nagle's algorithm off, and its connect tries all addresses of a name.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import trio

from ..errors import BindFailed
from ..text import quote

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .address import TcpAddress, TlsAddress

__all__ = ["connect", "open_listeners"]


async def connect(address: TcpAddress | TlsAddress) -> trio.SocketStream:
    """Connect to the first address of the host that answers; raises ``OSError``."""
    try:
        return await trio.open_tcp_stream(address.host, address.port)
    except ValueError as error:
        raise _no_host(address) from error


@asynccontextmanager
async def open_listeners(
    address: TcpAddress | TlsAddress,
) -> AsyncGenerator[list[trio.SocketListener], None]:
    """Listen at all addresses of the host until the body ends.

    Raises:
      BindFailed: the host has no address here, or the port is taken.

    """
    try:
        listeners = list(await trio.open_tcp_listeners(address.port, host=address.host))
    except ValueError as error:
        raise BindFailed(f"cannot listen at {address}: {_no_host(address)}") from error
    except OSError as error:
        raise BindFailed(f"cannot listen at {address}: {error.strerror or error}") from error
    async with AsyncExitStack() as stack:
        for listener in listeners:
            await stack.enter_async_context(listener)
        yield listeners


def _no_host(address: TcpAddress | TlsAddress) -> OSError:
    """Return the error for a text that can be no name of a host; Trio raises some ``ValueError`` for it."""
    return OSError(f"{quote(address.host)} is no name of a host")
