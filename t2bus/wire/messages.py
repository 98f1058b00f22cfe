"""What two ends of a connection can say to each other: two closed unions of frozen classes.

:data:`ClientMessage` is what a client says and :data:`ServerMessage` what a bus says; :class:`Ping`, :class:`Pong`,
:class:`Goodbye` and :class:`Error` belong to both. The classes know nothing of bytes: a codec turns them into
frames and back, and the in-process transport hands them over as they are. ``docs/wire.md`` specifies each.

Two numbers run through them. An *operation id* is chosen by the client, counts up from 1 and is never reused on its
connection; a subscription, a service and a request are named by the id of the operation that opened them. A *call id*
is chosen by the bus and names one request on its way to one responder.

The law of this module: values only. No bytes of the wire, no time, no I/O; a payload is opaque.
"""

from __future__ import annotations

import enum
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, frozen

from .publications import MOST_IN_RUN, RUN_SIZE, Publication, Run
from .values import NO_HEADERS, ErrorCode, Headers, Payload

__all__ = [
    "MOST_IN_RUN",
    "RUN_SIZE",
    "Accepted",
    "Ask",
    "Call",
    "Cancel",
    "Claim",
    "ClientMessage",
    "Credit",
    "Deliver",
    "DeliverRun",
    "Dialect",
    "Error",
    "Fail",
    "Gap",
    "Goodbye",
    "Hello",
    "Ping",
    "Pong",
    "Publication",
    "Publish",
    "PublishRun",
    "Refused",
    "Respond",
    "Response",
    "Run",
    "ServerMessage",
    "Subscribe",
    "Unclaim",
    "Unsubscribe",
    "Welcome",
    "Withdraw",
]


if TYPE_CHECKING:
    from attrs import frozen as carrier
else:
    # What carries a payload is made most. To refuse changes while the program runs makes that three times as slow, so
    # it is type checkers that see to it.
    carrier = partial(define, unsafe_hash=True)


class Dialect(enum.Enum):
    """The wire that a client speaks: the native one, or that of the Rust crate ``t2_bus``."""

    NATIVE = "t2bus/1"
    T2 = "t2_bus"


# --- both ways


@frozen
class Ping:
    """Ask for a sign of life; answered by a :class:`Pong` with the same token."""

    token: int


@frozen
class Pong:
    """The sign of life."""

    token: int


@frozen
class Goodbye:
    """The sender ends the connection on purpose once what it sent before has been written."""

    text: str


@frozen
class Error:
    """The sender closes the connection because the receiver broke a rule or reached a bound; ``text`` says which."""

    text: str


# --- a client speaks


@frozen
class Hello:
    """Open the conversation: the version of the wire, who speaks, and the compressions that this end can read.

    ``dialect`` never travels: a codec whose wire has no HELLO says so in the one that it makes up.
    """

    version: int
    agent: str
    compressions: tuple[str, ...] = ()
    dialect: Dialect = Dialect.NATIVE


@frozen
class Subscribe:
    """Open a subscription with a credit window of that many messages and bytes."""

    id: int
    topic: str
    messages: int
    size: int


@frozen
class Unsubscribe:
    """Close a subscription."""

    id: int
    subscription: int


@carrier
class Publish:
    """Publish; ``paced`` asks to be held rather than dropped where a window is spent."""

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
    """Serve a topic, with at most that many requests and bytes pending."""

    id: int
    topic: str
    requests: int
    size: int


@frozen
class Unclaim:
    """Stop serving."""

    id: int
    service: int


@carrier
class Ask:
    """Ask the service of a topic; ``timeout`` is the caller's deadline in milliseconds from now, if it has one."""

    id: int
    timeout: int | None
    topic: str
    payload: Payload
    headers: Headers = NO_HEADERS


@frozen
class Cancel:
    """Give a request up; nothing answers it any more."""

    request: int


@carrier
class Respond:
    """Answer a call."""

    call: int
    payload: Payload
    headers: Headers = NO_HEADERS


@frozen
class Fail:
    """End a call without an answer: ``REMOTE_ERROR`` or ``MALFORMED_MESSAGE``, and what the handler says."""

    call: int
    code: ErrorCode
    text: str


@frozen
class Credit:
    """Give back what the program took: triples of subscription, messages and bytes."""

    grants: tuple[tuple[int, int, int], ...]


# --- a bus speaks


@frozen
class Welcome:
    """Let the client in: the version, who speaks, the compressions in use, and what the client has to keep within.

    ``frame`` is the largest frame the client may send, ``delivery`` the largest it has to take. The last two are the
    largest window of a subscription: the client must know what its window is, to give credit back before it is spent.
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
    """Acknowledge the operations ``first``, ``first + 1`` and so on, each with its number of receiving connections."""

    first: int
    counts: tuple[int, ...]


@frozen
class Refused:
    """Refuse an operation, or end a request without an answer."""

    id: int
    code: ErrorCode
    text: str


@carrier
class Deliver:
    """Hand a publication to these subscriptions of the connection."""

    subscriptions: tuple[int, ...]
    publication: Publication


@carrier
class DeliverRun:
    """Hand publications to these subscriptions of the connection, one after the other."""

    subscriptions: tuple[int, ...]
    run: Run


@frozen
class Gap:
    """Tell a subscription that ``dropped`` messages are missing at this place of its stream."""

    subscription: int
    dropped: int


@carrier
class Call:
    """Hand a request to its service."""

    id: int
    service: int
    timeout: int | None
    topic: str
    payload: Payload
    headers: Headers = NO_HEADERS


@frozen
class Withdraw:
    """Tell a responder that nobody waits for this call any more. It still has to be ended by Respond or Fail."""

    call: int


@carrier
class Response:
    """Answer a request."""

    request: int
    payload: Payload
    headers: Headers = NO_HEADERS


ClientMessage = (
    Hello
    | Subscribe
    | Unsubscribe
    | Publish
    | PublishRun
    | Claim
    | Unclaim
    | Ask
    | Cancel
    | Respond
    | Fail
    | Credit
    | Ping
    | Pong
    | Goodbye
    | Error
)
ServerMessage = (
    Welcome
    | Accepted
    | Refused
    | Deliver
    | DeliverRun
    | Gap
    | Call
    | Withdraw
    | Response
    | Ping
    | Pong
    | Goodbye
    | Error
)
