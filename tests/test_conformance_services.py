"""Requests, services, statistics and limits do the same over every transport."""

from __future__ import annotations

import math
import random

import pytest
import trio

import t2bus
from bus_helpers import Add, Note, Site, Sum, add, settle


async def test_a_request_is_answered(site: Site) -> None:
    """A request meets the service of its topic, and its answer comes back typed."""
    async with site.connect() as client, site.connect() as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_with, Add, "x", add)
        assert await client.request("x", Add(20, 22)) == Sum(42)
        nursery.cancel_scope.cancel()


async def test_the_empty_topic_of_a_service_is_the_prefix_alone(site: Site) -> None:
    """The topic "" is the prefix, for requesting and serving."""
    async with site.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, "", add)
        assert await client.request("", Add(1, 1)) == Sum(2)
        assert (await client.request_received("", Add(1, 1))).topic == "add"
        nursery.cancel_scope.cancel()


async def test_requests_are_a_channel(site: Site) -> None:
    """A service gives requests with topic, body, headers and deadline, each to be answered when its time comes."""
    answers: list[Sum] = []

    async def ask(left: int) -> None:
        answers.append(await client.request("x", Add(left, 0), headers={"n": str(left)}))

    async with (
        site.connect() as client,
        site.connect() as server,
        server.serve(Add, "x") as requests,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(ask, 1)
        nursery.start_soon(ask, 2)
        taken = [await requests.receive(), await requests.receive()]
        for request in reversed(taken):
            assert request.topic == "add/x"
            assert request.headers == {"n": str(request.body.left)}
            assert request.deadline == math.inf
            assert not request.withdrawn
            await request.respond(await add(request.body))
    assert sorted(answers, key=lambda answer: answer.value) == [Sum(1), Sum(2)]


async def test_headers_travel_with_requests_and_responses(site: Site) -> None:
    """Headers arrive both ways as they were sent."""

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        async with server.serve(Add, "x") as requests:
            task_status.started()
            async for request in requests:
                await request.respond(await add(request.body), headers={"for": request.headers["from"], "é": "ü"})

    async with site.connect() as client, site.connect() as server, trio.open_nursery() as nursery:
        await nursery.start(serve)
        received = await client.request_received("x", Add(1, 2), headers={"from": "me"})
        assert received == t2bus.Received("add/x", Sum(3), {"for": "me", "é": "ü"})
        nursery.cancel_scope.cancel()


async def test_raw_requests(site: Site) -> None:
    """Requests and responses travel as the bytes they are, under a full topic."""

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        async with server.serve_bytes("raw/x") as requests:
            task_status.started()
            async for request in requests:
                await request.respond(request.body[::-1])

    async with site.connect() as client, site.connect() as server, trio.open_nursery() as nursery:
        await nursery.start(serve)
        for payload in (b"", b"\0\xff", random.Random(0).randbytes(200_000)):
            assert await client.request_bytes("raw/x", payload) == payload[::-1]
        nursery.cancel_scope.cancel()


async def test_a_handler_that_fails(site: Site) -> None:
    """A handler's exception is the requester's ``RemoteError`` with its text, and the service goes on."""

    async def divide(request: Add) -> Sum:
        await trio.lowlevel.checkpoint()
        return Sum(request.left // request.right)

    async with site.connect() as client, site.connect() as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_with, Add, "x", divide)
        with pytest.raises(t2bus.RemoteError, match="ZeroDivisionError: "):
            await client.request("x", Add(1, 0))
        assert await client.request("x", Add(4, 2)) == Sum(2)
        nursery.cancel_scope.cancel()


async def test_fail_says_why(site: Site) -> None:
    """A request that is failed raises ``RemoteError`` with the text that was given."""

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        async with server.serve(Add, "x") as requests:
            task_status.started()
            async for request in requests:
                await request.fail("not today")

    async with site.connect() as client, site.connect() as server, trio.open_nursery() as nursery:
        await nursery.start(serve)
        with pytest.raises(t2bus.RemoteError, match=r"^not today$"):
            await client.request("x", Add(1, 0))
        nursery.cancel_scope.cancel()


async def test_handlers_run_concurrently_and_bounded(site: Site) -> None:
    """``serve_with`` runs as many handlers at once as the service's window has requests, and more are refused."""
    release = trio.Event()
    running = 0

    async def handler(request: Add) -> Sum:
        nonlocal running
        running += 1
        await release.wait()
        return await add(request)

    async def ask(number: int) -> None:
        assert await client.request("x", Add(number, number)) == Sum(2 * number)

    limits = t2bus.Limits(service_requests=8)
    async with site.connect() as client, site.connect(limits=limits) as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_with, Add, "x", handler)
        async with trio.open_nursery() as requesters:
            for number in range(8):
                requesters.start_soon(ask, number)
            while running < 8:
                await settle()
            with pytest.raises(t2bus.ServiceBusy):
                await client.request("x", Add(0, 0))
            release.set()
        assert running == 8
        nursery.cancel_scope.cancel()


async def test_the_deadline_travels_with_a_request(site: Site, clock: trio.testing.MockClock) -> None:
    """The responder sees when its requester stops waiting, and a handler is stopped then."""
    deadlines: list[float] = []
    stopped = trio.Event()

    async def handler(request: Add) -> Sum:
        deadlines.append(trio.current_effective_deadline())
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    async with site.connect() as client, site.connect() as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_with, Add, "x", handler)
        expected = trio.current_time() + 3
        with pytest.raises(trio.TooSlowError), trio.fail_at(expected):
            await client.request("x", Add(0, 0))
        await stopped.wait()
        assert deadlines == [pytest.approx(expected, abs=0.1)]
        nursery.cancel_scope.cancel()


async def test_a_client_asks_itself(site: Site) -> None:
    """One client may serve and request the same topic."""
    async with site.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, "x", add)
        assert [await client.request("x", Add(n, n)) for n in range(50)] == [Sum(2 * n) for n in range(50)]
        nursery.cancel_scope.cancel()


async def test_publications_and_requests_do_not_meet(site: Site) -> None:
    """A service gets no publications of its topic, and a subscription no requests."""
    async with site.connect() as client, client.subscribe_bytes("add/x"), trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, "x", add)
        assert await client.request("x", Add(1, 1)) == Sum(2)
        assert client.statistics().messages_waiting == 0
        assert await client.publish_bytes("add/x", b"") == 1
        assert client.statistics().calls_pending == 0
        nursery.cancel_scope.cancel()


async def test_as_many_requests_at_once_as_allowed(site: Site) -> None:
    """A client may have 256 requests pending; one more is refused at once and harms none of them."""
    answers: list[int] = []

    async def ask(number: int) -> None:
        answers.append((await client.request("x", Add(number, 0))).value)

    async with (
        site.connect() as client,
        site.connect() as server,
        server.serve(Add, "x") as requests,
        trio.open_nursery() as nursery,
    ):
        for number in range(256):
            nursery.start_soon(ask, number)
        taken = [await requests.receive() for _ in range(256)]
        with pytest.raises(t2bus.LimitExceeded, match=r"Limits\.requests"):
            await client.request("x", Add(0, 0))
        for request in taken:
            await request.respond(await add(request.body))
    assert sorted(answers) == list(range(256))


async def test_statistics_of_client_and_bus(site: Site) -> None:
    """Clients and bus count what is registered, pending and done."""
    before = site.bus.statistics()
    async with site.connect() as client, site.connect() as server:
        async with server.subscribe(Note, "*") as messages, server.serve(Add, "x") as requests:
            await client.publish("x", Note("taken"))
            await client.publish("x", Note("left"))
            await messages.receive()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.request, "x", Add(1, 2))
                request = await requests.receive()
                statistics = site.bus.statistics()
                assert (statistics.connections, statistics.subscriptions, statistics.services) == (2, 1, 1)
                assert (statistics.published, statistics.delivered, statistics.requests_pending) == (2, 2, 1)
                own = server.statistics()
                assert (own.subscriptions, own.services, own.calls_pending, own.messages_waiting) == (1, 1, 1, 1)
                assert (own.received, own.published, own.dropped) == (2, 0, 0)
                assert (client.statistics().requests_pending, client.statistics().requested) == (1, 1)
                await request.respond(Sum(3))
        assert client.statistics().requests_pending == 0
    await settle()
    after = site.bus.statistics()
    assert (after.connections, after.subscriptions, after.services) == (before.connections, 0, 0)
    assert (after.requests, after.requests_pending, after.buffered_bytes) == (1, 0, 0)


async def test_a_client_has_limits_of_its_own(site: Site) -> None:
    """The windows that a client is opened with hold for its subscriptions, on whatever bus."""
    async with (
        site.connect(limits=t2bus.Limits(subscription_messages=2)) as client,
        client.subscribe(Note, "x") as messages,
    ):
        for text in "abc":
            await client.publish("x", Note(text))
        assert [(await messages.receive()).body.text for _ in range(2)] == ["a", "b"]
        with pytest.raises(t2bus.Lagged) as caught:
            await messages.receive()
    assert caught.value.dropped == 1


async def test_the_addresses_are_those_really_bound(site: Site) -> None:
    """A bus says where it listens, with a port where none was given, and nothing if only this process reaches it."""
    for address in site.bus.addresses:
        assert not address.endswith(":0")
        async with t2bus.open_client(address) as client:
            assert await client.publish("x", Note("")) == 0
