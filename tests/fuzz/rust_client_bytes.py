"""Fuzz what a client of the Rust crate sends: frames, their translation, and a bus that carries them out.

Another client of the crate is there, who subscribes and serves. Whatever the first one sends, each can read what it is
sent, and when both have gone nothing is left of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from client_bytes import cut, frames_of
from harness import fuzz
from rust_corpus import CLIENT_FRAMES, HELLO, SERVER_FRAMES
from t2bus.broker.identity import ANONYMOUS
from t2bus.broker.router import Router
from t2bus.errors import ProtocolViolation
from t2bus.limits import Limits
from t2bus.rust import frames as r
from t2bus.rust.client_translator import ClientTranslator
from t2bus.rust.crate_transport import MOST_DEEP
from t2bus.wire.framing import frame as framed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from t2bus.wire import messages as m

FRAME = 4096
LIMITS = Limits(frame=FRAME, matching_steps=100, turn_steps=50, topic_length=64)

OTHER = [r.encode_control(1, r.Kind.SUB, "**"), r.encode_control(2, r.Kind.SRV, "ask/me")]
"""What the second client says before, ``LATER`` what it says after."""
LATER = [
    r.encode_answer(1, r.AnswerStatus.OK, 3, r.Body(b"yes")),
    r.encode_answer(2, r.AnswerStatus.TIMEOUT, 4, r.Body(b"")),
    r.encode_control(5, r.Kind.UNSRV, "ask/me"),
]

SEEDS = [
    *(b"\0" + framed(body) for table in (CLIENT_FRAMES, SERVER_FRAMES) for body, _ in table.values()),
    *(bytes([size]) + b"".join(framed(body) for body, _ in CLIENT_FRAMES.values()) for size in (0, 1, 7)),
    b"\0" + r.encode_carrier(1, r.Kind.PUB, "a/b", r.Body(b"plain")),
    b"\0" + r.encode_carrier(1, r.Kind.REQ, "ask/me", r.Body(b"\x1f\x8b\x08", is_compressed=True)),
]


class RustPeer:
    """A client of the crate at a router, joined by its translator as a transport and a task do it."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self.translator = ClientTranslator(FRAME, LIMITS.topic_length)
        self.translator.decode([])
        self.peer = router.connect(HELLO, ANONYMOUS, tells_gaps=False, pings=False, deep=MOST_DEEP)

    def say(self, frame: bytes) -> None:
        """Read a frame of the client and carry out what it says; raise ``ProtocolViolation`` as that does."""
        self._feed(self.translator.decode(r.decode_client_frames([frame])))

    def _feed(self, messages: Sequence[m.ClientMessage]) -> None:
        while messages:
            messages = self.router.feed(self.peer, messages, 1.0)
            self.hear()

    def hear(self) -> None:
        """Write what waits, which the client can read; then say what follows from that."""
        self.router.take_dirty()
        written = b"".join(map(self.translator.encode_one, self.peer.outbox.take()))
        self.router.written(self.peer)
        r.decode_server_frames(frames_of(written, r.FRAME))
        if inbound := self.translator.inbound.take():
            self._feed(inbound)


def run(data: bytes) -> None:
    """Read the bytes in pieces, of the size that the first one says, and carry out what they say."""
    if len(data) < 2:
        return
    router = Router(LIMITS)
    client, other = RustPeer(router), RustPeer(router)
    for body in OTHER:
        other.say(body[4:])
    try:
        for frame in cut(data[1:], data[0] + 1)[0]:
            client.say(frame)
            other.hear()
    except ProtocolViolation:
        pass
    for body in LATER:
        other.say(body[4:])
    client.hear()
    router.expire(1000.0)
    router.take_events()
    for each in (client, other):
        router.disconnect(each.peer)
    router.take_dirty()
    assert router.is_empty


if __name__ == "__main__":
    fuzz(run, SEEDS)
