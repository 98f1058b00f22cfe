"""A server that is asked about itself through another one, by their routers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import cbor2
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from broker_helpers import Bus, RawPeer, assert_empty
from broker_helpers import bus as bus_of
from fleet_helpers import Fleet, fleet
from pure_helpers import limits_with, of_kind, steady
from t2bus.broker.access import Access, Rules, Verb
from t2bus.protocol import decode, encode, prefix_of, response_type
from t2bus.status import (
    ClientsRequest,
    MembersRequest,
    ServicesRequest,
    StatusRequest,
    SubscriptionsRequest,
    TopicsRequest,
)
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_ONCE: Final = 32
"""Requests that one server has pending at another about itself."""


def ask(client: RawPeer, request: Any) -> int:
    """Ask the bus itself; return the id of the request."""
    return client.request(prefix_of(type(request)), encode(request))


def heard(client: RawPeer, request: Any) -> Any:
    """What a client was answered, which has asked this alone."""
    (answer,) = of_kind(client.read(), m.Response)
    assert isinstance(answer.payload, bytes)
    return decode(answer.payload, response_type(type(request)))


def refused(client: RawPeer) -> m.Refused:
    """The one refusal that a client has heard, and nothing else."""
    (refusal,) = client.read()
    assert isinstance(refusal, m.Refused)
    return refusal


def through(servers: Fleet, name: str, request: Any) -> Any:
    """What a server answers to a new client of its own when all has arrived everywhere."""
    client = servers.client(name)
    ask(client, request)
    servers.settle()
    return heard(client, request)


def named(**names: str) -> Fleet:
    """Servers that can reach each other, by node, each with what it is called."""
    servers = Fleet({node: Bus() for node in names})
    for node, server in servers.servers.items():
        server.router.elsewhere.begin(node, 1000.0, depth=1, least=1, name=names[node])
    servers.join(*names)
    servers.settle()
    return servers


# --- which server answers


@pytest.mark.parametrize("server", ["y", "south"])
def test_another_server_is_asked_by_node_or_name(server: str) -> None:
    """A client asks another server of the bus about itself, which it names by its node or its name."""
    said = through(named(x="north", y="south"), "x", StatusRequest(server))
    assert (said.node, said.name, said.connections, said.members) == ("y", "south", 0, 1)


@pytest.mark.parametrize("server", ["", "x", "north"])
def test_a_server_knows_itself(server: str) -> None:
    """What names no server, or the one that is asked, is answered there, in the same turn."""
    servers = named(x="north", y="south")
    client = servers.client("x")
    ask(client, request := StatusRequest(server))
    assert heard(client, request).node == "x"


def test_a_request_that_knows_no_servers() -> None:
    """A client that was written for a bus of one server is answered by the one that it is connected to."""
    servers = named(x="north", y="south")
    client = servers.client("x")
    client.request("bus/status", cbor2.dumps({}))
    assert heard(client, StatusRequest()).node == "x"


@pytest.mark.parametrize("servers", [named(x="north", y="south"), Fleet({"x": Bus()})], ids=["among others", "alone"])
def test_an_unknown_server_is_refused_at_once(servers: Fleet) -> None:
    """Who names a server that is not there is told so, before anything else happens."""
    client = servers.client("x")
    ask(client, StatusRequest("west"))
    refusal = refused(client)
    assert refusal.code is ErrorCode.SERVICE_NOT_FOUND
    assert refusal.text == "no server of this bus is called 'west'"


@pytest.mark.parametrize("names", [{"x": "a", "y": "b", "z": "b"}, {"x": "b", "y": "b", "z": "a"}])
def test_a_name_of_several_names_none(names: dict[str, str]) -> None:
    """A name that two servers have is refused, be it also that of the one that is asked; their nodes still tell."""
    servers = named(**names)
    client = servers.client("x")
    ask(client, StatusRequest("b"))
    refusal = refused(client)
    assert refusal.code is ErrorCode.SERVICE_NOT_FOUND
    assert refusal.text == "2 servers of this bus are called 'b': give the node of one"
    assert through(servers, "x", StatusRequest("y")).node == "y"


def test_a_node_stands_before_a_name() -> None:
    """A server whose name is the node of another takes nothing from that one."""
    assert through(named(x="a", y="b", z="y"), "x", StatusRequest("y")).node == "y"


def test_it_takes_one_hop() -> None:
    """A request that comes from a server is answered there, whatever server it names."""
    servers = fleet("x", "y", "z")
    servers.settle()
    way = servers.ways["x", "y"]
    way.feed([m.Call(1000, 0, None, "bus/status", encode(StatusRequest("z")))])
    servers.ways["y", "x"].write()
    servers.ways["y", "z"].write()
    assert len(servers.ways["y", "x"].frames) == 1
    assert not servers.ways["y", "z"].frames


# --- what it answers

REQUESTS: Final = [
    StatusRequest(),
    ClientsRequest(),
    ClientsRequest(1),
    SubscriptionsRequest(),
    SubscriptionsRequest((2, 1)),
    ServicesRequest(),
    MembersRequest(),
    TopicsRequest("a"),
]


@given(
    st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from(["subscribe", "claim", "publish"])), max_size=30),
    st.sampled_from(REQUESTS),
    st.floats(0, 100),
)
@steady(200)
def test_it_answers_as_to_its_own_clients(done: list[tuple[str, str]], request: Any, seconds: float) -> None:
    """Whatever clients have done, what a server is asked through another is what it answers a client of its own."""
    servers = fleet("x", "y")
    far, near = servers.client("x"), servers.client("y")
    for number, (name, what) in enumerate(done):
        client = servers.client(name)
        getattr(client, what)(f"{what[0]}/{number}")
    servers.now = far.now = near.now = seconds
    servers.settle()
    ask(far, evolve(request, server="y"))
    servers.settle()
    ask(near, request)
    there, here = (of_kind(client.read(), m.Response) for client in (far, near))
    assert [each.payload for each in there] == [here[0].payload]


def test_a_page_is_one_page() -> None:
    """Of more clients than a page has, another server gives one page, and the next when it is asked for that."""
    servers = fleet("x", "y")
    for _ in range(150):
        servers.client("y")
    first = through(servers, "x", ClientsRequest(server="y"))
    second = through(servers, "x", ClientsRequest(first.next, "y"))
    assert (len(first.clients), len(second.clients), second.next) == (100, 50, None)


def test_what_is_pending_is_no_service() -> None:
    """A server that is asked about itself serves no topic by that; what it has to answer is shown among its calls."""
    servers = fleet("x", "y")
    ask(servers.client("x"), StatusRequest("y"))
    asker = servers.client("x")
    for request in (ServicesRequest(), MembersRequest()):
        ask(asker, request)
    services, members = of_kind(asker.read(), m.Response)
    assert decode(services.payload, response_type(ServicesRequest)).services == []  # type: ignore[arg-type]
    (member,) = decode(members.payload, response_type(MembersRequest)).members  # type: ignore[arg-type]
    assert (member.name, member.calls, member.services) == ("y", 1, 0)


# --- who may ask


def test_access_rules_are_those_of_the_client_s_server() -> None:
    """Who may not ask ``bus/clients`` may not ask it of another server; who may is answered, whatever that allows."""
    only_status = Access(Rules({Verb.REQUEST: ("bus/status",)}), {})
    servers = Fleet({"x": Bus(access=only_status), "y": Bus(access=Access(Rules(), {}))})
    for name, server in servers.servers.items():
        server.router.elsewhere.begin(name, 1000.0, depth=1, least=1)
    servers.join("x", "y")
    client = servers.client("x")
    ask(client, ClientsRequest(server="y"))
    refusal = refused(client)
    assert (refusal.code, refusal.text) == (
        ErrorCode.PERMISSION_DENIED,
        "'anonymous' may not request 'bus/clients'",
    )
    assert through(servers, "x", StatusRequest("y")).node == "y"


# --- bounds


def test_a_server_asks_another_so_much_at_once() -> None:
    """One more request about a server than it is asked at once is refused as busy, and taken when one is answered."""
    servers = fleet("x", "y")
    clients = [servers.client("x") for _ in range(AT_ONCE + 1)]
    for client in clients:
        ask(client, StatusRequest("y"))
    *others, last = clients
    assert refused(last).code is ErrorCode.SERVICE_BUSY
    assert not any(client.read() for client in others)
    servers.settle()
    assert all(heard(client, StatusRequest()).node == "y" for client in others)
    ask(last, StatusRequest("y"))
    servers.settle()
    assert heard(last, StatusRequest()).node == "y"


def test_requests_of_one_client_are_bounded() -> None:
    """What a client asks other servers counts among its pending requests."""
    servers = fleet("x", "y", requests=1)
    client = servers.client("x")
    for _ in range(2):
        ask(client, StatusRequest("y"))
    assert refused(client).code is ErrorCode.LIMIT_EXCEEDED


def test_pages_take_the_turn_of_the_server_that_asks() -> None:
    """What a server answers to others is work of their turn: behind what one allows, the rest waits for the next."""
    servers = fleet("x", "y", turn_steps=10)
    router, peer = servers.servers["y"].router, servers.peers["y", "x"]
    servers.settle()
    calls = [m.Call(1000 + number, 0, None, "bus/clients", encode(ClientsRequest())) for number in range(3)]
    assert router.feed(peer, cast("Sequence[m.ClientMessage]", calls), 0.0) == cast("object", calls[1:])


def test_what_it_cannot_answer_is_told() -> None:
    """Where not even one entry fits in a frame of the other server, the client is told as by its own."""
    servers = Fleet({"x": Bus(), "y": bus_of(frame=270)})
    for name, server in servers.servers.items():
        server.router.elsewhere.begin(name, 1000.0, depth=1, least=1)
    servers.join("x", "y")
    servers.client("y").publish("x" * 200)
    client = servers.client("x")
    ask(client, TopicsRequest(server="y"))
    servers.settle()
    refusal = refused(client)
    assert refusal.code is ErrorCode.MESSAGE_TOO_LARGE
    assert refusal.text.startswith("an entry of bus/topics needs a frame of ")


def test_what_a_client_could_not_read_is_refused() -> None:
    """An answer of a server that has larger frames than the one where the client is costs it the answer alone."""
    servers = Fleet({"x": bus_of(frame=1000), "y": Bus()})
    for name, server in servers.servers.items():
        server.router.elsewhere.begin(name, 1000.0, depth=1, least=1)
    servers.join("x", "y")
    for _ in range(10):
        servers.client("y")
    client = servers.client("x")
    ask(client, ClientsRequest(server="y"))
    servers.settle()
    refusal = refused(client)
    assert refusal.code is ErrorCode.MESSAGE_TOO_LARGE
    assert refusal.text.endswith("1000 are allowed (Limits.frame)")


def test_answers_that_are_not_read_are_bounded() -> None:
    """A client that does not read is refused when its outbox is full, by its own server."""
    servers = Fleet({"x": Bus(limits_with(outbox_bytes=1_100_000)), "y": Bus()})
    for name, server in servers.servers.items():
        server.router.elsewhere.begin(name, 1000.0, depth=1, least=1)
    servers.join("x", "y")
    client = servers.client("x")
    for _ in range(10_000):
        ask(client, StatusRequest("y"))
        servers.settle()
        if client.outbox.control_size:
            break
    *answers, refusal = client.read()
    assert {type(answer) for answer in answers} == {m.Response}
    assert isinstance(refusal, m.Refused)
    assert refusal.code is ErrorCode.LIMIT_EXCEEDED


# --- ends


def test_a_server_that_leaves() -> None:
    """Who waits for a server that is gone is told that it left, by name."""
    servers = named(x="north", y="south")
    client = servers.client("x")
    ask(client, StatusRequest("south"))
    servers.part("x", "y")
    refusal = refused(client)
    assert refusal.code is ErrorCode.SERVICE_GONE
    assert refusal.text == "the server 'south' left with the request pending"


def test_a_server_that_stands_still() -> None:
    """What is not answered for the lifetime of a request ends as a timeout."""
    servers = fleet("x", "y", request_lifetime=10)
    client = servers.client("x")
    ask(client, StatusRequest("y"))
    servers.servers["x"].router.expire(10.0)
    assert refused(client).code is ErrorCode.REQUEST_TIMEOUT


def test_what_is_given_up_is_taken_back() -> None:
    """A request that its client gives up is withdrawn, and its answer, if it is on its way, reaches nobody."""
    servers = fleet("x", "y")
    servers.settle()
    client = servers.client("x")
    client.feed(m.Cancel(ask(client, StatusRequest("y"))))
    servers.settle()
    assert client.read() == []
    assert servers.servers["x"].router.statistics().requests_pending == 0


@pytest.mark.parametrize("leaves_first", [True, False])
def test_nothing_is_left(leaves_first: bool) -> None:
    """Whoever leaves first, the client that has asked or the server, nothing is left of the request anywhere."""
    servers = fleet("x", "y")
    client = servers.client("x")
    ask(client, StatusRequest("y"))
    if leaves_first:
        client.disconnect()
        servers.settle()
    servers.part("x", "y")
    client.disconnect()
    for server in servers.servers.values():
        server.router.take_dirty()
        assert_empty(server.router)
