"""The compiler: from annotations to type adapters.

What each type travels as::

    None bool int float str bytes    itself. An int has at most 64 bits. One of up to 2**53 may stand for a float, and
                                     becomes one
    datetime date time               text. A datetime keeps its instant and offset, but not the name of its zone
    timedelta                        an int, of microseconds
    Decimal Fraction UUID            text
    Path and its kin                 text
    IPv4Address IPv6Address          text, and so do networks and interfaces
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

``Annotated``, ``Final``, ``NewType`` and type aliases travel as what they stand for, a generic attrs class without
arguments as one of ``Any``. A type that :func:`register_scalar` was told of travels as it was told. Any other type is a
TypeError on first use: until then it may be registered, and a name may be defined.

The theory. An annotation is a tree of types. The parts of a type are compiled before it, and its adapter is made of
theirs. A class may lead back to itself, directly or through other classes, and so may an alias. There it finds its own
adapter, which exists before it is finished.

The law of this module: nothing is guessed. A type either says exactly which values it has, or it has no adapter: an
abstract ``Sequence`` does not say what to build.
"""

from __future__ import annotations

import math
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    NewType,
    TypeVar,
    Union,
    get_args,
    get_origin,
    overload,
)

import attrs

from .adapters import TypeAdapter, array, fixed_tuple, is_map, later, mapping, mismatch, name_of, text_of, union
from .annotations import is_alias, look_up, value_of
from .classes import fields_of, is_class
from .enums import enumeration, is_enum
from .layouts import AnyPlain, Written, is_hashable
from .records import record
from .remedies import remedy
from .scalars import PLAIN_SCALARS, STR, literal, travels_as
from .standard import STANDARD, families
from .variants import variants

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

V = TypeVar("V")
W = TypeVar("W")


def _any() -> TypeAdapter:
    """Make the adapter of ``Any``: the union of the plain scalars, and of lists and dicts of ``Any``."""
    itself, finish = later("Any", Any)
    adapter = union("a plain value", [*PLAIN_SCALARS, array(list, itself), mapping(STR, itself)])
    finish(adapter)
    return attrs.evolve(adapter, layout=AnyPlain())


_ANY: Final = _any()
_BUILT_IN: Final[dict[Any, TypeAdapter]] = {
    **{kind: scalar for scalar in PLAIN_SCALARS for kind in scalar.value_types},
    Any: _ANY,
    object: _ANY,
    **STANDARD,
}
_CONTAINERS: Final = (list, set, frozenset, tuple, dict)
_registered: Final[dict[Any, TypeAdapter]] = {}


class _Adapters(dict[Any, TypeAdapter]):
    """The adapters that were made so far, by their types. What fails is tried again the next time."""

    def __missing__(self, type_: Any) -> TypeAdapter:
        adapter = self[type_] = _compiled(type_, _roots.get(type_, type_))
        return adapter


_adapters: Final = _Adapters()
_roots: Final[dict[Any, Any]] = {}
"""The protocols whose class lines name these types."""

adapter_of: Final[Callable[[Any], TypeAdapter]] = _adapters.__getitem__
"""Returns the adapter of a type, which is compiled on the first call; looked up at each message, hence no function.

Raises:
  TypeError: a part of the type cannot travel, or an annotation names what its module does not hold.

"""


def prepare(type_: Any, protocol: Any) -> None:
    """Compile the adapter of a type that the class line of a protocol names: its names are looked for around that.

    Raises: as :data:`adapter_of`.
    """
    _roots.setdefault(type_, protocol)
    adapter_of(type_)


def _compiled(type_: Any, root: Any) -> TypeAdapter:
    """Compile an adapter. ``root`` is the class that asks for it: its module, and the function around it, matter."""
    try:
        # The table of known adapters is a new one, so a class that cannot be compiled leaves nothing behind.
        return _Compiler(root).compile(type_)
    except TypeError:
        raise
    except Exception as error:  # whatever the code of a program's class raises
        raise TypeError(f"{name_of(type_)} cannot be compiled: {text_of(error)}") from error


@overload
def register_scalar(kind: type[V], encode: Callable[[V], str], decode: Callable[[str], V]) -> None: ...


@overload
def register_scalar(kind: type[V], encode: Callable[[V], W], decode: Callable[[W], V], *, wire: type[W]) -> None: ...


def register_scalar(
    kind: type[Any], encode: Callable[[Any], Any], decode: Callable[[Any], Any], *, wire: Any = str
) -> None:
    """Say how the values of a class travel that t2bus does not know, such as one of a library.

    ::

        t2bus.register_scalar(Version, str, Version)
        t2bus.register_scalar(Color, Color.to_rgb, Color.from_rgb, wire=tuple[int, int, int])

    Both ends do so, for their whole process, before they use a message class with such a field. Said again, the last
    one holds.

    Args:
      kind: the class. Values of its subclasses travel too, as values of it.
      encode: makes what travels, of the type ``wire``, of a value of the class.
      decode: makes a value of the class again, equal to the first. Whatever it raises becomes ``MalformedMessage``.
      wire: the type that travels, any that a field may have; by default text.

    Raises:
      TypeError: ``kind`` is no class, or one that travels already; or ``wire`` is a type that cannot travel.

    """
    if not isinstance(kind, type):
        raise TypeError(f"{name_of(kind)} is no class: register a class")
    if kind in _BUILT_IN or kind in _CONTAINERS:
        raise TypeError(f"{name_of(kind)} travels already: register a class that does not")

    def read(item: Any) -> object:
        value = decode(item)
        if not isinstance(value, kind):
            raise mismatch(f"decode to return {name_of(kind)}", value)
        return value

    adapter = adapter_of(wire)
    layout = Written(name_of(kind), adapter.layout, is_own=True)
    _registered[kind] = travels_as(adapter, kind, encode, read, heirs=True, layout=layout)
    _adapters.clear()


@attrs.define(eq=False)
class _Compiler:
    """What is known while one type is compiled."""

    root: Any
    known: dict[Any, TypeAdapter] = attrs.field(factory=dict)
    """The adapters of the classes and aliases met so far, of unfinished ones too."""
    containers: dict[Any, TypeAdapter] = attrs.field(factory=dict)
    """Those of containers."""
    aliases: dict[Any, Any] = attrs.field(factory=dict)
    """The aliases met so far, by what they stand for."""

    @property
    def names(self) -> Mapping[str, Any]:
        """Those of the function around the class that asks."""
        return getattr(get_origin(self.root) or self.root, "_t2bus_names", {})

    def compile(self, type_: Any) -> TypeAdapter:
        """Find or make the adapter of a type."""
        type_ = _unwrap(type_)
        if adapter := _BUILT_IN.get(type_) or self.known.get(type_):
            return adapter
        if is_alias(type_):
            return self._alias(type_)
        origin = get_origin(type_) or type_
        if adapter := _registered.get(origin):
            return adapter
        if origin in _CONTAINERS and not getattr(type_, "__unpacked__", False):
            return self._container(type_, origin, get_args(type_))
        if origin is Literal:
            pairs = [(value, self.compile(type(value)).to_plain(value)) for value in get_args(type_)]
            return literal(name_of(type_), pairs)
        if origin in (Union, UnionType):
            return self._union(type_, name_of(type_))
        if is_enum(origin):
            return enumeration(origin, self.compile)
        if is_class(type_):
            return record(type_, fields_of(type_, self.names), self.known, self.compile)
        raise TypeError(f"{name_of(type_)} is neither an attrs class nor a supported type{remedy(type_, self.root)}")

    def _container(self, type_: Any, origin: Any, arguments: tuple[Any, ...]) -> TypeAdapter:
        if origin is dict:
            key, value = arguments or (str, Any)
            keys = self.settled(key, self.compile(key))
            _check_hashable(type_, key, keys)
            finish = self._begin(type_, dict, dict if is_map(keys) else list)
            adapter = mapping(keys, self.compile(value))
        else:
            finish = self._begin(type_, origin, list)
            if origin is tuple and hasattr(type_, "__args__") and ... not in arguments:  # ``typing.Tuple`` has none
                adapter = fixed_tuple([self.compile(argument) for argument in arguments])
            else:
                element = arguments[0] if arguments else Any
                part = self.compile(element)
                if origin in (set, frozenset):
                    _check_hashable(type_, element, part)
                adapter = array(origin, part)
        self.containers[type_] = adapter
        finish(adapter)
        return adapter

    def _begin(self, type_: Any, kind: type, plain: type) -> Callable[[TypeAdapter], None]:
        """Make the adapter of a container known before it is finished, and return what finishes it."""
        alias = self.aliases.get(type_, type_)
        itself, finish = later(name_of(alias), alias)
        self.containers[type_] = attrs.evolve(itself, value_types=frozenset([kind]), plain_types=frozenset([plain]))
        return finish

    def _alias(self, alias: Any) -> TypeAdapter:
        itself, finish = later(name_of(alias), alias)
        self.known[alias] = itself
        value = self._value_of(alias)
        is_union = get_origin(value) in (Union, UnionType)
        adapter = self._union(value, name_of(alias)) if is_union else self.compile(value)
        if adapter is itself:
            raise TypeError(f"{name_of(alias)} may hold itself with nothing around it")
        self.known[alias] = adapter
        finish(adapter)
        return adapter

    def _value_of(self, alias: Any) -> Any:
        """Return what an alias stands for, whose name that then has."""
        value = _unwrap(look_up(value_of(alias)))
        self.aliases.setdefault(value, alias)
        return value

    def _union(self, type_: Any, name: str) -> TypeAdapter:
        """Compile a union. Its classes and its enumerations of text are variants, if there are two or more of them."""
        adapters = self._members(type_, ())
        free = {member: part for member, part in adapters.items() if (get_origin(member) or member) not in _registered}
        classes = {member: part for member, part in free.items() if is_class(member)}
        enums = {member: part for member, part in free.items() if is_enum(member) and part.plain_types == {str}}
        parts = []
        if len(classes) + len(enums) > 1:
            parts += variants(name, classes, enums)
            adapters = {member: part for member, part in adapters.items() if member not in {**classes, **enums}}
        for members, adapters_of_family in families(adapters):
            parts += adapters_of_family
            adapters = {member: part for member, part in adapters.items() if member not in members}
        return union(name, [*(self.settled(member, part) for member, part in adapters.items()), *parts])

    def _members(self, type_: Any, around: tuple[Any, ...]) -> dict[Any, TypeAdapter]:
        """Return the members of a union with their adapters, and those of unions that are members.

        ``around`` are the aliases it stands in, of which each is replaced by what it stands for. So a container that
        leads back to an alias may come to itself, and finds its adapter.
        """
        type_ = _unwrap(type_)
        if type_ in around:
            raise TypeError(f"{name_of(type_)} may hold itself with nothing around it")
        if is_alias(type_):
            return self._members(self._value_of(type_), (*around, type_))
        if get_origin(type_) not in (Union, UnionType):
            known = self.containers.get(type_) if around else None
            return {type_: known or self.compile(type_)}
        members: dict[Any, TypeAdapter] = {}
        for member in get_args(type_):
            members |= self._members(member, around)
        return members

    def settled(self, type_: Any, adapter: TypeAdapter) -> TypeAdapter:
        """Return the adapter with its plain types, for the key of a dict or the member of a union, which need them.

        Only unfinished aliases and transparent classes have none yet. An example is a class ``Keyed`` with the one
        field ``parts: tuple[dict[Keyed, int], ...]``. Its plain types are those of the field, here a list. So the field
        is compiled once more: if that needs the plain types of the class too, the class could hold itself, and nothing
        else.
        """
        if adapter.plain_types or not math.isinf(adapter.depth):
            return adapter
        type_ = _unwrap(type_)
        unsettled = attrs.evolve(adapter, plain_types=frozenset([_Unsettled]))
        # What is made meanwhile does not know the plain types, and is forgotten.
        trial = _Compiler(self.root, {**self.known, type_: unsettled}, dict(self.containers), self.aliases)
        inner = value_of(type_) if is_alias(type_) else fields_of(type_, self.names)[0][1]
        plain_types = trial.settled(inner, trial.compile(inner)).plain_types
        if _Unsettled in plain_types:
            raise TypeError(f"{name_of(type_)} may hold itself with nothing around it")
        self.known[type_] = attrs.evolve(adapter, plain_types=plain_types)
        return self.known[type_]


class _Unsettled:
    """Stands for the plain types of a class or an alias while they are looked for."""


def _check_hashable(type_: Any, element: Any, adapter: TypeAdapter) -> None:
    """Check that a set or a dict can have elements, or keys. Of ``Any`` it can, although not all values will do."""
    if is_hashable(adapter.layout) and any(kind.__hash__ is not None for kind in adapter.value_types):
        return
    raise TypeError(
        f"{name_of(type_)} is always empty, for {name_of(element)} cannot be hashed: tuples and frozensets can, and "
        "classes with @attrs.frozen"
    )


def _unwrap(type_: Any) -> Any:
    """Return the type that an ``Annotated``, a ``Final`` or a ``NewType`` stands for."""
    while True:
        if isinstance(type_, NewType):
            type_ = type_.__supertype__
        elif get_origin(type_) in (Annotated, Final):
            type_ = get_args(type_)[0]
        else:
            return type(None) if type_ is None else type_
