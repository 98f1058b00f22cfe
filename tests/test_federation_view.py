"""How several servers that are one bus are seen: what each says, logs, prints and shows of the others."""

from __future__ import annotations

import json
import logging
import socket
from typing import TYPE_CHECKING

import pytest
import trio
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import t2bus
from cli_helpers import run
from monitor_helpers import Monitored
from server_helpers import NORTH, PLACE, SOUTH, be_among, heard_of, two_servers
from t2bus import status
from t2bus.monitor.serve import open_monitor
from terminal_helpers import at_a_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

    from t2bus.federation.memory import MemoryNetwork


async def come_apart(network: MemoryNetwork, north: t2bus.Bus) -> None:
    """Part the two servers, and wait until the first one has noticed."""
    async with heard_of(north, "lost"):
        network.part({NORTH}, {SOUTH})


async def come_together(network: MemoryNetwork, north: t2bus.Bus) -> None:
    """Let the two servers reach each other again, and wait until the first one has noticed."""
    async with heard_of(north, "joined"):
        network.heal()


# --- what a server says


async def test_members_are_told_by_name(autojump_clock: MockClock) -> None:
    """Each server tells of the other, with its name and its node, and of itself what it is among them."""
    async with two_servers() as (north, _, network), north.open_client() as client:
        (south,) = await status.members(client)
        said = await client.request("", status.StatusRequest())
        assert (south.name, south.node) == ("south", SOUTH)
        assert (said.bus, said.name, said.node, said.members) == ("plant", "north", NORTH, 1)
        assert (said.min_members, said.takes_claims) == (2, True)
        await come_apart(network, north)
        assert await status.members(client) == []
        assert (await client.request("", status.StatusRequest())).takes_claims is False


async def test_members_take_no_room_of_clients(autojump_clock: MockClock) -> None:
    """Other servers count for none of the connections that a bus allows."""
    async with two_servers(limits=t2bus.Limits(connections=1)) as (north, _, _), north.open_client():
        assert repr(north) == "<t2bus.Bus at no address: 1 connections>"
        with pytest.raises(t2bus.ConnectFailed, match=r"all that Limits\.connections allows"):
            async with north.open_client():
                pass


async def test_who_has_subscribed_hears_of_servers(autojump_clock: MockClock) -> None:
    """Events tell of servers that are lost and join, and of none that they are clients who come and leave."""
    async with (
        two_servers() as (north, _, network),
        north.open_client() as client,
        client.subscribe(status.Event, "*") as events,
    ):
        assert (await events.receive()).body.kind == "subscribed"
        network.part({NORTH}, {SOUTH})
        lost = (await events.receive()).body
        network.heal()
        joined = (await events.receive()).body
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
    assert [(each.kind, each.name, each.server, each.text) for each in (lost, joined)] == [
        ("lost", "south", SOUTH, "it cannot be reached any more"),
        ("joined", "south", SOUTH, ""),
    ]


async def test_the_log_tells_of_servers(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """A line tells that a server has joined, a warning that it is lost and why, and neither calls it a client."""
    async with two_servers() as (north, _, network):
        caplog.clear()
        caplog.set_level(logging.INFO, "t2bus")
        await come_apart(network, north)
        await come_together(network, north)
        told = [record for record in caplog.records if SOUTH in record.getMessage()]
    assert [(record.levelname, record.getMessage()) for record in told] == [
        ("WARNING", f"federation: server {SOUTH} south lost: it cannot be reached any more"),
        ("INFO", f"federation: server {SOUTH} south joined"),
    ]
    assert [vars(record)["server"] for record in told] == [SOUTH] * 2


async def test_an_end_is_no_warning(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """A server that ends itself warns of no other that it has lost by that."""
    async with (
        two_servers() as (north, south, network),
        t2bus.open_bus() as east,
        heard_of(north, "lost"),
        heard_of(south, "lost"),
        trio.open_nursery() as nursery,
    ):
        async with heard_of(east, "joined", 2), heard_of(north, "joined"), heard_of(south, "joined"):
            await nursery.start(be_among, east, network, "c" * 16, "east")
        nursery.cancel_scope.cancel()
    lost = [record.getMessage() for record in caplog.records if " lost" in record.getMessage()]
    assert lost == [f"federation: server {'c' * 16} east lost: it cannot be reached any more"] * 2


# --- what is printed


async def test_the_command_line(folder: Path) -> None:
    """The other servers are a list, the status says which server this is, and services say where they are."""
    address = f"unix:{folder}/bus"
    async with two_servers(address) as (_, south, _), south.open_client() as oven, oven.serve_bytes("measure"):
        code, out, err = await run("members", "--once", "--addr", address)
        title, line = (text.split() for text in out.splitlines())
        shown = dict(zip(title, line, strict=True))
        assert (code, err, shown["NAME"], shown["NODE"], shown["SERVICES"]) == (0, "", "south", SOUTH, "1")
        _, out, _ = await run("status", "--once", "--addr", address)
        shown = {line[:18].strip(): line[18:] for line in out.splitlines()}
        assert (shown["bus"], shown["server"], shown["node"]) == ("plant", "north", NORTH)
        assert (shown["other servers"], shown["min members"], shown["takes claims"]) == ("1", "2", "yes")
        _, out, _ = await run("services", "--json", "--once", "--addr", address)
        assert (json.loads(out)["topic"], json.loads(out)["name"], json.loads(out)["server"]) == (
            "measure",
            "south",
            SOUTH,
        )


async def test_events_of_servers_are_printed(folder: Path) -> None:
    """A server that is lost is a line with its name and its node."""
    address = f"unix:{folder}/bus"
    program = ["-m", "t2bus", "events", "lost", "-n", "1", "--addr", address]
    async with two_servers(address) as (_, _, network), at_a_terminal(*program, columns=120) as terminal:
        await terminal.until("listening")
        network.part({NORTH}, {SOUTH})
        assert f"lost          south (server {SOUTH})  it cannot be" in await terminal.until("cannot be reached")
        assert await terminal.end() == 0


async def test_top_shows_other_servers(folder: Path) -> None:
    """The fifth view of the live picture are the other servers."""
    address = f"unix:{folder}/bus"
    async with two_servers(address), at_a_terminal("-m", "t2bus", "top", "--addr", address, columns=120) as terminal:
        await terminal.until("1 other server of plant")
        await terminal.type("5")
        screen = await terminal.until(SOUTH)
        assert "[5 servers]" in screen
        await terminal.type("q")
        assert await terminal.end() == 0


# --- the monitor


async def test_the_monitor() -> None:
    """The monitor has the other servers, in its document and as metrics."""
    async with two_servers() as (north, _, _), open_monitor(north, "127.0.0.1:0") as (place,):
        site = Monitored(north, int(place.rstrip("/").rpartition(":")[2]))
        said = (await site.get("/status.json")).json
        metrics = {
            metric.name: metric
            for metric in text_string_to_metric_families((await site.get("/metrics")).text)  # type: ignore[no-untyped-call]
        }
    assert (said["bus"], said["name"], said["node"], said["takes_claims"]) == ("plant", "north", NORTH, True)
    assert [(row["name"], row["node"]) for row in said["members"]["rows"]] == [("south", SOUTH)]
    assert metrics["t2bus_members"].samples[0].value == 1
    assert [sample.labels["node"] for sample in metrics["t2bus_member_waiting_bytes"].samples] == [SOUTH]


# --- names


def test_a_server_is_called_as_its_host() -> None:
    """A server that is given no name has that of its host."""
    assert t2bus.Federation(bus="plant", endpoint=PLACE).name == socket.gethostname()


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb"])
def test_names_that_are_none(name: str) -> None:
    """A name of a server is short and printable."""
    with pytest.raises(ValueError, match="is no name of a server: use 1 to 64 printable characters"):
        t2bus.Federation(bus="plant", endpoint=PLACE, name=name)
