"""Leaves: the forms of types that have no parts.

The theory. A few classes are plain items already, and their forms only see that nothing else passes. All others travel
as one of those: a date as text, a duration as a number, the member of an enumeration as its value.

The law of this module: a leaf is lifted in time proportional to its length, and without a look at anything else.
"""

from __future__ import annotations

from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from .forms import Form, Function, Refusal, mismatch, name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["INT", "PLAIN", "STR", "constant", "travels_as"]


def _exactly(kind: type) -> Function:
    """Make the function that lets values of this class pass, in either direction."""

    def check(value: object) -> object:
        if type(value) is not kind:
            raise mismatch(name_of(kind), value)
        return value

    return check


def _whole(value: object) -> int:
    """Let an int pass that CBOR can hold. Lifted ones need no such check: the decoder knows no longer ones."""
    if type(value) is not int:
        raise mismatch("int", value)
    if not -(2**64) <= value < 2**64:  # beyond, CBOR needs a tag
        raise Refusal("an int of more than 64 bits cannot travel")
    return value


def _real(value: object) -> float:
    """Let a float pass, or an int that is one exactly: Python programs write both, JavaScript encoders send both."""
    if type(value) is float:
        return value
    if type(value) is int and -(2**53) <= value <= 2**53:
        return float(value)
    raise mismatch("float", value)


def _text(value: object) -> str:
    """Let a str pass that is text."""
    if type(value) is not str:
        raise mismatch("str", value)
    if not value.isascii():
        try:
            value.encode()  # CBOR will do so again, but only here is it known where the value stands
        except UnicodeEncodeError as error:
            raise Refusal("a str with a lone surrogate cannot travel") from error
    return value


def _leaf(kind: type, lower: Function | None = None, lift: Function | None = None, *, all_travel: bool = True) -> Form:
    """Build the form of a class whose values are plain items already; ``lower`` refuses some if not all travel."""
    check, itself = _exactly(kind), frozenset([kind])
    return Form(
        classes=itself,
        kinds=itself,
        depth=0,
        lower=lower or check,
        lift=lift or check,
        lowers_as_is=itself if all_travel else frozenset(),
        lifts_as_is=itself,
    )


STR: Final = _leaf(str, _text, all_travel=False)
INT: Final = _leaf(int, _whole, all_travel=False)
PLAIN: Final = (_leaf(NoneType), _leaf(bool), INT, _leaf(float, _real, _real), STR, _leaf(bytes))


def travels_as(form: Form, kind: type, write: Function, read: Function) -> Form:
    """Build the form of a class whose values travel as what ``write`` makes of them, in a form that exists.

    ``read`` restores them, and raises whatever it likes for what ``write`` never wrote. Subclasses have forms of their
    own, or none: a datetime is no date, and would not come back as what it was.
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
    """Build the form of a few given values, each paired with the leaf that it travels as.

    ``name`` is what to call them all in a refusal.
    """
    # The type is part of the key because 1 == True.
    lowered = {(type(value), value): item for value, item in plain}
    lifted = {(type(item), item): value for value, item in plain}

    def look_up(table: dict[Any, Any], value: object) -> object:
        try:
            return table[type(value), value]
        except (KeyError, TypeError) as error:  # TypeError: it cannot be hashed
            raise Refusal(f"expected {name}, got another {name_of(type(value))}") from error

    classes, kinds = (frozenset(kind for kind, _ in table) for table in (lowered, lifted))
    return Form(classes, kinds, 0, partial(look_up, lowered), partial(look_up, lifted))
