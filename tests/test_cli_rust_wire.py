"""``--wire t2``: what the command line says of headers, for which the wire of the Rust crate has no place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli_helpers import command, run
from t2bus.cli import main

if TYPE_CHECKING:
    import t2bus

NO_PLACE = "the wire of the Rust crate t2_bus has no place for headers"
DROPPED = f"t2bus: --header is dropped: {NO_PLACE}"
HEADERS = ["--header", "a=1", "--header", "b=2"]


def on_the_wire_of_rust(address: str) -> list[str]:
    return ["--addr", address, "--wire", "t2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pub", "a", "1"], "t2bus: accepted for 0 connections: nobody subscribes to a\n"),
        (["request", "echo", "1"], ""),
    ],
)
def test_who_names_headers_is_told_that_they_are_dropped(
    arguments: list[str], said: str, address: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The message is sent all the same, and one line on standard error says what it lacks."""
    assert main([*arguments, *HEADERS, *on_the_wire_of_rust(address)]) == 0
    assert capfd.readouterr().err == f"{DROPPED}\n{said}"


async def test_many_lines_are_told_once(bus: t2bus.Bus) -> None:
    """However many messages go without their headers, one line says so."""
    async with bus.open_client() as client, client.subscribe_bytes("a") as messages:
        code, _, err = await run("pub", "a", *HEADERS, *on_the_wire_of_rust(bus.addresses[0]), stdin=b"1\n2\n")
        assert (code, err) == (0, f"{DROPPED}\nt2bus: 2 messages published, 2 deliveries accepted\n")
        assert [(await messages.receive()).headers for _ in range(2)] == [{}, {}]


def test_who_names_none_is_told_nothing(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Without headers that wire is as good as any."""
    assert main(["request", "echo", "1", *on_the_wire_of_rust(address)]) == 0
    assert capfd.readouterr() == ("1\n", "")


@pytest.mark.parametrize("verb", ["sub", "reply"])
async def test_who_asks_for_headers_is_told_that_none_come(verb: str, bus: t2bus.Bus) -> None:
    """Those that the messages have do not arrive, and the first line on standard error says so."""
    async with command(verb, "a", "--headers", *on_the_wire_of_rust(bus.addresses[0])) as listening:
        assert await listening.stderr.next() == f"t2bus: --headers finds none: {NO_PLACE}"
