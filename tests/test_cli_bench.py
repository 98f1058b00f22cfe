"""``t2bus bench``: what is measured, and the bar that shows how far a command is."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
import trio
from attrs import define, field

from cli_helpers import ForkedCommand, Lines, command, run, started
from t2bus.cli import main

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import t2bus
    from cli_helpers import Command

ENDLESS = ["--count", "1000000000", "--json"]
ERASE = "\r\x1b[K"


async def interrupted(load: Command) -> dict[str, Any]:
    """Interrupt a command, and return what it printed when it had ended as it should."""
    load.process.send_signal(signal.SIGINT)
    assert await load.end() == 130
    result: dict[str, Any] = json.loads(await load.stdout.next())
    return result


@define(eq=False)
class Screen:
    """A command whose standard error is a terminal, and all that was shown there."""

    process: trio.Process | ForkedCommand
    stdout: Lines
    _terminal: int
    shown: str = field(default="", init=False)

    async def until(self, text: str) -> None:
        """Wait until this is shown."""
        while text not in self.shown:
            self.shown += (await trio.to_thread.run_sync(os.read, self._terminal, 65_536)).decode()

    async def rest(self) -> None:
        """Read to the end, which a terminal tells by an error."""
        with suppress(OSError):
            await self.until("\0")


@asynccontextmanager
async def on_a_screen(*arguments: str, stdin: Path | None = None) -> AsyncGenerator[Screen, None]:
    (ours, theirs), (stdout, writes) = pty.openpty(), os.pipe()
    with (stdin or Path(os.devnull)).open("rb") as file:
        given = {0: file.fileno(), 1: writes, 2: theirs}
        async with (
            trio.lowlevel.FdStream(stdout) as written,
            started("-m", "t2bus", *arguments, env=os.environ, given=given) as process,
        ):
            os.close(theirs)
            os.close(writes)
            try:
                yield Screen(process, Lines(written), ours)
            finally:
                os.close(ours)


class TestPublishing:
    """``bench pub``."""

    @pytest.mark.parametrize("size", [1, 24, 25, 3000])
    async def test_payloads(self, size: int, bus: t2bus.Bus) -> None:
        """What is sent is CBOR of exactly the size that was asked for."""
        async with bus.open_client() as client, client.subscribe_bytes("bench/x") as messages:
            arguments = ["bench", "pub", "bench/x", "--count", "2", "--size", str(size), "--addr", *bus.addresses]
            assert (await run(*arguments))[0] == 0
            first, second = await messages.receive_batch()
            assert first == second
            assert len(first.body) == size
            assert isinstance(cbor2.loads(first.body), bytes)

    async def test_of_several_clients(self, bus: t2bus.Bus) -> None:
        """The messages of all clients are as many as were asked for, and what became of them is said."""
        async with bus.open_client() as client, client.subscribe_bytes("bench/x") as messages:
            options = ["--clients", "3", "--count", "1000", "--batch", "64", "--size", "100", "--json"]
            code, out, err = await run("bench", "pub", "bench/x", *options, "--addr", *bus.addresses)
            assert (code, err) == (0, "")
            assert len(await messages.receive_batch()) == 1000
            result = json.loads(out)
            assert result["messages_per_second"] == pytest.approx(1000 / result["seconds"], rel=0.01)
            assert result["megabytes_per_second"] == pytest.approx(0.1 / result["seconds"], rel=0.01)
            assert result["cpu_us_per_message"] > 0
            assert {name: result[name] for name in ("bench", "topic", "messages", "bytes", "accepted", "missed")} == {
                "bench": "pub",
                "topic": "bench/x",
                "messages": 1000,
                "bytes": 100_000,
                "accepted": 1000,
                "missed": 0,
            }

    def test_text(self, address: str, capfd: pytest.CaptureFixture[str]) -> None:
        """Without a topic it takes one of chance, says that nobody listens there, and prints lines for people."""
        assert main(["bench", "pub", "--count", "1000", "--addr", address]) == 0
        said = capfd.readouterr()
        pattern = (
            r"bench pub (bench/[0-9a-f]{8})\n"
            r"  messages    1000 of 128 bytes in \d+\.\d{3} s\n"
            r"  rate        \d+ messages/s, \d+\.\d\d MB/s\n"
            r"  CPU         \d+\.\d us of this process per message\n"
            r"  accepted    0\n"
            r"  missed      0\n"
        )
        found = re.fullmatch(pattern, said.out)
        assert found is not None
        assert said.err == f"t2bus: nobody subscribes to {found[1]}: `t2bus bench sub` does\n"

    @pytest.mark.parametrize("action", ["pub", "request"])
    @pytest.mark.parametrize("topic", ["hello/alice", "benchmark", "hello"])
    def test_foreign_topics(self, action: str, topic: str, address: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A topic where programs may get what is sent is wrong usage."""
        assert main(["bench", action, topic, "--addr", address]) == 2
        remedy = "take a topic below bench/, or insist with --any-topic"
        assert capsys.readouterr() == ("", f"t2bus: programs may get what is sent to {topic}: {remedy}\n")

    @pytest.mark.parametrize("topic", ["**", "*/x"])
    def test_wildcards_beyond(self, topic: str, address: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Wildcards that reach beyond bench/ are refused, and taken by who insists."""
        assert main(["bench", "pub", topic, "--addr", address]) == 2
        assert main(["bench", "pub", topic, "--any-topic", "--count", "1", "--addr", address]) == 0
        assert capsys.readouterr().err.count("\n") == 2


class TestReceiving:
    """``bench sub``."""

    async def test_fits_together(self, bus: t2bus.Bus) -> None:
        """The command that it prints publishes what it waits for, and both have measured all of it."""
        async with command("bench", "sub", "--count", "5000", "--json", "--addr", *bus.addresses) as sub:
            await sub.stderr.until("publish there with:")
            printed = shlex.split(await sub.stderr.next())
            assert printed[:3] == ["python", "-m", "t2bus"]
            code, out, err = await run(*printed[3:], "--json")
            assert (code, err) == (0, "")
            assert await sub.end() == 0
            sent, received = json.loads(out), json.loads(await sub.stdout.next())
            assert sent["topic"] == received["topic"]
            assert (sent["messages"], sent["accepted"]) == (5000, 5000)
            assert (received["messages"], received["bytes"], received["lost"]) == (5000, 640_000, 0)
            assert await sub.stderr.rest() == []

    async def test_wait(self, bus: t2bus.Bus) -> None:
        """When no message came for so long it ends with exit code 5, and prints what had come."""
        arguments = ["bench", "sub", "bench/x", "--wait", "0.2", "--json", "--addr", *bus.addresses]
        async with command(*arguments) as sub, bus.open_client() as client:
            await sub.stderr.until("publish there with:")
            await client.publish_bytes("bench/x", b"\x01")
            assert await sub.end() == 5
            result = json.loads(await sub.stdout.next())
            assert (result["messages"], result["bytes"]) == (1, 1)
            assert "messages_per_second" not in result
            assert (await sub.stderr.rest())[-1] == "t2bus: no message for 0.2 s"

    async def test_nothing(self, bus: t2bus.Bus) -> None:
        """Where nothing was measured nothing is printed."""
        done = await run("bench", "sub", "--wait", "0.1", "--addr", *bus.addresses)
        assert done[:2] == (5, "")


class TestRequesting:
    """``bench request``."""

    async def test_times(self, bus: t2bus.Bus) -> None:
        """What `t2bus reply --echo` answers is counted, with how long so many hundredths took at most."""
        async with command("reply", "bench/echo", "--echo", "--addr", *bus.addresses) as reply:
            await reply.stderr.until("answering")
            arguments = ["bench", "request", "--count", "500", "--in-flight", "8", "--size", "32", "--json"]
            code, out, err = await run(*arguments, "--addr", *bus.addresses)
            assert (code, err) == (0, "")
            result = json.loads(out)
            assert (result["messages"], result["bytes"], result["topic"]) == (500, 16_000, "bench/echo")
            times = result["latency_us"]
            assert 0 < times["p50"] <= times["p90"] <= times["p99"] <= times["max"] <= result["seconds"] * 1e6
            lines = [await reply.stdout.next() for _ in range(500)]
            assert all(line.startswith("bench/echo\th'") for line in lines)

    def test_nobody(self, address: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Where nobody serves it ends with exit code 4, in one line, with the command that does."""
        assert main(["bench", "request", "--in-flight", "5", "--addr", address]) == 4
        says = "t2bus: nobody serves bench/echo: `t2bus reply bench/echo --echo >/dev/null` does\n"
        assert capsys.readouterr().err == says

    def test_too_many(self, address: str, capsys: pytest.CaptureFixture[str]) -> None:
        """More requests at once than the bus allows are exit code 1, in one line."""
        arguments = ["bench", "request", "silent", "--any-topic", "--in-flight", "1000", "--addr", address]
        assert main(arguments) == 1
        said = capsys.readouterr().err
        assert said.startswith("t2bus: 256 requests of this connection are pending")
        assert said.count("\n") == 1


class TestEnds:
    """Signals, and no bus."""

    async def test_interrupt_of_pub(self, bus: t2bus.Bus) -> None:
        """Ctrl-C ends publishing with exit code 130, after what was measured so far."""
        async with (
            bus.open_client() as client,
            client.subscribe_bytes("bench/x") as messages,
            command("bench", "pub", "bench/x", *ENDLESS, "--addr", *bus.addresses) as pub,
        ):
            received = len(await messages.receive_batch())
            assert (await interrupted(pub))["messages"] >= received

    async def test_interrupt_of_sub(self, bus: t2bus.Bus) -> None:
        """Ctrl-C ends receiving so too."""
        async with command("bench", "sub", "bench/x", *ENDLESS, "--addr", *bus.addresses) as sub:
            await sub.stderr.until("publish there with:")
            async with bus.open_client() as client, client.open_bytes_publisher("bench/x") as publisher:
                for _ in range(20):  # more than its window, so some were taken when all are accepted
                    await publisher.send_batch([b"\x01"] * 1000)
            assert (await interrupted(sub))["messages"] > 0

    async def test_interrupt_of_request(self, bus: t2bus.Bus) -> None:
        """Ctrl-C ends requesting so too, where a request waits for an answer that never comes."""
        async with (
            bus.open_client() as client,
            client.serve_bytes("bench/x") as requests,
            command("bench", "request", "bench/x", *ENDLESS, "--addr", *bus.addresses) as request,
        ):
            for _ in range(3):
                await (await requests.receive()).respond(b"\x01")
            await requests.receive()
            assert (await interrupted(request))["messages"] == 3

    @pytest.mark.parametrize("action", ["pub", "sub", "request"])
    def test_no_bus(self, action: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Where no bus is, each ends with exit code 3, and nothing on standard output."""
        assert main(["bench", action, "--addr", f"unix:{folder}/bus"]) == 3
        said = capsys.readouterr()
        assert said.out == ""
        assert "starts one" in said.err

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ([], "the following arguments are required: ACTION"),
            (["pub", "--size", "0"], "argument --size: '0' is not a whole number above 0"),
            (["sub", "--count", "x"], "argument --count: 'x' is not a whole number above 0"),
            (["request", "a/*"], "argument TOPIC: 'a/*' has a wildcard"),
        ],
    )
    def test_usage(self, options: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Wrong usage is exit code 2 and one line."""
        assert main(["bench", *options]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"t2bus: {says}")
        assert said.err.count("\n") == 1


class TestProgress:
    """The bar on a terminal."""

    async def test_of_a_load(self, bus: t2bus.Bus) -> None:
        """After a second a bar is drawn, again and again in its line, and at the end it is erased."""
        arguments = ["bench", "pub", "--count", "1000000000", "--json", "--addr", *bus.addresses]
        async with on_a_screen(*arguments) as screen:
            await screen.until("sent [")
            await screen.until("s left" + ERASE + "sent [")
            screen.process.send_signal(signal.SIGINT)
            assert await screen.process.wait() == 130
            await screen.rest()
            assert re.match(r"\r\x1b\[Ksent \[#*-+\]   \d %, \d+/s, \d+ s left\r", screen.shown)
            assert ERASE in screen.shown[screen.shown.rindex("sent [") :]
            assert json.loads(await screen.stdout.next())["bench"] == "pub"

    async def test_of_pub(self, bus: t2bus.Bus) -> None:
        """Publishing a value many times shows one too."""
        arguments = ["pub", "a", "1", "--count", "4", "--interval", "1000", "--addr", *bus.addresses]
        async with on_a_screen(*arguments) as screen:
            await screen.until("published [#######-----------------------]  25 %, ")
            screen.process.terminate()
            assert await screen.process.wait() == 128 + signal.SIGTERM

    async def test_of_a_file(self, folder: Path, bus: t2bus.Bus) -> None:
        """Publishing the lines of a file shows how many they were, for nobody knows how many they will be."""
        (folder / "lines").write_text("1\n2\n")
        arguments = ["pub", "a", "--interval", "1000", "--addr", *bus.addresses]
        async with on_a_screen(*arguments, stdin=folder / "lines") as screen:
            await screen.until(ERASE + "published 1, ")
            screen.process.terminate()
            assert await screen.process.wait() == 128 + signal.SIGTERM

    async def test_of_what_is_done_at_once(self, bus: t2bus.Bus) -> None:
        """Nothing is drawn for what takes less than a second."""
        async with on_a_screen("pub", "a", "1", "--count", "10", "--addr", *bus.addresses) as screen:
            assert await screen.process.wait() == 0
            await screen.rest()
            assert screen.shown == "t2bus: 10 messages published, 0 deliveries accepted\r\n"
