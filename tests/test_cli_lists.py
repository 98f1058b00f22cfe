"""``t2bus status``, ``clients``, ``services``, ``subs`` and ``ls``, as programs in pipes and at terminals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio

import t2bus
from bus_helpers import RawPeer, open_fake_bus, wait_until, welcome
from cli_helpers import IS_LINUX, command, fast_command, fast_run, process, run
from t2bus.protocol import encode
from t2bus.status import Clients, ClientStatus
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode
from terminal_helpers import at_a_terminal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

LISTS = ["status", "clients", "services", "subs", "members", "ls"]
LOOKING = [*LISTS, "events", "ping", "top"]


@pytest.fixture
async def oven(bus: t2bus.Bus) -> AsyncGenerator[t2bus.Client, None]:
    """Connect a client that is called ``oven``, serves, subscribes, and has published once to each of two topics."""
    async with (
        bus.open_client(name="oven") as client,
        client.serve_bytes("oven/measure"),
        client.subscribe_bytes("fan/**"),
    ):
        await client.publish_bytes("oven/temperature", b"12")
        await client.publish_bytes("fan/*", b"12")
        yield client


# --- what is printed


async def test_clients(bus: t2bus.Bus, oven: t2bus.Client) -> None:
    """Who is connected stands in a line each, under titles, with rates that are of two looks."""
    code, out, err = await fast_run("clients", "--addr", *bus.addresses)
    title, first, second = out.splitlines()
    shown = dict(zip(title.split(), first.split(), strict=True))
    assert (code, err, shown["NAME"], shown["IDENTITY"]) == (0, "", "oven", "local")
    assert (shown["IN"], shown["IN/S"], shown["SUBS"]) == ("2", "0.0", "1")
    assert second.startswith("t2bus clients[")
    assert f" uid:{os.geteuid()} " in second


@pytest.mark.parametrize(
    ("verb", "lines"),
    [
        (
            "services",
            [
                "TOPIC         NAME  IDENTITY  PENDING  WINDOW  CALLS  SERVER",
                "oven/measure  oven  local           0    1024      0  -",
            ],
        ),
        (
            "subs",
            [
                "TOPIC   NAME  IDENTITY   FREE  WINDOW  HELD  DROPPED  MSGS",
                "fan/**  oven  local     16383   16384     0        0     1",
            ],
        ),
    ],
)
async def test_lists(verb: str, lines: list[str], bus: t2bus.Bus, oven: t2bus.Client) -> None:
    """Each list has columns that are aligned; with one look alone there are no rates."""
    assert await run(verb, "--once", "--addr", *bus.addresses) == (0, "\n".join([*lines, ""]), "")


async def test_status(bus: t2bus.Bus, oven: t2bus.Client) -> None:
    """The bus is one figure a line, with what it does in a second behind it."""
    code, out, err = await fast_run("status", "--addr", *bus.addresses)
    shown = {line[:18].strip(): line[18:] for line in out.splitlines()}
    assert (code, err, shown["version"], shown["process"]) == (0, "", t2bus.__version__, str(os.getpid()))
    assert (shown["connections"], shown["published"], shown["addresses"]) == ("2", "2  0.0/s", bus.addresses[0])


async def test_topics(bus: t2bus.Bus, oven: t2bus.Client) -> None:
    """What was published and what is served stand in one list, each marked as what it is."""
    code, out, err = await run("ls", "--once", "--addr", *bus.addresses)
    shown = [line.split()[:3] for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert shown == [
        ["KIND", "TOPIC", "MSGS"],
        ["topic", "fan/*", "1"],
        ["service", "oven/measure", "0"],
        ["topic", "oven/temperature", "1"],
    ]


async def test_topics_that_a_pattern_meets(bus: t2bus.Bus, oven: t2bus.Client) -> None:
    """Only topics that a publication to TOPIC would meet are listed, those with wildcards too."""
    _, out, _ = await run("ls", "fan/left/**", "--json", "--once", "--addr", *bus.addresses)
    assert [json.loads(line)["topic"] for line in out.splitlines()] == ["fan/*"]


async def test_nothing_to_list(bus: t2bus.Bus) -> None:
    """Where there is nothing, nothing is printed, and standard error says so."""
    said = "t2bus: nobody serves anything\n"
    assert await run("services", "--once", "--addr", *bus.addresses) == (0, "", said)


@pytest.mark.parametrize("verb", LISTS)
async def test_json(verb: str, bus: t2bus.Bus, oven: t2bus.Client) -> None:
    """With ``--json`` each line is an object, with rates unless there was one look alone."""
    _, out, _ = await fast_run(verb, "--json", "--addr", *bus.addresses)
    _, at_once, _ = await run(verb, "--json", "--once", "--addr", *bus.addresses)
    for line, other in zip(out.splitlines(), at_once.splitlines(), strict=True):
        with_rates, without = json.loads(line), json.loads(other)
        assert set(without) < set(with_rates)
        assert not any(name.endswith("_per_second") for name in without)


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
async def test_json_for_jq(bus: t2bus.Bus, oven: t2bus.Client) -> None:
    """The lines are what jq reads."""
    line = f'{sys.executable} -m t2bus clients --json --once --addr {bus.addresses[0]} | jq -r "select(.id == 1).name"'
    done = await trio.run_process(line, shell=True, capture_stdout=True)
    assert done.stdout == b"oven\n"


async def test_names_of_others_are_printable(bus: t2bus.Bus) -> None:
    """A name in another script is shown as it is where the encoding has it, and else escaped."""
    async with bus.open_client(name="炉 two"):
        _, out, _ = await run("clients", "--once", "--addr", *bus.addresses, env={"PYTHONIOENCODING": "utf-8"})
        _, plain, _ = await run("clients", "--once", "--addr", *bus.addresses, env={"PYTHONIOENCODING": "ascii"})
    assert "炉 " in out
    assert r"\u7089 " in plain


@pytest.mark.parametrize("options", [[], ["--json"]])
async def test_control_characters_are_escaped(options: list[str]) -> None:
    """Even a bus that sends names with escape sequences writes none to the terminal."""
    evil = "\x1b[31m\n\x9b\u202e"
    shown = ClientStatus(1, evil, evil, evil, evil, 0.0, *[0] * 11)

    async def hostile(peer: RawPeer[m.ClientMessage]) -> None:
        await welcome(peer)
        await peer.send(m.Response((await peer.expect(m.Ask)).id, encode(Clients([shown], None))))
        await peer.expect(m.Goodbye)

    async with open_fake_bus(hostile) as address:
        code, out, _ = await run("clients", "--once", *options, "--addr", address)
    assert (code, out.count("\n")) == (0, 1 if options else 2)
    assert out.replace("\n", "").isprintable()


# --- watching


@pytest.mark.skipif(not IS_LINUX, reason="elsewhere a pipe does not tell")
async def test_watching_into_head(bus: t2bus.Bus, oven: t2bus.Client) -> None:
    """Where the next program of a pipe has had enough, watching ends, also at a bus where nothing happens."""
    watch = f"{sys.executable} -m t2bus ls --watch --addr {bus.addresses[0]}"
    async with process("bash", "-c", f"set -o pipefail; {watch} | head -n 1") as pipeline:
        assert (await pipeline.stdout.next()).split()[:2] == ["KIND", "TOPIC"]
        assert await pipeline.end() == 0
        assert await pipeline.stderr.rest() == []


async def test_watching_in_a_pipe(bus: t2bus.Bus, oven: t2bus.Client) -> None:
    """In a pipe it prints what there is, and then what has changed; a signal ends it well."""
    async with fast_command("ls", "oven/**", "--watch", "--addr", *bus.addresses) as watching:
        assert (await watching.stdout.next()).split()[:2] == ["KIND", "TOPIC"]
        assert (await watching.stdout.next()).split()[:2] == ["service", "oven/measure"]
        assert (await watching.stdout.next()).split()[:2] == ["topic", "oven/temperature"]
        await oven.publish_bytes("oven/temperature", b"12")
        changed = (await watching.stdout.next()).split()
        assert (changed[1], changed[4]) == ("oven/temperature", "2")
        watching.process.send_signal(signal.SIGINT)
        assert await watching.end() == 0
        assert await watching.stderr.rest() == []


async def test_watching_at_a_terminal(bus: t2bus.Bus, oven: t2bus.Client) -> None:
    """At a terminal the list is written again in its own place, below what stood there."""
    program = ["-m", "t2bus", "ls", "--watch", "--addr", *bus.addresses]
    async with at_a_terminal(*program, columns=80, lines=10) as terminal:
        await terminal.until("oven/temperature")
        await oven.publish_bytes("zoo", b"")
        screen = await terminal.until("topic    zoo")
        assert screen.count("oven/temperature") == 1
        assert screen.splitlines()[0].startswith("KIND     TOPIC")
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.end() == 0


async def test_watching_more_than_the_terminal_has_room_for(bus: t2bus.Bus, oven: t2bus.Client) -> None:
    """What does not fit is counted in the last line, and nothing scrolls."""
    for number in range(20):
        await oven.publish_bytes(f"a/{number:02}", b"")
    program = ["-m", "t2bus", "ls", "--watch", "--addr", *bus.addresses]
    async with at_a_terminal(*program, columns=80, lines=10) as terminal:
        screen = await terminal.until("... and 16 lines more")
        assert screen.splitlines()[0].startswith("KIND     TOPIC")


# --- at a terminal


async def test_a_table_is_as_wide_as_the_terminal(bus: t2bus.Bus, oven: t2bus.Client) -> None:
    """Figures have their units there, and columns that do not fit are left out."""
    program = ["-m", "t2bus", "clients", "--addr", *bus.addresses]
    async with at_a_terminal(*program, columns=70) as terminal:
        assert await terminal.end() == 0
        title, *lines = terminal.shown.rstrip().splitlines()
    assert title.split() == ["NAME", "IDENTITY", "IN/S", "OUT/S", "BYTES-IN/S", "BYTES-OUT/S"]
    assert lines[0].split() == ["oven", "local", "0", "0", "0", "B", "0", "B"]


# --- how it ends


@pytest.mark.parametrize("verb", LOOKING)
async def test_no_bus(verb: str, folder: Path) -> None:
    """Where there is no bus that is exit code 3 and one line."""
    code, out, err = await run(verb, "--addr", f"unix:{folder}/nobody")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert err.startswith("t2bus: ")


@pytest.mark.parametrize("verb", [verb for verb in LOOKING if verb != "events"])
async def test_no_right(verb: str, folder: Path) -> None:
    """Who may not ask the bus is told so, and which rule would allow it, with exit code 7."""
    (folder / "access.toml").write_text('[everyone]\nsubscribe = ["**"]\n')
    async with t2bus.open_bus(f"unix:{folder}/bus", access=folder / "access.toml") as bus:
        code, out, err = await run(verb, "--addr", *bus.addresses)
    assert (code, out, err.count("\n")) == (7, "", 1)
    assert "may not request 'bus/" in err
    assert err.endswith(""": the access rules of the bus have to allow it, as request = ["bus/*"] does\n""")


@pytest.mark.parametrize("verb", LOOKING)
async def test_a_bus_that_does_not_answer_about_itself(verb: str) -> None:
    """An older bus is called that in one line, with the exit code for a topic that nobody serves."""

    async def older(peer: RawPeer[m.ClientMessage]) -> None:
        await welcome(peer)
        await peer.send(m.Refused((await peer.expect(m.Ask)).id, ErrorCode.SERVICE_NOT_FOUND, "nobody serves it"))
        await peer.expect(m.Goodbye)

    async with open_fake_bus(older) as address:
        said = "this bus does not answer about itself: it is older than t2bus.status, or one of the Rust crate t2_bus"
        assert await run(verb, "--addr", address) == (4, "", f"t2bus: {said}\n")


@pytest.mark.parametrize("verb", ["clients", "ls"])
async def test_interrupted(verb: str, bus: t2bus.Bus) -> None:
    """Ctrl-C between the two looks ends it quietly, as a command that is not done."""
    async with command(verb, "--addr", *bus.addresses) as looking:
        await wait_until(lambda: bus.statistics().connections == 1)
        looking.process.send_signal(signal.SIGINT)
        assert await looking.end() == 130
        assert (await looking.stdout.rest(), await looking.stderr.rest()) == ([], [])


async def test_reader_leaves(bus: t2bus.Bus, oven: t2bus.Client) -> None:
    """When the program that reads its output has ended, so does it, quietly and with exit code 0."""
    async with fast_command("ls", "--watch", "--json", "--addr", *bus.addresses) as watching:
        await watching.stdout.next()
        assert watching.process.stdout is not None
        await watching.process.stdout.aclose()
        await oven.publish_bytes("oven/temperature", b"")
        assert await watching.end() == 0
        assert await watching.stderr.rest() == []


def test_usage_of_a_verb_without_arguments() -> None:
    """A word too many is named, and no dashes that nobody wrote."""
    done = subprocess.run([sys.executable, "-m", "t2bus", "clients", "--json", "x"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"t2bus: unrecognized arguments: x; see `t2bus clients --help`\n"


async def test_the_end_of_the_bus(folder: Path) -> None:
    """A bus that ends while it is watched is exit code 3, and one line."""
    address, enough = f"unix:{folder}/bus", trio.Event()

    async def serve(task_status: trio.TaskStatus[None]) -> None:
        async with t2bus.open_bus(address) as bus, bus.open_client() as client:
            await client.publish_bytes("a", b"")
            task_status.started()
            await enough.wait()

    async with trio.open_nursery() as nursery:
        await nursery.start(serve)
        async with fast_command("ls", "--watch", "--json", "--addr", address) as watching:
            await watching.stdout.next()
            enough.set()
            assert await watching.end() == 3
            assert await watching.stderr.rest() == ["t2bus: the bus said goodbye: the bus is shutting down"]
