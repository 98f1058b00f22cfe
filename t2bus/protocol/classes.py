"""Attrs classes: the maps they travel as, or the arrays, or the bare values.

The theory. A class travels as a map from the names of its fields to their values, for all fields that ``__init__``
takes, private ones under their private names. cattrs generates the two functions that run over the fields, one line of
code for each; what is done to a field is the adapter of its type. A class may lead back to itself, directly or through
others: it then meets its own adapter, which is there before it is finished.

The other two **shapes** are the map without what it says of the class: as an array it has no names, and a transparent
class of one field is that field. They are what serde makes of Rust's tuple structs and newtypes.

The law of this module: the reader's class may be older or newer than the writer's. A map may have fields that the class
has not, and lack those that have a default. An array may lack the last ones, but an element too many has no name to be
ignored by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Final, TypeAlias, TypeVar, get_args, get_origin

import attrs
from cattrs import Converter, override
from cattrs.gen import make_dict_structure_fn_from_attrs, make_dict_unstructure_fn_from_attrs

from .adapters import Conversion, Refusal, TypeAdapter, deepest, mismatch, name_of, text_of

__all__ = ["Shape", "check_shape", "fields_of", "is_class", "record", "shape_of"]

_Compile: TypeAlias = Callable[[Any], TypeAdapter]

# The generators of cattrs ask for one. Each field brings its own functions, so nothing is ever looked up in it.
_CONVERTER: Final = Converter()


class Shape(Enum):
    """What the fields of a class become; the value is the option that asks for it."""

    MAP = ""
    ARRAY = "as_array"
    TRANSPARENT = "transparent"


def shape_of(cls: type) -> Shape:
    """Tell the shape that a class was defined with, or inherits. A class that says nothing is a map."""
    shape: Shape = getattr(cls, "_t2bus_shape", Shape.MAP)
    return shape


def check_shape(cls: type) -> None:
    """Check that an attrs class has the fields that its shape asks for. Raises TypeError."""
    fields = [field.name for field in attrs.fields(cls) if field.init]
    if shape_of(cls) is Shape.TRANSPARENT and len(fields) != 1:
        raise TypeError(f"{cls.__name__} is transparent: it takes one field, not {', '.join(fields) or 'none'}")


def is_class(type_: Any) -> bool:
    """Whether it is an attrs class, or a generic one with arguments. A subclass has to be decorated as well."""
    return "__attrs_attrs__" in getattr(get_origin(type_) or type_, "__dict__", ())


def record(type_: Any, known: dict[Any, TypeAdapter], compile_: _Compile) -> TypeAdapter:
    """Make the adapter of an attrs class and put it into ``known``.

    While its fields are compiled ``known`` has it already, with infinite depth; if transparent, with no plain types.

    Whatever a validator, a converter or ``__attrs_post_init__`` of the class raises refuses the map, in its own words.
    """
    cls = get_origin(type_) or type_
    name = name_of(type_)

    def to_plain(value: object) -> object:
        if type(value) is not cls:
            raise mismatch(name, value)
        return write(value)

    def from_plain(plain: object) -> object:
        if type(plain) is not dict:
            raise mismatch(f"{name} as dict", plain)
        try:
            return read(plain)
        except Refusal:
            raise
        except Exception as error:
            missing = [field.name for field in fields if field.default is attrs.NOTHING and field.name not in plain]
            raise Refusal("is missing", f".{missing[0]}") if missing else Refusal(text_of(error)) from error

    check_shape(cls)
    hints = fields_of(type_)
    plain_types, shaped, unshaped = _SHAPES[shape_of(cls)](
        name, [field.name for field, _ in hints], to_plain, from_plain
    )
    known[type_] = TypeAdapter(frozenset([cls]), plain_types, math.inf, shaped, unshaped)
    parts = [(field, _compile_field(name, field, hint, compile_)) for field, hint in hints]
    fields = [_with_functions(field, adapter) for field, adapter in parts]
    arguments = {parameter.__name__: Any for parameter in getattr(cls, "__parameters__", ())}
    write = make_dict_unstructure_fn_from_attrs(fields, cls, _CONVERTER)
    read = make_dict_structure_fn_from_attrs(fields, cls, _CONVERTER, arguments, _cattrs_detailed_validation=False)
    depth = deepest(adapter for _, adapter in parts)
    if plain_types:
        known[type_] = attrs.evolve(known[type_], depth=1 + depth)
    else:
        known[type_] = attrs.evolve(known[type_], depth=depth, plain_types=parts[0][1].plain_types)
    return known[type_]


def fields_of(type_: Any) -> list[tuple[attrs.Attribute[Any], Any]]:
    """List the fields that travel and their types, with the arguments of a generic class for its parameters."""
    cls = get_origin(type_) or type_
    attrs.resolve_types(cls)
    arguments: dict[Any, Any] = dict(zip(getattr(cls, "__parameters__", ()), get_args(type_), strict=False))

    def filled(hint: Any) -> Any:
        if isinstance(hint, TypeVar):
            return arguments.get(hint, hint)
        parameters = getattr(hint, "__parameters__", ())
        return hint[tuple(arguments.get(parameter, parameter) for parameter in parameters)] if parameters else hint

    return [(field, filled(field.type)) for field in attrs.fields(cls) if field.init]


def _compile_field(owner: str, field: attrs.Attribute[Any], hint: Any, compile_: _Compile) -> TypeAdapter:
    """Compile the type of a field, or say which it is that has none: the way there is part of the TypeError."""
    if hint is None:  # an annotation of None has become its class
        raise TypeError(f"{owner}.{field.name} has no annotation")
    try:
        return compile_(hint)
    except TypeError as error:
        raise TypeError(f"{owner}.{field.name}: {error}") from error


def _with_functions(field: attrs.Attribute[Any], adapter: TypeAdapter) -> attrs.Attribute[Any]:
    """Hand the functions of a field to the generators of cattrs.

    They would take them as keyword arguments too, but then no field could be called ``cl`` or ``converter``.
    """

    def at_field(function: Conversion) -> Callable[..., Any]:
        # One more call for each field, 50 ns. The alternative, to run a second set of functions that keep track after
        # the first has failed, would let a hostile payload cost twice.
        def located(value: object, _type: object = None) -> object:
            try:
                return function(value)
            except Refusal as refusal:
                refusal.path.append(f".{field.name}")
                raise
            except Exception as error:
                raise Refusal(text_of(error), f".{field.name}") from error

        return located

    functions = override(unstruct_hook=at_field(adapter.to_plain), struct_hook=at_field(adapter.from_plain))
    return field.evolve(type=Annotated[Any, functions])


# --- shapes

# Each function takes what writes a map and what reads one, and returns plain types and functions of another shape.
_Shaped: TypeAlias = tuple[frozenset[type], Conversion, Conversion]


def _as_map(_name: str, _fields: list[str], to_plain: Conversion, from_plain: Conversion) -> _Shaped:
    return frozenset([dict]), to_plain, from_plain


def _as_array(name: str, fields: list[str], to_plain: Conversion, from_plain: Conversion) -> _Shaped:
    def to_array(value: object) -> object:
        return list(to_plain(value).values())

    def from_array(plain: object) -> object:
        if type(plain) is not list:
            raise mismatch(f"{name} as list", plain)
        if len(plain) > len(fields):
            raise Refusal(f"expected {len(fields)} elements, got {len(plain)}")
        return from_plain(dict(zip(fields, plain, strict=False)))

    return frozenset([list]), to_array, from_array


def _as_bare_value(_name: str, fields: list[str], to_plain: Conversion, from_plain: Conversion) -> _Shaped:
    [only] = fields
    return frozenset(), lambda value: to_plain(value)[only], lambda plain: from_plain({only: plain})


_SHAPES: Final = {Shape.MAP: _as_map, Shape.ARRAY: _as_array, Shape.TRANSPARENT: _as_bare_value}
