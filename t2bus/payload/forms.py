"""Forms: how the values of a type look as plain CBOR items, and how they are read back.

The theory. Each type that may stand in a message has a **form**, a pair of functions: ``lower`` turns a value into
plain items, ``lift`` turns plain items into a value. There are leaves, and there are combinators, which build the form
of a type from the forms of its parts. None of them knows an annotation: :mod:`.compiler` reads those.

Plain items are None, bool, int, float, str, bytes, and lists and dicts of them: what CBOR has without tags. Python's
exact type decides everywhere, so that a bool is no int and a subclass of str is no str.

The law of this module: ``lift(lower(value)) == value``, and of the same type. ``lower`` refuses what it cannot promise
this for; ``lift`` refuses what ``lower`` would never have written, except an int for a float.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable
from functools import partial
from operator import length_hint
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "ANY",
    "INT",
    "LEAVES",
    "STR",
    "Form",
    "Function",
    "Refusal",
    "array",
    "constant",
    "deepest",
    "mapping",
    "mismatch",
    "name_of",
    "row",
    "travels_as",
    "union",
]

Function: TypeAlias = Callable[[Any], Any]


class Refusal(Exception):
    """A value does not fit its form. ``path`` leads to it, innermost step first: it grows as the exception rises."""

    def __init__(self, reason: str, *path: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = list(path)


@attrs.frozen(eq=False)
class Form:
    """How the values of one type travel.

    ``classes`` are the exact classes of the values, ``kinds`` those of the plain items. ``depth`` is how deep the plain
    items may nest: 0 for a leaf, infinite for a type that contains itself. Both functions raise :exc:`Refusal`, and
    whatever else the code of a user's class or a limit of Python raises.
    """

    classes: frozenset[type]
    kinds: frozenset[type]
    depth: float
    lower: Function
    lift: Function


def name_of(type_: Any) -> str:
    """Name a type as its user wrote it."""
    if type_ is NoneType:
        return "None"
    is_class = isinstance(type_, type) and not get_args(type_)
    return str(type_.__name__ if is_class else type_).replace("typing.", "")


def mismatch(expected: str, value: object) -> Refusal:
    """Say what was asked for, and the type of what came instead; never the value, which may be large or secret."""
    return Refusal(f"expected {expected}, got {name_of(type(value))}")


# --- leaves


def _exactly(kind: type) -> Function:
    def check(value: object) -> object:
        if type(value) is not kind:
            raise mismatch(name_of(kind), value)
        return value

    return check


def _whole(value: object) -> int:
    if type(value) is not int:
        raise mismatch("int", value)
    if not -(2**64) <= value < 2**64:  # beyond, CBOR needs a tag
        raise Refusal("an int of more than 64 bits cannot travel")
    return value


def _real(value: object) -> float:
    if type(value) is float:
        return value
    if type(value) is int and -(2**53) <= value <= 2**53:  # beyond, a float is not exact
        return float(value)
    raise mismatch("float", value)


def _text(value: object) -> str:
    if type(value) is not str:
        raise mismatch("str", value)
    if not value.isascii():
        try:
            value.encode()  # CBOR will do so again, but only here is it known where the value stands
        except UnicodeEncodeError as error:
            raise Refusal("a str with a lone surrogate cannot travel") from error
    return value


def _leaf(kind: type, lower: Function | None = None, lift: Function | None = None) -> Form:
    check = _exactly(kind)
    return Form(frozenset([kind]), frozenset([kind]), 0, lower or check, lift or check)


STR: Final = _leaf(str, _text)
INT: Final = _leaf(int, _whole)
LEAVES: Final = (_leaf(NoneType), _leaf(bool), INT, _leaf(float, _real, _real), STR, _leaf(bytes))


def travels_as(form: Form, kind: type, write: Function, read: Function) -> Form:
    """Build the form of a class whose values travel as what ``write`` makes of them, in a form that exists.

    ``read`` restores them, and raises whatever it likes for what ``write`` never wrote.
    """
    name = name_of(kind)
    written = " or ".join(sorted(map(name_of, form.kinds)))

    def lower(value: object) -> object:
        if type(value) is not kind:
            raise mismatch(name, value)
        return form.lower(write(value))

    def lift(plain: object) -> object:
        if type(plain) not in form.kinds:
            raise mismatch(f"{name} as {written}", plain)
        try:
            return read(form.lift(plain))
        except Exception as error:
            raise Refusal(f"this {name_of(type(plain))} is no {name}") from error

    return Form(frozenset([kind]), form.kinds, form.depth, lower, lift)


def constant(name: str, plain: Sequence[tuple[Any, Any]]) -> Form:
    """Build the form of a few given values, each paired with the leaf that it travels as."""
    # The types are part of the keys because 1 == True.
    lowered = {(type(value), value): item for value, item in plain}
    lifted = {(type(item), item): value for value, item in plain}

    def look_up(table: dict[Any, Any], value: object) -> object:
        try:
            return table[type(value), value]
        except (KeyError, TypeError) as error:  # TypeError: it cannot be hashed
            raise Refusal(f"expected {name}, got another {name_of(type(value))}") from error

    classes, kinds = (frozenset(kind for kind, _ in table) for table in (lowered, lifted))
    return Form(classes, kinds, 0, partial(look_up, lowered), partial(look_up, lifted))


# --- combinators


def _collect(results: Iterable[Any], source: Iterator[Any], size: int) -> list[Any]:
    """Collect what is computed, one for one, from a source that had this size: it tells where a Refusal came from."""
    try:
        return list(results)
    except Refusal as refusal:
        refusal.path.append(f"[{size - length_hint(source) - 1}]")
        raise


def array(kind: type[Any], part: Form) -> Form:
    """Build the form of a list, set, frozenset or tuple whose elements all have one form."""

    def lower(value: Any) -> object:
        if type(value) is not kind:
            raise mismatch(name_of(kind), value)
        source = iter(value)
        return _collect(map(part.lower, source), source, len(value))

    def lift(plain: Any) -> object:
        if type(plain) is not list:
            raise mismatch(f"{name_of(kind)} as list", plain)
        source = iter(plain)
        value = kind(_collect(map(part.lift, source), source, len(plain)))
        if len(value) != len(plain):
            raise Refusal("an element occurs twice")
        return value

    return Form(frozenset([kind]), frozenset([list]), 1 + part.depth, lower, lift)


def row(parts: Sequence[Form]) -> Form:
    """Build the form of a tuple of given length whose elements have each their own."""

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

    CBOR has maps with any keys; the decoder refuses them, since others than text and bytes can be chosen to collide.
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
            raise mismatch(f"dict as {name_of(kind)}", plain)
        items = plain.items() if is_map else plain
        if not is_map and not all(type(pair) is list and len(pair) == len("kv") for pair in items):
            raise Refusal("expected pairs of a key and a value")
        value = dict(pairs(key.lift, part.lift, items))
        if len(value) != len(plain):
            raise Refusal("a key occurs twice")
        return value

    depth = (1 if is_map else 2) + max(key.depth, part.depth)
    return Form(frozenset([dict]), frozenset([kind]), depth, lower, lift)


def union(name: str, parts: Iterable[Form]) -> Form:
    """Build the form of a value that has one of several forms, told apart by their classes and kinds.

    Raises:
      TypeError: two of them share one. An int is a float only where no member of the union is an int.

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
    """Tell the depth of the deepest."""
    return max((part.depth for part in parts), default=0)


def _any() -> Form:
    """Build the form of ``Any``: the union of the leaves, and of lists and dicts of itself."""

    def lower(value: object) -> object:
        return form.lower(value)

    def lift(plain: object) -> object:
        return form.lift(plain)

    itself = Form(frozenset(), frozenset(), math.inf, lower, lift)
    form = union("a plain value", [*LEAVES, array(list, itself), mapping(STR, itself)])
    return form


ANY: Final = _any()
