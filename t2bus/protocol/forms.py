"""Forms: how the values of a type look as plain CBOR items, and how they are read back.

The theory. Each type that may stand in a message has a **form**, a pair of functions: ``lower`` turns a value into
plain items, ``lift`` turns plain items into a value. There are :mod:`leaves <.leaves>`, and there are the combinators
below, which build the form of a type from the forms of its parts. None knows annotations: :mod:`.compiler` reads them.

Plain items are None, bool, int, float, str, bytes, and lists and dicts of them: what CBOR has without tags. Python's
exact type decides everywhere, in both directions: a bool is no int, a subclass of str is no str, a tuple is no list.
A sender thus learns of its mistake where it makes it, and not from what its receivers report.

The law of this module: ``lift(lower(value)) == value``, and of the same type. ``lower`` refuses what it cannot promise
this for. ``lift`` takes what ``lower`` writes, and other spellings of it where no type is in doubt: an int for a float,
an ISO 8601 date with a ``Z``. NaN, which equals nothing, travels all the same.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable
from functools import partial
from operator import length_hint
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Form", "Function", "Refusal", "array", "deepest", "mapping", "mismatch", "name_of", "row", "union"]

Function: TypeAlias = Callable[[Any], Any]

# What stands before a name in the repr of a type, but not within the text of a Literal.
_MODULES: Final = re.compile(r"""(?<!['"\w.<>])(?:[\w<>]+\.)+""")


class Refusal(Exception):
    """A value does not fit its form.

    ``path`` leads to it, innermost step first: each combinator that the exception passes on its way up appends one. So
    the way to the flaw is known, and what went well pays nothing for it: since Python 3.11 a ``try`` is free.
    """

    def __init__(self, reason: str, *path: str) -> None:
        super().__init__(reason)
        self.reason: str = reason
        self.path: list[str] = list(path)


@attrs.frozen(eq=False)
class Form:
    """How the values of one type travel.

    ``classes`` are the exact classes of the values, ``kinds`` those of the plain items. ``depth`` is how deep the plain
    items may nest: 0 for a leaf, infinite for a type that contains itself. Both functions raise :exc:`Refusal`, and
    whatever else the code of a user's class or a limit of Python raises.

    ``lowers_as_is`` and ``lifts_as_is`` are the classes whose values the functions return as they are, whatever these
    are. So a list is known to be right by the classes of its elements; a call for each took more time than CBOR itself.
    """

    classes: frozenset[type]
    kinds: frozenset[type]
    depth: float
    lower: Function
    lift: Function
    lowers_as_is: frozenset[type] = frozenset()
    lifts_as_is: frozenset[type] = frozenset()


def name_of(type_: Any) -> str:
    """Name a type as its user wrote it, for the reader of an error."""
    if type_ is NoneType:
        return "None"
    if isinstance(type_, type) and not get_args(type_):
        return type_.__name__
    return _MODULES.sub("", str(type_))


def mismatch(expected: str, value: object) -> Refusal:
    """Say what was asked for, and the type of what came instead; never the value, which may be large or secret."""
    return Refusal(f"expected {expected}, got {name_of(type(value))}")


# --- combinators


def _collect(results: Iterable[Any], source: Iterator[Any], size: int) -> list[Any]:
    """Collect results that are computed, one for one, from a source that had this size.

    How much of the source is left tells which element was refused, so that nobody has to count along.
    """
    try:
        return list(results)
    except Refusal as refusal:
        refusal.path.append(f"[{size - length_hint(source) - 1}]")
        raise


def array(kind: type[Any], part: Form) -> Form:
    """Build the form of a list, set, frozenset or tuple whose elements all have one form.

    A set travels in the order in which it happens to be iterated over: equal sets may have different bytes.
    """

    def each(function: Function, as_is: frozenset[type], values: Any) -> list[Any]:
        if as_is and as_is.issuperset(map(type, values)):
            return list(values)
        source = iter(values)
        return _collect(map(function, source), source, len(values))

    def lower(value: Any) -> object:
        if type(value) is not kind:
            raise mismatch(name_of(kind), value)
        return each(part.lower, part.lowers_as_is, value)

    def lift(plain: Any) -> object:
        if type(plain) is not list:
            raise mismatch("list" if kind is list else f"{name_of(kind)} as list", plain)
        value = kind(each(part.lift, part.lifts_as_is, plain))
        if len(value) != len(plain):
            raise Refusal("an element occurs twice")
        return value

    return Form(frozenset([kind]), frozenset([list]), 1 + part.depth, lower, lift)


def row(parts: Sequence[Form]) -> Form:
    """Build the form of a tuple of given length whose elements have each their own.

    A tuple that is too short or too long is refused before any of its elements is looked at.
    """

    def each(functions: list[Function], values: Any) -> list[Any]:
        if len(values) != len(functions):
            raise Refusal(f"expected {len(functions)} elements, got {len(values)}")
        source = iter(values)
        results = (function(value) for function, value in zip(functions, source, strict=True))
        return _collect(results, source, len(values))

    lowers = [part.lower for part in parts]
    lifts = [part.lift for part in parts]

    def lower(value: Any) -> object:
        if type(value) is not tuple:
            raise mismatch("tuple", value)
        return each(lowers, value)

    def lift(plain: Any) -> object:
        if type(plain) is not list:
            raise mismatch("tuple as list", plain)
        return tuple(each(lifts, plain))

    return Form(frozenset([tuple]), frozenset([list]), 1 + deepest(parts), lower, lift)


def mapping(key: Form, part: Form) -> Form:
    """Build the form of a dict: a map if its keys are text or bytes on the wire, else a list of pairs.

    CBOR has maps with any keys, but the decoder is told to refuse them: only text and bytes have hashes that a sender
    cannot choose to collide. What a program makes keys of by its own types is its own decision.
    """
    is_map = key.kinds <= {str, bytes}
    kind = dict if is_map else list

    def pairs(on_key: Function, on_value: Function, items: Iterable[Any]) -> list[Any]:
        found = []
        for k, v in items:
            try:
                found.append([on_key(k), on_value(v)])
            except Refusal as refusal:
                refusal.path.append(f"[{reprlib.repr(k)}]")
                raise
        return found

    def lower(value: Any) -> object:
        if type(value) is not dict:
            raise mismatch("dict", value)
        return kind(pairs(key.lower, part.lower, value.items()))

    def lift(plain: Any) -> object:
        if type(plain) is not kind:
            raise mismatch("dict" if is_map else "dict as list", plain)
        items: Any = plain.items() if type(plain) is dict else plain
        if not is_map and not all(type(pair) is list and len(pair) == len("kv") for pair in items):
            raise Refusal("expected pairs of a key and a value")
        value = dict(pairs(key.lift, part.lift, items))
        if len(value) != len(plain):
            raise Refusal("a key occurs twice")
        return value

    depth = (1 if is_map else 2) + max(key.depth, part.depth)
    return Form(frozenset([dict]), frozenset([kind]), depth, lower, lift)


def union(name: str, parts: Iterable[Form]) -> Form:
    """Build the form of a value that has one of several forms, told apart by its class and by the kind of its item.

    Nothing is tried in turn: a value has one reading, at one price. An int is a float where no member takes ints.

    Raises:
      TypeError: two members share a class or a kind.

    """
    parts = list(parts)
    lowers: dict[type, Function] = {}
    lifts: dict[type, Function] = {}
    for part in parts:
        if lowers.keys() & part.classes or lifts.keys() & part.kinds:
            raise TypeError(
                f"two members of {name} look alike on the wire: make them fields, or attrs classes, of their own"
            )
        lowers |= dict.fromkeys(part.classes, part.lower)
        lifts |= dict.fromkeys(part.kinds, part.lift)
    classes, kinds = frozenset(lowers), frozenset(lifts)
    for table in (lowers, lifts):
        if float in table:
            table.setdefault(int, table[float])

    def dispatch(table: dict[type, Function], value: object) -> object:
        function = table.get(type(value))
        if function is None:
            raise mismatch(name, value)
        return function(value)

    return Form(classes, kinds, deepest(parts), partial(dispatch, lowers), partial(dispatch, lifts))


def deepest(parts: Iterable[Form]) -> float:
    """Tell the depth of the deepest part, 0 if there is none."""
    return max((part.depth for part in parts), default=0)
