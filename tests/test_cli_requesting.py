"""``t2bus request`` and ``t2bus reply``, and what all verbs do with standard output."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from datetime import datetime
from io import StringIO
from pathlib import Path

import pytest
import trio
from attrs import frozen

import t2bus
from bus_helpers import wait_until
from cli_helpers import command, process, run
from t2bus.cli import main, stdin


@frozen
class HelloResponse:
    text: str


@frozen
class HelloRequest(t2bus.RequestProtocol[HelloResponse], prefix="hello"):
    name: str


class TestRequest:
    """Asking."""

    @pytest.mark.parametrize(
        ("arguments", "shown"),
        [
            ([], "{}"),
            (['{"name": "Alice"}'], '{"name": "Alice"}'),
            (["5", "--text"], '"5"'),
            (["1", "--timeout", "60"], "1"),
        ],
    )
    def test_prints_the_response(
        self, arguments: list[str], shown: str, address: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The payload of the response is one line; without a VALUE the request is an empty map."""
        assert main(["request", "echo", *arguments, "--addr", address]) == 0
        assert capfd.readouterr() == (f"{shown}\n", "")

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ('{"name": "Alice"}', '"value": {"name": "Alice"}'),
            ("\x1b", r'"value": "\u001b"'),
        ],
    )
    def test_json(self, value: str, shown: str, address: str, capfd: pytest.CaptureFixture[str]) -> None:
        """With ``--json`` the response is one printable object, with the topic of the service."""
        assert main(["request", "echo", value, "--json", "--addr", address]) == 0
        assert capfd.readouterr() == (f'{{"topic": "echo", {shown}}}\n', "")

    async def test_json_of_a_program(self, bus: t2bus.Bus) -> None:
        """What JSON cannot say of a response is said beside it, and its headers too."""

        async def answer(requests: t2bus.Requests[bytes, bytes]) -> None:
            async for request in requests:
                await request.respond(b"\x41\xff", headers={"unit": "V"})

        async with (
            bus.open_client() as client,
            client.serve_bytes("camera") as requests,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(answer, requests)
            code, out, said = await run("request", "camera", "--json", "--addr", *bus.addresses)
            nursery.cancel_scope.cancel()
        assert (code, said) == (0, "")
        assert json.loads(out) == {"topic": "camera", "value": "h'ff'", "cbor": "h'ff'", "headers": {"unit": "V"}}

    def test_json_of_a_failure(self, address: str, capfd: pytest.CaptureFixture[str]) -> None:
        """Where there is no response there is no object, and the error is a sentence as ever."""
        assert main(["request", "nobody", "--json", "--addr", address]) == 4
        assert capfd.readouterr() == ("", "t2bus: nobody serves 'nobody': start its service, or check the topic\n")

    def test_reads_standard_input(
        self, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """With a dash the VALUE is all of standard input."""
        (folder / "stdin").write_text('{"x":\n1}\n')
        with (folder / "stdin").open() as file:
            monkeypatch.setattr("sys.stdin", file)
            assert main(["request", "echo", "-", "--addr", address]) == 0
        assert capfd.readouterr().out == '{"x": 1}\n'

    def test_endless_input(
        self, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Standard input that does not end is not gathered for ever."""
        monkeypatch.setattr(stdin, "LONGEST", 1000)
        monkeypatch.setattr("sys.stdin", StringIO("x" * 1001))
        assert main(["request", "echo", "-", "--addr", address]) == 2
        assert capsys.readouterr().err == "t2bus: standard input has more than 1000 bytes\n"

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (["nobody"], 4, "nobody serves 'nobody': start its service, or check the topic"),
            (["silent", "--timeout", "0.01"], 5, "no answer within 0.01 s: try a longer --timeout"),
            (["failing"], 6, r"no\n\x1b[31mway"),
        ],
    )
    def test_errors(
        self, arguments: list[str], code: int, says: str, address: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Each way to have no response has its exit code and one printable line, whatever the service said."""
        assert main(["request", *arguments, "--addr", address]) == code
        assert capfd.readouterr() == ("", f"t2bus: {says}\n")

    @pytest.mark.parametrize("option", ["-v", "--verbose"])
    def test_where_an_error_comes_from(self, option: str, address: str, capfd: pytest.CaptureFixture[str]) -> None:
        """Asked for, a traceback stands before the one line, printable as that is."""
        assert main(["request", "failing", option, "--addr", address]) == 6
        out, said = capfd.readouterr()
        first, *middle, last = said.splitlines()
        assert (out, first) == ("", "Traceback (most recent call last):")
        assert any("request_bytes" in line for line in middle)
        assert last == r"t2bus: no\n\x1b[31mway"
        assert all(line.isprintable() for line in said.splitlines())

    async def test_lifetime(self, folder: Path) -> None:
        """When the bus gives the request up, that is exit code 5 too."""
        limits = t2bus.Limits(request_lifetime=0.01)
        async with (
            t2bus.open_bus(f"unix:{folder}/bus", limits=limits) as bus,
            bus.open_client() as client,
            client.serve_bytes("silent"),
        ):
            code, _, said = await run("request", "silent", "--addr", *bus.addresses)
            assert (code, said.count("\n")) == (5, 1)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_signal(self, number: signal.Signals, bus: t2bus.Bus) -> None:
        """A signal while it waits ends it quietly, with its own exit code, and the service is told."""
        async with (
            bus.open_client() as client,
            client.serve_bytes("silent") as requests,
            command("request", "silent", "--addr", *bus.addresses) as asking,
        ):
            request = await requests.receive()
            asking.process.send_signal(number)
            assert await asking.end() == 128 + number
            assert await asking.stderr.rest() == []
            await wait_until(lambda: request.withdrawn)


class TestReply:
    """Answering."""

    async def test_answers_programs(self, bus: t2bus.Bus) -> None:
        """A typed program gets the VALUE as its response; each request is one line, and so many are enough."""
        value = '{"text": "Hello"}'
        async with (
            bus.open_client() as client,
            command("reply", "hello", value, "-n", "2", "--headers", "--addr", *bus.addresses) as replying,
        ):
            assert await replying.stderr.next() == f"t2bus: answering hello at {bus.addresses[0]}"
            assert await client.request("", HelloRequest("Alice"), headers={"k": "v"}) == HelloResponse("Hello")
            assert await replying.stdout.next() == 'hello\t{"name": "Alice"}\t{"k": "v"}'
            assert await client.request("", HelloRequest("Bob")) == HelloResponse("Hello")
            assert await replying.end() == 0
            assert await replying.stdout.rest() == ['hello\t{"name": "Bob"}\t{}']
            assert await replying.stderr.rest() == []

    async def test_json(self, bus: t2bus.Bus) -> None:
        """With ``--json`` each request is an object, printed as ``sub`` prints messages."""
        async with (
            bus.open_client() as client,
            command("reply", "hello", "-n", "1", "--json", "--time", "-0", "--addr", *bus.addresses) as replying,
        ):
            await replying.stderr.until("answering")
            assert await client.request_bytes("hello", b"\x01", headers={"k": "v"}) == b"\xf6"
            (line,) = await replying.stdout.rest()
            printed = json.loads(line.removesuffix("\0"))
            assert datetime.fromisoformat(printed.pop("time")).utcoffset() is not None
            assert printed == {"topic": "hello", "value": 1, "headers": {"k": "v"}}

    @pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
    async def test_into_jq(self, bus: t2bus.Bus) -> None:
        """What the two ends of a service print can be read by jq."""
        program = f"{sys.executable} -m t2bus"
        line = f"{program} reply a 2 -n 1 --json --addr {bus.addresses[0]} | jq -c .value"
        async with process("/bin/sh", "-c", line) as replying:
            await replying.stderr.until("answering")
            code, out, _ = await run("request", "a", "1", "--json", "--addr", *bus.addresses)
            assert (code, json.loads(out)["value"]) == (0, 2)
            assert await replying.stdout.rest() == ["1"]

    @pytest.mark.parametrize(
        ("arguments", "fed", "response"),
        [
            ([], b"", b"\xf6"),
            (["--echo"], b"", b"any bytes"),
            (["1"], b"", b"\x01"),
            (["1", "--text"], b"", b"\x611"),
            (["-"], b"1\n", b"\x01"),
        ],
        ids=["nothing", "echo", "json", "text", "stdin"],
    )
    async def test_answers(self, arguments: list[str], fed: bytes, response: bytes, bus: t2bus.Bus) -> None:
        """The response is null, the request's own payload, JSON, text, or what standard input holds."""
        async with bus.open_client() as client, command("reply", "a", *arguments, "--addr", *bus.addresses) as replying:
            await replying.stdin.send_all(fed)
            await replying.stdin.aclose()
            await replying.stderr.until("answering")
            assert await client.request_bytes("a", b"any bytes") == response

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_signal(self, number: signal.Signals, bus: t2bus.Bus) -> None:
        """A signal ends it quietly, with exit code 0."""
        async with command("reply", "a", "--addr", *bus.addresses) as replying:
            await replying.stderr.until("answering")
            replying.process.send_signal(number)
            assert await replying.end() == 0
            assert await replying.stderr.rest() == []

    def test_claimed(self, address: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A topic that is served already costs exit code 1, and its service goes on."""
        assert main(["reply", "echo", "--addr", address]) == 1
        assert capsys.readouterr().err.startswith("t2bus: 'echo' is served already: ")
        assert main(["request", "echo", "--addr", address]) == 0


class TestStreams:
    """Standard output and standard error that are not as usual."""

    def test_full(self, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """Output that cannot be written costs exit code 1, and a line that says why."""
        with Path("/dev/full").open("w") as full:
            monkeypatch.setattr("sys.stdout", full)
            assert main(["request", "echo", "--addr", address]) == 1
        assert capsys.readouterr().err == "t2bus: standard output cannot be written: No space left on device\n"

    def test_string(self, address: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Standard output may be replaced by a string, as programs do that call the command line themselves."""
        assert main(["request", "echo", "1", "--addr", address]) == 0
        assert capsys.readouterr() == ("1\n", "")

    def test_closed(self, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """Where standard output is closed that is said."""
        monkeypatch.setattr("sys.stdout", None)
        assert main(["request", "echo", "--addr", address]) == 1
        assert capsys.readouterr().err == "t2bus: standard output is closed\n"

    def test_closed_error(
        self, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Where standard error is closed nothing is said, and least of all on standard output."""
        monkeypatch.setattr("sys.stderr", None)
        assert main(["request", "nobody", "--addr", address]) == 4
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("place", ["t2bus.cli.run.make_parser", "trio.run"])
    def test_interrupted_start(self, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C before a verb has begun ends the command as it would end it later."""
        with monkeypatch.context() as patch:
            patch.setattr(place, lambda *_: signal.raise_signal(signal.SIGINT))
            assert main(["pub", "a", "1"]) == 130
