"""What comes alone is written at once, by whoever has it; what does not fit, and what comes together, by the writer."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import open_site, settle, wait_until
from t2bus.wire import messages as m
from tap_helpers import (
    CLIENT_WRITER,
    HELLO,
    READER,
    WRITER,
    delivered,
    open_service,
    open_tapped_client,
    open_tapped_peer,
    publication,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

CALLER = "caller"
SMALL = 4096
"""Bytes of a socket's buffer that is full soon."""
WIDE = 1 << 30


@pytest.fixture
async def bus(folder: Path) -> AsyncGenerator[t2bus.Bus, None]:
    async with open_site("unix", folder, limits=t2bus.Limits(drain=60)) as site:
        yield site.bus


# --- the bus


async def test_a_bus_writes_on_what_comes_alone(bus: t2bus.Bus) -> None:
    """A request, its answer and a publication that come alone are written on by the task that read them."""
    async with (
        open_tapped_peer(bus) as one,
        open_tapped_peer(bus, m.Claim(1, "x", 10, WIDE), m.Subscribe(2, "x", 10, WIDE)) as other,
    ):
        one.say(m.Ask(1, None, "x", b"q"))
        call = await other.expect(m.Call)
        other.say(m.Respond(call.id, b"a"))
        assert await one.expect(m.Response) == m.Response(1, b"a")
        one.say(publication(2))
        await one.expect(m.Accepted)
        assert [step.task for step in one.writes + other.writes] == [READER] * 4


async def test_a_bus_gathers_what_comes_together(bus: t2bus.Bus) -> None:
    """What comes in one read is left to the writers: one write for each connection that it concerns."""
    async with open_tapped_peer(bus) as one, open_tapped_peer(bus, m.Claim(1, "x", 10, WIDE)) as other:
        one.say(*(m.Ask(number, None, "x", b"q") for number in range(1, 11)))
        await other.expect(m.Call, 10)
        other.say(*(m.Respond(call.id, b"a") for call in other.of_kind(m.Call)))
        await one.expect(m.Response, 10)
        assert [(step.task, len(step.messages)) for step in one.writes + other.writes] == [(WRITER, 10)] * 2


async def test_what_is_long_is_left_to_the_writer(bus: t2bus.Bus) -> None:
    """A publication that takes long to write holds nobody up: its receivers' writers write it."""
    async with open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE)) as tap, open_tapped_peer(bus) as publisher:
        publisher.say(publication(1, 60_000))
        await tap.expect(m.Deliver)
        publisher.say(publication(2, 70_000))
        await tap.expect(m.Deliver, 2)
        await publisher.expect(m.Accepted, 2)
        assert [step.task for step in tap.writes] == [READER, WRITER]
        assert [step.task for step in publisher.writes] == [READER] * 2


async def test_alone_and_together_keep_their_order(bus: t2bus.Bus) -> None:
    """However many come at once, and from whom, a subscriber gets what each publisher said in its order."""
    async with (
        open_tapped_peer(bus, m.Subscribe(1, "x", 100, WIDE)) as tap,
        open_tapped_peer(bus) as one,
        open_tapped_peer(bus) as other,
    ):
        said = {1: 0, 2: 0}
        for size in (1, 3, 1, 1, 5, 2, 1, 1):
            for name, publisher, count in ((1, one, size), (2, other, 1)):
                publisher.say(*(publication(said[name] + each, name) for each in range(1, count + 1)))
                said[name] += count
            await tap.expect(m.Deliver, sum(said.values()))
        payloads = [each.publication.payload for each in tap.of_kind(m.Deliver)]
        for name, count in said.items():
            own = [payload[0] for payload in payloads if isinstance(payload, bytes) and len(payload) == name]
            assert own == list(range(1, count + 1))


async def test_what_does_not_fit_follows_in_order(bus: t2bus.Bus) -> None:
    """A subscriber that does not read for a while gets all of it in order, and the bus then holds nothing of it."""
    async with open_tapped_peer(bus, m.Subscribe(1, "x", 100, WIDE)) as tap, open_tapped_peer(bus) as publisher:
        tap.is_open = False
        for number in range(1, 61):
            publisher.say(publication(number, 50_000))
            await publisher.expect(m.Accepted, number)
        assert bus.statistics().buffered_bytes > 1_000_000
        tap.is_open = True
        await tap.expect(m.Deliver, 60)
        assert delivered(tap) == list(range(1, 61))
        await wait_until(lambda: bus.statistics().buffered_bytes == 0)
        publisher.say(publication(61))
        await tap.expect(m.Deliver, 61)
        assert tap.writes[-1].task == READER
        assert bus.statistics().buffered_bytes == 0


async def test_nothing_follows_the_goodbye_of_a_bus(bus: t2bus.Bus, clock: trio.testing.MockClock) -> None:
    """Once the bus has said goodbye, no delivery, answer or ping is written, whatever the peers still say."""
    async with (
        open_tapped_peer(bus) as one,
        open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE)) as other,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(bus.aclose)
        for tap in (one, other):
            await tap.expect(m.Goodbye)
        one.say(publication(1))
        other.say(m.Ping(1))
        await trio.sleep(15)
        assert [type(message) for message in one.messages + other.messages] == [m.Goodbye] * 2
        nursery.cancel_scope.cancel()


async def test_nothing_is_written_to_who_is_finished_with(bus: t2bus.Bus) -> None:
    """A connection that is being closed gets what waited for it and nothing that comes alone afterwards."""
    async with open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE)) as tap, open_tapped_peer(bus) as publisher:
        connection, _ = bus._admission.connections
        connection.finish()
        await settle()
        publisher.say(publication(1))
        await publisher.expect(m.Accepted)
        assert tap.messages == []


async def test_a_receiver_that_has_gone_costs_nothing(bus: t2bus.Bus) -> None:
    """A subscriber whose socket is closed delays neither the acknowledgement nor the delivery to another."""
    async with open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE)) as tap, open_tapped_peer(bus) as publisher:
        async with open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE)) as gone:
            gone.far.close()
            publisher.say(publication(1))
            await publisher.expect(m.Accepted)
        assert delivered(tap) == [1]
        await wait_until(lambda: bus.statistics().connections == 2)
        assert [step.task for step in tap.writes] == [READER]


async def test_a_message_against_the_rules_stops_nobody(bus: t2bus.Bus) -> None:
    """When what came alone breaks the rules, its sender is told why, and what comes next is written on at once."""
    async with open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE)) as tap, open_tapped_peer(bus) as publisher:
        async with open_tapped_peer(bus) as bad:
            bad.say(HELLO)
            await bad.expect(m.Error)
        publisher.say(publication(1))
        await tap.expect(m.Deliver)
        assert [step.task for step in tap.writes] == [READER]


async def test_what_has_to_be_inflated_is_left_to_the_writer(bus: t2bus.Bus) -> None:
    """A peer that reads nothing compressed is written to by its writer, since that may take long."""
    hello = m.Hello(1, "a test", ())
    async with (
        open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE), hello=hello) as tap,
        open_tapped_peer(bus) as publisher,
    ):
        publisher.say(publication(1))
        await tap.expect(m.Deliver)
        assert [step.task for step in tap.writes] == [WRITER]


# --- a client


async def request(client: t2bus.Client) -> None:
    await client.request_bytes("x", b"q")


async def test_a_client_says_at_once_what_it_says_alone() -> None:
    """A call that is the only one is on the wire before any other task runs."""
    async with open_tapped_client() as (client, tap):
        for call, kind in ((client.publish_bytes, m.Publish), (client.request_bytes, m.Ask)):
            tap.steps.clear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call, "x", b"payload", name=CALLER)
                await settle()
                first = next(step for step in tap.steps if step.task == CALLER)
                assert [type(message) for message in first.messages] == [kind]
                assert tap.writes == [first]
                assert client.statistics().outbox_bytes == 0
                nursery.cancel_scope.cancel()


async def test_a_client_gathers_what_it_says_together() -> None:
    """Of many calls at once the first goes at once, and the others with one write."""
    async with open_tapped_client() as (client, tap), trio.open_nursery() as nursery:
        for _ in range(64):
            nursery.start_soon(request, client, name=CALLER)
        await settle()
        assert [(step.task, len(step.messages)) for step in tap.writes] == [(CALLER, 1), (CLIENT_WRITER, 63)]
        nursery.cancel_scope.cancel()


async def test_the_rest_of_a_large_message_goes_first() -> None:
    """What does not fit in the socket is sent by the writer before anything else, and then counts no more."""
    async with open_tapped_client(buffer=SMALL) as (client, tap), trio.open_nursery() as nursery:
        tap.is_open = False
        nursery.start_soon(client.publish_bytes, "x", bytes(1_000_000))
        await settle()
        nursery.start_soon(request, client)
        await settle()
        assert client.statistics().outbox_bytes > 1_000_000
        tap.is_open = True
        await tap.expect(m.Ask)
        assert [type(message) for message in tap.messages] == [m.Publish, m.Ask]
        await wait_until(lambda: client.statistics().outbox_bytes == 0)
        nursery.cancel_scope.cancel()


async def test_nothing_follows_the_goodbye_of_a_client(clock: trio.testing.MockClock) -> None:
    """While a client waits for its bus to close, calls are refused and nothing more is written."""

    async def call_late() -> None:
        await tap.expect(m.Goodbye)
        with pytest.raises(trio.ClosedResourceError):
            await request(client)

    async with trio.open_nursery() as nursery, open_tapped_client() as (client, tap):
        tap.closes = False
        nursery.start_soon(call_late)
    assert [type(message) for message in tap.messages] == [m.Goodbye]


# --- answers


async def test_answers_that_are_given_together_are_one_write() -> None:
    """The last of many handlers that finish together writes all their answers."""
    async with open_tapped_client() as (client, tap), open_service(tap, client, 64) as requests:
        async with trio.open_nursery() as nursery:
            for each in requests:
                nursery.start_soon(each.respond, b"a", name=CALLER)
        assert [(step.task, len(step.messages)) for step in tap.writes] == [(CALLER, 64)]


async def test_the_last_answer_is_not_delayed(mock_clock: trio.testing.MockClock) -> None:
    """Answers given one after the other are gathered while there is more to answer, and no time passes for the last."""
    async with open_tapped_client() as (client, tap), open_service(tap, client, 20) as requests:
        for each in requests:
            await each.respond(b"a")
        await settle()
        assert tap.messages == [m.Respond(number, b"a") for number in range(20)]
        assert len(tap.writes) <= 11


async def test_an_answer_does_not_wait_for_others(mock_clock: trio.testing.MockClock) -> None:
    """An answer goes out without any time passing, though the service never gives the others."""
    async with open_tapped_client() as (client, tap), open_service(tap, client, 3) as requests:
        await requests[1].respond(b"a")
        await settle()
        assert [(step.task, step.messages) for step in tap.writes] == [(CLIENT_WRITER, [m.Respond(1, b"a")])]


@pytest.mark.parametrize("count", [1, 2])
async def test_answering_is_a_checkpoint(count: int) -> None:
    """An answer that is written at once, and one that is gathered, let others run and can be cancelled before."""
    for fails in (False, True):
        async with open_tapped_client() as (client, tap), open_service(tap, client, count) as requests:
            with trio.testing.assert_checkpoints():
                await (requests[0].fail("no") if fails else requests[0].respond(b"a"))


async def test_a_cancelled_answer_is_not_sent() -> None:
    """In a cancelled scope nothing is sent, and the request can still be answered."""
    async with open_tapped_client() as (client, tap), open_service(tap, client, 1) as requests:
        with trio.CancelScope() as scope:
            scope.cancel()
            await requests[0].respond(b"cancelled")
        await settle()
        assert scope.cancelled_caught
        assert tap.messages == []
        await requests[0].respond(b"a")
        assert tap.messages == [m.Respond(0, b"a")]


async def test_an_answer_on_its_way_is_not_cancelled() -> None:
    """Who is cancelled while others run after the answer is not told that it was not sent."""
    async with open_tapped_client() as (client, tap), open_service(tap, client, 1) as requests:
        with trio.CancelScope() as scope:
            tap.hear = lambda _: scope.cancel()
            await requests[0].respond(b"a")
        assert scope.cancel_called
        assert not scope.cancelled_caught
        assert tap.messages == [m.Respond(0, b"a")]


# --- both ends


@pytest.mark.parametrize("kind", ["unix", "tcp4"])
async def test_large_payloads_pass_both_ways_through_small_sockets(kind: str, folder: Path) -> None:
    """Requests and answers of any size come whole, alone and many at once, though no socket takes one at once."""
    payloads = [bytes([number]) * size for number, size in enumerate((1, 5_000, 60_000, 70_000, 300_000))]
    async with open_site(kind, folder) as site, site.connect() as one, site.connect() as other:
        transports: list[Any] = [one._connection.transport, other._connection.transport]
        for transport in (*transports, *(each.transport for each in site.bus._admission.connections)):
            transport.stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)

        async def ask(payload: bytes) -> None:
            assert await one.request_bytes("x", payload) == payload

        async def serve() -> None:
            async with other.serve_bytes("x") as requests, trio.open_nursery() as handlers:
                async for each in requests:
                    handlers.start_soon(each.respond, each.body)

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve)
                await wait_until(lambda: site.bus.statistics().services == 1)
                for payload in payloads:
                    await ask(payload)
                async with trio.open_nursery() as requesters:
                    for payload in payloads * 3:
                        requesters.start_soon(ask, payload)
                nursery.cancel_scope.cancel()
