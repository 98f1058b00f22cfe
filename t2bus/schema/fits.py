"""Whether a reader takes what a writer writes, when both have versions of one type.

::

    writer                     reader
    text: str                  text: str; count: int        count: is missing, and has no default
    text: str; count: int      text: str                    count: is ignored
    int | None                 int                          expected int, got None

The theory. Each layout stands for two sets of plain items: those that are written and those that are read. Nothing
breaks if and only if the first set of the writer lies in the second of the reader. Both are made of parts in the same
way, so the question goes down from part to part. A type that leads back to itself leads to a question that has been
asked, and that is then no flaw.

Sets and the keys of dicts ask more: elements that are apart at the writer have to be so at the reader, or it refuses
them as one that occurs twice. A flaw that ``merges`` is one that breaks there.

The law of this module: it follows :mod:`t2bus.protocol`, and knows what is there only by its layouts. What code of the
program's own refuses, a validator for instance, is no part of them.
"""

from __future__ import annotations

from itertools import combinations, starmap
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from ..protocol.layouts import (
    Basic,
    Choices,
    ClassLayout,
    Entries,
    FieldLayout,
    Layout,
    Positions,
    Repeated,
    Variant,
    Written,
)
from .flaws import Flaw, mistaken, scalar_flaws
from .pieces import kind_of, kinds, read, written
from .words import words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_Pair: TypeAlias = tuple[int, int]

_SETS: Final = ("set", "frozenset")
_NUMBERS: Final[dict[str, str]] = dict.fromkeys(("bool", "int", "float"), "number")


def flaws_between(writer: Layout, reader: Layout, path: str) -> list[Flaw]:
    """Return what the reader refuses, and what it does otherwise than the writer meant, each once.

    ``path`` is what the texts call the whole, such as the name of a class.
    """
    before: dict[_Pair, list[Flaw]] = {}
    while True:  # flaws inside of a type that leads back to itself are known the second time
        comparison = _Comparison(before)
        found = comparison.compare(writer, reader, path)
        if _weight(comparison.known) == _weight(before):
            return list(dict.fromkeys(attrs.evolve(flaw, merges=False) for flaw in found))
        before = comparison.known


def _weight(known: dict[_Pair, list[Flaw]]) -> tuple[int, int]:
    """Return how many answers have that in them which other answers depend on; it only grows from walk to walk."""
    return (
        sum(any(flaw.breaks for flaw in flaws) for flaws in known.values()),
        sum(any(flaw.merges for flaw in flaws) for flaws in known.values()),
    )


@attrs.define(eq=False)
class _Comparison:
    """One walk through two layouts."""

    _before: dict[_Pair, list[Flaw]]
    """What the walk before has found, for pairs that this one is still at."""
    known: dict[_Pair, list[Flaw]] = attrs.field(factory=dict, init=False)
    _kept: list[Layout] = attrs.field(factory=list, init=False)
    """Pieces that were made on the way, so that no other one gets their ids."""

    def compare(self, writer: Layout, reader: Layout, path: str) -> list[Flaw]:
        """Return the flaws of a reader and a writer; those of two classes with the path of where they met first."""
        readers = read(reader)
        return [flaw for piece in written(writer) for flaw in self._piece(piece, reader, readers, path)]

    def _piece(self, piece: Layout, reader: Layout, readers: Sequence[Layout], path: str) -> list[Flaw]:
        """Compare one piece of the writer with that of the reader which the adapter would choose."""
        kind = kind_of(piece)
        candidates = [each for each in readers if kind in kinds(each)]
        if not candidates and kind == "int":
            candidates = [each for each in readers if "float" in kinds(each)]
        if not candidates:
            return [mistaken(piece, words_of(reader), path)]
        if kind == "dict" and isinstance(candidates[0], Variant):
            return self._tagged(piece, [each for each in candidates if isinstance(each, Variant)], path)
        answers = [self._pair(piece, each, path) for each in candidates]
        whole = [flaws for flaws in answers if not any(flaw.breaks for flaw in flaws)]
        if whole:
            return whole[0]
        return answers[0] if len(answers) == 1 else [mistaken(piece, words_of(reader, whole=True), path)]

    def _pair(self, piece: Layout, reader: Layout, path: str) -> list[Flaw]:
        """Compare two pieces whose plain items are of one kind."""
        if isinstance(reader, Written) and reader.is_own:
            if isinstance(piece, Written) and piece.name == reader.name:
                return self._piece(piece.wire, reader.wire, read(reader.wire), path)
            return [Flaw(path, f"whether {words_of(piece)} is read is for the decode of {reader.name} to say")]
        if isinstance(piece, Written) and piece.is_own:
            return self._pair(piece.wire, reader, path)
        kind = kind_of(piece)
        if kind not in ("list", "dict"):
            return scalar_flaws(piece, reader, path)
        if isinstance(reader, Choices):
            if _is_one(piece):
                return scalar_flaws(Choices("", (_item_of(piece),)), reader, path)
            return [mistaken(piece, words_of(reader, whole=True), path)]
        pair = id(piece), id(reader)
        if pair not in self.known:
            self._kept += piece, reader
            self.known[pair] = self._before.get(pair, [])  # for where it leads back to itself
            self.known[pair] = (self._arrays if kind == "list" else self._maps)(piece, reader, path)
        return self.known[pair]

    # --- arrays

    def _arrays(self, piece: Layout, reader: Layout, path: str) -> list[Flaw]:
        """Compare two pieces that travel as arrays."""
        places = _places(piece)
        if isinstance(reader, Repeated):
            if places is None:
                return self._all_parts(piece, reader, path)
            flaws = [
                flaw for at, place in enumerate(places) for flaw in self.compare(place, reader.part, f"{path}[{at}]")
            ]
            if reader.kind in _SETS and any(starmap(_may_be_equal, combinations(places, 2))):
                flaws.append(Flaw(path, f"an element may occur twice, which {words_of(reader)} refuses"))
            return flaws
        if isinstance(reader, Entries):
            return self._pairs(piece, places, reader, path)
        return self._positions(piece, places, reader, path)

    def _all_parts(self, piece: Layout, reader: Repeated, path: str) -> list[Flaw]:
        """Compare an array of any length with a list, set or tuple of any length."""
        is_unique = isinstance(piece, Entries) or (isinstance(piece, Repeated) and piece.kind in _SETS)
        part = _pair_of(piece) if isinstance(piece, Entries) else piece.part  # type: ignore[union-attr]
        flaws = self.compare(part, reader.part, f"{path}[]")
        if reader.kind in _SETS and not (is_unique and not any(flaw.merges for flaw in flaws)):
            text = "two elements may become one" if is_unique else "an element may occur twice"
            return [*flaws, Flaw(path, f"{text}, which {words_of(reader)} refuses")]
        return flaws

    def _pairs(self, piece: Layout, places: Sequence[Layout] | None, reader: Entries, path: str) -> list[Flaw]:
        """Compare an array with a dict that travels as pairs."""
        if isinstance(piece, Entries):
            return self._entries(piece, reader, path)
        pair = _pair_of(reader)
        if places is not None:
            flaws = [f for at, place in enumerate(places) for f in self.compare(place, pair, f"{path}[{at}]")]
            is_broken = len(places) > 1
        else:
            assert isinstance(piece, Repeated)
            flaws, is_broken = self.compare(piece.part, pair, f"{path}[]"), True
        return [*flaws, Flaw(path, f"a key may occur twice, which {words_of(reader)} refuses")] if is_broken else flaws

    def _positions(self, piece: Layout, places: Sequence[Layout] | None, reader: Layout, path: str) -> list[Flaw]:
        """Compare an array with a tuple, or a class as an array, which have places for so many elements."""
        if isinstance(reader, ClassLayout):
            expected = reader.fields
        else:
            assert isinstance(reader, Positions)
            expected = tuple(FieldLayout(f"[{at}]", part, is_required=True) for at, part in enumerate(reader.parts))
        is_class = isinstance(reader, ClassLayout)
        if places is None:
            return [Flaw(path, f"{words_of(piece)} has any number of elements, {words_of(reader)} has {len(expected)}")]
        if len(places) > len(expected) or (not is_class and len(places) < len(expected)):
            return [Flaw(path, f"expected {len(expected)} elements, got {len(places)}")]
        flaws = []
        for place, field in zip(places, expected, strict=False):
            flaws += self.compare(place, field.layout, f"{path}.{field.name}" if is_class else f"{path}{field.name}")
        for field in expected[len(places) :]:
            flaws += _missing(field, path)
        return flaws

    # --- maps

    def _tagged(self, piece: Layout, variants: Sequence[Variant], path: str) -> list[Flaw]:
        """Compare a map with variants, which are maps of one key."""
        fields = _named(piece)
        tags = ", ".join(variant.tag for variant in variants)
        if fields is None or len(fields) != 1:
            return [Flaw(path, f"expected one key, of {tags}, got {words_of(piece)}")]
        [field] = fields
        for variant in variants:
            if variant.tag == field.name:
                return self.compare(field.layout, variant.layout, f"{path}.{variant.tag}")
        return [Flaw(path, f"expected one key, of {tags}, got {field.name}")]

    def _maps(self, piece: Layout, reader: Layout, path: str) -> list[Flaw]:
        """Compare two pieces that travel as maps."""
        fields = _named(piece)
        if isinstance(reader, Entries):
            if fields is None:
                assert isinstance(piece, Entries)
                return self._entries(piece, reader, path)
            flaws = []
            for field in fields:
                flaws += self.compare(Choices("", (field.name,)), reader.key, f"{path}.{field.name}")
                flaws += self.compare(field.layout, reader.part, f"{path}.{field.name}")
            return flaws
        if not isinstance(reader, ClassLayout):
            return [mistaken(piece, words_of(reader, whole=True), path)]
        if fields is None:
            assert isinstance(piece, Entries)
            return self._entries_as_fields(piece, reader, path)
        return self._fields(fields, reader, path)

    def _fields(self, fields: Sequence[FieldLayout], reader: ClassLayout, path: str) -> list[Flaw]:
        """Compare the fields of two classes by their names."""
        flaws: list[Flaw] = []
        there = {field.name: field for field in fields}
        for field in reader.fields:
            if field.name in there:
                flaws += self.compare(there[field.name].layout, field.layout, f"{path}.{field.name}")
            else:
                flaws += _missing(field, path)
        ignored = there.keys() - {field.name for field in reader.fields}
        flaws += [
            Flaw(f"{path}.{name}", "is ignored", breaks=False, merges=not _is_one(there[name].layout))
            for name in there
            if name in ignored
        ]
        return flaws

    def _entries(self, piece: Entries, reader: Entries, path: str) -> list[Flaw]:
        """Compare two dicts."""
        keys = self.compare(piece.key, reader.key, f"{path}[key]")
        if any(flaw.merges for flaw in keys):
            keys = [*keys, Flaw(path, f"two keys may become one, which {words_of(reader)} refuses")]
        return [*keys, *self.compare(piece.part, reader.part, f"{path}[]")]

    def _entries_as_fields(self, piece: Entries, reader: ClassLayout, path: str) -> list[Flaw]:
        """Compare a dict, which may be empty and may have any key, with a class."""
        flaws = [flaw for field in reader.fields if field.is_required for flaw in _missing(field, path)]
        for field in reader.fields:
            if not any(f.breaks for f in self.compare(Choices("", (field.name,)), piece.key, path)):
                flaws += self.compare(piece.part, field.layout, f"{path}.{field.name}")
        return [*flaws, Flaw(path, "other keys are ignored", breaks=False, merges=True)]


def _places(piece: Layout) -> tuple[Layout, ...] | None:
    """Return the layouts of the elements of an array that has so many; None if it has any number."""
    if isinstance(piece, Positions):
        return piece.parts
    return tuple(field.layout for field in piece.fields) if isinstance(piece, ClassLayout) else None


def _named(piece: Layout) -> Sequence[FieldLayout] | None:
    """Return the fields of a map that has always the same keys; None for one that may have any."""
    if isinstance(piece, Variant):
        return [FieldLayout(piece.tag, piece.layout, is_required=True)]
    return piece.fields if isinstance(piece, ClassLayout) else None


def _pair_of(entries: Entries) -> Positions:
    return Positions((entries.key, entries.part))


def _missing(field: FieldLayout, path: str) -> list[Flaw]:
    """Return the flaw of a field that the writer does not have."""
    return [Flaw(f"{path}.{field.name}", "is missing, and has no default")] if field.is_required else []


def _may_be_equal(one: Layout, other: Layout) -> bool:
    """Whether two elements of a tuple may be equal; this is so for numbers of two types too."""
    firsts, seconds = (
        [(each, _NUMBERS.get(kind_of(each), kind_of(each))) for each in written(x)] for x in (one, other)
    )
    return any(kind == kind_2 and not _differ(each, each_2) for each, kind in firsts for each_2, kind_2 in seconds)


def _differ(one: Layout, other: Layout) -> bool:
    return isinstance(one, Choices) and isinstance(other, Choices) and one.values != other.values


def _is_one(layout: Layout, depth: int = 8) -> bool:
    """Whether there is one value of a layout, which tells nothing; one that is deep counts for many."""
    if depth == 0 or len(pieces := written(layout)) != 1:
        return False
    match pieces[0]:
        case Choices():
            return True
        case Basic(name=name):
            return name == "None"
        case Variant(layout=inner):
            return _is_one(inner, depth - 1)
        case Positions(parts=parts):
            return all(_is_one(part, depth - 1) for part in parts)
        case ClassLayout(fields=fields):
            return all(_is_one(field.layout, depth - 1) for field in fields)
        case _:
            return False


def _item_of(layout: Layout) -> Any:
    """Return the plain item of a layout that has one value."""
    [piece] = written(layout)
    match piece:
        case Choices(values=(item,)):
            return item
        case Variant():
            return {piece.tag: _item_of(piece.layout)}
        case Positions() | ClassLayout(shape="as_array"):
            return [_item_of(part) for part in _places(piece) or ()]
        case ClassLayout():
            return {field.name: _item_of(field.layout) for field in piece.fields}
        case _:
            return None
