"""Looking at all servers of a bus, through the one that a client is connected to.

::

    looks = Everywhere(client, VIEWS["clients"])
    rows = await looks.next()  # of all servers, each row with its place
    for failure in looks.failures:
        print(failure)         # the server 'south' is not shown: that server has not answered within 10 s: …

All are asked at once, so one that hangs keeps the others waiting for ``patience``, and no longer.

The law of this module: a server that does not answer takes nothing from what the others have said.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import trio
from attrs import define, evolve, field, frozen

from .. import status
from ..disconnected import Disconnected
from ..errors import BusError, ConnectFailed, PermissionDenied, RequestTimeout, ServiceGone, ServiceNotFound
from ..text import quote
from .exits import Exit
from .looks import PATIENCE, Looks, asked

if TYPE_CHECKING:
    from ..client.client import Client
    from .views import Seen, View


@frozen
class Unanswered:
    """A server of which nothing is known, and why."""

    server: str
    """What it is called."""
    error: BusError

    def __str__(self) -> str:
        """Return it as a sentence."""
        return f"the server {quote(self.server)} is not shown: {self.error}"

    @property
    def code(self) -> Exit:
        """The exit code of a command that lacks it."""
        match self.error:
            case RequestTimeout():
                return Exit.TIMEOUT
            case ServiceGone() | ServiceNotFound():  # it has left meanwhile
                return Exit.UNREACHABLE
            case _:
                return Exit.ERROR


@define(eq=False)
class Everywhere:
    """Looks at one view of each server; where the bus has one server alone, they are those of :class:`.Looks`."""

    client: Client
    view: View
    patience: float = PATIENCE
    failures: list[Unanswered] = field(factory=list, init=False)
    """The servers that have not answered at the last look."""
    due: float = field(default=-math.inf, init=False)
    """When the next look is to be, by Trio's clock."""
    _looks: dict[str, Looks] = field(factory=dict, init=False)
    """By node, "" where there are no others."""

    async def next(self) -> list[Seen]:
        """Look, and return what there is at each server that has answered, server by server, as :meth:`.Looks.next`.

        Raises:
          BusError: this client may not ask, has lost the bus, or the server that it is connected to does not answer.

        """
        servers = await self._servers()
        view = self.view if self.view.ask_each is None else evolve(self.view, ask=self.view.ask_each)
        self._looks = {
            node: self._looks.get(node) or Looks(self.client, view if node else self.view, node or None, self.patience)
            for node in servers
        }
        found: dict[str, list[Seen] | BusError] = {}
        async with trio.open_nursery() as nursery:
            for node, looks in self._looks.items():
                nursery.start_soon(_look, node, looks, found)
        self.due = max(each.due for each in self._looks.values())
        return self._sorted(servers, found)

    async def _servers(self) -> dict[str, str]:
        """Return what the servers are called, by node; the one that is asked stands first."""
        own = await asked(self.client, status.status, self.patience)
        if not own.node:
            return {"": ""}
        others = await asked(self.client, status.members, self.patience)
        return {own.node: own.name, **{each.node: each.name for each in others}}

    def _sorted(self, servers: dict[str, str], found: dict[str, list[Seen] | BusError]) -> list[Seen]:
        self.failures = []
        rows: list[Seen] = []
        called = _called(servers)
        for node in sorted(servers, key=lambda node: (servers[node], node)):
            match found[node]:
                case PermissionDenied() | Disconnected() | ConnectFailed() as error:
                    raise error
                case BusError() as error if node:
                    self.failures.append(Unanswered(called[node], error))
                case BusError() as error:
                    raise error
                case seen:
                    place = {"server": called[node], "node": node} if node else {}
                    rows += [evolve(each, place=place) for each in seen]
        return rows


async def _look(node: str, looks: Looks, found: dict[str, list[Seen] | BusError]) -> None:
    try:
        found[node] = await looks.next()
    except BusError as error:
        found[node] = error


def _called(servers: dict[str, str]) -> dict[str, str]:
    """Return what tells each server from all others: its name, or its node where another has the same name."""
    names = Counter(servers.values())
    return {node: name if names[name] == 1 else node for node, name in servers.items()}
