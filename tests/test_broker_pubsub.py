"""Publish and subscribe: who receives a publication, once, and what happens at one receiver stays there."""

from __future__ import annotations

import pytest

from broker_helpers import DOES_NOT_READ, RawPeer, assert_empty, bus
from pure_helpers import acknowledged, of_kind, payloads, refused, stream
from t2bus.broker.peer import Ending
from t2bus.errors import ProtocolViolation
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode

# --- who receives


@pytest.mark.parametrize(
    ("subscribed", "published", "reached"),
    [("a", "a", 1), ("a/*", "a/b", 1), ("a/**", "a", 1), ("a", "b", 0), ("a/b", "a/*", 1), ("a/b", "**", 1)],
)
def test_topics_meet_where_they_intersect(subscribed: str, published: str, reached: int) -> None:
    """A publication reaches the subscriptions whose topics intersect its own, wildcards on either side."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    subscriber.subscribe(subscribed)
    assert acknowledged([*publisher.read(), *_published(publisher, published)]) == {1: reached}
    assert len(of_kind(subscriber.read(), m.Deliver)) == reached


def _published(publisher: RawPeer, topic: str) -> list[m.ServerMessage]:
    publisher.publish(topic)
    return publisher.read()


def test_a_publication_arrives_as_it_was_sent() -> None:
    """Topic, payload and headers are carried untouched, in the very object, so that it is encoded once."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    number = subscriber.subscribe("**")
    subscriber.read()
    sent = m.Publication("a/*", b"\x00\xff", {"k": "v"})
    publisher.feed(m.Publish(1, False, sent))
    (delivery,) = subscriber.read()
    assert delivery == m.Deliver((number,), sent)
    assert isinstance(delivery, m.Deliver)
    assert delivery.publication is sent


def test_a_connection_is_sent_a_publication_once() -> None:
    """However many subscriptions of a connection overlap, one DELIVER names them all."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    numbers = [subscriber.subscribe(topic) for topic in ("a", "a", "**", "b", "a/**")]
    subscriber.read()
    publisher.publish("a")
    (delivery,) = of_kind(subscriber.read(), m.Deliver)
    assert delivery.subscriptions == (numbers[0], numbers[1], numbers[2], numbers[4])
    assert acknowledged(publisher.read()) == {1: 1}


def test_a_delivery_takes_room_once() -> None:
    """A publication for several subscriptions of a connection takes the room of one in its outbox."""
    one_bus = bus(outbox_bytes=2)
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    subscriber.subscribe("a")
    subscriber.subscribe("**")
    publisher.publish("a")
    assert subscriber.outbox.size == 2
    assert [each.subscriptions for each in of_kind(subscriber.read(), m.Deliver)] == [(1, 2)]


def test_overlapping_subscriptions_are_independent() -> None:
    """One subscription of a connection with a spent window takes nothing from the others."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    small, large = subscriber.subscribe("a", 1), subscriber.subscribe("**", 5)
    for payload in (b"1", b"2", b"3"):
        publisher.publish("a", payload)
    messages = subscriber.read()
    assert [each.subscriptions for each in of_kind(messages, m.Deliver)] == [(small, large), (large,), (large,)]
    subscriber.credit(small, 1)
    assert subscriber.read() == [m.Gap(small, 2)]
    assert acknowledged(publisher.read()) == {1: 1, 2: 1, 3: 1}


def test_a_connection_counts_once_however_it_takes() -> None:
    """A paced publication that one subscription takes at once and another of the connection later counts once."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    small, _ = subscriber.subscribe("a", 1), subscriber.subscribe("a", 5)
    third = subscriber.subscribe("a", 1)
    publisher.publish(paced=True)
    publisher.publish(paced=True)
    assert acknowledged(publisher.read()) == {1: 1}
    subscriber.credit(small)
    assert acknowledged(publisher.read()) == {}
    subscriber.credit(third)
    assert acknowledged(publisher.read()) == {2: 1}


def test_connections_that_took_it_late_are_counted() -> None:
    """A paced publication held for two connections counts both when the last has taken it."""
    one_bus = bus()
    publisher, *subscribers = (one_bus.connect() for _ in range(3))
    numbers = [subscriber.subscribe("a", 1) for subscriber in subscribers]
    publisher.publish(paced=True)
    publisher.publish(paced=True)
    publisher.read()
    for subscriber, number in zip(subscribers, numbers, strict=True):
        subscriber.credit(number)
    assert acknowledged(publisher.read()) == {2: 2}


def test_a_publisher_may_receive_its_own() -> None:
    """A connection that subscribes to what it publishes is a receiver like any other."""
    peer = bus().connect()
    number = peer.subscribe("a")
    peer.publish("a", b"1")
    messages = peer.read()
    assert acknowledged(messages) == {1: 0, 2: 1}
    assert stream(messages, number) == [b"1"]


def test_order_is_kept_over_all_topics() -> None:
    """What one publisher sends to several topics arrives in the order in which it was sent."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    subscriber.subscribe("**", 100)
    subscriber.subscribe("b", 100)
    sent = [bytes([number]) for number in range(30)]
    for number, payload in enumerate(sent):
        publisher.publish("abc"[number % 3], payload, paced=number % 2 == 0)
    assert payloads(subscriber.read()) == sent


# --- one receiver and the others


def test_a_slow_subscriber_changes_nothing_for_others() -> None:
    """One connection that takes nothing and one whose outbox is full leave the deliveries of a third as they are."""
    one_bus = bus(outbox_bytes=20)
    publisher, slow, stuck, quick = (one_bus.connect() for _ in range(4))
    slow.subscribe("a", 1)
    stuck.subscribe("a", 100)
    number = quick.subscribe("a", 100)
    heard: list[bytes | int] = []
    for count in range(50):
        publisher.publish("a", bytes([count]), paced=count % 2 == 0)
        heard += stream(quick.read(), number)
    assert heard == [bytes([count]) for count in range(50)]


def test_a_connection_given_up_changes_nothing_for_others() -> None:
    """The last straw of one receiver's control messages is a delivery like any other to the next."""
    one_bus = bus(control_bytes=150)
    publisher, dying, quick = (one_bus.connect() for _ in range(3))
    doomed, number = dying.subscribe("a", 1), quick.subscribe("a", 100)
    heard: list[bytes | int] = []
    for count in range(10):
        publisher.publish("a", bytes([count]))
        if count % 2:
            dying.credit(doomed)
        heard += stream(quick.read(), number)
        publisher.read()
    assert dying.ending == Ending(DOES_NOT_READ)
    assert heard == [bytes([count]) for count in range(10)]


def test_the_total_is_shared_and_kept() -> None:
    """What waits for all connections stays within the total; what does not fit is missed there, and told later."""
    one_bus = bus(total_bytes=8)
    publisher, one, other = (one_bus.connect() for _ in range(3))
    numbers = one.subscribe("a"), other.subscribe("b")
    for payload in (b"1", b"2"):
        publisher.publish("a", payload)
        publisher.publish("b", payload)
    assert one_bus.router.statistics().buffered_bytes == 4
    heard = stream(one.read(), numbers[0]), stream(other.read(), numbers[1])
    assert heard == ([b"1"], [b"1"])
    publisher.publish("*", b"3")
    assert stream(one.read(), numbers[0]) == [1, b"3"]
    assert stream(other.read(), numbers[1]) == [1, b"3"]


@pytest.mark.parametrize("paced", [False, True])
def test_what_others_leave_unread_takes_no_share(paced: bool) -> None:
    """However many read nothing, a connection that reads is sent what it asked for, and its requests are answered."""
    one_bus = bus(total_bytes=80_000, connections=10)
    publisher, *dead = (one_bus.connect() for _ in range(7))
    reader, server = one_bus.connect(), one_bus.connect()
    for each in dead:
        each.subscribe("load", 1000, 1_000_000)
    number, service = reader.subscribe("other", 100), server.claim("service")
    reader.read()
    server.read()
    for size in (900, 90, 0) * 100:
        publisher.publish("load", bytes(size))
    for count in range(20):
        publisher.publish("other", b"%d" % count, paced=paced)
        assert stream(reader.read(), number) == [b"%d" % count]
    operation = reader.request("service", b"question")
    (call,) = of_kind(server.read(), m.Call)
    assert call.service == service
    server.feed(m.Respond(call.id, b"answer"))
    assert [each.request for each in of_kind(reader.read(), m.Response)] == [operation]


def test_what_is_held_takes_no_room_from_its_own_delivery() -> None:
    """Deliveries and what is held stay within the total when one connection does both with a publication."""
    one_bus = bus(total_bytes=5)
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    spent = subscriber.subscribe("a", 1)
    publisher.publish("a", paced=True)
    subscriber.read()
    subscriber.subscribe("a")
    publisher.publish("a", b"123", paced=True)
    statistics = one_bus.router.statistics()
    assert statistics.buffered_bytes == 4 == subscriber.outbox.size
    assert statistics.deliveries_held == 0
    subscriber.credit(spent)
    assert stream(subscriber.read(), spent) == [1]


def test_publications_held_for_one_connection_are_bounded() -> None:
    """At most ``Limits.held_messages`` of a publisher are held; one more is missed by who would have held it."""
    one_bus = bus(held_messages=2)
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    number = subscriber.subscribe("a", 1)
    for payload in (b"1", b"2", b"3", b"4"):
        publisher.publish("a", payload, paced=True)
    assert acknowledged(publisher.read()) == {1: 1, 4: 0}
    heard = stream(subscriber.read(), number)
    for _ in range(3):
        subscriber.credit(number)
        heard += stream(subscriber.read(), number)
    assert heard == [b"1", b"2", b"3", 1]


def test_each_publisher_has_its_own_bound() -> None:
    """A publisher with much held takes nothing from another's allowance."""
    one_bus = bus(held_messages=1)
    publisher, other, subscriber = (one_bus.connect() for _ in range(3))
    subscriber.subscribe("a", 1)
    for _ in range(3):
        publisher.publish("a", paced=True)
    other.publish("a", paced=True)
    assert acknowledged(publisher.read()) == {1: 1, 3: 0}
    assert acknowledged(other.read()) == {}


def test_what_is_settled_frees_its_place() -> None:
    """The bound on what is held counts publications that are held, not those that were."""
    one_bus = bus(held_messages=1)
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    number = subscriber.subscribe("a", 1)
    for count in range(5):
        publisher.publish("a", paced=True)
        if count:
            assert count + 1 not in acknowledged(publisher.read())
            subscriber.credit(number)
            assert acknowledged(publisher.read()) == {count + 1: 1}


def test_the_alarm_is_raised_when_holding_begins() -> None:
    """Whoever minds the time is told when a first subscription begins to hold, and not for each one after it."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    subscriber.subscribe("a", 1)
    subscriber.subscribe("b", 1)
    alarms = []
    for topic in "aabbab":
        publisher.publish(topic, paced=True)
        alarms.append(one_bus.router.subscriptions.take_alarm())
    assert alarms == [False, True, False, False, False, False]


# --- answers


def test_unpaced_publications_are_acknowledged_at_once() -> None:
    """A publication is answered at once with the connections that took it, whatever its subscribers do."""
    one_bus = bus()
    publisher, one, other = (one_bus.connect() for _ in range(3))
    one.subscribe("a", 1)
    other.subscribe("a", 2)
    for _ in range(3):
        publisher.publish("a")
    assert publisher.read() == [m.Unreached(2, (1, 2)), m.Accepted(1, (2, 1, 0))]


def test_subscribing_and_unsubscribing_are_acknowledged_with_zero() -> None:
    """SUBSCRIBE and UNSUBSCRIBE are answered once each, also for a subscription that is not there."""
    peer = bus().connect()
    number = peer.subscribe("a")
    peer.unsubscribe(number)
    peer.unsubscribe(number)
    peer.unsubscribe(99)
    assert peer.read() == [m.Accepted(1, (0, 0, 0, 0))]


def test_an_unsubscribed_topic_is_not_delivered() -> None:
    """After UNSUBSCRIBE nothing new comes, and another subscription to the same topic goes on."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    first, second = subscriber.subscribe("a"), subscriber.subscribe("a")
    publisher.publish("a", b"1")
    subscriber.unsubscribe(first)
    publisher.publish("a", b"2")
    messages = subscriber.read()
    assert stream(messages, first) == [b"1"]
    assert stream(messages, second) == [b"1", b"2"]


@pytest.mark.parametrize("topic", ["", "A", "a//b", "x" * 65, "a/a/a/a/a"])
def test_an_invalid_topic_is_refused(topic: str) -> None:
    """A topic that is none, or beyond the limits, is refused with its operation; the connection goes on."""
    one_bus = bus(topic_length=64, topic_depth=4)
    peer = one_bus.connect()
    peer.subscribe(topic)
    peer.publish(topic)
    messages = peer.read()
    assert refused(messages) == {1: ErrorCode.INVALID_TOPIC, 2: ErrorCode.INVALID_TOPIC}
    peer.disconnect()
    assert_empty(one_bus.router)


def test_a_topic_that_is_too_broad_is_refused() -> None:
    """A publication that would cost too much matching is refused, and nothing of it is delivered."""
    one_bus = bus(matching_steps=3)
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    for topic in ("a", "b", "c", "d"):
        subscriber.subscribe(topic)
    subscriber.read()
    publisher.publish("**")
    assert refused(publisher.read()) == {1: ErrorCode.TOPIC_TOO_BROAD}
    assert subscriber.read() == []
    assert one_bus.router.statistics().published == 0


def test_subscriptions_of_a_connection_are_bounded() -> None:
    """A connection with as many subscriptions as allowed is refused one more until it closes one."""
    one_bus = bus(subscriptions=2)
    peer, other = one_bus.connect(), one_bus.connect()
    for topic in "abc":
        peer.subscribe(topic)
    other.subscribe("c")
    assert refused(peer.read()) == {3: ErrorCode.LIMIT_EXCEEDED}
    assert other.publish("c") == 2
    assert acknowledged(other.read()) == {1: 0, 2: 1}
    peer.unsubscribe(1)
    peer.subscribe("c")
    assert refused(peer.read()) == {}


@pytest.mark.parametrize(("messages", "size"), [(0, 1), (1, 0)])
def test_a_window_of_nothing_breaks_the_rules(messages: int, size: int) -> None:
    """A subscription without a window is a violation, and nothing of it is kept."""
    one_bus = bus()
    peer = one_bus.connect()
    with pytest.raises(ProtocolViolation, match="window"):
        peer.subscribe("a", messages, size)
    assert one_bus.router.statistics().subscriptions == 0
    peer.disconnect()
    assert_empty(one_bus.router)


# --- remembered routes


@pytest.mark.parametrize("topic", ["a/b", "a/*", "**"])
def test_a_remembered_route_is_not_stale(topic: str) -> None:
    """A subscription that comes or goes is seen by the next publication to a topic that was published before."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    counts: list[int] = []
    for _ in range(2):
        publisher.publish("a/b")
        number = subscriber.subscribe(topic)
        publisher.publish("a/b")
        subscriber.unsubscribe(number)
        publisher.publish("a/b")
        counts += acknowledged(publisher.read()).values()
    assert counts == [0, 1, 0, 0, 1, 0]


def test_nothing_is_left_of_a_connection() -> None:
    """When all connections have ended nothing of their subscriptions or publications is left anywhere."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    for topic in ("a", "a/*", "**", "a/b/c"):
        subscriber.subscribe(topic, 1)
    for topic in ("a", "a/b", "*"):
        publisher.publish(topic, paced=True)
    assert acknowledged(publisher.read()) == {1: 1}
    assert one_bus.router.statistics().buffered_bytes == len("ax") + len("a/bx") + len("*x")
    subscriber.disconnect()
    subscriber.disconnect()
    publisher.disconnect()
    assert_empty(one_bus.router)
