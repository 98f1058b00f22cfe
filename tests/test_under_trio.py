"""What a program hears that runs t2bus under asyncio, or under nothing; and that Trio beside asyncio is enough."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import pytest
import trio

import t2bus
from bus_helpers import Add, Note, add
from t2bus.testing import memory_bus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    import outcome

DOORS: dict[str, Callable[[], object]] = {
    "open_client": lambda: t2bus.open_client("unix:nowhere"),
    "open_bus": t2bus.open_bus,
    "serve": t2bus.serve,
    "memory_bus": memory_bus,
}

DOORS_OF_A_CLIENT: dict[str, Callable[[t2bus.Client], object]] = {
    "open_publisher": lambda client: client.open_publisher(Note, "x"),
    "open_bytes_publisher": lambda client: client.open_bytes_publisher("x"),
    "subscribe": lambda client: client.subscribe(Note, "x"),
    "subscribe_bytes": lambda client: client.subscribe_bytes("x"),
    "serve": lambda client: client.serve(Add, "x"),
    "serve_with": lambda client: client.serve_with(Add, "x", add),
}


async def enter(door: Callable[[], object]) -> None:
    """Go through a door, whatever kind it is."""
    match door():
        case AbstractAsyncContextManager() as manager:
            async with manager:
                pass
        case coroutine:
            await coroutine  # type: ignore[misc]


def is_refused(error: BaseException | None) -> bool:
    return isinstance(error, RuntimeError) and "t2bus needs Trio: trio.run(" in str(error)


async def refusal(call: Callable[[], Awaitable[object]]) -> BaseException | None:
    """Return what a call raises."""
    try:
        await call()
    except Exception as error:  # noqa: BLE001 -- which is the question
        return error
    return None


async def use_a_bus() -> str:
    async with t2bus.open_bus() as bus, bus.open_client() as client, client.subscribe(Note, "x") as notes:
        await client.publish("x", Note("hello"))
        return (await notes.receive()).body.text


@pytest.mark.parametrize("name", DOORS)
def test_asyncio_is_told_that_trio_is_needed(name: str) -> None:
    """Under asyncio every door of the package says that it needs Trio, and how that is run."""
    assert is_refused(asyncio.run(refusal(lambda: enter(DOORS[name]))))


@pytest.mark.parametrize("name", DOORS)
def test_nothing_is_told_that_trio_is_needed(name: str) -> None:
    """A coroutine that is driven by hand is told the same."""
    with pytest.raises(RuntimeError, match=r"t2bus needs Trio: trio\.run\(main\).*and nothing does"):
        enter(DOORS[name]).send(None)


@pytest.mark.parametrize("name", DOORS)
async def test_asyncio_in_a_task_of_trio_is_told_that_trio_is_needed(name: str) -> None:
    """``asyncio.run`` in a task of Trio is asyncio all the same."""
    await trio.lowlevel.checkpoint()
    assert is_refused(asyncio.run(refusal(lambda: enter(DOORS[name]))))


def test_trio_in_a_task_of_asyncio_is_enough() -> None:
    """``trio.run`` in a task of asyncio, as in a notebook, is Trio."""

    async def cell() -> str:
        await asyncio.sleep(0)
        return trio.run(use_a_bus)

    assert asyncio.run(cell()) == "hello"


def run_as_guest(guest: Callable[..., Coroutine[Any, Any, Any]], host: Callable[[], Awaitable[object]]) -> Any:
    """Run a program of Trio as a guest of asyncio, and beside it what the host does; return what the guest does.

    The guest is given an event which is set when the host has done its part.
    """

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[outcome.Outcome[Any]] = loop.create_future()
        has_started, host_is_done = asyncio.Event(), trio.Event()

        async def run_guest() -> Any:
            has_started.set()
            return await guest(host_is_done)

        trio.lowlevel.start_guest_run(
            run_guest, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=ended.set_result
        )
        await has_started.wait()
        await host()
        host_is_done.set()
        return (await ended).unwrap()

    return asyncio.run(main())


@pytest.mark.parametrize("name", DOORS)
def test_the_host_of_a_guest_is_told_that_trio_is_needed(name: str) -> None:
    """Where Trio is a guest of asyncio, a task of asyncio is told that it is not one of Trio, and the guest goes on."""
    errors: list[BaseException | None] = []

    async def host() -> None:
        errors.append(await refusal(lambda: enter(DOORS[name])))

    async def guest(host_is_done: trio.Event) -> str:
        said = await use_a_bus()
        await host_is_done.wait()
        return said

    assert run_as_guest(guest, host) == "hello"
    assert is_refused(errors[0])


@pytest.mark.parametrize("name", DOORS_OF_A_CLIENT)
def test_the_client_of_a_guest_is_for_trio(name: str) -> None:
    """What a client opens is opened by tasks of Trio alone, wherever the client came from."""
    clients: list[t2bus.Client] = []
    errors: list[BaseException | None] = []
    has_client = asyncio.Event()

    async def host() -> None:
        await has_client.wait()
        errors.append(await refusal(lambda: enter(lambda: DOORS_OF_A_CLIENT[name](clients[0]))))

    async def guest(host_is_done: trio.Event) -> int:
        async with t2bus.open_bus() as bus, bus.open_client() as client:
            clients.append(client)
            has_client.set()
            await host_is_done.wait()
            return bus.statistics().subscriptions

    assert run_as_guest(guest, host) == 0
    assert is_refused(errors[0])
