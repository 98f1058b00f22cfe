"""One moment of a bus, with rates from the moment before.

::

    first = overview(status, clients, members, at=10.0, before=None)
    second = overview(status, clients, members, at=11.0, before=first)
    second.rates["published"]  # publications a second between them

An :class:`Overview` is what metrics need, :class:`Details` what the page shows beside it: both come from the bus page
by page, and a scrape does not pay for what only people look at.

The law of this module: values only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
from attrs import frozen

from ..broker.statistics import BusCounts, Counters
from ..status import Status, SubscriptionStatus
from .entries import Listed, shown

COUNTERS: Final = tuple(each.name for each in attrs.fields(Counters))
"""What the bus counts, and never less than before."""

GAUGES: Final = tuple(each.name for each in attrs.fields(BusCounts) if each.name not in COUNTERS)
"""What there is in the bus."""


_AMONG: Final = ("bus", "name", "node", "min_members", "takes_claims")
"""What a server is among others."""


@frozen(eq=False)
class Overview:
    """The bus, its clients and its other servers."""

    at: float
    status: Status
    rates: Mapping[str, float | None]
    """Of each of :data:`COUNTERS`, a second; None where nothing is known of a moment before."""
    clients: Listed
    members: Listed


@frozen(eq=False)
class Details:
    """What else people look at."""

    services: Listed
    topics: Listed
    lag: Sequence[SubscriptionStatus]
    """Subscriptions that have missed something, or for which something is held."""


def overview(status: Status, clients: Listed, members: Listed, at: float, before: Overview | None) -> Overview:
    """Return the moment ``at``, with rates since another one if there is one."""
    rates: dict[str, float | None] = dict.fromkeys(COUNTERS)
    if before is not None and at > before.at:
        for name in COUNTERS:
            rates[name] = max(0, getattr(status, name) - getattr(before.status, name)) / (at - before.at)
    return Overview(at, status, rates, clients, members)


def document(over: Overview, details: Details) -> Iterator[str]:
    """Give what ``/status.json`` and the page are told, in pieces that together are one object of JSON in one line."""
    status = over.status
    head = {
        "version": status.version,
        "process": status.process,
        "age": status.age,
        "addresses": [shown(address) for address in status.addresses],
        **{name: shown(getattr(status, name)) for name in _AMONG},
        "counts": {name: getattr(status, name) for name in (*GAUGES, *COUNTERS)},
        "rates": over.rates,
    }
    yield json.dumps(head)[:-1]
    lists = {"clients": over.clients, "members": over.members, "services": details.services, "topics": details.topics}
    for name, listed in lists.items():
        yield f', "{name}": {json.dumps({"total": listed.total, "rows": listed.rows})}'
    lag: list[dict[str, Any]] = [
        {name: shown(value) for name, value in attrs.asdict(each).items()} for each in details.lag
    ]
    yield f', "lag": {json.dumps({"total": len(lag), "rows": lag})}}}'
