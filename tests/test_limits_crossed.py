"""Every bound of a bus is reached and crossed by some test, here or elsewhere, and others go on all the while."""

from __future__ import annotations

import ast
import math
from contextlib import AsyncExitStack
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Bystanders, Note, Sum, add, open_bystanders, open_peer, wait_until
from pure_helpers import limits_with
from t2bus.wire import messages as m
from t2bus.wire import native

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bus_helpers import Connect, RawPeer

HERE = Path(__file__).stem

CROSSED: dict[str, tuple[str, str]] = {
    "connections": ("test_promises", "test_promise_05_connections_are_bounded"),
    "connections_per_identity": (HERE, "test_connections_of_one_identity"),
    "accepts": (HERE, "test_accepts_in_a_second"),
    "handshakes": ("test_faults", "test_more_silent_peers_than_allowed"),
    "tls_handshakes": ("test_server_slots", "test_peers_that_stop_in_the_middle_lose_their_place_to_others"),
    "handshake_bytes": (HERE, "test_bytes_of_a_handshake"),
    "handshake_time": ("test_faults", "test_a_peer_that_says_nothing"),
    "frame": ("test_conformance_publishing", "test_the_largest_message"),
    "topic_length": ("test_promises", "test_promise_05_topics_are_bounded"),
    "topic_depth": ("test_promises", "test_promise_05_topics_are_bounded"),
    "subscriptions": ("test_promises", "test_promise_05_subscriptions_are_bounded"),
    "services": ("test_promises", "test_promise_05_services_are_bounded"),
    "requests": ("test_conformance_services", "test_as_many_requests_at_once_as_allowed"),
    "subscription_messages": ("test_promises", "test_promise_06_a_spent_window_drops_for_one_subscription_alone"),
    "subscription_bytes": ("test_promises", "test_promise_06_windows_count_bytes_too"),
    "service_requests": ("test_promises", "test_promise_06_a_busy_service_says_so_at_once"),
    "service_bytes": (HERE, "test_bytes_of_a_service"),
    "publisher_messages": ("test_promises", "test_promise_05_a_publisher_is_bounded"),
    "publisher_bytes": ("test_promises", "test_promise_05_a_publisher_is_bounded"),
    "held_messages": ("test_broker_pubsub", "test_publications_held_for_one_connection_are_bounded"),
    "stall": ("test_promises", "test_promise_06_a_stalled_subscriber_holds_nobody"),
    "outbox_bytes": ("test_promises", "test_promise_05_what_waits_for_a_connection_is_bounded"),
    "control_bytes": ("test_promises", "test_promise_06_a_peer_that_reads_may_say_much"),
    "total_bytes": ("test_promises", "test_promise_05_what_waits_for_all_connections_is_bounded"),
    "incoming_bytes": ("test_server_large_frames", "test_what_has_come_in_part_is_bounded"),
    "inbox": (HERE, "test_batches_that_wait_for_the_router"),
    "turn_steps": ("test_broker_turns", "test_a_turn_ends_after_its_steps"),
    "routes": ("test_broker_routes", "test_routes_are_bounded_in_number"),
    "matching_steps": ("test_promises", "test_promise_05_matching_is_bounded"),
    "request_lifetime": ("test_original_faults", "test_a_request_that_times_out_raises"),
    "ping_interval": (HERE, "test_the_time_until_a_ping"),
    "silence": ("test_promises_lifetime", "test_promise_11_the_bus_finds_a_silent_client"),
    "write_stall": ("test_promises", "test_promise_06_a_peer_that_takes_nothing_is_closed"),
    "drain": ("test_promises_lifetime", "test_promise_12_shutdown_takes_at_most_5_s"),
}
"""For each bound the module and the name of a test that crosses it."""

FIELDS = [each.name for each in attrs.fields(t2bus.Limits)]


@cache
def names_of_tests(module: str) -> frozenset[str]:
    """Return the names of a module's tests, read from its source."""
    tree = ast.parse(Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def test_every_bound_has_a_test() -> None:
    """The table names each bound once, in their order, and nothing else."""
    assert list(CROSSED) == FIELDS


@pytest.mark.parametrize("name", FIELDS)
def test_the_test_is_there(name: str) -> None:
    """The test that the table names is in its module."""
    module, test = CROSSED[name]
    assert test in names_of_tests(module)


@pytest.mark.parametrize("name", FIELDS)
def test_a_bound_of_nothing_is_none(name: str) -> None:
    """No bound may be zero or less, for then nothing would get through; the smallest that others leave is taken."""
    is_time = isinstance(getattr(t2bus.Limits(), name), float)
    for value in (0, -1):
        with pytest.raises(ValueError, match=name):
            t2bus.Limits(**{name: value})
    assert limits_with(**{name: 0.001 if is_time else 1}) != t2bus.Limits()


@pytest.mark.parametrize("name", FIELDS)
def test_a_bound_is_a_number_that_the_wire_can_say(name: str) -> None:
    """What is no number, a count that is no whole number, and one that no frame can carry are refused by name."""
    is_time = isinstance(getattr(t2bus.Limits(), name), float)
    for value in (True, "5", None, *(() if is_time else (1.5, math.inf))):
        with pytest.raises(TypeError, match=name):
            t2bus.Limits(**{name: value})
    with pytest.raises(ValueError, match=name):
        limits_with(**{name: math.nan if is_time else 2**64})


CONTRADICTIONS: dict[str, tuple[dict[str, float], str]] = {
    "no outbox takes the frame": ({"frame": 40_000_000}, "frame=40000000 needs outbox_bytes of at least as much"),
    "the outbox is below the frame": ({"outbox_bytes": 1_000_000}, "frame=1048576 needs outbox_bytes .* not 1000000"),
    "the total is below the frame": ({"total_bytes": 1_000_000}, "frame=1048576 needs total_bytes .* not 1000000"),
    "nobody is asked for a sign of life": ({"silence": 10}, "ping_interval=10 has to be below silence=10"),
}


@pytest.mark.parametrize(("bounds", "text"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_bounds_that_contradict_each_other_are_refused(bounds: dict[str, float], text: str) -> None:
    """A bound that another makes fail is refused, with the names of both."""
    with pytest.raises(ValueError, match=text):
        t2bus.Limits(**bounds)  # type: ignore[arg-type]


# --- who may be connected


@pytest.fixture
async def local() -> AsyncGenerator[tuple[t2bus.Bus, Bystanders], None]:
    """Open a bus with few places for each identity, and two clients in this process that nothing may disturb."""
    limits = t2bus.Limits(connections_per_identity=2)
    async with t2bus.open_bus("tcp:127.0.0.1:0", limits=limits) as bus, open_bystanders(bus.open_client) as bystanders:
        yield bus, bystanders
        await bystanders.try_out()


async def test_connections_of_one_identity(
    local: tuple[t2bus.Bus, Bystanders], caplog: pytest.LogCaptureFixture
) -> None:
    """One more of an identity than allowed is told so; others have places of their own, and a place left is free."""
    bus, bystanders = local
    (address,) = bus.addresses
    async with t2bus.open_client(address) as client:
        async with t2bus.open_client(address):
            assert bus.statistics().identities == {"local": 2, "anonymous": 2}
            ways: list[tuple[str, Connect]] = [
                ("anonymous", partial(t2bus.open_client, address)),
                ("local", bus.open_client),
            ]
            for who, connect in ways:
                with pytest.raises(t2bus.ConnectFailed) as caught:
                    async with connect():
                        pass
                assert str(caught.value) == (
                    f"the bus did not let this client in: {who} has 2 connections, "
                    "all that Limits.connections_per_identity allows"
                )
            await bystanders.try_out()
            assert bus.statistics().refused == 2
        await wait_until(lambda: bus.statistics().connections == 3)
        async with t2bus.open_client(address):
            assert await client.publish("x", Note("")) == 0
    await wait_until(lambda: bus.statistics().connections == 2)
    assert bus.statistics().identities == {"local": 2}
    assert [text.partition(" refused: ")[0] for text in caplog.messages] == [
        "connection of 127.0.0.1",
        "connection of local",
    ]


async def test_accepts_in_a_second(clock: trio.testing.MockClock) -> None:
    """Of many that come at once a second's worth is let in, and the rest at an even pace, while others go on."""
    rate, crowd = 5, 14
    welcomed: list[float] = []

    async def come(peer: RawPeer[m.ServerMessage]) -> None:
        await peer.shake_hands()
        welcomed.append(trio.current_time() - start)

    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(
            t2bus.open_bus("tcp:127.0.0.1:0", limits=t2bus.Limits(accepts=rate, ping_interval=100, silence=200))
        )
        bystanders = await stack.enter_async_context(open_bystanders(bus.open_client))
        peers = [await stack.enter_async_context(open_peer(bus)) for _ in range(crowd)]
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(come, peer)
            await wait_until(lambda: len(welcomed) > rate)
            await bystanders.try_out()
        assert len(welcomed) == bus.statistics().connections - 2 == crowd
        await bystanders.try_out()
    expected = [0.0] * (rate + 1) + [number / rate for number in range(1, crowd - rate)]
    assert welcomed == pytest.approx(expected, abs=0.02)


# --- handshakes


@pytest.mark.parametrize("extra", [0, 1])
async def test_bytes_of_a_handshake(clock: trio.testing.MockClock, extra: int) -> None:
    """A HELLO of as many bytes as allowed is welcomed, and with one more the peer is sent away."""
    hello = m.Hello(native.VERSION, "a test of long hellos", ())
    size = len(native.encode(hello)) - 4
    async with (
        t2bus.open_bus("tcp:127.0.0.1:0", limits=t2bus.Limits(handshake_bytes=size - extra)) as bus,
        open_bystanders(bus.open_client) as bystanders,
        open_peer(bus) as peer,
    ):
        await peer.send(hello)
        if extra:
            assert all(isinstance(message, m.Error) for message in await peer.read_to_end())
            assert bus.statistics().violations == 1
        else:
            await peer.expect(m.Welcome)
        await bystanders.try_out()


# --- services


async def test_bytes_of_a_service() -> None:
    """Requests that are not answered take room in their service alone, however much the server asked for."""
    async with (
        t2bus.open_bus(limits=t2bus.Limits(service_bytes=100)) as bus,
        bus.open_client(limits=t2bus.Limits()) as server,
        open_bystanders(bus.open_client) as bystanders,
        server.serve_bytes("raw") as requests,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(server.serve_with, Add, "other", add)
        nursery.start_soon(bystanders.one.request_bytes, "raw", bytes(100))
        request = await requests.receive()
        with pytest.raises(t2bus.ServiceBusy, match="'raw'"):
            await bystanders.other.request_bytes("raw", b"")
        assert await bystanders.other.request("other", Add(1, 2)) == Sum(3)
        await bystanders.try_out()
        await request.respond(b"")
        nursery.start_soon(bystanders.other.request_bytes, "raw", b"")
        await (await requests.receive()).respond(b"")
        nursery.cancel_scope.cancel()


# --- the router


async def test_batches_that_wait_for_the_router() -> None:
    """Peers that say more at once than the inbox takes wait their turn, and each is answered for all that it said."""
    crowd, each = 20, 10
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(t2bus.open_bus("tcp:127.0.0.1:0", limits=t2bus.Limits(inbox=1)))
        bystanders = await stack.enter_async_context(open_bystanders(bus.open_client))
        messages = await stack.enter_async_context(bystanders.one.subscribe_bytes("raw/*"))
        connects: list[Connect] = [bus.open_client, partial(t2bus.open_client, bus.addresses[0])]
        clients = [await stack.enter_async_context(connects[number % 2]()) for number in range(crowd)]

        async def publish(number: int) -> None:
            for place in range(each):
                assert await clients[number].publish_bytes(f"raw/n{number}", b"%d" % place) == 1

        async with trio.open_nursery() as nursery:
            for number in range(crowd):
                nursery.start_soon(publish, number)
            await bystanders.try_out()
        heard = [await messages.receive() for _ in range(crowd * each)]
        for number in range(crowd):
            bodies = [message.body for message in heard if message.topic == f"raw/n{number}"]
            assert bodies == [b"%d" % place for place in range(each)]
        await bystanders.try_out()


# --- time


async def test_the_time_until_a_ping(clock: trio.testing.MockClock) -> None:
    """A peer of which nothing is heard is asked for a sign of life, and again as often as it needs one of the bus."""
    async with (
        t2bus.open_bus("tcp:127.0.0.1:0", limits=t2bus.Limits(ping_interval=3, silence=10)) as bus,
        open_bystanders(bus.open_client) as bystanders,
        open_peer(bus) as peer,
    ):
        await peer.shake_hands()
        for _ in range(5):
            start = trio.current_time()
            ping = await peer.expect(m.Ping)
            assert 3 <= trio.current_time() - start <= 4.5
            await peer.send(m.Pong(ping.token))
        start = trio.current_time()
        assert [type(message) for message in await peer.read_to_end()] == [m.Ping, m.Ping, m.Ping, m.Error]
        assert 10 <= trio.current_time() - start <= 11.5
        await bystanders.try_out()
