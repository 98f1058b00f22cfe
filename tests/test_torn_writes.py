"""Nothing follows half a frame, and room that a direct write makes is told of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import t2bus
from pure_helpers import limits_with
from stream_helpers import open_transport_pair, publication
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.framing import FrameDecoder
from tap_helpers import kinds, open_answered_client, open_tapped_peer

if TYPE_CHECKING:
    import socket

WIDE = 1 << 30


async def test_transport_after_half_a_frame() -> None:
    """After a send that was cancelled half-way nothing can be sent at once."""
    with open_transport_pair() as pair:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.transport.send, [publication(1, 1_000_000)])
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert not pair.transport.can_send_nowait


async def read_to_end(far: socket.socket) -> bytes:
    """Return all that comes until the other end is closed."""
    data = b""
    while True:
        await trio.lowlevel.wait_readable(far)
        try:
            more = far.recv(1 << 16)
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more


@pytest.mark.parametrize("passes", range(6))
async def test_bus_writes_behind_half_a_frame(passes: int) -> None:
    """A receiver that is closed half-way through a frame is not sent the next one as the rest of it, whether it says
    goodbye, reads at last, and somebody publishes, all at once or some passes apart.
    """
    async with (
        t2bus.open_bus() as bus,
        open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE), buffer=12_000) as slow,
        open_tapped_peer(bus, buffer=1 << 18) as publisher,
    ):
        slow.is_open = False
        publisher.say(publication(1, 60_000))
        await publisher.expect(m.Accepted)
        await trio.testing.wait_all_tasks_blocked()
        slow.say(m.Goodbye(""))
        for _ in range(passes):
            await trio.lowlevel.checkpoint()
        data = slow.far.recv(1 << 20)
        publisher.say(publication(2, 60_000))
        decoder = FrameDecoder(1 << 24)
        received = native.decode_server_messages(decoder.feed(data + await read_to_end(slow.far)))
        assert received == []
        assert decoder.buffered
        await publisher.expect(m.Accepted, 2)
        assert bus.statistics().connections == 1


@pytest.mark.parametrize("_turn", range(20))
async def test_room_is_made_and_somebody_told(_turn: int) -> None:
    """A call that waits for room goes on when a write has made it, whoever is the first to run."""
    async with (
        open_answered_client(limits=limits_with(outbox_bytes=50)) as (client, tap),
        client.serve_bytes("x") as requests,
        client.subscribe_bytes("y") as messages,
    ):
        tap.say(m.Call(1, 1, None, "x", b"q"))
        request = await requests.receive()
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.publish_bytes, "x", b"p")
                nursery.start_soon(messages.aclose)
                request.give_up("it failed " * 10)
        assert sorted(kinds(tap.messages[2:])) == ["Fail", "Publish", "Unsubscribe"]
