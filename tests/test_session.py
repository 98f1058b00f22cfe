"""The client's session: what it says for the program, and that each operation has at most one outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pure_helpers import WELCOME, limits_with, of_kind, publication, steady
from session_helpers import Program, publisher_window, take_call
from t2bus.disconnected import Disconnected
from t2bus.errors import (
    BusError,
    InvalidTopic,
    Lagged,
    LimitExceeded,
    MessageTooLarge,
    ProtocolViolation,
    ServiceGone,
    TopicClaimed,
)
from t2bus.limits import Limits
from t2bus.session.body import Bounds
from t2bus.session.receipt import Receipt
from t2bus.session.windows import UNSEEN, CallWindow, PendingCall, ReceiveWindow
from t2bus.wire import messages as m
from t2bus.wire.values import NO_HEADERS, Deflated, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT = (b"q", NO_HEADERS, 1)
ONE = ("a", (b"x", NO_HEADERS, 1))
GONE = Disconnected("gone")


def subscribed(program: Program) -> ReceiveWindow:
    return program.session.subscribe("a", program.done)


def serving(program: Program, calls: int = 0) -> CallWindow:
    window = program.session.claim("s", program.done)
    for number in range(1, calls + 1):
        program.feed(m.Call(number, window.id, None, "s", b""))
    program.read()
    return window


def called(program: Program) -> CallWindow:
    """A service that is open, and has one call to answer."""
    window = serving(program, calls=1)
    program.feed(m.Accepted(window.id, (0,)))
    return window


def answered(program: Program) -> CallWindow:
    window = called(program)
    program.session.respond(window, window.take(), CONTENT)
    return window


def asked(program: Program) -> int:
    return program.session.request("s", CONTENT, None, program.done)


# --- what it says


def test_operations_are_said_in_order() -> None:
    """Each call becomes one message, with ids that count up from 1."""
    program = Program(Limits(subscription_messages=7, subscription_bytes=70, service_requests=5, service_bytes=50))
    session = program.session
    window = subscribed(program)
    session.publish("b", (b"1", NO_HEADERS, 1), program.done, paced=True)
    service = session.claim("s", program.done)
    session.request("t", (b"q", {"k": "v"}, 1), 250, program.done)
    session.unsubscribe(window, program.done)
    session.unclaim(service, None)
    assert program.read() == [
        m.Subscribe(1, "a", 7, 70),
        m.Publish(2, True, publication("b", b"1")),
        m.Claim(3, "s", 5, 50),
        m.Ask(4, 250, "t", b"q", {"k": "v"}),
        m.Unsubscribe(5, 1),
        m.Unclaim(6, 3),
    ]
    assert program.read() == []


def test_the_writer_is_called_once() -> None:
    """However much is said, the writer is called once until it has taken what waits."""
    program = Program()
    calls = []
    for _ in range(2):
        for _ in range(3):
            subscribed(program)
            calls.append(take_call(program.session.outbox))
        program.read()
        calls.append(take_call(program.session.outbox))
    assert calls == [True, False, False, False] * 2


def test_the_outbox_is_bounded() -> None:
    """There is room until the bytes that wait or are being written reach the limit."""
    program = Program(limits_with(outbox_bytes=10))
    session = program.session
    session.publish("a", (b"x", NO_HEADERS, 4), program.done)
    room = [session.outbox.has_room]
    session.outbox.take()
    session.publish("a", (b"x", NO_HEADERS, 4), program.done)
    room.append(session.outbox.has_room)
    assert session.statistics().outbox_bytes == 10
    session.outbox.written()
    room.append(session.outbox.has_room)
    assert room == [True, False, True]


def test_publications_that_press_nobody_are_gathered() -> None:
    """Messages in no hurry are counted until one is, or someone presses, or there are enough for one write."""
    program, owner = Program(), publisher_window()
    outbox = program.session.outbox
    gathered = []
    for _ in range(2):
        program.session.stream(*ONE, owner, False)
        gathered.append(outbox.gathered)
    outbox.press()
    gathered.append(outbox.gathered)
    outbox.take()
    program.session.stream(*ONE, owner, False)
    gathered.append(outbox.gathered)
    program.session.publish(*ONE, program.done)
    gathered.append(outbox.gathered)
    outbox.take()
    for _ in range(256):
        program.session.stream(*ONE, owner, False)
    gathered.append(outbox.gathered)
    assert gathered == [1, 2, 0, 1, 0, 0]


def test_the_writer_is_called_for_what_presses() -> None:
    """While publications are gathered the writer is left alone; what presses calls it, unless there is nothing."""
    program, owner = Program(), publisher_window()
    outbox = program.session.outbox
    outbox.press()
    calls = [take_call(outbox)]
    for _ in range(2):
        program.session.stream(*ONE, owner, False)
        calls.append(take_call(outbox))
    program.session.publish(*ONE, program.done)
    calls.append(take_call(outbox))
    assert calls == [False, True, False, True]


@pytest.mark.parametrize(
    ("begin", "is_quiet"),
    [
        (lambda _: None, True),
        (asked, True),
        (serving, True),
        (lambda p: (asked(p), asked(p)), False),
        (lambda p: (serving(p), asked(p)), False),
        (lambda p: (asked(p), p.session.stream(*ONE, publisher_window(), False)), False),
        (lambda p: p.feed(m.Accepted(serving(p).id, (0,))), True),
        (lambda p: (p.feed(m.Accepted(serving(p).id, (0,))), asked(p)), True),
        (called, False),
        (lambda p: (called(p), asked(p)), False),
        (lambda p: p.close(called(p)), True),
        (answered, True),
        (lambda p: (answered(p), asked(p)), True),
    ],
)
def test_a_client_with_one_thing_to_wait_for_is_quiet(begin: Callable[[Program], object], is_quiet: bool) -> None:
    """Two operations without an answer, or a request that is to be answered, and more is likely to be said soon."""
    program = Program()
    begin(program)
    assert program.session.is_quiet is is_quiet


# --- credit


def take(program: Program, window: ReceiveWindow, now: float = 0.0, payload: bytes = b"x") -> bool:
    """Let a delivery come and the program take it; tell whether its credit is urgent."""
    program.feed(m.Deliver((window.id,), publication("a", payload)))
    window.take()
    return window.wants_look and program.session.credit.look_at(window, now)


def test_credit_goes_in_bulk_behind_everything() -> None:
    """Credit of all subscriptions is one message, each with the sum of what it gives back, and calls the writer."""
    program = Program(Limits(subscription_messages=8))
    one, other = subscribed(program), subscribed(program)
    program.read()
    calls = []
    for window in (one, one, other):
        take(program, window, payload=b"1234")
        calls.append(take_call(program.session.outbox))
    assert calls == [True, False, False]
    program.session.outbox.put(m.Ping(1))
    assert program.read() == [m.Ping(1), m.Credit((one.id, 2, 10, other.id, 1, 5))]


def test_closing_a_subscription_takes_its_credit_along() -> None:
    """No credit is said for a subscription that was closed before it was written."""
    program = Program(Limits(subscription_messages=1))
    window = subscribed(program)
    take(program, window)
    program.close(window)
    assert of_kind(program.read(), m.Credit) == []


def test_lone_publications_cause_no_credit_each() -> None:
    """Of ten publications, however far apart, nothing goes back: the window has 16,384 places."""
    program = Program()
    window = subscribed(program)
    program.read()
    for number in range(10):
        take(program, window, now=float(number))
        program.session.credit.give_back(number + 0.5)
    assert (program.read(), bool(program.session.credit)) == ([], False)


def test_more_than_a_little_goes_back_soon() -> None:
    """Of the 16th of 16,384 places on, the subscription is one that owes, until it has given back; then it is none."""
    program = Program()
    window = subscribed(program)
    program.read()
    owing = []
    for _ in range(17):
        take(program, window, now=UNSEEN / 2)
        owing.append(bool(program.session.credit))
    program.session.credit.give_back(UNSEEN / 2)
    assert (owing, program.read()) == ([False] * 15 + [True] * 2, [])
    program.session.credit.give_back(UNSEEN)
    assert (bool(program.session.credit), program.read()) == (False, [m.Credit((window.id, 17, 34))])


def test_credit_is_urgent_when_the_bus_may_have_none_left() -> None:
    """What goes back while the window is nearly spent is to be written at once, and not otherwise."""
    program = Program(Limits(subscription_messages=16))
    window = subscribed(program)
    assert [take(program, window) for _ in range(4)] == [False] * 4
    program.feed(*[m.Deliver((window.id,), publication())] * 16)
    window.take()
    assert not program.session.credit.look_at(window, 0.0)
    window.take()
    assert program.session.credit.look_at(window, 0.0)


def test_a_gap_leaves_nothing_owed() -> None:
    """A gap that is taken behind what went back is nothing to look at, and what is owed later still goes back soon."""
    program = Program(Limits(subscription_messages=8192))
    window = subscribed(program)
    for _ in range(1024):
        take(program, window)
    program.read()
    program.feed(m.Gap(window.id, 3))
    window.take()
    assert not window.wants_look
    for _ in range(8):
        take(program, window)
    assert program.session.credit


# --- arguments


@pytest.mark.parametrize("topic", ["", "A", "a" * 65, "a/a/a/a/a"])
def test_a_topic_that_the_bus_would_refuse_is_not_sent(topic: str) -> None:
    """Topics are checked here against the bus's own limits."""
    with pytest.raises(InvalidTopic):
        Program().session.bounds.check_topic(topic)


def test_wildcards_are_refused_where_a_topic_is_one() -> None:
    """A topic with wildcards can be published and subscribed, not served or asked."""
    session = Program().session
    session.bounds.check_topic("a/*/**")
    session.bounds.check_topic("a/b", concrete=True)
    with pytest.raises(InvalidTopic, match="wildcards"):
        session.bounds.check_topic("a/*", concrete=True)


@pytest.mark.parametrize(
    ("payload", "headers"),
    [("text", None), (bytearray(b""), None), (b"", {"k": 1}), (b"", {1: "v"})],
)
def test_content_of_a_wrong_type_is_refused(payload: Any, headers: Any) -> None:
    """A payload is bytes and headers are text to text, or the caller is told at once."""
    with pytest.raises(TypeError):
        Program().session.bounds.encode_body("a", payload, headers)


def test_content_is_a_copy() -> None:
    """Headers that the program changes afterwards travel as they were."""
    headers = {"k": "v"}
    _, sent, _ = Program().session.bounds.encode_body("a", b"", headers)
    headers["k"] = "w"
    assert sent == {"k": "v"}


@pytest.mark.parametrize("frame", [1000, WELCOME.frame])
@pytest.mark.parametrize(("headers", "around"), [(None, 64), ({}, 64), ({"k": "\u00e9"}, 64 + 10 + 3)])
def test_content_fits_in_a_frame_or_is_refused(headers: dict[str, str] | None, around: int, frame: int) -> None:
    """Topic, payload and headers, in bytes, and what is around them may be as large as the bus's frame, and no more."""
    session = Program(welcome=evolve(WELCOME, frame=frame)).session
    room = frame - around - len("a/b")
    assert session.bounds.encode_body("a/b", bytes(room), headers)[2] == frame
    with pytest.raises(MessageTooLarge, match=str(frame)):
        session.bounds.encode_body("a/b", bytes(room + 1), headers)


def test_large_payloads_are_compressed_where_that_is_worth_it() -> None:
    """A session that compresses does so with large payloads, and the size they had counts."""
    bounds = Bounds(WELCOME, compress=True)
    payload, _, size = bounds.encode_body("a", bytes(20_000), None)
    assert isinstance(payload, Deflated)
    assert size == 20_000 + 64 + 1
    assert bounds.encode_body("a", b"small", None)[0] == b"small"


# --- outcomes


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        (m.Accepted(1, (3,)), 3),
        (m.Response(1, b"r"), m.Response(1, b"r")),
        (m.Refused(1, ErrorCode.SERVICE_GONE, "left"), ServiceGone("left")),
    ],
)
def test_an_answer_is_the_outcome(message: m.ServerMessage, outcome: object) -> None:
    """An operation ends with its count, its response or the error that the caller is to raise, once."""
    program = Program()
    asked(program)
    program.feed(message)
    program.feed(message)
    (got,) = program.outcomes.values()
    if isinstance(outcome, BusError):
        assert (type(got), got.args) == (type(outcome), outcome.args)  # type: ignore[union-attr]
    else:
        assert got == outcome


def test_a_run_of_acknowledgements_is_many_outcomes() -> None:
    """Each operation of a run has its own count."""
    program = Program()
    for _ in range(3):
        program.session.publish(*ONE, program.done)
    program.feed(m.Accepted(1, (5, 0, 7)))
    assert program.outcomes == {1: 5, 2: 0, 3: 7}


def test_a_forgotten_operation_has_no_outcome() -> None:
    """A caller that stopped waiting is not called, neither by the answer nor by the end."""
    program = Program()
    number = program.session.publish(*ONE, program.done)
    program.session.forget(number)
    program.session.forget(number)
    program.feed(m.Accepted(number, (1,)))
    program.session.close(GONE)
    assert program.outcomes == {}


# --- subscriptions


def test_a_forgotten_publication_leaves_no_count_of_who_missed_it() -> None:
    """How many missed a publication stands on its own receipt alone, also where nobody waits for that any more."""
    program = Program()
    forgotten, other = (program.session.publish("a", ONE[1], program.done) for _ in range(2))
    program.feed(m.Unreached(forgotten, (3,)))
    program.session.forget(forgotten)
    program.feed(m.Unreached(forgotten, (4,)), m.Accepted(forgotten, (0, 2)))
    receipt = program.outcomes.pop(other)
    assert isinstance(receipt, Receipt)
    assert (receipt, receipt.missed, program.outcomes) == (2, 0, {})


def test_what_follows_the_answer_is_not_missed() -> None:
    """A subscription takes deliveries in before its own operation is acknowledged to the program."""
    program = Program()
    one, other = subscribed(program), subscribed(program)
    assert program.feed(m.Deliver((one.id, other.id), publication())) == [one, other]
    assert (one.waiting, other.waiting) == (1, 1)
    assert one.take() is other.take()


def test_what_arrives_for_a_closed_subscription_is_dropped() -> None:
    """Deliveries and gaps that cross an UNSUBSCRIBE on their way are no error, and others still get theirs."""
    program = Program()
    one, other = subscribed(program), subscribed(program)
    program.close(one)
    program.session.take_news()
    assert program.feed(m.Deliver((one.id, other.id), publication())) == [other]
    assert program.feed(m.DeliverRun((one.id, other.id), m.Run("a", [b"1", b"2"]))) == [other]
    assert program.feed(m.Gap(one.id, 3)) == []
    assert (one.waiting, other.waiting) == (0, 3)
    assert program.session.statistics().dropped == 0


def test_a_gap_reaches_its_subscription() -> None:
    """A gap stands in the stream of its own subscription, which is told, and is counted."""
    program = Program()
    one, other = subscribed(program), subscribed(program)
    assert program.feed(m.Gap(one.id, 3)) == [one]
    gap = one.take()
    assert isinstance(gap, Lagged)
    assert (gap.dropped, other.waiting, program.session.statistics().dropped) == (3, 0, 3)


def test_subscriptions_and_services_of_a_client_are_bounded() -> None:
    """One more than the bus allows is refused here, and nothing is sent or left of it."""
    program = Program(welcome=evolve(WELCOME, subscriptions=1, services=1))
    window = subscribed(program)
    serving(program)
    program.read()
    for one_more, limit in ((subscribed, "subscriptions"), (serving, "services")):
        with pytest.raises(LimitExceeded, match=rf"Limits\.{limit}"):
            one_more(program)
    assert program.read() == []
    program.close(window)
    assert subscribed(program).id > window.id


def test_what_is_new_is_told_once() -> None:
    """However much comes for a subscription at once, it is told of once, and not again with what comes for another."""
    program = Program()
    one, other = subscribed(program), subscribed(program)
    assert program.feed(*[m.Deliver((one.id,), publication())] * 3, m.Gap(one.id, 1)) == [one]
    assert program.feed(m.DeliverRun((other.id,), m.Run("a", [b"1", b"2"])), m.Ping(1)) == [other]
    assert program.feed(m.Ping(2)) == []


# --- requests


def test_requests_of_a_client_are_bounded() -> None:
    """A request beyond what the bus allows is refused here, and nothing is sent or left of it."""
    program = Program(welcome=evolve(WELCOME, requests=2))
    numbers = [asked(program) for _ in range(2)]
    program.read()
    with pytest.raises(LimitExceeded):
        asked(program)
    assert program.read() == []
    program.session.end_request(numbers[0])
    assert asked(program) == 3


def test_leaving_a_request_tells_the_bus() -> None:
    """A request that is left without an outcome is cancelled; one that has its outcome is not."""
    program = Program()
    left, answered = asked(program), asked(program)
    program.read()
    program.feed(m.Response(answered, b""))
    program.session.end_request(left)
    program.session.end_request(answered)
    assert program.read() == [m.Cancel(left)]
    assert program.session.statistics().requests_pending == 0


def test_a_late_response_finds_nobody() -> None:
    """A response that crosses a CANCEL on its way is dropped."""
    program = Program()
    program.session.end_request(asked(program))
    program.feed(m.Response(1, b""))
    assert program.outcomes == {}


# --- services


def test_a_call_is_told_to_its_service() -> None:
    """A request that comes is something new of its own service."""
    program = Program()
    window = serving(program)
    assert program.feed(m.Call(1, window.id, None, "s", b"")) == [window]
    assert window.take().call.id == 1


def test_a_call_is_answered_once() -> None:
    """A call is ended once on the wire, whatever the program does; it is pending until then."""
    program = Program()
    window = serving(program, calls=2)
    one, other = window.take(), window.take()
    assert program.session.statistics().calls_pending == 2
    program.session.respond(window, one, (b"r", {"k": "v"}, 1))
    program.session.respond(window, one, CONTENT)
    program.session.fail(window, other, ErrorCode.REMOTE_ERROR, "why")
    assert program.read() == [m.Respond(1, b"r", {"k": "v"}), m.Fail(2, ErrorCode.REMOTE_ERROR, "why")]
    assert program.session.statistics().calls_pending == 0


def test_the_last_answer_of_a_service_presses() -> None:
    """Answers are in no hurry while their own service has more to answer, and its last one is."""
    program = Program()
    session, outbox = program.session, program.session.outbox
    one, other = (session.claim(topic, program.done) for topic in ("s", "t"))
    program.read()
    session.feed(m.Call(call, window.id, None, "s", b"") for call, window in enumerate((one, one, other), 1))
    session.respond(one, one.take(), (b"a", {}, 1))
    assert outbox.gathered == 16
    session.fail(one, one.take(), ErrorCode.REMOTE_ERROR, "no")
    assert outbox.gathered == 0


def test_a_call_for_a_service_that_ended_is_dropped() -> None:
    """Calls and withdrawals that cross an UNCLAIM on their way are no error."""
    program = Program()
    window = serving(program, calls=1)
    program.close(window)
    program.session.take_news()
    assert program.feed(m.Call(2, window.id, None, "s", b""), m.Withdraw(1)) == []
    assert not window.pending


def test_a_call_whose_place_is_given_away_is_pending_no_more() -> None:
    """A withdrawn call, whose lifetime is over for the bus, is neither counted nor heard of any more."""
    program = Program(Limits(service_requests=1))
    window = serving(program, calls=1)
    pending = window.take()
    program.feed(m.Withdraw(1))
    program.feed(m.Call(2, window.id, None, "s", b""))
    assert program.session.statistics().calls_pending == 1
    assert program.feed(m.Withdraw(1)) == []
    program.session.respond(window, pending, CONTENT)
    assert program.session.statistics().calls_pending == 1
    assert program.read() == []


def test_a_withdrawn_call_still_has_to_be_ended() -> None:
    """An answer to a withdrawn call is sent, to free its place, and counted as late."""
    program = Program()
    window = serving(program, calls=1)
    pending = window.take()
    assert program.feed(m.Withdraw(1)) == [pending]
    assert program.feed(m.Withdraw(1)) == []
    assert pending.withdrawn
    assert program.read() == []
    program.session.respond(window, pending, CONTENT)
    assert program.read() == [m.Respond(1, b"q")]
    assert program.session.statistics().late_responses == 1


def test_a_call_withdrawn_before_it_is_taken_is_ended_here() -> None:
    """The program is not bothered with a call that nobody waits for, whichever service it is of."""
    program = Program()
    other = program.session.claim("t", program.done)
    window = serving(program, calls=2)
    program.feed(m.Withdraw(1))
    program.feed(m.Withdraw(1))
    (fail,) = program.read()
    assert isinstance(fail, m.Fail)
    assert (fail.call, list(window.pending), len(other.waiting)) == (1, [2], 0)


def test_a_claim_may_be_lost() -> None:
    """A refusal of a claim that was accepted ends the service, with its reason; the connection goes on."""
    program = Program()
    service = called(program)
    assert service in program.feed(m.Refused(service.id, ErrorCode.TOPIC_CLAIMED, "lost"))
    assert isinstance(service.closed, TopicClaimed)
    assert not service.waiting
    assert program.session.closed is None
    program.session.close(Disconnected("gone"))
    assert isinstance(service.closed, TopicClaimed)


def test_more_calls_than_the_window_break_the_rules() -> None:
    """A bus that does not keep within a window breaks the rules, for subscriptions as for services."""
    program = Program(Limits(service_requests=1, subscription_messages=1))
    window = serving(program, calls=1)
    with pytest.raises(ProtocolViolation):
        program.feed(m.Call(2, window.id, None, "s", b""))
    number = subscribed(program).id
    program.feed(m.Deliver((number,), publication()))
    with pytest.raises(ProtocolViolation):
        program.feed(m.Deliver((number,), publication()))


# --- liveness and the end


def test_ping_is_answered_with_its_token() -> None:
    """PING is answered by PONG at once; PONG by nothing."""
    program = Program()
    program.feed(m.Ping(42))
    program.feed(m.Pong(43))
    assert program.read() == [m.Pong(42)]


def test_signs_of_life_overtake() -> None:
    """PONG is said before whatever waits, or alone while that is being written."""
    program = Program()
    program.session.subscribe("a", program.done)
    program.feed(m.Ping(42))
    assert [type(message) for message in program.read()] == [m.Pong, m.Subscribe]
    program.session.subscribe("b", program.done)
    program.feed(m.Ping(43))
    assert program.session.outbox.take_signs() == [m.Pong(43)]
    assert [type(message) for message in program.read()] == [m.Subscribe]


def test_welcome_is_said_once() -> None:
    """A second WELCOME breaks the rules."""
    with pytest.raises(ProtocolViolation, match="once"):
        Program().feed(WELCOME)


@pytest.mark.parametrize("last", [m.Goodbye("for good"), m.Error("for good")])
def test_the_bus_may_end_the_connection(last: m.ServerMessage) -> None:
    """GOODBYE and ERROR are the bus's reason to end the session, whose owner does so."""
    program = Program()
    asked(program)
    program.feed(last)
    assert (program.session.farewell or "").endswith(": for good")
    assert program.outcomes == {}


def test_the_end_reaches_everyone_once() -> None:
    """Closing ends every operation, subscription and service with the first reason, and nothing waits any more."""
    program = Program()
    window, service = subscribed(program), serving(program, calls=1)
    pending = service.take()
    asked(program)
    owner = publisher_window()
    program.session.stream(*ONE, owner, False)
    for _ in range(20):
        take(program, window)
    assert program.session.credit
    program.session.close(GONE)
    assert set(program.session.take_news()) == {window, service, pending, owner}
    program.session.close(Disconnected("again"))
    assert not program.session.take_news()
    assert program.outcomes == dict.fromkeys((1, 2, 3), GONE)
    assert window.closed is service.closed is program.session.closed is GONE
    assert pending.withdrawn
    assert (program.read(), bool(program.session.credit)) == ([], False)
    assert (program.session.outbox.size, program.session.unanswered) == (0, 0)


def test_each_caller_gets_an_error_of_its_own() -> None:
    """The reason of the end is raised as a new object each time, so that tracebacks do not gather in one."""
    session = Program().session
    session.check_open()
    session.close(GONE)
    raised = []
    for _ in range(2):
        with pytest.raises(Disconnected, match="gone") as caught:
            session.check_open()
        raised.append(caught.value)
    assert raised[0] is not raised[1] is not GONE


@pytest.mark.parametrize(
    "begin",
    [
        lambda p: p.session.publish(*ONE, p.done),
        subscribed,
        serving,
        asked,
        lambda p: p.session.unsubscribe(ReceiveWindow(1, 1, 1), p.done),
        lambda p: p.session.unclaim(CallWindow(1, 1), p.done),
    ],
)
def test_nothing_can_be_begun_after_the_end(begin: Callable[[Program], object]) -> None:
    """An operation after the end raises its reason: nobody is left to wait for an answer that cannot come."""
    program = Program()
    program.session.close(GONE)
    before = program.session.statistics()
    with pytest.raises(Disconnected):
        begin(program)
    assert program.session.statistics() == before


def test_ends_after_the_end_are_quiet() -> None:
    """What a program leaves after the connection ended is left without a word."""
    program = Program(Limits(subscription_messages=1))
    window, service = subscribed(program), serving(program, calls=1)
    window.put(publication())
    pending, number = service.take(), asked(program)
    program.session.close(GONE)
    window.take()
    program.session.end_request(number)
    program.session.respond(service, pending, CONTENT)
    program.close(window)
    program.close(service)
    assert program.read() == []
    statistics = program.session.statistics()
    assert (statistics.subscriptions, statistics.services, statistics.requests_pending) == (0, 0, 0)


def test_the_statistics_show_the_connection() -> None:
    """The statistics count what is open, what waits and what went by."""
    program = Program()
    window = subscribed(program)
    serving(program, calls=1)
    asked(program)
    program.session.publish(*ONE, program.done)
    program.feed(m.Deliver((window.id,), publication()))
    statistics = program.session.statistics()
    assert (statistics.subscriptions, statistics.services, statistics.messages_waiting) == (1, 1, 1)
    assert (statistics.requests_pending, statistics.calls_pending) == (1, 1)
    assert (statistics.published, statistics.received, statistics.requested) == (1, 1, 1)


# --- anything, in any order


class SessionMachine(RuleBasedStateMachine):
    """A program and a bus that keeps the rules; every operation has one outcome, unless it was forgotten."""

    @initialize()
    def open(self) -> None:
        self.program = Program(Limits(service_requests=2, subscription_messages=4))
        self.session = self.program.session
        self.unanswered: dict[int, m.ClientMessage] = {}
        self.begun: set[int] = set()
        self.forgotten: set[int] = set()
        self.requests: set[int] = set()
        self.taken: dict[int, tuple[CallWindow, PendingCall]] = {}
        self.calls = 0

    def running(self) -> bool:
        return hasattr(self, "session") and self.session.closed is None

    @precondition(running)
    @rule(kind=st.sampled_from(["publish", "subscribe", "claim", "request"]))
    def begin(self, kind: str) -> None:
        if kind == "publish":
            self.begun.add(self.session.publish(*ONE, self.program.done))
        elif kind == "subscribe":
            self.begun.add(subscribed(self.program).id)
        elif kind == "claim":
            self.begun.add(self.session.claim("s", self.program.done).id)
        elif len(self.requests) < WELCOME.requests:
            self.requests.add(asked(self.program))
            self.begun |= self.requests

    @rule(number=st.integers(0, 9))
    def end(self, number: int) -> None:
        """Leave a request, a subscription or a service."""
        done = None if self.session.closed else self.program.done
        windows = [*self.session.subscriptions.values()]
        services = [*self.session.services.values()]
        if self.requests and number % 3 == 0:
            operation = sorted(self.requests)[number % len(self.requests)]
            self.requests.discard(operation)
            self.forgotten |= {operation} - self.program.outcomes.keys()
            self.session.end_request(operation)
        elif windows and number % 3 == 1:
            window = windows[number % len(windows)]
            operation = self.program.close(window, done)
            self.begun.add(operation if done else 0)
            assert window in self.session.take_news()
        elif services and number % 3 == 2:
            service = services[number % len(services)]
            self.taken = {key: each for key, each in self.taken.items() if each[0] is not service}
            operation = self.program.close(service, done)
            self.begun.add(operation if done else 0)
            assert service in self.session.take_news()

    @rule()
    def write(self) -> None:
        for message in self.program.read():
            match message:
                case m.Cancel(request):
                    self.unanswered.pop(request, None)
                case m.Publish() | m.Subscribe() | m.Unsubscribe() | m.Claim() | m.Unclaim() | m.Ask():
                    self.unanswered[message.id] = message
                case _:
                    pass

    @precondition(lambda self: self.running() and self.unanswered)
    @rule(number=st.integers(0, 9), refuses=st.booleans())
    def answer(self, number: int, refuses: bool) -> None:
        operation = list(self.unanswered)[number % len(self.unanswered)]
        message = self.unanswered.pop(operation)
        if refuses:
            self.program.feed(m.Refused(operation, ErrorCode.LIMIT_EXCEEDED, "no"))
        elif isinstance(message, m.Ask):
            self.program.feed(m.Response(operation, b""))
        else:
            self.program.feed(m.Accepted(operation, (0,)))

    @precondition(running)
    @rule(number=st.integers(0, 9), kind=st.sampled_from(["call", "take", "respond", "withdraw"]))
    def serve(self, number: int, kind: str) -> None:
        services = [*self.session.services.values()]
        service = services[number % len(services)] if services else None
        if kind == "call" and service is not None and len(service.pending) < service.window:
            self.calls += 1
            assert self.program.feed(m.Call(self.calls, service.id, None, "s", b"")) == [service]
        elif kind == "take" and service is not None and service.waiting:
            pending = service.take()
            self.taken[pending.call.id] = service, pending
        elif kind == "respond" and self.taken:
            self.session.respond(*self.taken.pop(next(iter(self.taken))), CONTENT)
        else:
            self.program.feed(m.Withdraw(self.calls - number))

    @precondition(lambda self: self.running() and len(self.begun) > 12)
    @rule()
    def lose(self) -> None:
        self.session.close(GONE)
        self.taken.clear()

    @invariant()
    def outcomes_are_those_of_the_answers(self) -> None:
        """What has no outcome yet waits in the session or at the bus, and nothing else does."""
        waiting = self.begun - {0} - self.program.outcomes.keys() - self.forgotten
        assert self.session.unanswered == len(waiting)
        assert not waiting or self.session.closed is None
        assert self.session.requests == len(self.requests)

    @invariant()
    def calls_are_those_of_the_program(self) -> None:
        """A call is pending while it waits or the program has it."""
        for service in self.session.services.values():
            held = {number for number, (window, _) in self.taken.items() if window is service}
            assert set(service.pending) == held | set(service.waiting)
        pending = sum(len(service.pending) for service in self.session.services.values())
        assert self.session.statistics().calls_pending == pending

    def teardown(self) -> None:
        """End the connection: what waits has that as its outcome, and what was forgotten has none."""
        self.session.close(GONE)
        assert self.begun - {0} - self.forgotten == self.program.outcomes.keys()
        assert not self.session.unanswered


TestSession = SessionMachine.TestCase
TestSession.settings = steady(100, 40)
