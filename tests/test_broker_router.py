"""The router's door: who is let in, what ends a connection, and that what is refused changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pure_helpers import HELLO, Bus, RawPeer, assert_empty, bus, of_kind, refused
from t2bus.broker.identity import ANONYMOUS
from t2bus.errors import ProtocolViolation
from t2bus.wire import messages as m
from t2bus.wire.compression import ZLIB
from t2bus.wire.native import VERSION
from t2bus.wire.values import ErrorCode

if TYPE_CHECKING:
    from t2bus.broker.peer import Peer


def connect(one_bus: Bus, hello: m.ClientMessage) -> Peer:
    return one_bus.router.connect(hello, ANONYMOUS, wake=lambda: None, close=lambda _: None, expel=lambda _: None)


# --- the handshake


def test_a_client_is_welcomed() -> None:
    """WELCOME tells a client what it has to keep within, and is the first thing in its outbox."""
    one_bus = bus(
        frame=1000,
        subscriptions=10,
        services=4,
        topic_length=20,
        topic_depth=3,
        requests=5,
        subscription_messages=7,
        subscription_bytes=70,
    )
    (welcome,) = connect(one_bus, HELLO).outbox.take()
    assert welcome == m.Welcome(VERSION, "t2bus", (ZLIB,), 1, 1000, 1154, 20, 3, 5, 10, 4, 7, 70)


def test_connections_have_numbers_of_their_own() -> None:
    """No two connections of a bus have the same number, also when one has ended."""
    one_bus = bus()
    first = connect(one_bus, HELLO)
    one_bus.router.disconnect(first)
    assert connect(one_bus, HELLO).id != first.id


@pytest.mark.parametrize("hello", [m.Ping(1), m.Hello(VERSION + 1, "a test"), m.Goodbye("")])
def test_who_does_not_say_hello_is_not_let_in(hello: m.ClientMessage) -> None:
    """The first message is a HELLO of a version that is spoken here, or the peer is no connection."""
    one_bus = bus()
    with pytest.raises(ProtocolViolation):
        connect(one_bus, hello)
    assert_empty(one_bus.router)


def test_hello_is_said_once() -> None:
    """A second HELLO is a violation."""
    with pytest.raises(ProtocolViolation, match="once"):
        bus().connect().feed(HELLO)


# --- one connection


def test_ping_is_answered_with_its_token() -> None:
    """PING is answered by PONG at once; PONG by nothing."""
    peer = bus().connect()
    peer.feed(m.Ping(42))
    peer.feed(m.Pong(43))
    assert peer.read() == [m.Pong(42)]


@pytest.mark.parametrize(("last", "reason"), [(m.Goodbye("done"), ""), (m.Error("x" * 500), "it says: " + "x" * 200)])
def test_the_peers_last_message_ends_the_connection(last: m.ClientMessage, reason: str) -> None:
    """GOODBYE and ERROR ask the owner to end the connection, with the peer's reason if it has one."""
    peer = bus().connect()
    peer.feed(last)
    assert peer.reasons == [reason]


@pytest.mark.parametrize("operation", [0, 4, 5])
def test_an_id_is_used_once(operation: int) -> None:
    """An operation whose id is not above the last one is a violation and is not carried out."""
    one_bus = bus()
    peer, subscriber = one_bus.connect(), one_bus.connect()
    subscriber.subscribe("a")
    subscriber.read()
    peer.feed(m.Subscribe(5, "b", 1, 1))
    for message in (
        m.Publish(operation, False, m.Publication("a", b"")),
        m.Subscribe(operation, "a", 1, 1),
        m.Unsubscribe(operation, 5),
        m.Claim(operation, "s", 1, 1),
        m.Unclaim(operation, 1),
        m.Ask(operation, None, "s", b""),
    ):
        with pytest.raises(ProtocolViolation, match="not above 5"):
            peer.feed(message)
    assert subscriber.read() == []
    assert peer.read() == [m.Accepted(5, (0,))]
    assert one_bus.router.statistics().subscriptions == 2


def test_ids_may_leave_some_out() -> None:
    """A client counts its ids up by any step."""
    peer = bus().connect()
    for number in (3, 4, 1000):
        peer.feed(m.Unsubscribe(number, 1))
    assert peer.read() == [m.Accepted(3, (0, 0)), m.Accepted(1000, (0,))]


def test_a_refused_id_is_used() -> None:
    """A refused operation has used its id up."""
    peer = bus().connect()
    peer.feed(m.Subscribe(5, "?", 1, 1))
    assert refused(peer.read()) == {5: ErrorCode.INVALID_TOPIC}
    with pytest.raises(ProtocolViolation):
        peer.feed(m.Subscribe(5, "a", 1, 1))


def test_a_connection_that_does_not_read_is_given_up() -> None:
    """Control messages that do not fit ask the owner, once, to end the connection, and its outbox is dropped."""
    one_bus = bus(control_bytes=200)
    peer = one_bus.connect()
    peer.subscribe("a")
    peer.publish("a")
    for token in range(10):
        peer.feed(m.Ping(token))
    assert len(peer.reasons) == 1
    assert "Limits.control_bytes" in peer.reasons[0]
    assert one_bus.router.statistics().buffered_bytes == 0
    peer.disconnect()
    assert_empty(one_bus.router)


def test_a_connection_given_up_leaks_nothing() -> None:
    """What is delivered to, held for or asked of a connection between its overflow and its end counts nowhere after."""
    one_bus = bus(control_bytes=200)
    peer, other = one_bus.connect(), one_bus.connect()
    spent = peer.subscribe("a", 1)
    peer.claim("s")
    other.publish("a", paced=True)
    other.publish("a", paced=True)
    for token in range(10):
        peer.feed(m.Ping(token))
    other.publish("a", paced=True)
    other.request("s")
    peer.credit(spent)
    peer.read()
    peer.disconnect()
    other.read()
    assert one_bus.router.statistics().buffered_bytes == 0
    other.disconnect()
    assert_empty(one_bus.router)


def test_disconnecting_twice_is_disconnecting_once() -> None:
    """The owner may disconnect a connection again, and say that something of it was written."""
    one_bus = bus()
    peer, other = one_bus.connect(), one_bus.connect()
    peer.disconnect()
    peer.disconnect()
    assert peer.read() == []
    other.publish("a")
    assert one_bus.router.statistics().connections == 1


# --- all connections


def test_a_goodbye_goes_to_everyone() -> None:
    """A bus that shuts down says so to each connection, behind all that waits for it."""
    one_bus = bus()
    peers = [one_bus.connect() for _ in range(3)]
    peers[0].subscribe("a")
    peers[1].publish("a")
    one_bus.router.say_goodbye("bye")
    for peer in peers:
        assert peer.read()[-1] == m.Goodbye("bye")


def test_the_next_deadline_is_the_nearest() -> None:
    """The owner has to come back for whatever is due first: a stall or the end of a request's lifetime."""
    one_bus = bus(stall=1.0, request_lifetime=3.0)
    peer = one_bus.connect()
    assert one_bus.router.next_deadline() is None
    peer.claim("s")
    peer.request("s")
    assert one_bus.router.next_deadline() == 3.0
    peer.now = 1.5
    number = peer.subscribe("a", 1)
    peer.publish("a")
    peer.publish("a", paced=True)
    assert one_bus.router.next_deadline() == 2.5
    peer.credit(number)
    assert one_bus.router.next_deadline() == 3.0


def test_time_alone_does_nothing() -> None:
    """Coming back before or without a deadline changes nothing."""
    one_bus = bus()
    peer = one_bus.connect()
    one_bus.router.expire(1e9)
    assert peer.read() == []


def snapshot(one_bus: Bus, peers: list[RawPeer]) -> object:
    """All that a refused operation must leave as it was, counters of refusals and the last id aside."""
    broker, services = one_bus.router._pubsub, one_bus.router._services
    links = [
        (dict(p.link.subscriptions), dict(p.link.services), dict(p.link.requests), dict(p.link.calls)) for p in peers
    ]
    windows = [(s.messages, s.size, s.held, len(s.backlog)) for p in peers for s in p.link.subscriptions.values()]
    pending = [(dict(s.pending), s.size) for s in services._services.values()]
    tables = dict(services._services), dict(services._pending), len(broker), dict(broker._holding)
    return links, windows, pending, tables, one_bus.router._total.used, len(broker._tree._root.children)


def test_what_is_refused_leaves_the_state_as_it_was() -> None:
    """No refused operation leaves a trace, but for its answer."""
    one_bus = bus(
        subscriptions=1, services=1, requests=1, matching_steps=1, topic_length=9, topic_depth=2, service_requests=1
    )
    peer, other = one_bus.connect(), one_bus.connect()
    peer.subscribe("a/b")
    peer.claim("s")
    peer.request("s")
    other.subscribe("c")
    peers = [peer, other]
    for each in peers:
        each.read()
    before = snapshot(one_bus, peers)
    operations = [peer.subscribe("b"), peer.claim("t"), peer.request("s"), peer.claim("s"), peer.publish("**")]
    operations += [peer.publish(topic) for topic in ("?", "a" * 10, "a/b/c")]
    other_operations = [
        other.subscribe("?"),
        other.claim("s"),
        other.claim("*"),
        other.request("s"),
        other.request("t"),
    ]
    assert snapshot(one_bus, peers) == before
    for each, expected in ((peer, operations), (other, other_operations)):
        messages = each.read()
        assert list(refused(messages)) == expected
        assert len(of_kind(messages, m.Refused)) == len(messages)
