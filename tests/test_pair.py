"""Sessions glued to a router back to back: whole conversations, whatever comes together on the way."""

from __future__ import annotations

from collections import deque
from itertools import cycle
from typing import TYPE_CHECKING

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from broker_helpers import Bus, assert_empty, bus
from pure_helpers import HELLO, steady
from session_helpers import Program
from t2bus.broker.identity import ANONYMOUS
from t2bus.disconnected import Disconnected
from t2bus.errors import (
    Lagged,
    LimitExceeded,
    RemoteError,
    ServiceBusy,
    ServiceGone,
    ServiceNotFound,
    TopicClaimed,
)
from t2bus.limits import Limits
from t2bus.session.windows import UNSEEN
from t2bus.wire import messages as m
from t2bus.wire.values import NO_HEADERS, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from t2bus.broker.peer import Peer
    from t2bus.session.windows import CallWindow, PendingCall, ReceiveWindow

moves = st.lists(st.integers(1, 7), min_size=1, max_size=20).map(cycle)
"""How many messages go each way at a time."""

Heard = list[bytes | int]


@define(eq=False)
class Wire:
    """A client's session, its connection of a router, and what is on its way between them."""

    bus: Bus
    limits: Limits
    program: Program = field(init=False)
    peer: Peer = field(init=False)
    up: deque[m.ClientMessage] = field(factory=deque)
    down: deque[m.ServerMessage] = field(factory=deque)
    now: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.peer = self.bus.router.connect(HELLO, ANONYMOUS)
        (welcome,) = self.peer.outbox.take()
        assert isinstance(welcome, m.Welcome)
        self.program = Program(self.limits, welcome)

    def move_up(self, count: int) -> bool:
        """Let the bus read so many messages; what the client wrote is written when all of it was read."""
        if not self.up:
            self.up.extend(self.program.session.outbox.take())
        moved = bool(self.up)
        read = [self.up.popleft() for _ in range(min(count, len(self.up)))]
        self.up.extendleft(reversed(self.bus.router.feed(self.peer, read, self.now)))
        if moved and not self.up:
            self.program.session.outbox.written()
        return moved

    def move_down(self, count: int) -> bool:
        """Let the client read so many messages."""
        if not self.down:
            self.down.extend(self.peer.outbox.take())
        moved = bool(self.down)
        for _ in range(min(count, len(self.down))):
            self.program.feed(self.down.popleft())
        if moved and not self.down:
            self.bus.router.written(self.peer)
        return moved

    def request(self, topic: str = "s", payload: bytes = b"q") -> int:
        return self.program.session.request(topic, (payload, NO_HEADERS, 1), None, self.program.done)

    def subscribe(self, topic: str = "a") -> ReceiveWindow:
        return self.program.session.subscribe(topic, self.program.done)

    def publish(self, topic: str, payload: bytes, *, paced: bool) -> int:
        return self.program.session.publish(topic, (payload, NO_HEADERS, 1), self.program.done, paced=paced)

    def claim(self, topic: str = "s") -> CallWindow:
        return self.program.session.claim(topic, self.program.done)

    def respond(self, window: CallWindow, pending: PendingCall, payload: bytes = b"r") -> None:
        self.program.session.respond(window, pending, (payload, NO_HEADERS, 1))

    def take_all(self, window: ReceiveWindow) -> Heard:
        """Take all that has arrived: payloads, and in their places the lengths of gaps; give back what is owed."""
        session = self.program.session
        heard: Heard = []
        while window.waiting:
            item = window.take()
            if window.wants_look:
                session.credit.look_at(window, self.now)
            if isinstance(item, Lagged):
                heard.append(item.dropped or 0)
            else:
                assert isinstance(item.payload, bytes)
                heard.append(item.payload)
        self.now += UNSEEN
        session.credit.give_back(self.now)
        return heard

    def owes_nothing(self) -> bool:
        """Whether the bus has no request of this client, and this client none of others."""
        statistics = self.bus.router.about.statistics_of(self.peer)
        return (statistics.requests, statistics.calls, statistics.calls_size) == (0, 0, 0)

    def lose(self) -> None:
        self.bus.router.disconnect(self.peer)
        self.program.session.close(Disconnected("lost"))
        self.up.clear()
        self.down.clear()


def glue(one_bus: Bus, count: int, **limits: int) -> list[Wire]:
    return [Wire(one_bus, Limits(**limits)) for _ in range(count)]


def settle(wires: Iterable[Wire], sizes: Iterator[int]) -> None:
    """Move what is on its way, until nothing is."""
    wires = list(wires)
    moved = True
    while moved:
        moved = False
        for wire in wires:
            moved |= wire.move_up(next(sizes)) | wire.move_down(next(sizes))


def outcome_types(wire: Wire, operations: Iterable[int]) -> list[type]:
    return [type(wire.program.outcomes[operation]) for operation in operations]


# --- publish and subscribe


@given(moves, st.integers(1, 20), st.sampled_from([1, 5, 30, 1000]))
@steady(100)
def test_a_live_subscriber_loses_nothing(sizes: Iterator[int], messages: int, size: int) -> None:
    """A paced publisher and a program that takes get everything across, in order, through any window."""
    one_bus = bus()
    publisher, subscriber = glue(one_bus, 2, subscription_messages=messages, subscription_bytes=size)
    window = subscriber.subscribe()
    settle([subscriber], sizes)
    sent = [bytes([number]) * (number % 5) + bytes([number]) for number in range(60)]
    operations = [publisher.publish("a", payload, paced=True) for payload in sent]
    heard: Heard = []
    while len(heard) < len(sent):
        before = len(heard)
        settle([publisher, subscriber], sizes)
        heard += subscriber.take_all(window)
        assert len(heard) > before, "nothing moves any more"
    settle([publisher, subscriber], sizes)
    assert heard == sent
    assert [publisher.program.outcomes[operation] for operation in operations] == [1] * len(sent)
    assert one_bus.router.statistics().buffered_bytes == 0


@given(moves, st.integers(1, 20))
@steady(50)
def test_a_subscriber_that_lags_is_told_and_recovers(sizes: Iterator[int], messages: int) -> None:
    """What finds no credit is missed and counted in its place; when the program takes again it gets what follows."""
    publisher, subscriber = glue(bus(), 2, subscription_messages=messages)
    window = subscriber.subscribe()
    settle([subscriber], sizes)
    for number in range(messages + 3):
        publisher.publish("a", bytes([number]), paced=False)
    settle([publisher, subscriber], sizes)
    heard = subscriber.take_all(window)
    assert heard == [bytes([number]) for number in range(messages)]
    settle([subscriber], sizes)
    publisher.publish("a", b"again", paced=False)
    settle([publisher, subscriber], sizes)
    assert subscriber.take_all(window) == [3, b"again"]
    assert len(publisher.program.outcomes) == messages + 4


@given(moves)
@steady(20)
def test_a_window_that_the_bus_caps_does_not_starve(sizes: Iterator[int]) -> None:
    """A client may ask for a larger window than the bus gives, and a program that takes still gets everything."""
    publisher, subscriber = glue(bus(subscription_messages=4, subscription_bytes=50), 2)
    window = subscriber.subscribe()
    settle([subscriber], sizes)
    sent = [bytes([number]) for number in range(20)]
    for payload in sent:
        publisher.publish("a", payload, paced=True)
    heard: Heard = []
    for _ in sent:
        settle([publisher, subscriber], sizes)
        heard += subscriber.take_all(window)
    assert heard == sent


@given(moves)
@steady(20)
def test_a_closed_subscription_holds_nobody(sizes: Iterator[int]) -> None:
    """A program that closes a subscription it takes nothing from lets its publishers go on."""
    publisher, subscriber = glue(bus(), 2, subscription_messages=1)
    window = subscriber.subscribe()
    settle([subscriber], sizes)
    operations = [publisher.publish("a", b"x", paced=True) for _ in range(5)]
    settle([publisher, subscriber], sizes)
    assert list(publisher.program.outcomes) == operations[:1]
    subscriber.program.close(window, subscriber.program.done)
    settle([publisher, subscriber], sizes)
    assert [publisher.program.outcomes[operation] for operation in operations] == [1, 0, 0, 0, 0]


# --- request and response


@given(moves, st.permutations(range(8)))
@steady(50)
def test_each_request_gets_its_own_answer(sizes: Iterator[int], order: list[int]) -> None:
    """Answers given in any order each find their request."""
    requester, responder = glue(bus(), 2)
    service = responder.claim()
    settle([responder], sizes)
    numbers = [requester.request(payload=bytes([number])) for number in range(8)]
    settle([requester, responder], sizes)
    pending = [service.take() for _ in range(8)]
    for number in order:
        responder.respond(service, pending[number], pending[number].call.payload + b"!")  # type: ignore[operator]
    settle([requester, responder], sizes)
    outcomes = [requester.program.outcomes[number] for number in numbers]
    assert outcomes == [m.Response(number, bytes([index]) + b"!") for index, number in enumerate(numbers)]
    assert requester.owes_nothing()
    assert responder.owes_nothing()
    assert not service.pending


@given(moves)
@steady(20)
def test_errors_reach_the_caller_as_what_they_are(sizes: Iterator[int]) -> None:
    """A refusal of the bus and a failure of a handler are each the error that the caller is to raise."""
    requester, responder = glue(bus(), 2, service_requests=1)
    service = responder.claim()
    second = requester.claim()
    settle([responder, requester], sizes)
    numbers = [second.id, requester.request("t"), requester.request(), requester.request()]
    settle([requester, responder], sizes)
    responder.program.session.fail(service, service.take(), ErrorCode.REMOTE_ERROR, "why")
    settle([requester, responder], sizes)
    assert outcome_types(requester, numbers) == [TopicClaimed, ServiceNotFound, RemoteError, ServiceBusy]
    assert str(requester.program.outcomes[numbers[2]]) == "why"


@given(moves, st.booleans())
@steady(20)
def test_a_cancelled_request_frees_both_sides(sizes: Iterator[int], taken: bool) -> None:
    """A request that is left is withdrawn at its responder, taken or not; when that has ended it nothing is pending."""
    one_bus = bus()
    requester, responder = glue(one_bus, 2)
    service = responder.claim()
    settle([responder], sizes)
    number = requester.request()
    settle([requester, responder], sizes)
    pending = service.take() if taken else None
    requester.program.session.end_request(number)
    settle([requester, responder], sizes)
    if pending is not None:
        assert pending.withdrawn
        responder.respond(service, pending)
        settle([requester, responder], sizes)
    assert len(service.waiting) == len(service.pending) == 0
    assert number not in requester.program.outcomes
    statistics = one_bus.router.statistics()
    assert (statistics.requests_pending, statistics.late_responses) == (0, 1)


@given(moves, st.integers(0, 3))
@steady(20)
def test_the_end_of_a_service_reaches_all_that_wait(sizes: Iterator[int], taken: int) -> None:
    """A service that ends with requests pending, taken or not, is gone for each of them; late answers are not sent."""
    requester, responder = glue(bus(), 2)
    service = responder.claim()
    settle([responder], sizes)
    numbers = [requester.request() for _ in range(3)]
    settle([requester, responder], sizes)
    calls = [service.take() for _ in range(taken)]
    responder.program.close(service, responder.program.done)
    for pending in calls:
        responder.respond(service, pending)
    settle([requester, responder], sizes)
    assert outcome_types(requester, numbers) == [ServiceGone] * 3
    assert requester.owes_nothing()
    assert responder.owes_nothing()


@given(moves)
@steady(20)
def test_a_forgotten_request_does_not_end_the_connection(sizes: Iterator[int]) -> None:
    """A program that never answers loses the request at the end of its lifetime, and its service goes on."""
    one_bus = bus(request_lifetime=5.0)
    requester, responder = glue(one_bus, 2, service_requests=1)
    service = responder.claim()
    settle([responder], sizes)
    requester.request()
    settle([requester, responder], sizes)
    service.take()
    one_bus.router.expire(5.0)
    number = requester.request()
    settle([requester, responder], sizes)
    responder.respond(service, service.take())
    settle([requester, responder], sizes)
    assert requester.program.outcomes[number] == m.Response(number, b"r")
    assert not service.pending


@given(moves)
@steady(20)
def test_the_end_of_a_connection_leaves_nothing(sizes: Iterator[int]) -> None:
    """A client that is lost in the midst of everything leaves nothing at the bus, and everyone hears of it."""
    one_bus = bus()
    wires = glue(one_bus, 2, subscription_messages=2)
    one, other = wires
    services = [wire.claim(topic) for wire, topic in zip(wires, "st", strict=True)]
    windows = [wire.subscribe() for wire in wires]
    settle(wires, sizes)
    for wire in wires:
        for _ in range(5):
            wire.publish("a", b"x", paced=True)
        wire.request("s")
        wire.request("t")
    settle(wires, sizes)
    one.lose()
    settle([other], sizes)
    assert windows[0].closed is services[0].closed is one.program.session.closed
    assert ServiceGone in map(type, other.program.outcomes.values())
    other.lose()
    for wire in wires:
        assert wire.program.session.unanswered == 0
    assert_empty(one_bus.router)


# --- anything, in any order


class PairMachine(RuleBasedStateMachine):
    """Three clients do anything, and what is on its way moves as it likes."""

    @initialize(window=st.integers(1, 4), outbox=st.sampled_from([20, 1000]))
    def open(self, window: int, outbox: int) -> None:
        self.bus = bus(outbox_bytes=outbox, requests=4, services=2, held_messages=5, routes=2)
        self.wires = glue(self.bus, 3, subscription_messages=window, service_requests=window)
        self.windows: list[tuple[Wire, ReceiveWindow, Heard]] = []
        self.services: list[tuple[Wire, CallWindow]] = []
        self.calls: list[tuple[Wire, CallWindow, PendingCall]] = []
        self.requests: list[tuple[Wire, int]] = []
        self.begun: set[tuple[Wire, int]] = set()
        self.cancelled: set[tuple[Wire, int]] = set()
        self.published: dict[int, bytes] = {}

    @rule(who=st.integers(0, 2), topic=st.sampled_from(["a", "b", "*", "**"]))
    def subscribe(self, who: int, topic: str) -> None:
        window = self.wires[who].subscribe(topic)
        self.windows.append((self.wires[who], window, []))
        self.begun.add((self.wires[who], window.id))

    @rule(number=st.integers(0, 9))
    def unsubscribe(self, number: int) -> None:
        if len(self.windows) > 2:
            wire, window, heard = self.windows.pop(number % len(self.windows))
            self.begun.add((wire, wire.program.close(window, wire.program.done)))
            self.check_order(heard)

    @rule(who=st.integers(0, 2), topic=st.sampled_from(["a", "b", "*"]), paced=st.booleans(), count=st.integers(1, 4))
    def publish(self, who: int, topic: str, paced: bool, count: int) -> None:
        wire = self.wires[who]
        for _ in range(count):
            number = len(self.published)
            self.published[number] = bytes([who, *number.to_bytes(2, "big")])
            self.begun.add((wire, wire.publish(topic, self.published[number], paced=paced)))

    @rule(who=st.integers(0, 2), up=st.integers(0, 5), down=st.integers(0, 5))
    def move(self, who: int, up: int, down: int) -> None:
        self.wires[who].move_up(up)
        self.wires[who].move_down(down)

    @rule(number=st.integers(0, 9))
    def take(self, number: int) -> None:
        for wire, window, heard in self.windows[number:]:
            heard.extend(wire.take_all(window))

    @rule(who=st.integers(0, 2), topic=st.sampled_from("st"))
    def claim(self, who: int, topic: str) -> None:
        wire = self.wires[who]
        try:
            self.services.append((wire, wire.claim(topic)))
        except LimitExceeded:
            assert len(wire.program.session.services) == 2
        else:
            self.begun.add((wire, self.services[-1][1].id))

    @rule(number=st.integers(0, 9))
    def unclaim(self, number: int) -> None:
        if len(self.services) > 2:
            wire, service = self.services.pop(number % len(self.services))
            self.begun.add((wire, wire.program.close(service, wire.program.done)))

    @rule(who=st.integers(0, 2), topic=st.sampled_from("st"))
    def request(self, who: int, topic: str) -> None:
        wire = self.wires[who]
        try:
            self.requests.append((wire, wire.request(topic)))
        except LimitExceeded:
            assert wire.program.session.requests == 4
        else:
            self.begun.add(self.requests[-1])

    @rule(number=st.integers(0, 9))
    def end_request(self, number: int) -> None:
        if self.requests:
            wire, operation = self.requests.pop(number % len(self.requests))
            if operation not in wire.program.outcomes:
                self.cancelled.add((wire, operation))
            wire.program.session.end_request(operation)

    @rule(number=st.integers(0, 9))
    def serve(self, number: int) -> None:
        for wire, service in self.services[number % 3 :]:
            if service.waiting:
                self.calls.append((wire, service, service.take()))

    @rule(number=st.integers(0, 9))
    def respond(self, number: int) -> None:
        if self.calls:
            wire, service, pending = self.calls.pop(number % len(self.calls))
            wire.respond(service, pending)

    def check_order(self, heard: Heard) -> None:
        """Nothing twice, and of each publisher nothing out of order."""
        for who in range(3):
            numbers = [item[1:] for item in heard if isinstance(item, bytes) and item[0] == who]
            assert numbers == sorted(set(numbers))

    def teardown(self) -> None:
        """Let everything arrive, be taken and be answered: each operation has had its one outcome."""
        sizes = cycle([3, 1, 7])
        moving = True
        while moving:
            settle(self.wires, sizes)
            self.serve(0)
            moving = bool(self.calls) or any(window.waiting for _, window, _ in self.windows)
            while self.calls:
                self.respond(0)
            self.take(0)
        for wire, operation in self.begun:
            assert (operation in wire.program.outcomes) != ((wire, operation) in self.cancelled)
        for _, _, heard in self.windows:
            self.check_order(heard)
        while self.requests:
            self.end_request(0)
        settle(self.wires, sizes)
        statistics = self.bus.router.statistics()
        assert (statistics.requests_pending, statistics.deliveries_held, statistics.buffered_bytes) == (0, 0, 0)
        for wire in self.wires:
            assert wire.program.session.requests == 0
            assert wire.owes_nothing()
            wire.lose()
        assert_empty(self.bus.router)


TestPair = PairMachine.TestCase
TestPair.settings = steady(100, 60)
