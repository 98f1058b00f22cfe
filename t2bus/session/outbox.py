"""What waits to be written from a client to its bus, bounded.

Whoever puts a message here never waits; whoever writes takes all that waits and reports when it is written. Credit of
all subscriptions goes out as one message behind everything else, signs of life, PING and PONG, before it. These may be
taken alone while what was taken before is being written.

Most messages press: somebody waits for what comes of them. The publications of a publisher do not, as it goes on
without waiting, nor the answers of a service that has more to answer. So the writer may gather some before it writes;
:attr:`ClientOutbox.gathered` says how many there are.

Publications to one topic that come one after the other are put together to a run, which costs the wire, the bus and the
subscribers hardly more than one of them.

Whoever has put something looks at :attr:`ClientOutbox.calls`: whether the writer has something new to do.

The law of this module: synchronous, and it calls nobody.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Final

from attrs import define, field

from ..wire.messages import MOST_IN_RUN, RUN_SIZE, ClientMessage, Credit, Publication, Publish, PublishRun, Run
from ..wire.values import MOST_LISTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..wire.values import EncodedBody

_ENOUGH: Final = 256
"""Messages for one write. More make it no cheaper for each, and make the first wait."""

_ENOUGH_SIZE: Final = 262_144
"""Bytes for one write; likewise."""

_MOST_SIGNS: Final = 1024
"""Signs of life that wait. A bus that asks for more of them than it reads shall not fill the memory of its client."""

_LONGEST_TRIPLE: Final = 28
"""Bytes of the three numbers of a CREDIT for one subscription at most, and one more, of which its head is made."""

_ANSWER: Final = 16
"""What an answer counts for among those that are gathered: somebody does wait for it."""


@define(eq=False, repr=False)
class ClientOutbox:
    """The messages that wait for the writer of a client."""

    limit: int
    frame: int = RUN_SIZE
    """Bytes of a frame at most, and so of a run."""
    _messages: list[ClientMessage] = field(factory=list, init=False)
    _signs: list[ClientMessage] = field(factory=list, init=False)
    _grants: dict[int, tuple[int, int]] = field(factory=dict, init=False)
    _topic: str | None = field(default=None, init=False)
    """That of the run at the end; None if nothing can be added to it any more."""
    _paced: bool = field(default=False, init=False)
    _next: int = field(default=0, init=False)
    """The operation id that goes on with it."""
    _room: int = field(default=0, init=False)
    """The bytes that may still come to it."""
    _run: list[bytes] = field(factory=list, init=False)
    _count: int = field(default=0, init=False)
    """How many messages wait, each publication of a run counted, and answers as :data:`_ANSWER`."""
    _waiting: int = field(default=0, init=False)
    _taken: int = field(default=0, init=False)
    _has_enough: bool = field(default=False, init=False)
    """Whether what waits is enough for one write."""
    _is_called: bool = field(default=False, init=False)
    """Whether the writer was called since it last took what waited, and so comes by itself."""
    calls: bool = field(default=False, init=False)
    """Whether the writer has something new to do since it was last called. Whoever calls it sets this back."""
    presses: bool = field(default=False, init=False)
    """Whether something waits that presses."""
    _closed: bool = field(default=False, init=False)

    @property
    def size(self) -> int:
        """The bytes that wait or are being written."""
        return self._waiting + self._taken

    @property
    def has_room(self) -> bool:
        """Whether a publication, request or response may be put now.

        Otherwise wait until some of it is written, unless it is shut.
        """
        return self._waiting + self._taken < self.limit

    @property
    def gathered(self) -> int:
        """How many messages wait that are in no hurry; 0 once one is, or enough have come together for one write."""
        return 0 if self.presses or self._has_enough else self._count

    def put(self, message: ClientMessage, size: int = 0, *, pressing: bool = True) -> None:
        """Add a message; after :meth:`close` it is dropped."""
        if self._closed:
            return
        self._messages.append(message)
        self._topic = None
        self._count += _ANSWER
        self._waiting += size + 1
        if not (self.presses and self._is_called):
            self._call_writer(pressing=pressing)

    def put_sign(self, message: ClientMessage) -> None:
        """Add a sign of life, which is not to wait for what there is already; where a thousand wait it is dropped."""
        if not self._closed and len(self._signs) < _MOST_SIGNS:
            self._signs.append(message)
            if not (self.presses and self._is_called):
                self._call_writer(pressing=True)

    def take_signs(self) -> list[ClientMessage]:
        """Return the signs of life alone."""
        signs, self._signs = self._signs, []
        return signs

    def publish(self, number: int, topic: str, encoded: EncodedBody, *, paced: bool, pressing: bool) -> None:
        """Add a publication under an operation id, to the run at the end if it goes on with that."""
        if self._closed:
            return
        payload, headers, size = encoded
        if headers or not isinstance(payload, bytes) or (pressing and not self._messages):
            # One that presses will mostly go alone: a run of one would be taken apart again.
            self._topic = None
            self._messages.append(Publish(number, paced, Publication(topic, payload, headers)))
        elif topic == self._topic and number == self._next and paced is self._paced and size <= self._room:
            self._run.append(payload)
            self._next = number + 1
            self._room -= size
            if len(self._run) == MOST_IN_RUN:
                self._topic = None
        else:
            self._begin_run(number, topic, paced=paced)
            self._run.append(payload)
            self._next += 1
            self._room -= size
        self._count += 1
        self._waiting += size + 1
        if (
            not self._is_called
            or (pressing and not self.presses)
            or self._count == _ENOUGH
            or self._waiting >= _ENOUGH_SIZE
        ):
            self._call_writer(pressing=pressing)

    def publish_all(
        self, first: int, topic: str, payloads: Sequence[bytes], sizes: Sequence[int], *, paced: bool
    ) -> None:
        """Add plain publications under ``first``, ``first + 1`` and so on, as :meth:`publish` does one by one; none
        presses.
        """
        if self._closed:
            return
        ends = [0, *accumulate(sizes)]
        place, count = 0, len(payloads)
        while place < count:
            number = first + place
            if topic != self._topic or number != self._next or paced is not self._paced or sizes[place] > self._room:
                self._begin_run(number, topic, paced=paced)
            most = min(count, place + MOST_IN_RUN - len(self._run))
            # One that is larger than a run of several may be is a run by itself.
            stop = max(place + 1, bisect_right(ends, ends[place] + self._room, place, most + 1) - 1)
            self._run += payloads[place:stop]
            self._room -= ends[stop] - ends[place]
            self._next = first + stop
            if len(self._run) == MOST_IN_RUN:
                self._topic = None
            place = stop
        self._count += count
        self._waiting += ends[-1] + count
        self._call_writer(pressing=False)

    def _begin_run(self, number: int, topic: str, *, paced: bool) -> None:
        """Add a run to which the next publications come."""
        self._topic, self._paced, self._next = topic, paced, number
        self._room = min(self.frame, RUN_SIZE)
        self._run = []
        self._messages.append(PublishRun(number, paced, Run(topic, self._run)))

    def _call_writer(self, *, pressing: bool) -> None:
        """Have the writer called if it rests, or has been waiting for what there is now."""
        enough = self._count >= _ENOUGH or self._waiting >= _ENOUGH_SIZE
        if enough is not self._has_enough or not self._is_called or (pressing and not self.presses):
            self._has_enough = enough
            self.presses |= pressing
            self.calls = self._is_called = True

    def grant(self, number: int, messages: int, size: int) -> None:
        """Give credit back for a subscription."""
        if not self._closed:
            before_messages, before_size = self._grants.get(number, (0, 0))
            self._grants[number] = (before_messages + messages, before_size + size)
            if not self._is_called:
                self.calls = self._is_called = True

    def forget(self, number: int) -> None:
        """Keep the credit of a subscription that is closed."""
        self._grants.pop(number, None)

    def press(self) -> None:
        """Have what waits written now: somebody waits for what comes of it."""
        if self.gathered:
            self.presses = self.calls = self._is_called = True

    def take(self) -> list[ClientMessage]:
        """Return all that waits to be written and empty the outbox; its bytes count until :meth:`written`."""
        messages, self._messages = self._messages, []
        self._topic, self._count = None, 0
        if self._grants:
            grants = ((number, *grant) for number, grant in self._grants.items())
            numbers = tuple(chain.from_iterable(grants))
            most = 3 * (min(MOST_LISTED, self.frame // _LONGEST_TRIPLE) or 1)
            messages += [Credit(numbers[n : n + most]) for n in range(0, len(numbers), most)]
            self._grants.clear()
        if self._signs:
            messages = [*self.take_signs(), *messages]
        self._taken += self._waiting
        self._waiting = 0
        self._is_called = self.calls = self.presses = self._has_enough = False
        return messages

    def written(self) -> None:
        """Stop counting what was taken."""
        self._taken = 0

    def open(self, limit: int) -> None:
        """Have room for so many bytes from now on, unless it is shut."""
        if not self._closed:
            self.limit = limit

    def shut(self) -> None:
        """Take nothing more; what waits is still to be written, but credit, which would come behind the last word."""
        self._closed = True
        self.limit = 0
        self._grants.clear()

    def close(self) -> None:
        """Drop what waits and take nothing more; the writer has that to do."""
        self._closed = True
        self.limit = 0
        self._messages, self._signs, self._waiting, self._count, self._topic = [], [], 0, 0, None
        self._has_enough = False
        self._grants.clear()
        self.calls = self._is_called = True
