"""The router: everything that the connections of one bus mean to each other.

It is one synchronous state machine. A connection's messages are fed to it in order; it changes its tables and puts
what follows from them into the outboxes of whatever connections they concern, without ever waiting for one. Then it is
asked what follows: :meth:`Router.take_dirty` returns the peers that have something to be written or whose connection is
to end, :meth:`Router.take_events` what has happened that people want to know. What depends on time happens in
:meth:`Router.expire`, at :meth:`Router.next_deadline`.

A message can go wrong in two ways. It may ask for something that is refused: its sender is told, and goes on. Or it
may break the wire's rules: :class:`~t2bus.errors.ProtocolViolation` leaves :meth:`Router.feed`, and the owner ends
that one connection.

The law of this module: no I/O, no clock, no await, and it calls nobody. What it decides depends on the order of calls
and on nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from attrs import define, field

from .. import errors
from ..wire import messages as m
from .about import About
from .access import Verb
from .budget import Budget
from .claims import ClaimTable
from .connections import Connections
from .contests import Contests
from .elsewhere import Elsewhere
from .events import Events
from .forwarding import Forwarding
from .grants import Grants, require
from .hearing import Hearing
from .member import Numbers
from .outbox import DirtyPeers
from .own_topics import OwnTopics
from .peer import ANY, Origin, Peer
from .pubsub import PubSub
from .requests import ServiceTable
from .routes import is_own
from .statistics import BusStatistics, Counters
from .subscriptions import SubscriptionTable
from .turn import Turn
from .welcome import name_in, welcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..limits import Limits
    from .access import Access
    from .events import Event
    from .identity import Identity
    from .service import Service

_Operation = m.Publish | m.Subscribe | m.Unsubscribe | m.Claim | m.Unclaim | m.Ask
"""A message that is answered."""
_Single = _Operation | (m.Hello | m.Cancel | m.Respond | m.Fail) | (m.Ping | m.Pong | m.Goodbye | m.Error)
"""A message that is carried out as a whole: any but a run and a CREDIT."""

_UNKNOWN: Final = Origin()
_OPERATION_STEPS: Final = 16
"""Steps of an operation, publications aside: with its refusal, or its line in the log, it took 7 to 50 us, a step 2."""


@define(eq=False, repr=False)
class Router:
    """The state of one bus."""

    limits: Limits
    access: Access | None = None
    """Without rules everybody may do everything; see :meth:`set_access`."""
    counters: Counters = field(factory=Counters, init=False)
    turn: Turn = field(init=False)
    dirty: DirtyPeers = field(factory=DirtyPeers, init=False)
    events: Events = field(factory=Events, init=False)
    _total: Budget = field(init=False)
    subscriptions: SubscriptionTable = field(init=False)
    _pubsub: PubSub = field(init=False)
    contests: Contests = field(factory=Contests, init=False)
    """Of whom a sign of life is waited for: a PONG, or any other that the owner of the router has seen."""
    _ended: list[str | Service] = field(factory=list, init=False)
    _services: ServiceTable = field(init=False)
    _grants: Grants = field(init=False)
    elsewhere: Elsewhere = field(init=False)
    """The other servers of this bus."""
    _hearing: Hearing = field(init=False)
    about: About = field(init=False)
    """What the bus says of itself."""
    _own_topics: OwnTopics = field(init=False)
    connections: Connections = field(init=False)
    _peers: dict[int, Peer] = field(init=False)
    """Those of the connections, which are looked up for each batch."""

    def __attrs_post_init__(self) -> None:
        """Make the parts, which share one set of limits and counters."""
        limits, counters = self.limits, self.counters
        self._total = total = Budget(limits.total_bytes, limits.connections)
        self.turn = turn = Turn(limits.turn_steps)
        self.connections = Connections(limits, total, self.dirty)
        self._peers = self.connections.peers
        numbers = Numbers()
        claims = ClaimTable(limits, self.contests, self.events, self._ended)
        self.subscriptions = subscriptions = SubscriptionTable(limits, counters, total, self.events, self._ended, turn)
        forwarding = Forwarding(limits, subscriptions)
        self._pubsub = pubsub = PubSub(limits, counters, total, subscriptions, forwarding)
        self._services = services = ServiceTable(limits, counters, claims, numbers, turn)
        self.elsewhere = elsewhere = Elsewhere(numbers, subscriptions, claims, services)
        self._grants = Grants(limits, self.access)
        self.about = About(limits, counters, total, self.connections, subscriptions, services, elsewhere)
        self._own_topics = own_topics = OwnTopics(self.about, elsewhere, services)
        self._hearing = Hearing(elsewhere, subscriptions, services, forwarding, pubsub, own_topics)

    def __len__(self) -> int:
        """Return the number of connections."""
        return len(self.connections.peers)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of any connection, as in a bus to which nobody has come yet."""
        tables = self._total, self.subscriptions, self._services
        return not self.connections.peers and all(table.is_empty for table in tables)

    # --- connections

    def connect(
        self,
        hello: m.ClientMessage,
        who: Identity,
        origin: Origin = _UNKNOWN,
        *,
        tells_gaps: bool = True,
        pings: bool = True,
        deep: float = ANY,
    ) -> Peer:
        """Let a client in, whoever the transport says it is, and put its WELCOME in its outbox.

        ``hello`` is its first message. The rest says what its wire has no words for, as in :class:`.Peer`.

        Raises:
          ProtocolViolation: the first message is no HELLO of a version that is spoken here.

        """
        name, granted = name_in(hello), self._grants.of(who)
        peer = self.connections.open(
            who, granted, tells_gaps=tells_gaps, pings=pings, deep=deep, name=name, origin=origin
        )
        peer.outbox.put_control(welcome(self.limits, peer.id))
        self.events.note("connected", peer, text=origin.address)
        return peer

    def join(self, node: str, who: Identity, origin: Origin = _UNKNOWN) -> Peer:
        """Let another server of the bus in; what it is told of the clients here is in its outbox."""
        peer = self.connections.open_uncounted(who, None, name=node, origin=origin, pings=False, server=node)
        self.elsewhere.join(peer)
        return peer

    def disconnect(self, peer: Peer, reason: str = "") -> None:
        """Forget a connection, for this reason, and tell everyone whom its end concerns; idempotent."""
        if self.connections.discard(peer):
            self.turn.begin()
            peer.outbox.close()
            is_told = self.elsewhere.leave(peer) if peer.server else True
            self.subscriptions.disconnect(peer)
            self._services.disconnect(peer)
            self.subscriptions.share_room()
            if is_told:
                self.events.note("lost" if peer.server else "left", peer, text=reason)

    # --- what follows

    def take_dirty(self) -> list[Peer]:
        """Return the peers that have something to be written, or whose connection is to end, since the last time."""
        if self._ended:
            self.elsewhere.follow()
        return self.connections.take_dirty()

    def take_events(self) -> list[Event]:
        """Return what has happened since the last time, and put it on its way to those who have subscribed to it."""
        events = self.events.take()
        if len(self.subscriptions.own):
            for event in events:
                self._pubsub.announce(event)
        return events

    # --- messages

    def feed(self, peer: Peer, messages: Sequence[m.ClientMessage], now: float) -> Sequence[m.ClientMessage]:
        """Carry out messages of a connection: as many as one turn allows (``Limits.turn_steps``), and behind the first
        only while its outbox is calm.

        Returns:
          Those that are left for its next turn, nearly always none. After :meth:`disconnect` all are dropped.

        Raises:
          ProtocolViolation: a message breaks the rules of the wire; those before it were carried out.

        """
        if peer.id not in self._peers:
            return ()
        if server := peer.server:
            self.elsewhere.members[peer.id].heard_at = now
        turn = self.turn
        turn.begin()
        for place, message in enumerate(messages):
            if turn.taken >= turn.end or (place and not peer.outbox.is_calm):
                return messages[place:]
            rest: m.ClientMessage | None = None
            if isinstance(message, m.PublishRun):
                rest = self._publish_run(peer, message, now)
            elif server and not isinstance(message, m.Publish):
                turn.taken = self._hearing.hear(self.elsewhere.members[peer.id], message, now) + turn.taken
            elif isinstance(message, m.Credit):
                rest = self.subscriptions.credit(peer, message, now)
            else:
                turn.taken = self._carry_out(peer, message, now) + turn.taken  # last, as steps are counted in there too
            if rest is not None:
                return [rest, *messages[place + 1 :]]
        return ()

    def _carry_out(self, peer: Peer, message: _Single, now: float) -> int:
        """Carry out one message, and return the steps that it took."""
        match message:
            # Those that come most often stand first: a class pattern costs as much as a call.
            case m.Respond():
                self._services.respond(peer, message)
            case m.Publish() | m.Ask() | m.Subscribe() | m.Unsubscribe() | m.Claim() | m.Unclaim():
                return self._operate(peer, message, now)
            case m.Fail():
                self._services.fail(peer, message)
            case m.Cancel():
                self._services.cancel(peer, message.request)
            case m.Ping():
                peer.put_sign(m.Pong(message.token))
            case m.Pong():
                self.contests.end(peer)
            case m.Goodbye():
                peer.end("")
            case m.Error():
                peer.end(f"it says: {message.text}")
            case m.Hello():
                raise errors.ProtocolViolation("HELLO is said once")
            case _:
                assert_never(message)
        return 1

    def _operate(self, peer: Peer, message: _Operation, now: float) -> int:
        """Carry out a message that is answered, or refuse it, and return the steps that it took."""
        peer.begin(message.id)
        try:
            if peer.permissions is not None:
                require(peer.permissions, message)
            match message:
                case m.Publish():
                    return self._pubsub.publish(peer, message, now)
                case m.Ask() if is_own(message.topic):
                    return self._own_topics.request(peer, message, now)
                case m.Ask():
                    self._services.request(peer, message, now)
                case m.Subscribe():
                    self.subscriptions.subscribe(peer, message)
                    self.elsewhere.subscribed(peer, message.id, message.topic)
                case m.Unsubscribe():
                    self.subscriptions.unsubscribe(peer, message)
                case m.Claim():
                    self.elsewhere.claimed(self._services.claim(peer, message, now))
                case m.Unclaim():
                    self.elsewhere.unclaimed(peer, message.id, self._services.unclaim(peer, message))
                case _:
                    assert_never(message)
        except errors.ProtocolViolation:
            raise
        except errors.BusError as error:
            self._refuse(peer, message.id, error)
            return self._steps_of(error)
        return _OPERATION_STEPS

    def _publish_run(self, peer: Peer, message: m.PublishRun, now: float) -> m.PublishRun | None:
        """Carry out a run, or a part of it, and return what is left of it."""
        peer.begin(message.id)
        rest = None
        try:
            if peer.permissions is not None:
                peer.permissions.check(Verb.PUBLISH, message.run.topic)
            steps, rest = self._pubsub.publish_run(peer, message, now)
        except errors.BusError as error:
            steps = len(message.run.payloads) + self._steps_of(error)
            for operation, _ in enumerate(message.run.payloads, message.id):
                self._refuse(peer, operation, error)
        peer.last_operation = (message.id + len(message.run.payloads) if rest is None else rest.id) - 1
        self.turn.taken += steps
        return rest

    def _refuse(self, peer: Peer, operation: int, error: errors.BusError) -> None:
        if isinstance(error, errors.PermissionDenied):
            self.counters.denied += 1
            self.events.note("denied", peer, text=str(error))
        peer.refuse(operation, error)

    def _steps_of(self, error: errors.BusError) -> int:
        return self.limits.matching_steps if isinstance(error, errors.TopicTooBroad) else _OPERATION_STEPS

    # --- access rules

    def set_access(self, access: Access) -> None:
        """Put other rules in force. Whoever has subscribed to, or serves, what is forbidden now is expelled."""
        self.access = access
        self._grants = Grants(self.limits, access)
        self.turn.begin()
        self._grants.enforce(self.connections.peers.values(), self.subscriptions, self._services)
        self.subscriptions.share_room()

    # --- room and time

    def written(self, peer: Peer) -> None:
        """Note that what was taken from a connection's outbox is with the network, and use the room."""
        peer.outbox.written()
        if peer.waits_for_room:
            self.turn.begin()
            peer.waits_for_room = self.subscriptions.written(peer) | self._services.withdrawals.written(peer)
        if self._total.is_short:
            self.subscriptions.share_room()

    @property
    def is_drained(self) -> bool:
        """Whether all that was accepted is written, and answered."""
        return self._total.is_empty and not self._services.is_waited_for

    def say_goodbye(self, text: str) -> None:
        """Put a last message in every outbox: the bus shuts down."""
        for peer in self.connections.peers.values():
            peer.outbox.put_control(m.Goodbye(text), text)

    def expire(self, now: float) -> None:
        """Do what is due, and what earlier calls have left: a turn of each. More than that is due at once, again."""
        self.turn.begin()
        self.subscriptions.expire(now)
        self.turn.begin()
        self._services.expire(now)
        self.subscriptions.share_room()

    def next_deadline(self) -> float | None:
        """Return when :meth:`expire` has to be called next, if ever."""
        deadlines = (self.subscriptions.next_deadline(), self._services.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def statistics(self) -> BusStatistics:
        """Return what the bus looks like now."""
        return self.about.statistics()
