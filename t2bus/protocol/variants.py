"""Variants: unions that say which member a value is of, as Rust's enums do.

The theory. Maps do not say which class they were. So where several classes are possible, a value travels inside a map
of one key, the name of its class: ``{"Circle": {"radius": 1.0}}``. Without fields there is nothing to put inside, and
the name alone travels, as text. The members of an enumeration are such texts already. serde calls this an externally
tagged enum.

The law of this module: a tag is one variant's. Names of classes and texts of members are kept apart by none but
themselves, so that two that are alike make the union a TypeError. What is inside the tag obeys the law of its class: a
class that gains a first field, with a default, or loses its last one, still reads the other spelling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_origin

import attrs

from .classes import Shape, fields_of, shape_of
from .forms import Form, Function, Refusal

if TYPE_CHECKING:
    from enum import Enum

__all__ = ["variants"]


def variants(name: str, classes: dict[Any, Form], enums: dict[type[Enum], Form]) -> list[Form]:
    """Build the forms of the variants of one union, of attrs classes and of enumerations that travel as text.

    Each lowers its own values. Maps are lifted by one form for all, and texts by another, if any variant is one.

    Raises:
      TypeError: two variants have the same tag.

    """
    inside: dict[str, Function] = {}
    texts: dict[str, tuple[Function, object]] = {}
    lowering = []
    for type_, form in classes.items():
        tag = _new_tag((get_origin(type_) or type_).__name__, name, {*inside, *texts})
        inside[tag] = form.lift
        fields = [field for field, _ in fields_of(type_)] if shape_of(type_) is Shape.MAP else None
        if fields is not None and all(field.default is not attrs.NOTHING for field in fields):
            texts[tag] = form.lift, {}
        lower = _writes(tag, form.lower) if fields == [] else _writes_inside(tag, form.lower)
        lowering.append(Form(form.classes, frozenset(), 1 + form.depth, lower, form.lift))
    for kind, form in enums.items():
        for member in kind:
            text = form.lower(member)
            texts[_new_tag(text, name, {*inside, *texts})] = form.lift, text
        lowering.append(attrs.evolve(form, kinds=frozenset()))
    maps, words = _reads_inside(inside), _reads(texts)
    lifting = [Form(frozenset(), frozenset([dict]), 0, maps, maps)] if inside else []
    lifting += [Form(frozenset(), frozenset([str]), 0, words, words)] if texts else []
    return [*lowering, *lifting]


def _new_tag(tag: str, name: str, others: set[str]) -> str:
    """Return a tag that no other variant has."""
    if tag in others:
        raise TypeError(f"two variants of {name} are called {tag!r}: name their classes and members apart")
    return tag


def _writes(tag: str, lower: Function) -> Function:
    """Make the function that lowers values without fields."""

    def write(value: object) -> object:
        lower(value)
        return tag

    return write


def _writes_inside(tag: str, lower: Function) -> Function:
    """Make the function that lowers values into their tag."""

    def write(value: object) -> object:
        try:
            return {tag: lower(value)}
        except Refusal as refusal:
            refusal.path.append(f".{tag}")
            raise

    return write


def _reads_inside(inside: dict[str, Function]) -> Function:
    """Make the function that lifts what is inside a tag."""

    def read(plain: Any) -> object:
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

    return read


def _reads(texts: dict[str, tuple[Function, object]]) -> Function:
    """Make the function that lifts a tag with nothing inside."""

    def read(plain: Any) -> object:
        if plain not in texts:
            raise Refusal(f"expected one str, of {', '.join(texts)}, got another")
        lift, item = texts[plain]
        return lift(item)

    return read
