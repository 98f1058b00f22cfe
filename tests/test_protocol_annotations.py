"""What annotations stand for: names wherever they may stand, type variables, ``Self``, and aliases."""

# ruff: noqa: A003, ICN001, RUF036, TC004, UP035 -- annotations stand here as programs write them, not as they should

from __future__ import annotations

import datetime
import gc
import sys
import textwrap
import types
import weakref
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Generic,
    List,
    Literal,
    NewType,
    Optional,
    Self,
    Tuple,
    TypeAlias,
    TypeVar,
    Union,
)
from uuid import UUID

import attrs
import pytest
import trio
from attrs import field, frozen
from typing_extensions import TypeAliasType
from typing_extensions import TypeVar as DefaultTypeVar

import t2bus
from t2bus.errors import MalformedMessage
from t2bus.protocol import decode, encode, encode_as, full_topic, response_type
from t2bus.protocol.compiler import adapter_of

if TYPE_CHECKING:
    from decimal import Decimal

T = TypeVar("T")
K = TypeVar("K")
Bound = TypeVar("Bound", bound="Shape")
OneOf = TypeVar("OneOf", int, str)
Defaulted = DefaultTypeVar("Defaulted", default=int)

# What `type X = ...` makes in Python 3.12, for every Python.
Pair = TypeAliasType("Pair", tuple[T, T], type_params=(T,))
Nested = TypeAliasType("Nested", "list[Nested[T]] | T", type_params=(T,))
Json = TypeAliasType("Json", "None | bool | int | float | str | list[Json] | dict[str, Json]")
Even = TypeAliasType("Even", "list[Odd] | None")
Odd = TypeAliasType("Odd", "list[Even] | int")
Branch = TypeAliasType("Branch", "dict[str, str | Branch]")
Chain = TypeAliasType("Chain", "tuple[int, Chain | None]")
Deep = TypeAliasType("Deep", "dict[str, T | Deep[T]]", type_params=(T,))
Wide = TypeAliasType("Wide", "None | int | list[Wide | str]")
Keyed = TypeAliasType("Keyed", "int | tuple[dict[Keyed, int], ...]")
alias: Any = TypeAliasType  # for what type checkers refuse
Itself = alias("Itself", "Itself")
Around = alias("Around", "int | Around")
There = alias("There", "int | Back")
Back = alias("Back", "str | There")
Lost = alias("Lost", "list[Nowhere]")
Growing = alias("Growing", "int | list[Growing[list[T]]]", type_params=(T,))
# What everybody writes before that.
OldJson: TypeAlias = "None | bool | int | float | str | list[OldJson] | dict[str, OldJson]"
OlderJson = Union[None, int, str, List["OlderJson"], dict[str, "OlderJson"]]  # noqa: UP006, UP007
OldBranch: TypeAlias = dict[str, "str | OldBranch"]
OlderBranch = list[Union[int, "OlderBranch"]]
Figure = TypeAliasType("Figure", "Shape | Line | None")
Celsius = NewType("Celsius", float)


@frozen
class Circle:
    radius: float


@frozen
class Square:
    side: float


Shape: TypeAlias = Circle | Square


@frozen
class Line:
    ends: Pair[float]


@frozen
class Document:
    content: Json
    circles: Pair["Circle"] | None = None


@frozen
class OldDocument:
    content: OldJson
    older: OlderJson = None


@frozen
class OldBranches:
    old: OldBranch
    older: OlderBranch


@frozen
class Twig(t2bus.Struct, transparent=True):
    parts: list[Twig | int] | dict[str, Leaf]


@frozen
class Leaf:
    twig: Twig | str


@frozen
class Linked(t2bus.PublishProtocol, prefix="linked"):
    value: int
    next: Self | None = None
    others: list[Self] = field(factory=list)
    by_name: dict[str, Optional["Self"]] = field(factory=dict)


@frozen
class Longer(Linked, prefix="longer"):
    more: int = 0


@frozen
class Page(Generic[T]):
    items: list[T]
    next: Self | None = None
    quoted: Optional["Page[T]"] = None
    pair: Pair[T] | None = None


@frozen
class Table(Generic[K, T]):
    rows: dict[K, Page[T]]


@frozen
class Strings(Table[str, T]):
    last: T | None = None


@frozen
class Dates(Strings[datetime.date]):
    pass


@frozen
class Bounded(Generic[Bound]):
    shape: Bound


@frozen
class Constrained(Generic[OneOf]):
    value: OneOf


@frozen
class WithDefault(Generic[Defaulted]):
    value: Defaulted


@frozen
class Event(t2bus.PublishProtocol, Generic[T], prefix="event"):
    data: T
    at: int = 0


@frozen
class Moved(Event[Circle], prefix="moved"):
    by: float = 0.0


@frozen
class Query(t2bus.RequestProtocol[list[T]], Generic[T], prefix="query"):
    name: str


@frozen
class Circles(Query["Circle"], prefix="circles"):
    pass


@frozen
class NamedLikeTypes(t2bus.PublishProtocol, prefix="named"):
    """Every field is called as a type, that of another field too."""

    datetime: datetime.datetime | None = None
    int: int | None = None
    str: list[str] | None = None
    UUID: UUID | None = None
    list: dict[str, list[int]] | None = None  # type: ignore[valid-type]
    float: float = 1.0


@frozen
class MethodsLikeTypes:
    day: datetime.date
    number: int = 0

    def int(self) -> str:
        return "a method"

    @property
    def datetime(self) -> str:
        return "a property"


@frozen
class Outer:
    @frozen
    class Inner:
        number: int

    inner: Inner
    others: list[Inner] = field(factory=list)


def make(cls: Any, *arguments: Any, **by_name: Any) -> Any:
    """Make an instance, unseen by type checkers, to which ``Self`` in ``__init__`` is a class of the future."""
    return cls(*arguments, **by_name)


MOMENT = datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC)
DAY = datetime.date(2024, 2, 29)

TRAVEL: list[tuple[Any, object]] = [
    (Line, Line((1.0, 2.0))),
    (Pair[int], (1, 2)),
    (Tuple, (1, "a")),  # noqa: UP006
    (Tuple[()], ()),  # noqa: UP006
    (list[Pair[Celsius]], [(1.5, 2.5)]),
    (Pair[Pair[int]], ((1, 2), (3, 4))),
    (Document, Document({"a": [1, None, {"b": [True, 2.5]}], "c": "d"})),
    (OldDocument, OldDocument({"a": [1, None, {"b": [True, 2.5]}]}, {"a": [1, [None, "b"]]})),
    (Document, Document(5, (Circle(1.0), Circle(2.0)))),
    (list[Json], [None, [[]], {}]),
    (Json, [[[[]]]]),
    (Nested[int], [1, [2, [3, []]]]),
    (Nested[Circle], [[Circle(1.0)]]),
    (Even, [[[], None], 5]),
    (Branch, {"a": "b", "c": {"d": {}}}),
    (list[Branch | int], [{"a": {"b": "c"}}, 5]),
    (Branch | dict[str, Branch | str], {"a": {"b": "c"}}),
    (Chain, (1, (2, None))),
    (Deep[int], {"a": {"b": 5}}),
    (Wide, [1, ["a", [None]]]),
    (OldBranches, OldBranches({"a": {"b": "c"}}, [1, [2, []]])),
    (Twig, Twig([1, Twig({"a": Leaf("b"), "c": Leaf(Twig([5]))})])),
    (Keyed, ({5: 1, (): 3},)),
    (Figure, Circle(1.0)),
    (Figure, Line((1.0, 2.0))),
    (list[Figure | int], [Square(1.0), None, 5]),
    (Linked, make(Linked, 1, Linked(2), [Linked(3)], {"a": Linked(4), "b": None})),
    (Longer, make(Longer, 1, Longer(2, more=5), [Longer(3)], more=6)),
    (Page[int], make(Page, [1], Page([2]), Page([3]), (4, 5))),
    (Page[Page[int]], Page([Page([1])], None, Page([Page([2])]))),
    (Page[list[T]][str], Page([["a"]])),  # type: ignore[valid-type]
    (Table[int, str], Table({1: Page(["a"])})),
    (Strings[int], Strings({"a": Page([1])}, 5)),
    (Dates, Dates({"a": Page([DAY])}, DAY)),
    (Bounded[Circle], Bounded(Circle(1.0))),
    (Bounded, Bounded(Square(1.0))),
    (Constrained, Constrained("a")),
    (Constrained, Constrained(1)),
    (WithDefault, WithDefault(1)),
    (WithDefault[str], WithDefault("a")),
    (Page, make(Page, [1, "a", [None]], Page([2.5]))),
    (Event[int], Event(3)),
    (Event[Circle], Event(Circle(1.0), 5)),
    (Event, Event({"a": [1]})),
    (Moved, Moved(Circle(1.0), 1, 2.0)),
    (NamedLikeTypes, NamedLikeTypes(MOMENT, 1, ["a"], UUID(int=5), {"a": [1]}, 2.5)),
    (MethodsLikeTypes, MethodsLikeTypes(DAY, 5)),
    (Outer, Outer(Outer.Inner(1), [Outer.Inner(2)])),
]


@pytest.mark.parametrize(("type_", "value"), TRAVEL)
def test_annotations_of_every_kind_travel(type_: Any, value: object) -> None:
    """A value of a type that is written in any of these ways comes back equal, and of its type."""
    decoded = decode(encode_as(value, type_), type_)
    assert (decoded, type(decoded), repr(decoded)) == (value, type(value), repr(value))


REFUSED: list[tuple[Any, object, str]] = [
    (Document, Document({"a": [1, {"b": b"c"}]}), "Document.content['a'][1]['b']: expected Json, got bytes"),  # type: ignore[dict-item]
    (Pair[int], (1, "a"), "Pair[int][1]: expected int, got str"),
    (Page[int], make(Page, [1], Page(["a"])), "Page[int].next.items[0]: expected int, got str"),
    (Linked, Longer(1), "Linked: expected Linked, got Longer"),
    (Longer, make(Longer, 1, Linked(2)), "Longer.next: expected Longer | None, got Linked"),
    (Dates, Dates({"a": Page([MOMENT])}), "Dates.rows['a'].items[0]: expected date, got datetime"),
    (Constrained, Constrained(2.5), "Constrained.value: expected int | str, got float"),  # type: ignore[type-var]
    (WithDefault, WithDefault("a"), "WithDefault.value: expected int, got str"),
    (Event, Event(Circle(1.0)), "Event.data: expected a plain value, got Circle"),
]


@pytest.mark.parametrize(("type_", "value", "text"), REFUSED)
def test_what_an_annotation_stands_for_is_checked(type_: Any, value: object, text: str) -> None:
    """A value that does not fit is refused when it is sent, and the text leads to it."""
    with pytest.raises(MalformedMessage) as caught:
        encode_as(value, type_)
    assert str(caught.value) == text


# --- protocols with parameters


def test_the_topic_of_a_parametrised_protocol() -> None:
    """A protocol with its arguments is published where the class is."""
    assert full_topic(Event[int], "a") == full_topic(Event, "a") == "event/a"


def test_a_subclass_names_the_response_type_of_its_base() -> None:
    """A request that fills the parameter of a generic request has the response type that follows."""
    type_ = response_type(Circles)
    assert decode(encode_as([Circle(1.0)], type_), type_) == [Circle(1.0)]


def test_a_parametrised_request_can_be_served() -> None:
    """With its arguments, a generic request says what it is answered with."""
    assert response_type(Query[int]) == list[int]


def test_a_generic_request_does_not_say_what_it_is_answered_with() -> None:
    """Without them, and as an instance has none, it is a TypeError that says what to do."""
    with pytest.raises(TypeError) as caught:
        response_type(Query)
    assert str(caught.value) == (
        "the response type of Query is list[~T], and its instances do not tell which that is: request with a class of "
        'its own, such as `class MyQuery(Query[int], prefix="my"):`'
    )


def test_a_default_of_a_type_variable_is_a_response_type() -> None:
    """A type variable with a default says what a request without arguments is answered with."""

    class Defaults(t2bus.RequestProtocol[Defaulted], Generic[Defaulted], prefix="defaults"):
        pass

    assert response_type(Defaults) is int


async def test_a_generic_protocol_is_subscribed_to_with_its_argument() -> None:
    """``subscribe(Event[int], ...)`` reads what is published as ``Event(3)``."""
    async with t2bus.open_bus() as bus, bus.open_client() as client, client.subscribe(Event[int], "") as events:
        await client.publish("", Event(3))
        assert (await events.receive()).body == Event(3)
        await client.publish("", Event("three"))
        with pytest.raises(MalformedMessage, match=r"^Event\[int\]\.data: expected int, got str$"):
            await events.receive()


async def test_a_publisher_of_a_parametrised_protocol_knows_more_than_an_instance() -> None:
    """Where plain values are not enough, a publisher that names the argument sends them."""
    async with t2bus.open_bus() as bus, bus.open_client() as client, client.subscribe(Event[Circle], "") as events:
        async with client.open_publisher(Event[Circle], "") as publisher:
            await publisher.send(Event(Circle(1.0)))
            with pytest.raises(MalformedMessage, match=r"^Event\[Circle\]\.data: expected Circle, got Square$"):
                await publisher.send(Event(Square(1.0)))  # type: ignore[arg-type]
        assert (await events.receive()).body == Event(Circle(1.0))


async def test_a_generic_request_is_served_for_a_class_of_its_own() -> None:
    """A class that fills the parameter is requested and answered like any other."""
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        client.serve(Circles, "") as requests,
        trio.open_nursery() as nursery,
    ):

        async def answer() -> None:
            await (await requests.receive()).respond([Circle(1.0)])

        nursery.start_soon(answer)
        assert await client.request("", Circles("a")) == [Circle(1.0)]


@pytest.mark.parametrize("protocol", [list[int], dict[str, int], Page[int], Query[int], Any])
async def test_what_is_no_protocol_cannot_be_subscribed_to(protocol: Any) -> None:
    """Arguments do not make a protocol of what is none."""
    async with t2bus.open_bus() as bus, bus.open_client() as client:
        with pytest.raises(TypeError, match=r"is not a t2bus\.PublishProtocol"):
            async with client.subscribe(protocol, ""):
                pass


# --- classes in functions


def test_classes_in_functions_find_each_other() -> None:
    """What a function has defined before a protocol is found, by classes that are no protocols too."""

    @frozen
    class Point:
        x: float

    Points: TypeAlias = list[Point]

    @frozen
    class Polygon:
        corners: Points
        parent: Polygon | None = None

    @frozen
    class Draw(t2bus.RequestProtocol["Polygon | None"], prefix="draw"):
        polygon: Polygon
        color: Color
        again: Self | None = None

    value = Draw(Polygon([Point(1.0)], Polygon([])), Color("red"))
    assert decode(encode(value), Draw) == value
    assert decode(encode_as(value.polygon, response_type(Draw)), response_type(Draw)) == value.polygon


@frozen
class Color:
    name: str


def test_a_function_shadows_its_module() -> None:
    """A class of the function is meant before one of the module with its name."""

    @frozen
    class Color:
        rgb: tuple[int, int, int]

    @frozen
    class Paint(t2bus.PublishProtocol, prefix="paint"):
        color: Color

    assert decode(encode(Paint(Color((1, 2, 3)))), Paint) == Paint(Color((1, 2, 3)))


def test_what_a_function_defines_later_is_not_found() -> None:
    """A name that the function has after the protocol is a TypeError that says so."""

    @frozen
    class Early(t2bus.PublishProtocol, prefix="early"):
        late: Late | None = None

    @frozen
    class Late:
        x: int

    with pytest.raises(TypeError, match=r"^Early\.late: .*, or in the function before the protocol$"):
        encode(Early(Late(1)))


def test_a_class_keeps_nothing_of_its_function_but_types() -> None:
    """Values that a function has at hand are not kept alive by a class in it."""

    class Heavy:
        pass

    def define() -> tuple[type, weakref.ref[Heavy]]:
        heavy = Heavy()

        @frozen
        class Message(t2bus.PublishProtocol, prefix="message"):
            x: int

        return Message, weakref.ref(heavy)

    message, heavy = define()
    gc.collect()
    assert encode(message(1)) == b"\xa1\x61x\x01"
    assert heavy() is None


# --- what cannot be read


@frozen
class OnlyForCheckers(t2bus.PublishProtocol, prefix="checked"):
    number: int
    price: Decimal | None = None


Unparsable = attrs.make_class("Unparsable", {"x": field(type="1 +")})  # type: ignore[call-overload]

LOOKED_FOR = f"names are looked for in {__name__}"
OUTSIDE = "when the program runs: define or import it there, outside `if TYPE_CHECKING:`"

UNREADABLE: list[tuple[Any, str]] = [
    (OnlyForCheckers, f"OnlyForCheckers.price: name 'Decimal' is not defined; {LOOKED_FOR} {OUTSIDE}"),
    (Unparsable, f"Unparsable.x: '1 +' is not found in {__name__}: SyntaxError: "),
    (list[OnlyForCheckers], "OnlyForCheckers.price: name 'Decimal' is not defined"),
    (Itself, "Itself may hold itself with nothing around it"),
    (Around, "Around may hold itself with nothing around it"),
    (There, "Back may hold itself with nothing around it"),
    (dict[Itself, int], "Itself may hold itself with nothing around it"),  # type: ignore[valid-type]
    (Lost, f"name 'Nowhere' is not defined; {LOOKED_FOR}"),
    (Growing[int], "Growing[int] cannot be compiled: RecursionError"),
]


@pytest.mark.parametrize(("type_", "text"), UNREADABLE)
def test_what_cannot_be_read_is_told_with_its_place(type_: Any, text: str) -> None:
    """A name that is not there names field, module and remedy; an alias that is nothing but itself is named."""
    with pytest.raises(TypeError) as caught:
        adapter_of(type_)
    assert str(caught.value).startswith(text)


def test_a_name_of_an_inherited_field_is_looked_for_where_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subclass in another module does not have to import what its base's annotations name."""
    module = types.ModuleType("elsewhere")
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    source = """
        from __future__ import annotations
        import attrs
        from fractions import Fraction as Ratio

        @attrs.frozen
        class Base:
            ratio: Ratio
            missing: "Missing | None"
    """
    exec(textwrap.dedent(source), vars(module))
    base: Any = module.Base

    @frozen
    class Child(base):  # type: ignore[misc]
        number: int

    with pytest.raises(TypeError, match=r"^Child\.missing: .* looked for in elsewhere "):
        adapter_of(Child)
    module.Missing = int  # type: ignore[attr-defined]
    value = make(Child, module.Ratio(1, 3), 5, 7)
    assert decode(encode(value), Child) == value


SHADOWED = {
    "date: date = None": "date",
    "date: Optional[date] = None": "date",
    "date: date = date(2024, 2, 29)": "date",
    "date: date = attrs.field()": "date",
    "date: list[date] = attrs.field(factory=list)": "date",
    "int: int = 5": "int",
    "other: int; date: Optional[date] = attrs.field(default=None)": "date",
}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module that has imported what its classes need."""
    module = types.ModuleType("fields")
    names = {"attrs": attrs, "t2bus": t2bus, "date": datetime.date}
    names |= {"Annotated": Annotated, "Final": Final, "Literal": Literal, "Optional": Optional}
    vars(module).update(names)
    monkeypatch.setitem(sys.modules, "fields", module)
    return module


def run(source: str, module: Any) -> None:
    """Run source in a module, whose annotations are evaluated where they stand."""
    exec(compile(source, module.__name__, "exec", dont_inherit=True), vars(module))


@pytest.mark.parametrize(("body", "name"), SHADOWED.items())
def test_a_field_that_hides_its_type_fails_where_it_is_defined(module: Any, body: str, name: str) -> None:
    """Python reads a default before the annotation, so a field named like its type has another type than is written."""
    text = rf"^Tick\.{name}: field and type have one name, .* into fields by another name"
    with pytest.raises(TypeError, match=text):
        run(f"@attrs.frozen\nclass Tick(t2bus.PublishProtocol, prefix='tick'): {body}", module)
    run(f"@attrs.frozen\nclass Tick: {body}", module)
    with pytest.raises(TypeError, match=text):
        adapter_of(module.Tick)


NOT_SHADOWED = {
    "nothing: None = None": {"nothing": None},
    "number: Literal[1] = 1": {"number": 1},
    "date: 'date | None' = None": {"date": DAY},
    "text: 'str' = 'str'": {"text": "str"},
    "number: Annotated[int, 5] = 5": {"number": 5},
    "number: Final[int] = 5": {"number": 5},
}


@pytest.mark.parametrize(("body", "values"), NOT_SHADOWED.items())
def test_other_defaults_hide_nothing(module: Any, body: str, values: dict[str, Any]) -> None:
    """A default that happens to look like its annotation is no mistake, and quotes help where there is one."""
    run(f"@attrs.frozen\nclass Tick(t2bus.PublishProtocol, prefix='tick'): {body}", module)
    assert decode(encode(module.Tick(**values)), module.Tick) == module.Tick(**values)


# --- Python 3.12

NEW_SYNTAX = """
import attrs
import t2bus

type Json = None | bool | int | float | str | list[Json] | dict[str, Json]
type Pair[A] = tuple[A, A]
type Tree[A] = A | list[Tree[A]]

@attrs.frozen
class Box[A]:
    content: "Tree[A]"
    pair: Pair[A] | None = None

@attrs.frozen
class Event[A: (int, str)](t2bus.PublishProtocol, prefix="event"):
    data: "A"
    json: Json = None
    box: "Box[A] | None" = None

@attrs.frozen
class Ask[A](t2bus.RequestProtocol[A], prefix="ask"):
    pass

@attrs.frozen
class AskInt(Ask[int], prefix="ask_int"):
    pass
"""


if sys.version_info >= (3, 12):

    def test_the_syntax_of_python_3_12(module: Any) -> None:
        """Type parameters and ``type`` statements, in quotes or not, are what they are in the older ways of writing."""
        run(NEW_SYNTAX, module)
        value = module.Event("a", {"a": [1, [None]]}, module.Box([["b"], "c"], ("d", "e")))
        assert decode(encode_as(value, module.Event[str]), module.Event[str]) == value
        assert decode(encode(module.Event(1, 2)), module.Event) == module.Event(1, 2)
        with pytest.raises(MalformedMessage, match=r"^Event\[int\]\.data: expected int, got str$"):
            encode_as(value, module.Event[int])
        assert response_type(module.AskInt) is response_type(module.Ask[int]) is int
