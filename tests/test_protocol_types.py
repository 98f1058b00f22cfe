"""How each type travels: what its plain items are, what is refused in either direction, and which cannot travel."""

from __future__ import annotations

import collections
import enum
import itertools
import math
import sys
import types
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, Literal, NewType, Optional, TypeVar, Union, get_origin
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import cbor2
import pytest
from attrs import define, field, frozen
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import TypeAliasType

from pure_helpers import steady
from t2bus.errors import MalformedMessage
from t2bus.protocol import decode, encode, encode_as, register_scalar
from t2bus.protocol.compiler import adapter_of

T = TypeVar("T")
Moment = TypeVar("Moment", datetime, time)
Kelvin = NewType("Kelvin", float)
Alias = TypeAliasType("Alias", int | None)  # what `type Alias = int | None` makes in Python 3.12

SOME_UUID = UUID("12345678-1234-5678-1234-567812345678")
BERLIN = timezone(timedelta(hours=2))
FINE = timezone(timedelta(microseconds=1))


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Paint(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    NUMBER = 1
    TEXT = "one"
    NOTHING = None


class Gain(float, enum.Enum):
    HALF = 0.5
    FULL = 1.0
    HUGE = 2.0**60


class Rights(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@frozen
class Point:
    x: int
    y: int = 0


@frozen
class Named:
    name: str
    x: int = 0


@frozen
class Renamed:
    name: str
    old: str
    x: int = 0


@frozen
class Circle:
    kind: Literal["circle"]
    size: int


@frozen
class Square:
    kind: Literal["square", "rectangle"]
    size: int


@frozen
class Red:
    color: Literal[Color.RED]


@frozen
class Node:
    value: int
    next: Node | None = None


@frozen
class Tree:
    children: list[Tree]
    by_name: dict[str, Tree] = field(factory=dict)


@frozen
class Sum:
    left: Sum | Leaf
    right: Sum | Leaf


@frozen
class Leaf:
    value: int


@frozen
class Quoted:
    parts: list["Point"]


@frozen
class Page(Generic[T]):
    first: T
    items: list[T]
    more: dict[str, T] | None = None


@frozen
class Private:
    _hidden: int
    public: int = field(alias="_public")


@define
class Computed:
    x: int
    double: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.double = 2 * self.x


@define
class Mutable(Generic[T]):
    x: T


@define
class AlsoMutable:
    x: int


class Opaque:  # noqa: PLW1641 -- it has no hash
    def __eq__(self, other: object) -> bool:
        return self is other


register_scalar(Opaque, repr, lambda _: Opaque())


@frozen
class Checked:
    x: int = field(validator=attrs.validators.gt(0))


def _stripped(name: str) -> str:
    return name.strip()


@frozen
class Converted:
    name: str = field(converter=_stripped)


@frozen
class Awkward:
    """Its fields are called as what the generated functions, their makers and their callers have of their own."""

    cls: int
    name: int
    keys: int
    value: int
    plain: int
    step: int
    v0: int
    to_0: int
    from_0: int
    mismatch: int
    error: int
    prefix: int
    given: int = 1
    text_of: int = 2


@frozen(kw_only=True)
class KeywordsOnly:
    a: int
    b: int = 2


@frozen
class AllDefaults:
    x: int = 1


@frozen
class Rich:
    flag: bool
    number: int
    real: float
    text: str
    raw: bytes
    nothing: None
    when: datetime
    day: date
    clock: time
    delta: timedelta
    price: Decimal
    key: UUID
    color: Color
    level: Level
    mixed: Mixed
    rights: Rights
    literal: Literal["a", 1, True, Color.RED]
    points: list[Point]
    pair: tuple[int, str]
    numbers: tuple[float, ...]
    words: set[str]
    days: frozenset[date]
    by_name: dict[str, Point]
    by_number: dict[int, list[int]]
    by_color: dict[Color, int]
    maybe: Point | None
    primitive: int | str | bool | float | bytes | None
    shape: Circle | Square
    named: Point | Named | Renamed | None
    tree: Tree
    anything: Any
    page: Page[int]


ROUND_TRIPS: list[tuple[Any, object, object]] = [
    (None, None, None),
    (bool, True, True),
    (int, 2**64 - 1, 2**64 - 1),
    (int, -(2**64), -(2**64)),
    (float, 0.1, 0.1),
    (float, math.inf, math.inf),
    (str, "h\u00e9 \U0001f600\0", "h\u00e9 \U0001f600\0"),
    (bytes, b"\0\xff", b"\0\xff"),
    (datetime, datetime(2024, 2, 29, 12, 30, 1, 5), "2024-02-29T12:30:01.000005"),  # noqa: DTZ001
    (datetime, datetime(2024, 2, 29, 12, tzinfo=BERLIN), "2024-02-29T12:00:00+02:00"),
    (date, date(1, 1, 1), "0001-01-01"),
    (time, time(1, 2, 3, tzinfo=UTC), "01:02:03+00:00"),
    (timedelta, timedelta(days=-1, microseconds=1), -86_399_999_999),
    (Decimal, Decimal("1.50"), "1.50"),
    (UUID, SOME_UUID, "12345678-1234-5678-1234-567812345678"),
    (Color, Color.BLUE, "blue"),
    (Level, Level.HIGH, 2),
    (Mixed, Mixed.NOTHING, "NOTHING"),
    (Rights, Rights.READ | Rights.WRITE, 3),
    (Literal["a", 1, True], True, True),
    (Literal[1, True], 1, 1),
    (Literal[Color.RED, 2], Color.RED, "red"),
    (list[int], [1, 2], [1, 2]),
    (list, [1, "a", [None]], [1, "a", [None]]),
    (tuple[int, str], (1, "a"), [1, "a"]),
    (tuple[int, ...], (1, 2, 3), [1, 2, 3]),
    (tuple[()], (), []),
    (tuple, (1, "a"), [1, "a"]),
    (set[int], {7}, [7]),
    (frozenset[tuple[int, int]], frozenset({(1, 2)}), [[1, 2]]),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (dict[bytes, int], {b"a": 1}, {b"a": 1}),
    (dict[date, int], {date(2024, 1, 2): 1}, {"2024-01-02": 1}),
    (dict[Color, int], {Color.RED: 1}, {"red": 1}),
    (dict[int, str], {1: "a", -2: "b"}, [[1, "a"], [-2, "b"]]),
    (dict[tuple[int, int], int], {(1, 2): 3}, [[[1, 2], 3]]),
    (set[int | list[int]], {7}, [7]),
    (dict[tuple[frozenset[int], ...], int], {(frozenset({1}),): 2}, [[[[1]], 2]]),
    (dict, {"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
    (Any, {"a": [1, 2.5, "x", b"y", None, True]}, {"a": [1, 2.5, "x", b"y", None, True]}),
    (object, [1], [1]),
    (int | str, "a", "a"),
    (int | float, 1, 1),
    (int | float, 1.0, 1.0),
    (bool | int, True, True),
    (Optional[date], None, None),  # noqa: UP045
    (Union[date, int, list[int]], [1], [1]),  # noqa: UP007
    (Color | int | None, Color.RED, "red"),
    (list[int | None], [1, None], [1, None]),
    (Annotated[int, "metres"], 1, 1),
    (Final[int], 1, 1),
    (Kelvin, 2.5, 2.5),
    (Annotated[Kelvin, "noon"] | None, 2.5, 2.5),
    (Alias, None, None),
    (Point, Point(1, 2), {"x": 1, "y": 2}),
    (Point | None, Point(1, 2), {"x": 1, "y": 2}),
    (Point | list[Point], [Point(1)], [{"x": 1, "y": 0}]),
    (Red, Red(Color.RED), {"color": "red"}),
    (Circle | Square, Square("rectangle", 1), {"Square": {"kind": "rectangle", "size": 1}}),
    (Named | Leaf | str, Leaf(1), {"Leaf": {"value": 1}}),
    (Named | Leaf | str, "Leaf", "Leaf"),
    (Node, Node(1, Node(2)), {"value": 1, "next": {"value": 2, "next": None}}),
    (list[Node], [Node(1)], [{"value": 1, "next": None}]),
    (Sum, Sum(Leaf(1), Leaf(2)), {"left": {"Leaf": {"value": 1}}, "right": {"Leaf": {"value": 2}}}),
    (Quoted, Quoted([Point(1)]), {"parts": [{"x": 1, "y": 0}]}),
    (Page[int], Page(1, [2]), {"first": 1, "items": [2], "more": None}),
    (list[Page[str]], [Page("a", [], {"b": "c"})], [{"first": "a", "items": [], "more": {"b": "c"}}]),
    (Private, Private(1, 2), {"_hidden": 1, "public": 2}),
    (Computed, Computed(2), {"x": 2}),
    (Converted, Converted(" a "), {"name": "a"}),
    (KeywordsOnly, KeywordsOnly(a=1), {"a": 1, "b": 2}),
]


@pytest.mark.parametrize(("type_", "value", "plain"), ROUND_TRIPS)
def test_types_travel_as_documented(type_: Any, value: object, plain: object) -> None:
    """A value of each type travels as the plain item that the documentation says."""
    item = cbor2.loads(encode_as(value, type_))
    assert (item, type(item)) == (plain, type(plain))


@pytest.mark.parametrize(("type_", "value", "plain"), ROUND_TRIPS)
def test_values_come_back(type_: Any, value: object, plain: object) -> None:
    """A decoded value equals the encoded one and is of its type."""
    decoded = decode(encode_as(value, type_), type_)
    assert (decoded, type(decoded)) == (value, type(value))


def test_nan_travels() -> None:
    """NaN comes back as NaN."""
    assert math.isnan(decode(encode_as(math.nan, float), float))


def test_an_int_becomes_the_float_that_is_asked_for() -> None:
    """An int in a float field is sent as a float."""
    assert repr(decode(encode_as([1], list[float]), list[float])) == "[1.0]"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_element_of_another_class_is_told_from_the_rest(place: int) -> None:
    """Among elements that travel as they are, one that does not is converted, or refused at its place."""
    numbers: list[Any] = [0.5, 1.5, 2.5]
    numbers[place] = 7
    assert repr(decode(encode_as(numbers, list[float]), list[float])) == repr([float(number) for number in numbers])
    assert repr(decode(cbor2.dumps(numbers), tuple[float, ...])) == repr(tuple(map(float, numbers)))
    numbers[place] = True
    for refused in (lambda: encode_as(numbers, list[float]), lambda: decode(cbor2.dumps(numbers), list[float])):
        with pytest.raises(MalformedMessage, match=rf"\[{place}\]: expected float, got bool"):
            refused()


def test_foreign_ints_are_floats_where_floats_are_asked_for() -> None:
    """An int that another program sent for a float is taken for one."""
    assert repr(decode(cbor2.dumps([1, None]), list[float | None])) == "[1.0, None]"


@pytest.mark.parametrize("type_", [Gain, Gain | None, dict[Gain, str], Literal[Gain.FULL], Literal["a", Gain.FULL]])
def test_foreign_ints_are_members_of_an_enum_of_floats(type_: Any) -> None:
    """They are so wherever the enumeration stands."""
    plain, expected = ([[1, "a"]], {Gain.FULL: "a"}) if get_origin(type_) is dict else (1, Gain.FULL)
    assert decode(cbor2.dumps(plain), type_) == expected


@pytest.mark.parametrize("type_", [Gain, Literal[Gain.HUGE]])
def test_ints_that_may_be_another_number_as_a_float_are_no_members(type_: Any) -> None:
    """An int beyond 2**53 is refused, as it is for a float."""
    with pytest.raises(MalformedMessage):
        decode(cbor2.dumps(2**60), type_)


def test_an_aware_datetime_keeps_its_offset() -> None:
    """Of a zone with a name the offset arrives."""
    moment = datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert decode(encode_as(moment, datetime), datetime).tzinfo == timezone(timedelta(hours=2))


@pytest.mark.parametrize("fold", [0, 1])
def test_a_datetime_of_an_hour_that_is_there_twice_is_the_same_instant(fold: int) -> None:
    """When clocks are put back, the offset tells which of two hours it is, although Python takes both for unequal."""
    moment = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold)
    decoded = decode(encode_as(moment, datetime), datetime)
    assert (decoded.timestamp(), decoded.utcoffset()) == (moment.timestamp(), timedelta(hours=2 - fold))
    assert decoded != moment


def test_fields_may_have_any_name() -> None:
    """No field name collides with what the generated code uses."""
    body = Awkward(*range(14))
    assert decode(encode(body), Awkward) == body


# --- what senders are refused


class Local(tzinfo):
    def utcoffset(self, _when: datetime | None) -> timedelta:
        raise OSError("no clock")

    dst = tzname = utcoffset  # type: ignore[assignment]


REFUSED_VALUES: list[tuple[Any, object, str]] = [
    (int, "1", "int: expected int, got str"),
    (int, True, "int: expected int, got bool"),
    (int, 2**64, "int: an int of more than 64 bits cannot travel"),
    (int, -(2**64) - 1, "int: an int of more than 64 bits cannot travel"),
    (bool, 1, "bool: expected bool, got int"),
    (float, True, "float: expected float, got bool"),
    (float, 2**53 + 1, "float: an int beyond 2**53 is too large for a float"),
    (float, -(10**400), "float: an int beyond 2**53 is too large for a float"),
    (float | None, 2**53 + 1, "float | None: an int beyond 2**53 is too large for a float"),
    (str, 1, "str: expected str, got int"),
    (str, "\ud800", "str: a str with a lone surrogate cannot travel"),
    (bytes, bytearray(b"a"), "bytes: expected bytes, got bytearray"),
    (None, 0, "None: expected None, got int"),
    (date, datetime(2024, 1, 1, tzinfo=UTC), "date: expected date, got datetime"),
    (datetime, date(2024, 1, 1), "datetime: expected datetime, got date"),
    (datetime, datetime(2024, 1, 1, tzinfo=Local()), "datetime: OSError: no clock"),
    (datetime, datetime(2024, 1, 1, tzinfo=FINE), "datetime: an offset of a fraction of a second cannot travel"),
    (time, time(1, tzinfo=FINE), "time: an offset of a fraction of a second cannot travel"),
    (timedelta, timedelta.max, "timedelta: an int of more than 64 bits cannot travel"),
    (Color, "red", "Color: expected Color, got str"),
    (Literal["a", "b"], "c", "Literal['a', 'b']: expected Literal['a', 'b'], got another str"),
    (Literal[1], True, "Literal[1]: expected Literal[1], got another bool"),
    (Literal["a.b"], [], "Literal['a.b']: expected Literal['a.b'], got another list"),
    (Literal[Color.RED, 1], "red", "Literal[Color.RED, 1]: expected Literal[Color.RED, 1], got another str"),
    (bytes | None, 1, "bytes | None: expected bytes | None, got int"),
    (None | bytes, 1, "bytes | None: expected bytes | None, got int"),
    (Optional[bytes], 1, "bytes | None: expected bytes | None, got int"),  # noqa: UP045
    (list[Union[bytes, int, None]], ["a"], "list[bytes | int | None][0]: expected bytes | int | None, got str"),  # noqa: UP007
    (list[int], (1,), "list[int]: expected list, got tuple"),
    (list[int], [1, 2, "x"], "list[int][2]: expected int, got str"),
    (tuple[int, ...], [1], "tuple[int, ...]: expected tuple, got list"),
    (tuple[int, ...], (1, "x"), "tuple[int, ...][1]: expected int, got str"),
    (tuple[int, str], (1, 2), "tuple[int, str][1]: expected str, got int"),
    (tuple[int, str], (1,), "tuple[int, str]: expected 2 elements, got 1"),
    (tuple[int, str], [1, "a"], "tuple[int, str]: expected tuple, got list"),
    (set[int], frozenset({1}), "set[int]: expected set, got frozenset"),
    (set[int], {"x"}, "set[int][0]: expected int, got str"),
    (dict[str, int], [], "dict[str, int]: expected dict, got list"),
    (dict[str, int], collections.OrderedDict(a=1), "dict[str, int]: expected dict, got OrderedDict"),
    (dict[str, int], {"a": 1, "b": "x"}, "dict[str, int]['b']: expected int, got str"),
    (dict[str, int], {1: 1}, "dict[str, int][1]: expected str, got int"),
    (dict[int, int], {1: "x"}, "dict[int, int][1]: expected int, got str"),
    (Any, (1,), "Any: expected a plain value, got tuple"),
    (Any, [{"a": [object()]}], "Any[0]['a'][0]: expected a plain value, got object"),
    (Any, {1: 1}, "Any[1]: expected str, got int"),
    (int | str, None, "int | str: expected int | str, got None"),
    (int | str, True, "int | str: expected int | str, got bool"),
    (Point, Leaf(1), "Point: expected Point, got Leaf"),
    (Point, {"x": 1}, "Point: expected Point, got dict"),
    (list[Point], [Point(1), Point(2, "x")], "list[Point][1].y: expected int, got str"),  # type: ignore[arg-type]
    (Node, Node(1, Node(2, Node("x"))), "Node.next.next.value: expected int, got str"),  # type: ignore[arg-type]
    (Node, Node(1, "x"), "Node.next: expected Node | None, got str"),  # type: ignore[arg-type]
    (Tree, Tree([Tree([]), Tree([], {"a": 1})]), "Tree.children[1].by_name['a']: expected Tree, got int"),  # type: ignore[dict-item]
    (Circle | Square, Point(1), "Circle | Square: expected Circle | Square, got Point"),
    (Page[int], Page[Any]("a", [1]), "Page[int].first: expected int, got str"),
    (Page[int], Page(1, [1, "a"]), "Page[int].items[1]: expected int, got str"),
    (Quoted, Quoted([1]), "Quoted.parts[0]: expected Point, got int"),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("type_", "value", "text"), REFUSED_VALUES)
def test_what_is_not_of_its_type_is_not_sent(type_: Any, value: object, text: str) -> None:
    """A value that would not come back as it is, is refused, and the text leads to it."""
    with pytest.raises(MalformedMessage) as caught:
        encode_as(value, type_)
    assert str(caught.value) == text


def test_a_value_that_was_never_initialised_is_not_sent() -> None:
    """An instance without its fields is refused as any other value that does not fit."""
    with pytest.raises(MalformedMessage, match=r"^Point: AttributeError: "):
        encode(Point.__new__(Point))


def test_a_failing_value_deep_inside_is_located() -> None:
    """Whatever a value raises while it is written is told with its place."""
    rich = attrs.make_class("Event", {"when": field(type=list[datetime])}, frozen=True)
    with pytest.raises(MalformedMessage, match=r"^Event\.when: OSError: no clock$"):
        encode(rich([datetime(2024, 1, 1, tzinfo=Local())]))


# --- what receivers are spared


REFUSED_PLAIN: list[tuple[Any, object, str]] = [
    (int, "1", "int: expected int, got str"),
    (int, 1.0, "int: expected int, got float"),
    (int, True, "int: expected int, got bool"),
    (float, "1", "float: expected float, got str"),
    (float, 2**53 + 1, "float: an int beyond 2**53 is too large for a float"),
    (str, b"a", "str: expected str, got bytes"),
    (bytes, "a", "bytes: expected bytes, got str"),
    (None, 0, "None: expected None, got int"),
    (datetime, 0, "datetime: expected datetime as str, got int"),
    (datetime, "yesterday", "datetime: this str is no datetime"),
    (date, "2024-02-30", "date: this str is no date"),
    (Decimal, "1e", "Decimal: this str is no Decimal"),
    (UUID, "1", "UUID: this str is no UUID"),
    (Color, "green", "Color: this str is no Color, whose values are 'red', 'blue'"),
    (Color, ["red"], "Color: expected Color as str, got list"),
    (Level, True, "Level: expected Level as int, got bool"),
    (Level, 3, "Level: this int is no Level, whose values are 1, 2"),
    (Rights, 4, "Rights: this int is no Rights, whose values are 1, 2"),
    (list[Color | int], [1, "green"], "list[Color | int][1]: this str is no Color, whose values are 'red', 'blue'"),
    (Mixed, "one", "Mixed: this str is no Mixed, whose values are 'NUMBER', 'TEXT', 'NOTHING'"),
    (Mixed, 1, "Mixed: expected Mixed as str, got int"),
    (Literal["a"], "b", "Literal['a']: expected Literal['a'], got another str"),
    (Literal["a"], [], "Literal['a']: expected Literal['a'], got another list"),
    (list[int], "abc", "list[int]: expected list, got str"),
    (list[int], [1, None], "list[int][1]: expected int, got None"),
    (tuple[int, ...], {}, "tuple[int, ...]: expected tuple as list, got dict"),
    (tuple[int, str], [1], "tuple[int, str]: expected 2 elements, got 1"),
    (tuple[int, str], "ab", "tuple[int, str]: expected tuple as list, got str"),
    (set[int], [1, 2, 1], "set[int]: an element occurs twice"),
    (dict[str, int], [], "dict[str, int]: expected dict, got list"),
    (dict[str, int], {"a": 1, b"b": 1}, "dict[str, int][b'b']: expected str, got bytes"),
    (dict[Decimal, int], {"1": 1, "1.0": 1}, "dict[Decimal, int]: a key occurs twice"),
    (dict[int, int], {}, "dict[int, int]: expected dict as list, got dict"),
    (dict[int, int], [[1, 1], [2]], "dict[int, int]: expected pairs of a key and a value"),
    (dict[int, int], [[1, 1], "ab"], "dict[int, int]: expected pairs of a key and a value"),
    (dict[int, int], [[1, 1], [1, 2]], "dict[int, int]: a key occurs twice"),
    (set[Any], [[1]], "set[Any]: TypeError: unhashable type: 'list'"),
    (Any, {b"a": 1}, "Any[b'a']: expected str, got bytes"),
    (Any, [cbor2.undefined], "Any[0]: expected a plain value, got UndefinedType"),
    (Any, [cbor2.CBORSimpleValue(99)], "Any[0]: expected a plain value, got CBORSimpleValue"),
    (int | str, None, "int | str: expected int | str, got None"),
    (Point, [1, 2], "Point: expected Point as dict, got list"),
    (AllDefaults, ["x"], "AllDefaults: expected AllDefaults as dict, got list"),
    (Point, {"y": 1}, "Point.x: is missing"),
    (list[Point], [{"x": 1}, {"x": 1, "y": None}], "list[Point][1].y: expected int, got None"),
    (Node, {"value": 1, "next": {"next": None}}, "Node.next.value: is missing"),
    (Checked, {"x": 0}, "Checked: ValueError: 'x' must be > 0: 0"),
    (list[Checked], [{"x": 1}, {"x": 0}], "list[Checked][1]: ValueError: 'x' must be > 0: 0"),
]


@pytest.mark.parametrize(("type_", "plain", "text"), REFUSED_PLAIN)
def test_what_does_not_fit_is_not_received(type_: Any, plain: object, text: str) -> None:
    """A plain item that is none of the type is refused, and the text leads to it."""
    with pytest.raises(MalformedMessage) as caught:
        decode(cbor2.dumps(plain), type_)
    assert str(caught.value) == text


def test_a_receiver_ignores_fields_that_it_does_not_know() -> None:
    """A newer sender may send more fields."""
    assert decode(cbor2.dumps({"x": 1, "z": 3}), Point) == Point(1)


def test_a_receiver_fills_in_defaults() -> None:
    """An older sender may lack fields that have a default."""
    assert decode(cbor2.dumps({"value": 1}), Node) == Node(1)


def test_a_field_that_init_does_not_take_is_computed_by_the_receiver() -> None:
    """What a sender says of such a field does not count."""
    assert decode(cbor2.dumps({"x": 2, "double": 7}), Computed).double == 4


ALIKE: Final = [list(choice) for choice in itertools.product([number * (2**61 - 1) for number in range(8)], repeat=3)]
"""Tuples of ints, when they are read, whose hashes are the same: those of ints have no secret."""


@pytest.mark.parametrize(
    ("type_", "plain"),
    [
        (set[tuple[int, int, int]], ALIKE),
        (frozenset[tuple[int, ...]], ALIKE),
        (dict[tuple[int, ...], None], [[key, None] for key in ALIKE]),
    ],
    ids=["set", "frozenset", "dict"],
)
def test_elements_that_are_made_to_collide_are_refused(type_: Any, plain: list[object]) -> None:
    """A set or dict whose elements have one hash takes the square of its time, so it is made neither here nor there."""
    with pytest.raises(MalformedMessage, match="more than 64 elements have one hash"):
        decode(cbor2.dumps(plain), type_)
    few = decode(cbor2.dumps(plain[:64]), type_)
    assert len(few) == 64
    assert decode(encode_as(few, type_), type_) == few
    many = dict.fromkeys(map(tuple, ALIKE)) if isinstance(few, dict) else type(few)(map(tuple, ALIKE))
    with pytest.raises(MalformedMessage, match="more than 64 elements have one hash"):
        encode_as(many, type_)


def test_a_large_set_of_numbers_travels() -> None:
    """Hashes that nobody has made alike are no hindrance."""
    assert decode(encode_as(set(range(10_000)), set[int]), set[int]) == set(range(10_000))


def test_reading_stops_at_the_first_flaw() -> None:
    """A hostile payload costs no more than what precedes its first flaw."""
    seen = []
    counted = attrs.make_class("Counted", {"x": field(type=int, validator=lambda *_: seen.append(1))}, frozen=True)
    with pytest.raises(MalformedMessage, match=r"\[2\]\.x: expected int"):
        decode(cbor2.dumps([{"x": 1}] * 2 + [{"x": None}] * 1000), list[counted])  # type: ignore[valid-type]
    assert len(seen) == 2


# --- types that cannot travel


@frozen
class Unknown:
    x: Missing  # type: ignore[name-defined] # noqa: F821


@frozen
class Outer:
    inner: Inner
    number: complex


@frozen
class Inner:
    outer: Outer | None


class Undecorated:
    x: int


class UndecoratedChild(Point):
    z: int


Untyped = attrs.make_class("Untyped", ["x"])

UNSUPPORTED: list[tuple[Any, str]] = [
    (Undecorated, "Undecorated is neither an attrs class nor a supported type: decorate it with @attrs.frozen"),
    (UndecoratedChild, "UndecoratedChild is neither .*: decorate it with @attrs.frozen"),
    (complex, "complex is neither"),
    (Sequence[int], r"^Sequence\[int\] is neither"),
    (Mapping[str, int], r"^Mapping\[str, int\] is neither"),
    (collections.deque[int], r"^deque\[int\] is neither"),
    (tuple[int, *tuple[str, ...]], r"^\*tuple\[str, \.\.\.\] is neither"),
    (T, "~T is neither"),
    (
        set[list[int]],
        r"^set\[list\[int\]\] is always empty, for list\[int\] cannot be hashed: tuples and frozensets can",
    ),
    (frozenset[tuple[int, list[int]]], "cannot be hashed"),
    (set[tuple[set[int], ...]], "cannot be hashed"),
    (set[dict[str, int] | list[int]], "cannot be hashed"),
    (set[Computed], r"for Computed cannot be hashed: .* classes with @attrs\.frozen$"),
    (dict[list[int], int], r"^dict\[list\[int\], int\] is always empty, for list\[int\] cannot be hashed"),
    (dict[Mutable[str] | AlsoMutable, int], "cannot be hashed"),
    (dict[Mutable[int], int], "cannot be hashed"),
    (set[Opaque], "cannot be hashed"),
    ("Point", "^Point is neither"),
    (Untyped, r"Untyped\.x has no annotation"),
    (Outer, r"Outer\.number: complex is neither"),
    (list[Outer], r"Outer\.number: complex is neither"),
    (Unknown, r"^Unknown\.x: name 'Missing' is not defined; names are looked for in "),
    (date | str, r"two members of date \| str look alike on the wire"),
    (Color | Literal["a"], "look alike on the wire"),
    (Literal["red", Color.RED], "two values of Literal.* look alike on the wire: leave one of them out"),
    (Literal[Level.LOW, 1], "two values of Literal.* look alike on the wire"),
    (list[Literal[Color.RED, Paint.RED]], "two values of Literal.* look alike on the wire"),
    (list[int] | tuple[int, ...], "look alike on the wire"),
    (Point | dict[str, int], "look alike on the wire"),
    (Any | None, "look alike on the wire"),
    (Circle | Literal["a"] | Undecorated, "Undecorated is neither"),
]


@pytest.mark.parametrize(("type_", "text"), UNSUPPORTED)
def test_types_that_cannot_travel_are_found_on_first_use(type_: Any, text: str) -> None:
    """A type that cannot travel is a TypeError, before there is a value of it."""
    with pytest.raises(TypeError, match=text):
        adapter_of(type_)


def test_encoding_and_decoding_prepare() -> None:
    """A type that cannot travel is a TypeError wherever it is used."""
    for use in (lambda: encode(Undecorated()), lambda: encode_as(1, complex), lambda: decode(b"", complex)):
        with pytest.raises(TypeError, match="is neither an attrs class nor a supported type"):
            use()


def test_what_failed_halfway_leaves_nothing_behind() -> None:
    """A class that another one, which cannot travel, was compiled with, cannot travel either."""
    for cls in (Outer, Inner, Outer):
        with pytest.raises(TypeError, match=r"Outer\.number: complex is neither"):
            adapter_of(cls)


def test_a_name_that_comes_later_is_found_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that could not be compiled is compiled once its annotations can be read."""
    module = types.ModuleType("late")
    monkeypatch.setitem(sys.modules, "late", module)
    late = attrs.make_class("Late", {"x": field(type="Later")})  # type: ignore[call-overload]
    late.__module__ = "late"
    with pytest.raises(TypeError, match=r"^Late\.x: name 'Later' is not defined; names are looked for in late "):
        adapter_of(late)
    module.Later = int  # type: ignore[attr-defined]
    assert decode(encode(late(1)), late) == late(1)


# --- the law


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
trees = st.recursive(
    st.builds(Tree, st.just([])),
    lambda inner: st.builds(Tree, st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=2)),
    max_leaves=8,
)
ints = st.integers(-(2**64), 2**64 - 1)
points = st.builds(Point, ints, ints)
offsets = st.none() | st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))


def unfolded(moment: Moment) -> Moment:
    """Take away what tells the second of two equal hours of a naive clock: it neither travels nor compares."""
    return moment.replace(fold=0)


attrs.resolve_types(Rich)  # Hypothesis does not
riches = st.builds(
    Rich,
    number=ints,
    real=st.floats(allow_nan=False),
    raw=st.binary(),
    when=st.datetimes(timezones=offsets).map(unfolded),
    clock=st.times(timezones=offsets).map(unfolded),
    delta=st.timedeltas(timedelta(days=-(10**8)), timedelta(days=10**8)),
    price=st.decimals(allow_nan=False),
    rights=st.sampled_from([Rights(0), Rights.READ, Rights.WRITE, Rights.READ | Rights.WRITE]),
    literal=st.sampled_from(["a", 1, True, Color.RED]),
    points=st.lists(points, max_size=3),
    pair=st.tuples(ints, st.text()),
    numbers=st.lists(st.floats(allow_nan=False), max_size=3).map(tuple),
    words=st.sets(st.text(), max_size=3),
    days=st.frozensets(st.dates(), max_size=3),
    by_name=st.dictionaries(st.text(), points, max_size=3),
    by_number=st.dictionaries(ints, st.lists(ints, max_size=2), max_size=3),
    by_color=st.dictionaries(st.sampled_from(Color), ints),
    maybe=st.none() | points,
    primitive=ints | st.text() | st.booleans() | st.floats(allow_nan=False) | st.binary() | st.none(),
    shape=st.builds(Circle, st.just("circle"), ints)
    | st.builds(Square, st.sampled_from(["square", "rectangle"]), ints),
    named=points | st.builds(Named, st.text(), ints) | st.builds(Renamed, st.text(), st.text(), ints) | st.none(),
    tree=trees,
    anything=plain_values,
    page=st.builds(Page, ints, st.lists(ints, max_size=2), st.none() | st.dictionaries(st.text(), ints, max_size=2)),
)


@given(riches)
@steady(150)
def test_decoding_undoes_encoding(value: Rich) -> None:
    """A message of every kind of field comes back equal, the types of its values included."""
    decoded = decode(encode(value), Rich)
    assert decoded == value
    assert repr(decoded) == repr(value) or any(len(group) > 1 for group in (value.words, value.days))
