"""Scalars: the adapters of types that have no parts, such as ``int``, ``date`` or ``Literal["a", "b"]``.

The theory. The values of some types are plain items already. Their adapters return them unchanged, having checked that
they are of the type. Values of all other types travel as one of those: a date as text, a duration as a number, the
member of an enumeration as its value.

Type checkers take a subclass for its base, and libraries give subclasses: ``numpy.float64`` is a float, the member of
an ``IntEnum`` an int, that of a ``StrEnum`` a str. So these are taken where their base is asked for, and travel as it;
what arrives is of the base. A bool is no number all the same, because nobody means it as one.

The law of this module: reading a scalar takes time proportional to its length, and depends on nothing but the item.
"""

from __future__ import annotations

from functools import partial
from operator import index
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from .adapters import Conversion, Refusal, TypeAdapter, mismatch, name_of
from .layouts import Basic, Choices, Written

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .layouts import Layout


EXACT: Final = 2**53
"""Up to here an int is read as a float."""


def _check(kind: type) -> Conversion:
    """Make the function that returns values of exactly one type unchanged, for either direction."""

    def check(value: object) -> object:
        if type(value) is not kind:
            raise mismatch(name_of(kind), value)
        return value

    return check


def _int_of(value: Any) -> int:
    """Return the int that a value is: that of an ``IntEnum``, of a ``numpy.int64``, but not of a bool."""
    if type(value) is bool:
        raise mismatch("int", value)
    try:
        return int.__index__(index(value))  # the inner one returns a subclass as it is
    except TypeError as error:
        raise mismatch("int", value) from error


def _write_int(value: object) -> int:
    """Return an int that CBOR holds without a tag. What was decoded needs no such check: the decoder refuses tags."""
    number = value if type(value) is int else _int_of(value)
    if not -(2**64) <= number < 2**64:
        raise Refusal("an int of more than 64 bits cannot travel")
    return number


def _read_float(plain: object) -> float:
    """Return a float, or make one of an int of the same value. Programs write both; JavaScript encoders send both.

    An int beyond 2**53 is refused: as a float it may be another number.
    """
    if type(plain) is float:
        return plain
    if type(plain) is not int:
        raise mismatch("float", plain)
    if abs(plain) > EXACT:
        raise Refusal("an int beyond 2**53 is too large for a float")
    return float(plain)


def _write_float(value: object) -> float:
    if type(value) is float:
        return value
    if isinstance(value, float):
        return float.__float__(value)
    try:
        number = _int_of(value)
    except Refusal as refusal:
        raise mismatch("float", value) from refusal
    return _read_float(number)


def _write_str(value: object) -> str:
    """Return a str that is valid Unicode."""
    if not isinstance(value, str):
        raise mismatch("str", value)
    text = value if type(value) is str else str.__str__(value)
    if not text.isascii():
        try:
            text.encode()  # CBOR does so again, but could not say where in the message the str stands
        except UnicodeEncodeError as error:
            raise Refusal("a str with a lone surrogate cannot travel") from error
    return text


def _write_bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise mismatch("bytes", value)
    return value if type(value) is bytes else bytes.__bytes__(value)


def _scalar(
    kind: type, to_plain: Conversion | None = None, from_plain: Conversion | None = None, *, all_travel: bool = True
) -> TypeAdapter:
    """Make the adapter of a type whose values are plain items. Without ``all_travel``, ``to_plain`` refuses some.

    Then a list of them cannot be told by the types of its elements, and each element is looked at when it is sent.
    """
    check, itself = _check(kind), frozenset([kind])
    kept = itself if all_travel else frozenset()
    layout = Basic(name_of(kind))
    return TypeAdapter(itself, itself, 0, to_plain or check, from_plain or check, kept, itself, layout=layout)


STR: Final = _scalar(str, _write_str, all_travel=False)
INT: Final = _scalar(int, _write_int, all_travel=False)
FLOAT: Final = _scalar(float, _write_float, _read_float)
BYTES: Final = _scalar(bytes, _write_bytes)
PLAIN_SCALARS: Final = (_scalar(NoneType), _scalar(bool), INT, FLOAT, STR, BYTES)


def travels_as(
    adapter: TypeAdapter,
    kind: type,
    write: Conversion,
    read: Conversion,
    *,
    name: str | None = None,
    heirs: bool = False,
    values: Iterable[object] = (),
    layout: Layout | None = None,
) -> TypeAdapter:
    """Make the adapter of a type whose values travel as values of another, whose adapter is given.

    For example ``travels_as(STR, date, date.isoformat, date.fromisoformat)``. ``read`` may raise anything for what
    ``write`` does not write. A subclass is refused: a datetime sent as a date would come back as another type. With
    ``heirs`` it is taken, and comes back as what ``read`` makes. ``values`` are all that there are, if they are few.
    ``layout`` is that of the adapter if it says more than the name.
    """
    name = name or name_of(kind)
    written = " or ".join(sorted(map(name_of, adapter.plain_types)))
    taken = adapter.plain_types | {int} if float in adapter.plain_types else adapter.plain_types
    among = f", whose values are {', '.join(map(repr, values))}" if values else ""

    def to_plain(value: object) -> object:
        if type(value) is not kind and not (heirs and isinstance(value, kind)):
            raise mismatch(name, value)
        return adapter.to_plain(write(value))

    def from_plain(plain: object) -> object:
        if type(plain) not in taken:
            raise mismatch(f"{name} as {written}", plain)
        try:
            return read(adapter.from_plain(plain))
        except Refusal:
            raise
        except Exception as error:
            raise Refusal(f"this {name_of(type(plain))} is no {name}{among}") from error

    layout = layout or Written(name, adapter.layout)
    return TypeAdapter(frozenset([kind]), adapter.plain_types, adapter.depth, to_plain, from_plain, layout=layout)


def literal(name: str, pairs: Sequence[tuple[Any, Any]]) -> TypeAdapter:
    """Make the adapter of a ``Literal``, given as pairs of a value and the plain item that it travels as.

    ``name`` is what a refusal calls the type. For example ``[("a", "a"), (Color.RED, "red")]``, where the second is the
    member of an enumeration.

    Raises:
      TypeError: two values travel as the same item.

    """
    # The type is part of the key because 1 == True.
    plain_of = {(type(value), value): item for value, item in pairs}
    value_of = {(type(item), item): value for value, item in pairs}
    if len(value_of) != len(plain_of):
        raise TypeError(f"two values of {name} look alike on the wire: leave one of them out")

    def look_up(table: dict[Any, Any], value: object) -> object:
        try:
            return table[type(value), value]
        except (KeyError, TypeError) as error:  # TypeError: it cannot be hashed
            raise Refusal(f"expected {name}, got another {name_of(type(value))}") from error

    value_types, plain_types = (frozenset(kind for kind, _ in table) for table in (plain_of, value_of))
    # An int equals the float that it stands for.
    floats = [item for kind, item in value_of if kind is float and abs(item) <= EXACT]
    value_of = {(int, item): value_of[float, item] for item in floats} | value_of
    layout = Choices("", tuple(item for _, item in pairs))
    to_plain, from_plain = partial(look_up, plain_of), partial(look_up, value_of)
    return TypeAdapter(value_types, plain_types, 0, to_plain, from_plain, layout=layout)
