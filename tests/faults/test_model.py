"""A whole bus under everything that may happen to it, against a model that knows only what is promised.

Several clients connect to a bus in memory and use it, each in its own way: some come back when they have lost it, some
do not, and some live in its process. Forty steps are drawn at random: calls are begun, cancelled and left waiting, the
bus is lost, drained and restored, time passes. What comes of each call is held against the promises.

``T2BUS_MODEL_RUNS=20000`` makes more runs than the usual 500.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from faults.ending import finish
from faults.world import LIMITS, Step, World
from t2bus.testing import unsteady_bus

if TYPE_CHECKING:
    from collections.abc import Generator

RUNS: Final = int(os.environ.get("T2BUS_MODEL_RUNS", "500"))
STEPS: Final = 40
LONG: Final = 1000.0
"""Seconds of a clock that jumps: a call that never ends is found by them."""

WEIGHTS: Final = {
    "nothing": 1,
    "connect": 4,
    "lose": 1,
    "restore": 3,
    "restart": 2,
    "drain_bus": 1,
    "wait": 4,
    "leave": 1,
    "leave_at_return": 1,
    "drain": 1,
    "cancel": 3,
    "subscribe": 5,
    "unsubscribe": 2,
    "receive": 6,
    "receive_everything": 2,
    "publish": 6,
    "send": 5,
    "send_several": 6,
    "send_batch": 5,
    "flush": 3,
    "close_publisher": 1,
    "serve": 4,
    "unserve": 1,
    "request": 8,
    "take_request": 5,
    "answer": 5,
}
NAMES: Final = [name for name, weight in WEIGHTS.items() for _ in range(weight)]
NUMBERS: Final = st.integers(0, 9)
WAITS: Final = [0, 0, 0, 0, 1, 2, 6, 10, 3, 17, 18, 19]

steps = st.lists(
    st.builds(Step, st.sampled_from(NAMES), NUMBERS, NUMBERS, st.sampled_from(WAITS)), min_size=STEPS, max_size=STEPS
)


class NoErrors(logging.Handler):
    """What the bus and its clients log of an error is one of theirs."""

    def emit(self, record: logging.LogRecord) -> None:
        raise AssertionError(record.getMessage())


@contextmanager
def no_errors() -> Generator[None, None, None]:
    """Fail where something is logged as an error."""
    logger, handler = logging.getLogger("t2bus"), NoErrors(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


async def run(happening: list[Step]) -> None:
    with no_errors(), trio.fail_after(LONG):
        async with unsteady_bus(**LIMITS) as place, trio.open_nursery() as nursery:
            world = World(place, nursery)
            await world.begin()
            for step in happening:
                await world.take(step)
            await finish(world)


@settings(max_examples=RUNS)
@given(steps)
def test_the_promises_hold_whatever_happens(happening: list[Step]) -> None:
    """Each message comes once, in order, or is told to be missing; each call ends; and in the end nothing is left."""
    trio.run(
        run, [step for step in happening if step.name != "nothing"], clock=trio.testing.MockClock(autojump_threshold=0)
    )
