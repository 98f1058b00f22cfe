"""Fuzz payloads: bytes read as each of many types, which give a value that travels, or ``MalformedMessage``."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePosixPath
from typing import Any, Literal
from uuid import UUID

import cbor2
from attrs import field, frozen

from harness import fuzz
from t2bus.errors import MalformedMessage
from t2bus.protocol.payload import decode, decode_all, decode_any, encode_as
from t2bus.wire.compression import inflate
from t2bus.wire.values import Deflated

LIMIT = 1 << 16
"""Bytes that an input may become when it is inflated."""


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@frozen
class Point:
    x: int
    y: float = 0.0


@frozen
class Circle:
    center: Point
    radius: float


@frozen
class Tree:
    name: str
    children: list[Tree] = field(factory=list)


@frozen
class Times:
    at: datetime
    day: date
    clock: time
    took: timedelta


@frozen
class Texts:
    ratio: Fraction
    price: Decimal
    key: UUID
    path: PurePosixPath
    host: IPv4Address | IPv6Address


@frozen
class Containers:
    words: dict[str, list[int]]
    pairs: dict[int, str]
    places: dict[tuple[int, str], bool]
    names: frozenset[str]
    numbers: set[int]
    raw: bytes
    maybe: Point | None
    shape: Point | Circle | Color
    level: Literal["low", "high", 3]


VALUES: list[tuple[Any, Any]] = [
    (Tree, Tree("a", [Tree("b"), Tree("c", [Tree("d")])])),
    (
        Times,
        Times(datetime(2024, 2, 29, 12, tzinfo=UTC), date(2024, 2, 29), time(1, 2, 3, 4), timedelta(seconds=-1)),
    ),
    (
        Texts,
        Texts(Fraction(1, 3), Decimal("1.50"), UUID(int=7), PurePosixPath("/var/log"), IPv6Address("::1")),
    ),
    (
        Containers,
        Containers(
            words={"a": [1, -1, 2**63], "": []},
            pairs={-1: "x", 2**61 - 1: "y"},
            places={(1, "a"): True},
            names=frozenset(["n"]),
            numbers={0, 1, 2**64 - 1},
            raw=b"\0\xff",
            maybe=Point(1, 2.5),
            shape=Circle(Point(0), float("inf")),
            level="high",
        ),
    ),
    (Any, {"k": [None, True, 1.5, b"b", "ü", {"n": {}}]}),
    (list[float], [1.0, 2.5, 1e300]),
    (tuple[int, ...], (1, 2, 3)),
]
"""Types, each with a value to begin with."""

OTHER = [0, -1, 1.5, "a", b"a", [], {}, [[[[]]]], {"a": {"b": {}}}, [1, [2]], cbor2.CBORTag(2, b"\1"), None]

SEEDS = [
    *(bytes([number]) + encode_as(value, type_) for number, (type_, value) in enumerate(VALUES)),
    *(bytes([number % len(VALUES)]) + cbor2.dumps(item) for number, item in enumerate(OTHER)),
    *(b"\0\x9f\x01\xff", b"\4\xbf\x61a\x01\xff", b"\4\xf9\x7e\x00", b"\0x\x9c\x4b\x4c\x04\0\0\xc4\0b"),
]


def is_same(one: object, other: object) -> bool:
    """Tell whether two values are equal, or show the same characters: a float that is no number equals nothing."""
    return one == other or sorted(repr(one)) == sorted(repr(other))


def run(data: bytes) -> None:
    """Read all but the first byte as the type that this chooses, as a value of any type, and inflated."""
    if not data:
        return
    type_, payload = VALUES[data[0] % len(VALUES)][0], data[1:]
    with suppress(MalformedMessage):
        decode_any(payload)
    with suppress(MalformedMessage):
        assert len(inflate(Deflated(payload), LIMIT)) <= LIMIT
    values = []
    with suppress(MalformedMessage):
        values.append(decode(payload, type_))
    both = []
    with suppress(MalformedMessage):
        both += decode_all([payload, payload], type_)
    assert len(both) == 2 * len(values), "two are read where one is"
    if not values:
        return
    (value,) = values
    assert all(is_same(each, value) for each in both)
    with suppress(MalformedMessage):  # a few values are read that are not written, such as a time zone of microseconds
        assert is_same(decode(encode_as(value, type_), type_), value)


if __name__ == "__main__":
    fuzz(run, SEEDS)
