"""Receiving by the batch: all that has arrived, errors in their places between two batches, and nothing lost."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

import t2bus
from bus_helpers import Note, Site, settle
from checkpoint_helpers import steps_of
from pure_helpers import steady

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

TWO = t2bus.Limits(subscription_messages=2)


@define(eq=False)
class Pair:
    """A client, a subscription of its own and a publisher to it."""

    client: t2bus.Client
    messages: t2bus.Subscription[Note]
    publisher: t2bus.Publisher[Note] = field()

    async def publish(self, *texts: str) -> None:
        """Publish these in one batch, and let them arrive."""
        await self.publisher.send_batch([Note(text) for text in texts])
        await self.publisher.flush()
        await settle()

    async def batch(self, most: int | None = None) -> list[str]:
        """Receive a batch that is there already, and return the texts."""
        with trio.fail_after(5):
            return texts(await self.messages.receive_batch(most))


def texts(batch: Sequence[t2bus.Received[Note]]) -> list[str]:
    return [note.text for _, note in batch]


@pytest.fixture
async def pair(memory: Site) -> AsyncGenerator[Pair, None]:
    """Open both in this process."""
    async with (
        memory.connect() as client,
        client.subscribe(Note, "x") as messages,
        client.open_publisher(Note, "x") as publisher,
    ):
        yield Pair(client, messages, publisher)


async def test_a_batch_is_all_that_has_arrived(site: Site) -> None:
    """What was published in whatever way is given as one list, in its order, on every transport."""
    async with site.connect() as client, client.subscribe_bytes("*") as messages:
        await client.publish_bytes("a", b"1")
        async with client.open_bytes_publisher("b") as publisher:
            await publisher.send_batch([b"2", b"3"])
            await publisher.send(b"4", headers={"k": "v"})
        await client.publish_bytes("a", b"5")
        await settle()
        batch = await messages.receive_batch()
        assert [tuple(each) for each in batch] == [("a", b"1"), ("b", b"2"), ("b", b"3"), ("b", b"4"), ("a", b"5")]
        assert [dict(each.headers) for each in batch] == [{}, {}, {}, {"k": "v"}, {}]
        assert all(isinstance(each, t2bus.Received) for each in batch)


async def test_most_bounds_a_batch(pair: Pair) -> None:
    """A batch has ``most`` messages at most, and what is left is the next one's, whoever receives it."""
    await pair.publish("1", "2", "3", "4", "5", "6")
    assert await pair.batch(2) == ["1", "2"]
    assert (await pair.messages.receive()).body == Note("3")
    assert await pair.batch(1) == ["4"]
    assert await pair.batch() == ["5", "6"]


@pytest.mark.parametrize(("most", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
async def test_most_is_a_number_of_messages(pair: Pair, most: Any, error: type[Exception]) -> None:
    """No batch is empty, and there are no halves of a message."""
    with pytest.raises(error):
        await pair.messages.receive_batch(most)


async def test_a_batch_is_waited_for(pair: Pair) -> None:
    """While there is nothing ``receive_batch`` waits for one message, and not for more."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.publish, "1")
        assert texts(await pair.messages.receive_batch(100)) == ["1"]


async def test_receiving_a_batch_is_one_checkpoint(pair: Pair) -> None:
    """However many messages there are, the task that takes them gives way once."""
    await pair.publish(*map(str, range(1000)))
    assert await steps_of(pair.batch) == 1


async def test_a_gap_stands_between_two_batches(memory: Site) -> None:
    """What came before a gap is returned first, then ``Lagged`` is raised, then what came after it is returned."""
    async with memory.connect(limits=TWO) as client, client.subscribe(Note, "x") as messages:
        for number in range(5):
            await client.publish("x", Note(str(number)))
        assert texts(await messages.receive_batch()) == ["0", "1"]
        with pytest.raises(t2bus.Lagged) as lagged:
            await messages.receive_batch()
        assert lagged.value.dropped == 3
        await client.publish("x", Note("after"))
        assert texts(await messages.receive_batch()) == ["after"]


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("headers", [None, {"k": "v"}], ids=["run", "alone"])
async def test_a_malformed_message_stands_between_two_batches(
    pair: Pair, place: int, headers: dict[str, str] | None
) -> None:
    """Those before it are returned first, then it is raised, with topic and headers, and those after it follow."""
    good = Note("good")
    async with pair.client.open_publisher(Note, "x") as publisher:
        await publisher.send_batch([good] * place, headers=headers)
    async with pair.client.open_bytes_publisher("note/x") as wrong:
        await wrong.send_batch([b"\xff"], headers=headers)
    async with pair.client.open_publisher(Note, "x") as publisher:
        await publisher.send_batch([good] * 3, headers=headers)
    await settle()
    if place:
        assert await pair.batch() == ["good"] * place
    with pytest.raises(t2bus.MalformedMessage) as malformed:
        await pair.messages.receive_batch()
    assert (malformed.value.topic, malformed.value.headers) == ("note/x", headers or {})
    assert await pair.batch() == ["good"] * 3


async def test_a_malformed_message_in_a_run_stands_in_its_place(pair: Pair) -> None:
    """Of a batch that was published as one, the one that cannot be read is raised alone."""
    note = b"\xa1dtextdgood"
    async with pair.client.open_bytes_publisher("note/x") as publisher:
        await publisher.send_batch([note, note, b"\xff", note])
    await settle()
    assert await pair.batch() == ["good"] * 2
    with pytest.raises(t2bus.MalformedMessage):
        await pair.messages.receive_batch()
    assert await pair.batch() == ["good"]


async def test_a_cancelled_batch_loses_nothing(pair: Pair) -> None:
    """Cancelled with messages there, ``receive_batch`` has taken none of them."""
    await pair.publish("1", "2")
    with trio.CancelScope() as scope:
        scope.cancel()
        await pair.messages.receive_batch()
    assert scope.cancelled_caught
    assert await pair.batch() == ["1", "2"]


async def test_one_task_receives(pair: Pair) -> None:
    """A second task is refused while one waits for a batch, whatever it asks for."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.messages.receive_batch)
        await settle()
        for receive in (pair.messages.receive_batch, pair.messages.receive):
            with pytest.raises(trio.BusyResourceError):
                await receive()
        nursery.cancel_scope.cancel()


async def test_what_had_arrived_is_given_before_the_loss_of_the_bus() -> None:
    """When the bus has gone, what had arrived is a batch, and then ``Disconnected`` is raised."""
    async with t2bus.open_bus() as bus, bus.open_client() as client, client.subscribe_bytes("x") as messages:
        async with client.open_bytes_publisher("x") as publisher:
            await publisher.send_batch([b"1", b"2"])
        await bus.aclose()
        assert [body for _, body in await messages.receive_batch()] == [b"1", b"2"]
        with pytest.raises(t2bus.Disconnected):
            await messages.receive_batch()


async def test_a_closed_subscription_gives_no_batch(pair: Pair) -> None:
    """What had arrived is dropped with the subscription."""
    await pair.publish("1")
    await pair.messages.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await pair.messages.receive_batch()


async def test_batches_are_the_same_one_after_the_other(pair: Pair) -> None:
    """``batches`` gives what ``receive_batch`` does, of so many at most; begun again it goes on."""
    await pair.publish("1", "2", "3", "4", "5")
    async for batch in pair.messages.batches(2):
        assert texts(batch) == ["1", "2"]
        break
    given = []
    with trio.move_on_after(1):
        async for batch in pair.messages.batches(most=2):
            given += texts(batch)
            if "5" in given:
                break
    assert given == ["3", "4", "5"]


async def test_credit_of_batches_goes_back(memory: Site, clock: trio.testing.MockClock) -> None:
    """Who takes everything by the batch keeps a paced publisher going through a window that is far smaller."""
    narrow = t2bus.Limits(subscription_messages=8)
    async with memory.connect(limits=narrow) as client, client.subscribe_bytes("x") as messages:

        async def publish() -> None:
            async with client.open_bytes_publisher("x") as publisher:
                for _ in range(10):
                    await publisher.send_batch([b""] * 50)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            taken = 0
            while taken < 500:
                batch = await messages.receive_batch()
                assert len(batch) <= 8
                taken += len(batch)


async def test_the_newest_of_each_topic_by_the_batch(memory: Site) -> None:
    """With ``latest`` a batch is the newest of each topic."""
    async with memory.connect() as client, client.subscribe_bytes("*", latest=True) as messages:
        for topic, body in [("a", b"1"), ("b", b"1"), ("a", b"2")]:
            await client.publish_bytes(topic, body)
        assert [tuple(each) for each in await messages.receive_batch()] == [("b", b"1"), ("a", b"2")]


# --- the law


CALLS = st.one_of(st.just("receive"), st.just("nowait"), st.integers(1, 6), st.none())
BATCHES = st.lists(st.lists(st.sampled_from("gggm"), min_size=1, max_size=8), max_size=6)


async def _take(messages: t2bus.Subscription[Note], call: str | int | None) -> list[Any]:
    """Receive in one of the ways, and return what is given, errors included."""
    try:
        if call == "receive":
            return [await messages.receive()]
        if call == "nowait":
            return [messages.receive_nowait()]
        assert not isinstance(call, str)
        return [*await messages.receive_batch(call)]
    except t2bus.MalformedMessage as error:
        return [error]


async def _check_order(published: list[list[str]], calls: list[Any], headers: dict[str, str] | None) -> None:
    expected = deque(each for batch in published for each in batch)
    async with t2bus.open_bus() as bus, bus.open_client() as client, client.subscribe(Note, "x") as messages:
        async with client.open_bytes_publisher("note/x") as publisher:
            for batch in published:
                payloads = [b"\xff" if each == "m" else b"\xa1dtextag" for each in batch]
                await publisher.send_batch(payloads, headers=headers)
        await settle()
        assert client.statistics().messages_waiting == len(expected)
        for call in [*calls, *[None] * len(expected)]:
            if not expected:
                return
            for item in await _take(messages, call):
                assert isinstance(item, t2bus.MalformedMessage) == (expected.popleft() == "m")
        assert not expected


@given(BATCHES, st.lists(CALLS, max_size=12), st.sampled_from(["", "v"]))
@steady(100)
def test_all_ways_to_receive_give_the_same(published: list[list[str]], calls: list[Any], headers: str) -> None:
    """Whatever was published together and in whatever ways it is taken, each is given once, errors in their places."""

    async def main() -> None:
        await _check_order(published, calls, {"k": headers} if headers else None)

    trio.run(main)
