"""Pieces: a layout taken apart by the kind of plain item, as an adapter tells the members of a union.

::

    int | list[str] | None      int, list[str], None
    Literal["a", 1]             "a", 1, each by itself
    Any                         None, bool, int, float, str, bytes, list[Any], dict[str, Any]

The theory. An adapter finds the member of a union by the type of the plain item, and tries no other. So what is written
is compared piece by piece, each with those pieces of the reader that take plain items of its kind.

The law of this module: the pieces of what is written are each of one kind: None, bool, int, float, str, bytes, list or
dict.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

from ..protocol.adapters import name_of
from ..protocol.layouts import (
    Alias,
    AnyPlain,
    Basic,
    Bits,
    Choices,
    ClassLayout,
    Either,
    Entries,
    FieldLayout,
    Layout,
    Positions,
    Repeated,
    Variant,
    Written,
)
from .json_schema import BASIC, is_alone

ANY: Final = AnyPlain()
_PLAIN: Final[tuple[Layout, ...]] = (*map(Basic, BASIC), Repeated("list", ANY), Entries(Basic("str"), ANY, is_map=True))


def written(layout: Layout) -> list[Layout]:
    """Return the pieces that are written."""
    match layout:
        case Choices():
            return [_value(item, layout.name) for item in layout.values]
        case Written() if layout.is_own:
            return [Written(layout.name, piece, is_own=True) for piece in written(layout.wire)]
        case Variant() if is_alone(layout):
            return [Choices(layout.tag, (layout.tag,))]
    parts = _parts(layout)
    return [layout] if parts is None else [piece for part in parts for piece in written(part)]


def read(layout: Layout) -> list[Layout]:
    """Return the pieces that are read; a closed set is one."""
    parts = _parts(layout)
    return [layout] if parts is None else [piece for part in parts for piece in read(part)]


def _parts(layout: Layout) -> tuple[Layout, ...] | None:
    """Return what a layout is the union of; None if it is a piece itself."""
    match layout:
        case Either():
            return layout.members
        case AnyPlain():
            return _PLAIN
        case Alias():
            assert layout.target is not None, "an alias is filled when it is compared"
            return (layout.target,)
        case ClassLayout(shape="transparent"):
            return (layout.fields[0].layout,)
        case _:
            return None


def _value(item: Any, name: str) -> Layout:
    """Return the piece that is one value."""
    if isinstance(item, list):
        return Positions(tuple(_value(each, name) for each in item))
    if isinstance(item, dict):
        fields = (FieldLayout(str(key), _value(value, name), is_required=True) for key, value in item.items())
        return ClassLayout(name, "", None, tuple(fields))
    return Choices(name, (item,))


def kind_of(piece: Layout) -> str:
    """Return the kind of plain item that a piece is written as."""
    if isinstance(piece, Variant):
        return "dict"
    [kind] = kinds(piece)
    return kind


def kinds(piece: Layout) -> set[str]:
    """Return the kinds of plain items that a piece is read from."""
    match piece:
        case Basic():
            return {piece.name}
        case Written():
            return {kind for part in read(piece.wire) for kind in kinds(part)}
        case Choices():
            return {name_of(type(value)) for value in piece.values} | ({"str"} if piece.also else set())
        case Bits():
            return {"int"}
        case Repeated() | Positions():
            return {"list"}
        case Entries():
            return {"dict" if piece.is_map else "list"}
        case ClassLayout():
            return {"list" if piece.shape == "as_array" else "dict"}
        case Variant():
            return {"dict", "str"} if may_be_alone(piece) else {"dict"}
        case Either() | AnyPlain() | Alias():
            return {kind for part in read(piece) for kind in kinds(part)}
        case _:
            assert_never(piece)


def may_be_alone(variant: Variant) -> bool:
    """Whether its name alone is read: a map of which each field has a default."""
    inner = variant.layout
    return isinstance(inner, ClassLayout) and not inner.shape and not any(each.is_required for each in inner.fields)
