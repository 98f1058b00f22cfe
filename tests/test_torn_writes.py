"""Nothing follows half a frame, and room that a direct write makes is told of."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from bus_helpers import open_site, settle
from t2bus.transport.memory import open_memory_pair
from t2bus.wire import messages as m
from t2bus.wire import native
from tap_helpers import open_service, open_tapped_client, open_tapped_peer, publication
from test_transport_now import open_pair

WIDE = 1 << 30


async def test_transport_after_half_a_frame() -> None:
    """After a send that was cancelled half-way nothing can be sent."""
    with open_pair() as pair:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.transport.send, [publication(1, 1_000_000)])
            await settle()
            nursery.cancel_scope.cancel()
        assert not pair.transport.can_send_now


async def test_memory_after_a_lost_batch() -> None:
    """After a batch that was given up nothing can be handed over, since that would be missing in between."""
    client, _bus = open_memory_pair()
    assert client.send_now([m.Ping(1)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, [m.Ping(2)])
        await settle()
        nursery.cancel_scope.cancel()
    assert not client.can_send_now


@pytest.fixture
def folder() -> Any:
    with tempfile.TemporaryDirectory(prefix="t2bus-") as name:
        yield Path(name)


async def test_bus_writes_behind_half_a_frame(folder: Any) -> None:
    """A receiver that is closed half-way through a frame is not sent the next one as the rest of it."""
    torn: list[bytes] = []
    for _ in range(20):
        async with (
            open_site("unix", folder) as site,
            open_tapped_peer(site.bus, m.Subscribe(1, "x", 10, WIDE)) as slow,
            open_tapped_peer(site.bus) as publisher,
        ):
            slow.is_open = False
            (connection, _) = site.bus._admission.connections
            stream: Any = connection.transport.stream  # type: ignore[attr-defined]
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 12_000)
            publisher.say(publication(1, 30_000))
            await publisher.expect(m.Accepted)
            await settle()
            assert connection.transport.writing_since is not None
            # All in one pass: the bus gives it up (Limits.write_stall, silence, control_bytes), it reads at last, and
            # somebody publishes.
            connection.close("it took nothing")
            data = slow.far.recv(1 << 20)
            publisher.say(publication(2, 30_000))
            with trio.fail_after(5):
                while not data or slow.far.fileno() != -1:
                    await trio.lowlevel.wait_readable(slow.far)
                    more = slow.far.recv(1 << 20)
                    if not more:
                        break
                    data += more
            size = int.from_bytes(data[:4], "big")
            if len(data) >= 4 + size:
                (message,) = native.decode_server_messages([data[4 : 4 + size]])
                assert isinstance(message, m.Deliver)
                payload = message.publication.payload
                assert isinstance(payload, bytes)
                if len(set(payload)) > 1:
                    torn.append(payload)
    assert len(torn) == 0, f"{len(torn)} of 20 publications were delivered with bytes of another in them"


async def test_room_is_made_and_nobody_told() -> None:
    """A call that waits for room goes on when a direct write has made it."""
    stuck = 0
    for _ in range(20):
        async with open_tapped_client() as (client, tap):
            object.__setattr__(client._connection.session.outbox, "limit", 50)  # as Limits(outbox_bytes=50)
            async with open_service(tap, client, 1) as requests:
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(client.publish_bytes, "x", b"p")
                        nursery.start_soon(client._connection.operate, unsubscribe(client))
                        requests[0].give_up("it failed " * 10)
                        await settle()
                        stuck += m.Publish not in map(type, tap.messages)
                        scope.cancel()
                # the claim is 1, the two operations above are 2 and 3, and the end of the service the next
                tap.say(m.Accepted(1, (0,) * 9))
    assert stuck == 0, f"{stuck} of 20 calls wait for room though nothing waits to be written"


def unsubscribe(client: Any) -> Any:
    """What leaving a subscription does."""
    session = client._connection.session

    def begin(done: Any) -> int:
        number: int = session._begin(done)
        session.outbox.put(m.Unsubscribe(number, 1))
        return number

    return begin
