"""One moment of a bus as metrics, in the text of OpenMetrics that Prometheus reads.

::

    # TYPE t2bus_published counter
    t2bus_published_total 4711.0
    # TYPE t2bus_client_received_messages counter
    t2bus_client_received_messages_total{client="oven",id="7",identity="uid:1000"} 12.0
    t2bus_client_received_messages_total{client="other",id="",identity=""} 99.0

The clients that have moved most have series of their own; the rest is summed under ``client="other"`` with an empty id,
which no client has. So a bus of any size has a bounded number of series at any time. Other servers of the bus likewise.

The law of this module: a function of one value; names are those of Prometheus's conventions, and are never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from .entries import CLIENTS, MEMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .entries import Counted, Listed
    from .snapshot import Overview

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_END: Final = b"# EOF\n"

_OF_CLIENTS: Final = ("client", "identity", "id")
_OF_MEMBERS: Final = ("server", "node", "id")
_OTHER: Final = ("other", "", "")

_Meaning = tuple[str, str]
"""The name of a metric, and what it means."""

_GAUGES: Final = {
    "connections": ("t2bus_connections", "Clients that are connected."),
    "members": ("t2bus_members", "Other servers of the bus that are connected."),
    "newcomers": ("t2bus_newcomers", "Peers that have connected and not said who they are yet."),
    "subscriptions": ("t2bus_subscriptions", "Subscriptions of all clients."),
    "services": ("t2bus_services", "Topics that are served."),
    "requests_pending": ("t2bus_requests_pending", "Requests that a service has and has not answered."),
    "deliveries_held": ("t2bus_deliveries_held", "Paced deliveries that wait for a subscriber."),
    "buffered_bytes": ("t2bus_buffered_bytes", "What waits to be written, or is held, over all clients."),
    "incoming_bytes": ("t2bus_incoming_bytes", "What has come of large frames that are not complete."),
}
_COUNTERS: Final = {
    "published": ("t2bus_published", "Publications accepted from clients."),
    "delivered": ("t2bus_delivered", "Deliveries made, one for each subscription."),
    "dropped": ("t2bus_dropped", "Deliveries dropped because a subscription did not keep up."),
    "requests": ("t2bus_requests", "Requests handed to a service."),
    "requests_busy": ("t2bus_requests_busy", "Requests refused because their service had enough."),
    "late_responses": ("t2bus_late_responses", "Responses that nobody waited for any more."),
    "violations": ("t2bus_violations", "Connections closed because of what their peer sent."),
    "refused": ("t2bus_refused", "Peers that were not let in."),
    "denied": ("t2bus_denied", "Operations that the access rules refused."),
    "withheld": ("t2bus_withheld", "Messages that Rust clients were not sent because they could not bear them."),
}
_CLIENT_COUNTERS: Final = {
    "received": ("t2bus_client_received_messages", "Publications, requests and answers that came from a client."),
    "received_bytes": ("t2bus_client_received_bytes", "The same in bytes."),
    "sent": ("t2bus_client_sent_messages", "Deliveries, requests and answers put on their way to a client."),
    "sent_bytes": ("t2bus_client_sent_bytes", "The same in bytes."),
}
_CLIENT_GAUGES: Final = {
    "waiting_bytes": ("t2bus_client_waiting_bytes", "What waits to be written to a client."),
    "held": ("t2bus_client_deliveries_held", "Paced deliveries that wait until a client takes what it has."),
    "dropped": ("t2bus_client_deliveries_missed", "Deliveries that the present subscriptions of a client have missed."),
}
_MEMBER_COUNTERS: Final = {
    "received": ("t2bus_member_received_messages", "Publications, requests and answers that came from a server."),
    "received_bytes": ("t2bus_member_received_bytes", "The same in bytes."),
    "sent": ("t2bus_member_sent_messages", "Publications, requests and answers put on their way to a server."),
    "sent_bytes": ("t2bus_member_sent_bytes", "The same in bytes."),
    "dropped": ("t2bus_member_dropped", "Publications that a server was not sent, as it did not keep up."),
}
_MEMBER_GAUGES: Final = {
    "unacknowledged": ("t2bus_member_unacknowledged", "Publications that a server has and has not counted yet."),
    "waiting_bytes": ("t2bus_member_waiting_bytes", "What waits to be written to a server."),
    "held": ("t2bus_member_publications_held", "Paced publications that wait until a server takes what it has."),
    "heard": ("t2bus_member_silence_seconds", "Seconds since a server was heard last."),
}


def exposition(over: Overview) -> Iterator[bytes]:
    """Give the text in pieces, each a metric that took 2 ms at most, and its end mark."""
    for metric in families(over):
        text: bytes = generate_latest(_Only(metric))  # type: ignore[no-untyped-call]
        yield text.removesuffix(_END)
    yield _END


@frozen
class _Only(Collector):
    """A registry of one metric, as prometheus-client asks for it."""

    _metric: Metric

    def collect(self) -> list[Metric]:
        """Return it."""
        return [self._metric]


def families(over: Overview) -> Iterator[Metric]:
    """Give each metric with its samples, in the order of the documentation."""
    status = over.status
    yield InfoMetricFamily("t2bus_build", "The version of t2bus.", value={"version": status.version})
    yield GaugeMetricFamily("t2bus_uptime_seconds", "Seconds since the bus opened.", value=status.age)
    for field, (name, text) in _GAUGES.items():
        yield GaugeMetricFamily(name, text, value=getattr(status, field))
    for field, (name, text) in _COUNTERS.items():
        yield CounterMetricFamily(name, text, value=getattr(status, field))
    yield from _each(_OF_CLIENTS, CLIENTS, over.clients, _CLIENT_COUNTERS, _CLIENT_GAUGES)
    yield from _each(_OF_MEMBERS, MEMBERS, over.members, _MEMBER_COUNTERS, _MEMBER_GAUGES)


def _each(
    labels: tuple[str, str, str],
    kind: Counted,
    listed: Listed,
    counters: Mapping[str, _Meaning],
    gauges: Mapping[str, _Meaning],
) -> Iterator[Metric]:
    """Give the metrics of the entries of a list, each with its name under the first of these labels."""
    _, who, number = labels
    of = [((row["name"], row[who], str(row[number])), row) for row in listed.rows]
    for field, (name, text) in counters.items():
        counter = CounterMetricFamily(name, text, labels=labels)
        for names, row in of:
            counter.add_metric(names, row[field])
        counter.add_metric(_OTHER, listed.others[kind.counted.index(field)])
        yield counter
    for field, (name, text) in gauges.items():
        gauge = GaugeMetricFamily(name, text, labels=labels)
        for names, row in of:
            gauge.add_metric(names, row[field])
        yield gauge
