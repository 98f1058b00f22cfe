"""What the browsers that watch are told: the newest moment of the bus, once a second, as long as anybody watches.

::

    with feed.watching():
        news = await feed.next(None)
        while True:
            show(news.text)
            news = await feed.next(news)

There is one newest moment for all, so nothing waits for a browser that is slow: it is told the newest when it is ready
again, and never what was in between.

The law of this module: at most a tenth of the time is spent on looking; where a look takes long, the next one is later.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import trio
from attrs import define, field, frozen

from ..disconnected import Disconnected
from ..errors import BusError, PermissionDenied
from .glances import FRESH
from .snapshot import document

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from .glances import Looking

Piece = TypeVar("Piece")

WATCHERS: Final = 16
"""Browsers that may watch at once."""

PATIENCE: Final = 10.0
"""Seconds that a look may take. A scrape of Prometheus takes as long at most, unless it is configured."""

LATE: Final = f"the bus did not answer within {PATIENCE:g} s"

_REST: Final = 9
"""How much longer than a look is the pause behind it."""


@frozen(eq=False)
class News:
    """A moment, as JSON in one line."""

    text: str


async def moment(looking: Looking) -> str:
    """Return the document of this moment, made in turns. Raises as ``client.request``."""
    over = await looking.overview()
    return "".join(await in_turns(document(over, await looking.details(over))))


async def in_turns(pieces: Iterable[Piece]) -> list[Piece]:
    """Return the pieces; others have a turn while each is made."""
    made = []
    for piece in pieces:
        made.append(piece)
        await trio.lowlevel.checkpoint()
    return made


@define(eq=False)
class Feed:
    """The newest moment, for whoever watches."""

    _looking: Looking
    watchers: int = field(default=0, init=False)
    _newest: News | None = field(default=None, init=False)
    _somebody: trio.Event = field(factory=trio.Event, init=False)
    """Set while somebody watches."""
    _news: trio.Event = field(factory=trio.Event, init=False)
    """Set, and replaced, when there is a newer moment."""

    @property
    def is_full(self) -> bool:
        """Whether as many watch as may."""
        return self.watchers >= WATCHERS

    @contextmanager
    def watching(self) -> Generator[None, None, None]:
        """Have the bus looked at while the body runs."""
        self.watchers += 1
        self._somebody.set()
        try:
            yield
        finally:
            self.watchers -= 1
            if not self.watchers:
                self._somebody, self._newest = trio.Event(), None

    async def next(self, known: News | None) -> News:
        """Wait for a newer moment than the one that is known, and return the newest."""
        while self._newest is None or self._newest is known:
            await self._news.wait()
        return self._newest

    async def run(self) -> None:
        """Look at the bus while somebody watches, until cancelled.

        Raises:
          Disconnected: the connection to the bus has ended.

        """
        while True:
            await self._somebody.wait()
            begun = trio.current_time()
            news = News(await self._look())
            if self.watchers:
                self._newest = news
                self._news.set()
                self._news = trio.Event()
            await trio.sleep(max(FRESH, _REST * (trio.current_time() - begun)))

    async def _look(self) -> str:
        """Return the document of this moment, or one that says why there is none."""
        try:
            with trio.move_on_after(PATIENCE):
                return await moment(self._looking)
        except Disconnected:
            raise
        except BusError as error:
            return json.dumps({"error": remedy(error)})
        return json.dumps({"error": LATE})


def remedy(error: BusError) -> str:
    """Return what to tell who looks, where the bus refuses to be looked at."""
    if isinstance(error, PermissionDenied):
        return f'{error}. The access rules have to let the monitor ask: [identity.local] request = ["bus/*"]'
    return str(error)
