"""Clients of the Rust crate at the router: they give no credit, and cannot be told of gaps."""

from __future__ import annotations

import pytest

from pure_helpers import Bus, RawPeer, acknowledged, bus, of_kind, payloads, refused
from t2bus.wire import messages as m
from t2bus.wire.native import VERSION
from t2bus.wire.values import ErrorCode

WINDOW = 2**62
STALL = 1.0


def rust(one_bus: Bus) -> RawPeer:
    """Connect a client that speaks the wire of the crate."""
    return RawPeer(one_bus.router, hello=m.Hello(VERSION, "t2_bus", (), m.Dialect.T2))


def subscribe(peer: RawPeer) -> None:
    peer.subscribe(messages=WINDOW, size=WINDOW)
    peer.read()


def publish(peer: RawPeer, *bodies: bytes, paced: bool = False) -> list[int]:
    return [peer.publish(payload=body, paced=paced) for body in bodies]


def test_no_credit_is_asked_for() -> None:
    """A client that gives no credit is delivered to beyond the windows of the bus, as long as it reads."""
    one_bus = bus(subscription_messages=2, subscription_bytes=10)
    publisher, subscriber = one_bus.connect(), rust(one_bus)
    subscribe(subscriber)
    for number in range(9):
        publish(publisher, b"%d" % number)
        assert payloads(subscriber.read()) == [b"%d" % number]
    assert subscriber.reasons == []


def test_the_windows_of_others_are_capped() -> None:
    """A native client that asks for such a window gets the bus's own."""
    one_bus = bus(subscription_messages=2)
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    subscribe(subscriber)
    publish(publisher, b"1", b"2", b"3")
    assert payloads(subscriber.read()) == [b"1", b"2"]


def test_who_lags_is_disconnected() -> None:
    """What does not fit in the outbox of such a client costs it the connection: it cannot be told of the gap."""
    one_bus = bus(outbox_bytes=10)
    publisher, subscriber, other = one_bus.connect(), rust(one_bus), one_bus.connect()
    subscribe(subscriber)
    subscribe(other)
    publish(publisher, b"12345678")
    other.read()
    publish(publisher, b"again")
    (reason,) = subscriber.reasons
    assert reason.startswith("it lags, and its wire has no word for that")
    assert payloads(other.read()) == [b"again"]


def test_a_paced_publisher_waits_for_one_that_reads() -> None:
    """While such a client reads, however slowly, a paced publisher is held up and nothing is lost."""
    one_bus = bus(outbox_bytes=10, stall=STALL)
    publisher, subscriber = one_bus.connect(), rust(one_bus)
    subscribe(subscriber)
    numbers = publish(publisher, *[b"123456789"] * 5, paced=True)
    for step in range(5):
        subscriber.now = publisher.now = step * 0.9 * STALL
        one_bus.router.expire(subscriber.now)
        assert payloads(subscriber.read()) == [b"123456789"]
    assert sorted(acknowledged(publisher.read())) == numbers
    assert subscriber.reasons == []


def test_one_that_stops_reading_holds_nobody_for_long() -> None:
    """When such a client reads nothing for the stall time, the publisher goes on, and the client goes."""
    one_bus = bus(outbox_bytes=10, stall=STALL)
    publisher, subscriber = one_bus.connect(), rust(one_bus)
    subscribe(subscriber)
    numbers = publish(publisher, b"123456789", b"again", paced=True)
    deadline = one_bus.router.next_deadline()
    assert deadline == STALL
    one_bus.router.expire(deadline)
    assert sorted(acknowledged(publisher.read())) == numbers
    assert len(subscriber.reasons) == 1


def test_a_request_is_acknowledged_before_it_is_answered() -> None:
    """The acknowledgement that such a client waits for comes as soon as its request has been handed on."""
    one_bus = bus()
    requester, responder = rust(one_bus), one_bus.connect()
    responder.claim()
    responder.read()
    number = requester.request("s")
    assert acknowledged(requester.read()) == {number: 0}
    (call,) = of_kind(responder.read(), m.Call)
    responder.feed(m.Respond(call.id, b"r"))
    assert requester.read() == [m.Response(number, b"r")]


def test_a_request_that_is_refused_is_not_acknowledged() -> None:
    """A request that nobody serves is refused, and that is all."""
    requester = rust(bus())
    number = requester.request("s")
    messages = requester.read()
    assert refused(messages) == {number: ErrorCode.SERVICE_NOT_FOUND}
    assert acknowledged(messages) == {}


@pytest.mark.parametrize("count", [0, 3])
def test_what_is_withheld_is_counted(count: int) -> None:
    """What such a client could not have borne is counted."""
    one_bus = bus()
    client = rust(one_bus)
    one_bus.router.withhold(client.link, count, [])
    assert one_bus.router.statistics().withheld == count


def test_a_call_that_is_withheld_fails() -> None:
    """Who waits for an answer to a request that was withheld is told at once, and its place is free."""
    one_bus = bus(service_requests=1)
    requester, responder = one_bus.connect(), rust(one_bus)
    responder.claim(requests=2**31, size=WINDOW)
    responder.read()
    number = requester.request("s")
    (call,) = of_kind(responder.read(), m.Call)
    one_bus.router.withhold(responder.link, 1, [call.id])
    assert refused(requester.read()) == {number: ErrorCode.REMOTE_ERROR}
    assert requester.request("s") > number
    assert len(of_kind(responder.read(), m.Call)) == 1
