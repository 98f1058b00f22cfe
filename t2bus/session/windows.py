"""Where a client keeps what has arrived and the program has not taken yet.

A :class:`ReceiveWindow` is the client's end of a subscription's credit window: what is in it, what is on its way and
what the bus may still send never exceed the window. Credit goes back in bulk, an eighth of the window at a time, so
that it costs little: of a window of 16,384 messages one CREDIT for 2,048 of them. A program that takes messages slowly,
or over a slow network, must be seen to be alive all the same: what it takes goes back soon after :data:`PROMPT` has
passed since the last time while the bus is known to have none left, and :data:`UNSEEN` otherwise, for of what is on its
way nothing is known here. Whoever has a window looks at it that often while it owes more than a little, and at each
message only when the window is nearly spent: a program may compute for long between two messages, and nobody else runs
meanwhile. To look at a clock for every message would be a tenth of what taking it costs.

A window outlives the connection. What was taken in over one that is lost can still be taken, and gives no credit to the
bus of the next: that starts with a whole window again (:meth:`ReceiveWindow.renew`).

A :class:`CallWindow` is the same for a service, where the answer to a request is what gives its place back.

The law of this module: synchronous, and it calls nobody. What is to go back stands in a window until it is collected.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from attrs import define, field

from ..errors import Lagged, ProtocolViolation
from ..wire.messages import Publication, Run
from ..wire.values import size_of

if TYPE_CHECKING:
    from ..errors import BusError
    from ..wire.messages import Call, Welcome

PROMPT: Final = 0.05
"""Seconds; well within the stall time after which a bus takes a subscriber for dead (``Limits.stall``, 1 s)."""

UNSEEN: Final = 0.25
"""Seconds; within the stall time still. A window of 8 MiB that is all on its way over 1 MB/s comes with more than a
second between two eighths."""

_BULK: Final = 8
"""The part of the window that goes back at once."""

_LITTLE: Final = 1024
"""The part of the window that goes back soon: 16 messages or 8 KiB of the default. Less of it goes back only with more,
or when the window is nearly spent, so that a message now and then causes no CREDIT each."""


@define(eq=False, repr=False)
class ReceiveWindow:
    """The messages of one subscription that wait for the program."""

    id: int
    window_messages: int
    window_size: int
    closed: BusError | None = field(default=None, init=False)
    """Why nothing more will come, once that is so."""
    waiting: int = field(default=0, init=False)
    """How many items wait: read by others, changed here."""
    wants_look: bool = field(default=False, init=False)
    """Whether whoever took an item has to see now if credit is to go back: an attribute, since each message asks."""
    _items: deque[Publication | Run | Lagged] = field(factory=deque, init=False)
    _taken_of_run: int = field(default=0, init=False)
    """How many publications of the run at the front were taken. It is taken apart one by one: what waits may be many
    thousands, and each would be an object."""
    _credit: int = field(init=False)
    _credit_size: int = field(init=False)
    _bulk_messages: int = field(init=False)
    _bulk_size: int = field(init=False)
    """What goes back at once."""
    _look_messages: int = field(init=False)
    _look_size: int = field(init=False)
    """What has to be owed before it is worth a look."""
    _owed: int = field(default=0, init=False)
    _owed_size: int = field(default=0, init=False)
    _granted_at: float = field(default=0.0, init=False)
    _foreign: int = field(default=0, init=False)
    """How many of those that wait came over a connection that was lost: no bus is owed credit for them."""

    def __attrs_post_init__(self) -> None:
        """Start with the whole window on the bus's side."""
        self._fill()

    def _fill(self) -> None:
        self._credit = self.window_messages
        self._credit_size = self.window_size
        self._bulk_messages = -(-self.window_messages // _BULK)
        self._bulk_size = -(-self.window_size // _BULK)
        self._start_look()

    def lose(self) -> None:
        """Take in that the connection was lost: what has arrived stays, and behind it an unknown number is missing.

        Where a window is not enough for what stays from several lost connections, what came over the last one goes too.
        So what waits, and what the next bus may send, are two windows at most.
        """
        items, count = self._items, sum(map(_count_of, self._items)) - self._taken_of_run
        if self._foreign and (count > self.window_messages or sum(map(_size_of, items)) > self.window_size):
            while count > self._foreign:
                count -= _count_of(items.pop())
        self._foreign = count
        self.put_gap(None)
        self.waiting = count + sum(isinstance(item, Lagged) for item in items)
        self._forget_debt()

    def _forget_debt(self) -> None:
        self._owed = self._owed_size = 0
        self.wants_look = False

    def renew(self, number: int, bus: Welcome) -> None:
        """Go on as another subscription, of a bus that has the whole window, and may allow less of one."""
        self.id = number
        self.window_messages = min(self.window_messages, bus.subscription_messages)
        self.window_size = min(self.window_size, bus.subscription_bytes)
        self._fill()

    def _start_look(self) -> None:
        self._look_messages = -(-self.window_messages // _LITTLE)
        self._look_size = -(-self.window_size // _LITTLE)

    def put(self, publication: Publication) -> None:
        """Take in a delivery.

        Raises:
          ProtocolViolation: the bus sends more than it has credit for.

        """
        self._admit(publication)
        self._items.append(publication)
        self.waiting += 1

    def put_run(self, run: Run) -> None:
        """Take in deliveries, as :meth:`put` does one after the other."""
        self._admit_run(run)
        self._items.append(run)
        self.waiting += len(run.payloads)

    def _admit(self, publication: Publication) -> int:
        """Use credit for a delivery, and return its size."""
        if self._credit <= 0 or self._credit_size <= 0:
            raise ProtocolViolation(f"the bus sends more than the window of subscription {self.id} allows")
        size = size_of(publication.topic, publication.payload, publication.headers)
        self._credit -= 1
        self._credit_size -= size
        return size

    def _admit_run(self, run: Run) -> None:
        """Use credit for the deliveries of a run."""
        count, size = len(run.payloads), run.size
        before_last = size - len(run.topic) - len(run.payloads[-1])
        if self._credit < count or self._credit_size <= before_last:
            raise ProtocolViolation(f"the bus sends more than the window of subscription {self.id} allows")
        self._credit -= count
        self._credit_size -= size

    def put_gap(self, dropped: int | None) -> None:
        """Take in the news that messages are missing here; gaps side by side are one, so their number is bounded."""
        if self._items and isinstance(last := self._items[-1], Lagged):
            self._items[-1] = joined(last, dropped)
        else:
            self._items.append(Lagged(dropped))
            self.waiting += 1

    def take(self) -> Publication | Lagged:
        """Return the next item, which must be there; then see :attr:`wants_look`."""
        item = self._items[0]
        if type(item) is Run:
            part = self.take_of_run()
            assert part is not None
            return Publication(*part)
        assert not isinstance(item, Run)
        self._items.popleft()
        self.waiting -= 1
        if isinstance(item, Publication):
            self._credit_back(1, size_of(item.topic, item.payload, item.headers))
        return item

    def take_of_run(self) -> tuple[str, bytes] | None:
        """Do as :meth:`take` if the next item is one of a run, and return its topic and payload; None otherwise."""
        run = self._items[0]
        if type(run) is not Run:
            return None
        place = self._taken_of_run
        topic, payload = run.topic, run.payloads[place]
        self._taken_of_run = place = place + 1
        if place == len(run.payloads):
            self._items.popleft()
            self._taken_of_run = 0
        self.waiting -= 1
        self._credit_back(1, len(topic) + len(payload))
        return topic, payload

    def front(self, most: int) -> Publication | Run | Lagged:
        """Return the next item, which must be there, and leave it; of a run, what is left and so many at most."""
        item = self._items[0]
        place = self._taken_of_run
        if type(item) is Run and (place or len(item.payloads) > most):
            return Run(item.topic, item.payloads[place : place + most])
        return item

    def take_front(self, run: Run) -> None:
        """Take what :meth:`front` returned, where that is a run."""
        count = len(run.payloads)
        self._taken_of_run += count
        item = self._items[0]
        assert isinstance(item, Run)
        if self._taken_of_run == len(item.payloads):
            self._items.popleft()
            self._taken_of_run = 0
        self.waiting -= count
        self._credit_back(count, run.size)

    def _credit_back(self, count: int, size: int) -> None:
        """Owe the bus the credit of so many messages that were taken."""
        if self._foreign:
            self._foreign -= count
            return
        self._owed += count
        self._owed_size += size
        self.wants_look = (
            self._owed >= self._look_messages
            or self._owed_size >= self._look_size
            or self._credit < self._bulk_messages
            or self._credit_size < self._bulk_size
        )

    def _set_waiting(self, count: int) -> None:
        """Say how many items wait, where others than these do."""
        self.waiting = count

    @property
    def is_nearly_spent(self) -> bool:
        """Whether the bus has so little credit left that the next look every now and then may come too late."""
        return self._credit < self._bulk_messages or self._credit_size < self._bulk_size

    def is_due(self, now: float) -> bool:
        """Whether credit is to go back now: so much is owed, or something, and the last time is a while ago."""
        if self._owed >= self._bulk_messages or self._owed_size >= self._bulk_size:
            return True
        spent = self._credit <= 0 or self._credit_size <= 0
        return self._owed > 0 and now - self._granted_at >= (PROMPT if spent else UNSEEN)

    def watch(self) -> None:
        """Have a look at each message that is taken from here on."""
        self._look_messages, self.wants_look = 0, True

    def note_look(self) -> None:
        """Take note that somebody looks every now and then from here on, and need not at each message."""
        self._look_messages, self._look_size = self._bulk_messages, self._bulk_size

    def collect(self, now: float) -> tuple[int, int]:
        """Return the messages and bytes that are owed; they are the bus's again."""
        owed = self._owed, self._owed_size
        self._credit += self._owed
        self._credit_size += self._owed_size
        self._owed = self._owed_size = 0
        self.wants_look = False
        self._granted_at = now
        self._start_look()
        return owed

    def close(self, error: BusError) -> None:
        """Say that nothing more will come, and why; what is here can still be taken."""
        self.closed = error


def joined(gap: Lagged, dropped: int | None) -> Lagged:
    """Return one gap for two side by side; how many are missing is known if it is known of both."""
    return Lagged(None if gap.dropped is None or dropped is None else gap.dropped + dropped)


def _count_of(item: Publication | Run | Lagged) -> int:
    return len(item.payloads) if isinstance(item, Run) else isinstance(item, Publication)


def _size_of(item: Publication | Run | Lagged) -> int:
    if isinstance(item, Lagged):
        return 0
    return item.size if isinstance(item, Run) else size_of(item.topic, item.payload, item.headers)


@define(eq=False)
class PendingCall:
    """A request that this client has to answer, from its arrival until it is ended."""

    call: Call
    withdrawn: bool = False
    """Whether nobody waits for the answer any more."""
    deadline: float | None = None
    """When its requester stops waiting, as whoever has a clock notes when it arrives."""


@define(eq=False, repr=False)
class CallWindow:
    """The requests of one service that wait for the program."""

    id: int
    window: int
    closed: BusError | None = field(default=None, init=False)
    pending: dict[int, PendingCall] = field(factory=dict, init=False)
    """Every request of the service that is not ended, by call id."""
    waiting: dict[int, PendingCall] = field(factory=dict, init=False)
    """Those that wait for the program, oldest first."""

    def renew(self, number: int, _bus: Welcome) -> None:
        """Go on as another service."""
        self.id = number

    def put(self, call: Call) -> int | None:
        """Take in a request, and return the id of the call whose place it has taken, if it has.

        Raises:
          ProtocolViolation: the bus hands over more than the window allows.

        """
        oldest = None
        if len(self.pending) >= self.window:
            oldest, pending = next(iter(self.pending.items()))
            if not pending.withdrawn:
                raise ProtocolViolation(f"the bus hands over more requests than the window of service {self.id} allows")
            # The bus has given its place away, which it does at the end of a request's lifetime, oldest first.
            del self.pending[oldest]
        self.pending[call.id] = self.waiting[call.id] = PendingCall(call)
        return oldest

    def take(self) -> PendingCall:
        """Return the next request, which must be there."""
        return self.waiting.pop(next(iter(self.waiting)))

    def withdraw(self, pending: PendingCall) -> bool:
        """Note that nobody waits for this call; return whether the program has not seen it, and so need not answer."""
        pending.withdrawn = True
        return self.waiting.pop(pending.call.id, None) is not None

    def close(self, error: BusError) -> list[PendingCall]:
        """Say that nothing more will come, and why; return the calls that are pending, for whose answer nobody waits
        any more. The first reason stands.
        """
        self.closed = self.closed or error
        return self.lose()

    def lose(self) -> list[PendingCall]:
        """Take in that the connection was lost, and all that is pending with it; return it as :meth:`close` does."""
        self.waiting.clear()
        pending = [each for each in self.pending.values() if not each.withdrawn]
        for each in pending:
            each.withdrawn = True
        self.pending.clear()
        return pending
