"""What attrs makes of a class decides how it is read: arguments, defaults, converters, validators and slots."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
import cbor2
import pytest
from attrs import define, field, frozen
from hypothesis import given
from hypothesis import strategies as st

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
    ({"given": "A"}, Converted("A", "MISSING", None)),
    ({"given": "A", "missing": "B", "optional": "C"}, Converted("A", "B", "C")),
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


# --- what code of the program's own makes of its fields


def inches(centimetres: float) -> float:
    return centimetres / 2.54


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def next_number(number: int) -> int:
    return number + 1


def times(value: int, instance: Any, _attribute: Any) -> int:
    return 2 * value * int(instance.factor)


or_list: Any = attrs.converters.default_if_none(factory=list)
times_factor: Any = attrs.Converter(times, takes_self=True, takes_field=True)
own_factor: Any = attrs.Factory(lambda self: self.factor, takes_self=True)


@frozen
class Sized:
    """None of its converters gives the same when it is applied once more, and two take only text."""

    length: float = field(converter=inches)
    number: int = field(converter=int)
    when: datetime = field(converter=moment)
    tags: tuple[str, ...] = field(converter=words, default="a b")
    names: list[str] = field(converter=or_list, default=None)  # type: ignore[misc]
    _hidden: int = field(converter=next_number, default=5, alias="shown")


@define
class Factored:
    factor: int
    size: int = field(converter=times_factor, kw_only=True)  # type: ignore[misc]
    more: int = field(converter=times_factor, default=own_factor)  # type: ignore[misc]
    inner: int = field(init=False, default=1, converter=next_number)
    sum: int = field(init=False)

    def __attrs_pre_init__(self) -> None:
        CALLS.append("pre")

    def __attrs_post_init__(self) -> None:
        self.sum = self.size + self.more
        CALLS.append("post")


CALLS: list[str] = []


@define(slots=False)
class Normalised:
    name: str
    size: int = 1

    def __attrs_post_init__(self) -> None:
        self.name = f"<{self.name}>"
        self.size *= 2


@define
class Scaled:
    """Its ``__init__`` takes one unit, and its field has another."""

    length: float
    name: str = field(default="a", converter=upper)

    def __init__(self, length: float, name: str = "a") -> None:
        self.__attrs_init__(length / 2.54, name)  # type: ignore[attr-defined]


@frozen(cache_hash=True)
class Hashed:
    number: int = field(converter=next_number, validator=attrs.validators.lt(100))


@frozen
class SizedRow(Struct, as_array=True):
    length: float = field(converter=inches)
    name: str = field(converter=upper, default="none")


MADE: list[Any] = [
    Sized(100, "5", "2024-02-29"),
    Sized(100, "5", "2024-02-29", "c", ["d"], shown=7),
    Factored(3, 5, size=7),
    Normalised("a", 3),
    Scaled(100, "b"),
    Hashed(98),
    SizedRow(100, "a b"),
    Converted("a", "b", "c"),
]


@pytest.mark.parametrize("value", MADE)
def test_a_value_arrives_as_it_was_sent(value: Any) -> None:
    """A converter that has made a value does not make it again, nor does other code of the class change it."""
    decoded = decode(encode(value), type(value))
    assert (decoded, repr(decoded)) == (value, repr(value))
    assert encode(decoded) == encode(value)


def test_the_code_of_a_class_runs_all_the_same() -> None:
    """What a class does before and after its fields are set is done, once."""
    payload = encode(Factored(3, 5, size=7))
    CALLS.clear()
    assert decode(payload, Factored).sum == 7 * 2 * 3 + 5 * 2 * 3
    assert CALLS == ["pre", "post"]


def test_defaults_that_are_filled_in_are_converted() -> None:
    """A field that an older sender lacks is what the class makes of its default."""
    plain = {"length": 1.0, "number": 5, "when": "2024-02-29T00:00:00"}
    value = decode(cbor2.dumps(plain), Sized)
    assert (value.length, value.tags, value.names, value._hidden) == (1.0, ("a", "b"), [], 6)
    factored = decode(cbor2.dumps({"factor": 3, "size": 7}), Factored)
    assert (factored.size, factored.more, factored.inner) == (7, 18, 2)
    assert decode(b"\x81\x05", SizedRow) == SizedRow(5 * 2.54)


def test_foreign_values_are_not_converted() -> None:
    """What another program sends arrives as it is, where it is of the field's type."""
    assert decode(cbor2.dumps({"given": "a"}), Converted).given == "a"
    with pytest.raises(MalformedMessage, match=r"^Sized\.number: expected int, got str$"):
        decode(cbor2.dumps({"length": 1.0, "number": "5", "when": "2024-02-29T00:00:00"}), Sized)


def test_validators_look_at_what_came() -> None:
    """A value that the class would not take after its converter is refused."""
    with pytest.raises(MalformedMessage, match=r"^Hashed: ValueError: 'number' must be < 100: 100$"):
        decode(cbor2.dumps({"number": 100}), Hashed)


def test_a_hash_that_is_kept_is_right() -> None:
    """A class that keeps its hash has that of the value which came."""
    assert hash(decode(cbor2.dumps({"number": 5}), Hashed)) == hash(Hashed(4))


@pytest.mark.parametrize("decorate", [attrs.frozen, attrs.define, attrs.frozen(slots=False), attrs.define(slots=False)])
def test_every_kind_of_class_may_convert(decorate: Any) -> None:
    """Slots and freezing make no difference to converters."""

    class Plain:
        x: int = field(converter=next_number)
        y: int = 2

    cls = decorate(Plain)
    assert decode(encode(cls(1)), cls) == cls(1)


@given(st.lists(st.integers(-100, 100), max_size=5), st.integers(0, 5), st.text(max_size=3))
def test_any_value_arrives_as_it_was_sent(numbers: list[int], size: int, name: str) -> None:
    """Whatever a class has made of its arguments, its receiver has the same."""
    for value in (Normalised(name, size), Scaled(float(size), name), Factored(size, *numbers[:1], size=len(numbers))):
        assert decode(encode(value), type(value)) == value
