"""How often a task gives way during a call, and how often all have had a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Self


@define(eq=False)
class _Steps(trio.abc.Instrument):
    """Counts how often one task has given way."""

    task: trio.lowlevel.Task
    count: int = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task is self.task


class Passes(trio.abc.Instrument):
    """Counts the passes of the scheduler, while it is entered."""

    count = 0

    def after_io_wait(self, timeout: float) -> None:
        self.count += 1

    def __enter__(self) -> Self:
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *_: object) -> None:
        trio.lowlevel.remove_instrument(self)


async def steps_of(call: Callable[[], Awaitable[object]]) -> int:
    """Return how often this task gives way during a call."""
    steps = _Steps(trio.lowlevel.current_task())
    trio.lowlevel.add_instrument(steps)
    try:
        await call()
    finally:
        trio.lowlevel.remove_instrument(steps)
    return steps.count
