"""The outbox of one connection: bounds, runs of acknowledgements, and what counts for how long."""

from __future__ import annotations

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from broker_helpers import bus, go_on
from pure_helpers import of_kind, steady
from t2bus.broker.budget import Budget
from t2bus.broker.outbox import DirtyPeers, Outbox
from t2bus.wire import messages as m
from t2bus.wire.values import FRAME_OVERHEAD
from wire_corpus import body_of

PING = m.Ping(0)


NUMBER = 7
"""The id of the connection."""


@define(eq=False)
class Owner:
    """An outbox, and whoever looks which peers have something new."""

    limit: int = 100
    control_limit: int = 1000
    total: Budget = field(factory=lambda: Budget(1000, 1))
    dirty: DirtyPeers = field(factory=DirtyPeers)
    frame: int = 1 << 20
    outbox: Outbox = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.outbox = Outbox(NUMBER, self.limit, self.control_limit, self.total, self.dirty, self.frame)


def test_what_is_put_is_taken_in_order() -> None:
    """The writer takes all that waits, in the order in which it was put, whatever its kind."""
    outbox = Owner().outbox
    messages: list[m.ServerMessage] = [m.Ping(1), m.Deliver((1,), m.Publication("a", b"")), m.Ping(2)]
    outbox.put_control(messages[0])
    outbox.put(messages[1], 10)
    outbox.put_control(messages[2])
    assert outbox.take() == messages
    assert outbox.take() == []


def test_acknowledgements_are_taken_first() -> None:
    """The answer to a SUBSCRIBE is written before the deliveries that follow it."""
    outbox = Owner().outbox
    outbox.put_control(PING)
    outbox.acknowledge(7, [0])
    assert outbox.take() == [m.Accepted(7, (0,)), PING]


def test_signs_of_life_overtake() -> None:
    """PING and PONG are taken before whatever waits, and keep their order."""
    outbox = Owner().outbox
    delivery = m.Deliver((1,), m.Publication("a", b""))
    outbox.acknowledge(7, [0])
    outbox.put(delivery, 10)
    outbox.put_sign(m.Pong(1))
    outbox.put_sign(PING)
    assert not outbox.is_empty
    assert outbox.take() == [m.Pong(1), PING, m.Accepted(7, (0,)), delivery]
    assert outbox.take() == []


def test_signs_of_life_are_taken_alone() -> None:
    """They can be taken without what waits, once, and count as control until then."""
    outbox = Owner(control_limit=96).outbox
    for _ in range(3):
        outbox.put(m.Deliver((1,), m.Publication("a", b"")), 10)
        outbox.put_sign(PING)
        assert outbox.take_signs() == [PING]
        assert outbox.take_signs() == []
    outbox.put_sign(PING)
    outbox.put_sign(PING)
    assert outbox.is_overflowed
    assert outbox.take() == outbox.take_signs() == []


def test_consecutive_acknowledgements_are_one_message() -> None:
    """A run of consecutive operations is acknowledged at once, and a new run begins where an id is left out."""
    outbox = Owner().outbox
    for operation in (1, 2, 3, 5, 6, 4):
        outbox.acknowledge(operation, [operation * 10])
    assert outbox.take() == [m.Accepted(1, (10, 20, 30)), m.Accepted(5, (50, 60)), m.Accepted(4, (40,))]


def test_a_run_ends_with_what_is_taken() -> None:
    """An acknowledgement that follows what was taken starts a run of its own."""
    outbox = Owner().outbox
    outbox.acknowledge(1, [0])
    outbox.take()
    outbox.acknowledge(2, [5])
    assert outbox.take() == [m.Accepted(2, (5,))]


@pytest.mark.parametrize("what", ["delivery", "control", "gap", "acknowledgement", "acknowledged run"])
def test_each_way_of_putting_marks_the_peer(what: str) -> None:
    """Whatever begins to wait, the peer is noted as one that has something to be written."""
    owner = Owner()
    assert owner.dirty.take() == []
    match what:
        case "delivery":
            owner.outbox.put(PING, 1)
        case "control":
            owner.outbox.put_control(PING)
        case "gap":
            owner.outbox.put_gap(1, 1)
        case "acknowledgement":
            owner.outbox.acknowledge(1, [0])
        case _:
            owner.outbox.acknowledge(1, [0, 0])
    assert owner.dirty.take() == [NUMBER]
    assert not owner.outbox.is_empty


def test_a_peer_is_marked_once() -> None:
    """However much is put, the peer is noted once, and not again before what waits was taken."""
    owner = Owner()
    owner.outbox.put_control(PING)
    owner.outbox.put(PING, 1)
    owner.outbox.acknowledge(1, [0])
    assert owner.dirty.take() == [NUMBER]
    owner.outbox.put(PING, 1)
    assert owner.dirty.take() == [], "the writer looks again after it has written"
    owner.outbox.take()
    owner.outbox.put(PING, 1)
    assert owner.dirty.take() == [NUMBER]


def test_those_marked_first_come_first() -> None:
    """Peers are named once each, in the order in which they were marked first."""
    dirty = DirtyPeers()
    for number in (3, 1, 3, 2, 1):
        dirty.mark(number)
    assert dirty.take() == [3, 1, 2]
    assert dirty.take() == []


@given(st.lists(st.sampled_from(["put", "control", "accept", "take", "look"]), max_size=30))
@steady(200)
def test_a_peer_is_marked_whenever_something_begins_to_wait(steps: list[str]) -> None:
    """The peer is noted exactly when something is put for the first time since what waited was taken."""
    owner = Owner(limit=1000, control_limit=100_000)
    is_noted, waiting = False, 0
    for number, step in enumerate(steps):
        match step:
            case "look":
                assert owner.dirty.take() == [NUMBER] * is_noted
                is_noted = False
            case "take":
                assert bool(owner.outbox.take()) == (waiting > 0)
                waiting = 0
            case _:
                if step == "put":
                    owner.outbox.put(PING, 1)
                elif step == "control":
                    owner.outbox.put_control(PING)
                else:
                    owner.outbox.acknowledge(number, [0])
                is_noted = is_noted or not waiting
                waiting += 1
        assert owner.outbox.is_empty == (waiting == 0)


def test_looking_takes_nothing() -> None:
    """Who looks at what waits sees what will be taken, and it waits as before."""
    owner = Owner()
    owner.outbox.put(PING, 10)
    owner.outbox.acknowledge(7, [0])
    assert owner.outbox.peek() == owner.outbox.peek() == [m.Accepted(7, (0,)), PING]
    assert owner.outbox.size == 10
    assert owner.outbox.take() == [m.Accepted(7, (0,)), PING]
    assert owner.outbox.peek() == []


@pytest.mark.parametrize("frame", [1, 9, 100, 4096])
def test_acknowledgements_are_said_in_parts(frame: int) -> None:
    """However many wait, each ACCEPTED and UNREACHED has no more bytes than a frame of the bus may have."""
    owner = Owner(control_limit=1 << 20, frame=frame)
    first, counts = 2**64 - 1000, [2**64 - 1 - number for number in range(900)]
    owner.outbox.acknowledge(7, [1, 2])
    owner.outbox.acknowledge(first, counts, missed=2**33)
    said = owner.outbox.take()
    assert all(len(body_of(message)) <= frame + FRAME_OVERHEAD for message in said)
    accepted = [(part.first, part.counts) for part in of_kind(said, m.Accepted)]
    unreached = [(part.first, part.counts) for part in of_kind(said, m.Unreached)]
    for parts, expected in ((accepted, [1, 2, *counts]), (unreached, [2**33] * 900)):
        assert [count for _, some in parts for count in some] == expected
        assert [n + place for n, some in parts for place, _ in enumerate(some)][-900:] == [*range(first, first + 900)]


def test_it_fits_up_to_the_limit() -> None:
    """A message fits while all that waits is at most the outbox's limit."""
    outbox = Owner(limit=100).outbox
    assert outbox.fits(100)
    outbox.put(PING, 60)
    assert outbox.fits(40)
    assert not outbox.fits(41)


def test_several_messages_fit_up_to_half_of_the_total() -> None:
    """What waits for all connections, beyond their shares, is at most half of their total."""
    outbox = Owner(total=Budget(1000, 1), limit=1000).outbox
    outbox.put(PING, 200)
    assert [outbox.fits(300), outbox.fits(301)] == [True, False]


def test_a_message_alone_fits_up_to_five_eighths_of_the_total() -> None:
    """Whom nothing waits for is sent one message where those that wait for others leave no room for several."""
    total = Budget(1000, 1)
    one, other = (Owner(total=total, limit=1000).outbox for _ in range(2))
    one.put(PING, 400)
    assert [other.fits(225), other.fits(226)] == [True, False]


@pytest.mark.parametrize("connections", [1, 5])
def test_a_share_is_never_taken_by_others(connections: int) -> None:
    """An eighth of the total, parted among as many connections as there may be, is each one's own."""
    total = Budget(1000, connections)
    one, other = (Owner(total=total, limit=1000).outbox for _ in range(2))
    one.put(PING, 875)
    share = 125 // connections
    assert [other.fits(share), other.fits(share + 1)] == [True, False]


def test_the_first_message_fits_up_to_the_total() -> None:
    """Where nothing else waits a message may be as large as the total."""
    outbox = Owner(total=Budget(100, 1)).outbox
    assert [outbox.fits(100), outbox.fits(101)] == [True, False]


def test_what_is_being_written_counts() -> None:
    """Bytes that were taken count until they are written."""
    total = Budget(1000, 1)
    outbox = Owner(total=total).outbox
    outbox.put(PING, 60)
    outbox.take()
    outbox.put(PING, 30)
    assert (outbox.size, total.used) == (90, 90)
    assert not outbox.fits(11)
    outbox.written()
    assert (outbox.size, total.used) == (30, 30)


def test_control_does_not_count_as_a_delivery() -> None:
    """Control messages leave the room for deliveries as it is."""
    owner = Owner(limit=1)
    owner.outbox.put_control(PING, "some text")
    owner.outbox.acknowledge(1, [1])
    assert owner.outbox.fits(1)
    assert owner.total.used == owner.outbox.size == 0


def test_control_overflows_once() -> None:
    """A connection that does not even take its control messages is noted, once, to be given up, and nothing waits."""
    owner = Owner(control_limit=130)
    owner.outbox.put(PING, 5)
    marked = []
    for _ in range(4):
        owner.outbox.put_control(PING)
        owner.outbox.acknowledge(1, [0])
        marked += owner.dirty.take()
    assert marked == [NUMBER, NUMBER], "for what waits, and for the overflow"
    assert owner.outbox.is_overflowed
    assert owner.outbox.take() == []
    assert owner.total.used == 0


def test_text_counts_as_control() -> None:
    """The free text of a control message counts with it."""
    owner = Owner(control_limit=130)
    owner.outbox.put_control(PING, "x" * 30)
    assert not owner.outbox.is_overflowed
    owner.outbox.put_control(PING, "x" * 30)
    assert owner.outbox.is_overflowed


def test_acknowledgements_overflow_too() -> None:
    """A client that publishes and never reads is given up for its acknowledgements."""
    owner = Owner(control_limit=130)
    for operation in range(1, 20):
        owner.outbox.acknowledge(operation, [1])
    assert owner.outbox.is_overflowed


def test_room_for_control_comes_back_when_taken() -> None:
    """Control counts while it waits."""
    owner = Owner(control_limit=130)
    for _ in range(10):
        owner.outbox.put_control(PING)
        owner.outbox.take()
    assert not owner.outbox.is_overflowed


def test_acknowledgements_of_all_held_publications_fit() -> None:
    """Subscribers that let go of all they hold at once, in the worst order, do not cost a publisher its connection."""
    one_bus = bus()
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    numbers = [subscriber.subscribe(topic, 1) for topic in ("a", "b")]
    for number in range(one_bus.limits.held_messages + 2):
        publisher.publish("ab"[number % 2], paced=True)
    publisher.read()
    publisher.feed(PING)
    for number in numbers:
        subscriber.unsubscribe(number)
    go_on(one_bus.router)
    assert publisher.ending is None
    assert sum(len(each.counts) for each in publisher.read() if isinstance(each, m.Accepted)) == 16_384


def test_a_closed_outbox_takes_nothing() -> None:
    """What is put after the end is dropped, counts nowhere and marks nobody."""
    owner = Owner()
    owner.outbox.put(PING, 10)
    owner.outbox.take()
    owner.outbox.put(PING, 10)
    owner.dirty.take()
    owner.outbox.close()
    owner.outbox.put(PING, 10)
    owner.outbox.put_control(PING)
    owner.outbox.put_gap(1, 1)
    owner.outbox.acknowledge(1, [1])
    owner.outbox.acknowledge(2, [1, 1])
    owner.outbox.written()
    assert owner.outbox.take() == []
    assert (owner.outbox.size, owner.outbox.control_size, owner.total.is_empty) == (0, 0, True)
    assert (owner.dirty.take(), owner.outbox.is_overflowed) == ([], False)


@given(st.lists(st.sampled_from(["put", "take", "written", "control", "accept"]), max_size=30), st.integers(0, 30))
@steady(100)
def test_the_budget_is_what_waits(steps: list[str], size: int) -> None:
    """Whatever is done, the budget is the sum of what waits and is being written, and 0 after the end."""
    total = Budget(1000, 1)
    outboxes = [Owner(total=total, control_limit=10_000).outbox for _ in range(2)]
    for number, step in enumerate(steps):
        outbox = outboxes[number % 2]
        match step:
            case "put" if outbox.fits(size):
                outbox.put(PING, size)
            case "take":
                outbox.take()
            case "written":
                outbox.written()
            case "control":
                outbox.put_control(PING)
            case _:
                outbox.acknowledge(number, [0])
        assert total.used == sum(each.size for each in outboxes)
        assert all(each.size <= each.limit for each in outboxes)
    for outbox in outboxes:
        outbox.close()
    assert total.used == 0
