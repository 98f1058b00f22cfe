"""The memory of what waits for all connections of a bus, as it is counted and shared out.

What waits counts twice, each with a bound of its own: in bytes, as they travel, and in *cells* of 64 bytes, for the
memory that Python takes beside them. Each limit in bytes allows as many cells as it has room for. For example
256 MiB are 4,194,304 cells, and so 599,186 publications that each come alone, however short they are. So what is held
is at most about twice what the limit says.

A publication that several connections hold is in memory once, and counts once: see :class:`Shared`.

The law of this module: arithmetic only.
"""

from __future__ import annotations

from sys import getsizeof
from typing import TYPE_CHECKING, Final

from attrs import define, field

if TYPE_CHECKING:
    from ..wire.values import Headers

CELL: Final = 64
"""Bytes of memory."""

ALONE: Final = 7
"""Cells of a message that comes alone: the message, topic, payload and what carries them. CPython 3.12 takes 380 to 440
bytes for them beside the bytes that they hold."""

ANSWER: Final = 3
"""Cells of an answer, which has no topic: 150 bytes in CPython 3.12."""

RUN: Final = 3
"""Cells of a run, beside one for each of its payloads: 55 bytes each in CPython 3.12."""

_HEADER: Final = 2
"""Cells of a header: 110 to 140 bytes in CPython 3.12, but 33 where key and value are one letter each."""

_LEAST_CELLS: Final = 1024
"""Cells that even a very small limit allows, if the bytes fit."""


def cells_of(headers: Headers, alone: int = ALONE) -> int:
    """Return the cells of a message that comes alone, of so many without these headers."""
    if not headers:
        return alone
    letters = sum(len(key) + len(text) for key, text in headers.items())
    beside = sum(cells_beside(key) + cells_beside(text) for key, text in headers.items())
    return alone + min(_HEADER * len(headers), letters // 2) + beside


def cells_beside(text: str) -> int:
    """Return the cells that a text takes beside its bytes: one character beyond Latin-1 makes all of them wide."""
    return 0 if text.isascii() else max(0, getsizeof(text) - len(text.encode())) // CELL


def cells_in(limit: int) -> int:
    """Return the cells that a limit in bytes allows."""
    return max(_LEAST_CELLS, limit // CELL)


@define(eq=False)
class Budget:
    """A number of bytes that the outboxes of a bus share, and of cells.

    An eighth is for the *shares*: each connection has one, 32 KiB by default, that nothing else takes. So a subscriber
    that reads misses nothing because others do not. Beyond its share an outbox takes of half of the bytes, and a
    message that waits alone of five eighths.

    The last quarter is for publications that are *held* until there is room in the outboxes of their receivers. So a
    paced publisher is made to wait before there is no room to hold what it publishes.
    """

    limit: int
    connections: int
    """How many may have a share."""
    used: int = 0
    held: int = 0
    """The part of it that is held."""
    cells: int = 0
    most: int = field(init=False)
    """Cells that may be used."""
    share: int = field(init=False)
    """The bytes of an outbox that nothing else takes."""
    share_cells: int = field(init=False)
    is_short: bool = False
    """Whether somebody whose outbox is empty waits for what others leave."""

    def __attrs_post_init__(self) -> None:
        """Allow so many cells as well."""
        self.most = cells_in(self.limit)
        self.share = self.limit // (8 * self.connections)
        self.share_cells = self.most // (8 * self.connections)

    @property
    def is_empty(self) -> bool:
        """Whether nothing counts."""
        return not (self.used or self.held or self.cells)

    def fits(self, size: int, cells: int) -> bool:
        """Tell whether so many bytes and cells more are within the limit, whoever they are for."""
        return self.used + size <= self.limit and self.cells + cells <= self.most

    def leaves_room(self, size: int, cells: int) -> bool:
        """Tell whether so many bytes and cells more may wait, beyond the shares."""
        return 2 * (self.used - self.held + size) <= self.limit and 2 * (self.cells + cells) <= self.most

    def takes_alone(self, size: int, cells: int) -> bool:
        """Tell whether a message of that size may wait in an outbox that has no other."""
        return self.used == self.held or (
            8 * (self.used - self.held + size) <= 5 * self.limit and 8 * (self.cells + cells) <= 5 * self.most
        )

    def may_hold(self, size: int, cells: int, counted: int) -> bool:
        """Tell whether so many bytes and cells more may be held, of which so many bytes count already."""
        return (
            4 * (self.held + size) <= self.limit
            and 8 * (self.cells + cells) <= 7 * self.most
            and self.fits(size - counted, cells)
        )


@define(eq=False)
class Shared:
    """What several outboxes and backlogs may hold of one publication or run: it counts once, however many they are.

    Each of its holders counts all of it, so each one that is not the first takes it off again here.
    """

    total: Budget
    size: int
    cells: int
    holders: int = field(default=0, init=False)
    parts: list[Shared] = field(factory=list, init=False)
    """The publications of a run of which this is one holder, while it has holders itself."""

    @property
    def counted(self) -> int:
        """The bytes of it that count already among what waits in outboxes."""
        return self.size if self.holders else 0

    def join(self) -> None:
        """Note one holder more, which has counted all of it."""
        if self.holders:
            self.total.used -= self.size
            self.total.cells -= self.cells
        self.holders += 1

    def leave(self) -> None:
        """Note that one of them counts it no more."""
        self.holders -= 1
        if self.holders:
            self.total.used += self.size
            self.total.cells += self.cells
        elif self.parts:
            for part in self.parts:
                part.leave()

    def add_part(self, part: Shared) -> None:
        """Hold a publication of this run, which others are about to hold by itself, while the run has holders."""
        if self.holders:
            self.parts.append(part)
            part.join()
