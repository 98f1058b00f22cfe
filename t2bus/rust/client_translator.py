"""A client of the Rust crate, as its bus sees it: the crate's frames to native messages and back.

The crate's client has no HELLO, numbers what it says with 32 bits that may wrap, names subscriptions by their topics
and has every frame acknowledged. The router numbers operations with 64 bits that never repeat. Between the two stands
the translator of one connection. It gives each operation an id of its own and remembers whom to tell until it is
answered; what is to be acknowledged and is no operation becomes a PING, whose token comes back as the acknowledgement.

That client trusts its bus with its life: a response that it does not wait for, an undecodable payload or a frame of
more than 1 MiB ends it. None of these is ever sent. What is withheld is counted, and a request or response that is
withheld fails for whoever waits for it. (A topic with many ``**`` would keep its matcher busy for years: the router
knows that, and routes none to it.)

For example a request with the id 5, and what goes to and fro for it::

    the client     {"id": 5, "content": {"Req": {"topic": "hello", "payload": …}}}
    to the bus     Ask(1, 30000, "hello", …), Ping(token of 1)
    the bus        Pong(token of 1)       to the client  Ack of 5: the request was handed on
    the bus        Response(1, …)         to the client  Rsp of 5

That client knows no credit: :class:`.Inbound` gives it back for what is written to it. It cannot be told of a gap: one
that reads too slowly for what it has subscribed to is disconnected by the bus.

The law of this module: bytes in, messages out; messages in, bytes out. Every entry of every table leaves with an
answer, with the end of its service, or when there is no room for more of its kind.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final, assert_never

from attrs import define, field

from ..errors import MalformedMessage
from ..topic import LENGTH
from ..wire import messages as m
from ..wire import values as v
from ..wire.framing import HEADER_SIZE
from ..wire.native import VERSION
from . import frames as r
from .calls import Desk
from .fast_frames import encode_publications, encode_receipt
from .gzip import gzip, gzip_to_zlib, size_in, zlib_to_gzip
from .inbound import Inbound
from .replies import REPLIES, Reply, failure_of, farewell, too_long
from .runs import in_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_UNBOUNDED: Final = 2**62
"""The window that is asked for, since such a client knows no credit. A subscription is then bounded by the outbox of
the connection alone; the bytes of a service are capped by the bus."""

_SERVICE: Final = 2**31
"""The requests of a service that are asked for, which the bus caps too."""

_TIMEOUT: Final = 30_000
"""Milliseconds that the crate's bus gives a request. The responder is told, so that it does not work in vain."""

_UNBEARABLE: Final = "its service cannot be sent this request: it is too large for the wire of the service"


@define(eq=False, repr=False)
class _Operation:
    """What the client is still to hear of: the id of its frame, and for a request whether that was acknowledged."""

    number: int
    kind: r.Kind
    topic: str
    is_accepted: bool = False


@define(eq=False, repr=False)
class ClientTranslator:
    """The bus's end of one connection of a Rust client.

    :meth:`decode` takes what the client wrote, :meth:`encode_one` returns what is to be written to it. What the bus has
    to be told beside that waits in ``inbound``, and ``withheld`` counts what could not be written.
    """

    frame: int = r.FRAME
    """The bus's ``Limits.frame``, which no payload may exceed when inflated; the WELCOME says it too."""
    topic_length: int = LENGTH
    """Its ``Limits.topic_length``: tables remember topics, and nobody counts what they take."""
    withheld: int = field(default=0, init=False)
    """Deliveries, calls and responses that the client could not have borne."""
    inflated: int = field(default=0, init=False)
    """Bytes that were inflated for what was written; for a payload that is broken, all that it may have taken."""
    inbound: Inbound = field(factory=Inbound, init=False)
    """What is to be said to the bus in the client's name."""
    is_greeted: bool = field(default=False, init=False)
    """Whether the HELLO that the client does not say was said."""
    _last_operation: int = field(default=0, init=False)
    _operations: dict[int, _Operation] = field(factory=dict, init=False)
    """Operations that are not answered, and requests that have no response."""
    _published: dict[int, int] = field(factory=dict, init=False)
    """Publications are apart, with the id of the frame alone."""
    _requests: dict[int, int] = field(factory=dict, init=False)
    """The requests among them, by the client's id."""
    _subscriptions: dict[str, dict[int, None]] = field(factory=dict, init=False)
    """The subscriptions of each topic, oldest first: each ``Sub`` is one, each ``Unsub`` ends one."""
    _desk: Desk = field(factory=Desk, init=False)
    """What this client serves."""

    # --- the client speaks

    def decode(self, frames: Iterable[r.Control | r.Carrier | r.Answer]) -> list[m.ClientMessage]:
        """Return what the client says in these frames, after the HELLO that it does not say."""
        messages: list[m.ClientMessage] = []
        if not self.is_greeted:
            self.is_greeted = True
            messages.append(m.Hello(VERSION, "t2_bus", ()))
        for frame in frames:
            match frame:
                case r.Answer():
                    messages += self._answered(frame)
                case _ if len(frame.topic) > self.topic_length:
                    messages.append(Reply.TOO_LONG.ping(frame.id))
                case r.Carrier():
                    messages += self._carried(frame)
                case r.Control():
                    messages.append(self._controlled(frame))
                case _:
                    assert_never(frame)
        return messages if len(messages) == 1 else list(in_runs(messages, self.frame))

    def _begin(self, frame: r.Control | r.Carrier) -> int:
        """Return the id of a new operation, and remember the frame that asked for it."""
        self._last_operation = number = self._last_operation + 1
        self._operations[number] = _Operation(frame.id, frame.kind, frame.topic)
        return number

    def _controlled(self, frame: r.Control) -> m.ClientMessage:
        """Return what a frame without a payload asks for. What ends nothing that is there is acknowledged as well."""
        topic = frame.topic
        match frame.kind:
            case r.Kind.SUB:
                number = self._begin(frame)
                self._subscriptions.setdefault(topic, {})[number] = None
                return m.Subscribe(number, topic, _UNBOUNDED, _UNBOUNDED)
            case r.Kind.SRV:
                number = self._begin(frame)
                self._desk.claim(number, topic)
                return m.Claim(number, topic, _SERVICE, _UNBOUNDED)
            case r.Kind.UNSUB if topic in self._subscriptions:
                subscription = next(iter(self._subscriptions[topic]))
                self._forget_subscription(topic, subscription)
                return m.Unsubscribe(self._begin(frame), subscription)
            case r.Kind.UNSRV if (service := self._desk.unclaim(topic)) is not None:
                return m.Unclaim(self._begin(frame), service)
            case r.Kind.STOP:
                return Reply.CANNOT_STOP.ping(frame.id)
            case _:
                return Reply.OK.ping(frame.id)

    def _forget_subscription(self, topic: str, number: int) -> None:
        """Forget a subscription that may have been forgotten."""
        subscriptions = self._subscriptions.get(topic, {})
        subscriptions.pop(number, None)
        if not subscriptions:
            self._subscriptions.pop(topic, None)

    def _carried(self, frame: r.Carrier) -> list[m.ClientMessage]:
        """Return the publication, which is never paced, or the request and the PING that has it acknowledged."""
        try:
            payload = self._checked(frame.body, frame.topic)
        except MalformedMessage:
            return [Reply.MALFORMED.ping(frame.id)]
        if frame.kind is r.Kind.PUB:
            self._last_operation = number = self._last_operation + 1
            self._published[number] = frame.id
            return [m.Publish(number, False, m.Publication(frame.topic, payload))]  # noqa: FBT003
        said: list[m.ClientMessage] = []
        if (older := self._requests.get(frame.id)) is not None:
            # The client has forgotten it: it waits for one response under one id.
            del self._operations[older]
            said.append(m.Cancel(older))
        self._requests[frame.id] = number = self._begin(frame)
        return [*said, m.Ask(number, _TIMEOUT, frame.topic, payload), Reply.ASKED.ping(number)]

    def _answered(self, frame: r.Answer) -> list[m.ClientMessage]:
        """Return the end of a call, and the PING for the acknowledgement.

        A call that was withdrawn is ended too, for nobody, and the client hears that its id is not known.
        """
        call = self._desk.end(frame.request)
        if call is None:
            return [Reply.UNKNOWN_REQUEST.ping(frame.id)]
        reply = Reply.UNKNOWN_REQUEST if call.is_withdrawn else Reply.OK
        if frame.status is r.AnswerStatus.TIMEOUT:
            text = "the responder answered with the status Timeout"
            return [m.Fail(call.id, v.ErrorCode.REMOTE_ERROR, text), reply.ping(frame.id)]
        try:
            return [m.Respond(call.id, self._checked(frame.body, "")), reply.ping(frame.id)]
        except MalformedMessage as error:
            return [m.Fail(call.id, v.ErrorCode.MALFORMED_MESSAGE, str(error)), Reply.MALFORMED.ping(frame.id)]

    def _checked(self, body: r.Body, topic: str) -> v.Payload:
        """Return a payload, which stays compressed: the bus holds no more than was sent.

        Raises:
          MalformedMessage: it cannot be inflated, or would not fit a native frame with this topic.

        """
        return gzip_to_zlib(body.data, v.room_for_payload(self.frame, topic)) if body.is_compressed else body.data

    # --- the bus speaks

    def encode_one(self, message: m.ServerMessage) -> bytes:
        """Return the message as the frames that the client knows, often none."""
        match message:
            case m.Deliver():
                publication = message.publication
                size = v.size_of(publication.topic, publication.payload, publication.headers)
                self.inbound.note_written(message.subscriptions, 1, size)
                return self._deliver(publication)
            case m.DeliverRun():
                self.inbound.note_written(message.subscriptions, len(message.run.payloads), message.run.size)
                return self._deliver_run(message.run)
            case m.Accepted():
                return b"".join(map(self._accept, count(message.first), message.counts))
            case m.Refused():
                return self._refuse(message)
            case m.Call():
                return self._call(message)
            case m.Response():
                return self._respond(message)
            case m.Pong():
                return self._reply(message.token)
            case m.Welcome():
                self.frame = message.frame
            case m.Withdraw():
                self._desk.withdraw(message.call)
            case m.Goodbye() | m.Error():
                return farewell(message.text)
            case m.Gap() | m.Unreached() | m.Ping():
                pass
            case _:
                assert_never(message)
        return b""

    def _reply(self, token: int) -> bytes:
        """Return the acknowledgement that a PING was sent for."""
        reply, number = Reply.of(token)
        if reply is Reply.ASKED:
            # The crate's client waits for this before it waits for the response, and not for long.
            return self._accept(number, 0)
        failure = too_long(self.topic_length) if reply is Reply.TOO_LONG else REPLIES[reply]
        return r.encode_ack(number, failure)

    def _accept(self, number: int, receivers: int) -> bytes:
        """Return the acknowledgement of an operation, once. A request is remembered on, for its response."""
        if (published := self._published.pop(number, None)) is not None:
            return encode_receipt(published, receivers)
        operation = self._operations.get(number)
        if operation is None or operation.is_accepted:
            return b""
        if operation.kind is r.Kind.REQ:
            operation.is_accepted = True
        else:
            del self._operations[number]
        return r.encode_ack(operation.number)

    def _refuse(self, message: m.Refused) -> bytes:
        """Return the error of an operation. A request that has been acknowledged can only end in a response."""
        if (published := self._published.pop(message.id, None)) is not None:
            return r.encode_ack(published, failure_of(message, r.Kind.PUB, ""))
        if (operation := self._operations.pop(message.id, None)) is None:
            return b""
        match operation.kind:
            case r.Kind.SUB:
                self._forget_subscription(operation.topic, message.id)
            case r.Kind.SRV:
                self._desk.unclaim(operation.topic, message.id)
            case _:
                self._requests.pop(operation.number, None)
                if operation.is_accepted:
                    return _timed_out(operation.number)
        return r.encode_ack(operation.number, failure_of(message, operation.kind, operation.topic))

    def _respond(self, message: m.Response) -> bytes:
        """Return the response to a request that still waits: one that nobody waits for would end the client."""
        if (operation := self._operations.pop(message.request, None)) is None or operation.kind is not r.Kind.REQ:
            return b""
        number = operation.number
        del self._requests[number]
        encoded = self._fit("", message.payload, partial(r.encode_answer, number, r.AnswerStatus.OK, 0))
        if not encoded:
            self.withheld += 1
            encoded = _timed_out(number)
        # The client waits for the acknowledgement first.
        return encoded if operation.is_accepted else r.encode_ack(number) + encoded

    def _deliver(self, publication: m.Publication) -> bytes:
        """Return the frame of a delivery. It is the same for all clients of the crate, so it is made once."""
        if publication.t2_frame is None:
            encode = partial(r.encode_carrier, 0, r.Kind.PUB, publication.topic)
            publication.t2_frame = self._fit(publication.topic, publication.payload, encode)
        self.withheld += not publication.t2_frame
        return publication.t2_frame

    def _deliver_run(self, run: m.Run) -> bytes:
        """Return the frames of all of a run; none is too long where the run is not."""
        if run.size <= m.RUN_SIZE:
            run.t2_frames = run.t2_frames or encode_publications(run.topic, run.payloads)
            return run.t2_frames
        return b"".join(map(self._deliver, run.publications))

    def _call(self, message: m.Call) -> bytes:
        """Return the request under a number of this connection. One that does not fit fails at once."""
        topic = message.topic
        if not self._desk.serves(topic, message.service):
            return b""  # the service has ended, and all its calls with it
        number = self._desk.next_number()
        encoded = self._fit(topic, message.payload, partial(r.encode_carrier, number, r.Kind.REQ, topic))
        if encoded:
            self._desk.begin(number, message.id, topic, message.service)
        else:
            self.withheld += 1
            self.inbound.say(m.Fail(message.id, v.ErrorCode.REMOTE_ERROR, _UNBEARABLE))
        return encoded

    def _fit(self, topic: str, payload: v.Payload, encode: Callable[[r.Body], bytes]) -> bytes:
        """Return the frame with this payload, or nothing if the client cannot take it.

        A payload that came compressed goes on compressed, so that what is written is what the outbox has counted. One
        that did not is compressed only where it would not fit otherwise: its sender found that not worth the time.
        """
        if isinstance(payload, v.Deflated):
            try:
                self.inflated += (room := v.room_for_payload(self.frame, topic))
                packed = zlib_to_gzip(payload, room)
            except MalformedMessage:
                return b""
            self.inflated -= room - size_in(packed)
            encoded = encode(r.Body(packed, is_compressed=True))
        else:
            encoded = encode(r.Body(payload))
            if len(encoded) - HEADER_SIZE > r.FRAME:
                encoded = encode(r.Body(gzip(payload), is_compressed=True))
        return encoded if len(encoded) - HEADER_SIZE <= r.FRAME else b""


def _timed_out(number: int) -> bytes:
    """Return the one other end of a request that has been acknowledged: a response without a payload."""
    return r.encode_answer(number, r.AnswerStatus.TIMEOUT, 0, r.Body(b""))
