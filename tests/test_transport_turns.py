"""Turns of those who compute something that takes a while: one in each pass of the scheduler."""

from __future__ import annotations

import trio
import trio.testing

from checkpoint_helpers import Passes
from t2bus.transport.turns import Turns


async def test_one_turn_in_a_pass_in_the_order_of_asking() -> None:
    """Of many tasks that want a turn, one gets it in each pass of the scheduler, first come, first served."""
    turns = Turns()
    taken: list[tuple[int, int]] = []
    sequencer = trio.testing.Sequencer()

    async def take(number: int) -> None:
        async with sequencer(number):
            pass
        await turns.take()
        taken.append((number, passes.count))

    with Passes() as passes:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(take, number)
    assert [number for number, _ in taken] == list(range(20))
    assert len({when for _, when in taken}) == 20


async def test_others_run_between_turns() -> None:
    """While many tasks take turns, a task that wants none runs in every pass."""
    turns = Turns()
    ran: list[int] = []

    async def run() -> None:
        while True:
            ran.append(passes.count)
            await trio.lowlevel.checkpoint()

    with Passes() as passes:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            async with trio.open_nursery() as takers:
                for _ in range(20):
                    takers.start_soon(turns.take)
            nursery.cancel_scope.cancel()
    assert ran == list(range(ran[0], ran[0] + len(ran)))
    assert len(ran) >= 20


async def test_a_task_that_gives_up_its_turn() -> None:
    """A task that is cancelled while it waits for its turn holds up nobody."""
    turns = Turns()
    with trio.CancelScope() as scope:
        scope.cancel()
        await turns.take()
    assert scope.cancelled_caught
    with trio.fail_after(1):
        await turns.take()
