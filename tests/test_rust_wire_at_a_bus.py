"""Clients of this package that speak the crate's wire (``wire="t2"``), at a bus that takes either."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Note, Sum, add, open_fake_bus, settle, wait_until
from tls_helpers import HOST, Files, bare_context, client_leaf, open_tls_site, write

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

BUSY = 2
"""A window so small that each message has its credit given back soon, as that of many messages is."""
HEADERS = {"trace": "4711"}
DROPPED = "headers are dropped: the wire of the Rust crate t2_bus has no place for them"


@pytest.fixture
async def client(bus: t2bus.Bus) -> AsyncGenerator[t2bus.Client, None]:
    """Open a client on the crate's wire."""
    async with t2bus.open_client(bus.addresses[0], wire="t2") as client:
        yield client


@pytest.fixture
async def other(bus: t2bus.Bus) -> AsyncGenerator[t2bus.Client, None]:
    """Open a native client of the same bus."""
    async with bus.open_client() as client:
        yield client


# --- signs of life: that bus counts its client's silence, and gives it 90 s


async def publish_for(client: t2bus.Client, seconds: int) -> None:
    """Publish once a second."""
    for number in range(seconds):
        await client.publish("x", Note(str(number)))
        await trio.sleep(1)


async def test_who_only_listens_speaks_too(clock: trio.testing.MockClock, bus: t2bus.Bus, other: t2bus.Client) -> None:
    """A subscriber of a busy topic, which gives credit all the time, has said nothing by that."""
    limits = t2bus.Limits(subscription_messages=BUSY)
    async with (
        t2bus.open_client(bus.addresses[0], wire="t2", limits=limits) as client,
        client.subscribe(Note, "x") as notes,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(publish_for, other, 200)
        assert [(await notes.receive()).body.text for _ in range(200)] == [str(number) for number in range(200)]


async def test_a_long_interval_is_cut_short(clock: trio.testing.MockClock, bus: t2bus.Bus) -> None:
    """A client that asks for signs of life more seldom than that wire allows gives its own in time."""
    limits = t2bus.Limits(ping_interval=1000, silence=2000)
    async with t2bus.open_client(bus.addresses[0], wire="t2", limits=limits) as client:
        await trio.sleep(500)
        assert await client.publish("x", Note("still here")) == 0


async def test_why_a_connection_ends_is_told(folder: Path) -> None:
    """The reason that the bus gives on this wire is that of the error which calls then raise."""
    end = trio.Event()

    async def run_bus(task_status: trio.TaskStatus[str]) -> None:
        async with t2bus.open_bus(f"unix:{folder}/bus") as bus:
            task_status.started(bus.addresses[0])
            await end.wait()

    async with trio.open_nursery() as nursery:
        address = await nursery.start(run_bus)
        async with t2bus.open_client(address, wire="t2") as client, client.subscribe(Note, "x") as notes:
            end.set()
            with pytest.raises(t2bus.Disconnected, match="closed this connection: the bus is shutting down"):
                await notes.receive()


async def test_who_is_turned_away_is_told_why(folder: Path) -> None:
    """A bus that has no room for one more says so on this wire as well."""
    limits = t2bus.Limits(connections=1)
    async with t2bus.open_bus(f"unix:{folder}/bus", limits=limits) as bus, bus.open_client():
        with pytest.raises(t2bus.ConnectFailed, match=r"not let this client in: .*Limits\.connections allows"):
            async with t2bus.open_client(bus.addresses[0], wire="t2"):
                pass


# --- two subscriptions of one topic


async def test_nothing_stays_open_of_two_on_one_topic(bus: t2bus.Bus, client: t2bus.Client) -> None:
    """Subscriptions that share a topic are one at the bus, in whatever order they end, and then none."""
    for first, last in ((0, 1), (1, 0)):
        async with client.subscribe(Note, "x") as one, client.subscribe(Note, "x") as two:
            assert bus.statistics().subscriptions == 1
            await (one, two)[first].aclose()
            await client.publish("x", Note("still"))
            assert (await (one, two)[last].receive()).body == Note("still")
        assert bus.statistics().subscriptions == 0


async def test_short_ones_beside_a_long_one_leave_nothing(folder: Path) -> None:
    """However many come and go beside one that stays, the bus has no more of them than topics."""
    limits = t2bus.Limits(subscriptions=2)
    async with (
        t2bus.open_bus(f"unix:{folder}/bus", limits=limits) as bus,
        t2bus.open_client(bus.addresses[0], wire="t2") as client,
        client.subscribe(Note, "x") as kept,
    ):
        for _ in range(10):
            async with client.subscribe(Note, "x"):
                pass
        await client.publish("x", Note("still"))
        assert (await kept.receive()).body == Note("still")


# --- headers


async def test_dropped_headers_are_logged_once(
    client: t2bus.Client, other: t2bus.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """What carries headers is sent without them, and the log of the client says so, once for each client."""
    async with other.subscribe(Note, "x") as notes, trio.open_nursery() as nursery:
        await nursery.start(other.serve_with, Add, "x", add)
        for _ in range(2):
            await client.publish("x", Note("a"), headers=HEADERS)
            assert await client.request("x", Add(1, 2), headers=HEADERS) == Sum(3)
            assert (await notes.receive()).headers == {}
        nursery.cancel_scope.cancel()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(logging.WARNING, DROPPED)]


async def test_dropped_headers_of_an_answer_are_logged(
    client: t2bus.Client, other: t2bus.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer leaves its headers behind as well, and the log says so."""

    async def respond() -> None:
        async with client.serve(Add, "x") as requests:
            serving.set()
            await (await requests.receive()).respond(Sum(3), headers=HEADERS)

    serving = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(respond)
        await serving.wait()
        assert (await other.request_received("x", Add(1, 2))).headers == {}
    await settle()
    assert [record.getMessage() for record in caplog.records] == [DROPPED]


async def test_without_headers_nothing_is_logged(client: t2bus.Client, caplog: pytest.LogCaptureFixture) -> None:
    """A client that sends none is told nothing of them."""
    await client.publish("x", Note("a"))
    await client.publish("x", Note("a"), headers={})
    assert caplog.records == []


# --- TLS: a bus of the crate names no protocol in its handshake


@asynccontextmanager
async def open_unnamed(folder: Path, bus: t2bus.Bus) -> AsyncGenerator[tuple[str, Files], None]:
    """Listen with TLS that names no protocol, for a bus; give the address, and the files of a client."""

    async def handle(peer: Any) -> None:
        secure = trio.SSLStream(peer.stream, bare_context(is_server=True), server_side=True)
        await bus.serve_stream(secure, identity="alice")

    async with open_fake_bus(handle) as address:
        yield address.replace("tcp:", "tls:"), write(folder, "client", client_leaf())


async def test_a_bus_that_names_no_protocol_of_tls(tmp_path: Path, bus: t2bus.Bus, other: t2bus.Client) -> None:
    """A client on the crate's wire asks none of it."""
    async with (
        open_unnamed(tmp_path, bus) as (address, files),
        t2bus.open_client(address, tls=files.client(), wire="t2") as client,
        client.subscribe(Note, "x") as notes,
    ):
        assert await other.publish("x", Note("over TLS")) == 1
        assert (await notes.receive()).body == Note("over TLS")


async def test_the_native_wire_asks_for_its_protocol(tmp_path: Path, bus: t2bus.Bus) -> None:
    """Without ``wire="t2"`` such a bus is refused, and the text names what may be missing."""
    async with open_unnamed(tmp_path, bus) as (address, files):
        with pytest.raises(t2bus.TlsFailed, match=r'\(ALPN\): is it of t2bus\? One of the Rust crate .* wire="t2"'):
            async with t2bus.open_client(address, tls=files.client()):
                pass


async def test_a_bus_that_names_its_protocol(tmp_path: Path) -> None:
    """A bus of this package, which does, is reached on the crate's wire over TLS too."""
    files = write(tmp_path, "client", client_leaf())
    async with open_tls_site(tmp_path) as site:
        async with t2bus.open_client(f"tls:{HOST}:{site.address.port}", tls=files.client(), wire="t2") as client:
            assert await client.publish("x", Note("a")) == 0
        await wait_until(partial(lambda bus: bus.statistics().connections == 0, site.bus))
