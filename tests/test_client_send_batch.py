"""Publishing by the batch: all of it or none, in order, by one checkpoint, within the window as ``send`` keeps it."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Note, Site, settle
from checkpoint_helpers import steps_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

FOUR = t2bus.Limits(publisher_messages=4)
TOO_BROAD = "/".join(["**", "a"] * 6)


async def received(messages: t2bus.Subscription[bytes], count: int) -> list[bytes]:
    return [(await messages.receive()).body for _ in range(count)]


@pytest.fixture
async def client(memory: Site) -> AsyncGenerator[t2bus.Client, None]:
    """Open a client of a bus in this process."""
    async with memory.connect() as client:
        yield client


async def test_a_batch_arrives_as_its_messages(site: Site) -> None:
    """Each message of a batch is one by itself, in their order, on every transport, between those sent one by one."""
    async with site.connect() as client, client.subscribe_bytes("x") as messages:
        async with client.open_bytes_publisher("x") as publisher:
            await publisher.send(b"first")
            await publisher.send_batch([b"%d" % number for number in range(1000)])
            await publisher.send(b"last")
        assert publisher.accepted == 1002
        numbers = [b"%d" % number for number in range(1000)]
        assert await received(messages, 1002) == [b"first", *numbers, b"last"]


@pytest.mark.parametrize("sizes", [[0, 10, 70_000, 5], [6_000] * 40, [1_000] * 200, [300_000, 300_000]], ids=str)
async def test_a_batch_of_any_sizes_arrives(tcp: Site, sizes: list[int]) -> None:
    """What is large, or compressed on its way, arrives as it was, in its place."""
    payloads = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    async with tcp.connect() as client, client.subscribe_bytes("x") as messages:
        async with client.open_bytes_publisher("x") as publisher:
            await publisher.send_batch(payloads)
        assert await received(messages, len(sizes)) == payloads


async def test_a_typed_batch_arrives(client: t2bus.Client) -> None:
    """Messages of a class are encoded, and read, as one by one; any sequence will do."""
    notes = tuple(Note(str(number)) for number in range(10))
    async with client.subscribe(Note, "*") as messages:
        async with client.open_publisher(Note, "x") as publisher:
            await publisher.send_batch(notes)
        assert await messages.receive_batch() == [t2bus.Received("note/x", note) for note in notes]


async def test_all_of_a_batch_have_its_headers(client: t2bus.Client) -> None:
    """The headers of a batch are those of each of its messages."""
    async with client.subscribe_bytes("x") as messages:
        async with client.open_bytes_publisher("x") as publisher:
            await publisher.send_batch([b"1", b"2"], headers={"k": "v"})
        assert [(await messages.receive()).headers for _ in range(2)] == [{"k": "v"}] * 2


async def test_a_batch_is_what_it_was_when_it_was_sent(client: t2bus.Client) -> None:
    """What the program does with its list while the call gives way, or afterwards, changes nothing."""
    batch: list[bytes] = []

    async def send(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await publisher.send_batch(batch)

    async with client.subscribe_bytes("x") as messages, client.open_bytes_publisher("x") as publisher:
        # Which of two tasks has its turn first is chance.
        for _ in range(20):
            batch[:] = [b"1", b"2"]
            async with trio.open_nursery() as nursery:
                await nursery.start(send)
                batch[:] = [b"3"]
            batch.clear()
            assert await received(messages, 2) == [b"1", b"2"]
    assert client.statistics().published == 40


@pytest.mark.parametrize("batch", [{b"1": 1, b"2": 2}, (b"1", b"2"), deque([b"1", b"2"])], ids=str)
async def test_whatever_has_a_length_is_a_batch(client: t2bus.Client, batch: Any) -> None:
    """Tuples, queues and the keys of a table are sent as lists are."""
    async with client.subscribe_bytes("x") as messages:
        async with client.open_bytes_publisher("x") as publisher:
            await publisher.send_batch(batch)
        assert await received(messages, 2) == [b"1", b"2"]


async def test_no_messages_are_a_batch_too(client: t2bus.Client) -> None:
    """An empty batch publishes nothing, and is a checkpoint."""
    async with client.open_bytes_publisher("x") as publisher:
        with trio.testing.assert_checkpoints():
            await publisher.send_batch([])
    assert client.statistics().published == 0


WRONG: dict[str, tuple[Sequence[Any], type[Exception]]] = {
    "no bytes": ([b"1", "2"], TypeError),
    "too large": ([b"1", b"x" * 2_000_000], t2bus.MessageTooLarge),
    "bytes alone": (b"123", TypeError),
}


@pytest.mark.parametrize("what", WRONG)
async def test_one_that_is_wrong_has_none_sent(client: t2bus.Client, what: str) -> None:
    """What cannot be sent is said before anything is; the publisher can be used as before."""
    batch, error = WRONG[what]
    async with client.open_bytes_publisher("x") as publisher:
        with pytest.raises(error):
            await publisher.send_batch(batch)
        await publisher.send(b"")
    assert client.statistics().published == 1


@pytest.mark.parametrize(
    ("wrong", "error"),
    [(Note(5), t2bus.MalformedMessage), ("text", TypeError)],  # type: ignore[arg-type]
    ids=["malformed", "another class"],
)
async def test_a_wrong_message_of_a_class_has_none_sent(client: t2bus.Client, wrong: Any, error: type) -> None:
    """A message that is not what its class says is refused with all others of its batch."""
    async with client.open_publisher(Note, "x") as publisher:
        with pytest.raises(error):
            await publisher.send_batch([Note("1"), wrong])
    assert client.statistics().published == 0


async def test_a_batch_has_a_bound_with_a_name(memory: Site) -> None:
    """More than the window of a publisher has is refused as a whole, and the text names the limit and the way out."""
    async with memory.connect(limits=FOUR) as client:
        async with client.open_bytes_publisher("x") as publisher:
            with pytest.raises(t2bus.LimitExceeded, match=r"Limits.publisher_messages.*itertools.batched"):
                await publisher.send_batch([b""] * 5)
            for batch in ([b""] * 4, [b""]):
                await publisher.send_batch(batch)
        assert client.statistics().published == 5


async def test_a_batch_is_one_checkpoint(client: t2bus.Client) -> None:
    """However long a batch is, the task that sends it gives way once."""
    async with client.open_bytes_publisher("x") as publisher:
        for batch in ([b"1"], [b"1"] * 1000):
            assert await steps_of(partial(publisher.send_batch, batch)) == 1


async def test_a_batch_may_run_over_the_window(memory: Site, clock: trio.testing.MockClock) -> None:
    """A batch is sent when there is room for its first; whatever comes then waits until so many are acknowledged."""
    narrow = t2bus.Limits(publisher_messages=4, subscription_messages=1)
    async with (
        memory.connect(limits=narrow) as client,
        client.subscribe_bytes("x") as messages,
        client.open_bytes_publisher("x") as publisher,
    ):
        await publisher.send_batch([b"1", b"2"])
        with trio.fail_after(0.1):
            await publisher.send_batch([b"3", b"4", b"5", b"6"])
        with trio.move_on_after(0.1) as scope:
            await publisher.send_batch([b"7"])
        assert scope.cancelled_caught
        assert await received(messages, 6) == [b"1", b"2", b"3", b"4", b"5", b"6"]
        await publisher.send_batch([b"8"])
        assert await received(messages, 1) == [b"8"]


async def test_a_cancelled_batch_has_sent_nothing(client: t2bus.Client) -> None:
    """Cancelled at its checkpoint, no part of a batch is on its way."""
    async with client.open_bytes_publisher("x") as publisher:
        with trio.CancelScope() as scope:
            scope.cancel()
            await publisher.send_batch([b"1", b"2"])
        assert scope.cancelled_caught
    assert client.statistics().published == 0


async def test_a_refusal_before_a_batch_is_raised_by_it(clock: trio.testing.MockClock) -> None:
    """An earlier refusal is raised once, in the place of a batch, of which nothing was sent then."""
    async with (
        t2bus.open_bus(limits=t2bus.Limits(matching_steps=10)) as bus,
        bus.open_client() as client,
        client.subscribe_bytes(TOO_BROAD),
        client.open_bytes_publisher(TOO_BROAD) as publisher,
    ):
        await publisher.send_batch([b"1", b"2"])
        await trio.sleep(0.01)  # in which they are written, and answered
        with pytest.raises(t2bus.TopicTooBroad):
            await publisher.send_batch([b"3", b"4"])
        await publisher.flush()
        assert client.statistics().published == 2


async def test_a_closed_publisher_sends_no_batch(client: t2bus.Client) -> None:
    """After its block a publisher refuses batches as it refuses messages."""
    async with client.open_bytes_publisher("x") as publisher:
        pass
    with pytest.raises(trio.ClosedResourceError):
        await publisher.send_batch([b"1"])


async def test_a_slow_subscriber_paces_batches(memory: Site, clock: trio.testing.MockClock) -> None:
    """A live subscriber that takes little at a time gets all of every batch."""
    narrow = t2bus.Limits(subscription_messages=10)
    async with memory.connect(limits=narrow) as client, client.subscribe_bytes("x") as messages:

        async def publish() -> None:
            async with client.open_bytes_publisher("x") as publisher:
                for _ in range(20):
                    await publisher.send_batch([b""] * 100)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            await received(messages, 2000)
            await settle()
    assert client.statistics().dropped == 0
