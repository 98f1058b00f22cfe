"""Interrupts, wherever they come, leave a client that reads and writes as before, or end the program."""

from __future__ import annotations

import dis
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import outcome
import pytest
import trio
import trio.testing
from attrs import define, field

from t2bus.wire import messages as m
from tap_helpers import Tap, open_answered_client
from test_client_ends import each_call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from types import FrameType

    import t2bus


def is_checked(running: FrameType, event: str) -> bool:
    """Whether Python looks for signals here: when a function begins, and when one written in C has returned."""
    if event == "call":
        operation, argument = running.f_code.co_code[running.f_lasti : running.f_lasti + 2]
        return operation == dis.opmap["RESUME"] and argument < 2
    return event == "c_return"


@define(eq=False)
class Interrupter:
    """Raises SIGINT at the n-th place of the package's code where Python looks for signals."""

    countdown: int
    where: str = field(default="", init=False)

    def __call__(self, running: FrameType, event: str, _: object) -> None:
        name = running.f_code.co_filename
        if is_checked(running, event) and "/t2bus/" in name and self.where == "":
            self.countdown -= 1
            if self.countdown <= 0:
                self.where = f"{name}:{running.f_lineno} ({event})"
                signal.raise_signal(signal.SIGINT)


@pytest.fixture
def own_profile() -> Generator[None, None, None]:
    before = sys.getprofile()
    yield
    sys.setprofile(before)


async def use(interrupter: Interrupter, finished: list[str]) -> None:
    """Ask and receive until interrupted, and then see that the client works."""
    async with open_answered_client() as (client, tap):
        with suppress(KeyboardInterrupt):
            sys.setprofile(interrupter)
            for _ in range(3):
                await client.request_bytes("x", b"q")
            async with client.subscribe_bytes("y") as messages:
                tap.say(m.Deliver((4,), m.Publication("y", b"")))
                await messages.receive()
                with trio.move_on_after(0):
                    await messages.receive()
        sys.setprofile(None)
        with trio.fail_after(5):
            for _ in range(2):
                assert await client.request_bytes("x", b"q") == b"q"
            tap.say(m.Ping(1))
            await tap.expect(m.Pong)
        finished.append(interrupter.where)


@pytest.mark.usefixtures("own_profile")
@pytest.mark.parametrize("first", range(1, 5))
def test_an_interrupt_leaves_a_client_that_works(first: int) -> None:
    """Wherever it is interrupted, the program ends by that, or the client goes on reading and answering."""
    finished: list[str] = []
    for place in range(first, 10_000, 4):
        interrupter = Interrupter(place)
        error = run_interrupted(interrupter, finished)
        assert error is None or is_interrupt(error), interrupter.where
        if interrupter.where == "":
            break
    assert len(finished) > 10


def run_interrupted(interrupter: Interrupter, finished: list[str]) -> BaseException | None:
    """Run the program and return how it failed."""
    ended = outcome.capture(trio.run, use, interrupter, finished)
    sys.setprofile(None)
    return ended.error if isinstance(ended, outcome.Error) else None


def is_interrupt(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_interrupt, error.exceptions))
    return isinstance(error, KeyboardInterrupt)


@each_call
def test_an_interrupt_ends_the_call_that_waits(call: Callable[[t2bus.Client], Awaitable[None]]) -> None:
    """A program that is interrupted while its main task waits ends, and the bus hears a goodbye."""
    said: list[m.ClientMessage] = []

    @trio.lowlevel.enable_ki_protection
    async def interrupt(tap: Tap[m.ClientMessage]) -> None:
        await trio.testing.wait_all_tasks_blocked()
        signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        async with trio.open_nursery() as nursery, open_answered_client() as (client, tap):
            nursery.start_soon(interrupt, tap)
            try:
                await call(client)
            finally:
                said.extend(tap.messages)
                nursery.start_soon(listen, tap)

    async def listen(tap: Tap[m.ClientMessage]) -> None:
        said.append(await tap.expect(m.Goodbye))

    ended = outcome.capture(trio.run, main)
    assert isinstance(ended, outcome.Error)
    assert is_interrupt(ended.error)
    assert said[-1] == m.Goodbye("")
