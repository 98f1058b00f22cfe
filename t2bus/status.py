"""What a bus says of itself: typed messages that any client may ask for and subscribe to, if access rules let it.

::

    async with t2bus.open_client("unix:my_bus") as client:
        status = await client.request("", t2bus.status.StatusRequest())
        for each in await t2bus.status.clients(client):
            print(each.name, each.identity, each.received, each.sent)
        async with client.subscribe(t2bus.status.Event, "*") as events:
            async for _, event in events:
                print(event.kind, event.name, event.topic)

The topics are ``bus/status``, ``bus/clients``, ``bus/services``, ``bus/subscriptions``, ``bus/members`` and
``bus/topics`` for requests, and ``bus/event/…`` for events. They are the bus's own: nobody else serves them or
publishes there, and neither a subscription to ``**`` nor a publication to it meets them.

Of several servers that are one bus, each tells of its own clients; :func:`members` are the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from .broker.status import (
    Clients,
    ClientsRequest,
    ClientStatus,
    Event,
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
    "subscriptions",
    "topics",
]

Entry = TypeVar("Entry")


async def clients(client: Client) -> list[ClientStatus]:
    """Ask the bus for all its clients, in the order in which they came; of several servers, for those of this one.

    It asks page by page: who comes or goes meanwhile is in the list or is not. Cancelled, it asks no more.

    Raises: as :meth:`t2bus.Client.request`; ``PermissionDenied`` where access rules do not allow it, for one.
    """
    return await _all(client, ClientsRequest, lambda page: page.clients)


async def services(client: Client) -> list[ServiceStatus]:
    """Ask for all services of the bus, by client, those at other servers too; as :func:`clients` does."""
    return await _all(client, ServicesRequest, lambda page: page.services)


async def subscriptions(client: Client) -> list[SubscriptionStatus]:
    """Ask for all subscriptions of this server's clients, by client; as :func:`clients` does."""
    return await _all(client, SubscriptionsRequest, lambda page: page.subscriptions)


async def members(client: Client) -> list[MemberStatus]:
    """Ask for the other servers of the bus, in the order in which they joined; as :func:`clients` does."""
    return await _all(client, MembersRequest, lambda page: page.members)


async def topics(client: Client) -> list[TopicStatus]:
    """Ask for the topics that were published to lately, in the order of the alphabet; as :func:`clients` does."""
    return await _all(client, TopicsRequest, lambda page: page.topics)


async def _all(client: Client, request: Callable[..., Any], entries: Callable[[Any], list[Entry]]) -> list[Entry]:
    found: list[Entry] = []
    page = await client.request("", request())
    while page.next is not None:
        found += entries(page)
        page = await client.request("", request(page.next))
    return found + entries(page)
