"""What the two ends of a connection say to each other: two closed unions of frozen classes.

:data:`ClientMessage` is what a client says, :data:`ServerMessage` what a bus says. A codec turns messages into frames
and back; the in-process transport hands them over as they are. ``docs/wire.md`` specifies each.

Two kinds of numbers name things. The client chooses an *operation id*: it counts them up from 1 and never reuses one on
its connection. A subscription, a service and a request are named by the id of the operation that opened them. For
example ``Subscribe(7, "hello/*", …)`` opens subscription 7: ``Accepted(7, (0,))`` answers it, ``Deliver((7,), …)``
serves it, and ``Unsubscribe(9, 7)`` closes it under an operation id of its own. The bus chooses a *call id*: it names
one request on its way to one responder.

Whoever reads a message has to expect that what it names has ended: the two ends speak at the same time.

The law of this module: values only. No bytes of the wire, no time, no I/O. A payload is opaque.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import define, frozen

from .between_servers import Lapse, Stake
from .publications import MOST_IN_RUN, RUN_SIZE, Publication, Run
from .values import NO_HEADERS, ErrorCode, Headers, Payload

# The names of other modules that are given on from here. What is defined here needs no list.
__all__ = ["MOST_IN_RUN", "RUN_SIZE", "Lapse", "Publication", "Run", "Stake", "carrier"]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attrs import frozen as carrier
else:
    # Messages with payloads are made most often. To refuse changes at run time would make that three times as slow, so
    # only type checkers refuse them.
    carrier = partial(define, unsafe_hash=True)


# --- both ends say


@frozen
class Ping:
    """Ask for a sign of life. The other end answers at once with a :class:`Pong` that has the same token."""

    token: int


@frozen
class Pong:
    """Give the sign of life, with the token of the :class:`Ping`."""

    token: int


@frozen
class Goodbye:
    """Leave on purpose: the last message of this end, after all that it had to say. ``text`` says why."""

    text: str


@frozen
class Error:
    """Close the connection because the other end broke a rule or reached a bound; ``text`` says which."""

    text: str


# --- a client says


@frozen
class Hello:
    """Open the conversation: the version of the wire, the library that speaks, the compressions that it can read, and
    what the program calls itself.

    For example ``Hello(1, "t2bus-python", ("zlib",), "oven")``. A client that names no compression is sent payloads
    inflated. The name is for people: it stands in logs and in what the bus says of itself, and gives no rights.
    """

    version: int
    agent: str
    compressions: tuple[str, ...] = ()
    name: str = ""


@frozen
class Subscribe:
    """Open a subscription whose window has so many messages and ``size`` bytes, or the bus's own if that is less."""

    id: int
    topic: str
    messages: int
    size: int


@frozen
class Unsubscribe:
    """Close a subscription. What was on its way to it may still come."""

    id: int
    subscription: int


@carrier
class Publish:
    """Publish. At a subscription whose window is spent, a ``paced`` publication is held and any other is dropped.

    A paced one is acknowledged when it was delivered or dropped everywhere, any other one at once.
    """

    id: int
    paced: bool
    publication: Publication


@carrier
class PublishRun:
    """Publish these one after the other, under the operation ids ``id``, ``id + 1`` and so on."""

    id: int
    paced: bool
    run: Run


@frozen
class Claim:
    """Serve a topic, with at most so many requests and ``size`` bytes pending. What exceeds that is refused at once."""

    id: int
    topic: str
    requests: int
    size: int


@frozen
class Unclaim:
    """Stop serving. Requests that are pending at the service are refused with ``SERVICE_GONE``, unless the service
    ``finishes``: then they can still be answered, and only new ones find nobody.

    ``service`` is the id of the :class:`Claim`. A second one of a service that finishes ends that too.
    """

    id: int
    service: int
    finishes: bool = False


@carrier
class Ask:
    """Send a request to the service of a topic. ``timeout`` is the caller's deadline in milliseconds from now, if any.

    One :class:`Response` or one :class:`Refused` answers it, unless it is cancelled.
    """

    id: int
    timeout: int | None
    topic: str
    payload: Payload
    headers: Headers = NO_HEADERS


@frozen
class Cancel:
    """Give a request up. The responder is told (:class:`Withdraw`). An answer that is on its way may still come."""

    request: int


@carrier
class Respond:
    """Answer a call. Each call is ended once, by this or by :class:`Fail`."""

    call: int
    payload: Payload
    headers: Headers = NO_HEADERS


@frozen
class Fail:
    """End a call without an answer: ``REMOTE_ERROR`` or ``MALFORMED_MESSAGE``, and what the handler says of it."""

    call: int
    code: ErrorCode
    text: str


@frozen
class Credit:
    """Give back to windows what the program has taken. More than was used fills a window and does not enlarge it.

    For example ``Credit((7, 1, 15, 8, 2, 30))`` gives one message and 15 bytes back to subscription 7, two and 30 to 8.
    The numbers stay as flat as they travel: one read may bring 20,000 triples, and a tuple for each took 64 bytes.
    """

    numbers: tuple[int, ...]

    @property
    def grants(self) -> Iterator[tuple[int, int, int]]:
        """The triples of subscription, messages and bytes, one by one."""
        numbers = iter(self.numbers)
        return zip(numbers, numbers, numbers, strict=True)


# --- a bus says


@frozen
class Welcome:
    """Let the client in: the version, the program that speaks, the compressions in use, and the bounds of the client.

    ``frame`` is the largest frame that the client may send, ``delivery`` the largest that it has to take. The last two
    are the largest window of a subscription: a client must know its window to give credit back before that is spent.
    """

    version: int
    agent: str
    compressions: tuple[str, ...]
    connection: int
    frame: int
    delivery: int
    topic_length: int
    topic_depth: int
    requests: int
    subscriptions: int
    services: int
    subscription_messages: int
    subscription_bytes: int


@frozen
class Accepted:
    """Acknowledge the operations ``first``, ``first + 1`` and so on: one for each count.

    The count of a publication says for how many connections it was accepted; that of any other operation is 0.
    """

    first: int
    counts: tuple[int, ...]


@frozen
class Unreached:
    """Say of the publications ``first``, ``first + 1`` and so on how many connections each should have reached and did
    not: their windows are spent, or they cannot be sent it. It comes before their :class:`Accepted`.
    """

    first: int
    counts: tuple[int, ...]


@frozen
class Refused:
    """Refuse an operation, or end a request without an answer. ``text`` is for people; ``code`` decides."""

    id: int
    code: ErrorCode
    text: str


@carrier
class Deliver:
    """Hand a publication to these subscriptions of the connection.

    They are all that take it at that moment, so that it is sent once, and the client needs no matcher.
    """

    subscriptions: tuple[int, ...]
    publication: Publication


@carrier
class DeliverRun:
    """Hand publications to these subscriptions of the connection, one after the other."""

    subscriptions: tuple[int, ...]
    run: Run


@frozen
class Gap:
    """Tell a subscription that ``dropped`` messages are missing here, behind its last delivery and before the next."""

    subscription: int
    dropped: int


@carrier
class Call:
    """Hand a request to its service; ``timeout`` is that of its :class:`Ask`."""

    id: int
    service: int
    timeout: int | None
    topic: str
    payload: Payload
    headers: Headers = NO_HEADERS


@frozen
class Withdraw:
    """Tell a responder that nobody waits for this call any more. It still has to end the call, for nobody."""

    call: int


@carrier
class Response:
    """Hand the answer to the caller. ``request`` is the id of its :class:`Ask`."""

    request: int
    payload: Payload
    headers: Headers = NO_HEADERS


Operation = Subscribe | Unsubscribe | Publish | PublishRun | Claim | Unclaim | Ask
"""What carries an operation id of its own, and is answered under that."""

Common = Ping | Pong | Goodbye | Error
"""What both ends say."""

ClientMessage = Hello | Operation | Cancel | Respond | Fail | Credit | Common
"""What a client says. The first message is a :class:`Hello`, and nothing follows it before the bus has answered."""

ServerMessage = (
    Welcome | Accepted | Unreached | Refused | Deliver | DeliverRun | Gap | Call | Withdraw | Response | Common
)
"""What a bus says. The first message is a :class:`Welcome`, unless the bus does not let the client in."""

MemberMessage = (
    (Hello | Publish | PublishRun | Subscribe | Unsubscribe | Stake | Unclaim | Call | Withdraw | Lapse)
    | (Accepted | Unreached | Refused | Response)
    | Common
)
"""What the servers of one bus say to each other, a :class:`Hello` first."""
