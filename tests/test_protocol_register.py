"""Types of others: a program says how they travel, and reads what to do where it has not."""

from __future__ import annotations

import collections
import enum
import types
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Context
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any, Generic, NamedTuple, Protocol, TypedDict, TypeVar

import attrs
import cbor2
import pytest
from attrs import frozen

import t2bus
from t2bus.errors import MalformedMessage
from t2bus.protocol import decode, encode, encode_as, response_type
from t2bus.protocol.compiler import adapter_of

T = TypeVar("T")


class Version:
    """A class of a library: it is no attrs class, and cannot be decorated."""

    def __init__(self, text: str) -> None:
        self.parts = tuple(map(int, text.split(".")))

    def __str__(self) -> str:
        return ".".join(map(str, self.parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)


class Beta(Version):
    """A version that is not finished."""


class Phasor(complex):
    """A number of a library."""

    __slots__ = ()


class Grid(Generic[T]):
    """A class of a library that takes arguments, as arrays do."""

    def __init__(self, *rows: Sequence[float]) -> None:
        self.rows = list(map(list, rows))


class Unit(enum.Enum):
    METRE = 1


@frozen
class Release(t2bus.PublishProtocol, prefix="release"):
    version: Version
    needs: dict[Version, Version | None]
    impedance: Phasor


t2bus.register_scalar(Version, str, Version)
t2bus.register_scalar(Phasor, lambda z: (z.real, z.imag), lambda pair: Phasor(*pair), wire=tuple[float, float])
t2bus.register_scalar(Unit, lambda unit: f"{unit.name.lower()}s", lambda text: Unit[text[:-1].upper()])

TRAVEL: list[tuple[Any, object, object]] = [
    (Version, Version("1.2"), "1.2"),
    (Phasor, Phasor(1.5, -2.0), [1.5, -2.0]),
    (list[Phasor | None], [Phasor(0.0, 1.0), None], [[0.0, 1.0], None]),
    (Version | int, Version("1"), "1"),
    (Version | int, Beta("1"), "1"),
    (dict[Version, int], {Version("1.2"): 5}, {"1.2": 5}),
    (Unit, Unit.METRE, "metres"),
    (
        Release,
        Release(Version("1.2"), {Version("1"): None, Version("2"): Version("3.4")}, Phasor(0.0, 1.0)),
        {"version": "1.2", "needs": {"1": None, "2": "3.4"}, "impedance": [0.0, 1.0]},
    ),
]


@pytest.mark.parametrize(("type_", "value", "plain"), TRAVEL)
def test_a_registered_type_travels_as_it_was_told(type_: Any, value: object, plain: object) -> None:
    """A value of it travels as ``encode`` writes it, wherever it stands, and comes back equal."""
    payload = encode_as(value, type_)
    assert cbor2.loads(payload) == plain
    assert decode(payload, type_) == value


def test_a_subclass_travels_as_the_class() -> None:
    """A value of a subclass is taken, and arrives as one of the class."""
    assert type(decode(encode_as(Beta("1"), Version), Version)) is Version


def test_arguments_of_a_registered_type_do_not_matter() -> None:
    """An annotation such as ``NDArray[np.float64]`` finds what was said of the class."""
    t2bus.register_scalar(Grid, lambda grid: grid.rows, lambda rows: Grid(*rows), wire=list[list[float]])
    for type_ in (Grid[int], Grid):
        payload = encode_as(Grid((1.0, 2.0), (3.0, 4.0)), type_)
        assert cbor2.loads(payload) == [[1.0, 2.0], [3.0, 4.0]]
        assert decode(payload, type_).rows == [[1.0, 2.0], [3.0, 4.0]]


def test_an_int_will_do_for_the_float_that_a_registered_type_travels_as() -> None:
    """Other programs write 1 for 1.0, so it is read wherever a float is."""

    @dataclass(frozen=True)
    class Metres:
        number: float

    t2bus.register_scalar(Metres, lambda metres: metres.number, Metres, wire=float)
    decoded = decode(cbor2.dumps([1, 0.5, None]), list[Metres | None])
    assert repr([metres and metres.number for metres in decoded]) == "[1.0, 0.5, None]"


def test_the_last_one_said_holds() -> None:
    """A type may be registered after a protocol was used, and again: a notebook cell may be run twice."""

    class Money:
        def __init__(self, cents: int) -> None:
            self.cents = cents

    @frozen
    class Price(t2bus.PublishProtocol, prefix="price"):
        money: Money

    with pytest.raises(TypeError, match=r"^Price\.money: Money is neither"):
        encode(Price(Money(5)))
    t2bus.register_scalar(Money, lambda money: money.cents, Money, wire=int)
    assert encode(Price(Money(5))) == cbor2.dumps({"money": 5})
    t2bus.register_scalar(Money, lambda money: f"{money.cents} ct", lambda text: Money(int(text[:-3])))
    assert encode(Price(Money(5))) == cbor2.dumps({"money": "5 ct"})


REFUSED: list[tuple[Any, object, str]] = [
    (Version, "1.2", "Version: expected Version, got str"),
    (list[Phasor], [Phasor(0.0, 1.0), 5], "list[Phasor][1]: expected Phasor, got int"),
]


@pytest.mark.parametrize(("type_", "value", "text"), REFUSED)
def test_other_values_are_not_sent(type_: Any, value: object, text: str) -> None:
    """What is no value of the class is refused, and the text leads to it."""
    with pytest.raises(MalformedMessage) as caught:
        encode_as(value, type_)
    assert str(caught.value) == text


UNREADABLE: list[tuple[Any, object, str]] = [
    (Version, "one", "Version: this str is no Version"),
    (Version, 5, "Version: expected Version as str, got int"),
    (list[Phasor], [[1.0, 2.0], [1.0]], "list[Phasor][1]: expected 2 elements, got 1"),
    (Phasor, [1.0, "a"], "Phasor[1]: expected float, got str"),
]


@pytest.mark.parametrize(("type_", "plain", "text"), UNREADABLE)
def test_what_does_not_fit_is_not_received(type_: Any, plain: object, text: str) -> None:
    """Whatever ``decode`` raises, and an item of another type than ``wire``, is refused."""
    with pytest.raises(MalformedMessage) as caught:
        decode(cbor2.dumps(plain), type_)
    assert str(caught.value) == text


def test_a_registered_attrs_class_is_no_variant() -> None:
    """A class that travels as a program says stands in a union for itself, without a tag."""

    @frozen
    class Place:
        x: int

    @frozen
    class Area:
        size: int

    t2bus.register_scalar(Place, lambda place: str(place.x), lambda text: Place(int(text)))
    for value, plain in ((Place(5), "5"), (Area(7), {"size": 7}), (None, None)):
        assert cbor2.loads(encode_as(value, Place | Area | None)) == plain
        assert decode(encode_as(value, Place | Area | None), Place | Area | None) == value  # type: ignore[arg-type]


def test_both_functions_are_held_to_what_they_said() -> None:
    """Where ``encode`` makes no value of ``wire``, or ``decode`` none of the class, the message is refused."""
    broken: Any = t2bus.register_scalar

    class Broken:
        pass

    broken(Broken, lambda _value: 5, lambda text: text)
    with pytest.raises(MalformedMessage, match=r"^Broken: expected str, got int$"):
        encode_as(Broken(), Broken)
    with pytest.raises(MalformedMessage, match=r"^Broken: expected decode to return Broken, got str$"):
        decode(cbor2.dumps("a"), Broken)


@pytest.mark.parametrize("kind", [int, str, list, dict, Path, Fraction, object])
def test_what_travels_already_is_not_registered(kind: type) -> None:
    """The types that a payload is made of, and those of the standard library, stay as they are."""
    with pytest.raises(TypeError, match=rf"^{kind.__name__} travels already"):
        t2bus.register_scalar(kind, str, kind)


@pytest.mark.parametrize("kind", [list[int], "Version", None])
def test_only_classes_are_registered(kind: Any) -> None:
    """What is no class is a TypeError."""
    with pytest.raises(TypeError, match=r" is no class: register a class$"):
        t2bus.register_scalar(kind, str, str)


def test_a_type_that_cannot_travel_carries_nothing() -> None:
    """``wire`` is a type that may stand in a message."""
    with pytest.raises(TypeError, match=r"^Random is neither "):
        t2bus.register_scalar(Context, lambda _context: Random(5), lambda _random: Context(), wire=Random)


# --- what to do about the others


class Own:
    x: int


class OwnChild(Own):
    y: int


class Undecorated(t2bus.PublishProtocol, prefix="undecorated"):
    x: int


class Tupled(NamedTuple):
    x: int


class Typed(TypedDict):
    x: int


class Speaks(Protocol):
    x: int


class Text(str):
    __slots__ = ()


@dataclass
class Data:
    x: int


DECORATE = "decorate it with @attrs.frozen"
REGISTER = "say how this class of {} travels, with t2bus.register_scalar"
REPLACE = "write an attrs class in its place"

REMEDIES: list[tuple[Any, str]] = [
    (Own, DECORATE),
    (OwnChild, DECORATE),
    (Data, DECORATE),
    (Undecorated, DECORATE),
    (Tupled, REGISTER.format(__name__)),
    (Text, REGISTER.format(__name__)),
    (Typed, REPLACE),
    (Speaks, REPLACE),
    (Random, REGISTER.format("random")),
    (Context, REGISTER.format("decimal")),
    (types.ModuleType, REGISTER.format("builtins")),
    (pytest.Config, REGISTER.format("_pytest.config")),
    (Sequence[int], "write list or tuple, which says what to build"),
    (Iterable[int], "write list or tuple, which says what to build"),
    (Collection[int], "write list or tuple, which says what to build"),
    (MutableSequence[int], "write list, which says what to build"),
    (collections.deque[int], "write list, which says what to build"),
    (Mapping[str, int], "write dict, which says what to build"),
    (MutableMapping[str, int], "write dict, which says what to build"),
    (collections.defaultdict[str, int], "write dict, which says what to build"),
    (AbstractSet[int], "write set or frozenset, which says what to build"),
    (bytearray, "write bytes, which says what to build"),
]


@pytest.mark.parametrize(("type_", "advice"), REMEDIES)
def test_the_advice_can_be_followed(type_: Any, advice: str) -> None:
    """The error of a field that cannot travel leads to the field, and says what its author can do."""
    recording = attrs.make_class("Recording", {"field": attrs.field(type=type_)})
    recording.__module__ = __name__
    with pytest.raises(TypeError) as caught:
        adapter_of(recording)
    text = str(caught.value)
    assert text.startswith("Recording.field: ")
    assert text.endswith(f" is neither an attrs class nor a supported type: {advice}")


@pytest.mark.parametrize("type_", [Callable[[int], int], type[int], 5, "Point", T])
def test_no_advice_is_given_where_there_is_none(type_: Any) -> None:
    """What no value could be read as is refused without advice."""
    with pytest.raises(TypeError, match=r" is neither an attrs class nor a supported type$"):
        adapter_of(type_)


def test_a_response_that_cannot_travel_is_told_by_its_request() -> None:
    """The advice on a response type knows whose class it is."""

    class Ask(t2bus.RequestProtocol[Random], prefix="ask"):
        pass

    with pytest.raises(
        TypeError, match=r"^the response type of Ask: Random is neither .* this class of random travels"
    ):
        response_type(Ask)
