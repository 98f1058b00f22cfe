"""What a role is told to do, and what it writes: the same for every system."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

SERVICE: Final = "bench/one"
_SEED: Final = 7
TASKS: Final = 256
"""Tasks that publish at once, where each awaits the answer."""
WARM_UP: Final = 200
"""Requests before the measured ones."""


@attrs.frozen(kw_only=True)
class Work:
    """The orders of one role; each takes what concerns it. ``benchmarks/rust`` reads the same JSON."""

    topic: str = "bench/one"
    """Where a publisher has ``**``, the number of its connection stands instead."""
    count: int
    """Messages that each subscriber takes, that all publishers send together, or requests."""
    size: int
    """Bytes of a payload."""
    connections: int = 1
    """Clients of this process, each with a connection of its own."""
    flight: int = 1
    """Publications, or requests, that are not acknowledged yet."""
    tasks: bool = False
    """Whether ``flight`` tasks publish one by one, or one task publishes as fast as the system's own window lets it."""
    pause: float = 0.0
    """Seconds that a requester sleeps before each request."""
    kind: str = "random"
    """What t2bus is given: random bytes, a typed message, or its encoded bytes."""

    def to_json(self) -> str:
        return json.dumps(attrs.asdict(self))

    @property
    def payload(self) -> bytes:
        """Bytes that no system can compress, the same in every run."""
        return random.Random(_SEED).randbytes(self.size)

    @property
    def share(self) -> int:
        """What each of the publishers sends."""
        return self.count // self.connections

    def topic_of(self, number: int) -> str:
        return self.topic.replace("**", str(number))


@attrs.define(eq=False)
class Meter:
    """Looks at each received message, and keeps when the first and the last of them came.

    The times are seconds of the wall clock, which is the one that all processes have in common.
    """

    size: int
    taken: int = 0
    _first: float = 0.0
    _last: float = 0.0

    def take(self, size: int) -> None:
        """Count one message; the clock is read for the ends alone, by whoever took one."""
        if size != self.size:
            raise AssertionError(f"a message of {size} bytes, not {self.size}")
        if not self.taken:
            self._first = time.time()
        self.taken += 1

    def stop(self) -> None:
        """Say that one subscriber has all it waits for."""
        self._last = time.time()

    def report(self) -> None:
        say({"first": self._first, "last": self._last, "taken": self.taken})


class Stopwatch:
    """Counts the seconds, and the processor seconds of this process, from its making."""

    def __init__(self) -> None:
        self.measured: dict[str, float] = {}
        self._started, self._used = time.perf_counter(), time.process_time()

    def stop(self) -> dict[str, float]:
        """Keep and return what was counted."""
        self.measured = {"seconds": time.perf_counter() - self._started, "cpu": time.process_time() - self._used}
        return self.measured


def ready(address: str = "") -> None:
    """Let others start."""
    print("ready", address, flush=True)


def begin() -> None:
    """Say that what is measured begins now, where that is later than ``ready``."""
    print("begin", flush=True)


def say(measured: Mapping[str, object]) -> None:
    """Say that what is measured is over, and write it."""
    print("end", flush=True)
    print(json.dumps(measured), flush=True)


async def gather_tasks(tasks: int, count: int, act: Callable[[], Awaitable[int]]) -> int:
    """Act that often from so many asyncio tasks, and return the sum of what it gave."""
    left = iter(range(count))

    async def one() -> int:
        return sum([await act() for _ in left])

    return sum(await asyncio.gather(*(one() for _ in range(tasks))))


async def time_requests(work: Work, ask: Callable[[], Awaitable[int]]) -> None:
    """Ask from ``flight`` asyncio tasks, and report the time of each request and of all."""
    times: deque[float] = deque()

    async def timed() -> int:
        if work.pause:
            await asyncio.sleep(work.pause)
        started = time.perf_counter()
        size = await ask()
        times.append(time.perf_counter() - started)
        assert size == work.size
        return 1

    await gather_tasks(1, WARM_UP, timed)
    times.clear()
    begin()
    started = time.perf_counter()
    await gather_tasks(work.flight, work.count, timed)
    say({"seconds": time.perf_counter() - started, "times": list(times)})
