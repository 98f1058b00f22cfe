"""A bus of the Rust crate, as its client sees it: native messages to the crate's frames and back.

The crate's bus acknowledges every frame by its 32-bit id, knows a subscription and a service by their topic, and has
no credit. The translator of one connection plays the native bus to its client. It remembers what each acknowledgement
means until it comes; a message that has nothing to say to that bus goes out as a ``KeepAlive``, and is answered when
that is acknowledged, in its turn. It matches what is delivered to the client's subscriptions, and keeps their windows:
what finds none is dropped for that subscription alone, and a GAP says so.

For example a publication, and a claim that is refused::

    the client     Publish(1, …, Publication("a", b"hi"))     to the bus     {"id": 2, "content": {"Pub": {…}}}
    the bus        {"Ack": {"msg_id": 2, …, "num_recipients": 3}}      to the client  Accepted(1, (3,))
    the client     Claim(2, "b", …)                           to the bus     {"id": 3, "content": {"Srv": {…}}}
    the bus        {"Ack": {"msg_id": 3, "err": "TopicAlreadyClaimed", …}}  to the client  Refused(2, TOPIC_CLAIMED, …)

What that bus could not pass on (:mod:`.bus_payloads`) is refused here. Headers are dropped, for which it has no place.

The law of this module: bytes in, messages out; messages in, bytes out. Every entry of every table leaves with an
answer, or with the end of its subscription or service.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final, assert_never

from attrs import define, field

from ..errors import InvalidTopic, MalformedMessage
from ..wire import messages as m
from ..wire import values as v
from ..wire.native import VERSION
from . import frames as r
from .bus_payloads import fit
from .bus_windows import SharedTopic, Windows
from .gzip import gunzip
from .replies import farewell_in, refusal_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..limits import Limits

_U32: Final = 2**32 - 1

_Then = Callable[[r.Ack], m.ServerMessage | None]
"""What an acknowledgement means to the client."""


@define(eq=False, repr=False)
class _ClaimedTopic:
    """A service of the client: ``id`` is that of its claim, ``window`` and ``room`` what may be pending.

    ``room`` is in bytes, and may fall below 0 by the last request.
    """

    id: int
    topic: str
    window: int
    room: int
    calls: dict[int, tuple[int, int]] = field(factory=dict)
    """The ids of the requests on that bus, and their bytes, by call id."""


@define(eq=False, repr=False)
class BusTranslator:
    """The client's end of one connection to a bus of the Rust crate.

    :meth:`encode_one` takes what the client says, :meth:`decode` returns what it hears.
    """

    limits: Limits
    """The client's own; that bus has none to tell."""
    last_frame: int = 0
    """The id of the last frame that was sent."""
    ignored: int = field(default=0, init=False)
    """Publications and requests that could not be handed to the program: the topic or the payload is out of bounds, or
    the window of the service is spent. That bus fails such a request after 30 s."""
    dropped_headers: int = field(default=0, init=False)
    """Messages that were sent without the headers that they had."""
    _pending: dict[int, _Then] = field(factory=dict, init=False)
    """What is not acknowledged, by the id of its frame."""
    _requests: dict[int, int] = field(factory=dict, init=False)
    """Requests that have no response, by the id of their frame."""
    _frames: dict[int, int] = field(factory=dict, init=False)
    """Those ids, by operation."""
    _windows: Windows = field(init=False)
    _services: dict[str, _ClaimedTopic] = field(factory=dict, init=False)
    """By topic, since a request names nothing else: a second claim of a topic is refused here."""
    _calls: dict[int, _ClaimedTopic] = field(factory=dict, init=False)
    """The services of the calls that are not ended, by call id."""
    _last_call: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Start without subscriptions."""
        self._windows = Windows(self.limits)

    # --- the client speaks

    def encode_one(self, message: m.ClientMessage) -> bytes:
        """Return the message as a frame that the bus knows, or nothing."""
        match message:
            case m.Hello():
                return self._answer_later(self._welcome())
            case m.Subscribe():
                return self._subscribe(message)
            case m.Unsubscribe():
                return self._unsubscribe(message)
            case m.Publish():
                return self._publish(message.id, message.publication)
            case m.PublishRun():
                return b"".join(map(self._publish, count(message.id), message.run.publications))
            case m.Claim():
                return self._claim(message)
            case m.Unclaim():
                return self._unclaim(message)
            case m.Ask():
                return self._request(message)
            case m.Cancel():
                self._forget_request(message.request)
            case m.Respond():
                self.dropped_headers += bool(message.headers)
                return self._respond(message.call, r.AnswerStatus.OK, message.payload)
            case m.Fail():
                return self._respond(message.call, r.AnswerStatus.TIMEOUT, b"")
            case m.Credit():
                self._windows.credit(message)
            case m.Ping():
                return self._answer_later(m.Pong(message.token))
            case m.Pong() | m.Goodbye() | m.Error():
                pass
            case _:
                assert_never(message)
        return b""

    def _number(self) -> int:
        """Return an id for the next frame, which is not that of one that waits for an answer: 32 bits wrap."""
        number = self.last_frame + 1 & _U32
        while number in self._pending or number in self._requests:
            number = number + 1 & _U32
        self.last_frame = number
        return number

    def _send(self, kind: r.Kind, topic: str, then: _Then) -> bytes:
        """Return a frame without a payload, whose acknowledgement means ``then`` to the client."""
        number = self._number()
        self._pending[number] = then
        return r.encode_control(number, kind, topic)

    def _answer_later(self, message: m.ServerMessage) -> bytes:
        """Answer the client when the bus has acknowledged all that came before."""
        return self._send(r.Kind.KEEP_ALIVE, "", lambda _: message)

    def _subscribe(self, message: m.Subscribe) -> bytes:
        # Who shares a topic is answered with the next KeepAlive: what became of the topic is known by then.
        shared = self._windows.open(message)
        kind, topic = (r.Kind.SUB, message.topic) if shared.subscriptions == 1 else (r.Kind.KEEP_ALIVE, "")
        return self._send(kind, topic, partial(self._subscribed, message.id, shared))

    def _subscribed(self, operation: int, shared: SharedTopic, ack: r.Ack) -> m.ServerMessage:
        """Return what became of a subscription."""
        if ack.failure is not None:
            self._windows.refuse(shared, ack.failure)
        if shared.failure is None:
            return m.Accepted(operation, (0,))
        self._windows.close(operation)
        return refusal_of(operation, shared.failure)

    def _unsubscribe(self, message: m.Unsubscribe) -> bytes:
        topic = self._windows.close(message.subscription)
        if topic is None:
            return self._answer_later(m.Accepted(message.id, (0,)))
        return self._send(r.Kind.UNSUB, topic, partial(_done, message.id))

    def _claim(self, message: m.Claim) -> bytes:
        topic = message.topic
        if topic in self._services:
            text = f"this client serves {topic!r} already"
            return self._answer_later(m.Refused(message.id, v.ErrorCode.TOPIC_CLAIMED, text))
        self._services[topic] = service = _ClaimedTopic(message.id, topic, message.requests, message.size)
        undo = partial(self._drop_service, service)
        return self._send(r.Kind.SRV, topic, partial(_done, message.id, undo=undo))

    def _unclaim(self, message: m.Unclaim) -> bytes:
        service = next((each for each in self._services.values() if each.id == message.service), None)
        if service is None:
            return self._answer_later(m.Accepted(message.id, (0,)))
        if message.finishes:
            # What is pending can still be answered, by the numbers of its calls.
            del self._services[service.topic]
        else:
            self._drop_service(service)
        return self._send(r.Kind.UNSRV, service.topic, partial(_done, message.id))

    def _drop_service(self, service: _ClaimedTopic) -> None:
        """Forget a service and its calls. Its topic may have been claimed anew since, which stays."""
        if self._services.get(service.topic) is service:
            del self._services[service.topic]
        for call in service.calls:
            del self._calls[call]
        service.calls.clear()

    def _publish(self, operation: int, publication: m.Publication) -> bytes:
        self.dropped_headers += bool(publication.headers)
        number = self._number()
        encode = partial(r.encode_carrier, number, r.Kind.PUB, publication.topic)
        encoded = fit(encode, publication.payload, self.limits.frame)
        if not encoded:
            return self._answer_later(_too_large(operation))
        self._pending[number] = partial(_done, operation)
        return encoded

    def _request(self, message: m.Ask) -> bytes:
        self.dropped_headers += bool(message.headers)
        number = self._number()
        encode = partial(r.encode_carrier, number, r.Kind.REQ, message.topic)
        encoded = fit(encode, message.payload, self.limits.frame)
        if not encoded:
            return self._answer_later(_too_large(message.id))

        def asked(ack: r.Ack) -> m.ServerMessage | None:
            if ack.failure is None:
                return None  # the response is still to come
            self._forget_request(message.id)
            return refusal_of(message.id, ack.failure)

        self._pending[number] = asked
        self._requests[number] = message.id
        self._frames[message.id] = number
        return encoded

    def _forget_request(self, operation: int) -> None:
        """Forget a request that may have ended. A response that still comes is ignored then."""
        self._requests.pop(self._frames.pop(operation, -1), None)

    def _respond(self, call: int, status: r.AnswerStatus, payload: v.Payload) -> bytes:
        """Return the end of a call, or nothing if its service has ended. What a handler says of a failure is lost."""
        service = self._calls.pop(call, None)
        if service is None:
            return b""
        (request, size), number = service.calls.pop(call), self._number()
        service.room += size
        encoded = fit(partial(r.encode_answer, request, status, number), payload, self.limits.frame)
        # One that does not fit fails: its requester waits.
        return encoded or r.encode_answer(request, r.AnswerStatus.TIMEOUT, number, r.Body(b""))

    # --- the bus speaks

    def decode(self, frames: Iterable[r.Carrier | r.Answer | r.Ack]) -> list[m.ServerMessage]:
        """Return what the bus says in these frames, gaps that can be told first."""
        messages: list[m.ServerMessage] = [*self._windows.gaps()]
        for frame in frames:
            match frame:
                case r.Ack():
                    messages += self._acknowledged(frame)
                case r.Answer():
                    messages += self._answered(frame)
                case r.Carrier(kind=r.Kind.PUB):
                    messages += self._delivered(frame)
                case r.Carrier():
                    messages += self._called(frame)
                case _:
                    assert_never(frame)
        return messages

    def _acknowledged(self, ack: r.Ack) -> Sequence[m.ServerMessage]:
        """Return what an acknowledgement means; of those that nobody waits for only a farewell does."""
        then = self._pending.pop(ack.operation, None)
        said = farewell_in(ack) if then is None else then(ack)
        return () if said is None else (said,)

    def _delivered(self, frame: r.Carrier) -> Sequence[m.ServerMessage]:
        """Return the delivery to the subscriptions that take it, with the gaps before it."""
        try:
            return self._windows.deliver(frame.topic, self._plain(frame.body))
        except InvalidTopic:
            self.ignored += 1
            return []

    def _called(self, frame: r.Carrier) -> list[m.ServerMessage]:
        """Return the call, without a deadline: that bus tells none. What cannot be served is left to its timeout."""
        service = self._services.get(frame.topic)
        has_room = service is not None and service.room > 0 and len(service.calls) < service.window
        payload = self._plain(frame.body) if has_room else None
        if service is None or payload is None:
            self.ignored += 1
            return []
        size = v.size_of(frame.topic, payload, v.NO_HEADERS)
        service.room -= size
        self._last_call = call = self._last_call + 1
        service.calls[call] = frame.id, size
        self._calls[call] = service
        return [m.Call(call, service.id, None, frame.topic, payload)]

    def _answered(self, frame: r.Answer) -> list[m.ServerMessage]:
        """Return the end of a request, or nothing if it was cancelled."""
        operation = self._requests.pop(frame.request, None)
        if operation is None:
            return []
        del self._frames[operation]
        if frame.status is r.AnswerStatus.TIMEOUT:
            text = "the responder did not answer within 30 s, or failed: a Rust bus does not say which"
            return [m.Refused(operation, v.ErrorCode.REQUEST_TIMEOUT, text)]
        payload = self._plain(frame.body)
        if payload is None:
            text = f"the response is no gzip member, or holds more than {self.limits.frame} bytes (Limits.frame)"
            return [m.Refused(operation, v.ErrorCode.MALFORMED_MESSAGE, text)]
        return [m.Response(operation, payload)]

    def _plain(self, body: r.Body) -> bytes | None:
        """Return a payload as its program gave it, or None if it cannot be inflated or becomes too big."""
        try:
            return gunzip(body.data, self.limits.frame) if body.is_compressed else body.data
        except MalformedMessage:
            return None

    def _welcome(self) -> m.Welcome:
        """Say for the bus what it never says; its clients keep within what this one is used to."""
        limits = self.limits
        return m.Welcome(
            # Beside topic and payload the crate's frames take up to twice what is counted for a native one.
            *(VERSION, "t2_bus", (), 1, r.FRAME - v.FRAME_OVERHEAD, r.FRAME, limits.topic_length, limits.topic_depth),
            *(limits.requests, limits.subscriptions, limits.services),
            *(limits.subscription_messages, limits.subscription_bytes),
        )


def _done(operation: int, ack: r.Ack, undo: Callable[[], object] | None = None) -> m.ServerMessage:
    """Return the answer to an operation that an acknowledgement ends; call ``undo`` if it was refused."""
    if ack.failure is None:
        return m.Accepted(operation, (ack.recipients or 0,))
    if undo is not None:
        undo()
    return refusal_of(operation, ack.failure)


def _too_large(operation: int) -> m.Refused:
    text = "a Rust bus makes an array of numbers of a payload, and this frame is then over 1 MiB: send less"
    return m.Refused(operation, v.ErrorCode.MESSAGE_TOO_LARGE, text)
