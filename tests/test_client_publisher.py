"""The pipelined publisher: its window, its errors, its end."""

# ruff: noqa: PT012 -- what raises here is the end of a block, or one of several calls

from __future__ import annotations

import gc
import weakref

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Count, Note, Site
from pure_helpers import limits_with

TOO_BROAD = "/".join(["**", "a"] * 6)


async def open_refusing_bus(nursery: trio.Nursery) -> t2bus.Bus:
    """Start a bus that refuses to match :data:`TOO_BROAD` while anybody is subscribed to the same."""

    async def run(*, task_status: trio.TaskStatus[t2bus.Bus]) -> None:
        async with t2bus.open_bus(limits=t2bus.Limits(matching_steps=10)) as bus:
            task_status.started(bus)
            await trio.sleep_forever()

    bus: t2bus.Bus = await nursery.start(run)
    return bus


async def test_a_refused_publication_is_raised_once(clock: trio.testing.MockClock) -> None:
    """What became of an earlier publication is raised by the next call, once, and the publisher goes on."""
    async with trio.open_nursery() as nursery:
        bus = await open_refusing_bus(nursery)
        async with bus.open_client() as client, client.subscribe_bytes(TOO_BROAD):
            async with client.open_bytes_publisher(TOO_BROAD) as publisher:
                await publisher.send(b"one")
                await publisher.send(b"two")
                await trio.sleep(0.01)  # in which they are written, and answered
                with pytest.raises(t2bus.TopicTooBroad):
                    await publisher.send(b"three")
                await publisher.flush()
            assert publisher.accepted == 0
        nursery.cancel_scope.cancel()


async def test_a_flush_waits_for_what_was_sent_before_it(clock: trio.testing.MockClock, memory: Site) -> None:
    """Another task that goes on sending, and always has something on its way, does not hold it up."""
    async with memory.connect() as client, client.subscribe_bytes("a"), trio.open_nursery() as nursery:
        publisher = client.open_bytes_publisher("a", paced=False)

        async def send() -> None:
            while True:
                await publisher.send(b"x")

        await publisher.send_batch([b"y"] * 10)
        nursery.start_soon(send)
        await publisher.flush()
        assert publisher.accepted + publisher.missed >= 10
        nursery.cancel_scope.cancel()


async def test_closing_raises_what_was_refused() -> None:
    """A refusal that no call has raised is raised by the end of the block."""
    async with trio.open_nursery() as nursery:
        bus = await open_refusing_bus(nursery)
        async with bus.open_client() as client, client.subscribe_bytes(TOO_BROAD):
            with pytest.raises(t2bus.TopicTooBroad):
                async with client.open_bytes_publisher(TOO_BROAD) as publisher:
                    await publisher.send(b"one")
            with pytest.raises(KeyError):
                async with client.open_bytes_publisher(TOO_BROAD) as publisher:
                    await publisher.send(b"one")
                    raise KeyError
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_publishers_that_are_left_are_not_kept(clock: trio.testing.MockClock, memory: Site, count: int) -> None:
    """Never closed, or cancelled while they closed: once all is answered, a client has nothing of its publishers."""

    async def use(publisher: t2bus.Publisher[bytes], *, closes: bool) -> None:
        await publisher.send_batch([])
        for _ in range(count):
            await publisher.send(b"x")
        with trio.CancelScope() as scope:
            scope.cancel()
            if closes:
                await publisher.aclose()

    async with memory.connect() as client:
        publishers = [client.open_bytes_publisher("a") for _ in range(2)]
        kept = [*map(weakref.ref, publishers)]
        await use(publishers.pop(), closes=False)
        await use(publishers.pop(), closes=True)
        async with client.subscribe_bytes("b") as messages:
            await client.publish_bytes("b", b"behind them")
            await messages.receive()
        gc.collect()
        assert [reference() for reference in kept] == [None, None]


async def test_many_senders_keep_within_the_window(clock: trio.testing.MockClock, memory: Site) -> None:
    """However many tasks send through one publisher, no more is on its way than allowed."""
    own = limits_with(publisher_messages=4, outbox_bytes=1)
    idle = t2bus.Limits(subscription_messages=1)

    async def send() -> None:
        for number in range(10):
            await publisher.send(Count(number))
            assert memory.bus.statistics().deliveries_held <= 4

    async with (
        memory.connect(limits=idle) as other,
        memory.connect(limits=own) as client,
        other.subscribe(Count, "x") as messages,
        client.open_publisher(Count, "x") as publisher,
        trio.open_nursery() as nursery,
    ):
        for _ in range(10):
            nursery.start_soon(send)
        for _ in range(100):
            await messages.receive()


async def test_accepted_counts_deliveries_to_connections(memory: Site) -> None:
    """A publisher counts for how many connections its messages were accepted, all together."""
    async with (
        memory.connect() as client,
        memory.connect() as one,
        memory.connect() as two,
        one.subscribe(Note, "x"),
        one.subscribe(Note, "*"),
        two.subscribe(Note, "x"),
        client.open_publisher(Note, "x") as publisher,
    ):
        for _ in range(3):
            await publisher.send(Note(""))
    assert publisher.accepted == 6


async def test_a_cancelled_flush_leaves_the_publisher_usable(clock: trio.testing.MockClock, memory: Site) -> None:
    """Flushing that is cancelled can be done again."""
    async with (
        memory.connect(limits=t2bus.Limits(subscription_messages=1)) as other,
        memory.connect() as client,
        other.subscribe(Note, "x") as messages,
        client.open_publisher(Note, "x") as publisher,
    ):
        for text in ("taken", "held"):
            await publisher.send(Note(text))
        with trio.move_on_after(0.1) as scope:
            await publisher.flush()
        assert scope.cancelled_caught
        assert [(await messages.receive()).body.text for _ in range(2)] == ["taken", "held"]
        await publisher.flush()
        assert publisher.accepted == 2
