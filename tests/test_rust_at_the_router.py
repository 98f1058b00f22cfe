"""Clients of the Rust crate at the router, each behind its translator: what a user of the crate meets on our bus."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from broker_helpers import Bus, RawPeer, assert_empty, bus
from pure_helpers import acknowledged, of_kind, refused, steady, stream
from rust_corpus import HELLO, REQ, RustClient, ack, answer, carrier
from t2bus.broker.identity import ANONYMOUS
from t2bus.broker.peer import Ending
from t2bus.rust import frames as r
from t2bus.rust.crate_transport import MOST_DEEP
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from t2bus.broker.peer import Peer

LAGS = "it lags, and its wire has no word for that: it does not read as fast as others publish"
PUB, SUB, UNSUB, SRV, UNSRV = r.Kind.PUB, r.Kind.SUB, r.Kind.UNSUB, r.Kind.SRV, r.Kind.UNSRV
STALL = 1.0

Said = r.Control | r.Carrier | r.Answer
Heard = r.Carrier | r.Answer | r.Ack


@define(eq=False)
class RustPeer:
    """A client of the crate, its translator, and its connection of a router, as a transport and a task join them."""

    bus: Bus
    now: float = 0.0
    client: RustClient = field(factory=RustClient)
    peer: Peer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.peer = self.bus.router.connect(HELLO, ANONYMOUS, tells_gaps=False, pings=False, deep=MOST_DEEP)
        assert self.hear() == []

    def say(self, *frames: Said) -> None:
        self._feed(self.client.says(*frames))

    def _feed(self, messages: Sequence[m.ClientMessage]) -> None:
        while messages:
            messages = self.bus.router.feed(self.peer, messages, self.now)

    def hear(self) -> list[Heard]:
        """Write what waits; when that is written the translator says what the client has no word for."""
        heard = self.client.hears(*self.peer.outbox.take())
        self.bus.router.written(self.peer)
        self._feed(self.client.translator.inbound.take())
        return heard

    def do(self, *frames: Said) -> list[Heard]:
        self.say(*frames)
        return self.hear()

    @property
    def ending(self) -> Ending | None:
        self.bus.router.take_dirty()
        return self.peer.ending

    def disconnect(self) -> None:
        self.bus.router.disconnect(self.peer)


def sub(topic: str = "a", number: int = 1) -> r.Control:
    return r.Control(number, SUB, topic)


def publish(peer: RawPeer, *bodies: bytes, paced: bool = False) -> list[int]:
    return [peer.publish(payload=body, paced=paced) for body in bodies]


def bodies(heard: Sequence[Heard]) -> list[bytes]:
    """The payloads of the publications among this."""
    return [each.body.data for each in of_kind(heard, r.Carrier) if each.kind is PUB]


# --- publish and subscribe


def test_what_is_published_is_heard() -> None:
    """Clients of both wires hear each other, and the publisher is told how many did."""
    one_bus = bus()
    rust, native = RustPeer(one_bus), one_bus.connect()
    assert rust.do(sub()) == [ack(1)]
    number = native.subscribe("*")
    assert rust.do(carrier(2, PUB, data=b"1")) == [ack(2, to=2), carrier(0, PUB, data=b"1")]
    native.publish("a", b"2")
    assert rust.hear() == [carrier(0, PUB, data=b"2")]
    assert stream(native.read(), number) == [b"1", b"2"]


def test_credit_is_given_for_what_was_written() -> None:
    """A client that gives no credit is delivered to beyond the windows of the bus, as long as it reads."""
    one_bus = bus(subscription_messages=2, subscription_bytes=10)
    publisher, subscriber = one_bus.connect(), RustPeer(one_bus)
    subscriber.do(sub())
    for number in range(9):
        publish(publisher, b"%d" % number)
        assert bodies(subscriber.hear()) == [b"%d" % number]
    assert subscriber.ending is None


def test_credit_is_given_for_each_of_its_subscriptions() -> None:
    """Overlapping subscriptions, which hear a publication once, all go on."""
    one_bus = bus(subscription_messages=1)
    publisher, subscriber = one_bus.connect(), RustPeer(one_bus)
    subscriber.do(sub("a"), sub("*", 2), sub("a", 3))
    for number in range(5):
        publish(publisher, b"%d" % number)
        assert bodies(subscriber.hear()) == [b"%d" % number]
    assert one_bus.router.statistics().dropped == 0
    assert subscriber.ending is None


def test_a_run_is_heard_as_single_publications() -> None:
    """The crate has no word for a run, so its client is written one frame for each publication, and goes on."""
    one_bus = bus(subscription_messages=3)
    publisher, subscriber = one_bus.connect(), RustPeer(one_bus)
    subscriber.do(sub())
    letters = [b"1", b"2", b"3"]
    for first in (1, 4):
        publisher.feed(m.PublishRun(first, False, m.Run("a", letters)))
        assert subscriber.hear() == [carrier(0, PUB, data=letter) for letter in letters]


def test_what_waits_for_it_keeps_its_room() -> None:
    """What has not been written takes the room of its outbox, and a paced publisher waits until there is some again."""
    one_bus = bus(outbox_bytes=4)
    publisher, subscriber = one_bus.connect(), RustPeer(one_bus)
    subscriber.do(sub())
    numbers = publish(publisher, b"1", b"2", b"3", paced=True)
    assert acknowledged(publisher.read()) == dict.fromkeys(numbers[:2], 1)
    assert bodies(subscriber.hear()) == [b"1", b"2"]
    assert acknowledged(publisher.read()) == {numbers[2]: 1}


def test_one_that_lags_is_disconnected_with_its_reason() -> None:
    """A client that misses something cannot be told of the gap: it is disconnected, and others hear everything."""
    one_bus = bus(outbox_bytes=10)
    publisher, subscriber, other = one_bus.connect(), RustPeer(one_bus), one_bus.connect()
    subscriber.do(sub())
    number = other.subscribe()
    publish(publisher, b"12345678")
    assert stream(other.read(), number) == [b"12345678"]
    endings = [subscriber.ending]
    publish(publisher, b"again")
    endings.append(subscriber.ending)
    assert endings == [None, Ending(LAGS)]
    assert stream(other.read(), number) == [b"again"]


def test_its_window_is_its_outbox() -> None:
    """A client that knows no credit is not bounded by the windows of others."""
    one_bus = bus(subscription_messages=2)
    publisher, subscriber = one_bus.connect(), RustPeer(one_bus)
    subscriber.do(sub())
    publish(publisher, b"1", b"2", b"3")
    assert bodies(subscriber.hear()) == [b"1", b"2", b"3"]
    assert subscriber.ending is None


def test_a_paced_publisher_waits_for_one_that_reads() -> None:
    """While such a client reads, however slowly, a paced publisher is held up and nothing is lost."""
    one_bus = bus(outbox_bytes=10, subscription_messages=2, stall=STALL)
    publisher, subscriber = one_bus.connect(), RustPeer(one_bus)
    subscriber.do(sub())
    numbers = publish(publisher, *[b"123456789"] * 5, paced=True)
    for step in range(5):
        subscriber.now = publisher.now = step * 0.9 * STALL
        one_bus.router.expire(subscriber.now)
        assert bodies(subscriber.hear()) == [b"123456789"]
    assert sorted(acknowledged(publisher.read())) == numbers
    assert subscriber.ending is None


def test_one_that_stops_reading_holds_nobody_for_long() -> None:
    """When such a client reads nothing for the stall time the publisher goes on, and the client goes when it reads."""
    one_bus = bus(outbox_bytes=10, stall=STALL)
    publisher, subscriber = one_bus.connect(), RustPeer(one_bus)
    subscriber.do(sub())
    numbers = publish(publisher, b"123456789", b"again", paced=True)
    deadline = one_bus.router.next_deadline()
    assert deadline == STALL
    one_bus.router.expire(deadline)
    assert acknowledged(publisher.read()) == {numbers[0]: 1, numbers[1]: 0}
    subscriber.hear()
    subscriber.hear()
    assert subscriber.ending == Ending(LAGS)


def deep(count: int) -> str:
    return "/".join(["**"] * count)


@pytest.mark.parametrize("paced", [True, False])
def test_a_topic_that_its_matcher_never_finishes_does_not_reach_it(paced: bool) -> None:
    """It is counted as withheld, its publisher hears of those alone that it reached, and others are as before."""
    one_bus = bus()
    publisher, subscriber, native = one_bus.connect(), RustPeer(one_bus), one_bus.connect()
    subscriber.do(sub("**"), sub("a/*", 2))
    native.subscribe("**")
    numbers = [publisher.publish(deep(count), paced=paced) for count in (MOST_DEEP, MOST_DEEP + 1)]
    publisher.feed(m.PublishRun(10, paced, m.Run(deep(8), [b"1", b"2"])))
    heard = publisher.read()
    assert acknowledged(heard) == {numbers[0]: 2, numbers[1]: 1, 10: 1, 11: 1}
    assert of_kind(heard, m.Unreached) == [m.Unreached(numbers[1], (1,)), m.Unreached(10, (1, 1))]
    assert one_bus.router.statistics().withheld == 3
    assert [each.topic for each in of_kind(subscriber.hear(), r.Carrier)] == [deep(MOST_DEEP)]
    native.publish("a", b"heard")
    assert bodies(subscriber.hear()) == [b"heard"]


# --- request and response


def test_a_request_is_acknowledged_before_it_is_answered() -> None:
    """The acknowledgement that such a client waits for comes as soon as its request has been handed on."""
    one_bus = bus()
    requester, responder = RustPeer(one_bus), one_bus.connect()
    responder.claim("a")
    assert requester.do(carrier(9, REQ)) == [ack(9)]
    (call,) = of_kind(responder.read(), m.Call)
    responder.feed(m.Respond(call.id, b"r"))
    assert requester.hear() == [answer(0, 9, b"r")]


def test_an_answer_that_comes_with_the_acknowledgement_follows_it() -> None:
    """However fast the responder is, the client hears that its request was taken, once, and then the answer."""
    one_bus = bus()
    requester, responder = RustPeer(one_bus), one_bus.connect()
    responder.claim("a")
    requester.say(carrier(9, REQ))
    (call,) = of_kind(responder.read(), m.Call)
    responder.feed(m.Respond(call.id, b"r"))
    assert requester.hear() == [ack(9), answer(0, 9, b"r")]


def test_a_request_that_is_refused_is_acknowledged_by_that() -> None:
    """A request that nobody serves is refused, and that is all."""
    requester = RustPeer(bus())
    assert requester.do(carrier(9, REQ)) == [ack(9, "ServiceNotFound", "a")]
    assert requester.hear() == []


def test_a_request_whose_responder_leaves_times_out() -> None:
    """The end of a service reaches such a client as the one other end that a request has there."""
    one_bus = bus()
    requester, responder = RustPeer(one_bus), one_bus.connect()
    responder.claim("a")
    assert requester.do(carrier(9, REQ)) == [ack(9)]
    responder.disconnect()
    assert requester.hear() == [r.Answer(0, 9, r.AnswerStatus.TIMEOUT, r.Body(b""))]


def test_it_may_serve() -> None:
    """A service of such a client is asked and answers like any other."""
    one_bus = bus()
    requester, responder = one_bus.connect(), RustPeer(one_bus)
    assert responder.do(r.Control(1, SRV, "s")) == [ack(1)]
    number = requester.request("s", b"q")
    assert responder.hear() == [carrier(1, REQ, "s", b"q")]
    assert responder.do(answer(2, 1, b"r")) == [ack(2)]
    assert requester.read() == [m.Response(number, b"r")]
    assert responder.do(r.Control(3, UNSRV, "s")) == [ack(3)]
    later = requester.request("s")
    assert refused(requester.read()) == {later: ErrorCode.SERVICE_NOT_FOUND}


def test_a_call_that_is_withheld_fails() -> None:
    """Who waits for an answer to a request that was withheld is told at once, and its place is free."""
    one_bus = bus(service_requests=1)
    requester, responder = one_bus.connect(), RustPeer(one_bus)
    responder.do(r.Control(1, SRV, "s"))
    number = requester.request("s", os.urandom(r.FRAME))
    assert responder.hear() == []
    assert responder.client.translator.withheld == 1
    assert refused(requester.read()) == {number: ErrorCode.REMOTE_ERROR}
    requester.request("s", b"q")
    assert responder.hear() == [carrier(1, REQ, "s", b"q")]


# --- the law

_steps = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(1, 4), st.booleans())
    | st.tuples(st.just("hear"), st.just(0), st.booleans()),
    max_size=40,
)


@given(_steps, st.sampled_from([1, 2, 5, 1000]), st.sampled_from([6, 20, 1000]))
@steady(300)
def test_it_hears_everything_or_is_sent_off(steps: list[tuple[str, int, bool]], window: int, outbox: int) -> None:
    """Whatever comes when, such a client hears all of each topic, in order and once, until it is told to go."""
    one_bus = bus(subscription_messages=window, outbox_bytes=outbox, control_bytes=100_000)
    publisher, subscriber, native = one_bus.connect(), RustPeer(one_bus), one_bus.connect()
    subscriber.do(sub("a"), sub("b", 2))
    number = native.subscribe("*", 1000, 1_000_000)
    sent: dict[str, list[bytes]] = {"a": [], "b": []}
    heard: dict[str, list[bytes]] = {"a": [], "b": []}
    for what, count, paced in [*steps, *[("hear", 0, True)] * 100]:
        if what == "hear":
            for each in of_kind(subscriber.hear() if subscriber.ending is None else (), r.Carrier):
                heard[each.topic].append(each.body.data)
                assert heard[each.topic] == sent[each.topic][: len(heard[each.topic])]
            continue
        for _ in range(count):
            sent[what].append(b"%d" % len(sent[what]))
            publisher.publish(what, sent[what][-1], paced=paced)
            assert stream(native.read(), number) == sent[what][-1:]
            native.credit(number, 1, 100)
        publisher.read()
    assert (subscriber.ending == Ending(LAGS)) is (heard != sent)
    for peer in (publisher, subscriber, native):
        peer.disconnect()
    assert_empty(one_bus.router)
