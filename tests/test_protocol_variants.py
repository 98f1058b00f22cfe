"""Shapes and variants: what classes other than maps travel as, and what tells the members of a union apart."""

from __future__ import annotations

import enum
from typing import Any, Generic, Literal, NewType, TypeVar

import attrs
import cbor2
import pytest
from attrs import field, frozen
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from t2bus.errors import MalformedMessage
from t2bus.protocol import PublishProtocol, Struct, decode, encode, encode_as
from t2bus.protocol.compiler import adapter_of

T = TypeVar("T")


class Color(enum.Enum):
    RED = "Red"
    GREEN = "Green"


class Shade(enum.StrEnum):
    DARK = "Dark"


class Other(enum.Enum):
    Red = enum.auto()


class Places(enum.Enum):
    FIRST = (1, "a")
    SECOND = None
    ALSO_FIRST = FIRST


class Level(enum.IntEnum):
    LOW = 1


@frozen
class Empty:
    pass


@frozen
class Defaulted:
    x: int = 1


@frozen
class Map:
    x: int
    y: int = 2


@frozen
class Array(Struct, as_array=True):
    x: int
    y: str = "b"


@frozen
class Bare(Struct, transparent=True):
    x: int


@frozen
class Maybe(Struct, transparent=True):
    x: int | None


@frozen
class Red:
    x: int


@frozen
class Page(Struct, Generic[T], as_array=True):
    first: T
    rest: list[T]


@frozen
class Computed(Struct, transparent=True):
    x: int
    double: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "double", 2 * self.x)


@frozen
class Private(Struct, as_array=True):
    _x: int
    y: int = field(alias="_y")


@frozen
class Child(Array):
    z: int = 3


@frozen
class Event(PublishProtocol, prefix="event", transparent=True):
    """Leads back to itself by way of a union of one class, which asks what a transparent class is on the wire."""

    value: Step | Stop


@frozen
class Step:
    cause: Event | None


@frozen
class Stop:
    pass


@frozen
class Keyed(Struct, transparent=True):
    parts: tuple[dict[Keyed, int], ...]


@frozen
class Itself(Struct, transparent=True):
    inner: Itself | None


NewColor = NewType("NewColor", Color)
Every = Map | Array | Bare | Empty | Color | Shade

TRAVELS: list[tuple[Any, object, object]] = [
    (Array, Array(1, "a"), [1, "a"]),
    (Bare, Bare(1), 1),
    (Maybe, Maybe(None), None),
    (Bare | None, Bare(1), 1),
    (Bare | str, Bare(1), 1),
    (Array | None, None, None),
    (list[Bare], [Bare(1)], [1]),
    (dict[Bare, int], {Bare(1): 2}, [[1, 2]]),
    (Page[int], Page(1, [2]), [1, [2]]),
    (Page[Bare], Page(Bare(1), [Bare(2)]), [1, [2]]),
    (Computed, Computed(2), 2),
    (Private, Private(1, 2), [1, 2]),
    (Child, Child(1), [1, "b", 3]),
    (Every, Map(1), {"Map": {"x": 1, "y": 2}}),
    (Every, Array(1), {"Array": [1, "b"]}),
    (Every, Bare(1), {"Bare": 1}),
    (Every, Empty(), "Empty"),
    (Every, Color.RED, "Red"),
    (Every, Shade.DARK, "Dark"),
    (Every | None, None, None),
    (Every | int, 5, 5),
    (Color | Shade, Shade.DARK, "Dark"),
    (NewColor | Map, Color.RED, "Red"),
    (Map | Page[int], Page(1, []), {"Page": [1, []]}),
    (Map | str, Map(1), {"x": 1, "y": 2}),
    (Map | Level, Map(1), {"x": 1, "y": 2}),
    (Map | Level | Literal["a"], "a", "a"),
    (Map | Red | str, "Map", "Map"),
    (Defaulted | Map, Defaulted(2), {"Defaulted": {"x": 2}}),
    (Maybe | Map, Maybe(None), {"Maybe": None}),
    (Other, Other.Red, "Red"),
    (Places, Places.SECOND, "SECOND"),
    (Event, Event(Step(Event(Stop()))), {"Step": {"cause": "Stop"}}),
    (Step, Step(Event(Step(None))), {"cause": {"Step": {"cause": None}}}),
]


@pytest.mark.parametrize(("type_", "value", "plain"), TRAVELS)
def test_values_travel_in_their_shape(type_: Any, value: object, plain: object) -> None:
    """A value travels as the plain item that its class line and its union ask for."""
    item = cbor2.loads(encode_as(value, type_))
    assert (item, type(item)) == (plain, type(plain))


@pytest.mark.parametrize(("type_", "value", "_plain"), TRAVELS)
def test_values_come_back_from_their_shape(type_: Any, value: object, _plain: object) -> None:
    """A decoded value equals the encoded one and is of its class."""
    decoded = decode(encode_as(value, type_), type_)
    assert (decoded, type(decoded)) == (value, type(value))


ALSO_READ: list[tuple[Any, object, object]] = [
    (Array, [1], Array(1)),
    (Map | Empty, {"Empty": {}}, Empty()),
    (Map | Empty, {"Empty": {"later": 1}}, Empty()),
    (Defaulted | Map, "Defaulted", Defaulted(1)),
    (Defaulted | Map, {"Defaulted": {}}, Defaulted(1)),
    (Places, "ALSO_FIRST", Places.FIRST),
]


@pytest.mark.parametrize(("type_", "plain", "value"), ALSO_READ)
def test_older_and_newer_writers_are_read(type_: Any, plain: object, value: object) -> None:
    """What the writer's class lacks is a default, where no other value is in doubt."""
    assert decode(cbor2.dumps(plain), type_) == value


REFUSED_PLAIN: list[tuple[Any, object, str]] = [
    (Array, {"x": 1}, "Array: expected Array as list, got dict"),
    (Array, [], "Array.x: is missing"),
    (Array, [1, 2], "Array.y: expected str, got int"),
    (Array, [1, "a", None], "Array: expected 2 elements, got 3"),
    (Bare, [1], "Bare.x: expected int, got list"),
    (Bare, {"x": 1}, "Bare.x: expected int, got dict"),
    (Bare, None, "Bare.x: expected int, got None"),
    (Map | Empty, {"x": 1}, "Map | Empty: expected one key, of Map, Empty, got another"),
    (Map | Empty, {}, "Map | Empty: expected one key, of Map, Empty, got 0"),
    (Map | Empty, {"Map": {"x": 1}, "Empty": {}}, "Map | Empty: expected one key, of Map, Empty, got 2"),
    (Map | Empty, {b"Map": {"x": 1}}, "Map | Empty: expected one key, of Map, Empty, got another"),
    (Map | Empty, {"Map": {"y": 1}}, "Map | Empty.Map.x: is missing"),
    (Map | Array, {"Array": [1, 2]}, "Map | Array.Array.y: expected str, got int"),
    (Map | Empty, "Map", "Map | Empty: expected one str, of Empty, got another"),
    (Map | Empty, {"Empty": None}, "Map | Empty.Empty: expected Empty as dict, got None"),
    (Map | Color, {"Red": None}, "Map | Color: expected one key, of Map, got another"),
    (Map | Color, "RED", "Map | Color: expected one str, of Red, Green, got another"),
    (Color | Shade, "Map", "Color | Shade: expected one str, of Red, Green, Dark, got another"),
    (Color | Shade, {}, "Color | Shade: expected Color | Shade, got dict"),
    (Map | Empty, None, "Map | Empty: expected Map | Empty, got None"),
    (list[Map | Array], [{"Map": {"x": "a"}}], "list[Map | Array][0].Map.x: expected int, got str"),
]


@pytest.mark.parametrize(("type_", "plain", "text"), REFUSED_PLAIN)
def test_what_does_not_fit_a_shape_is_not_received(type_: Any, plain: object, text: str) -> None:
    """A plain item of another shape, or of no variant, is refused, and the text leads to it."""
    with pytest.raises(MalformedMessage) as caught:
        decode(cbor2.dumps(plain), type_)
    assert str(caught.value) == text


REFUSED_VALUES: list[tuple[Any, object, str]] = [
    (Array, [1, "a"], "Array: expected Array, got list"),
    (Array, Array("a"), "Array.x: expected int, got str"),  # type: ignore[arg-type]
    (Bare, 1, "Bare: expected Bare, got int"),
    (Bare, Bare("a"), "Bare.x: expected int, got str"),  # type: ignore[arg-type]
    (Map | Array, Map("a"), "Map | Array.Map.x: expected int, got str"),  # type: ignore[arg-type]
    (Map | Array, Bare(1), "Map | Array: expected Map | Array, got Bare"),
    (Map | Color, "Red", "Map | Color: expected Map | Color, got str"),
]


@pytest.mark.parametrize(("type_", "value", "text"), REFUSED_VALUES)
def test_what_is_of_no_variant_is_not_sent(type_: Any, value: object, text: str) -> None:
    """A value that would not come back is refused, and the text leads to it."""
    with pytest.raises(MalformedMessage) as caught:
        encode_as(value, type_)
    assert str(caught.value) == text


UNSUPPORTED: list[tuple[Any, str]] = [
    (Page[int] | Page[str], r"^two variants of .* are called 'Page': name their classes and members apart$"),
    (Map | attrs.make_class("Map", {"z": field(type=int)}), "are called 'Map'"),
    (Red | Color, "are called 'Red'"),
    (Color | Other, "are called 'Red'"),
    (Bare | int, "look alike on the wire"),
    (Maybe | None, "look alike on the wire"),
    (Array | list[int], "look alike on the wire"),
    (Empty | Map | str, "look alike on the wire"),
    (Map | Array | dict[str, int], "look alike on the wire"),
    (Itself, r"^Itself\.inner: Itself may hold itself with nothing around it$"),
]


@pytest.mark.parametrize(("type_", "text"), UNSUPPORTED)
def test_variants_that_are_alike_are_found_on_first_use(type_: Any, text: str) -> None:
    """A union whose members share a tag, or look alike beside it, is a TypeError before there is a value of it."""
    with pytest.raises(TypeError, match=text):
        adapter_of(type_)


def test_a_class_may_be_in_the_keys_of_its_own_field() -> None:
    """What a transparent class is on the wire is known where its own field has it for a key."""
    value = Keyed(({Keyed(()): 1},))
    assert cbor2.loads(encode(value)) == [[[[], 1]]]
    assert decode(encode(value), Keyed) == value


def test_a_fields_class_may_be_asked_for_first_or_last() -> None:
    """Whether a class or what leads back to it is compiled first, the payloads are the same."""
    assert encode_as([Event(Step(None))], list[Event]) == encode_as([Step(None)], list[Step | Stop])


events = st.recursive(
    st.builds(Event, st.just(Stop())),
    lambda inner: st.builds(Event, st.builds(Step, st.none() | inner)),
)
every = st.one_of(
    st.builds(Map, st.integers(0, 9), st.integers(0, 9)),
    st.builds(Array, st.integers(0, 9), st.text(max_size=3)),
    st.builds(Bare, st.integers(0, 9)),
    st.just(Empty()),
    st.sampled_from([*Color, *Shade]),
)


@given(st.tuples(st.lists(every, max_size=4), events))
@steady(100)
def test_decoding_undoes_encoding(value: tuple[list[Any], Event]) -> None:
    """Variants of every shape come back equal and of their classes."""
    type_: Any = tuple[list[Every], Event]
    assert repr(decode(encode_as(value, type_), type_)) == repr(value)
