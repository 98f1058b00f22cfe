"""Fixtures of the tests with Rust: its programs of each version, and a bus of either side for them to meet at.

They are not part of the default run, since they need cargo and, once, minutes: ``pytest tests/interop``.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import t2bus
from interop.helpers import VERSIONS, CannotBuild, Peers, Running, Rust, build, open_rust_bus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

HERE: Final = Path(__file__).parent
BUILT: Final = pytest.StashKey[dict[str, Rust]]()
UNBUILT: Final = pytest.StashKey[str]()
"""Why there are no programs, if there are none."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Stay out of runs that do not ask for these tests by name."""
    asked = [Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path == HERE or HERE in path.parents for path in asked) else True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes 100 s by the clock, whatever the order: another process runs the others meanwhile."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.interop)
    items.sort(key=lambda item: item.get_closest_marker("real_time") is None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build before the first test: what takes minutes would pass for a test that hangs."""
    if session.config.option.collectonly or not any(HERE in item.path.parents for item in session.items):
        return
    try:
        session.config.stash[BUILT] = build()
    except CannotBuild as error:
        session.config.stash[UNBUILT] = f"{error}, so nothing of Rust can be built"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip here and not in a fixture, so that the reason is reported once and not for every test."""
    if UNBUILT in item.config.stash:
        pytest.skip(item.config.stash[UNBUILT])


@pytest.fixture(params=VERSIONS)
def rust(request: pytest.FixtureRequest) -> Rust:
    """Give the programs of each version in turn."""
    return request.config.stash[BUILT][request.param]


@pytest.fixture
def every_rust(request: pytest.FixtureRequest) -> list[Rust]:
    """Give the programs of all versions, to a test that takes too long to be run for each in turn."""
    return list(request.config.stash[BUILT].values())


@pytest.fixture
async def client(bus: t2bus.Bus) -> AsyncGenerator[t2bus.Client, None]:
    """Open a client of ``bus`` that speaks the native wire."""
    async with t2bus.open_client(bus.addresses[0]) as client:
        yield client


@pytest.fixture
def here(rust: Rust, bus: t2bus.Bus) -> Peers:
    """Give the way to start Rust programs at ``bus``."""
    return Peers(rust, bus.addresses[0])


@pytest.fixture
async def server(rust: Rust, folder: Path) -> AsyncGenerator[Running, None]:
    """Run the server of the crate."""
    async with open_rust_bus(rust, f"unix:{folder}/bus") as running:
        yield running


@pytest.fixture
def there(rust: Rust, server: Running, folder: Path) -> Peers:
    """Give the way to start Rust programs at ``server``."""
    return Peers(rust, f"unix:{folder}/bus")


@pytest.fixture
def free_port() -> int:
    """Find a port of TCP that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
