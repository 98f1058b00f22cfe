"""The pipelined publisher: many publications on their way at once, acknowledged in bulk.

::

    async with client.open_publisher(Reading, "oven") as publisher:
        for reading in readings:
            await publisher.send(reading)  # waits only while the window is full
    # now the bus has accepted all of them

``client.publish`` waits a round trip for each message. Here they are written by the hundred, and an acknowledgement
answers as many. So a refusal comes late: the next ``send`` or ``flush`` raises it, when others are on their way.

The law of this module: a message is on its way as a whole or not at all, and no refusal is raised twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

import trio
from attrs import define, field

from ..background import Resource
from ..disconnected import Disconnected
from ..errors import LimitExceeded
from ..protocol import encode_all, encode_as
from ..session.unacknowledged import PublisherWindow
from ..wire.compression import THRESHOLD
from ..wire.values import NO_HEADERS, size_in_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..session.body import EncodedBatch
    from ..session.outbox import ClientOutbox
    from ..wire.values import EncodedBody
    from .connection import ClientConnection

Body_contra = TypeVar("Body_contra", contravariant=True)


@define(eq=False, slots=False)
class Publisher(Resource, trio.abc.SendChannel[Body_contra], Generic[Body_contra]):
    """A channel to all subscribers of one topic: what :meth:`t2bus.Client.open_publisher` returns.

    ::

        async with client.open_publisher(Reading, "oven") as publisher:
            for reading in readings:
                await publisher.send(reading)

    It is a ``trio.abc.SendChannel`` with more. At most ``Limits.publisher_messages`` and ``Limits.publisher_bytes`` are
    on their way, which is sent and not acknowledged; then ``send`` waits. For a paced publisher, an acknowledgement
    waits until every subscriber that takes messages has room. Several tasks may use it at once.

    A refusal comes late, when others are on their way: the first one since the last is raised once, by the next call.

    Attributes:
      topic: the full topic that is published to.
      paced: whether subscribers that take messages set the pace.

    """

    _connection: ClientConnection
    _encode: Callable[[Body_contra], bytes]
    _encode_all: Callable[[Sequence[Body_contra]], list[bytes]]
    """The same for many, as a new list: what the program does with its own meanwhile changes nothing."""
    topic: str
    paced: bool
    _window: PublisherWindow = field(init=False)
    """What is on its way, what was accepted, and the first refusal until it is raised."""
    _outbox: ClientOutbox = field(init=False)
    _around: int = field(init=False)
    """Bytes of a frame around a payload."""
    _plain_size: int = field(init=False)
    """Bytes of a payload that is sent as it is, whatever the connection."""
    _lot: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    """Those who wait for an acknowledgement."""
    _closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Check the topic, and take the window from the limits of the client."""
        limits = self._connection.session.limits
        self._window = PublisherWindow(limits.publisher_messages, limits.publisher_bytes)
        self._around = size_in_frame(self.topic, b"", NO_HEADERS)
        self._look_at_session()

    def _look_at_session(self) -> None:
        """Take from the session of the connection what each message asks for."""
        session = self._connection.session
        session.bounds.check_topic(self.topic)
        self._outbox = session.outbox
        self._plain_size = min(session.welcome.frame - self._around, THRESHOLD)

    @property
    def accepted(self) -> int:
        """Receipts of all publications acknowledged so far, added up: one for each connection that took each."""
        return self._window.accepted

    @property
    def missed(self) -> int:
        """Connections that publications so far were for and that did not take them, added up likewise."""
        return self._window.missed

    def __repr__(self) -> str:
        return f"<t2bus.Publisher to {self.topic!r}: {self._window.in_flight} on their way>"

    async def send(self, value: Body_contra, *, headers: Mapping[str, str] | None = None) -> None:
        """Publish a message; returns when it is on its way, which says nothing of who receives it.

        Waits while the window is full. Cancelled, or with any of these errors, it has sent nothing.

        Args:
          value: a message of the publisher's class, or bytes.
          headers: text to text, carried to the receivers untouched.

        Raises:
          TypeError: the value is of another class.
          MalformedMessage: the value is not what its class says.
          MessageTooLarge: it does not fit in a frame.
          TopicTooBroad, PermissionDenied: an earlier publication was refused.
          Unconfirmed: the connection was lost with publications on their way, and was or will be made again.
          Disconnected: the bus is lost for good.
          trio.ClosedResourceError: this publisher, or its client, was closed here.

        """
        self._connection.check_run()
        payload = self._encode(value)
        if headers is None and type(payload) is bytes and len(payload) <= self._plain_size:
            # The usual case, kept apart: what is left of this function is to be little beside its checkpoint.
            encoded: EncodedBody = payload, NO_HEADERS, self._around + len(payload)
        else:
            encoded = self._connection.session.bounds.encode_body(self.topic, payload, headers)
        await trio.lowlevel.checkpoint()
        if not self._may_send():
            await self._wait_until_may_send()
            # Again, for it may be the session of another bus by now.
            encoded = self._connection.session.bounds.encode_body(self.topic, payload, headers)
        self._put(encoded)

    async def send_batch(self, values: Sequence[Body_contra], *, headers: Mapping[str, str] | None = None) -> None:
        """Publish several messages in their order, all or none, by one checkpoint; otherwise as :meth:`send`.

        ::

            for batch in itertools.batched(readings, 256):  # Python 3.12
                await publisher.send_batch(batch)

        It waits for room for the first one, so that the others may run over the window. Each has these headers.

        Raises:
          LimitExceeded: they are more than ``Limits.publisher_messages``.

        and as :meth:`send`, for the first that is wrong.

        """
        self._connection.check_run()
        if len(values) > self._window.messages:
            raise LimitExceeded(
                f"a batch of {len(values)} is more than {self._window.messages}, all that Limits.publisher_messages "
                "allows: send it in parts, as itertools.batched makes them"
            )
        payloads, bounds = self._encode_all(values), self._connection.session.bounds
        batch = bounds.encode_bodies(self.topic, payloads, headers)
        await trio.lowlevel.checkpoint()
        if not self._may_send():
            await self._wait_until_may_send()
            if (others := self._connection.session.bounds) is not bounds:
                batch = others.encode_bodies(self.topic, payloads, headers)
        self._put_batch(batch)

    @trio.lowlevel.enable_ki_protection
    def _put_batch(self, batch: EncodedBatch) -> None:
        """Do as :meth:`_put` for each of a batch."""
        self._connection.session.stream_all(self.topic, batch, self._window, paced=self.paced)
        if self._window.in_flight:
            self._connection.on_news(self._window, self._wake)
        if self._outbox.calls:
            self._connection.writer.flush()

    # An interrupt between its lines would leave a publication on its way of which the writer does not know.
    @trio.lowlevel.enable_ki_protection
    def _put(self, encoded: EncodedBody) -> None:
        """Send without waiting; there is room."""
        self._connection.session.stream(self.topic, encoded, self._window, self.paced)
        if self._window.in_flight == 1:
            self._connection.on_news(self._window, self._wake)
        if self._outbox.calls:
            self._connection.writer.flush()

    def _may_send(self) -> bool:
        """Whether there is room, in the window and in the outbox, and nothing to raise."""
        window = self._window
        return (
            window.in_flight < window.messages
            and window.in_flight_size < window.size
            and self._outbox.has_room  # there is none once the client is closed
            and window.error is None
            and not self._closed
        )

    async def _wait_until_may_send(self) -> None:
        """Wait for room; raises as :meth:`send`, for what has happened before and meanwhile."""
        while True:
            self._check_open()
            if self._outbox is not self._connection.session.outbox:
                self._look_at_session()
            if self._may_send():
                return
            self._press()
            if not self._connection.check_room():
                await self._connection.room.park()
            elif not self._may_send():  # what was pressed may have left room
                await self._lot.park()

    def _press(self) -> None:
        """Have what is gathered written now: somebody is about to wait for its acknowledgement."""
        self._outbox.press()
        self._connection.writer.flush()

    def _wake(self) -> None:
        if not self._window.in_flight:
            self._connection.forget(self._window)
        # All of them, since a sender that is woken may have an error to raise and leave its room to the next.
        # Acknowledgements come in bulk, so each waits through one wake-up for many.
        if self._lot:
            self._lot.unpark_all()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this publisher was closed")
        self._connection.check_open()
        self._raise_error()

    def _raise_error(self) -> None:
        """Raise the first refusal since the last time, if there is one.

        The end of the connection is one too. Where the program itself closed the client, that is said instead.
        """
        error = self._window.take_error()
        if isinstance(error, Disconnected):
            self._connection.check_open()
        if error is not None:
            raise error

    async def flush(self) -> None:
        """Wait until every publication so far is acknowledged: accepted by the bus for all it reaches, or refused.

        Cancelled, they are still on their way.

        Raises:
          TopicTooBroad, PermissionDenied: a publication was refused.
          Disconnected: the connection ended with some not acknowledged; ``Unconfirmed`` where the client reconnects.
          trio.ClosedResourceError: the client was closed here with some not acknowledged.

        """
        self._connection.check_run()
        self._press()
        unacknowledged = self._connection.session.unacknowledged
        end = unacknowledged.end
        await trio.lowlevel.checkpoint()
        # Others may send meanwhile, so that something is always on its way.
        while unacknowledged.has(self._window, end):
            await self._lot.park()
        self._raise_error()

    async def aclose(self) -> None:
        """Send nothing more, and :meth:`flush`, raising what that raises; leaving the block does so.

        Cancelled, the publisher is closed all the same, and what was sent may still be published.
        """
        self._connection.check_run()
        self._closed = True
        for waiting in (self._lot, self._connection.room):
            waiting.unpark_all()
        await self.flush()


def encode_exactly(protocol: type[Body_contra], cls: type, body: Body_contra) -> bytes:
    """Encode a message of this very class: a subclass has a prefix of its own, so its topics are others."""
    if type(body) is not cls:
        _refuse_class(cls, body)
    return encode_as(body, protocol)


def encode_all_exactly(protocol: type[Body_contra], cls: type, bodies: Sequence[Body_contra]) -> list[bytes]:
    """Do as :func:`encode_exactly` for each, after all have been seen to be of the class."""
    for body in bodies:
        if type(body) is not cls:
            _refuse_class(cls, body)
    return encode_all(bodies, protocol)


def _refuse_class(cls: type, body: object) -> NoReturn:
    raise TypeError(f"this publisher sends {cls.__name__}, not {type(body).__name__}")
