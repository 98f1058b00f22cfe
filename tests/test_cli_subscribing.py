"""``t2bus sub``."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
import trio

import t2bus
from bus_helpers import RawPeer, open_fake_bus, settle, welcome
from cli_helpers import PATIENCE, Lines, command, process, run
from t2bus.cli import main
from t2bus.wire import messages as m
from t2bus.wire.values import Deflated

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from cli_helpers import Command

ONE = cbor2.dumps(1)


def shell(line: str) -> AbstractAsyncContextManager[Command]:
    """Start a line of bash, as :func:`cli_helpers.command` starts a command."""
    return process("bash", "-c", line)


async def wait_until_gone(client: t2bus.Client, topic: str) -> None:
    """Publish until nobody subscribes to the topic any more: who writes to a closed pipe sees it when it writes."""
    while await client.publish_bytes(topic, ONE):
        await settle()


async def ready(sub: Command) -> None:
    await sub.stderr.until("subscribed")


class TestLines:
    """Lines for people."""

    async def test_prints_messages(self, bus: t2bus.Bus) -> None:
        """Each message is one line of topic and payload, written at once, and so many are enough."""
        async with command("sub", "hello/*", "-n", "2", "--addr", *bus.addresses) as sub, bus.open_client() as client:
            assert await sub.stderr.next() == f"t2bus: subscribed to hello/* at {bus.addresses[0]}"
            await client.publish_bytes("hello/alice", cbor2.dumps({"text": "Hello Alice"}))
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
            await peer.expect(m.Goodbye)

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


class TestSeveralTopics:
    """Several subscriptions of one command."""

    async def test_each_is_printed(self, bus: t2bus.Bus) -> None:
        """What several topics match is printed for each, and of each topic everything in its order."""
        async with command("sub", "a/*", "a/b", "c", "-n", "800", "--addr", *bus.addresses) as sub:
            assert await sub.stderr.next() == f"t2bus: subscribed to a/*, a/b, c at {bus.addresses[0]}"
            async with bus.open_client() as client, client.open_bytes_publisher("a/b") as publisher:
                await publisher.send_batch([cbor2.dumps(number) for number in range(300)])
                for number in range(200):
                    await client.publish_bytes("c", cbor2.dumps(number))
            lines = await sub.stdout.rest()
            assert sorted(lines) == sorted([f"a/b\t{n}" for n in range(300)] * 2 + [f"c\t{n}" for n in range(200)])
            assert [line for line in lines if line[0] == "c"] == [f"c\t{number}" for number in range(200)]
            assert await sub.end() == 0

    async def test_a_busy_one_leaves_room(self, bus: t2bus.Bus) -> None:
        """A topic that is published to without pause does not keep another one from being printed."""
        async with (
            command("sub", "busy", "quiet", "--addr", *bus.addresses) as sub,
            bus.open_client() as client,
            trio.open_nursery() as nursery,
        ):
            await ready(sub)

            async def flood() -> None:
                async with client.open_bytes_publisher("busy") as publisher:
                    while True:
                        await publisher.send_batch([ONE] * 1000)

            nursery.start_soon(flood)
            await sub.stdout.until("busy")
            await client.publish_bytes("quiet", ONE)
            assert await sub.stdout.until("quiet") == "quiet\t1"
            nursery.cancel_scope.cancel()

    async def test_loss_names_its_topic(self) -> None:
        """Where there are several subscriptions it is said which of them lost messages."""

        async def bus(peer: RawPeer[m.ClientMessage]) -> None:
            await welcome(peer)
            await peer.send(m.Accepted((await peer.expect(m.Subscribe)).id, (0,)))
            subscription = (await peer.expect(m.Subscribe)).id
            await peer.send(m.Accepted(subscription, (0,)))
            await peer.send(m.Gap(subscription, 3))
            await peer.send(m.Deliver((subscription,), m.Publication("b", ONE)))
            for _ in range(2):
                await peer.send(m.Accepted((await peer.expect(m.Unsubscribe)).id, (0,)))
            await peer.expect(m.Goodbye)

        async with open_fake_bus(bus) as address, command("sub", "a", "b", "-n", "1", "--addr", address) as sub:
            assert await sub.stdout.next() == "b\t1"
            said = await sub.stderr.rest()
            assert said[1:] == ["t2bus: 3 messages were dropped here of b: the output is taken too slowly"]

    async def test_bus_ends(self, folder: Path) -> None:
        """The end of the bus, of which every subscription hears, is told once."""
        address, enough = f"unix:{folder}/bus", trio.Event()

        async def serve(task_status: trio.TaskStatus[None]) -> None:
            async with t2bus.open_bus(address):
                task_status.started()
                await enough.wait()

        async with trio.open_nursery() as nursery:
            await nursery.start(serve)
            async with command("sub", "a", "b", "c", "--addr", address) as sub:
                await ready(sub)
                enough.set()
                assert await sub.end() == 3
                assert await sub.stderr.rest() == ["t2bus: the bus said goodbye: the bus is shutting down"]


class TestJson:
    """Objects for programs."""

    @pytest.mark.parametrize(
        ("payload", "members"),
        [
            (ONE, {"value": 1}),
            (
                cbor2.dumps({"text": "caf\u00e9 \x1b\n", "n": [1.5, None]}),
                {"value": {"text": "caf\u00e9 \x1b\n", "n": [1.5, None]}},
            ),
            (
                cbor2.dumps({"image": b"\x00\xff", "n": 1}),
                {"value": {"image": "h'00ff'", "n": 1}, "cbor": '{"image": h\'00ff\', "n": 1}'},
            ),
            (cbor2.dumps([float("inf"), -1.0]), {"value": ["Infinity", -1.0], "cbor": "[Infinity, -1.0]"}),
            (cbor2.dumps({b"k": 2}), {"value": {"h'6b'": 2}, "cbor": "{h'6b': 2}"}),
            (b"\xff\x00", {"malformed": "h'ff00'"}),
        ],
        ids=["int", "map", "bytes", "infinity", "keys", "malformed"],
    )
    async def test_says_everything(self, payload: bytes, members: dict[str, Any], bus: t2bus.Bus) -> None:
        """The value is JSON as far as JSON goes, and where it does not all of it stands beside as CBOR's notation."""
        async with (
            command("sub", "a", "--json", "-n", "1", "--addr", *bus.addresses) as sub,
            bus.open_client() as client,
        ):
            await ready(sub)
            await client.publish_bytes("a", payload)
            line = await sub.stdout.next()
            assert line.isprintable()
            assert json.loads(line) == {"topic": "a", **members}

    async def test_headers_and_time(self, bus: t2bus.Bus) -> None:
        """Headers are there if there are any, and the time, if asked for, has the offset of its zone."""
        arguments = ["sub", "a", "--json", "--time", "-n", "2", "--addr", *bus.addresses]
        async with command(*arguments, env={"TZ": "UTC-02:00"}) as sub, bus.open_client() as client:
            await ready(sub)
            await client.publish_bytes("a", ONE, headers={"k": "v"})
            await client.publish_bytes("a", ONE)
            first, second = [json.loads(line) for line in await sub.stdout.rest()]
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+02:00", first["time"])
            assert first == {"time": first["time"], "topic": "a", "value": 1, "headers": {"k": "v"}}
            assert second.keys() == {"time", "topic", "value"}

    @pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
    async def test_into_jq(self, bus: t2bus.Bus) -> None:
        """A filter of jq gets each message when it comes."""
        sub = f"{sys.executable} -m t2bus sub '*' --json --addr {bus.addresses[0]}"
        line = f"""{sub} | jq --unbuffered -r 'select(.topic == "a") | .value.text'"""
        async with shell(line) as pipeline, bus.open_client() as client:
            await ready(pipeline)
            await client.publish_bytes("b", cbor2.dumps({"text": "no"}))
            await client.publish_bytes("a", cbor2.dumps({"text": "yes"}))
            assert await pipeline.stdout.next() == "yes"

    async def test_into_head(self, bus: t2bus.Bus) -> None:
        """When the next program of a pipe has had enough, the pipe ends quietly and with exit code 0."""
        sub = f"{sys.executable} -m t2bus sub a b --json --addr {bus.addresses[0]}"
        async with shell(f"set -o pipefail; {sub} | head -n 1") as pipeline, bus.open_client() as client:
            await ready(pipeline)
            await client.publish_bytes("a", ONE)
            assert await pipeline.stdout.next() == '{"topic": "a", "value": 1}'
            await wait_until_gone(client, "a")
            assert await pipeline.end() == 0
            assert await pipeline.stderr.rest() == []


class TestOptions:
    """What is printed, how, and until when."""

    async def test_time(self, bus: t2bus.Bus) -> None:
        """The local time stands in front, with a tab behind it."""
        async with (
            command("sub", "a", "--time", "-n", "1", "--addr", *bus.addresses) as sub,
            bus.open_client() as client,
        ):
            await ready(sub)
            before = datetime.now().astimezone()
            await client.publish_bytes("a", ONE)
            time, topic, payload = (await sub.stdout.next()).split("\t")
            assert (topic, payload) == ("a", "1")
            assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", time)
            assert 0 <= (datetime.fromisoformat(time).astimezone() - before).total_seconds() + 0.001 < 60

    async def test_null(self, bus: t2bus.Bus) -> None:
        """With ``-0`` NUL stands behind each record in the place of the end of a line."""
        async with command("sub", "a", "-0", "-n", "2", "--addr", *bus.addresses) as sub, bus.open_client() as client:
            await ready(sub)
            await client.publish_bytes("a", ONE)
            await client.publish_bytes("a", cbor2.dumps("two\nlines"))
            assert await sub.stdout.next() == 'a\t1\0a\t"two\\nlines"\0'

    async def test_ignored(self, bus: t2bus.Bus) -> None:
        """What an ignored topic includes is neither printed nor counted; what merely meets it is."""
        arguments = ["sub", "**", "--ignore", "a/*", "--ignore", "b", "-n", "2", "--addr", *bus.addresses]
        async with command(*arguments) as sub, bus.open_client() as client:
            await ready(sub)
            for topic in ("a/x", "b", "a/*", "a/**", "a/x/y"):
                await client.publish_bytes(topic, ONE)
            assert await sub.stdout.rest() == ["a/**\t1", "a/x/y\t1"]
            assert await sub.end() == 0

    async def test_wait(self, bus: t2bus.Bus) -> None:
        """When no message came for so long it ends with exit code 5, and ignored ones are none."""
        arguments = ["sub", "**", "--wait", "0.5", "--ignore", "b", "--addr", *bus.addresses]
        async with command(*arguments) as sub, bus.open_client() as client, trio.open_nursery() as nursery:
            await ready(sub)

            async def chatter() -> None:
                while True:
                    await client.publish_bytes("b", ONE)
                    await trio.sleep(0.05)

            nursery.start_soon(chatter)
            await client.publish_bytes("a", ONE)
            assert await sub.stdout.rest() == ["a\t1"]
            assert await sub.end() == 5
            assert await sub.stderr.rest() == ["t2bus: no message for 0.5 s"]
            nursery.cancel_scope.cancel()

    async def test_wait_and_count(self, bus: t2bus.Bus) -> None:
        """As many messages as were asked for are exit code 0, however soon they would have failed to come."""
        async with (
            command("sub", "a", "--wait", "60", "-n", "1", "--addr", *bus.addresses) as sub,
            bus.open_client() as client,
        ):
            await ready(sub)
            await client.publish_bytes("a", ONE)
            assert await sub.end() == 0

    @pytest.mark.parametrize(
        ("options", "env", "is_coloured"),
        [
            ([], {}, True),
            ([], {"NO_COLOR": "1"}, False),
            ([], {"TERM": "dumb"}, False),
            (["--color", "never"], {}, False),
            (["--color", "always"], {"NO_COLOR": "1"}, True),
            (["--json"], {}, False),
        ],
    )
    async def test_colour_of_a_terminal(
        self, options: list[str], env: dict[str, str], is_coloured: bool, bus: t2bus.Bus
    ) -> None:
        """On a terminal topics are coloured, unless an option or the environment is against it."""
        screen, terminal = pty.openpty()
        arguments = ["sub", "a", "-n", "1", *options, "--addr", *bus.addresses]
        usual = {"TERM": "xterm", "NO_COLOR": ""}
        async with bus.open_client() as client:
            sub = await trio.lowlevel.open_process(
                [sys.executable, "-m", "t2bus", *arguments],
                stdout=terminal,
                stderr=subprocess.PIPE,
                env={**os.environ, **usual, **env},
            )
            os.close(terminal)
            assert sub.stderr is not None
            with trio.fail_after(PATIENCE):
                await Lines(sub.stderr).until("subscribed")
                await client.publish_bytes("a", ONE)
                shown = b""
                while not shown.endswith(b"\n"):  # a terminal may give a line in parts
                    shown += await trio.to_thread.run_sync(os.read, screen, 1000)
                assert await sub.wait() == 0
        os.close(screen)
        assert (b"\x1b[" in shown) is is_coloured
        assert re.sub(rb"\x1b\[\d+m", b"", shown) in {b"a\t1\r\n", b'{"topic": "a", "value": 1}\r\n'}

    async def test_no_colour_of_a_pipe(self, bus: t2bus.Bus) -> None:
        """In a pipe nothing is coloured unless that is asked for, and then a topic has always the same colour."""
        arguments = ["sub", "a", "--color", "always", "-n", "2", "--addr", *bus.addresses]
        async with command(*arguments) as sub, bus.open_client() as client:
            await ready(sub)
            for _ in range(2):
                await client.publish_bytes("a", ONE)
            first, second = await sub.stdout.rest()
            assert re.fullmatch("\x1b\\[\\d+ma\x1b\\[0m\t1", first)
            assert first == second


class TestRate:
    """How much comes."""

    async def test_of_several(self, bus: t2bus.Bus) -> None:
        """Once a second each subscription and their sum are printed, so often as was asked for."""
        arguments = ["sub", "a", "*", "--rate", "-n", "2", "--addr", *bus.addresses]
        async with command(*arguments) as sub, bus.open_client() as client:
            await ready(sub)
            async with client.open_bytes_publisher("a") as publisher:
                await publisher.send_batch([b"\x43abc"] * 1000)
            first = [re.sub(r"(\d+) (\w)", r"N \2", await sub.stdout.next()) for _ in range(3)]
            assert first == [f"{of}\tN messages/s\tN bytes/s" for of in ("a", "*", "(total)")]
            second = ["a\t0 messages/s\t0 bytes/s", "*\t0 messages/s\t0 bytes/s", "(total)\t0 messages/s\t0 bytes/s"]
            assert await sub.stdout.rest() == second
            assert await sub.end() == 0

    async def test_in_json(self, bus: t2bus.Bus) -> None:
        """For programs it is an object, whose numbers are those of what came in about a second."""
        arguments = ["sub", "a", "--rate", "--json", "-n", "1", "--addr", *bus.addresses]
        async with command(*arguments) as sub, bus.open_client() as client:
            await ready(sub)
            async with client.open_bytes_publisher("a") as publisher:
                await publisher.send_batch([b"\x43abc"] * 1000)
            rate = json.loads(await sub.stdout.next())
            assert 500 < rate["messages_per_second"] <= 1000
            assert rate["bytes_per_second"] == pytest.approx(rate["messages_per_second"] * 4, abs=4)
            assert (rate["topic"], rate["dropped"]) == ("a", 0)

    async def test_ends(self, bus: t2bus.Bus) -> None:
        """It ends with exit code 5 when nothing came for so long as it was told to wait."""
        done = await run("sub", "a", "--rate", "--wait", "0.1", "--addr", *bus.addresses)
        assert done[:2] == (5, "")
        assert done[2].endswith("t2bus: no message for 0.1 s\n")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--wait", "0"], "argument --wait: '0' is not a number of seconds above 0"),
        (["--ignore", "B"], "argument --ignore: fragment 1 of topic 'B' has 'B' in it"),
        (["--color", "blue"], "argument --color: invalid choice: 'blue'"),
    ],
)
def test_wrong_options(options: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An option that is wrong is exit code 2 and one line on standard error."""
    assert main(["sub", "a", *options]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"t2bus: {says}")
    assert said.err.count("\n") == 1
