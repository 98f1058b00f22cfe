"""Programs that compute between two messages and let nobody else run meanwhile."""

from __future__ import annotations

import pytest
import trio
import trio.testing

import t2bus

LIMITS = t2bus.Limits(subscription_messages=64)


@pytest.mark.parametrize("seconds", [0.2, 0.4])
async def test_a_program_that_computes_for_less_than_the_stall_time_lives(
    autojump_clock: trio.testing.MockClock, seconds: float
) -> None:
    """A subscriber that computes between two messages, without a checkpoint, loses nothing of a paced publisher."""
    async with (
        t2bus.open_bus(limits=LIMITS) as bus,
        bus.open_client() as client,
        bus.open_client() as other,
        client.subscribe_bytes("x") as messages,
        trio.open_nursery() as nursery,
    ):

        async def publish() -> None:
            async with other.open_bytes_publisher("x") as publisher:
                for number in range(200):
                    await publisher.send(b"%d" % number)

        nursery.start_soon(publish)
        for number in range(200):
            autojump_clock.jump(seconds)
            assert (await messages.receive()).body == b"%d" % number
        assert bus.statistics().dropped == 0


async def test_a_truthy_pace_is_paced(autojump_clock: trio.testing.MockClock) -> None:
    """Whatever is true as ``paced`` travels as true, also in a run."""
    async with t2bus.open_bus() as bus, bus.open_client() as client, client.subscribe_bytes("x") as messages:
        async with client.open_bytes_publisher("x", paced=1) as publisher:  # type: ignore[arg-type]
            assert publisher.paced is True
            for _ in range(3):
                await publisher.send(b"")
        assert [(await messages.receive()).body for _ in range(3)] == [b""] * 3
