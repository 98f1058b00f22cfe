"""Draining: nothing new is begun, what was begun is finished, and then it is closed, all within ``Limits.drain``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Note, Sum, add, expect
from t2bus.testing import memory_bus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Clock = trio.testing.MockClock

DRAIN = t2bus.Limits().drain


# --- a client


async def test_promise_12_a_draining_client_takes_what_has_arrived(autojump_clock: Clock) -> None:
    """The loop of a subscriber gets everything that was published before, and is over then."""
    taken: list[str] = []
    async with memory_bus() as bus, bus.open_client() as other, bus.open_client() as client:
        async with client.subscribe(Note, "") as notes, trio.open_nursery() as nursery:
            for text in "abc":
                await other.publish("", Note(text))

            async def take() -> None:
                async for note in notes:
                    await trio.sleep(1)
                    taken.append(note.body.text)

            nursery.start_soon(take)
            await client.drain()
            assert trio.current_time() < DRAIN
        assert taken == ["a", "b", "c"]
        assert client.state == "closed"


@pytest.mark.parametrize("how", ["receive", "items", "batches"])
async def test_each_way_to_receive_ends(autojump_clock: Clock, how: str) -> None:
    """Nothing of Trio's end of a channel reaches an iteration, and ``receive`` raises it."""
    async with (
        memory_bus() as bus,
        bus.open_client() as client,
        client.subscribe(Note, "") as notes,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(client.drain)
        await trio.testing.wait_all_tasks_blocked()
        match how:
            case "receive":
                await expect(trio.EndOfChannel, notes.receive)
            case "items":
                assert [item async for item in notes.items()] == []
            case _:
                assert [item async for item in notes.batches()] == []


async def test_a_subscriber_that_waits_is_woken(autojump_clock: Clock) -> None:
    """A receiver to which nothing comes any more is told so."""
    async with (
        memory_bus() as bus,
        bus.open_client() as client,
        client.subscribe(Note, "") as notes,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(expect, trio.EndOfChannel, notes.receive)
        await trio.testing.wait_all_tasks_blocked()
        await client.drain()
    assert trio.current_time() == 0


async def test_promise_12_a_draining_service_answers_what_it_has(autojump_clock: Clock) -> None:
    """New ones find nobody at once; its handler ends when it has answered."""
    begun = trio.Event()

    async def slow(request: Add) -> Sum:
        begun.set()
        await trio.sleep(2)
        return await add(request)

    answers: list[Sum] = []
    async with memory_bus() as bus, bus.open_client() as other, bus.open_client() as client:

        async def ask() -> None:
            answers.append(await other.request("", Add(1, 2)))

        async with trio.open_nursery() as nursery:
            await nursery.start(client.serve_with, Add, "", slow)
            nursery.start_soon(ask)
            await begun.wait()
            nursery.start_soon(client.drain)
            await trio.testing.wait_all_tasks_blocked()
            await expect(t2bus.ServiceNotFound, partial(other.request, "", Add(3, 4)))
        assert answers == [Sum(3)]
        assert trio.current_time() == 2


async def test_the_topic_is_free_while_a_service_finishes(autojump_clock: Clock) -> None:
    """Another may serve it at once, and both answer what is theirs."""
    async with (
        memory_bus() as bus,
        bus.open_client() as other,
        bus.open_client() as client,
        client.serve(Add, "") as old,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(other.request, "", Add(1, 2))
        request = await old.receive()
        nursery.start_soon(client.drain)
        await trio.testing.wait_all_tasks_blocked()
        async with other.serve(Add, "") as new:
            nursery.start_soon(bus_request, bus)
            await (await new.receive()).respond(Sum(7))
        await request.respond(Sum(3))
        await expect(trio.EndOfChannel, old.receive)


async def bus_request(bus: t2bus.Bus) -> None:
    async with bus.open_client() as client:
        assert await client.request("", Add(3, 4)) == Sum(7)


async def test_what_was_published_and_asked_is_answered(autojump_clock: Clock) -> None:
    """A client drains when all its calls have their answers."""
    async with (
        memory_bus() as bus,
        bus.open_client() as other,
        bus.open_client() as client,
        other.serve(Add, "") as requests,
        client.open_publisher(Note, "") as publisher,
    ):
        async with trio.open_nursery() as nursery:
            await publisher.send(Note("x"))
            nursery.start_soon(client.request, "", Add(1, 2))
            request = await requests.receive()
            nursery.start_soon(client.drain)
            await trio.sleep(1)
            assert client.state == "connected"
            await request.respond(Sum(3))
        await publisher.flush()
        assert trio.current_time() == 1


@pytest.mark.parametrize("call", ["publish", "request", "subscribe", "serve", "send"])
async def test_nothing_new_is_begun(autojump_clock: Clock, call: str) -> None:
    """Calls that are made while a client is drained raise ``ClosedResourceError``."""
    async with memory_bus() as bus, bus.open_client() as other, bus.open_client() as client:
        publisher = client.open_publisher(Note, "")

        async def enter(opened: object) -> None:
            async with opened:  # type: ignore[attr-defined]
                raise AssertionError

        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "publish": partial(client.publish, "", Note("x")),
            "request": partial(client.request, "", Add(1, 2)),
            "subscribe": partial(enter, client.subscribe(Note, "")),
            "serve": partial(enter, client.serve(Add, "")),
            "send": partial(publisher.send, Note("x")),
        }
        async with client.serve(Add, "held") as requests, trio.open_nursery() as nursery:
            nursery.start_soon(other.request, "held", Add(1, 2))
            request = await requests.receive()
            nursery.start_soon(client.drain)
            await trio.testing.wait_all_tasks_blocked()
            await expect(trio.ClosedResourceError, calls[call])
            await request.respond(Sum(3))


async def test_a_client_drains_for_no_longer_than_its_limit(autojump_clock: Clock) -> None:
    """A program that takes nothing, or answers nothing, is not waited for for ever; requesters are told."""
    async with (
        memory_bus() as bus,
        bus.open_client() as other,
        bus.open_client() as client,
        client.serve(Add, "") as requests,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(expect, t2bus.ServiceGone, partial(other.request, "", Add(1, 2)))
        await requests.receive()
        await client.drain()
        assert trio.current_time() == DRAIN
        assert client.state == "closed"


async def test_a_cancelled_drain_closes_at_once(autojump_clock: Clock) -> None:
    """The client is closed all the same."""
    async with memory_bus() as bus, bus.open_client() as client, client.subscribe(Note, "") as notes:
        await client.publish("", Note("x"))
        with trio.move_on_after(1) as scope:
            await client.drain()
        assert scope.cancelled_caught
        assert client.state == "closed"
        assert notes.receive_nowait().body == Note("x")


async def test_a_client_is_drained_once(autojump_clock: Clock) -> None:
    """Draining a closed client, or twice, is one checkpoint."""
    async with memory_bus() as bus, bus.open_client() as client:
        await client.drain()
        await client.drain()
        assert client.state == "closed"


async def test_the_loss_of_the_bus_ends_a_drain(autojump_clock: Clock) -> None:
    """Nothing can be finished any more."""
    async with memory_bus() as bus, bus.open_client() as client, client.serve(Add, "") as requests:
        async with bus.open_client() as other, trio.open_nursery() as nursery:
            nursery.start_soon(expect, t2bus.Disconnected, partial(other.request, "", Add(1, 2)))
            await requests.receive()
            nursery.start_soon(client.drain)
            await trio.testing.wait_all_tasks_blocked()
            await bus.aclose()
        assert client.state == "closed"


async def test_handlers_of_messages_end(autojump_clock: Clock) -> None:
    """``subscribe_with`` and ``subscribe_into`` come to their end when everything was handled."""
    handled: list[str] = []
    send_channel, receive_channel = trio.open_memory_channel[object](10)

    async def handle(note: Note) -> None:
        await trio.sleep(1)
        handled.append(note.text)

    async with memory_bus() as bus, bus.open_client() as client:
        async with client.subscribe_into(Note, "", send_channel), trio.open_nursery() as nursery:
            await nursery.start(client.subscribe_with, Note, "", handle)
            await client.publish("", Note("a"))
            await client.publish("", Note("b"))
            await client.drain()
        assert handled == ["a", "b"]
        assert receive_channel.statistics().current_buffer_used == 2


# --- a bus


async def test_promise_12_a_draining_bus_lets_requests_be_answered(autojump_clock: Clock) -> None:
    """It ends when nobody waits for an answer any more."""
    answers: list[Sum] = []
    async with memory_bus() as bus, bus.open_client() as other, bus.open_client() as client:
        async with client.serve(Add, "") as requests, trio.open_nursery() as nursery:

            async def ask() -> None:
                answers.append(await other.request("", Add(1, 2)))

            nursery.start_soon(ask)
            request = await requests.receive()
            nursery.start_soon(bus.drain)
            await trio.sleep(2)
            await request.respond(Sum(3))
        assert answers == [Sum(3)]
        assert trio.current_time() == 2


async def test_promise_12_a_draining_bus_delivers_what_is_held(autojump_clock: Clock) -> None:
    """Paced publications that wait for a slow subscriber come to it before the end."""
    texts = [str(number) for number in range(8)]
    taken: list[str] = []
    async with memory_bus() as bus, bus.open_client() as other, bus.open_client() as client:
        async with client.subscribe(Note, "", messages=2) as notes, other.open_publisher(Note, "") as publisher:
            for text in texts:
                await publisher.send(Note(text))
            await trio.sleep(0.05)

            async def take() -> None:
                async for note in notes:
                    await trio.sleep(0.1)
                    taken.append(note.body.text)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(bus.drain)
                await expect(t2bus.Disconnected, take)
        assert taken == texts
        assert publisher.accepted == len(texts)


async def test_a_bus_begins_nothing_new(autojump_clock: Clock) -> None:
    """What comes meanwhile is not carried out, and its caller gets ``Disconnected`` in the end."""
    async with (
        memory_bus() as bus,
        bus.open_client() as other,
        bus.open_client() as client,
        client.serve(Add, "") as requests,
        client.subscribe(Note, "") as notes,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(other.request, "", Add(1, 2))
        request = await requests.receive()
        nursery.start_soon(bus.drain)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(expect, t2bus.Disconnected, partial(other.publish, "", Note("late")))
        nursery.start_soon(expect, t2bus.Disconnected, partial(other.request, "", Add(3, 4)))
        await trio.sleep(1)
        with pytest.raises(trio.WouldBlock):
            notes.receive_nowait()
        with pytest.raises(trio.WouldBlock):
            requests.receive_nowait()
        await request.respond(Sum(3))


async def test_a_bus_lets_nobody_in(autojump_clock: Clock) -> None:
    """A newcomer is refused from the beginning."""
    async with (
        memory_bus() as bus,
        bus.open_client() as other,
        bus.open_client() as client,
        client.serve(Add, "") as requests,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(other.request, "", Add(1, 2))
        request = await requests.receive()
        nursery.start_soon(bus.drain)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.ClosedResourceError):
            async with bus.open_client():
                raise AssertionError
        await request.respond(Sum(3))


async def test_a_bus_drains_for_no_longer_than_its_limit(autojump_clock: Clock) -> None:
    """A service that does not answer ends with its bus."""
    async with (
        memory_bus() as bus,
        bus.open_client() as other,
        bus.open_client() as client,
        client.serve(Add, "") as requests,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(expect, t2bus.Disconnected, partial(other.request, "", Add(1, 2)))
        await requests.receive()
        await bus.drain()
        assert trio.current_time() == DRAIN


async def test_a_quiet_bus_drains_at_once(autojump_clock: Clock) -> None:
    """There is nothing to wait for, also the second time."""
    async with memory_bus() as bus:
        await bus.drain()
        await bus.drain()
        assert trio.current_time() == 0
