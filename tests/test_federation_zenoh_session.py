"""What a node tells in Zenoh of itself, as one sees it who is linked to it and is no node."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from federation_helpers import LEASE, all_for, free_endpoint, joined, left
from t2bus.federation.federation import Federation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytest.importorskip("zenoh", reason="eclipse-zenoh is not installed")

import zenoh

from t2bus.federation.zenoh import open_engine
from t2bus.federation.zenoh_session import open_go_between


class Onlooker:
    """A session that is linked to a node, and sees its token."""

    def __init__(self, options: Federation) -> None:
        """Connect to the node."""
        self.session = open_go_between(options, [options.endpoint])
        self.tokens = self.session.liveliness().declare_subscriber("t2/plant/m/**", history=True)

    async def sees(self) -> tuple[str, bool]:
        """Wait for a token to come or go; return its number and whether it is there."""
        sample = await trio.to_thread.run_sync(self.tokens.recv, abandon_on_cancel=True)
        return str(sample.key_expr).split("/")[-1], sample.kind == zenoh.SampleKind.PUT


@asynccontextmanager
async def open_onlooker(options: Federation) -> AsyncGenerator[Onlooker, None]:
    onlooker = await trio.to_thread.run_sync(Onlooker, options)
    try:
        yield onlooker
    finally:
        with trio.move_on_after(5, shield=True):
            await trio.to_thread.run_sync(onlooker.session.close, abandon_on_cancel=True)


async def test_who_is_asked_for_shows_itself_again() -> None:
    """A node that somebody misses declares its token anew, before it takes back the one that may have been lost."""
    options = Federation(bus="plant", endpoint=free_endpoint(), lease=LEASE)
    with trio.fail_after(20):
        async with open_engine(options), open_onlooker(options) as onlooker:
            assert await onlooker.sees() == ("0", True)
            onlooker.session.put(f"t2/plant/w/{options.endpoint}", b"")
            assert [await onlooker.sees(), await onlooker.sees()] == [("1", True), ("0", False)]


async def test_who_sees_a_node_does_not_see_it_come_again() -> None:
    """To those who see the node it does not leave when it shows itself again."""
    options = Federation(bus="plant", endpoint=free_endpoint(), lease=LEASE)
    beside = Federation(bus="plant", endpoint=free_endpoint(), seeds=[options.endpoint], lease=LEASE)
    with trio.fail_after(20):
        async with open_engine(options) as asked, open_engine(beside) as other, open_onlooker(options) as onlooker:
            assert await joined(other) == [asked.node]
            assert await onlooker.sees() == ("0", True)
            onlooker.session.put(f"t2/plant/w/{options.endpoint}", b"")
            while await onlooker.sees() != ("0", False):
                pass
            assert await all_for(LEASE, other) == []


async def test_who_is_missed_is_asked() -> None:
    """A node whose link to another has ended asks who is where that one listened to show itself."""
    options = Federation(bus="plant", endpoint=free_endpoint(), lease=LEASE)
    gone = Federation(bus="plant", endpoint=free_endpoint(), seeds=[options.endpoint], lease=LEASE)
    with trio.fail_after(20):
        async with open_engine(options) as engine, open_onlooker(options) as onlooker:
            assert await onlooker.sees() == ("0", True)
            questions = onlooker.session.declare_subscriber(f"t2/plant/w/{gone.endpoint}")
            async with open_engine(gone) as other:
                assert await joined(engine) == [other.node]
            assert await left(engine) == other.node
            await trio.to_thread.run_sync(questions.recv, abandon_on_cancel=True)
