"""Flaws: what a reader makes of plain items without parts that a writer of another version writes.

::

    int to float          "an int beyond 2**53 is no float"
    date to datetime      read, as the midnight before
    "green" to Color      "Color has no 'green'"

The theory. What types of the standard library take as text is asked of their adapters where one value is in question.
Where all values of a type are, it follows from how they are written: a table says which are read by another type too.

The law of this module: ``breaks`` is true if and only if there is a value that the writer writes and the reader
refuses; where that is for code of the program's own to say, it is taken to refuse.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from ..protocol.adapters import Refusal, TypeAdapter, name_of
from ..protocol.layouts import Basic, Bits, Choices, Layout, Variant, Written
from ..protocol.scalars import EXACT
from ..protocol.standard import STANDARD
from .pieces import may_be_alone
from .words import words_of

_FEW_BITS: Final = 10
"""Flags whose values are tried one by one."""

_STANDARD: Final[dict[str, TypeAdapter]] = {name_of(kind): adapter for kind, adapter in STANDARD.items()}
_ALSO_READ: Final = {
    "datetime": {"date"},
    "IPv4Network": {"IPv4Address"},
    "IPv4Interface": {"IPv4Address", "IPv4Network"},
    "IPv6Network": {"IPv6Address"},
    "IPv6Interface": {"IPv6Address", "IPv6Network"},
    "timedelta": {"int"},
}
"""Types whose text, or number, another type reads whatever the value; a path reads every text."""


@attrs.frozen
class Flaw:
    """Something that a reader does not do with what is written as its writer means it."""

    path: str
    text: str
    breaks: bool = True
    """Whether it refuses the message."""
    merges: bool = False
    """Whether values that are apart at the writer may be equal at the reader."""


def mistaken(piece: Layout, expected: str, path: str) -> Flaw:
    """Return the flaw of a piece that no piece of the reader takes."""
    return Flaw(path, f"expected {expected}, got {_got(piece)}")


def _got(piece: Layout) -> str:
    if isinstance(piece, Choices):
        return f"{piece.values[0]!r} of {piece.name}" if piece.name else repr(piece.values[0])
    return words_of(piece)


def scalar_flaws(piece: Layout, reader: Layout, path: str) -> list[Flaw]:
    """Return the flaws of a piece without parts, and of a reader that takes plain items of its kind."""
    match piece, reader:
        case Choices(), _:
            return _value_flaws(piece, reader, path)
        case Bits(), _:
            return _bits_flaws(piece, reader, path)
        case ((Basic() | Written()), (Basic() | Written())):
            return _type_flaws(piece, reader, path)
        case ((Basic() | Written()), Bits()) if reader.boundary != "STRICT":
            text = f"{_an(words_of(piece))} is read as {_an(reader.name)}"
            return [Flaw(path, text, breaks=False, merges=True)]
        case _:
            return [mistaken(piece, words_of(reader, whole=True), path)]


def _type_flaws(piece: Basic | Written, reader: Basic | Written, path: str) -> list[Flaw]:
    """Compare two types, whose values are without number."""
    if piece.name == reader.name:
        return []
    if isinstance(reader, Basic):
        base = piece.name if isinstance(piece, Basic) else words_of(piece.wire)
        if base == "int" and reader.name == "float":
            return [Flaw(path, f"{_an(piece.name)} beyond 2**53 is no float")]
        return _read_as(piece, reader, path) if base == reader.name else [mistaken(piece, reader.name, path)]
    if _is_path(reader.name):
        merges = isinstance(piece, Basic) or (_is_path(piece.name) and reader.name == "PureWindowsPath")
        return [Flaw(path, f"{_an(piece.name)} is read as {_an(reader.name)}", breaks=False, merges=merges)]
    if piece.name in _ALSO_READ.get(reader.name, ()):
        return _read_as(piece, reader, path)
    return [mistaken(piece, reader.name, path)]


def _read_as(piece: Layout, reader: Layout, path: str) -> list[Flaw]:
    return [Flaw(path, f"{_an(words_of(piece))} is read as {_an(words_of(reader))}", breaks=False)]


def _value_flaws(piece: Choices, reader: Layout, path: str) -> list[Flaw]:
    """Compare one value."""
    [item] = piece.values
    match reader:
        case Basic():
            is_read = type(item) is not int or reader.name == "int" or abs(item) <= EXACT
        case Written():
            return _spelling_flaws(piece, item, reader, path)
        case Choices():
            types = (int, float) if type(item) is int else (type(item),)
            if any(type(value) in types and value == item for value in reader.values):
                return []
            if isinstance(item, str) and item in reader.also:
                text = f"{item!r} is read as {reader.also[item]!r}"
                return [Flaw(path, text, breaks=False, merges=True)]
            text = f"{words_of(reader)} has no {item!r}" if reader.name else f"{item!r} is not in {words_of(reader)}"
            return [Flaw(path, text)]
        case Bits():
            is_read = reader.boundary != "STRICT" or _has_bits(reader.mask, item)
        case Variant():
            is_read = may_be_alone(reader) and reader.tag == item
        case _:
            is_read = False
    return [] if is_read else [mistaken(piece, words_of(reader), path)]


def _spelling_flaws(piece: Choices, item: Any, reader: Written, path: str) -> list[Flaw]:
    """Try whether a type of the standard library reads a value."""
    adapter = _STANDARD.get(reader.name)
    if adapter is None or (spelt := _spelt(adapter, item)) is None:
        return [mistaken(piece, words_of(reader), path)]
    text = f"{_got(piece)} is read as {_an(words_of(reader))}"
    return [Flaw(path, text, breaks=False, merges=spelt != item)]


def _spelt(adapter: TypeAdapter, item: Any) -> Any:
    """Return how a type writes what it reads from a text or a number; None if it reads nothing from it."""
    try:
        return adapter.to_plain(adapter.from_plain(item))
    except Refusal:
        return None


def _has_bits(mask: int, item: int) -> bool:
    """Whether a number has no other bits; a negative one stands for all bits but some."""
    return ~mask <= item <= mask and (item < 0 or not item & ~mask)


def _bits_flaws(piece: Bits, reader: Layout, path: str) -> list[Flaw]:
    """Compare flags, whose values are sums of bits."""
    is_bounded = piece.boundary != "KEEP"
    match reader:
        case Bits():
            is_read = reader.boundary != "STRICT" or (is_bounded and not piece.mask & ~reader.mask)
            merges = reader.boundary == "CONFORM" and bool(not is_bounded or piece.mask & ~reader.mask)
            if is_read:
                return [Flaw(path, "bits are lost", breaks=False, merges=True)] if merges else []
        case Basic(name="float"):
            if is_bounded and piece.mask <= EXACT:
                return _read_as(piece, reader, path)
        case Basic() | Written(name="timedelta"):
            return _read_as(piece, reader, path)
        case Choices() if is_bounded and piece.mask.bit_count() <= _FEW_BITS:
            values = _sums(piece.mask)
            flaws = [f for value in values for f in _value_flaws(Choices(piece.name, (value,)), reader, path)]
            return flaws[:1]
    return [mistaken(piece, words_of(reader, whole=True), path)]


def _sums(mask: int) -> list[int]:
    """Return all sums of the bits of a mask."""
    sums = [0]
    for bit in range(mask.bit_length()):
        if mask >> bit & 1:
            sums += [each | 1 << bit for each in sums]
    return sums


def _is_path(name: str) -> bool:
    return name.endswith("Path") and name in _STANDARD


def _an(name: str) -> str:
    return f"{'an' if name[:1] in 'aeiouAEIO' else 'a'} {name}"
