"""``t2bus ping`` and ``t2bus events``."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest
import trio

import t2bus
from bus_helpers import RawPeer, open_fake_bus, wait_until, welcome
from cli_helpers import command, run
from t2bus.wire import messages as m

if TYPE_CHECKING:
    from pathlib import Path


class TestPing:
    """How long the bus takes."""

    async def test_prints_each_and_a_summary(self, bus: t2bus.Bus) -> None:
        """Each answer has its milliseconds, and the last line has the least, the mean and the most."""
        code, out, err = await run("ping", "-n", "2", "--interval", "0.01", "--addr", *bus.addresses)
        assert (code, err) == (0, "")
        first, second, summary = out.splitlines()
        assert re.fullmatch(r"1  \d+\.\d{3} ms", first)
        assert re.fullmatch(r"2  \d+\.\d{3} ms", second)
        assert re.fullmatch(r"2 sent, 2 answered, 0 lost; min \S+, avg \S+, max \S+ ms", summary)

    async def test_json(self, bus: t2bus.Bus) -> None:
        """With ``--json`` each line is an object, the summary too."""
        _, out, _ = await run("ping", "-n", "1", "--json", "--addr", *bus.addresses)
        one, summary = map(json.loads, out.splitlines())
        assert (one["number"], summary["sent"], summary["lost"]) == (1, 1, 0)
        assert one["ms"] == summary["min_ms"] == summary["max_ms"]

    async def test_signal(self, bus: t2bus.Bus) -> None:
        """Ctrl-C ends it with the summary, and with exit code 0 if there was an answer."""
        async with command("ping", "--addr", *bus.addresses) as pinging:
            await pinging.stdout.next()
            pinging.process.send_signal(signal.SIGINT)
            assert (await pinging.stdout.next()).startswith("1 sent, 1 answered, 0 lost; ")
            assert await pinging.end() == 0

    async def test_a_bus_that_does_not_answer(self) -> None:
        """Questions that are not answered in time are lost, and if all are that is exit code 5."""

        async def silent(peer: RawPeer[m.ClientMessage]) -> None:
            await welcome(peer)
            await peer.expect(m.Goodbye)

        async with open_fake_bus(silent) as address:
            options = ["-n", "1", "--timeout", "0.01", "--interval", "0.01"]
            code, out, err = await run("ping", *options, "--addr", address)
        assert (code, out) == (5, "1  lost\n1 sent, 0 answered, 1 lost\n")
        assert err == "t2bus: the bus has not answered within 0.01 s: it hangs, or the network does\n"

    async def test_a_bus_that_comes_back(self, folder: Path) -> None:
        """What is asked while the bus is away is lost, and it goes on when the bus is back."""
        address = f"unix:{folder}/bus"
        options = ["--interval", "0.05", "--json", "--addr", address]
        async with trio.open_nursery() as nursery:
            enough = await nursery.start(serve, address)
            async with command("ping", *options) as pinging:
                assert json.loads(await pinging.stdout.next())["ms"] is not None
                enough.set()
                await pinging.stdout.until("null")
                enough = await nursery.start(serve, address)
                while json.loads(await pinging.stdout.next())["ms"] is None:
                    pass
                pinging.process.send_signal(signal.SIGINT)
                assert await pinging.end() == 0
            enough.set()


async def serve(address: str, task_status: trio.TaskStatus[trio.Event]) -> None:
    """Run a bus until the event that is reported is set."""
    enough = trio.Event()
    async with t2bus.open_bus(address):
        task_status.started(enough)
        await enough.wait()


class TestEvents:
    """What happens."""

    async def test_prints_what_happens(self, bus: t2bus.Bus) -> None:
        """Each event is one line, with the time, its kind, whose it is, and what it is about."""
        async with command("events", "claimed", "left", "-n", "2", "--addr", *bus.addresses) as listening:
            assert await listening.stderr.next() == f"t2bus: listening to bus/event/* at {bus.addresses[0]}"
            async with bus.open_client(name="oven") as client, client.serve_bytes("a"):
                pass
            first, second = await listening.stdout.next(), await listening.stdout.next()
            assert await listening.end() == 0
        assert re.fullmatch(r"\d\d:\d\d:\d\d  claimed       oven \(local\)  a", first)
        assert re.fullmatch(r"\d\d:\d\d:\d\d  left          oven \(local\).*", second)

    async def test_json(self, bus: t2bus.Bus) -> None:
        """With ``--json`` each line has the fields of the event, and the time."""
        async with command("events", "connected", "--json", "--addr", *bus.addresses) as listening:
            await listening.stderr.until("listening")
            async with bus.open_client(name="oven"):
                event = json.loads(await listening.stdout.next())
            listening.process.send_signal(signal.SIGINT)
            assert await listening.end() == 0
        assert (event["kind"], event["name"], event["identity"]) == ("connected", "oven", "local")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", event["time"])

    @pytest.mark.parametrize("kinds", [[], ["left", "lagging"]])
    async def test_no_right(self, kinds: list[str], folder: Path) -> None:
        """Who may not subscribe to events is told so, with exit code 7."""
        (folder / "access.toml").write_text('[everyone]\nrequest = ["bus/**"]\nsubscribe = ["bus/event/left"]\n')
        async with t2bus.open_bus(f"unix:{folder}/bus", access=folder / "access.toml") as bus:
            code, out, err = await run("events", *kinds, "--addr", *bus.addresses)
        assert (code, out, err.count("\n")) == (7, "", 1)

    async def test_a_right_to_one_kind(self, folder: Path) -> None:
        """One kind alone is all that is asked for if one alone is named, and nothing else is needed."""
        (folder / "access.toml").write_text('[everyone]\nsubscribe = ["bus/event/left"]\n')
        async with (
            t2bus.open_bus(f"unix:{folder}/bus", access=folder / "access.toml") as bus,
            command("events", "left", "-n", "1", "--addr", *bus.addresses) as listening,
        ):
            await listening.stderr.until("listening to bus/event/left")
            async with bus.open_client():
                pass
            assert await listening.end() == 0

    async def test_reader_leaves(self, bus: t2bus.Bus) -> None:
        """When the program that reads its output has ended, so does it, quietly and with exit code 0."""
        async with command("events", "--addr", *bus.addresses) as listening:
            await listening.stderr.until("listening")
            assert listening.process.stdout is not None
            await listening.process.stdout.aclose()
            async with bus.open_client():
                await wait_until(lambda: bus.statistics().connections == 1)
            assert await listening.end() == 0
            assert await listening.stderr.rest() == []

    async def test_unknown_kind(self) -> None:
        """A kind that there is not is wrong usage, and the line has those that there are."""
        code, out, err = await run("events", "vanished")
        assert (code, out) == (2, "")
        assert err.startswith("t2bus: argument KIND: 'vanished' is no kind of event: there are connected, left, ")
