"""Unix domain sockets: a listener that takes nobody else's path, and connecting.

A socket's file outlives the process that made it. So whatever is at the path is looked at first: a file that is no
socket is left alone, a socket that answers is a bus that lives, and only one that refuses is dead and replaced. The new
socket is made beside it under a name of its own, closed to other users, and then linked into place, which fails rather
than replaces. Buses that start at the same time take turns, by a lock on the folder, which leaves no file. On closing
the path is removed only if it still leads to the socket that was put there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import stat
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from ..errors import BindFailed, ConnectFailed
from .credentials import identity_of, is_ours

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .address import UnixAddress

__all__ = ["connect", "open_listener", "widen"]

_BACKLOG = 1024

_SEND_BUFFER = 1_048_576
"""Bytes; Linux allows twice as many, for what it needs around them."""

_PRIVATE = 0o600

_LOCK_TIME = 1.0
_LOCK_PAUSE = 0.01
"""Seconds: how long, and how often, a bus tries to be the only one that is being opened in a folder."""


def widen(stream: trio.SocketStream) -> trio.SocketStream:
    """Let the kernel keep more of what is written, as far as it agrees, and return the stream.

    A socket that takes a large frame as a whole saves its writer a wait, and its reader a read, for each part: 256 kB
    messages went from 4,700 to 8,500 a second.
    """
    with contextlib.suppress(OSError):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    return stream


async def connect(address: UnixAddress, peers: frozenset[str] = frozenset()) -> trio.abc.Stream:
    """Connect to a bus of this user, of root, or of one of the peers; raises ``OSError`` or ``ConnectFailed``."""
    stream = widen(await trio.open_unix_socket(address.path))
    try:
        identity = identity_of(stream)
    except OSError:
        await trio.aclose_forcefully(stream)
        raise
    if is_ours(identity, peers, root=True):
        return stream
    await trio.aclose_forcefully(stream)
    raise ConnectFailed(
        f"another user ({identity}) listens at {address}: if that is the bus you mean, name this user as a peer"
    )


@asynccontextmanager
async def open_listener(address: UnixAddress, mode: int = _PRIVATE) -> AsyncGenerator[trio.SocketListener, None]:
    """Listen at the path until the body ends.

    ``mode`` is that of the socket's file: the kernel lets those connect who may write to it.

    Raises:
      BindFailed: something that must not be replaced is at the path, or no socket can be made there.

    """
    path = address.path
    place = _absolute(path)
    try:
        async with _alone(Path(path).parent):
            _remove_dead(path)
            server = _bind(path, mode)
    except OSError as error:
        if isinstance(error, BindFailed):
            raise
        raise BindFailed(f"cannot listen at {address}: {error.strerror or error}") from error
    ours = _identity(place)
    async with trio.SocketListener(trio.socket.from_stdlib_socket(server)) as listener:
        try:
            yield listener
        finally:
            _remove(place, ours)


@asynccontextmanager
async def _alone(folder: Path) -> AsyncGenerator[None, None]:
    """Keep other buses out of a folder, so that none removes what another has just put there for a dead socket.

    A folder that cannot be locked, or is locked for long, by whatever program, is used without.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        with trio.move_on_after(_LOCK_TIME):
            await _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


async def _lock(descriptor: int) -> None:
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        await trio.sleep(_LOCK_PAUSE)


def _bind(path: str, mode: int = _PRIVATE) -> socket.socket:
    """Return a listening socket of this mode at a path where nothing is."""
    scratch = Path(path).with_name(f".{secrets.token_hex(4)}")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(str(scratch))
        try:
            scratch.chmod(mode)
            server.listen(_BACKLOG)
            os.link(scratch, path)
        finally:
            scratch.unlink()
    except FileExistsError as error:
        server.close()
        raise BindFailed(f"unix:{path} is in use: another bus took it just now") from error
    except BaseException:
        server.close()
        raise
    return server


def _remove_dead(path: str) -> None:
    """Remove a dead socket from the path; raise ``BindFailed`` for anything else that is there."""
    found = _identity(path)
    if found is None:
        return
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise BindFailed(f"{path} exists and is not a socket: remove it or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        result = probe.connect_ex(path)
    if result not in {errno.ECONNREFUSED, errno.ENOENT}:
        raise BindFailed(f"unix:{path} is in use: a bus that lives answers there, or its owner is another user")
    if _identity(path) == found:
        Path(path).unlink()


def _absolute(path: str) -> str:
    """Return the path as it leads to the same file from any working directory, when the socket is removed."""
    return str(Path(path).absolute())


def _remove(path: str, ours: tuple[int, ...] | None) -> None:
    """Remove the socket from the path if it is still the one that was put there."""
    with contextlib.suppress(OSError):
        if _identity(path) == ours:
            Path(path).unlink()


def _identity(path: str) -> tuple[int, ...] | None:
    """Return what tells this file from another at the same path, or None where there is none.

    The number of a file that was removed is soon given to another, so the time of its making is part of it.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns
