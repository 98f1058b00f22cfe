"""What a bus says of itself: typed messages that any client may ask for and subscribe to, if access rules let it.

::

    async with t2bus.open_client("unix:my_bus") as client:
        print((await t2bus.status.status(client)).published)
        for each in await t2bus.status.clients(client):
            print(each.name, each.identity, each.received, each.sent)
        async with client.subscribe(t2bus.status.Event, "*") as events:
            async for _, event in events:
                print(event.kind, event.name, event.topic)

The topics are ``bus/status``, ``bus/clients``, ``bus/services``, ``bus/subscriptions``, ``bus/members`` and
``bus/topics`` for requests, and ``bus/event/…`` for events. They are the bus's own: nobody else serves them or
publishes there, and neither a subscription to ``**`` nor a publication to it meets them.

Of several servers that are one bus, each tells of its own clients; :func:`members` are the others, and each of them can
be asked through the one that the client is connected to::

    for server in await t2bus.status.members(client):
        print(server.name, await t2bus.status.clients(client, server=server.node))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from .broker.events import Event
from .broker.status import (
    Clients,
    ClientsRequest,
    ClientStatus,
    Members,
    MembersRequest,
    MemberStatus,
    Services,
    ServicesRequest,
    ServiceStatus,
    Status,
    StatusRequest,
    Subscriptions,
    SubscriptionsRequest,
    SubscriptionStatus,
    Topics,
    TopicsRequest,
    TopicStatus,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client.client import Client

__all__ = [
    "ClientStatus",
    "Clients",
    "ClientsRequest",
    "Event",
    "MemberStatus",
    "Members",
    "MembersRequest",
    "ServiceStatus",
    "Services",
    "ServicesRequest",
    "Status",
    "StatusRequest",
    "SubscriptionStatus",
    "Subscriptions",
    "SubscriptionsRequest",
    "TopicStatus",
    "Topics",
    "TopicsRequest",
    "clients",
    "members",
    "services",
    "status",
    "subscriptions",
    "topics",
]

Entry = TypeVar("Entry")


async def status(client: Client, *, server: str | None = None) -> Status:
    """Ask for the bus as a whole, as this server sees it, or the one that is named; as :func:`clients` does."""
    return await client.request("", StatusRequest(server or ""))


async def clients(client: Client, *, server: str | None = None) -> list[ClientStatus]:
    """Ask the bus for all its clients, in the order in which they came; of several servers, for those of one.

    It asks page by page: who comes or goes meanwhile is in the list or is not. Cancelled, it asks no more.

    Args:
      client: of whichever server.
      server: the name or the node of the server whose clients they are; None is the one where ``client`` is.

    Raises:
      ServiceNotFound: no server of the bus is called so, or several are, which their nodes tell from each other.
      ServiceGone: that server has left before it has answered.
      ServiceBusy: it is asked too much at once.
      PermissionDenied: the access rules where ``client`` is do not allow it.
      BusError: as :meth:`t2bus.Client.request`.

    """
    return await _all(client, ClientsRequest, lambda page: page.clients, server)


async def services(client: Client, *, server: str | None = None) -> list[ServiceStatus]:
    """Ask for all services of the bus, by client, those at other servers too; as :func:`clients` does."""
    return await _all(client, ServicesRequest, lambda page: page.services, server)


async def subscriptions(client: Client, *, server: str | None = None) -> list[SubscriptionStatus]:
    """Ask for all subscriptions of a server's clients, by client; as :func:`clients` does."""
    return await _all(client, SubscriptionsRequest, lambda page: page.subscriptions, server)


async def members(client: Client, *, server: str | None = None) -> list[MemberStatus]:
    """Ask for the servers that one is connected with, in the order in which they joined; as :func:`clients` does."""
    return await _all(client, MembersRequest, lambda page: page.members, server)


async def topics(client: Client, *, server: str | None = None) -> list[TopicStatus]:
    """Ask for the topics that were published to lately, in the order of the alphabet; as :func:`clients` does.

    Each server counts the publications that reach it, those of its own clients and those from other servers.
    """
    return await _all(client, TopicsRequest, lambda page: page.topics, server)


async def _all(
    client: Client, request: Callable[..., Any], entries: Callable[[Any], list[Entry]], server: str | None
) -> list[Entry]:
    found: list[Entry] = []
    page = await client.request("", request(server=server or ""))
    while page.next is not None:
        found += entries(page)
        page = await client.request("", request(page.next, server=server or ""))
    return found + entries(page)
