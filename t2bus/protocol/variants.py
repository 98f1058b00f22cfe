"""Variants: unions whose values say which member they are of, as Rust's enums do.

The values of ``Circle | Empty | Color``, for example, travel as::

    Circle(1.0)       {"Circle": {"radius": 1.0}}
    Empty()           "Empty"
    Color.RED         "red"

The theory. A map does not say of which class it is. So where several classes are possible, a value travels in a map
with one key, the name of its class. serde calls the key a **tag**, and this an externally tagged enum. A class without
fields has nothing to put behind the tag, which travels alone. An enumeration of text looks like that anyway.

The law of this module: a tag stands for one variant. Two variants with the same tag make the union a TypeError. What is
behind the tag obeys the law of its class. So when a class gains its first field, with a default, it still reads its tag
alone; when it loses its last field, it still reads a map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_origin

import attrs

from .adapters import Conversion, Refusal, TypeAdapter
from .classes import Shape, shape_of, travelling
from .layouts import NONE_WRITTEN, Variant

if TYPE_CHECKING:
    from enum import Enum


def variants(name: str, classes: dict[Any, TypeAdapter], enums: dict[type[Enum], TypeAdapter]) -> list[TypeAdapter]:
    """Make the adapters of the variants of one union: attrs classes, and enumerations that travel as text.

    Each variant has an adapter that writes its values. One adapter reads all maps, and another all text.

    Raises:
      TypeError: two variants have the same tag.

    """
    inside: dict[str, Conversion] = {}
    texts: dict[str, tuple[Conversion, object]] = {}
    writers = []
    for type_, adapter in classes.items():
        tag = _new_tag((get_origin(type_) or type_).__name__, name, {*inside, *texts})
        inside[tag] = adapter.from_plain
        fields = travelling(type_) if shape_of(type_) is Shape.MAP else None
        if fields is not None and all(field.default is not attrs.NOTHING for field in fields):
            texts[tag] = adapter.from_plain, {}
        write = _write_tag(tag, adapter.to_plain) if fields == [] else _write_inside(tag, adapter.to_plain)
        depth, layout = 1 + adapter.depth, Variant(tag, adapter.layout)
        writers.append(TypeAdapter(adapter.value_types, frozenset(), depth, write, adapter.from_plain, layout=layout))
    for kind, adapter in enums.items():
        for member in kind:
            text = adapter.to_plain(member)
            texts[_new_tag(text, name, {*inside, *texts})] = adapter.from_plain, text
        writers.append(attrs.evolve(adapter, plain_types=frozenset()))
    maps, words = _read_inside(inside), _read_tag(texts)
    readers = [_reader(dict, maps)] if inside else []
    readers += [_reader(str, words)] if texts else []
    return [*writers, *readers]


def _reader(kind: type, read: Conversion) -> TypeAdapter:
    """Make an adapter that writes nothing."""
    return TypeAdapter(frozenset(), frozenset([kind]), 0, read, read, layout=NONE_WRITTEN)


def _new_tag(tag: str, name: str, others: set[str]) -> str:
    """Return a tag, having checked that no other variant has it.

    A class of another module may have the same name, and an enumeration may have a member with the text of a class.
    """
    if tag in others:
        raise TypeError(f"two variants of {name} are called {tag!r}: name their classes and members apart")
    return tag


def _write_tag(tag: str, check: Conversion) -> Conversion:
    """Make the function that writes values without fields as their tag, having checked that they are of the class."""

    def to_plain(value: object) -> object:
        check(value)
        return tag

    return to_plain


def _write_inside(tag: str, write: Conversion) -> Conversion:
    """Make the function that writes values into a map from their tag."""

    def to_plain(value: object) -> object:
        try:
            return {tag: write(value)}
        except Refusal as refusal:
            refusal.path.append(f".{tag}")
            raise

    return to_plain


def _read_inside(inside: dict[str, Conversion]) -> Conversion:
    """Make the function that reads maps from a tag."""

    def from_plain(plain: Any) -> object:
        if len(plain) != 1:
            raise Refusal(f"expected one key, of {', '.join(inside)}, got {len(plain)}")
        [(tag, item)] = plain.items()
        if tag not in inside:
            raise Refusal(f"expected one key, of {', '.join(inside)}, got another")
        try:
            return inside[tag](item)
        except Refusal as refusal:
            refusal.path.append(f".{tag}")
            raise

    return from_plain


def _read_tag(texts: dict[str, tuple[Conversion, object]]) -> Conversion:
    """Make the function that reads tags alone, and the members of enumerations."""

    def from_plain(plain: Any) -> object:
        if plain not in texts:
            raise Refusal(f"expected one str, of {', '.join(texts)}, got another")
        read, item = texts[plain]
        return read(item)

    return from_plain
