"""What is said of seeds that are not met, though they should be."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
import trustme

from bus_helpers import wait_until
from federation_helpers import LEASE, certified, free_endpoint, secure
from t2bus import tls
from t2bus.federation.federation import Federation, place_of
from t2bus.federation.seeds import refusal, watch_seeds

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytest.importorskip("zenoh", reason="eclipse-zenoh is not installed")

from t2bus.federation.zenoh import open_engine


@pytest.fixture
def ours(folder: Path) -> dict[str, str]:
    return certified(trustme.CA(), "ours", folder)


@pytest.fixture
def foreign(folder: Path) -> dict[str, str]:
    return certified(trustme.CA(), "foreign", folder)


@pytest.fixture
async def seed(ours: dict[str, str]) -> AsyncGenerator[str, None]:
    """Open a server that is looked for."""
    endpoint = free_endpoint("tls")
    async with open_engine(secure(ours, endpoint=endpoint)):
        yield endpoint


def shown(files: dict[str, str]) -> ssl.SSLContext:
    return tls.client_context(ca=files["ca"], certificate=files["cert"], key=files["key"])


async def test_of_one_that_can_be_met(seed: str, ours: dict[str, str]) -> None:
    """Nothing speaks against a server that trusts this end and that this end trusts."""
    assert await refusal(place_of(seed), shown(ours)) == ""


async def test_of_one_that_this_end_does_not_trust(seed: str, foreign: dict[str, str]) -> None:
    """A server of another authority is said to be of one."""
    assert "certificate is of an authority that this end does not trust" in await refusal(
        place_of(seed), shown(foreign)
    )


async def test_of_one_that_does_not_trust_this_end(seed: str, ours: dict[str, str], foreign: dict[str, str]) -> None:
    """A server that refuses this end's certificate is said to do so."""
    assert "this end's certificate" in await refusal(place_of(seed), shown({**foreign, "ca": ours["ca"]}))


async def test_of_one_that_is_not_there() -> None:
    """A server that nobody has started is said to refuse the connection."""
    assert "refused" in await refusal(place_of(free_endpoint()), None)


async def test_it_is_said_once(caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock) -> None:
    """What is wrong with a seed is logged once, though it is looked at again and again."""
    seed = free_endpoint()
    options = Federation(bus="plant", endpoint=free_endpoint(), seeds=[seed])
    with caplog.at_level(logging.WARNING, "t2bus.federation"), trio.move_on_after(1000):
        await watch_seeds(options, list)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"the server at the seed {seed} is not met: ")


async def test_nothing_is_said_of_who_is_met(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    """Nothing is logged of a seed that has joined, nor of a server's own endpoint among its seeds."""
    seed, own = free_endpoint(), free_endpoint()
    with trio.move_on_after(1000):
        await watch_seeds(Federation(bus="plant", endpoint=own, seeds=[seed, own]), lambda: [seed])
    assert caplog.records == []


async def test_a_server_of_another_bus_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A server that meets nobody, and whose seed answers, is told that its bus may have another name there."""
    seed = free_endpoint()
    async with (
        open_engine(Federation(bus="plant", endpoint=seed, lease=LEASE)),
        open_engine(Federation(bus="plantt", endpoint=free_endpoint(), seeds=[seed], lease=LEASE)),
    ):
        await wait_until(lambda: bool(caplog.records))
    text = "it answers, but no server of bus 'plantt' is there: is its --bus another one?"
    assert [record.getMessage() for record in caplog.records] == [f"the server at the seed {seed} is not met: {text}"]


async def test_a_seed_may_have_another_name(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is said of a seed that answers where somebody is met: that may be the same server by another name."""
    answers, refuses = free_endpoint(), free_endpoint()
    options = Federation(bus="plant", endpoint=free_endpoint(), seeds=[answers, refuses], lease=LEASE)
    async with open_engine(Federation(bus="office", endpoint=answers, lease=LEASE)), trio.open_nursery() as nursery:
        nursery.start_soon(watch_seeds, options, lambda: ["tcp:127.0.0.1:1"])
        await wait_until(lambda: bool(caplog.records))
        nursery.cancel_scope.cancel()
    assert [refuses in record.getMessage() for record in caplog.records] == [True]


async def test_a_stranger_says_why(caplog: pytest.LogCaptureFixture, seed: str, foreign: dict[str, str]) -> None:
    """A server that its seed refuses says so soon after it was opened."""
    async with open_engine(secure(foreign, seed)):
        await wait_until(lambda: bool(caplog.records))
    assert "does not trust" in caplog.records[0].getMessage()
