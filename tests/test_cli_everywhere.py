"""Looking at all servers of a bus, or at another than the one that is connected to."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from attrs import evolve

import t2bus
from cli_helpers import fast_command, fast_run, run
from server_helpers import NORTH, SOUTH, open_servers, two_servers
from t2bus import status
from t2bus.cli.everywhere import Everywhere
from t2bus.cli.exits import Exit
from t2bus.cli.views import VIEWS
from terminal_helpers import at_a_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

    from t2bus.federation.memory import MemoryNetwork


def cells(out: str) -> list[list[str]]:
    """The words of each line."""
    return [line.split() for line in out.splitlines()]


# --- from Python


async def test_each_server_is_asked_through_one(autojump_clock: MockClock) -> None:
    """A client asks any server of the bus for its clients, subscriptions, topics, members and status."""
    async with (
        two_servers() as (north, south, _),
        north.open_client(name="asker") as client,
        south.open_client(name="oven") as oven,
        oven.subscribe_bytes("heat"),
        oven.serve_bytes("measure"),
    ):
        await oven.publish_bytes("cold", b"")
        assert [each.name for each in await status.clients(client)] == ["asker"]
        assert [each.name for each in await status.clients(client, server="south")] == ["oven"]
        assert [each.topic for each in await status.subscriptions(client, server=SOUTH)] == ["heat"]
        assert [each.topic for each in await status.topics(client, server="south")] == ["cold"]
        assert [each.name for each in await status.members(client, server="south")] == ["north"]
        (measure,) = await status.services(client, server="south")
        assert (measure.name, measure.server) == ("oven", "")
        said = [await status.status(client, server=server) for server in (None, "north", "south")]
    assert [each.node for each in said] == [NORTH, NORTH, SOUTH]


async def test_all_pages_of_another_server(autojump_clock: MockClock) -> None:
    """Of more clients than a page has each is there once, through another server too."""
    async with two_servers() as (north, south, _), north.open_client() as client, trio.open_nursery() as nursery:
        before = {each.id for each in await status.clients(client, server="south")}
        for _ in range(230):
            await nursery.start(connected, south)
        found = [each.id for each in await status.clients(client, server="south")]
        nursery.cancel_scope.cancel()
    assert (before, len(found), found) == (set(), 230, sorted(set(found)))


async def connected(bus: t2bus.Bus, task_status: trio.TaskStatus[None]) -> None:
    """Keep a client connected."""
    async with bus.open_client():
        task_status.started()
        await trio.sleep_forever()


async def test_a_server_that_leaves(autojump_clock: MockClock) -> None:
    """Who waits for a server that cannot be reached any more is told so, and then that there is none."""
    async with two_servers() as (north, _, network), north.open_client() as client:
        network.freeze(SOUTH)
        with pytest.raises(t2bus.ServiceGone, match="the server 'south' left with the request pending"):
            await status.clients(client, server="south")
        with pytest.raises(t2bus.ServiceNotFound, match="no server of this bus is called 'south'"):
            await status.clients(client, server="south")


# --- looks


async def test_rates_are_of_each_server(autojump_clock: MockClock) -> None:
    """Two clients with one id at two servers are set each against itself."""
    async with (
        two_servers() as (north, south, _),
        north.open_client() as asker,
        north.open_client(name="a") as near,
        south.open_client(name="b") as far,
    ):
        looks = Everywhere(asker, VIEWS["clients"])
        await looks.next()
        for _ in range(10):
            await near.publish_bytes("x", b"")
        await far.publish_bytes("x", b"")
        begun = trio.current_time()
        await trio.sleep_until(looks.due)
        rows = {row.entry.name: row for row in await looks.next()}
        seconds = trio.current_time() - begun
    assert rows["a"].place == {"server": "north", "node": NORTH}
    assert rows["b"].place == {"server": "south", "node": SOUTH}
    assert [rows[name].rates["received"] * seconds for name in "ab"] == pytest.approx([10, 1], rel=0.2)  # type: ignore[index]


async def test_a_server_that_hangs_holds_up_no_other(autojump_clock: MockClock) -> None:
    """What the others have said is there when the time of one that does not answer is over, which is named."""
    async with two_servers() as (north, _, network), north.open_client(name="asker") as asker:
        network.freeze(SOUTH)
        looks, begun = Everywhere(asker, VIEWS["clients"], patience=1), trio.current_time()
        rows = await looks.next()
        assert trio.current_time() - begun == pytest.approx(1, abs=0.01)
    said = "the server 'south' is not shown: that server has not answered within 1 s: it hangs, or the network does"
    assert [row.entry.name for row in rows] == ["asker"]
    assert [(str(each), each.code) for each in looks.failures] == [(said, Exit.TIMEOUT)]


async def test_a_server_that_leaves_meanwhile(autojump_clock: MockClock) -> None:
    """A server that is gone before it has answered is named, as one that could not be reached."""
    async with two_servers() as (north, _, network), north.open_client() as asker:
        network.freeze(SOUTH)
        looks = Everywhere(asker, VIEWS["clients"])
        await looks.next()
    said = "the server 'south' is not shown: the server 'south' left with the request pending"
    assert [(str(each), each.code) for each in looks.failures] == [(said, Exit.UNREACHABLE)]


async def test_a_server_that_is_busy(autojump_clock: MockClock) -> None:
    """A server that is asked too much at once is named, as an error of no other kind."""
    async with (
        two_servers() as (north, _, network),
        north.open_client() as asker,
        trio.open_nursery() as nursery,
    ):
        network.freeze(SOUTH)
        for _ in range(32):
            nursery.start_soon(asked_in_vain, asker)
        await trio.testing.wait_all_tasks_blocked()
        looks = Everywhere(asker, VIEWS["clients"])
        await looks.next()
        nursery.cancel_scope.cancel()
    assert [each.code for each in looks.failures] == [Exit.ERROR]


async def asked_in_vain(client: t2bus.Client) -> None:
    """Ask a server that does not answer."""
    with pytest.raises(t2bus.ServiceGone):
        await status.status(client, server="south")


async def test_servers_of_one_name_are_shown_by_node(autojump_clock: MockClock) -> None:
    """Where two servers are called alike, what is shown of them is their nodes."""
    async with open_servers("a", "b") as (_, servers), servers["a"].bus.open_client() as asker:
        said = await status.status(asker)
        while [each.name for each in await status.members(asker)] != [said.name]:  # noqa: ASYNC110 -- a clock that jumps
            await trio.sleep(0.01)
        rows = await Everywhere(asker, VIEWS["status"]).next()
    assert [row.place["server"] for row in rows] == ["a1", "b1"]


async def test_a_bus_of_one_server_that_does_not_answer(autojump_clock: MockClock) -> None:
    """Where there is no other server to show, one that does not answer is an error."""

    async def hang(_: t2bus.Client, *, server: str | None = None) -> list[object]:
        await trio.sleep_forever()

    async with t2bus.open_bus() as bus, bus.open_client() as asker:
        looks = Everywhere(asker, evolve(VIEWS["clients"], ask=hang), patience=1)
        with pytest.raises(t2bus.RequestTimeout, match="the bus has not answered within 1 s"):
            await looks.next()


# --- the command line


def freeze(network: MemoryNetwork) -> None:
    """Have the server ``south`` stand still, for longer than any process here takes."""
    network.lease = 60
    network.freeze(SOUTH)


async def test_clients_of_all_servers(folder: Path) -> None:
    """``--all`` lists the clients of each server, server by server, with what it is called in front."""
    address = f"unix:{folder}/bus"
    async with two_servers(address) as (_, south, _), south.open_client(name="oven"), south.open_client(name="fan"):
        code, out, err = await run("clients", "--all", "--once", "--addr", address)
        assert (code, err) == (0, "")
        assert [line[0] for line in cells(out)] == ["SERVER", "north", "south", "south"]
        assert [line[1] for line in cells(out)[2:]] == ["fan", "oven"]
        _, out, _ = await fast_run("clients", "--all", "--json", "--addr", address)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["server"], line["node"]) for line in lines] == [("north", NORTH), ("south", SOUTH), ("south", SOUTH)]
    assert lines[1]["received_per_second"] == 0


async def test_subscriptions_and_topics_of_all_servers(folder: Path) -> None:
    """Subscriptions stand where their client is, topics where they are met, and a service where it is, once."""
    address = f"unix:{folder}/bus"
    async with (
        two_servers(address) as (_, south, _),
        south.open_client(name="oven") as oven,
        oven.subscribe_bytes("heat"),
        oven.serve_bytes("measure"),
    ):
        await oven.publish_bytes("cold", b"")
        _, subs, _ = await run("subs", "--all", "--once", "--addr", address)
        _, topics, _ = await run("ls", "--all", "--once", "--addr", address)
        _, seen, _ = await run("ls", "--at", "south", "--once", "--addr", address)
    assert [line[:3] for line in cells(subs)] == [["SERVER", "TOPIC", "NAME"], ["south", "heat", "oven"]]
    assert [line[:3] for line in cells(topics)[1:]] == [["south", "topic", "cold"], ["south", "service", "measure"]]
    assert cells(topics)[2][-1] == "oven"
    assert [line[:2] for line in cells(seen)] == [["KIND", "TOPIC"], ["topic", "cold"], ["service", "measure"]]


async def test_one_other_server(folder: Path) -> None:
    """``--at`` looks at the server of this name or node; one that is not there is exit code 4."""
    address = f"unix:{folder}/bus"
    async with two_servers(address):
        for server in ("south", SOUTH):
            _, out, _ = await run("status", "--at", server, "--once", "--addr", address)
            assert ["node", SOUTH] in cells(out)
        said = "t2bus: no server of this bus is called 'west': there are 'north', 'south'\n"
        assert await run("status", "--at", "west", "--addr", address) == (4, "", said)


@pytest.mark.parametrize("verb", ["clients", "subs", "ls"])
async def test_all_of_one_server(verb: str, bus: t2bus.Bus) -> None:
    """Where the bus has one server alone, ``--all`` shows what is shown without it."""
    async with bus.open_client(name="oven") as oven, oven.subscribe_bytes("a"), oven.serve_bytes("b"):
        options = "--once", "--json", "--addr", *bus.addresses
        (code, out, err), (_, alone, _) = await run(verb, "--all", *options), await run(verb, *options)
    shown, plain = ([{**json.loads(line), "name": "", "age": 0} for line in text.splitlines()] for text in (out, alone))
    assert (code, err, len(shown)) == (0, "", len(plain))
    assert [set(line) for line in shown] == [set(line) for line in plain]
    assert not any("node" in line for line in shown)


async def test_a_server_that_does_not_answer(folder: Path) -> None:
    """What there is at the others is printed; who does not answer in time is named, with exit code 5."""
    address = f"unix:{folder}/bus"
    async with two_servers(address) as (_, _, network):
        freeze(network)
        code, out, err = await run("clients", "--all", "--once", "--timeout", "0.5", "--addr", address)
    assert (code, [line[0] for line in cells(out)]) == (5, ["SERVER", "north"])
    said = "that server has not answered within 0.5 s: it hangs, or the network does"
    assert err == f"t2bus: the server 'south' is not shown: {said}\n"


async def test_no_right_to_ask(folder: Path) -> None:
    """Who may not ask is told so once, and nothing is shown, whatever other servers would allow."""
    address = f"unix:{folder}/bus"
    rules = 'request = ["bus/status", "bus/members"]\nsubscribe = ["bus/event/*"]\n'
    (folder / "access.toml").write_text(f"[everyone]\n{rules}")
    async with two_servers(address, access=folder / "access.toml"):
        code, out, err = await run("clients", "--all", "--once", "--addr", address)
        assert (code, out, err.count("\n")) == (7, "", 1)
        code, _, _ = await run("clients", "--at", "south", "--once", "--addr", address)
        assert code == 7


async def test_watching_all_servers(folder: Path) -> None:
    """What is watched at all servers goes on without one that does not answer, which is named once."""
    address = f"unix:{folder}/bus"
    async with (
        two_servers(address) as (north, _, network),
        north.open_client() as client,
        fast_command("ls", "--all", "--watch", "--timeout", "3", "--addr", address) as watching,
    ):
        await client.publish_bytes("a", b"")
        assert (await watching.stdout.next()).split()[0] == "SERVER"
        await watching.stdout.next()
        freeze(network)
        assert "the server 'south' is not shown" in await watching.stderr.next()
        await client.publish_bytes("a", b"")
        assert (await watching.stdout.next()).split()[:3] == ["north", "topic", "a"]
        watching.process.send_signal(signal.SIGINT)
        assert await watching.end() == 0


async def test_watching_all_servers_at_a_terminal(folder: Path) -> None:
    """On a terminal the server that does not answer is named below the list."""
    address = f"unix:{folder}/bus"
    program = ["-m", "t2bus", "ls", "--all", "--watch", "--timeout", "0.5", "--addr", address]
    async with two_servers(address) as (north, _, network), north.open_client() as client:
        await client.publish_bytes("a", b"")
        async with at_a_terminal(*program, columns=60, lines=10) as terminal:
            await terminal.until("north   topic  a")
            freeze(network)
            screen = await terminal.until("the server 'south' is not shown")
            assert screen.splitlines()[0].startswith("SERVER")


async def test_at_and_all_exclude_each_other() -> None:
    """Who asks for all servers and for one of them is told that this cannot be both."""
    code, _, err = await run("clients", "--all", "--at", "south")
    assert (code, "not allowed with argument" in err) == (2, True)
