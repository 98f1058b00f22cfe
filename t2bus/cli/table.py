r"""Tables of text: aligned columns, as wide as a terminal or as wide as they need.

::

    >>> columns = [Column("NAME", "name"), Column("WAITING", "waiting_bytes", Unit.BYTES)]
    >>> print(*table(columns, [["oven", "12 B"], ["a name of more letters", "3 B"]], width=25), sep="\n")
    NAME              WAITING
    oven                 12 B
    a name of more …      3 B

Text stands on the left and figures on the right. Where a table is too wide its texts are cut, the widest first, and
then columns are left out from the right: so those stand first that say most.

A character of Chinese takes two cells of the screen and a combining accent none. So width is counted in cells.

The law of this module: pure; a line has no character that is not printable, and is never wider than it may be.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from attrs import frozen

from ..text import printable
from .figures import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP: Final = "  "
_SHORTEST: Final = 16
"""Cells that a text is left before columns are left out."""


@frozen
class Column:
    """What one column of a table shows."""

    title: str
    field: str
    """The attribute of an entry that it shows."""
    unit: Unit = Unit.TEXT
    per_second: bool = False
    """Whether it shows how much the attribute grows in a second."""


def table(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], *, width: int | None, ascii_only: bool = False
) -> list[str]:
    """Return the lines of a table, of which the first has the titles.

    Args:
      columns: what stands in the columns.
      cells: the text of each cell, row by row; characters that are not printable are escaped.
      width: how many cells of the screen a line may take; None for any number.
      ascii_only: whether other characters than ASCII are escaped.

    """
    rows = [[_shown(text, ascii_only=ascii_only) for text in row] for row in cells]
    titles = [column.title for column in columns]
    widths = [max(map(width_of, texts)) for texts in zip(titles, *rows, strict=True)]
    if width is not None:
        widths = _fitting(columns, widths, width)
    end = "~" if ascii_only else "…"
    lines = [_GAP.join(map(_aligned, columns, row, widths, [end] * len(widths))).rstrip() for row in [titles, *rows]]
    return lines if width is None else [cut(line, width, end) for line in lines]


def _shown(text: str, *, ascii_only: bool) -> str:
    text = printable(text)
    return text.encode("ascii", "backslashreplace").decode() if ascii_only else text


def _fitting(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """Return the widths of the columns that fit, from the left."""
    is_text = [column.unit is Unit.TEXT for column in columns]
    least = [min(each, _SHORTEST) if text else each for each, text in zip(natural, is_text, strict=True)]
    number = len(least)
    while number > 1 and sum(least[:number]) + len(_GAP) * (number - 1) > width:
        number -= 1
    widths = list(natural[:number])
    excess = sum(widths) + len(_GAP) * (number - 1) - width
    while excess > 0 and (longer := [at for at in range(number) if is_text[at] and widths[at] > least[at]]):
        widths[max(longer, key=widths.__getitem__)] -= 1
        excess -= 1
    return widths


def _aligned(column: Column, text: str, width: int, end: str) -> str:
    """Return the text in so many cells."""
    text = cut(text, width, end)
    space = " " * (width - width_of(text))
    return f"{text}{space}" if column.unit is Unit.TEXT else f"{space}{text}"


def width_of(text: str) -> int:
    """Return how many cells of the screen a text takes that is printable."""
    return len(text) if text.isascii() else sum(map(_width_of_one, text))


def _width_of_one(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me") or "\u1160" <= character <= "\u11ff":
        return 0  # drawn over the one before it, as the vowels of old Hangul are
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def cut(text: str, width: int, end: str) -> str:
    """Return the text if it fits in ``width`` cells, or else as much of it as fits before ``end``, which takes one."""
    if width_of(text) <= width:
        return text
    kept, room = "", width - 1
    for character in text:
        room -= _width_of_one(character)
        if room < 0:
            break
        kept += character
    return f"{kept}{end}" if width > 0 else ""
