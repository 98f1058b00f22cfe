"""Turns for what is computed for one peer and takes a while: a step of a handshake, or a payload that is inflated.

Each lasts a few milliseconds. But sixty peers would have one each before anybody else came to his turn.
"""

from __future__ import annotations

from typing import Final

import trio

AT_ONCE: Final = 262_144
"""Bytes that are inflated without letting others run, which took 1 to 2 ms; one payload may be more."""


class Turns:
    """Gives one task in each pass of the scheduler a turn, in the order in which they asked.

    A ``trio.Lock`` is fair, and whoever has it gives way once: so the next one comes a pass later.
    """

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def take(self) -> None:
        """Wait for a turn, which lasts until the task waits again; cancelled, a task gives up its place."""
        async with self._lock:
            await trio.lowlevel.checkpoint()


class Ration:
    """What may be inflated without letting others run, be it of what was read or for what is written.

    Whoever inflates calls :meth:`take` before, and adds the bytes to ``spent``. Small payloads need no turns.
    """

    def __init__(self) -> None:
        self.spent: int = 0
        self._turns = Turns()

    async def take(self) -> None:
        """Wait for a turn if much was inflated since somebody had one."""
        if self.spent >= AT_ONCE:
            await self._turns.take()
            self.spent = 0


_ration: Final = trio.lowlevel.RunVar[Ration]("t2bus.transport.turns")


def ration() -> Ration:
    """Return the one of all connections of this run of Trio."""
    try:
        return _ration.get()
    except LookupError:
        one = Ration()
        _ration.set(one)
        return one
