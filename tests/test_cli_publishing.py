"""``t2bus pub``."""

from __future__ import annotations

import os
import pty
import signal
from io import StringIO, TextIOWrapper
from typing import TYPE_CHECKING

import cbor2
import pytest
import trio
from attrs import frozen

import t2bus
from bus_helpers import settle
from cli_helpers import command, run
from t2bus.cli import main, stdin

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

ONE = cbor2.dumps(1)


@frozen
class Hello(t2bus.PublishProtocol, prefix="hello"):
    text: str


@pytest.fixture
def feed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[[bytes], None], None, None]:
    """Let standard input be a file that holds what it is given."""
    with (folder / "stdin").open("w+b") as file, TextIOWrapper(file) as text:
        monkeypatch.setattr("sys.stdin", text)

        def feed(data: bytes) -> None:
            file.write(data)
            file.seek(0)

        yield feed


class TestPub:
    """Publishing one value."""

    async def test_is_read_by_programs(self, bus: t2bus.Bus) -> None:
        """A typed program reads what was written as JSON, and the headers."""
        async with bus.open_client() as client, client.subscribe(Hello, "*") as messages:
            value, headers = '{"text": "Hello Alice"}', ["--header", "a=1", "--header", "b="]
            done = await run("pub", "hello/alice", value, "--addr", bus.addresses[0], *headers)
            assert done == (0, "", "t2bus: accepted for 1 connection\n")
            assert await messages.receive() == t2bus.Received("hello/alice", Hello("Hello Alice"), {"a": "1", "b": ""})

    def test_unheard(self, address: str, capsys: pytest.CaptureFixture[str]) -> None:
        """It is no error that nobody listens, but it is said."""
        assert main(["pub", "a", "1", "--addr", address]) == 0
        assert capsys.readouterr().err == "t2bus: accepted for 0 connections: nobody subscribes to a\n"

    async def test_missed(self, bus: t2bus.Bus) -> None:
        """Who subscribes and does not keep up is told apart from nobody."""
        limits = t2bus.Limits(subscription_messages=1)
        async with bus.open_client(limits=limits) as client, client.subscribe_bytes("a"):
            said = [await run("pub", "a", "1", "--addr", bus.addresses[0]) for _ in range(2)]
            assert said[0] == (0, "", "t2bus: accepted for 1 connection\n")
            assert said[1] == (0, "", "t2bus: accepted for 0 connections, missed by 1 that does not keep up\n")

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (["a", "18446744073709551616"], 2, "the value cannot be sent: an int has at most 64 bits"),
            (["a", "x" * (1 << 20)], 1, "does not fit in a frame"),
            (["/".join("a" * 17), "1"], 2, "has 17 fragments where 16 are allowed"),
        ],
        ids=["value", "size", "topic"],
    )
    def test_refusals(
        self, arguments: list[str], code: int, says: str, address: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What cannot be sent is refused in one line, with exit code 2 if the command line is at fault."""
        assert main(["pub", *arguments, "--addr", address]) == code
        said = capsys.readouterr().err
        assert says in said
        assert said.startswith("t2bus: ")
        assert said.count("\n") == 1

    @pytest.mark.parametrize("verb", ["sub", "pub", "request", "reply"])
    def test_no_bus(self, verb: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Where no bus is, every verb ends with exit code 3 and says how to start one."""
        assert main([verb, "a", *(["1"] if verb == "pub" else []), "--addr", f"unix:{folder}/bus"]) == 3
        assert f"`python -m t2bus serve unix:{folder}/bus` starts one" in capsys.readouterr().err

    @pytest.mark.parametrize("verb", ["sub", "pub", "request", "reply"])
    def test_invalid_address(self, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
        """An address that is none costs every verb exit code 2."""
        assert main([verb, "a", *(["1"] if verb == "pub" else []), "--addr", "somewhere"]) == 2
        assert capsys.readouterr().err.startswith("t2bus: 'somewhere' is no address: ")


class TestPubLines:
    """Publishing the lines of standard input."""

    async def test_each_line_is_a_message(self, bus: t2bus.Bus) -> None:
        """Each line is one message, in order, JSON or text, and the last one needs no end."""
        async with bus.open_client() as client, client.subscribe_bytes("a") as messages:
            done = await run("pub", "a", "--addr", bus.addresses[0], stdin=b'{"x": 1}\n\nhello\n3')
            assert done == (0, "", "t2bus: 4 messages published, 4 deliveries accepted\n")
            received = [cbor2.loads((await messages.receive()).body) for _ in range(4)]
            assert received == [{"x": 1}, "", "hello", 3]

    async def test_keeps_the_pace(self, folder: Path) -> None:
        """A subscriber with a window of one message gets every line."""
        limits = t2bus.Limits(subscription_messages=1)
        async with (
            t2bus.open_bus(f"unix:{folder}/bus", limits=limits) as bus,
            bus.open_client() as client,
            client.subscribe_bytes("a") as messages,
            command("pub", "a", "-", "--addr", *bus.addresses) as pub,
        ):
            await pub.stdin.send_all(b"".join(b"%d\n" % number for number in range(200)))
            await pub.stdin.aclose()
            assert [cbor2.loads((await messages.receive()).body) for _ in range(200)] == list(range(200))
            assert await pub.end() == 0

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_signal(self, number: signal.Signals, bus: t2bus.Bus) -> None:
        """A line is sent when it is complete; a signal while more is awaited ends it with an exit code of its own."""
        async with (
            bus.open_client() as client,
            client.subscribe_bytes("a") as messages,
            command("pub", "a", "--addr", *bus.addresses) as pub,
        ):
            await pub.stdin.send_all(b"1\n2")
            assert (await messages.receive()).body == ONE
            pub.process.send_signal(number)
            assert await pub.end() == 128 + number
            assert await pub.stderr.rest() == []

    def test_bad_line(self, address: str, feed: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]) -> None:
        """A line that is not UTF-8 is named by its number and costs exit code 2."""
        feed(b"1\n2\n\xff\n")
        assert main(["pub", "a", "--addr", address]) == 2
        assert capsys.readouterr().err == "t2bus: line 3 of standard input is not UTF-8\n"

    @pytest.mark.parametrize(("bad", "exit_code"), [(b"\xff", 2), (b"x" * 5000, 1)], ids=["not UTF-8", "too large"])
    async def test_lines_before_a_bad_one(self, bad: bytes, exit_code: int, folder: Path) -> None:
        """What stands before a line that cannot be sent is published, and nothing behind it."""
        async with (
            t2bus.open_bus(f"unix:{folder}/bus", limits=t2bus.Limits(frame=4096)) as bus,
            bus.open_client() as client,
            client.subscribe_bytes("a") as messages,
        ):
            code, out, _ = await run("pub", "a", "--addr", bus.addresses[0], stdin=b"1\n2\n%b\n3\n" % bad)
            assert (code, out) == (exit_code, "")
            await settle()
            assert [cbor2.loads(body) for _, body in await messages.receive_batch()] == [1, 2]

    def test_endless_line(
        self,
        address: str,
        feed: Callable[[bytes], None],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """A line that does not end is not gathered for ever."""
        monkeypatch.setattr(stdin, "LONGEST", 1000)
        feed(bytes(2000))
        assert main(["pub", "a", "--addr", address]) == 2
        assert capsys.readouterr().err == "t2bus: a line of standard input has more than 1000 bytes\n"

    def test_closed(self, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """Where standard input is closed it asks for a VALUE."""
        monkeypatch.setattr("sys.stdin", None)
        assert main(["pub", "a", "--addr", address]) == 2
        assert capsys.readouterr().err == "t2bus: standard input is closed: name a VALUE\n"

    def test_string(self, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """Standard input may be replaced by a string, as programs do that call the command line themselves."""
        monkeypatch.setattr("sys.stdin", StringIO("hello\nworld"))
        assert main(["pub", "a", "--addr", address]) == 0
        assert capsys.readouterr().err == "t2bus: 2 messages published, 0 deliveries accepted\n"

    def test_terminal(self, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """Whoever sits at a terminal is told that it waits for them, and how to end."""
        keyboard, terminal = pty.openpty()
        with os.fdopen(terminal) as file:
            monkeypatch.setattr("sys.stdin", file)
            os.write(keyboard, b"hello\n\x04")
            assert main(["pub", "a", "--addr", address]) == 0
        os.close(keyboard)
        assert capsys.readouterr().err == (
            "t2bus: each line is published as one message; Ctrl-D ends\n"
            "t2bus: 1 message published, 0 deliveries accepted\n"
        )


class TestRepeated:
    """Publishing one value several times, or with time in between."""

    async def test_count(self, bus: t2bus.Bus) -> None:
        """The value is published so many times, and it is said how many deliveries that made."""
        async with bus.open_client() as client, client.subscribe_bytes("a") as messages:
            done = await run("pub", "a", "1", "--count", "600", "--header", "k=v", "--addr", *bus.addresses)
            assert done == (0, "", "t2bus: 600 messages published, 600 deliveries accepted\n")
            received = await messages.receive_batch()
            assert received == [t2bus.Received("a", ONE, {"k": "v"})] * 600

    async def test_interval(self, bus: t2bus.Bus) -> None:
        """With an interval the last of three messages goes two of it after the first."""
        async with bus.open_client() as client, client.subscribe_bytes("a") as messages:
            arguments = ["pub", "a", "1", "--count", "3", "--interval", "0.2", "--addr", *bus.addresses]
            async with command(*arguments) as pub:
                await messages.receive()
                begun = trio.current_time()
                await messages.receive()
                await messages.receive()
                assert trio.current_time() - begun > 0.3
                assert await pub.end() == 0

    async def test_interval_of_lines(self, bus: t2bus.Bus) -> None:
        """Lines are published with an interval too, in order, and a signal in between ends it."""
        async with (
            bus.open_client() as client,
            client.subscribe_bytes("a") as messages,
            command("pub", "a", "--interval", "1000", "--addr", *bus.addresses) as pub,
        ):
            await pub.stdin.send_all(b"1\n2\n")
            assert (await messages.receive()).body == ONE
            pub.process.terminate()
            assert await pub.end() == 128 + signal.SIGTERM
            with pytest.raises(trio.WouldBlock):
                messages.receive_nowait()

    def test_count_of_lines(self, address: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Standard input is published once, so a count without a value is wrong usage."""
        assert main(["pub", "a", "--count", "2", "--addr", address]) == 2
        said = "t2bus: --count repeats a VALUE, and there is none: standard input is published once\n"
        assert capsys.readouterr() == ("", said)


class TestRequire:
    """Insisting on so many subscribers."""

    async def test_enough(self, bus: t2bus.Bus) -> None:
        """A message that so many connections take is published as any other."""
        async with bus.open_client() as client, client.subscribe_bytes("a"):
            done = await run("pub", "a", "1", "--require", "1", "--addr", *bus.addresses)
            assert done == (0, "", "t2bus: accepted for 1 connection\n")

    def test_nobody(self, address: str, capsys: pytest.CaptureFixture[str]) -> None:
        """One that fewer take costs exit code 8, and one sentence that says why."""
        assert main(["pub", "a", "1", "--require", "2", "--addr", address]) == 8
        said = "t2bus: accepted for 0 connections, fewer than the 2 of --require: nobody subscribes to a\n"
        assert capsys.readouterr() == ("", said)

    @pytest.mark.parametrize(("value", "stdin"), [(["1", "--count", "5"], b""), ([], b"1\n2\n3\n")])
    async def test_stops_at_the_first(self, value: list[str], stdin: bytes, bus: t2bus.Bus) -> None:
        """Of several messages the first that too few take is the last one that is published."""
        async with bus.open_client() as client, client.subscribe_bytes("a") as messages:
            code, out, said = await run("pub", "a", *value, "--require", "2", "--addr", *bus.addresses, stdin=stdin)
            assert (code, out) == (8, "")
            assert said == (
                "t2bus: message 1 was accepted for 1 connection, fewer than the 2 of --require: nothing behind it was "
                "published\n"
            )
            await settle()
            assert len(await messages.receive_batch()) == 1

    async def test_of_each(self, bus: t2bus.Bus) -> None:
        """A subscriber for each message is enough for all of them, at its pace."""
        async with bus.open_client() as client, client.subscribe_bytes("a") as messages:
            done = await run("pub", "a", "--require", "1", "--addr", *bus.addresses, stdin=b"1\n2\n3\n")
            assert done == (0, "", "t2bus: 3 messages published, 3 deliveries accepted\n")
            assert [cbor2.loads(body) for _, body in await messages.receive_batch()] == [1, 2, 3]


class TestNull:
    """Standard input whose texts have ends of lines in them."""

    async def test_separates(self, bus: t2bus.Bus) -> None:
        """With ``-0`` each text ends with NUL, as the last one may."""
        async with bus.open_client() as client, client.subscribe_bytes("a") as messages:
            done = await run("pub", "a", "-0", "--addr", *bus.addresses, stdin=b"two\nlines\x00[1,\n2]\x00\x00x")
            assert done == (0, "", "t2bus: 4 messages published, 4 deliveries accepted\n")
            assert [cbor2.loads(body) for _, body in await messages.receive_batch()] == ["two\nlines", [1, 2], "", "x"]

    def test_bad_text(self, address: str, feed: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]) -> None:
        """A text that cannot be sent is named by its number."""
        feed(b"1\x00\xff\n\x00")
        assert main(["pub", "-0", "a", "--addr", address]) == 2
        assert capsys.readouterr().err == "t2bus: text 2 of standard input is not UTF-8\n"
