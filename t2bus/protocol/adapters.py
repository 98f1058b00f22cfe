"""Type adapters: how the values of a type look as plain CBOR items, and how they are read back.

The adapter of ``list[date]``, for example, has these two functions::

    to_plain([date(2024, 2, 29)])     ["2024-02-29"]
    from_plain(["2024-02-29"])        [date(2024, 2, 29)]
    from_plain(["yesterday"])         Refusal: this str is no date; its path is [0]

The theory. Each type that may stand in a message has one adapter. :mod:`.scalars` makes those of types without parts.
The functions below make the adapter of a type out of the adapters of its parts. None of them reads annotations: that is
done in :mod:`.compiler`.

Plain items are what CBOR has without tags: None, bool, int, float, str, bytes, and lists and dicts of them. The Python
type decides in both directions: a bool is no int, a subclass of list is no list, a tuple is no list. So a sender learns
of a mistake where it makes it, and not from what its receivers report.

The law of this module: ``from_plain(to_plain(value)) == value``, and both are of the same type, or the value was of a
subclass of float, int, str or bytes. ``to_plain`` refuses a value for which it cannot promise that. ``from_plain``
takes what ``to_plain`` writes, and other spellings where no type is in doubt: an int for a float, an ISO 8601 date with
a ``Z``. NaN travels too, although it equals nothing. So does a datetime of an hour that its time zone has twice, or
leaves out: it arrives as the same instant, which Python takes for unequal to the one with the zone (PEP 495).
"""

from __future__ import annotations

import math
import re
import reprlib
from collections import Counter
from collections.abc import Callable
from enum import Enum
from operator import index, length_hint
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, Union, get_args, get_origin

import attrs

from ..text import as_text
from .layouts import Alias, Either, Entries, Layout, Positions, Repeated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Conversion: TypeAlias = Callable[[Any], Any]

# The modules in the repr of a type, ``a.b.`` in ``a.b.C``, but not what a text in it holds.
_MODULES: Final = re.compile(r"""(?<!['"\w.<>])(?:[\w<>]+\.)+""")

_ALIKE: Final = 64
"""Elements of a set, or keys of a dict, that may have one hash. Of more, each costs a comparison with all before it:
20,000 tuples that are made to collide keep a receiver busy for many seconds."""


class Refusal(Exception):
    """A value or a plain item does not fit its type.

    ``path`` leads to it, innermost step first: ``[".price", "[2]", ".items"]``. Each adapter that the exception passes
    on its way up appends its step. So the way to the flaw is known, and a value without a flaw pays nothing for it.
    """

    def __init__(self, reason: str, *path: str) -> None:
        super().__init__(reason)
        self.reason: str = reason
        self.path: list[str] = list(path)


@attrs.frozen(eq=False)
class TypeAdapter:
    """How the values of one type travel.

    ``value_types`` are the exact types of the values, ``plain_types`` those of the plain items. ``depth`` is how deep
    the plain items may nest: 0 for a scalar, infinite for a type that may contain itself. Both functions raise
    :exc:`Refusal`, and whatever the code of a program's class or a limit of Python raises.

    ``to_plain_keeps`` and ``from_plain_keeps`` are the types whose values the function always returns unchanged. A list
    of them is checked by looking at the types of its elements: a call for each took longer than CBOR itself.
    ``layout`` says what the functions do.
    """

    value_types: frozenset[type]
    plain_types: frozenset[type]
    depth: float
    to_plain: Conversion
    from_plain: Conversion
    to_plain_keeps: frozenset[type] = frozenset()
    from_plain_keeps: frozenset[type] = frozenset()
    layout: Layout = attrs.field(kw_only=True)


def later(name: str, type_: Any) -> tuple[TypeAdapter, Callable[[TypeAdapter], None]]:
    """Return an adapter that does as another, and the function that says which; for a type that may contain itself.

    Of itself it knows no plain types, and that its values may be anything.
    """
    finished: list[TypeAdapter] = []
    layout = Alias(name, type_)

    def to_plain(value: object) -> object:
        return finished[0].to_plain(value)

    def from_plain(plain: object) -> object:
        return finished[0].from_plain(plain)

    def finish(adapter: TypeAdapter) -> None:
        finished.append(adapter)
        layout.target = adapter.layout

    return TypeAdapter(frozenset([object]), frozenset(), math.inf, to_plain, from_plain, layout=layout), finish


def name_of(type_: Any) -> str:
    """Name a type in an error: ``list[Point | None]``, without modules.

    Equal types have one adapter, so the name is the same for each way to spell a union, but for the order of its types.
    """
    origin, arguments = get_origin(type_), get_args(type_)
    if type_ is NoneType or type_ is ...:
        return "None" if type_ is NoneType else "..."
    if origin in (Union, UnionType):
        return " | ".join(map(name_of, sorted(arguments, key=lambda each: each is NoneType)))
    if origin is Literal:
        return f"Literal[{', '.join(map(_value_name, arguments))}]"
    if origin is not None and arguments:
        star = "*" * getattr(type_, "__unpacked__", False)
        return f"{star}{name_of(origin)}[{', '.join(map(name_of, arguments))}]"
    if isinstance(type_, list):  # the arguments of a Callable
        return f"[{', '.join(map(name_of, type_))}]"
    return type_.__name__ if isinstance(type_, type) and not arguments else _MODULES.sub("", str(type_))


def _value_name(value: object) -> str:
    return f"{type(value).__name__}.{value.name}" if isinstance(value, Enum) else repr(value)


def text_of(error: Exception) -> str:
    """Name an exception and quote its text. Its other arguments are left out: they may be whole values."""
    return f"{type(error).__name__}: {as_text(error.args[0])}" if error.args else type(error).__name__


def mismatch(expected: str, value: object) -> Refusal:
    """Make the refusal of a value of a wrong type. It names the type only: the value may be large, or a secret."""
    return Refusal(f"expected {expected}, got {name_of(type(value))}")


# --- adapters of types with parts


def _collect(results: Iterable[Any], source: Iterator[Any], size: int) -> list[Any]:
    """Collect results that are computed one by one from a source, which had ``size`` elements.

    When an element is refused, what the source has left tells its index. So nothing has to be counted before that.
    """
    try:
        return list(results)
    except Refusal as refusal:
        refusal.path.append(f"[{size - length_hint(source) - 1}]")
        raise


def array(kind: type[Any], part: TypeAdapter) -> TypeAdapter:
    """Make the adapter of a list, set, frozenset or tuple whose elements are all of one type.

    A set travels in the order in which Python iterates over it. So equal sets may have different bytes.
    """

    def convert(function: Conversion, kept: frozenset[type], values: Any) -> list[Any]:
        if kept and kept.issuperset(map(type, values)):
            return list(values)
        source = iter(values)
        return _collect(map(function, source), source, len(values))

    collides = kind in (set, frozenset) and _may_collide(part)

    def to_plain(value: Any) -> object:
        if type(value) is not kind:
            raise mismatch(name_of(kind), value)
        if collides:
            _check_hashes(value)
        return convert(part.to_plain, part.to_plain_keeps, value)

    def from_plain(plain: Any) -> object:
        if type(plain) is not list:
            raise mismatch("list" if kind is list else f"{name_of(kind)} as list", plain)
        elements = convert(part.from_plain, part.from_plain_keeps, plain)
        if collides:
            _check_hashes(elements)
        value = kind(elements)
        if len(value) != len(plain):
            raise Refusal("an element occurs twice")
        return value

    layout = Repeated(kind.__name__, part.layout)
    return TypeAdapter(frozenset([kind]), frozenset([list]), 1 + part.depth, to_plain, from_plain, layout=layout)


def _may_collide(part: TypeAdapter) -> bool:
    """Whether a sender can make values with one hash: those of text and bytes have a secret of this process."""
    return not part.value_types <= {str, bytes}


def _check_hashes(values: Iterable[object]) -> None:
    if max(Counter(map(hash, values)).values(), default=0) > _ALIKE:
        raise Refusal(f"more than {_ALIKE} elements have one hash")


def fixed_tuple(parts: Sequence[TypeAdapter]) -> TypeAdapter:
    """Make the adapter of a tuple such as ``tuple[int, str]``, whose elements have a type each.

    The length is checked first: no element of a tuple that is too short or too long is looked at.
    """

    def convert(functions: list[Conversion], values: Any) -> list[Any]:
        if len(values) != len(functions):
            raise Refusal(f"expected {len(functions)} elements, got {len(values)}")
        source = iter(values)
        results = (function(value) for function, value in zip(functions, source, strict=True))
        return _collect(results, source, len(values))

    to_plains = [part.to_plain for part in parts]
    from_plains = [part.from_plain for part in parts]

    def to_plain(value: Any) -> object:
        if type(value) is not tuple:
            raise mismatch("tuple", value)
        return convert(to_plains, value)

    def from_plain(plain: Any) -> object:
        if type(plain) is not list:
            raise mismatch("tuple as list", plain)
        return tuple(convert(from_plains, plain))

    layout = Positions(tuple(part.layout for part in parts))
    return TypeAdapter(frozenset([tuple]), frozenset([list]), 1 + deepest(parts), to_plain, from_plain, layout=layout)


def mapping(key: TypeAdapter, part: TypeAdapter) -> TypeAdapter:
    """Make the adapter of a dict. It travels as a map if its keys are plain text or bytes, else as a list of pairs.

    CBOR allows any keys in a map. But the decoder refuses all but text and bytes, because Python's hashes of other
    items can be made to collide by whoever sends them. A program that asks for other keys decides that for itself.
    """
    as_map, collides = is_map(key), _may_collide(key)
    kind = dict if as_map else list

    def convert(on_key: Conversion, on_value: Conversion, items: Iterable[Any]) -> list[Any]:
        pairs = []
        for k, v in items:
            try:
                pairs.append([on_key(k), on_value(v)])
            except Refusal as refusal:
                refusal.path.append(f"[{reprlib.repr(k)}]")
                raise
        return pairs

    def to_plain(value: Any) -> object:
        if type(value) is not dict:
            raise mismatch("dict", value)
        if collides:
            _check_hashes(value)
        plain = kind(convert(key.to_plain, part.to_plain, value.items()))
        if len(plain) != len(value):  # keys of a subclass of str may be apart where the strs are not
            raise Refusal("a key occurs twice")
        return plain

    def from_plain(plain: Any) -> object:
        if type(plain) is not kind:
            raise mismatch("dict" if as_map else "dict as list", plain)
        items: Any = plain.items() if type(plain) is dict else plain
        if not as_map and not all(type(pair) is list and len(pair) == len("kv") for pair in items):
            raise Refusal("expected pairs of a key and a value")
        pairs = convert(key.from_plain, part.from_plain, items)
        if collides:
            _check_hashes(k for k, _ in pairs)
        value = dict(pairs)
        if len(value) != len(plain):
            raise Refusal("a key occurs twice")
        return value

    depth, layout = (1 if as_map else 2) + max(key.depth, part.depth), Entries(key.layout, part.layout, as_map)
    return TypeAdapter(frozenset([dict]), frozenset([kind]), depth, to_plain, from_plain, layout=layout)


def is_map(key: TypeAdapter) -> bool:
    """Whether a dict with such keys travels as a map."""
    return key.plain_types <= {str, bytes}


def union(name: str, parts: Iterable[TypeAdapter]) -> TypeAdapter:
    """Make the adapter of a union. The type of the value, or of the plain item, says which member it is.

    No member is tried after another, so a hostile payload costs no more than an honest one. An int is read as a float
    if no member takes ints.

    Raises:
      TypeError: two members share the type of their values or of their plain items.

    """
    parts = list(parts)
    to_plains: dict[type, Conversion] = {}
    from_plains: dict[type, Conversion] = {}
    for part in parts:
        if to_plains.keys() & part.value_types or from_plains.keys() & part.plain_types:
            raise TypeError(
                f"two members of {name} look alike on the wire: make them fields, or attrs classes, of their own"
            )
        to_plains |= dict.fromkeys(part.value_types, part.to_plain)
        from_plains |= dict.fromkeys(part.plain_types, part.from_plain)
    value_types, plain_types = frozenset(to_plains), frozenset(from_plains)
    for table in (to_plains, from_plains):
        if float in table:
            table.setdefault(int, table[float])

    def to_plain(value: object) -> object:
        function = to_plains.get(type(value)) or _heir(to_plains, value)
        if function is None:
            raise mismatch(name, value)
        return function(value)

    def from_plain(plain: object) -> object:
        function = from_plains.get(type(plain))
        if function is None:
            raise mismatch(name, plain)
        return function(plain)

    layout = Either(tuple(part.layout for part in parts))
    return TypeAdapter(value_types, plain_types, deepest(parts), to_plain, from_plain, layout=layout)


def _heir(to_plains: dict[type, Conversion], value: object) -> Conversion | None:
    """Find the member of a union for a value of none of its types: that of a base, or int for what can be an index."""
    if type(value) is bool:
        return None
    for base in type(value).__mro__:
        if base in to_plains:
            return to_plains[base]
    try:
        index(value)  # type: ignore[arg-type] # that is the question
    except TypeError:
        return None
    return to_plains.get(int)


def deepest(parts: Iterable[TypeAdapter]) -> float:
    """Return the largest depth among the parts, 0 if there are none."""
    return max((part.depth for part in parts), default=0)
