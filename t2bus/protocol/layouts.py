"""Layouts: which plain items a type is written as and read from, as data that can be shown and compared.

The layout of ``dict[str, Point | None]``, for example::

    Entries(key=Basic("str"), part=Either((ClassLayout("Point", ...), Basic("None"))), is_map=True)

The theory. An adapter is two functions, which tell nothing about themselves. So whoever makes an adapter says beside it
what those functions do. A description of a program's messages, and the comparison of two versions of them, are made of
that, and never of annotations.

The law of this module: it is data. A layout that leads back to itself does so by way of a :class:`ClassLayout` or an
:class:`Alias`, which are filled when their parts are known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias, get_origin

import attrs


@attrs.frozen(eq=False)
class Basic:
    """A type whose values are plain items: ``None``, ``bool``, ``int``, ``float``, ``str`` or ``bytes``."""

    name: str


@attrs.frozen(eq=False)
class Written:
    """A type whose values travel as values of another, such as a date as text."""

    name: str
    wire: Layout
    is_own: bool = False
    """Whether the program has said how, with ``register_scalar``; else t2bus knows what it reads."""


@attrs.frozen(eq=False)
class Choices:
    """A ``Literal`` or an enumeration."""

    name: str
    """That of the enumeration; empty for a ``Literal``."""
    values: tuple[Any, ...]
    """The plain items that are written."""
    also: dict[str, str] = attrs.field(factory=dict)
    """Other names of members, which are read too, and the names that those members are written as."""


@attrs.frozen(eq=False)
class Bits:
    """An enumeration of flags, whose values are sums of those of its members."""

    name: str
    members: dict[str, int]
    boundary: str
    """What becomes of other bits, as a name of ``enum.FlagBoundary``."""

    @property
    def mask(self) -> int:
        """All bits that have a member."""
        mask = 0
        for value in self.members.values():
            mask |= value
        return mask


@attrs.frozen(eq=False)
class Repeated:
    """A list, set, frozenset or tuple whose elements are all of one type."""

    kind: str
    part: Layout


@attrs.frozen(eq=False)
class Positions:
    """A tuple whose elements have a type each."""

    parts: tuple[Layout, ...]


@attrs.frozen(eq=False)
class Entries:
    """A dict: a map, or an array of pairs."""

    key: Layout
    part: Layout
    is_map: bool


@attrs.frozen(eq=False)
class FieldLayout:
    """A field of an attrs class that travels."""

    name: str
    layout: Layout
    is_required: bool
    """Whether a reader refuses what lacks it: the field has no default."""
    attribute: Any = None
    """The ``attrs.Attribute``, with the default; None if that is not at hand."""
    to_plain: Callable[[Any], Any] | None = None
    """Makes the plain item of a default."""
    doc: str = ""
    """As a document tells it, and so is the default."""
    default: str = ""


@attrs.define(eq=False)
class ClassLayout:
    """An attrs class, with its fields once they are known."""

    name: str
    shape: str
    """Empty for a map, or the option of the class line that asks for another shape."""
    type_: Any = None
    """The class; None of a layout that comes from a document."""
    fields: tuple[FieldLayout, ...] = ()
    doc: str = ""
    """As a document tells it."""


@attrs.frozen(eq=False)
class Variant:
    """A class among others in a union: a map from its name, or its name alone if it is a map without fields."""

    tag: str
    layout: Layout


@attrs.frozen(eq=False)
class Either:
    """A union. That of no members stands for a part of a union that writes nothing."""

    members: tuple[Layout, ...]


@attrs.frozen(eq=False)
class AnyPlain:
    """``Any``: every plain item whose maps have keys of text."""


@attrs.define(eq=False)
class Alias:
    """The place where a type leads back to an alias that it stands in."""

    name: str
    type_: Any = None
    target: Layout | None = None


Layout: TypeAlias = (
    Basic
    | Written
    | Choices
    | Bits
    | Repeated
    | Positions
    | Entries
    | ClassLayout
    | Variant
    | Either
    | AnyPlain
    | Alias
)

NONE_WRITTEN: Final = Either(())
"""That of an adapter which only reads what others write."""


def is_hashable(layout: Layout) -> bool:
    """Whether the values of a layout, or some of them, may be elements of a set, as far as it says that."""
    match layout:
        case Repeated():
            return layout.kind == "frozenset" or (layout.kind == "tuple" and is_hashable(layout.part))
        case Positions():
            return all(map(is_hashable, layout.parts))
        case Either():
            return any(map(is_hashable, layout.members))
        case Variant():
            return is_hashable(layout.layout)
        case ClassLayout():
            cls = get_origin(layout.type_) or layout.type_
            return cls is None or cls.__hash__ is not None
        case _:
            return not isinstance(layout, Entries)
