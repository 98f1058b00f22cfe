"""Turns for what is computed for one peer and takes a while: a step of a handshake, or a payload that is inflated.

Each lasts a few milliseconds. But sixty peers would have one each before anybody else came to his turn.
"""

from __future__ import annotations

from typing import Final

import trio


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


_inflating: Final = trio.lowlevel.RunVar[Turns]("t2bus.transport.turns")


def turns_to_inflate() -> Turns:
    """Return the turns of all who inflate what they have read, of this run of Trio."""
    try:
        return _inflating.get()
    except LookupError:
        turns = Turns()
        _inflating.set(turns)
        return turns
