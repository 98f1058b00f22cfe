"""What is due: very many connections are looked at a few at a time, each about once in a second."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import define, field

from pure_helpers import HELLO
from t2bus.broker.identity import ANONYMOUS
from t2bus.broker.router import Router
from t2bus.limits import Limits
from t2bus.liveness import TICK
from t2bus.server.due import Sweep
from t2bus.server.router_task import PeerConnection, RouterTask
from t2bus.wire.messages import Ping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio.testing import MockClock

    from t2bus.broker.peer import Ending
    from t2bus.wire.messages import ServerMessage


@define(eq=False, slots=False)
class Watched(PeerConnection):
    """A connection that notes when it is looked at and written to."""

    is_silent: bool = False
    """Whether each look finds that a ping is due."""
    looks: list[float] = field(factory=list, init=False)
    written: int = field(default=0, init=False)

    def check(self, now: float) -> None:
        self.looks.append(now)
        if self.is_silent:
            self.peer.outbox.put_sign(Ping(0))

    def send_now(self, messages: Sequence[ServerMessage]) -> None:
        self.written += sum(isinstance(message, Ping) for message in messages)

    def end(self, ending: Ending) -> None: ...

    def end_input(self) -> None: ...

    def close(self, reason: str) -> None: ...

    def last_heard(self, now: float) -> float:
        return now


def connections_of(routing: RouterTask, count: int, *, are_silent: bool = False) -> list[Watched]:
    made = [Watched(routing.router.connect(HELLO, ANONYMOUS), routing, are_silent) for _ in range(count)]
    routing.connections.update({each.peer.id: each for each in made})
    routing.flush(at_once=True)
    return made


async def look_at_all(sweep: Sweep) -> list[float]:
    """Look at all connections when that is due; return when it was."""
    goes: list[float] = []
    is_over = False
    while not is_over:
        await trio.sleep_until(sweep.due)
        goes.append(trio.current_time())
        is_over = sweep.go_on(goes[-1])
    return goes


@pytest.fixture
def routing() -> RouterTask:
    """Make the task of a bus, which does not run."""
    return RouterTask(Router(Limits(connections=2000, connections_per_identity=2000)))


@pytest.mark.parametrize("count", [1, 32])
async def test_few_are_looked_at_in_one_go(routing: RouterTask, autojump_clock: MockClock, count: int) -> None:
    """A bus with few connections looks at all of them in one go, and again in a second."""
    made, sweep = connections_of(routing, count), Sweep(routing, trio.current_time())
    (go,) = await look_at_all(sweep)
    assert sweep.due == go + TICK
    assert [each.looks for each in made] == [[go]] * count


async def test_many_are_looked_at_a_few_at_a_time(routing: RouterTask, autojump_clock: MockClock) -> None:
    """Of a thousand connections at most 32 are looked at in one go, and each once in a second, over which it goes."""
    made, sweep = connections_of(routing, 1000), Sweep(routing, trio.current_time())
    goes = await look_at_all(sweep)
    assert Counter(each.looks[0] for each in made).most_common(1)[0][1] == 32
    assert [len(each.looks) for each in made] == [1] * 1000
    assert goes == pytest.approx([goes[0] + 0.8 * TICK * number * 32 / 1000 for number in range(32)])
    assert sweep.due == goes[0] + TICK


async def test_few_pings_are_written_in_one_go(routing: RouterTask, autojump_clock: MockClock) -> None:
    """Where all are to be asked for a sign of life, four at most are in one go."""
    made, sweep = connections_of(routing, 100, are_silent=True), Sweep(routing, trio.current_time())
    goes = await look_at_all(sweep)
    assert [each.written for each in made] == [1] * 100
    assert len(goes) == 25


async def test_who_has_gone_is_not_looked_at(routing: RouterTask, autojump_clock: MockClock) -> None:
    """A connection that ends before its turn has none."""
    made, sweep = connections_of(routing, 100), Sweep(routing, trio.current_time())
    assert not sweep.go_on(trio.current_time())
    routing.forget(made[50])
    await look_at_all(sweep)
    assert [number for number, each in enumerate(made) if not each.looks] == [50]


async def test_a_look_that_comes_late_is_not_made_up_for(routing: RouterTask, autojump_clock: MockClock) -> None:
    """After a pause there is one look at each connection, and not one for each second of it."""
    made, sweep = connections_of(routing, 10), Sweep(routing, trio.current_time())
    await trio.sleep(100)
    (go,) = await look_at_all(sweep)
    assert sweep.due == go + TICK
    assert made[0].looks == [go]
