"""Fuzz what a bus sends to a client: frames, messages, and a session that has one of each kind of operation open.

Whatever comes, the program can take what the session has kept for it, and a bus can read what the client says next.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from client_bytes import FRAME, cut, frames_of
from harness import fuzz
from pure_helpers import one_by_one
from t2bus.disconnected import Disconnected
from t2bus.errors import Lagged, MalformedMessage, ProtocolViolation
from t2bus.limits import Limits
from t2bus.session.outbox import ClientOutbox
from t2bus.session.session import Session
from t2bus.session.subscription_options import SubscriptionOptions
from t2bus.session.unacknowledged import PublisherWindow
from t2bus.wire import messages as m
from t2bus.wire import values as v
from t2bus.wire.compression import inflate
from t2bus.wire.native import FROM_BUS, VERSION, decode_client_messages, decode_server_messages, encode
from wire_corpus import SERVER_MESSAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from t2bus.session.pending import Outcome

LIMITS = Limits(subscription_messages=4, service_requests=2, frame=FRAME)
WELCOME = m.Welcome(VERSION, "a bus", ("zlib",), 1, FRAME, 2 * FRAME, 64, 8, 4, 4, 4, 4, 2000)
BODY: v.EncodedBody = (b"x", v.NO_HEADERS, 70)

CONVERSATION: Sequence[m.ServerMessage] = (
    m.Accepted(1, (0, 0, 0)),
    m.Deliver((1, 2), m.Publication("a", b"x", {"k": "v"})),
    m.DeliverRun((1,), m.Run("a", [b"x", b"y"])),
    m.Gap(1, 3),
    m.Call(9, 3, None, "s", b"q"),
    m.Withdraw(9),
    m.Response(4, b"r"),
    m.Unreached(5, (1,)),
    m.Accepted(5, (2,)),
    m.Accepted(6, (1, 1)),
    m.Ping(7),
    m.Goodbye("bye"),
)

SEEDS = [
    *(b"\0" + encode(message) for message in SERVER_MESSAGES if len(encode(message)) < FRAME),
    *(bytes([size]) + b"".join(map(encode, CONVERSATION)) for size in (0, 1, 7)),
]


def decoded(frames: Sequence[bytes]) -> Sequence[m.ServerMessage]:
    """Return the messages of frames; both ways of reading agree on whether they are any, and which."""
    messages: Sequence[m.ServerMessage] | None
    general: Sequence[m.ServerMessage] | None
    try:
        messages = decode_server_messages(frames)
    except ProtocolViolation:
        messages = None
    try:
        general = FROM_BUS.decode_any(frames)
    except ProtocolViolation:
        general = None
    assert messages == general, "the quick way reads what the general way reads"
    return messages or ()


def open_session() -> Session:
    """Return a session that waits for one of everything: subscriptions 1 and 2, service 3, request 4, and three
    publications.
    """
    outcomes: set[int] = set()

    def done(operation: int, outcome: Outcome) -> None:
        assert operation not in outcomes, "an operation has one outcome"
        outcomes.add(operation)

    session = Session(LIMITS, WELCOME, ClientOutbox(LIMITS.outbox_bytes, FRAME))
    session.subscribe("a", done)
    session.subscribe("a", done, SubscriptionOptions(latest=True))
    session.claim("s", done)
    session.request("t", BODY, None, done)
    session.publish("a", BODY, done)
    for _ in range(2):
        session.stream("a", BODY, PublisherWindow(10, 1000), paced=True)
    return session


def take_all(session: Session) -> None:
    """Take what has come, as the program does, and answer what it asks."""
    for window in session.subscriptions.values():
        while window.waiting:
            item = window.take()
            if not isinstance(item, Lagged):
                with suppress(MalformedMessage):
                    inflate(item.payload, FRAME)
        if window.is_due(1.0):
            session.outbox.grant(window.id, *window.collect(1.0))
    for service in list(session.services.values()):
        while service.waiting:
            session.respond(service, service.take(), BODY)


def run(data: bytes) -> None:
    """Read the bytes in pieces, of the size that the first one says, and feed what they say."""
    if len(data) < 2:
        return
    frames, _ = cut(data[1:], data[0] + 1)
    session = open_session()
    decoded(frames)
    for number, frame in enumerate(frames):
        try:
            session.feed(decoded([frame]))
        except ProtocolViolation:
            break
        if number % 2:
            take_all(session)
    take_all(session)
    said = session.outbox.take()
    heard = decode_client_messages(frames_of(b"".join(map(encode, said)), FRAME))
    assert one_by_one(heard) == one_by_one(said)
    session.close(Disconnected("the end"))
    assert session.unanswered == 0


if __name__ == "__main__":
    fuzz(run, SEEDS)
