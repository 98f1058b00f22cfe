"""A client and a bus are resources: they can be closed before their blocks end, and are then closed for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Note, Site, names, settle, wait_until

if TYPE_CHECKING:
    from pathlib import Path


async def test_both_are_resources_of_trio(memory: Site) -> None:
    """Clients and buses are ``trio.abc.AsyncResource``, so Trio's own helpers close them."""
    async with memory.connect() as client:
        assert isinstance(client, trio.abc.AsyncResource)
        await trio.aclose_forcefully(client)
    assert isinstance(memory.bus, trio.abc.AsyncResource)
    await trio.aclose_forcefully(memory.bus)


# --- clients


async def test_a_closed_client_is_gone(site: Site) -> None:
    """Closing a client disconnects it, whatever waits is told, and its block goes on."""
    async with site.connect() as client, trio.open_nursery() as nursery:
        messages = await opened(nursery, client)
        await client.aclose()
        for call in (messages.receive, lambda: client.publish("x", Note("late"))):
            with pytest.raises(trio.ClosedResourceError):
                await call()
        await wait_until(lambda: site.bus.statistics().connections == 0)
        nursery.cancel_scope.cancel()


async def opened(nursery: trio.Nursery, client: t2bus.Client) -> t2bus.Subscription[Note]:
    """Open a subscription whose block is that of a task of its own."""

    async def hold(*, task_status: trio.TaskStatus[Any]) -> None:
        async with client.subscribe(Note, "x") as messages:
            task_status.started(messages)
            await trio.sleep_forever()

    messages: t2bus.Subscription[Note] = await nursery.start(hold)
    return messages


async def test_closing_a_client_again_is_a_checkpoint(memory: Site) -> None:
    """A client may be closed as often as one likes."""
    async with memory.connect() as client:
        await client.aclose()
        with trio.testing.assert_checkpoints():
            await client.aclose()
        async with client:
            pass


async def test_closing_a_client_writes_what_waits(tcp: Site) -> None:
    """What was sent before the closing is published."""
    async with tcp.connect() as client, tcp.connect() as other, other.subscribe(Note, "x") as messages:
        publisher = client.open_publisher(Note, "x")
        for number in range(100):
            await publisher.send(Note(str(number)))
        await client.aclose()
        assert [(await messages.receive()).body.text for _ in range(100)] == [str(number) for number in range(100)]


async def test_a_service_ends_with_its_client(memory: Site) -> None:
    """Requesters hear at once that the client which served them was closed."""
    async with memory.connect() as server, memory.connect() as client, server.serve(Add, "x") as requests:
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(t2bus.ServiceGone):
                    await client.request("x", Add(1, 2))

            nursery.start_soon(ask)
            await requests.receive()
            await server.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await requests.receive()


# --- buses


async def test_a_closed_bus_leaves_nothing(folder: Path) -> None:
    """Closing a bus says goodbye, removes its socket, and leaves the address to the next, while its block goes on."""
    address = f"unix:{folder}/bus"
    async with t2bus.open_bus(address) as bus, t2bus.open_client(address) as client:
        await bus.aclose()
        assert names(folder) == []
        with pytest.raises(t2bus.Disconnected, match="the bus is shutting down"):
            await client.publish("x", Note("late"))
        with pytest.raises(trio.ClosedResourceError):
            async with bus.open_client():
                pass
        async with t2bus.open_bus(address), t2bus.open_client(address) as other:
            assert await other.publish("x", Note("hello")) == 0
        assert bus.statistics().connections == 0


async def test_closing_a_bus_again_is_a_checkpoint(memory: Site) -> None:
    """A bus may be closed as often as one likes."""
    await memory.bus.aclose()
    with trio.testing.assert_checkpoints():
        await memory.bus.aclose()
    async with memory.bus:
        pass


async def test_a_closed_bus_has_no_tasks(folder: Path) -> None:
    """When closing returns, every task of the bus has ended, and its block has nothing left to do."""

    async def count() -> int:
        await settle()
        return trio.lowlevel.current_statistics().tasks_living

    before = await count()
    async with t2bus.open_bus(f"unix:{folder}/bus") as bus:
        await bus.aclose()
        assert await count() == before


async def test_a_bus_closes_at_once_in_a_cancelled_scope(folder: Path) -> None:
    """Closing in a cancelled scope leaves no socket and no connection."""
    address = f"unix:{folder}/bus"
    async with t2bus.open_bus(address) as bus, t2bus.open_client(address) as client:
        with trio.CancelScope() as scope:
            scope.cancel()
            await bus.aclose()
        assert scope.cancelled_caught
        assert names(folder) == []
        await settle()
        with pytest.raises(t2bus.Disconnected):
            await client.publish("x", Note("late"))
