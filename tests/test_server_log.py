"""What the log says of clients: who comes and leaves, subscribes and serves, lags and is denied."""

from __future__ import annotations

import logging
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Note, open_joined, open_peer, wait_until
from cli_helpers import command, run
from t2bus.client.greeting import own_name
from t2bus.wire import messages as m

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

OWN = f"uid:{os.geteuid()}"


@pytest.fixture
def steps(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Let the log want everything; give what it was told since the last time, without the names of clients."""
    caplog.set_level(logging.DEBUG, "t2bus")

    def steps() -> list[str]:
        told = [record.getMessage().replace(own_name(None) + " ", "") for record in caplog.records]
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
            assert steps() == [f"client 1 ({OWN}) connected from {address}"]
        await wait_until(lambda: not bus.statistics().connections)
        assert steps() == [f"client 1 ({OWN}) left"]


async def test_clients_at_a_port(steps: Callable[[], list[str]]) -> None:
    """A client over TCP is told with the host and port that it comes from, and one that breaks off with the reason."""
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus:
        async with open_peer(bus) as peer:
            await peer.shake_hands()
            (connected,) = steps()
            assert re.fullmatch(r"client 1 \(anonymous\) connected from tcp:127\.0\.0\.1:\d+", connected)
            assert connected.rpartition(" ")[2] not in bus.addresses
        await wait_until(lambda: not bus.statistics().connections)
        assert steps() == ["client 1 (anonymous) left: the peer closed it"]


async def test_clients_of_the_program(steps: Callable[[], list[str]]) -> None:
    """Clients in the process of the bus, and over streams of the program, are told as such."""
    async with t2bus.open_bus() as bus:
        async with bus.open_client():
            pass
        await wait_until(lambda: not bus.statistics().connections)
        async with open_joined(bus, trio.testing.memory_stream_pair()):
            pass
        assert steps() == [
            "client 1 (local) connected from memory",
            "client 1 (local) left",
            "client 2 (robot) connected from stream",
            "client 2 (robot) left",
        ]


async def test_a_client_is_told_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    """What a client calls itself stands in each line, beside its identity."""
    caplog.set_level(logging.INFO, "t2bus")
    async with t2bus.open_bus() as bus, bus.open_client(name="oven") as client, client.serve_bytes("heat"):
        pass
    assert caplog.messages == [
        f"client 1 oven (local) {what}" for what in ("connected from memory", "claimed heat", "released heat", "left")
    ]


async def test_a_name_writes_no_lines_of_its_own(steps: Callable[[], list[str]]) -> None:
    """A client that names itself with control characters, and at length, is told in one short printable line."""
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus, open_peer(bus) as peer:
        await peer.send(m.Hello(1, "", (), "\x1b[2J\n" + "x" * 1000))
        await peer.expect(m.Welcome)
        (connected,) = steps()
        assert connected.startswith(r"client 1 \x1b[2J\nxxx")
        assert connected.isprintable()
        assert len(connected) < 200


# --- what they do


async def test_subscriptions(memory_bus: t2bus.Bus, steps: Callable[[], list[str]]) -> None:
    """Each subscription is told when it is opened and when it is closed, and one that is refused is not told."""
    async with memory_bus.open_client() as client, client.subscribe(Note, "a/*"), client.subscribe_bytes("**"):
        with pytest.raises(t2bus.LimitExceeded):
            async with client.subscribe_bytes("b"):
                pass
    await wait_until(lambda: not memory_bus.statistics().connections)
    assert steps()[1:-1] == [
        "client 1 (local) subscribed to note/a/*",
        "client 1 (local) subscribed to **",
        "client 1 (local) unsubscribed from **",
        "client 1 (local) unsubscribed from note/a/*",
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
        "client 1 (local) claimed add/x",
        "client 1 (local) released add/x",
        "client 2 (local) claimed add/x",
        "client 2 (local) released add/x",
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
        "client 1 (anonymous) subscribed to a",
        "client 1 (anonymous) claimed b",
        "client 1 (anonymous) released b",
        "client 1 (anonymous) left: the peer closed it",
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
        assert "client 2 (anonymous) released a" in steps()


# --- who lags


async def test_a_subscriber_that_lags_is_told(clock: trio.testing.MockClock, steps: Callable[[], list[str]]) -> None:
    """The first message that a subscription misses is told with the topic, and again when it had caught up between."""
    limits = t2bus.Limits(subscription_messages=1)
    async with (
        t2bus.open_bus(limits=limits) as bus,
        bus.open_client() as client,
        client.subscribe_bytes("a") as messages,
    ):
        steps()
        for _ in range(10):
            await client.publish_bytes("a", b"")
        assert steps() == ["client 1 (local) lags at a: 1 dropped so far"]
        await messages.receive()
        with pytest.raises(t2bus.Lagged):
            await messages.receive()
        await trio.sleep(1)
        for _ in range(10):
            await client.publish_bytes("a", b"")
        assert steps() == ["client 1 (local) lags at a: 10 dropped so far"]


async def test_lagging_is_told_once_a_second(clock: trio.testing.MockClock, steps: Callable[[], list[str]]) -> None:
    """However often a subscription lags, one line in a second tells it."""
    limits = t2bus.Limits(subscription_messages=1)
    async with (
        t2bus.open_bus(limits=limits) as bus,
        bus.open_client() as client,
        client.subscribe_bytes("a") as messages,
    ):
        steps()
        for _ in range(5):
            for _ in range(2):
                await client.publish_bytes("a", b"")
            await messages.receive()
            with pytest.raises(t2bus.Lagged):
                await messages.receive()
        assert steps() == ["client 1 (local) lags at a: 1 dropped so far"]


# --- what is wanted


async def test_subscriptions_are_for_a_log_that_wants_all(caplog: pytest.LogCaptureFixture) -> None:
    """At the level of information nothing is told of subscriptions and publications."""
    caplog.set_level(logging.INFO, "t2bus")
    async with t2bus.open_bus() as bus, bus.open_client(name="a") as client, client.subscribe_bytes("a"):
        await client.publish_bytes("a", b"")
    assert caplog.messages == ["client 1 a (local) connected from memory", "client 1 a (local) left"]


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
        said = [line for line in await serve.stderr.rest() if " t2bus.server: client " in line]
    assert all(line.isprintable() for line in said)
    for step in ("connected from unix:", "subscribed to a/**", "claimed b", "released b", "left"):
        assert any(step in line for line in said), step
