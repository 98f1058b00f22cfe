"""TCP, with TLS above it or not: IPv4, IPv6 and host names.

Trio does the work: its streams switch Nagle's algorithm off, and its connect tries all addresses of a name, a new one
each time that the last has not answered for 0.25 s. What is left to do here is to say in one line what went wrong.

The law of this module: every failure is an ``OSError`` or ``BindFailed`` that a person can read, also where Trio raises
some ``ValueError`` for a text that cannot be the name of a host.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import trio

from ..background import closing
from ..errors import BindFailed
from ..text import quote
from .forks import keep_from_children

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from .address import TcpAddress, TlsAddress


async def connect(address: TcpAddress | TlsAddress) -> trio.SocketStream:
    """Connect to the first address of the host that answers.

    Cancelled, it leaves no socket open. There is no time limit of its own: the system's is minutes.

    Raises:
      OSError: no address of the host answers, or there is no such host.

    """
    try:
        return keep_from_children(await trio.open_tcp_stream(address.host, address.port))
    except ValueError as error:
        raise _no_host(address) from error
    except OSError as error:
        if isinstance(error.__cause__, ExceptionGroup):
            # Trio's own text says only that all attempts failed.
            raise _why(error.__cause__.exceptions) from error
        raise


@asynccontextmanager
async def open_listeners(
    address: TcpAddress | TlsAddress,
) -> AsyncGenerator[list[trio.SocketListener], None]:
    """Listen at all addresses of the host until the body ends; ``localhost`` usually has one of IPv4 and one of IPv6.

    With port 0 each address has a free port of its own.

    Raises:
      BindFailed: the host has no address here, or the port is taken; then none is open.

    """
    try:
        listeners = list(await trio.open_tcp_listeners(address.port, host=address.host))
    except ValueError as error:
        raise BindFailed(f"cannot listen at {address}: {_no_host(address)}") from error
    except OSError as error:
        raise BindFailed(f"cannot listen at {address}: {error.strerror or error}") from error
    async with AsyncExitStack() as stack:
        for listener in listeners:
            await stack.enter_async_context(closing(keep_from_children(listener).aclose))
        yield listeners


def _why(attempts: Sequence[Exception]) -> OSError:
    """Return the error for attempts at all addresses of a host: its text has each reason once."""
    numbers = dict.fromkeys(error.errno for error in attempts if isinstance(error, OSError))
    return OSError("; ".join(os.strerror(number) for number in numbers if number) or str(attempts[0]))


def _no_host(address: TcpAddress | TlsAddress) -> OSError:
    """Return the error for a text that cannot be the name of a host, such as one with a label of 64 letters."""
    return OSError(f"{quote(address.host)} is no name of a host")
