"""What other threads have noted down until Trio's takes it.

::

    mailbox = Mailbox()
    mailbox.put(Joined("4f1d0c7a93b2e856"))  # in any thread
    events = mailbox.take()  # in Trio's, as the rest
    if not events:
        await mailbox.wait()

Trio is woken once for all that it will find: to wake it for each piece of a flood costs ten times as much.

The law of this module: who puts never waits.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from .engine import Arrived, EngineFailed

if TYPE_CHECKING:
    from .engine import Event

MOST_WAITING: Final = 256 * 1024 * 1024
"""Bytes; servers have windows far below, and one that is overrun all the same has to start anew."""

BESIDE: Final = 256
"""Bytes of memory that a piece takes beside its own."""


@define(eq=False)
class Mailbox:
    """What Zenoh's threads have noted down until Trio's takes it."""

    most: int = MOST_WAITING
    """Bytes that may wait."""
    _waiting: list[Event] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)
    _lock: Lock = field(factory=Lock, init=False)
    _trio: trio.lowlevel.TrioToken = field(factory=trio.lowlevel.current_trio_token, init=False)
    _filled: trio.Event = field(factory=trio.Event, init=False)

    def put(self, event: Event) -> None:
        """Note an event down, in any thread. One for which there is no room is dropped, and :meth:`take` says so."""
        with self._lock:
            is_first = not self._waiting
            if isinstance(event, Arrived):
                self._size += len(event.data) + BESIDE
            if self._size <= self.most:
                self._waiting.append(event)
        if is_first:  # Trio is woken once for all that it finds then
            with suppress(trio.RunFinishedError):
                self._trio.run_sync_soon(self.wake, idempotent=True)

    def wake(self) -> None:
        """Wake who waits, in Trio's thread."""
        self._filled.set()

    def take(self) -> list[Event]:
        """Return what was noted down since the last time."""
        with self._lock:
            if self._size > self.most:
                raise EngineFailed(f"{self._size} bytes of other servers wait, which are more than can be kept")
            events, self._waiting, self._size = self._waiting, [], 0
        return events

    async def wait(self) -> None:
        """Wait until there is something, or until somebody is woken. Nothing may come between :meth:`take` and this."""
        self._filled = trio.Event()
        await self._filled.wait()
