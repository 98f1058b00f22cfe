"""The thread that makes the calls which may block, with calls that do."""

from __future__ import annotations

import threading
from functools import partial

import pytest
import trio
import trio.testing

from t2bus.federation.worker import CallFailed, open_worker

SHORT = 0.05


async def test_results_come_back() -> None:
    """A call returns what it returned in the thread, which is another one than Trio's."""
    async with open_worker("test", within=1) as worker:
        assert await worker.run(threading.get_ident) != threading.get_ident()


async def test_calls_are_made_in_order() -> None:
    """Calls of many tasks are made one after the other, as they were asked for."""
    made: list[int] = []
    async with open_worker("test", within=1) as worker:
        blocked = threading.Event()
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(worker.run, partial(made.append, number) if number else blocked.wait)
                await trio.testing.wait_all_tasks_blocked()
            blocked.set()
    assert made == list(range(1, 10))


class Panic(BaseException):
    """As one of Rust's, no Exception."""


def panic() -> None:
    raise Panic("at the disco")


async def test_what_a_call_raises_comes_back() -> None:
    """A call that raises anything at all fails with that as its cause, and the next one is made."""
    async with open_worker("test", within=1) as worker:
        with pytest.raises(CallFailed, match="Panic: at the disco") as caught:
            await worker.run(panic)
        assert isinstance(caught.value.__cause__, Panic)
        assert await worker.run(lambda: "still here") == "still here"


async def test_the_cancelled_is_not_called() -> None:
    """A call that is cancelled before its turn is never made."""
    made: list[str] = []
    blocked = threading.Event()
    async with open_worker("test", within=1) as worker, trio.open_nursery() as nursery:
        nursery.start_soon(worker.run, blocked.wait)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(SHORT):
            await worker.run(partial(made.append, "cancelled"))
        blocked.set()
        await worker.run(partial(made.append, "next"))
    assert made == ["next"]


async def test_the_end_is_made_when_the_block_ends() -> None:
    """What is to be done at last has been done when the block has ended."""
    done: list[str] = []
    async with open_worker("test", within=1) as worker:
        worker.at_last(partial(done.append, "closed"))
    assert done == ["closed"]


async def test_a_call_that_hangs_is_left_behind() -> None:
    """Leaving waits for a call only so long, and what is to be done at last is done when the call has returned."""
    blocked, closed = threading.Event(), threading.Event()
    with trio.fail_after(2):
        async with open_worker("test", within=SHORT) as worker:
            worker.at_last(closed.set)
            with trio.move_on_after(SHORT):
                await worker.run(blocked.wait)
            assert worker.busy_for() > 0
    assert not closed.is_set()
    blocked.set()
    assert await trio.to_thread.run_sync(closed.wait, 5)


async def test_idle_it_is_not_busy() -> None:
    """A thread that waits for calls is busy for no time."""
    async with open_worker("test", within=1) as worker:
        await worker.run(threading.get_ident)
        assert worker.busy_for() == 0
