"""Large frames that come in part: what they take is bounded, and who stops in the middle holds nobody up for long."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import pytest
import trio
import trio.testing
from attrs import evolve

import t2bus
from bus_helpers import RawPeer, settle
from t2bus.wire import messages as m
from t2bus.wire import native

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

FRAME: Final = 1_000_000
LIMITS: Final = t2bus.Limits(frame=FRAME + 100, incoming_bytes=3_000_000)
"""Two such frames may be on their way."""

PUBLISH: Final = native.encode(m.Publish(1, False, m.Publication("a", bytes(FRAME))))
HALF: Final = PUBLISH[:500_000]
HALF_READ: Final = 65_536
"""What is read of a frame that waits for a place."""

SLOT = "a frame came too slowly while others waited (Limits.incoming_bytes)"


@pytest.fixture
async def bus() -> AsyncGenerator[t2bus.Bus, None]:
    async with t2bus.open_bus(limits=LIMITS) as one:
        yield one


async def join(bus: t2bus.Bus, stack: AsyncExitStack) -> RawPeer[m.ServerMessage]:
    """A peer that has said HELLO, on a stream in memory, which takes all that it says."""
    near, far = trio.testing.memory_stream_pair()
    nursery = await stack.enter_async_context(trio.open_nursery())
    nursery.start_soon(lambda: bus.serve_stream(far, identity="robot"))
    peer = RawPeer[m.ServerMessage](near, native.decode_server_messages)
    stack.push_async_callback(near.aclose)
    await peer.shake_hands()
    return peer


async def test_what_has_come_in_part_is_bounded(clock: trio.testing.MockClock, bus: t2bus.Bus) -> None:
    """However many peers leave a large frame unfinished, only so many of them are read from."""
    async with AsyncExitStack() as stack:
        for _ in range(8):
            await (await join(bus, stack)).send_bytes(HALF)
        await settle()
        assert 2 * len(HALF) <= bus.statistics().incoming_bytes <= 2 * len(HALF) + 6 * HALF_READ


async def test_who_stands_still_gives_its_place_to_who_waits(clock: trio.testing.MockClock, bus: t2bus.Bus) -> None:
    """A large frame is taken within moments though others have taken all places; the slowest of them is told why."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(bus.open_client())
        messages = await stack.enter_async_context(client.subscribe_bytes("a"))
        stopped = [await join(bus, stack) for _ in range(2)]
        for peer in stopped:
            await peer.send_bytes(HALF)
            await settle()
        sender = await join(bus, stack)
        before = trio.current_time()
        await sender.send_bytes(PUBLISH)
        assert len((await messages.receive()).body) == FRAME
        assert trio.current_time() - before < 2
        assert await stopped[0].expect(m.Error) == m.Error(SLOT)
        await stopped[1].send_bytes(PUBLISH[len(HALF) :])
        assert len((await messages.receive()).body) == FRAME


async def test_who_is_slow_keeps_its_place_while_nobody_waits(clock: trio.testing.MockClock, bus: t2bus.Bus) -> None:
    """A large frame may take its time."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(bus.open_client())
        messages = await stack.enter_async_context(client.subscribe_bytes("a"))
        peer = await join(bus, stack)
        for start in range(0, len(PUBLISH), 100_000):
            await peer.send_bytes(PUBLISH[start : start + 100_000])
            await trio.sleep(5)
        assert len((await messages.receive()).body) == FRAME


async def test_who_sends_steadily_keeps_its_place(clock: trio.testing.MockClock, bus: t2bus.Bus) -> None:
    """A frame that comes at 200 kB/s is not given up for those that wait, which are taken behind it."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(bus.open_client())
        messages = await stack.enter_async_context(client.subscribe_bytes("a"))
        slow, other, waiting = [await join(bus, stack) for _ in range(3)]
        for peer in (slow, other):
            await peer.send_bytes(HALF)
        await settle()
        await waiting.send_bytes(PUBLISH)
        for start in range(len(HALF), len(PUBLISH), 100_000):
            await trio.sleep(0.5)
            await slow.send_bytes(PUBLISH[start : start + 100_000])
        assert [len((await messages.receive()).body) for _ in range(2)] == [FRAME] * 2
        assert await other.expect(m.Error) == m.Error(SLOT)


async def test_who_waits_for_a_place_is_not_silent(clock: trio.testing.MockClock) -> None:
    """A peer that is not read from because another has the only place is not taken for gone."""
    del clock
    limits = evolve(LIMITS, frame=4 * FRAME, outbox_bytes=4 * FRAME)
    async with t2bus.open_bus(limits=limits) as bus, AsyncExitStack() as stack:
        client = await stack.enter_async_context(bus.open_client())
        messages = await stack.enter_async_context(client.subscribe_bytes("a"))
        slow, waiting = [await join(bus, stack) for _ in range(2)]
        frame = native.encode(m.Publish(1, False, m.Publication("a", bytes(3 * FRAME))))
        await slow.send_bytes(frame[:100_000])
        await settle()
        await waiting.send_bytes(PUBLISH)
        for start in range(100_000, len(frame), 50_000):
            await trio.sleep(0.45)
            await slow.send_bytes(frame[start : start + 50_000])
        with trio.fail_after(30):
            assert [len((await messages.receive()).body) for _ in range(2)] == [3 * FRAME, FRAME]
