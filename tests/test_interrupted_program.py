"""A program with a bus and clients is interrupted, wherever that comes: it ends by the interrupt."""

from __future__ import annotations

import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import outcome
import pytest
import trio
import trio.testing

import t2bus
from t2bus.testing import unsteady_bus
from test_client_interrupts import Interrupter, is_interrupt, own_profile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["own_profile"]


async def talk(client: t2bus.Client, interrupter: Interrupter) -> None:
    """Publish and receive until interrupted."""
    async with client.subscribe_bytes("x") as messages:
        sys.setprofile(interrupter)
        for _ in range(100):
            await client.publish_bytes("x", b"")
            await messages.receive()


async def over_tcp(interrupter: Interrupter) -> None:
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus, t2bus.open_client(bus.addresses[0]) as client:
        await talk(client, interrupter)


async def in_process(interrupter: Interrupter) -> None:
    async with t2bus.open_bus() as bus, bus.open_client() as client:
        await talk(client, interrupter)


async def reconnecting(interrupter: Interrupter) -> None:
    async with (
        t2bus.open_bus("tcp:127.0.0.1:0") as bus,
        t2bus.open_client(bus.addresses[0], reconnect=t2bus.Reconnect()) as client,
    ):
        await talk(client, interrupter)


@pytest.mark.usefixtures("own_profile")
@pytest.mark.parametrize("program", [over_tcp, in_process, reconnecting])
def test_an_interrupt_ends_the_program(program: Callable[[Interrupter], Awaitable[None]]) -> None:
    """Wherever it comes, in whichever task, it is KeyboardInterrupt that leaves the program."""
    for place in range(1, 400, 7):
        interrupter = Interrupter(place)
        ended = outcome.capture(trio.run, program, interrupter)
        sys.setprofile(None)
        assert isinstance(ended, outcome.Error), interrupter.where
        assert isinstance(ended.error, KeyboardInterrupt), (interrupter.where, ended.error)


def test_an_interrupt_in_an_opener_ends_the_program() -> None:
    """A function of the program that opens a stream again is interrupted as code in a task of its own would be."""
    interrupted: list[str] = []

    async def main() -> None:
        async with unsteady_bus() as place:

            async def open_stream() -> trio.abc.Stream:
                await trio.lowlevel.checkpoint()
                if place.bus is None:
                    try:
                        signal.raise_signal(signal.SIGINT)
                    except KeyboardInterrupt:
                        interrupted.append("here")
                        raise
                assert place.bus is not None
                here, there = trio.testing.memory_stream_pair()
                nursery.start_soon(partial(place.bus.serve_stream, there, identity="local"))
                return here

            again = t2bus.Reconnect(first=0.01)
            async with trio.open_nursery() as nursery, t2bus.open_client(open_stream, reconnect=again):
                await place.lose()
                await trio.sleep_forever()

    ended = outcome.capture(trio.run, main)
    assert isinstance(ended, outcome.Error)
    assert is_interrupt(ended.error)
    assert interrupted == ["here"]
