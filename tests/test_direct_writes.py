"""What comes alone is written at once, in the step that brought it; what does not fit, and what comes together, later.

A bus takes two steps to write on what comes alone: what one task has read, another carries out and writes. One more
step is that of a task which writes what was left to it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from attrs import define

import t2bus
from bus_helpers import open_joined, open_site
from stream_helpers import publication, stream_pair
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.compression import deflate
from tap_helpers import (
    CALLER,
    HELLO,
    Tap,
    delivered,
    kinds,
    open_service,
    open_tapped_client,
    open_tapped_peer,
    start,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from t2bus.wire.values import Payload

SMALL = 4096
"""Bytes of a socket's buffer that is full soon."""
WIDE = 1 << 30
AT_ONCE, LATER = 2, 3
"""The step in which a bus writes: that of the task which carries out what was read, or of one that only writes."""


@pytest.fixture
async def bus(folder: Path) -> AsyncGenerator[t2bus.Bus, None]:
    async with open_site("unix", folder, limits=t2bus.Limits(drain=60)) as site:
        yield site.bus


# --- the bus: no time passes, as what it does once a second would be a step more


async def test_a_bus_writes_on_what_comes_alone(bus: t2bus.Bus, mock_clock: trio.testing.MockClock) -> None:
    """A request, its answer and a publication that come alone are written on in the step that carries them out."""
    async with (
        open_tapped_peer(bus) as one,
        open_tapped_peer(bus, m.Claim(1, "x", 10, WIDE), m.Subscribe(2, "x", 10, WIDE)) as other,
    ):

        async def places(tap: Tap[m.ServerMessage], message: m.ClientMessage, kind: type[m.ServerMessage]) -> list[int]:
            await start(one, other)
            (one if tap is other else other).say(message)
            await tap.expect(kind)
            return tap.places

        assert await places(other, m.Ask(1, None, "x", b"q"), m.Call) == [AT_ONCE]
        (call,) = other.of_kind(m.Call)
        assert await places(one, m.Respond(call.id, b"a"), m.Response) == [AT_ONCE]
        assert await places(other, publication(2), m.Deliver) == [AT_ONCE]
        assert kinds(one.messages) == ["Accepted"]


async def test_a_bus_gathers_what_comes_together(bus: t2bus.Bus, mock_clock: trio.testing.MockClock) -> None:
    """What comes in one read is left to those who write: one write for each connection that it concerns."""
    async with open_tapped_peer(bus) as one, open_tapped_peer(bus, m.Claim(1, "x", 10, WIDE)) as other:
        one.say(*(m.Ask(number, None, "x", b"q") for number in range(1, 11)))
        await other.expect(m.Call, 10)
        assert (len(other.messages), other.places) == (10, [LATER])
        await start(one)
        other.say(*(m.Respond(call.id, b"a") for call in other.of_kind(m.Call)))
        await one.expect(m.Response, 10)
        assert (len(one.messages), one.places) == (10, [LATER])


@pytest.mark.parametrize(("count", "place"), [(6, AT_ONCE), (7, LATER)])
async def test_much_that_follows_from_one_message_is_written_later(
    bus: t2bus.Bus, count: int, place: int, mock_clock: trio.testing.MockClock
) -> None:
    """A CREDIT that lets more than 64 KiB of deliveries go, which takes long, holds nobody up."""
    async with open_tapped_peer(bus, m.Subscribe(1, "**", 10, WIDE)) as tap, open_tapped_peer(bus) as publisher:
        # They are of different topics, so that no run says many of them at once.
        numbers = range(1, 11 + count)
        publisher.say(*(m.Publish(each, True, m.Publication(f"x/{each}", bytes([each]) * 10_000)) for each in numbers))
        await tap.expect(m.Deliver, 10)
        await until(lambda: bus.statistics().deliveries_held == count)
        await start(tap)
        tap.say(m.Credit((1, 10, WIDE)))
        await tap.expect(m.Deliver, count)
        assert (tap.places, delivered(tap)) == ([place], list(numbers)[10:])


@pytest.mark.parametrize(("size", "is_later"), [(60_000, False), (900_000, True)])
async def test_a_publication_up_to_a_size_is_written_on_at_once(
    bus: t2bus.Bus, size: int, is_later: bool, mock_clock: trio.testing.MockClock
) -> None:
    """What comes alone goes on in the step in which its publisher is told; above 64 KiB the writer sees to it."""
    async with open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE)) as tap, open_tapped_peer(bus) as publisher:
        await start(tap, publisher)
        sending = memoryview(native.encode(publication(1, size)))
        while sending:
            with contextlib.suppress(BlockingIOError):
                sending = sending[publisher.far.send(sending) :]
            await trio.testing.wait_all_tasks_blocked()
        await publisher.expect(m.Accepted)
        await tap.expect(m.Deliver)
        assert delivered(tap) == [1]
        assert (tap.places[0] > publisher.places[0]) == is_later


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


async def test_what_does_not_fit_follows_in_order(bus: t2bus.Bus, mock_clock: trio.testing.MockClock) -> None:
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
        await until(lambda: bus.statistics().buffered_bytes == 0)
        await start(tap)
        publisher.say(publication(61))
        await tap.expect(m.Deliver)
        assert (delivered(tap), tap.places) == ([61], [AT_ONCE])
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


async def test_nothing_is_written_to_who_is_finished_with(folder: Path) -> None:
    """A connection that loses a permission it uses is told why, and gets nothing that comes alone afterwards."""
    rules = folder / "access.toml"
    rules.write_text('[everyone]\nsubscribe = ["**"]\npublish = ["**"]\n')
    async with (
        t2bus.open_bus(f"unix:{folder}/bus", access=rules) as bus,
        open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE)) as tap,
        open_tapped_peer(bus) as publisher,
    ):
        rules.write_text('[everyone]\npublish = ["**"]\n')
        bus.reload()
        publisher.say(publication(1))
        await publisher.expect(m.Accepted)
        await until(lambda: bus.statistics().connections == 1)
        assert kinds(tap.messages) == ["Error"]


async def test_a_receiver_that_has_gone_costs_nothing(bus: t2bus.Bus, mock_clock: trio.testing.MockClock) -> None:
    """For a subscriber whose socket is closed neither the publisher nor another subscriber waits for any time."""
    async with open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE)) as tap, open_tapped_peer(bus) as publisher:
        async with open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE)) as gone:
            gone.far.close()
            publisher.say(publication(1))
            await publisher.expect(m.Accepted)
            await tap.expect(m.Deliver)
        assert delivered(tap) == [1]
        await until(lambda: bus.statistics().connections == 2)


async def test_a_message_against_the_rules_stops_nobody(bus: t2bus.Bus, mock_clock: trio.testing.MockClock) -> None:
    """When what came alone breaks the rules, its sender is told why, and what comes next is written on at once."""
    async with open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE)) as tap, open_tapped_peer(bus) as publisher:
        async with open_tapped_peer(bus) as bad:
            bad.say(HELLO)
            await bad.expect(m.Error)
        await start(tap)
        publisher.say(publication(1))
        await tap.expect(m.Deliver)
        assert tap.places == [AT_ONCE]


@pytest.mark.parametrize(("payload", "place"), [(b"plain", AT_ONCE), (deflate(b"x" * 10_000), LATER)])
async def test_what_has_to_be_inflated_is_written_later(
    bus: t2bus.Bus, payload: Payload, place: int, mock_clock: trio.testing.MockClock
) -> None:
    """To a peer that reads nothing compressed such a payload is not written at once, since that may take long."""
    hello = m.Hello(1, "a test", ())
    async with (
        open_tapped_peer(bus, m.Subscribe(1, "x", 10, WIDE), hello=hello) as tap,
        open_tapped_peer(bus) as publisher,
    ):
        await start(tap)
        publisher.say(m.Publish(1, False, m.Publication("x", payload)))
        await tap.expect(m.Deliver)
        assert tap.places == [place]


# --- a client


async def request(client: t2bus.Client) -> None:
    await client.request_bytes("x", b"q")


async def test_a_client_says_at_once_what_it_says_alone() -> None:
    """A call that is the only one is on the wire before any other task runs."""
    async with open_tapped_client() as (client, tap):
        for call, kind in ((client.publish_bytes, "Publish"), (client.request_bytes, "Ask")):
            tap.steps.clear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call, "x", b"payload", name=CALLER)
                await trio.testing.wait_all_tasks_blocked()
                first = next(step for step in tap.steps if step.is_of_caller)
                assert kinds(first.messages) == [kind]
                assert tap.writes == [first]
                assert client.statistics().outbox_bytes == 0
                nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["unix", "tcp4"])
async def test_a_client_of_an_address_says_it_at_once(kind: str, folder: Path) -> None:
    """Whatever kind of socket an address leads to, a call that is the only one has nothing left to be written."""
    async with open_site(kind, folder) as site, site.connect() as client, trio.open_nursery() as nursery:
        steps: list[int] = []

        @define(eq=False)
        class AfterTheCall(trio.abc.Instrument):
            def after_task_step(self, task: trio.lowlevel.Task) -> None:
                if task.name == CALLER:
                    steps.append(client.statistics().outbox_bytes)

        instrument = AfterTheCall()
        trio.lowlevel.add_instrument(instrument)
        nursery.start_soon(client.publish_bytes, "x", b"payload", name=CALLER)
        await trio.testing.wait_all_tasks_blocked(0.01)
        trio.lowlevel.remove_instrument(instrument)
        assert steps
        assert set(steps) == {0}


async def test_a_client_gathers_what_it_says_together() -> None:
    """Of many calls at once the first goes at once, and the others with one write."""
    async with open_tapped_client() as (client, tap), trio.open_nursery() as nursery:
        for _ in range(64):
            nursery.start_soon(request, client, name=CALLER)
        await trio.testing.wait_all_tasks_blocked()
        assert [len(step.messages) for step in tap.writes] == [1, 63]
        assert [step.is_of_caller for step in tap.writes] == [True, False]
        nursery.cancel_scope.cancel()


async def test_the_rest_of_a_large_message_goes_first() -> None:
    """What does not fit in the socket is sent before anything else, and then counts no more."""
    async with open_tapped_client(SMALL) as (client, tap), trio.open_nursery() as nursery:
        tap.is_open = False
        nursery.start_soon(client.publish_bytes, "x", bytes(1_000_000))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(request, client)
        await trio.testing.wait_all_tasks_blocked()
        assert client.statistics().outbox_bytes > 1_000_000
        tap.is_open = True
        await tap.expect(m.Ask)
        assert kinds(tap.messages) == ["Publish", "Ask"]
        await until(lambda: client.statistics().outbox_bytes == 0)
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
        assert [(step.is_of_caller, len(step.messages)) for step in tap.writes] == [(True, 64)]


async def test_the_last_answer_is_not_delayed(mock_clock: trio.testing.MockClock) -> None:
    """Answers given one after the other are gathered while there is more to answer, and no time passes for the last."""
    async with open_tapped_client() as (client, tap), open_service(tap, client, 20) as requests:
        for each in requests:
            await each.respond(b"a")
        await trio.testing.wait_all_tasks_blocked()
        assert tap.messages == [m.Respond(number, b"a") for number in range(20)]
        assert len(tap.writes) <= 11


async def test_an_answer_does_not_wait_for_others(mock_clock: trio.testing.MockClock) -> None:
    """An answer goes out without any time passing, though the service never gives the others."""
    async with open_tapped_client() as (client, tap), open_service(tap, client, 3) as requests:
        await requests[1].respond(b"a")
        await trio.testing.wait_all_tasks_blocked()
        assert [step.messages for step in tap.writes] == [[m.Respond(1, b"a")]]


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
        await trio.testing.wait_all_tasks_blocked()
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


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_large_payloads_pass_both_ways_through_small_sockets(kind: str) -> None:
    """Requests and answers of any size come whole, alone and many at once, though no socket takes one at once."""
    payloads = [bytes([number]) * size for number, size in enumerate((1, 5_000, 60_000, 70_000, 300_000))]
    async with (
        t2bus.open_bus() as bus,
        open_joined(bus, stream_pair(kind, SMALL)) as one,
        open_joined(bus, stream_pair(kind, SMALL)) as other,
    ):

        async def ask(payload: bytes) -> None:
            assert await one.request_bytes("x", payload) == payload

        async def serve() -> None:
            async with other.serve_bytes("x") as requests, trio.open_nursery() as handlers:
                async for each in requests:
                    handlers.start_soon(each.respond, each.body)

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve)
                await until(lambda: bus.statistics().services == 1)
                for payload in payloads:
                    await ask(payload)
                async with trio.open_nursery() as requesters:
                    for payload in payloads * 3:
                        requesters.start_soon(ask, payload)
                nursery.cancel_scope.cancel()
