"""What waits to be written to one connection, bounded.

Whoever puts a message here never waits for the peer; whoever writes takes all that waits and reports when it is
written. Two bounds hold: deliveries, calls and responses count their bytes against the outbox's own limit and against
the total of all connections, and a caller asks :meth:`Outbox.fits` first, because only the caller knows what to do
with what does not fit. Both count the memory beside the bytes too, in cells (:mod:`.budget`). Everything else is
control: it is small, it cannot be dropped, and a connection that does not even take that is given up.

Acknowledgements wait as runs of consecutive ids, so that a thousand of them are one message; whom a publication did not
reach is told before it is acknowledged. Signs of life, PING and PONG, stand before all else, and may be taken alone
while what was taken before is being written.

An outbox in which something begins to wait notes its peer among the :class:`DirtyPeers`, which whoever writes looks
through after each step of the router.

The law of this module: synchronous, and it calls nobody.
"""

from __future__ import annotations

from sys import getsizeof
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from ..wire.messages import RUN_SIZE, Accepted, Gap, Unreached
from .budget import ALONE, ANSWER, cells_in
from .count_runs import CountRuns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..wire.messages import MemberMessage, Response, ServerMessage
    from .budget import Budget, Shared

    Outgoing = ServerMessage | MemberMessage

_CONTROL_SIZE = 96
"""What a control message counts for, beside the text that it carries. It takes 96 to 150 bytes in CPython 3.12."""


_LONGEST_COUNT: Final = 9
"""Bytes of a count in a frame at most. The head of an ACCEPTED has room in what a frame of the bus may have more."""


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
    frame: int = RUN_SIZE
    """Bytes of the largest frame that the peer may send. A frame of the bus may have more, but not of counts."""
    is_overflowed: bool = field(default=False, init=False)
    """Whether control messages did not fit; the outbox is closed then."""
    _messages: list[Any] = field(factory=list, init=False)
    """What a bus says to a client, or to another server."""
    _signs: list[ServerMessage] = field(factory=list, init=False)
    _accepted: CountRuns = field(factory=CountRuns, init=False)
    _unreached: CountRuns = field(factory=CountRuns, init=False)
    _gaps: dict[int, int] = field(factory=dict, init=False)
    """Where the last news of a gap stands among the messages, by subscription, while nothing can stand behind it."""
    _most: int = field(init=False)
    _waiting: int = field(default=0, init=False)
    _cells: int = field(default=0, init=False)
    """Those of what waits or is being written, control aside."""
    _cells_taken: int = field(default=0, init=False)
    _shared: list[Shared] = field(factory=list, init=False)
    """What waits or is being written and may have other holders."""
    _shared_taken: int = field(default=0, init=False)
    """How many of them were taken: the first ones."""
    control_size: int = field(default=0, init=False)
    """The bytes of control that wait."""
    _answers: int = field(default=0, init=False)
    """The bytes of the bus's own answers that wait."""
    taken: int = field(default=0, init=False)
    """The bytes that were taken and are not known to be written, control aside."""
    _is_marked: bool = field(default=False, init=False)
    """Whether the peer is noted as dirty, or was and what waits has not been taken since."""
    _closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Allow a number of cells too."""
        self._most = cells_in(self.limit)

    @property
    def size(self) -> int:
        """The bytes that wait or are being written, control aside."""
        return self._waiting + self.taken

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not (self._messages or self._accepted.counts or self._signs)

    @property
    def is_calm(self) -> bool:
        """Whether half of what may be kept for control messages is free, the bus's own answers among them: otherwise
        those that can wait should, and so should what the peer says, which leads to more of them.
        """
        return 2 * (self.control_size + self._answers) <= self.control_limit

    def fits(self, size: int, cells: int = ALONE, counted: int = 0, *, is_run: bool = False) -> bool:
        """Tell whether a message or run of that size may be put, of which so many bytes count already, as others hold
        them.
        """
        after, cells_after, total = self._waiting + self.taken + size, self._cells + cells, self.total
        added = size - counted
        if (
            after > self.limit
            or cells_after > self._most
            # As Budget.fits tells: it is asked for each message and receiver.
            or total.used + added > total.limit
            or total.cells + cells > total.most
        ):
            return False
        return (
            (counted and not added)
            or (after <= total.share and cells_after <= total.share_cells)
            or total.leaves_room(added, cells)
            or (not (self._cells or is_run) and total.takes_alone(added, cells))
        )

    def put(self, message: Outgoing, size: int, cells: int = ALONE, shared: Sequence[Shared] = ()) -> None:
        """Add a message or run that :meth:`fits`, and that is ``shared`` with others."""
        if self._closed:
            return
        if self._gaps:
            self._gaps.clear()
        self._waiting += size
        self._cells += cells
        self.total.used += size
        self.total.cells += cells
        for each in shared:
            each.join()
            self._shared.append(each)
        self._messages.append(message)
        if not self._is_marked:
            self._is_marked = True
            self.dirty[self.peer] = None

    def put_answer(self, answer: Response, size: int) -> None:
        """Add what the bus itself has to say to a request, and :meth:`fits`."""
        self.put(answer, size, ANSWER)
        self._answers += size

    def put_control(self, message: Outgoing, text: str = "") -> None:
        """Add a message that may not be dropped; ``text`` is what it carries of free length."""
        if self._closed:
            return
        self._messages.append(message)
        self._count_control(_CONTROL_SIZE + (len(text) if text.isascii() else getsizeof(text)))

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

    def acknowledge(self, first: int, counts: Sequence[int] = (0,), missed: int = 0) -> None:
        """Acknowledge consecutive operations, each with the number of connections that took it, of which so many
        ``missed`` each.

        Acknowledgements of paced publications come when their subscribers please, and may all be runs of one: those of
        all that a connection may have held (``Limits.held_messages``) take three quarters of ``Limits.control_bytes``.
        """
        if self._closed:
            return
        size = self._accepted.add(first, counts)
        if missed:
            size += self._unreached.add(first, [missed] * len(counts))
        self._count_control(size)

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
        most = self.frame // _LONGEST_COUNT or 1
        messages: list[ServerMessage] = [Accepted(first, counts) for first, counts in self._accepted.runs(most)]
        messages += self._messages
        if self._unreached.counts:
            messages = [*(Unreached(first, counts) for first, counts in self._unreached.runs(most)), *messages]
        return self._signs + messages if self._signs else messages

    def take(self) -> list[ServerMessage]:
        """Return all that waits, signs of life first, then acknowledgements, and empty the outbox; nothing if it is so.

        The bytes go on counting until :meth:`written`.
        """
        messages = self._messages
        if self._accepted.counts or self._signs:
            messages = self.peek()
            self._signs = []
            self._accepted.clear()
            if self._unreached.counts:
                self._unreached.clear()
        self._messages = []
        self._gaps.clear()
        self.taken += self._waiting
        self._cells_taken = self._cells
        self._shared_taken = len(self._shared)
        self._waiting = self._answers = self.control_size = 0
        self._is_marked = False
        return messages

    def written(self) -> None:
        """Stop counting what was taken: it is with the network now."""
        self.total.used -= self.taken
        self.total.cells -= self._cells_taken
        self._cells -= self._cells_taken
        self.taken = self._cells_taken = 0
        if self._shared_taken:
            taken, self._shared = self._shared[: self._shared_taken], self._shared[self._shared_taken :]
            self._shared_taken = 0
            for each in taken:
                each.leave()

    def close(self) -> None:
        """Drop what waits and take nothing more."""
        self._closed = True
        self._messages = []
        self._signs = []
        self._accepted.clear()
        self._unreached.clear()
        self._gaps.clear()
        self.total.used -= self._waiting + self.taken
        self.total.cells -= self._cells
        shared, self._shared = self._shared, []
        for each in shared:
            each.leave()
        self._cells = self._cells_taken = self._shared_taken = 0
        self._waiting = self._answers = self.taken = self.control_size = 0
