"""A client in the hands of another Trio run, in another thread: it is refused there, and its own run goes on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import frozen

import t2bus
from bus_helpers import Add, Note, add, open_bystanders
from t2bus.testing import memory_bus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

REFUSAL = r"belongs to another Trio run, .* trio\.from_thread\.run\(client\.publish, \.\.\., trio_token=token\)"


@frozen
class Opened:
    """What a program has open."""

    bus: t2bus.Bus
    client: t2bus.Client
    subscription: t2bus.Subscription[bytes]
    requests: t2bus.Requests[bytes, bytes]
    publisher: t2bus.Publisher[bytes]
    request: t2bus.Request[bytes, bytes]


async def enter(manager: AbstractAsyncContextManager[object]) -> None:
    async with manager:
        pass


CALLS: dict[str, Callable[[Opened], Awaitable[object]]] = {
    "publish": lambda it: it.client.publish("x", Note("")),
    "publish_bytes": lambda it: it.client.publish_bytes("x", b""),
    "request": lambda it: it.client.request("x", Add(1, 2)),
    "request_bytes": lambda it: it.client.request_bytes("x", b""),
    "subscribe": lambda it: enter(it.client.subscribe(Note, "x")),
    "subscribe_with": lambda it: it.client.subscribe_with(Note, "x", add),  # type: ignore[arg-type]
    "serve": lambda it: enter(it.client.serve(Add, "x")),
    "serve_with": lambda it: it.client.serve_with(Add, "x", add),
    "open_publisher": lambda it: enter(it.client.open_publisher(Note, "x")),
    "drain": lambda it: it.client.drain(),
    "aclose": lambda it: it.client.aclose(),
    "states": lambda it: states(it.client),
    "receive": lambda it: it.subscription.receive(),
    "receive_batch": lambda it: it.subscription.receive_batch(),
    "close a subscription": lambda it: it.subscription.aclose(),
    "receive a request": lambda it: it.requests.receive(),
    "close a service": lambda it: it.requests.aclose(),
    "send": lambda it: it.publisher.send(b""),
    "send_batch": lambda it: it.publisher.send_batch([b""]),
    "flush": lambda it: it.publisher.flush(),
    "close a publisher": lambda it: it.publisher.aclose(),
    "respond": lambda it: it.request.respond(b""),
    "fail": lambda it: it.request.fail("no"),
    "open_client": lambda it: enter(it.bus.open_client()),
}


async def states(client: t2bus.Client) -> None:
    async for _ in client.states():
        pass


@pytest.mark.parametrize("name", CALLS)
async def test_another_run_is_refused(name: str) -> None:
    """Each call of another run raises RuntimeError that says what to do, at once, and the run of the client goes on."""

    async def call(opened: Opened) -> None:
        with trio.fail_after(5), pytest.raises(RuntimeError, match=REFUSAL):
            await CALLS[name](opened)

    async with (
        memory_bus() as bus,
        open_bystanders(bus.open_client),
        bus.open_client() as client,
        client.subscribe_bytes("quiet") as subscription,
        client.serve_bytes("service") as requests,
        client.open_bytes_publisher("z") as publisher,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(client.request_bytes, "service", b"")
        request = await requests.receive()
        opened = Opened(bus, client, subscription, requests, publisher, request)
        await trio.to_thread.run_sync(partial(trio.run, call, opened))
        # Nothing of it has had effect: all that was open still works.
        await request.respond(b"")
        await publisher.send(b"")
        await publisher.flush()
        await client.publish_bytes("quiet", b"1")
        assert await subscription.receive() == ("quiet", b"1")


async def test_a_thread_may_call_through_trio() -> None:
    """A thread that runs no Trio calls the client by ``trio.from_thread``."""
    async with memory_bus() as bus, bus.open_client() as client:
        call = partial(trio.from_thread.run, client.publish_bytes, "x", b"")
        assert await trio.to_thread.run_sync(call) == 0
