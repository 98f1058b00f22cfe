"""A link: the bytes between two servers, as one stream that either breaks or loses nothing.

An engine carries pieces. It may lose some when the network comes apart, and a server may see the other one leave and
come again while that one saw nothing. So the two speak in *rounds*, which are numbered, and each piece says of which
round it is and which piece, and how many this end has heard::

    round 3 | number 12 | heard 9 | bytes

One of the two *leads*. It begins each round with its piece 0, and the other one, which *follows*, begins with that too:
all that they have told each other is told anew. Whoever leads and finds a piece missing begins another round. Whoever
follows asks for one: it says which round is of no use to it, and says so again at each piece of that. Neither end is
silent for long, and so what is missing is found. What the other end has not said that it has heard is *under way*: so
many bytes at most are in what carries them.

The law of this module: what an end hears in a round is what the other one has said in it, from its first byte on.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD: Final = struct.Struct(">QQQ")
_ASKS: Final = (1 << 64) - 1
"""In the place of a piece's number: whoever leads is to begin a round after this one."""


@frozen
class Heard:
    """What follows from a piece."""

    data: bytes = b""
    """What the other end has said, in this round."""
    is_new: bool = False
    """Whether a round has begun with this piece."""
    is_lost: bool = False
    """Whether the round is over: begin another one, or ask for it."""


_NOTHING: Final = Heard()
_LOST: Final = Heard(is_lost=True)


@define(eq=False)
class Rounds:
    """One end, from round to round."""

    leads: bool
    """Whether this end begins rounds; the other one does not."""
    round: int = field(default=0, init=False)
    """The newest that was heard of; 0 before the first."""
    is_open: bool = field(default=False, init=False)
    """Whether the round goes on."""
    under_way: int = field(default=0, init=False)
    """Bytes of the pieces that the other end has not said it has heard."""
    _said: int = field(default=0, init=False)
    _heard: int = field(default=0, init=False)
    _sizes: deque[int] = field(factory=deque, init=False)
    """Of the pieces that are under way."""

    def begin(self, least: int = 0) -> None:
        """Begin another round, of this number or a higher one; only whoever leads does.

        Numbers that grow with time need not be remembered when the other server is gone.
        """
        self._open(max(self.round + 1, least))

    def close(self) -> None:
        """Hear nothing more in this round."""
        self.is_open = False

    def _open(self, number: int) -> None:
        self.round, self.is_open, self._said, self._heard, self.under_way = number, True, 0, 0, 0
        self._sizes.clear()

    def say(self, buffers: Sequence[bytes | memoryview]) -> bytes:
        """Return the next piece of the round."""
        piece = b"".join((_HEAD.pack(self.round, self._said, self._heard), *buffers))
        self._said += 1
        self._sizes.append(len(piece))
        self.under_way += len(piece)
        return piece

    def ask(self) -> bytes:
        """Return the piece that asks for another round; only whoever follows does."""
        return _HEAD.pack(self.round, _ASKS, 0)

    def hear(self, piece: bytes) -> Heard:
        """Take a piece of the other end in."""
        if len(piece) < _HEAD.size:
            return _LOST
        of, number, heard = _HEAD.unpack_from(piece)
        if number == _ASKS:
            # One that asks for an older round has not met this one yet, unless it has spoken in it.
            return _NOTHING if of < self.round and self._heard else _LOST
        if of < self.round:
            return _NOTHING
        is_new = of > self.round
        if is_new:
            self._open(of)
        if not self.is_open or number != self._heard or heard > self._said or (is_new and self.leads):
            self.is_open = False
            return _LOST
        self._heard += 1
        for _ in range(heard - self._said + len(self._sizes)):
            self.under_way -= self._sizes.popleft()
        return Heard(piece[_HEAD.size :], is_new=is_new)
