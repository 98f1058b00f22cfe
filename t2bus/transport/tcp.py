"""TCP, with TLS above it or not: IPv4, IPv6 and host names.

A name may have several addresses. All are tried when connecting, a new one each time that the last has failed or has
not answered for 0.25 s, and the first that answers is taken ("happy eyeballs", RFC 8305). A listener takes all that
this machine has: ``localhost`` is often said to be ``::1`` too where there is no IPv6. If none will do, the error has
each address with its reason. Trio does the rest: its streams switch Nagle's algorithm off.

The law of this module: every failure is an ``OSError`` or ``BindFailed`` that a person can read, also where Trio raises
some ``ValueError`` for a text that cannot be the name of a host.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import frozen

from ..background import closing
from ..errors import BindFailed
from ..text import quote
from .forks import keep_from_children

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from .address import TcpAddress, TlsAddress


_PATIENCE: Final = 0.25
"""Seconds that one address has before the next is tried beside it, as in Trio, Chrome and Firefox."""

_BACKLOG: Final = 0xFFFF
"""Connections that the kernel keeps until they are accepted; it takes as many of these as it allows."""

_NOT_HERE: Final = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
"""What is wrong with an address of a family that this machine has not, or of another machine."""


@frozen
class _Place:
    """One address of a host, as the system takes it."""

    family: int
    sockaddr: tuple[Any, ...]
    name: str
    """The IP address, with its zone if it has one."""


async def connect(address: TcpAddress | TlsAddress) -> trio.SocketStream:
    """Connect to the first address of the host that answers.

    Cancelled, it leaves no socket open. There is no time limit of its own: the system's is minutes.

    Raises:
      OSError: no address of the host answers, or there is no such host.

    """
    connected: list[trio.SocketStream] = []
    failures: dict[str, OSError] = {}

    @trio.lowlevel.enable_ki_protection
    async def attempt(place: _Place, is_over: trio.Event) -> None:
        try:
            connected.append(await _connect(place))
        except OSError as error:
            failures[place.name] = error
        else:
            nursery.cancel_scope.cancel()
        is_over.set()

    places = await _look_up(address)
    try:
        async with trio.open_nursery() as nursery:
            for place in places:
                is_over = trio.Event()
                nursery.start_soon(attempt, place, is_over)
                with trio.move_on_after(_PATIENCE):
                    await is_over.wait()
    except BaseException:
        _close(connected)
        raise
    if not connected:
        raise _why(address, failures)
    _close(connected[1:])  # two may have answered at the same time
    return keep_from_children(connected[0])


async def _connect(place: _Place) -> trio.SocketStream:
    """Connect to one address; whatever happens to this, no socket is left open."""
    sock = trio.socket.socket(place.family, socket.SOCK_STREAM)
    try:
        await sock.connect(place.sockaddr)
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


def _close(streams: Sequence[trio.SocketStream]) -> None:
    for stream in streams:
        stream.socket.close()


@asynccontextmanager
async def open_listeners(
    address: TcpAddress | TlsAddress,
) -> AsyncGenerator[list[trio.SocketListener], None]:
    """Listen at all addresses of the host that this machine has, until the body ends.

    ``localhost`` usually has one of IPv4 and one of IPv6. With port 0 each address has a free port of its own.

    Raises:
      BindFailed: the host has no address here, or the port is taken at one of them; then none is open.

    """
    listeners: list[trio.SocketListener] = []
    absent: dict[str, OSError] = {}
    async with AsyncExitStack() as stack:
        try:
            for place in await _look_up(address):
                try:
                    listener = await _listen(place)
                except OSError as error:
                    if error.errno not in _NOT_HERE:
                        raise _why(address, {place.name: error}) from error
                    absent[place.name] = error
                else:
                    await stack.enter_async_context(closing(keep_from_children(listener).aclose))
                    listeners.append(listener)
            if not listeners:
                raise _why(address, absent)
        except OSError as error:
            raise BindFailed(f"cannot listen at {address}: {error.strerror or error}") from error
        yield listeners


async def _listen(place: _Place) -> trio.SocketListener:
    """Listen at one address; where that fails, no socket is left open."""
    sock = trio.socket.socket(place.family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if place.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        await sock.bind(place.sockaddr)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return trio.SocketListener(sock)


async def _look_up(address: TcpAddress | TlsAddress) -> list[_Place]:
    """Return the addresses of a host in the system's order, each once: a file of hosts may have one twice.

    Raises:
      OSError: it has none, or the text can be no name of a host, such as one with a label of 64 letters.

    """
    try:
        found = await trio.socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except ValueError as error:
        raise OSError(f"{quote(address.host)} is no name of a host") from error
    places = (_Place(family, sockaddr, name_of(sockaddr)) for family, _, _, _, sockaddr in found)
    return list(dict.fromkeys(places))


def name_of(sockaddr: tuple[Any, ...]) -> str:
    """Return the IP address in what the system takes, with its zone, such as ``fe80::1%eth0``."""
    return socket.getnameinfo(sockaddr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]


def _why(address: TcpAddress | TlsAddress, failures: Mapping[str, OSError]) -> OSError:
    """Return the error for what failed at addresses of a host; each is named, unless it was named by the user."""
    reasons = {name: os.strerror(error.errno) if error.errno else str(error) for name, error in failures.items()}
    if list(reasons) == [address.host]:
        return OSError(reasons[address.host])
    return OSError("; ".join(f"{reason} ({name})" for name, reason in reasons.items()))
