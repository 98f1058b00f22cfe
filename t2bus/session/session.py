"""The session: what a client has asked the bus for and what has become of it.

It mirrors the router. The program's calls put messages in the session's outbox and register what waits for the answer;
the bus's messages are fed to it. What follows from them, it returns: the *windows* that have something new, those of
subscriptions, services and publishers, and the calls that nobody waits for any more. Only an answer goes directly to
what was registered for it, under the id of its operation and at most once: a count, a response, or the error that the
caller is to raise. A caller that stops waiting takes its entry away, and a late answer finds nobody and is dropped.

Arguments are checked here before anything is put in the outbox, against what the bus said of itself in its WELCOME. A
session is one connection's. Subscriptions and services go on in that of the next one (:mod:`.resuming`).

The law of this module: no I/O, no clock, no await, and but for answers it calls nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from attrs import asdict, define, field

from .. import errors
from ..wire import messages as m
from ..wire import values as v
from .body import Bounds
from .counters import ClientCounters, ClientStatistics
from .credit import CreditDue
from .pending import PendingOperations
from .registrations import Registrations, require_place
from .subscription_options import USUAL, SubscriptionOptions
from .unacknowledged import PublisherWindow, Unacknowledged
from .windows import CallWindow, PendingCall, ReceiveWindow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..limits import Limits
    from .body import EncodedBatch
    from .outbox import ClientOutbox
    from .pending import Done


@define(eq=False, repr=False)
class Session:
    """The state of one client's connection."""

    limits: Limits
    welcome: m.Welcome
    outbox: ClientOutbox
    compress: bool = False
    """Whether large payloads are worth compressing on this connection."""
    counters: ClientCounters = field(factory=ClientCounters)
    bounds: Bounds = field(init=False)
    """What may be sent."""
    farewell: str | None = field(default=None, init=False)
    """How the bus ended the connection, once it has."""
    closed: errors.BusError | None = field(default=None, init=False)
    is_lost: bool = field(default=False, init=False)
    """Whether it has ended so that another session may go on with what is open."""
    registrations: Registrations = field(init=False)
    subscriptions: dict[int, ReceiveWindow] = field(init=False)
    credit: CreditDue = field(init=False)
    """What the subscriptions owe to the bus."""
    services: dict[int, CallWindow] = field(init=False)
    requests: int = field(default=0, init=False)
    _pending: PendingOperations = field(factory=PendingOperations, init=False)
    unacknowledged: Unacknowledged = field(factory=Unacknowledged, init=False)
    """What no single caller waits for."""
    _news: dict[object, None] = field(factory=dict, init=False)
    _last_operation: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Make the parts."""
        self.bounds = Bounds(self.welcome, self.compress)
        self.credit = CreditDue(self.outbox)
        self.registrations = opened = Registrations(self.limits.service_bytes)
        self.subscriptions, self.services = opened.subscriptions, opened.services

    def check_open(self) -> None:
        """Raise the error that the connection ended with, if it did."""
        if self.closed is not None:
            raise errors.anew(self.closed)

    @property
    def unanswered(self) -> int:
        """The number of operations that wait for their answer."""
        return len(self._pending) + self.unacknowledged.count

    @property
    def is_quiet(self) -> bool:
        """Whether at most one operation of this client waits for its answer, and no request for that of the program."""
        return self.unanswered <= 1 and not self.registrations.calls

    # --- operations: each returns its id; ``done`` is called with the outcome unless ``forget`` came first. Behind the
    # end of the connection they raise its error if somebody waits.

    def begin(self, done: Done | None) -> int:
        """Begin an operation whose message the caller puts in the outbox."""
        self._last_operation = number = self._last_operation + 1
        if done is not None:
            if self.closed is not None:
                self.check_open()
            self._pending.add(number, done)
        return number

    def forget(self, operation: int) -> None:
        """Stop waiting for an operation that may still be carried out."""
        self._pending.forget(operation)

    def publish(self, topic: str, encoded: v.EncodedBody, done: Done, *, paced: bool = False) -> int:
        """Publish; the outcome is a receipt."""
        number = self.begin(done)
        self.counters.published += 1
        self.outbox.publish(number, topic, encoded, paced=paced, pressing=True)
        return number

    def stream(self, topic: str, encoded: v.EncodedBody, owner: PublisherWindow, paced: bool) -> None:  # noqa: FBT001 -- a keyword takes time for each message
        """Publish for a pipelined publisher, which is told of the outcomes of many at once."""
        if self.closed is not None:
            self.check_open()
        self._last_operation = number = self._last_operation + 1
        self.counters.published += 1
        self.unacknowledged.add(number, encoded[2], owner)
        self.outbox.publish(number, topic, encoded, paced=paced, pressing=False)

    def stream_all(self, topic: str, batch: EncodedBatch, owner: PublisherWindow, *, paced: bool) -> None:
        """Do as :meth:`stream` for each of a batch."""
        self.check_open()
        for encoded in batch.apart:
            self.stream(topic, encoded, owner, paced)
        if count := len(batch.payloads):
            first = self._last_operation + 1
            self._last_operation += count
            self.counters.published += count
            self.unacknowledged.add_all(first, batch.sizes, owner)
            self.outbox.publish_all(first, topic, batch.payloads, batch.sizes, paced=paced)

    def subscribe(self, topic: str, done: Done, options: SubscriptionOptions = USUAL) -> ReceiveWindow:
        """Subscribe; the window is ready before the bus has answered, so nothing that follows the answer is missed."""
        require_place(self.subscriptions, self.welcome.subscriptions, "subscriptions")
        number = self.begin(done)
        window = options.window(number, self.limits, self.welcome, self.counters)
        self.outbox.put(self.registrations.open(number, topic, window))
        return window

    def unsubscribe(self, window: ReceiveWindow, done: Done | None) -> int:
        """Have the bus end a subscription; what still comes is dropped, if it has had its :meth:`end` here before."""
        self.credit.forget(window)
        number = self.begin(done)
        self.outbox.put(m.Unsubscribe(number, window.id))
        return number

    def claim(self, topic: str, done: Done) -> CallWindow:
        """Serve a topic; the window is ready before the bus has answered."""
        require_place(self.services, self.welcome.services, "services")
        number = self.begin(done)
        window = CallWindow(number, self.limits.service_requests)
        self.outbox.put(self.registrations.open(number, topic, window))
        return window

    def unclaim(self, window: CallWindow, done: Done | None, *, finishes: bool = False) -> int:
        """Have the bus end a service, which has had its :meth:`end` here before, or ``finishes`` what it has."""
        number = self.begin(done)
        self.outbox.put(m.Unclaim(number, window.id, finishes))
        return number

    def request(self, topic: str, encoded: v.EncodedBody, timeout: int | None, done: Done) -> int:
        """Ask the service of a topic; the outcome is a response. End it with :meth:`end_request` whatever comes.

        Raises:
          LimitExceeded: as many requests of this connection are pending as the bus allows.

        """
        if (most := self.welcome.requests) <= self.requests:
            text = f"{most} requests of this connection are pending, all that Limits.requests of the bus allows"
            raise errors.LimitExceeded(f"{text}: wait for some, or open a second connection")
        number = self.begin(done)
        self.requests += 1
        self.counters.requested += 1
        payload, headers, size = encoded
        self.outbox.put(m.Ask(number, timeout, topic, payload, headers), size)
        return number

    def end_request(self, operation: int) -> None:
        """Leave a request; if it has no outcome yet the bus and the responder are told."""
        self.requests -= 1
        if self._pending.forget(operation):
            self.outbox.put(m.Cancel(operation))

    def respond(self, window: CallWindow, pending: PendingCall, encoded: v.EncodedBody) -> None:
        """Answer a request; if nobody waits any more this only frees its place."""
        payload, headers, size = encoded
        self._end_call(window, pending, m.Respond(pending.call.id, payload, headers), size)

    def fail(self, window: CallWindow, pending: PendingCall, code: v.ErrorCode, text: str) -> None:
        """End a request without an answer."""
        self._end_call(window, pending, m.Fail(pending.call.id, code, text), len(text))

    def _end_call(self, window: CallWindow, pending: PendingCall, message: m.Respond | m.Fail, size: int) -> None:
        self.counters.late_responses += pending.withdrawn
        if self.registrations.end_call(window, pending):
            # Whoever has more to answer is about to say more.
            self.outbox.put(message, size, pressing=not window.pending)

    # --- what the bus says

    def feed(self, messages: Iterable[m.ServerMessage]) -> Iterable[object]:
        """Take messages of the bus in.

        Returns:
          What has something new: windows, those of publishers too, and each :class:`.PendingCall` that nobody waits for
          any more. Then see :attr:`farewell`.

        Raises:
          ProtocolViolation: the bus breaks the rules of the wire; close the connection.

        """
        for message in messages:
            self._feed(message)
        return self.take_news() if self._news else ()

    def take_news(self) -> Iterable[object]:
        """Return what has something new since the last time."""
        news, self._news = self._news, {}
        return news

    def _feed(self, message: m.ServerMessage) -> None:
        match message:
            case m.Deliver():
                self._deliver(message)
            case m.DeliverRun():
                self._deliver_run(message)
            case m.Accepted():
                self._accept(message)
            case m.Unreached():
                self.unacknowledged.note_missed(message.first, message.counts)
                self._pending.note_missed(message)
            case m.Response():
                self._pending.resolve(message.request, message)
            case m.Refused():
                self._refuse(message.id, message.code.error(message.text))
            case m.Call():
                if (service := self.registrations.put_call(message)) is not None:
                    self._news[service] = None
            case m.Withdraw():
                self._withdraw(message.call)
            case m.Gap():
                if (window := self.subscriptions.get(message.subscription)) is not None:
                    self.counters.dropped += message.dropped
                    window.put_gap(message.dropped)
                    self._news[window] = None
            case m.Ping():
                self.outbox.put_sign(m.Pong(message.token))
            case m.Goodbye():
                self.farewell = f"the bus said goodbye: {message.text}"
            case m.Error():
                self.farewell = f"the bus closed this connection: {message.text}"
            case m.Welcome():
                raise errors.ProtocolViolation("WELCOME is said once")
            case m.Pong():
                pass
            case _:
                assert_never(message)

    def _deliver(self, message: m.Deliver) -> None:
        for number in message.subscriptions:
            if (window := self.subscriptions.get(number)) is not None:
                self.counters.received += 1
                window.put(message.publication)
                self._news[window] = None

    def _deliver_run(self, message: m.DeliverRun) -> None:
        for number in message.subscriptions:
            if (window := self.subscriptions.get(number)) is not None:
                self.counters.received += len(message.run.payloads)
                window.put_run(message.run)
                self._news[window] = None

    def _accept(self, message: m.Accepted) -> None:
        unacknowledged, first, counts = self.unacknowledged, message.first, message.counts
        if unacknowledged.count and unacknowledged.acknowledge(first, counts, self._news) == len(counts):
            return
        self._pending.accept(message)

    def _refuse(self, operation: int, error: errors.BusError) -> None:
        if (publisher := self.unacknowledged.refuse(operation, error)) is not None:
            self._news[publisher] = None
        elif operation in self._pending or (service := self.services.get(operation)) is None:
            self._pending.resolve(operation, error)
        else:
            # It was accepted, and is refused after all: the bus has taken the claim away.
            self.end(service, errors.ServiceRevoked(str(error)))

    def _withdraw(self, number: int) -> None:
        if (withdrawn := self.registrations.withdraw(number)) is not None:
            service, pending, is_unseen = withdrawn
            if is_unseen:
                self.fail(service, pending, v.ErrorCode.REMOTE_ERROR, "withdrawn before it was taken")
            self._news[pending] = None

    def lose(self, error: errors.BusError, resumed: Iterable[int] = ()) -> None:
        """End the connection, but keep what another can go on with; then :meth:`take_news`.

        Operations end with this error, and pending calls. Subscriptions, services and publishers stay; ``resumed`` are
        those that were open before, though this bus has not answered them yet.
        """
        if self.closed is None:
            news = self.registrations.lose(self._pending.numbers - {*resumed})
            self._end(error, publishers=None)
            self.note(news)
            self.is_lost = True

    def close(self, error: errors.BusError) -> None:
        """End everything that waits with this error; then :meth:`take_news`. The first reason stands."""
        if self.closed is None:
            self._end(error, publishers=error)
        elif self.is_lost:
            self.closed, self.is_lost = error, False
        self.note(self.registrations.close(error))

    def _end(self, error: errors.BusError, publishers: errors.BusError | None) -> None:
        self.closed = error
        self.outbox.close()
        self.note(self.unacknowledged.close(publishers))
        self._pending.close(error)
        self.credit.clear()

    def end(self, window: ReceiveWindow | CallWindow, error: errors.BusError) -> bool:
        """Let a subscription or a service end here with an error; then :meth:`take_news`.

        Tell whether it was open: of one that has ended before the bus knows nothing.
        """
        self.note(news := self.registrations.end(window, error))
        return bool(news)

    def note(self, news: Iterable[object]) -> None:
        """Return this, too, among what has something new."""
        self._news.update(dict.fromkeys(news))

    def statistics(self) -> ClientStatistics:
        """Return what the connection looks like now."""
        return ClientStatistics(
            requests_pending=self.requests,
            outbox_bytes=self.outbox.size,
            **self.registrations.load(),
            **asdict(self.counters),
        )
