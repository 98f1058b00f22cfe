"""The promises of t2bus on delivery, flow and services, each with tests that bear its number."""

# ruff: noqa: PT012 -- what raises here is the end of a block, or one of several calls

from __future__ import annotations

import contextlib
import random
import tracemalloc
import zlib
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import trio

import t2bus
from bus_helpers import Add, Bystanders, Count, Note, Site, Sum, add, open_peer, settle, wait_until
from pure_helpers import limits_with
from t2bus.background import open_background_nursery
from t2bus.wire import messages as m
from t2bus.wire.values import Deflated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ONE = t2bus.Limits(subscription_messages=1)


async def test_promise_01_an_acknowledgement_counts_connections_not_processing(memory: Site) -> None:
    """A publication is acknowledged when it is accepted, though its receiver's program never takes it."""
    async with memory.connect() as client, memory.connect() as idle, idle.subscribe(Note, "x"):
        assert await client.publish("x", Note("")) == 1
        await settle()
        assert idle.statistics().messages_waiting == 1


async def test_promise_01_at_most_once_in_memory(memory: Site) -> None:
    """Nothing is kept for who is not subscribed, and nothing comes twice."""
    async with memory.connect() as client:
        await client.publish("x", Note("before"))
        async with client.subscribe(Note, "x") as messages:
            await client.publish("x", Note("once"))
            assert (await messages.receive()).body == Note("once")
            await settle()
            assert client.statistics().messages_waiting == 0


async def test_promise_02_first_in_first_out_per_publisher_and_subscriber(tcp: Site) -> None:
    """A subscriber gets each publisher's messages in the order they were sent, over all topics and ways to publish."""
    received: dict[str, list[int]] = {"a": [], "b": []}

    async def publish(name: str) -> None:
        async with tcp.connect() as client:
            for start in range(0, 300, 60):
                await client.publish(f"{name}/one", Count(start))
                async with (
                    client.open_publisher(Count, f"{name}/two") as two,
                    client.open_publisher(Count, f"{name}/*", paced=False) as many,
                ):
                    for number in range(start + 1, start + 60):
                        await (two, many)[number % 2].send(Count(number))

    async with (
        tcp.connect(limits=t2bus.Limits(subscription_messages=50)) as client,
        client.subscribe(Count, "**") as messages,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(publish, "a")
        nursery.start_soon(publish, "b")
        lost = 0
        while sum(map(len, received.values())) + lost < 600:
            try:
                topic, count = await messages.receive()
            except t2bus.Lagged as lagged:
                lost += lagged.dropped or 0
            else:
                received[topic.split("/")[1]].append(count.number)
    assert all(numbers == sorted(set(numbers)) for numbers in received.values())


async def test_promise_02_no_gap_without_notice(memory: Site) -> None:
    """What is missing is told where it is missing, with its number."""
    stream: list[int | str] = []
    limits = t2bus.Limits(subscription_messages=4)
    async with (
        memory.connect() as publisher,
        memory.connect(limits=limits) as client,
        client.subscribe(Count, "x") as messages,
    ):
        for number in range(10):
            await publisher.publish("x", Count(number))
        while len(stream) < 5:
            try:
                stream.append((await messages.receive()).body.number)
            except t2bus.Lagged as lagged:
                stream.append(f"{lagged.dropped} dropped")
        await publisher.publish("x", Count(10))
        stream.append((await messages.receive()).body.number)
    assert stream == [0, 1, 2, 3, "6 dropped", 10]


async def test_promise_03_one_copy_per_subscription(memory: Site) -> None:
    """Each subscription gets a message once, however many others of the same client get it too."""
    async with memory.connect() as client, client.subscribe(Note, "x") as one, client.subscribe(Note, "*") as two:
        assert await client.publish("**", Note("hello")) == 1
        assert [(await messages.receive()).body for messages in (one, two)] == [Note("hello")] * 2
        await settle()
        assert client.statistics().messages_waiting == 0


async def test_promise_03_one_frame_per_connection(tcp: Site, bystanders: Bystanders) -> None:
    """A connection is sent a publication once, with the names of all its subscriptions that take it."""
    async with open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        await peer.send(m.Subscribe(1, "x/*", 10, 1000), m.Subscribe(2, "**", 10, 1000), m.Subscribe(3, "y", 10, 1000))
        await peer.expect(m.Accepted)
        await bystanders.one.publish_bytes("x/y", b"once")
        await bystanders.one.publish_bytes("end", b"")
        deliveries = [await peer.expect(m.Deliver), await peer.expect(m.Deliver)]
    assert [(each.subscriptions, each.publication.topic) for each in deliveries] == [((1, 2), "x/y"), ((2,), "end")]


async def test_promise_04_a_slow_subscriber_delays_nobody(memory: Site, clock: trio.testing.MockClock) -> None:
    """While one subscriber takes nothing, others get everything at once."""
    limits = t2bus.Limits(subscription_messages=2)
    async with (
        memory.connect() as client,
        memory.connect(limits=limits) as slow,
        slow.subscribe(Count, "*"),
        client.subscribe(Count, "*") as messages,
    ):
        start = trio.current_time()
        for number in range(100):
            assert await client.publish("x", Count(number)) == (2 if number < 2 else 1)
            assert (await messages.receive()).body.number == number
        assert trio.current_time() == start


async def test_promise_04_a_dead_subscriber_neither_aborts_nor_repeats(tcp: Site, bystanders: Bystanders) -> None:
    """A subscriber that breaks off is left out; all others still get each message once."""
    async with tcp.connect() as client, client.subscribe(Count, "*") as first:
        async with open_peer(tcp.bus) as peer:
            await peer.shake_hands()
            await peer.send(m.Subscribe(1, "count/*", 1000, 1 << 20))
            await peer.expect(m.Accepted)
            async with client.subscribe(Count, "*") as last:
                for number in range(20):
                    if number == 10:
                        await trio.aclose_forcefully(peer.stream)
                    assert await bystanders.one.publish("x", Count(number)) in {1, 2}
                for messages in (first, last):
                    assert [(await messages.receive()).body.number for _ in range(20)] == list(range(20))
        await settle()
        assert client.statistics().messages_waiting == 0


async def test_promise_04_a_stalled_subscription_does_not_stall_its_siblings(memory: Site) -> None:
    """While one subscription of a client is not read, another of the same client goes on."""
    limits = t2bus.Limits(subscription_messages=2)
    async with (
        memory.connect(limits=limits) as client,
        client.subscribe(Count, "*"),
        client.subscribe(Count, "*") as messages,
    ):
        for number in range(50):
            await client.publish("x", Count(number))
            assert (await messages.receive()).body.number == number


async def test_promise_05_subscriptions_are_bounded() -> None:
    """A client with as many subscriptions as allowed is refused another, and gets one when it has closed one."""
    async with t2bus.open_bus(limits=t2bus.Limits(subscriptions=2)) as bus, bus.open_client() as client:
        async with client.subscribe(Note, "a"), client.subscribe(Note, "b"):
            with pytest.raises(t2bus.LimitExceeded, match=r"Limits\.subscriptions"):
                async with client.subscribe(Note, "c"):
                    pass
        async with client.subscribe(Note, "c"):
            assert bus.statistics().subscriptions == 1


async def test_promise_05_services_are_bounded() -> None:
    """A client with as many services as allowed is refused another."""
    async with (
        t2bus.open_bus(limits=t2bus.Limits(services=1)) as bus,
        bus.open_client() as client,
        client.serve(Add, "a"),
    ):
        with pytest.raises(t2bus.LimitExceeded, match=r"Limits\.services"):
            async with client.serve(Add, "b"):
                pass


async def test_promise_05_connections_are_bounded() -> None:
    """A bus with as many connections as allowed refuses another, and lets one in when one has left."""
    async with t2bus.open_bus("tcp:127.0.0.1:0", limits=t2bus.Limits(connections=2)) as bus, bus.open_client():
        async with t2bus.open_client(bus.addresses[0]):
            one_too_many = [bus.open_client(), t2bus.open_client(bus.addresses[0])]
            for context in one_too_many:
                with pytest.raises(t2bus.ConnectFailed, match=r"Limits\.connections"):
                    async with context:
                        pass
        await wait_until(lambda: bus.statistics().connections == 1)
        async with t2bus.open_client(bus.addresses[0]) as client:
            assert await client.publish("x", Note("")) == 0


async def test_promise_05_topics_are_bounded() -> None:
    """A topic that is longer or deeper than the bus takes is refused before it is sent."""
    limits = t2bus.Limits(topic_length=20, topic_depth=3)
    async with t2bus.open_bus(limits=limits) as bus, bus.open_client() as client:
        for topic in ("x" * 20, "a/b/c"):
            with pytest.raises(t2bus.InvalidTopic):
                await client.publish(topic, Note(""))
        assert await client.publish("a/b", Note("")) == 0


async def test_promise_05_matching_is_bounded() -> None:
    """A publication that costs more matching than allowed is refused, and narrower ones go on."""
    async with t2bus.open_bus(limits=t2bus.Limits(matching_steps=100)) as bus, bus.open_client() as client:
        async with AsyncExitStack() as stack:
            for number in range(50):
                await stack.enter_async_context(client.subscribe_bytes(f"**/t{number}/**"))
            with pytest.raises(t2bus.TopicTooBroad):
                await client.publish_bytes("**/*/**/*/**", b"")
        assert await client.publish_bytes("x", b"") == 0


async def test_promise_05_what_waits_for_a_connection_is_bounded() -> None:
    """A client that does not read costs the bus its outbox and no more; what does not fit is dropped and counted."""
    limits = limits_with(outbox_bytes=100_000, subscription_bytes=1 << 30)
    async with (
        t2bus.open_bus("tcp:127.0.0.1:0", limits=limits) as bus,
        bus.open_client() as client,
        open_peer(bus) as peer,
    ):
        await peer.shake_hands()
        await peer.send(m.Subscribe(1, "x", 10_000, 1 << 40))
        await peer.expect(m.Accepted)
        while not bus.statistics().dropped:
            await client.publish_bytes("x", bytes(20_000))
            assert bus.statistics().buffered_bytes <= 100_000
        assert (await peer.expect(m.Deliver)).publication.payload == bytes(20_000)


async def test_promise_05_what_waits_for_all_connections_is_bounded() -> None:
    """However many clients do not read, what waits for them together is bounded, and none is closed for it."""
    limits = limits_with(total_bytes=100_000, subscription_bytes=1 << 30)
    async with (
        t2bus.open_bus("tcp:127.0.0.1:0", limits=limits) as bus,
        bus.open_client() as client,
        open_peer(bus) as one,
        open_peer(bus) as other,
    ):
        for peer in (one, other):
            await peer.shake_hands()
            await peer.send(m.Subscribe(1, "x", 10_000, 1 << 40))
            await peer.expect(m.Accepted)
        while not bus.statistics().dropped:
            await client.publish_bytes("x", bytes(20_000))
            assert bus.statistics().buffered_bytes <= 100_000
        assert bus.statistics().connections == 3


async def test_promise_05_bytes_before_the_handshake_are_bounded(clock: trio.testing.MockClock, tcp: Site) -> None:
    """A peer whose first frame is longer than a HELLO may be is sent away when its length is known."""
    async with open_peer(tcp.bus) as peer:
        await peer.send_bytes((4097).to_bytes(4, "big"))
        assert await peer.read_to_end() == []
    assert tcp.bus.statistics().violations == 1


@pytest.mark.parametrize(("size", "count"), [(0, 1 + 5), (400, 1 + 3)])
async def test_promise_05_a_publisher_is_bounded(clock: trio.testing.MockClock, size: int, count: int) -> None:
    """A publisher with as many messages or bytes on their way as allowed waits for the subscriber."""
    own = t2bus.Limits(publisher_messages=5, publisher_bytes=1000)
    sent = 0
    async with (
        t2bus.open_bus() as bus,
        bus.open_client(limits=own) as client,
        bus.open_client(limits=ONE) as idle,
        idle.subscribe_bytes("x"),
        client.open_bytes_publisher("x") as publisher,
    ):
        with trio.move_on_after(0.5):
            while True:
                await publisher.send(bytes(size))
                sent += 1
        assert sent == count


async def test_promise_05_decompressed_payloads_are_bounded(tcp: Site, bystanders: Bystanders) -> None:
    """A small payload that declares to be a huge one is one malformed message, and the subscription goes on."""
    bomb = Deflated(zlib.compress(bytes(50_000_000)))
    async with open_peer(tcp.bus) as peer, bystanders.one.subscribe_bytes("x") as messages:
        await peer.shake_hands()
        await peer.send(m.Publish(1, False, m.Publication("x", bomb)))
        await peer.send(m.Publish(2, False, m.Publication("x", b"fine")))
        tracemalloc.start()
        with pytest.raises(t2bus.MalformedMessage, match="more than"):
            await messages.receive()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5_000_000
        assert (await messages.receive()).body == b"fine"


async def test_promise_05_turns_of_many_are_one_together() -> None:
    """Others run when the messages of several peers have taken the steps of a turn, though none of them has."""
    published = [0]
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(t2bus.open_bus(limits=t2bus.Limits(turn_steps=4)))
        clients = [await stack.enter_async_context(bus.open_client()) for _ in range(40)]
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(client.publish_bytes, "x", b"")
            while published[-1] < len(clients):
                await trio.lowlevel.checkpoint()
                published.append(bus.statistics().published)
    # The first finds that nobody listens, which is a turn by itself; to the others that is known, and takes a step.
    assert max(after - before for before, after in pairwise(published)) <= 2 * 4, (
        "the bus may run twice between two looks"
    )


async def test_promise_05_what_a_peer_leaves_behind_is_done_in_turns(clock: trio.testing.MockClock) -> None:
    """What was held for a peer that leaves is let go of at once, and others run after each turn of that."""
    held: list[int] = []

    async def watch(bus: t2bus.Bus) -> None:
        while not held or held[-1]:
            held.append(bus.statistics().deliveries_held)
            await trio.lowlevel.checkpoint()

    async with (
        t2bus.open_bus(limits=t2bus.Limits(turn_steps=10)) as bus,
        bus.open_client() as client,
        client.open_bytes_publisher("x") as publisher,
        trio.open_nursery() as nursery,
        bus.open_client() as other,
        other.subscribe_bytes("x", messages=1),
    ):
        for _ in range(41):
            await publisher.send(b"")
        await trio.sleep(0.1)
        start = trio.current_time()
        nursery.start_soon(watch, bus)
        await trio.lowlevel.checkpoint()
    # Two tasks may take a turn of that before it is looked at again.
    assert held[0] == 40
    assert max(before - after for before, after in pairwise(held)) <= 20
    assert trio.current_time() == start


async def test_promise_06_a_spent_window_drops_for_one_subscription_alone() -> None:
    """What finds a window spent is missing there, told as ``Lagged`` in its place, and nowhere else."""
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        bus.open_client(limits=ONE) as idle,
        idle.subscribe(Count, "x") as few,
        client.subscribe(Count, "x") as all_of_them,
    ):
        counts = [await client.publish("x", Count(number)) for number in range(5)]
        assert counts == [2, 1, 1, 1, 1]
        assert [(await all_of_them.receive()).body.number for _ in range(5)] == [0, 1, 2, 3, 4]
        assert (await few.receive()).body == Count(0)
        with pytest.raises(t2bus.Lagged) as caught:
            await few.receive()
        assert caught.value.dropped == 4
        await client.publish("x", Count(5))
        assert (await few.receive()).body == Count(5)


async def test_promise_06_windows_count_bytes_too() -> None:
    """A window is spent by bytes as it is by messages; the last message may run over it."""
    limits = t2bus.Limits(subscription_bytes=1000)
    async with (
        t2bus.open_bus() as bus,
        bus.open_client(limits=limits) as client,
        client.subscribe_bytes("x") as messages,
    ):
        assert [await client.publish_bytes("x", bytes(600)) for _ in range(3)] == [1, 1, 0]
        assert [len((await messages.receive()).body) for _ in range(2)] == [600, 600]
        with pytest.raises(t2bus.Lagged):
            await messages.receive()


async def test_promise_06_a_paced_publisher_loses_nothing(clock: trio.testing.MockClock) -> None:
    """A subscriber that takes its time gets everything, and sets the pace."""
    limits = t2bus.Limits(subscription_messages=4)
    received = []

    async def publish() -> None:
        async with client.open_publisher(Count, "x") as publisher:
            for number in range(100):
                await publisher.send(Count(number))

    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        bus.open_client(limits=limits) as slow,
        slow.subscribe(Count, "x") as messages,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(publish)
        for _ in range(100):
            await trio.sleep(0.2)
            received.append((await messages.receive()).body.number)
    assert received == list(range(100))
    assert trio.current_time() >= 19.9


async def test_promise_06_a_paced_publisher_reaches_many(clock: trio.testing.MockClock) -> None:
    """Where the windows of all subscribers are more than ``Limits.total_bytes`` those that take lose nothing."""
    received: list[int] = []

    async def subscribe(task_status: trio.TaskStatus[None]) -> None:
        async with bus.open_client() as subscriber, subscriber.subscribe_bytes("x") as messages:
            task_status.started()
            for number in range(200):
                if number % 50 == 0:
                    await trio.sleep(0.1)
                received.append((await messages.receive()).body[0])

    async with (
        t2bus.open_bus(limits=limits_with(total_bytes=100_000)) as bus,
        bus.open_client(limits=t2bus.Limits(publisher_bytes=20_000)) as client,
        trio.open_nursery() as nursery,
    ):
        for _ in range(20):
            await nursery.start(subscribe)
        async with client.open_bytes_publisher("x") as publisher:
            for number in range(200):
                await publisher.send(bytes([number]) * 2000)
    assert sorted(received) == sorted([*range(200)] * 20)


async def test_promise_06_a_stalled_subscriber_holds_nobody(clock: trio.testing.MockClock) -> None:
    """A subscriber that takes nothing for a second is not waited for any more, until it has caught up."""
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        bus.open_client(limits=ONE) as idle,
        idle.subscribe(Count, "x") as messages,
    ):
        start = trio.current_time()
        async with client.open_publisher(Count, "x") as publisher:
            for number in range(1000):
                await publisher.send(Count(number))
        assert 1 <= trio.current_time() - start < 1.1
        assert (await messages.receive()).body == Count(0)
        with pytest.raises(t2bus.Lagged) as caught:
            await messages.receive()
        assert caught.value.dropped == 999
        async with client.open_publisher(Count, "x") as publisher, trio.open_nursery() as nursery:
            nursery.start_soon(publisher.send, Count(1000))
            nursery.start_soon(publisher.send, Count(1001))
            assert {(await messages.receive()).body.number for _ in range(2)} == {1000, 1001}


async def test_promise_06_an_unpaced_publisher_never_waits(clock: trio.testing.MockClock) -> None:
    """With ``paced=False`` a subscriber that takes nothing costs the publisher no time."""
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        bus.open_client(limits=ONE) as idle,
        idle.subscribe(Count, "x"),
    ):
        start = trio.current_time()
        async with client.open_publisher(Count, "x", paced=False) as publisher:
            for number in range(3000):
                await publisher.send(Count(number))
        assert trio.current_time() == start
        assert publisher.accepted == 1


async def test_promise_06_a_busy_service_says_so_at_once(clock: trio.testing.MockClock) -> None:
    """A request that finds the service's window spent is refused without waiting."""
    limits = t2bus.Limits(service_requests=1)
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        bus.open_client(limits=limits) as server,
        server.serve(Add, "x") as requests,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(client.request, "x", Add(1, 1))
        request = await requests.receive()
        start = trio.current_time()
        with pytest.raises(t2bus.ServiceBusy):
            await client.request("x", Add(1, 1))
        assert trio.current_time() == start
        await request.respond(Sum(2))


async def test_promise_06_a_peer_that_takes_nothing_is_closed(
    clock: trio.testing.MockClock, tcp: Site, bystanders: Bystanders, caplog: pytest.LogCaptureFixture
) -> None:
    """A write that makes no progress for 10 s ends that connection, with its reason in the log; others never wait."""
    caplog.set_level("INFO", "t2bus")
    async with open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        await peer.send(m.Subscribe(1, "x", 10_000, 1 << 40))
        await peer.expect(m.Accepted)
        payload = random.Random(0).randbytes(500_000)
        while not tcp.bus.statistics().dropped:
            assert await bystanders.one.publish_bytes("x", payload) in {0, 1}
        start = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            while True:
                await trio.sleep(0.5)
                await peer.send(m.Ping(0))
        assert 9 <= trio.current_time() - start <= 12
    assert "Limits.write_stall" in caplog.text


async def test_promise_06_a_peer_that_takes_no_control_frames_is_closed(
    clock: trio.testing.MockClock, tcp: Site, bystanders: Bystanders, caplog: pytest.LogCaptureFixture
) -> None:
    """A peer that asks for more answers than it reads is not heard until it reads, and is closed if it does not."""
    caplog.set_level("INFO", "t2bus")
    pings = [m.Ping(number) for number in range(5000)]
    async with open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        with pytest.raises(trio.BrokenResourceError):
            while True:
                await peer.send(*pings)
    assert "Limits.write_stall" in caplog.text


@pytest.mark.parametrize("kind", ["PING", "a publication that is refused"])
async def test_promise_06_a_peer_that_reads_may_say_much(kind: str) -> None:
    """One that reads gets all its answers, though one read brings more of them than ``Limits.control_bytes`` holds."""
    ids = range(1, 2001)
    async with (
        t2bus.open_bus("tcp:127.0.0.1:0", limits=limits_with(control_bytes=10_000)) as bus,
        open_peer(bus) as peer,
    ):
        await peer.shake_hands()
        if kind == "PING":
            await peer.send(*map(m.Ping, ids))
            answers = [(await peer.expect(m.Pong)).token for _ in ids]
        else:
            await peer.send(*(m.Publish(number, False, m.Publication("A", b"")) for number in ids))
            answers = [(await peer.expect(m.Refused)).id for _ in ids]
    assert answers == [*ids]


@pytest.mark.parametrize("how", ["unserve", "cancel", "disconnect"])
async def test_promise_07_the_end_of_a_responder_reaches_its_requesters(
    clock: trio.testing.MockClock, memory: Site, how: str
) -> None:
    """However a service ends, who waits for it knows at once."""

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        async with memory.connect() as server, server.serve(Add, "x") as requests:
            task_status.started()
            await requests.receive()
            if how == "unserve":
                await requests.aclose()
                await trio.sleep_forever()
            if how == "cancel":
                scope.cancel()

    async def serve_in_scope(*, task_status: trio.TaskStatus[None]) -> None:
        with scope:
            await serve(task_status=task_status)

    scope = trio.CancelScope()
    async with memory.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(serve_in_scope)
        start = trio.current_time()
        with pytest.raises(t2bus.ServiceGone):
            await client.request("x", Add(1, 1))
        assert trio.current_time() - start < 0.1
        nursery.cancel_scope.cancel()


async def test_promise_07_a_broken_responder_reaches_its_requesters(
    clock: trio.testing.MockClock, tcp: Site, bystanders: Bystanders
) -> None:
    """A responder whose connection breaks off is as good as gone for who waits for it."""
    async with open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        await peer.send(m.Claim(1, "raw", 10, 1000))
        await peer.expect(m.Accepted)
        with pytest.raises(t2bus.ServiceGone):
            async with open_background_nursery() as nursery:
                nursery.start_soon(bystanders.one.request_bytes, "raw", b"")
                await peer.expect(m.Call)
                await trio.aclose_forcefully(peer.stream)
                await trio.sleep(1)


async def test_promise_07_a_cancelled_request_tells_the_responder(memory: Site) -> None:
    """A handler is cancelled when its requester gives up, and a late response is dropped and counted."""
    async with memory.connect() as client, memory.connect() as server, server.serve(Add, "x") as requests:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request, "x", Add(1, 1))
            request = await requests.receive()
            nursery.cancel_scope.cancel()
        await settle()
        assert request.withdrawn
        await request.respond(Sum(2))
        await settle()
        assert server.statistics().late_responses == 1
        assert memory.bus.statistics().late_responses == 1
        assert server.statistics().calls_pending == 0


async def test_promise_07_a_cancelled_request_that_nobody_took_is_not_given(memory: Site) -> None:
    """A request that is given up before the responder's program took it never reaches that program."""
    async with memory.connect() as client, memory.connect() as server, server.serve(Add, "x") as requests:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request, "x", Add(1, 1))
            await settle()
            nursery.cancel_scope.cancel()
        await settle()
        assert server.statistics().calls_pending == memory.bus.statistics().requests_pending == 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request, "x", Add(2, 2))
            request = await requests.receive()
            assert request.body == Add(2, 2)
            await request.respond(Sum(4))


async def test_promise_08_a_duplicate_claim_is_refused(site: Site) -> None:
    """A second service of a topic raises ``TopicClaimed``, from any connection, and the first is untouched."""
    async with site.connect() as first, site.connect() as second, trio.open_nursery() as nursery:
        await nursery.start(first.serve_with, Add, "x", add)
        for client in (first, second):
            with pytest.raises(t2bus.TopicClaimed):
                async with client.serve(Add, "x"):
                    pass
        assert await second.request("x", Add(1, 2)) == Sum(3)
        nursery.cancel_scope.cancel()
    async with site.connect() as third, third.serve(Add, "x"):
        assert site.bus.statistics().services == 1


@pytest.mark.parametrize(
    "frame", [b"garbage", b"", b"\x81\x18\xff", b"\xff", b"\x85\x05\x01\x02\x03\x04", b"\x81\xc1\x00"]
)
async def test_promise_10_a_malformed_frame_costs_its_sender_alone(
    tcp: Site, bystanders: Bystanders, frame: bytes
) -> None:
    """The sender of a malformed frame is told why and closed, and nobody else notices."""
    async with open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        await peer.send(m.Subscribe(1, "note/bystander/*", 100, 10_000))
        await peer.expect(m.Accepted)
        await peer.send_bytes(len(frame).to_bytes(4, "big") + frame)
        assert isinstance((await peer.read_to_end())[-1], m.Error)
    await bystanders.try_out()
    assert tcp.bus.statistics().violations == 1


async def test_promise_10_a_malformed_payload_fails_one_message(site: Site) -> None:
    """A message that cannot be read raises ``MalformedMessage`` in its place, and the next is received."""
    async with site.connect() as client, client.subscribe(Note, "x") as messages:
        await client.publish("x", Note("one"))
        await client.publish_bytes("note/x", b"no CBOR")
        await client.publish("x", Note("two"))
        assert (await messages.receive()).body == Note("one")
        with pytest.raises(t2bus.MalformedMessage):
            await messages.receive()
        assert (await messages.receive()).body == Note("two")


async def test_promise_10_a_malformed_request_fails_alone(site: Site) -> None:
    """A request that cannot be read raises ``MalformedMessage`` in its sender, and the service goes on."""
    async with site.connect() as client, site.connect() as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_with, Add, "x", add)
        with pytest.raises(t2bus.MalformedMessage):
            await client.request_bytes("add/x", b"no CBOR")
        assert await client.request("x", Add(1, 2)) == Sum(3)
        assert server.statistics().calls_pending == 0
        nursery.cancel_scope.cancel()


async def test_promise_10_a_malformed_response_fails_alone(memory: Site) -> None:
    """A response that cannot be read raises ``MalformedMessage`` in the requester, and both sides go on."""
    async with memory.connect() as client, memory.connect() as server, server.serve_bytes("add/x") as requests:
        for response, outcome in ((b"no CBOR", t2bus.MalformedMessage), (b"\xa1\x65value\x03", None)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, client, outcome)
                await (await requests.receive()).respond(response)


async def ask(client: t2bus.Client, expected: type[t2bus.BusError] | None) -> None:
    with contextlib.nullcontext() if expected is None else pytest.raises(expected):
        assert await client.request("x", Add(1, 2)) == Sum(3)


class Unserialisable:
    pass


INVALID: dict[str, tuple[type[Exception], Callable[[t2bus.Client], Awaitable[object]]]] = {
    "topic": (t2bus.InvalidTopic, lambda client: client.publish("A B", Note(""))),
    "topic of another type": (TypeError, lambda client: client.publish(7, Note(""))),  # type: ignore[arg-type]
    "empty raw topic": (t2bus.InvalidTopic, lambda client: client.publish_bytes("", b"")),
    "wildcard in a request": (t2bus.InvalidTopic, lambda client: client.request("*", Add(1, 2))),
    "message of no protocol": (TypeError, lambda client: client.publish("x", "hello")),  # type: ignore[arg-type]
    "message of the other role": (TypeError, lambda client: client.publish("x", Add(1, 2))),  # type: ignore[arg-type]
    "request of the other role": (TypeError, lambda client: client.request("x", Note(""))),  # type: ignore[arg-type]
    "unserialisable": (t2bus.MalformedMessage, lambda client: client.publish("x", Note(Unserialisable()))),  # type: ignore[arg-type]
    "field of another type": (t2bus.MalformedMessage, lambda client: client.request("x", Add("1", 2))),  # type: ignore[arg-type]
    "text for bytes": (TypeError, lambda client: client.publish_bytes("x", "hello")),  # type: ignore[arg-type]
    "too large": (t2bus.MessageTooLarge, lambda client: client.publish("x", Note("x" * (1 << 20)))),
    "too large request": (t2bus.MessageTooLarge, lambda client: client.request_bytes("x", bytes(1 << 20))),
    "too large headers": (
        t2bus.MessageTooLarge,
        lambda client: client.publish("x", Note(""), headers={"k": "v" * (1 << 20)}),
    ),
    "headers of numbers": (TypeError, lambda client: client.publish("x", Note(""), headers={"k": 1})),  # type: ignore[dict-item]
    "headers of no Unicode": (
        t2bus.MalformedMessage,
        lambda client: client.publish("x", Note(""), headers={"k": "\ud800"}),
    ),
}


@pytest.mark.parametrize("name", INVALID)
async def test_promise_13_invalid_arguments_raise_in_the_caller(memory: Site, name: str) -> None:
    """An invalid argument raises at once, nothing is sent, and the client goes on."""
    expected, call = INVALID[name]
    async with memory.connect() as client, client.subscribe_bytes("**") as messages:
        with pytest.raises(expected):
            await call(client)
        await client.publish("x", Note("next"))
        assert (await messages.receive()).topic == "note/x"
        assert client.statistics().published == 1
        assert client.statistics().requested == 0


async def test_promise_13_invalid_topics_raise_before_anything_is_opened(memory: Site) -> None:
    """Subscriptions, services and publishers of invalid topics raise at once, and register nothing."""
    async with memory.connect() as client:
        contexts = [
            client.subscribe(Note, "A"),
            client.subscribe_bytes(""),
            client.subscribe_into(Note, "a//b", trio.open_memory_channel[Any](0)[0]),
            client.serve(Add, "*"),
            client.serve_bytes("**"),
        ]
        for context in contexts:
            with pytest.raises(t2bus.InvalidTopic):
                async with context:
                    pass
        with pytest.raises(t2bus.InvalidTopic):
            client.open_publisher(Note, "A")
        with pytest.raises(TypeError):
            client.open_publisher(Add, "x")  # type: ignore[type-var]
        assert memory.bus.statistics().subscriptions == memory.bus.statistics().services == 0
        assert await client.publish("x", Note("")) == 0


async def test_promise_13_a_publisher_survives_invalid_messages(memory: Site) -> None:
    """A publisher refuses what is not of its class or does not fit, and goes on."""
    async with memory.connect() as client, client.subscribe(Note, "x") as messages:
        async with client.open_publisher(Note, "x") as publisher:
            with pytest.raises(TypeError, match="this publisher sends Note, not Count"):
                await publisher.send(Count(1))  # type: ignore[arg-type]
            with pytest.raises(t2bus.MessageTooLarge):
                await publisher.send(Note("x" * (1 << 20)))
            await publisher.send(Note("fine"))
        assert (await messages.receive()).body == Note("fine")
        assert publisher.accepted == 1


async def test_promise_13_a_response_that_cannot_be_sent_can_be_given_again(memory: Site) -> None:
    """A response that is invalid raises in the responder, and the request can still be answered."""
    async with (
        memory.connect() as client,
        memory.connect() as server,
        server.serve(Add, "x") as requests,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(ask, client, None)
        request = await requests.receive()
        with pytest.raises(t2bus.MalformedMessage):
            await request.respond("three")
        with pytest.raises(TypeError):
            await request.fail(3)  # type: ignore[arg-type]
        await request.respond(Sum(3))
