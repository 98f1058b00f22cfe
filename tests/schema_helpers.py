"""For the tests of schemas: pairs of types, of which the second may be a newer version, and values of each."""

from __future__ import annotations

import enum
import gzip
import json
import math
import types
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache, partial, reduce
from inspect import get_annotations
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from itertools import product
from operator import or_
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin
from uuid import UUID

import attrs
from hypothesis import strategies as st
from jsonschema import Draft7Validator

import t2bus
from t2bus.protocol.compiler import adapter_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Draw: TypeAlias = "Callable[[st.SearchStrategy[Any]], Any]"
Pair: TypeAlias = "tuple[Any, Any]"


class Tag:
    """A class of a library, which takes texts with a mark only."""

    def __init__(self, text: str) -> None:
        if not text.startswith("tag:"):
            raise ValueError("no tag")
        self.text = text

    def __str__(self) -> str:
        return self.text


class Wave:
    """Another, which takes lists with a mark only."""

    def __init__(self, samples: list[float]) -> None:
        if samples[:1] != [42.5]:
            raise ValueError("no wave")
        self.samples = samples


t2bus.register_scalar(Tag, str, Tag)
t2bus.register_scalar(Wave, lambda wave: wave.samples, Wave, wire=list[float])


def _enum(base: Any, name: str, **members: Any) -> Any:
    return base(name, members)


class Real(float, enum.Enum):
    """A base of enumerations of floats."""


class Tuple(tuple[Any, ...], enum.Enum):  # noqa: SLOT001
    """A base of enumerations of tuples."""


class Record(dict[str, Any], enum.Enum):  # type: ignore[misc] # a dict has no hash
    """A base of enumerations of dicts."""


ENUMS = [
    _enum(enum.Enum, "Color", RED="red", BLUE="blue"),
    _enum(enum.Enum, "Color", RED="red", BLUE="blue", GREEN="green"),
    _enum(enum.Enum, "Level", LOW=1, HIGH=2),
    _enum(enum.Enum, "Level", LOW=1, HIGH=2, TALL=2),
    _enum(enum.Enum, "Level", LOW=1, HIGH=2, TALL=3),
    _enum(enum.IntEnum, "Number", ONE=1, TWO=2),
    _enum(enum.IntEnum, "Number", ONE=1, TWO=2, THREE=3),
    _enum(Real, "Gain", HALF=0.5, FULL=1.0),
    _enum(Real, "Gain", ONE=1.0, MOST=math.inf),
    _enum(Tuple, "Size", SMALL=(640, 480), NONE=()),
    _enum(Tuple, "Size", SMALL=(640, 480), LARGE=(1, None, "x")),
    _enum(enum.Flag, "Rights", R=1, W=2),
    _enum(enum.Flag, "Rights", R=1, W=2, X=4),
    _enum(enum.IntFlag, "Rights", R=1, W=2),
    _enum(Record, "Kind", FIRST={"A": {}}, SECOND={"x": [None, 1]}),
    _enum(Record, "Kind", FIRST={"A": {}}, SECOND={"x": 1}),
]

VALUES: dict[Any, list[Any]] = {
    None: [None],
    bool: [False, True],
    int: [0, 1, 3, -1, 2**53, 2**53 + 1, 2**64 - 1, -(2**64)],
    float: [0.5, 1.0, -math.inf],
    str: ["", "x", "y", "z", "renamed", "./x", "A", "red", "2024-02-29", "\N{SNOWMAN}"],
    bytes: [b"", b"x", b"\xff"],
    datetime: [datetime(2024, 2, 29), datetime(1, 1, 1, 2, 3, 4, 5, tzinfo=UTC)],  # noqa: DTZ001 -- it may have none
    date: [date(2024, 2, 29), date(1, 1, 1)],
    time: [time(12, 30), time(1, 2, 3, 4, tzinfo=UTC)],
    timedelta: [
        timedelta(0),
        *(timedelta(microseconds=each) for each in (1, 3, -1)),
        timedelta(days=10**6, microseconds=1),
    ],
    Decimal: [Decimal("1.50"), Decimal("1E+5"), Decimal(2)],
    Fraction: [Fraction(1, 3), Fraction(2)],
    UUID: [UUID(int=0), UUID(int=2**128 - 1)],
    Path: [Path("x"), Path("/x/y"), Path("X")],
    PureWindowsPath: [PureWindowsPath("c:/x"), PureWindowsPath("y")],
    IPv4Address: [IPv4Address("1.2.3.4"), IPv4Address("0.0.0.0")],
    IPv4Network: [IPv4Network("10.0.0.0/8"), IPv4Network("1.2.3.4")],
    IPv4Interface: [IPv4Interface("10.0.0.1/8"), IPv4Interface("1.2.3.4")],
    IPv6Address: [IPv6Address("::1"), IPv6Address("fe80::1%eth0")],
    IPv6Network: [IPv6Network("fe80::/10"), IPv6Network("::1")],
    IPv6Interface: [IPv6Interface("fe80::1/10"), IPv6Interface("::1")],
    Any: [None, True, 2**60 + 1, 0.5, "x", b"x", [1, ["x"]], [], {"x": None}, {}],
    Tag: [Tag("tag:a")],
    Wave: [Wave([42.5]), Wave([42.5, 1.0])],
}

LITERALS = [
    Literal["a"],
    Literal["a", "b"],
    Literal["x", 1],
    Literal[True, "a"],
    Literal[b"a", "a"],
    Literal["red", "blue"],
    Literal[1, 2**60 + 1],
]

UNHASHABLE = [Any, Tag, Wave, *ENUMS[-2:]]
LEAVES = [*VALUES, *ENUMS, *LITERALS]
HASHABLE = [leaf for leaf in LEAVES if leaf not in UNHASHABLE]
NAMES = ("x", "y", "z")

NOWHERE = "made_while_it_runs"
"""The module of classes that are made: none has their source."""


def values_of(type_: Any) -> list[Any]:
    """Return values of a type, of each part at least one that is like no other."""
    if type_ in VALUES:
        return VALUES[type_]
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is Literal:
        return list(arguments)
    if origin in (types.UnionType, Union):
        return [value for argument in arguments for value in values_of(None if argument is type(None) else argument)]
    if isinstance(type_, type) and issubclass(type_, enum.Flag):
        more = [type_(2**60 + 1)] if issubclass(type_, enum.IntFlag) else []
        return [type_(0), *type_, reduce(or_, type_), *more]
    if isinstance(type_, type) and issubclass(type_, enum.Enum):
        return list(type_)
    if attrs.has(type_):
        return _instances(type_)
    if origin is dict:
        keys, parts = map(values_of, arguments)
        singles = [{key: parts[0]} for key in keys]
        return [{}, *[dict.fromkeys(keys, part) for part in parts], *singles]
    if origin is tuple and ... not in arguments:
        return _varied([values_of(argument) for argument in arguments], lambda *parts: parts)
    parts = values_of(arguments[0])
    return [origin(), origin(parts), origin([parts[0], parts[0]]), *(origin([part]) for part in parts)]


def _instances(cls: Any) -> list[Any]:
    return _varied([values_of(kind) for kind in get_annotations(cls, eval_str=True).values()], cls)


def _varied(columns: list[list[Any]], make: Any) -> list[Any]:
    """Make something of the first of each, and with each other one in its place."""
    first = [column[0] for column in columns]
    found = [make(*first)]
    for at, column in enumerate(columns):
        found += [make(*first[:at], value, *first[at + 1 :]) for value in column[1:]]
    return found


# --- pairs of types


@st.composite
def pairs(draw: Draw) -> Pair:
    """Draw two types, which are often alike."""
    return _pair(draw, 3, hashable=False)


def _pair(draw: Draw, depth: int, *, hashable: bool) -> Pair:
    kind = draw(st.sampled_from(["same", "same", "alike", "alike", "alike", "other"]))
    if kind == "other":
        return _pair_apart(draw, depth, hashable=hashable)
    if depth == 0 or draw(st.booleans()):
        leaf = draw(st.sampled_from(HASHABLE if hashable else LEAVES))
        if kind == "same" or leaf is None:
            return leaf, leaf
        others = [each for each in (HASHABLE if hashable else LEAVES) if _is_like(each, leaf)]
        return leaf, draw(st.sampled_from(others or [leaf]))
    made: Pair = draw(st.sampled_from(_CONTAINERS))(draw, depth - 1, hashable=hashable)
    return made


def _is_like(one: Any, other: Any) -> bool:
    return getattr(one, "__name__", "") == getattr(other, "__name__", "")


def _pair_apart(draw: Draw, depth: int, *, hashable: bool) -> Pair:
    one, _ = _pair_alike(draw, depth, hashable=hashable)
    _, other = _pair_alike(draw, depth, hashable=hashable)
    return one, other


def _pair_alike(draw: Draw, depth: int, *, hashable: bool) -> Pair:
    if depth == 0 or draw(st.booleans()):
        leaf = draw(st.sampled_from(HASHABLE if hashable else LEAVES))
        return leaf, leaf
    made: Pair = draw(st.sampled_from(_CONTAINERS))(draw, depth - 1, hashable=hashable)
    return made


def _array(draw: Draw, depth: int, *, hashable: bool) -> Pair:
    kinds = ["frozenset", "tuple"] if hashable else ["list", "set", "frozenset", "tuple"]
    one = draw(st.sampled_from(kinds))
    other = draw(st.sampled_from([one, one, *kinds]))
    needs = hashable or {one, other} & {"set", "frozenset"}
    first, second = _pair(draw, depth, hashable=bool(needs))
    return _array_of(one, first), _array_of(other, second)


def _array_of(kind: str, part: Any) -> Any:
    kinds: dict[str, Any] = {"list": list, "set": set, "frozenset": frozenset}
    return kinds[kind][part] if kind != "tuple" else tuple[part, ...]


def _tuple(draw: Draw, depth: int, *, hashable: bool) -> Pair:
    parts = [_pair(draw, depth, hashable=hashable) for _ in range(draw(st.integers(0, 3)))]
    first, second = (tuple(part[side] for part in parts) for side in (0, 1))
    if parts and draw(st.integers(0, 3)) == 0:
        second = second[:-1]
    kind: Any = tuple
    return kind[first], kind[second]


def _dict(draw: Draw, depth: int, *, hashable: bool) -> Pair:
    if hashable:
        return _tuple(draw, depth, hashable=True)
    keys = _pair(draw, depth, hashable=True) if draw(st.booleans()) else (str, str)
    parts = _pair(draw, depth, hashable=False)
    kind: Any = dict
    return kind[keys[0], parts[0]], kind[keys[1], parts[1]]


def _union(draw: Draw, depth: int, *, hashable: bool) -> Pair:
    members = [_pair(draw, depth, hashable=hashable) for _ in range(draw(st.integers(1, 3)))]
    first, second = ([member[side] for member in members] for side in (0, 1))
    if draw(st.booleans()):
        first.append(None)
    if draw(st.booleans()):
        second.append(None)
    if len(second) > 1 and draw(st.integers(0, 3)) == 0:
        second.pop(0)
    return _union_of(first), _union_of(second)


def _union_of(members: Iterable[Any]) -> Any:
    if Any in members:
        return Any
    members = [type(None) if member is None else member for member in members]
    union = reduce(or_, members)
    return None if union is type(None) else union


def _class(draw: Draw, depth: int, *, hashable: bool) -> Pair:
    name = draw(st.sampled_from("AB"))
    shape = draw(st.sampled_from(["", "", "", "as_array", "transparent"]))
    fields: list[tuple[str, Pair, bool, bool]] = []
    names = NAMES[:1] if shape == "transparent" else NAMES[: draw(st.integers(0, 3))]
    for field in names:
        part = _pair(draw, depth, hashable=hashable)
        fields.append((field, part, draw(st.booleans()), draw(st.booleans())))
    edit = draw(st.sampled_from(["none", "none", "drop", "add", "rename", "class", "shape"]))
    old = [(field, part[0], is_optional) for field, part, is_optional, _ in fields]
    new = [(field, part[1], is_optional) for field, part, _, is_optional in fields]
    other, other_shape = name, shape
    if shape != "transparent" and new:
        if edit == "drop":
            new.pop(draw(st.integers(0, len(new) - 1)))
        elif edit == "add":
            old.pop()
        elif edit == "rename":
            new[-1] = ("renamed", *new[-1][1:])
    if edit == "class":
        other = "AB"[name == "A"]
    if edit == "shape" and shape != "transparent":
        other_shape = draw(st.sampled_from(["", "as_array"]))
    return _class_of(name, shape, old), _class_of(other, other_shape, new)


def _class_of(name: str, shape: str, fields: list[tuple[str, Any, bool]]) -> Any:
    """Make an attrs class; of its fields those come first that have no default."""
    ordered = sorted(fields, key=lambda each: each[2])
    body: dict[str, Any] = {"__annotations__": {field: type_ for field, type_, _ in ordered}, "__module__": NOWHERE}
    for field, type_, is_optional in ordered:
        default: Any = attrs.Factory(partial(_first_of, type_)) if is_optional else attrs.NOTHING
        body[field] = attrs.field(default=default)
    options = {shape: True} if shape else {}
    return attrs.frozen(types.new_class(name, (t2bus.Struct,), options, lambda space: space.update(body)))


def _first_of(type_: Any) -> Any:
    return values_of(type_)[0]


_CONTAINERS: list[Any] = [_array, _tuple, _dict, _union, _class, _class, _class]


def protocol_of(type_: Any, name: str = "Message", prefix: str = "message", default: Any = attrs.NOTHING) -> Any:
    """Make a protocol with a field of this type."""
    body = {"__annotations__": {"value": type_}, "__module__": NOWHERE, "value": attrs.field(default=default)}
    cls = types.new_class(name, (t2bus.PublishProtocol,), {"prefix": prefix}, lambda space: space.update(body))
    return attrs.frozen(cls)


# --- AsyncAPI


@cache
def _of_asyncapi() -> Any:
    """Return the validator of documents of AsyncAPI 3.0.0."""
    path = Path(__file__).with_name("data") / "asyncapi-3.0.0.json.gz"
    return Draft7Validator(json.loads(gzip.decompress(path.read_bytes())))


def mistakes_in(document: Any) -> list[str]:
    """Return what the official schema of AsyncAPI has to say against a document."""
    return [f"{list(error.path)}: {error.message[:300]}" for error in _of_asyncapi().iter_errors(document)]


# --- types to be compared each with each


def _travels(type_: Any) -> bool:
    """Whether a union has no members that look alike."""
    try:
        adapter_of(type_)
    except TypeError:
        return False
    return True


SETS = [_array_of("frozenset", leaf) for leaf in HASHABLE if leaf is not None]

_FIRST = [
    _class_of("A", "", []),
    _class_of("A", "", [("x", int, True)]),
    _class_of("A", "", [("x", int, False)]),
    _class_of("A", "as_array", []),
    _class_of("A", "transparent", [("x", int, False)]),
    ENUMS[0],
    None,
]
_SECOND = [_class_of("B", "", []), _class_of("B", "", [("A", int, True)]), ENUMS[1], dict[str, int], str]

VARIANTS = [union for union in map(_union_of, product(_FIRST, _SECOND)) if _travels(union)]
"""Unions, of which some tell their classes by name."""
