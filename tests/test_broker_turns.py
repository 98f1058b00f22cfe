"""Turns of the router: how much of what a connection says is carried out at once, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_helpers import DOES_NOT_READ, Bus, RawPeer, bus
from pure_helpers import acknowledged, of_kind, refused, steady, stream
from t2bus.broker.access_file import parse
from t2bus.broker.peer import Ending
from t2bus.errors import ProtocolViolation
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from t2bus.wire.values import Headers

TEN = [b"%d" % number for number in range(10)]


SEARCH = 8
OPERATION = 16
"""Steps of a search that finds nobody, and of any operation but a publication."""


def take_turn(peer: RawPeer, *messages: m.ClientMessage) -> list[m.ClientMessage]:
    """Give a connection one turn, and return what is left for the next one."""
    return list(peer.router.feed(peer.peer, messages, peer.now))


def steps_of(peer: RawPeer, message: m.ClientMessage) -> int:
    """The steps of work that a message takes, in however many turns."""
    before = peer.router.turn.taken
    peer.feed(message)
    return peer.router.turn.taken - before


def pings(*tokens: int) -> list[m.ClientMessage]:
    return [m.Ping(token) for token in tokens]


# --- a turn


def test_a_turn_ends_after_its_steps() -> None:
    """What goes beyond the steps of a turn is left, in order, and nothing of it has been carried out."""
    peer = bus(turn_steps=3).connect()
    rest = take_turn(peer, *pings(*range(7)))
    assert rest == pings(3, 4, 5, 6)
    assert peer.read() == [m.Pong(token) for token in range(3)]
    rest = take_turn(peer, *rest)
    assert rest == pings(6)
    assert take_turn(peer, *rest) == []
    assert peer.read() == [m.Pong(token) for token in range(3, 7)]


def test_a_turn_carries_out_one_message_at_least() -> None:
    """A message that takes more steps than a turn has is carried out all the same, and ends the turn."""
    one_bus = bus(turn_steps=2)
    publisher, *subscribers = (one_bus.connect() for _ in range(6))
    for subscriber in subscribers:
        subscriber.subscribe("a")
    assert take_turn(publisher, m.Publish(1, False, m.Publication("a", b"")), m.Ping(1)) == pings(1)
    assert acknowledged(publisher.read()) == {1: 5}


def test_a_violation_ends_what_comes_behind_it() -> None:
    """What was said before a message that breaks the rules was carried out, and nothing after it."""
    peer = bus().connect()
    with pytest.raises(ProtocolViolation):
        take_turn(peer, m.Ping(1), m.Subscribe(0, "a", 1, 1), m.Ping(2))
    assert peer.read() == [m.Pong(1)]


@pytest.mark.parametrize("grants", [1, 5])
def test_credit_takes_a_step_for_each_subscription(grants: int) -> None:
    """One CREDIT may concern many subscriptions."""
    peer = bus().connect()
    assert steps_of(peer, m.Credit(tuple(range(3 * grants)))) == grants


def test_each_receiver_takes_a_step() -> None:
    """The steps of a publication grow with the connections that it reaches, whether its route is remembered or not."""
    one_bus = bus()
    publisher, *subscribers = (one_bus.connect() for _ in range(6))
    message = m.Publication("a", b"")
    assert steps_of(publisher, m.Publish(1, False, message)) == SEARCH
    for subscriber in subscribers:
        subscriber.subscribe("a")
    assert steps_of(publisher, m.Publish(2, False, message)) >= 5
    assert steps_of(publisher, m.Publish(3, False, message)) == 1 + 5


def test_matching_takes_its_steps() -> None:
    """A publication with wildcards pays for each fragment that it has to be compared with."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    for number in range(50):
        subscriber.subscribe(f"n{number}/a")
    assert steps_of(publisher, m.Publish(1, False, m.Publication("*/b", b""))) >= 50


@pytest.mark.parametrize(
    "said",
    [
        lambda headers: m.Publish(1, False, m.Publication("a", b"", headers)),
        lambda headers: m.Ask(1, None, "s", b"", headers),
        lambda headers: m.Respond(1, b"", headers),
    ],
    ids=["publish", "ask", "respond"],
)
def test_many_headers_take_their_steps(said: Callable[[Headers], m.ClientMessage]) -> None:
    """A message with many headers takes a step more for each few of them, as each has to be counted."""
    steps = []
    for count in (0, 400):
        one_bus = bus()
        responder, requester, peer = one_bus.connect(), one_bus.connect(), one_bus.connect()
        responder.claim("s")
        message = said({f"{number:x}": "" for number in range(count)})
        if isinstance(message, m.Respond):
            requester.request("s")
            peer = responder
        steps.append(steps_of(peer, message))
    assert steps[1] - steps[0] == 100


@pytest.mark.parametrize("is_run", [False, True])
def test_a_topic_that_is_too_broad_costs_its_steps(is_run: bool) -> None:
    """What is refused because matching it takes too long has taken as long, and that ends a turn."""
    one_bus = bus(matching_steps=4, turn_steps=4)
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    for topic in "abcdef":
        subscriber.subscribe(topic)
    message = m.PublishRun(1, False, m.Run("**", TEN[:2])) if is_run else m.Publish(1, False, m.Publication("**", b""))
    before = one_bus.router.turn.taken
    assert take_turn(publisher, message, m.Ping(1)) == pings(1)
    assert one_bus.router.turn.taken - before >= 4
    assert set(refused(publisher.read()).values()) == {ErrorCode.TOPIC_TOO_BROAD}


def test_an_operation_takes_more_steps_than_a_sign_of_life() -> None:
    """What is opened, closed, asked or refused takes many steps, a PING one; an end takes more for requests it ends."""
    peer = bus().connect()
    said: list[m.ClientMessage] = [
        m.Subscribe(1, "a", 1, 1),
        m.Unsubscribe(2, 1),
        m.Claim(3, "s", 1, 1),
        m.Ask(4, None, "s", b""),
        m.Unclaim(5, 3),
        m.Subscribe(6, "A", 1, 1),
    ]
    assert [steps_of(peer, message) for message in said] == [*[OPERATION] * 4, OPERATION + 4, OPERATION]
    assert steps_of(peer, m.Ping(1)) == 1


def test_a_publication_to_nobody_takes_steps() -> None:
    """To find that nobody listens takes as long as to find somebody, and so ends a turn as well."""
    publisher = bus(turn_steps=2 * SEARCH).connect()
    said = [m.Publish(number, False, m.Publication(f"a/{number}", b"")) for number in range(1, 6)]
    assert take_turn(publisher, *said) == said[2:]


# --- runs in part


@pytest.mark.parametrize(("receivers", "part"), [(1, 4), (2, 2), (3, 1), (9, 1)])
def test_a_run_is_carried_out_in_part(receivers: int, part: int) -> None:
    """A run is cut where those who take it apart would end the turn, and its rest is a run of its own."""
    one_bus = bus(turn_steps=4)
    publisher, *subscribers = (one_bus.connect() for _ in range(receivers + 1))
    numbers = [subscriber.subscribe("a", 9, 1000) for subscriber in subscribers]
    rest = take_turn(publisher, m.PublishRun(7, True, m.Run("a", TEN)))
    assert rest == [m.PublishRun(7 + part, True, m.Run("a", TEN[part:]))]
    assert publisher.read() == [m.Accepted(7, (receivers,) * part)]
    for subscriber, number in zip(subscribers, numbers, strict=True):
        assert stream(subscriber.read(), number) == TEN[:part]


def test_each_subscription_of_a_connection_takes_its_steps() -> None:
    """A connection that takes a run apart with many subscriptions is as much work as so many connections."""
    one_bus = bus(turn_steps=4)
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    for _ in range(9):
        subscriber.subscribe("a", 9, 1000)
    rest = take_turn(publisher, m.PublishRun(1, False, m.Run("a", TEN)))
    assert rest == [m.PublishRun(2, False, m.Run("a", TEN[1:]))]


@pytest.mark.parametrize("window", [100, 1])
@pytest.mark.parametrize("receivers", [0, 1, 9])
def test_a_run_that_is_taken_or_missed_as_a_whole_is_not_cut(receivers: int, window: int) -> None:
    """Whoever has room for all of a run, or for none, takes one step for it, so however many they are it is one run."""
    one_bus = bus(turn_steps=4)
    publisher, *subscribers = (one_bus.connect() for _ in range(receivers + 1))
    for subscriber in subscribers:
        subscriber.subscribe("a", window, 1000)
    publisher.feed(m.Publish(1, False, m.Publication("a", b"")))
    before = one_bus.router.turn.taken
    assert take_turn(publisher, m.PublishRun(2, False, m.Run("a", TEN))) == []
    assert one_bus.router.turn.taken - before == 1 + receivers


def apart() -> Bus:
    """A bus with turns of four steps and a subscriber of ``a`` that takes a run of ten apart."""
    one_bus = bus(turn_steps=4)
    one_bus.connect().subscribe("a", 9)
    return one_bus


def test_the_rest_of_a_run_comes_before_what_stood_behind_it() -> None:
    """What a connection says keeps its order, however its turns end."""
    publisher = apart().connect()
    run = m.PublishRun(1, False, m.Run("a", TEN))
    assert take_turn(publisher, run, m.Ping(1), m.Ping(2)) == [
        m.PublishRun(5, False, m.Run("a", TEN[4:])),
        *pings(1, 2),
    ]


def test_the_acknowledgements_of_a_run_in_parts_are_exact() -> None:
    """Each operation is acknowledged once, with those that took it, in whatever turn it was carried out."""
    one_bus = bus(turn_steps=4)
    publisher, small, large = (one_bus.connect() for _ in range(3))
    number = small.subscribe("a", 3)
    large.subscribe("a", 100)
    publisher.feed(m.PublishRun(1, False, m.Run("a", TEN)))
    assert acknowledged(publisher.read()) == dict.fromkeys(range(1, 4), 2) | dict.fromkeys(range(4, 11), 1)
    assert stream(small.read(), number) == TEN[:3]
    small.credit(number, 3)
    assert small.read() == [m.Gap(number, 7)]


def test_a_paced_run_in_parts_is_acknowledged_as_it_is_taken() -> None:
    """What is held of a part is acknowledged when there is room for it, behind the parts before it."""
    one_bus = bus(turn_steps=4)
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    number = subscriber.subscribe("a", 2)
    publisher.feed(m.PublishRun(1, True, m.Run("a", TEN)))
    heard = stream(subscriber.read(), number)
    taken = [sorted(acknowledged(publisher.read()))]
    while len(heard) < len(TEN):
        subscriber.credit(number, 2)
        heard += stream(subscriber.read(), number)
        taken.append(sorted(acknowledged(publisher.read())))
    assert heard == TEN
    assert taken == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]


def test_a_run_in_parts_uses_its_ids_as_it_goes() -> None:
    """The rest of a run goes on with its ids, and what follows it needs an id above its last."""
    publisher = apart().connect()
    publisher.feed(m.PublishRun(1, False, m.Run("a", TEN)))
    with pytest.raises(ProtocolViolation, match="operation id 10 is not above 10"):
        publisher.feed(m.Unsubscribe(10, 1))
    publisher.feed(m.Unsubscribe(11, 1))
    assert publisher.read() == [m.Unreached(10, (1,)), m.Accepted(1, (1,) * 9 + (0, 0))]


def test_the_rest_of_a_run_may_be_refused() -> None:
    """Rules that change between two turns hold for the rest of a run, and each of its operations has its answer."""
    one_bus = Bus(bus(turn_steps=4).limits, parse('[everyone]\npublish = ["a"]\nsubscribe = ["a"]'))
    publisher = one_bus.connect()
    one_bus.connect().subscribe("a", 9)
    rest = take_turn(publisher, m.PublishRun(1, False, m.Run("a", TEN)))
    one_bus.router.set_access(parse(""))
    while rest:
        rest = take_turn(publisher, *rest)
    messages = publisher.read()
    assert acknowledged(messages) == dict.fromkeys(range(1, 5), 1)
    assert refused(messages) == dict.fromkeys(range(5, 11), ErrorCode.PERMISSION_DENIED)
    assert len(one_bus.denials()) == 6
    assert one_bus.denials() == []


batches = st.lists(
    st.integers(0, 9).map(m.Ping)
    | st.tuples(
        st.sampled_from(["a", "b", "*"]), st.booleans(), st.lists(st.sampled_from(TEN), min_size=2, max_size=9)
    ),
    max_size=12,
)


@given(batches, st.integers(1, 12), st.integers(1, 12))
@steady(300)
def test_turns_change_nothing_but_when(
    said: Sequence[m.Ping | tuple[str, bool, list[bytes]]], turn: int, window: int
) -> None:
    """However short its turns are, a connection is answered, and others hear of it, as if it had been one."""
    heard = []
    for turn_steps in (turn, 1_000_000):
        one_bus = bus(turn_steps=turn_steps)
        publisher, *subscribers = (one_bus.connect() for _ in range(3))
        for subscriber in subscribers:
            subscriber.subscribe("a", window)
            subscriber.subscribe("*", 1000, 1_000_000)
        messages: list[m.ClientMessage] = []
        operation = 1
        for each in said:
            if isinstance(each, m.Ping):
                messages.append(each)
            else:
                topic, paced, payloads = each
                messages.append(m.PublishRun(operation, paced, m.Run(topic, payloads)))
                operation += len(payloads)
        while messages:
            rest = take_turn(publisher, *messages)
            assert rest != messages, "a turn carries something out"
            messages = rest
        heard.append([[peer.read(), peer.statistics] for peer in one_bus.peers] + [[one_bus.router.statistics()]])
    assert heard[0] == heard[1]


# --- runs that nobody takes


def spend(one_bus: Bus, *topics: str) -> tuple[RawPeer, RawPeer, list[int]]:
    """A publisher, and a subscriber whose windows are all spent, and that has read everything."""
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    numbers = [subscriber.subscribe(topic, 1) for topic in topics]
    publisher.publish("a")
    publisher.read()
    subscriber.read()
    return publisher, subscriber, numbers


@pytest.mark.parametrize("topics", [("a",), ("a", "*", "a")])
def test_a_run_that_finds_spent_windows_is_missed_as_one(topics: tuple[str, ...]) -> None:
    """Each spent window is looked at once for a whole run, and misses exactly so many."""
    one_bus = bus()
    publisher, subscriber, numbers = spend(one_bus, *topics)
    assert steps_of(publisher, m.PublishRun(2, False, m.Run("a", [b"x"] * 1000))) == 1 + len(topics)
    assert acknowledged(publisher.read()) == dict.fromkeys(range(2, 1002), 0)
    assert one_bus.router.statistics().dropped == 1000 * len(topics)
    assert one_bus.router.statistics().published == 1001
    for number in numbers:
        subscriber.credit(number, 1)
    assert subscriber.read() == [m.Gap(number, 1000) for number in numbers]


def test_gaps_of_several_runs_are_one() -> None:
    """What is missed of runs, and of single publications between them, is one number that is exact."""
    publisher, subscriber, (number,) = spend(bus(), "a")
    publisher.feed(m.PublishRun(2, False, m.Run("a", TEN)))
    publisher.feed(m.Publish(12, False, m.Publication("a", b"")))
    publisher.feed(m.PublishRun(13, False, m.Run("a", TEN[:3])))
    subscriber.credit(number, 1)
    publisher.feed(m.PublishRun(16, False, m.Run("a", TEN[:2])))
    assert stream(subscriber.read(), number) == [14, b"0"]
    subscriber.credit(number, 1)
    assert stream(subscriber.read(), number) == [1]


def test_a_paced_run_is_missed_as_one_by_those_who_lag() -> None:
    """Who has stalled holds nothing more of a paced run, and is not asked for each publication."""
    one_bus = bus(stall=1.0)
    publisher, subscriber, (number,) = spend(one_bus, "a")
    publisher.feed(m.PublishRun(2, True, m.Run("a", TEN)))
    assert subscriber.statistics.subscriptions[number].held == 10
    one_bus.router.expire(1.0)
    assert subscriber.statistics.subscriptions[number].held == 0
    assert steps_of(publisher, m.PublishRun(12, True, m.Run("a", TEN))) == 2
    assert acknowledged(publisher.read()) == dict.fromkeys(range(2, 22), 0)
    subscriber.credit(number, 1)
    assert subscriber.read() == [m.Gap(number, 20)]


def test_a_run_that_one_window_takes_is_taken_apart() -> None:
    """A connection with one subscription that has room takes the run for that one, and the other misses it all."""
    publisher, subscriber, (spent,) = spend(bus(), "a")
    number = subscriber.subscribe("*", 100)
    subscriber.read()
    publisher.feed(m.PublishRun(2, False, m.Run("a", TEN)))
    assert acknowledged(publisher.read()) == dict.fromkeys(range(2, 12), 1)
    assert stream(subscriber.read(), number) == TEN
    subscriber.credit(spent, 1)
    assert subscriber.read() == [m.Gap(spent, 10)]


# --- what follows


def dirty(one_bus: Bus) -> list[int]:
    """Where the peers that have something new stand among those that were connected."""
    return [peer.id for peer in one_bus.router.take_dirty()]


def test_a_newcomer_has_its_welcome_to_be_written() -> None:
    """A peer is named as soon as it has been let in."""
    one_bus = bus()
    peer = one_bus.connect()
    assert dirty(one_bus) == [peer.peer.id]
    assert dirty(one_bus) == []


def test_each_peer_with_something_new_is_named_once() -> None:
    """However much is said, each peer that has something to be written is named once, and nobody else."""
    one_bus = bus()
    publisher, subscriber, other = (one_bus.connect() for _ in range(3))
    subscriber.subscribe("a", 100)
    subscriber.read()
    dirty(one_bus)
    for _ in range(5):
        publisher.publish("a")
    assert sorted(dirty(one_bus)) == [publisher.peer.id, subscriber.peer.id]
    publisher.publish("a")
    assert dirty(one_bus) == [], "both were named, and have not been written since"
    subscriber.read()
    publisher.publish("a")
    assert dirty(one_bus) == [subscriber.peer.id]
    assert other.read() == []


@pytest.mark.parametrize("last", [m.Goodbye(""), m.Error("oh")])
def test_a_peer_that_ends_is_named_once(last: m.ClientMessage) -> None:
    """A peer whose connection is to end is named for that, once, with or without something to be written."""
    one_bus = bus()
    silent, talkative = one_bus.connect(), one_bus.connect()
    dirty(one_bus)
    silent.feed(last)
    take_turn(talkative, m.Ping(1), last, last, m.Ping(2))
    assert dirty(one_bus) == [silent.peer.id, talkative.peer.id]
    assert dirty(one_bus) == []


def test_a_peer_that_has_ended_is_not_named() -> None:
    """Who was disconnected meanwhile is nobody's any more."""
    one_bus = bus()
    peer, other = one_bus.connect(), one_bus.connect()
    peer.feed(m.Ping(1))
    other.feed(m.Ping(1))
    peer.disconnect()
    assert dirty(one_bus) == [other.peer.id]


def test_an_overflow_is_an_ending_with_its_reason() -> None:
    """A peer whose control messages do not fit is named for its end, once, and is told to go for that reason."""
    one_bus = bus(control_bytes=200)
    peer = one_bus.connect()
    dirty(one_bus)
    peer.feed(m.Ping(1))
    assert dirty(one_bus) == [peer.peer.id]
    endings = [peer.peer.ending]
    for token in range(10):
        peer.feed(m.Ping(token))
    assert dirty(one_bus) == [peer.peer.id]
    endings.append(peer.peer.ending)
    assert endings == [None, Ending(DOES_NOT_READ)]
    peer.feed(m.Ping(1))
    assert dirty(one_bus) == []


def test_the_first_reason_stands() -> None:
    """A peer that says goodbye and overflows then has said goodbye."""
    peer = bus(control_bytes=200).connect()
    take_turn(peer, m.Goodbye(""), *pings(*range(10)), m.Error("too late"))
    assert peer.ending == Ending("")


def test_shutting_down_concerns_everybody() -> None:
    """The last message of a bus is something to be written for each of its peers."""
    one_bus = bus()
    peers = [one_bus.connect() for _ in range(3)]
    dirty(one_bus)
    one_bus.router.say_goodbye("bye")
    assert dirty(one_bus) == [peer.peer.id for peer in peers]
    assert [of_kind(peer.read(), m.Goodbye) for peer in peers] == [[m.Goodbye("bye")]] * 3
