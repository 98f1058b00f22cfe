"""The router task: the one task of a bus that owns its router.

Whoever reads from a peer puts what one read brought into the *inbox*, a bounded channel, and waits when that is full.
The router task works in rounds. In each it takes what has come, gives every peer that has something there one *turn* of
at most ``Limits.turn_steps``, and then has written what followed from it. Other tasks run each time that so many steps
were taken, by one peer or by many. What a peer has left waits for its next turn, and nothing more is read from it
meanwhile; so a peer that has much to say holds nobody up for longer than its turn. Who says what leads to answers
faster than they are written has no turn until some were: half of ``Limits.control_bytes`` is for what others cause.

What a lone message leads to is written at once, by this task: to wake the task of a writer takes longer than all else
that is done for it. What comes in batches is left to the writers, which gather what several peers have for one.

The law of this module: a peer's messages are carried out in their order, and its end comes behind them.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

import trio
from attrs import define, field

from ..errors import ProtocolViolation
from ..wire.messages import Ask, Claim, ClientMessage, Error, Ping, Publish, PublishRun, ServerMessage, Subscribe
from .log import EventLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..broker.peer import Ending, Peer
    from ..broker.router import Router

_logger = logging.getLogger("t2bus.server")

_END: Final = ()
"""In the place of a batch: nothing more is read from the peer."""

_WAKE: Final[list[ClientMessage]] = []
"""In the place of a batch: there is a turn to give."""

_NEW_WORK: Final = (Publish, PublishRun, Ask, Subscribe, Claim)
"""What is not begun any more when the bus drains."""


@define(eq=False, repr=False, slots=False)
class PeerConnection(ABC):
    """A connection as the router task knows it: whose messages come, and who takes what follows from them.

    What follows goes out batch by batch, through a channel of capacity 1: a batch is all that waits in the outbox when
    the one before it is with whoever takes it.
    """

    peer: Peer
    router_task: RouterTask
    outgoing: trio.MemoryReceiveChannel[Sequence[ServerMessage]] = field(init=False)
    """The end of that channel from which batches are taken."""
    reason: str = field(default="", init=False)
    """Why the connection ends, for the log; the first reason stands."""
    _batch_sender: trio.MemorySendChannel[Sequence[ServerMessage]] = field(init=False)
    _is_outgoing_full: bool = field(default=False, init=False)
    """Whether a batch is out and not :meth:`note_sent`, or none goes out any more."""
    batches: deque[Sequence[ClientMessage]] = field(factory=deque, init=False)
    """What was taken from the inbox and waits for a turn."""
    ended: trio.Event = field(factory=trio.Event, init=False)
    """Set when the connection is over and the router has forgotten its peer."""
    is_finishing: bool = field(default=False, init=False)
    """Whether nothing is written behind what waits now. What is read then is dropped, since it cannot be answered."""
    is_held_back: bool = field(default=False, init=False)
    """Whether what waits for a turn gets none until something is written."""
    turn_over: trio.Event | None = field(default=None, init=False)
    """Set when all that was taken from the inbox has been carried out, for whoever reads to go on."""

    def __attrs_post_init__(self) -> None:
        """Open the channel."""
        self._batch_sender, self.outgoing = trio.open_memory_channel(1)

    def flush(self, *, at_once: bool = False) -> None:
        """Have written what waits in the peer's outbox, or end the connection if that is asked for.

        ``at_once`` asks to write it now, if that goes without waiting.
        """
        if self.peer.ending is not None:
            self.is_finishing = True
            self.note_reason(self.peer.ending.reason)
            self.end(self.peer.ending)
        if self._is_outgoing_full:
            return
        messages: Sequence[ServerMessage] | None = self.peer.outbox.take()
        if not messages:
            if self.is_finishing:
                self.end_output()
            return
        if at_once and (messages := self.send_now(messages)) is None:
            self.router_task.router.written(self.peer)
            return
        self._is_outgoing_full = True
        self._batch_sender.send_nowait(messages)

    def note_sent(self) -> None:
        """Take note that a batch is with whoever takes it, and let the next one go out."""
        self._is_outgoing_full = False
        self.router_task.router.written(self.peer)
        self.flush()
        self.router_task.flush()
        if self.is_held_back:
            self.router_task.resume(self)

    @property
    def is_to_be_held_back(self) -> bool:
        """Whether the peer is to read before it is heard, unless nothing follows that leads to more to be read."""
        return not (self.peer.outbox.is_calm or self.is_finishing or _END in self.batches)

    def end_output(self) -> None:
        """Let nothing more go out, behind the batch that is out."""
        self._is_outgoing_full = True
        self._batch_sender.close()

    def send_now(self, messages: Sequence[ServerMessage]) -> Sequence[ServerMessage] | None:
        """Write a batch as far as that goes without waiting; return what is left of it, None if nothing is."""
        return messages

    @abstractmethod
    def end(self, ending: Ending) -> None:
        """End the connection, as its peer has to be ended; nothing more is carried out of what it says."""

    @abstractmethod
    def end_input(self) -> None:
        """Take note that everything that was read has been carried out, and that nothing more is read."""

    def note_reason(self, reason: str) -> None:
        """Keep why the connection ends; the first reason stands."""
        self.reason = self.reason or reason

    def reject(self, reason: str) -> None:
        """Tell the peer why, and end the connection; what it has done stands before any other reason."""
        self.reason = reason
        self.peer.outbox.put_control(Error(reason), reason)
        self.finish()

    @abstractmethod
    def close(self, reason: str) -> None:
        """End the connection at once."""

    def finish(self) -> None:
        """Write what waits and nothing after it, then end the connection; ``ended`` says when that is done.

        The peer closes its end first, because a socket that is closed with bytes unread takes back what it has not sent
        yet.
        """
        self.is_finishing = True
        self.flush()

    @abstractmethod
    def check(self, now: float) -> None:
        """Do what the time asks for; called once a second."""

    @abstractmethod
    def last_heard(self, now: float) -> float:
        """Return when the peer last gave a sign of life."""

    async def hand_over(self, messages: Sequence[ClientMessage]) -> None:
        """Put what was read into the inbox, behind all that came before; ``()`` stands for the end of what is read."""
        while self.batches:
            if self.turn_over is None or self.turn_over.is_set():
                self.turn_over = trio.Event()
            await self.turn_over.wait()
        try:
            self.hand_over_nowait(messages)
        except trio.WouldBlock:
            await self.router_task.inbox.send((self, messages))

    def hand_over_nowait(self, messages: Sequence[ClientMessage]) -> None:
        """Do as :meth:`hand_over`, whatever waits for a turn, or raise ``trio.WouldBlock`` if the inbox is full."""
        self.router_task.inbox.send_nowait((self, messages))


Batch = tuple[PeerConnection, "Sequence[ClientMessage]"]
"""Whose messages they are, and what one read brought."""


@define(eq=False, repr=False)
class RouterTask:
    """The router of one bus, the inbox before it, and the connections behind it."""

    router: Router
    connections: dict[int, PeerConnection] = field(factory=dict, init=False)
    """By the ids of their peers."""
    inbox: trio.MemorySendChannel[Batch] = field(init=False)
    drained: trio.Event | None = field(default=None, init=False)
    """Set when all that was accepted is done. Once there is such an event new work is dropped: its sender hears of the
    end of its connection, and that nobody knows what became of it.
    """
    alarm: trio.Event = field(factory=trio.Event, init=False)
    """Set when something is due earlier than before; whoever waits for it puts another in its place."""
    _batches: trio.MemoryReceiveChannel[Batch] = field(init=False)
    _turns: deque[PeerConnection] = field(factory=deque, init=False)
    """The connections whose batches wait for a turn."""
    _log: EventLog = field(factory=EventLog, init=False)

    def __attrs_post_init__(self) -> None:
        """Open the inbox."""
        self.inbox, self._batches = trio.open_memory_channel(self.router.limits.inbox)

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> NoReturn:
        """Work in rounds, until cancelled."""
        turns, take, turn = self._turns, self._batches.receive, self.router.turn
        while True:
            if not turns:
                self._take_in(*await take())
            is_alone = self._take_all()
            unfinished: list[PeerConnection] = []
            before = turn.taken
            for _ in range(len(turns)):
                connection = turns.popleft()
                self._give_turn(connection)
                if connection.batches and not connection.is_held_back:
                    unfinished.append(connection)
                if turn.taken - before >= turn.steps:  # of one peer, or of many together
                    self.flush()
                    await trio.lowlevel.checkpoint()
                    before = turn.taken
            self.flush(at_once=is_alone)
            if unfinished:
                # Who has come meanwhile is before those who have had a turn.
                await trio.lowlevel.checkpoint()
                self._take_all()
                turns += unfinished

    def _take_in(self, connection: PeerConnection, messages: Sequence[ClientMessage]) -> None:
        """Keep a batch for a turn. The end of a peer has one also where the peer is held back: it reads no more."""
        if not connection.batches or (connection.is_held_back and messages == _END):
            connection.is_held_back = False
            self._turns.append(connection)
        connection.batches.append(messages)

    def _take_all(self) -> bool:
        """Take what else has come, a full inbox at most; tell whether there is one message to do, and no run."""
        turns, take = self._turns, self._batches.receive_nowait
        try:
            for _ in range(self.router.limits.inbox):
                self._take_in(*take())
        except trio.WouldBlock:
            pass
        return len(turns) == 1 and len(turns[0].batches) == 1 and _is_lone(turns[0].batches[0])

    def _give_turn(self, connection: PeerConnection) -> None:
        """Carry out what a peer has said, batch by batch, until all the steps of a turn are used."""
        batches, turn, before = connection.batches, self.router.turn, self.router.turn.taken
        while batches and turn.taken - before < turn.steps:
            self._carry_out(connection)
            if batches and connection.is_to_be_held_back:
                connection.is_held_back = True
                break
        if not batches and connection.turn_over is not None:
            connection.turn_over.set()

    def resume(self, connection: PeerConnection) -> None:
        """Let a connection that was held back have turns again."""
        connection.is_held_back = False
        self._turns.append(connection)
        with suppress(trio.WouldBlock):  # of a full inbox the router task takes more, and it comes to the turns as well
            self.inbox.send_nowait((connection, _WAKE))

    def _carry_out(self, connection: PeerConnection) -> None:
        messages = connection.batches.popleft()
        if not messages:
            if messages == _END:
                connection.end_input()
        elif not connection.is_finishing:
            if self.drained is not None:
                messages = [message for message in messages if not isinstance(message, _NEW_WORK)]
            try:
                # The time of now: what waited here, in a process that computes, is no stall of its sender.
                if rest := self.router.feed(connection.peer, messages, trio.current_time()):
                    connection.batches.appendleft(rest)
            except ProtocolViolation as error:
                self.router.counters.violations += 1
                connection.reject(str(error))
            except Exception:
                # A bug in here must cost one connection, not the bus.
                _logger.exception("a message of %s: internal error", connection.peer.identity)
                connection.close("internal error")

    def flush(self, *, at_once: bool = False) -> None:
        """Do what follows from the last steps of the router: tell what has happened, have written what waits, set the
        alarm.
        """
        router = self.router
        while router.dirty or router.events.noted:
            if router.events.noted:
                self._log.write(router.take_events(), trio.current_time())
            try:
                dirty = router.take_dirty()
            except Exception:
                # A bug in what other servers are told must not cost the bus. It gets further with each look.
                _logger.exception("what has ended: internal error")
                continue
            for peer in dirty:
                if (connection := self.connections.get(peer.id)) is None:
                    continue
                try:
                    connection.flush(at_once=at_once)
                except Exception:
                    _logger.exception("what was to be written to %s: internal error", peer.identity)
                    connection.close("internal error")
        if router.subscriptions.take_alarm():
            self.alarm.set()
        if self.drained is not None and router.is_drained:
            self.drained.set()

    async def drain(self) -> None:
        """Begin nothing new, and wait until all that was accepted is done."""
        if self.drained is None:
            self.drained = trio.Event()
        self.flush()
        await self.drained.wait()

    def expire(self, now: float) -> None:
        """Do what is due; whoever was heard in whatever way since it was asked for a sign of life has given one."""
        contests = self.router.contests
        for contest in contests.open:
            if self.connections[contest.holder.id].last_heard(now) > contest.asked_at:
                contests.end(contest.holder)
        self.router.expire(now)

    def forget(self, connection: PeerConnection) -> None:
        """Let the router forget a connection that is over, and tell everyone whom its end concerns; idempotent."""
        if self.connections.pop(connection.peer.id, None) is not None:
            try:
                self.router.disconnect(connection.peer, connection.reason)
            except Exception:
                _logger.exception("the end of %s: internal error", connection.peer.identity)
            connection.ended.set()
            self.flush()


def _is_lone(messages: Sequence[ClientMessage]) -> bool:
    """Tell whether what one read brought is one message, and no run.

    It is with a PING behind it too, by which a wire has a request acknowledged.
    """
    if not messages or type(messages[0]) is PublishRun:
        return False
    return len(messages) == 1 or (len(messages) == 2 and type(messages[1]) is Ping)  # noqa: PLR2004
