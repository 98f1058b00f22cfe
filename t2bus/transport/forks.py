"""Sockets of this process alone: a child that is forked has the null device in their places.

A forked child has all files of its parent. If it unwinds, by ``sys.exit()`` for instance, it would say goodbye to its
parent's peers. If it lives on, it keeps the connections and the addresses of a parent that is dead, so that peers
notice nothing and no other bus comes up there.

The law of this module: the descriptors of a child stay taken, so that objects that still hold a number never use what
the child opens under it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar
from weakref import WeakSet

import trio

if TYPE_CHECKING:
    HasSocket = TypeVar("HasSocket", trio.SocketStream, trio.SocketListener)

_sockets: Final[WeakSet[trio.socket.SocketType]] = WeakSet()


def keep_from_children(holder: HasSocket) -> HasSocket:
    """Let no child that is forked have the socket of a stream or listener, and return that."""
    _sockets.add(holder.socket)
    return holder


def _replace_all() -> None:
    """Put the null device, of which Trio's epoll, which is the parent's too, takes no notice, in the sockets' places.

    Tasks of the child that wait for a socket are woken as if it was closed, for nothing will ever come.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for socket in _sockets:
        if (number := socket.fileno()) >= 0:
            os.dup2(null, number, inheritable=False)
            # It was not forked by a Trio task where this is a RuntimeError; elsewhere than on Linux nobody waits.
            with suppress(RuntimeError, OSError):
                trio.lowlevel.notify_closing(number)
    os.close(null)


os.register_at_fork(after_in_child=_replace_all)
