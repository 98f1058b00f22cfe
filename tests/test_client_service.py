"""Serving: what becomes of handlers, and of requests that several tasks take."""

from __future__ import annotations

import logging
import math
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Site, Sum, add, settle
from tap_helpers import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def failing(error: Exception) -> Callable[[Add], Awaitable[Sum]]:
    """Return a handler that raises an error."""

    async def handler(_request: Add) -> Sum:
        await trio.lowlevel.checkpoint()
        raise error

    return handler


async def fail_when_cancelled() -> None:
    """Wait, and fail while it is cancelled, as closing a device does that is gone."""
    try:
        await trio.sleep_forever()
    finally:
        raise OSError("the port is gone")


async def outcome(site: Site, handler: Callable[[Add], Awaitable[object]]) -> str:
    """Serve with a handler, and return what the requester's ``RemoteError`` says."""
    async with site.connect() as server, site.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(server.serve_with, Add, "x", handler)
        with trio.fail_after(5), pytest.raises(t2bus.RemoteError) as caught:
            await client.request("x", Add(1, 2))
        await trio.testing.wait_all_tasks_blocked()
        assert server.statistics().calls_pending == 0
        nursery.cancel_scope.cancel()
    return str(caught.value)


async def test_a_handler_says_what_the_requester_reads(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A handler's own ``RemoteError`` passes as it is, and is no failure to log."""
    assert await outcome(site, failing(t2bus.RemoteError("out of stock"))) == "out of stock"
    assert caplog.text == ""


@pytest.mark.parametrize(
    "error", [t2bus.Disconnected("elsewhere"), trio.ClosedResourceError("elsewhere"), KeyError("k")]
)
async def test_a_handlers_own_trouble_reaches_the_requester(
    memory: Site, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a handler raises answers its request, the loss of some other connection too, and is logged."""
    assert (await outcome(memory, failing(error))).startswith(type(error).__name__)
    assert "the handler of add/x failed" in caplog.text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ExceptionGroup("", [t2bus.RemoteError("out of stock")]), "out of stock"),
        (ExceptionGroup("", [ExceptionGroup("", [KeyError("k")])]), "KeyError: 'k'"),
        (ExceptionGroup("", [t2bus.RemoteError("out of stock"), KeyError("k")]), "out of stock; KeyError: 'k'"),
    ],
    ids=["one", "nested", "two"],
)
async def test_the_errors_in_a_group_reach_the_requester(memory: Site, error: Exception, text: str) -> None:
    """What a handler raises from a nursery of its own is told to the requester error by error."""
    assert await outcome(memory, failing(error)) == text


async def test_an_answer_from_within_a_group_is_no_failure(memory: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A handler's own ``RemoteError`` is no failure to log, in a group neither."""
    await outcome(memory, failing(ExceptionGroup("", [t2bus.RemoteError("out of stock")])))
    assert caplog.text == ""


async def test_a_handler_that_fails_when_it_is_cancelled_ends_nothing_else(
    memory: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """A service goes on after a requester that gave up, though its handler raised in a nursery while it ended."""

    async def handler(request: Add) -> Sum:
        if request.right:
            return await add(request)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            await trio.sleep_forever()
        raise AssertionError

    async with memory.connect() as server, memory.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(server.serve_with, Add, "x", handler)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as requesters:
                requesters.start_soon(client.request, "x", Add(1, 0))
                await until(lambda: server.statistics().calls_pending == 1)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert await client.request("x", Add(1, 2)) == Sum(3)
        await until(lambda: server.statistics().calls_pending == 0)
        nursery.cancel_scope.cancel()
    assert "the handler of add/x failed" in caplog.text


async def test_a_service_that_is_cancelled_does_not_raise_the_errors_of_its_handlers(memory: Site) -> None:
    """A handler that raises in a nursery while its service is cancelled fails its own request alone."""

    async def handler(_request: Add) -> Sum:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            await trio.sleep_forever()
        raise AssertionError

    async def ask() -> None:
        with pytest.raises(t2bus.BusError):
            await client.request("x", Add(1, 2))

    async with memory.connect() as server, memory.connect() as client, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as serving:
                await serving.start(server.serve_with, Add, "x", handler)
                nursery.start_soon(ask)
                await until(lambda: server.statistics().calls_pending == 1)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()


async def test_a_handler_that_returns_something_else(memory: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A response that is not of the protocol's class fails that request, and is logged."""

    async def handler(_request: Add) -> object:
        await trio.lowlevel.checkpoint()
        return "three"

    assert "MalformedMessage" in await outcome(memory, handler)
    assert "the handler of add/x failed" in caplog.text


async def test_a_failure_of_any_text_travels(site: Site) -> None:
    """A text that is no Unicode, such as a file name may be, harms neither the service nor the connection."""
    error = FileNotFoundError("no such file: \udce9t\N{SNOWMAN}")
    assert await outcome(site, failing(error)) == "FileNotFoundError: no such file: ?t\N{SNOWMAN}"


async def test_a_failure_of_any_length_travels() -> None:
    """A text is cut to 4,096 characters, and to what a frame of the bus holds."""
    handler = failing(t2bus.RemoteError("\N{SNOWMAN}" * 100_000))
    for frame, length in ((1 << 20, 4096), (2048, (2048 - 64) // 3)):
        async with (
            t2bus.open_bus("tcp:127.0.0.1:0", limits=t2bus.Limits(frame=frame)) as bus,
            t2bus.open_client(bus.addresses[0]) as client,
            trio.open_nursery() as nursery,
        ):
            await nursery.start(client.serve_with, Add, "x", handler)
            with pytest.raises(t2bus.RemoteError) as caught:
                await client.request("x", Add(1, 2))
            assert str(caught.value) == "\N{SNOWMAN}" * length
            nursery.cancel_scope.cancel()


async def test_a_handler_is_cancelled_with_its_request(memory: Site) -> None:
    """A handler whose requester gives up is cancelled, others go on, and its place is free again."""
    running: list[Add] = []
    cancelled: list[Add] = []
    release = trio.Event()

    async def handler(request: Add) -> Sum:
        running.append(request)
        try:
            await release.wait()
        except trio.Cancelled:
            cancelled.append(request)
            raise
        return await add(request)

    async def ask(scope: trio.CancelScope) -> None:
        with scope:
            assert await client.request("x", Add(1, 0)) == Sum(1)

    async with memory.connect() as client, memory.connect() as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_with, Add, "x", handler)
        scopes = [trio.CancelScope(), trio.CancelScope()]
        async with trio.open_nursery() as requesters:
            for scope in scopes:
                requesters.start_soon(ask, scope)
            await until(lambda: len(running) == 2)
            scopes[0].cancel()
            await until(lambda: len(cancelled) == 1)
            await trio.testing.wait_all_tasks_blocked()
            assert server.statistics().calls_pending == memory.bus.statistics().requests_pending == 1
            release.set()
        nursery.cancel_scope.cancel()


async def test_what_is_done_for_a_request_that_is_withdrawn_is_cancelled(memory: Site) -> None:
    """A scope is cancelled when a request is withdrawn in it, and at once if it was withdrawn before."""
    async with memory.connect() as client, client.serve(Add, "x") as requests:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request, "x", Add(1, 2))
            request = await requests.receive()
            with trio.CancelScope() as scope, request.cancelled_when_withdrawn(scope):
                await trio.testing.wait_all_tasks_blocked()
                assert not scope.cancel_called
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await until(lambda: request.withdrawn)
                assert scope.cancel_called
        with trio.CancelScope() as scope, request.cancelled_when_withdrawn(scope):
            await trio.sleep_forever()
        assert request.is_connected


@pytest.mark.parametrize("addresses", [("tcp:127.0.0.1:0",), ()])
async def test_losing_the_bus_ends_serving_quietly(
    addresses: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """``serve_with`` raises one ``Disconnected`` when the bus is lost, however many handlers run, and logs nothing."""
    caplog.set_level(logging.WARNING, "t2bus")
    stop = trio.Event()
    running = 0

    async def handler(request: Add) -> Sum:
        nonlocal running
        running += 1
        try:
            await trio.Event().wait()
        finally:
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()
        return await add(request)

    async def run_bus(*, task_status: trio.TaskStatus[t2bus.Bus]) -> None:
        async with t2bus.open_bus(*addresses) as bus:
            task_status.started(bus)
            await stop.wait()

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        with pytest.raises(t2bus.Disconnected):
            await server.serve_with(Add, "x", handler, task_status=task_status)

    async def ask() -> None:
        with pytest.raises((t2bus.ServiceGone, t2bus.Disconnected)):
            await client.request("x", Add(1, 2))

    async with trio.open_nursery() as outer:
        bus: t2bus.Bus = await outer.start(run_bus)
        async with (
            t2bus.open_client(bus.addresses[0]) if bus.addresses else bus.open_client() as server,
            t2bus.open_client(bus.addresses[0]) if bus.addresses else bus.open_client() as client,
            trio.open_nursery() as nursery,
        ):
            await nursery.start(serve)
            for _ in range(3):
                nursery.start_soon(ask)
            await until(lambda: running == 3)
            stop.set()
    assert caplog.text == ""


async def test_a_response_of_a_client_that_is_closing_is_no_failure_of_the_handler(
    memory: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that finishes while its client is being closed is not blamed for it in the log."""
    started, release = trio.Event(), trio.Event()

    async def handler(request: Add) -> Sum:
        started.set()
        await release.wait()
        return await add(request)

    async def serve(server: t2bus.Client, *, task_status: trio.TaskStatus[None]) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await server.serve_with(Add, "x", handler, task_status=task_status)

    async def ask() -> None:
        with pytest.raises(t2bus.ServiceGone):
            await client.request("x", Add(1, 2))

    async with memory.connect() as client, trio.open_nursery() as nursery, AsyncExitStack() as stack:
        server = await stack.enter_async_context(memory.connect())
        await nursery.start(serve, server)
        nursery.start_soon(ask)
        await started.wait()
        release.set()
    assert caplog.text == ""


async def test_several_tasks_take_requests(site: Site) -> None:
    """Tasks that receive from one service share its requests: each is given once."""
    taken: list[int] = []

    async def work() -> None:
        async for request in requests:
            taken.append(request.body.left)
            await trio.lowlevel.checkpoint()
            await request.respond(await add(request.body))

    async with (
        site.connect() as client,
        site.connect() as server,
        server.serve(Add, "x") as requests,
        trio.open_nursery() as nursery,
    ):
        for _ in range(5):
            nursery.start_soon(work)
        async with trio.open_nursery() as requesters:
            for number in range(50):
                requesters.start_soon(client.request, "x", Add(number, 0))
        nursery.cancel_scope.cancel()
    assert sorted(taken) == list(range(50))


async def test_a_malformed_request_wakes_nobody_for_nothing(memory: Site) -> None:
    """A task that waits for a request goes on waiting when one comes that cannot be read."""
    async with (
        memory.connect() as client,
        memory.connect() as server,
        server.serve(Add, "x") as requests,
        trio.open_nursery() as nursery,
    ):

        async def work() -> None:
            await (await requests.receive()).respond(Sum(3))

        nursery.start_soon(work)
        with pytest.raises(t2bus.MalformedMessage):
            await client.request_bytes("add/x", b"\xff")
        assert await client.request("x", Add(1, 2)) == Sum(3)


@pytest.mark.parametrize("seconds", [1e-6, 0.5, 1e8, 1e12, 1e300])
async def test_any_deadline_travels(site: Site, seconds: float) -> None:
    """A deadline may be as near or as far as it likes: the request is sent, and the connection lives."""
    async with site.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, "x", add)
        with trio.move_on_after(seconds):
            assert await client.request("x", Add(1, 2)) == Sum(3)
        assert await client.request("x", Add(1, 2)) == Sum(3)
        nursery.cancel_scope.cancel()


async def test_a_deadline_is_never_seen_too_early(clock: trio.testing.MockClock, memory: Site) -> None:
    """A requester that waits for a fraction of a millisecond leaves the responder at least that."""
    async with memory.connect() as client, client.serve(Add, "x") as requests, trio.open_nursery() as nursery:

        async def ask() -> None:
            with trio.move_on_after(0.0004):
                await client.request("x", Add(1, 2))

        start = trio.current_time()
        nursery.start_soon(ask)
        request = await requests.receive()
        assert request.deadline >= start + 0.0004


class Unspeakable(Exception):
    """An error whose text cannot be made."""

    def __str__(self) -> str:
        raise AttributeError("where")


class UnspeakableRefusal(t2bus.RemoteError):
    """A refusal likewise."""

    def __str__(self) -> str:
        raise AttributeError("where")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Unspeakable(), "Unspeakable: (AttributeError in its __str__)"),
        (UnspeakableRefusal(), "(AttributeError in its __str__)"),
        (ValueError(Unspeakable()), "ValueError: (AttributeError in its __str__)"),
    ],
)
async def test_an_error_without_a_text_costs_one_request(memory: Site, error: Exception, told: str) -> None:
    """Where the text of a handler's error cannot be made the requester is told so, and the service goes on."""

    async def handler(request: Add) -> Sum:
        if request.left == 0:
            raise error
        return await add(request)

    async with memory.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, "x", handler)
        with pytest.raises(t2bus.RemoteError) as caught:
            await client.request("x", Add(0, 0))
        assert str(caught.value) == told
        assert await client.request("x", Add(1, 2)) == Sum(3)
        nursery.cancel_scope.cancel()


async def test_a_handler_that_returns_nothing_is_named(memory: Site) -> None:
    """Where ``return`` is missing the requester reads which handler that is, and what it is to return."""

    async def handler(_: object) -> None:
        await trio.lowlevel.checkpoint()

    async with memory.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, "x", handler)
        await nursery.start(client.serve_bytes_with, "y", handler)
        with pytest.raises(t2bus.RemoteError, match="the handler of add/x returned None, not Sum"):
            await client.request("x", Add(1, 2))
        with pytest.raises(t2bus.RemoteError, match="the handler of y returned None, not bytes"):
            await client.request_bytes("y", b"")
        nursery.cancel_scope.cancel()


async def test_a_requester_that_puts_its_deadline_off_is_told(
    memory: Site, autojump_clock: trio.testing.MockClock
) -> None:
    """The deadline that has travelled with a request ends it, and is named to whoever waits all the same."""

    async def handler(_: Add) -> Sum:
        await trio.sleep_forever()
        raise AssertionError

    async with memory.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, "x", handler)
        with trio.fail_after(1) as scope:

            async def put_off() -> None:
                await trio.sleep(0.5)
                scope.deadline += 5

            nursery.start_soon(put_off)
            with pytest.raises(t2bus.RemoteError, match="the deadline of the request has passed"):
                await client.request("x", Add(1, 2))
        nursery.cancel_scope.cancel()


async def test_what_a_request_waits_is_time_of_its_requester(mock_clock: trio.testing.MockClock, memory: Site) -> None:
    """The deadline is that of the requester, however long the request waits before the program takes it."""
    async with memory.connect() as client, client.serve(Add, "x") as requests, trio.open_nursery() as nursery:

        async def ask(seconds: float) -> None:
            with trio.move_on_after(seconds):
                await client.request("x", Add(1, 2))

        for seconds in (10, 20, 30, math.inf):
            nursery.start_soon(ask, seconds)
            await settle()
            mock_clock.jump(1)
        first, *others = await requests.receive(), *await requests.receive_batch()
        assert [request.deadline for request in (first, *others)] == [10, 21, 32, math.inf]
        nursery.cancel_scope.cancel()
