"""What :mod:`t2bus.testing` gives to users' tests, used as they would use it."""

from __future__ import annotations

import os
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from attrs import frozen
from hypothesis import find, given
from hypothesis import strategies as st

import t2bus
from t2bus import testing
from t2bus.testing import concrete_topics, matching_pairs, memory_bus, topics, unsteady_bus
from t2bus.topic import intersects, is_concrete, validate

if TYPE_CHECKING:
    from pathlib import Path

bus = testing.bus  # as `from t2bus.testing import bus` in a conftest.py gives it to all tests

USERS_TEST = """
import pytest

@pytest.mark.trio
async def test_with_bus(bus):
    async with bus.open_client() as client:
        assert await client.publish_bytes("a", b"") == 0
"""

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


def output_of(*arguments: str) -> str:
    """Run Python and return what it says."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


class TestMemoryBus:
    """The bus without listeners, by hand and as a fixture."""

    async def test_connects_clients(self) -> None:
        """Two clients of a bus in memory hear each other."""
        async with (
            memory_bus() as memory,
            memory.open_client() as alice,
            memory.open_client() as bob,
            bob.subscribe(Hello, "*") as messages,
        ):
            assert await alice.publish("bob", Hello("Hello Bob")) == 1
            assert tuple(await messages.receive()) == ("hello/bob", Hello("Hello Bob"))

    async def test_has_no_listeners(self) -> None:
        """It listens nowhere."""
        async with memory_bus() as memory:
            assert memory.addresses == ()

    async def test_takes_limits(self, autojump_clock: trio.testing.MockClock) -> None:
        """Its arguments are the limits of the bus and of its clients."""
        async with (
            memory_bus(subscription_messages=1) as memory,
            memory.open_client() as client,
            client.subscribe(Hello, "**") as messages,
        ):
            await client.publish("alice", Hello("first"))
            await client.publish("alice", Hello("second"))
            assert (await messages.receive()).body == Hello("first")
            with pytest.raises(t2bus.Lagged) as caught:
                await messages.receive()
            assert caught.value.dropped == 1

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
        """Named as a pytest plugin, the module gives its fixture to every test."""
        users_test = tmp_path / "test_user.py"
        users_test.write_text(USERS_TEST)
        where = ("-c", os.devnull, "--rootdir", str(tmp_path), str(users_test))
        assert "1 passed" in output_of("-m", "pytest", "-p", "t2bus.testing", "-p", "no:cacheprovider", *where)

    def test_unknown_attribute(self) -> None:
        """A name that is not there raises the usual error."""
        with pytest.raises(AttributeError, match=r"'t2bus\.testing' has no attribute 'buss'"):
            _ = testing.buss  # type: ignore[attr-defined]

    def test_lists_its_names(self) -> None:
        """All its names are listed and can be had."""
        assert set(testing.__all__) <= set(dir(testing))
        assert all(hasattr(testing, name) for name in testing.__all__)


class TestOptionalPackages:
    """What is not used need not be installed."""

    def test_import_needs_neither(self) -> None:
        """Importing the module imports neither pytest nor Hypothesis."""
        code = "import sys, t2bus.testing; print({'pytest', 'hypothesis'} & set(sys.modules))"
        assert output_of("-c", code) == "set()\n"

    @pytest.mark.parametrize(
        ("module", "use", "says"),
        [
            ("pytest", "testing.bus", "the fixture `bus` of t2bus.testing needs pip install pytest pytest-trio\n"),
            ("hypothesis", "testing.topics()", "the strategies of t2bus.testing need pip install hypothesis\n"),
        ],
        ids=["pytest", "hypothesis"],
    )
    def test_says_what_to_install(self, module: str, use: str, says: str) -> None:
        """Using what needs a package that is missing says which one to install."""
        assert output_of("-c", WITHOUT.format(module=module, use=use)) == says


class TestTopics:
    """The strategies for single topics."""

    @given(topics())
    def test_are_valid(self, topic: str) -> None:
        """Every topic is one of the grammar, no deeper than four fragments."""
        assert validate(topic, depth=4) == topic

    @given(concrete_topics())
    def test_concrete_ones_have_no_wildcards(self, topic: str) -> None:
        """Concrete topics are valid, no deeper than four fragments, and free of wildcards."""
        assert is_concrete(validate(topic, depth=4))

    @given(st.data(), st.integers(1, 16))
    def test_depth(self, data: st.DataObject, depth: int) -> None:
        """A topic has at most as many fragments as asked for."""
        validate(data.draw(topics(max_depth=depth)), depth=depth)

    @given(topics(alphabet="0_"))
    def test_alphabet(self, topic: str) -> None:
        """Fragments are made of the characters asked for."""
        assert set(topic) <= set("0_*/")

    @pytest.mark.parametrize("wanted", ["*", "**", "a", "ab", "a/*", "**/b"])
    def test_reach_every_kind(self, wanted: str) -> None:
        """Names and both wildcards come out, alone and together."""
        assert find(topics(max_depth=2), lambda topic: topic == wanted, random=Random(1)) == wanted


class TestMatchingPairs:
    """The strategy for topics that meet."""

    @given(matching_pairs())
    def test_meet(self, pair: tuple[str, str]) -> None:
        """The two topics of a pair intersect."""
        assert intersects(*pair)

    @given(st.data(), st.integers(1, 16), st.sampled_from(["a", "ab", "xyz_0"]))
    def test_arguments(self, data: st.DataObject, depth: int, alphabet: str) -> None:
        """Depth and alphabet bound both topics, and they still meet."""
        subscribed, published = data.draw(matching_pairs(max_depth=depth, alphabet=alphabet))
        assert intersects(subscribed, published, depth=depth)
        assert set(subscribed + published) <= set(alphabet) | set("*/")

    @pytest.mark.parametrize("wanted", [("a", "a"), ("*", "a"), ("a/**", "a"), ("a/**", "**/aa"), ("**/**", "*")])
    def test_reach_every_kind(self, wanted: tuple[str, str]) -> None:
        """Pairs that meet in names, in wildcards and in nothing shorter than both come out."""
        pairs = matching_pairs(max_depth=2, alphabet="a")
        assert find(pairs, lambda pair: pair == wanted, random=Random(1)) == wanted


async def test_a_bus_that_is_lost_tells_nobody() -> None:
    """Who waits for another client loses the bus, and hears nothing of that one's end."""
    async with (
        unsteady_bus() as place,
        place.open_client() as server,
        place.open_client(),
        place.open_client(),
        place.open_client() as client,
        server.serve_bytes("x"),
        trio.open_nursery() as nursery,
    ):

        async def ask() -> None:
            with pytest.raises(t2bus.Disconnected):
                await client.request_bytes("x", b"")

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await place.lose()
