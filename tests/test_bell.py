"""The bell: one task waits for a ring, and a ring is for whoever waits when it comes."""

from __future__ import annotations

import signal

import pytest
import trio
import trio.testing
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from t2bus.bell import Bell


@define(eq=False)
class Waiter:
    """A task that waits for a bell again and again, and how often it was woken."""

    bell: Bell = field(factory=Bell)
    woken: int = field(default=0, init=False)

    async def run(self) -> None:
        while True:
            await self.bell.wait()
            self.woken += 1


async def test_a_ring_wakes_who_waits() -> None:
    """The task that waits goes on when the bell is rung, and not before."""
    waiter = Waiter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter.run)
        await trio.testing.wait_all_tasks_blocked()
        assert waiter.woken == 0
        waiter.bell.ring()
        await trio.testing.wait_all_tasks_blocked()
        assert waiter.woken == 1
        nursery.cancel_scope.cancel()


async def test_each_wait_takes_a_ring_of_its_own() -> None:
    """Whoever was woken and waits again waits for the next ring."""
    waiter = Waiter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter.run)
        for count in range(3):
            await trio.testing.wait_all_tasks_blocked()
            assert waiter.woken == count
            waiter.bell.ring()
        nursery.cancel_scope.cancel()


async def test_a_ring_that_nobody_waits_for_is_not_kept() -> None:
    """Who begins to wait after a ring, or several, waits for another one."""
    waiter = Waiter()
    for _ in range(3):
        waiter.bell.ring()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter.run)
        await trio.testing.wait_all_tasks_blocked()
        assert waiter.woken == 0
        nursery.cancel_scope.cancel()


async def test_rings_before_the_task_has_run_are_one() -> None:
    """A task that was woken and has not run yet is not woken again."""
    waiter = Waiter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter.run)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            waiter.bell.ring()
        await trio.testing.wait_all_tasks_blocked()
        assert waiter.woken == 1
        nursery.cancel_scope.cancel()


async def test_bells_are_rung_one_by_one() -> None:
    """A ring wakes the task that waits for this bell, and nobody at another."""
    waiters = [Waiter() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for waiter in waiters:
            nursery.start_soon(waiter.run)
        await trio.testing.wait_all_tasks_blocked()
        waiters[1].bell.ring()
        await trio.testing.wait_all_tasks_blocked()
        assert [waiter.woken for waiter in waiters] == [0, 1, 0]
        nursery.cancel_scope.cancel()


async def test_waiting_is_a_checkpoint() -> None:
    """Others run while one task waits, and it can be cancelled there."""
    bell = Bell()

    async def ring() -> None:
        await trio.lowlevel.checkpoint()
        bell.ring()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ring)
        with trio.testing.assert_checkpoints():
            await bell.wait()
    with trio.CancelScope() as scope:
        scope.cancel()
        await bell.wait()
    assert scope.cancelled_caught


async def test_who_was_cancelled_waits_no_more() -> None:
    """A ring after the wait was cancelled harms nobody, whether the task has ended or does something else."""
    bell = Bell()
    with trio.move_on_after(0) as scope:
        await bell.wait()
    assert scope.cancelled_caught
    bell.ring()
    with trio.move_on_after(0) as scope:
        # Were it rung for still, it would be woken here.
        await trio.sleep_forever()
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bell.wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    bell.ring()


async def test_who_was_cancelled_can_wait_again() -> None:
    """After a wait that was cancelled a ring wakes the next one, be it of the same task or of another."""
    waiter = Waiter()
    with trio.move_on_after(0):
        await waiter.bell.wait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter.run)
        await trio.testing.wait_all_tasks_blocked()
        waiter.bell.ring()
        await trio.testing.wait_all_tasks_blocked()
        assert waiter.woken == 1
        nursery.cancel_scope.cancel()


async def test_a_ring_before_the_cancellation_counts() -> None:
    """Who was rung for and is cancelled before it has run comes back from the wait, and meets that later."""
    waiter = Waiter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter.run)
        await trio.testing.wait_all_tasks_blocked()
        waiter.bell.ring()
        nursery.cancel_scope.cancel()
    assert waiter.woken == 1


async def test_a_cancellation_before_the_ring_counts() -> None:
    """Who was cancelled before the ring is not woken by it, though it has not run in between."""
    waiter = Waiter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        waiter.bell.ring()
    assert waiter.woken == 0


def test_an_interrupt_ends_the_wait() -> None:
    """A program that is interrupted while it waits ends, and the bell can be rung as before."""
    bell = Bell()

    @trio.lowlevel.enable_ki_protection
    async def interrupt() -> None:
        await trio.testing.wait_all_tasks_blocked()
        signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interrupt)
            await bell.wait()

    with pytest.RaisesGroup(KeyboardInterrupt):
        trio.run(main)
    bell.ring()


# --- the law


@given(st.lists(st.sampled_from(["wait", "ring", "cancel", "run"]), max_size=30))
@steady(100)
async def test_a_ring_is_for_who_waits_when_it_comes(steps: list[str]) -> None:
    """Whatever is rung and cancelled in whatever order, a wait ends by the first ring in it, or by being cancelled."""
    bell = Bell()
    rung: list[int] = []
    expected: list[int] = []
    waiting: tuple[int, trio.CancelScope] | None = None

    async def wait(number: int, scope: trio.CancelScope) -> None:
        with scope:
            await bell.wait()
            rung.append(number)

    async with trio.open_nursery() as nursery:
        for number, step in enumerate(steps):
            match step:
                case "wait" if waiting is None:
                    waiting = (number, trio.CancelScope())
                    nursery.start_soon(wait, *waiting)
                    await trio.testing.wait_all_tasks_blocked()
                case "ring":
                    bell.ring()
                    if waiting is not None:
                        expected.append(waiting[0])
                        waiting = None
                case "cancel" if waiting is not None:
                    waiting[1].cancel()
                    waiting = None
                case _:
                    await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert rung == expected
