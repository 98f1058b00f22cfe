"""Fuzz what a client sends: frames, however they are split, messages, and a bus that carries them out.

The bus is a router with a second client, who subscribes to all and serves a topic. Whatever the first one sends, what
the bus says to either can be read, and when both have gone nothing is left of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import fuzz
from pure_helpers import one_by_one
from t2bus.broker.identity import ANONYMOUS
from t2bus.broker.router import Router
from t2bus.errors import ProtocolViolation
from t2bus.limits import Limits
from t2bus.wire import messages as m
from t2bus.wire.framing import FrameDecoder
from t2bus.wire.native import FROM_CLIENT, VERSION, decode_client_messages, decode_server_messages, encode
from t2bus.wire.values import ErrorCode
from wire_corpus import CLIENT_MESSAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from t2bus.broker.peer import Peer

FRAME = 4096
LIMITS = Limits(frame=FRAME, subscription_messages=2, matching_steps=100, turn_steps=50)
HELLO = m.Hello(VERSION, "a fuzzer", ())

OTHER: Sequence[m.ClientMessage] = (
    m.Subscribe(1, "**", 3, 1000),
    m.Subscribe(2, "hello/*", 3, 1000),
    m.Claim(3, "hello", 2, 1000),
)
"""What the second client says before, ``LATER`` what it says after."""
LATER: Sequence[m.ClientMessage] = (
    m.Credit((1, 2, 500)),
    m.Respond(1, b"yes"),
    m.Fail(2, ErrorCode.REMOTE_ERROR, "no"),
    m.Unclaim(9, 3),
)

CONVERSATION: Sequence[m.ClientMessage] = (
    m.Subscribe(1, "a/*", 10, 1000),
    m.Publish(2, False, m.Publication("a/b", b"x", {"k": "v"})),
    m.PublishRun(3, True, m.Run("a/b", [b"x", b"y", b"z"])),
    m.Credit((1, 3, 12)),
    m.Claim(10, "s", 2, 1000),
    m.Ask(11, 5, "s", b"q"),
    m.Respond(1, b"r"),
    m.Ask(12, None, "hello", b"q"),
    m.Cancel(12),
    m.Unsubscribe(13, 1),
    m.Goodbye(""),
)

SEEDS = [
    *(b"\0" + encode(message) for message in CLIENT_MESSAGES if len(encode(message)) < FRAME),
    *(bytes([size]) + b"".join(map(encode, CONVERSATION)) for size in (0, 1, 7)),
    *(b"\0" + bytes.fromhex(body) for body in ("00000000", "ffffffff", "00001000", "000000029f00", "0000000382c100")),
]


def cut(data: bytes, size: int, limit: int = FRAME) -> tuple[list[bytes], bool]:
    """Return the bodies of the frames in pieces of that size, and whether the stream breaks the rules."""
    frames: list[bytes] = []
    decoder = FrameDecoder(limit)
    try:
        for place in range(0, len(data), size):
            frames += map(bytes, decoder.feed(data[place : place + size]))
    except ProtocolViolation:
        return frames, True
    return frames, False


def frames_of(written: bytes, limit: int) -> list[bytes]:
    """Return the bodies of frames of our own, which break no rule."""
    frames, is_broken = cut(written, len(written) or 1, limit)
    assert not is_broken
    return frames


def decoded(frames: Sequence[bytes]) -> Sequence[m.ClientMessage]:
    """Return the messages of frames; both ways of reading agree on whether they are any, and which."""
    messages: Sequence[m.ClientMessage] | None
    general: Sequence[m.ClientMessage] | None
    try:
        messages = decode_client_messages(frames)
    except ProtocolViolation:
        messages = None
    try:
        general = FROM_CLIENT.decode_any(frames)
    except ProtocolViolation:
        general = None
    assert messages == general, "the quick way reads what the general way reads"
    return messages or ()


def say(router: Router, peer: Peer, messages: Sequence[m.ClientMessage], now: float) -> bool:
    """Carry messages out, turn by turn; tell whether the peer has kept to the rules."""
    while messages:
        try:
            messages = router.feed(peer, messages, now)
        except ProtocolViolation:
            return False
        router.take_dirty()
        waiting = peer.outbox.take()
        heard = decode_server_messages(frames_of(b"".join(map(encode, waiting)), 2 * FRAME))
        assert one_by_one(heard) == one_by_one(waiting)
        router.written(peer)
    return True


def run(data: bytes) -> None:
    """Read the bytes in pieces, of the size that the first one says, and carry out what they say."""
    if len(data) < 2:
        return
    size, data = data[0] + 1, data[1:]
    whole, pieces = cut(data, len(data)), cut(data, size)
    assert pieces[1] is whole[1]
    assert whole[0] in (pieces[0], []), "a stream is cut alike however it comes"
    router = Router(LIMITS)
    peer, other = (router.connect(HELLO, ANONYMOUS) for _ in range(2))
    assert say(router, other, OTHER, 0.0)
    for frame in pieces[0]:
        if not say(router, peer, decoded([frame]), 1.0) or peer.ending is not None:
            break
    decoded(pieces[0])
    say(router, other, LATER, 2.0)
    router.expire(1000.0)
    router.take_events()
    for each in (peer, other):
        router.disconnect(each)
    router.take_dirty()
    assert router.is_empty


if __name__ == "__main__":
    fuzz(run, SEEDS)
