"""What waits to be written to one connection, bounded.

Whoever puts a message here never waits for the peer; whoever writes takes all that waits and reports when it is
written. Two bounds hold: deliveries, calls and responses count their bytes against the outbox's own limit and against
the total of all connections, and a caller asks :meth:`Outbox.fits` first, because only the caller knows what to do
with what does not fit. A message takes memory beside its bytes, so both limits also allow no more messages than they
would of 64 bytes each. Everything else is control: it is small, it cannot be dropped, and a connection that does not
even take that is given up.

Acknowledgements wait as runs of consecutive ids, so that a thousand of them are one message. Signs of life, PING and
PONG, stand before all else, and may be taken alone while what was taken before is being written.

An outbox in which something begins to wait notes its peer among the :class:`DirtyPeers`, which whoever writes looks
through after each step of the router.

The law of this module: synchronous, and it calls nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from ..wire.messages import Accepted, Gap

if TYPE_CHECKING:
    from ..wire.messages import ServerMessage

_CONTROL_SIZE = 64
"""What a control message counts for: an upper bound of its fixed part, in memory terms."""

_RUN_SIZE = 32
"""What a run of acknowledgements counts for. Those of paced publications come when their subscribers please and may all
be runs of one: all that a connection may have held (``Limits.held_messages``) take half of ``Limits.control_bytes``."""

_LEAST_SIZE = 64
"""Bytes for which a limit allows one message, however small it is."""

_LEAST_MESSAGES = 1024
"""Messages that even a very small limit allows, if their bytes fit."""

_ACCEPTED_SIZE = 8
"""What one more acknowledgement in a run counts for: a reference in a list of small integers."""


@define(eq=False)
class Budget:
    """A number of bytes that the outboxes of a bus share, and of messages.

    An eighth is for the *shares*: each connection has one, 32 KiB by default, that nothing else takes. So a subscriber
    that reads misses nothing because others do not. Beyond its share an outbox takes of half of the bytes, and a
    message that waits alone of five eighths.

    The last quarter is for publications that are *held* until there is room in the outboxes of their receivers. Each
    counts once for however many receivers, but as a message for each of them. So a paced publisher is made to wait
    before there is no room to hold what it publishes.
    """

    limit: int
    connections: int
    """How many may have a share."""
    used: int = 0
    held: int = 0
    """The part of it that is held."""
    messages: int = 0
    most: int = field(init=False)
    share: int = field(init=False)
    """The bytes of an outbox that nothing else takes."""
    share_messages: int = field(init=False)
    is_short: bool = False
    """Whether somebody whose outbox is empty waits for what others leave."""

    def __attrs_post_init__(self) -> None:
        """Allow so many messages as well."""
        self.most = _most(self.limit)
        self.share = self.limit // (8 * self.connections)
        self.share_messages = self.most // (8 * self.connections)

    @property
    def is_empty(self) -> bool:
        """Whether nothing counts."""
        return not (self.used or self.held or self.messages)

    def fits(self, size: int, count: int) -> bool:
        """Tell whether so many bytes and messages more are within the limit, whoever they are for."""
        return self.used + size <= self.limit and self.messages + count <= self.most

    def leaves_room(self, size: int, count: int) -> bool:
        """Tell whether so many bytes and messages more may wait, beyond the shares."""
        return 2 * (self.used - self.held + size) <= self.limit and 2 * (self.messages + count) <= self.most

    def takes_alone(self, size: int) -> bool:
        """Tell whether a message of that size may wait in an outbox that has no other."""
        return self.used == self.held or (
            8 * (self.used - self.held + size) <= 5 * self.limit and 8 * (self.messages + 1) <= 5 * self.most
        )

    def may_hold(self, size: int) -> bool:
        """Tell whether a message more may be held, and so many bytes."""
        return 4 * (self.held + size) <= self.limit and 8 * (self.messages + 1) <= 7 * self.most and self.fits(size, 1)

    def hold(self, size: int) -> None:
        """Count a message more that is held, and so many bytes."""
        self.used += size
        self.held += size
        self.messages += 1

    def let_go(self, size: int) -> None:
        """Count a message less that is held, and so many bytes."""
        self.used -= size
        self.held -= size
        self.messages -= 1


def _most(limit: int) -> int:
    return max(_LEAST_MESSAGES, limit // _LEAST_SIZE)


class DirtyPeers(dict[int, None]):
    """The ids of the peers that have something new: to be written, or the end of their connection."""

    def mark(self, peer: int) -> None:
        """Note a peer; idempotent."""
        self[peer] = None

    def take(self) -> list[int]:
        """Return them, those first that were marked first, and begin anew."""
        ids = list(self)
        self.clear()
        return ids


@define(eq=False, repr=False)
class Outbox:
    """The messages that wait for one connection's writer."""

    peer: int
    """The id of the connection."""
    limit: int
    control_limit: int
    total: Budget
    dirty: DirtyPeers
    is_overflowed: bool = field(default=False, init=False)
    """Whether control messages did not fit; the outbox is closed then."""
    _messages: list[ServerMessage] = field(factory=list, init=False)
    _signs: list[ServerMessage] = field(factory=list, init=False)
    _accepted: list[tuple[int, list[int]]] = field(factory=list, init=False)
    _gaps: dict[int, int] = field(factory=dict, init=False)
    """Where the last news of a gap stands among the messages, by subscription, while nothing can stand behind it."""
    _most: int = field(init=False)
    _waiting: int = field(default=0, init=False)
    _count: int = field(default=0, init=False)
    """The messages that wait or are being written, control aside."""
    _count_taken: int = field(default=0, init=False)
    control_size: int = field(default=0, init=False)
    """The bytes of control that wait."""
    taken: int = field(default=0, init=False)
    """The bytes that were taken and are not known to be written, control aside."""
    _is_marked: bool = field(default=False, init=False)
    """Whether the peer is noted as dirty, or was and what waits has not been taken since."""
    _closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Allow a number of messages too."""
        self._most = _most(self.limit)

    @property
    def size(self) -> int:
        """The bytes that wait or are being written, control aside."""
        return self._waiting + self.taken

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not (self._messages or self._accepted or self._signs)

    @property
    def is_calm(self) -> bool:
        """Whether half of what may be kept for control messages is free: otherwise those that can wait should, and so
        should what the peer says, which leads to more of them.
        """
        return 2 * self.control_size <= self.control_limit

    def fits(self, size: int, count: int = 1) -> bool:
        """Tell whether a message of that size may be put, or a run of so many."""
        after, messages, total = self._waiting + self.taken + size, self._count + count, self.total
        if (
            after > self.limit
            or messages > self._most
            # As Budget.fits tells: it is asked for each message and receiver.
            or total.used + size > total.limit
            or total.messages + count > total.most
        ):
            return False
        return (
            (after <= total.share and messages <= total.share_messages)
            or total.leaves_room(size, count)
            or (messages == 1 and total.takes_alone(size))
        )

    def put(self, message: ServerMessage, size: int, count: int = 1) -> None:
        """Add a message, or a run of so many, that :meth:`fits`."""
        if self._closed:
            return
        if self._gaps:
            self._gaps.clear()
        self._waiting += size
        self._count += count
        self.total.used += size
        self.total.messages += count
        self._messages.append(message)
        if not self._is_marked:
            self._is_marked = True
            self.dirty[self.peer] = None

    def put_control(self, message: ServerMessage, text: str = "") -> None:
        """Add a message that may not be dropped; ``text`` is what it carries of free length."""
        if self._closed:
            return
        self._messages.append(message)
        self._count_control(_CONTROL_SIZE + len(text))

    def put_sign(self, message: ServerMessage) -> None:
        """Add a sign of life, which is not to wait for what there is already."""
        if not self._closed:
            self._signs.append(message)
            self._count_control(_CONTROL_SIZE)

    def take_signs(self) -> list[ServerMessage]:
        """Return the signs of life alone."""
        signs, self._signs = self._signs, []
        self.control_size -= _CONTROL_SIZE * len(signs)
        return signs

    def put_gap(self, subscription: int, dropped: int) -> None:
        """Add the news that a subscription misses so many, to the last such news if nothing was delivered since.

        Where nothing fits any more, everything that is published is missed: that must not fill the control messages.
        """
        place = self._gaps.get(subscription)
        if place is not None:
            before = self._messages[place]
            assert isinstance(before, Gap)
            self._messages[place] = Gap(subscription, before.dropped + dropped)
        elif not self._closed:
            self._gaps[subscription] = len(self._messages)
            self.put_control(Gap(subscription, dropped))

    def acknowledge(self, operation: int, count: int) -> None:
        """Acknowledge an operation with its number of receivers."""
        if self._closed:
            return
        if self._accepted:
            first, counts = self._accepted[-1]
            if first + len(counts) == operation:
                counts.append(count)
                self._count_control(_ACCEPTED_SIZE)
                return
        self._accepted.append((operation, [count]))
        self._count_control(_RUN_SIZE)

    def acknowledge_run(self, first: int, counts: list[int]) -> None:
        """Acknowledge consecutive operations, each with its number of receivers."""
        if self._closed:
            return
        if self._accepted and self._accepted[-1][0] + len(self._accepted[-1][1]) == first:
            self._accepted[-1][1].extend(counts)
            self._count_control(_ACCEPTED_SIZE * len(counts))
        else:
            self._accepted.append((first, counts))
            self._count_control(_RUN_SIZE + _ACCEPTED_SIZE * (len(counts) - 1))

    def _count_control(self, size: int) -> None:
        self.control_size += size
        if self.control_size > self.control_limit:
            self.close()
            self.is_overflowed = True
        elif self._is_marked:
            return
        self._is_marked = True
        self.dirty[self.peer] = None

    def peek(self) -> list[ServerMessage]:
        """Return what :meth:`take` would, and leave it."""
        accepted = [Accepted(first, tuple(counts)) for first, counts in self._accepted]
        return [*self._signs, *accepted, *self._messages]

    def take(self) -> list[ServerMessage]:
        """Return all that waits, signs of life first, then acknowledgements, and empty the outbox; nothing if it is so.

        The bytes go on counting until :meth:`written`.
        """
        messages = self._messages
        if self._accepted or self._signs:
            messages = self.peek()
            self._signs = []
        self._accepted = []
        self._messages = []
        self._gaps.clear()
        self.taken += self._waiting
        self._count_taken = self._count
        self._waiting = self.control_size = 0
        self._is_marked = False
        return messages

    def written(self) -> None:
        """Stop counting what was taken: it is with the network now."""
        self.total.used -= self.taken
        self.total.messages -= self._count_taken
        self._count -= self._count_taken
        self.taken = self._count_taken = 0

    def close(self) -> None:
        """Drop what waits and take nothing more."""
        self._closed = True
        self._messages = []
        self._signs = []
        self._accepted = []
        self._gaps.clear()
        self.total.used -= self._waiting + self.taken
        self.total.messages -= self._count
        self._count = self._count_taken = 0
        self._waiting = self.taken = self.control_size = 0
