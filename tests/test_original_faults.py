"""What the bus that this one follows does wrong, one test for each of its faults."""

from __future__ import annotations

import time
import tracemalloc
import zlib
from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Bystanders, Count, Note, Site, Sum, add, open_peer, settle, wait_until
from t2bus.wire import messages as m
from t2bus.wire.values import Deflated


async def test_the_bus_outlives_answered_requests(clock: trio.testing.MockClock, tcp: Site) -> None:
    """Long after a request was answered, with a deadline or without, the bus still runs."""
    async with tcp.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, "x", add)
        with trio.fail_after(10):
            assert await client.request("x", Add(1, 2)) == Sum(3)
        assert await client.request("x", Add(1, 2)) == Sum(3)
        await trio.sleep(100)
        assert await client.request("x", Add(1, 2)) == Sum(3)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("topic", ["bus/kill", "**", "bus/**", "*/kill", "bus"])
async def test_no_topic_means_anything_to_the_bus(tcp: Site, bystanders: Bystanders, topic: str) -> None:
    """No publication and no request stops the bus or disturbs it, whatever its topic."""
    async with tcp.connect() as client:
        if topic.startswith("bus"):
            with pytest.raises(t2bus.InvalidTopic, match="the bus's own"):
                await client.publish_bytes(topic, b"")
        else:
            assert await client.publish_bytes(topic, b"") == 0
        if "*" not in topic:
            with pytest.raises(t2bus.ServiceNotFound):
                await client.request_bytes(topic, b"")


async def test_a_dead_recipient_does_not_stop_the_others(tcp: Site, bystanders: Bystanders) -> None:
    """A publication reaches everyone else when one of its recipients has died."""
    subscriptions = []
    async with AsyncExitStack() as stack, open_peer(tcp.bus) as peer:
        for number in range(5):
            client = await stack.enter_async_context(tcp.connect())
            subscriptions.append(await stack.enter_async_context(client.subscribe(Note, "x")))
            if number == 2:
                await peer.shake_hands()
                await peer.send(m.Subscribe(1, "note/x", 10, 1000))
                await peer.expect(m.Accepted)
        await trio.aclose_forcefully(peer.stream)
        for _ in range(3):
            assert await bystanders.one.publish("x", Note("hello")) >= 5
        for messages in subscriptions:
            assert [(await messages.receive()).body for _ in range(3)] == [Note("hello")] * 3


async def test_a_dead_responder_does_not_leave_requesters_waiting(memory: Site) -> None:
    """Requesters know at once that their responder has left, and the topic can be served again."""
    async with memory.connect() as client, trio.open_nursery() as nursery:
        async with memory.connect() as server, server.serve(Add, "x") as requests:

            async def ask() -> None:
                with trio.fail_after(1), pytest.raises(t2bus.ServiceGone):
                    await client.request("x", Add(1, 2))

            nursery.start_soon(ask)
            await requests.receive()
        async with client.serve(Add, "x"):
            assert memory.bus.statistics().services == 1


async def test_a_request_that_times_out_raises(autojump_clock: trio.testing.MockClock, memory: Site) -> None:
    """A request whose time is over raises: the caller's own error, or ``RequestTimeout`` of the bus."""
    async with memory.connect() as client, client.serve_bytes("raw"):
        with pytest.raises(trio.TooSlowError), trio.fail_after(1):
            await client.request_bytes("raw", b"")
        start = trio.current_time()
        with pytest.raises(t2bus.RequestTimeout, match=r"Limits\.request_lifetime"):
            await client.request_bytes("raw", b"")
        assert trio.current_time() - start == pytest.approx(300, abs=1.1)
        assert await client.publish("x", Note("")) == 0


async def test_a_malformed_payload_ends_neither_subscription_nor_client(memory: Site) -> None:
    """Messages after a malformed one are received, by this subscription and by others of the client."""
    async with (
        memory.connect() as client,
        client.subscribe(Note, "x") as messages,
        client.subscribe(Count, "x") as counts,
    ):
        await client.publish_bytes("note/x", b"\xff")
        with pytest.raises(t2bus.MalformedMessage):
            await messages.receive()
        await client.publish("x", Note("next"))
        await client.publish("x", Count(1))
        assert (await messages.receive()).body == Note("next")
        assert (await counts.receive()).body == Count(1)


async def test_an_invalid_topic_does_not_end_the_client(memory: Site) -> None:
    """A client that was given an invalid topic works on."""
    async with memory.connect() as client, client.subscribe(Note, "x") as messages:
        with pytest.raises(t2bus.InvalidTopic):
            await client.publish("No Topic!", Note(""))
        assert await client.publish("x", Note("hello")) == 1
        assert (await messages.receive()).body == Note("hello")


async def test_dropping_one_of_two_subscriptions_leaves_the_other(memory: Site) -> None:
    """Of two subscriptions of a client to one topic, one can end and the other goes on."""
    async with memory.connect() as client, client.subscribe(Note, "x") as first:
        async with client.subscribe(Note, "x") as second:
            await client.publish("x", Note("both"))
            assert (await first.receive()).body == (await second.receive()).body == Note("both")
        assert await client.publish("x", Note("one")) == 1
        assert (await first.receive()).body == Note("one")


async def test_no_queue_grows_without_bound(tcp: Site, bystanders: Bystanders) -> None:
    """A client that subscribes, serves and reads nothing makes neither the bus nor itself hold more than its bounds."""
    limits = t2bus.Limits(subscription_messages=100)
    async with tcp.connect(limits=limits) as idle, idle.subscribe_bytes("x"), open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        await peer.send(m.Subscribe(1, "x", 1 << 20, 1 << 40))
        await peer.expect(m.Accepted)
        async with bystanders.one.open_bytes_publisher("x", paced=False) as publisher:
            for number in range(200):
                await publisher.send(number.to_bytes(4500, "big") * 10)
                assert tcp.bus.statistics().buffered_bytes <= 16 * 1024 * 1024
        await settle()
        assert idle.statistics().messages_waiting == 100
        assert idle.statistics().dropped == 0
        assert tcp.bus.statistics().dropped >= 100


async def test_self_publication_does_not_deadlock(site: Site) -> None:
    """A client may publish much to itself before it receives: neither side stops reading while it writes."""
    async with site.connect() as client, client.subscribe_bytes("self") as messages:
        with trio.fail_after(10):
            async with client.open_bytes_publisher("self") as publisher:
                for _ in range(1000):
                    await publisher.send(bytes(4900))
            for _ in range(1000):
                await messages.receive()


async def test_the_largest_publication_disconnects_nobody(tcp: Site, bystanders: Bystanders) -> None:
    """A publication of the largest size reaches a client with hundreds of subscriptions to it, all ids in one frame."""
    payload = bytes(t2bus.Limits().frame - len("large") - 64)
    async with tcp.connect() as client, AsyncExitStack() as stack, open_peer(tcp.bus) as peer:
        await peer.shake_hands()
        await peer.send(*[m.Subscribe(number, "large", 10, 1 << 24) for number in range(1, 1001)])
        subscriptions = [await stack.enter_async_context(client.subscribe_bytes("large")) for _ in range(200)]
        assert await bystanders.one.publish_bytes("large", payload) == 2
        for messages in subscriptions:
            assert (await messages.receive()).body == payload
        delivery = await peer.expect(m.Deliver)
        assert len(delivery.subscriptions) == 1000
        assert delivery.publication.payload == payload
        assert await client.publish("x", Note("")) == 0


async def test_a_declared_length_reserves_nothing(tcp: Site, bystanders: Bystanders) -> None:
    """A hundred peers that declare a frame of 1 MiB and send nothing of it cost no memory to speak of."""
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(open_peer(tcp.bus)) for _ in range(50)]
        for peer in peers:
            await peer.shake_hands()
        tracemalloc.start()
        for peer in peers:
            await peer.send_bytes((1 << 20).to_bytes(4, "big"))
        await settle()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5_000_000
        assert tcp.bus.statistics().connections == 52


async def test_inflating_is_bounded(tcp: Site, bystanders: Bystanders) -> None:
    """What would inflate to more than a frame fails alone, at a subscriber and for one that the bus inflates for."""
    bomb = Deflated(zlib.compress(bytes(100_000_000), 9))
    async with open_peer(tcp.bus) as sender, open_peer(tcp.bus) as plain:
        for peer in (sender, plain):
            await peer.shake_hands()
        await plain.send(m.Subscribe(1, "x", 10, 1 << 20))
        await plain.expect(m.Accepted)
        async with bystanders.one.subscribe_bytes("x") as messages:
            await sender.send(m.Publish(1, False, m.Publication("x", bomb)))
            with pytest.raises(t2bus.MalformedMessage):
                await messages.receive()
            assert (await plain.expect(m.Deliver)).publication.payload == bomb


async def test_wildcards_do_not_freeze_the_bus(tcp: Site, bystanders: Bystanders) -> None:
    """The worst topics of wildcards are matched or refused in no time, and half a million fragments are refused."""
    limits = t2bus.Limits(topic_depth=30)
    async with (
        t2bus.open_bus(limits=limits) as bus,
        bus.open_client() as client,
        client.subscribe_bytes("/".join(["**", "a"] * 12)),
        client.subscribe_bytes("/".join(["**"] * 24)),
    ):
        start = time.perf_counter()
        await client.publish_bytes("/".join(["**", "a"] * 12 + ["b"]), b"")
        await client.publish_bytes("/".join(["**"] * 24), b"")
        with pytest.raises(t2bus.InvalidTopic):
            await client.publish_bytes("a/" * 500_000 + "a", b"")
        assert time.perf_counter() - start < 1


async def test_matching_is_symmetric(memory: Site) -> None:
    """Whether two topics meet does not depend on which was subscribed and which published."""
    async with memory.connect() as client:
        for one, other, count in (("**/*", "a/b", 1), ("**/a", "a/**/b", 0), ("**/a", "a/**", 1), ("*", "**", 1)):
            for subscribed, published in ((one, other), (other, one)):
                async with client.subscribe_bytes(subscribed):
                    assert await client.publish_bytes(published, b"") == count


async def test_nothing_is_left_of_what_has_ended(tcp: Site, bystanders: Bystanders) -> None:
    """Clients that come and go leave no subscription, service or topic behind."""
    for number in range(20):
        async with tcp.connect() as client, client.subscribe(Note, f"t{number}/**"), client.serve(Add, f"t{number}"):
            pass
    await wait_until(lambda: tcp.bus.statistics().connections == 2)
    assert (tcp.bus.statistics().subscriptions, tcp.bus.statistics().services) == (0, 0)


async def test_a_handshake_that_hangs_holds_nobody_up(tcp: Site, bystanders: Bystanders) -> None:
    """While peers connect and say nothing others are let in at once."""
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(open_peer(tcp.bus))
        with trio.fail_after(1):
            async with tcp.connect() as client:
                assert await client.publish("x", Note("")) == 0


async def test_a_peer_that_breaks_off_does_not_end_the_listener(tcp: Site, bystanders: Bystanders) -> None:
    """Connections that are reset before they are let in are nothing to the listener."""
    for _ in range(20):
        async with open_peer(tcp.bus) as peer:
            await trio.aclose_forcefully(peer.stream)
    async with tcp.connect() as client:
        assert await client.publish("x", Note("")) == 0
