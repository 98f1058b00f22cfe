"""One thread that makes all calls of a library that may block.

::

    async with open_worker(within=1.0) as worker:
        session = await worker.run(lambda: library.open(settings))
        worker.at_last(session.close)
        worker.post(lambda: session.put(b"..."), failed=print)  # does not wait

Calls are made one after the other, in the order in which they were asked for. A call that does not return holds up
those behind it and nobody else: who waits for it may be cancelled, and leaving the block takes ``within`` seconds at
most. The thread is left behind then, as one that the interpreter does not wait for. Should the call return some day,
what is to be done at last is done, and the thread ends.

The law of this module: Trio waits for the thread only where it can be cancelled, or for a bounded time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio
from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

T = TypeVar("T")


class CallFailed(Exception):
    """The call raised what is this error's cause: also what is no ``Exception``, as a panic of Rust."""


@define(eq=False)
class _Call(Generic[T]):
    """Something to do, and what came of it."""

    do: Callable[[], T]
    made: trio.Event = field(factory=trio.Event)
    is_wanted: bool = True
    result: list[T] = field(factory=list)
    error: BaseException | None = None

    def make(self) -> None:
        """Do it; this is in the thread."""
        try:
            self.result.append(self.do())
        except BaseException as error:  # noqa: ASYNC103, BLE001 -- a panic of Rust is no Exception; no task of Trio runs here
            self.error = error


@frozen
class _Post:
    """Something to do that nobody waits for."""

    do: Callable[[], object]
    failed: Callable[[CallFailed], None]


def failure_of(error: BaseException) -> CallFailed:
    """Return the error that says so of a call that raised this."""
    failure = CallFailed(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure


@define(eq=False)
class Worker:
    """The thread, as Trio sees it."""

    _calls: SimpleQueue[_Call[Any] | _Post | None] = field(factory=SimpleQueue, init=False)
    _made: deque[_Call[Any]] = field(factory=deque, init=False)
    _trio: trio.lowlevel.TrioToken = field(factory=trio.lowlevel.current_trio_token, init=False)
    _last: list[Callable[[], object]] = field(factory=list, init=False)
    _busy_since: float | None = field(default=None, init=False)

    async def run(self, do: Callable[[], T]) -> T:
        """Call this in the thread, and return its result. Cancelled, it is called all the same or not at all.

        Raises:
          CallFailed: the call raised something.

        """
        call = self._ask(do)
        try:
            await call.made.wait()
        finally:
            call.is_wanted = False
        if call.error is not None:
            raise failure_of(call.error) from call.error
        return call.result[0]

    def post(self, do: Callable[[], object], failed: Callable[[CallFailed], None]) -> None:
        """Have this called in its turn; Trio is woken only if it raises, to tell of it."""
        self._calls.put(_Post(do, failed))

    def at_last(self, do: Callable[[], object]) -> None:
        """Have this called before the thread ends; what it raises is lost."""
        self._last.append(do)

    def busy_for(self) -> float:
        """Return for how many seconds the thread is in one call; 0 when it waits for the next."""
        since = self._busy_since
        return 0.0 if since is None else monotonic() - since

    def work(self) -> None:
        """Make calls until there are no more to come; this is the thread."""
        while (call := self._calls.get()) is not None:
            with suppress(trio.RunFinishedError):
                if isinstance(call, _Post):
                    self._make_posted(call)
                elif call.is_wanted:
                    self._make_awaited(call)

    def _make_posted(self, call: _Post) -> None:
        self._busy_since = monotonic()
        try:
            call.do()
        except BaseException as error:  # noqa: ASYNC103, BLE001 -- as above
            self._trio.run_sync_soon(call.failed, failure_of(error))
        self._busy_since = None

    def _make_awaited(self, call: _Call[Any]) -> None:
        self._busy_since = monotonic()
        call.make()
        self._busy_since = None
        self._made.append(call)
        self._trio.run_sync_soon(self._wake, idempotent=True)

    async def end(self) -> None:
        """Have the thread do what is to be done at last, and end; wait until it has."""
        calls = [self._ask(do) for do in self._last]
        self._calls.put(None)
        for call in calls:
            await call.made.wait()

    def _ask(self, do: Callable[[], T]) -> _Call[T]:
        call = _Call(do)
        self._calls.put(call)
        return call

    def _wake(self) -> None:
        """Wake, in Trio's thread and once for all that were made meanwhile, who waits for a call."""
        while self._made:
            self._made.popleft().made.set()


@asynccontextmanager
async def open_worker(name: str, within: float) -> AsyncGenerator[Worker, None]:
    """Open a thread of this name; leaving takes ``within`` seconds at most, also in a cancelled scope."""
    worker = Worker()
    threading.Thread(target=worker.work, name=name, daemon=True).start()
    try:
        yield worker
    finally:
        with trio.CancelScope(shield=True), trio.move_on_after(within):
            await worker.end()
