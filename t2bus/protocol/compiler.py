"""From annotations to forms.

::

    None bool int float str bytes    themselves. An int has 64 bits; up to 2**53 it will do for a float and becomes one.
    datetime date time Decimal UUID  text; of a datetime the offset travels, not the name of its zone
    timedelta                        an int: microseconds
    Enum                             text: the members' values if all are text, else their names. Of flags, and of
                                     members that are values themselves, as in an IntEnum, the value
    Literal                          the value; of a member what it travels as
    list tuple set frozenset         an array
    dict                             a map if the keys are text or bytes on the wire, else an array of [key, value]
    attrs class                      a map from field name to value, of the fields that __init__ takes; an array of
                                     the values, or the only value, if it was defined so
    X | Y                            as its member. Members differ in the type of their plain item. Two or more attrs
                                     classes, or enums that are text, are variants: {name of the class: the above},
                                     the bare name of a class without fields, the text of an enum's member
    Any, object                      None, bool, int, float, str, bytes, and lists and dicts, with str keys, of these

``Annotated``, ``Final``, ``NewType`` and type aliases are what they stand for; a generic attrs class needs its
arguments. Other types are a TypeError on first use.

The law of this module: a type that says which values it has, has one form, or none; nothing is guessed. An abstract
``Sequence`` has none, for it does not say what to build.
"""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from functools import cache, partial
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeGuard, Union, get_args, get_origin
from uuid import UUID

import attrs

from .classes import bare, fields_of, is_class, record, said
from .forms import Form, Refusal, array, mapping, name_of, row, union
from .leaves import INT, PLAIN, STR, constant, travels_as
from .variants import variants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["form_of"]


def _any() -> Form:
    """Build the form of ``Any``: the union of the leaves, and of lists and dicts of itself."""

    def lower(value: object) -> object:
        return form.lower(value)

    def lift(plain: object) -> object:
        return form.lift(plain)

    # As a part it is asked for its functions and depth only.
    itself = Form(frozenset(), frozenset(), math.inf, lower, lift)
    form = union("a plain value", [*PLAIN, array(list, itself), mapping(STR, itself)])
    return form


def _moment(value: datetime | time) -> str:
    """Write a time as Python reads it back: it takes ``+00:00:00.000001`` for UTC."""
    offset = value.utcoffset()
    if offset is not None and offset.microseconds:
        raise Refusal("an offset of a fraction of a second cannot travel")
    return value.isoformat()


_ANY: Final = _any()
_LEAVES: Final[dict[Any, Form]] = {
    **{kind: form for form in PLAIN for kind in form.classes},
    Any: _ANY,
    object: _ANY,
    datetime: travels_as(STR, datetime, _moment, datetime.fromisoformat),
    date: travels_as(STR, date, date.isoformat, date.fromisoformat),
    time: travels_as(STR, time, _moment, time.fromisoformat),
    timedelta: travels_as(INT, timedelta, lambda delta: delta // timedelta.resolution, timedelta.resolution.__mul__),
    Decimal: travels_as(STR, Decimal, str, Decimal),
    UUID: travels_as(STR, UUID, str, UUID),
}


@cache
def form_of(type_: Any) -> Form:
    """Compile the form of a type.

    Raises:
      TypeError: a part of it has no form, or an annotation names what its module does not hold.

    """
    try:
        # Each call begins with nothing known: what fails halfway leaves no half-made class behind.
        return _compile(type_, {})
    except TypeError:
        raise
    except Exception as error:  # whatever the evaluation of an annotation raises
        raise TypeError(f"{name_of(type_)} cannot be compiled: {said(error)}") from error


def _compile(type_: Any, known: dict[Any, Form]) -> Form:
    """Find or build a form; ``known`` holds the classes met so far, the unfinished ones too.

    The order matters little: each branch is of types that no other branch takes. What no branch takes has no form.
    """
    type_ = bare(type_)
    if form := _LEAVES.get(type_) or known.get(type_):
        return form
    compile_ = partial(_compile, known=known)
    origin = get_origin(type_) or type_
    arguments = get_args(type_)
    if origin in (list, set, frozenset):
        return array(origin, *map(compile_, arguments or [Any]))
    if origin is tuple and (type_ is tuple or ... in arguments):
        return array(tuple, compile_(arguments[0] if arguments else Any))
    if origin is tuple:
        return row([compile_(argument) for argument in arguments])
    if origin is dict:
        key, value = arguments or (str, Any)
        return mapping(_told_apart(key, compile_(key), known), compile_(value))
    if origin is Literal:
        return constant(name_of(type_), [(value, compile_(type(value)).lower(value)) for value in arguments])
    if origin in (Union, UnionType):
        return _union(name_of(type_), arguments, known)
    if _is_enum(origin):
        return _enum(origin, compile_)
    if is_class(type_):
        return record(type_, known, compile_)
    raise TypeError(
        f"{name_of(type_)} is neither an attrs class nor a type with a form: decorate it with @attrs.frozen"
    )


def _union(name: str, members: Iterable[Any], known: dict[Any, Form]) -> Form:
    """Compile a union."""
    forms = {bare(member): _compile(member, known) for member in members}
    enums = {member: form for member, form in forms.items() if _is_enum(member) and form.kinds == {str}}
    classes = {member: form for member, form in forms.items() if is_class(member)}
    tagged = {**classes, **enums} if len(classes) + len(enums) > 1 else {}
    parts = [_told_apart(member, form, known) for member, form in forms.items() if member not in tagged]
    return union(name, [*parts, *variants(name, classes, enums)] if tagged else parts)


def _told_apart(type_: Any, form: Form, known: dict[Any, Form]) -> Form:
    """See that the kinds of a form are known.

    They are not while the field of a transparent class is compiled and has led back to the class. But they are those of
    the field, which can be compiled now that the class is known, unless it needs them too.
    """
    if form.kinds or not math.isinf(form.depth):
        return form
    type_ = bare(type_)
    known[type_] = attrs.evolve(form, kinds=frozenset([Form]))  # no plain item is one
    [(_, hint)] = fields_of(type_)
    kinds = _compile(hint, known).kinds
    if Form in kinds:
        raise TypeError(f"{name_of(type_)} may hold itself with nothing around it")
    known[type_] = attrs.evolve(form, kinds=kinds)
    return known[type_]


def _is_enum(type_: Any) -> TypeGuard[type[Enum]]:
    return isinstance(type_, type) and issubclass(type_, Enum)


def _enum(kind: type[Enum], compile_: Callable[[Any], Form]) -> Form:
    """Compile an enumeration.

    A number without a meaning of its own is no more than the member's place, and changes when one is put in before.
    """
    meant = issubclass(kind, Flag) or all(isinstance(member, type(member.value)) for member in kind)
    if meant or all(type(member.value) is str for member in kind):
        values = map(compile_, dict.fromkeys(type(member.value) for member in kind))
        return travels_as(union(name_of(kind), values), kind, lambda member: member.value, kind)
    return travels_as(STR, kind, lambda member: member.name, kind.__getitem__)
