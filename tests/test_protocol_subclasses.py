"""Numbers and texts of subclasses, which type checkers take for their base: what they travel as, and what arrives."""

from __future__ import annotations

import enum
from typing import Any, Literal

import cbor2
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from t2bus.errors import MalformedMessage
from t2bus.protocol import decode, encode, encode_as


class Celsius(float):
    __slots__ = ()

    def __float__(self) -> float:
        return -1.0

    def __repr__(self) -> str:
        return "warm"


class Port(int):
    __slots__ = ()

    def __index__(self) -> int:
        return -1

    def __int__(self) -> int:
        return -1


class Name(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "somebody"


class Key(str):
    """Two keys with one text are two keys."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class Raw(bytes):
    __slots__ = ()

    def __bytes__(self) -> bytes:
        return b""


class Channel(enum.IntEnum):
    OVEN = 3


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Unit(enum.StrEnum):
    CELSIUS = "C"


class Plain(enum.Enum):
    ONE = 1


class Indexed:
    """A number that is no int, as those of numpy are."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __index__(self) -> int:
        return self._number


@frozen
class Reading:
    celsius: float
    channel: int
    unit: str
    raw: bytes
    history: list[float]
    by_name: dict[str, int]


TAKEN: list[tuple[Any, object, object]] = [
    (float, Celsius(20.5), 20.5),
    (float, Channel.OVEN, 3.0),
    (float, Port(80), 80.0),
    (float, Indexed(5), 5.0),
    (int, Port(80), 80),
    (int, Channel.OVEN, 3),
    (int, Rights.READ | Rights.WRITE, 3),
    (int, Indexed(2**64 - 1), 2**64 - 1),
    (str, Name("Alice"), "Alice"),
    (str, Unit.CELSIUS, "C"),
    (bytes, Raw(b"ab"), b"ab"),
    (list[float], [1.5, Celsius(2.5), Port(3)], [1.5, 2.5, 3.0]),
    (tuple[int, str], (Port(1), Name("a")), (1, "a")),
    (set[int], {Port(1), 2}, {1, 2}),
    (dict[str, int], {Unit.CELSIUS: Channel.OVEN}, {"C": 3}),
    (dict[int, str], {Port(1): Name("a")}, {1: "a"}),
    (float | None, Celsius(2.5), 2.5),
    (int | str, Name("a"), "a"),
    (int | str, Indexed(5), 5),
    (int | float, Celsius(2.5), 2.5),
    (float | str, Indexed(5), 5.0),
    (Plain | int, Port(1), 1),
    (Any, [Celsius(2.5), Port(1), Name("a"), Raw(b"b"), Unit.CELSIUS, Indexed(5)], [2.5, 1, "a", b"b", "C", 5]),
]


@pytest.mark.parametrize(("type_", "value", "arrives"), TAKEN)
def test_a_subclass_is_taken_for_its_base(type_: Any, value: object, arrives: object) -> None:
    """A value of a subclass travels as one of the base, whatever it says of itself, and arrives as that."""
    decoded = decode(encode_as(value, type_), type_)
    assert (decoded, repr(decoded)) == (arrives, repr(arrives))
    assert encode_as(value, type_) == encode_as(arrives, type_)


def test_fields_take_subclasses() -> None:
    """The fields of a message take what type checkers let stand there."""
    sent = Reading(Celsius(20.5), Channel.OVEN, Unit.CELSIUS, Raw(b"a"), [Celsius(1.5)], {Name("a"): Port(1)})
    assert repr(decode(encode(sent), Reading)) == repr(Reading(20.5, 3, "C", b"a", [1.5], {"a": 1}))


REFUSED: list[tuple[Any, object, str]] = [
    (int, True, "int: expected int, got bool"),
    (float, True, "float: expected float, got bool"),
    (int | str, True, "int | str: expected int | str, got bool"),
    (int, Celsius(1.0), "int: expected int, got Celsius"),
    (int, Plain.ONE, "int: expected int, got Plain"),
    (int, Port(2**64), "int: an int of more than 64 bits cannot travel"),
    (float, Port(2**53 + 1), "float: an int beyond 2**53 is too large for a float"),
    (str, Name("\ud800"), "str: a str with a lone surrogate cannot travel"),
    (str, Raw(b"a"), "str: expected str, got Raw"),
    (bytes, bytearray(b"a"), "bytes: expected bytes, got bytearray"),
    (Literal[3], Channel.OVEN, "Literal[3]: expected Literal[3], got another Channel"),
    (Channel, 3, "Channel: expected Channel, got int"),
    (dict[str, int], {Key("a"): 1, Key("a"): 2}, "dict[str, int]: a key occurs twice"),
    (str | None, Indexed(5), "str | None: expected str | None, got Indexed"),
    (Any, [bytearray(b"a")], "Any[0]: expected a plain value, got bytearray"),
]


@pytest.mark.parametrize(("type_", "value", "text"), REFUSED)
def test_other_values_are_still_refused(type_: Any, value: object, text: str) -> None:
    """A bool is no number, and what would arrive as something else is not sent."""
    with pytest.raises(MalformedMessage) as caught:
        encode_as(value, type_)
    assert str(caught.value) == text


numbers = st.integers(-(2**64), 2**64 - 1)


@given(st.lists(st.floats(allow_nan=False).map(Celsius)), st.lists(numbers.map(Port)), st.text().map(Name))
def test_what_arrives_equals_what_was_sent(reals: list[float], integers: list[int], text: str) -> None:
    """A value of a subclass arrives as one of the base that equals it."""
    for value, type_ in ((reals, list[float]), (integers, list[int]), (text, str)):
        decoded = decode(encode_as(value, type_), type_)
        assert decoded == value
        assert repr(decoded) == repr(cbor2.loads(cbor2.dumps(decoded)))
