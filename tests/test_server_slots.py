"""Places for newcomers, and the crowds that they are for: peers that stop in the middle, and many at once."""

from __future__ import annotations

import math
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Note, open_peer, settle
from t2bus.server.slots import Occupant, Slots
from tls_helpers import client_hello, log, open_watched_site, read_to_end

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tls_helpers import TlsSite


@asynccontextmanager
async def open_moving(count: int) -> AsyncGenerator[Slots, None]:
    """Open a crowd whose members go when they are stuck while others wait."""
    crowd = Slots(count, "Limits.test")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crowd.keep_moving)
        yield crowd
        nursery.cancel_scope.cancel()


def member(may_take: float = math.inf) -> Occupant:
    made = Occupant(trio.CancelScope())
    made.may_take(may_take)
    return made


async def hold(crowd: Slots, who: Occupant, done: list[float] | None = None, seconds: float = 10) -> None:
    """Hold a place for so long, and note when that was over, unless it was cut short."""
    with who.scope:
        async with crowd.place(who):
            await trio.sleep(seconds)
            if done is not None:
                done.append(trio.current_time())


# --- places


async def test_places_are_given_at_once_while_there_are_any(autojump_clock: trio.testing.MockClock) -> None:
    """As many as there are places hold one at the same time, and may be stuck as long as they like."""
    done = list[float]()
    start = trio.current_time()
    async with open_moving(3) as crowd, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(hold, crowd, member(0.1), done)
    assert done == [start + 10] * 3


async def test_a_newcomer_takes_the_place_of_one_that_is_stuck(autojump_clock: trio.testing.MockClock) -> None:
    """When one waits, a member goes as soon as it is stuck, and is told for which limit."""
    slow = member(0.5)
    async with open_moving(1) as crowd, trio.open_nursery() as nursery:
        nursery.start_soon(hold, crowd, slow)
        await trio.testing.wait_all_tasks_blocked()
        start = trio.current_time()
        newcomer = member()
        await crowd.enter(newcomer)
        assert start + 0.4 < trio.current_time() < start + 0.6
        assert len(crowd) == 1
        crowd.leave(newcomer)
    assert slow.scope.cancelled_caught
    assert slow.dismissed_by == "Limits.test"


async def test_one_that_is_stuck_already_goes_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """A newcomer waits no moment longer than it takes a member that is stuck to go."""
    async with open_moving(1) as crowd, trio.open_nursery() as nursery:
        nursery.start_soon(hold, crowd, member(0.1))
        await trio.sleep(1)
        before = trio.current_time()
        async with crowd.place(member()):
            assert trio.current_time() == before


async def test_the_one_that_is_stuck_for_the_longest_goes(autojump_clock: trio.testing.MockClock) -> None:
    """Of several that are stuck, one goes for each that waits, and the others stay."""
    members = [member(seconds) for seconds in (0.3, 0.1, 0.2)]
    async with open_moving(3) as crowd, trio.open_nursery() as nursery:
        for each in members:
            nursery.start_soon(hold, crowd, each)
        await trio.sleep(1)
        async with crowd.place(member()):
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [bool(each.dismissed_by) for each in members] == [False, True, False]


async def test_whom_the_bus_keeps_waiting_keeps_its_place(autojump_clock: trio.testing.MockClock) -> None:
    """A member that waits for the bus is not stuck, however long others wait."""
    done = list[float]()
    start = trio.current_time()
    async with open_moving(1) as crowd, trio.open_nursery() as nursery:
        nursery.start_soon(hold, crowd, member(), done, 30)
        await trio.testing.wait_all_tasks_blocked()
        await hold(crowd, member(), done, 1)
    assert done == [start + 30, start + 31]


async def test_places_are_given_in_the_order_of_asking(autojump_clock: trio.testing.MockClock) -> None:
    """Who asks first is first, though each holds the place only until it is stuck."""
    order = list[int]()

    async def take(number: int) -> None:
        who = member()
        with who.scope:
            async with crowd.place(who):
                order.append(number)
                who.may_take(0.1)
                await trio.sleep_forever()

    async with open_moving(1) as crowd, trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(take, number)
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert order == [0, 1, 2, 3]


async def test_a_member_of_two_crowds_is_dismissed_by_one(autojump_clock: trio.testing.MockClock) -> None:
    """Who is on its way out of one crowd counts for no other, whatever it does on its way."""
    inner, outer, who = Slots(1, "Limits.inner"), Slots(1, "Limits.outer"), member(0)
    await outer.enter(who)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, inner, who)
        await trio.testing.wait_all_tasks_blocked()
        async with inner.place(member()):
            who.may_take(0)
            assert who.dismissed_by == "Limits.inner"
        with trio.move_on_after(1) as scope:
            await outer.enter(member())
        assert scope.cancelled_caught
        outer.leave(who)
        one, other = member(0), member(0)
        await outer.enter(one)
        with trio.move_on_after(1):
            await outer.enter(other)
        assert one.dismissed_by == "Limits.outer"


async def test_an_error_frees_the_place(autojump_clock: trio.testing.MockClock) -> None:
    """What is raised by a holder of a place leaves as it is, and the place is free again."""
    crowd = Slots(1, "Limits.test")
    with pytest.raises(KeyError):
        async with crowd.place(member()):
            raise KeyError
    with trio.fail_after(0.1):
        await hold(crowd, member(), seconds=0)


async def test_leaving_twice_is_leaving_once(autojump_clock: trio.testing.MockClock) -> None:
    """A member that leaves again gives no second place away."""
    crowd, one = Slots(1, "Limits.test"), member()
    await crowd.enter(one)
    crowd.leave(one)
    crowd.leave(one)
    await crowd.enter(member())
    with trio.move_on_after(1) as scope:
        await crowd.enter(member())
    assert scope.cancelled_caught


async def test_who_gives_up_waiting_takes_no_place(autojump_clock: trio.testing.MockClock) -> None:
    """A task that is cancelled while it waits is not given a place later."""
    async with open_moving(1) as crowd, trio.open_nursery() as nursery:
        nursery.start_soon(hold, crowd, member(), None, 0.2)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.1) as scope:
            await crowd.enter(member())
        assert scope.cancelled_caught
        with trio.fail_after(0.2):
            await hold(crowd, member(), seconds=0)


# --- crowds at a bus


@asynccontextmanager
async def open_crowd(site: TlsSite, count: int, data: bytes) -> AsyncGenerator[list[trio.SocketStream], None]:
    """Open so many connections that say this and no more."""
    async with AsyncExitStack() as stack:
        streams = []
        for _ in range(count):
            streams.append(await stack.enter_async_context(await site.open_stream()))
            if data:
                await streams[-1].send_all(data)
        yield streams


@pytest.mark.parametrize("data", [client_hello()[:100], client_hello()], ids=["half a hello", "a hello"])
async def test_peers_that_stop_in_the_middle(clock: trio.testing.MockClock, tmp_path: Path, data: bytes) -> None:
    """More peers than there are places stop in the middle of the handshake, and a right client gets in at once."""
    async with open_watched_site(tmp_path) as site, open_crowd(site, 20, data) as streams:
        await settle()
        await site.try_out()
        with trio.fail_after(site.bus.limits.handshake_time + 1):
            for stream in streams:
                await read_to_end(stream)
        assert site.bus.statistics().refused == 20


async def test_a_peer_that_drips_is_as_one_that_stops(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """A peer that sends its first message byte by byte has no more time for it than others while others wait."""
    limits = t2bus.Limits(tls_handshakes=1)
    async with open_watched_site(tmp_path, limits=limits) as site, open_crowd(site, 1, b"") as (stream,):

        async def drip() -> None:
            for byte in client_hello():
                await stream.send_all(bytes([byte]))
                await trio.sleep(0.03)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip)
            await trio.sleep(0.05)
            start = trio.current_time()
            await site.try_out()
            assert trio.current_time() - start < 0.5
            nursery.cancel_scope.cancel()


async def test_peers_that_stop_in_the_middle_lose_their_place_to_others(
    clock: trio.testing.MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A peer that stops while others wait for its place is logged as such."""
    limits = t2bus.Limits(tls_handshakes=1)
    async with open_watched_site(tmp_path, limits=limits) as site, open_crowd(site, 1, client_hello()) as streams:
        await settle()
        await site.try_out()
        with trio.fail_after(1):
            await read_to_end(streams[0])
        (line,) = log(caplog)
        assert "it kept others waiting (Limits.tls_handshakes)" in line


async def test_a_slow_peer_has_its_time_while_nobody_waits(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """A peer that is slow, with places to spare, is not hurried before its time is over."""
    async with open_watched_site(tmp_path) as site, open_crowd(site, 1, b"") as (stream,):
        for byte in client_hello()[:20]:
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.2)
        await stream.send_all(client_hello()[20:])
        with trio.fail_after(1):
            assert (await stream.receive_some())[:1] == b"\x16"


async def test_peers_that_say_nothing(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """Five hundred peers connect and say nothing; a new client gets in at once, and they are closed in the end."""
    async with open_watched_site(tmp_path) as site, open_crowd(site, 500, b"") as streams:
        await settle()
        assert site.bus.statistics().newcomers == site.bus.limits.handshakes
        await site.try_out()
        assert site.bus.statistics().newcomers <= site.bus.limits.handshakes
        with trio.fail_after(site.bus.limits.handshake_time + 1):
            for stream in streams:
                await read_to_end(stream)
        assert site.bus.statistics().refused == 500
        assert site.bus.statistics().newcomers == 0


async def test_the_oldest_newcomers_go_first(
    clock: trio.testing.MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One peer more than ``Limits.handshakes`` takes the place of the oldest, which is disconnected at once."""
    limits = t2bus.Limits(handshakes=3)
    async with open_watched_site(tmp_path, limits=limits) as site, open_crowd(site, 4, b"") as streams:
        with trio.fail_after(1):
            await read_to_end(streams[0])
        await settle()
        assert site.bus.statistics().refused == 1
        assert "it kept others waiting (Limits.handshakes)" in log(caplog)[0]


async def test_clients_are_no_newcomers(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """Those who are in are not counted among the newcomers, and none takes their place."""
    limits = t2bus.Limits(handshakes=3)
    async with open_watched_site(tmp_path, limits=limits) as site, site.connect() as client:
        assert site.bus.statistics().newcomers == 0
        async with open_crowd(site, 10, b""):
            await settle()
            assert await client.publish("x", Note("")) == 0


async def test_many_right_clients_at_once(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """Three times as many right clients as there are places for handshakes come at once, and all get in."""
    limits = t2bus.Limits()
    async with open_watched_site(tmp_path, limits=limits) as site:
        all_in = trio.Event()
        inside = 0

        async def come() -> None:
            nonlocal inside
            async with site.connect():
                inside += 1
                if inside == 3 * limits.tls_handshakes:
                    all_in.set()
                await all_in.wait()

        with trio.fail_after(4):
            async with trio.open_nursery() as nursery:
                for _ in range(3 * limits.tls_handshakes):
                    nursery.start_soon(come)
        assert site.bus.statistics().refused == 0


async def test_right_clients_in_a_crowd_that_stops(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """Right clients get in while strangers that stop in the middle of the handshake keep coming."""
    async with open_watched_site(tmp_path) as site, trio.open_nursery() as nursery:

        async def pester() -> None:
            while True:
                async with open_crowd(site, 1, client_hello()):
                    await trio.sleep(1)

        for _ in range(30):
            nursery.start_soon(pester)
        for _ in range(10):
            await trio.sleep(0.3)
            await site.try_out()
        nursery.cancel_scope.cancel()


async def test_who_was_turned_away_and_has_to_go_is_counted_once(clock: trio.testing.MockClock) -> None:
    """A peer that is told why it is not let in, and makes room for another meanwhile, is one that was refused."""
    limits = t2bus.Limits(handshakes=1, connections=1)
    async with t2bus.open_bus("tcp:127.0.0.1:0", limits=limits) as bus, bus.open_client():
        async with open_peer(bus), open_peer(bus):
            await trio.sleep(8)
        assert bus.statistics().refused == 2
