"""What is said in the tests with Rust: the classes of ``peer/src/protocols.rs``, in Python."""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen

import t2bus
from t2bus.protocol import Struct

HEAVY: Final = "/".join(["**"] * 15)
"""A topic that costs a matcher which tries every way through it more time than it has."""
DEEP: Final = "a/b/c/d/e/f/g/h/i/j/k/l/m/n"
"""A topic of as many fragments as there is room for."""


@frozen
class Hello(t2bus.PublishProtocol, prefix="hello", transparent=True):
    text: str


@frozen
class Reading(t2bus.PublishProtocol, prefix="reading"):
    sensor: str
    value: float
    tags: list[str]
    note: str | None


@frozen
class Point(t2bus.PublishProtocol, prefix="point", as_array=True):
    x: int
    y: int


@frozen
class Started:
    pass


@frozen
class Named(Struct, transparent=True):
    name: str


@frozen
class Moved:
    x: int
    y: int


@frozen
class Event(t2bus.PublishProtocol, prefix="event", transparent=True):
    what: Started | Named | Moved


@frozen
class Count(t2bus.PublishProtocol, prefix="count"):
    number: int


@frozen
class Text(t2bus.PublishProtocol, prefix="string", transparent=True):
    """What the tool publishes below ``string/``."""

    text: str


@frozen
class Number(t2bus.PublishProtocol, prefix="f32", transparent=True):
    """What the tool publishes below ``f32/``."""

    value: float


@frozen
class Sum:
    value: int


@frozen
class Add(t2bus.RequestProtocol[Sum], prefix="add"):
    left: int
    right: int


ONE_AND_TWO: Final = '{"left": 1, "right": 2}'

BODIES: Final[list[tuple[t2bus.PublishProtocol, Any]]] = [
    (Hello("größe"), "größe"),
    (
        Reading("s1", 21.5, ["a", "b"], None),
        {"sensor": "s1", "value": 21.5, "tags": ["a", "b"], "note": None},
    ),
    (Point(-1, 1 << 40), [-1, 1 << 40]),
    (Event(Started()), "Started"),
    (Event(Named("x")), {"Named": "x"}),
    (Event(Moved(3, -4)), {"Moved": {"x": 3, "y": -4}}),
]
"""Messages, and the JSON that serde has for them."""


def kind_of(body: t2bus.PublishProtocol) -> str:
    """Return what the peers call a class."""
    return type(body).__name__.lower()


def describe(case: object) -> str:
    """Name a test after a message."""
    return repr(case).replace(" ", "")[:30] if isinstance(case, t2bus.PublishProtocol) else ""
