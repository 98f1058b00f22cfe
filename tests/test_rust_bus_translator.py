"""A Rust bus at our client: native messages as its frames, and its answers as a native bus would give them."""

from __future__ import annotations

import gzip
import os
import random
import zlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from rust_corpus import REQ, SERVER_FRAMES, ack, answer, carrier, spelt, written
from t2bus.limits import Limits
from t2bus.rust import frames as r
from t2bus.rust.bus_translator import BusTranslator
from t2bus.rust.bus_windows import Windows
from t2bus.wire import messages as m
from t2bus.wire import values as v
from t2bus.wire.framing import HEADER_SIZE, FrameDecoder

LARGE = b"payload " * 1000
PUB = r.Kind.PUB
KEEP_ALIVE = r.Kind.KEEP_ALIVE


class RustBus:
    """A client's translator for a bus of the crate, and the frames of either end as values."""

    def __init__(self, limits: Limits) -> None:
        self.translator = BusTranslator(limits)

    def says(self, *messages: m.ClientMessage) -> list[r.Control | r.Carrier | r.Answer]:
        data = b"".join(map(self.translator.encode_one, messages))
        return r.decode_client_frames(FrameDecoder(r.FRAME).feed(data))

    def hears(self, *frames: r.Carrier | r.Answer | r.Ack) -> list[m.ServerMessage]:
        return self.translator.decode(r.decode_server_frames([written(frame)[HEADER_SIZE:] for frame in frames]))

    def do(self, message: m.ClientMessage) -> r.Control | r.Carrier | r.Answer:
        """Say something that the bus acknowledges."""
        (said,) = self.says(message)
        self.hears(ack(said.id))
        return said

    def is_idle(self) -> bool:
        """Whether nothing is remembered for an answer: whatever came now would mean nothing."""
        used = range(1, self.translator.last_frame + 1)
        return self.hears(*map(ack, used), *(answer(0, number) for number in used)) == []


@pytest.fixture
def bus() -> RustBus:
    return RustBus(Limits(frame=100_000))


def publish(number: int, payload: v.Payload, topic: str = "a") -> m.Publish:
    return m.Publish(number, True, m.Publication(topic, payload, {"k": "v"}))


def deliver(payload: bytes, *subscriptions: int, topic: str = "a") -> m.Deliver:
    return m.Deliver(subscriptions, m.Publication(topic, payload))


# --- the handshake


def test_the_first_acknowledgement_is_the_welcome() -> None:
    """HELLO is a KeepAlive, and its Ack the WELCOME of a bus that keeps to the client's own limits."""
    bus = RustBus(Limits(topic_length=100, topic_depth=5, requests=7, subscriptions=8, services=9))
    assert bus.says(m.Hello(1, "t2bus-python")) == [r.Control(1, KEEP_ALIVE)]
    assert bus.hears(ack(1)) == [
        m.Welcome(1, "t2_bus", (), 1, r.FRAME - 64, r.FRAME, 100, 5, 7, 8, 9, 16_384, 8 * 2**20)
    ]


def test_a_ping_is_a_keep_alive(bus: RustBus) -> None:
    """The bus has no ping, but acknowledges a KeepAlive."""
    (said,) = bus.says(m.Ping(77))
    assert said == r.Control(1, KEEP_ALIVE)
    assert bus.hears(ack(1)) == [m.Pong(77)]


def test_what_the_bus_has_no_word_for_is_not_said(bus: RustBus) -> None:
    """Credit, pongs and farewells are nothing on this wire, nor is the end of what is not there."""
    nothing = (m.Credit((1, 1, 1)), m.Pong(1), m.Goodbye("bye"), m.Error("no"), m.Cancel(1))
    assert bus.says(*nothing, m.Respond(1, b"p"), m.Fail(1, v.ErrorCode.REMOTE_ERROR, "no")) == []


def test_the_recorded_bus_is_understood(bus: RustBus) -> None:
    """All that the crate's bus was recorded to say, unasked, is nothing, and no error."""
    assert bus.translator.decode(r.decode_server_frames([recorded for recorded, _ in SERVER_FRAMES.values()])) == []


def test_a_farewell_is_an_error(bus: RustBus) -> None:
    """A bus that says why it ends the connection, under the id of no frame, is understood."""
    assert bus.hears(ack(0, "RequestFailed", "why")) == [m.Error("why")]
    assert bus.hears(ack(0), ack(7, "RequestFailed", "late")) == []


# --- publish and subscribe


def test_a_publication_is_acknowledged_with_its_receivers(bus: RustBus) -> None:
    """Pub carries the topic and the payload, and its Ack the number of clients."""
    assert bus.says(publish(5, b"p")) == [carrier(1, PUB)]
    assert bus.hears(ack(1, to=3)) == [m.Accepted(5, (3,))]
    assert bus.is_idle()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("InvalidTopicString", v.ErrorCode.INVALID_TOPIC),
        ("ClaimWildcardNotSupported", v.ErrorCode.INVALID_TOPIC),
        ("TopicAlreadyClaimed", v.ErrorCode.TOPIC_CLAIMED),
        ("ServiceNotFound", v.ErrorCode.SERVICE_NOT_FOUND),
        ("DeliveryFailed", v.ErrorCode.SERVICE_GONE),
        ("UnknownClient", v.ErrorCode.SERVICE_GONE),
        ("RequestFailedTimeout", v.ErrorCode.REQUEST_TIMEOUT),
        ("MalformedMessage", v.ErrorCode.MALFORMED_MESSAGE),
        ("InternalError", v.ErrorCode.REMOTE_ERROR),
    ],
)
def test_an_error_is_a_refusal(bus: RustBus, name: str, code: v.ErrorCode) -> None:
    """Each of the crate's errors is the nearest code, with its name and details as the text."""
    bus.says(publish(5, b"p"))
    assert bus.hears(ack(1, name, "why")) == [m.Refused(5, code, f"the Rust bus refused it: {name}: why")]


def test_a_delivery_names_the_subscriptions_that_it_meets(bus: RustBus) -> None:
    """A Pub is matched here, wildcards on both sides."""
    for number, topic in enumerate(["a/*", "a/b", "b"], 1):
        assert bus.do(m.Subscribe(number, topic, 10, 1000)) == r.Control(number, r.Kind.SUB, topic)
    assert bus.hears(carrier(0, PUB, "a/b"), carrier(0, PUB, "**/b"), carrier(0, PUB, "c")) == [
        deliver(b"p", 1, 2, topic="a/b"),
        deliver(b"p", 1, 2, 3, topic="**/b"),
    ]


def test_a_topic_is_said_once(bus: RustBus) -> None:
    """Of several subscriptions of a topic the first is said to the bus, and the others are answered in their turn."""
    said = bus.says(*(m.Subscribe(number, "a", 10, 1000) for number in (1, 2, 3)), m.Subscribe(4, "b", 10, 1000))
    assert said == [
        *(r.Control(1, r.Kind.SUB, "a"), r.Control(2, KEEP_ALIVE), r.Control(3, KEEP_ALIVE)),
        r.Control(4, r.Kind.SUB, "b"),
    ]
    assert bus.hears(*map(ack, range(1, 5))) == [m.Accepted(number, (0,)) for number in range(1, 5)]
    assert bus.hears(carrier(0, PUB)) == [deliver(b"p", 1, 2, 3)]


def test_a_refused_topic_is_refused_to_all_who_share_it(bus: RustBus) -> None:
    """Who subscribed before the refusal came gets it too, and who subscribes after it asks anew."""
    bus.says(m.Subscribe(1, "a", 10, 1000), m.Subscribe(2, "a", 10, 1000))
    refusal = "the Rust bus refused it: RequestFailed: no"
    assert bus.hears(ack(1, "RequestFailed", "no")) == [m.Refused(1, v.ErrorCode.REMOTE_ERROR, refusal)]
    assert bus.says(m.Subscribe(3, "a", 10, 1000)) == [r.Control(3, r.Kind.SUB, "a")]
    assert bus.hears(ack(2), ack(3)) == [m.Refused(2, v.ErrorCode.REMOTE_ERROR, refusal), m.Accepted(3, (0,))]
    assert bus.hears(carrier(0, PUB)) == [deliver(b"p", 3)]
    assert bus.says(m.Unsubscribe(4, 2), m.Unsubscribe(5, 3))[1:] == [r.Control(5, r.Kind.UNSUB, "a")]


def test_a_late_refusal_does_not_end_a_new_subscription(bus: RustBus) -> None:
    """Closed before it was answered and opened anew, a topic is there whatever the first answer was."""
    said = bus.says(m.Subscribe(1, "a", 10, 1000), m.Unsubscribe(2, 1), m.Subscribe(3, "a", 10, 1000))
    assert [each.kind for each in said if isinstance(each, r.Control)] == [r.Kind.SUB, r.Kind.UNSUB, r.Kind.SUB]
    bus.hears(ack(1, "RequestFailed", "no"), ack(2), ack(3))
    assert bus.hears(carrier(0, PUB)) == [deliver(b"p", 3)]


def test_the_last_subscription_of_a_topic_unsubscribes(bus: RustBus) -> None:
    """Ending one of two is between the client and itself, and is answered in its turn all the same."""
    for number in (1, 2):
        bus.do(m.Subscribe(number, "a", 10, 1000))
    said = bus.says(m.Unsubscribe(3, 1), m.Unsubscribe(4, 2), m.Unsubscribe(5, 2))
    assert said == [r.Control(3, KEEP_ALIVE), r.Control(4, r.Kind.UNSUB, "a"), r.Control(5, KEEP_ALIVE)]
    assert bus.hears(ack(3), ack(4), ack(5)) == [m.Accepted(3, (0,)), m.Accepted(4, (0,)), m.Accepted(5, (0,))]
    assert bus.hears(carrier(0, PUB)) == []


def test_a_refused_subscription_takes_nothing(bus: RustBus) -> None:
    """What the bus refused is not delivered to."""
    bus.says(m.Subscribe(1, "a", 10, 1000))
    assert bus.hears(ack(1, "InternalError"))[0] == m.Refused(
        1, v.ErrorCode.REMOTE_ERROR, "the Rust bus refused it: InternalError"
    )
    assert bus.hears(carrier(0, PUB)) == []


def test_a_topic_out_of_bounds_is_ignored(bus: RustBus) -> None:
    """A topic that no subscription of this client could have is counted."""
    bus.do(m.Subscribe(1, "**", 10, 1000))
    assert bus.hears(carrier(0, PUB, "/".join("a" * 17))) == []
    assert bus.translator.ignored == 1


# --- windows


def test_a_spent_window_drops_and_a_gap_says_so(bus: RustBus) -> None:
    """A subscription without credit misses messages alone, and hears how many before its next."""
    bus.do(m.Subscribe(1, "a", 1, 1000))
    bus.do(m.Subscribe(2, "a", 10, 1000))
    three = [carrier(0, PUB)] * 3
    assert bus.hears(*three) == [deliver(b"p", 1, 2), deliver(b"p", 2), deliver(b"p", 2)]
    bus.says(m.Credit((1, 1, 2, 9, 1, 1)))
    assert bus.hears(carrier(0, PUB)) == [m.Gap(1, 2), deliver(b"p", 1, 2)]


def test_a_window_of_bytes_is_kept(bus: RustBus) -> None:
    """The last delivery may run over the bytes of a window, and the next finds it spent."""
    bus.do(m.Subscribe(1, "a", 10, 3))
    assert bus.hears(carrier(0, PUB, data=b"12345"), carrier(0, PUB)) == [deliver(b"12345", 1)]
    bus.says(m.Credit((1, 1, 3)))
    assert bus.hears() == []
    bus.says(m.Credit((1, 0, 1)))
    assert bus.hears() == [m.Gap(1, 1)]


def test_a_closed_subscription_misses_nothing(bus: RustBus) -> None:
    """What was dropped for a subscription is forgotten with it."""
    bus.do(m.Subscribe(1, "a", 1, 1000))
    bus.hears(carrier(0, PUB), carrier(0, PUB))
    bus.do(m.Unsubscribe(2, 1))
    bus.says(m.Credit((1, 1, 1)))
    assert bus.hears() == []


@pytest.mark.parametrize("data", [b"no gzip", gzip.compress(bytes(100_001))], ids=["no gzip", "too large"])
def test_a_payload_that_cannot_be_read_is_missing(bus: RustBus, data: bytes) -> None:
    """A publication that is malformed, or holds more than Limits.frame, is a gap in each stream that it belongs to."""
    bus.do(m.Subscribe(1, "a", 10, 1000))
    assert bus.hears(carrier(0, PUB, data=data, packed=True), carrier(0, PUB)) == [m.Gap(1, 1), deliver(b"p", 1)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=50))
def test_every_message_is_delivered_or_counted(steps: list[tuple[int, int]]) -> None:
    """However credit comes, a window is never overrun, and what is not delivered stands in a gap in its place."""
    windows = Windows(Limits(subscriptions=1))
    windows.open(m.Subscribe(1, "a", 2, 1000))
    credit, sent, known = 2, 0, 0
    for publications, messages in steps:
        said: list[object] = list(windows.gaps())
        for _ in range(publications):
            sent += 1
            said += windows.deliver("a", b"")
        for each in said:
            if isinstance(each, m.Gap):
                known += each.dropped
            else:
                known += 1
                credit -= 1
                assert credit >= 0
        assert known <= sent
        assert known == sent or credit == 0
        windows.credit(m.Credit((1, messages, messages)))
        credit += messages


# --- payloads


def test_a_large_payload_is_compressed_as_the_crate_does_it(bus: RustBus) -> None:
    """Above 5,000 bytes a payload is gzip where that is shorter."""
    noise = os.urandom(5001)
    packed, plain = bus.says(publish(1, LARGE), publish(2, noise))
    assert isinstance(packed, r.Carrier)
    assert packed.body.is_compressed
    assert gzip.decompress(packed.body.data) == LARGE
    assert plain == carrier(2, PUB, data=noise)


def test_a_payload_in_zlib_becomes_gzip(bus: RustBus) -> None:
    """A payload that is compressed already stays so."""
    (said,) = bus.says(publish(1, v.Deflated(zlib.compress(LARGE))))
    assert isinstance(said, r.Carrier)
    assert gzip.decompress(said.body.data) == LARGE


@pytest.mark.parametrize("payload", [os.urandom(700_000), v.Deflated(b"no zlib")], ids=["noise", "broken"])
def test_what_that_bus_could_not_pass_on_is_refused(bus: RustBus, payload: v.Payload) -> None:
    """A frame that would be over 1 MiB as numbers is not sent, and the operation is refused in its turn."""
    request = m.Ask(2, None, "a", payload)
    said = bus.says(publish(1, payload), request)
    assert [each.kind for each in said if isinstance(each, r.Control)] == [KEEP_ALIVE, KEEP_ALIVE]
    heard = bus.hears(*(ack(each.id) for each in said))
    assert [(each.id, each.code) for each in heard if isinstance(each, m.Refused)] == [
        *((1, v.ErrorCode.MESSAGE_TOO_LARGE), (2, v.ErrorCode.MESSAGE_TOO_LARGE)),
    ]
    assert bus.is_idle()


@steady(20)
@given(st.integers(549_000, 551_000))
def test_what_is_sent_fits_when_that_bus_has_spelt_it(size: int) -> None:
    """The crate's spelling of a publication that goes out, with any id, is within its 1 MiB."""
    (said,) = RustBus(Limits()).says(publish(1, random.Random(size).randbytes(size)))
    if isinstance(said, r.Carrier):
        assert len(cbor2.dumps(spelt(said) | {"id": 2**32 - 1})) <= r.FRAME


# --- requests


def test_a_request_is_answered(bus: RustBus) -> None:
    """The Ack of a Req says nothing yet, its Rsp is the response."""
    assert bus.says(m.Ask(5, 1000, "a", b"p")) == [carrier(1, REQ)]
    assert bus.hears(ack(1)) == []
    assert bus.hears(answer(0, 1, b"yes")) == [m.Response(5, b"yes")]
    assert bus.hears(answer(0, 1, b"again")) == []
    assert bus.is_idle()


def test_a_request_that_is_refused_has_no_answer(bus: RustBus) -> None:
    """An Ack with an error ends the request."""
    bus.says(m.Ask(5, None, "a", b"p"))
    text = "the Rust bus refused it: ServiceNotFound: a"
    assert bus.hears(ack(1, "ServiceNotFound", "a")) == [m.Refused(5, v.ErrorCode.SERVICE_NOT_FOUND, text)]
    assert bus.hears(answer(0, 1)) == []
    assert bus.is_idle()


def test_a_request_may_time_out(bus: RustBus) -> None:
    """The status Timeout is the refusal of that name."""
    bus.do(m.Ask(5, None, "a", b"p"))
    (heard,) = bus.hears(r.Answer(0, 1, r.AnswerStatus.TIMEOUT, r.Body(b"")))
    assert isinstance(heard, m.Refused)
    assert (heard.id, heard.code) == (5, v.ErrorCode.REQUEST_TIMEOUT)


def test_a_malformed_response_fails_the_request(bus: RustBus) -> None:
    """A response that cannot be inflated is an error of that one request."""
    bus.do(m.Ask(5, None, "a", b"p"))
    (heard,) = bus.hears(answer(0, 1, b"no gzip", packed=True))
    assert isinstance(heard, m.Refused)
    assert (heard.id, heard.code) == (5, v.ErrorCode.MALFORMED_MESSAGE)


def test_a_cancelled_request_is_forgotten(bus: RustBus) -> None:
    """The bus knows no cancellation, and a late response finds nobody."""
    bus.do(m.Ask(5, None, "a", b"p"))
    assert bus.says(m.Cancel(5)) == []
    assert bus.hears(answer(0, 1)) == []
    assert bus.is_idle()


def test_ids_wrap_and_skip_those_in_use(bus: RustBus) -> None:
    """After 2**32 frames the ids begin again, and none is used twice at a time."""
    bus.says(m.Ask(1, None, "a", b"p"))
    bus.translator.last_frame = 2**32 - 1
    assert [said.id for said in bus.says(m.Ping(1), m.Ping(2))] == [0, 2]


# --- services


def test_a_call_is_answered_under_the_id_of_its_req(bus: RustBus) -> None:
    """A Req to a served topic is a call of that service, and its end an Rsp."""
    assert bus.do(m.Claim(5, "a", 10, 1000)) == r.Control(1, r.Kind.SRV, "a")
    assert bus.hears(carrier(70, REQ), carrier(71, REQ)) == [
        m.Call(1, 5, None, "a", b"p"),
        m.Call(2, 5, None, "a", b"p"),
    ]
    assert bus.says(m.Respond(1, b"yes"), m.Fail(2, v.ErrorCode.REMOTE_ERROR, "no")) == [
        answer(2, 70, b"yes"),
        r.Answer(3, 71, r.AnswerStatus.TIMEOUT, r.Body(b"")),
    ]
    assert bus.says(m.Respond(1, b"again")) == []


def test_a_response_that_does_not_fit_fails(bus: RustBus) -> None:
    """The requester hears of it, as of a Timeout."""
    bus.do(m.Claim(5, "a", 10, 1000))
    bus.hears(carrier(70, REQ))
    assert bus.says(m.Respond(1, os.urandom(700_000))) == [r.Answer(2, 70, r.AnswerStatus.TIMEOUT, r.Body(b""))]


@pytest.mark.parametrize(
    ("window", "frame"),
    [
        (1, carrier(71, REQ)),
        (2, carrier(71, REQ, "b")),
        (2, carrier(71, REQ, data=b"no gzip", packed=True)),
    ],
    ids=["the window is spent", "nobody serves it", "it is broken"],
)
def test_a_req_that_cannot_be_taken_is_ignored(bus: RustBus, window: int, frame: r.Carrier) -> None:
    """A Req beyond the window, to nobody here or with a broken payload is counted, and left to time out."""
    bus.do(m.Claim(5, "a", window, 1000))
    bus.hears(carrier(70, REQ))
    assert bus.hears(frame) == []
    assert bus.translator.ignored == 1


def test_what_is_pending_at_a_service_is_bounded_in_bytes(bus: RustBus) -> None:
    """The last request may run over the bytes of a service, and the next is ignored until that one is answered."""
    bus.do(m.Claim(5, "a", 10, 1000))
    packed = gzip.compress(bytes(5000))
    assert [type(said) for said in bus.hears(carrier(70, REQ), carrier(71, REQ, data=packed, packed=True))] == [
        m.Call,
        m.Call,
    ]
    assert bus.hears(carrier(72, REQ)) == []
    assert bus.translator.ignored == 1
    bus.says(m.Respond(1, b"yes"))
    assert bus.hears(carrier(73, REQ)) == []
    bus.says(m.Fail(2, v.ErrorCode.REMOTE_ERROR, "no"))
    assert bus.hears(carrier(74, REQ)) == [m.Call(3, 5, None, "a", b"p")]


def test_a_topic_is_claimed_once_by_this_client(bus: RustBus) -> None:
    """That bus lets one client claim a topic twice, so the second claim is refused here."""
    bus.do(m.Claim(5, "a", 1, 1000))
    (said,) = bus.says(m.Claim(6, "a", 1, 1000))
    assert bus.hears(ack(said.id)) == [m.Refused(6, v.ErrorCode.TOPIC_CLAIMED, "this client serves 'a' already")]


def test_a_service_that_is_refused_is_not_there(bus: RustBus) -> None:
    """After a refusal the topic may be claimed again."""
    bus.says(m.Claim(5, "a", 1, 1000))
    bus.hears(ack(1, "TopicAlreadyClaimed"))
    assert bus.says(m.Claim(6, "a", 1, 1000)) == [r.Control(2, r.Kind.SRV, "a")]


def test_calls_end_with_their_service(bus: RustBus) -> None:
    """After UNCLAIM nothing is answered, and one that ends nothing is answered in its turn."""
    bus.do(m.Claim(5, "a", 1, 1000))
    bus.hears(carrier(70, REQ))
    assert bus.says(m.Unclaim(6, 5), m.Unclaim(7, 5), m.Respond(1, b"late")) == [
        r.Control(2, r.Kind.UNSRV, "a"),
        r.Control(3, KEEP_ALIVE),
    ]
    assert bus.hears(ack(2), ack(3)) == [m.Accepted(6, (0,)), m.Accepted(7, (0,))]


def test_a_service_that_finishes_answers_its_calls(bus: RustBus) -> None:
    """The topic is given up, and what is pending can still be answered."""
    bus.do(m.Claim(5, "a", 1, 1000))
    bus.hears(carrier(70, REQ))
    unserved, *answer = bus.says(m.Unclaim(6, 5, finishes=True), m.Respond(1, b"done"))
    assert unserved == r.Control(2, r.Kind.UNSRV, "a")
    assert [type(each) for each in answer] == [r.Answer]


def test_a_refusal_after_the_end_leaves_a_new_claim_alone(bus: RustBus) -> None:
    """A claim that was ended before it was refused does not take the next one of its topic with it."""
    bus.says(m.Claim(5, "a", 1, 1000), m.Unclaim(6, 5), m.Claim(7, "a", 1, 1000))
    bus.hears(ack(1, "TopicAlreadyClaimed"), ack(2), ack(3))
    assert bus.hears(carrier(70, REQ)) == [m.Call(1, 7, None, "a", b"p")]
