"""Servers that are one bus, from client to client, while the network between them comes apart and heals."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio

import t2bus
from bus_helpers import Add, Note, Sum, add
from pure_helpers import limits_with
from server_helpers import joined, open_servers, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from trio.testing import MockClock

LEASE = 2.0


@asynccontextmanager
async def tasks() -> AsyncGenerator[trio.Nursery, None]:
    """Open a nursery whose tasks end with the body."""
    async with trio.open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()


async def hang(_request: Add) -> Sum:
    """Serve :class:`Add` in no time that anybody has."""
    await trio.sleep_forever()
    raise AssertionError


async def time_of(call: Callable[[], Awaitable[object]]) -> float:
    began = trio.current_time()
    await call()
    return trio.current_time() - began


# --- what clients notice of several servers: nothing


async def test_publish_and_subscribe(autojump_clock: MockClock) -> None:
    """A message published at one server reaches subscribers at all, and its receipt counts them."""
    async with open_servers("a", "b", "c") as (_, servers):
        await joined(*servers.values())
        a, b, c = servers.values()
        async with (
            a.bus.open_client() as publisher,
            b.bus.open_client() as one,
            c.bus.open_client() as two,
            one.subscribe(Note, "lab/*") as near,
            two.subscribe(Note, "**") as far,
        ):
            assert await publisher.publish("lab/1", Note("hot")) == 2
            assert [(await each.receive()).body for each in (near, far)] == [Note("hot")] * 2


async def test_request_and_response(autojump_clock: MockClock) -> None:
    """A request is answered by the service wherever that is, and refused at once where there is none."""
    async with open_servers("a", "b") as (_, servers):
        await joined(*servers.values())
        a, b = servers.values()
        async with a.bus.open_client() as client, b.bus.open_client() as server, tasks() as nursery:
            with pytest.raises(t2bus.ServiceNotFound):
                await client.request("x", Add(1, 2))
            await nursery.start(server.serve_with, Add, "x", add)
            assert await client.request("x", Add(1, 2)) == Sum(3)
            with pytest.raises(t2bus.TopicClaimed):
                async with client.serve(Add, "x"):
                    pass


async def test_a_topic_moves_from_server_to_server(autojump_clock: MockClock) -> None:
    """A topic whose service has ended at one server can be served at another at once, however slow the way."""
    async with open_servers("a", "b") as (network, servers):
        await joined(*servers.values())
        network.delay = 0.1
        a, b = servers.values()
        async with a.bus.open_client() as one, b.bus.open_client() as other:
            for _ in range(10):
                for client in (one, other):
                    async with client.serve(Add, "x"):
                        pass


async def test_large_messages(autojump_clock: MockClock) -> None:
    """The largest message that a client may send reaches subscribers at another server whole."""
    async with open_servers("a", "b") as (_, servers):
        await joined(*servers.values())
        a, b = servers.values()
        body = os.urandom((1 << 20) - 1000)
        async with a.bus.open_client() as one, b.bus.open_client() as other, other.subscribe_bytes("x") as messages:
            for _ in range(3):
                assert await one.publish_bytes("x", body) == 1
                assert (await messages.receive()).body == body


async def test_order_of_a_pipelined_publisher(autojump_clock: MockClock) -> None:
    """What a paced publisher sends arrives at another server complete and in its order, however slow the reader."""
    async with open_servers("a", "b", limits=limits_with(subscription_messages=64)) as (_, servers):
        await joined(*servers.values())
        a, b = servers.values()
        async with (
            a.bus.open_client() as one,
            b.bus.open_client() as other,
            other.subscribe_bytes("x") as messages,
            tasks() as nursery,
        ):

            async def publish() -> None:
                async with one.open_bytes_publisher("x") as publisher:
                    for number in range(1000):
                        await publisher.send(b"%d" % number)

            nursery.start_soon(publish)
            for number in range(1000):
                assert (await messages.receive()).body == b"%d" % number
                if number % 100 == 0:
                    await trio.sleep(0.5)


async def test_alone(autojump_clock: MockClock) -> None:
    """A server that meets no others serves its clients at once."""
    async with (
        open_servers("a") as (_, servers),
        servers["a"].bus.open_client() as client,
        client.subscribe(Note, "x"),
        tasks() as nursery,
    ):
        assert await client.publish("x", Note("here")) == 1
        await nursery.start(client.serve_with, Add, "x", add)
        assert await client.request("x", Add(1, 2)) == Sum(3)


@pytest.mark.parametrize("broken", ["add", "discard"])
async def test_an_error_inside_a_server_costs_one_connection(
    broken: str, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should a server itself fail over what others are to be told of a client, only that client can notice it."""
    async with open_servers("a", "b") as (_, servers):
        await joined(*servers.values())
        a, b = servers.values()
        async with b.bus.open_client() as bystander, bystander.subscribe(Note, "x"):
            with monkeypatch.context() as patch:
                patch.setattr(f"t2bus.broker.groups.Groups.{broken}", None)
                async with a.bus.open_client() as client:
                    with suppress(t2bus.Disconnected):
                        async with client.subscribe(Note, "y"):
                            pass
                await until(lambda: a.bus.statistics().connections == 0)
            assert "internal error" in caplog.text
            async with a.bus.open_client() as another:
                assert await another.publish("x", Note("still here")) == 1


# --- a server that is killed, or stands still


async def test_a_server_is_killed(autojump_clock: MockClock) -> None:
    """The counts of a server that is killed drop out, requests to it raise ``ServiceGone``, and its claims are free
    within a second.
    """
    async with open_servers("a", "b") as (network, servers):
        await joined(*servers.values())
        a, b = servers.values()
        async with a.bus.open_client() as client, b.bus.open_client() as server, tasks() as nursery:
            await nursery.start(server.serve_with, Add, "x", hang)
            await nursery.start(server.subscribe_with, Note, "x", _ignore)
            assert await client.publish("x", Note("both")) == 1

            async def request() -> None:
                with pytest.raises(t2bus.ServiceGone):
                    await client.request("x", Add(1, 2))
                with trio.fail_after(1):
                    await nursery.start(client.serve_with, Add, "x", add)
                assert await client.publish("x", Note("one")) == 0
                asked.set()

            asked = trio.Event()
            nursery.start_soon(request)
            await trio.sleep(0.1)
            network.kill(b.node)
            await asked.wait()


async def _ignore(_note: Note) -> None:
    pass


async def test_a_server_stands_still(autojump_clock: MockClock) -> None:
    """Publishers elsewhere wait for a server that stands still no longer than the lease, once; when it goes on it joins
    again, and nothing comes twice.
    """
    async with open_servers("a", "b") as (network, servers):
        await joined(*servers.values())
        a, b = servers.values()
        async with a.bus.open_client() as one, b.bus.open_client() as other, other.subscribe_bytes("x") as messages:
            network.freeze(b.node)
            assert LEASE - 0.5 < await time_of(lambda: one.publish_bytes("x", b"late")) < LEASE + 0.5
            assert await time_of(lambda: one.publish_bytes("x", b"lost")) < 0.1
            network.thaw(b.node)
            await joined(a, b)
            await until(lambda: bool(a.bus.routing.router.subscriptions.routes.find("x")[0].ways))
            assert await one.publish_bytes("x", b"again") == 1
            heard = [(await messages.receive()).body]
            while heard[-1] != b"again":
                heard.append((await messages.receive()).body)
            assert heard in ([b"again"], [b"late", b"again"])


# --- a network that comes apart


async def test_both_sides_go_on_and_the_older_claim_wins(autojump_clock: MockClock) -> None:
    """In a network that has come apart each side may serve a topic; healed, the younger service ends with
    ``ServiceRevoked``, and requests from everywhere go to the older one.
    """
    async with open_servers("a", "b") as (network, servers):
        await joined(*servers.values())
        a, b = servers.values()
        network.part({a.node}, {b.node})
        async with a.bus.open_client() as one, b.bus.open_client() as other, tasks() as nursery:
            await until(lambda: not a.members)
            await nursery.start(one.serve_with, Add, "x", add)
            await trio.sleep(1)
            async with other.serve(Add, "x") as requests:
                network.heal()
                with pytest.raises(t2bus.ServiceRevoked):
                    async for _ in requests:
                        pass
            assert await other.request("x", Add(1, 2)) == Sum(3)


async def test_a_minority_serves_no_new_topic(autojump_clock: MockClock) -> None:
    """With ``min_members`` the smaller side of a network that has come apart refuses claims, the larger does not."""
    async with open_servers("a", "b", "c", min_members=2) as (network, servers):
        await joined(*servers.values())
        a, b, c = servers.values()
        network.part({a.node}, {b.node, c.node})
        await until(lambda: (a.members, b.members, c.members) == (0, 1, 1))
        async with a.bus.open_client() as one, b.bus.open_client() as other:
            with pytest.raises(t2bus.TopicClaimed, match=r"1 of at least 2 servers .*min_members"):
                async with one.serve(Add, "x"):
                    pass
            async with other.serve(Add, "x"):
                pass


async def test_what_is_open_works_again_when_healed(autojump_clock: MockClock) -> None:
    """Subscriptions and services on both sides are known to the other again when the network has healed."""
    async with open_servers("a", "b") as (network, servers):
        await joined(*servers.values())
        a, b = servers.values()
        async with a.bus.open_client() as one, b.bus.open_client() as other, tasks() as nursery:
            await nursery.start(other.serve_with, Add, "x", add)
            async with other.subscribe_bytes("y") as messages:
                for _ in range(3):
                    network.part({a.node}, {b.node})
                    await until(lambda: not a.members)
                    assert await one.publish_bytes("y", b"lost") == 0
                    network.heal()
                    await joined(a, b)
                    await until(lambda: bool(a.bus.routing.router.subscriptions.routes.find("y")[0].ways))
                    assert await one.publish_bytes("y", b"y") == 1
                    assert (await messages.receive()).body == b"y"
                    assert await one.request("x", Add(1, 2)) == Sum(3)


# --- an engine that fails


async def test_an_engine_that_fails(autojump_clock: MockClock) -> None:
    """Clients of a server whose engine fails notice nothing among themselves, and it joins the others again."""
    async with open_servers("a", "b") as (network, servers):
        await joined(*servers.values())
        a, b = servers.values()
        async with a.bus.open_client() as one, b.bus.open_client() as other, one.subscribe_bytes("x") as messages:
            for _ in range(3):
                network.fail(a.node)
                assert await one.publish_bytes("x", b"here") == 1
                await until(lambda: not a.members)
                await joined(a, b)
                await until(lambda: bool(b.bus.routing.router.subscriptions.routes.find("x")[0].ways))
                assert await other.publish_bytes("x", b"there") == 1
                assert [(await messages.receive()).body for _ in range(2)] == [b"here", b"there"]
