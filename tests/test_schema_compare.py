"""``t2bus.schema.compare``: each rule by an example, beside what happens when the one encodes and the other decodes."""

from __future__ import annotations

import enum
import json
from datetime import date, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import frozen

import t2bus
from schema_helpers import Tag, protocol_of, values_of
from t2bus.protocol import decode, encode
from t2bus.schema import compare, document


@frozen
class Point:
    x: float
    y: float


@frozen
class Circle:
    radius: float


class Places:
    """Newer versions of those above, under the same names."""

    @frozen
    class Point:
        x: float
        y: float
        z: float = 0.0

    @frozen
    class Flat:
        x: float

    @frozen
    class Circle:
        radius: float
        color: str


class Size(tuple[int, int], enum.Enum):  # noqa: SLOT001
    SMALL = (640, 480)
    LARGE = (1920, 1080)


class Sizes(tuple[int, int], enum.Enum):  # noqa: SLOT001
    SMALL = (640, 480)
    LARGE = (1920, 1080)
    WIDE = (2560, 1080)


@frozen
class Pair(t2bus.Struct, as_array=True):
    first: int
    second: int = 0


@frozen
class One(t2bus.Struct, as_array=True):
    first: int


@frozen
class Meters(t2bus.Struct, transparent=True):
    value: float


@frozen
class Tree:
    children: list[Tree]


@frozen
class Leafy:
    children: list[Leafy]
    leaf: str


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Colors(enum.Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


class Renamed(enum.Enum):
    LOW = 1
    TALL = 2
    HIGH = 2  # noqa: PIE796 -- an older name of it


class Rights(enum.Flag):
    READ = 1


class MoreRights(enum.Flag):
    READ = 1
    WRITE = 2


OK = None
KEY = ": expected one key, of Point, "
RULES = [
    # The first to the second, and what breaks; then the other way round.
    ("a field that is new needs a default", Places.Circle, Circle, OK, ".color: is missing, and has no default"),
    ("one with a default does not", Point, Places.Point, OK, OK),
    ("nor does one that goes", Places.Flat, Point, ".y: is missing, and has no default", OK),
    ("None is a type of its own", int, int | None, OK, ": expected int, got None"),
    ("an int of up to 2**53 is a float", int, float, ": an int beyond 2**53 is no float", ": expected int, got float"),
    ("so are all of a Literal", Literal[1, 2], float, OK, ": expected Literal[1, 2], got float"),
    ("a bool is no int", bool, int, ": expected int, got bool", ": expected bool, got int"),
    ("text is no bytes", str, bytes, ": expected bytes, got str", ": expected str, got bytes"),
    ("a timedelta is an int", timedelta, int, OK, OK),
    ("a date is text", date, str, OK, ": expected date, got str"),
    ("a date is a datetime", date, datetime, OK, ": expected date, got datetime"),
    ("all text is a path", str, Path, OK, OK),
    ("an address is a network", IPv4Address, IPv4Network, OK, ": expected IPv4Address, got IPv4Network"),
    ("a tuple is a list", tuple[int, ...], list[int], OK, OK),
    ("not of a fixed length", tuple[int, int], list[int], OK, ": list[int] has any number of elements"),
    ("a fixed length is fixed", tuple[int], tuple[int, int], ": expected 2 elements", ": expected 1 elements"),
    ("a set has no element twice", set[int], list[int], OK, ": an element may occur twice"),
    ("nor one that another reads so", set[Places.Point], set[Point], ": two elements may become one", OK),
    ("nor has a dict a key", dict[int, str], list[tuple[int, str]], OK, ": a key may occur twice"),
    ("keys that are ints are pairs", dict[int, str], dict[str, str], ": expected dict", ": expected dict"),
    ("a class is a dict", Point, dict[str, float], OK, ".x: is missing"),
    ("Any is everything", list[int], Any, OK, ": expected list[int], got None"),
    ("an enumeration may grow at readers", Color, Colors, OK, ": Color has no 'green'"),
    ("an enumeration of tuples may do so too", Size, Sizes, OK, ": Size has no [2560, 1080]"),
    ("and holds what equals a member", tuple[Literal[640], Literal[480]], Size, OK, "[0]: 1920 is not in Literal[640]"),
    ("but not any tuple", tuple[int, int], Size, ": expected Size[[640, 480], [1920, 1080]], got tuple[int, int]", OK),
    ("a member may have an older name", Level, Renamed, OK, ": Level has no 'TALL'"),
    ("so may flags", Rights, MoreRights, OK, ": expected Rights[READ], got MoreRights"),
    ("a Literal may grow at readers", Literal["a"], Literal["a", "b"], OK, ": 'b' is not in Literal['a']"),
    ("and is text", Literal["red", "blue"], Color, OK, OK),
    ("a union may grow at readers", int | str, int | str | bytes, OK, ": expected int | str, got bytes"),
    ("of two classes each has its name", Point, Point | Circle, KEY, ".x: is missing"),
    ("also where None was", Point | None, Point | Circle | None, KEY, ".x: is missing"),
    ("which the reader has to know", Point | Circle, Point | Places.Flat, KEY, KEY),
    ("an array may be longer at readers", One, Pair, OK, ": expected 1 elements, got 2"),
    ("an array is no map", Pair, Point, ": expected Point, got Pair", ": expected Pair, got Point"),
    ("a transparent class is its field", Meters, float, OK, OK),
    ("a registered type says what it reads", Tag, str, OK, ": whether str is read is for the decode of Tag to say"),
    ("a class may hold itself", Tree, Leafy, ".leaf: is missing", OK),
]


def values(type_: Any) -> list[Any]:
    if type_ is Tree:
        return [Tree([]), Tree([Tree([])])]
    return [Leafy([], ""), Leafy([Leafy([], "")], "")] if type_ is Leafy else values_of(type_)


def findings(old: Any, new: Any) -> Any:
    """Compare documents, as they were written to a file and read again."""
    return compare(*(json.loads(json.dumps(document(protocol))) for protocol in (old, new)))


@pytest.mark.parametrize(("old", "new", "there", "back"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_rules(old: Any, new: Any, there: str | None, back: str | None) -> None:
    """What is told of each direction is what the decoder does with values of the other version."""
    writer, reader = protocol_of(old), protocol_of(new)
    found = findings(writer, reader)
    for side, first, second, told in (("old", writer, reader, there), ("new", reader, writer, back)):
        texts = [each.text for each in found if each.breaks and each.writer == f"{side} publishers"]
        type_ = old if side == "old" else new
        if told is None:
            assert texts == []
            for value in values(type_):
                decode(encode(first(value)), second)
        else:
            assert texts[0].startswith(f"Message.value{told}"), texts
            with pytest.raises(t2bus.MalformedMessage):
                _ = [decode(encode(first(value)), second) for value in values(type_)]


# --- notes


NOTES = [
    (Places.Point, Point, "Message.value.z: is ignored"),
    (date, datetime, "Message.value: a date is read as a datetime"),
    (timedelta, int, "Message.value: a timedelta is read as an int"),
    (Renamed, Level, None),
    (Literal["HIGH"], Renamed, "Message.value: 'HIGH' is read as 'TALL'"),
]


@pytest.mark.parametrize(("old", "new", "told"), NOTES)
def test_what_is_read_otherwise_is_noted(old: Any, new: Any, told: str | None) -> None:
    """What a reader ignores, or takes for another type, is told, and breaks nothing."""
    found = [each for each in findings(protocol_of(old), protocol_of(new)) if each.writer == "old publishers"]
    assert [each.text for each in found if not each.breaks] == ([] if told is None else [told])


def test_a_flaw_of_a_class_that_holds_itself_is_told_once() -> None:
    """A type that leads back to itself has each flaw once, and the comparison ends."""
    found = [str(each) for each in findings(protocol_of(Tree), protocol_of(Leafy))]
    assert found == [
        "message: old publishers -> new subscribers: breaks: Message.value.leaf: is missing, and has no default",
        "message: new publishers -> old subscribers: note: Message.value.leaf: is ignored",
    ]


# --- prefixes, requests and responses


@frozen
class Measure(t2bus.RequestProtocol[Point], prefix="measure"):
    samples: int


class Newer:
    @frozen
    class Measure(t2bus.RequestProtocol[Places.Flat], prefix="measure"):
        samples: int
        channel: str

    @frozen
    class Moved(t2bus.RequestProtocol[Point], prefix="lab/measure"):
        samples: int


Newer.Moved.__name__ = "Measure"


def test_requests_and_responses_go_both_ways() -> None:
    """Of a request each of the four directions is told by who sends and who receives."""
    told = {(each.writer, each.reader, each.text) for each in findings(Measure, Newer.Measure) if each.breaks}
    assert told == {
        ("old requesters", "new responders", "Measure.channel: is missing, and has no default"),
        ("new responders", "old requesters", "Flat.y: is missing, and has no default"),
    }


async def test_a_new_prefix_is_another_service() -> None:
    """Requesters and responders with two prefixes do not find each other, which breaks both, as it does on a bus."""
    told = [str(each) for each in findings(Measure, Newer.Moved)]
    assert told == [
        "lab/measure: new requesters -> old responders: breaks: ServiceNotFound: the prefix was 'measure'",
        "measure: old requesters -> new responders: breaks: ServiceNotFound: the prefix is 'lab/measure'",
    ]
    async with t2bus.open_bus() as bus, bus.open_client() as client, client.serve(Measure, ""):
        with pytest.raises(t2bus.ServiceNotFound):
            await client.request("", Newer.Moved(1))


def test_a_protocol_that_goes_breaks_and_one_that_comes_does_not() -> None:
    """Whoever publishes to a prefix that nobody knows any more reaches nobody; one that is new was missed by nobody."""
    message = protocol_of(int)
    alone, both = document(message), document(message, Measure)
    assert [(each.breaks, each.writer) for each in compare(both, alone)] == [(True, "old requesters")]
    assert [(each.breaks, each.writer) for each in compare(alone, both)] == [(False, "new requesters")]


def test_publications_and_requests_with_one_prefix_are_two() -> None:
    """A protocol that becomes a request is another one, though its prefix stays."""
    old, new = document(protocol_of(int, "Measure", "measure")), document(Measure)
    assert [(each.writer, each.breaks) for each in compare(old, new)] == [
        ("old publishers", True),
        ("new requesters", False),
    ]


def test_a_class_may_have_a_new_name() -> None:
    """The name of a protocol's class is not on the bus; those with one prefix are compared."""
    assert findings(protocol_of(int, "Old"), protocol_of(int, "New")) == []


def test_of_several_classes_with_one_prefix_those_of_one_name_are_compared() -> None:
    """Where a prefix has several classes, each is compared with that of its name."""
    classes = [protocol_of(int, "Number"), protocol_of(str, "Text")]
    assert findings_of_all(classes, classes) == []


def findings_of_all(old: list[Any], new: list[Any]) -> Any:
    return compare(document(*old), document(*new))
