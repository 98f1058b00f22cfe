"""What the tests of the broker share: connections of a router that say what they are told to, and hear."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import define, field

from pure_helpers import HELLO, limits_with, one_by_one, publication
from t2bus.broker.identity import ANONYMOUS, Identity
from t2bus.broker.router import Router
from t2bus.limits import Limits
from t2bus.wire import messages as m

if TYPE_CHECKING:
    from collections.abc import Sequence

    from t2bus.broker.access import Access
    from t2bus.broker.outbox import Outbox
    from t2bus.broker.peer import Ending, Peer
    from t2bus.broker.statistics import PeerStatistics

DOES_NOT_READ = "it does not read: control messages that may not be dropped do not fit (Limits.control_bytes)"
"""The documented reason of a connection whose control messages overflow."""


@define(eq=False)
class RawPeer:
    """One connection of a router: says what it is told to, and hears what its outbox holds."""

    router: Router
    now: float = 0.0
    identity: Identity = ANONYMOUS
    hello: m.Hello = HELLO
    peer: Peer = field(init=False)
    last_operation: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.peer = self.router.connect(self.hello, self.identity)
        self.read()

    def feed(self, message: m.ClientMessage) -> None:
        """Say one message, which is carried out as a whole, in as many turns as that takes."""
        rest: Sequence[m.ClientMessage] = [message]
        while rest:
            rest = self.router.feed(self.peer, rest, self.now)

    def read(self) -> list[m.ServerMessage]:
        """Take all that waits, one by one, and say that it is written."""
        messages = one_by_one(self.peer.outbox.take())
        self.router.written(self.peer)
        return messages

    def disconnect(self) -> None:
        self.router.disconnect(self.peer)

    @property
    def ending(self) -> Ending | None:
        """Why the owner is asked to end the connection, if it is: it looks when something follows for this peer."""
        self.router.take_dirty()
        return self.peer.ending

    @property
    def outbox(self) -> Outbox:
        return self.peer.outbox

    @property
    def statistics(self) -> PeerStatistics:
        return self.router.about.statistics_of(self.peer)

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
        self.feed(m.Credit((subscription, messages, size)))

    def claim(self, topic: str = "s", requests: int = 10, size: int = 1000) -> int:
        number = self.next_operation()
        self.feed(m.Claim(number, topic, requests, size))
        return number

    def unclaim(self, service: int) -> int:
        number = self.next_operation()
        self.feed(m.Unclaim(number, service))
        return number

    def request(self, topic: str = "s", payload: bytes = b"q") -> int:
        number = self.next_operation()
        self.feed(m.Ask(number, None, topic, payload))
        return number


@define(eq=False)
class Bus:
    """A router with limits of its own."""

    limits: Limits = field(factory=Limits)
    access: Access | None = None
    router: Router = field(init=False)
    peers: list[RawPeer] = field(factory=list, init=False)
    """All that have ever been connected."""

    def __attrs_post_init__(self) -> None:
        self.router = Router(self.limits, self.access)

    def denials(self) -> list[tuple[str, str]]:
        """Whom the access rules have refused something since the last time, and what."""
        return [(event.identity, event.text) for event in self.router.take_events() if event.kind == "denied"]

    def connect(self, now: float = 0.0, identity: Identity = ANONYMOUS) -> RawPeer:
        peer = RawPeer(self.router, now, identity)
        self.peers.append(peer)
        return peer


def bus(**limits: float) -> Bus:
    """A bus with these limits; see :func:`limits_with` for the others."""
    return Bus(limits_with(**limits))


def go_on(router: Router) -> None:
    """Have all done that the turns of earlier calls have left, as time would at once."""
    while router.next_deadline() == -math.inf:
        router.expire(-math.inf)


def open_three(one_bus: Bus, window: int = 10, size: int = 1000) -> tuple[RawPeer, RawPeer, int]:
    """A publisher, a subscriber to ``a``, and its subscription."""
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    number = subscriber.subscribe("a", window, size)
    subscriber.read()
    return publisher, subscriber, number


def assert_empty(router: Router) -> None:
    """Nothing is left in any table of a router whose connections have all ended."""
    go_on(router)
    statistics = router.statistics()
    assert (len(router), statistics.connections, statistics.identities) == (0, 0, {})
    assert (statistics.subscriptions, statistics.services) == (0, 0)
    assert (statistics.requests_pending, statistics.deliveries_held, statistics.buffered_bytes) == (0, 0, 0)
    assert router.next_deadline() is None
    assert router.is_empty
