"""Looking at a bus again and again, so that it is seen what it does in a second.

::

    looks = Looks(client, VIEWS["clients"])
    await looks.next()                        # no rates yet
    await trio.sleep_until(looks.due)
    rows = await looks.next()                 # with the rates since

A list of 10,000 clients takes both ends a good part of a second, so it is not looked at each second.

The law of this module: whoever asks a bus that does not answer is told so, in one sentence, and in bounded time; and at
most a fifth of the time is spent on asking.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio
from attrs import define, field

from .. import status
from ..errors import BusError, PermissionDenied, RequestTimeout, ServiceNotFound
from ..text import quote
from .views import Seen, View, rows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..client.client import Client

Answer = TypeVar("Answer")

INTERVAL: Final = 1.0
"""Seconds from one look to the next one, at least."""

_REST: Final = 4
"""How much longer than a look is the pause behind it, at least."""

PATIENCE: Final = 10.0
"""Seconds in which a bus has to answer all pages of a list: it answers at once, however busy it is."""

_OTHER_BUS: Final = (
    "this bus does not answer about itself: it is older than t2bus.status, or one of the Rust crate t2_bus"
)

_RIGHT: Final = 'the access rules of the bus have to allow it, as request = ["bus/*"] does'


async def asked(
    client: Client,
    ask: Callable[[Client], Awaitable[Answer]],
    patience: float = PATIENCE,
    *,
    server: str | None = None,
) -> Answer:
    """Return what a bus answers about itself, or one of its servers, which ``ask`` names as ``server`` does.

    Raises:
      ServiceNotFound: it is one that does not, or it has no such server; the text says so.
      PermissionDenied: its access rules do not let this client ask; the text says which rule would.
      RequestTimeout: it has not answered in time.
      BusError: as ``client.request``.

    """
    with trio.move_on_after(patience):
        try:
            return await ask(client)
        except ServiceNotFound as error:
            if server is None:
                raise ServiceNotFound(_OTHER_BUS) from error
            not_found = error
        except PermissionDenied as error:
            raise PermissionDenied(f"{error}: {_RIGHT}") from error
        raise ServiceNotFound(f"{not_found}{await _names_beside(client, server)}") from not_found
    who = "the bus" if server is None else "that server"
    raise RequestTimeout(f"{who} has not answered within {patience:g} s: it hangs, or the network does")


async def _names_beside(client: Client, server: str) -> str:
    """Return what servers there are, for an error about one that there is not; nothing where that is not the reason."""
    try:
        names = [(await status.status(client)).name, *(each.name for each in await status.members(client))]
    except BusError:
        return ""
    return "" if server in names else f": there are {', '.join(sorted({quote(name) for name in names if name}))}"


@define(eq=False)
class Looks:
    """Looks at one view through one client, at the server where it is or at the one that is named."""

    client: Client
    view: View
    server: str | None = None
    patience: float = PATIENCE
    _before: Sequence[Any] | None = field(default=None, init=False)
    _at: float = field(default=0.0, init=False)
    due: float = field(default=-math.inf, init=False)
    """When the next look is to be, by Trio's clock."""

    async def next(self) -> list[Seen]:
        """Look, and return what there is, with what it did in each second since the last look. Raises: as asked()."""
        begun = trio.current_time()
        ask = partial(self.view.ask, server=self.server)
        found = await asked(self.client, ask, self.patience, server=self.server)
        now = trio.current_time()
        self.due = max(begun + INTERVAL, now + _REST * (now - begun))
        seen = rows(self.view, found, self._before, max(now - self._at, 0.001))
        self._before, self._at = found, now
        return seen
