"""How often a task gives way during a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@define(eq=False)
class _Steps(trio.abc.Instrument):
    """Counts how often one task has given way."""

    task: trio.lowlevel.Task
    count: int = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task is self.task


async def steps_of(call: Callable[[], Awaitable[object]]) -> int:
    """Return how often this task gives way during a call."""
    steps = _Steps(trio.lowlevel.current_task())
    trio.lowlevel.add_instrument(steps)
    try:
        await call()
    finally:
        trio.lowlevel.remove_instrument(steps)
    return steps.count
