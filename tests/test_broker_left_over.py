"""What one call of the router leaves to the next ones, where a connection has piled up more work than a turn has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_helpers import Bus, RawPeer, assert_empty, bus, go_on
from fleet_helpers import fleet
from pure_helpers import acknowledged, of_kind, payloads, refused, steady, stream
from t2bus.broker.access_file import parse
from t2bus.broker.peer import Ending
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Sequence

TURN = 10
"""Steps of a turn of these buses."""

STALL = 1.0


def hold(one_bus: Bus, subscriptions: int, count: int) -> tuple[RawPeer, RawPeer, list[int]]:
    """A publisher, and a subscriber that has read the first publication of each of its overlapping subscriptions, all
    of which hold so many more.
    """
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    numbers = [subscriber.subscribe("a", count, 1000) for _ in range(subscriptions)]
    for _ in range(count):
        publisher.publish("a", b"x")
        subscriber.read()
    publisher.read()
    for number in range(count):
        publisher.publish("a", b"%d" % number, paced=True)
    assert one_bus.router.statistics().deliveries_held == subscriptions * count
    one_bus.router.subscriptions.take_alarm()
    return publisher, subscriber, numbers


def held(one_bus: Bus) -> int:
    return one_bus.router.statistics().deliveries_held


def deadlines(one_bus: Bus, now: float) -> list[float]:
    """When something was due, each time, until nothing is by now; each time no more than a turn of each is done."""
    due = []
    while (deadline := one_bus.router.next_deadline()) is not None and deadline <= now:
        due.append(deadline)
        before = one_bus.router.turn.taken
        one_bus.router.expire(now)
        assert one_bus.router.turn.taken - before <= 2 * TURN + 3
    return due


# --- subscribers that take nothing


def test_a_stalled_subscriber_is_given_up_in_turns() -> None:
    """Everything that is held for who stalls is missed, a turn at a time, and it is due until that is done."""
    one_bus = bus(turn_steps=TURN, stall=STALL)
    publisher, subscriber, numbers = hold(one_bus, 4, 6)
    one_bus.router.expire(STALL)
    assert held(one_bus) == 24 - TURN
    assert len(deadlines(one_bus, STALL)) == 2
    assert held(one_bus) == 0
    assert acknowledged(publisher.read()) == dict.fromkeys(range(7, 13), 0)
    assert one_bus.router.statistics().dropped == 24
    for number in numbers:
        subscriber.credit(number)
    assert subscriber.read() == [m.Gap(number, 6) for number in numbers]


def test_who_stalls_lags_before_all_is_given_up() -> None:
    """Nobody is held up any more by a subscriber that has stalled, however much is still held for it."""
    one_bus = bus(turn_steps=TURN, stall=STALL)
    publisher, subscriber, numbers = hold(one_bus, 4, 6)
    one_bus.router.expire(STALL)
    publisher.read()
    publisher.publish("a", paced=True)
    assert acknowledged(publisher.read()) == {13: 0}
    deadlines(one_bus, STALL)
    for number in numbers:
        subscriber.credit(number)
    assert subscriber.read() == [m.Gap(number, 7) for number in numbers]


def test_credit_comes_before_all_is_given_up() -> None:
    """Who gives credit while it is given up gets what is still held for it, behind its gap and in order."""
    one_bus = bus(turn_steps=TURN, stall=STALL)
    publisher, subscriber, numbers = hold(one_bus, 2, 8)
    one_bus.router.expire(STALL)
    publisher.publish("a", b"last", paced=True)
    subscriber.now = STALL
    subscriber.credit(numbers[1], 7, 1000)
    heard = subscriber.read()
    assert stream(heard, numbers[0]) == []
    assert stream(heard, numbers[1]) == [2, *(b"%d" % number for number in range(2, 8)), 1]
    assert acknowledged(publisher.read()) == {9: 0, 10: 0, **dict.fromkeys(range(11, 17), 1), 17: 0}


def test_a_server_that_stalls_is_given_up_in_turns() -> None:
    """What is held for another server that counts nothing is missed there by topic, a turn at a time."""
    servers = fleet("x", "y", subscription_messages=1, stall=STALL, turn_steps=3)
    far = servers.client("y")
    number = far.subscribe("a/*", 1)
    servers.settle()
    publisher, router = servers.client("x"), servers.servers["x"].router
    for topic in ("a/0", "a/1", "a/2", "a/3", "a/4", "a/5"):
        publisher.publish(topic, paced=True)
    router.expire(2 * STALL)
    assert held(servers.servers["x"]) == 2
    publisher.publish("a/6")
    router.expire(2 * STALL)
    servers.settle()
    assert payloads(far.read()) == [b"x"]
    far.credit(number, 1, 1000)
    servers.settle()
    assert of_kind(far.read(), m.Gap) == [m.Gap(number, 6)]


# --- credit


def test_credit_is_taken_in_turns() -> None:
    """A CREDIT that frees more than a turn delivers is carried out in part, and what comes behind it waits."""
    one_bus = bus(turn_steps=TURN)
    publisher, subscriber, numbers = hold(one_bus, 3, 8)
    said: Sequence[m.ClientMessage] = [m.Credit(tuple(x for number in numbers for x in (number, 8, 1000))), m.Ping(1)]
    left = []
    while said:
        before = one_bus.router.turn.taken
        said = one_bus.router.feed(subscriber.peer, said, 0.0)
        assert one_bus.router.turn.taken - before <= TURN + 1
        left.append(held(one_bus))
    assert left == [15, 6, 0]
    heard = subscriber.read()
    assert [stream(heard, number) for number in numbers] == [[b"%d" % n for n in range(8)]] * 3
    assert of_kind(heard, m.Pong) == [m.Pong(1)]
    assert acknowledged(publisher.read()) == dict.fromkeys(range(9, 17), 1)


def test_credit_that_finds_no_room_is_taken_at_once() -> None:
    """What has credit and finds no room in the outbox does not go on in the next turn, but when that was written."""
    one_bus = bus(turn_steps=TURN, outbox_bytes=2 * TURN)
    _, subscriber, (number,) = hold(one_bus, 1, TURN + 4)
    credit = m.Credit((number, TURN + 4, 1000))
    (left,) = one_bus.router.feed(subscriber.peer, [credit], 0.0)
    assert left == m.Credit((number, 0, 0))
    assert one_bus.router.feed(subscriber.peer, [left], 0.0) == ()
    assert held(one_bus) == 4
    assert len(payloads(subscriber.read()) + payloads(subscriber.read())) == TURN + 4


credits_ = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.sampled_from([0, 9, 1000])), max_size=12)


@given(credits_, st.integers(1, 12), st.integers(1, 9))
@steady(300)
def test_turns_of_credit_change_nothing_but_when(said: list[tuple[int, int, int]], turn: int, count: int) -> None:
    """However short its turns are, a connection that gives credit hears, and others are told, as if it had been one."""
    heard = []
    for turn_steps in (turn, 1_000_000):
        one_bus = bus(turn_steps=turn_steps)
        publisher, subscriber, numbers = hold(one_bus, 4, count)
        grants = [(([*numbers, 99])[place], messages, size) for place, messages, size in said]
        subscriber.feed(m.Credit(tuple(x for grant in grants for x in grant)))
        streams = subscriber.read()
        heard.append(
            [
                *(stream(streams, number) for number in numbers),
                *(subscriber.statistics, acknowledged(publisher.read()), one_bus.router.statistics()),
            ]
        )
    assert heard[0] == heard[1]


# --- room


def test_what_waits_for_room_is_delivered_in_turns() -> None:
    """What waits for room in an outbox goes on each time that something was written, a turn at a time."""
    one_bus = bus(turn_steps=TURN, outbox_bytes=60)
    publisher, subscriber, numbers = hold(one_bus, 4, 8)
    publisher.publish("b")
    publisher.read()
    blocker = subscriber.subscribe("b", 1)
    publisher.publish("b", bytes(58))
    for number in numbers:
        subscriber.credit(number, 8, 1000)
    assert held(one_bus) == 32
    heard = []
    for left in (22, 12, 2, 0):
        heard += subscriber.read()
        assert held(one_bus) == left
    heard += subscriber.read()
    assert stream(heard, blocker) == [bytes(58)]
    assert [stream(heard, number) for number in numbers] == [[b"%d" % n for n in range(8)]] * 4


def test_room_that_others_leave_is_used_in_turns() -> None:
    """What waits for the room of others is delivered to one after the other, whenever something is written."""
    one_bus = bus(turn_steps=3, total_bytes=160)
    publisher, *full = (one_bus.connect() for _ in range(3))
    for one, topic, size in zip(full, "bc", (79, 19), strict=True):
        one.subscribe(topic)
        one.read()
        publisher.publish(topic, bytes(size))
    ones = [one_bus.connect() for _ in range(3)]
    numbers = [one.subscribe("a", 10, 1000) for one in ones]
    for one in ones:
        one.read()
    for number in range(5):
        publisher.publish("a", b"%d" % number, paced=True)
    assert held(one_bus) == 15
    heard: list[list[bytes | int]] = [[] for _ in ones]
    full[0].read()
    for _ in range(10):
        assert not all(one.outbox.is_empty for one in ones) or not held(one_bus), "nobody goes on with what is left"
        for place, one in enumerate(ones):
            heard[place] += stream(one.read(), numbers[place])
    assert heard == [[b"%d" % number for number in range(5)]] * 3


# --- ends


def test_a_connection_lets_go_in_turns() -> None:
    """What was held for a connection that is gone is let go of, a turn at a time, at once and without being missed."""
    one_bus = bus(turn_steps=TURN)
    publisher, subscriber, _ = hold(one_bus, 4, 6)
    before = one_bus.router.turn.taken
    subscriber.disconnect()
    assert one_bus.router.turn.taken - before == TURN
    assert (held(one_bus), one_bus.router.statistics().subscriptions) == (24 - TURN, 0)
    assert one_bus.router.subscriptions.take_alarm()
    assert deadlines(one_bus, 0.0) == [-math.inf] * 2
    assert acknowledged(publisher.read()) == dict.fromkeys(range(7, 13), 0)
    assert one_bus.router.statistics().dropped == 0
    assert not one_bus.router.subscriptions.take_alarm()
    publisher.disconnect()
    assert_empty(one_bus.router)


def test_a_subscription_lets_go_in_turns() -> None:
    """An UNSUBSCRIBE takes a step for each publication that it lets go of, up to a turn; nothing is delivered then."""
    one_bus = bus(turn_steps=TURN)
    publisher, subscriber, (number,) = hold(one_bus, 1, 16)
    assert one_bus.router.feed(subscriber.peer, [m.Unsubscribe(2, number), m.Ping(1)], 0.0) == [m.Ping(1)]
    assert held(one_bus) == 6
    subscriber.credit(number, 16, 1000)
    subscriber.read()
    publisher.publish("a", paced=True)
    assert len(deadlines(one_bus, 0.0)) == 1
    assert subscriber.read() == []
    assert acknowledged(publisher.read()) == dict.fromkeys(range(17, 34), 0)
    assert subscriber.peer.sent == 16


def test_room_that_is_let_go_of_in_turns_is_used() -> None:
    """Whoever waits for what a connection that is gone had held gets it when that is let go of."""
    one_bus = bus(turn_steps=2, total_bytes=400, connections=1)
    publisher, leaver, waiter = (one_bus.connect() for _ in range(3))
    leaver.subscribe("b", 1)
    for _ in range(6):
        publisher.publish("b", bytes(15), paced=True)
    leaver.read()
    number = waiter.subscribe("c", 1)
    publisher.read()
    publisher.publish("c", b"1")
    publisher.publish("c", b"2", paced=True)
    waiter.read()
    leaver.disconnect()
    go_on(one_bus.router)
    waiter.credit(number, 1)
    assert stream(waiter.read(), number) == [b"2"]


def test_a_server_lets_go_in_turns() -> None:
    """What was held for another server that is gone is let go of, a turn at a time."""
    servers = fleet("x", "y", subscription_messages=1, turn_steps=3)
    servers.client("y").subscribe("a", 1)
    servers.settle()
    publisher = servers.client("x")
    operations = [publisher.publish("a", paced=True) for _ in range(9)]
    servers.part("x", "y")
    assert held(servers.servers["x"]) == 5
    go_on(servers.servers["x"].router)
    assert acknowledged(publisher.read()) == dict.fromkeys(operations, 0)


def test_rules_expel_in_turns() -> None:
    """What was held for those whom other rules expel is let go of, a turn at a time, by all of them together."""
    one_bus = Bus(bus(turn_steps=TURN).limits, parse('[everyone]\npublish = ["a"]\nsubscribe = ["a"]'))
    _, subscriber, _ = hold(one_bus, 4, 6)
    one_bus.router.set_access(parse('[everyone]\npublish = ["a"]'))
    assert isinstance(subscriber.ending, Ending)
    assert held(one_bus) == 24 - TURN
    go_on(one_bus.router)
    assert held(one_bus) == 0


# --- requests


def ask(one_bus: Bus, services: int, requests: int) -> tuple[RawPeer, list[int], RawPeer]:
    """A responder, its services, and a requester that waits for so many answers of each."""
    responder, requester = one_bus.connect(), one_bus.connect()
    numbers = [responder.claim(f"s{place}", requests) for place in range(services)]
    for place in range(services):
        for _ in range(requests):
            requester.request(f"s{place}")
    responder.read()
    assert one_bus.router.statistics().requests_pending == services * requests
    return responder, numbers, requester


def test_the_end_of_a_responder_is_told_in_turns() -> None:
    """All topics of a responder that leaves are free at once, and all who wait are told, a turn at a time."""
    one_bus = bus(turn_steps=TURN)
    responder, _, requester = ask(one_bus, 2, 4)
    responder.disconnect()
    assert refused(requester.read()) == dict.fromkeys(range(5, 8), ErrorCode.SERVICE_GONE)
    assert one_bus.router.statistics().services == 0
    assert one_bus.router.statistics().requests_pending == 5
    assert one_bus.router.subscriptions.take_alarm()
    assert deadlines(one_bus, 0.0) == [-math.inf] * 2
    assert len(refused(requester.read())) == 5
    requester.request("s0")
    assert set(refused(requester.read()).values()) == {ErrorCode.SERVICE_NOT_FOUND}
    requester.disconnect()
    assert_empty(one_bus.router)


def test_the_end_of_a_service_takes_steps() -> None:
    """An UNCLAIM takes steps for each request that ends with it, up to a turn; others may be answered meanwhile."""
    one_bus = bus(turn_steps=TURN)
    responder, (number,), requester = ask(one_bus, 1, 5)
    assert one_bus.router.feed(responder.peer, [m.Unclaim(2, number), m.Ping(1)], 0.0) == [m.Ping(1)]
    assert refused(requester.read()) == dict.fromkeys(range(1, 4), ErrorCode.SERVICE_GONE)
    responder.feed(m.Respond(4, b"r"))
    assert of_kind(requester.read(), m.Response) == [m.Response(4, b"r")]
    go_on(one_bus.router)
    assert refused(requester.read()) == {5: ErrorCode.SERVICE_GONE}


@pytest.mark.parametrize("leaves", [False, True])
def test_who_gives_up_meanwhile_is_told_nothing(leaves: bool) -> None:
    """A request that is given up while its responder's end is being told has no answer, and leaves nothing behind."""
    one_bus = bus(turn_steps=TURN)
    responder, _, requester = ask(one_bus, 1, 6)
    responder.disconnect()
    assert len(refused(requester.read())) == 3
    if leaves:
        requester.disconnect()
    else:
        for number in (4, 5, 6):
            requester.feed(m.Cancel(number))
    go_on(one_bus.router)
    assert requester.read() == []
    requester.disconnect()
    assert_empty(one_bus.router)


def test_lifetimes_end_in_turns() -> None:
    """Requests whose lifetime is over together are refused a turn at a time, the oldest first."""
    one_bus = bus(turn_steps=TURN, request_lifetime=5.0)
    _, _, requester = ask(one_bus, 1, 6)
    one_bus.router.expire(5.0)
    assert refused(requester.read()) == dict.fromkeys(range(1, 4), ErrorCode.REQUEST_TIMEOUT)
    assert deadlines(one_bus, 5.0) == [5.0]
    assert refused(requester.read()) == dict.fromkeys(range(4, 7), ErrorCode.REQUEST_TIMEOUT)
