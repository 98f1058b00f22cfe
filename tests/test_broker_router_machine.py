"""A router under everything that connections may do, against a model that knows only what is promised.

The model writes down, for each subscription, every publication that its topic intersects. What the subscription hears
must be that list, in order, with a gap of the exact length wherever something is missing; and only what may be dropped
is: the model says for each publication whether it finds room, may be held, or may be dropped. Likewise every operation
and every request has the one answer that the model foresees. After each step the budget is counted one by one, and at
the end nothing is left.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from attrs import define, field
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker_helpers import Bus, RawPeer, assert_empty, bus
from pure_helpers import of_kind, one_by_one, steady
from t2bus.topic import intersects
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode, size_of

AMPLE: Final = 1 << 20
HELD: Final = 3
SUBSCRIPTIONS: Final = 4
REQUESTS: Final = 3
SERVICES: Final = 2
STALL: Final = 1.0
LIFETIME: Final = 4.0

SUBSCRIBED = ["a", "b", "a/*", "a/**", "**", "*"]
PUBLISHED = ["a", "b", "a/b", "a/*", "**"]
SERVED = ["a", "b", "s"]

Answer = ErrorCode | bytes | int


@define(eq=False)
class Subscribed:
    """A subscription: what it should hear, up to where it has been told, and its window."""

    who: Connected
    id: int
    topic: str
    messages: int
    size: int
    credit: int = field(init=False)
    credit_size: int = field(init=False)
    expected: list[Sent] = field(factory=list)
    told: int = 0
    droppable: set[Sent] = field(factory=set)
    held_since: float = 0.0
    lagging: bool = False

    def __attrs_post_init__(self) -> None:
        self.credit, self.credit_size = self.messages, self.size

    @property
    def has_credit(self) -> bool:
        return self.credit > 0 and self.credit_size > 0

    @property
    def held(self) -> list[Sent]:
        return [sent for sent in self.expected[self.told :] if sent not in self.droppable]

    def drop(self, sent: Sent) -> None:
        self.droppable.add(sent)
        sent.unsettled.discard(self)

    def hear(self, sent: Sent) -> None:
        assert self.has_credit, "a delivery without credit"
        assert self.expected[self.told] is sent, "out of order, or a gap that was not told"
        self.told += 1
        self.credit -= 1
        self.credit_size -= sent.size
        sent.unsettled.discard(self)

    def miss(self, dropped: int) -> None:
        missing = self.expected[self.told : self.told + dropped]
        assert self.has_credit, "a gap without credit"
        assert len(missing) == dropped > 0
        assert self.droppable.issuperset(missing), "a message was dropped that was to be held"
        self.told += dropped


@define(eq=False)
class Sent:
    """A publication and who has still to take or to miss it."""

    number: int
    size: int
    unsettled: set[Subscribed] = field(factory=set)
    deliveries: Counter[Connected] = field(factory=Counter)
    reached: set[Connected] = field(factory=set)


@define(eq=False)
class Served:
    who: Connected
    id: int
    requests: int
    size: int
    calls: dict[int, Asked] = field(factory=dict)


@define(eq=False)
class Asked:
    """A request, from its acceptance to its one outcome, and the call that it is at its responder."""

    who: Connected
    operation: int
    service: Served
    size: int
    expires_at: float
    call: int = 0
    foreseen: Answer | None = None


@define(eq=False)
class Connected:
    """One connection: what it has open, which answers are due to it, and how much of its outbox was looked at."""

    raw: RawPeer
    subscriptions: dict[int, Subscribed] = field(factory=dict)
    services: dict[str, Served] = field(factory=dict)
    requests: dict[int, Asked] = field(factory=dict)
    due: dict[int, Sent | int] = field(factory=dict)
    refusals: dict[int, ErrorCode] = field(factory=dict)
    withdrawals: Counter[int] = field(factory=Counter)
    seen: int = 0
    waiting: list[Sent] = field(factory=list)
    """The publications in its outbox."""
    taken: list[Sent] = field(factory=list)
    """Those that are being written."""
    gaps: dict[int, int] = field(factory=dict)
    """The gaps that wait in its outbox, by place: they may still grow."""

    @property
    def held(self) -> int:
        return sum(1 for sent in self.due.values() if isinstance(sent, Sent) and sent.unsettled)


class RouterMachine(RuleBasedStateMachine):
    publishing = precondition(lambda self: self.focus != "serve")
    serving = precondition(lambda self: self.focus != "publish")

    @initialize(
        total=st.sampled_from([AMPLE, AMPLE, 20]),
        outbox=st.sampled_from([8, 16, 100]),
        focus=st.sampled_from(["publish", "publish", "serve", "both"]),
    )
    def open(self, total: int, outbox: int, focus: str) -> None:
        self.focus = focus
        self.ample = total == AMPLE
        self.bus: Bus = bus(
            total_bytes=total,
            outbox_bytes=outbox,
            held_messages=HELD,
            subscriptions=SUBSCRIPTIONS,
            requests=REQUESTS,
            services=SERVICES,
            stall=STALL,
            request_lifetime=LIFETIME,
            routes=2,
        )
        self.router = self.bus.router
        self.now = 0.0
        self.connected: list[Connected] = []
        self.sent: list[Sent] = []
        self.calls: dict[int, Asked] = {}
        for _ in range(3):
            self.connect()

    def some(self, number: int) -> Connected:
        who = self.connected[number % len(self.connected)]
        who.raw.now = self.now
        return who

    @property
    def open_subscriptions(self) -> list[Subscribed]:
        return [each for who in self.connected for each in who.subscriptions.values()]

    # --- connections

    @precondition(lambda self: len(self.connected) < 4)
    @rule()
    def connect(self) -> None:
        self.connected.append(Connected(self.bus.connect()))

    @precondition(lambda self: len(self.connected) > 2)
    @rule(number=st.integers(0, 3))
    def disconnect(self, number: int) -> None:
        who = self.some(number)
        self.take(number)
        self.connected.remove(who)
        self.let_go(list(who.subscriptions.values()))
        self.leave(list(who.services.values()))
        for asked in who.requests.values():
            asked.service.who.withdrawals[asked.call] += asked.call in self.calls
        who.requests.clear()
        who.raw.disconnect()
        self.look()

    @rule(number=st.integers(0, 3))
    def take(self, number: int) -> None:
        """The writer takes all that waits; the answers that are due are among it, and no other."""
        who = self.some(number)
        messages = who.raw.outbox.take()
        who.seen = 0
        who.taken, who.waiting = who.taken + who.waiting, []
        unreached = dict(pair for each in of_kind(messages, m.Unreached) for pair in enumerate(each.counts, each.first))
        for accepted in of_kind(messages, m.Accepted):
            for operation, count in enumerate(accepted.counts, accepted.first):
                sent = who.due.pop(operation)
                assert count == (len(sent.deliveries) if isinstance(sent, Sent) else sent)
                missed = len(sent.reached) - count if isinstance(sent, Sent) else 0
                assert unreached.pop(operation, 0) == missed
        assert not unreached
        if self.ample:
            assert all(isinstance(sent, Sent) and sent.unsettled for sent in who.due.values())

    @rule(number=st.integers(0, 3))
    def written(self, number: int) -> None:
        who = self.some(number)
        who.taken = []
        self.router.written(who.raw.peer)
        self.look()
        for subscription in who.subscriptions.values():
            self.check_told(subscription)

    @rule(quarters=st.sampled_from([1, 3, 4, 4, 6]))
    def wait(self, quarters: int) -> None:
        """Time passes: what is held too long may be dropped, and what is asked too long is over."""
        self.now += quarters * STALL / 4
        for subscription in self.open_subscriptions:
            if subscription.held and subscription.held_since + STALL <= self.now:
                subscription.lagging = True
                for sent in subscription.held:
                    subscription.drop(sent)
        for asked in list(self.calls.values()):
            if asked.expires_at <= self.now:
                waits = asked.operation in asked.who.requests
                asked.service.who.withdrawals[asked.call] += waits
                self.end(asked, ErrorCode.REQUEST_TIMEOUT)
        self.router.expire(self.now)
        self.look()

    # --- publish and subscribe

    @publishing
    @rule(
        number=st.integers(0, 3),
        topic=st.sampled_from(SUBSCRIBED),
        messages=st.integers(1, 4),
        size=st.sampled_from([4, 10, 1000]),
    )
    def subscribe(self, number: int, topic: str, messages: int, size: int) -> None:
        who = self.some(number)
        operation = who.raw.last_operation + 1
        if len(who.subscriptions) >= SUBSCRIPTIONS:
            who.refusals[operation] = ErrorCode.LIMIT_EXCEEDED
        else:
            who.subscriptions[operation] = Subscribed(who, operation, topic, messages, size)
            who.due[operation] = 0
        who.raw.subscribe(topic, messages, size)
        self.look()

    @precondition(lambda self: self.open_subscriptions)
    @rule(number=st.integers(0, 15))
    def unsubscribe(self, number: int) -> None:
        subscription = self.open_subscriptions[number % len(self.open_subscriptions)]
        who = subscription.who
        del who.subscriptions[subscription.id]
        self.let_go([subscription])
        who.due[who.raw.unsubscribe(subscription.id)] = 0
        self.look()

    def let_go(self, subscriptions: list[Subscribed]) -> None:
        for subscription in subscriptions:
            for sent in subscription.held:
                subscription.drop(sent)

    @publishing
    @rule(
        number=st.integers(0, 3),
        topic=st.sampled_from(PUBLISHED),
        lengths=st.lists(st.sampled_from([2, 2, 2, 5, 9, 20]), min_size=1, max_size=4),
        paced=st.booleans(),
    )
    def publish(self, number: int, topic: str, lengths: list[int], paced: bool) -> None:
        for length in lengths:
            self.publish_one(self.some(number), topic, length, paced=paced)

    def publish_one(self, who: Connected, topic: str, length: int, *, paced: bool) -> None:
        payload = len(self.sent).to_bytes(2, "big") + bytes(length - 2)
        sent = Sent(len(self.sent), size_of(topic, payload, {}))
        self.sent.append(sent)
        reached = [each for each in self.open_subscriptions if intersects(each.topic, topic)]
        takers = {each for each in reached if not each.held and each.has_credit and each.who.raw.outbox.fits(sent.size)}
        may_be_held = {each for each in reached if paced and self.may_hold(each, who, sent)}
        for each in reached:
            each.expected.append(sent)
            if each in takers and self.ample:
                continue
            if each in may_be_held:
                each.held_since = each.held_since if each.held[:-1] else self.now
            if each not in may_be_held or not self.ample:
                each.droppable.add(sent)
        sent.reached = {each.who for each in reached}
        sent.unsettled = {each for each in reached if each in takers or each in may_be_held}
        who.due[who.raw.publish(topic, payload, paced=paced)] = sent
        self.look()
        assert set(sent.deliveries.values()) <= {1}, "a connection was sent a publication twice at once"
        if self.ample:
            assert {each for each in reached if each.told and each.expected[each.told - 1] is sent} == takers
        else:
            self.read_backlogs(reached, sent)

    def may_hold(self, subscription: Subscribed, publisher: Connected, sent: Sent) -> bool:
        fits = sent.size <= self.bus.limits.outbox_bytes
        return fits and not subscription.lagging and publisher.held < HELD

    def read_backlogs(self, reached: list[Subscribed], sent: Sent) -> None:
        """Where the total is small it depends on the order of receivers who holds: take the router's word for it."""
        for each in reached:
            holds = each.who.raw.statistics.subscriptions[each.id].held > len(each.held)
            if each.told and each.expected[each.told - 1] is sent:
                each.droppable.discard(sent)
            elif holds:
                each.droppable.discard(sent)
                each.held_since = each.held_since if each.held[:-1] else self.now
            else:
                sent.unsettled.discard(each)

    @precondition(lambda self: self.open_subscriptions)
    @rule(number=st.integers(0, 15), messages=st.integers(0, 3), size=st.sampled_from([0, 5, 1000]))
    def grant(self, number: int, messages: int, size: int) -> None:
        subscription = self.open_subscriptions[number % len(self.open_subscriptions)]
        before = subscription.credit
        subscription.credit = min(before + messages, subscription.messages)
        subscription.credit_size = min(subscription.credit_size + size, subscription.size)
        if subscription.credit > before:
            subscription.held_since = self.now
        half = 2 * subscription.credit >= subscription.messages
        if half and 2 * subscription.credit_size >= subscription.size:
            subscription.lagging = False
        subscription.who.raw.now = self.now
        subscription.who.raw.credit(subscription.id, messages, size)
        self.look()
        self.check_told(subscription)

    def check_told(self, subscription: Subscribed) -> None:
        """With credit nothing that was dropped waits to be told, unless behind what is held."""
        if subscription.has_credit and subscription.told < len(subscription.expected):
            assert subscription.expected[subscription.told] not in subscription.droppable

    # --- request and response

    @serving
    @rule(number=st.integers(0, 3), topic=st.sampled_from(SERVED), requests=st.integers(1, 3), size=st.integers(1, 9))
    def claim(self, number: int, topic: str, requests: int, size: int) -> None:
        who = self.some(number)
        operation = who.raw.last_operation + 1
        holders = [each for each in self.connected if topic in each.services]
        if holders:
            who.refusals[operation] = ErrorCode.TOPIC_CLAIMED
        elif len(who.services) >= SERVICES:
            who.refusals[operation] = ErrorCode.LIMIT_EXCEEDED
        else:
            who.services[topic] = Served(who, operation, requests, size)
            who.due[operation] = 0
        who.raw.claim(topic, requests, size)
        for holder in holders:
            # It answers at once, and so keeps its claim.
            assert holder.raw.outbox.take_signs() == [m.Ping(0)] * (holder is not who)
            holder.raw.feed(m.Pong(0))
        self.look()

    @serving
    @rule(number=st.integers(0, 3), topic=st.sampled_from(SERVED))
    def unclaim(self, number: int, topic: str) -> None:
        who = self.some(number)
        service = who.services.pop(topic, None)
        if service is not None:
            self.leave([service])
        who.due[who.raw.unclaim(service.id if service else 999)] = 0
        self.look()

    def leave(self, services: list[Served]) -> None:
        for service in services:
            for asked in list(service.calls.values()):
                self.end(asked, ErrorCode.SERVICE_GONE)

    def end(self, asked: Asked, outcome: Answer) -> None:
        """The responder is done with a call; its requester is to hear of it, if it still waits."""
        del self.calls[asked.call], asked.service.calls[asked.call]
        if asked.operation in asked.who.requests:
            asked.foreseen = outcome

    @serving
    @rule(number=st.integers(0, 3), topic=st.sampled_from(SERVED), length=st.sampled_from([2, 2, 6]))
    def request(self, number: int, topic: str, length: int) -> None:
        who = self.some(number)
        operation = who.raw.last_operation + 1
        size = len(topic) + length
        service = next((each.services[topic] for each in self.connected if topic in each.services), None)
        if len(who.requests) >= REQUESTS:
            who.refusals[operation] = ErrorCode.LIMIT_EXCEEDED
        elif service is None:
            who.refusals[operation] = ErrorCode.SERVICE_NOT_FOUND
        elif (
            len(service.calls) >= service.requests
            or sum(asked.size for asked in service.calls.values()) >= service.size
            or not service.who.raw.outbox.fits(size)
        ):
            who.refusals[operation] = ErrorCode.SERVICE_BUSY
        else:
            who.requests[operation] = self.asked = Asked(who, operation, service, size, self.now + LIFETIME)
        who.raw.request(topic, bytes(length))
        self.look()
        assert operation not in who.requests or who.requests[operation].call, "the request was not handed over"

    @precondition(lambda self: self.calls)
    @rule(number=st.integers(0, 15), length=st.sampled_from([0, 3, 30]), fails=st.booleans())
    def answer(self, number: int, length: int, fails: bool) -> None:
        asked = list(self.calls.values())[number % len(self.calls)]
        fits = asked.who.raw.outbox.fits(length) if asked.operation in asked.who.requests else False
        message = (
            m.Fail(asked.call, ErrorCode.REMOTE_ERROR, "x" * length) if fails else m.Respond(asked.call, bytes(length))
        )
        self.end(asked, (ErrorCode.REMOTE_ERROR if fails else bytes(length)) if fits else ErrorCode.LIMIT_EXCEEDED)
        late = self.router.counters.late_responses
        asked.service.who.raw.feed(message)
        assert self.router.counters.late_responses - late == (asked.operation not in asked.who.requests)
        self.look()

    @serving
    @rule(number=st.integers(0, 3), which=st.integers(0, 3))
    def cancel(self, number: int, which: int) -> None:
        who = self.some(number)
        operation = sorted(who.requests)[which % len(who.requests)] if who.requests else 999
        asked = who.requests.pop(operation, None)
        if asked is not None:
            asked.service.who.withdrawals[asked.call] += 1
        who.raw.feed(m.Cancel(operation))
        self.look()

    # --- at any time

    @invariant()
    def budget_is_what_waits_or_is_held(self) -> None:
        """A publication counts once, however many have it; all else counts where it waits."""
        used = self.router.statistics().buffered_bytes
        held = {sent for subscription in self.open_subscriptions for sent in subscription.held}
        in_outboxes = [sent for who in self.connected for sent in who.waiting + who.taken]
        waiting = [who.raw.outbox.size for who in self.connected]
        others = sum(waiting) - sum(sent.size for sent in in_outboxes)
        assert used == others + sum(sent.size for sent in {*held, *in_outboxes}) <= self.bus.limits.total_bytes
        assert all(size <= self.bus.limits.outbox_bytes for size in waiting)

    @invariant()
    def nothing_waits_that_has_room(self) -> None:
        for subscription in self.open_subscriptions:
            if subscription.held and subscription.has_credit:
                head = subscription.expected[subscription.told]
                assert head not in subscription.droppable
                outbox = subscription.who.raw.outbox
                # Room that others have left is used at once where nothing waits, and else when that is written.
                assert not outbox.fits(head.size) or (outbox.size and not self.ample)

    @invariant()
    def deadline_is_the_nearest(self) -> None:
        stalls = [each.held_since + STALL for each in self.open_subscriptions if each.held]
        lives = [asked.expires_at for asked in self.calls.values()]
        assert self.router.next_deadline() == min(stalls + lives, default=None)

    @invariant()
    def tables_are_those_of_the_model(self) -> None:
        statistics = self.router.statistics()
        assert statistics.connections == len(self.router) == len(self.connected)
        assert statistics.subscriptions == len(self.open_subscriptions)
        assert statistics.services == sum(len(who.services) for who in self.connected)
        assert statistics.requests_pending == len(self.calls)
        assert statistics.deliveries_held == sum(len(each.held) for each in self.open_subscriptions)
        for who in self.connected:
            one = who.raw.statistics
            calls = [asked for each in who.services.values() for asked in each.calls.values()]
            has = {number: (each.topic, each.held) for number, each in one.subscriptions.items()}
            assert has == {number: (each.topic, len(each.held)) for number, each in who.subscriptions.items()}
            assert (sorted(one.services), one.requests) == (sorted(who.services), len(who.requests))
            assert (one.calls, one.calls_size) == (len(calls), sum(asked.size for asked in calls))
            assert not self.ample or who.raw.peer.held == who.held
            assert who.raw.ending is None

    def teardown(self) -> None:
        """Let everybody take everything and answer everything: nothing is missing and nothing is left."""
        for _ in list(self.calls):
            self.answer(0, 0, fails=False)
        for _ in self.sent:
            for number in range(len(self.connected)):
                self.take(number)
                self.written(number)
            for number in range(len(self.open_subscriptions)):
                self.grant(number, 100, AMPLE)
        assert all(each.told == len(each.expected) for each in self.open_subscriptions), "something was not told"
        for number, who in enumerate(self.connected):
            self.take(number)
            self.written(number)
            assert not who.due, "an operation was not answered"
            assert not who.requests
        assert self.router.statistics().buffered_bytes == 0
        while len(self.connected) > 1:
            self.disconnect(0)
        self.connected[0].raw.disconnect()
        assert_empty(self.router)

    # --- what the connections are told

    def look(self) -> None:
        """Take note of all that was put in the outboxes since the last look."""
        for who in self.connected:
            messages = [each for each in who.raw.outbox.peek() if not isinstance(each, m.Accepted | m.Unreached)]
            for place, message in enumerate(messages[: who.seen]):
                if isinstance(message, m.Gap) and message.dropped > who.gaps[place]:
                    who.subscriptions[message.subscription].miss(message.dropped - who.gaps[place])
            who.gaps = {place: each.dropped for place, each in enumerate(messages) if isinstance(each, m.Gap)}
            for message in one_by_one(messages[who.seen :]):
                self.hear(who, message)
            who.seen = len(messages)
            assert not who.refusals, "an operation was not refused"
            assert not +who.withdrawals, "a call was not withdrawn"
            assert all(asked.foreseen is None for asked in who.requests.values()), "a request has no outcome"

    def hear(self, who: Connected, message: m.ServerMessage) -> None:
        match message:
            case m.Deliver(subscriptions, m.Publication(payload=bytes(payload))):
                sent = self.sent[int.from_bytes(payload[:2], "big")]
                sent.deliveries[who] += 1
                who.waiting.append(sent)
                assert len(set(subscriptions)) == len(subscriptions) > 0
                for number in subscriptions:
                    who.subscriptions[number].hear(sent)
            case m.Gap(subscription, dropped):
                who.subscriptions[subscription].miss(dropped)
            case m.Call(call, service):
                assert self.asked.service is next(each for each in who.services.values() if each.id == service)
                assert call not in self.calls
                self.asked.call = call
                self.calls[call] = self.asked.service.calls[call] = self.asked
            case m.Withdraw(call):
                assert who.withdrawals[call] == 1
                del who.withdrawals[call]
            case m.Response(request, payload):
                assert who.requests.pop(request).foreseen == payload
            case m.Refused(operation, code) if operation in who.requests:
                assert who.requests.pop(operation).foreseen == code
            case m.Refused(operation, code):
                assert who.refusals.pop(operation) == code
            case _:
                raise AssertionError(message)


TestRouter = RouterMachine.TestCase
TestRouter.settings = steady(400, 50)
