"""Waking one task that waits.

``trio.lowlevel.ParkingLot``, and all that is built on it, keeps any number of tasks in order. Where there is one, and
it waits for each message, that is half of what waiting costs.
"""

from __future__ import annotations

import trio
from attrs import define, field

__all__ = ["Bell"]


@define(eq=False)
class Bell:
    """What one task waits for, and others ring. A ring that nobody waits for is not kept."""

    _task: trio.lowlevel.Task | None = field(default=None, init=False)

    # An interrupt between the two lines would leave a task here that does not wait.
    @trio.lowlevel.enable_ki_protection
    async def wait(self) -> None:
        """Wait for the next ring; a checkpoint."""
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._leave)

    def _leave(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    @trio.lowlevel.enable_ki_protection
    def ring(self) -> None:
        """Wake the task that waits, if one does."""
        task = self._task
        if task is not None:
            self._task = None
            trio.lowlevel.reschedule(task)
