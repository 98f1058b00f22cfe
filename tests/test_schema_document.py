"""``t2bus.schema.document`` and ``listing``: what they say of a program's protocols."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from attrs import frozen
from jsonschema import Draft7Validator
from typing_extensions import TypeAliasType

import t2bus
from schema_helpers import mistakes_in, protocol_of
from t2bus.protocol import decode_any, encode
from t2bus.schema import BadDocument, compare, document, listing
from t2bus.schema.json_schema import to_json
from t2bus.schema.protocols import protocols_in

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

PROGRAM = '''\
"""The messages of a lab."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import Enum, Flag
from typing import Any, Generic, Literal, Self, TypeVar

import t2bus
from attrs import field, frozen

T = TypeVar("T")


class Version:
    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


t2bus.register_scalar(Version, str, Version)


class Mode(Enum):
    IDLE = "idle"
    HOT = "hot"


class Doors(Flag):
    FRONT = 1
    BACK = 2


@frozen
class Point(t2bus.Struct, as_array=True):
    """A place on the plate."""

    x: float
    """Metres from the left."""
    y: float = 0.0


@frozen
class Celsius(t2bus.Struct, transparent=True):
    value: float


@frozen
class Nothing:
    pass


@frozen
class Status(t2bus.PublishProtocol, prefix="lab/status"):
    """How an oven does.

    It is published each second.
    """

    oven: str
    """Its name."""
    mode: Mode = Mode.IDLE
    doors: Doors = Doors(0)
    firmware: Version = Version("1.0")
    raw: bytes = b"\\xff"
    at: datetime | None = None
    price: Decimal = Decimal("1.50")
    plate: Point | Nothing | Celsius = Nothing()
    kind: Literal["a", 1, b"b"] = "a"
    names: dict[int, str] = field(factory=dict)
    more: Any = None
    token: str = field(factory=lambda: "x")
    warmest: Celsius = Celsius(300.0)
    worst: float = float("inf")


@frozen
class Measure(t2bus.RequestProtocol[list[Point]], prefix="measure"):
    samples: int = 1


@frozen
class Event(t2bus.PublishProtocol, Generic[T], prefix="event"):
    data: T
    cause: Self | None = None


@frozen
class Query(t2bus.RequestProtocol[T], Generic[T], prefix="query"):
    """Of no use by itself: its response is not known."""


@frozen
class Count(t2bus.RequestProtocol[int], prefix="measure"):
    pass
'''

LISTING = """\
event/**  publish Event
    data: Any
    cause: Event | None = None

lab/status/**  publish Status
    How an oven does.

    It is published each second.
    oven: str  Its name.
    mode: Mode['idle', 'hot'] = 'idle'
    doors: Doors[FRONT | BACK] = 0
    firmware: Version (as str) = '1.0'
    raw: bytes = '/w=='
    at: datetime | None = None
    price: Decimal = '1.50'
    plate: Point | Nothing | Celsius = 'Nothing'
    kind: Literal['a', 1] | Literal[b'b'] = 'a'
    names: dict[int, str] = []
    more: Any = None
    token: str = made anew
    warmest: Celsius = 300.0
    worst: float = inf

measure/**  request Count -> int

measure/**  request Measure -> list[Point]
    samples: int = 1

Point  as_array
    A place on the plate.
    x: float  Metres from the left.
    y: float = 0.0

Nothing

Celsius  transparent
    value: float"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give a module that was imported from a file, so that its classes have source."""
    (tmp_path / "lab_messages.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lab_messages", raising=False)
    module = __import__("lab_messages")
    monkeypatch.setitem(sys.modules, "lab_messages", module)
    return module


def of(module: ModuleType, *names: str) -> Any:
    return document(*(getattr(module, name) for name in names))


def test_is_of_asyncapi(lab: ModuleType) -> None:
    """The document of a program is one of AsyncAPI 3.0.0, by its official schema."""
    made = json.loads(json.dumps(document(*protocols_in(lab), title="lab", version="1.2")))
    assert mistakes_in(made) == []
    assert made["info"] == {"title": "lab", "version": "1.2"}


def test_is_the_same_each_time(lab: ModuleType) -> None:
    """The order in which classes are named changes nothing, so a document can be kept beside the code."""
    assert of(lab, "Status", "Measure", "Count") == of(lab, "Count", "Measure", "Status")


def test_a_publication_is_a_channel_with_two_operations(lab: ModuleType) -> None:
    """What is published has one channel, with a parameter for what follows the prefix, to send to and receive from."""
    made = of(lab, "Status")
    channel = made["channels"]["publish.lab.status"]
    assert channel["address"] == "lab/status/{topic}"
    assert list(channel["parameters"]) == ["topic"]
    assert {name: each["action"] for name, each in made["operations"].items()} == {
        "publish.lab.status": "send",
        "subscribe.lab.status": "receive",
    }


def test_a_request_has_a_reply(lab: ModuleType) -> None:
    """A request is sent and served on one channel, and answered on another one that has no address."""
    made = of(lab, "Measure")
    reply = {
        "channel": {"$ref": "#/channels/reply.measure"},
        "messages": [{"$ref": "#/channels/reply.measure/messages/Measure.response"}],
    }
    assert {name: each["reply"] for name, each in made["operations"].items()} == {
        "request.measure": reply,
        "serve.measure": reply,
    }
    assert made["channels"]["reply.measure"]["address"] is None


def test_docstrings_and_defaults_are_told(lab: ModuleType) -> None:
    """A class has its docstring, and a field has its own and its default, as the plain item that it travels as."""
    status = of(lab, "Status")["components"]["schemas"]["Status"]
    assert status["description"] == "How an oven does.\n\nIt is published each second."
    assert status["required"] == ["oven"]
    fields = status["properties"]
    assert fields["oven"] == {"type": "string", "description": "Its name."}
    told = {name: field["default"] for name, field in fields.items() if "default" in field}
    assert told == {
        "mode": "idle",
        "doors": 0,
        "firmware": "1.0",
        "raw": "/w==",
        "at": None,
        "price": "1.50",
        "plate": "Nothing",
        "kind": "a",
        "names": [],
        "more": None,
        "warmest": 300.0,
    }


INFINITE: list[tuple[Any, Any, str]] = [
    (float, float("nan"), "nan"),
    (tuple[float, ...], (1.0, float("inf")), "[1.0, inf]"),
    (dict[str, list[float]], {"a": [float("-inf")]}, "{'a': [-inf]}"),
]


@pytest.mark.parametrize(("type_", "default", "text"), INFINITE)
def test_a_default_that_json_cannot_say_is_text(type_: Any, default: Any, text: str) -> None:
    """A default with a number that is not finite, however deep, is told as text, and the document stays JSON."""
    made = document(protocol_of(type_, default=default))
    assert made["components"]["schemas"]["Message"]["properties"]["value"]["x-t2bus-default"] == text
    assert f"= {text}" in listing(json.loads(json.dumps(made, allow_nan=False)))


def test_an_inherited_docstring_says_nothing(lab: ModuleType) -> None:
    """A class without a docstring has no description: that of a base is of another class."""
    assert "description" not in of(lab, "Measure")["components"]["schemas"]["Measure"]


def test_classes_of_one_name_are_two() -> None:
    """Two classes of one name in two modules have a schema each."""
    schemas = document(protocol_of(int, prefix="one"), protocol_of(str, prefix="other"))["components"]["schemas"]
    assert list(schemas) == ["Message", "made_while_it_runs.Message"]


def test_the_listing_shows_all(lab: ModuleType) -> None:
    """The listing has prefix, role, response, docstrings, fields, types and defaults of all protocols in a module."""
    assert listing(document(*protocols_in(lab))) == LISTING


Numbers: TypeAlias = list["Numbers"] | int
Branch = TypeAliasType("Branch", "dict[str, str | Branch]")


@frozen
class Nested(t2bus.PublishProtocol, prefix="nested"):
    numbers: Numbers


def test_an_alias_may_hold_itself() -> None:
    """An alias that leads back to itself is a schema with a name, and is shown as what it stands for."""
    made = json.loads(json.dumps(document(Nested)))
    assert mistakes_in(made) == []
    assert listing(made).endswith("numbers: list[list[Numbers] | int] | int\n\nNumbers = list[Numbers] | int")
    assert compare(made, made) == []


def test_a_container_may_be_an_alias_that_holds_itself() -> None:
    """A dict that leads back to itself by way of its alias is a schema with the name of the alias."""
    made = json.loads(json.dumps(document(protocol_of(Branch))))
    assert mistakes_in(made) == []
    assert listing(made).endswith("value: dict[str, str | Branch]\n\nBranch = dict[str, str | Branch]")
    assert compare(made, made) == []


def test_a_request_without_a_response_is_left_out_of_a_module(lab: ModuleType) -> None:
    """A generic request that says no response is no protocol of a module, for nobody can send it."""
    assert [each.__name__ for each in protocols_in(lab)] == ["Status", "Measure", "Event", "Count"]


@pytest.mark.parametrize(
    ("protocol", "text"), [(int, "expected a subclass of"), (protocol_of(complex), "complex is neither")]
)
def test_what_cannot_travel_is_refused(protocol: Any, text: str) -> None:
    """A class that is no protocol, or has a field that cannot travel, raises what its first use would raise."""
    with pytest.raises(TypeError, match=text):
        document(protocol)


@pytest.mark.parametrize(
    ("type_", "value", "wrong"),
    [(int, 1, "1"), (str, "a", 1), (bytes, b"a", 1), (list[int], [1], ["a"]), (int | None, None, "a")],
)
def test_schemas_refuse_what_is_not_written(type_: Any, value: Any, wrong: Any) -> None:
    """The schema of a field accepts the payload of its type, and not what has another type in its place."""
    protocol = protocol_of(type_)
    made = document(protocol)
    validator = Draft7Validator({"$ref": "#/components/schemas/Message", "components": made["components"]})
    assert validator.is_valid(to_json(decode_any(encode(protocol(value)))))
    assert not validator.is_valid({"value": wrong})


@pytest.mark.parametrize(
    ("made", "text"),
    [
        ([], "no AsyncAPI 3 document"),
        ({"asyncapi": "2.6.0"}, "no AsyncAPI 3 document"),
        ({"asyncapi": "3.0.0"}, "lacks what t2bus writes"),
    ],
)
def test_other_documents_are_refused(made: Any, text: str) -> None:
    """What is no document of t2bus is told to be none."""
    with pytest.raises(BadDocument, match=text):
        listing(made)


def test_schemas_that_go_round_are_refused() -> None:
    """A document whose schemas refer to each other without end is refused, and not followed."""
    made = document(protocol_of(int))
    made["components"]["schemas"]["Message"] = {
        "allOf": [{"$ref": "#/components/schemas/Other"}],
        "x-t2bus-type": "class",
    }
    made["components"]["schemas"]["Message"]["x-t2bus-field"] = "value"
    made["components"]["schemas"]["Other"] = {"$ref": "#/components/schemas/Message"}
    with pytest.raises(BadDocument):
        listing(made)
