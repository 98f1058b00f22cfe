"""What a client writes: alone at once, together in one write, and nothing after the goodbye."""

from __future__ import annotations

import contextlib
import os
import socket
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import WELCOME, Site, open_fake_bus, open_site
from t2bus.wire import messages as m
from t2bus.wire import native
from tap_helpers import CALLER, SILENT, call, delivery, kinds, open_answered_client, until
from tls_helpers import open_tls_site

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from bus_helpers import RawPeer
    from tap_helpers import Tap

SMALL = 4096
"""Bytes of a socket's buffer that is full soon."""


# --- alone and together


async def test_each_operation_that_comes_alone_is_written_by_its_caller() -> None:
    """Whatever a program says while nothing else is under way is on the wire before any other task runs."""

    async def operate() -> None:
        async with client.subscribe_bytes("x"), client.serve_bytes("x"):
            await client.publish_bytes("x", b"")
            await client.request_bytes("x", b"")

    async with open_answered_client() as (client, tap), trio.open_nursery() as nursery:
        nursery.start_soon(operate, name=CALLER)
        await tap.expect(m.Unsubscribe)
        expected = ["Subscribe", "Claim", "Publish", "Ask", "Unclaim", "Unsubscribe"]
        assert [(step.is_of_caller, kinds(step.messages)) for step in tap.writes] == [
            (True, [each]) for each in expected
        ]


async def test_a_ping_is_answered_in_the_step_that_reads_it(mock_clock: trio.testing.MockClock) -> None:
    """The answer to a ping waits for no other task's turn, whether a call waits meanwhile or none does."""
    async with open_answered_client() as (client, tap), trio.open_nursery() as nursery:
        for number in range(2):
            tap.steps.clear()
            tap.say(m.Ping(number))
            assert await tap.expect(m.Pong) == m.Pong(number)
            assert tap.places == [1]
            nursery.start_soon(client.request_bytes, SILENT, b"q")
            await tap.expect(m.Ask)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_what_waits_goes_with_the_last_answer(mock_clock: trio.testing.MockClock) -> None:
    """Answers that were gathered, and credit that was given back, are one write with the answer that is the last."""
    async with (
        open_answered_client() as (client, tap),
        client.serve_bytes("x") as requests,
        client.subscribe_bytes("x") as messages,
    ):
        tap.say(*map(call, range(2)), *(delivery(number, 2) for number in range(2048)))
        first, last = [await requests.receive() for _ in range(2)]
        for _ in range(2047):
            await messages.receive()
        await trio.testing.wait_all_tasks_blocked()
        tap.steps.clear()

        async def answer() -> None:
            await first.respond(b"a")
            await messages.receive()
            await last.respond(b"a")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, name=CALLER)
            await trio.testing.wait_all_tasks_blocked()
        assert [step.is_of_caller for step in tap.writes] == [True]
        assert kinds(tap.messages) == ["Respond", "Respond", "Credit"]
        assert client.statistics().outbox_bytes == 0


async def test_lone_publications_cause_no_credit_each(mock_clock: trio.testing.MockClock) -> None:
    """Of ten publications that come one by one, however far apart, nothing is said to the bus."""
    async with open_answered_client() as (client, tap), client.subscribe_bytes("x") as messages:
        tap.steps.clear()
        for number in range(10):
            tap.say(delivery(number))
            assert (await messages.receive()).body == b"%d" % number
            mock_clock.jump(0.9)
            await trio.testing.wait_all_tasks_blocked()
        assert tap.messages == []


@pytest.mark.parametrize("count", [1, 2])
async def test_what_is_larger_than_the_socket_is_finished(count: int) -> None:
    """What does not fit in the socket is written when there is room again, and then counts no more."""
    async with open_answered_client(SMALL) as (client, tap), trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(client.publish_bytes, "x", bytes(900_000))
        await tap.expect(m.Publish, count)
        await trio.testing.wait_all_tasks_blocked()
        assert client.statistics().outbox_bytes == 0
        tap.steps.clear()
        nursery.start_soon(partial(client.publish_bytes, "x", b""), name=CALLER)
        await tap.expect(m.Publish)
        assert [(step.is_of_caller, kinds(step.messages)) for step in tap.writes] == [(True, ["Publish"])]


async def test_publications_are_gathered_for_two_milliseconds(mock_clock: trio.testing.MockClock) -> None:
    """What a publisher sends is one write after 2 ms, whatever is not answered yet; a flush waits for nothing."""

    async def acknowledge() -> None:
        await tap.expect(m.PublishRun, 3)
        tap.say(m.Accepted(1, (1,) * 15))

    async with open_answered_client() as (client, tap), trio.open_nursery() as nursery:
        async with client.open_bytes_publisher(SILENT) as publisher:
            for number in range(1, 3):
                for _ in range(5):
                    await publisher.send(b"p")
                await trio.testing.wait_all_tasks_blocked()
                assert runs(tap) == [5] * (number - 1)
                mock_clock.jump(0.002)
                await trio.testing.wait_all_tasks_blocked()
                assert runs(tap) == [5] * number
            for _ in range(5):
                await publisher.send(b"p")
            nursery.start_soon(acknowledge)
        assert (runs(tap), publisher.accepted) == ([5] * 3, 15)
        assert client.statistics().outbox_bytes == 0


@pytest.mark.parametrize(
    ("seconds", "least", "most"),
    [(0.0005, 10, 40), (0.005, 3, 12)],
    ids=["longer than 2 ms", "no longer than 20 ms"],
)
async def test_publications_are_gathered_for_some_passes(
    mock_clock: trio.testing.MockClock, seconds: float, least: int, most: int
) -> None:
    """In a program whose tasks take long for one turn each, a publisher gathers for 16 turns, and for 20 ms at most."""
    async with open_answered_client() as (client, tap), trio.open_nursery() as nursery:

        async def publish() -> None:
            publisher = client.open_bytes_publisher(SILENT)
            while True:
                await publisher.send(b"p")
                # So long do all others of the program take until it is this one's turn again.
                mock_clock.jump(seconds)

        nursery.start_soon(publish)
        await tap.expect(m.PublishRun)
        assert least <= runs(tap)[0] <= most
        nursery.cancel_scope.cancel()


def runs(tap: Tap[m.ClientMessage]) -> list[int]:
    """How many publications each run had that was written."""
    return [len(each.run.payloads) for each in tap.of_kind(m.PublishRun)]


async def test_a_client_over_tls(tmp_path: Path) -> None:
    """Over TLS, where nothing is written without waiting, requests, publications and their answers pass as ever."""
    async with open_tls_site(tmp_path) as site, site.connect() as one, site.connect() as other:
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
    async with trio.open_nursery() as nursery, open_answered_client() as (_, tap):
        tap.closes = False

        async def ping() -> None:
            await tap.expect(m.Goodbye)
            for number in range(3):
                tap.say(m.Ping(number))
                await trio.testing.wait_all_tasks_blocked()

        nursery.start_soon(ping)
    assert kinds(tap.messages) == ["Goodbye"]


async def ask_and_close(*, at_once: bool) -> list[str]:
    """Close a client while it asks, cancel what it asked in the same pass or later, and return what it said."""
    async with trio.open_nursery() as nursery, open_answered_client() as (client, tap):
        tap.closes = False
        scope = trio.CancelScope()

        async def ask() -> None:
            with scope:
                await client.request_bytes(SILENT, b"q")

        async def cancel() -> None:
            await tap.expect(m.Goodbye)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()

        if at_once:
            tap.hear = lambda message: scope.cancel() if isinstance(message, m.Goodbye) else None
        else:
            nursery.start_soon(cancel)
        nursery.start_soon(ask)
        await tap.expect(m.Ask)
    return kinds(tap.messages)


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
    async with trio.open_nursery() as nursery, open_answered_client(SMALL) as (client, tap):
        scope = trio.CancelScope()

        async def call() -> None:
            with scope, contextlib.suppress(trio.ClosedResourceError):
                if what == "unsubscribe":
                    async with client.subscribe_bytes("x") as messages:
                        await messages.receive()
                else:
                    await client.request_bytes(SILENT, b"q")

        async def disturb() -> None:
            await trio.testing.wait_all_tasks_blocked()
            tap.say(*[m.Ping(1)] * (what == "ping"))
            if what != "ping":
                scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            tap.is_open = True

        async def publish() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await client.publish_bytes(SILENT, bytes(1_000_000))

        nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        tap.is_open = False
        nursery.start_soon(publish)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(disturb)
    assert tap.of_kind(m.Publish)
    assert kinds(tap.messages)[-1] == "Goodbye"


# --- what comes with the WELCOME


async def test_a_violation_that_comes_with_the_welcome() -> None:
    """A bus that breaks the rules in the same write as its WELCOME is told so, and calls raise ``Disconnected``."""
    told: list[m.ClientMessage] = []

    async def handler(peer: RawPeer[m.ClientMessage]) -> None:
        await peer.expect(m.Hello)
        await peer.send(WELCOME, WELCOME)
        told.extend(await peer.read_to_end())

    async with open_fake_bus(handler) as address, t2bus.open_client(address) as client:
        with pytest.raises(t2bus.Disconnected, match="broke the rules"):
            await client.publish_bytes("x", b"")
        await until(lambda: told != [])
    assert kinds(told)[-1] == "Error"


@pytest.mark.parametrize("_turn", range(16))
async def test_a_goodbye_that_comes_with_the_welcome(_turn: int) -> None:
    """What came with the WELCOME is heard before anything else, whatever a first call writes."""

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
        nursery.cancel_scope.cancel()
