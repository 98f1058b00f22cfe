"""``t2bus sub`` and ``t2bus pub``."""

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
from bus_helpers import RawPeer, open_fake_bus, settle, welcome
from cli_helpers import command, run
from t2bus.cli import main, stdin
from t2bus.wire import messages as m
from t2bus.wire.values import Deflated

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


class TestSub:
    """Listening."""

    async def test_prints_messages(self, bus: t2bus.Bus) -> None:
        """Each message is one line of topic and payload, written at once, and so many are enough."""
        async with command("sub", "hello/*", "-n", "2", "--addr", *bus.addresses) as sub, bus.open_client() as client:
            assert await sub.stderr.next() == f"t2bus: subscribed to hello/* at {bus.addresses[0]}"
            await client.publish("alice", Hello("Hello Alice"))
            assert await sub.stdout.next() == 'hello/alice\t{"text": "Hello Alice"}'
            await client.publish_bytes("other/topic", ONE)
            await client.publish_bytes("hello/**", b"\xff", headers={"k": "v"})
            assert await sub.stdout.next() == "hello/**\tmalformed h'ff'"
            assert await sub.end() == 0
            assert await sub.stderr.rest() == []

    async def test_prints_headers(self, bus: t2bus.Bus) -> None:
        """If asked to, it prints the headers behind the payload."""
        arguments = ["sub", "a", "-n", "2", "--headers", "--addr", bus.addresses[0]]
        async with command(*arguments) as sub, bus.open_client() as client:
            await sub.stderr.until("subscribed")
            await client.publish_bytes("a", ONE, headers={"k": "\x1b[31m"})
            await client.publish_bytes("a", ONE)
            assert await sub.stdout.rest() == ['a\t1\t{"k": "\\u001b[31m"}', "a\t1\t{}"]

    async def test_ascii(self, bus: t2bus.Bus) -> None:
        """Where standard output takes ASCII only, the rest is escaped."""
        env = {"PYTHONIOENCODING": "ascii"}
        async with (
            command("sub", "a", "-n", "1", "--addr", *bus.addresses, env=env) as sub,
            bus.open_client() as client,
        ):
            await sub.stderr.until("subscribed")
            await client.publish_bytes("a", cbor2.dumps("café"))
            assert await sub.stdout.next() == r'a	"caf\u00e9"'

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_signal(self, number: signal.Signals, bus: t2bus.Bus) -> None:
        """A signal ends it quietly, with exit code 0."""
        async with command("sub", "a", "--addr", *bus.addresses) as sub:
            await sub.stderr.until("subscribed")
            sub.process.send_signal(number)
            assert await sub.end() == 0
            assert await sub.stderr.rest() == []

    async def test_prints_many(self, bus: t2bus.Bus) -> None:
        """What comes at once is printed in its order, and no more of it than was asked for."""
        async with command("sub", "a", "-n", "1500", "--addr", *bus.addresses) as sub, bus.open_client() as client:
            await sub.stderr.next()
            async with client.open_bytes_publisher("a") as publisher:
                for start in range(0, 2000, 1000):
                    await publisher.send_batch([cbor2.dumps(start + number) for number in range(1000)])
            assert await sub.stdout.rest() == [f"a\t{number}" for number in range(1500)]
            assert await sub.end() == 0

    async def test_reader_leaves(self, bus: t2bus.Bus) -> None:
        """When the program that reads its output has ended, so does it, quietly and with exit code 0."""
        async with command("sub", "a", "--addr", *bus.addresses) as sub, bus.open_client() as client:
            await sub.stderr.until("subscribed")
            assert sub.process.stdout is not None
            await sub.process.stdout.aclose()
            await client.publish_bytes("a", ONE)
            assert await sub.end() == 0
            assert await sub.stderr.rest() == []

    async def test_reader_stops(self, bus: t2bus.Bus) -> None:
        """While the program that reads its output takes nothing, a signal ends it all the same."""
        async with command("sub", "a", "--addr", *bus.addresses) as sub, bus.open_client() as client:
            await sub.stderr.until("subscribed")
            for _ in range(100):  # 1 MB, more than a pipe holds
                await client.publish_bytes("a", cbor2.dumps("x" * 10_000))
            sub.process.terminate()
            assert await sub.end() == 0
            assert await sub.stderr.rest() == []

    async def test_loss_is_told(self) -> None:
        """Messages that are missing or cannot be read are told on standard error, and it goes on."""

        async def bus(peer: RawPeer[m.ClientMessage]) -> None:
            await welcome(peer)
            subscription = (await peer.expect(m.Subscribe)).id
            await peer.send(m.Accepted(subscription, (0,)))
            await peer.send(m.Gap(subscription, 3))
            await peer.send(m.Deliver((subscription,), m.Publication("a", Deflated(b"no zlib"))))
            await peer.send(m.Gap(subscription, 1))
            await peer.send(m.Deliver((subscription,), m.Publication("a", ONE)))
            await peer.send(m.Accepted((await peer.expect(m.Unsubscribe)).id, (0,)))
            await peer.read_to_end()

        async with open_fake_bus(bus) as address, command("sub", "a", "-n", "1", "--addr", address) as sub:
            assert await sub.stdout.next() == "a\t1"
            said = await sub.stderr.rest()
            assert said[1] == "t2bus: 3 messages were dropped here: the output is taken too slowly"
            assert said[2].startswith("t2bus: a message cannot be read: ")
            assert said[3] == "t2bus: 1 message was dropped here: the output is taken too slowly"
            assert await sub.end() == 0

    async def test_bus_ends(self, folder: Path) -> None:
        """The end of the bus ends it with exit code 3, and a line that says so."""
        address, enough = f"unix:{folder}/bus", trio.Event()

        async def serve(task_status: trio.TaskStatus[None]) -> None:
            async with t2bus.open_bus(address):
                task_status.started()
                await enough.wait()

        async with trio.open_nursery() as nursery:
            await nursery.start(serve)
            async with command("sub", "a", "--addr", address) as sub:
                await sub.stderr.until("subscribed")
                enough.set()
                assert await sub.end() == 3
                assert await sub.stderr.rest() == ["t2bus: the bus said goodbye: the bus is shutting down"]


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
