"""What a client writes: alone from the call, together from the task, and nothing after the goodbye."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import WELCOME, Site, open_fake_bus, open_site, settle, wait_until
from t2bus.wire import messages as m
from t2bus.wire import native
from tap_helpers import CLIENT_WRITER
from tls_helpers import open_tls_site
from watched_bus import CALLER, SILENT, TASK, call, delivery, open_watched_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from bus_helpers import RawPeer

SMALL = 4096
"""Bytes of a socket's buffer that is full soon."""


def kinds(messages: list[m.ClientMessage]) -> list[str]:
    return [type(message).__name__ for message in messages]


# --- alone and together


async def test_each_operation_that_comes_alone_is_written_by_its_caller() -> None:
    """Whatever a program says while nothing else is under way is on the wire before any other task runs."""

    async def operate() -> None:
        async with client.subscribe_bytes("x"), client.serve_bytes("x"):
            await client.publish_bytes("x", b"")
            await client.request_bytes("x", b"")

    async with open_watched_client() as (client, bus), trio.open_nursery() as nursery:
        nursery.start_soon(operate, name=CALLER)
        await bus.tap.expect(m.Unsubscribe)
        expected = ["Subscribe", "Claim", "Publish", "Ask", "Unclaim", "Unsubscribe"]
        assert [(step.task, kinds(step.messages)) for step in bus.tap.writes] == [(CALLER, [each]) for each in expected]


async def test_a_ping_is_answered_by_who_reads_it() -> None:
    """The answer to a ping is written by the task or the call that read it, without another one's turn."""
    async with open_watched_client() as (client, bus), trio.open_nursery() as nursery:

        async def ask() -> None:
            await client.request_bytes("x", b"q")
            await client.request_bytes(SILENT, b"q")

        bus.tap.say(m.Ping(1))
        await settle()
        nursery.start_soon(ask, name=CALLER)
        await bus.until_led()
        bus.tap.say(m.Ping(2))
        await settle()
        pongs = [(step.task, each) for step in bus.tap.writes for each in step.messages if isinstance(each, m.Pong)]
        assert pongs == [(TASK, m.Pong(1)), (CALLER, m.Pong(2))]
        nursery.cancel_scope.cancel()


async def test_what_waits_goes_with_the_last_answer(mock_clock: trio.testing.MockClock) -> None:
    """Answers that were gathered, and credit that was given back, are one write with the answer that is the last."""
    async with (
        open_watched_client() as (client, bus),
        client.serve_bytes("x") as requests,
        client.subscribe_bytes("x") as messages,
    ):
        bus.tap.say(*map(call, range(2)), *(delivery(number, 2) for number in range(2048)))
        first, last = [await requests.receive() for _ in range(2)]
        for _ in range(2047):
            await messages.receive()
        await settle()
        bus.tap.steps.clear()

        async def answer() -> None:
            await first.respond(b"a")
            await messages.receive()
            await last.respond(b"a")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, name=CALLER)
            await settle()
        assert [step.task for step in bus.tap.writes] == [CALLER]
        assert kinds(bus.tap.messages) == ["Respond", "Respond", "Credit"]
        assert client.statistics().outbox_bytes == 0


@pytest.mark.parametrize("count", [1, 2])
async def test_the_writer_finishes_what_is_larger_than_the_socket(count: int) -> None:
    """What does not fit in the socket is finished by the writer, and what was written counts no more."""
    async with open_watched_client(SMALL) as (client, bus), trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(client.publish_bytes, "x", bytes(900_000), name=CALLER)
        await wait_until(lambda: len(bus.tap.of_kind(m.Publish)) == count)
        await settle()
        assert {step.task for step in bus.tap.writes} == {CLIENT_WRITER}
        assert client.statistics().outbox_bytes == 0
        assert client._connection.transport.writing_since is None
        bus.tap.steps.clear()
        await client.publish_bytes("x", b"")
        assert len(bus.tap.of_kind(m.Publish)) == 1


async def test_what_is_gathered_waits_for_a_busy_bus(mock_clock: trio.testing.MockClock) -> None:
    """While the bus has not answered what it has, publications are gathered, and written at once when it has."""
    async with open_watched_client() as (client, bus):
        async with client.open_bytes_publisher(SILENT) as publisher:
            for count in (10, 5):
                for _ in range(count):
                    await publisher.send(b"p")
                await settle()
                mock_clock.jump(0.003)
                await settle()
            assert [len(each.run.payloads) for each in bus.tap.of_kind(m.PublishRun)] == [10]
            bus.tap.say(m.Accepted(1, (1,) * 10))
            await settle()
            assert [len(each.run.payloads) for each in bus.tap.of_kind(m.PublishRun)] == [10, 5]
            bus.tap.say(m.Accepted(11, (1,) * 5))
        assert client.statistics().outbox_bytes == 0


async def test_a_client_over_tls_leaves_all_to_its_tasks(tmp_path: Path) -> None:
    """Over TLS nothing is read or written by a call, and requests, publications and their answers pass as ever."""
    async with open_tls_site(tmp_path) as site, site.connect() as one, site.connect() as other:
        for client in (one, other):
            assert not client._connection.transport.reads_now
            assert not client._connection.transport.can_send_now
        with trio.fail_after(10):
            async with other.serve_bytes("x") as requests, other.subscribe_bytes("y") as messages:
                async with trio.open_nursery() as nursery:

                    async def serve() -> None:
                        for _ in range(3):
                            request = await requests.receive()
                            await request.respond(request.body)

                    nursery.start_soon(serve)
                    for number in range(3):
                        assert await one.request_bytes("x", b"%d" % number) == b"%d" % number
                assert await one.publish_bytes("y", b"p") == 1
                assert (await messages.receive()).body == b"p"


# --- after the goodbye


async def test_a_ping_after_the_goodbye_is_not_answered(clock: trio.testing.MockClock) -> None:
    """A client that has said goodbye and waits for the bus to close answers no ping."""
    async with trio.open_nursery() as nursery, open_watched_client() as (_, bus):
        bus.tap.closes = False

        async def ping() -> None:
            await bus.tap.expect(m.Goodbye)
            for number in range(3):
                bus.tap.say(m.Ping(number))
                await settle()

        nursery.start_soon(ping)
    assert kinds(bus.tap.messages) == ["Goodbye"]


async def ask_and_close(*, at_once: bool) -> list[str]:
    """Close a client while it asks, cancel what it asked in the same pass or later, and return what it said."""
    async with trio.open_nursery() as nursery, open_watched_client() as (client, bus):
        bus.tap.closes = False
        scope = trio.CancelScope()

        async def ask() -> None:
            with scope:
                await client.request_bytes(SILENT, b"q")

        async def cancel() -> None:
            await bus.tap.expect(m.Goodbye)
            await settle()
            scope.cancel()

        if at_once:
            bus.tap.hear = lambda message: scope.cancel() if isinstance(message, m.Goodbye) else None
        else:
            nursery.start_soon(cancel)
        nursery.start_soon(ask)
        await bus.tap.expect(m.Ask)
    return kinds(bus.tap.messages)


async def test_a_request_cancelled_after_the_goodbye_says_nothing(clock: trio.testing.MockClock) -> None:
    """A request that is cancelled while its client waits for the bus to close writes nothing after the goodbye."""
    assert await ask_and_close(at_once=False) == ["Ask", "Goodbye"]


async def test_a_request_cancelled_with_the_goodbye_says_nothing(clock: trio.testing.MockClock) -> None:
    """A request that is cancelled just when its client says goodbye writes nothing after that, whoever runs first."""
    for _ in range(20):
        assert await ask_and_close(at_once=True) == ["Ask", "Goodbye"]


@pytest.mark.parametrize("what", ["ping", "cancel", "unsubscribe"])
async def test_nothing_follows_a_goodbye_that_had_to_wait(what: str, clock: trio.testing.MockClock) -> None:
    """While the goodbye waits behind a large message, pings and cancelled calls put nothing behind it."""
    async with trio.open_nursery() as nursery, open_watched_client(SMALL) as (client, bus):
        scope = trio.CancelScope()

        async def call() -> None:
            with scope, contextlib.suppress(trio.ClosedResourceError):
                if what == "unsubscribe":
                    async with client.subscribe_bytes("x") as messages:
                        await messages.receive()
                else:
                    await client.request_bytes(SILENT, b"q")

        async def disturb() -> None:
            await settle()
            bus.tap.say(*[m.Ping(1)] * (what == "ping"))
            if what != "ping":
                scope.cancel()
            await settle()
            bus.tap.is_open = True

        async def publish() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await client.publish_bytes(SILENT, bytes(1_000_000))

        nursery.start_soon(call)
        await settle()
        bus.tap.is_open = False
        nursery.start_soon(publish)
        await settle()
        nursery.start_soon(disturb)
    assert bus.tap.of_kind(m.Publish)
    assert kinds(bus.tap.messages)[-1] == "Goodbye"


# --- what comes with the WELCOME


async def test_a_violation_that_comes_with_the_welcome() -> None:
    """A bus that breaks the rules in the same write as its WELCOME is told so, and calls raise ``Disconnected``."""
    told: list[m.ClientMessage] = []

    async def handler(peer: RawPeer[m.ClientMessage]) -> None:
        await peer.expect(m.Hello)
        await peer.send(WELCOME, WELCOME)
        told.extend(await peer.read_to_end())

    async with open_fake_bus(handler) as address, t2bus.open_client(address) as client:
        await settle()
        with pytest.raises(t2bus.Disconnected, match="broke the rules"):
            await client.publish_bytes("x", b"")
        await wait_until(lambda: told != [])
    assert kinds(told) == ["Error"]


@pytest.mark.parametrize("_turn", range(16))
async def test_a_goodbye_that_comes_with_the_welcome(_turn: int) -> None:
    """What came with the WELCOME is heard before anything else, whatever a first call reads by itself."""

    async def handler(peer: RawPeer[m.ClientMessage]) -> None:
        await peer.expect(m.Hello)
        assert isinstance(peer.stream, trio.SocketStream)
        near = peer.stream.socket
        os.write(near.fileno(), native.encode(WELCOME) + native.encode(m.Goodbye("full, go away")))
        near.shutdown(socket.SHUT_WR)
        await peer.read_to_end()

    async with open_fake_bus(handler) as address, t2bus.open_client(address) as client:
        with pytest.raises(t2bus.Disconnected, match="full, go away"):
            await client.request_bytes("x", b"q")


# --- both ends


@pytest.fixture(params=["unix", "tcp4", "memory"])
async def either(request: pytest.FixtureRequest, folder: Path) -> AsyncGenerator[Site, None]:
    async with open_site(request.param, folder) as site:
        yield site


async def test_requests_go_both_ways(either: Site) -> None:
    """Two programs that serve and ask each other at once, one request at a time each, get all their answers."""
    async with either.connect() as one, either.connect() as other, trio.open_nursery() as nursery:

        async def serve(client: t2bus.Client, topic: str, task_status: trio.TaskStatus[None]) -> None:
            async with client.serve_bytes(topic) as requests:
                task_status.started()
                async for request in requests:
                    await request.respond(request.body)

        async def ask(client: t2bus.Client, topic: str) -> None:
            for number in range(50):
                assert await client.request_bytes(topic, b"%d" % number) == b"%d" % number

        await nursery.start(serve, one, "one")
        await nursery.start(serve, other, "other")
        with trio.fail_after(10):
            async with trio.open_nursery() as askers:
                askers.start_soon(ask, one, "other")
                askers.start_soon(ask, other, "one")
        assert one._connection.transport.reads_now is (either.bus.addresses != ())
        nursery.cancel_scope.cancel()
