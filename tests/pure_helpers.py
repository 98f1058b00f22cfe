"""What the tests of the core share: connections of a router that say and hear, and a bus's end for a session."""

from __future__ import annotations

from itertools import count, repeat
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field
from hypothesis import HealthCheck, settings

from t2bus.broker.flow import _Held
from t2bus.broker.identity import ANONYMOUS, Identity
from t2bus.broker.router import Router
from t2bus.limits import Limits
from t2bus.session.outbox import ClientOutbox
from t2bus.session.session import Outcome, Session
from t2bus.wire import messages as m
from t2bus.wire.native import VERSION
from t2bus.wire.values import ErrorCode, size_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from t2bus.broker.access import Access
    from t2bus.broker.peer import Peer

Kind = TypeVar("Kind")

HELLO = m.Hello(VERSION, "a test", ())
WELCOME = m.Welcome(VERSION, "a test", (), 1, 1 << 16, 1 << 17, 64, 4, 3, 1024, 256, 1 << 20, 1 << 30)


def steady(examples: int, steps: int = 50) -> settings:
    """Settings under which the same examples run every time."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )


def publication(topic: str = "a", payload: bytes = b"x") -> m.Publication:
    return m.Publication(topic, payload)


def of_kind(messages: Iterable[object], kind: type[Kind]) -> list[Kind]:
    return [message for message in messages if isinstance(message, kind)]


def one_by_one(messages: Iterable[object]) -> list[Any]:
    """The messages with every run taken apart, which says the same."""
    apart: list[object] = []
    for message in messages:
        if isinstance(message, m.PublishRun):
            apart += map(m.Publish, count(message.id), repeat(message.paced), message.run.publications)
        elif isinstance(message, m.DeliverRun):
            apart += map(m.Deliver, repeat(message.subscriptions), message.run.publications)
        else:
            apart.append(message)
    return apart


@define(eq=False)
class RawPeer:
    """One connection of a router: says what it is told to, and hears what its outbox holds."""

    router: Router
    now: float = 0.0
    identity: Identity = ANONYMOUS
    hello: m.Hello = HELLO
    link: Peer = field(init=False)
    wakes: int = field(default=0, init=False)
    expelled: list[str] = field(factory=list, init=False)
    reasons: list[str] = field(factory=list, init=False)
    last_operation: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.link = self.router.connect(
            self.hello, self.identity, wake=self._wake, close=self.reasons.append, expel=self.expelled.append
        )
        self.read()

    def _wake(self) -> None:
        self.wakes += 1

    def feed(self, message: m.ClientMessage) -> None:
        self.router.feed(self.link, message, self.now)

    def read(self) -> list[m.ServerMessage]:
        """Take all that waits, one by one, and say that it is written."""
        messages = one_by_one(self.link.outbox.take())
        self.router.written(self.link, self.now)
        return messages

    def disconnect(self) -> None:
        self.router.disconnect(self.link)

    def next_operation(self) -> int:
        self.last_operation += 1
        return self.last_operation

    def subscribe(self, topic: str = "a", messages: int = 10, size: int = 1000) -> int:
        number = self.next_operation()
        self.feed(m.Subscribe(number, topic, messages, size))
        return number

    def unsubscribe(self, subscription: int) -> int:
        number = self.next_operation()
        self.feed(m.Unsubscribe(number, subscription))
        return number

    def publish(self, topic: str = "a", payload: bytes = b"x", *, paced: bool = False) -> int:
        number = self.next_operation()
        self.feed(m.Publish(number, paced, publication(topic, payload)))
        return number

    def credit(self, subscription: int, messages: int = 1, size: int = 0) -> None:
        self.feed(m.Credit(((subscription, messages, size),)))

    def claim(self, topic: str = "s", requests: int = 10, size: int = 1000) -> int:
        number = self.next_operation()
        self.feed(m.Claim(number, topic, requests, size))
        return number

    def unclaim(self, service: int) -> int:
        number = self.next_operation()
        self.feed(m.Unclaim(number, service))
        return number

    def request(self, topic: str = "s", payload: bytes = b"q", *, timeout: int | None = None) -> int:
        number = self.next_operation()
        self.feed(m.Ask(number, timeout, topic, payload))
        return number


@define(eq=False)
class Bus:
    """A router with small limits, whose alarms are counted."""

    limits: Limits = field(factory=Limits)
    access: Access | None = None
    alarms: int = field(default=0, init=False)
    reports: list[tuple[str, str]] = field(factory=list, init=False)
    """Whom the access rules refused something, and what."""
    router: Router = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.router = Router(self.limits, self._alarm, self._report, self.access)

    def _alarm(self) -> None:
        self.alarms += 1

    def _report(self, identity: Identity, text: str) -> None:
        self.reports.append((identity.name, text))

    def connect(self, now: float = 0.0, identity: Identity = ANONYMOUS) -> RawPeer:
        return RawPeer(self.router, now, identity)


def bus(**limits: float) -> Bus:
    """A bus with these limits, and the default for the others."""
    return Bus(Limits(**limits))  # type: ignore[arg-type]


def payloads(messages: Iterable[object]) -> list[bytes]:
    """The payloads of all deliveries, in order."""
    return [
        message.publication.payload
        for message in of_kind(messages, m.Deliver)
        if isinstance(message.publication.payload, bytes)
    ]


def stream(messages: Iterable[object], subscription: int) -> list[bytes | int]:
    """What one subscription hears: the payloads it gets, and in their places the numbers of those it misses."""
    heard: list[bytes | int] = []
    for message in messages:
        if isinstance(message, m.Deliver) and subscription in message.subscriptions:
            heard += payloads([message])
        elif isinstance(message, m.Gap) and message.subscription == subscription:
            heard.append(message.dropped)
    return heard


def acknowledged(messages: Iterable[object]) -> dict[int, int]:
    """The counts of all acknowledged operations; each may be acknowledged once."""
    pairs = [
        pair for message in of_kind(messages, m.Accepted) for pair in enumerate(message.counts, start=message.first)
    ]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def refused(messages: Iterable[object]) -> dict[int, ErrorCode]:
    """The codes of all refused operations."""
    return {message.id: message.code for message in of_kind(messages, m.Refused)}


def waiting_and_held(router: Router) -> int:
    """The bytes that wait in all outboxes, counted one by one, and of what is held, for whomever it is."""
    links = router._peers.values()
    held = {
        entry.ticket: entry.ticket.size
        for link in links
        for subscription in link.subscriptions.values()
        for entry in subscription.backlog
        if isinstance(entry, _Held)
    }
    return sum(held.values()) + sum(link.outbox.size for link in links)


def assert_empty(router: Router) -> None:
    """Nothing is left in any table of a router whose connections have all ended."""
    broker, services = router._pubsub, router._services
    assert not router._peers
    assert router._total.used == 0
    assert len(broker) == 0
    assert not broker._tree._root.children
    assert broker._remembered == sum(len(ids) for route in broker._routes.values() for _, _, ids in route) == 0
    assert not broker._holding
    assert not services._services
    assert not services._pending
    assert router.next_deadline() is None


# --- the client's side


@define(eq=False)
class Program:
    """A session and what the program around it is told."""

    limits: Limits = field(factory=Limits)
    welcome: m.Welcome = WELCOME
    session: Session = field(init=False)
    wakes: int = field(default=0, init=False)
    inlet_wakes: int = field(default=0, init=False)
    outcomes: dict[int, Outcome] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.session = Session(self.limits, self.welcome, ClientOutbox(self.limits.outbox_bytes, self._wake))

    def _wake(self) -> None:
        self.wakes += 1

    def wake_inlet(self) -> None:
        self.inlet_wakes += 1

    def done(self, operation: int, outcome: Outcome) -> None:
        assert operation not in self.outcomes, "an operation has one outcome"
        self.outcomes[operation] = outcome

    def read(self) -> list[m.ClientMessage]:
        """Take all that waits, one by one, and say that it is written."""
        messages = one_by_one(self.session.outbox.take())
        self.session.outbox.written()
        return messages


def size(publication: m.Publication) -> int:
    return size_of(publication.topic, publication.payload, publication.headers)
