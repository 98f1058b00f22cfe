"""Attrs classes: the maps they travel as, and what tells the maps of several classes apart.

The theory. A class travels as a map from the names of its fields to their values, for all fields that ``__init__``
takes, private ones under their private names. cattrs generates the two functions that run over the fields, one line of
code for each; what is done to a field is the form of its type. A class may lead back to itself, directly or through
others: it then meets its own form, which is there before it is finished.

Maps do not say which class they were. In a union of classes they are told apart by the value of a field that is a
Literal in all of them, or else by their keys: one class after the other is taken out of the question by a required
field that none of the rest has, and the last one needs none.

The law of this module: the reader's class may be older or newer than the writer's. A map may have fields that the class
has not, and lack those that have a default.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, Literal, NewType, TypeAlias, TypeVar, get_args, get_origin

import attrs
from cattrs import Converter, override
from cattrs.gen import make_dict_structure_fn_from_attrs, make_dict_unstructure_fn_from_attrs

from .forms import Form, Function, Refusal, deepest, mismatch, name_of
from .leaves import constant

__all__ = ["Compile", "bare", "is_class", "one_of", "record", "said"]

Compile: TypeAlias = Callable[[Any], Form]
_Choice: TypeAlias = Callable[[dict[str, Any]], Form]

# The generators of cattrs ask for one. Each field brings its own functions, so nothing is ever looked up in it.
_CONVERTER: Final = Converter()


def is_class(type_: Any) -> bool:
    """Whether it is an attrs class, or a generic one with arguments. A subclass has to be decorated as well."""
    return "__attrs_attrs__" in getattr(get_origin(type_) or type_, "__dict__", ())


def bare(type_: Any) -> Any:
    """Take off a type what says nothing of its form."""
    while True:
        if isinstance(type_, NewType):
            type_ = type_.__supertype__
        elif get_origin(type_) in (Annotated, Final):
            type_ = get_args(type_)[0]
        elif hasattr(type_, "__value__"):  # a type alias of Python 3.12
            type_ = type_.__value__
        else:
            return type(None) if type_ is None else type_


def said(error: Exception) -> str:
    """Quote an exception without its further arguments, which may be whole values."""
    return f"{type(error).__name__}: {error.args[0]}" if error.args else type(error).__name__


def record(type_: Any, known: dict[Any, Form], compile_: Compile) -> Form:
    """Build the form of an attrs class and put it into ``known``.

    Whatever a validator, a converter or ``__attrs_post_init__`` of the class raises refuses the map, in its own words.
    """
    cls = get_origin(type_) or type_
    name = name_of(type_)

    def lower(value: object) -> object:
        if type(value) is not cls:
            raise mismatch(name, value)
        return write(value)

    def lift(plain: object) -> object:
        if type(plain) is not dict:
            raise mismatch(f"{name} as dict", plain)
        try:
            return read(plain)
        except Refusal:
            raise
        except Exception as error:
            missing = [field.name for field in fields if field.default is attrs.NOTHING and field.name not in plain]
            raise Refusal("is missing", f".{missing[0]}") if missing else Refusal(said(error)) from error

    # Known before its fields are: they may lead back to it, and then it nests without end.
    known[type_] = Form(frozenset([cls]), frozenset([dict]), math.inf, lower, lift)
    parts = [(field, _compile_field(name, field, hint, compile_)) for field, hint in _fields(type_)]
    fields = [_with_functions(field, form) for field, form in parts]
    arguments = {parameter.__name__: Any for parameter in getattr(cls, "__parameters__", ())}
    write = make_dict_unstructure_fn_from_attrs(fields, cls, _CONVERTER)
    read = make_dict_structure_fn_from_attrs(fields, cls, _CONVERTER, arguments, _cattrs_detailed_validation=False)
    known[type_] = attrs.evolve(known[type_], depth=1 + deepest(form for _, form in parts))
    return known[type_]


def _fields(type_: Any) -> list[tuple[attrs.Attribute[Any], Any]]:
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


def _compile_field(owner: str, field: attrs.Attribute[Any], hint: Any, compile_: Compile) -> Form:
    """Compile the form of a field, or say which it is that has none: the way there is part of the TypeError."""
    if hint is None:  # an annotation of None has become its class
        raise TypeError(f"{owner}.{field.name} has no annotation")
    try:
        return compile_(hint)
    except TypeError as error:
        raise TypeError(f"{owner}.{field.name}: {error}") from error


def _with_functions(field: attrs.Attribute[Any], form: Form) -> attrs.Attribute[Any]:
    """Hand the functions of a field to the generators of cattrs.

    They would take them as keyword arguments too, but then no field could be called ``cl`` or ``converter``.
    """

    def at_field(function: Function) -> Callable[..., Any]:
        # One more call for each field, 50 ns. The alternative, to run a second set of functions that keep track after
        # the first has failed, would let a hostile payload cost twice.
        def located(value: object, _type: object = None) -> object:
            try:
                return function(value)
            except Refusal as refusal:
                refusal.path.append(f".{field.name}")
                raise
            except Exception as error:
                raise Refusal(said(error), f".{field.name}") from error

        return located

    functions = override(unstruct_hook=at_field(form.lower), struct_hook=at_field(form.lift))
    return field.evolve(type=Annotated[Any, functions])


# --- several classes


def one_of(classes: dict[Any, Form], compile_: Compile) -> list[Form]:
    """Prepare attrs classes for one union: each lowers its own values, and all are lifted by one, for all are maps.

    What tells the maps apart is settled here, once; to lift one, no class is tried in vain.

    Raises:
      TypeError: nothing tells their maps apart.

    """
    choose = _by_literal(classes, compile_) or _by_required_field(classes)
    lowering = [attrs.evolve(form, kinds=frozenset()) for form in classes.values()]

    def lift(plain: dict[str, Any]) -> object:
        return choose(plain).lift(plain)

    return [*lowering, Form(frozenset(), frozenset([dict]), 0, lift, lift)]


def _by_literal(classes: dict[Any, Form], compile_: Compile) -> _Choice | None:
    """Tell classes apart by a field that is a Literal in all of them, with no value in two."""
    hints = [{field.name: bare(hint) for field, hint in _fields(cls)} for cls in classes]
    for name in hints[0]:
        if all(get_origin(hint.get(name)) is Literal for hint in hints):
            literals = [(form, hint[name]) for form, hint in zip(classes.values(), hints, strict=True)]
            tags = [(form, compile_(literal).lower(value)) for form, literal in literals for value in get_args(literal)]
            if len({(type(tag), tag) for _, tag in tags}) == len(tags):
                expected = f"a {name} of {', '.join(map(name_of, classes))}"
                tagged = constant(expected, tags)
                return partial(_tagged, name, tagged.lift)
    return None


def _tagged(name: str, lift: Function, plain: dict[str, Any]) -> Form:
    """Choose by the value of a field."""
    form: Form = lift(plain.get(name))
    return form


def _by_required_field(classes: dict[Any, Form]) -> _Choice:
    """Tell classes apart by a required field that no other has, taking out one class after the other.

    Of ``Created(id, name)``, ``Renamed(id, name, old)`` and ``Deleted(id)`` the second goes first, by ``old``; then the
    first has ``name`` to itself, and what is left is the third.
    """
    left = {cls: [field for field, _ in _fields(cls)] for cls in classes}

    def first_with_own_field() -> tuple[Any, str]:
        for cls, fields in left.items():
            others = {field.name for other in left if other is not cls for field in left[other]}
            for field in fields:
                if field.default is attrs.NOTHING and field.name not in others:
                    return cls, field.name
        names = " and ".join(map(name_of, left))
        raise TypeError(f"nothing tells {names} apart: give each a required field of its own, or a Literal field")

    marks = []
    while len(left) > 1:
        cls, name = first_with_own_field()
        marks.append((name, classes[cls]))
        del left[cls]
    last = classes[left.popitem()[0]]
    return lambda plain: next((form for name, form in marks if name in plain), last)
