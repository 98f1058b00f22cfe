"""Requests to and from a Rust client: whose answer is whose, and what is never answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import of_kind
from rust_corpus import REQ, RustClient, ack, answer, carrier, heard_for
from t2bus.rust import frames as r
from t2bus.rust.calls import WITHDRAWN, Desk
from t2bus.wire import messages as m
from t2bus.wire import values as v

if TYPE_CHECKING:
    from collections.abc import Sequence

PUB, SUB, UNSRV = r.Kind.PUB, r.Kind.SUB, r.Kind.UNSRV


@pytest.fixture
def client() -> RustClient:
    return RustClient()


def test_a_call_is_answered_by_its_number(client: RustClient) -> None:
    """A Req has a number of this connection, an Rsp to it ends the call, and a second one is refused."""
    service = client.serve()
    assert client.hears(m.Call(2**40, service, None, "a", b"p")) == [carrier(1, REQ)]
    respond, ping = client.says(answer(5, 1, b"yes"))
    assert respond == m.Respond(2**40, b"yes")
    assert heard_for(client, ping) == [ack(5)]
    (ping,) = client.says(answer(6, 1, b"yes"))
    assert heard_for(client, ping) == [ack(6, "InvalidRequestId")]


def test_a_call_that_was_withdrawn_ends_with_an_error(client: RustClient) -> None:
    """The answer gives the place back, and the responder hears what the crate's bus would say."""
    service = client.serve()
    client.hears(m.Call(70, service, None, "a", b"p"), m.Withdraw(70))
    respond, ping = client.says(answer(5, 1))
    assert respond == m.Respond(70, b"p")
    assert heard_for(client, ping) == [ack(5, "InvalidRequestId")]


def test_a_malformed_answer_fails_the_call(client: RustClient) -> None:
    """The requester hears that the payload is malformed, and so does the responder."""
    client.hears(m.Call(70, client.serve(), None, "a", b"p"))
    fail, ping = client.says(answer(5, 1, b"no gzip", packed=True))
    assert isinstance(fail, m.Fail)
    assert (fail.call, fail.code) == (70, v.ErrorCode.MALFORMED_MESSAGE)
    (heard,) = heard_for(client, ping)
    assert isinstance(heard, r.Ack)
    assert heard.failure is not None
    assert heard.failure.name == "MalformedMessage"


def test_an_answer_with_the_status_timeout_fails_the_call(client: RustClient) -> None:
    """A responder may say that it has no answer."""
    client.hears(m.Call(70, client.serve(), None, "a", b"p"))
    fail, ping = client.says(r.Answer(5, 1, r.AnswerStatus.TIMEOUT, r.Body(b"")))
    assert fail == m.Fail(70, v.ErrorCode.REMOTE_ERROR, "the responder answered with the status Timeout")
    assert heard_for(client, ping) == [ack(5)]


def test_calls_end_with_their_service(client: RustClient) -> None:
    """After Unsrv no call of the service is sent or answered: the bus has ended them all."""
    service = client.serve()
    client.hears(m.Call(70, service, None, "a", b"p"))
    client.says(r.Control(2, UNSRV, "a"))
    assert client.hears(m.Call(71, service, None, "a", b"p")) == []
    (ping,) = client.says(answer(5, 1))
    assert heard_for(client, ping) == [ack(5, "InvalidRequestId")]


def test_numbers_of_calls_wrap_and_skip_those_in_use() -> None:
    """After 2**32 calls the numbers begin again, and none is given twice at a time."""
    desk = Desk()
    desk.claim(1, "a")
    desk.begin(desk.next_number(), 70, "a", 1)
    desk.last_number = 2**32 - 1
    assert desk.next_number() == 0
    desk.begin(0, 71, "a", 1)
    assert desk.next_number() == 2


def test_withdrawn_calls_are_bounded() -> None:
    """A client that never answers is remembered the youngest of its withdrawn calls only."""
    desk = Desk()
    desk.claim(1, "a")
    for call in range(WITHDRAWN + 10):
        desk.begin(desk.next_number(), call, "a", 1)
        desk.withdraw(call)
    assert len(desk) == WITHDRAWN
    assert desk.unclaim("a") == 1
    assert len(desk) == 0


# --- the law of ids

_STEPS = st.lists(
    st.tuples(st.sampled_from(["pub", "req", "sub", "accept", "refuse", "respond", "pong", "keep"]), st.integers(0, 5)),
    max_size=60,
)


@given(_STEPS)
def test_no_request_is_answered_twice_or_before_its_acknowledgement(steps: list[tuple[str, int]]) -> None:
    """Whatever the interleaving, an Rsp comes once for a pending Req, after its Ack, and each operation has one Ack."""
    client = RustClient()
    waiting: dict[int, bool] = {}  # what a Rust client waits for, by id, and whether it was acknowledged
    said: list[m.ClientMessage] = []
    acks = operations = 0
    for step, number in steps:
        heard: Sequence[r.Carrier | r.Answer | r.Ack] = ()
        match step:
            case "req":
                said += client.says(carrier(number, REQ))
                operations += 1
                waiting[number] = False
            case "pub" | "sub":
                frame = carrier(100 + number, PUB) if step == "pub" else r.Control(100 + number, SUB, "a")
                said += client.says(frame)
                operations += 1
            case "keep":
                heard = heard_for(client, client.says(r.Control(200, r.Kind.KEEP_ALIVE))[0])
                assert heard == [ack(200)]
                continue
            case "accept":
                heard = client.hears(m.Accepted(number + 1, (1, 1)))
            case "refuse":
                heard = client.hears(m.Refused(number + 1, v.ErrorCode.REMOTE_ERROR, "no"))
            case "pong":
                pings = of_kind(said, m.Ping)
                heard = heard_for(client, pings[number % len(pings)]) if pings else ()
            case _:
                heard = client.hears(m.Response(number + 1, b"r")) if _is_request(said, number + 1) else ()
        for each in heard:
            if isinstance(each, r.Ack):
                acks += 1
                if each.operation in waiting:
                    assert not waiting[each.operation]
                    waiting[each.operation] = True
                    if each.failure is not None:
                        del waiting[each.operation]
            else:
                assert isinstance(each, r.Answer)
                assert waiting.pop(each.request)
    assert acks <= operations


def _is_request(said: list[m.ClientMessage], number: int) -> bool:
    return any(isinstance(each, m.Ask) and each.id == number for each in said)
