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

from enum import Enum
from typing import Any, TypeVar, get_args, get_origin

import attrs


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
    fields = [field.name for field in attrs.fields(cls) if field.init]
    if shape_of(cls) is Shape.TRANSPARENT and len(fields) != 1:
        raise TypeError(f"{cls.__name__} is transparent: it takes one field, not {', '.join(fields) or 'none'}")


def is_class(type_: Any) -> bool:
    """Whether it is an attrs class, or a generic one with arguments. A subclass must be decorated as well."""
    return "__attrs_attrs__" in getattr(get_origin(type_) or type_, "__dict__", ())


def fields_of(type_: Any) -> list[tuple[attrs.Attribute[Any], Any]]:
    """Return the fields that travel, each with its type.

    ``Page[int]``, for example, has fields of ``int`` where the class ``Page`` has them of its type variable.
    """
    cls = get_origin(type_) or type_
    attrs.resolve_types(cls)
    arguments: dict[Any, Any] = dict(zip(getattr(cls, "__parameters__", ()), get_args(type_), strict=False))

    def filled(hint: Any) -> Any:
        if isinstance(hint, TypeVar):
            return arguments.get(hint, hint)
        parameters = getattr(hint, "__parameters__", ())
        return hint[tuple(arguments.get(parameter, parameter) for parameter in parameters)] if parameters else hint

    return [(field, filled(field.type)) for field in attrs.fields(cls) if field.init]
