"""The kinds of messages of the native wire, one row each.

A row says all there is about a kind: its number, who says it, its class, and its elements. These stand in the order of
the wire, each under the name of its field in the class. For example::

    Row(23, BUS, m.Gap, {"subscription": UINT, "dropped": UINT})

is ``[23, 7, 2]`` on the wire and ``Gap(subscription=7, dropped=2)`` in a program. The decoder and the encoder are made
from the rows (:mod:`.native`), and a test holds the table in ``docs/wire.md`` to them.

As a rule a field of the message is one element, such as a number or a text (:class:`Element`). The last field may be
made of all elements that are left (:class:`Rest`): in ``[20, 7, 1, 0, 3]``, which is ``Accepted(7, (1, 0, 3))``, the
three counts are.

The CBOR reader has refused what is not well formed. It says nothing of types, so each element has a check. Checks are
exact: ``True`` is no number and bytes are no text. A message therefore always holds what its annotations say.

The kinds that pass once for each payload are decoded and encoded by functions written by hand as well, which takes a
third of the time. Their rows name these functions. They do what the row says and nothing else.

The law of this module: a check takes whatever the CBOR reader may return. It returns a field of a message or raises
:class:`~t2bus.errors.ProtocolViolation`, nothing else. And since peers of other versions speak this wire, a number is
never given to another kind, and the elements of a kind never change; but for an optional one at the end.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from attrs import frozen

from ..errors import ProtocolViolation
from . import fast_decoders as d
from . import fast_encoders as e
from . import messages as m
from . import values as v
from .cbor import encode_head


class Sender(enum.Enum):
    """Who says a kind of message. What comes from the other end is a violation."""

    CLIENT = "client"
    BUS = "bus"
    BOTH = "both"
    MEMBER = "server"
    """A server, to another of its bus. It says much of what the others say too."""


@frozen
class Element:
    """A field that is one element."""

    form: str
    """The type as ``docs/wire.md`` writes it. It is left out there for ``uint``, which most elements are."""
    check: Callable[[Any], Any]
    """Returns the field for the CBOR item."""
    plain: Callable[[Any], object] | None = None
    """Returns the CBOR item for the field; None where the field is one itself."""


@frozen
class Rest:
    """A field that is made of all elements that are left, of which there are ``least`` to ``most``."""

    form: str
    """The elements as ``docs/wire.md`` writes them."""
    least: int
    most: int | None
    """How many they are at most; None for any number."""
    check: Callable[[list[Any]], Any]
    """Returns the field for the CBOR items. Their number was checked."""
    plain: Callable[[Any], Iterable[object]]
    """Returns the CBOR items for the field."""


Elements = dict[str, Element | Rest]
"""What travels of a class, by the names of its fields, in the order of the wire."""


@frozen
class Row:
    """What one kind of message looks like on the wire.

    To add a kind, write its class into :mod:`.messages` and into the unions there, give it a row with the next number,
    and say in the router or the session what follows from it. The test of the page prints the new table.
    """

    number: int
    sender: Sender
    message: type[Any]
    elements: Elements
    """Only the last one may be a :class:`Rest`."""
    decode: Callable[[Any], Any] | None = None
    """The function of :mod:`.fast_decoders`, if there is one: a frame to the message."""
    encode: Callable[[Any], e.Parts] | None = None
    """The function of :mod:`.fast_encoders`, if there is one: a message to its frame in parts."""
    make: Callable[..., Any] | None = None
    """What makes the message of its fields, where that is not the class: it looks at several fields together."""

    @property
    def least(self) -> int:
        """The fewest elements, beside the kind itself."""
        return sum(element.least if isinstance(element, Rest) else 1 for element in self.elements.values())

    @property
    def most(self) -> int | None:
        """The most elements; None for any number."""
        *_, last = self.elements.values()
        if not isinstance(last, Rest):
            return self.least
        return None if last.most is None else self.least - last.least + last.most

    @property
    def opening(self) -> bytes:
        """How a frame for ``decode`` begins: the head of the shortest array, and the first byte of the number.

        For example ``83 18`` for RESPONSE: an array of three, and a number that is above 23 and in the next byte.
        """
        return encode_head(4, self.least + 1) + encode_head(0, self.number)[:1]


# --- elements: one by one


def _uint(value: Any) -> int:
    # An integer of more than 64 bits would be a tag.
    if type(value) is not int or value < 0:
        raise ProtocolViolation("expected an unsigned integer of 64 bits")
    return value


def _exactly(type_: type, what: str) -> Callable[[Any], Any]:
    """Return the check for values of one type, and of no subclass of it."""

    def check(value: Any) -> Any:
        if type(value) is not type_:
            raise ProtocolViolation(f"expected {what}")
        return value

    return check


_text = _exactly(str, "text")
_bool = _exactly(bool, "true or false")


def _code(value: Any) -> v.ErrorCode:
    try:
        return v.ErrorCode(_uint(value))
    except ValueError as error:
        raise ProtocolViolation(f"unknown error code {value}") from error


def _texts(value: Any) -> tuple[str, ...]:
    if type(value) is not list:
        raise ProtocolViolation("expected an array of texts")
    return tuple(map(_text, value))


def _uints(value: Any) -> tuple[int, ...]:
    # All at once, in C: a delivery may name as many ids as its client has subscriptions.
    if type(value) is not list or not value or set(map(type, value)) != {int} or min(value) < 0:
        raise ProtocolViolation("expected an array of one or more unsigned integers of 64 bits")
    return tuple(value)


_DEFLATED: Final = 1
"""A compressed payload is the array ``[1, bytes]`` where a plain one is the bytes alone."""


def _payload(value: Any) -> v.Payload:
    # Compressed bytes are taken on trust: whoever inflates them finds out, and the bus does not have to.
    if type(value) is bytes:
        return value
    if type(value) is list and list(map(type, value)) == [int, bytes] and value[0] == _DEFLATED:
        return v.Deflated(value[1])
    raise ProtocolViolation("expected a payload: a byte string, or [1, byte string]")


def _plain_payload(payload: v.Payload) -> object:
    return [_DEFLATED, payload.data] if isinstance(payload, v.Deflated) else payload


UINT: Final = Element("", _uint)
TEXT: Final = Element("`text`", _text)
BOOL: Final = Element("`bool`", _bool)
CODE: Final = Element("`code`", _code)
TIMEOUT: Final = Element("`uint` in ms or null", lambda value: None if value is None else _uint(value))
TEXTS: Final = Element("`[text…]`", _texts)
UINTS: Final = Element("`[uint…]`", _uints)
PAYLOAD: Final = Element("`payload`", _payload, _plain_payload)


# --- elements: the rest


def _headers(rest: Sequence[Any]) -> v.Headers:
    """Return the headers, which are left out where there are none: ``rest`` has one element or is empty."""
    if not rest:
        return v.NO_HEADERS
    (headers,) = rest
    if type(headers) is not dict or any(type(key) is not str or type(text) is not str for key, text in headers.items()):
        raise ProtocolViolation("expected headers: a map of text to text")
    if len(headers) > v.MOST_LISTED:
        raise ProtocolViolation(f"a message has {v.MOST_LISTED} headers at most, not {len(headers)}")
    return headers


def _plain_headers(headers: v.Headers) -> Sequence[object]:
    return (dict(headers),) if headers else ()


def _name(rest: Sequence[Any]) -> str:
    """Return the name, which is left out where there is none."""
    return _text(rest[0]) if rest else ""


def _plain_name(name: str) -> Sequence[object]:
    return (name,) if name else ()


def _finishes(rest: Sequence[Any]) -> bool:
    """Return whether what is pending may be finished, which is left out where it may not."""
    return bool(rest) and _bool(rest[0])


def _plain_finishes(finishes: bool) -> Sequence[object]:  # noqa: FBT001 -- a field of the message
    return (True,) if finishes else ()


def _publication(rest: list[Any]) -> m.Publication:
    """Return the publication of ``topic, payload`` or ``topic, payload, headers``."""
    topic, payload, *headers = rest
    return m.Publication(_text(topic), _payload(payload), _headers(headers))


def _plain_publication(publication: m.Publication) -> Sequence[object]:
    return publication.topic, _plain_payload(publication.payload), *_plain_headers(publication.headers)


def _run(rest: list[Any]) -> m.Run:
    """Return the run of ``topic, payload, payload, …``. Compressed payloads have no place in a run."""
    topic, *payloads = rest
    if set(map(type, payloads)) != {bytes}:
        raise ProtocolViolation("expected a run: a topic and byte strings")
    return m.Run(_text(topic), payloads)


def _plain_run(run: m.Run) -> Sequence[object]:
    return run.topic, *run.payloads


def _grants(rest: list[Any]) -> tuple[int, ...]:
    """Return the numbers of ``7, 1, 15, 8, 2, 30``, which are two triples."""
    numbers = _uints(rest)
    if len(numbers) % 3:
        raise ProtocolViolation("credit comes in triples of subscription, messages and bytes")
    return numbers


HEADERS: Final = Rest("[`headers`]", 0, 1, _headers, _plain_headers)
NAME: Final = Rest("[name `text`]", 0, 1, _name, _plain_name)
FINISHES: Final = Rest("[finishes `bool`]", 0, 1, _finishes, _plain_finishes)
PUBLICATION: Final = Rest("topic `text`, `payload`, [`headers`]", 2, 3, _publication, _plain_publication)
RUN: Final = Rest(
    f"topic `text`, 1 to {m.MOST_IN_RUN:,} payloads `bytes`, flat", 2, m.MOST_IN_RUN + 1, _run, _plain_run
)
COUNTS: Final = Rest("one or more counts, flat", 1, None, _uints, iter)
GRANTS: Final = Rest("one or more triples, flat: subscription, messages, bytes", 1, None, _grants, iter)


# --- the table


def _publish_run(number: int, paced: bool, run: m.Run) -> m.PublishRun:  # noqa: FBT001 -- a field of the message
    # The last of its operation ids has to be one as well: its acknowledgement could not be written.
    if number + len(run.payloads) > 1 << 64:
        raise ProtocolViolation("expected operation ids of 64 bits")
    return m.PublishRun(number, paced, run)


CLIENT, BUS, BOTH, MEMBER = Sender

# What several kinds have in common, and what a client has to keep within.
_HELLO: Final[Elements] = {"version": UINT, "agent": TEXT, "compressions": TEXTS}
_PUBLISH: Final[Elements] = {"id": UINT, "paced": BOOL}
_BODY: Final[Elements] = {"payload": PAYLOAD, "headers": HEADERS}
_REQUEST: Final[Elements] = {"timeout": TIMEOUT, "topic": TEXT, **_BODY}
_BOUNDS: Final[Elements] = dict.fromkeys(
    (
        *("frame", "delivery", "topic_length", "topic_depth", "requests", "subscriptions", "services"),
        *("subscription_messages", "subscription_bytes"),
    ),
    UINT,
)

KINDS: Final = (
    Row(1, CLIENT, m.Hello, {**_HELLO, "name": NAME}),
    Row(2, BUS, m.Welcome, {**_HELLO, "connection": UINT, **_BOUNDS}),
    Row(3, CLIENT, m.Subscribe, {"id": UINT, "topic": TEXT, "messages": UINT, "size": UINT}),
    Row(4, CLIENT, m.Unsubscribe, {"id": UINT, "subscription": UINT}),
    Row(5, CLIENT, m.Publish, {**_PUBLISH, "publication": PUBLICATION}, d.decode_publish, e.encode_publish),
    Row(6, CLIENT, m.Claim, {"id": UINT, "topic": TEXT, "requests": UINT, "size": UINT}),
    Row(7, CLIENT, m.Unclaim, {"id": UINT, "service": UINT, "finishes": FINISHES}),
    Row(8, CLIENT, m.Ask, {"id": UINT, **_REQUEST}, d.decode_ask, e.encode_ask),
    Row(9, CLIENT, m.Cancel, {"request": UINT}),
    Row(10, CLIENT, m.Respond, {"call": UINT, **_BODY}, d.decode_respond, e.encode_respond),
    Row(11, CLIENT, m.Fail, {"call": UINT, "code": CODE, "text": TEXT}),
    Row(12, CLIENT, m.Credit, {"numbers": GRANTS}),
    Row(13, BOTH, m.Ping, {"token": UINT}),
    Row(14, BOTH, m.Pong, {"token": UINT}),
    Row(15, BOTH, m.Goodbye, {"text": TEXT}),
    Row(16, BOTH, m.Error, {"text": TEXT}),
    Row(17, CLIENT, m.PublishRun, {**_PUBLISH, "run": RUN}, None, e.encode_publish_run, _publish_run),
    Row(18, BUS, m.DeliverRun, {"subscriptions": UINTS, "run": RUN}, None, e.encode_deliver_run),
    Row(20, BUS, m.Accepted, {"first": UINT, "counts": COUNTS}, d.decode_accepted, e.encode_accepted),
    Row(21, BUS, m.Refused, {"id": UINT, "code": CODE, "text": TEXT}),
    Row(22, BUS, m.Deliver, {"subscriptions": UINTS, "publication": PUBLICATION}, d.decode_deliver, e.encode_deliver),
    Row(23, BUS, m.Gap, {"subscription": UINT, "dropped": UINT}),
    Row(24, BUS, m.Call, {"id": UINT, "service": UINT, **_REQUEST}, d.decode_call, e.encode_call),
    Row(25, BUS, m.Withdraw, {"call": UINT}),
    Row(26, BUS, m.Response, {"request": UINT, **_BODY}, d.decode_response, e.encode_response),
    Row(27, BUS, m.Unreached, {"first": UINT, "counts": COUNTS}),
    Row(30, MEMBER, m.Stake, {"id": UINT, "topic": TEXT, "since": UINT, "is_held": BOOL}),
    Row(31, MEMBER, m.Lapse, {"topic": TEXT, "dropped": UINT}),
)
"""All kinds, by number. 19, 28 and 29 were never given."""
