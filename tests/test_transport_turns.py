"""Turns of those who compute something that takes a while: one in each pass of the scheduler."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from attrs import define, field

from checkpoint_helpers import Passes
from stream_helpers import LIMITS
from t2bus.errors import ProtocolViolation
from t2bus.rust.crate_transport import RustClientTransport
from t2bus.transport.framed import FramedTransport
from t2bus.transport.turns import Turns, rations
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.codec import codec_for_client
from t2bus.wire.compression import deflate

if TYPE_CHECKING:
    from collections.abc import Callable

    Bus = FramedTransport[m.ClientMessage, m.ServerMessage]


async def test_one_turn_in_a_pass_in_the_order_of_asking() -> None:
    """Of many tasks that want a turn, one gets it in each pass of the scheduler, first come, first served."""
    turns = Turns()
    taken: list[tuple[int, int]] = []
    sequencer = trio.testing.Sequencer()

    async def take(number: int) -> None:
        async with sequencer(number):
            pass
        await turns.take()
        taken.append((number, passes.count))

    with Passes() as passes:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(take, number)
    assert [number for number, _ in taken] == list(range(20))
    assert len({when for _, when in taken}) == 20


async def test_others_run_between_turns() -> None:
    """While many tasks take turns, a task that wants none runs in every pass."""
    turns = Turns()
    ran: list[int] = []

    async def run() -> None:
        while True:
            ran.append(passes.count)
            await trio.lowlevel.checkpoint()

    with Passes() as passes:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            async with trio.open_nursery() as takers:
                for _ in range(20):
                    takers.start_soon(turns.take)
            nursery.cancel_scope.cancel()
    assert ran == list(range(ran[0], ran[0] + len(ran)))
    assert len(ran) >= 20


async def test_a_task_that_gives_up_its_turn() -> None:
    """A task that is cancelled while it waits for its turn holds up nobody."""
    turns = Turns()
    with trio.CancelScope() as scope:
        scope.cancel()
        await turns.take()
    assert scope.cancelled_caught
    with trio.fail_after(1):
        await turns.take()


# --- what is inflated for whom it is written to


def delivery(size: int) -> m.Deliver:
    return m.Deliver((1,), m.Publication("x", deflate(bytes(size))))


@define(eq=False)
class Far(trio.abc.SendStream):
    """Takes what is written, and notes the passes in which that was."""

    passes: Passes
    written: set[int] = field(factory=set)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.written.add(self.passes.count)

    async def wait_send_all_might_not_block(self) -> None: ...

    async def aclose(self) -> None: ...


async def writers_of_passes(message: Callable[[], m.Deliver], opened: Callable[[trio.abc.Stream], Bus]) -> list[int]:
    """Have ten transports write a message each at once; return how many of them wrote in each pass in which any did."""
    with Passes() as passes:
        ends = [Far(passes) for _ in range(10)]
        async with trio.open_nursery() as nursery:
            for far in ends:
                _, nothing = trio.testing.memory_stream_one_way_pair()
                nursery.start_soon(opened(trio.StapledStream(far, nothing)).send, [message()])
    return list(Counter(each for far in ends for each in far.written).values())


def native_end(stream: trio.abc.Stream) -> Bus:
    """Return a bus's end for a client that cannot inflate."""
    transport = FramedTransport(stream, codec_for_client(), LIMITS.frame)
    transport.set_frame_limit(LIMITS.frame, can_inflate=False)
    return transport


def crate_end(stream: trio.abc.Stream) -> Bus:
    return RustClientTransport.open(stream, LIMITS, b"")


@pytest.mark.parametrize("opened", [native_end, crate_end])
@pytest.mark.parametrize("size", [500_000, 2_000_000], ids=["large", "too large"])
async def test_one_writer_inflates_what_is_large_in_a_pass(opened: Callable[[trio.abc.Stream], Bus], size: int) -> None:
    """However many peers cannot take what is compressed, it is inflated for one at a time, or found too large."""
    assert set(await writers_of_passes(lambda: delivery(size), opened)) <= {1}


@pytest.mark.parametrize("opened", [native_end, crate_end])
async def test_what_is_small_needs_no_turn(opened: Callable[[trio.abc.Stream], Bus]) -> None:
    """Payloads that take 256 KiB together are inflated in one pass, by however many."""
    assert await writers_of_passes(lambda: delivery(20_000), opened) == [10]


@pytest.mark.parametrize("opened", [native_end, crate_end])
async def test_what_was_inflated_already_needs_no_turn(opened: Callable[[trio.abc.Stream], Bus]) -> None:
    """A publication is inflated once for all Rust clients; for others, which are sent it inflated, each time."""
    one = delivery(500_000)
    await writers_of_passes(lambda: one, opened)
    assert (await writers_of_passes(lambda: one, opened) == [10]) is (opened is crate_end)


# --- what is decoded of what was read

SHORT = native.encode(m.Ping(1))
LONG = SHORT * 500


async def end_with(data: bytes) -> Bus:
    """Return a bus's end of a connection whose peer has sent this."""
    peer, stream = trio.testing.memory_stream_pair()
    transport = native_end(stream)
    await peer.send_all(data)
    return transport


def spend() -> None:
    """Let others have decoded so much that a turn is needed."""
    decoding = rations().decoding
    decoding.spent = decoding.most


async def readers_of_passes(data: bytes) -> list[int]:
    """Have ten transports read this when others have decoded much; return how many had it in each pass."""
    passes_of: list[int] = []

    async def receive(transport: Bus) -> None:
        assert await transport.receive()
        passes_of.append(passes.count)

    ends = [await end_with(data) for _ in range(10)]
    spend()
    with Passes() as passes:
        async with trio.open_nursery() as nursery:
            for end in ends:
                nursery.start_soon(receive, end)
    return list(Counter(passes_of).values())


async def test_one_reader_decodes_what_is_long_in_a_pass() -> None:
    """However many peers have sent much, one of them is decoded at a time once others have taken long."""
    assert await readers_of_passes(LONG) == [1] * 10


async def test_what_is_short_is_decoded_at_once() -> None:
    """A peer that says little does not wait for the turns of those who say much."""
    assert await readers_of_passes(SHORT) == [10]


async def test_who_waits_for_a_turn_to_decode_loses_nothing() -> None:
    """Receives that are cancelled while they wait for their turns leave what was read to the next ones."""
    waiting = [await end_with(LONG) for _ in range(10)]
    spend()

    async def receive(transport: Bus) -> None:
        await transport.receive()
        waiting.remove(transport)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for end in waiting:
            nursery.start_soon(receive, end)
    assert len(waiting) == 9
    assert all(end.read_at >= 0 for end in waiting)
    for end in waiting:
        with trio.fail_after(1):
            assert len(await end.receive()) == 500


@pytest.mark.parametrize("data", [LONG, LONG + b"\0\0\0\1\xff"], ids=["well", "badly"])
async def test_what_is_long_uses_up_the_ration(data: bytes) -> None:
    """The time that it takes to decode counts, also where that ends with a violation."""
    transport = await end_with(data)
    with suppress(ProtocolViolation):
        await transport.receive()
    assert rations().decoding.spent > 0
