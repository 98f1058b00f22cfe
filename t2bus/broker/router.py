"""The router: everything that the connections of one bus mean to each other.

It is one synchronous state machine. A connection's messages are fed to it in order; it changes its tables and puts
what follows from them into the outboxes of whatever connections they concern, without ever waiting for one. What
depends on time happens in :meth:`Router.expire`, which the owner calls at :meth:`Router.next_deadline`.

A message can go wrong in two ways. It may ask for something that is refused: its sender is told, and goes on. Or it
may break the wire's rules: :class:`~t2bus.errors.ProtocolViolation` leaves :meth:`Router.feed`, and the owner ends
that one connection.

The law of this module: no I/O, no clock, no await. What it decides depends on the order of calls and on nothing else.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, assert_never
from weakref import WeakValueDictionary

from attrs import define, field

from .. import errors
from ..wire import messages as m
from ..wire.compression import ZLIB
from ..wire.native import VERSION
from ..wire.values import FRAME_OVERHEAD, ErrorCode
from .access import Verb
from .outbox import Budget, Outbox
from .peer import Peer
from .pubsub import PubSub
from .requests import ServiceTable
from .statistics import BusStatistics, Counters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..limits import Limits
    from .access import Access, Permissions
    from .identity import Identity

__all__ = ["AGENT", "Router"]

AGENT = "t2bus"

_ID_SIZE = 9
"""The bytes of one subscription id in a delivery, at most."""


@define(eq=False, repr=False)
class Router:
    """The state of one bus."""

    limits: Limits
    alarm: Callable[[], None]
    """Called when :meth:`next_deadline` has come nearer than a second or so: a subscriber may stall."""
    report: Callable[[Identity, str], None]
    """Called when the access rules have refused something to somebody; the text says what and to whom."""
    access: Access | None = None
    """Without rules everybody may do everything; see :meth:`set_access`."""
    counters: Counters = field(factory=Counters, init=False)
    _total: Budget = field(init=False)
    _pubsub: PubSub = field(init=False)
    _services: ServiceTable = field(init=False)
    _granted: WeakValueDictionary[Identity, Permissions] = field(factory=WeakValueDictionary, init=False)
    """What the connections of one identity share, because it remembers verdicts, which takes memory."""
    _peers: dict[int, Peer] = field(factory=dict, init=False)
    _last_peer: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Make the parts, which share one set of limits and counters."""
        self._total = Budget(self.limits.total_bytes)
        self._pubsub = PubSub(self.limits, self.counters, self.alarm, self._total)
        self._services = ServiceTable(self.limits, self.counters)

    def connect(
        self,
        hello: m.ClientMessage,
        identity: Identity,
        *,
        wake: Callable[[], None],
        close: Callable[[str], None],
        expel: Callable[[str], None],
    ) -> Peer:
        """Let a client in and put its WELCOME in its outbox.

        Args:
          hello: the first message of the connection.
          identity: whom the transport says this is.
          wake: called whenever the outbox stops being empty.
          close: called with a reason when the connection has to end; the owner then calls :meth:`disconnect`, but not
            from within.
          expel: the same for a connection that is still to be written what waits for it.

        Raises:
          ProtocolViolation: the first message is no HELLO of a version that is spoken here.

        """
        if not isinstance(hello, m.Hello):
            raise errors.ProtocolViolation("the first message is not HELLO")
        if hello.version != VERSION:
            raise errors.ProtocolViolation(f"version {hello.version} of the wire is not spoken here, only {VERSION}")
        limits = self.limits
        self._last_peer += 1

        def overflow() -> None:
            close("it does not read: control messages that may not be dropped do not fit (Limits.control_bytes)")

        outbox = Outbox(limits.outbox_bytes, limits.control_bytes, self._total, wake, overflow)
        peer = self._peers[self._last_peer] = Peer(self._last_peer, identity, outbox, close, expel, hello.dialect)
        peer.permissions = self._permissions(identity)
        outbox.put_control(
            m.Welcome(
                version=VERSION,
                agent=AGENT,
                compressions=(ZLIB,),
                connection=peer.id,
                frame=limits.frame,
                delivery=limits.frame + FRAME_OVERHEAD + _ID_SIZE * limits.subscriptions,
                topic_length=limits.topic_length,
                topic_depth=limits.topic_depth,
                requests=limits.requests,
                subscriptions=limits.subscriptions,
                services=limits.services,
                subscription_messages=limits.subscription_messages,
                subscription_bytes=limits.subscription_bytes,
            )
        )
        return peer

    def disconnect(self, peer: Peer) -> None:
        """Forget a connection and tell everyone whom its end concerns. Doing it twice is doing it once."""
        if self._peers.pop(peer.id, None) is not None:
            peer.outbox.close()
            self._pubsub.disconnect(peer)
            self._services.disconnect(peer)

    def feed(self, peer: Peer, message: m.ClientMessage, now: float) -> None:
        """Carry out one message of a connection.

        Raises:
          ProtocolViolation: the message breaks the rules of the wire; nothing of it was carried out.

        """
        match message:
            # Those that come most often stand first: a class pattern costs as much as a call.
            case m.Respond():
                self._services.respond(peer, message)
            case m.PublishRun():
                self._publish_run(peer, message, now)
            case m.Publish() | m.Ask() | m.Subscribe() | m.Unsubscribe() | m.Claim() | m.Unclaim():
                peer.begin(message.id)
                try:
                    if peer.permissions is not None:
                        _require(peer.permissions, message)
                    self._operate(peer, message, now)
                except errors.ProtocolViolation:
                    raise
                except errors.BusError as error:
                    self._refuse(peer, message.id, error)
            case m.Credit():
                self._pubsub.credit(peer, message, now)
            case m.Fail():
                self._services.fail(peer, message)
            case m.Cancel():
                self._services.cancel(peer, message.request)
            case m.Ping():
                peer.outbox.put_control(m.Pong(message.token))
            case m.Pong():
                pass
            case m.Goodbye():
                peer.close("")
            case m.Error():
                peer.close(f"it says: {message.text[:200]}")
            case m.Hello():
                raise errors.ProtocolViolation("HELLO is said once")
            case _:
                assert_never(message)

    def _refuse(self, peer: Peer, operation: int, error: errors.BusError) -> None:
        if isinstance(error, errors.PermissionDenied):
            self.counters.denied += 1
            self.report(peer.identity, str(error))
        peer.refuse(operation, error)

    def _publish_run(self, peer: Peer, message: m.PublishRun, now: float) -> None:
        peer.begin(message.id, len(message.run.payloads))
        try:
            if peer.permissions is not None:
                peer.permissions.check(Verb.PUBLISH, message.run.topic)
            self._pubsub.publish_run(peer, message, now)
        except errors.BusError as error:
            for operation, _ in enumerate(message.run.payloads, message.id):
                self._refuse(peer, operation, error)

    def _operate(
        self,
        peer: Peer,
        message: m.Publish | m.Subscribe | m.Unsubscribe | m.Claim | m.Unclaim | m.Ask,
        now: float,
    ) -> None:
        """Carry out a message that is answered; its BusError is its refusal."""
        match message:
            case m.Publish():
                self._pubsub.publish(peer, message, now)
            case m.Ask():
                self._services.request(peer, message, now)
                if peer.dialect is m.Dialect.T2:
                    # Its clients wait for this first, and only so long.
                    peer.outbox.acknowledge(message.id, 0)
            case m.Subscribe():
                self._pubsub.subscribe(peer, message)
            case m.Unsubscribe():
                self._pubsub.unsubscribe(peer, message)
            case m.Claim():
                self._services.claim(peer, message)
            case m.Unclaim():
                self._services.unclaim(peer, message)
            case _:
                assert_never(message)

    def _permissions(self, identity: Identity) -> Permissions | None:
        if self.access is None:
            return None
        granted = self._granted.get(identity)
        if granted is None:
            limits = self.limits
            granted = self.access.permissions(identity, length=limits.topic_length, depth=limits.topic_depth)
            self._granted[identity] = granted
        return granted

    def set_access(self, access: Access) -> None:
        """Put other rules in force. Whoever has subscribed to, or serves, what is forbidden now is expelled."""
        self.access = access
        self._granted.clear()
        for peer in list(self._peers.values()):
            permissions = peer.permissions = self._permissions(peer.identity)
            assert permissions is not None
            try:
                for subscription in peer.subscriptions.values():
                    permissions.check(Verb.SUBSCRIBE, subscription.topic)
                for service in peer.services.values():
                    permissions.check(Verb.SERVE, service.topic)
            except errors.PermissionDenied as error:
                reason = f"the access rules have changed: {error}"
                # Now, not when it has gone: it may take its time to read what waits, and is to hear nothing newer.
                self._pubsub.disconnect(peer)
                self._services.disconnect(peer)
                peer.outbox.put_control(m.Error(reason), reason)
                peer.expel(reason)

    def written(self, peer: Peer, now: float) -> None:
        """Note that what was taken from a connection's outbox is with the network, and use the room."""
        peer.outbox.written()
        if peer.behind:
            self._pubsub.written(peer, now)
        if peer.untold:
            self._services.written(peer)
        if self._total.is_short:
            self._pubsub.share_room()

    def withhold(self, peer: Peer, count: int, calls: Sequence[int]) -> None:
        """Note that so many messages were not sent to a client that could not have borne them, requests among them."""
        self.counters.withheld += count
        for call in calls:
            text = "its service cannot be sent this request: it is too large for the wire of the service"
            self._services.fail(peer, m.Fail(call, ErrorCode.REMOTE_ERROR, text))

    def say_goodbye(self, text: str) -> None:
        """Put a last message in every outbox: the bus shuts down."""
        for peer in self._peers.values():
            peer.outbox.put_control(m.Goodbye(text), text)

    def expire(self, now: float) -> None:
        """Do what is due."""
        self._pubsub.expire(now)
        self._services.expire(now)

    def next_deadline(self) -> float | None:
        """Return when :meth:`expire` has to be called next, if ever."""
        deadlines = (self._pubsub.next_deadline(), self._services.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def statistics(self) -> BusStatistics:
        """Return what the bus looks like now."""
        counters = self.counters
        return BusStatistics(
            connections=len(self._peers),
            identities=dict(Counter(peer.identity.name for peer in self._peers.values())),
            subscriptions=len(self._pubsub),
            services=len(self._services),
            requests_pending=self._services.pending,
            deliveries_held=self._pubsub.held,
            buffered_bytes=self._total.used,
            published=counters.published,
            delivered=counters.delivered,
            dropped=counters.dropped,
            requests=counters.requests,
            requests_busy=counters.busy,
            late_responses=counters.late_responses,
            violations=counters.violations,
            refused=counters.refused,
            denied=counters.denied,
            withheld=counters.withheld,
        )


def _require(permissions: Permissions, message: m.ClientMessage) -> None:
    """Raise ``PermissionDenied`` unless the operation is permitted."""
    match message:
        case m.Publish():
            permissions.check(Verb.PUBLISH, message.publication.topic)
        case m.Subscribe():
            permissions.check(Verb.SUBSCRIBE, message.topic)
        case m.Claim():
            permissions.check(Verb.SERVE, message.topic)
        case m.Ask():
            permissions.check(Verb.REQUEST, message.topic)
        case _:
            pass  # the end of what was permitted when it began
