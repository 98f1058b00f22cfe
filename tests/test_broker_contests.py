"""Claims that somebody else wants, and what becomes of a holder that gives no sign of life."""

from __future__ import annotations

import pytest

from broker_helpers import Bus, RawPeer, assert_empty, bus
from pure_helpers import HELLO, acknowledged, of_kind
from t2bus.broker.identity import LOCAL
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode


def open_contest(one_bus: Bus, *topics: str) -> tuple[RawPeer, RawPeer]:
    """A holder of these topics, or of ``s``, and a claimant, which was refused at 0.0 the first of them."""
    holder, claimant = one_bus.connect(), one_bus.connect()
    for topic in topics or ("s",):
        holder.claim(topic)
    holder.read()
    refusal = refused(claimant, topics[0] if topics else "s")
    assert "within 1 s" in refusal.text
    return holder, claimant


def refused(claimant: RawPeer, topic: str = "s") -> m.Refused:
    """Claim a topic that is claimed, and return the refusal."""
    number = claimant.claim(topic)
    (refusal,) = claimant.read()
    assert isinstance(refusal, m.Refused)
    assert (refusal.id, refusal.code) == (number, ErrorCode.TOPIC_CLAIMED)
    return refusal


def test_the_holder_of_a_contested_claim_is_pinged() -> None:
    """A second claim asks the holder of the first for a sign of life, once for however many claims."""
    one_bus = bus()
    holder, claimant = open_contest(one_bus)
    refused(claimant)
    assert holder.read() == [m.Ping(0)]
    assert one_bus.router.next_deadline() == 1.0


def test_a_holder_that_does_not_answer_loses_the_claim() -> None:
    """After a second without an answer the topic is free; the holder is told, and keeps what nobody wanted."""
    one_bus = bus()
    holder, claimant = open_contest(one_bus, "s", "t")
    one_bus.router.expire(0.9)
    refused(claimant)
    one_bus.router.expire(1.0)
    claimant.claim("s")
    assert acknowledged(claimant.read()) == {3: 0}
    ping, told = holder.read()
    assert ping == m.Ping(0)
    assert isinstance(told, m.Refused)
    assert (told.id, told.code) == (1, ErrorCode.TOPIC_CLAIMED)
    assert one_bus.router.statistics().services == 2
    assert one_bus.router.next_deadline() is None


def test_what_waits_for_a_lost_claim_ends() -> None:
    """Whoever has asked the service that was lost is told that it is gone."""
    one_bus = bus()
    _, claimant = open_contest(one_bus)
    number = claimant.request()
    one_bus.router.expire(1.0)
    (refusal,) = of_kind(claimant.read(), m.Refused)
    assert (refusal.id, refusal.code) == (number, ErrorCode.SERVICE_GONE)


@pytest.mark.parametrize("sees", ["router", "owner"])
def test_a_sign_of_life_keeps_the_claim(sees: str) -> None:
    """A PONG, or any sign that the owner of the router has seen, ends the contest; the next claim begins another."""
    one_bus = bus()
    holder, claimant = open_contest(one_bus)
    if sees == "router":
        holder.feed(m.Pong(0))
    else:
        (contest,) = one_bus.router.contests.open
        assert (contest.holder, contest.asked_at) == (holder.peer, 0.0)
        one_bus.router.contests.end(contest.holder)
    one_bus.router.expire(1.0)
    claimant.now = 5.0
    refused(claimant)
    assert holder.read() == [m.Ping(0), m.Ping(0)]
    assert one_bus.router.next_deadline() == 6.0


def test_a_holder_that_never_answered_loses_the_next_at_once() -> None:
    """What is wanted of a holder that was asked before and not heard since is lost when time is next looked at."""
    one_bus = bus()
    _, claimant = open_contest(one_bus, "s", "t")
    one_bus.router.expire(1.0)
    claimant.now = 3.0
    refused(claimant, "t")
    one_bus.router.expire(3.0)
    claimant.claim("t")
    assert acknowledged(claimant.read()) == {3: 0}


def test_a_claim_that_was_given_up_is_not_lost_by_the_next() -> None:
    """Whoever claims a topic that its holder has left meanwhile keeps it."""
    one_bus = bus()
    holder, claimant = open_contest(one_bus)
    holder.unclaim(1)
    claimant.claim("s")
    one_bus.router.expire(1.0)
    assert acknowledged(claimant.read()) == {2: 0}


def test_ones_own_claim_and_one_in_memory_are_not_contested() -> None:
    """A connection is not asked for what it holds itself, nor is one that needs no signs of life."""
    one_bus = bus()
    one = one_bus.connect()
    one.claim("s")
    one.read()
    assert "sign of life" not in refused(one).text
    local = one_bus.router.connect(HELLO, LOCAL, pings=False)
    one_bus.router.feed(local, [m.Claim(1, "t", 1, 1)], 0.0)
    assert "sign of life" not in refused(one, "t").text
    assert one_bus.router.next_deadline() is None


def test_nothing_is_left_of_a_contest() -> None:
    """A holder that goes takes its contest along."""
    one_bus = bus()
    for peer in open_contest(one_bus):
        peer.disconnect()
    assert_empty(one_bus.router)
