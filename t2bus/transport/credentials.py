"""Who is at the other end of a unix socket, as the kernel says.

A process of user 1000 and group 100 is ``Identity("uid:1000", ("gid:100",))``, both as they were when it connected, or
began to listen. A program trusts its own user. Any other has to be named as a peer, as ``uid:N`` or ``gid:N``, by the
bus and by the client; a client trusts root's bus too.

The law of this module: an identity comes from the kernel alone, never from what a peer sends.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

from ..broker.identity import Identity
from .peer_name import check_peer

if TYPE_CHECKING:
    from collections.abc import Collection

    import trio

_LINUX: Final = struct.Struct("=iII")
"""``struct ucred``: process, effective user, effective group."""

_BSD: Final = struct.Struct("=IIh2x16I")
"""``struct xucred`` of macOS and the BSDs: version, user, number of groups, groups."""

_IS_LINUX: Final = sys.platform.startswith("linux")
"""Other systems that have ``SO_PEERCRED`` give its fields in another order, so they are not asked for it."""

_SOL_LOCAL: Final = 0
_LOCAL_PEERCRED: Final = 1
"""These two are of ``<sys/un.h>`` on macOS and the BSDs."""


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
    """Return the peers that a program named, as a set.

    Raises:
      TypeError: they are one text, ``"uid:1000"``, which would be a collection of letters.
      ValueError: one of them is neither ``uid:N`` nor ``gid:N``.

    """
    if isinstance(peers, str):
        raise TypeError(f"peers are a collection of texts: write ({peers!r},)")
    for peer in peers:
        check_peer(peer)
    return frozenset(peers)


def is_ours(identity: Identity, peers: frozenset[str], *, root: bool = False) -> bool:
    """Tell whether an identity is this user or one of the peers, by its name or a group; or root, with ``root``."""
    names = {identity.name, *identity.groups}
    return identity.name == f"uid:{os.geteuid()}" or (root and identity.name == "uid:0") or not peers.isdisjoint(names)
