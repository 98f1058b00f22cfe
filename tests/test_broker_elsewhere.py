"""Several servers that are one bus: counts, claims, requests, lag and ends, by their routers alone."""

from __future__ import annotations

from itertools import product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_helpers import Bus, RawPeer, assert_empty
from fleet_helpers import Fleet, fleet
from pure_helpers import limits_with, of_kind, steady
from t2bus.broker.access import Access, Rules
from t2bus.broker.groups import MOST, Groups, group_of
from t2bus.errors import ProtocolViolation
from t2bus.topic import includes, intersects
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode

CLAIMED: Final = ErrorCode.TOPIC_CLAIMED


def outcome(heard: list[m.ServerMessage], operation: int) -> int | ErrorCode | None:
    """What became of an operation: a count, a refusal, or nothing yet."""
    for accepted in of_kind(heard, m.Accepted):
        if 0 <= operation - accepted.first < len(accepted.counts):
            return accepted.counts[operation - accepted.first]
    return next((each.code for each in of_kind(heard, m.Refused) if each.id == operation), None)


def payloads(client: RawPeer) -> list[bytes]:
    return [bytes(each.publication.payload) for each in of_kind(client.read(), m.Deliver)]  # type: ignore[arg-type]


def subscribed(servers: Fleet, name: str, topic: str = "a", **window: int) -> tuple[RawPeer, int]:
    """A client of a server with a subscription that all servers know of."""
    client = servers.client(name)
    number = client.subscribe(topic, **window)
    servers.settle()
    assert outcome(client.read(), number) == 0
    return client, number


def served(servers: Fleet, name: str, topic: str = "s") -> tuple[RawPeer, int]:
    """A client of a server that serves a topic."""
    client = servers.client(name)
    number = client.claim(topic)
    servers.settle()
    assert outcome(client.read(), number) == 0
    return client, number


# --- groups

FRAGMENTS: Final = ("a", "b", "*", "**")
SMALL: Final = ["/".join(each) for length in (1, 2, 3, 4) for each in product(FRAGMENTS, repeat=length)]


@pytest.mark.parametrize("depth", [1, 2])
def test_a_group_includes_its_topics(depth: int) -> None:
    """What a subscription is for, its group is for too, over all small topics and so over all 115,600 pairs of them."""
    assert len(SMALL) ** 2 == 115_600
    for topic in SMALL:
        group = group_of(topic, depth)
        assert includes(group, topic)
        for published in SMALL:
            assert intersects(group, published) or not intersects(topic, published)


topics = st.lists(st.sampled_from(["a", "b", "cc", "*", "**"]), min_size=1, max_size=8).map("/".join)


@given(topics, topics, st.integers(0, 5))
@steady(400)
def test_a_group_misses_nothing(subscribed_to: str, published: str, depth: int) -> None:
    """What reaches a subscription reaches its group, whatever the depth."""
    assert intersects(group_of(subscribed_to, depth), published) or not intersects(subscribed_to, published)


def test_groups_are_bounded() -> None:
    """A server with more groups than it may tell of is told all that is published, and returns to groups after that."""
    groups = Groups()
    for number in range(MOST + 10):
        groups.add(f"t{number}/x")
    assert len(groups.counts) == MOST + 1
    assert groups.counts["**"] == 10
    for number in range(MOST + 10):
        groups.discard(f"t{number}/x")
    assert not groups.counts
    assert groups.add("t1/x") == ("t1/**", True)


def test_a_topic_that_was_not_counted_is_in_no_group() -> None:
    """What no subscription was counted for ends no group."""
    groups = Groups()
    groups.add("a/b")
    assert groups.discard("a/c") is None
    assert groups.counts == {"a/**": 1}
    assert groups.discard("a/b") == "a/**"


# --- publish and subscribe


def test_counts_are_of_all_servers() -> None:
    """A publication reaches subscribers everywhere, and its receipt counts them all."""
    servers = fleet("x", "y", "z")
    near, far, farther = (subscribed(servers, name)[0] for name in "xyz")
    publisher = servers.client("x")
    operation = publisher.publish("a", b"1")
    assert outcome(publisher.read(), operation) is None
    servers.settle()
    assert outcome(publisher.read(), operation) == 3
    assert [payloads(each) for each in (near, far, farther)] == [[b"1"]] * 3


@pytest.mark.parametrize(("subscription", "published"), [("a/*", "a/b"), ("**/b", "a/b"), ("a/b", "*/b"), ("a", "**")])
def test_wildcards_on_both_sides(subscription: str, published: str) -> None:
    """Topics match across servers as they do within one."""
    servers = fleet("x", "y")
    far, _ = subscribed(servers, "y", subscription)
    publisher = servers.client("x")
    operation = publisher.publish(published, b"1")
    servers.settle()
    assert outcome(publisher.read(), operation) == 1
    assert payloads(far) == [b"1"]


def test_what_nobody_elsewhere_wants_stays_here() -> None:
    """A publication for whose group no other server asks is acknowledged at once, and nothing is sent."""
    servers = fleet("x", "y")
    subscribed(servers, "y", "other")
    publisher = servers.client("x")
    operation = publisher.publish("a")
    assert outcome(publisher.read(), operation) == 0
    servers.ways["x", "y"].write()
    assert not servers.ways["x", "y"].frames


def test_one_hop() -> None:
    """What comes from another server goes to clients alone: three servers in a ring do not send it on."""
    servers = fleet("x", "y", "z")
    clients = [subscribed(servers, name)[0] for name in "yz"]
    publisher = servers.client("x")
    publisher.publish("a", b"1")
    servers.settle()
    assert [payloads(each) for each in clients] == [[b"1"], [b"1"]]


def test_a_subscription_waits_until_all_know_it() -> None:
    """A subscription is acknowledged when every server has been told, so what is published anywhere after it comes."""
    servers = fleet("x", "y", "z")
    client = servers.client("x")
    number = client.subscribe("a/b")
    servers.ways["x", "y"].write()
    servers.ways["x", "y"].carry()
    servers.ways["y", "x"].write()
    servers.ways["y", "x"].carry()
    assert outcome(client.read(), number) is None
    servers.settle()
    assert outcome(client.read(), number) == 0


def test_a_second_subscription_of_a_group_is_known_already() -> None:
    """A subscription whose group the others know is acknowledged at once."""
    servers = fleet("x", "y")
    subscribed(servers, "x", "a/b")
    client = servers.client("x")
    number = client.subscribe("a/c")
    assert outcome(client.read(), number) == 0


def test_the_last_subscription_of_a_group_is_told() -> None:
    """Behind the last subscription of a group nothing more is sent for it."""
    servers = fleet("x", "y")
    one, first = subscribed(servers, "y", "a/b")
    two, _ = subscribed(servers, "y", "a/c")
    publisher = servers.client("x")
    one.unsubscribe(first)
    servers.settle()
    publisher.publish("a/c", b"1")
    servers.settle()
    assert payloads(two) == [b"1"]
    two.disconnect()
    servers.settle()
    publisher.read()
    operation = publisher.publish("a/c")
    assert outcome(publisher.read(), operation) == 0


def test_a_run_travels_as_one() -> None:
    """A run goes to another server as a run, and each of it is counted."""
    servers = fleet("x", "y")
    far, number = subscribed(servers, "y", messages=100, size=10_000)
    publisher = servers.client("x")
    publisher.feed(m.PublishRun(1, False, m.Run("a", [b"1", b"2", b"3"])))
    servers.ways["x", "y"].write()
    assert len(servers.ways["x", "y"].frames) == 1
    servers.settle()
    assert of_kind(publisher.read(), m.Accepted) == [m.Accepted(1, (1, 1, 1))]
    assert of_kind(far.peer.outbox.take(), m.DeliverRun) == [m.DeliverRun((number,), m.Run("a", [b"1", b"2", b"3"]))]


def test_a_slow_subscriber_elsewhere_misses_exactly_what_is_told() -> None:
    """What a subscriber at another server misses is told in its place, with its number, and the publisher's receipt
    tells that too.
    """
    servers = fleet("x", "y")
    far, number = subscribed(servers, "y", messages=2)
    publisher = servers.client("x")
    operations = [publisher.publish("a", b"%d" % n) for n in range(5)]
    servers.settle()
    heard = publisher.read()
    assert [outcome(heard, each) for each in operations] == [1, 1, 0, 0, 0]
    assert of_kind(heard, m.Unreached) == [m.Unreached(3, (1, 1, 1))]
    assert payloads(far) == [b"0", b"1"]
    far.credit(number, 2, 1000)
    assert of_kind(far.read(), m.Gap) == [m.Gap(number, 3)]


def test_a_full_way_tells_what_is_missing() -> None:
    """What does not even get on the way is missing at the subscribers over there that it was for, and at no other."""
    servers = fleet("x", "y", subscription_messages=3)
    far, number = subscribed(servers, "y", "a/*", messages=100)
    other, _ = subscribed(servers, "y", "a/2", messages=100)
    publisher = servers.client("x")
    operations = [publisher.publish(topic, b"x") for topic in ("a/1", "a/1", "a/1", "a/1", "a/2", "a/1")]
    servers.settle()
    heard = publisher.read()
    assert [outcome(heard, each) for each in operations] == [1, 1, 1, 0, 0, 0]
    assert payloads(far) == [b"x"] * 3
    far.credit(number, 3, 1000)
    publisher.publish("a/1", b"y")
    servers.settle()
    after = far.read()
    assert of_kind(after, m.Gap) == [m.Gap(number, 3)]
    assert [each.publication.payload for each in of_kind(after, m.Deliver)] == [b"y"]
    assert of_kind(other.read(), m.Gap) == [m.Gap(1, 1)]


def test_a_paced_publication_waits_for_a_subscriber_elsewhere() -> None:
    """A paced publication is acknowledged when the slow subscriber at the other server has taken it."""
    servers = fleet("x", "y")
    far, number = subscribed(servers, "y", messages=1)
    publisher = servers.client("x")
    operations = [publisher.publish("a", b"%d" % n, paced=True) for n in range(2)]
    servers.settle()
    heard = publisher.read()
    assert [outcome(heard, each) for each in operations] == [1, None]
    far.credit(number, 1, 1000)
    servers.settle()
    assert outcome(publisher.read(), operations[1]) == 1
    assert payloads(far) == [b"0", b"1"]


def test_a_paced_publication_is_held_where_the_way_is_full() -> None:
    """A paced publication waits for room on the way, and is given up when that stands still for twice the stall."""
    servers = fleet("x", "y", subscription_messages=1, stall=1.0)
    far, _ = subscribed(servers, "y", messages=1)
    publisher = servers.client("x")
    operations = [publisher.publish("a", b"%d" % n, paced=True) for n in range(3)]
    servers.settle()
    assert outcome(publisher.read(), operations[0]) == 1
    servers.servers["y"].router.expire(1.0)
    servers.settle()
    router = servers.servers["x"].router
    router.expire(2.5)
    servers.settle()
    far.read()
    heard = publisher.read()
    assert outcome(heard, operations[2]) == 0
    assert router.statistics().deliveries_held == 0


def test_a_server_that_goes_counts_nothing() -> None:
    """What a server has not counted when it goes reached nobody there that is known, and its publisher is told so."""
    servers = fleet("x", "y")
    near, _ = subscribed(servers, "x")
    subscribed(servers, "y")
    publisher = servers.client("x")
    operations = [publisher.publish("a", paced=paced) for paced in (False, True)]
    assert [outcome(publisher.read(), each) for each in operations] == [None, None]
    servers.part("x", "y")
    heard = publisher.read()
    assert [outcome(heard, each) for each in operations] == [1, 1]
    assert of_kind(heard, m.Unreached) == [m.Unreached(operations[0], (1, 1))]
    assert len(payloads(near)) == 2


def test_a_server_that_joins_is_told_all() -> None:
    """A server that comes later is told of the subscriptions and services that there are."""
    servers = fleet("x", "y", "z")
    servers.part("x", "z")
    servers.part("y", "z")
    far, _ = subscribed(servers, "x")
    server, _ = served(servers, "y")
    servers.join("x", "y", "z")
    servers.settle()
    late = servers.client("z")
    operation = late.publish("a", b"1")
    late.request("s", b"q")
    servers.settle()
    assert outcome(late.read(), operation) == 1
    assert payloads(far) == [b"1"]
    assert [call.payload for call in of_kind(server.read(), m.Call)] == [b"q"]


# --- services


def test_a_request_to_another_server() -> None:
    """A request finds its service wherever it is, and the answer comes back."""
    servers = fleet("x", "y")
    server, _ = served(servers, "y")
    client = servers.client("x")
    operation = client.request("s", b"q")
    servers.settle()
    (call,) = of_kind(server.read(), m.Call)
    assert (call.topic, call.payload) == ("s", b"q")
    server.feed(m.Respond(call.id, b"a"))
    servers.settle()
    assert of_kind(client.read(), m.Response) == [m.Response(operation, b"a")]


@pytest.mark.parametrize("code", [ErrorCode.REMOTE_ERROR, ErrorCode.MALFORMED_MESSAGE])
def test_a_failure_comes_back(code: ErrorCode) -> None:
    """A call that fails at another server fails at the caller, with the same words."""
    servers = fleet("x", "y")
    server, _ = served(servers, "y")
    client = servers.client("x")
    operation = client.request("s")
    servers.settle()
    (call,) = of_kind(server.read(), m.Call)
    server.feed(m.Fail(call.id, code, "no"))
    servers.settle()
    assert of_kind(client.read(), m.Refused) == [m.Refused(operation, code, "no")]


def test_a_topic_that_nobody_serves_is_refused_at_once() -> None:
    """A request for a topic without a service is refused without asking anybody."""
    servers = fleet("x", "y")
    client = servers.client("x")
    operation = client.request("s")
    assert outcome(client.read(), operation) is ErrorCode.SERVICE_NOT_FOUND


def test_a_request_that_is_given_up() -> None:
    """The responder at another server is told that nobody waits any more."""
    servers = fleet("x", "y")
    server, _ = served(servers, "y")
    client = servers.client("x")
    operation = client.request("s")
    servers.settle()
    (call,) = of_kind(server.read(), m.Call)
    client.feed(m.Cancel(operation))
    servers.settle()
    assert of_kind(server.read(), m.Withdraw) == [m.Withdraw(call.id)]


@pytest.mark.parametrize("way", ["unclaim", "disconnect", "part"])
def test_a_service_that_leaves(way: str) -> None:
    """Requests that are pending at a service that leaves, or at a server that does, end with ``ServiceGone``."""
    servers = fleet("x", "y")
    server, number = served(servers, "y")
    client = servers.client("x")
    operation = client.request("s")
    servers.settle()
    match way:
        case "unclaim":
            server.unclaim(number)
        case "disconnect":
            server.disconnect()
        case _:
            servers.part("x", "y")
    servers.settle()
    assert outcome(client.read(), operation) is ErrorCode.SERVICE_GONE
    operation = client.request("s")
    assert outcome(client.read(), operation) is ErrorCode.SERVICE_NOT_FOUND


def test_a_service_that_finishes() -> None:
    """A service that finishes answers what is pending, also for another server, and its topic is free everywhere."""
    servers = fleet("x", "y")
    server, number = served(servers, "y")
    client = servers.client("x")
    operation = client.request("s")
    servers.settle()
    (call,) = of_kind(server.read(), m.Call)
    server.feed(m.Unclaim(server.next_operation(), number, finishes=True))
    servers.settle()
    other, _ = served(servers, "x")
    server.feed(m.Respond(call.id, b"a"))
    servers.settle()
    assert of_kind(client.read(), m.Response) == [m.Response(operation, b"a")]
    assert other.statistics.services == ["s"]


# --- claims


def test_a_claim_of_what_another_server_has() -> None:
    """A topic that is served at another server cannot be claimed here, and can when it is free."""
    servers = fleet("x", "y")
    holder, held = served(servers, "y")
    client = servers.client("x")
    operation = client.claim("s")
    assert outcome(client.read(), operation) is CLAIMED
    holder.unclaim(held)
    servers.settle()
    served(servers, "x")


@given(st.permutations("xyz"), st.data())
@steady(200)
def test_simultaneous_claims_have_one_winner(order: list[str], data: st.DataObject) -> None:
    """Of claims at three servers at once one is accepted, in whatever order they hear of each other."""
    servers = fleet("x", "y", "z")
    clients = {}
    for name in order:
        servers.now += data.draw(st.sampled_from([0.0, 1.0]))
        client = clients[name] = servers.client(name)
        client.claim("s")
    for _ in range(data.draw(st.integers(0, 20))):
        way = servers.ways[data.draw(st.sampled_from(sorted(servers.ways)))]
        way.write()
        way.carry(data.draw(st.integers(0, 2)))
    servers.settle()
    outcomes = [outcome(client.read(), 1) for client in clients.values()]
    assert sorted(outcomes, key=repr) == sorted([0, CLAIMED, CLAIMED], key=repr)
    winner = next(name for name, each in zip(clients, outcomes, strict=True) if each == 0)
    for name in "xyz":
        asker = servers.client(name)
        asker.request("s")
        servers.settle()
        assert len(of_kind(clients[winner].read(), m.Call)) == 1


def test_healed_the_older_claim_wins() -> None:
    """Two servers that could not reach each other each had a service: the younger one is revoked when they can."""
    servers = fleet("x", "y")
    servers.part("x", "y")
    older, _ = served(servers, "y")
    servers.now = 5.0
    younger, claim = served(servers, "x")
    servers.join("x", "y")
    servers.settle()
    assert outcome(younger.read(), claim) is CLAIMED
    assert not of_kind(older.read(), m.Refused)
    client = servers.client("x")
    client.request("s")
    servers.settle()
    assert len(of_kind(older.read(), m.Call)) == 1


def test_a_claim_needs_enough_servers() -> None:
    """Where too few servers can be reached a claim is refused, and what was claimed before stays."""
    servers = fleet("x", "y", "z", least=2)
    holder, _ = served(servers, "x", "before")
    servers.part("x", "y")
    servers.part("x", "z")
    client = servers.client("x")
    operation = client.claim("s")
    assert outcome(client.read(), operation) is CLAIMED
    assert holder.statistics.services == ["before"]
    served(servers, "y")


def test_the_end_of_a_service_waits_until_all_know_it() -> None:
    """A service has ended for its client when every server knows it: from then on any of them gives the topic away."""
    servers = fleet("x", "y", "z")
    holder, held = served(servers, "x")
    ending = holder.unclaim(held)
    assert holder.statistics.services == []
    for name in "yz":
        assert outcome(holder.read(), ending) is None
        for way in (servers.ways["x", name], servers.ways[name, "x"]):
            way.write()
            way.carry()
    assert outcome(holder.read(), ending) == 0
    client = servers.client("y")
    operation = client.claim("s")
    servers.settle()
    assert outcome(client.read(), operation) == 0


def test_the_end_of_a_service_does_not_wait_for_who_is_gone() -> None:
    """The end of a service that waits for a server is acknowledged when that goes, and so is what has ended already."""
    servers = fleet("x", "y")
    holder, held = served(servers, "x")
    ending, again = holder.unclaim(held), holder.unclaim(held)
    assert [outcome(holder.peer.outbox.peek(), each) for each in (ending, again)] == [None, 0]
    servers.part("x", "y")
    assert outcome(holder.read(), ending) == 0


def test_a_topic_that_is_claimed_again_while_its_end_is_told() -> None:
    """A client may claim a topic again before the end of its first service is acknowledged."""
    servers = fleet("x", "y")
    holder, held = served(servers, "x")
    ending, again = holder.unclaim(held), holder.claim("s")
    servers.settle()
    heard = holder.read()
    assert [outcome(heard, each) for each in (ending, again)] == [0, 0]
    asker = servers.client("y")
    asker.request("s")
    servers.settle()
    assert [each.service for each in of_kind(holder.read(), m.Call)] == [again]


def test_a_claim_does_not_wait_for_who_is_gone() -> None:
    """A claim and a subscription that wait for a server are settled when that goes."""
    servers = fleet("x", "y")
    client = servers.client("x")
    claim, subscription = client.claim("s"), client.subscribe("a")
    assert [outcome(client.peer.outbox.peek(), each) for each in (claim, subscription)] == [None, None]
    servers.part("x", "y")
    heard = client.read()
    assert [outcome(heard, each) for each in (claim, subscription)] == [0, 0]


def test_a_claim_waits_for_who_joins() -> None:
    """A server that joins while a claim waits for others is asked too."""
    servers = fleet("x", "y", "z")
    servers.part("x", "z")
    holder, _ = served(servers, "z", "mine")
    client = servers.client("x")
    operation = client.claim("mine")
    servers.join("x", "z")
    servers.settle()
    assert outcome(client.read(), operation) is CLAIMED
    assert holder.statistics.services == ["mine"]


def test_nothing_is_left() -> None:
    """When all clients and servers have gone nothing is left in any table."""
    servers = fleet("x", "y")
    clients = [subscribed(servers, name)[0] for name in "xy"] + [served(servers, "x")[0]]
    publisher = servers.client("y")
    publisher.publish("a", paced=True)
    publisher.request("s")
    publisher.claim("t")
    for client in (*clients, publisher):
        client.disconnect()
    servers.settle()
    servers.part("x", "y")
    for server in servers.servers.values():
        server.router.take_dirty()
        assert_empty(server.router)


# --- what else servers say to each other


def said(servers: Fleet, message: object) -> list[m.ServerMessage]:
    """What ``x`` answers when ``y`` says this."""
    peer = servers.peers["x", "y"]
    servers.settle()
    peer.outbox.take()
    servers.servers["x"].router.feed(peer, [message], servers.now)  # type: ignore[list-item]
    return peer.outbox.take()


def test_a_sign_of_life_is_answered() -> None:
    """A server answers the PING of another, and a PONG changes nothing."""
    servers = fleet("x", "y")
    assert said(servers, m.Ping(7)) == [m.Pong(7)]
    assert said(servers, m.Pong(7)) == []


@pytest.mark.parametrize("message", [m.Goodbye("bye"), m.Error("no")])
def test_the_last_word_of_a_server(message: m.Goodbye | m.Error) -> None:
    """A server that says goodbye, or why it cannot go on, is disconnected."""
    servers = fleet("x", "y")
    said(servers, message)
    ending = servers.peers["x", "y"].ending
    assert ending is not None
    assert message.text in ending.reason


@pytest.mark.parametrize(
    "message", [m.Respond(1, b""), m.Credit((1, 1, 1)), m.Claim(9, "s", 1, 1), m.Welcome(1, "", (), *[1] * 10)]
)
def test_what_no_server_says(message: object) -> None:
    """What only clients say breaks the rules between servers."""
    servers = fleet("x", "y")
    with pytest.raises(ProtocolViolation, match="no server says"):
        said(servers, message)


def test_a_server_with_other_limits() -> None:
    """A server that cannot take a group, a topic or a publication of another refuses that, and all else goes on."""
    servers = fleet("x", "y")
    servers.servers["x"] = Bus(limits_with(topic_length=20))
    servers.servers["x"].router.elsewhere.begin("x", 1000.0, depth=1, least=1)
    servers.part("x", "y")
    servers.join("x", "y")
    near, _ = subscribed(servers, "x")
    client = servers.client("y")
    long = "a" * 30
    subscription, operation = client.subscribe(long), client.publish("a")
    servers.settle()
    heard = client.read()
    assert [outcome(heard, each) for each in (subscription, operation)] == [0, 1]
    assert payloads(near) == [b"x"]
    subscribed(servers, "x", "**")
    operation = client.publish(long)
    servers.settle()
    heard = client.read()
    assert outcome(heard, operation) == 1
    assert of_kind(heard, m.Unreached) == [m.Unreached(operation, (1,))]
    assert said(servers, m.Lapse(long, 3)) == []


def test_a_request_takes_one_hop() -> None:
    """A request that comes from a server for a topic that a third one serves is refused: its way is another."""
    servers = fleet("x", "y", "z")
    served(servers, "z")
    servers.part("y", "z")
    (refused,) = said(servers, m.Call(1000, 1, None, "s", b""))
    assert isinstance(refused, m.Refused)
    assert refused.code is ErrorCode.SERVICE_NOT_FOUND


def test_a_subscription_that_ends_before_all_know_it() -> None:
    """A group whose last subscription is closed while it waits is forgotten everywhere, and answered."""
    servers = fleet("x", "y")
    client = servers.client("x")
    subscription = client.subscribe("a")
    closing = client.unsubscribe(subscription)
    servers.settle()
    heard = client.read()
    assert [outcome(heard, each) for each in (subscription, closing)] == [0, 0]
    publisher = servers.client("y")
    operation = publisher.publish("a")
    assert outcome(publisher.read(), operation) == 0


@pytest.mark.parametrize("broken", ["groups.Groups.add", "outbox.Outbox.fits"])
def test_a_subscription_that_fails_half_way_leaves_nothing(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the bus itself fail between a subscription and its group, the end of that connection cleans up."""
    servers = fleet("x", "y", "z")
    client = servers.client("x")
    with monkeypatch.context() as patch:
        patch.setattr(f"t2bus.broker.{broken}", None)
        with pytest.raises(TypeError):
            client.subscribe("a")
    client.disconnect()
    servers.settle()
    subscribed(servers, "x")[0].disconnect()
    servers.part("x", "y")
    servers.part("x", "z")
    servers.settle()
    assert_empty(servers.servers["x"].router)


def test_an_end_that_cannot_be_told_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the bus itself fail over one end that other servers are to be told of, the others are told."""
    servers = fleet("x", "y")
    holder, held = served(servers, "x")
    one, number = subscribed(servers, "x")
    router = servers.servers["x"].router
    one.unsubscribe(number)
    holder.unclaim(held)
    with monkeypatch.context() as patch:
        patch.setattr("t2bus.broker.groups.Groups.discard", None)
        with pytest.raises(TypeError):
            router.take_dirty()
        servers.settle()
        served(servers, "y")


def test_too_much_to_be_told() -> None:
    """A server that does not read what it is told of the clients here is disconnected."""
    servers = fleet("x", "y", outbox_bytes=1000)
    client = servers.client("x")
    for number in range(20):
        client.subscribe(f"t{number}")
    ending = servers.peers["x", "y"].ending
    assert ending is not None
    assert "Limits.outbox_bytes" in ending.reason


def test_a_large_publication_is_not_held() -> None:
    """A paced publication that is too large to be held is missed by a server whose way is full."""
    servers = fleet("x", "y", subscription_messages=1, total_bytes=4000, frame=1000)
    subscribed(servers, "y", messages=1)
    publisher = servers.client("x")
    first, second = publisher.publish("a", paced=True), publisher.publish("a", bytes(1500), paced=True)
    heard = publisher.read()
    assert [outcome(heard, each) for each in (first, second)] == [None, 0]


def test_runs_where_the_way_is_full() -> None:
    """A run that a full way cannot take as one goes apart, the next is missed as one, and all of it is told."""
    servers = fleet("x", "y", subscription_messages=2)
    far, number = subscribed(servers, "y", messages=2)
    publisher = servers.client("x")
    publisher.feed(m.PublishRun(1, False, m.Run("a", [b"1", b"2", b"3"])))
    publisher.feed(m.PublishRun(4, False, m.Run("a", [b"4", b"5"])))
    servers.settle()
    heard = publisher.read()
    assert [outcome(heard, each) for each in range(1, 6)] == [1, 1, 0, 0, 0]
    assert payloads(far) == [b"1", b"2"]
    far.credit(number, 2, 1000)
    assert of_kind(far.read(), m.Gap) == [m.Gap(number, 3)]


def test_what_was_held_goes_as_a_run() -> None:
    """Paced publications that waited for the way go to the other server as one run when there is room."""
    servers = fleet("x", "y", subscription_messages=2)
    far, _ = subscribed(servers, "y", messages=2)
    publisher = servers.client("x")
    for number in range(4):
        publisher.publish("a", b"%d" % number, paced=True)
    servers.settle()
    heard = payloads(far)
    far.credit(1, 2, 1000)
    servers.settle()
    assert heard + payloads(far) == [b"0", b"1", b"2", b"3"]


def test_a_server_that_counts_nothing_for_long() -> None:
    """What is held for a server, and missed, in whatever order, is told by topic when it counts again: nobody misses
    more than he is told.
    """
    servers = fleet("x", "y", subscription_messages=1, stall=1.0)
    far, number = subscribed(servers, "y", "a/*", messages=1)
    publisher = servers.client("x")
    for topic, paced in (("a/0", False), ("a/1", False), ("a/2", True), ("a/3", False), ("a/4", True)):
        publisher.publish(topic, paced=paced)
    servers.servers["x"].router.expire(2.5)
    servers.settle()
    assert payloads(far) == [b"x"]
    far.credit(number, 1, 1000)
    servers.settle()
    assert of_kind(far.read(), m.Gap) == [m.Gap(number, 4)]


def test_many_topics_are_missing() -> None:
    """A gap of very many topics is told of some of them, and of the rest together."""
    servers = fleet("x", "y", subscription_messages=1)
    far, number = subscribed(servers, "y", "a/*", messages=1)
    publisher = servers.client("x")
    for topic in range(300):
        publisher.publish(f"a/{topic}")
    servers.settle()
    assert payloads(far) == [b"x"]
    far.credit(number, 1, 1000)
    assert of_kind(far.read(), m.Gap) == [m.Gap(number, 299)]


def test_a_server_begins_among_others_with_what_it_has() -> None:
    """Subscriptions that were opened before a server was one of several are known to the others; the bus's own topics
    are not theirs.
    """
    servers = fleet("x", "y")
    servers.part("x", "y")
    alone = servers.servers["x"] = Bus()
    client = servers.client("x")
    client.subscribe("a")
    client.subscribe("bus/event/*")
    alone.router.elsewhere.begin("x", 1000.0, depth=1, least=1)
    servers.join("x", "y")
    servers.settle()
    publisher = servers.client("y")
    operation = publisher.publish("a")
    servers.settle()
    assert outcome(publisher.read(), operation) == 1
    assert outcome(client.read(), client.subscribe("bus/**")) is None
    assert set(alone.router.elsewhere.groups.counts) == {"a/**"}


def test_new_rules_do_not_concern_servers() -> None:
    """Access rules are for clients: a server stays when they change."""
    servers = fleet("x", "y")
    subscribed(servers, "y")
    servers.servers["x"].router.set_access(Access(Rules(), {}))
    assert servers.peers["x", "y"].ending is None


def test_what_is_closed_at_once() -> None:
    """A claim that too few servers may accept is not told to those that are here."""
    servers = fleet("x", "y", least=3)
    client = servers.client("x")
    operation = client.claim("s")
    servers.settle()
    assert outcome(client.read(), operation) is CLAIMED
    assert not servers.servers["y"].router.elsewhere.claims.all


@pytest.mark.parametrize("is_refused", [True, False])
def test_what_is_over_already(is_refused: bool) -> None:
    """What a server says of a subscription, a publication or a claim that is over changes nothing."""
    servers = fleet("x", "y")
    client = servers.client("x")
    claim = client.claim("s")
    servers.ways["x", "y"].write()
    (member,) = servers.servers["x"].router.elsewhere.members.values()
    (stake,) = member.staked
    client.disconnect()
    router, peer = servers.servers["x"].router, servers.peers["x", "y"]
    late = m.Refused(stake, CLAIMED, "late") if is_refused else m.Accepted(stake, (0,))
    router.feed(peer, [late], 0.0)  # type: ignore[list-item]
    assert outcome(client.read(), claim) is None
    assert said(servers, m.Unreached(999, (1,))) == []
    assert said(servers, m.Unsubscribe(1000, 999)) == []
    assert said(servers, m.Refused(1001, CLAIMED, "what")) == []


def test_a_lagging_server_holds_nobody() -> None:
    """A server that has counted nothing for twice the stall holds no paced publisher any more."""
    servers = fleet("x", "y", subscription_messages=1, stall=1.0)
    subscribed(servers, "y", messages=1)
    publisher = servers.client("x")
    publisher.publish("a", paced=True)
    publisher.publish("a", paced=True)
    servers.servers["x"].router.expire(2.5)
    publisher.read()
    operation = publisher.publish("a", paced=True)
    assert outcome(publisher.read(), operation) == 0


# --- limits that are not the same


def unequal() -> Fleet:
    """Two servers, of which y has frames of 1,000 bytes."""
    servers = Fleet({"x": Bus(), "y": Bus(limits_with(frame=1000))})
    for name, server in servers.servers.items():
        server.router.elsewhere.begin(name, 1000.0, depth=1, least=1)
    servers.join("x", "y")
    return servers


def test_a_publication_that_clients_there_cannot_read() -> None:
    """A publication that is longer than a frame of another server is missed there, told, and counted as missed."""
    servers = unequal()
    far, number = subscribed(servers, "y")
    publisher = servers.client("x")
    operations = [publisher.publish("a", bytes(size)) for size in (900, 1000, 10)]
    servers.settle()
    heard = publisher.read()
    assert [outcome(heard, each) for each in operations] == [1, 0, 1]
    said = far.read()
    assert [len(each.publication.payload) for each in of_kind(said, m.Deliver)] == [900, 10]
    assert of_kind(said, m.Gap) == [m.Gap(number, 1)]
    assert of_kind(heard, m.Unreached) == [m.Unreached(operations[1], (1,))]


def test_a_run_that_clients_there_cannot_read_as_one() -> None:
    """Of a run that is longer than a frame of another server, those are given there that fit in one."""
    servers = unequal()
    far, _ = subscribed(servers, "y")
    publisher = servers.client("x")
    publisher.feed(m.PublishRun(1, False, m.Run("a", [bytes(600), bytes(2000), bytes(700)])))
    servers.settle()
    heard = publisher.read()
    assert [outcome(heard, each) for each in (1, 2, 3)] == [1, 0, 1]
    assert [len(each) for each in payloads(far)] == [600, 700]


def test_a_request_that_the_service_could_not_read_is_refused() -> None:
    """A request that is longer than a frame of the server of its service is refused, and the service goes on."""
    servers = unequal()
    far, _ = served(servers, "y")
    requester = servers.client("x")
    for number, size in ((1, 1000), (2, 10)):
        requester.feed(m.Ask(number, None, "s", bytes(size)))
    servers.settle()
    assert outcome(requester.read(), 1) is ErrorCode.MESSAGE_TOO_LARGE
    assert [len(each.payload) for each in of_kind(far.read(), m.Call)] == [10]
