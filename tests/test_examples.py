"""The programs in examples/, each run as its users run them: in processes of their own, over a bus in another."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import define, field

from cli_helpers import IS_LINUX, Command, ForkedCommand, command, forked

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py"))

PATIENCE = 60
"""Seconds for a whole test. Nothing waits for time to pass; this is for machines under load."""


AS_A_SCRIPT = """
import os, runpy, sys
os.dup2(1, 2)
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""What a Python that has imported t2bus already does as ``python example.py`` would, errors among what it prints."""


@define(eq=False)
class Program:
    """A process that is running, and what it prints, errors included."""

    process: trio.Process | ForkedCommand
    _text: bytes = field(default=b"", init=False)

    async def line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        while b"\n" not in self._text:
            data = await self.process.stdout.receive_some()
            assert data, f"it ended, with {self._text.decode()!r} for its last words"
            self._text += data
        line, _, self._text = self._text.partition(b"\n")
        return line.decode()

    async def end(self) -> tuple[int, str]:
        """Wait until it has ended; return its exit code and what it printed to the end."""
        assert self.process.stdout is not None
        async for data in self.process.stdout:
            self._text += data
        return await self.process.wait(), self._text.decode()

    async def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C and wait until it has ended, as :meth:`end`."""
        self.process.send_signal(signal.SIGINT)
        return await self.end()


@asynccontextmanager
async def running(*command: str) -> AsyncGenerator[Program, None]:
    """Run Python with these arguments; whatever still runs at the end is killed."""
    process = await trio.lowlevel.open_process(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        yield Program(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()


@asynccontextmanager
async def as_script(example: str, *arguments: str) -> AsyncGenerator[Program, None]:
    """Run an example as :func:`running` does, without the time that Python takes to begin."""
    words = [str(EXAMPLES / example), *arguments]
    if not IS_LINUX:
        async with running(*words) as program:
            yield program
        return
    async with forked(*words, code=AS_A_SCRIPT) as started:
        yield Program(started.process)


@define
class Bus:
    """A bus in a process of its own."""

    command: Command
    address: str

    def running(self, example: str, *arguments: str) -> AbstractAsyncContextManager[Program]:
        """Run an example on this bus."""
        return as_script(example, "--addr", self.address, *arguments)

    async def run(self, example: str, *arguments: str) -> tuple[int, str]:
        """Run an example on this bus to its end; return its exit code and what it printed."""
        async with self.running(example, *arguments) as program:
            return await program.end()


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncGenerator[Bus, None]:
    address = f"unix:{tmp_path}/bus"
    with trio.fail_after(PATIENCE):
        async with command("serve", address) as serve:
            await serve.stderr.until(address)
            yield Bus(serve, address)


# --- all of them


@pytest.mark.parametrize("name", NAMES)
async def test_examples_explain_themselves(name: str) -> None:
    """Every example has a --help that works without a bus."""
    with trio.fail_after(PATIENCE):
        async with running(str(EXAMPLES / name), "--help") as program:
            code, output = await program.end()
    assert code == 0
    assert output.startswith(f"usage: {name}")


@pytest.mark.parametrize("arguments", ["chat.py say ** hello", "price_feed.py publish eth/eur", "service.py ask oven"])
async def test_examples_say_what_to_do_without_a_bus(arguments: str, tmp_path: Path) -> None:
    """Where no bus is, an example ends in one line that says how to start one."""
    example, *rest = arguments.split()
    address = f"unix:{tmp_path}/none"
    with trio.fail_after(PATIENCE):
        async with as_script(example, "--addr", address, *rest) as program:
            code, output = await program.end()
    assert code == 1
    assert output.startswith("ConnectFailed: ")
    assert output.endswith(f"`python -m t2bus serve {address}` starts one\n")


@pytest.mark.parametrize(
    "arguments", ["chat.py listen lobby/*", "price_feed.py watch **", "service.py serve"], ids=lambda text: text[:4]
)
async def test_examples_end_quietly_on_interrupt(arguments: str, bus: Bus) -> None:
    """Ctrl-C ends an example that would go on for ever with success and no more words."""
    async with bus.running(*arguments.split()) as program:
        await program.line()
        assert await program.interrupt() == (0, "")


@pytest.mark.parametrize(
    "arguments", ["chat.py listen lobby/*", "price_feed.py watch **", "service.py serve"], ids=lambda text: text[:4]
)
async def test_examples_end_with_the_bus(arguments: str, bus: Bus) -> None:
    """When the bus shuts down, an example that depends on it ends in one line that says so."""
    async with bus.running(*arguments.split()) as program:
        await program.line()
        bus.command.process.send_signal(signal.SIGINT)
        assert await program.end() == (1, "Disconnected: the bus said goodbye: the bus is shutting down\n")


# --- chat.py


async def test_chat_reaches_whomever_the_place_includes(bus: Bus) -> None:
    """What is said to a place with wildcards reaches listeners with and without, and nobody else."""
    async with (
        bus.running("chat.py", "listen", "lobby/alice") as alice,
        bus.running("chat.py", "listen", "lobby/bob") as bob,
        bus.running("chat.py", "listen", "lobby/*") as lobby,
    ):
        for listener, place in (alice, "lobby/alice"), (bob, "lobby/bob"), (lobby, "lobby/*"):
            assert await listener.line() == f"listening to {place}"
        said = await bus.run("chat.py", "say", "*/alice", "Taxi!", "--name", "carol")
        assert said == (0, "accepted for 2 connections\n")
        said = await bus.run("chat.py", "say", "**", "Fire drill", "--name", "dave")
        assert said == (0, "accepted for 3 connections\n")
        for listener in alice, lobby:
            assert await listener.line() == "carol to */alice: Taxi!"
        for listener in alice, bob, lobby:
            assert await listener.line() == "dave to **: Fire drill"


async def test_chat_to_an_empty_room(bus: Bus) -> None:
    """What is said where nobody listens is accepted for nobody, which is no error."""
    assert await bus.run("chat.py", "say", "attic/*", "Hello?") == (0, "accepted for 0 connections\n")


async def test_chat_refuses_a_bad_place(bus: Bus) -> None:
    """A place that is no topic ends the example in one line that says what is wrong with it."""
    code, output = await bus.run("chat.py", "say", "Lobby/alice", "Hello")
    assert code == 1
    assert output.startswith("InvalidTopic: fragment 2 of topic 'chat/Lobby/alice' has 'L' in it")


# --- price_feed.py


async def test_watchers_receive_what_they_asked_for(bus: Bus) -> None:
    """A watcher of prices in euros receives those, in order, and none in dollars."""
    async with (
        bus.running("price_feed.py", "watch", "*/eur") as euros,
        bus.running("price_feed.py", "watch", "**") as everything,
    ):
        assert await euros.line() == "watching price/*/eur"
        assert await everything.line() == "watching price/**"
        for pair in "eth/usd", "eth/eur", "btc/eur":
            published = await bus.run("price_feed.py", "publish", pair, "--count", "2", "--interval", "0")
            deliveries = 2 if pair == "eth/usd" else 4
            assert published == (0, f"publishing price/{pair}\npublished 2, accepted for {deliveries} deliveries\n")

        async def watched(watcher: Program, count: int) -> list[str]:
            return [(await watcher.line()).rpartition(" ")[0] for _ in range(count)]

        in_euros = ["price/eth/eur #1", "price/eth/eur #2", "price/btc/eur #1", "price/btc/eur #2"]
        assert await watched(euros, 4) == in_euros
        assert await watched(everything, 6) == ["price/eth/usd #1", "price/eth/usd #2", *in_euros]


async def test_a_slow_watcher_is_told_what_it_missed(bus: Bus) -> None:
    """A watcher that takes nothing receives its window of prices and then the number of those it missed."""
    async with bus.running("price_feed.py", "watch", "**", "--window", "10") as watcher:
        await watcher.line()
        watcher.process.send_signal(signal.SIGSTOP)
        published = await bus.run("price_feed.py", "publish", "eth/eur", "--count", "500", "--interval", "0")
        assert published == (0, "publishing price/eth/eur\npublished 500, accepted for 10 deliveries\n")
        watcher.process.send_signal(signal.SIGCONT)
        for number in range(1, 11):
            assert (await watcher.line()).startswith(f"price/eth/eur #{number} ")
        assert await watcher.line() == "missed 490 prices"


async def test_a_paced_feed_waits_for_its_watcher(bus: Bus) -> None:
    """A paced feed that is faster than its watcher loses nothing."""
    async with bus.running("price_feed.py", "watch", "**", "--window", "3") as watcher:
        await watcher.line()
        published = await bus.run("price_feed.py", "publish", "eth/eur", "--count", "30", "--interval", "0", "--paced")
        assert published == (0, "publishing price/eth/eur\npublished 30, accepted for 30 deliveries\n")
        for number in range(1, 31):
            assert (await watcher.line()).startswith(f"price/eth/eur #{number} ")


# --- service.py

FOR_EVER = ("ask", "oven", "--samples", "1000000000", "--within", "3600")


async def test_requests_are_answered_side_by_side(bus: Bus) -> None:
    """A request is answered while an earlier one is still being worked on."""
    async with bus.running("service.py", "serve") as service:
        assert await service.line() == "serving"
        async with bus.running("service.py", *FOR_EVER):
            assert await service.line() == "measuring oven"
            code, output = await bus.run("service.py", "ask", "room", "--samples", "2")
        assert code == 0
        assert output.startswith("room: 2")
        assert output.endswith(" degrees, mean of 2\n")


async def test_a_handler_fails_in_its_own_words(bus: Bus) -> None:
    """A failure that the handler raises ends its requester in one line, with the handler's text."""
    async with bus.running("service.py", "serve") as service:
        assert await service.line() == "serving"
        failed = await bus.run("service.py", "ask", "fridge")
        assert failed == (1, "RemoteError: no channel 'fridge', only oven, room\n")


async def test_a_handler_stops_with_its_requester(bus: Bus) -> None:
    """Ctrl-C at the requester stops the handler of its request."""
    async with bus.running("service.py", "serve") as service:
        assert await service.line() == "serving"
        async with bus.running("service.py", *FOR_EVER) as requester:
            assert await service.line() == "measuring oven"
            assert await requester.interrupt() == (0, "")
        assert (await service.line()).startswith("gave up oven after ")


async def test_a_handler_stops_at_the_deadline(bus: Bus) -> None:
    """A requester whose time is over says so, and the handler of its request stops."""
    async with bus.running("service.py", "serve") as service:
        assert await service.line() == "serving"
        assert await bus.run("service.py", *FOR_EVER[:-1], "1") == (1, "no answer within 1 s\n")
        assert await service.line() == "measuring oven"
        assert (await service.line()).startswith("gave up oven after ")


async def test_a_topic_has_one_service(bus: Bus) -> None:
    """A second service of the topic ends in one line, and the first one goes on."""
    async with bus.running("service.py", "serve") as service:
        assert await service.line() == "serving"
        code, output = await bus.run("service.py", "serve")
        assert code == 1
        assert output.startswith("TopicClaimed: 'measure' is served already")
        assert (await bus.run("service.py", "ask", "oven"))[0] == 0


async def test_a_requester_hears_that_the_service_left(bus: Bus) -> None:
    """A service that is killed with a request pending ends its requester at once, in one line."""
    async with bus.running("service.py", "serve") as service:
        assert await service.line() == "serving"
        async with bus.running("service.py", *FOR_EVER) as requester:
            assert await service.line() == "measuring oven"
            service.process.kill()
            left = "ServiceGone: the service of 'measure' left with the request pending\n"
            assert await requester.end() == (1, left)


async def test_nobody_serves(bus: Bus) -> None:
    """A request that nobody serves ends at once, in one line."""
    code, output = await bus.run("service.py", "ask", "oven")
    assert code == 1
    assert output.startswith("ServiceNotFound: nobody serves 'measure'")
