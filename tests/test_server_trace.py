"""What a log hears that wants to have it all: who comes and leaves, subscribes and serves, and what is dropped."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Note, open_joined, open_peer, wait_until
from cli_helpers import command, run
from t2bus.wire import messages as m

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

OWN = f"uid:{os.geteuid()}"


@pytest.fixture
def steps(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Let the log want everything; give what it was told since the last time."""
    caplog.set_level(logging.DEBUG, "t2bus")

    def steps() -> list[str]:
        told = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
        caplog.clear()
        return told

    return steps


@pytest.fixture
async def memory_bus() -> AsyncGenerator[t2bus.Bus, None]:
    """Open a bus for clients of this process, with two subscriptions each."""
    async with t2bus.open_bus(limits=t2bus.Limits(subscriptions=2)) as bus:
        yield bus


# --- who comes and leaves


async def test_clients_at_a_unix_socket(folder: Path, steps: Callable[[], list[str]]) -> None:
    """A client that comes is told with its user and the address, and one that leaves by itself without a reason."""
    address = f"unix:{folder}/bus"
    async with t2bus.open_bus(address) as bus:
        async with t2bus.open_client(address):
            assert steps() == [f"connection 1 of {OWN} has begun, at {address}"]
        await wait_until(lambda: not bus.statistics().connections)
        assert steps() == [f"connection 1 of {OWN} has left"]


async def test_clients_at_a_port(steps: Callable[[], list[str]]) -> None:
    """A client over TCP is told with the host that it comes from, and one that breaks off with the reason."""
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus:
        async with open_peer(bus) as peer:
            await peer.shake_hands()
            assert steps() == [f"connection 1 of anonymous has begun, from 127.0.0.1 at {bus.addresses[0]}"]
        await wait_until(lambda: not bus.statistics().connections)
        assert steps() == ["connection 1 of anonymous has left: the peer closed it"]


async def test_clients_of_the_program(steps: Callable[[], list[str]]) -> None:
    """Clients in the process of the bus, and over streams of the program, are told as such."""
    async with t2bus.open_bus() as bus:
        async with bus.open_client():
            pass
        await wait_until(lambda: not bus.statistics().connections)
        async with open_joined(bus, trio.testing.memory_stream_pair()):
            pass
        assert steps() == [
            "connection 1 of local has begun, in this process",
            "connection 1 of local has left",
            "connection 2 of robot has begun, over a stream of the program",
            "connection 2 of robot has left",
        ]


# --- what they do


async def test_subscriptions(memory_bus: t2bus.Bus, steps: Callable[[], list[str]]) -> None:
    """Each subscription is told when it is opened and when it is closed, and one that is refused is not told."""
    async with memory_bus.open_client() as client, client.subscribe(Note, "a/*"), client.subscribe_bytes("**"):
        with pytest.raises(t2bus.LimitExceeded):
            async with client.subscribe_bytes("b"):
                pass
    await wait_until(lambda: not memory_bus.statistics().connections)
    assert steps()[1:-1] == [
        "connection 1 of local subscribes to note/a/*",
        "connection 1 of local subscribes to **",
        "connection 1 of local unsubscribes from **",
        "connection 1 of local unsubscribes from note/a/*",
    ]


async def test_claims(memory_bus: t2bus.Bus, steps: Callable[[], list[str]]) -> None:
    """A service is told when a client claims its topic and when it gives it up, and a claim that is refused is not."""
    async with memory_bus.open_client() as one, memory_bus.open_client() as two:
        async with one.serve(Add, "x"):
            with pytest.raises(t2bus.TopicClaimed):
                async with two.serve(Add, "x"):
                    pass
        async with two.serve(Add, "x"):
            pass
    assert steps()[2:6] == [
        "connection 1 of local serves add/x",
        "connection 1 of local stops serving add/x",
        "connection 2 of local serves add/x",
        "connection 2 of local stops serving add/x",
    ]


async def test_what_ends_with_the_connection(steps: Callable[[], list[str]]) -> None:
    """Whoever breaks off with a subscription and a service is told to have left, which ends both."""
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus:
        async with open_peer(bus) as peer:
            await peer.shake_hands()
            await peer.send(m.Subscribe(1, "a", 10, 10), m.Claim(2, "b", 10, 10))
            await peer.expect(m.Accepted)
            await wait_until(lambda: bus.statistics().services == 1)
        await wait_until(lambda: not bus.statistics().connections)
    assert steps()[1:] == [
        "connection 1 of anonymous subscribes to a",
        "connection 1 of anonymous serves b",
        "connection 1 of anonymous has left: the peer closed it",
    ]


async def test_a_claim_that_is_lost(clock: trio.testing.MockClock, steps: Callable[[], list[str]]) -> None:
    """A client that loses its claim, since it gives no sign of life, is told to serve no more."""
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus, open_peer(bus) as peer, bus.open_client() as client:
        await peer.shake_hands()
        await peer.send(m.Claim(1, "a", 10, 10))
        await peer.expect(m.Accepted)
        with pytest.raises(t2bus.TopicClaimed):
            async with client.serve_bytes("a"):
                pass
        assert (await peer.expect(m.Refused)).id == 1
        await trio.sleep(1.5)
        assert steps()[-1] == "connection 2 of anonymous stops serving a"


# --- what is dropped


async def test_drops_are_told_once_a_second(clock: trio.testing.MockClock, steps: Callable[[], list[str]]) -> None:
    """What a subscriber misses that takes nothing is told while it does, once a second, with its topic and number."""
    limits = t2bus.Limits(subscription_messages=1)
    async with (
        t2bus.open_bus(limits=limits) as bus,
        bus.open_client() as client,
        client.subscribe_bytes("a") as messages,
    ):
        steps()
        slow = "connection 1 of local had {} dropped at a, which it takes too slowly"
        for dropped in (9, 10):
            for _ in range(10):
                await client.publish_bytes("a", b"")
            await trio.sleep(1.5)
            assert steps() == [slow.format(dropped)]
        await trio.sleep(3)
        assert steps() == []
        await messages.receive()
        with pytest.raises(t2bus.Lagged):
            await messages.receive()
        for _ in range(3):
            await client.publish_bytes("a", b"")
        await messages.aclose()
        assert steps()[0] == slow.format(2)


# --- what it costs, and when


async def test_a_log_that_wants_less_hears_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """At the level of information nothing is told of what clients do."""
    caplog.set_level(logging.INFO, "t2bus")
    async with t2bus.open_bus() as bus, bus.open_client() as client, client.subscribe_bytes("a"):
        await client.publish_bytes("a", b"")
    assert caplog.messages == []


async def test_a_log_may_want_more_later(
    caplog: pytest.LogCaptureFixture, clock: trio.testing.MockClock, steps: Callable[[], list[str]]
) -> None:
    """When the level of the log is changed, a bus that runs tells within a second what there is, or nothing more."""
    caplog.set_level(logging.INFO, "t2bus")
    async with t2bus.open_bus() as bus, bus.open_client() as client, client.subscribe_bytes("a"):
        await trio.sleep(2)
        assert steps() == []
        caplog.set_level(logging.DEBUG, "t2bus")
        await trio.sleep(1.5)
        assert steps() == ["connection 1 of local subscribes to a"]
        caplog.set_level(logging.INFO, "t2bus")
        await trio.sleep(1.5)
        async with client.subscribe_bytes("b"):
            pass
        assert steps() == []


# --- the command line


async def test_serve_with_vv(folder: Path) -> None:
    """``t2bus serve -vv`` logs what commands do, in lines that are printable."""
    address = f"unix:{folder}/bus"
    async with command("serve", address, "-vv") as serve:
        await serve.stderr.until("to talk")
        async with command("sub", "a/**", "--addr", address) as sub, command("reply", "b", "--addr", address) as reply:
            await sub.stderr.until("subscribed")
            await reply.stderr.until("answering")
            await run("pub", "a", "1", "--addr", address)
            for each in (sub, reply):
                each.process.send_signal(signal.SIGTERM)
                await each.end()
        serve.process.terminate()
        said = [line for line in await serve.stderr.rest() if " DEBUG t2bus.server: connection " in line]
    assert all(line.isprintable() for line in said)
    for step in ("has begun, at unix:", "subscribes to a/**", "serves b", "stops serving b", "has left"):
        assert any(step in line for line in said), step
