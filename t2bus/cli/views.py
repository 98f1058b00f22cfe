"""What can be looked at on a bus: clients, services, subscriptions, topics and other servers, each with its columns.

::

    view = VIEWS["clients"]
    before, after = await view.ask(client), await view.ask(client)
    for row in rows(view, after, before, seconds=1.0):
        print(row.entry.name, row.rates["received"])

The bus only counts. How much there is in a second is told by two looks at it: :func:`rows` sets one against the other.

The law of this module: all that is known of a view stands in its row of the table; the verbs and the live screen have
no case for one of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import asdict, field, frozen

from .. import status
from .figures import Unit, show
from .table import Column

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from ..client.client import Client


@frozen
class TrafficStatus:
    """One moment of a topic that is published to, or of one that is served."""

    kind: str
    """``topic`` or ``service``."""
    topic: str
    messages: int
    """Publications, or requests."""
    bytes: int | None
    age: float | None
    """Seconds since the last publication."""
    name: str | None
    """Of who serves it."""


class AskFunction(Protocol):
    """Asks a bus for all things of a kind, or the server of it that has this node or name."""

    def __call__(self, client: Client, /, *, server: str | None = None) -> Awaitable[Sequence[Any]]:
        """Return them; None is the server that the client is connected to."""
        ...


@frozen
class View:
    """One kind of things that a bus has."""

    title: str
    none: str
    """What is said if there are none."""
    ask: AskFunction
    identity: tuple[str, ...]
    """The attributes that tell the same thing in two looks."""
    order: tuple[str, ...]
    """The attributes by which it is sorted."""
    counts: tuple[str, ...]
    """The attributes that only go up, which have rates."""
    columns: tuple[Column, ...]
    ask_each: AskFunction | None = None
    """What is asked where all servers are, if ``ask`` gives what is at other servers too."""

    def columns_with(self, *, rates: bool) -> list[Column]:
        """Return all columns, or those that need no rates."""
        return [column for column in self.columns if rates or not column.per_second]


@frozen
class Seen:
    """An entry of a view, and what it does in a second."""

    entry: Any
    rates: Mapping[str, float] | None
    """By the name of the attribute; None where there was no look before."""
    is_changed: bool = field(default=True)
    """Whether it has counted anything since that look, or was not there."""
    place: Mapping[str, str] = field(factory=dict)
    """Where all servers were asked: the ``server`` that has said it, by its name, and the ``node`` of that."""

    def value(self, column: Column) -> Any:
        """Return what stands in a column."""
        if column.field in self.place:
            return self.place[column.field]
        if column.per_second:
            return None if self.rates is None else self.rates.get(column.field)
        return getattr(self.entry, column.field)

    def cells(self, columns: Iterable[Column], *, human: bool) -> list[str]:
        """Return the text of each cell."""
        return [show(self.value(column), column.unit, human=human) for column in columns]

    def document(self) -> dict[str, Any]:
        """Return what JSON shows: all attributes, and the rates as ``NAME_per_second``; times to the millisecond."""
        rates = {f"{name}_per_second": rate for name, rate in (self.rates or {}).items()}
        members = (dict(self.place) | asdict(self.entry) | rates).items()
        return {name: round(each, 3) if isinstance(each, float) else each for name, each in members}


def rows(view: View, after: Sequence[Any], before: Sequence[Any] | None, seconds: float) -> list[Seen]:
    """Return the entries of the second look in the order of the view, with rates if there was a first one.

    What was not there at the first look has begun since, with nothing.
    """
    in_order = sorted(_keyed(view, after), key=lambda pair: _order(view, pair[1]))
    if before is None:
        return [Seen(entry, None) for _, entry in in_order]
    earlier = dict(_keyed(view, before))
    return [_rated(view, entry, earlier.get(key), seconds) for key, entry in in_order]


def _order(view: View, entry: Any) -> tuple[Any, ...]:
    return tuple(getattr(entry, name) for name in view.order)


def _keyed(view: View, entries: Iterable[Any]) -> Iterator[tuple[Hashable, Any]]:
    """Give each entry with what tells it from all others: two subscriptions of a client may have the same topic."""
    seen: Counter[Hashable] = Counter()
    identity = attrgetter(*view.identity)
    for entry in entries:
        key = identity(entry)
        seen[key] += 1
        yield (key, seen[key]), entry


def _rated(view: View, entry: Any, earlier: Any, seconds: float) -> Seen:
    rates, is_changed = {}, earlier is None
    for name in view.counts:
        now, then = getattr(entry, name), getattr(earlier, name, 0)
        if now is None:
            continue
        # What is less than it was has been forgotten meanwhile, and was counted anew.
        grown = now - then if now >= then else now
        is_changed |= grown > 0
        rates[name] = grown / seconds
    return Seen(entry, rates, is_changed)


async def _status(client: Client, *, server: str | None = None) -> list[status.Status]:
    return [await status.status(client, server=server)]


async def _traffic(client: Client, *, server: str | None = None) -> list[TrafficStatus]:
    """Return the topics that are published to, and those that are served."""
    return _listed(await status.topics(client, server=server), await status.services(client, server=server))


async def _traffic_of_one(client: Client, *, server: str | None = None) -> list[TrafficStatus]:
    """Return the same without the topics that other servers serve."""
    served = [each for each in await status.services(client, server=server) if not each.server]
    return _listed(await status.topics(client, server=server), served)


def _listed(topics: Iterable[status.TopicStatus], services: Iterable[status.ServiceStatus]) -> list[TrafficStatus]:
    published = [TrafficStatus("topic", each.topic, each.messages, each.bytes, each.age, None) for each in topics]
    served = [TrafficStatus("service", each.topic, each.calls, None, None, each.name) for each in services]
    return [*published, *served]


_NAME: Final = Column("NAME", "name")
_IDENTITY: Final = Column("IDENTITY", "identity")
_TOPIC: Final = Column("TOPIC", "topic")

SERVER: Final = Column("SERVER", "server")
"""Stands first where all servers were asked."""

VIEWS: Final = {
    "status": View(
        "bus",
        "",
        _status,
        identity=("process",),
        order=("process",),
        counts=("published", "delivered", "dropped", "requests"),
        columns=(
            Column("version", "version"),
            Column("process", "process"),
            Column("age", "age", Unit.SECONDS),
            Column("addresses", "addresses"),
            Column("bus", "bus"),
            Column("server", "name"),
            Column("node", "node"),
            Column("takes claims", "takes_claims"),
            Column("min members", "min_members", Unit.COUNT),
            Column("other servers", "members", Unit.COUNT),
            Column("connections", "connections", Unit.COUNT),
            Column("subscriptions", "subscriptions", Unit.COUNT),
            Column("services", "services", Unit.COUNT),
            Column("requests pending", "requests_pending", Unit.COUNT),
            Column("published", "published", Unit.COUNT),
            Column("delivered", "delivered", Unit.COUNT),
            Column("dropped", "dropped", Unit.COUNT),
            Column("requests", "requests", Unit.COUNT),
            Column("bytes waiting", "buffered_bytes", Unit.BYTES),
            Column("deliveries held", "deliveries_held", Unit.COUNT),
            Column("refused", "refused", Unit.COUNT),
            Column("denied", "denied", Unit.COUNT),
            Column("violations", "violations", Unit.COUNT),
        ),
    ),
    "clients": View(
        "clients",
        "nobody is connected",
        status.clients,
        identity=("id",),
        order=("name", "id"),
        counts=("received", "sent", "received_bytes", "sent_bytes"),
        columns=(
            _NAME,
            _IDENTITY,
            Column("IN/S", "received", Unit.COUNT, per_second=True),
            Column("OUT/S", "sent", Unit.COUNT, per_second=True),
            Column("BYTES-IN/S", "received_bytes", Unit.BYTES, per_second=True),
            Column("BYTES-OUT/S", "sent_bytes", Unit.BYTES, per_second=True),
            Column("WAITING", "waiting_bytes", Unit.BYTES),
            Column("DROPPED", "dropped", Unit.COUNT),
            Column("SUBS", "subscriptions", Unit.COUNT),
            Column("SERVICES", "services", Unit.COUNT),
            Column("AGE", "age", Unit.SECONDS),
            Column("IN", "received", Unit.COUNT),
            Column("OUT", "sent", Unit.COUNT),
            Column("WIRE", "wire"),
            Column("ADDRESS", "address"),
        ),
    ),
    "services": View(
        "services",
        "nobody serves anything",
        status.services,
        identity=("client", "topic"),
        order=("topic",),
        counts=("calls",),
        columns=(
            _TOPIC,
            _NAME,
            _IDENTITY,
            Column("CALLS/S", "calls", Unit.COUNT, per_second=True),
            Column("PENDING", "pending", Unit.COUNT),
            Column("WINDOW", "window", Unit.COUNT),
            Column("CALLS", "calls", Unit.COUNT),
            Column("SERVER", "server"),
        ),
    ),
    "subs": View(
        "subscriptions",
        "nobody subscribes to anything",
        status.subscriptions,
        identity=("client", "topic"),
        order=("topic", "name", "client"),
        counts=("delivered", "dropped"),
        columns=(
            _TOPIC,
            _NAME,
            _IDENTITY,
            Column("MSGS/S", "delivered", Unit.COUNT, per_second=True),
            Column("DROPPED/S", "dropped", Unit.COUNT, per_second=True),
            Column("FREE", "free", Unit.COUNT),
            Column("WINDOW", "window", Unit.COUNT),
            Column("HELD", "held", Unit.COUNT),
            Column("DROPPED", "dropped", Unit.COUNT),
            Column("MSGS", "delivered", Unit.COUNT),
        ),
    ),
    "ls": View(
        "topics",
        "nothing was published lately, and nobody serves anything",
        _traffic,
        identity=("kind", "topic"),
        order=("topic", "kind"),
        counts=("messages", "bytes"),
        columns=(
            Column("KIND", "kind"),
            _TOPIC,
            Column("MSGS/S", "messages", Unit.COUNT, per_second=True),
            Column("BYTES/S", "bytes", Unit.BYTES, per_second=True),
            Column("MSGS", "messages", Unit.COUNT),
            Column("BYTES", "bytes", Unit.BYTES),
            Column("AGO", "age", Unit.SECONDS),
            Column("SERVED-BY", "name"),
        ),
        ask_each=_traffic_of_one,
    ),
    "members": View(
        "servers",
        "no other server is connected",
        status.members,
        identity=("id",),
        order=("name", "id"),
        counts=("received", "sent", "received_bytes", "sent_bytes"),
        columns=(
            _NAME,
            Column("NODE", "node"),
            Column("IN/S", "received", Unit.COUNT, per_second=True),
            Column("OUT/S", "sent", Unit.COUNT, per_second=True),
            Column("BYTES-IN/S", "received_bytes", Unit.BYTES, per_second=True),
            Column("BYTES-OUT/S", "sent_bytes", Unit.BYTES, per_second=True),
            Column("UNACKED", "unacknowledged", Unit.COUNT),
            Column("WAITING", "waiting_bytes", Unit.BYTES),
            Column("HELD", "held", Unit.COUNT),
            Column("DROPPED", "dropped", Unit.COUNT),
            Column("GROUPS", "groups", Unit.COUNT),
            Column("SERVICES", "services", Unit.COUNT),
            Column("HEARD", "heard", Unit.SECONDS),
            Column("AGE", "age", Unit.SECONDS),
            Column("IN", "received", Unit.COUNT),
            Column("OUT", "sent", Unit.COUNT),
        ),
    ),
}
"""By the verb that shows it."""
