"""The in-process transport: batches handed over, nothing shared, the same ends as a socket has."""

from __future__ import annotations

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import HELLO, Add, Note, Sum, add, registered
from t2bus.broker.identity import LOCAL
from t2bus.broker.router import Router
from t2bus.server.local import LocalConnection, LocalTransport
from t2bus.server.router_task import RouterTask
from t2bus.wire import messages as m
from tap_helpers import until


async def test_nothing_is_shared() -> None:
    """Changing headers after they were sent, or after they were received, changes nobody else's."""
    headers = {"k": "sent"}
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        client.subscribe(Note, "x") as one,
        client.subscribe(Note, "x") as other,
    ):
        await client.publish("x", Note(""), headers=headers)
        headers["k"] = "changed"
        received = (await one.receive()).headers
        assert received == {"k": "sent"}
        received["k"] = "changed"  # type: ignore[index]
        assert (await other.receive()).headers == {"k": "sent"}


async def test_a_full_inbox_is_waited_for() -> None:
    """Where the bus takes one batch at a time, each of many clients waits for its turn, and keeps its order."""
    async with (
        t2bus.open_bus(limits=t2bus.Limits(inbox=1)) as bus,
        bus.open_client() as subscriber,
        subscriber.subscribe_bytes("**") as messages,
    ):

        async def publish(name: bytes) -> None:
            async with bus.open_client() as client:
                for number in range(10):
                    assert await client.publish_bytes("x", name + b" %d" % number) == 1

        async with trio.open_nursery() as nursery:
            for name in (b"a", b"b", b"c", b"d", b"e"):
                nursery.start_soon(publish, name)
        received = [(await messages.receive()).body.split() for _ in range(50)]
    for name in (b"a", b"b", b"c", b"d", b"e"):
        assert [number for each, number in received if each == name] == [b"%d" % number for number in range(10)]


async def test_a_client_goes_though_the_inbox_is_full() -> None:
    """Of clients that are all cancelled at once nothing is left in the bus, though it takes one batch at a time."""
    async with t2bus.open_bus(limits=t2bus.Limits(inbox=1)) as bus:
        before = registered(bus)

        async def stay() -> None:
            async with bus.open_client() as client, client.subscribe_bytes("x") as messages:
                await messages.receive()

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(stay)
            await until(lambda: bus.statistics().subscriptions == 20)
            nursery.cancel_scope.cancel()
        await until(lambda: bus.statistics().connections == 0)
        assert registered(bus) == before


async def test_what_a_cancelled_client_had_sent_is_carried_out() -> None:
    """What was sent before a client is closed is carried out before its end is."""
    async with t2bus.open_bus() as bus, bus.open_client() as other, other.subscribe_bytes("x") as messages:
        for number in range(10):
            with trio.CancelScope() as scope:
                async with bus.open_client() as client, client.open_bytes_publisher("x") as publisher:
                    await publisher.send(b"%d" % number)
                    await publisher.flush()
                    scope.cancel()
            assert (await messages.receive()).body == b"%d" % number
        await until(lambda: bus.statistics().connections == 1)


async def test_the_end_of_the_bus() -> None:
    """A client whose bus has ended can take what had come, then every call says why it ended."""
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[t2bus.Bus]) -> None:
            async with t2bus.open_bus() as bus:
                task_status.started(bus)
                await stop.wait()

        stop = trio.Event()
        bus: t2bus.Bus = await nursery.start(run)
        async with bus.open_client() as client, client.subscribe_bytes("x") as messages:
            await client.publish_bytes("x", b"last")
            stop.set()
            await until(lambda: bus.statistics().connections == 0)
            assert (await messages.receive()).body == b"last"
            for _ in range(2):
                with pytest.raises(t2bus.Disconnected, match="the bus is shutting down"):
                    await messages.receive()
                with pytest.raises(t2bus.Disconnected, match="the bus is shutting down"):
                    await client.publish_bytes("x", b"")
        with pytest.raises(trio.ClosedResourceError):
            async with bus.open_client():
                pass


async def test_a_client_that_is_full_is_not_let_in() -> None:
    """A bus with as many connections as it takes tells one more of this process so, and goes on."""
    async with t2bus.open_bus(limits=t2bus.Limits(connections=1)) as bus, bus.open_client() as client:
        with pytest.raises(t2bus.ConnectFailed, match=r"Limits\.connections"):
            async with bus.open_client():
                pass
        assert await client.publish_bytes("x", b"") == 0


async def test_it_has_no_liveness(autojump_clock: trio.testing.MockClock) -> None:
    """Clients of this process stay, and wait for each other, however long nothing is said."""
    async with t2bus.open_bus() as bus, bus.open_client() as client, bus.open_client() as server:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve_with, Add, "x", add)
            await trio.sleep(1000)
            assert await client.request("x", Add(1, 2)) == Sum(3)
            nursery.cancel_scope.cancel()
        assert bus.statistics().connections == 2


def connect(task: RouterTask) -> LocalTransport:
    """Connect a client of this process that reads when the test does."""
    peer = task.router.connect(HELLO, LOCAL, pings=False)
    connection = task.connections[peer.id] = LocalConnection(peer, task)
    connection.flush()
    return LocalTransport(connection)


async def test_a_client_that_asks_the_bus_and_does_not_read() -> None:
    """What the bus has to say of itself waits within half of ``Limits.control_bytes``, and comes in full to who reads
    on.
    """
    limits = t2bus.Limits(control_bytes=10_000)
    task = RouterTask(Router(limits))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task.run)
        client = connect(task)
        await client.receive()
        (peer,) = (connection.peer for connection in task.connections.values())
        client.send_nowait([m.Ask(number, None, "bus/status", b"\xa0") for number in range(1, 101)])
        await trio.testing.wait_all_tasks_blocked()
        assert 0 < peer.outbox.size < limits.control_bytes
        answers: list[m.ServerMessage] = []
        while len(answers) < 100:
            answers += await client.receive()
        assert [each.request for each in answers if isinstance(each, m.Response)] == [*range(1, 101)]
        nursery.cancel_scope.cancel()


async def test_the_end_of_a_client_that_is_held_back() -> None:
    """A client that goes with more answers waiting than it has read leaves nothing, whoever else speaks just then."""
    task = RouterTask(Router(t2bus.Limits(control_bytes=1000)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task.run)
        one, other = connect(task), connect(task)
        await one.receive()
        one.send_nowait([m.Ping(token) for token in range(100)])
        await trio.testing.wait_all_tasks_blocked()
        other.send_nowait([m.Ping(0)])
        await one.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert len(task.router) == 1
        nursery.cancel_scope.cancel()
