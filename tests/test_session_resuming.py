"""What a client keeps over the loss of its connection, and how it is registered with the next bus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import WELCOME
from session_helpers import Program, publisher_window
from t2bus.disconnected import Disconnected
from t2bus.errors import (
    BusError,
    InvalidTopic,
    Lagged,
    PermissionDenied,
    ProtocolViolation,
    ServiceRevoked,
    TopicClaimed,
    Unconfirmed,
)
from t2bus.session.counters import ClientCounters
from t2bus.session.latest import LatestWindow
from t2bus.session.resuming import Resuming
from t2bus.session.subscription_options import SubscriptionOptions
from t2bus.session.windows import CallWindow, ReceiveWindow
from t2bus.wire import messages as m
from t2bus.wire.values import NO_HEADERS, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable

LOST = Disconnected("lost")
FINAL = Disconnected("lost for good")


@define(eq=False)
class Client:
    """A client over one connection after the other."""

    now: Program = field(factory=Program)
    resuming: Resuming = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.resuming = Resuming(self.now.session)

    def subscribe(self, topic: str, options: SubscriptionOptions | None = None) -> ReceiveWindow:
        session = self.now.session
        window = session.subscribe(topic, self.now.done, options or SubscriptionOptions())
        self.now.feed(m.Accepted(window.id, (0,)))
        return window

    def claim(self, topic: str) -> CallWindow:
        window = self.now.session.claim(topic, self.now.done)
        self.now.feed(m.Accepted(window.id, (0,)))
        return window

    def lose(self) -> list[object]:
        self.now.session.lose(LOST, self.resuming.unanswered)
        return list(self.now.session.take_news())

    def connect(self, welcome: m.Welcome = WELCOME) -> list[m.ClientMessage]:
        """Go on over another connection, and return what its bus is told."""
        lost, self.now = self.now.session, Program(welcome=welcome)
        self.resuming = Resuming(self.now.session)
        self.resuming.take_over(lost)
        return self.now.read()

    def accept(self) -> None:
        for number in list(self.resuming.unanswered):
            self.now.feed(m.Accepted(number, (0,)))


def publication(text: str = "x", topic: str = "a") -> m.Publication:
    return m.Publication(topic, text.encode(), NO_HEADERS)


def take_all(window: ReceiveWindow) -> list[object]:
    """Take what waits: texts of messages, and what each gap says."""
    taken = [window.take() for _ in range(window.waiting)]
    return [item.dropped if isinstance(item, Lagged) else bytes(item.payload).decode() for item in taken]  # type: ignore[arg-type]


# --- what is registered again


def test_everything_open_is_registered_in_its_order() -> None:
    """Subscriptions and claims come as they were opened, under new ids from 1 on."""
    client = Client()
    client.subscribe("a/*")
    client.claim("b")
    client.subscribe("c")
    client.lose()
    told = client.connect()
    assert [(type(each), each.id, each.topic) for each in told if isinstance(each, m.Subscribe | m.Claim)] == [
        (m.Subscribe, 1, "a/*"),
        (m.Claim, 2, "b"),
        (m.Subscribe, 3, "c"),
    ]
    assert len(told) == len(client.now.session.registrations) == 3


def test_what_was_closed_or_is_not_open_yet_is_not() -> None:
    """Only what the bus has accepted and the program has not closed is asked for again."""
    client = Client()
    session = client.now.session
    client.now.close(client.subscribe("closed"))
    client.now.close(client.claim("closed"))
    session.subscribe("asked", client.now.done)
    session.claim("asked", client.now.done)
    revoked = client.claim("revoked")
    client.now.feed(m.Refused(revoked.id, ErrorCode.TOPIC_CLAIMED, "gone"))
    client.lose()
    assert client.connect() == []
    assert isinstance(revoked.closed, ServiceRevoked)


def test_what_is_closed_while_there_is_no_connection_is_not() -> None:
    """The end of a subscription or a service needs no bus."""
    client = Client()
    window, service = client.subscribe("a"), client.claim("b")
    client.lose()
    client.now.close(window)
    client.now.close(service)
    assert client.connect() == []


def test_a_window_is_what_both_buses_allow() -> None:
    """The new bus may allow less, and is asked for no more than the window was."""
    client = Client()
    window = client.subscribe("a", SubscriptionOptions(messages=100, size=5000))
    client.lose()
    (asked,) = client.connect(attrs.evolve(WELCOME, subscription_messages=50, subscription_bytes=9000))
    assert asked == m.Subscribe(1, "a", 50, 5000)
    assert (window.window_messages, window.window_size) == (50, 5000)
    client.accept()
    client.lose()
    assert client.connect() == [m.Subscribe(1, "a", 50, 5000)]


def test_the_answers_end_the_resuming() -> None:
    """It is news when the last one has come."""
    client = Client()
    client.subscribe("a")
    client.subscribe("b")
    client.lose()
    client.connect()
    assert client.now.feed(m.Accepted(1, (0,))) == []
    assert client.now.feed(m.Accepted(2, (0,))) == [client.resuming]
    assert not client.resuming.unanswered


def test_what_the_bus_refuses_is_closed_with_the_reason() -> None:
    """The rest goes on."""
    client = Client()
    refused, service, kept = client.subscribe("a"), client.claim("s"), client.subscribe("b")
    client.lose()
    client.connect()
    refusals = m.Refused(1, ErrorCode.PERMISSION_DENIED, "no"), m.Refused(2, ErrorCode.INVALID_TOPIC, "no")
    news = client.now.feed(*refusals, m.Accepted(3, (0,)))
    assert {refused, service} <= {*news}
    assert isinstance(refused.closed, PermissionDenied)
    assert isinstance(service.closed, InvalidTopic)
    assert kept.closed is None
    assert [*client.now.session.subscriptions.values()] == [kept]


def test_another_loss_before_the_answers_keeps_everything() -> None:
    """What the bus had not answered, accepted or contested is asked for again over the next connection."""
    client = Client()
    windows = client.subscribe("a"), client.claim("b"), client.claim("c")
    client.lose()
    client.connect()
    client.now.feed(m.Refused(2, ErrorCode.TOPIC_CLAIMED, "served"))
    client.lose()
    assert [type(each) for each in client.connect()] == [m.Subscribe, m.Claim, m.Claim]
    client.accept()
    assert [window.closed for window in windows] == [None] * 3


# --- claims that somebody else has


def contested() -> tuple[Client, CallWindow]:
    """Return a client whose claim was refused once after a loss."""
    client = Client()
    service = client.claim("s")
    client.lose()
    client.connect()
    client.now.feed(m.Refused(1, ErrorCode.TOPIC_CLAIMED, "served"))
    return client, service


def test_a_contested_claim_is_made_once_more() -> None:
    """The holder may be the client's own lost connection, which has lost the claim by then."""
    client, service = contested()
    assert (client.resuming.is_contested, service.closed) == (True, None)
    client.resuming.try_again()
    assert [type(each) for each in client.now.read()] == [m.Claim]
    client.accept()
    assert (client.resuming.is_contested, service.closed) == (False, None)
    assert [*client.now.session.services.values()] == [service]


def test_a_contested_claim_outlives_another_loss() -> None:
    """It is not made again over a connection that is lost, but over the next one."""
    client, service = contested()
    client.lose()
    client.resuming.try_again()
    assert [type(each) for each in client.connect()] == [m.Claim]
    client.accept()
    assert (client.resuming.is_contested, service.closed) == (False, None)


def test_a_claim_refused_again_is_revoked() -> None:
    """``ServiceRevoked`` names the topic; it is a ``TopicClaimed``."""
    client, service = contested()
    client.resuming.try_again()
    (claim,) = client.now.read()
    assert isinstance(claim, m.Claim)
    assert service in client.now.feed(m.Refused(claim.id, ErrorCode.TOPIC_CLAIMED, "served"))
    assert isinstance(service.closed, ServiceRevoked)
    assert isinstance(service.closed, TopicClaimed)
    assert not client.now.session.services


def test_a_contested_claim_may_be_closed_meanwhile() -> None:
    """Then it is not made again."""
    client, service = contested()
    client.now.close(service)
    client.now.read()
    client.resuming.try_again()
    assert client.now.read() == []
    assert not client.resuming.unanswered


def test_what_ended_before_a_loss_ends_nothing_after_it() -> None:
    """Ids begin again with each connection: what was refused over one may have the id of another over the next."""
    client = Client()
    ended: list[ReceiveWindow | CallWindow] = [client.subscribe("a"), client.claim("b")]
    client.lose()
    client.connect()
    client.now.feed(*(m.Refused(window.id, ErrorCode.PERMISSION_DENIED, "no") for window in ended))
    client.lose()
    client.connect()
    others: list[ReceiveWindow | CallWindow] = [client.claim("c"), client.subscribe("d")]
    assert [window.id for window in ended] == [window.id for window in others]
    assert [client.now.session.end(window, FINAL) for window in ended] == [False, False]
    assert [window.closed for window in others] == [None, None]
    assert len(client.now.session.registrations) == 2


# --- what is kept and what ends


def test_operations_end_with_the_reason_of_the_loss() -> None:
    """Nothing that waits for an answer gets one any more."""
    client = Client()
    number = client.now.session.publish("a", (b"", NO_HEADERS, 1), client.now.done)
    client.lose()
    assert client.now.outcomes == {number: LOST}
    assert client.now.session.is_lost


def test_pending_calls_are_withdrawn_and_their_numbers_free() -> None:
    """The answer to a lost call is not sent as that of the next one with the same number."""
    client = Client()
    service = client.claim("s")
    call = m.Call(1, service.id, None, "s", b"", NO_HEADERS)
    client.now.feed(call)
    old = service.take()
    news = client.lose()
    assert old in news
    assert old.withdrawn
    client.connect()
    client.accept()
    client.now.feed(m.Call(1, service.id, None, "s", b"", NO_HEADERS))
    new = service.take()
    client.now.session.respond(service, old, (b"late", NO_HEADERS, 1))
    assert client.now.read() == []
    client.now.session.respond(service, new, (b"answer", NO_HEADERS, 1))
    assert client.now.read() == [m.Respond(1, b"answer", NO_HEADERS)]


def test_the_first_loss_stands_until_the_end() -> None:
    """A second loss changes nothing; closing then ends what was kept, and its reason is the one to raise."""
    client = Client()
    window, service = client.subscribe("a"), client.claim("b")
    client.lose()
    assert client.lose() == []
    client.now.session.close(FINAL)
    assert {*client.now.session.take_news()} == {window, service}
    assert window.closed is service.closed is client.now.session.closed is FINAL
    assert not client.now.session.is_lost
    client.now.session.close(LOST)
    assert client.now.session.closed is FINAL


# --- publishers


def test_what_was_on_its_way_is_counted_once() -> None:
    """Over several losses the counts are one, and a refusal before them is raised first."""
    window = publisher_window()
    client = Client()
    for _ in range(3):
        client.now.session.stream("a", (b"x", NO_HEADERS, 10), window, paced=True)
    assert window in client.lose()
    client.connect()
    client.now.session.stream("a", (b"x", NO_HEADERS, 10), window, paced=True)
    client.lose()
    error = window.take_error()
    assert isinstance(error, Unconfirmed)
    assert error.count == 4
    assert window.take_error() is None
    assert window.in_flight == window.in_flight_size == 0


def test_a_refusal_is_raised_before_what_is_not_known() -> None:
    """Neither is lost."""
    window = publisher_window()
    client = Client()
    for _ in range(3):
        client.now.session.stream("a", (b"x", NO_HEADERS, 10), window, paced=True)
    client.now.feed(m.Refused(1, ErrorCode.PERMISSION_DENIED, "no"))
    client.lose()
    first, second = window.take_error(), window.take_error()
    assert isinstance(first, PermissionDenied)
    assert isinstance(second, Unconfirmed)
    assert second.count == 2
    assert window.take_error() is None


# --- windows


def fill(window: ReceiveWindow, texts: Iterable[str]) -> None:
    for text in texts:
        window.put(publication(text))


def lose_and_renew(window: ReceiveWindow) -> None:
    window.lose()
    window.renew(1, WELCOME)


def test_what_has_arrived_stays_and_the_gap_is_behind_it() -> None:
    """A run that was taken in part stays as what is left of it."""
    window = ReceiveWindow(1, 10, 10_000)
    window.put_run(m.Run("a", [b"a", b"b", b"c"]))
    fill(window, "d")
    window.take()
    lose_and_renew(window)
    fill(window, "e")
    assert window.waiting == 5
    assert take_all(window) == ["b", "c", "d", None, "e"]


def test_gaps_on_both_sides_of_a_loss_are_one_of_unknown_size() -> None:
    """A number that is known is not told where one that is not stands beside it."""
    window = ReceiveWindow(1, 10, 10_000)
    window.put_gap(3)
    lose_and_renew(window)
    window.put_gap(2)
    assert take_all(window) == [None]


def test_no_bus_is_owed_credit_for_what_came_before() -> None:
    """The new bus begins with the whole window, and is given back only what it has sent."""
    window = ReceiveWindow(1, 4, 10_000)
    fill(window, "ab")
    lose_and_renew(window)
    fill(window, "cdef")
    with pytest.raises(ProtocolViolation):
        window.put(publication())
    for _ in "ab":
        window.take()
    assert window.collect(0.0)[0] == 0
    window.take()
    window.take()
    assert window.collect(0.0) == (1, 2)


def test_credit_that_was_owed_is_not_given_to_the_next_bus() -> None:
    """It was of the other one's window."""
    window = ReceiveWindow(1, 4, 10_000)
    fill(window, "abc")
    window.take()
    looks = [window.wants_look]
    lose_and_renew(window)
    looks.append(window.wants_look)
    assert looks == [True, False]
    assert window.collect(0.0) == (0, 0)


@given(st.lists(st.integers(0, 3), max_size=8), st.integers(1, 3))
def test_what_waits_is_bounded_over_any_number_of_losses(batches: list[int], most: int) -> None:
    """A program that takes nothing keeps at most two windows, and the gap is always there."""
    window = ReceiveWindow(1, most, 10_000)
    for count in batches:
        fill(window, "x" * min(count, most))
        window.lose()
        assert window.waiting <= 2 * most + 2
        window.renew(1, WELCOME)
    if batches:
        assert None in take_all(window)
    assert window.waiting == 0


def test_a_size_beyond_the_window_is_bounded_too() -> None:
    """What came over the last connection goes, where it is too large with what came before."""
    window = ReceiveWindow(1, 100, 10)
    fill(window, ["123456789"])
    lose_and_renew(window)
    fill(window, ["abc"])
    lose_and_renew(window)
    assert take_all(window) == ["123456789", None]


def test_the_latest_window_has_its_gap_at_the_end() -> None:
    """Each topic's newest stays, and the gap that was there moves behind them."""
    window = LatestWindow(1, 10, 10_000, 2, 10_000, ClientCounters())
    for topic in "abc":
        window.put(publication(topic, topic))
    lose_and_renew(window)
    assert window.waiting == 3
    assert take_all(window) == ["b", "c", None]


def test_errors_say_what_they_mean() -> None:
    """Their texts are for people, and tell a known number from an unknown one."""
    errors: list[BusError] = [Lagged(3), Lagged(None), Unconfirmed(2)]
    assert "3 messages" in str(errors[0])
    assert "unknown number" in str(errors[1])
    assert "2 publications" in str(errors[2])
