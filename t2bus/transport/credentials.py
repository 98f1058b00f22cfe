"""Who is at the other end of a unix socket, as the kernel says.

A peer is ``uid:N`` and belongs to the group ``gid:N``, both as they were when its process connected (or began to
listen). A program trusts its own user; any other has to be named, as ``uid:N`` or ``gid:N``, on whichever side.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

from ..broker.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Collection

    import trio

__all__ = ["check_peers", "identity_of", "is_ours"]

_PEER: Final = re.compile(r"[ug]id:[0-9]{1,10}")

_LINUX: Final = struct.Struct("=iII")
"""``struct ucred``: process, user, group."""

_BSD: Final = struct.Struct("=IIh2x16I")
"""``struct xucred`` of macOS and the BSDs: version, user, number of groups, groups."""

_IS_LINUX: Final = sys.platform.startswith("linux")
"""Where there is an ``SO_PEERCRED`` elsewhere, it gives its fields in another order."""

_SOL_LOCAL: Final = 0
_LOCAL_PEERCRED: Final = 1


def identity_of(stream: trio.SocketStream) -> Identity:
    """Return the identity of the peer of a unix socket.

    Raises:
      OSError: this system does not tell.

    """
    get = stream.socket.getsockopt
    if _IS_LINUX:
        return from_linux(get(socket.SOL_SOCKET, socket.SO_PEERCRED, _LINUX.size))
    return from_bsd(get(_SOL_LOCAL, _LOCAL_PEERCRED, _BSD.size))


def from_linux(data: bytes) -> Identity:
    """Read a ``struct ucred``."""
    _, user, group = _LINUX.unpack(data)
    return Identity(f"uid:{user}", (f"gid:{group}",))


def from_bsd(data: bytes) -> Identity:
    """Read a ``struct xucred``."""
    _, user, count, *groups = _BSD.unpack(data)
    return Identity(f"uid:{user}", tuple(f"gid:{group}" for group in groups[:count]))


def check_peers(peers: Collection[str]) -> frozenset[str]:
    """Return the peers as a set.

    Raises:
      TypeError: they are one text, which is a collection of letters.
      ValueError: one of them is neither ``uid:N`` nor ``gid:N``.

    """
    if isinstance(peers, str):
        raise TypeError(f"peers are a collection of texts: write ({peers!r},)")
    for peer in peers:
        if not _PEER.fullmatch(peer):
            raise ValueError(f"{peer!r} is no peer of a unix socket: write uid:N or gid:N with N a number")
    return frozenset(peers)


def is_ours(identity: Identity, peers: frozenset[str], *, root: bool = False) -> bool:
    """Tell whether a peer is this user, or one of the peers; or with ``root`` the superuser."""
    names = {identity.name, *identity.groups}
    return identity.name == f"uid:{os.geteuid()}" or (root and identity.name == "uid:0") or not peers.isdisjoint(names)
