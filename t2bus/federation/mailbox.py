"""What other threads have noted down until Trio's takes it.

::

    with open_mailbox() as mailbox:
        mailbox.put(Joined("4f1d0c7a93b2e856"))  # in any thread
        await mailbox.wait()  # in Trio's, as the rest
        events = mailbox.take()

Trio is woken once for all that it will find: to wake it for each piece of a flood costs ten times as much. A byte in a
socket wakes it, for which whoever takes waits. With ``TrioToken.run_sync_soon`` another task would have to go on first.

The law of this module: who puts never waits.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from .engine import Arrived, EngineFailed

if TYPE_CHECKING:
    from collections.abc import Generator

    from .engine import Event

MOST_WAITING: Final = 256 * 1024 * 1024
"""Bytes; servers have windows far below, and one that is overrun all the same has to start anew."""

_MANY: Final = 4096
"""Bytes that are read of the socket at once: never so many are there."""

BESIDE: Final = 256
"""Bytes of memory that a piece takes beside its own."""


@define(eq=False)
class Mailbox:
    """What Zenoh's threads have noted down until Trio's takes it."""

    _bell: socket.socket
    _rope: socket.socket
    most: int
    """Bytes that may wait."""
    _waiting: list[Event] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def put(self, event: Event) -> None:
        """Note an event down, in any thread. One for which there is no room is dropped, and :meth:`take` says so."""
        with self._lock:
            is_first = not self._waiting
            if isinstance(event, Arrived):
                self._size += len(event.data) + BESIDE
            if self._size <= self.most:
                self._waiting.append(event)
        if is_first:  # Trio is woken once for all that it finds then
            self.wake()

    def wake(self) -> None:
        """Wake who waits, from any thread."""
        with suppress(OSError):  # it is closed, or so full that who waits is woken anyway
            self._rope.send(b"\0")

    def take(self) -> list[Event]:
        """Return what was noted down since the last time."""
        with self._lock:
            if self._size > self.most:
                raise EngineFailed(f"{self._size} bytes of other servers wait, which are more than can be kept")
            events, self._waiting, self._size = self._waiting, [], 0
        return events

    async def wait(self) -> None:
        """Wait until there is something that was not taken, or until somebody is woken."""
        await trio.lowlevel.wait_readable(self._bell)
        self._bell.recv(_MANY)


@contextmanager
def open_mailbox(most: int = MOST_WAITING) -> Generator[Mailbox, None, None]:
    """Open a mailbox; what is put into it after the block is lost."""
    bell, rope = socket.socketpair()
    with bell, rope:
        bell.settimeout(0)
        rope.settimeout(0)
        try:
            yield Mailbox(bell, rope, most)
        finally:
            trio.lowlevel.notify_closing(bell)
