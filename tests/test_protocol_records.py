"""What attrs makes of a class decides how it is read: arguments, defaults, converters, validators and slots."""

from __future__ import annotations

from typing import Any

import attrs
import cbor2
import pytest
from attrs import define, field, frozen

from t2bus.errors import MalformedMessage
from t2bus.protocol import Struct, decode, encode


def upper(text: str) -> str:
    return text.upper()


@frozen
class Renamed:
    _private: int
    shown: int = field(alias="called")
    _with_default: int = 3


@frozen
class Mixed:
    """Keyword-only fields stand between the others, and those without a default behind those with one."""

    a: int
    b: int = field(kw_only=True)
    c: int = 3
    d: int = field(kw_only=True, default=4)
    e: int = 5


@frozen
class Parent:
    x: int
    y: int = 2


@frozen(kw_only=True)
class Child(Parent):
    z: int
    y: int = 20


@define
class Factories:
    first: list[int] = field(factory=list)
    second: int = field(default=attrs.Factory(lambda self: len(self.first), takes_self=True))


@frozen
class Converted:
    given: str = field(converter=upper)
    missing: str = field(converter=upper, default="missing")
    optional: str | None = field(converter=attrs.converters.optional(upper), default=None)


@frozen
class Bounded:
    low: int = field(validator=attrs.validators.ge(0))
    high: int = field(default=9)

    @high.validator
    def _above(self, _attribute: object, value: int) -> None:
        if value < self.low:
            raise ValueError("high is below low")


@define
class Counted:
    items: list[int]
    size: int = field(init=False)
    fixed: int = field(init=False, default=7)

    def __attrs_post_init__(self) -> None:
        self.size = len(self.items)


@define
class OwnInit:
    """Its ``__init__`` is the program's, and fills in another default than attrs would."""

    x: int
    y: int = 1

    def __init__(self, x: int, *, y: int = 100) -> None:
        self.__attrs_init__(x, y)  # type: ignore[attr-defined]


@frozen
class Row(Struct, as_array=True):
    a: int
    b: int = field(kw_only=True, default=2)
    _c: int = field(default=3, alias="third")


READ: list[tuple[dict[str, Any], object]] = [
    ({"_private": 1, "shown": 2}, Renamed(1, called=2)),
    ({"_private": 1, "shown": 2, "_with_default": 4}, Renamed(1, called=2, with_default=4)),
    ({"a": 1, "b": 2}, Mixed(1, b=2)),
    ({"e": 50, "d": 40, "c": 30, "b": 20, "a": 10}, Mixed(10, c=30, e=50, b=20, d=40)),
    ({"a": 1, "b": 2, "e": 6}, Mixed(1, e=6, b=2)),
    ({"x": 1, "z": 3}, Child(1, z=3)),
    ({"x": 1, "y": 2, "z": 3}, Child(1, y=2, z=3)),
    ({}, Factories()),
    ({"first": [5, 6]}, Factories([5, 6], 2)),
    ({"first": [5], "second": 7}, Factories([5], 7)),
    ({"given": "a"}, Converted("A", "MISSING", None)),
    ({"given": "a", "missing": "b", "optional": "c"}, Converted("A", "B", "C")),
    ({"low": 9}, Bounded(9)),
    ({"items": [1, 2], "size": 100, "fixed": 100}, Counted([1, 2])),
    ({"x": 1}, OwnInit(1, y=100)),
    ({"x": 1, "y": 2}, OwnInit(1, y=2)),
]


@pytest.mark.parametrize(("plain", "value"), READ)
def test_a_map_is_read_as_the_class_is_called(plain: dict[str, Any], value: Any) -> None:
    """Fields go to the arguments that attrs made of them, and what is missing is left to the class."""
    assert decode(cbor2.dumps(plain), type(value)) == value


@pytest.mark.parametrize("value", [value for _, value in READ])
def test_values_come_back(value: Any) -> None:
    """An instance of every kind of attrs class comes back equal."""
    assert decode(encode(value), type(value)) == value


WRITTEN: list[tuple[object, object]] = [
    (Renamed(1, called=2), {"_private": 1, "shown": 2, "_with_default": 3}),
    (Mixed(1, b=2), {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}),
    (Child(1, z=3), {"x": 1, "z": 3, "y": 20}),
    (Counted([1]), {"items": [1]}),
    (OwnInit(1), {"x": 1, "y": 100}),
    (Row(1, third=4), [1, 2, 4]),
]


@pytest.mark.parametrize(("value", "plain"), WRITTEN)
def test_fields_travel_under_their_names(value: object, plain: object) -> None:
    """All fields that ``__init__`` takes travel, by name and not by alias, those with their default too."""
    item = cbor2.loads(encode(value))
    assert item == plain
    assert list(item) == list(plain)  # type: ignore[call-overload]


@pytest.mark.parametrize(("plain", "value"), [([1], Row(1)), ([1, 5], Row(1, b=5)), ([1, 5, 6], Row(1, b=5, third=6))])
def test_an_array_is_read_in_the_order_of_the_fields(plain: list[int], value: Row) -> None:
    """An element belongs to the field at its place, whether its argument is positional or not."""
    assert decode(cbor2.dumps(plain), Row) == value


REFUSED: list[tuple[type, dict[str, Any], str]] = [
    (Mixed, {"a": 1}, "Mixed.b: is missing"),
    (Mixed, {"b": 1}, "Mixed.a: is missing"),
    (Mixed, {"a": 1, "b": 2, "e": "x"}, "Mixed.e: expected int, got str"),
    (Mixed, {"a": 1, "b": "x"}, "Mixed.b: expected int, got str"),
    (Renamed, {"private": 1, "called": 2}, "Renamed._private: is missing"),
    (Factories, {"first": [1, "x"]}, "Factories.first[1]: expected int, got str"),
    (Bounded, {"low": 10}, "Bounded: ValueError: high is below low"),
    (Bounded, {"low": -1}, "Bounded: ValueError: 'low' must be >= 0: -1"),
]


@pytest.mark.parametrize(("cls", "plain", "text"), REFUSED)
def test_what_the_class_does_not_take_is_refused(cls: type, plain: dict[str, Any], text: str) -> None:
    """A missing argument, a wrong one, and one that a validator refuses are each told with their place."""
    with pytest.raises(MalformedMessage) as caught:
        decode(cbor2.dumps(plain), cls)
    assert str(caught.value) == text


@pytest.mark.parametrize("decorate", [attrs.frozen, attrs.define, attrs.frozen(slots=False), attrs.define(slots=False)])
def test_every_kind_of_attrs_class_travels(decorate: Any) -> None:
    """Slots and freezing make no difference."""

    class Plain:
        x: int
        y: int = 2

    cls = decorate(Plain)
    assert decode(encode(cls(1)), cls) == cls(1)


def test_a_key_error_of_the_class_is_no_missing_field() -> None:
    """What a validator raises is quoted, also where it is a KeyError."""

    def look_up(_instance: object, _attribute: object, value: int) -> None:
        raise KeyError(value)

    cls = attrs.make_class("Sought", {"x": field(type=int, validator=look_up)})
    with pytest.raises(MalformedMessage, match=r"^Sought: KeyError: 5$"):
        decode(cbor2.dumps({"x": 5}), cls)
