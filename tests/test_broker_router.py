"""The router's door: who is let in, what ends a connection, and that what is refused changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from broker_helpers import DOES_NOT_READ, Bus, assert_empty, bus
from pure_helpers import HELLO, of_kind, refused
from t2bus.broker.identity import ANONYMOUS, Identity
from t2bus.broker.peer import Ending
from t2bus.errors import ProtocolViolation
from t2bus.wire import messages as m
from t2bus.wire.compression import ZLIB
from t2bus.wire.native import VERSION
from t2bus.wire.values import ErrorCode

if TYPE_CHECKING:
    from t2bus.broker.peer import Peer


def connect(one_bus: Bus, hello: m.ClientMessage) -> Peer:
    return one_bus.router.connect(hello, ANONYMOUS)


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


@pytest.mark.parametrize("pings", [True, False])
def test_a_pong_overtakes_where_it_is_a_sign_of_life(pings: bool) -> None:
    """PONG passes what waits, but not to a peer whose wire has no such word: there it is an answer in its place."""
    router = bus().router
    peer = router.connect(HELLO, ANONYMOUS, pings=pings)
    router.feed(peer, [m.Ping(42)], 0.0)
    assert [type(message) for message in peer.outbox.take()] == [m.Pong, m.Welcome][:: 1 if pings else -1]


@pytest.mark.parametrize(("last", "reason"), [(m.Goodbye("done"), ""), (m.Error("x" * 500), "it says: " + "x" * 500)])
def test_the_peers_last_message_ends_the_connection(last: m.ClientMessage, reason: str) -> None:
    """GOODBYE and ERROR ask the owner to end the connection, with the peer's reason if it has one."""
    peer = bus().connect()
    peer.feed(last)
    assert peer.ending == Ending(reason)


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
    """Control messages that do not fit ask the owner to end the connection, and its outbox is dropped."""
    one_bus = bus(control_bytes=200)
    peer = one_bus.connect()
    peer.subscribe("a")
    peer.publish("a")
    for token in range(10):
        peer.feed(m.Ping(token))
    assert peer.ending == Ending(DOES_NOT_READ)
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


def converse(*, with_refusals: bool) -> tuple[object, ...]:
    """Talk to a bus that has no place left, be refused much or say nothing in its place, and go on; return all of it
    that may not depend on what was refused.
    """
    one_bus = bus(
        subscriptions=1, services=1, requests=1, matching_steps=1, topic_length=9, topic_depth=2, service_requests=1
    )
    peer, other = peers = one_bus.connect(), one_bus.connect()
    subscribed, served, asked = peer.subscribe("a/b"), peer.claim("s"), peer.request("s")
    other.subscribe("c")
    (call,) = of_kind(peer.read(), m.Call)
    other.read()
    if with_refusals:
        operations = [peer.subscribe("b"), peer.claim("t"), peer.request("s"), peer.claim("s"), peer.publish("**")]
        operations += [peer.publish(topic) for topic in ("?", "a" * 10, "a/b/c")]
        others = [other.subscribe("?"), other.claim("s"), other.claim("*"), other.request("s"), other.request("t")]
        # Who serves what was claimed is asked for a sign of life, and gives it.
        assert peer.outbox.take_signs() == [m.Ping(0)]
        peer.feed(m.Pong(0))
        for each, expected in ((peer, operations), (other, others)):
            messages = each.read()
            assert list(refused(messages)) == expected
            assert len(messages) == len(expected)
    peer.last_operation, other.last_operation = 100, 200
    statistics = [attrs.evolve(one_bus.router.statistics(), requests_busy=0), *(each.statistics for each in peers)]
    deadline = one_bus.router.next_deadline()
    other.publish("a/b", paced=True)
    peer.publish("c")
    peer.unsubscribe(subscribed)
    peer.subscribe("b")
    other.publish("b")
    peer.feed(m.Respond(call.id, b"r"))
    other.request("s")
    peer.unclaim(served)
    other.claim("s")
    assert asked in {each.request for each in of_kind(peer.peer.outbox.peek(), m.Response)}
    heard = [each.read() for each in peers]
    for each in peers:
        each.disconnect()
    assert_empty(one_bus.router)
    return statistics, deadline, heard


def test_what_is_refused_leaves_the_state_as_it_was() -> None:
    """A bus that has refused much says and does the same afterwards as one that was not asked for it."""
    assert converse(with_refusals=True) == converse(with_refusals=False)


# --- one identity


def test_connections_are_counted_by_identity() -> None:
    """The bus knows how many connections each identity has, for as long as it has some."""
    one_bus = bus()
    alice, bob = Identity("alice"), Identity("bob")
    first, second, third = (one_bus.connect(identity=each) for each in (alice, bob, alice))
    assert one_bus.router.statistics().identities == {"alice": 2, "bob": 1}
    assert one_bus.router.connections.of(alice) == 2
    first.disconnect()
    second.disconnect()
    assert one_bus.router.statistics().identities == {"alice": 1}
    assert one_bus.router.connections.of(bob) == 0
    third.disconnect()
    assert_empty(one_bus.router)


# --- after the end


def test_what_is_left_of_a_connection_that_has_ended_is_dropped() -> None:
    """Messages that were read before the end of a connection and come to their turn after it change nothing."""
    one_bus = bus()
    peer, other = one_bus.connect(), one_bus.connect()
    other.subscribe("a")
    other.read()
    peer.disconnect()
    late: list[m.ClientMessage] = [
        m.Subscribe(1, "a", 1, 1),
        m.Claim(2, "s", 1, 1),
        m.Publish(3, False, m.Publication("a", b"")),
        HELLO,
    ]
    assert one_bus.router.feed(peer.peer, late, 0.0) == ()
    assert other.read() == []
    other.disconnect()
    assert_empty(one_bus.router)
