"""Cancelling a client's call at any moment leaves nothing behind; every call is a checkpoint."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Count, Note, Sum, is_cancelled_at
from cancellation_helpers import (
    CALLS,
    NEAR_KINDS,
    TRIED,
    cancel_everywhere,
    open_client,
    open_world,
    serve,
    subscribe,
    subscribe_into,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from cancellation_helpers import Call, World

each_kind = pytest.mark.parametrize("kind", NEAR_KINDS)

PUBLIC: Final = (t2bus.Client, t2bus.Publisher, t2bus.Request, t2bus.Requests, t2bus.Subscription)

AT_ONCE: Final = {
    "Client.statistics",
    "Request.cancelled_when_withdrawn",
    "Request.check_answerable",
    "Request.encode",
    "Request.give_up",
    "Request.is_of",
    "Request.put",
    "Requests.receive_nowait",
    "Subscription.receive_nowait",
}
"""Calls that never wait, so that nothing can cancel them."""


def test_every_call_is_tried() -> None:
    """The table of calls to cancel has every call that programs can make of a client and of what it opens."""
    names = {
        f"{cls.__name__}.{name}"
        for cls in PUBLIC
        for name in type.__dir__(cls)  # those of the house too
        if not name.startswith("_") and callable(getattr(cls, name))
    }
    assert names - AT_ONCE == TRIED


@pytest.fixture
async def world(kind: str, folder: Path) -> AsyncGenerator[World, None]:
    async with open_world(kind, folder) as world:
        yield world


@each_kind
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_promise_09_a_call_can_be_cancelled_anywhere(world: World, call: Call) -> None:
    """Cancelled at whatever moment, a call leaves nothing registered and loses nothing, and the client works."""
    await cancel_everywhere(world, call)


@each_kind
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


@each_kind
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


@each_kind
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


@each_kind
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


@each_kind
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


@each_kind
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


@each_kind
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


@each_kind
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
