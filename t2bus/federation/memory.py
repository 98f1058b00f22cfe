"""An engine for tests: nodes in one process, and a network that breaks when it is told to.

::

    network = MemoryNetwork()
    async with network.open_engine("a") as a, network.open_engine("b") as b:
        await b.receive()  # Joined("a")
        await a.send("b", b"hello")
        network.part({"a"}, {"b"})
        await b.receive()  # Left("a"): what was on its way is lost
        network.heal()
        await b.receive()  # Joined("a")

A link is between two nodes that are both there, are not parted, and of which neither has been frozen for the lease.
Nothing is done in the background: whoever looks finds what has become of the links by now. Time is Trio's, so that a
test on an autojump clock waits for nothing.

The law of this module: what happens follows from the calls and the clock alone.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import combinations
from math import inf
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from .engine import Arrived, Engine, EngineFailed, Event, Joined, Left

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence
    from collections.abc import Set as AbstractSet


@define(eq=False)
class MemoryEngine(Engine):
    """A node of a network in memory."""

    node: str
    network: MemoryNetwork
    coming: list[tuple[float, Event]] = field(factory=list, init=False)
    """What is on its way to this node, in order, and when it will be here."""
    frozen_at: float | None = field(default=None, init=False)
    is_killed: bool = field(default=False, init=False)
    has_failed: bool = field(default=False, init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)
    _sending: trio.Lock = field(factory=trio.Lock, init=False)

    async def receive(self) -> Sequence[Event]:
        """Wait for what happens, and return all of it."""
        await trio.lowlevel.checkpoint()
        while True:
            self.network.settle()
            self._check()
            now = trio.current_time()
            if not self._stands_still and (count := sum(at <= now for at, _ in self.coming)):
                events = [event for _, event in self.coming[:count]]
                del self.coming[:count]
                return events
            first = self.coming[0][0] if self.coming and not self._stands_still else inf
            await self.wait_until(min(first, self.network.next_end()))

    def takes_nowait(self, node: str) -> bool:
        """Tell whether the network has room, and nothing waits that was sent before."""
        self.network.settle()
        self._check()
        return not self._stands_still and not self._sending.locked() and self.network.has_room(self.node, node)

    def send_nowait(self, node: str, data: bytes) -> None:
        """Send bytes to a node."""
        self.network.carry(self.node, node, data)

    async def send(self, node: str, data: bytes) -> None:
        """Send bytes to a node; waits for one that is frozen when as much waits for it as the network has room for."""
        await trio.lowlevel.checkpoint()
        async with self._sending:  # one after the other, as in the one thread of an engine in use
            while True:
                self.network.settle()
                self._check()
                if not self._stands_still and self.network.has_room(self.node, node):
                    return self.network.carry(self.node, node, data)
                await self.wait_until(self.network.next_end())

    @property
    def _stands_still(self) -> bool:
        return self.is_killed or self.frozen_at is not None

    def _check(self) -> None:
        if self.has_failed:
            raise EngineFailed("the engine was made to fail")

    async def wait_until(self, time: float) -> None:
        """Wait for a time, or for a change of the network."""
        with trio.move_on_at(time):
            await self._changed.wait()

    def wake(self) -> None:
        """Have whoever waits look again."""
        self._changed.set()
        self._changed = trio.Event()


@define(eq=False)
class MemoryNetwork:
    """What connects engines in memory, and what breaks."""

    lease: float = 2.0
    """Seconds for which a node may be frozen before the others see it leave."""
    delay: float = 0.001
    """Seconds that everything takes on its way."""
    room: int = 1 << 20
    """Bytes that one node may have on their way to a frozen one before it has to wait."""
    _engines: dict[str, MemoryEngine] = field(factory=dict, init=False)
    _links: set[frozenset[str]] = field(factory=set, init=False)
    _cuts: set[frozenset[str]] = field(factory=set, init=False)

    @asynccontextmanager
    async def open_engine(self, node: str) -> AsyncGenerator[Engine, None]:
        """Add a node of this name; those it is not parted from see it join, and when the block ends, leave."""
        if node in self._engines:
            raise ValueError(f"there is a node {node!r} already: kill it first, or take another name")
        engine = self._engines[node] = MemoryEngine(node, self)
        self._change()
        try:
            yield engine
        finally:
            if self._engines.get(node) is engine:
                self._remove(node)

    def part(self, *sides: AbstractSet[str]) -> None:
        """Cut the links between nodes of different sides; what is on its way there is lost."""
        self._cuts |= {frozenset((a, b)) for one, other in combinations(sides, 2) for a in one for b in other}
        self._change()

    def heal(self) -> None:
        """Mend all links that were cut."""
        self._cuts.clear()
        self._change()

    def kill(self, node: str) -> None:
        """End a node as SIGKILL does: the others see it leave at once, and what it does waits for ever."""
        self._engines[node].is_killed = True
        self._remove(node)

    def fail(self, node: str) -> None:
        """Have the engine of a node fail: the others see it leave, and what it does raises ``EngineFailed``."""
        self._engines[node].has_failed = True
        self._remove(node)

    def freeze(self, node: str) -> None:
        """Stop a node as SIGSTOP does: what it does, and what is sent to it, waits until it is thawed."""
        self._engines[node].frozen_at = trio.current_time()
        self._change()

    def thaw(self, node: str) -> None:
        """Let a frozen node go on. After the lease it finds that the others have left, and come again."""
        self.settle()
        self._engines[node].frozen_at = None
        self._change()

    # --- for engines

    def settle(self) -> None:
        """Break the links that the clock has ended, and make those that can be."""
        can_be = {frozenset(pair) for pair in combinations(self._engines, 2) if self._is_whole(*pair)}
        if can_be == self._links:
            return
        for gone in sorted(map(sorted, self._links - can_be)):
            self._tell(gone, Left)
        for new in sorted(map(sorted, can_be - self._links)):
            self._tell(new, Joined)
        self._links = can_be

    def has_room(self, sender: str, to: str) -> bool:
        """Tell whether bytes from one node to another need not wait."""
        if frozenset((sender, to)) not in self._links or (engine := self._engines[to]).frozen_at is None:
            return True
        waiting = [event for _, event in engine.coming if isinstance(event, Arrived) and event.node == sender]
        return sum(len(event.data) for event in waiting) < self.room

    def carry(self, sender: str, to: str, data: bytes) -> None:
        """Send bytes on their way, or drop them where there is none."""
        if frozenset((sender, to)) in self._links:
            self._put(self._engines[to], Arrived(sender, data))

    def next_end(self) -> float:
        """Return when the next node will have been frozen for the lease; infinity if none will."""
        ends = [engine.frozen_at + self.lease for engine in self._engines.values() if engine.frozen_at is not None]
        return min((end for end in ends if end > trio.current_time()), default=inf)

    def _is_whole(self, a: str, b: str) -> bool:
        since = [self._engines[node].frozen_at for node in (a, b)]
        is_silent = any(at is not None and trio.current_time() >= at + self.lease for at in since)
        return not is_silent and frozenset((a, b)) not in self._cuts

    def _tell(self, pair: Iterable[str], what: type[Joined | Left]) -> None:
        """Tell both ends of a link what has become of it. With a link that breaks goes what is on its way."""
        a, b = pair
        for node, other in ((a, b), (b, a)):
            if (engine := self._engines.get(node)) is None:
                continue
            if what is Left and other in self._engines:
                engine.coming = [each for each in engine.coming if not _is_of(each[1], other)]
            self._put(engine, what(other))

    def _put(self, engine: MemoryEngine, event: Event) -> None:
        engine.coming.append((trio.current_time() + self.delay, event))
        engine.wake()

    def _remove(self, node: str) -> None:
        engine = self._engines.pop(node)
        engine.wake()
        self._change()

    def _change(self) -> None:
        """Settle, and have all look again at how long they have to wait."""
        self.settle()
        for engine in self._engines.values():
            engine.wake()


def _is_of(event: Event, node: str) -> bool:
    return isinstance(event, Arrived) and event.node == node
