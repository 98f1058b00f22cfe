"""Cancelling a client's call at any moment leaves nothing behind; every call is a checkpoint."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from attrs import frozen

import t2bus
from bus_helpers import Add, Count, Note, Site, Sum, add, is_cancelled_at, open_site, registered

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

pytestmark = pytest.mark.parametrize("kind", ["memory", "tcp4"])


@frozen
class World:
    """A client to try, and another that subscribes to ``note/x`` and serves ``add/x``."""

    site: Site
    client: t2bus.Client
    other: t2bus.Client
    notes: t2bus.Subscription[Note]


@pytest.fixture
async def world(kind: str, folder: Path) -> AsyncGenerator[World, None]:
    async with (
        open_site(kind, folder) as site,
        site.connect() as client,
        site.connect() as other,
        other.subscribe(Note, "x") as notes,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(other.serve_with, Add, "x", add)
        yield World(site, client, other, notes)
        nursery.cancel_scope.cancel()


async def publish(world: World) -> None:
    await world.client.publish("x", Note("hello"), headers={"k": "v"})


async def publish_much(world: World) -> None:
    await world.client.publish_bytes("y", bytes(1_000_000))


async def request(world: World) -> None:
    assert await world.client.request("x", Add(1, 2)) == Sum(3)


async def request_received(world: World) -> None:
    assert (await world.client.request_received("x", Add(1, 2))).body == Sum(3)


async def request_bytes(world: World) -> None:
    with pytest.raises(t2bus.ServiceNotFound):
        await world.client.request_bytes("nobody", b"")


async def subscribe(world: World) -> None:
    async with world.client.subscribe(Note, "x"), world.client.subscribe_bytes("**"):
        pass


async def subscribe_and_receive(world: World) -> None:
    async with world.client.subscribe(Note, "x") as messages:
        await world.other.publish("x", Note("hello"))
        await messages.receive()


async def subscribe_into(world: World) -> None:
    send_channel, receive_channel = trio.open_memory_channel[Any](0)
    async with world.client.subscribe_into(Note, "x", send_channel):
        await world.other.publish("x", Note("hello"))
        await receive_channel.receive()


async def subscribe_with(world: World) -> None:
    send_channel, receive_channel = trio.open_memory_channel[Any](0)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.client.subscribe_with, Note, "x", send_channel.send)
        await world.other.publish("x", Note("hello"))
        await receive_channel.receive()
        nursery.cancel_scope.cancel()


async def subscribe_to_the_newest(world: World) -> None:
    async with world.client.subscribe(Note, "x", latest=True) as messages:
        for text in ("one", "two"):
            await world.other.publish("x", Note(text))
        await anext(messages.items())


async def serve(world: World) -> None:
    async with world.client.serve(Add, "y"), world.client.serve_bytes("z"):
        pass


async def serve_and_answer(world: World) -> None:
    async with world.client.serve(Add, "y") as requests, trio.open_nursery() as nursery:
        nursery.start_soon(world.other.request, "y", Add(1, 2))
        await (await requests.receive()).respond(Sum(3))


async def serve_and_fail(world: World) -> None:
    async def ask() -> None:
        with pytest.raises(t2bus.RemoteError):
            await world.other.request("y", Add(1, 2))

    async with world.client.serve(Add, "y") as requests, trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await (await requests.receive()).fail("no")


async def serve_with(world: World) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(world.client.serve_with, Add, "y", add)
        assert await world.other.request("y", Add(1, 2)) == Sum(3)
        nursery.cancel_scope.cancel()


async def serve_with_and_finish(world: World) -> None:
    async def answer(request: t2bus.Request[Add, Any]) -> None:
        await request.respond(await add(request.body), headers={"k": "v"})

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(world.client.serve_with, Add, "y", answer, whole=True, finish=True))
        assert await world.other.request("y", Add(1, 2)) == Sum(3)
        nursery.cancel_scope.cancel()


async def refused_claim(world: World) -> None:
    with pytest.raises(t2bus.TopicClaimed):
        async with world.client.serve(Add, "x"):
            pass


async def publisher(world: World) -> None:
    async with world.client.open_publisher(Note, "x") as publisher:
        await publisher.send(Note("one"))
        await publisher.send(Note("two"), headers={"k": "v"})
        await publisher.flush()
        await publisher.send(Note("three"))


async def bytes_publisher(world: World) -> None:
    async with world.client.open_bytes_publisher("y", paced=False) as publisher:
        await publisher.send(b"")


async def batches(world: World) -> None:
    async with world.client.subscribe(Note, "y") as messages, world.client.open_publisher(Note, "y") as publisher:
        await publisher.send_batch([Note("one"), Note("two")])
        await publisher.send_batch([Note("three")], headers={"k": "v"})
        taken = len(await messages.receive_batch(1))
        while taken < 3:
            taken += len(await messages.receive_batch())


async def serve_batches(world: World) -> None:
    async with world.client.serve(Add, "y") as requests, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(world.other.request, "y", Add(1, 2))
        left = 2
        while left:
            batch = await requests.receive_batch()
            await requests.respond_batch([(request, Sum(3)) for request in batch])
            left -= len(batch)


async def open_client(world: World) -> None:
    async with world.site.connect() as client:
        await client.publish("y", Note(""))
        await client.aclose()


CALLS: list[Callable[[World], Awaitable[None]]] = [
    publish,
    publish_much,
    request,
    request_received,
    request_bytes,
    subscribe,
    subscribe_and_receive,
    subscribe_into,
    subscribe_with,
    subscribe_to_the_newest,
    serve,
    serve_and_answer,
    serve_and_fail,
    serve_with,
    serve_with_and_finish,
    refused_claim,
    publisher,
    bytes_publisher,
    batches,
    serve_batches,
    open_client,
]


async def drain(notes: t2bus.Subscription[Note], client: t2bus.Client) -> None:
    while client.statistics().messages_waiting:
        await notes.receive()


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_promise_09_a_call_can_be_cancelled_anywhere(
    world: World, call: Callable[[World], Awaitable[None]]
) -> None:
    """Cancelled at whatever moment, a call leaves nothing registered, and the client works."""
    before = registered(world.site.bus, world.client, world.other)
    step = 1
    while await is_cancelled_at(step, lambda: call(world)):
        await trio.testing.wait_all_tasks_blocked()
        await drain(world.notes, world.other)
        assert registered(world.site.bus, world.client, world.other) == before, f"cancelled at {step}"
        step += 1
    assert step > 1
    with trio.fail_after(5):
        await trio.testing.wait_all_tasks_blocked()
        await drain(world.notes, world.other)
        assert await world.client.publish("x", Note("after")) == 1
        assert (await world.notes.receive()).body == Note("after")
        assert await world.client.request("x", Add(1, 2)) == Sum(3)


async def test_promise_09_a_cancelled_receive_loses_nothing(world: World) -> None:
    """Whenever receiving is cancelled, with a message there or on its way, the message is received later."""
    received: list[int] = []

    async def receive() -> None:
        received.append((await messages.receive()).body.number)

    async def publish_and_receive() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(world.other.publish, "x", Count(published))

    async with world.client.subscribe(Count, "x") as messages:
        published = 0
        for call in (receive, publish_and_receive):
            step = 1
            cancelled = True
            while cancelled:
                if call is receive:
                    await world.other.publish("x", Count(published))
                    await trio.testing.wait_all_tasks_blocked()
                cancelled = await is_cancelled_at(step, call)
                await trio.testing.wait_all_tasks_blocked()
                if world.client.statistics().messages_waiting:
                    await receive()
                step += 1
                published += 1
    assert received == sorted(received)
    assert world.site.bus.statistics().dropped == 0
    assert len(received) == world.client.statistics().received


async def test_promise_09_a_cancelled_batch_is_sent_or_not_begun(world: World) -> None:
    """Whenever sending a batch is cancelled, all of it arrives or nothing does; whoever takes batches loses nothing."""
    received: list[int] = []
    sent = 0

    async def send() -> None:
        await publisher.send_batch([Count(3 * step), Count(3 * step + 1), Count(3 * step + 2)])
        nonlocal sent
        sent += 1

    async def receive() -> None:
        received.extend(received.body.number for received in await messages.receive_batch())

    async with world.client.subscribe(Count, "x") as messages, world.other.open_publisher(Count, "x") as publisher:
        step, cancelled = 1, True
        while cancelled:
            cancelled = await is_cancelled_at(step, send)
            await publisher.flush()
            await trio.testing.wait_all_tasks_blocked()
            while world.client.statistics().messages_waiting:
                await is_cancelled_at(step, receive)
            step += 1
    assert received == sorted(set(received))
    assert all(3 * (number // 3) + place in received for number in received for place in range(3))
    assert len(received) == 3 * sent == world.client.statistics().received


async def test_promise_09_a_cancelled_receive_of_a_request_loses_nothing(world: World) -> None:
    """Whenever receiving a request is cancelled, the request is received later and can be answered."""
    async with world.client.serve(Add, "y") as requests, trio.open_nursery() as nursery:
        taken: list[t2bus.Request[Add, Sum]] = []

        async def receive() -> None:
            taken.append(await requests.receive())

        step = 1
        cancelled = True
        while cancelled:
            nursery.start_soon(world.other.request, "y", Add(1, 2))
            if step % 2:
                await trio.testing.wait_all_tasks_blocked()
            cancelled = await is_cancelled_at(step, receive)
            if not taken:
                await receive()
            await taken.pop().respond(Sum(3))
            step += 1


async def test_promise_09_a_cancelled_response_can_be_given_again(world: World) -> None:
    """Answering that is cancelled has either answered or not begun: the requester gets one answer, whatever happens."""
    answers: list[Sum] = []

    async def ask() -> None:
        answers.append(await world.other.request("y", Add(1, 2)))

    async with world.client.serve(Add, "y") as requests, trio.open_nursery() as nursery:
        step = 1
        cancelled = True
        while cancelled:
            nursery.start_soon(ask)
            request = await requests.receive()
            cancelled = await is_cancelled_at(step, lambda: request.respond(Sum(3)))  # noqa: B023 -- called at once
            if cancelled:
                with contextlib.suppress(trio.ClosedResourceError):  # it came so late that the answer is given
                    await request.respond(Sum(3))
            step += 1
    assert answers == [Sum(3)] * (step - 1)


async def test_promise_09_nothing_is_sent_in_a_cancelled_scope(world: World) -> None:
    """A call that is cancelled before it begins sends nothing."""
    async with world.client.open_publisher(Note, "x") as publisher:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: world.client.publish("x", Note("")),
            lambda: world.client.request("x", Add(1, 2)),
            lambda: publisher.send(Note("")),
            lambda: publisher.send_batch([Note(""), Note("")]),
        ]
        for call in calls:
            with trio.CancelScope() as scope:
                scope.cancel()
                await call()
            assert scope.cancelled_caught
    assert world.client.statistics().published == world.client.statistics().requested == 0


async def test_promise_09_cancellation_is_not_wrapped(world: World) -> None:
    """Who is cancelled inside a client, a subscription or a service meets ``trio.Cancelled`` as it is."""
    send_channel, _ = trio.open_memory_channel[Any](0)
    contexts: list[AbstractAsyncContextManager[object]] = [
        world.site.connect(),
        world.client.subscribe(Note, "y"),
        world.client.subscribe_into(Note, "y", send_channel),
        world.client.serve(Add, "y"),
        world.client.open_publisher(Note, "y"),
    ]
    for context in contexts:
        caught: BaseException | None = None
        with trio.CancelScope() as scope:
            try:
                async with context:
                    scope.cancel()
            except BaseException as error:
                caught = error
                raise
        assert isinstance(caught, trio.Cancelled)


async def test_promise_09_every_call_is_a_checkpoint(world: World) -> None:
    """Every call gives other tasks their turn and can be cancelled, though it need not wait."""
    client = world.client
    async with world.client.open_publisher(Note, "x") as publisher, world.client.serve(Add, "w") as requests:
        await world.other.publish("x", Note("ready"))
        await trio.testing.wait_all_tasks_blocked()
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: client.publish("x", Note("")),
            lambda: client.publish_bytes("x", b""),
            lambda: client.request("x", Add(1, 2)),
            lambda: client.request_received("x", Add(1, 2)),
            lambda: publisher.send(Note("")),
            lambda: publisher.send_batch([Note("")]),
            publisher.flush,
            publisher.aclose,
            publisher.aclose,
            world.notes.receive,
            world.notes.receive_batch,
            *[lambda call=call: call(world) for call in (subscribe, serve, subscribe_into, open_client)],
            requests.aclose,
            requests.aclose,
            world.notes.aclose,
            world.notes.aclose,
        ]
        for call in calls:
            with trio.testing.assert_checkpoints():
                await call()


async def test_promise_09_serving_is_a_checkpoint(world: World) -> None:
    """Taking and answering requests gives other tasks their turn and can be cancelled, though it need not wait."""
    async with world.client.serve(Add, "y") as requests, trio.open_nursery() as nursery:
        for answer in ("respond", "fail"):
            nursery.start_soon(ask_whatever_comes, world.other)
            await trio.testing.wait_all_tasks_blocked()
            with trio.testing.assert_checkpoints():
                request = await requests.receive()
            with trio.testing.assert_checkpoints():
                await (request.respond(Sum(3)) if answer == "respond" else request.fail("no"))


async def ask_whatever_comes(client: t2bus.Client) -> None:
    try:
        await client.request("y", Add(1, 2))
    except t2bus.RemoteError:
        return
