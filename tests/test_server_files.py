"""Open files: how many a bus needs, who raises the limit, and what is said where it is too low."""

from __future__ import annotations

import resource
import shlex
from typing import TYPE_CHECKING

import pytest

import t2bus
from bus_helpers import Note, names
from program_helpers import open_program

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

FEW_FILES = """
    import resource, sys, t2bus, trio

    async def main():
        try:
            async with t2bus.open_bus("tcp:127.0.0.1:0"):
                pass
        except t2bus.LimitExceeded as error:
            print(error)

    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
    trio.run(main)
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


SERVE_WITH_FEW_FILES = """
    import resource, sys, t2bus.cli

    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
    code = t2bus.cli.main(["serve", *sys.argv[3:]])
    print(resource.getrlimit(resource.RLIMIT_NOFILE))
    sys.exit(code)
"""


@pytest.fixture
def files() -> Generator[int, None, None]:
    """Let this process open as many files for the time of a test, at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
    yield 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_too_few_files_are_told_before_anything_is_bound(files: int, folder: Path, kind: str) -> None:
    """A bus that could never have all its connections says so when it is opened, and what to do."""
    address = f"unix:{folder}/bus" if kind == "unix" else "tcp:127.0.0.1:0"
    with pytest.raises(t2bus.LimitExceeded) as caught:
        async with t2bus.open_bus(address, limits=t2bus.Limits(connections=501)):
            pass
    assert str(caught.value) == (
        "this process may open 500 files, too few for 501 connections: run `ulimit -n 565` before, "
        "or set Limits.connections to 436"
    )
    assert names(folder) == []


async def test_a_remedy_beyond_the_hard_limit_is_not_named() -> None:
    """Where the hard limit allows no more, a program is told the connections that it can have, and no ``ulimit``."""
    async with open_program(FEW_FILES, "200", "200") as program:
        assert await program.stdout.next() == (
            "this process may open 200 files, too few for 1024 connections, and its hard limit of 200 allows no more: "
            "set Limits.connections to 136 (`--limit connections=136` with serve), or have that limit raised"
        )


async def test_the_limits_of_a_program_are_left_alone() -> None:
    """A bus in a program does not raise what its process may open, but names the number that is enough."""
    async with open_program(FEW_FILES, "200", "1050") as program:
        assert "run `ulimit -n 1050` before, or set Limits.connections to 136" in await program.stdout.next()
        assert await program.stdout.next() == "200"


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "allowed"),
    [(256, 20_000, 1024, 1088), (256, 1050, 1024, 1050), (256, 20_000, 5000, 5064), (2000, 20_000, 1024, 2000)],
)
async def test_serve_raises_its_soft_limit(soft: int, hard: int, connections: int, allowed: int, folder: Path) -> None:
    """A process that serves may open as many files as it needs, as far as its hard limit allows, and never fewer."""
    words = [str(soft), str(hard), f"unix:{folder}/bus", "--limit", f"connections={connections}"]
    async with open_program(SERVE_WITH_FEW_FILES, *words) as serve:
        await serve.stderr.until("serving at")
        serve.process.terminate()
        assert await serve.stdout.next() == f"({allowed}, {hard})"


async def test_serve_with_a_hard_limit_that_is_too_low(folder: Path) -> None:
    """Where even the hard limit is too low, the option is named with which it serves, and that is true."""
    few = ["256", "300", f"unix:{folder}/bus"]
    async with open_program(SERVE_WITH_FEW_FILES, *few) as serve:
        said = await serve.stderr.next()
        assert said.startswith("t2bus: this process may open 300 files, too few for 1024 connections")
        assert await serve.end() == 2
    async with open_program(SERVE_WITH_FEW_FILES, *few, *shlex.split(said.split("`")[1])) as serve:
        await serve.stderr.until("serving at")


async def test_as_many_files_as_connections_are_enough(files: int) -> None:
    """A process that may open as many files as the bus takes connections is not complained about."""
    async with t2bus.open_bus("tcp:127.0.0.1:0", limits=t2bus.Limits(connections=500)) as bus:
        assert bus.addresses


async def test_a_bus_without_addresses_needs_no_files(files: int) -> None:
    """In-process connections take no files, so a bus for them alone may be opened."""
    async with t2bus.open_bus(limits=t2bus.Limits(connections=501)) as bus, bus.open_client() as client:
        assert await client.publish("x", Note("")) == 0
