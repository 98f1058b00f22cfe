"""A Rust client at our bus: its frames as native messages, our messages as its frames, and what it is spared."""

from __future__ import annotations

import gzip
import os
import zlib

import cbor2
import pytest

from pure_helpers import one_by_one
from rust_corpus import CLIENT_FRAMES, HELLO, HI, REQ, RustClient, ack, answer, carrier, heard_for
from t2bus.errors import ProtocolViolation
from t2bus.rust import frames as r
from t2bus.rust.client_translator import ClientTranslator
from t2bus.wire import messages as m
from t2bus.wire import values as v
from t2bus.wire.compression import deflate, inflate

HUGE = 2**62
WELCOME = m.Welcome(1, "t2bus", ("zlib",), 1, 10_000, 20_000, 256, 16, 1, 1, 1, 1, 1)
LARGE = b"payload " * 1000
PUB, SUB, SRV = r.Kind.PUB, r.Kind.SUB, r.Kind.SRV
UNSUB, UNSRV = r.Kind.UNSUB, r.Kind.UNSRV


@pytest.fixture
def client() -> RustClient:
    return RustClient()


# --- the client speaks


def test_the_recorded_client_is_understood() -> None:
    """All that the crate's client was recorded to say is what its program did."""
    recorded = [recorded for recorded, _ in CLIENT_FRAMES.values()]
    hello, *said = one_by_one(ClientTranslator().decode(r.decode_client_frames(recorded)))
    assert hello == HELLO
    assert [type(message) for message in said] == [
        *(m.Ping, m.Subscribe, m.Publish, m.Publish, m.Publish, m.Claim, m.Ask, m.Ping, m.Ping, m.Ask, m.Ping, m.Ping),
        *(m.Unclaim, m.Unsubscribe, m.Ping),
    ]
    assert said[2] == m.Publish(2, False, m.Publication("hello/alice", HI))
    large = said[3]
    assert isinstance(large, m.Publish)
    assert inflate(large.publication.payload, 20_000) == cbor2.dumps("Hi" * 5000)
    assert said[6] == m.Ask(6, 30_000, "ask/me", cbor2.dumps("name"))


def test_hello_is_said_once(client: RustClient) -> None:
    """The HELLO that a Rust client does not say stands before its first messages only."""
    assert client.translator.decode([]) == []


def test_each_sub_is_a_subscription(client: RustClient) -> None:
    """Subscriptions of one topic are separate, each Unsub ends the oldest, and one more is acknowledged too."""
    kinds = [SUB, SUB, UNSUB, UNSUB, UNSUB]
    *said, ping = client.says(*(r.Control(number, kind, "a") for number, kind in enumerate(kinds)))
    assert said == [
        *(m.Subscribe(1, "a", HUGE, HUGE), m.Subscribe(2, "a", HUGE, HUGE)),
        *(m.Unsubscribe(3, 1), m.Unsubscribe(4, 2)),
    ]
    assert heard_for(client, ping) == [ack(4)]


def test_a_refused_subscription_is_not_there_to_end(client: RustClient) -> None:
    """An Unsub after a refused Sub ends another one of the topic, or none."""
    client.says(r.Control(1, SUB, "a"), r.Control(2, SUB, "a"))
    client.hears(m.Refused(1, v.ErrorCode.PERMISSION_DENIED, "no"))
    assert client.says(r.Control(3, UNSUB, "a")) == [m.Unsubscribe(3, 2)]
    client.hears(m.Refused(2, v.ErrorCode.PERMISSION_DENIED, "no"))
    (ping,) = client.says(r.Control(4, UNSUB, "a"))
    assert heard_for(client, ping) == [ack(4)]


def test_a_claim_and_its_end(client: RustClient) -> None:
    """Srv claims, Unsrv ends that claim, and one that ends nothing is acknowledged all the same."""
    assert client.says(*(r.Control(number, kind, "a") for number, kind in enumerate([SRV, SRV, UNSRV]))) == [
        *(m.Claim(1, "a", 2**31, HUGE), m.Claim(2, "a", 2**31, HUGE), m.Unclaim(3, 1)),
    ]
    client.hears(m.Refused(2, v.ErrorCode.TOPIC_CLAIMED, "no"))
    (ping,) = client.says(r.Control(4, UNSRV, "a"))
    assert heard_for(client, ping) == [ack(4)]


def test_a_repeated_id_gives_the_older_request_up(client: RustClient) -> None:
    """The client waits for one response under one id, so the older of two requests is cancelled and never answered."""
    ask, older, cancel, again, ping = client.says(carrier(9, REQ), carrier(9, REQ))
    assert [ask, cancel, again] == [m.Ask(1, 30_000, "a", b"p"), m.Cancel(1), m.Ask(2, 30_000, "a", b"p")]
    assert heard_for(client, older) == []
    assert heard_for(client, ping) == [ack(9)]
    assert client.hears(m.Response(1, b"old"), m.Response(2, b"new")) == [answer(0, 9, b"new")]


def test_stop_is_refused(client: RustClient) -> None:
    """No program can stop the bus: it is told so."""
    (ping,) = client.says(r.Control(2**32 - 1, r.Kind.STOP))
    text = "programs cannot stop this bus: whoever started it does"
    assert heard_for(client, ping) == [ack(2**32 - 1, "RequestFailed", text)]


@pytest.mark.parametrize("kind", [PUB, REQ])
@pytest.mark.parametrize(
    "data",
    [b"no gzip", gzip.compress(b"p")[:-1], gzip.compress(bytes(r.FRAME))],
    ids=["no gzip", "cut short", "too large"],
)
def test_a_payload_that_cannot_be_inflated_is_refused(client: RustClient, kind: r.Kind, data: bytes) -> None:
    """A malformed payload fails that one publication or request, and the client goes on."""
    (ping,) = client.says(carrier(5, kind, data=data, packed=True))
    (heard,) = heard_for(client, ping)
    assert isinstance(heard, r.Ack)
    assert heard.failure is not None
    assert (heard.operation, heard.failure.name) == (5, "MalformedMessage")


def test_a_compressed_payload_stays_compressed(client: RustClient) -> None:
    """What a Rust client compressed is held, counted and passed on as it travels, in zlib as native clients know it."""
    packed = gzip.compress(LARGE)
    (publish,) = client.says(carrier(1, PUB, data=packed, packed=True))
    ask, _ = client.says(carrier(2, REQ, data=packed, packed=True))
    client.hears(m.Call(70, client.serve(), None, "a", b"p"))
    respond, _ = client.says(answer(5, 1, packed, packed=True))
    assert isinstance(publish, m.Publish)
    assert isinstance(ask, m.Ask)
    assert isinstance(respond, m.Respond)
    for payload in (publish.publication.payload, ask.payload, respond.payload):
        assert isinstance(payload, v.Deflated)
        assert len(payload) < len(packed)
        assert inflate(payload, len(LARGE)) == LARGE


def test_nothing_is_inflated_beyond_the_frame_of_the_bus(client: RustClient) -> None:
    """The WELCOME's frame bounds topic, payload and 64 bytes."""
    client.hears(WELCOME)
    fits = gzip.compress(bytes(10_000 - 64 - len("a")))
    assert [type(said) for said in client.says(carrier(1, PUB, data=fits, packed=True))] == [m.Publish]
    over = gzip.compress(bytes(10_000 - 64))
    assert [type(said) for said in client.says(carrier(1, PUB, data=over, packed=True))] == [m.Ping]


# --- the bus answers


def test_acknowledgements_are_one_by_one(client: RustClient) -> None:
    """A run of acknowledgements is one Ack for each, with a number of recipients for publications alone."""
    client.says(carrier(5, PUB), r.Control(6, SUB, "a"), carrier(7, PUB))
    assert client.hears(m.Accepted(1, (3, 0, 0))) == [ack(5, to=3), ack(6), ack(7, to=0)]
    assert client.hears(m.Accepted(1, (3, 0, 0)), m.Refused(2, v.ErrorCode.LIMIT_EXCEEDED, "")) == []


@pytest.mark.parametrize(
    ("frame", "code", "heard"),
    [
        (carrier(5, REQ), v.ErrorCode.SERVICE_NOT_FOUND, ("ServiceNotFound", "a")),
        (r.Control(5, SRV, "a"), v.ErrorCode.TOPIC_CLAIMED, ("TopicAlreadyClaimed",)),
        (r.Control(5, SRV, "a/*"), v.ErrorCode.INVALID_TOPIC, ("ClaimWildcardNotSupported",)),
        (r.Control(5, SRV, "A"), v.ErrorCode.INVALID_TOPIC, ("InvalidTopicString", "why")),
        (r.Control(5, SUB, "A"), v.ErrorCode.INVALID_TOPIC, ("InvalidTopicString", "why")),
        (carrier(5, PUB), v.ErrorCode.TOPIC_TOO_BROAD, ("RequestFailed", "why")),
        (carrier(5, REQ), v.ErrorCode.SERVICE_BUSY, ("RequestFailed", "why")),
    ],
)
def test_refusals_are_the_crate_s_errors(
    client: RustClient, frame: r.Control | r.Carrier, code: v.ErrorCode, heard: tuple[str, ...]
) -> None:
    """A refusal before anything was accepted is an Ack with the error nearest to it."""
    client.says(frame)
    assert client.hears(m.Refused(1, code, "why")) == [ack(5, *heard)]


def test_a_long_reason_is_cut(client: RustClient) -> None:
    """No reason makes a frame that the client does not take."""
    client.says(carrier(5, REQ))
    assert client.hears(m.Refused(1, v.ErrorCode.REMOTE_ERROR, "w" * 2_000_000)) == [
        ack(5, "RequestFailed", "w" * 1000)
    ]


def test_a_request_that_fails_after_it_was_accepted_times_out(client: RustClient) -> None:
    """Whatever ends a request that was acknowledged is a Timeout, the one other end that the crate has."""
    request, ping = client.ask()
    assert heard_for(client, ping) == [ack(9)]
    assert client.hears(m.Refused(request, v.ErrorCode.SERVICE_GONE, "it left")) == [
        r.Answer(0, 9, r.AnswerStatus.TIMEOUT, r.Body(b"")),
    ]
    assert client.hears(m.Refused(request, v.ErrorCode.SERVICE_GONE, "it left")) == []


def test_a_response_follows_its_acknowledgement(client: RustClient) -> None:
    """A response that comes first brings the acknowledgement with it, which is then not sent again."""
    request, ping = client.ask()
    assert client.hears(m.Response(request, b"yes")) == [ack(9), answer(0, 9, b"yes")]
    assert heard_for(client, ping) == []
    assert client.hears(m.Response(request, b"again")) == []


def test_only_a_request_has_a_response(client: RustClient) -> None:
    """A response to anything else would end the client, so it is not sent."""
    client.says(carrier(5, PUB))
    assert client.hears(m.Response(1, b"p")) == []


def test_what_the_client_has_no_word_for_is_not_said(client: RustClient) -> None:
    """Pings, gaps and the WELCOME are nothing on this wire, and nothing is said in its name for them."""
    assert client.hears(m.Ping(0), m.Gap(1, 1), m.Withdraw(1), WELCOME) == []
    assert client.translator.inbound.take() == []


@pytest.mark.parametrize("message", [m.Goodbye("why"), m.Error("why")])
def test_a_farewell_answers_no_frame(client: RustClient, message: m.ServerMessage) -> None:
    """Why the connection ends is an Ack under an id that no frame of the crate's client has, so it is ignored there."""
    client.says(r.Control(1, SUB, "a"))
    assert client.hears(message) == [ack(0, "RequestFailed", "why")]


# --- deliveries


def test_a_delivery_is_one_pub(client: RustClient) -> None:
    """However many subscriptions it names, a delivery is one Pub, its headers left behind."""
    publication = m.Publication("a/b", b"p", {"k": "v"})
    assert client.hears(m.Deliver((1, 2), publication)) == [carrier(0, PUB, "a/b")]
    assert publication.t2_frame == client.translator.encode_one(m.Deliver((3,), publication))


def test_a_compressed_payload_is_passed_on_in_gzip(client: RustClient) -> None:
    """What came in zlib is gzip for a Rust client, as long as before, and nothing is inflated for it on the way."""
    deflated = deflate(LARGE)
    assert isinstance(deflated, v.Deflated)
    (heard,) = client.hears(m.Deliver((1,), m.Publication("a", deflated)))
    assert isinstance(heard, r.Carrier)
    assert heard.body.is_compressed
    assert gzip.decompress(heard.body.data) == LARGE
    assert len(heard.body.data) == len(deflated.data) + 12


def test_a_plain_payload_is_compressed_only_to_fit(client: RustClient) -> None:
    """A payload of 1 MiB goes through in gzip, a smaller one as it is."""
    plain, packed = client.hears(
        m.Deliver((1,), m.Publication("a", bytes(r.FRAME - 100))), m.Deliver((1,), m.Publication("a", bytes(r.FRAME)))
    )
    assert isinstance(plain, r.Carrier)
    assert isinstance(packed, r.Carrier)
    assert (plain.body.is_compressed, packed.body.is_compressed) == (False, True)


@pytest.mark.parametrize(
    "publication",
    [
        m.Publication("a", os.urandom(r.FRAME)),
        m.Publication("a", v.Deflated(b"no zlib")),
        m.Publication("a", v.Deflated(zlib.compress(bytes(r.FRAME)))),
    ],
    ids=["too large", "malformed", "too large inflated"],
)
def test_what_would_end_the_client_is_withheld(client: RustClient, publication: m.Publication) -> None:
    """A frame over 1 MiB and a broken payload are counted and not sent."""
    assert client.hears(m.Deliver((1,), publication), m.Deliver((1,), publication)) == []
    assert client.translator.withheld == 2


def test_a_response_that_cannot_be_sent_times_out(client: RustClient) -> None:
    """Who waits for a response that is withheld hears of it."""
    request, ping = client.ask()
    heard_for(client, ping)
    heard = client.hears(m.Response(request, os.urandom(r.FRAME)))
    assert heard == [r.Answer(0, 9, r.AnswerStatus.TIMEOUT, r.Body(b""))]
    assert client.translator.withheld == 1


def test_a_call_that_cannot_be_sent_fails(client: RustClient) -> None:
    """A call that is withheld is counted, and failed in the client's name, for its requester waits."""
    service = client.serve()
    assert client.hears(m.Call(70, service, None, "a", os.urandom(r.FRAME))) == []
    assert client.translator.withheld == 1
    (fail,) = client.translator.inbound.take()
    assert isinstance(fail, m.Fail)
    assert (fail.call, fail.code) == (70, v.ErrorCode.REMOTE_ERROR)
    assert client.translator.inbound.take() == []


def test_a_violation_is_raised(client: RustClient) -> None:
    """What is no frame of this wire ends the connection."""
    with pytest.raises(ProtocolViolation):
        r.decode_client_frames([b"\xa0"])


# --- what is said in its name


def test_what_is_written_is_given_back(client: RustClient) -> None:
    """Such a client gives no credit: what was written for each of its subscriptions is given back, once, in one go."""
    client.hears(
        m.Deliver((1, 2), m.Publication("a/b", b"123", {"k": "v"})),
        m.DeliverRun((2,), m.Run("a", [b"1", b"22"])),
    )
    first = len("a/b123kv")
    assert client.translator.inbound.take() == [m.Credit((1, 1, first, 2, 3, first + len("a1a22")))]
    assert client.translator.inbound.take() == []


def test_what_is_withheld_is_given_back_too(client: RustClient) -> None:
    """A delivery that the client could not have borne has used credit as any other."""
    assert client.hears(m.Deliver((1,), m.Publication("a", v.Deflated(b"no zlib")))) == []
    assert client.translator.inbound.take() == [m.Credit((1, 1, len("a") + len(b"no zlib")))]


def test_a_request_is_acknowledged_by_the_ping_that_follows_it(client: RustClient) -> None:
    """The acknowledgement comes when the bus has looked at the request, and once."""
    _, ping = client.ask()
    assert heard_for(client, ping) == [ack(9)]
    assert heard_for(client, ping) == []


def test_a_request_that_is_refused_is_not_acknowledged_again(client: RustClient) -> None:
    """The refusal is the acknowledgement, and the PING behind it says nothing."""
    request, ping = client.ask()
    assert client.hears(m.Refused(request, v.ErrorCode.SERVICE_NOT_FOUND, "no")) == [ack(9, "ServiceNotFound", "a")]
    assert heard_for(client, ping) == []


@pytest.mark.parametrize("most", [10, 2000])
@pytest.mark.parametrize("kind", [SUB, SRV, PUB])
def test_a_topic_that_is_too_long_is_not_looked_at(kind: r.Kind, most: int) -> None:
    """A topic that is longer than the bus allows, however much that is, is refused without being remembered."""
    client = RustClient(topic_length=most)
    fits, over = (
        carrier(5, PUB, topic) if kind is PUB else r.Control(5, kind, topic) for topic in ("a" * most, "a" * (most + 1))
    )
    (said,) = client.says(fits)
    assert not isinstance(said, m.Ping)
    (ping,) = client.says(over)
    text = f"the topic has more than {most} characters (Limits.topic_length)"
    assert heard_for(client, ping) == [ack(5, "InvalidTopicString", text)]
