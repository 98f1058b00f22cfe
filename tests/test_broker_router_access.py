"""Access rules in the router: what is refused changes nothing but a count, and new rules hold at once."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_helpers import Bus, RawPeer, assert_empty
from pure_helpers import HELLO, acknowledged, of_kind, payloads, publication, refused, steady
from t2bus.broker.access import Verb
from t2bus.broker.access_file import parse
from t2bus.broker.identity import ANONYMOUS, Identity
from t2bus.broker.peer import Ending
from t2bus.errors import PermissionDenied, ProtocolViolation
from t2bus.limits import Limits
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from t2bus.broker.access import Access

ALICE = Identity("alice", ("staff",))
BOB = Identity("bob")

ALL = parse('[everyone]\npublish=["**"]\npublish_wildcards=["**"]\nsubscribe=["**"]\nserve=["**"]\nrequest=["**"]')
NOTHING = parse("")

OPERATIONS: dict[str, tuple[Callable[[RawPeer], int], str]] = {
    "publish": (lambda peer: peer.publish("t/a"), "publish to 't/a'"),
    "publish, paced": (lambda peer: peer.publish("t/a", paced=True), "publish to 't/a'"),
    "publish_wildcards": (lambda peer: peer.publish("t/*"), "publish with wildcards to 't/*'"),
    "subscribe": (lambda peer: peer.subscribe("t/**"), "subscribe to 't/**'"),
    "serve": (lambda peer: peer.claim("t/a"), "serve 't/a'"),
    "request": (lambda peer: peer.request("t/a"), "request 't/a'"),
}
"""What needs a right, each with the words for it."""

RULES = {name: f'{name.partition(",")[0]} = ["t/**"]' for name in OPERATIONS}


def everyone(*rules: str) -> Access:
    return parse("\n".join(["[everyone]", *rules]))


# --- verdicts


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_no_rule_allows_is_refused(name: str) -> None:
    """Each operation is refused with words for what it was and to whom, and is reported and counted once."""
    operate, phrase = OPERATIONS[name]
    bus = Bus(access=everyone(*{rule for rule in RULES.values() if rule != RULES[name]}))
    peer = bus.connect(identity=BOB)
    number = operate(peer)
    text = f"'bob' may not {phrase}"
    assert peer.read() == [m.Refused(number, ErrorCode.PERMISSION_DENIED, text)]
    assert bus.denials() == [("bob", text)]
    assert bus.router.statistics().denied == 1
    peer.disconnect()
    assert_empty(bus.router)


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_a_rule_allows_is_carried_out(name: str) -> None:
    """With the one right that it needs an operation is answered by the bus itself."""
    operate, _ = OPERATIONS[name]
    bus = Bus(access=everyone(RULES[name]))
    peer = bus.connect()
    number = operate(peer)
    messages = peer.read()
    if name == "request":
        assert refused(messages) == {number: ErrorCode.SERVICE_NOT_FOUND}
    else:
        assert acknowledged(messages) == {number: 0}
    assert bus.denials() == []
    assert bus.router.statistics().denied == 0


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_denied_is_refused_whatever_allows_it(name: str) -> None:
    """A deny rule that meets the topic wins."""
    operate, phrase = OPERATIONS[name]
    rule = RULES[name]
    bus = Bus(access=everyone(rule, f"deny = {{ {rule.replace('t/**', '*/a')} }}"))
    peer = bus.connect()
    operate(peer)
    assert bus.denials() == [("anonymous", f"'anonymous' may not {phrase}")]


@pytest.mark.parametrize("name", OPERATIONS)
def test_without_rules_everything_is_allowed(name: str) -> None:
    """A bus that was given no rules asks nobody for rights."""
    operate, _ = OPERATIONS[name]
    bus = Bus()
    peer = bus.connect()
    assert peer.peer.permissions is None
    operate(peer)
    assert ErrorCode.PERMISSION_DENIED not in refused(peer.read()).values()


def test_a_refused_publication_reaches_nobody() -> None:
    """Those who have subscribed hear nothing of it, and it is not counted as published."""
    bus = Bus(access=everyone('subscribe = ["**"]'))
    subscriber, publisher = bus.connect(), bus.connect()
    subscriber.subscribe("t/a")
    subscriber.read()
    publisher.publish("t/a")
    publisher.publish("**", paced=True)
    assert subscriber.read() == []
    assert bus.router.statistics().published == 0


def test_a_refused_subscription_hears_nothing() -> None:
    """A subscription that was refused is none, and asks again under a new number."""
    bus = Bus(access=everyone('publish = ["**"]', 'subscribe = ["t/a"]'))
    peer = bus.connect()
    peer.subscribe("t/*")
    peer.read()
    peer.publish("t/a", b"before")
    peer.subscribe("t/a")
    peer.publish("t/a", b"after")
    assert payloads(peer.read()) == [b"after"]


def test_a_refused_claim_leaves_the_topic_free() -> None:
    """Who may not serve a topic keeps nobody else from it."""
    bus = Bus(access=parse('[identity.alice]\nserve = ["s"]'))
    bob, alice = bus.connect(identity=BOB), bus.connect(identity=ALICE)
    bob.claim("s")
    number = alice.claim("s")
    assert acknowledged(alice.read()) == {number: 0}


def test_who_may_not_request_learns_nothing_of_services() -> None:
    """A refused request is refused alike whether somebody serves its topic or not."""
    bus = Bus(access=everyone('serve = ["**"]'))
    peer = bus.connect()
    before = peer.request("s")
    peer.claim("s")
    after = peer.request("s")
    texts = {message.id: message.text for message in of_kind(peer.read(), m.Refused)}
    assert texts[before] == texts[after] == "'anonymous' may not request 's'"


def test_an_answer_needs_no_right() -> None:
    """Who may serve may answer, and who may request hears the answer."""
    bus = Bus(access=parse('[identity.alice]\nserve = ["s"]\n[identity.bob]\nrequest = ["s"]'))
    alice, bob = bus.connect(identity=ALICE), bus.connect(identity=BOB)
    alice.claim("s")
    answered, failed = bob.request("s"), bob.request("s")
    first, second = of_kind(alice.read(), m.Call)
    alice.feed(m.Respond(first.id, b"yes"))
    alice.feed(m.Fail(second.id, ErrorCode.REMOTE_ERROR, "no"))
    assert bob.read() == [m.Response(answered, b"yes"), m.Refused(failed, ErrorCode.REMOTE_ERROR, "no")]
    assert bus.denials() == []


def test_ending_needs_no_right() -> None:
    """What ends something, or keeps the connection alive, is never refused."""
    bus = Bus(access=NOTHING)
    peer = bus.connect()
    unsubscribed, unclaimed = peer.unsubscribe(1), peer.unclaim(1)
    peer.credit(1)
    peer.feed(m.Cancel(1))
    peer.feed(m.Ping(7))
    messages = peer.read()
    assert acknowledged(messages) == {unsubscribed: 0, unclaimed: 0}
    assert of_kind(messages, m.Pong) == [m.Pong(7)]
    assert bus.denials() == []


@pytest.mark.parametrize("topic", ["A", "a//b", "x" * 21, "a/b/c/d"])
@pytest.mark.parametrize("access", [ALL, NOTHING])
def test_what_is_no_topic_is_not_denied(topic: str, access: Access) -> None:
    """An invalid topic, by the bounds of this bus, is refused as such, with rules of any kind."""
    bus = Bus(Limits(topic_length=20, topic_depth=3), access)
    peer = bus.connect()
    numbers = [peer.publish(topic), peer.subscribe(topic), peer.claim(topic), peer.request(topic)]
    assert refused(peer.read()) == dict.fromkeys(numbers, ErrorCode.INVALID_TOPIC)
    assert bus.denials() == []
    assert bus.router.statistics().denied == 0


def test_breaking_the_wire_is_no_question_of_rights() -> None:
    """With rules or without, a used number or an empty window ends the connection."""
    peer = Bus(access=ALL).connect()
    with pytest.raises(ProtocolViolation):
        peer.subscribe("a", messages=0)
    number = peer.publish("a")
    with pytest.raises(ProtocolViolation):
        peer.feed(m.Publish(number, False, publication("a")))


# --- identities


def test_rights_are_those_of_the_identity() -> None:
    """Everyone has what everyone has, and beside it what its name and its groups have."""
    bus = Bus(access=parse('[identity.alice]\nsubscribe = ["a"]\n[identity.staff]\nsubscribe = ["s"]'))
    rights = {}
    for identity in (ALICE, BOB, Identity("carol", ("staff",)), Identity("staff"), ANONYMOUS):
        peer = bus.connect(identity=identity)
        numbers = {peer.subscribe(topic): topic for topic in ("a", "s")}
        rights[identity.name] = [numbers[number] for number in acknowledged(peer.read())]
    assert rights == {"alice": ["a", "s"], "bob": [], "carol": ["s"], "staff": ["s"], "anonymous": []}


def test_connections_of_one_identity_share_what_is_remembered() -> None:
    """Many connections of one identity cost the memory of one; who has other groups is somebody else."""
    bus = Bus(access=ALL)
    one, other = bus.connect(identity=ALICE), bus.connect(identity=Identity("alice", ("staff",)))
    third = bus.connect(identity=Identity("alice"))
    assert one.peer.permissions is other.peer.permissions
    assert third.peer.permissions is not one.peer.permissions


def test_nothing_is_remembered_of_who_has_left() -> None:
    """When the last connection of an identity ends, its verdicts are forgotten."""
    router = Bus(access=ALL).router
    first, last = (router.connect(HELLO, ALICE) for _ in range(2))
    assert first.permissions is not None
    granted = weakref.ref(first.permissions)
    for peer in (first, last):
        router.feed(peer, [m.Publish(1, False, publication("a"))], 0.0)
    router.disconnect(first)
    del first
    gc.collect()
    assert granted() is last.permissions
    router.disconnect(last)
    del peer, last
    gc.collect()
    assert granted() is None


# --- new rules


def test_new_rules_hold_for_what_comes() -> None:
    """Verdicts of the old rules, remembered or not, count no more, for old connections and new ones."""
    bus = Bus(access=everyone('publish = ["a"]'))
    old = bus.connect()
    old.publish("a")
    old.publish("b")
    old.read()
    bus.router.set_access(everyone('publish = ["b"]'))
    for peer in (old, bus.connect()):
        denied, allowed = peer.publish("a"), peer.publish("b")
        messages = peer.read()
        assert refused(messages) == {denied: ErrorCode.PERMISSION_DENIED}
        assert acknowledged(messages) == {allowed: 0}


def test_a_bus_without_rules_can_be_given_some() -> None:
    """Rules that come later hold for connections that had none."""
    bus = Bus()
    peer = bus.connect()
    bus.router.set_access(NOTHING)
    number = peer.publish("a")
    assert refused(peer.read()) == {number: ErrorCode.PERMISSION_DENIED}


@pytest.mark.parametrize("what", ["subscribe", "serve"])
def test_who_has_what_is_forbidden_now_is_expelled(what: str) -> None:
    """A connection that subscribes to, or serves, what it may not any more is told so and ended; others stay."""
    bus = Bus(access=everyone(RULES[what], 'publish = ["**"]'))
    there, idle, elsewhere = bus.connect(identity=BOB), bus.connect(identity=BOB), bus.connect(identity=ALICE)
    for peer in (there, elsewhere):
        OPERATIONS[what][0](peer)
    for peer in (there, elsewhere):
        peer.read()
    bus.router.set_access(parse(f'[identity.alice]\n{RULES[what]}\n[everyone]\npublish = ["**"]'))
    reason = f"the access rules have changed: 'bob' may not {OPERATIONS[what][1]}"
    assert there.ending == Ending(reason, is_flushed=True)
    assert there.read() == [m.Error(reason)]
    for peer in (idle, elsewhere):
        assert (peer.ending, peer.read()) == (None, [])
    assert bus.denials() == []


def test_rights_that_are_not_in_use_may_go_quietly() -> None:
    """Who only published or requested what is forbidden now stays connected."""
    bus = Bus(access=ALL)
    peer = bus.connect()
    peer.publish("a")
    peer.request("s")
    peer.read()
    bus.router.set_access(NOTHING)
    assert (peer.ending, peer.read()) == (None, [])


def test_rights_may_come_from_other_rules() -> None:
    """What is allowed by other words than before is no reason to go, nor is a subscription that was given up."""
    bus = Bus(access=ALL)
    peer = bus.connect()
    peer.subscribe("t/a")
    peer.unsubscribe(peer.subscribe("u/a"))
    peer.unclaim(peer.claim("v"))
    bus.router.set_access(everyone('subscribe = ["*/a"]', 'deny = { subscribe = ["u/**"] }'))
    assert peer.ending is None


def test_who_is_expelled_hears_nothing_that_is_newer() -> None:
    """What waited for it may still be read; a publication after the new rules counts it no more."""
    bus = Bus(access=ALL)
    subscriber, publisher = bus.connect(identity=BOB), bus.connect(identity=ALICE)
    subscriber.subscribe("t")
    publisher.publish("t", b"before")
    bus.router.set_access(parse('[identity.alice]\npublish = ["**"]'))
    number = publisher.publish("t", b"after")
    assert acknowledged(publisher.read())[number] == 0
    messages = subscriber.read()
    assert payloads(messages) == [b"before"]
    assert isinstance(messages[-1], m.Error)


def test_who_is_expelled_holds_no_publisher() -> None:
    """A paced publication that waited for its window is acknowledged at once, without it."""
    bus = Bus(access=ALL)
    subscriber, publisher = bus.connect(identity=BOB), bus.connect(identity=ALICE)
    subscriber.subscribe("t", messages=1)
    first, second = publisher.publish("t", paced=True), publisher.publish("t", paced=True)
    assert acknowledged(publisher.read()) == {first: 1}
    bus.router.set_access(parse('[identity.alice]\npublish = ["**"]'))
    assert acknowledged(publisher.read()) == {second: 0}


def test_who_is_expelled_serves_nobody() -> None:
    """Requests that it had are told that it left, and later ones find nobody, before its connection has ended."""
    bus = Bus(access=ALL)
    responder, requester = bus.connect(identity=BOB), bus.connect(identity=ALICE)
    responder.claim("s")
    pending = requester.request("s")
    bus.router.set_access(parse('[identity.alice]\nrequest = ["**"]'))
    later = requester.request("s")
    assert refused(requester.read()) == {pending: ErrorCode.SERVICE_GONE, later: ErrorCode.SERVICE_NOT_FOUND}


def test_expelling_leaves_nothing() -> None:
    """When those who were expelled have gone, no table knows of them."""
    bus = Bus(access=ALL)
    peers = [bus.connect() for _ in range(3)]
    for number, peer in enumerate(peers):
        peer.subscribe("**")
        peer.claim(f"s{number}")
        peer.request("s0")
    bus.router.set_access(NOTHING)
    bus.router.set_access(NOTHING)
    assert [len(of_kind(peer.read(), m.Error)) for peer in peers] == [1, 1, 1]
    for peer in peers:
        peer.disconnect()
    assert_empty(bus.router)


# --- the law

PATTERNS = st.sampled_from(["a", "b", "a/b", "*", "a/*", "*/b", "**", "a/**", "**/b"])
RIGHTS = st.dictionaries(st.sampled_from([verb.value for verb in Verb]), st.lists(PATTERNS, max_size=3))


@st.composite
def rule_files(draw: st.DrawFn) -> str:
    """Draw a file of rules for everyone."""
    lines = ["[everyone]", *(f"{verb} = {topics}" for verb, topics in draw(RIGHTS).items())]
    return "\n".join([*lines, "[everyone.deny]", *(f"{verb} = {topics}" for verb, topics in draw(RIGHTS).items())])


@given(rule_files(), rule_files(), st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), PATTERNS), max_size=8))
@steady(200)
def test_the_router_does_what_the_rules_say(before: str, after: str, operations: list[tuple[str, str]]) -> None:
    """An operation is denied exactly if the rules forbid it, and a connection is expelled exactly if new ones do."""
    bus = Bus(access=parse(before))
    peer = bus.connect()
    rules, new_rules = (parse(text).permissions(ANONYMOUS) for text in (before, after))

    def is_allowed(name: str, topic: str, *, new: bool = False) -> bool:
        try:
            (new_rules if new else rules).check(Verb(name.partition(",")[0]), topic)
        except PermissionDenied:
            return False
        return True

    kept = []
    for name, topic in operations:
        number = peer.next_operation()
        messages: dict[str, m.ClientMessage] = {
            "publish": m.Publish(number, False, publication(topic)),
            "publish, paced": m.Publish(number, True, publication(topic)),
            "publish_wildcards": m.Publish(number, False, publication(topic)),
            "subscribe": m.Subscribe(number, topic, 10, 1000),
            "serve": m.Claim(number, topic, 10, 1000),
            "request": m.Ask(number, None, topic, b""),
        }
        peer.feed(messages[name])
        code = refused(peer.read()).get(number)
        assert (code is ErrorCode.PERMISSION_DENIED) is not is_allowed(name, topic)
        if code is None and name in {"subscribe", "serve"}:
            kept.append((name, topic))
    bus.router.set_access(parse(after))
    assert (peer.ending is None) is all(is_allowed(name, topic, new=True) for name, topic in kept)
