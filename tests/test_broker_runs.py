"""Runs at the bus: each says exactly what its publications say one after the other, and only costs less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from broker_helpers import Bus, RawPeer, assert_empty, bus, open_three
from pure_helpers import acknowledged, limits_with, of_kind, refused, steady, stream
from t2bus.broker import flow
from t2bus.broker.access_file import parse
from t2bus.errors import ProtocolViolation
from t2bus.limits import Limits
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode

if TYPE_CHECKING:
    from t2bus.broker.access import Access

LETTERS: Final = [b"1", b"2", b"3"]
NO_B = parse('[everyone]\npublish = ["**"]\nsubscribe = ["**"]\ndeny = { publish = ["b"] }')


def publish_run(peer: RawPeer, bodies: list[bytes], topic: str = "a", *, paced: bool = False) -> m.Run:
    """Publish these as one run, under the next ids of the connection."""
    run = m.Run(topic, bodies)
    first = peer.last_operation + 1
    peer.last_operation += len(bodies)
    peer.feed(m.PublishRun(first, paced, run))
    return run


# --- the law


@define(eq=False)
class World:
    """A bus that is told publications as runs, or told and telling them one by one, and all that is heard there."""

    as_runs: bool
    bus: Bus
    peers: list[RawPeer] = field(init=False)
    heard: list[list[Any]] = field(init=False)
    denials: list[tuple[str, str]] = field(factory=list, init=False)
    alarms: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.peers = [self.bus.connect() for _ in range(3)]
        self.heard = [[] for _ in self.peers]

    def do(self, step: tuple[Any, ...]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if not self.as_runs:
                # Nothing goes on with what is released then.
                patch.setattr(flow, "RUN_SIZE", 0)
            self.do_one(step)
        self.denials += self.bus.denials()
        self.alarms += self.bus.router.subscriptions.take_alarm()

    def do_one(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("subscribe", who, topic, messages, size):
                self.peers[who].subscribe(topic, messages, size)
            case ("unsubscribe", who, place):
                self.peers[who].unsubscribe(self.subscription(who, place))
            case ("publish", who, topic, bodies, paced):
                self.publish(self.peers[who], topic, bodies, paced)
            case ("credit", who, place, messages, size):
                self.peers[who].credit(self.subscription(who, place), messages, size)
            case ("read", who):
                self.heard[who] += self.peers[who].read()
            case ("wait", seconds):
                for peer in self.peers:
                    peer.now += seconds
                self.bus.router.expire(self.peers[0].now)

    def subscription(self, who: int, place: int) -> int:
        """One of the open subscriptions of a connection, or none that there is."""
        numbers = list(self.peers[who].statistics.subscriptions)
        return numbers[place % len(numbers)] if numbers else 99

    def publish(self, peer: RawPeer, topic: str, bodies: list[bytes], paced: bool) -> None:
        if self.as_runs:
            publish_run(peer, bodies, topic, paced=paced)
        else:
            for body in bodies:
                peer.publish(topic, body, paced=paced)

    def facts(self) -> tuple[object, ...]:
        """All that can be told from outside: what was heard, counted and asked for, and what waits."""
        router, peers = self.bus.router, self.peers
        return (
            *(self.heard, router.statistics(), self.alarms, self.denials, router.next_deadline()),
            [(peer.outbox.size, peer.outbox.control_size) for peer in peers],
            [(peer.statistics, peer.peer.held, peer.ending) for peer in peers],
        )


who = st.integers(0, 2)
places = st.integers(0, 2)
topics = st.sampled_from([*["a"] * 8, "b", "a/b", "a/*", "**", "A"])
windows = st.sampled_from([1, 3, 5, 8, 1000])
sizes = st.sampled_from([1, 5, 9, 20, 1000, 1000, 1000])
bodies = st.lists(st.sampled_from([b"", b"1", b"1", b"22", b"x" * 30]), min_size=1, max_size=7)
subscribing = st.tuples(st.just("subscribe"), who, topics, windows, sizes)
steps = st.one_of(
    subscribing,
    st.tuples(st.just("unsubscribe"), who, places),
    *[st.tuples(st.just("publish"), who, topics, bodies, st.booleans())] * 4,
    *[st.tuples(st.just("credit"), who, places, st.integers(0, 5), st.integers(0, 20))] * 2,
    st.tuples(st.just("read"), who),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.6, 1.1])),
)


@given(
    st.lists(subscribing, min_size=1, max_size=4),
    st.lists(steps, min_size=5, max_size=25),
    st.builds(
        limits_with,
        held_messages=st.sampled_from([1, 3, 10, 1000]),
        outbox_bytes=st.sampled_from([8, 8, 40, 1000]),
        total_bytes=st.sampled_from([10, 60, 1_000_000, 1_000_000]),
        matching_steps=st.sampled_from([4, 1000, 1000, 1000]),
        turn_steps=st.sampled_from([1, 5, 4096, 4096]),
        stall=st.just(1.0),
    ),
    st.sampled_from([None, None, NO_B]),
)
@steady(600)
def test_a_run_says_what_its_publications_say(
    opened: list[tuple[Any, ...]], steps: list[tuple[Any, ...]], limits: Limits, access: Access | None
) -> None:
    """Whatever happens on a bus, every connection hears, counts and asks the same with runs and without them."""
    worlds = [World(as_runs, Bus(limits, access)) for as_runs in (True, False)]
    end = [("read", each) for each in range(3)] * 2
    for step in [*opened, *steps, *end]:
        for world in worlds:
            world.do(step)
        assert worlds[0].facts() == worlds[1].facts()
    for world in worlds:
        for peer in world.peers:
            peer.disconnect()
        assert_empty(world.bus.router)


# --- delivered whole


def test_a_run_is_one_object_for_all_receivers() -> None:
    """Everybody who has room for a whole run is delivered that very run, so that it is encoded once."""
    one_bus = bus()
    publisher, *subscribers = (one_bus.connect() for _ in range(3))
    numbers = [subscriber.subscribe(topic) for subscriber, topic in zip(subscribers, ("a", "**"), strict=True)]
    for subscriber in subscribers:
        subscriber.read()
    run = publish_run(publisher, LETTERS)
    for subscriber, number in zip(subscribers, numbers, strict=True):
        (delivery,) = subscriber.outbox.take()
        assert delivery == m.DeliverRun((number,), run)
        assert isinstance(delivery, m.DeliverRun)
        assert delivery.run is run


def test_each_publication_of_a_run_is_acknowledged_and_counted() -> None:
    """One message acknowledges all operations of a run, and each counts as a publication and its deliveries."""
    one_bus = bus()
    publisher, subscriber, _ = open_three(one_bus)
    publisher.subscribe("a")
    publish_run(publisher, LETTERS)
    assert of_kind(publisher.read(), m.Accepted) == [m.Accepted(1, (0, 2, 2, 2))]
    statistics = one_bus.router.statistics()
    assert (statistics.published, statistics.delivered) == (3, 6)
    assert (subscriber.outbox.size, statistics.buffered_bytes) == (6, 6)


def test_a_run_that_reaches_nobody_is_acknowledged_with_zeros() -> None:
    """A run without subscribers is published all the same."""
    one_bus = bus()
    publisher = one_bus.connect()
    publish_run(publisher, LETTERS, paced=True)
    assert publisher.read() == [m.Accepted(1, (0, 0, 0))]
    assert one_bus.router.statistics().published == 3


def test_a_run_waits_behind_what_is_held() -> None:
    """Whoever can take neither all that it holds nor what comes is sent the older first."""
    publisher, subscriber, number = open_three(bus(outbox_bytes=4))
    publish_run(publisher, [b"111", b"2"], paced=True)
    subscriber.outbox.take()
    publish_run(publisher, [b"3"], paced=True)
    subscriber.outbox.written()
    publish_run(publisher, [b"", b""], paced=True)
    assert stream(subscriber.read(), number) == [b"2", b"3"]
    assert stream(subscriber.read(), number) == [b"", b""]


# --- taken apart


def test_who_has_no_room_for_the_whole_run_takes_it_apart() -> None:
    """A subscriber with a small window gets the publications for which there is credit, and the others the run."""
    one_bus = bus()
    publisher, *subscribers = (one_bus.connect() for _ in range(3))
    small, large = subscribers[0].subscribe("a", 2), subscribers[1].subscribe("a", 3)
    for subscriber in subscribers:
        subscriber.read()
    run = publish_run(publisher, LETTERS)
    assert subscribers[0].outbox.take() == [m.Deliver((small,), each) for each in run.publications[:2]]
    assert subscribers[1].outbox.take() == [m.DeliverRun((large,), run)]
    assert acknowledged(publisher.read()) == {1: 2, 2: 2, 3: 1}
    subscribers[0].credit(small)
    assert subscribers[0].read() == [m.Gap(small, 1)]


def test_all_who_take_a_run_apart_share_its_publications() -> None:
    """The publications of a run are made once, so that each is encoded once for all of its receivers."""
    one_bus = bus()
    publisher, *subscribers = (one_bus.connect() for _ in range(3))
    for subscriber in subscribers:
        subscriber.subscribe("a", 2)
    publish_run(publisher, LETTERS)
    one, other = (of_kind(subscriber.read(), m.Deliver) for subscriber in subscribers)
    assert len(one) == len(other) == 2
    assert all(a.publication is b.publication for a, b in zip(one, other, strict=True))


def test_overlapping_subscriptions_take_a_run_apart() -> None:
    """A connection with several subscriptions for a run is sent each publication once, for those that take it."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    small, large = subscriber.subscribe("a", 1), subscriber.subscribe("**", 5)
    subscriber.read()
    publish_run(publisher, LETTERS)
    deliveries = of_kind(subscriber.outbox.take(), m.Deliver)
    assert [each.subscriptions for each in deliveries] == [(small, large), (large,), (large,)]
    assert acknowledged(publisher.read()) == {1: 1, 2: 1, 3: 1}


@pytest.mark.parametrize(("size", "taken"), [(4, 2), (5, 3), (6, 3)])
def test_the_last_of_a_run_may_run_over_the_bytes(size: int, taken: int) -> None:
    """A run that only its last publication takes over the window of bytes is delivered to its end."""
    publisher, subscriber, number = open_three(bus(), size=size)
    publish_run(publisher, LETTERS)
    assert stream(subscriber.read(), number) == LETTERS[:taken]


def test_what_does_not_fit_in_the_outbox_is_missed() -> None:
    """A connection with room for a part of a run gets this part, and a gap where the rest belongs."""
    publisher, subscriber, number = open_three(bus(outbox_bytes=5))
    publish_run(publisher, LETTERS)
    assert stream(subscriber.read(), number) == [b"1", b"2"]
    assert stream(subscriber.read(), number) == [1]


# --- refused


@pytest.mark.parametrize(
    ("topic", "code"),
    [("t", ErrorCode.PERMISSION_DENIED), ("**", ErrorCode.TOPIC_TOO_BROAD), ("A", ErrorCode.INVALID_TOPIC)],
)
@pytest.mark.parametrize("paced", [False, True])
def test_a_refused_run_refuses_each_of_its_operations(topic: str, code: ErrorCode, paced: bool) -> None:
    """Each operation is refused on its own, nothing of it is delivered or counted, and the connection goes on."""
    rules = parse('[everyone]\npublish = ["a"]\npublish_wildcards = ["**"]\nsubscribe = ["**"]')
    one_bus = Bus(Limits(matching_steps=2), rules)
    publisher, subscriber, number = open_three(one_bus)
    for other in ("b", "c", "t"):
        subscriber.subscribe(other)
    publish_run(publisher, LETTERS, topic, paced=paced)
    publisher.publish("a")
    messages = publisher.read()
    assert refused(messages) == dict.fromkeys((1, 2, 3), code)
    assert acknowledged(messages) == {4: 1}
    assert stream(subscriber.read(), number) == [b"x"]
    assert one_bus.router.statistics().published == 1


def test_each_operation_that_is_denied_is_reported() -> None:
    """The access rules count and report a run that they refuse as its publications."""
    one_bus = Bus(access=NO_B)
    publish_run(one_bus.connect(), LETTERS, "b")
    assert one_bus.router.statistics().denied == 3
    assert one_bus.denials() == [("anonymous", "'anonymous' may not publish to 'b'")] * 3
    assert one_bus.denials() == [], "each is reported once"


@pytest.mark.parametrize("first", [1, 5, 6])
def test_a_run_with_used_ids_breaks_the_rules(first: int) -> None:
    """A run whose first id is not above the last is a violation, and nothing of it is published."""
    one_bus = bus()
    publisher, subscriber, _ = open_three(one_bus)
    publisher.feed(m.Unsubscribe(6, 1))
    with pytest.raises(ProtocolViolation, match=f"operation id {first} is not above 6"):
        publisher.feed(m.PublishRun(first, False, m.Run("a", LETTERS)))
    assert publisher.read() == [m.Accepted(6, (0,))]
    assert subscriber.read() == []
    assert one_bus.router.statistics().published == 0


def test_a_run_uses_all_of_its_ids() -> None:
    """What follows a run of three needs an id above its third, and may leave some out."""
    publisher = bus().connect()
    publisher.feed(m.PublishRun(5, False, m.Run("a", LETTERS)))
    with pytest.raises(ProtocolViolation, match="operation id 7 is not above 7"):
        publisher.feed(m.PublishRun(7, False, m.Run("a", LETTERS)))
    publisher.feed(m.Unsubscribe(8, 1))
    publisher.feed(m.PublishRun(12, False, m.Run("a", LETTERS)))
    assert publisher.read() == [m.Accepted(5, (0, 0, 0, 0)), m.Accepted(12, (0, 0, 0))]
