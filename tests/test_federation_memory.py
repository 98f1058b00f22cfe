"""Nodes in memory: they join, leave and break as those of a network do, on a clock that only tests move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from federation_helpers import all_for
from t2bus.federation.engine import Arrived, EngineFailed, Joined, Left
from t2bus.federation.memory import MemoryNetwork

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from trio.testing import MockClock

    from t2bus.federation.engine import Engine

LEASE = 2.0


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork(lease=LEASE, room=100)


@pytest.fixture
async def a(network: MemoryNetwork) -> AsyncGenerator[Engine, None]:
    async with network.open_engine("a") as engine:
        yield engine


@pytest.fixture
async def b(network: MemoryNetwork, a: Engine) -> AsyncGenerator[Engine, None]:
    """Open a second node, when both have seen each other."""
    async with network.open_engine("b") as engine:
        assert await engine.receive() == [Joined("a")]
        assert await a.receive() == [Joined("b")]
        yield engine


async def test_pieces_arrive_in_order(autojump_clock: MockClock, a: Engine, b: Engine) -> None:
    """What one node sends arrives whole and in the order in which it was sent."""
    for data in (b"one", b"two", b"three"):
        await a.send("b", data)
    assert await all_for(1, b) == [Arrived("a", b"one"), Arrived("a", b"two"), Arrived("a", b"three")]


async def test_what_is_sent_takes_its_time(autojump_clock: MockClock, a: Engine, b: Engine) -> None:
    """What is sent is not there at once, so that two nodes may send at the same time."""
    await a.send("b", b"")
    with pytest.raises(trio.TooSlowError), trio.fail_after(0.0009):
        await b.receive()


async def test_who_closes_leaves(autojump_clock: MockClock, network: MemoryNetwork, a: Engine) -> None:
    """The others receive what a node sent before its block ended, and see it leave."""
    async with network.open_engine("c") as c:
        assert await a.receive() == [Joined("c")]
        await c.send("a", b"last")
    assert await all_for(1, a) == [Arrived("c", b"last"), Left("c")]


async def test_nobody_is_sent_to(autojump_clock: MockClock, a: Engine) -> None:
    """What is sent to a node that is not there is dropped."""
    await a.send("b", b"")


async def test_a_name_is_taken_once(autojump_clock: MockClock, network: MemoryNetwork, a: Engine) -> None:
    """Two nodes cannot have one name at the same time."""
    with pytest.raises(ValueError, match="there is a node 'a' already"):
        async with network.open_engine("a"):
            pass


async def test_a_partition_is_seen_from_both_sides(
    autojump_clock: MockClock, network: MemoryNetwork, a: Engine, b: Engine
) -> None:
    """Nodes of parted sides see each other leave, and lose what was on its way and what they send then."""
    await a.send("b", b"on its way")
    network.part({"a"}, {"b"})
    await a.send("b", b"too late")
    assert (await all_for(1, a), await all_for(1, b)) == ([Left("b")], [Left("a")])


async def test_a_side_stays_whole(autojump_clock: MockClock, network: MemoryNetwork, a: Engine, b: Engine) -> None:
    """Nodes of one side go on as before."""
    async with network.open_engine("c") as c:
        await c.receive()
        network.part({"a"}, {"b", "c"})
        await c.send("b", b"still here")
        assert await all_for(1, b) == [Joined("c"), Left("a"), Arrived("c", b"still here")]


async def test_healed_they_meet_again(autojump_clock: MockClock, network: MemoryNetwork, a: Engine, b: Engine) -> None:
    """When a partition is healed both sides see each other join, and bytes arrive again."""
    network.part({"a"}, {"b"})
    await a.receive()
    network.heal()
    assert await a.receive() == [Joined("b")]
    await a.send("b", b"again")
    assert await all_for(1, b) == [Left("a"), Joined("a"), Arrived("a", b"again")]


async def test_the_killed_leave_at_once(
    autojump_clock: MockClock, network: MemoryNetwork, a: Engine, b: Engine
) -> None:
    """A node that is killed leaves at once, and does nothing any more."""
    network.kill("b")
    assert await a.receive() == [Left("b")]
    with pytest.raises(trio.TooSlowError), trio.fail_after(10):
        await b.send("a", b"from the dead")


async def test_the_killed_may_be_followed(
    autojump_clock: MockClock, network: MemoryNetwork, a: Engine, b: Engine
) -> None:
    """A new node may have the name of one that was killed, and outlives it."""
    network.kill("b")
    async with network.open_engine("b") as successor:
        assert await successor.receive() == [Joined("a")]
        assert await all_for(1, a) == [Left("b"), Joined("b")]


async def test_a_short_freeze_is_not_noticed(
    autojump_clock: MockClock, network: MemoryNetwork, a: Engine, b: Engine
) -> None:
    """What is sent to a node that is frozen for less than the lease waits for it."""
    network.freeze("b")
    await a.send("b", b"patience")
    assert await all_for(LEASE - 0.1, b) == []
    network.thaw("b")
    assert (await all_for(5, a), await all_for(1, b)) == ([], [Arrived("a", b"patience")])


async def test_the_frozen_leave_after_the_lease(
    autojump_clock: MockClock, network: MemoryNetwork, a: Engine, b: Engine
) -> None:
    """A node that stays frozen is seen to leave when the lease is over."""
    start = trio.current_time()
    network.freeze("b")
    assert await a.receive() == [Left("b")]
    assert trio.current_time() - start == pytest.approx(LEASE, abs=0.01)


async def test_the_frozen_see_nothing(autojump_clock: MockClock, network: MemoryNetwork, a: Engine, b: Engine) -> None:
    """A node that is frozen sees others leave only when it is thawed, and come then; what was sent to it is lost."""
    network.freeze("b")
    await a.send("b", b"lost")
    assert await all_for(2 * LEASE, b) == []
    network.thaw("b")
    assert await all_for(1, b) == [Left("a"), Joined("a")]
    assert await all_for(1, a) == [Left("b"), Joined("b")]


async def test_the_frozen_send_nothing(autojump_clock: MockClock, network: MemoryNetwork, a: Engine, b: Engine) -> None:
    """What a frozen node is about to send is sent when it is thawed."""
    network.freeze("b")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(b.send, "a", b"at last")
        assert await all_for(LEASE / 2, a) == []
        network.thaw("b")
    assert await a.receive() == [Arrived("b", b"at last")]


async def test_the_frozen_delay_their_senders_for_the_lease(
    autojump_clock: MockClock, network: MemoryNetwork, a: Engine, b: Engine
) -> None:
    """Who sends to a frozen node more than there is room for waits, with all it sends elsewhere, for the lease."""
    async with network.open_engine("c"), trio.open_nursery() as nursery:
        network.freeze("b")
        start = trio.current_time()
        await a.send("b", bytes(100))
        nursery.start_soon(a.send, "b", b"no room")
        await trio.testing.wait_all_tasks_blocked()
        await a.send("c", b"behind it")
        assert trio.current_time() - start == pytest.approx(LEASE, abs=0.01)


async def test_a_failure_is_raised(autojump_clock: MockClock, network: MemoryNetwork, a: Engine, b: Engine) -> None:
    """An engine that fails says so to whoever waits and to whoever sends, and the others see its node leave."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_fails, b)
        await trio.testing.wait_all_tasks_blocked()
        network.fail("b")
    with pytest.raises(EngineFailed):
        await b.send("a", b"")
    assert await a.receive() == [Left("b")]


async def _fails(engine: Engine) -> None:
    with pytest.raises(EngineFailed):
        await engine.receive()
