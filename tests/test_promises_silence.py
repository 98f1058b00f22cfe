"""The promises of t2bus on lost peers, seen from an end that was itself stopped, and over a slow line."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Note, RawPeer, Site, open_fake_bus, open_peer, settle, welcome
from stream_helpers import SMALL
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.values import ErrorCode
from tap_helpers import open_tapped_peer

PAUSE = 60.0
"""Seconds for which a process is stopped, or computes, while its sockets take what others say."""


# --- an end that was itself stopped


async def test_promise_11_a_program_that_computes_keeps_its_connection(
    clock: trio.testing.MockClock, site: Site
) -> None:
    """A program that computes for a minute, and with it a bus in its own process, loses nobody."""
    async with site.connect() as client, client.subscribe(Note, "x") as messages:
        for _ in range(3):
            clock.jump(PAUSE)
            await trio.sleep(5)
        assert await client.publish("x", Note("still here")) == 1
        assert (await messages.receive()).body == Note("still here")


async def test_promise_11_a_stopped_bus_blames_nobody_for_its_writes(clock: trio.testing.MockClock) -> None:
    """A bus that was stopped in a write keeps a subscriber that took meanwhile what its socket had."""
    subscribe = m.Subscribe(1, "x", 100, 1 << 23)
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        open_tapped_peer(bus, subscribe, buffer=SMALL) as tap,
    ):
        tap.is_open = False
        await client.publish_bytes("x", bytes(500_000))
        await settle()
        clock.jump(PAUSE)
        tap.is_open = True
        await tap.expect(m.Deliver)
        await trio.sleep(2)
        assert bus.statistics().connections == 2


async def test_promise_11_a_stopped_bus_reads_before_it_takes_a_subscriber_for_stalled(
    clock: trio.testing.MockClock,
) -> None:
    """A subscriber that gave credit while the bus was stopped loses nothing of a paced publisher."""

    async def publish(client: t2bus.Client) -> None:
        async with client.open_bytes_publisher("x") as publisher:
            for number in range(2):
                await publisher.send(b"%d" % number)

    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        open_tapped_peer(bus, m.Subscribe(1, "x", 1, 1000), buffer=SMALL) as tap,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(publish, client)
        await tap.expect(m.Deliver)
        await settle()
        clock.jump(PAUSE)
        tap.say(m.Credit((1, 1, 2)))
        assert (await tap.expect(m.Deliver, 2)).publication.payload == b"1"
        assert bus.statistics().dropped == 0


async def test_promise_11_a_stopped_bus_still_finds_who_is_gone(clock: trio.testing.MockClock, tcp: Site) -> None:
    """A client that fell silent before a pause of the bus is gone within 25 s after it."""
    async with open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        clock.jump(PAUSE)
        with trio.fail_after(25):
            await peer.read_to_end()


@pytest.mark.parametrize("buffer", [9 * SMALL, 11 * SMALL, 13 * SMALL])
async def test_promise_11_whoever_is_gone_is_found_however_much_is_sent(
    clock: trio.testing.MockClock, buffer: int
) -> None:
    """A client that is gone is found within 25 s, also where its socket is full only shortly before that."""
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        open_tapped_peer(bus, m.Subscribe(1, "x", 1000, 1 << 23), buffer=buffer) as tap,
    ):
        tap.is_open = False
        with trio.fail_after(25):
            is_there = True
            while is_there:
                is_there = await client.publish_bytes("x", bytes(1000)) > 0
                await trio.sleep(0.1)


# --- whoever is dropped is told


async def test_promise_11_a_silent_client_is_told_why_it_is_dropped(clock: trio.testing.MockClock, tcp: Site) -> None:
    """The last message of a bus to a client that has been silent for too long says so."""
    async with open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        last = (await peer.read_to_end())[-1]
        assert last == m.Error("nothing was heard of it for 20 s (Limits.silence)")


async def test_promise_11_a_silent_bus_is_told_why_it_is_dropped(clock: trio.testing.MockClock) -> None:
    """The last message of a client to a bus that has been silent for too long says so."""
    said: list[m.ClientMessage] = []

    async def listen(peer: RawPeer[m.ClientMessage]) -> None:
        await welcome(peer)
        said.extend(await peer.read_to_end())

    async with open_fake_bus(listen) as address, t2bus.open_client(address) as client:
        with pytest.raises(t2bus.Disconnected):
            await client.publish("x", Note(""))
        await settle()
    assert said[-1] == m.Error("nothing was heard of the bus for 20 s (Limits.silence)")


# --- a live peer on a slow line


async def test_promise_11_a_client_that_only_reads_says_that_it_lives(clock: trio.testing.MockClock) -> None:
    """A client that is sent something all the while and never a PING says something every 10 s."""
    said: list[float] = []

    async def listen(peer: RawPeer[m.ClientMessage]) -> None:
        while True:
            await peer.expect(m.Ping)
            said.append(trio.current_time())

    async def deliver(peer: RawPeer[m.ClientMessage]) -> None:
        await welcome(peer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, peer)
            for _ in range(60):
                await peer.send(m.Gap(1, 1))
                await trio.sleep(1)
            nursery.cancel_scope.cancel()

    async with open_fake_bus(deliver) as address, t2bus.open_client(address):
        await trio.sleep(60)
    assert len(said) >= 5
    assert all(after - before <= 12 for before, after in pairwise([0.0, *said]))


async def test_promise_11_a_bus_that_only_reads_says_that_it_lives(clock: trio.testing.MockClock, tcp: Site) -> None:
    """A bus that is sent a large frame, byte by byte, says something every 10 s meanwhile."""
    frame = native.encode(m.Publish(1, False, m.Publication("x", bytes(30))))
    async with open_peer(tcp.bus) as peer, trio.open_nursery() as nursery:
        await peer.shake_hands()

        async def dawdle() -> None:
            for place in range(len(frame)):
                await peer.send_bytes(frame[place : place + 1])
                await trio.sleep(1)

        nursery.start_soon(dawdle)
        for _ in range(3):
            with trio.fail_after(12):
                await peer.expect(m.Ping)


async def test_promise_11_whoever_takes_much_slowly_is_alive(clock: trio.testing.MockClock) -> None:
    """A subscriber that takes what it is sent for two minutes, and says nothing and answers no PING, stays."""
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        open_tapped_peer(bus, m.Subscribe(1, "x", 100, 1 << 23), buffer=SMALL) as tap,
    ):
        tap.is_open = False
        await client.publish_bytes("x", bytes(1_000_000))
        for _ in range(120):
            await trio.sleep(1)
            assert tap.far.recv(8000)
        assert bus.statistics().connections == 2


# --- 8: a lost connection does not keep its claims


async def test_promise_08_a_ghost_loses_what_is_claimed_anew(clock: trio.testing.MockClock, tcp: Site) -> None:
    """The claim of a connection that answers nothing goes to who wants it within 3 s, and the holder is told."""
    async with open_peer(tcp.bus) as ghost, tcp.connect() as client:
        await ghost.shake_hands()
        await ghost.send(m.Claim(1, "x", 10, 1000))
        await ghost.expect(m.Accepted)
        with pytest.raises(t2bus.TopicClaimed, match="loses it if it gives none within 1 s"):
            await client.serve_bytes("x").__aenter__()
        await trio.sleep(2)
        async with client.serve_bytes("x"):
            assert (await ghost.expect(m.Refused)).id == 1


async def test_promise_08_a_claim_that_was_lost_ends_its_service(clock: trio.testing.MockClock) -> None:
    """A program whose claim was taken away while it answered no ping is told so, and its bus not that it leaves it."""
    heard: list[object] = []

    async def take_away(peer: RawPeer[m.ClientMessage]) -> None:
        await welcome(peer)
        await peer.expect(m.Claim)
        await peer.send(m.Accepted(1, (0,)), m.Refused(1, ErrorCode.TOPIC_CLAIMED, "lost"))
        heard.extend(await peer.read_to_end())

    async with (
        open_fake_bus(take_away) as address,
        t2bus.open_client(address) as client,
        client.serve_bytes("x") as requests,
    ):
        for _ in range(2):
            with pytest.raises(t2bus.TopicClaimed, match="lost"):
                await requests.receive()
    assert [type(message) for message in heard] == [m.Goodbye]


async def test_promise_08_whoever_is_heard_keeps_its_claim(clock: trio.testing.MockClock, tcp: Site) -> None:
    """A holder that is in the middle of a large frame, and so cannot answer a ping, is heard and keeps its claim."""
    async with open_peer(tcp.bus) as holder, tcp.connect() as client:
        await holder.shake_hands()
        await holder.send(m.Claim(1, "x", 10, 1000))
        await holder.expect(m.Accepted)
        frame = native.encode(m.Publish(2, False, m.Publication("y", b"")))
        for place in range(3):
            with pytest.raises(t2bus.TopicClaimed):
                await client.serve_bytes("x").__aenter__()
            await trio.sleep(0.5)
            await holder.send_bytes(frame[place : place + 1])
            await trio.sleep(1)
        assert tcp.bus.statistics().services == 1
