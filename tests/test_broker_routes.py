"""Routes: what is remembered of a topic's receivers is what would be found now, and it is bounded."""

from __future__ import annotations

from typing import Final

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from t2bus.broker.budget import Budget
from t2bus.broker.events import Events
from t2bus.broker.flow import SendWindow
from t2bus.broker.identity import ANONYMOUS
from t2bus.broker.outbox import DirtyPeers, Outbox
from t2bus.broker.peer import Peer
from t2bus.broker.routes import Routes
from t2bus.broker.statistics import Counters
from t2bus.broker.turn import Turn
from t2bus.limits import Limits
from t2bus.topic import intersects, is_concrete

PER_ROUTE: Final = 64
"""The subscriptions that may be remembered for each of ``Limits.routes``."""

SUBSCRIBED = ["a", "b", "a/*", "a/**", "**", "*"]
PUBLISHED = ["a", "b", "c", "a/b", "a/*", "**"]


@define(eq=False)
class Table:
    """Routes of a bus, and the subscriptions that are in them."""

    routes: Routes = field(factory=lambda: Routes(Limits(routes=2)))
    windows: list[SendWindow] = field(factory=list)
    peers: dict[int, Peer] = field(factory=dict)

    def subscribe(self, topic: str, connection: int = 1) -> SendWindow:
        outbox = Outbox(connection, 1, 1, Budget(1, 1), DirtyPeers())
        peer = self.peers.setdefault(connection, Peer(connection, ANONYMOUS, outbox, None))
        window = SendWindow(len(self.windows) + 1, topic, peer, 1, 1, 1.0, 1, Counters(), Events(), {}, Turn(1))
        self.windows.append(window)
        self.routes.add(window)
        return window

    def find(self, topic: str) -> list[SendWindow]:
        """The receivers of a topic, of whatever connection, in the order in which they are looked at."""
        route, _ = self.routes.find(topic)
        return [window for _, windows, _ in route.receivers for window in windows]


def test_a_route_is_remembered() -> None:
    """The route of a concrete topic is known from the first publication on, until a subscription changes it."""
    table = Table()
    table.subscribe("a/*")
    route, steps = table.routes.find("a/b")
    assert steps > 1
    assert table.routes.known["a/b"] is route
    table.subscribe("b/*")
    assert "a/b" not in table.routes.known


def test_the_route_of_a_wildcard_is_found_each_time() -> None:
    """Only concrete topics are remembered: there are as many others as a publisher can think of."""
    table = Table()
    table.subscribe("a")
    assert len(table.find("*")) == 1
    assert "*" not in table.routes.known
    assert table.routes.remembered == 0


def test_a_route_groups_by_connection() -> None:
    """A connection stands in a route once, with its subscriptions, and connections stand in the order of their ids."""
    table = Table()
    windows = [table.subscribe("a", connection) for connection in (2, 1, 2)]
    route, _ = table.routes.find("a")
    assert [(peer.id, ids) for peer, _, ids in route.receivers] == [(1, (2,)), (2, (1, 3))]
    assert [each for _, group, _ in route.receivers for each in group] == [windows[1], windows[0], windows[2]]


def test_routes_are_bounded_in_number() -> None:
    """The routes of as many topics are remembered as the limit says, the youngest."""
    table = Table()
    table.subscribe("**")
    for topic in ("a", "b", "c", "a", "*"):
        table.find(topic)
    assert [topic in table.routes.known for topic in ("a", "b", "c", "*")] == [True, False, True, False]


def test_routes_are_bounded_in_size() -> None:
    """Routes to many subscriptions are remembered for fewer topics, so that memory is bounded whoever subscribes."""
    table = Table()
    for _ in range(100):
        table.subscribe("**")
    for topic in ("a", "b", "c"):
        table.find(topic)
    assert [topic in table.routes.known for topic in ("a", "b", "c")] == [False, False, True]
    assert table.routes.remembered == 100


def test_one_large_route_is_remembered_alone() -> None:
    """The route of a topic that reaches more than may be remembered is kept until another one comes."""
    table = Table()
    for _ in range(3 * PER_ROUTE):
        table.subscribe("**")
    for topic in ("a", "b"):
        table.find(topic)
        assert topic in table.routes.known
    assert table.routes.remembered == 3 * PER_ROUTE


steps = st.lists(
    st.tuples(st.just("subscribe"), st.sampled_from(SUBSCRIBED), st.integers(1, 3))
    | st.tuples(st.just("unsubscribe"), st.just(""), st.integers(0, 9))
    | st.tuples(st.just("publish"), st.sampled_from(PUBLISHED), st.just(0)),
    max_size=40,
)


@given(steps)
@steady(300)
def test_a_remembered_route_is_what_would_be_found_now(steps: list[tuple[str, str, int]]) -> None:
    """Whatever comes and goes, a topic's receivers are those that it intersects, and what is remembered is counted."""
    table = Table()
    for what, topic, number in steps:
        match what:
            case "subscribe":
                table.subscribe(topic, number)
            case "unsubscribe":
                if table.windows:
                    table.routes.discard(table.windows.pop(number % len(table.windows)))
            case _:
                expected = {each for each in table.windows if intersects(each.topic, topic)}
                found = table.find(topic)
                assert (set(found), len(found)) == (expected, len(expected))
                assert (topic in table.routes.known) == is_concrete(topic)
        remembered = [each for each in PUBLISHED if each in table.routes.known]
        assert len(remembered) <= 2
        reached = [intersects(each.topic, topic) for each in table.windows for topic in remembered]
        assert table.routes.remembered == sum(reached)
        assert len(table.routes) == len(table.windows)
    for window in table.windows:
        table.routes.discard(window)
    assert table.routes.is_empty
