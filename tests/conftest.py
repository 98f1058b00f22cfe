"""Fixtures of the end-to-end tests: a bus over each transport, one for commands, a clock, and bystanders."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio.testing
from hypothesis import HealthCheck, settings

import t2bus
from bus_helpers import TRANSPORTS, Bystanders, Site, open_bystanders, open_site
from cli_helpers import bus_in_a_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So it is for what a shell starts in the background, and the programs that the tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What whoever runs the tests has set up for their own buses is not what is tested, in programs that they start neither.
_OF_TESTS = {"T2BUS_FUZZ", "T2BUS_INTEROP_CACHE", "T2BUS_MODEL_RUNS", "T2BUS_SCREENSHOTS", "T2BUS_SOAK"}
for _name in {name for name in os.environ if name.startswith("T2BUS_")} - _OF_TESTS:
    del os.environ[_name]
os.environ["T2BUS_CONTEXTS"] = "/nowhere/contexts.toml"

# Nor is where they run: with these, pytest and others print wider, longer or coloured lines.
for _name in ("BUILD_NUMBER", "CI", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "PY_COLORS"):
    os.environ.pop(_name, None)

# The same examples in every run, however busy the machine is: one that is slow there is no fault of the code. Of the
# hundred that Hypothesis tries, or as many as `steady` says, "few" tries the first fifth, so that people run the tests.
for _name, _examples in {"few": 20, "all": 100}.items():
    _calm = [HealthCheck.too_slow]
    settings.register_profile(
        _name, max_examples=_examples, deadline=None, derandomize=True, suppress_health_check=_calm
    )
settings.load_profile("few")

CLOCKS = frozenset({"clock", "mock_clock", "autojump_clock", "fast_clock"})
"""The fixtures that are a clock."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Refuse a clock that is asked for in any other way than by an argument of the test: it would not be used."""
    if not isinstance(item, pytest.Function):
        return
    if unused := CLOCKS.intersection(item.fixturenames).difference(inspect.signature(item.function).parameters):
        raise pytest.UsageError(f"{item.nodeid} needs {min(unused)!r} as an argument, for pytest-trio to use it")


def pytest_collection_finish() -> None:
    """Take all tests out of the collector's sight: they stay to the end, and looking at them took a tenth of a run."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape lone surrogates in captured logs: pytest-xdist sends reports as UTF-8, and ends at the first."""
    report = yield
    report.sections = [(title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections]
    return report


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Jump over waiting, as ``autojump_clock`` does, but a moment later: what is in the kernel arrives first."""
    return trio.testing.MockClock(autojump_threshold=0.003)


@pytest.fixture
def fast_clock() -> trio.testing.MockClock:
    """Be five times as fast as time, where a program that is not in Trio looks on."""
    return trio.testing.MockClock(rate=5)


@pytest.fixture
def folder() -> Generator[Path, None, None]:
    """Give a folder with a path short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="t2bus-") as name:
        yield Path(name)


@pytest.fixture
async def bus(folder: Path) -> AsyncGenerator[t2bus.Bus, None]:
    """Open a bus at a unix socket, for programs that are processes of their own."""
    async with t2bus.open_bus(f"unix:{folder}/bus") as bus:
        yield bus


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    """Run a bus for commands inside the test, with the services ``echo``, ``failing`` and ``silent``."""
    with bus_in_a_thread(tmp_path_factory.mktemp("t2bus")) as address:
        yield address


@pytest.fixture(params=TRANSPORTS)
async def site(request: pytest.FixtureRequest, folder: Path) -> AsyncGenerator[Site, None]:
    """Open a bus and say how to connect to it, over each transport in turn."""
    async with open_site(request.param, folder) as site:
        yield site


@pytest.fixture
async def tcp(folder: Path) -> AsyncGenerator[Site, None]:
    """Open a bus that is reached over TCP."""
    async with open_site("tcp4", folder) as site:
        yield site


@pytest.fixture
async def memory(folder: Path) -> AsyncGenerator[Site, None]:
    """Open a bus in this process alone."""
    async with open_site("memory", folder) as site:
        yield site


@pytest.fixture
async def bystanders(tcp: Site) -> AsyncGenerator[Bystanders, None]:
    """Open two clients of ``tcp`` that nothing may disturb; they are tried once more when the test has ended."""
    async with open_bystanders(tcp.connect) as bystanders:
        yield bystanders
        await bystanders.try_out()
