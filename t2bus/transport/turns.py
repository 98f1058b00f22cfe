"""Turns for what is computed for one peer and takes a while: a step of a handshake, or the messages of one read.

Each lasts a few milliseconds. But sixty peers would have one each before anybody else came to his turn. So what takes
no time is done at once, until much was done for whomever, and then whoever has more to do takes a turn::

    await ration.take()
    began = perf_counter()
    messages = decode(frames)
    ration.spent += perf_counter() - began
"""

from __future__ import annotations

from typing import Final

import trio
from attrs import define, field

AT_ONCE: Final = 262_144
"""Bytes that are inflated without letting others run, which took 1 to 2 ms; one payload may be more."""

_DECODED_AT_ONCE: Final = 0.005
"""Seconds for which messages are decoded without letting others run; one read may be more. A hundred, with 56,000
headers each, took 2 s."""


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


@define(eq=False)
class Ration:
    """How much all connections may do without letting others run. Whoever does something adds it to ``spent``."""

    most: float
    spent: float = field(default=0, init=False)
    _turns: Turns = field(factory=Turns, init=False)

    async def take(self) -> None:
        """Wait for a turn if the ration is spent, and begin a new one with it."""
        if self.spent >= self.most:
            await self._turns.take()
            self.spent = 0


@define(eq=False)
class Rations:
    """Those of all connections of a run of Trio."""

    inflating: Ration = field(factory=lambda: Ration(AT_ONCE), init=False)
    """In bytes that are inflated, be it of what was read or for what is written."""
    decoding: Ration = field(factory=lambda: Ration(_DECODED_AT_ONCE), init=False)
    """In seconds for which messages are decoded."""


_rations: Final = trio.lowlevel.RunVar[Rations]("t2bus.transport.turns")


def rations() -> Rations:
    """Return those of this run."""
    try:
        return _rations.get()
    except LookupError:
        made = Rations()
        _rations.set(made)
        return made
