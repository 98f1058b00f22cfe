"""What compressed payloads cost: a kilobyte can hold a megabyte, and others come to their turn meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from checkpoint_helpers import Passes
from rust_corpus import HELLO, ack, carrier, written
from t2bus.rust import frames as r
from t2bus.rust.crate_transport import RustBusTransport, RustClientTransport
from t2bus.rust.gzip import gzip
from t2bus.wire import messages as m
from t2bus.wire import values as v

if TYPE_CHECKING:
    from collections.abc import Callable

    from t2bus.transport.framed import FramedTransport

PUB = r.Kind.PUB
BOMB = gzip(bytes(1_000_000))
SMALL = gzip(bytes(10_000))


def client_end(stream: trio.abc.Stream) -> RustBusTransport:
    """Return a client's end, whose frame 1 subscribes to ``a``."""
    transport = RustBusTransport.open(stream, t2bus.Limits(), is_secure=False)
    transport.translator.encode_one(m.Subscribe(1, "a", 100, 2**30))
    return transport


def bus_end(stream: trio.abc.Stream) -> RustClientTransport:
    return RustClientTransport.open(stream, t2bus.Limits(), b"")


async def greeted(frames: bytes) -> RustClientTransport:
    """Return the bus's end of a client that has said this, and whose HELLO was received."""
    near, far = trio.testing.memory_stream_pair()
    transport = bus_end(near)
    await far.send_all(frames)
    assert await transport.receive() == [HELLO]
    return transport


async def test_what_is_inflated_at_once_is_bounded() -> None:
    """Of what one read brought a receive returns so much that 256 KiB are inflated for it, or one payload."""
    transport = await greeted(b"".join(written(carrier(1, PUB, data=BOMB, packed=True)) for _ in range(3)))
    for number in (1, 2, 3):
        (publish,) = await transport.receive()
        assert isinstance(publish, m.Publish)
        assert (publish.id, type(publish.publication.payload)) == (number, v.Deflated)
    transport = await greeted(b"".join(written(carrier(1, PUB, data=SMALL, packed=True)) for _ in range(60)))
    assert [len(await transport.receive()) for _ in range(3)] == [27, 27, 6]


async def test_what_is_plain_comes_with_it() -> None:
    """Payloads that are not compressed, and frames without any, come at once with those around them."""
    frames = (carrier(1, PUB), carrier(2, PUB, data=BOMB, packed=True), r.Control(3, r.Kind.SUB, "a"), carrier(4, PUB))
    transport = await greeted(b"".join(written(frame) for frame in frames))
    assert [type(message) for message in await transport.receive()] == [m.Publish, m.Publish]
    assert [type(message) for message in await transport.receive()] == [m.Subscribe, m.Publish]


async def test_a_member_that_says_little_is_not_inflated() -> None:
    """One that holds more than it says costs as little as it says, and is refused."""
    liar = written(carrier(1, PUB, data=BOMB[:-4] + bytes(4), packed=True))
    transport = await greeted(liar * 50)
    messages = await transport.receive()
    assert [type(message) for message in messages] == [m.Ping] * 50


async def test_what_a_cancelled_receive_would_have_returned_is_not_lost() -> None:
    """A receive that is cancelled while it waits for its turn leaves what was read to the next one."""
    transport = await greeted(written(carrier(1, PUB, data=BOMB, packed=True)) * 2)
    await transport.receive()
    with trio.CancelScope() as scope:
        scope.cancel()
        await transport.receive()
    assert scope.cancelled_caught
    (publish,) = await transport.receive()
    assert isinstance(publish, m.Publish)


async def test_at_a_client_too() -> None:
    """What a publisher compressed is inflated for its subscriber piece by piece as well; the rest comes at once."""
    near, far = trio.testing.memory_stream_pair()
    transport = client_end(near)
    await far.send_all(written(carrier(1, PUB, data=BOMB, packed=True)) + written(ack(1)))
    assert [type(message) for message in await transport.receive()] == [m.Deliver]
    await far.send_all(written(ack(2)) + written(carrier(3, PUB)))
    assert [type(message) for message in await transport.receive()] == [m.Accepted]
    assert [type(message) for message in await transport.receive()] == [m.Deliver]


@pytest.mark.parametrize("opened", [bus_end, client_end], ids=["at the bus", "at a client"])
async def test_one_connection_inflates_in_a_pass(
    opened: Callable[[trio.abc.Stream], FramedTransport[Any, Any]],
) -> None:
    """However many connections have brought something that is compressed, one of them has its turn at a time."""
    turns: list[int] = []

    async def take_turns(transport: FramedTransport[Any, Any]) -> None:
        for _ in range(3):
            while HELLO in (messages := await transport.receive()):
                pass
            assert len(messages) == 1
            turns.append(passes.count)

    with Passes() as passes:
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                near, far = trio.testing.memory_stream_pair()
                await far.send_all(written(carrier(1, PUB, data=BOMB, packed=True)) * 3)
                nursery.start_soon(take_turns, opened(near))
    assert len(turns) == len(set(turns)) == 30
