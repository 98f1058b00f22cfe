"""Request and response: claims, the one outcome of each request, and that nothing is left behind by anyone."""

from __future__ import annotations

import pytest

from broker_helpers import Bus, RawPeer, assert_empty, bus
from pure_helpers import acknowledged, of_kind, refused
from t2bus.errors import ProtocolViolation
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode


def open_pair(one_bus: Bus, requests: int = 10, size: int = 1000) -> tuple[RawPeer, RawPeer]:
    """A requester, and a responder that serves ``s``."""
    requester, responder = one_bus.connect(), one_bus.connect()
    responder.claim("s", requests, size)
    responder.read()
    return requester, responder


def next_call(responder: RawPeer) -> m.Call:
    (call,) = of_kind(responder.read(), m.Call)
    return call


def assert_nothing_pending(one_bus: Bus) -> None:
    """Nothing of any request is left at the bus, nor at the connections that are still there."""
    assert one_bus.router.statistics().requests_pending == 0
    for peer in one_bus.peers:
        statistics = peer.statistics
        assert (statistics.requests, statistics.calls, statistics.calls_size) == (0, 0, 0)


# --- a request and its answer


def test_a_request_is_answered() -> None:
    """A request becomes a call of the service, whose answer becomes the response, each carried untouched."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    requester.feed(m.Ask(7, 250, "s", b"question", {"k": "v"}))
    call = next_call(responder)
    assert call == m.Call(call.id, 1, 250, "s", b"question", {"k": "v"})
    responder.feed(m.Respond(call.id, b"answer", {"l": "w"}))
    assert requester.read() == [m.Response(7, b"answer", {"l": "w"})]
    assert_nothing_pending(one_bus)


@pytest.mark.parametrize("code", [ErrorCode.REMOTE_ERROR, ErrorCode.MALFORMED_MESSAGE])
def test_a_failure_reaches_the_requester(code: ErrorCode) -> None:
    """What the responder says of its failure is what the requester is told."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    number = requester.request()
    responder.feed(m.Fail(next_call(responder).id, code, "no luck"))
    assert requester.read() == [m.Refused(number, code, "no luck")]
    assert_nothing_pending(one_bus)


@pytest.mark.parametrize("code", sorted(set(ErrorCode) - {ErrorCode.REMOTE_ERROR, ErrorCode.MALFORMED_MESSAGE}))
def test_a_responder_cannot_speak_for_the_bus(code: ErrorCode) -> None:
    """A responder that fails with a code of the bus's own breaks the rules, and its call is untouched."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    requester.request()
    call = next_call(responder)
    with pytest.raises(ProtocolViolation):
        responder.feed(m.Fail(call.id, code, ""))
    assert requester.read() == []
    assert one_bus.router.statistics().requests_pending == 1


def test_answers_may_come_in_any_order() -> None:
    """Each answer finds its own request."""
    requester, responder = open_pair(bus())
    numbers = [requester.request(payload=payload) for payload in (b"1", b"2", b"3")]
    calls = {call.payload: call.id for call in of_kind(responder.read(), m.Call)}
    for payload in (b"2", b"3", b"1"):
        responder.feed(m.Respond(calls[payload], payload))
    assert requester.read() == [
        m.Response(numbers[1], b"2"),
        m.Response(numbers[2], b"3"),
        m.Response(numbers[0], b"1"),
    ]


def test_a_connection_may_ask_itself() -> None:
    """Requester and responder may be one connection."""
    one_bus = bus()
    peer = one_bus.connect()
    peer.claim("s")
    number = peer.request("s", b"q")
    (call,) = of_kind(peer.read(), m.Call)
    peer.feed(m.Respond(call.id, b"r"))
    assert peer.read() == [m.Response(number, b"r")]
    assert_nothing_pending(one_bus)


def test_a_connection_that_asks_itself_may_end() -> None:
    """Nothing is left of a connection that ends while it waits for itself."""
    one_bus = bus()
    peer = one_bus.connect()
    peer.claim("s")
    peer.request("s")
    peer.disconnect()
    assert_empty(one_bus.router)


def test_requests_and_publications_do_not_interact() -> None:
    """Publishing to the topic of a service, or subscribing to it, has nothing to do with its requests."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    subscriber = one_bus.connect()
    subscriber.subscribe("**")
    subscriber.read()
    requester.publish("s")
    requester.request("s")
    assert len(of_kind(responder.read(), m.Deliver)) == 0
    assert len(subscriber.read()) == 1


def test_ending_a_call_twice_is_a_late_response() -> None:
    """Only the first answer of a call counts; what comes after it is dropped and counted."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    number = requester.request()
    call = next_call(responder)
    responder.feed(m.Respond(call.id, b"1"))
    responder.feed(m.Respond(call.id, b"2"))
    responder.feed(m.Fail(call.id, ErrorCode.REMOTE_ERROR, "3"))
    assert requester.read() == [m.Response(number, b"1")]
    assert one_bus.router.statistics().late_responses == 2


def test_only_the_responder_can_answer() -> None:
    """A call id means nothing on any other connection."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    requester.request()
    stranger = one_bus.connect()
    stranger.feed(m.Respond(next_call(responder).id, b"forged"))
    assert requester.read() == []
    assert one_bus.router.statistics().requests_pending == 1


# --- claims


def test_a_second_claim_leaves_the_first_untouched() -> None:
    """A topic has one server: a second claim is refused, from another connection or the same, and the first goes on."""
    requester, responder = open_pair(bus())
    for second in (requester, responder):
        number = second.claim("s")
        assert refused(second.read()) == {number: ErrorCode.TOPIC_CLAIMED}
    requester.request("s")
    assert next_call(responder).service == 1


def test_a_topic_can_be_claimed_again() -> None:
    """When its server has left a topic is free for another."""
    requester, responder = open_pair(bus())
    responder.unclaim(1)
    assert acknowledged(responder.read()) == {2: 0}
    number = requester.claim("s")
    assert acknowledged(requester.read()) == {number: 0}


def test_unclaiming_what_is_not_there_is_answered() -> None:
    """UNCLAIM of a service that has ended, or never was, is accepted."""
    _, responder = open_pair(bus())
    for service in (1, 1, 99):
        responder.unclaim(service)
    assert acknowledged(responder.read()) == {2: 0, 3: 0, 4: 0}


@pytest.mark.parametrize("topic", ["s/*", "**", "", "S", "s" * 65, "s/s/s/s/s"])
def test_wildcards_and_invalid_topics_are_refused(topic: str) -> None:
    """Only a concrete topic within the limits can be served or asked."""
    one_bus = bus(topic_length=64, topic_depth=4)
    peer = one_bus.connect()
    peer.claim(topic)
    peer.request(topic)
    assert refused(peer.read()) == {1: ErrorCode.INVALID_TOPIC, 2: ErrorCode.INVALID_TOPIC}
    peer.disconnect()
    assert_empty(one_bus.router)


def test_services_of_a_connection_are_bounded() -> None:
    """A connection that serves as many topics as allowed is refused one more until it leaves one."""
    one_bus = bus(services=2)
    peer = one_bus.connect()
    numbers = [peer.claim(topic) for topic in ("a", "b", "c")]
    assert refused(peer.read()) == {numbers[2]: ErrorCode.LIMIT_EXCEEDED}
    peer.unclaim(numbers[0])
    peer.claim("c")
    assert refused(peer.read()) == {}
    assert one_bus.router.statistics().services == 2


@pytest.mark.parametrize(("requests", "size"), [(0, 1), (1, 0)])
def test_a_window_of_nothing_breaks_the_rules(requests: int, size: int) -> None:
    """A service without a window is a violation, and the topic stays free."""
    one_bus = bus()
    peer = one_bus.connect()
    with pytest.raises(ProtocolViolation, match="window"):
        peer.claim("s", requests, size)
    assert one_bus.router.statistics().services == 0


# --- refusals at once


def test_a_topic_that_nobody_serves_is_not_found() -> None:
    """A request that nobody serves is refused at once."""
    one_bus = bus()
    peer = one_bus.connect()
    number = peer.request("s")
    assert refused(peer.read()) == {number: ErrorCode.SERVICE_NOT_FOUND}
    assert_nothing_pending(one_bus)


def test_a_service_takes_as_many_requests_as_its_window() -> None:
    """A request beyond the window of its service is refused at once, and one more is taken when a call has ended."""
    one_bus = bus()
    requester, responder = open_pair(one_bus, requests=2)
    for _ in range(3):
        requester.request()
    assert refused(requester.read()) == {3: ErrorCode.SERVICE_BUSY}
    first, _ = of_kind(responder.read(), m.Call)
    responder.feed(m.Respond(first.id, b""))
    requester.request()
    assert refused(requester.read()) == {}
    assert one_bus.router.statistics().requests_busy == 1


def test_a_service_takes_as_many_bytes_as_its_window() -> None:
    """The last request may run over the bytes of the window; the next is refused until they are free."""
    requester, responder = open_pair(bus(), size=3)
    requester.request(payload=b"x")
    requester.request(payload=b"x" * 100)
    requester.request()
    assert refused(requester.read()) == {3: ErrorCode.SERVICE_BUSY}
    for call in of_kind(responder.read(), m.Call):
        responder.feed(m.Respond(call.id, b""))
    requester.request()
    assert refused(requester.read()) == {}


def test_a_window_of_bytes_that_is_just_full_is_full() -> None:
    """A request is handed over while bytes of the window are left, not when they are just used up."""
    requester, _ = open_pair(bus(), size=2)
    requester.request(payload=b"x")
    number = requester.request(payload=b"x")
    assert refused(requester.read()) == {number: ErrorCode.SERVICE_BUSY}


def test_the_bus_caps_the_window_of_a_service() -> None:
    """A service may ask for any window and gets no more than the bus gives."""
    requester, _ = open_pair(bus(service_requests=1), requests=1 << 60, size=1 << 60)
    requester.request()
    number = requester.request()
    assert refused(requester.read()) == {number: ErrorCode.SERVICE_BUSY}


def test_a_responder_whose_outbox_is_full_is_busy() -> None:
    """A request that does not fit in what waits for its responder is refused at once."""
    one_bus = bus(outbox_bytes=5)
    requester, responder = open_pair(one_bus)
    requester.request(payload=b"xxx")
    number = requester.request()
    assert refused(requester.read()) == {number: ErrorCode.SERVICE_BUSY}
    assert len(of_kind(responder.read(), m.Call)) == 1


def test_requests_of_a_connection_are_bounded() -> None:
    """A connection with as many requests pending as allowed is refused one more until one has its outcome."""
    requester, responder = open_pair(bus(requests=2))
    for _ in range(3):
        requester.request()
    assert refused(requester.read()) == {3: ErrorCode.LIMIT_EXCEEDED}
    responder.feed(m.Respond(of_kind(responder.read(), m.Call)[0].id, b""))
    requester.request()
    assert refused(requester.read()) == {}


def test_an_answer_that_does_not_fit_is_an_outcome_too() -> None:
    """A response larger than the room in its requester's outbox ends the request with an error, not with silence."""
    one_bus = bus(outbox_bytes=10)
    requester, responder = open_pair(one_bus)
    number = requester.request()
    responder.feed(m.Respond(next_call(responder).id, b"x" * 11))
    assert refused(requester.read()) == {number: ErrorCode.LIMIT_EXCEEDED}
    assert_nothing_pending(one_bus)


def test_a_failure_with_much_text_harms_nobody() -> None:
    """The text of a failure counts as a response does: it can neither overflow its requester nor be lost in silence."""
    one_bus = bus(outbox_bytes=1000, control_bytes=1000)
    requester, responder = open_pair(one_bus)
    numbers = [requester.request() for _ in range(3)]
    for call in of_kind(responder.read(), m.Call):
        responder.feed(m.Fail(call.id, ErrorCode.REMOTE_ERROR, "x" * 900))
    assert requester.ending is None
    remote, *others = refused(requester.read()).items()
    assert remote == (numbers[0], ErrorCode.REMOTE_ERROR)
    assert others == [(number, ErrorCode.LIMIT_EXCEEDED) for number in numbers[1:]]


# --- the end of a responder


def test_the_end_of_a_service_reaches_all_that_wait() -> None:
    """UNCLAIM tells every requester of that service at once, and no other."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    other = responder.claim("t")
    gone = [requester.request("s") for _ in range(3)]
    kept = requester.request("t")
    responder.unclaim(1)
    assert refused(requester.read()) == dict.fromkeys(gone, ErrorCode.SERVICE_GONE)
    (call,) = (call for call in of_kind(responder.read(), m.Call) if call.service == other)
    responder.feed(m.Respond(call.id, b""))
    assert requester.read() == [m.Response(kept, b"")]
    assert_nothing_pending(one_bus)


def test_the_end_of_a_responder_reaches_all_that_wait() -> None:
    """A connection that ends tells the requesters of all its services at once."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    responder.claim("t")
    numbers = [requester.request(topic) for topic in "ststst"]
    responder.disconnect()
    assert refused(requester.read()) == dict.fromkeys(numbers, ErrorCode.SERVICE_GONE)
    number = requester.request("s")
    assert refused(requester.read()) == {number: ErrorCode.SERVICE_NOT_FOUND}
    assert_nothing_pending(one_bus)


def test_an_answer_after_the_end_of_its_service_is_late() -> None:
    """A response to a call that ended with its service is dropped and counted."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    requester.request()
    call = next_call(responder)
    responder.unclaim(1)
    requester.read()
    responder.feed(m.Respond(call.id, b""))
    assert requester.read() == []
    assert one_bus.router.statistics().late_responses == 1


def finish(responder: RawPeer, service: int = 1) -> None:
    """Stop serving, and answer what is pending still."""
    responder.feed(m.Unclaim(responder.next_operation(), service, finishes=True))


def test_a_service_that_finishes_answers_what_is_pending() -> None:
    """New requests find nobody, and another may claim the topic; then nothing is left of it."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    number = requester.request("s")
    call = next_call(responder)
    finish(responder)
    late = requester.request("s")
    assert refused(requester.read()) == {late: ErrorCode.SERVICE_NOT_FOUND}
    other = one_bus.connect()
    other.claim("s")
    responder.feed(m.Respond(call.id, b"done"))
    assert requester.read() == [m.Response(number, b"done")]
    assert_nothing_pending(one_bus)
    assert one_bus.router.statistics().services == 1


@pytest.mark.parametrize("end", ["unclaim", "disconnect"])
def test_a_service_that_does_not_finish_ends_after_all(end: str) -> None:
    """A second UNCLAIM, or the end of its connection, tells all that still wait."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    numbers = [requester.request("s") for _ in range(2)]
    finish(responder)
    if end == "unclaim":
        responder.unclaim(1)
    else:
        responder.disconnect()
    assert refused(requester.read()) == dict.fromkeys(numbers, ErrorCode.SERVICE_GONE)
    assert_nothing_pending(one_bus)


def test_a_service_with_nothing_to_finish_is_gone() -> None:
    """It ends at once, and so does one whose last request is over its lifetime."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    finish(responder)
    again = responder.claim("s")
    requester.request("s")
    finish(responder, again)
    one_bus.router.expire(one_bus.router.limits.request_lifetime + 1)
    assert_nothing_pending(one_bus)
    assert one_bus.router.statistics().services == 0


def test_somebody_waits_until_the_answer() -> None:
    """A bus that drains knows whether a requester still waits; one that gave up does not."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    seen = [one_bus.router.is_drained]
    number = requester.request("s")
    responder.read()
    seen.append(one_bus.router.is_drained)
    requester.feed(m.Cancel(number))
    responder.read()
    seen.append(one_bus.router.is_drained)
    assert seen == [True, False, True]


# --- the end of a requester


def test_a_cancelled_request_tells_the_responder() -> None:
    """CANCEL withdraws the call; its requester hears no more of it, and the late response is counted."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    number = requester.request()
    call = next_call(responder)
    requester.feed(m.Cancel(number))
    assert responder.read() == [m.Withdraw(call.id)]
    responder.feed(m.Respond(call.id, b"late"))
    assert requester.read() == []
    assert one_bus.router.statistics().late_responses == 1
    assert_nothing_pending(one_bus)


def test_cancelling_what_is_answered_means_nothing() -> None:
    """A CANCEL that crosses the response on its way, or comes twice, is no error."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    number = requester.request()
    responder.feed(m.Respond(next_call(responder).id, b""))
    requester.feed(m.Cancel(number))
    requester.feed(m.Cancel(99))
    assert responder.read() == []


def test_a_withdrawn_call_keeps_its_place() -> None:
    """Giving a request up does not free its place at the service, which may still work on it, until the call ends."""
    requester, responder = open_pair(bus(), requests=1)
    requester.feed(m.Cancel(requester.request()))
    busy = requester.request()
    assert refused(requester.read()) == {busy: ErrorCode.SERVICE_BUSY}
    call, _ = responder.read()
    assert isinstance(call, m.Call)
    responder.feed(m.Fail(call.id, ErrorCode.REMOTE_ERROR, "cancelled"))
    requester.request()
    assert refused(requester.read()) == {}


def test_a_cancelled_request_frees_its_requester() -> None:
    """Giving a request up makes room for another of the same connection at once."""
    requester, _ = open_pair(bus(requests=1))
    requester.feed(m.Cancel(requester.request()))
    requester.request()
    assert refused(requester.read()) == {}


def test_the_end_of_a_requester_withdraws_all_its_calls() -> None:
    """A requester that disconnects with many pending leaves nothing behind; what is answered later is counted."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    for _ in range(5):
        requester.request()
    calls = {call.id for call in of_kind(responder.read(), m.Call)}
    requester.disconnect()
    assert {withdraw.call for withdraw in of_kind(responder.read(), m.Withdraw)} == calls
    for call in calls:
        responder.feed(m.Respond(call, b""))
    assert one_bus.router.statistics().late_responses == 5
    assert_nothing_pending(one_bus)


# --- lifetime


def test_a_lifetime_that_is_over_is_told_to_both_sides() -> None:
    """A request pending for too long is refused, and its call withdrawn, at the first moment that is due."""
    one_bus = bus(request_lifetime=5.0)
    requester, responder = open_pair(one_bus)
    number = requester.request()
    call = next_call(responder)
    requester.now = 1.0
    requester.request()
    assert one_bus.router.next_deadline() == 5.0
    one_bus.router.expire(4.9)
    assert requester.read() == []
    one_bus.router.expire(5.0)
    assert refused(requester.read()) == {number: ErrorCode.REQUEST_TIMEOUT}
    assert of_kind(responder.read(), m.Withdraw) == [m.Withdraw(call.id)]
    assert one_bus.router.next_deadline() == 6.0


def test_a_lifetime_that_is_over_frees_the_place() -> None:
    """A responder that has forgotten a request gets its place back, and a response after all is late."""
    one_bus = bus(request_lifetime=5.0)
    requester, responder = open_pair(one_bus, requests=1)
    requester.request()
    call = next_call(responder)
    one_bus.router.expire(5.0)
    requester.read()
    assert_nothing_pending(one_bus)
    responder.feed(m.Respond(call.id, b""))
    assert requester.read() == []
    assert one_bus.router.statistics().late_responses == 1
    requester.request()
    assert refused(requester.read()) == {}


def test_a_withdrawn_call_is_withdrawn_once() -> None:
    """The end of the lifetime of a call that was given up frees its place and says nothing more."""
    one_bus = bus(request_lifetime=5.0)
    requester, responder = open_pair(one_bus)
    requester.feed(m.Cancel(requester.request()))
    assert len(of_kind(responder.read(), m.Withdraw)) == 1
    one_bus.router.expire(5.0)
    assert responder.read() == requester.read() == []
    assert_nothing_pending(one_bus)


def test_the_statistics_count_requests() -> None:
    """The statistics show what is pending and count what was handed over."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    requester.request()
    requester.request()
    responder.feed(m.Respond(of_kind(responder.read(), m.Call)[0].id, b""))
    statistics = one_bus.router.statistics()
    assert (statistics.services, statistics.requests, statistics.requests_pending) == (1, 2, 1)


def test_nothing_is_left_of_services() -> None:
    """When both sides have ended nothing of their services or requests is left anywhere."""
    one_bus = bus()
    requester, responder = open_pair(one_bus)
    for _ in range(3):
        requester.request()
    requester.disconnect()
    responder.disconnect()
    assert_empty(one_bus.router)
