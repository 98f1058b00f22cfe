"""What :mod:`t2bus.testing` gives to users' tests, used as they would use it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from attrs import frozen
from hypothesis import find, given, settings
from hypothesis import strategies as st

import t2bus
from t2bus import testing
from t2bus.testing import bus as bus
from t2bus.testing import concrete_topics, matching_pairs, memory_bus, topics
from t2bus.topic import intersects, is_concrete, validate

if TYPE_CHECKING:
    from pathlib import Path

    import trio.testing

PLUGIN_TEST = '''
"""A user's test, in a module that imports nothing of t2bus."""
import pytest

@pytest.mark.trio
async def test_with_bus(bus):
    async with bus.open_client() as client:
        assert await client.publish_bytes("a", b"") == 0
'''

WITHOUT = """
import sys
sys.modules[{module!r}] = None  # importing it fails, as where it is not installed
from t2bus import testing
try:
    {use}
except ImportError as error:
    print(error)
"""


@frozen
class Hello(t2bus.PublishProtocol, prefix="hello"):
    text: str


def run(code: str, *options: str, folder: Path | None = None) -> str:
    """Run Python and return what it says."""
    done = subprocess.run(
        [sys.executable, *options, code], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class TestMemoryBus:
    """The bus without listeners, by hand and as a fixture."""

    async def test_connects_clients(self) -> None:
        """Two clients of a bus in memory hear each other."""
        async with memory_bus() as bus, bus.open_client() as alice, bus.open_client() as bob:
            async with bob.subscribe(Hello, "*") as messages:
                assert await alice.publish("bob", Hello("Hello Bob")) == 1
                assert tuple(await messages.receive()) == ("hello/bob", Hello("Hello Bob"))

    async def test_has_no_listeners(self) -> None:
        """It opens no socket."""
        async with memory_bus() as bus:
            assert bus.addresses == ()

    async def test_takes_limits(self, autojump_clock: trio.testing.MockClock) -> None:
        """Its limits are named as those of the bus."""
        async with memory_bus(subscription_messages=1) as bus, bus.open_client() as client:
            async with client.subscribe(Hello, "**") as messages:
                await client.publish("alice", Hello("first"))
                await client.publish("alice", Hello("second"))
                assert (await messages.receive()).body == Hello("first")
                with pytest.raises(t2bus.Lagged, match="1 message"):
                    await messages.receive()

    async def test_refuses_unknown_limits(self) -> None:
        """A misspelt limit raises."""
        with pytest.raises(TypeError, match="connexions"):
            async with memory_bus(connexions=1):
                pass

    async def test_fixture(self, bus: t2bus.Bus) -> None:
        """The imported fixture gives a bus that runs during the test."""
        async with bus.open_client():
            assert bus.statistics().connections == 1

    def test_fixture_of_a_plugin(self, tmp_path: Path) -> None:
        """Named as a pytest plugin, the module gives its fixture to all tests."""
        (tmp_path / "test_user.py").write_text(PLUGIN_TEST)
        said = run("pytest", "-m", folder=tmp_path) if False else ""
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "t2bus.testing", "-p", "no:cacheprovider", "test_user.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "1 passed" in done.stdout, said + done.stdout + done.stderr
