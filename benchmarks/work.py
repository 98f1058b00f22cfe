"""What a role is told to do, and what it writes: the same for every system.

What is measured is a burst of messages or requests. A role makes one each time that it is told to, so that the systems
of a comparison take turns within a tenth of a second, while all their programs stay as they are.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

SERVICE: Final = "bench/one"
"""The topic of all that names no other."""
_SEED: Final = 7
TASKS: Final = 256
"""Tasks that publish at once, where each awaits the answer."""
FAN: Final = 50
"""Publishers or subscribers, where there are many of them."""
_BATCH: Final = 256
_BATCH_BYTES: Final = 4 << 20
"""Half of what a publisher of t2bus may have in flight."""


@attrs.frozen(kw_only=True)
class Work:
    """The orders of one role; each takes what concerns it. ``benchmarks/rust`` reads the same JSON."""

    topic: str = SERVICE
    """Where a publisher has ``**``, the number of its connection stands instead."""
    count: int
    """Messages of a burst that each subscriber takes, that all publishers send together, or requests."""
    size: int
    """Bytes of a payload."""
    connections: int = 1
    """Clients of this process, each with a connection of its own."""
    flight: int = 1
    """Publications, or requests, that are not acknowledged yet."""
    batch: int = 0
    """Messages that t2bus is given in one call, and redis in one pipeline; t2bus takes them by the batch then, too."""
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


def batch_of(size: int) -> int:
    """Return how many payloads of that size make a batch."""
    return min(_BATCH, _BATCH_BYTES // size)


@attrs.define(eq=False)
class Meter:
    """Looks at each received message, and says when the first and the last of a burst came.

    The times are seconds of the wall clock, which is the one that all processes have in common.
    """

    size: int
    subscribers: int
    """Each says once in a burst that it has all it waits for."""
    _taken: int = 0
    _done: int = 0
    _first: float = 0.0

    def take(self, size: int) -> None:
        """Count one message; the clock is read for the ends alone, by whoever took one."""
        if size != self.size:
            raise AssertionError(f"a message of {size} bytes, not {self.size}")
        if not self._taken:
            self._first = time.time()
        self._taken += 1

    def stop(self) -> None:
        """Say that one subscriber has the whole burst; the last of them reports it."""
        self._done += 1
        if self._done == self.subscribers:
            say({"first": self._first, "last": time.time(), "taken": self._taken})
            self._taken = self._done = 0


class Stopwatch:
    """Counts the seconds, and the processor seconds of this process, from its making."""

    def __init__(self) -> None:
        self._started, self._used = time.perf_counter(), time.process_time()

    def stop(self) -> dict[str, float]:
        """Return what was counted."""
        return {"seconds": time.perf_counter() - self._started, "cpu": time.process_time() - self._used}


def ready(address: str = "") -> None:
    """Let others start."""
    print("ready", address, flush=True)


async def next_burst(in_thread: Callable[[Callable[[], str]], Awaitable[str]]) -> bool:
    """Wait until this program is told to make a burst; ``in_thread`` lets it do what it has to do meanwhile."""
    return bool(await in_thread(sys.stdin.readline))


def say(measured: Mapping[str, object]) -> None:
    """Say that a burst is over, and write what was measured."""
    print("end", flush=True)
    print(json.dumps(measured), flush=True)


async def gather_tasks(tasks: int, count: int, act: Callable[[], Awaitable[int]]) -> int:
    """Act that often from so many asyncio tasks, and return the sum of what it gave."""
    left = iter(range(count))

    async def one() -> int:
        return sum([await act() for _ in left])

    return sum(await asyncio.gather(*(one() for _ in range(tasks))))


async def time_requests(work: Work, ask: Callable[[], Awaitable[int]]) -> None:
    """Ask from ``flight`` asyncio tasks, burst after burst, and report the time of each request and of all."""
    times: list[float] = []

    async def timed() -> int:
        if work.pause:
            await asyncio.sleep(work.pause)
        started = time.perf_counter()
        size = await ask()
        times.append(time.perf_counter() - started)
        assert size == work.size
        return 1

    while await next_burst(asyncio.to_thread):
        times.clear()
        started = time.perf_counter()
        await gather_tasks(work.flight, work.count, timed)
        say({"seconds": time.perf_counter() - started, "times": times})
