"""The compiler: from annotations to type adapters.

What each type travels as::

    None bool int float str bytes    itself. An int has at most 64 bits. One of up to 2**53 may stand for a float, and
                                     becomes one
    datetime date time Decimal UUID  text. A datetime keeps its offset, but not the name of its time zone
    timedelta                        an int, of microseconds
    Enum                             text: the value of the member if the values of all are text, else its name. But
                                     members that are values themselves, and flags: the value, as in an IntEnum
    Literal                          the value; a member of an enum as in its enum
    list tuple set frozenset         an array
    dict                             a map if its keys travel as text or bytes, else an array of [key, value]
    attrs class                      a map from the names of the fields that __init__ takes to their values; or, if its
                                     class line asks for it, an array of the values, or the only value
    X | Y                            what its member travels as. Members must differ in the type of their plain items.
                                     Two or more attrs classes, or enums of text, are variants: {"name of the class":
                                     the above}, "name of the class" if it has no fields, or the text of the enum
    Any, object                      None, bool, int, float, str, bytes, and lists and dicts of these, with str keys

``Annotated``, ``Final``, ``NewType`` and type aliases travel as what they stand for. A generic attrs class needs its
arguments. Any other type is a TypeError on first use.

The theory. An annotation is a tree of types. The parts of a type are compiled before it, and its adapter is made of
theirs. A class may lead back to itself, directly or through other classes. There it finds its own adapter, which exists
before it is finished.

The law of this module: nothing is guessed. A type either says exactly which values it has, or it has no adapter: an
abstract ``Sequence`` does not say what to build.
"""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from functools import cache, partial
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NewType, TypeGuard, Union, get_args, get_origin
from uuid import UUID

import attrs

from .adapters import Refusal, TypeAdapter, array, fixed_tuple, mapping, name_of, text_of, union
from .classes import fields_of, is_class
from .records import record
from .scalars import INT, PLAIN_SCALARS, STR, literal, travels_as
from .variants import variants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def _any() -> TypeAdapter:
    """Make the adapter of ``Any``: the union of the plain scalars, and of lists and dicts of ``Any``."""

    def to_plain(value: object) -> object:
        return adapter.to_plain(value)

    def from_plain(plain: object) -> object:
        return adapter.from_plain(plain)

    # The adapter of the elements, which exists before the whole. Only its functions and its depth are used.
    itself = TypeAdapter(frozenset(), frozenset(), math.inf, to_plain, from_plain)
    adapter = union("a plain value", [*PLAIN_SCALARS, array(list, itself), mapping(STR, itself)])
    return adapter


def _isoformat(value: datetime | time) -> str:
    """Return a time as text. One that Python reads back wrongly is refused: it takes ``+00:00:00.000001`` for UTC."""
    offset = value.utcoffset()
    if offset is not None and offset.microseconds:
        raise Refusal("an offset of a fraction of a second cannot travel")
    return value.isoformat()


_ANY: Final = _any()
_BUILT_IN: Final[dict[Any, TypeAdapter]] = {
    **{kind: scalar for scalar in PLAIN_SCALARS for kind in scalar.value_types},
    Any: _ANY,
    object: _ANY,
    datetime: travels_as(STR, datetime, _isoformat, datetime.fromisoformat),
    date: travels_as(STR, date, date.isoformat, date.fromisoformat),
    time: travels_as(STR, time, _isoformat, time.fromisoformat),
    timedelta: travels_as(INT, timedelta, lambda delta: delta // timedelta.resolution, timedelta.resolution.__mul__),
    Decimal: travels_as(STR, Decimal, str, Decimal),
    UUID: travels_as(STR, UUID, str, UUID),
}


@cache
def adapter_of(type_: Any) -> TypeAdapter:
    """Return the adapter of a type. It is compiled on the first call.

    Raises:
      TypeError: a part of the type cannot travel, or an annotation names what its module does not hold.

    """
    try:
        # The table of known adapters is a new one, so a class that cannot be compiled leaves nothing behind.
        return _compile(type_, {})
    except TypeError:
        raise
    except Exception as error:  # whatever the evaluation of an annotation raises
        raise TypeError(f"{name_of(type_)} cannot be compiled: {text_of(error)}") from error


def _compile(type_: Any, known: dict[Any, TypeAdapter]) -> TypeAdapter:
    """Find or make the adapter of a type. ``known`` has those of the classes met so far, of unfinished ones too."""
    type_ = _unwrap(type_)
    if adapter := _BUILT_IN.get(type_) or known.get(type_):
        return adapter
    compile_ = partial(_compile, known=known)
    origin = get_origin(type_) or type_
    arguments = get_args(type_)
    if origin in (list, set, frozenset):
        return array(origin, *map(compile_, arguments or [Any]))
    if origin is tuple and (type_ is tuple or ... in arguments):
        return array(tuple, compile_(arguments[0] if arguments else Any))
    if origin is tuple:
        return fixed_tuple([compile_(argument) for argument in arguments])
    if origin is dict:
        key, value = arguments or (str, Any)
        return mapping(_settled(key, compile_(key), known), compile_(value))
    if origin is Literal:
        return literal(name_of(type_), [(value, compile_(type(value)).to_plain(value)) for value in arguments])
    if origin in (Union, UnionType):
        return _union(name_of(type_), arguments, known)
    if _is_enum(origin):
        return _enum(origin, compile_)
    if is_class(type_):
        return record(type_, known, compile_)
    raise TypeError(f"{name_of(type_)} is neither an attrs class nor a supported type: decorate it with @attrs.frozen")


def _unwrap(type_: Any) -> Any:
    """Return the type that an ``Annotated``, a ``Final``, a ``NewType`` or an alias stands for."""
    while True:
        if isinstance(type_, NewType):
            type_ = type_.__supertype__
        elif get_origin(type_) in (Annotated, Final):
            type_ = get_args(type_)[0]
        elif hasattr(type_, "__value__"):  # a type alias of Python 3.12
            type_ = type_.__value__
        else:
            return type(None) if type_ is None else type_


def _union(name: str, members: Iterable[Any], known: dict[Any, TypeAdapter]) -> TypeAdapter:
    """Compile a union. Its classes and its enumerations of text are variants, if there are two or more of them."""
    adapters = {_unwrap(member): _compile(member, known) for member in members}
    classes = {member: adapter for member, adapter in adapters.items() if is_class(member)}
    enums = {
        member: adapter for member, adapter in adapters.items() if _is_enum(member) and adapter.plain_types == {str}
    }
    tagged = {**classes, **enums} if len(classes) + len(enums) > 1 else {}
    parts = [_settled(member, adapter, known) for member, adapter in adapters.items() if member not in tagged]
    return union(name, [*parts, *variants(name, classes, enums)] if tagged else parts)


def _settled(type_: Any, adapter: TypeAdapter, known: dict[Any, TypeAdapter]) -> TypeAdapter:
    """Return the adapter with its plain types, for the key of a dict or the member of a union, which depend on them.

    Only an unfinished transparent class has none yet. An example is a class ``Keyed`` with the one field ``parts:
    tuple[dict[Keyed, int], ...]``. Its plain types are those of the field, here a list. So the field is compiled once
    more: if that needs the plain types of the class too, the class could hold itself, and nothing else.
    """
    if adapter.plain_types or not math.isinf(adapter.depth):
        return adapter
    type_ = _unwrap(type_)
    known[type_] = attrs.evolve(adapter, plain_types=frozenset([_Unsettled]))
    [(_, hint)] = fields_of(type_)
    plain_types = _compile(hint, known).plain_types
    if _Unsettled in plain_types:
        raise TypeError(f"{name_of(type_)} may hold itself with nothing around it")
    known[type_] = attrs.evolve(adapter, plain_types=plain_types)
    return known[type_]


class _Unsettled:
    """Stands for the plain types of a class while they are looked for."""


def _is_enum(type_: Any) -> TypeGuard[type[Enum]]:
    return isinstance(type_, type) and issubclass(type_, Enum)


def _enum(kind: type[Enum], compile_: Callable[[Any], TypeAdapter]) -> TypeAdapter:
    """Compile an enumeration.

    Its values travel if they are text or mean something by themselves, as those of flags and of an ``IntEnum`` do.
    Otherwise the names of the members travel: a number from ``auto()`` changes when a member is added before it.
    """
    meaningful = issubclass(kind, Flag) or all(isinstance(member, type(member.value)) for member in kind)
    if meaningful or all(type(member.value) is str for member in kind):
        values = map(compile_, dict.fromkeys(type(member.value) for member in kind))
        return travels_as(union(name_of(kind), values), kind, lambda member: member.value, kind)
    return travels_as(STR, kind, lambda member: member.name, kind.__getitem__)
