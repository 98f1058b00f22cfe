"""The Rust crate's frames as it wrote them, and what the tests of its wire share.

They were recorded between a client and a bus of the crate, and between the crate's bus and frames by hand for the
errors; versions 0.1.0 and 0.2.0 wrote the same bytes. A bus counts its frames, which are their ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cbor2
from hypothesis import strategies as st

from t2bus.rust import frames as r
from t2bus.rust.client_translator import ClientTranslator
from t2bus.topic import LENGTH
from t2bus.wire import messages as m
from t2bus.wire.framing import HEADER_SIZE, FrameDecoder
from t2bus.wire.native import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence


REQ = r.Kind.REQ
HELLO = m.Hello(VERSION, "t2_bus", ())
"""What the translator says for a client of the crate, which has no word for it."""

HI, NAME, BOB, X = (cbor2.dumps(text) for text in ("Hi", "name", "Bob", "x"))
MANY_HI = bytes.fromhex(
    "1f8b08000000000000ffedc1810c0000080440852c52492584ece3f8ed76d7350b000000000000000000f91e7a2babbd13270000"
)
"""5,000 times "Hi" as a text, in gzip."""

CLIENT_FRAMES: dict[str, tuple[bytes, r.Control | r.Carrier | r.Answer]] = {
    "KeepAlive": (
        bytes.fromhex("a26269640167636f6e74656e74694b656570416c697665"),
        r.Control(1, r.Kind.KEEP_ALIVE),
    ),
    "Sub": (
        bytes.fromhex("a26269640267636f6e74656e74a163537562a165746f7069636868656c6c6f2f2a2a"),
        r.Control(2, r.Kind.SUB, "hello/**"),
    ),
    "Pub": (
        bytes.fromhex(
            "a26269640367636f6e74656e74a163507562a265746f7069636b68656c6c6f2f616c696365677061796c6f6164a264646174"
            "61831862184818696d69735f636f6d70726573736564f4"
        ),
        r.Carrier(3, r.Kind.PUB, "hello/alice", r.Body(HI)),
    ),
    "Pub compressed": (
        bytes.fromhex(
            "a26269640467636f6e74656e74a163507562a265746f7069636b68656c6c6f2f616c696365677061796c6f6164a264646174"
            "619834181f188b0800000000000018ff18ed18c118810c0000080418401885182c185218491825188418ec18e318f818ed18"
            "7618d718350b00000000000000000018f9181e187a182b18ab18bd13182700006d69735f636f6d70726573736564f5"
        ),
        r.Carrier(4, r.Kind.PUB, "hello/alice", r.Body(MANY_HI, is_compressed=True)),
    ),
    "Pub of all bytes": (
        bytes.fromhex(
            "a26269640567636f6e74656e74a163507562a265746f7069636762797465732f78677061796c6f6164a26464617461990100"
            "000102030405060708090a0b0c0d0e0f101112131415161718181819181a181b181c181d181e181f18201821182218231824"
            "18251826182718281829182a182b182c182d182e182f1830183118321833183418351836183718381839183a183b183c183d"
            "183e183f1840184118421843184418451846184718481849184a184b184c184d184e184f1850185118521853185418551856"
            "185718581859185a185b185c185d185e185f1860186118621863186418651866186718681869186a186b186c186d186e186f"
            "1870187118721873187418751876187718781879187a187b187c187d187e187f188018811882188318841885188618871888"
            "1889188a188b188c188d188e188f1890189118921893189418951896189718981899189a189b189c189d189e189f18a018a1"
            "18a218a318a418a518a618a718a818a918aa18ab18ac18ad18ae18af18b018b118b218b318b418b518b618b718b818b918ba"
            "18bb18bc18bd18be18bf18c018c118c218c318c418c518c618c718c818c918ca18cb18cc18cd18ce18cf18d018d118d218d3"
            "18d418d518d618d718d818d918da18db18dc18dd18de18df18e018e118e218e318e418e518e618e718e818e918ea18eb18ec"
            "18ed18ee18ef18f018f118f218f318f418f518f618f718f818f918fa18fb18fc18fd18fe18ff6d69735f636f6d7072657373"
            "6564f4"
        ),
        r.Carrier(5, r.Kind.PUB, "bytes/x", r.Body(bytes(range(256)))),
    ),
    "Srv": (
        bytes.fromhex("a26269640667636f6e74656e74a163537276a165746f7069636661736b2f6d65"),
        r.Control(6, r.Kind.SRV, "ask/me"),
    ),
    "Req": (
        bytes.fromhex(
            "a26269640767636f6e74656e74a163526571a265746f7069636661736b2f6d65677061796c6f6164a2646461746185186418"
            "6e1861186d18656d69735f636f6d70726573736564f4"
        ),
        r.Carrier(7, r.Kind.REQ, "ask/me", r.Body(NAME)),
    ),
    "Rsp": (
        bytes.fromhex(
            "a26269640867636f6e74656e74a163527370a3667265715f69641566737461747573624f6b677061796c6f6164a264646174"
            "618418631842186f18626d69735f636f6d70726573736564f4"
        ),
        r.Answer(8, 21, r.AnswerStatus.OK, r.Body(BOB)),
    ),
    "Req to nobody": (
        bytes.fromhex(
            "a26269640967636f6e74656e74a163526571a265746f7069636a61736b2f6e6f626f6479677061796c6f6164a26464617461"
            "82186118786d69735f636f6d70726573736564f4"
        ),
        r.Carrier(9, r.Kind.REQ, "ask/nobody", r.Body(X)),
    ),
    "Rsp to nobody": (
        bytes.fromhex(
            "a26269640a67636f6e74656e74a163527370a3667265715f6964184d66737461747573624f6b677061796c6f6164a2646461"
            "746182186118786d69735f636f6d70726573736564f4"
        ),
        r.Answer(10, 77, r.AnswerStatus.OK, r.Body(X)),
    ),
    "Unsrv": (
        bytes.fromhex("a26269640b67636f6e74656e74a165556e737276a165746f7069636661736b2f6d65"),
        r.Control(11, r.Kind.UNSRV, "ask/me"),
    ),
    "Unsub": (
        bytes.fromhex("a26269640c67636f6e74656e74a165556e737562a165746f7069636868656c6c6f2f2a2a"),
        r.Control(12, r.Kind.UNSUB, "hello/**"),
    ),
    "Stop": (
        bytes.fromhex("a26269640d67636f6e74656e746453746f70"),
        r.Control(13, r.Kind.STOP),
    ),
}
"""Bodies of frames from a client, and what they mean."""

SERVER_FRAMES: dict[str, tuple[bytes, r.Carrier | r.Answer | r.Ack]] = {
    "Ack": (
        bytes.fromhex(
            "a26269640b67636f6e74656e74a16341636ba3666d73675f69640163657272f66e6e756d5f726563697069656e7473f6"
        ),
        r.Ack(11, 1, None, None),
    ),
    "Pub": (
        bytes.fromhex(
            "a26269640e67636f6e74656e74a163507562a265746f7069636b68656c6c6f2f616c696365677061796c6f6164a264646174"
            "61831862184818696d69735f636f6d70726573736564f4"
        ),
        r.Carrier(14, r.Kind.PUB, "hello/alice", r.Body(HI)),
    ),
    "Pub compressed": (
        bytes.fromhex(
            "a26269641067636f6e74656e74a163507562a265746f7069636b68656c6c6f2f616c696365677061796c6f6164a264646174"
            "619834181f188b0800000000000018ff18ed18c118810c0000080418401885182c185218491825188418ec18e318f818ed18"
            "7618d718350b00000000000000000018f9181e187a182b18ab18bd13182700006d69735f636f6d70726573736564f5"
        ),
        r.Carrier(16, r.Kind.PUB, "hello/alice", r.Body(MANY_HI, is_compressed=True)),
    ),
    "Ack of a Pub": (
        bytes.fromhex(
            "a26269640f67636f6e74656e74a16341636ba3666d73675f69640363657272f66e6e756d5f726563697069656e747302"
        ),
        r.Ack(15, 3, None, 2),
    ),
    "Ack of a Pub to nobody": (
        bytes.fromhex(
            "a26269641367636f6e74656e74a16341636ba3666d73675f69640563657272f66e6e756d5f726563697069656e747300"
        ),
        r.Ack(19, 5, None, 0),
    ),
    "Req": (
        bytes.fromhex(
            "a26269641567636f6e74656e74a163526571a265746f7069636661736b2f6d65677061796c6f6164a2646461746185186418"
            "6e1861186d18656d69735f636f6d70726573736564f4"
        ),
        r.Carrier(21, r.Kind.REQ, "ask/me", r.Body(NAME)),
    ),
    "Rsp": (
        bytes.fromhex(
            "a26269641767636f6e74656e74a163527370a3667265715f69640766737461747573624f6b677061796c6f6164a264646174"
            "618418631842186f18626d69735f636f6d70726573736564f4"
        ),
        r.Answer(23, 7, r.AnswerStatus.OK, r.Body(BOB)),
    ),
    "Rsp after 30 s": (
        bytes.fromhex(
            "a26269640a67636f6e74656e74a163527370a3667265715f69641a00011170667374617475736754696d656f757467706179"
            "6c6f6164a26464617461806d69735f636f6d70726573736564f4"
        ),
        r.Answer(10, 70_000, r.AnswerStatus.TIMEOUT, r.Body(b"")),
    ),
    "Ack of a Req with a large id": (
        bytes.fromhex(
            "a26269640867636f6e74656e74a16341636ba3666d73675f69641a0001117063657272f66e6e756d5f726563697069656e7473f6"
        ),
        r.Ack(8, 70_000, None, None),
    ),
    "ServiceNotFound": (
        bytes.fromhex(
            "a2626964181967636f6e74656e74a16341636ba3666d73675f69640963657272a16f536572766963654e6f74466f756e646a"
            "61736b2f6e6f626f64796e6e756d5f726563697069656e7473f6"
        ),
        r.Ack(25, 9, r.Failure("ServiceNotFound", ("ask/nobody",)), None),
    ),
    "InvalidRequestId": (
        bytes.fromhex(
            "a2626964181a67636f6e74656e74a16341636ba3666d73675f69640a6365727270496e76616c69645265717565737449646e"
            "6e756d5f726563697069656e7473f6"
        ),
        r.Ack(26, 10, r.Failure("InvalidRequestId"), None),
    ),
    "InvalidTopicString": (
        bytes.fromhex(
            "a26269640067636f6e74656e74a16341636ba3666d73675f69640163657272a172496e76616c6964546f706963537472696e"
            "677819496e76616c696420746f70696320737472696e673a20412f626e6e756d5f726563697069656e7473f6"
        ),
        r.Ack(0, 1, r.Failure("InvalidTopicString", ("Invalid topic string: A/b",)), None),
    ),
    "ClaimWildcardNotSupported": (
        bytes.fromhex(
            "a26269640167636f6e74656e74a16341636ba3666d73675f696402636572727819436c61696d57696c64636172644e6f7453"
            "7570706f727465646e6e756d5f726563697069656e7473f6"
        ),
        r.Ack(1, 2, r.Failure("ClaimWildcardNotSupported"), None),
    ),
    "TopicAlreadyClaimed": (
        bytes.fromhex(
            "a26269640367636f6e74656e74a16341636ba3666d73675f6964046365727273546f706963416c7265616479436c61696d65"
            "646e6e756d5f726563697069656e7473f6"
        ),
        r.Ack(3, 4, r.Failure("TopicAlreadyClaimed"), None),
    ),
}
"""The same from a bus."""


def written(meaning: r.Control | r.Carrier | r.Answer | r.Ack) -> bytes:
    """Return the frame that we write for this, its length in front."""
    match meaning:
        case r.Control(number, kind, topic):
            return r.encode_control(number, kind, topic)
        case r.Carrier(number, kind, topic, body):
            return r.encode_carrier(number, kind, topic, body)
        case r.Answer(number, request, status, body):
            return r.encode_answer(request, status, number, body)
        case r.Ack(_, operation, failure, recipients):
            return r.encode_ack(operation, failure, recipients)


def carrier(number: int, kind: r.Kind, topic: str = "a", data: bytes = b"p", *, packed: bool = False) -> r.Carrier:
    return r.Carrier(number, kind, topic, r.Body(data, packed))


def answer(number: int, request: int, data: bytes = b"p", *, packed: bool = False) -> r.Answer:
    return r.Answer(number, request, r.AnswerStatus.OK, r.Body(data, packed))


def ack(operation: int, name: str | None = None, *details: str, to: int | None = None) -> r.Ack:
    return r.Ack(0, operation, None if name is None else r.Failure(name, details), to)


def spelt(meaning: r.Carrier | r.Answer) -> dict[str, Any]:
    """Return what the crate would write for this: a payload is an array of numbers there."""
    payload = {"data": list(meaning.body.data), "is_compressed": meaning.body.is_compressed}
    fields: dict[str, object]
    if isinstance(meaning, r.Carrier):
        kind, fields = meaning.kind.value, {"topic": meaning.topic, "payload": payload}
    else:
        kind, fields = "Rsp", {"req_id": meaning.request, "status": meaning.status.value, "payload": payload}
    return {"id": meaning.id, "content": {kind: fields}}


class RustClient:
    """The bus's translator of a client of the crate that has said its first frame, and frames of both as values."""

    def __init__(self, topic_length: int = LENGTH) -> None:
        self.translator = ClientTranslator(topic_length=topic_length)
        (hello,) = self.translator.decode([])
        assert hello == HELLO

    def says(self, *frames: r.Control | r.Carrier | r.Answer) -> list[m.ClientMessage]:
        return self.translator.decode(r.decode_client_frames([written(frame)[HEADER_SIZE:] for frame in frames]))

    def hears(self, *messages: m.ServerMessage) -> list[r.Carrier | r.Answer | r.Ack]:
        data = b"".join(map(self.translator.encode_one, messages))
        return r.decode_server_frames(FrameDecoder(r.FRAME).feed(data))

    def serve(self, topic: str = "a") -> int:
        (claim,) = self.says(r.Control(1, r.Kind.SRV, topic))
        assert isinstance(claim, m.Claim)
        self.hears(m.Accepted(claim.id, (0,)))
        return claim.id

    def ask(self, number: int = 9) -> tuple[int, m.Ping]:
        """Ask, and return the id of the operation and the PING that acknowledges it."""
        *_, request, ping = self.says(carrier(number, REQ))
        assert isinstance(request, m.Ask)
        assert isinstance(ping, m.Ping)
        return request.id, ping


def heard_for(client: RustClient, message: m.ClientMessage) -> Sequence[r.Carrier | r.Answer | r.Ack]:
    """Answer a PING as the bus does."""
    assert isinstance(message, m.Ping)
    return client.hears(m.Pong(message.token))


# --- anything, for Hypothesis

ids = st.sampled_from([0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1]) | st.integers(0, 2**32 - 1)
topics = st.text("ab0_*/", max_size=30) | st.sampled_from(["a" * 23, "a" * 24, "a" * 255, "a" * 256, "a" * 65_536])
bodies = st.builds(r.Body, st.binary(max_size=300) | st.text("\x17\x18\x19").map(str.encode), st.booleans())

_carriers = st.builds(r.Carrier, ids, st.sampled_from([r.Kind.PUB, r.Kind.REQ]), topics, bodies)
_answers = st.builds(r.Answer, ids, ids, st.sampled_from(r.AnswerStatus), bodies)
any_carrier: st.SearchStrategy[r.Carrier | r.Answer] = _carriers | _answers
_topical = st.builds(
    r.Control, ids, st.sampled_from([r.Kind.SUB, r.Kind.UNSUB, r.Kind.SRV, r.Kind.UNSRV]), topics | st.text()
)
_bare = st.builds(r.Control, ids, st.sampled_from([r.Kind.STOP, r.Kind.KEEP_ALIVE]))
any_client_frame: st.SearchStrategy[r.Control | r.Carrier | r.Answer] = any_carrier | _topical | _bare
_details = st.lists(ids | st.text(), max_size=3).map(tuple)
_failures = st.none() | st.builds(r.Failure, st.text(min_size=1), _details)
_acks = st.builds(r.Ack, st.just(0), ids, _failures, st.none() | st.integers(0, 2**64 - 1))
any_server_frame: st.SearchStrategy[r.Carrier | r.Answer | r.Ack] = any_carrier | _acks
