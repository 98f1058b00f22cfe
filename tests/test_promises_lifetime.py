"""The promises of t2bus on how connections and buses end, each with tests that bear its number."""

# ruff: noqa: PT012 -- what raises here is the end of a block, or one of several calls

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from attrs import frozen

import t2bus
from bus_helpers import (
    Add,
    Bystanders,
    Count,
    Note,
    RawPeer,
    Site,
    Sum,
    add,
    open_fake_bus,
    open_peer,
    settle,
    wait_until,
    welcome,
)
from t2bus.wire import messages as m
from t2bus.wire import native

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

ONE = t2bus.Limits(subscription_messages=1)


@frozen
class MortalBus:
    """A bus that can be ended from outside."""

    bus: t2bus.Bus
    client: t2bus.Client
    """A client of it, over TCP."""
    other: t2bus.Client
    _scope: trio.CancelScope

    async def kill(self) -> None:
        """Cancel the bus and wait until the client knows."""
        self._scope.cancel()
        with pytest.raises(t2bus.Disconnected):
            while True:
                await self.client.publish("y", Note(""))


@pytest.fixture
async def mortal() -> AsyncGenerator[MortalBus, None]:
    async def serve(scope: trio.CancelScope, *, task_status: trio.TaskStatus[t2bus.Bus]) -> None:
        with scope:
            await t2bus.serve("tcp:127.0.0.1:0", task_status=task_status)

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        bus: t2bus.Bus = await nursery.start(serve, scope)
        address = bus.addresses[0]
        async with t2bus.open_client(address) as client, t2bus.open_client(address, limits=ONE) as other:
            yield MortalBus(bus, client, other, scope)
        scope.cancel()


# --- 11: who is gone is found, from both ends


async def test_promise_11_the_bus_finds_a_silent_client(
    clock: trio.testing.MockClock, tcp: Site, bystanders: Bystanders, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that answers no ping is gone within 25 s, and with it what it had registered."""
    caplog.set_level(logging.INFO, "t2bus")
    async with open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        await peer.send(m.Subscribe(1, "x", 10, 1000), m.Claim(2, "raw", 10, 1000))
        start = trio.current_time()
        messages = await peer.read_to_end()
        assert m.Ping(0) in messages
        assert 15 < trio.current_time() - start < 25
    assert "Limits.silence" in caplog.text
    assert await bystanders.one.publish_bytes("x", b"") == 0
    with pytest.raises(t2bus.ServiceNotFound):
        await bystanders.one.request_bytes("raw", b"")


async def test_promise_11_requesters_of_a_silent_responder_know_within_25_s(
    clock: trio.testing.MockClock, tcp: Site, bystanders: Bystanders
) -> None:
    """A request to a responder that has silently gone ends when that is found."""
    async with open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        await peer.send(m.Claim(1, "raw", 10, 1000))
        await peer.expect(m.Accepted)
        with trio.fail_after(25), pytest.raises(t2bus.ServiceGone):
            await bystanders.one.request_bytes("raw", b"")


async def test_promise_11_a_client_finds_a_silent_bus(clock: trio.testing.MockClock) -> None:
    """A bus that says nothing after WELCOME is gone within 25 s, and every call ends."""

    async def fall_silent(peer: RawPeer[m.ClientMessage]) -> None:
        await welcome(peer)
        await trio.sleep_forever()

    async with open_fake_bus(fall_silent) as address, t2bus.open_client(address) as client:
        start = trio.current_time()
        with pytest.raises(t2bus.Disconnected, match=r"Limits\.silence"):
            await client.publish("x", Note(""))
        assert 15 < trio.current_time() - start < 25


async def test_promise_11_a_client_finds_a_bus_that_reads_nothing(clock: trio.testing.MockClock) -> None:
    """A bus that pings but reads nothing is given up when writing makes no progress, and says so."""

    async def ping(peer: RawPeer[m.ClientMessage]) -> None:
        await welcome(peer)
        while True:
            await peer.send(m.Ping(0))
            await trio.sleep(5)

    async with open_fake_bus(ping) as address, t2bus.open_client(address) as client:
        with trio.fail_after(25), pytest.raises(t2bus.Disconnected, match=r"Limits\.write_stall"):
            async with client.open_bytes_publisher("x") as publisher:
                while True:
                    await publisher.send(bytes(1_000_000))


async def test_promise_11_silence_alone_is_no_end(clock: trio.testing.MockClock, site: Site) -> None:
    """Two ends that have nothing to say keep their connection."""
    async with site.connect() as client, client.subscribe(Note, "x") as messages:
        await trio.sleep(100)
        assert await client.publish("x", Note("still here")) == 1
        assert (await messages.receive()).body == Note("still here")


@pytest.mark.parametrize("slow", ["bus", "client"])
async def test_promise_11_a_slow_frame_is_a_sign_of_life(clock: trio.testing.MockClock, slow: str) -> None:
    """A peer whose frame takes half a minute to arrive is heard all the while."""

    async def dawdle(peer: RawPeer[Any], data: bytes) -> None:
        for start in range(0, len(data), 10):
            await peer.send_bytes(data[start : start + 10])
            await trio.sleep(5)

    async def serve(peer: RawPeer[m.ClientMessage]) -> None:
        await welcome(peer)
        await peer.expect(m.Subscribe)
        await peer.send(m.Accepted(1, (0,)))
        await dawdle(peer, native.encode(m.Deliver((1,), m.Publication("x", bytes(60)))))
        await trio.sleep_forever()

    if slow == "bus":
        async with (
            open_fake_bus(serve) as address,
            t2bus.open_client(address) as client,
            client.subscribe_bytes("x") as messages,
        ):
            assert (await messages.receive()).body == bytes(60)
    else:
        async with (
            t2bus.open_bus("tcp:127.0.0.1:0") as bus,
            bus.open_client() as client,
            open_peer(bus) as peer,
            client.subscribe_bytes("x") as messages,
        ):
            await peer.shake_hands()
            await dawdle(peer, native.encode(m.Publish(1, False, m.Publication("x", bytes(60)))))
            assert (await messages.receive()).body == bytes(60)


async def pending_calls(world: MortalBus, nursery: trio.Nursery, ended: list[str]) -> int:
    """Start one call of each kind that waits; each notes its name when it ends with ``Disconnected``."""
    client = world.client

    async def subscription() -> None:
        async with client.subscribe(Note, "y") as messages:
            await messages.receive()

    async def service() -> None:
        async with client.serve(Add, "y") as requests:
            await requests.receive()

    async def publisher() -> None:
        async with client.open_publisher(Note, "x") as publisher:
            await publisher.send(Note("taken"))
            await publisher.send(Note("held"))

    async def request() -> None:
        await client.request("never", Add(1, 2))

    async def serve_with() -> None:
        await client.serve_with(Add, "z", add)

    async def end_with_disconnected(call: Callable[[], Awaitable[None]]) -> None:
        with pytest.raises(t2bus.Disconnected):
            await call()
        ended.append(call.__name__)

    calls = [subscription, service, publisher, request, serve_with]
    for call in calls:
        nursery.start_soon(end_with_disconnected, call)
    await settle()
    return len(calls)


async def test_promise_11_losing_the_bus_ends_every_pending_call(mortal: MortalBus) -> None:
    """When the bus is lost whatever waits raises ``Disconnected`` at once, and so does every later call."""
    ended: list[str] = []
    async with mortal.other.subscribe(Note, "x"), mortal.other.serve(Add, "never"), trio.open_nursery() as nursery:
        count = await pending_calls(mortal, nursery, ended)
        with trio.fail_after(0.5):
            await mortal.kill()
            await wait_until(lambda: len(ended) == count)
    client = mortal.client
    later: list[Callable[[], Awaitable[object]]] = [
        lambda: client.publish("x", Note("")),
        lambda: client.request("x", Add(1, 2)),
        client.subscribe(Note, "x").__aenter__,
        client.serve(Add, "x").__aenter__,
        lambda: client.open_publisher(Note, "x").send(Note("")),
    ]
    for call in later:
        with pytest.raises(t2bus.Disconnected):
            await call()
    assert (
        client.statistics().subscriptions == client.statistics().services == client.statistics().requests_pending == 0
    )


async def test_promise_11_what_had_arrived_can_still_be_received(mortal: MortalBus) -> None:
    """Losing the bus takes nothing away that had arrived: it is received first, then ``Disconnected``."""
    async with mortal.client.subscribe(Note, "x") as messages:
        await mortal.client.publish("x", Note("arrived"))
        await settle()
        await mortal.kill()
        assert (await messages.receive()).body == Note("arrived")
        for _ in range(2):
            with pytest.raises(t2bus.Disconnected):
                await messages.receive()


async def test_promise_11_a_lost_bus_is_the_last_item_of_a_channel(mortal: MortalBus) -> None:
    """``subscribe_into`` sends the loss of the bus as ``Disconnected``, and its body goes on."""
    send_channel, receive_channel = trio.open_memory_channel[Any](0)
    async with mortal.client.subscribe_into(Note, "x", send_channel):
        await mortal.kill()
        assert isinstance(await receive_channel.receive(), t2bus.Disconnected)
        await settle()


# --- 12: shutdown


async def test_promise_12_shutdown_says_goodbye(tcp: Site) -> None:
    """The clients of a bus that shuts down are told, and it is gone when it has told them."""
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def serve(*, task_status: trio.TaskStatus[tuple[t2bus.Bus, trio.Event]]) -> None:
            stop = trio.Event()
            async with t2bus.open_bus("tcp:127.0.0.1:0") as bus:
                task_status.started((bus, stop))
                await stop.wait()

        bus, stop = await nursery.start(serve)
        async with t2bus.open_client(bus.addresses[0]) as client, client.subscribe(Note, "x") as messages:
            stop.set()
            with pytest.raises(t2bus.Disconnected, match="goodbye: the bus is shutting down"):
                await messages.receive()
        assert not scope.cancelled_caught


async def run_until(stop: trio.Event, scope: trio.CancelScope, *, task_status: trio.TaskStatus[t2bus.Bus]) -> None:
    """Run a bus with a listener until told to stop."""
    limits = t2bus.Limits(subscription_bytes=1 << 30)
    with scope:
        async with t2bus.open_bus("tcp:127.0.0.1:0", limits=limits) as bus:
            task_status.started(bus)
            await stop.wait()


@frozen
class Closing:
    """A bus that has megabytes for a peer that has not read them yet, about to shut down."""

    bus: t2bus.Bus
    peer: RawPeer[m.ServerMessage]
    stop: trio.Event
    scope: trio.CancelScope
    ended: trio.Event


COUNT = 50


@asynccontextmanager
async def open_closing() -> AsyncGenerator[Closing, None]:
    stop, ended, scope = trio.Event(), trio.Event(), trio.CancelScope()

    async def run(*, task_status: trio.TaskStatus[t2bus.Bus]) -> None:
        await run_until(stop, scope, task_status=task_status)
        ended.set()

    async with trio.open_nursery() as nursery:
        bus: t2bus.Bus = await nursery.start(run)
        async with open_peer(bus) as peer:
            await peer.shake_hands()
            await peer.send(m.Subscribe(1, "x", 1000, 1 << 30))
            await peer.expect(m.Accepted)
            async with bus.open_client() as client:
                for number in range(COUNT):
                    assert await client.publish_bytes("x", number.to_bytes(300_000, "big")) == 1
            yield Closing(bus, peer, stop, scope, ended)
        stop.set()


async def test_promise_12_shutdown_writes_all_that_was_accepted(clock: trio.testing.MockClock) -> None:
    """Everything that was accepted for a peer that reads arrives before the goodbye, though the peer talks on."""
    async with open_closing() as closing:
        closing.stop.set()
        received: list[m.ServerMessage] = []
        while not received or not isinstance(received[-1], m.Goodbye):
            await closing.peer.send(*[m.Ping(number) for number in range(100)])
            received += await closing.peer.receive()
        assert not closing.ended.is_set()
    deliveries = [message for message in received if isinstance(message, m.Deliver)]
    assert [int.from_bytes(each.publication.payload, "big") for each in deliveries] == list(range(COUNT))  # type: ignore[arg-type]


async def test_promise_12_shutdown_takes_at_most_5_s(clock: trio.testing.MockClock) -> None:
    """A peer that does not read holds a shutdown up for 5 s and no more; nobody is let in meanwhile."""
    async with open_closing() as closing:
        start = trio.current_time()
        closing.stop.set()
        await trio.sleep(1)
        with pytest.raises(t2bus.ConnectFailed):
            async with t2bus.open_client(closing.bus.addresses[0]):
                pass
        with pytest.raises(trio.ClosedResourceError):
            async with closing.bus.open_client():
                pass
        await closing.ended.wait()
        assert 4.9 <= trio.current_time() - start <= 5.1


async def test_promise_12_a_second_signal_is_at_once(clock: trio.testing.MockClock) -> None:
    """Cancelled while it drains, a bus closes without waiting."""
    async with open_closing() as closing:
        start = trio.current_time()
        closing.stop.set()
        await trio.sleep(1)
        closing.scope.cancel()
        await closing.ended.wait()
        assert trio.current_time() - start < 1.1


async def test_promise_12_silent_peers_do_not_hold_a_shutdown_up(clock: trio.testing.MockClock) -> None:
    """A peer that has not said HELLO is closed at once, and one that keeps quiet after it a moment later."""
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus, open_peer(bus) as silent, open_peer(bus) as quiet:
        await quiet.shake_hands()
        await settle()
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bus.aclose)
            assert await silent.read_to_end() == []
            assert trio.current_time() - start < 0.1
        assert trio.current_time() - start < 1.2


async def test_promise_12_who_came_at_the_last_moment_is_told() -> None:
    """A connection that came in just before the bus stopped accepting is turned away with the reason."""
    async with t2bus.open_bus() as bus:
        near, far = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(bus.serve_stream, far, identity="late"))
            await trio.testing.wait_all_tasks_blocked()
            bus.stop_accepting()
            with pytest.raises(t2bus.ConnectFailed, match="the bus is shutting down"):
                async with t2bus.open_client(near):
                    pass


async def test_promise_12_all_tasks_have_ended(clock: trio.testing.MockClock) -> None:
    """When ``open_bus`` has returned, none of its tasks is left."""
    before = trio.lowlevel.current_statistics().tasks_living
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus, open_peer(bus) as peer, open_peer(bus):
        await peer.shake_hands()
        async with t2bus.open_client(bus.addresses[0]), bus.open_client():
            assert trio.lowlevel.current_statistics().tasks_living > before
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_promise_12_a_client_that_leaves_is_heard_out(clock: trio.testing.MockClock) -> None:
    """What a client sent before it left arrives, though it has not read all that was sent to it."""
    answers: list[bytes] = []

    async def ask() -> None:
        answers.append(await client.request_bytes("raw", b""))

    async with (
        t2bus.open_bus("tcp:127.0.0.1:0") as bus,
        bus.open_client() as client,
        trio.open_nursery() as nursery,
        t2bus.open_client(bus.addresses[0]) as server,
        server.subscribe_bytes("flood"),
        server.serve_bytes("raw") as requests,
    ):
        nursery.start_soon(ask)
        request = await requests.receive()
        for _ in range(8):
            await client.publish_bytes("flood", bytes(900_000))
        await request.respond(b"r" * 1_000_000)
    assert answers == [b"r" * 1_000_000]


# --- 14: exceptions of bodies


@asynccontextmanager
async def several(world: MortalBus) -> AsyncGenerator[None, None]:
    """Hold everything open at once, with publications on their way."""
    async with (
        world.other.subscribe(Count, "x"),
        world.client.subscribe(Note, "x"),
        world.client.serve(Add, "x"),
        world.client.open_publisher(Count, "x") as publisher,
    ):
        for number in range(10):
            await publisher.send(Count(number))
        await settle()
        yield


CONTEXTS: dict[str, Callable[[MortalBus], AbstractAsyncContextManager[object]]] = {
    "open_bus": lambda world: t2bus.open_bus("tcp:127.0.0.1:0"),
    "open_client": lambda world: t2bus.open_client(world.bus.addresses[0]),
    "bus.open_client": lambda world: world.bus.open_client(),
    "subscribe": lambda world: world.client.subscribe(Note, "x"),
    "subscribe_bytes": lambda world: world.client.subscribe_bytes("x"),
    "subscribe_into": lambda world: world.client.subscribe_into(Note, "x", trio.open_memory_channel[Any](0)[0]),
    "serve": lambda world: world.client.serve(Add, "x"),
    "serve_bytes": lambda world: world.client.serve_bytes("x"),
    "open_publisher": lambda world: world.client.open_publisher(Note, "x"),
    "open_bytes_publisher": lambda world: world.client.open_bytes_publisher("x"),
    "several": several,
}

ERRORS: list[Callable[[], BaseException]] = [
    lambda: KeyError("mine"),
    lambda: ExceptionGroup("mine", [ValueError()]),
    lambda: StopAsyncIteration("mine"),
    lambda: t2bus.Disconnected("mine"),
    lambda: trio.ClosedResourceError("mine"),
    lambda: KeyboardInterrupt("mine"),
]


@pytest.mark.parametrize("make", ERRORS, ids=lambda make: type(make()).__name__)
@pytest.mark.parametrize("name", CONTEXTS)
@pytest.mark.parametrize("lost", [False, True], ids=["", "lost"])
async def test_promise_14_exceptions_of_a_body_are_not_wrapped(
    clock: trio.testing.MockClock, mortal: MortalBus, name: str, make: Callable[[], BaseException], lost: bool
) -> None:
    """What the body raises is what leaves the block, the bus lost or not."""
    error = make()
    with pytest.raises(type(error)) as caught:
        async with CONTEXTS[name](mortal):
            if lost:
                await mortal.kill()
            raise error
    assert caught.value is error
    assert error.__cause__ is None


@pytest.mark.parametrize("name", CONTEXTS)
async def test_promise_14_a_cancelled_end_does_not_replace_the_exception(
    clock: trio.testing.MockClock, mortal: MortalBus, name: str
) -> None:
    """A body that raises while its scope is cancelled is heard, though closing is cancelled too."""
    error = ValueError("mine")
    with pytest.raises(ValueError) as caught, trio.CancelScope() as scope:  # noqa: PT011 -- it is compared below
        async with CONTEXTS[name](mortal):
            scope.cancel()
            raise error
    assert caught.value is error


async def test_promise_14_a_bus_with_connections_does_not_swallow_the_exception(clock: trio.testing.MockClock) -> None:
    """A bus whose body fails says goodbye to its clients, and the exception leaves as it is."""
    async with trio.open_nursery() as nursery:
        ready: list[t2bus.Bus] = []
        stop = trio.Event()

        async def hold_clients() -> None:
            async with t2bus.open_client(ready[0].addresses[0]) as client, client.subscribe(Note, "x") as messages:
                stop.set()
                with pytest.raises(t2bus.Disconnected, match="goodbye"):
                    await messages.receive()

        with pytest.raises(KeyError):
            async with t2bus.open_bus("tcp:127.0.0.1:0") as bus:
                ready.append(bus)
                nursery.start_soon(hold_clients)
                await stop.wait()
                raise KeyError


async def test_promise_14_a_clean_exit_reports_what_was_not_acknowledged(mortal: MortalBus) -> None:
    """A publisher's block that ends well raises ``Disconnected`` if the bus was lost with publications on their way."""
    async with mortal.other.subscribe(Note, "x"):
        with pytest.raises(t2bus.Disconnected):
            async with mortal.client.open_publisher(Note, "x") as publisher:
                for text in ("taken", "held"):
                    await publisher.send(Note(text))
                await settle()
                await mortal.kill()


async def test_promise_14_calls_in_a_body_raise_as_they_are(clock: trio.testing.MockClock, mortal: MortalBus) -> None:
    """An error of a call inside several blocks can be caught by its class outside of them."""
    with pytest.raises(t2bus.ServiceNotFound):
        async with several(mortal):
            await mortal.client.request("nobody", Add(1, 2))
    assert Sum(3) == await add(Add(1, 2))
