"""Attrs classes: which of their fields travel, of which types, and in which shape.

::

    class Point(Struct, as_array=True): x: int; y: int       Point(1, 2) travels as [1, 2]
    class Meters(Struct, transparent=True): value: float     Meters(1.5) travels as 1.5
    class Hello: text: str                                   Hello("a") travels as {"text": "a"}

The theory. The fields that travel are those that ``__init__`` takes, under their own names; a private field has its
underscore there, although its argument has not. The **shape** says what they become together. The array and the bare
value are what serde makes of Rust's tuple structs and newtypes.

The law of this module: it knows attrs and annotations, and nothing of how a value is converted.
"""

from __future__ import annotations

import builtins
import sys
from enum import Enum
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_origin

import attrs

from .annotations import look_up, resolve, scopes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .annotations import Scope

_Counting: Final = type(attrs.field())
"""What ``attrs.field()`` is until the class is decorated."""


class Shape(Enum):
    """What the fields of a class become. The value is the option of the class line that asks for it."""

    MAP = ""
    ARRAY = "as_array"
    TRANSPARENT = "transparent"


def shape_of(cls: type) -> Shape:
    """Return the shape that a class was defined with or inherits; a class that asks for none is a map."""
    shape: Shape = getattr(cls, "_t2bus_shape", Shape.MAP)
    return shape


def check_shape(cls: type) -> None:
    """Check that an attrs class has the fields that its shape needs. Raises TypeError."""
    fields = [field.name for field in travelling(cls)]
    if shape_of(cls) is Shape.TRANSPARENT and len(fields) != 1:
        raise TypeError(f"{cls.__name__} is transparent: it takes one field, not {', '.join(fields) or 'none'}")


def is_class(type_: Any) -> bool:
    """Whether it is an attrs class, or a generic one with arguments. A subclass must be decorated as well."""
    return "__attrs_attrs__" in getattr(get_origin(type_) or type_, "__dict__", ())


def travelling(type_: Any) -> list[attrs.Attribute[Any]]:
    """Return the fields that travel."""
    return [field for field in attrs.fields(get_origin(type_) or type_) if field.init]


def fields_of(type_: Any, names: Mapping[str, Any]) -> list[tuple[attrs.Attribute[Any], Any]]:
    """Return the fields that travel, each with its type.

    ``Page[int]``, for example, has fields of ``int`` where the class ``Page`` has them of its type variable. ``names``
    are those of the function around the class, as in :func:`.scopes_of`.

    Raises:
      TypeError: a field has no annotation, one that Python has taken for something else, or one with a name that is not
        found.

    """
    cls = get_origin(type_) or type_
    scopes = scopes_of(type_, names)
    check_annotations(cls)
    return [(field, _type_of(cls, field, scopes[_owner(cls, field)])) for field in travelling(cls)]


def _type_of(cls: type, field: attrs.Attribute[Any], scope: Scope) -> Any:
    try:
        return look_up(resolve(field.type, scope))
    except TypeError as error:
        raise TypeError(f"{cls.__name__}.{field.name}: {error}") from error


def _owner(cls: type, field: attrs.Attribute[Any]) -> type:
    """Return the class in whose body the annotation of a field stands."""
    return next((base for base in cls.__mro__ if field.name in vars(base).get("__annotations__", ())), cls)


def check_annotations(cls: type) -> None:
    """Check that each field that travels has an annotation, and that it is of a type.

    Python reads ``date: date = None`` from right to left, so the annotation is what ``date`` has become: None.

    Raises:
      TypeError: it is not so; the text names the field.

    """
    for field in travelling(cls):
        owner = _owner(cls, field)
        if field.type is None and field.name not in vars(owner).get("__annotations__", ()):
            raise TypeError(f"{cls.__name__}.{field.name} has no annotation")
        if any(_is_default(leaf, field, owner) for leaf in _leaves(field.type)):
            raise TypeError(
                f"{cls.__name__}.{field.name}: field and type have one name, so that Python took the field's default "
                f"for the type; import the type into {owner.__module__} by another name, or quote the annotation"
            )


def _leaves(hint: Any) -> Iterator[Any]:
    """Yield the parts of an annotation that have no parts."""
    arguments = get_args(hint)
    if not arguments or get_origin(hint) is Literal:
        yield hint
        return
    for argument in arguments[:1] if get_origin(hint) is Annotated else arguments:
        yield from _leaves(argument)


def _is_default(leaf: Any, field: attrs.Attribute[Any], owner: type) -> bool:
    """Whether a part of an annotation is no type but what stands behind the ``=``."""
    if isinstance(leaf, _Counting):
        return True
    if leaf is None or leaf is NoneType:
        module = vars(sys.modules.get(owner.__module__, builtins))
        named = module.get(field.name, vars(builtins).get(field.name))
        return field.default is None and field.type in (None, NoneType) and isinstance(named, type)
    return leaf is field.default and not isinstance(leaf, type | str)
