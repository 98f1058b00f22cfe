"""What Prometheus reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from t2bus.monitor.entries import MEMBERS, SHOWN, Listed, Listing
from t2bus.monitor.metrics import exposition, families
from t2bus.monitor.snapshot import COUNTERS, GAUGES, Overview, overview
from t2bus.status import ClientStatus, MemberStatus, Status
from test_monitor_entries import client, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client import Metric

DOCUMENT = Path(__file__).parents[1] / "docs" / "monitor.md"
DASHBOARD = DOCUMENT.with_name("monitor-grafana.json")

_METRIC = re.compile(r"t2bus_\w+")


MEMBER = MemberStatus(
    id=3, name="north", node="4f1d", age=1.0, heard=0.5, received=5, received_bytes=50, sent=0, sent_bytes=0,
    unacknowledged=2, waiting_bytes=0, held=0, dropped=7, groups=0, services=0, requests=0, calls=0,
)  # fmt: skip


def members_listed(*members: MemberStatus) -> Listed:
    listing = Listing(MEMBERS, 0.0, None)
    listing.add(members)
    return listing.end()


def moment(*clients: ClientStatus, members: Sequence[MemberStatus] = (), before: Listed | None = None) -> Overview:
    counts: dict[str, Any] = dict.fromkeys((*GAUGES, *COUNTERS), 0) | {"connections": len(clients), "published": 7}
    status = Status(version="1.2.3", process=1, age=4.5, addresses=[], **counts)
    return overview(status, listed(*clients, before=before), members_listed(*members), 0.0, None)


def parsed(over: Overview) -> dict[str, Metric]:
    text = b"".join(exposition(over)).decode()
    return {metric.name: metric for metric in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]


def test_every_count_of_the_bus_is_a_metric() -> None:
    """Whatever the bus counts is a metric of its name, and Prometheus's own parser reads all of them."""
    found = parsed(moment(client(1)))
    assert [name for name in (*GAUGES, *COUNTERS) if f"t2bus_{name}" not in found] == []
    assert {found[f"t2bus_{name}"].type for name in COUNTERS} == {"counter"}
    assert [(sample.name, sample.value) for sample in found["t2bus_published"].samples] == [
        ("t2bus_published_total", 7)
    ]


def test_every_count_of_a_client_is_a_metric() -> None:
    """The counters of clients have name, identity and id as labels."""
    samples = parsed(moment(client(3, 5, name="oven", identity="uid:7")))["t2bus_client_received_messages"].samples
    assert [(sample.labels, sample.value) for sample in samples] == [
        ({"client": "oven", "identity": "uid:7", "id": "3"}, 5),
        ({"client": "other", "identity": "", "id": ""}, 0),
    ]


def test_every_other_server_has_metrics() -> None:
    """The figures of other servers have name, node and id as labels, those of more than are shown one sum."""
    found = parsed(moment(members=[MEMBER]))
    (received, other), (waiting,) = (found[f"t2bus_member_{name}"].samples for name in ("dropped", "unacknowledged"))
    assert (received.labels, received.value) == ({"server": "north", "node": "4f1d", "id": "3"}, 7)
    assert (other.labels, other.value) == ({"server": "other", "node": "", "id": ""}, 0)
    assert (waiting.labels["server"], waiting.value) == ("north", 2)


def test_a_hostile_name_is_a_label_and_nothing_else() -> None:
    """A name with quotes, line ends and control characters makes no line, no label and no metric of its own."""
    name = 'a"} 1\nt2bus_published_total 9\r\\n\x00\u2028# EOF\n\ud800'
    found = parsed(moment(client(1, name=name, identity=name)))
    first, other = found["t2bus_client_received_messages"].samples
    assert first.labels["client"].startswith('a"} 1\\nt2bus_published_total')
    assert other.labels["client"] == "other"
    assert found["t2bus_published"].samples[0].value == 7


def test_the_series_of_clients_are_bounded() -> None:
    """However many clients there are, the busiest have series of their own, and the others one together."""
    found = parsed(moment(*(client(number, 1) for number in range(SHOWN + 30))))
    samples = found["t2bus_client_received_messages"].samples
    assert len(samples) == SHOWN + 1
    assert (samples[-1].labels["client"], samples[-1].value) == ("other", 30)


def test_a_client_that_calls_itself_other_is_not_the_others() -> None:
    """Who calls itself ``other`` has its id beside that, so that the text stays without doubles."""
    found = parsed(moment(client(1, 1, name="other", identity="")))
    assert [sample.labels["id"] for sample in found["t2bus_client_received_messages"].samples] == ["1", ""]


def test_the_documentation_lists_every_metric() -> None:
    """The table in the documentation is what the code says: names, types and meanings."""
    ends = {"counter": "_total", "info": "_info", "gauge": ""}
    rows = [
        f"| `{metric.name}{ends[metric.type]}` | {metric.type} | {metric.documentation} |"
        for metric in families(moment())
    ]
    assert re.findall(r"^\| `t2bus_.*$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE) == rows


def test_the_dashboard_asks_for_what_there_is() -> None:
    """Every metric in the dashboard for Grafana is one that the monitor gives."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = {
        name for panel in dashboard["panels"] for each in panel["targets"] for name in _METRIC.findall(each["expr"])
    }
    given = {sample.name for metric in families(moment(client(1), members=[MEMBER])) for sample in metric.samples}
    assert asked
    assert asked <= given


def test_an_overview_has_the_rates_of_the_bus() -> None:
    """The rates of the bus are the differences of its counters, and unknown where there is no moment before."""
    first = moment()
    assert set(first.rates.values()) == {None}
    later = overview(attrs.evolve(first.status, published=27), first.clients, first.members, 4.0, first)
    assert (later.rates["published"], later.rates["dropped"]) == (5.0, 0.0)
