"""Fuzz what a bus of the Rust crate sends to a client of this package: frames, their translation, and a session."""

from __future__ import annotations

from bus_bytes import open_session, take_all
from client_bytes import FRAME, cut, frames_of
from harness import fuzz
from rust_corpus import CLIENT_FRAMES, SERVER_FRAMES
from t2bus.disconnected import Disconnected
from t2bus.errors import ProtocolViolation
from t2bus.limits import Limits
from t2bus.rust import frames as r
from t2bus.rust.bus_translator import BusTranslator
from t2bus.wire.framing import frame as framed

LIMITS = Limits(frame=FRAME, subscription_messages=4, service_requests=2)

ACKS = b"".join(r.encode_ack(number, None, 1) for number in range(1, 9))
"""Of all that the session says at first."""

CONVERSATION = [
    *(r.encode_carrier(1, kind, topic, r.Body(b"x")) for kind in (r.Kind.PUB, r.Kind.REQ) for topic in ("a", "s")),
    r.encode_answer(4, r.AnswerStatus.OK, 3, r.Body(b"yes")),
    r.encode_answer(4, r.AnswerStatus.TIMEOUT, 3, r.Body(b"")),
    *(r.encode_ack(number, r.Failure("ServiceNotFound", ("a", 7))) for number in range(5)),
]

SEEDS = [
    *(b"\0" + framed(body) for table in (SERVER_FRAMES, CLIENT_FRAMES) for body, _ in table.values()),
    *(b"\0" + ACKS + each for each in CONVERSATION),
    b"\7" + ACKS + b"".join(CONVERSATION),
]


def run(data: bytes) -> None:
    """Read the bytes in pieces, of the size that the first one says, and feed what they say."""
    if len(data) < 2:
        return
    session, translator = open_session(), BusTranslator(LIMITS)

    def write() -> None:
        written = b"".join(map(translator.encode_one, session.outbox.take()))
        session.outbox.written()
        r.decode_client_frames(frames_of(written, r.FRAME))

    write()
    for frame in cut(data[1:], data[0] + 1, r.FRAME)[0]:
        try:
            session.feed(translator.decode(r.decode_server_frames([frame])))
        except ProtocolViolation:
            break
        take_all(session)
        write()
    session.close(Disconnected("the end"))
    assert session.unanswered == 0


if __name__ == "__main__":
    fuzz(run, SEEDS)
