"""Unix domain sockets: a listener that takes nobody else's path, and connecting.

A socket's file outlives the process that made it, so opening a listener looks at what is at the path first:

======================  ==================================
at the path             so
======================  ==================================
nothing                 the socket is made
a socket that refuses   its process is dead: it is replaced
a socket that answers   a bus is there: ``BindFailed``
anything else           it is left alone: ``BindFailed``
======================  ==================================

The new socket is made beside the path under a scratch name, closed to other users. Then it is linked into place, which
fails where something has come there meanwhile. Buses that start at the same time take turns, by a lock on the folder,
which leaves no file.

The law of this module: a file of somebody else is never replaced or removed. On closing, the path is removed only if it
still leads to the socket that was put there, and by the process that put it there, never by a child of it.
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
from typing import TYPE_CHECKING, Final

import trio

from ..background import closing
from ..errors import BindFailed, ConnectFailed
from .address import MAX_PATH
from .credentials import identity_of, is_ours
from .forks import keep_from_children

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .address import UnixAddress

_BACKLOG: Final = 1024
"""Connections that the kernel keeps until they are accepted: as many as a bus has by default."""

_SEND_BUFFER: Final = 1_048_576
"""Bytes; Linux doubles them, for its own overhead."""

_PRIVATE: Final = 0o600

_TRIES: Final = 1000
"""Random names that are looked at for a free one."""

_LOCK_TIME: Final = 1.0
"""Seconds that a bus waits for its turn in a folder."""

_LOCK_PAUSE: Final = 0.01
"""Seconds between two tries: a lock cannot be waited for without a thread."""


def widen(stream: trio.SocketStream) -> trio.SocketStream:
    """Let the kernel buffer more of what is written, as far as it allows, and return the stream.

    A large frame that fits as a whole saves its writer a wait, and its reader a read, for each part: messages of 256 kB
    went from 4,700 to 8,500 a second.
    """
    with contextlib.suppress(OSError):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    return stream


async def connect(address: UnixAddress, peers: frozenset[str] = frozenset()) -> trio.SocketStream:
    """Connect to a bus of this user, of root, or of one of the peers; cancelled, it leaves no socket open.

    Raises:
      OSError: nothing listens there, or the system does not tell whose bus it is.
      ConnectFailed: it is somebody else's bus; nothing was sent.

    """
    stream = widen(keep_from_children(await trio.open_unix_socket(address.path)))
    try:
        identity = identity_of(stream)
    except OSError:
        await trio.aclose_forcefully(stream)
        raise
    if is_ours(identity, peers, root=True):
        return stream
    await trio.aclose_forcefully(stream)
    raise ConnectFailed(
        f"another user ({identity}) listens at {address}: if that is the bus you mean, say so with "
        f"`--peer {identity}` (peers=[{identity.name!r}] in a program)"
    )


@asynccontextmanager
async def open_listener(address: UnixAddress, mode: int = _PRIVATE) -> AsyncGenerator[trio.SocketListener, None]:
    """Listen at the path until the body ends; cancelled at any moment, it leaves no file.

    ``mode`` is that of the socket's file: the kernel lets those connect who may write to it. A relative path counts
    from the working directory of now, also when the file is removed.

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
    ours, process = _identity(place), os.getpid()
    listener = keep_from_children(trio.SocketListener(trio.socket.from_stdlib_socket(server)))
    async with closing(listener.aclose):
        try:
            yield listener
        finally:
            if os.getpid() == process:
                _remove(place, ours)


@asynccontextmanager
async def _alone(folder: Path) -> AsyncGenerator[None, None]:
    """Keep other buses out of a folder, so that none removes what another has just put in the place of a dead socket.

    A folder that cannot be locked, or that some program keeps locked for a second, is used without the lock.
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
    """Try to lock until it succeeds; closing the descriptor unlocks."""
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        await trio.sleep(_LOCK_PAUSE)


def _bind(path: str, mode: int = _PRIVATE) -> socket.socket:
    """Return a listening socket of this mode at a path where nothing is."""
    scratch = _scratch(path)
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


def _scratch(path: str) -> Path:
    """Return a path beside this one where nothing is; its name is cut where the kernel takes no longer path.

    Raises:
      OSError: there is something at all that were tried: one letter leaves few names.

    """
    place = Path(path)
    room = MAX_PATH - len(os.fsencode(path)) + len(os.fsencode(place.name))
    for _ in range(_TRIES):
        scratch = place.with_name(f".{secrets.token_urlsafe(6)}"[-room:])
        if scratch != place and not os.path.lexists(scratch):
            return scratch
    raise OSError("there is no free name of so few bytes beside it")


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
        raise BindFailed(
            f"unix:{path} is in use: a bus is running there, or the socket belongs to another user: stop it, or choose "
            "another path"
        )
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

    The inode of a file that was removed is soon given to another, so the time at which it was made is a part of it.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns
