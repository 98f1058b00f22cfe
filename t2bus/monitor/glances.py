"""Asking the bus what it is doing, page by page, once for all who want to know.

::

    looking = Looking(client)
    over = await looking.overview()
    details = await looking.details(over)

Between two pages the bus does what else there is to do, so that a look at many thousand clients holds nobody up.

The law of this module: whoever looks while somebody else does, or within a second of that, sees the same.
"""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, field

from .. import status as s
from ..disconnected import Disconnected
from .entries import CLIENTS, MEMBERS, SERVICES, SHOWN, TOPICS, Listing
from .snapshot import Details, Overview, overview

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..client.client import Client
    from .entries import Counted, Listed

FRESH: Final = 1.0
"""Seconds for which what was seen is not looked at again."""

_LAG_PAGES: Final = 10
"""Pages of subscriptions that one look takes, of the clients that are furthest behind."""


@define(eq=False)
class Looking:
    """A client of the bus that looks at it for others."""

    _client: Client
    lost: trio.Event = field(factory=trio.Event, init=False)
    """Set when the connection to the bus has ended."""
    _one_at_a_time: trio.Lock = field(factory=trio.Lock, init=False)
    _overview: Overview | None = field(default=None, init=False)
    _overview_done: float = field(default=0.0, init=False)
    _details: Details | None = field(default=None, init=False)
    _details_done: float = field(default=0.0, init=False)

    async def ask(self, request: Any) -> Any:
        """Ask the bus one thing; raises as ``client.request``."""
        try:
            return await self._client.request("", request)
        except Disconnected:
            self.lost.set()
            raise

    async def overview(self) -> Overview:
        """Return the bus, its clients and its other servers as they are, or were within a second; raises as
        :meth:`ask`.
        """
        async with self._one_at_a_time:
            before, at = self._overview, trio.current_time()
            if before is None or at - self._overview_done >= FRESH:
                status = await self.ask(s.StatusRequest())
                known = None if before is None else before.clients
                clients = await self._list(CLIENTS, s.ClientsRequest, lambda page: page.clients, known)
                known = None if before is None else before.members
                members = await self._list(MEMBERS, s.MembersRequest, lambda page: page.members, known)
                self._overview = overview(status, clients, members, at, before)
                self._overview_done = trio.current_time()
                return self._overview
            return before

    async def details(self, over: Overview) -> Details:
        """Return services, topics and lag, as :meth:`overview` does; the clients that lag are those of an overview."""
        async with self._one_at_a_time:
            if self._details is None or trio.current_time() - self._details_done >= FRESH:
                old = self._details
                known = None if old is None else old.services
                services = await self._list(SERVICES, s.ServicesRequest, lambda page: page.services, known)
                known = None if old is None else old.topics
                topics = await self._list(TOPICS, s.TopicsRequest, lambda page: page.topics, known)
                self._details = Details(
                    services, topics, await self._lag([number for (number,) in over.clients.lagging])
                )
                self._details_done = trio.current_time()
            return self._details

    async def _list(
        self, kind: Counted, request: Callable[..., Any], entries: Callable[[Any], Any], before: Listed | None
    ) -> Listed:
        listing = Listing(kind, trio.current_time(), before)
        page = await self.ask(request())
        while True:
            await trio.lowlevel.checkpoint()  # a page took 3 ms to decode, and 2 ms to add
            listing.add(entries(page))
            if page.next is None:
                return listing.end()
            page = await self.ask(request(page.next))

    async def _lag(self, clients: list[int]) -> list[s.SubscriptionStatus]:
        """Return the subscriptions of these clients that lag, as many as are shown.

        A page begins with one client and has others behind it, of which the last one may go on in the next page.
        """
        found: list[s.SubscriptionStatus] = []
        seen: set[int] = set()
        pages = 0
        for client in clients:
            if client in seen or pages == _LAG_PAGES:
                continue
            pages += 1
            page: s.Subscriptions = await self.ask(s.SubscriptionsRequest((client, 0)))
            last = None if page.next is None else page.next[0]
            whole = {each.client for each in page.subscriptions if each.client != last} | {client}
            fresh = whole - seen
            found += [each for each in page.subscriptions if each.client in fresh and (each.dropped or each.held)]
            seen |= whole
        return nlargest(SHOWN, found, key=lambda each: each.dropped + each.held)
