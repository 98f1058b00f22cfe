"""``serve_with``: handlers that are given the whole request, and those that finish when their service ends."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Site, Sum, add, settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock


async def start(nursery: trio.Nursery, client: t2bus.Client, handler: Callable[..., Any], **options: bool) -> None:
    await nursery.start(partial(client.serve_with, Add, "x", handler, **options))


async def test_a_handler_may_be_given_the_whole_request(site: Site) -> None:
    """With ``whole=True`` a handler sees headers, topic and deadline, and what it returns is the answer."""
    seen: list[t2bus.Request[Add, Any]] = []

    async def handler(request: t2bus.Request[Add, Any]) -> Sum:
        seen.append(request)
        return await add(request.body)

    async with site.connect() as server, site.connect() as client, trio.open_nursery() as nursery:
        await start(nursery, server, handler, whole=True)
        with trio.fail_after(60):
            assert await client.request("x", Add(1, 2), headers={"trace": "4711"}) == Sum(3)
            assert 0 < seen[0].deadline - trio.current_time() <= 61
        assert (seen[0].topic, seen[0].headers) == ("add/x", {"trace": "4711"})
        await client.request("x", Add(1, 2))
        assert seen[1].deadline == math.inf
        nursery.cancel_scope.cancel()


async def test_a_handler_may_answer_with_headers(site: Site) -> None:
    """A handler that has answered by itself has answered, with headers if it likes."""

    async def handler(request: t2bus.Request[Add, Any]) -> None:
        await request.respond(Sum(7), headers={"unit": "mm"})

    async with site.connect() as server, site.connect() as client, trio.open_nursery() as nursery:
        await start(nursery, server, handler, whole=True)
        received = await client.request_received("x", Add(1, 2))
        assert (received.body, received.headers) == (Sum(7), {"unit": "mm"})
        nursery.cancel_scope.cancel()


async def test_a_handler_may_refuse(memory: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that failed its request by itself has answered it."""

    async def handler(request: t2bus.Request[Add, Any]) -> None:
        await request.fail("no such oven")

    async with memory.connect() as client, trio.open_nursery() as nursery:
        await start(nursery, client, handler, whole=True)
        with pytest.raises(t2bus.RemoteError, match="no such oven"):
            await client.request("x", Add(1, 2))
        nursery.cancel_scope.cancel()
    assert caplog.text == ""


async def test_an_answer_after_the_answer_is_a_bug(memory: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that answers and returns an answer too has a bug, which is logged; the first answer stands."""

    async def handler(request: t2bus.Request[Add, Any]) -> Sum:
        await request.respond(Sum(1))
        return Sum(2)

    async with memory.connect() as client, trio.open_nursery() as nursery:
        await start(nursery, client, handler, whole=True)
        assert await client.request("x", Add(1, 2)) == Sum(1)
        await settle()
        nursery.cancel_scope.cancel()
    assert "this request was answered already" in caplog.text


async def test_a_handler_may_go_on_when_it_has_answered(memory: Site, autojump_clock: MockClock) -> None:
    """Once the answer is given, neither the deadline nor the end of the requester stops the handler."""
    finished: list[float] = []

    async def handler(request: t2bus.Request[Add, Any]) -> None:
        await request.respond(Sum(3))
        await trio.sleep(5)
        finished.append(trio.current_time())

    async with memory.connect() as server, trio.open_nursery() as nursery:
        await start(nursery, server, handler, whole=True)
        async with memory.connect() as client:
            with trio.fail_after(1):
                await client.request("x", Add(1, 2))
        await trio.sleep(10)
        assert len(finished) == 1
        nursery.cancel_scope.cancel()


async def test_raw_requests_have_handlers(memory: Site) -> None:
    """``serve_bytes_with`` gives payloads, or whole requests with payloads, and ``request_bytes_received`` headers."""

    async def reverse(payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return payload[::-1]

    async def reverse_whole(request: t2bus.Request[bytes, bytes]) -> None:
        await request.respond(request.body[::-1], headers=request.headers)

    async with memory.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(client.serve_bytes_with, "x/plain", reverse)
        await nursery.start(partial(client.serve_bytes_with, "x/whole", reverse_whole, whole=True))
        assert await client.request_bytes("x/plain", b"abc") == b"cba"
        received = await client.request_bytes_received("x/whole", b"abc", headers={"k": "v"})
        assert (received.topic, received.body, received.headers) == ("x/whole", b"cba", {"k": "v"})
        nursery.cancel_scope.cancel()


# --- finishing

LONG = 3.0
"""Seconds that a handler takes, within ``Limits.drain``."""


async def slow(request: Add) -> Sum:
    await trio.sleep(LONG if request.left == 0 else 1000)
    return Sum(request.right)


class Outcomes(dict[int, object]):
    """What became of requests, by their right summand."""

    async def ask(self, client: t2bus.Client, left: int, right: int) -> None:
        try:
            self[right] = await client.request("x", Add(left, right))
        except t2bus.BusError as error:
            self[right] = type(error)


async def test_handlers_finish_when_their_service_ends(site: Site, clock: MockClock) -> None:
    """With ``finish=True`` what runs is answered before the service ends; what comes meanwhile is told of the end."""
    outcomes = Outcomes()
    async with site.connect() as server, site.connect() as client, trio.open_nursery() as nursery:
        async with trio.open_nursery() as serving:
            await start(serving, server, slow, finish=True)
            nursery.start_soon(outcomes.ask, client, 0, 1)
            await settle()
            began = trio.current_time()
            serving.cancel_scope.cancel()
            nursery.start_soon(outcomes.ask, client, 0, 2)
        assert LONG - 0.1 < trio.current_time() - began < LONG + 0.9
        assert server.statistics().services == 0
        await settle()
        assert outcomes == {1: Sum(1), 2: t2bus.ServiceGone}


async def test_handlers_have_the_time_of_a_drain_to_finish(memory: Site, autojump_clock: MockClock) -> None:
    """A handler that takes longer than ``Limits.drain`` is cancelled, and its requester told that the server left."""
    outcomes = Outcomes()
    limits = t2bus.Limits(drain=2.0)
    async with memory.connect(limits=limits) as server, memory.connect() as client, trio.open_nursery() as nursery:
        async with trio.open_nursery() as serving:
            await start(serving, server, slow, finish=True)
            nursery.start_soon(outcomes.ask, client, 1, 1)
            await settle()
            began = trio.current_time()
            serving.cancel_scope.cancel()
        assert 1.9 < trio.current_time() - began < 2.1
        await settle()
        assert outcomes == {1: t2bus.ServiceGone}


async def test_without_finish_handlers_end_at_once(memory: Site, autojump_clock: MockClock) -> None:
    """Otherwise the end of a service cancels its handlers, and their requesters hear of it at once."""
    outcomes = Outcomes()
    async with memory.connect() as server, memory.connect() as client, trio.open_nursery() as nursery:
        async with trio.open_nursery() as serving:
            await start(serving, server, slow)
            nursery.start_soon(outcomes.ask, client, 0, 1)
            await settle()
            began = trio.current_time()
            serving.cancel_scope.cancel()
        await settle()
        assert (trio.current_time() - began, outcomes) == (0, {1: t2bus.ServiceGone})


async def test_handlers_finish_when_the_whole_program_is_cancelled(tcp: Site, clock: MockClock) -> None:
    """The answers are heard though the block of the client is cancelled with its service, as a signal does it."""
    outcomes = Outcomes()
    async with tcp.connect() as client, trio.open_nursery() as nursery:
        with trio.CancelScope() as program:
            async with tcp.connect() as server, trio.open_nursery() as serving:
                await start(serving, server, slow, finish=True)
                nursery.start_soon(outcomes.ask, client, 0, 1)
                await settle()
                program.cancel()
        await settle()
        assert outcomes == {1: Sum(1)}


async def test_a_requester_that_gives_up_ends_its_handler_still(memory: Site, autojump_clock: MockClock) -> None:
    """While a service finishes, a handler for which nobody waits any more is cancelled."""

    async def ask_for_a_second(client: t2bus.Client) -> None:
        with trio.move_on_after(1):
            await client.request("x", Add(0, 1))

    async with memory.connect() as server, memory.connect() as client, trio.open_nursery() as nursery:
        began = trio.current_time()
        async with trio.open_nursery() as serving:
            await start(serving, server, slow, finish=True)
            nursery.start_soon(ask_for_a_second, client)
            await settle()
            serving.cancel_scope.cancel()
        assert 0.9 < trio.current_time() - began < 1.1


async def test_a_lost_connection_ends_finishing(memory: Site, autojump_clock: MockClock) -> None:
    """When the bus is lost there is nothing to finish, however long handlers may go on."""
    async with memory.connect() as server, memory.connect() as client, trio.open_nursery() as nursery:
        async with trio.open_nursery() as serving:
            await start(serving, server, slow, finish=True)
            nursery.start_soon(Outcomes().ask, client, 0, 1)
            await settle()
            began = trio.current_time()
            serving.cancel_scope.cancel()
            nursery.start_soon(memory.bus.aclose)
        assert trio.current_time() - began < 1
        nursery.cancel_scope.cancel()
