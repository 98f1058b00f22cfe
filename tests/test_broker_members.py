"""What a server says of the others of its bus, and what it counts where: its router alone, without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from broker_helpers import bus as bus_of
from fleet_helpers import Fleet, fleet
from pure_helpers import of_kind
from t2bus.broker.identity import Identity
from t2bus.errors import ProtocolViolation
from t2bus.protocol import decode, encode, prefix_of, response_type
from t2bus.status import (
    ClientsRequest,
    Event,
    MembersRequest,
    MemberStatus,
    ServicesRequest,
    Status,
    StatusRequest,
    SubscriptionsRequest,
)
from t2bus.wire import messages as m

if TYPE_CHECKING:
    from t2bus.broker.router import Router


def told(servers: Fleet, name: str, request: Any) -> Any:
    """What a server answers to a client of its own, who leaves then."""
    asker = servers.client(name)
    asker.request(prefix_of(type(request)), encode(request))
    (answer,) = of_kind(asker.read(), m.Response)
    asker.disconnect()
    assert isinstance(answer.payload, bytes)
    return decode(answer.payload, response_type(type(request)))


def member(servers: Fleet, name: str) -> MemberStatus:
    """What a server says of the only other one."""
    (only,) = told(servers, name, MembersRequest()).members
    assert isinstance(only, MemberStatus)
    return only


def news(router: Router) -> list[Event]:
    """What has happened since the last time, but that clients came, left and subscribed."""
    usual = ("connected", "left", "subscribed")
    return [event for event in router.take_events() if event.kind not in usual]


# --- who is a client


def test_other_servers_are_no_clients() -> None:
    """Another server is none of the clients of a server, of its connections and of its identities."""
    servers = fleet("x", "y")
    router = servers.servers["x"].router
    assert (router.connections.clients, router.statistics().connections, router.statistics().members) == (0, 0, 1)
    assert (router.statistics().identities, router.connections.of(Identity("server y"))) == ({}, 0)
    servers.client("x")
    assert (router.connections.clients, router.statistics().identities) == (1, {"anonymous": 1})
    # The one that asks.
    assert [each.identity for each in told(servers, "x", ClientsRequest()).clients] == ["anonymous"] * 2
    servers.part("x", "y")
    assert (router.connections.clients, router.statistics().members) == (1, 0)


def test_what_is_elsewhere_counts_there() -> None:
    """Subscriptions, services, publications, deliveries and requests each count at one server, so that sums hold."""
    servers = fleet("x", "y")
    here, there = servers.client("x"), servers.client("y")
    there.subscribe("a", messages=100, size=10_000)
    there.claim("s")
    servers.settle()
    here.publish("a")
    here.feed(m.PublishRun(here.next_operation() + 1, False, m.Run("a", [b"1", b"2"])))
    here.last_operation += 2
    here.request("s")
    servers.settle()
    x, y = (servers.servers[name].router.statistics() for name in "xy")
    counted = ("subscriptions", "services", "published", "delivered", "requests")
    assert [getattr(x, name) for name in counted] == [0, 0, 3, 0, 0]
    assert [getattr(y, name) for name in counted] == [1, 1, 0, 3, 1]
    assert told(servers, "x", SubscriptionsRequest()).subscriptions == []


def test_what_a_full_way_drops_counts_there() -> None:
    """What is missing at another server counts as dropped by the subscription over there, and is shown for the way."""
    servers = fleet("x", "y", subscription_messages=2)
    servers.client("y").subscribe("a", messages=100, size=10_000)
    servers.settle()
    publisher = servers.client("x")
    for _ in range(5):
        publisher.publish("a")
    (lagging,) = [event for event in news(servers.servers["x"].router) if event.kind == "lagging"]
    assert (lagging.server, lagging.topic, lagging.dropped) == ("y", "**", 1)
    assert (member(servers, "x").dropped, member(servers, "x").unacknowledged) == (3, 2)
    assert servers.servers["x"].router.statistics().dropped == 0
    servers.settle()
    assert servers.servers["y"].router.statistics().dropped == 3
    assert member(servers, "x").unacknowledged == 0


# --- what is told of other servers


def test_members_are_told_with_what_passes() -> None:
    """Of another server it is told what it has sent and was sent, what it subscribes to and serves, and since when."""
    servers = fleet("x", "y")
    here, there = servers.client("x"), servers.client("y")
    there.subscribe("a/b")
    there.subscribe("c")
    there.claim("s")
    servers.settle()
    here.publish("a/b", b"four")
    here.request("s", b"q")
    servers.settle()
    (call,) = of_kind(there.read(), m.Call)
    servers.now = 7.0
    at_x, at_y = member(servers, "x"), member(servers, "y")
    assert attrs.asdict(at_x) == {
        "id": 1,
        "name": "y",
        "node": "y",
        "age": 7.0,
        "heard": 7.0,
        "received": 0,
        "received_bytes": 0,
        "sent": 2,
        "sent_bytes": 9,
        "unacknowledged": 0,
        "waiting_bytes": 0,
        "held": 0,
        "dropped": 0,
        "groups": 2,
        "services": 1,
        "requests": 0,
        "calls": 1,
    }
    assert (at_y.received, at_y.received_bytes, at_y.requests, at_y.services) == (2, 9, 1, 0)
    there.feed(m.Respond(call.id, b"answer"))
    servers.settle()
    at_x, at_y = member(servers, "x"), member(servers, "y")
    assert (at_x.received, at_x.received_bytes, at_x.calls, at_x.heard) == (1, 6, 0, 0.0)
    assert (at_y.sent, at_y.sent_bytes, at_y.requests) == (1, 6, 0)


def test_members_come_in_pages() -> None:
    """Of more servers than a page has each is in one of the pages."""
    servers = fleet("hub")
    others = [f"s{number}" for number in range(130)]
    for name in others:
        servers.servers["hub"].router.join(name, Identity(f"server {name}"))
    first = told(servers, "hub", MembersRequest())
    second = told(servers, "hub", MembersRequest(first.next))
    assert (len(first.members), second.next) == (100, None)
    assert [each.node for each in (*first.members, *second.members)] == others


def test_a_service_elsewhere_is_told_with_its_server() -> None:
    """A service is listed at each server, with the node of the one where it is, and nothing at that one."""
    servers = fleet("x", "y")
    servers.client("y").claim("s")
    servers.settle()
    (far,), (near,) = (told(servers, name, ServicesRequest()).services for name in "xy")
    assert (far.topic, far.server, far.name, far.identity) == ("s", "y", "y", "server y")
    assert (near.topic, near.server, near.identity) == ("s", "", "anonymous")
    servers.part("x", "y")
    assert told(servers, "x", ServicesRequest()).services == []


def test_the_status_tells_what_this_server_is() -> None:
    """A server of several tells its node, and whether enough are here for claims; one that is alone tells neither."""
    servers = fleet("x", "y", least=2)
    said: Status = told(servers, "x", StatusRequest())
    assert (said.node, said.members, said.min_members, said.takes_claims) == ("x", 1, 2, True)
    servers.part("x", "y")
    said = told(servers, "x", StatusRequest())
    assert (said.members, said.takes_claims) == (0, False)
    said = told(Fleet({"alone": bus_of()}), "alone", StatusRequest())
    assert (said.bus, said.name, said.node, said.min_members, said.takes_claims) == ("", "", "", None, None)


def test_who_listens_to_its_own_server_concerns_no_other() -> None:
    """A subscription to the bus's own topics is none that others know of, when it is opened and when it is closed."""
    servers = fleet("x", "y")
    client = servers.client("x")
    number = client.subscribe("bus/event/*")
    client.unsubscribe(number)
    servers.settle()
    assert member(servers, "y").groups == 0


# --- what they say first


def named(**names: str) -> Fleet:
    """Two servers that have names for people, and join now."""
    servers = fleet(*names)
    servers.part(*names)
    for name, server in servers.servers.items():
        server.router.elsewhere.begin(name, 1000.0, depth=1, least=1, name=names[name], bus="plant")
        server.router.take_events()
    servers.join(*names)
    return servers


def test_servers_have_names() -> None:
    """A server says first what it is called, and is known by its node until then."""
    servers = named(x="north", y="south\x1b")
    assert (member(servers, "x").name, member(servers, "x").node) == ("y", "y")
    servers.settle()
    assert (member(servers, "x").name, member(servers, "y").name) == ("south\\x1b", "north")
    said: Status = told(servers, "x", StatusRequest())
    assert (said.bus, said.name, said.node) == ("plant", "north", "x")


def test_who_joins_and_is_lost_is_told() -> None:
    """A server has joined when it has said its name, and is lost for a reason; what it serves makes no events here."""
    servers = named(x="north", y="south")
    router = servers.servers["x"].router
    servers.part("x", "y")
    servers.join("x", "y")
    assert news(router) == []
    servers.settle()
    servers.client("y").claim("s")
    servers.settle()
    router.disconnect(servers.peers["x", "y"], "it cannot be reached any more")
    joined, lost = news(router)
    assert joined == Event("joined", 3, "south", "server y", server="y")
    assert lost == attrs.evolve(joined, kind="lost", text="it cannot be reached any more")


def test_a_second_greeting() -> None:
    """A server that greets again breaks the rules."""
    servers = fleet("x", "y")
    servers.settle()
    with pytest.raises(ProtocolViolation, match="HELLO is said once"):
        servers.ways["y", "x"].feed([m.Hello(1, "t2bus", (), "x")])


def test_a_greeting_in_another_version() -> None:
    """A server that speaks another version of the wire is not taken in."""
    servers = fleet("x", "y")
    with pytest.raises(ProtocolViolation, match="version 2 of the wire is not spoken here"):
        servers.ways["y", "x"].feed([m.Hello(2, "t2bus", (), "x")])
    servers.servers["x"].router.disconnect(servers.peers["x", "y"], "another version")
    assert [(event.kind, event.text) for event in news(servers.servers["x"].router)] == [("lost", "another version")]
