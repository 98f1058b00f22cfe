"""What Rust programs send and read: payloads that serde 1.0 and ciborium 0.2 wrote, beside the Rust that they are of.

The bytes are golden: a Rust program printed them. What t2bus writes for the same values, such a program has read as
equal to its own. Only floats are written otherwise: ciborium picks the shortest width that is exact, cbor2 64 bits.
"""

from __future__ import annotations

import enum
import re
from typing import Any, Generic, TypeAlias, TypeVar

import cbor2
import pytest
from attrs import frozen

from t2bus.errors import MalformedMessage
from t2bus.protocol import PublishProtocol, Struct, decode, encode, encode_as

T = TypeVar("T")


@frozen
class Text(PublishProtocol, prefix="text"):
    text: str
    count: int = 0


@frozen
class Hello(PublishProtocol, prefix="hello", transparent=True):
    text: str


@frozen
class Meters(Struct, transparent=True):
    value: float


@frozen
class Inner:
    x: int


@frozen
class Wrapped(Struct, transparent=True):
    inner: Inner


@frozen
class Names(Struct, transparent=True):
    names: list[str]


@frozen
class Point(PublishProtocol, prefix="point", as_array=True):
    x: float
    y: float


@frozen
class Mark(Struct, as_array=True):
    name: str
    at: Point
    size: int | None


@frozen
class Nothing(Struct, transparent=True):
    nothing: None = None


@frozen
class NoFields:
    pass


@frozen
class NoElements(Struct, as_array=True):
    pass


class Color(enum.Enum):
    RED = "Red"
    GREEN = "Green"


class Counted(enum.Enum):
    Red = enum.auto()
    Green = enum.auto()


@frozen
class Empty:
    pass


@frozen
class Label(Struct, transparent=True):
    text: str


@frozen
class Segment(Struct, as_array=True):
    start: float
    end: float


@frozen
class Circle:
    radius: float


@frozen
class NoneInside(Struct, as_array=True):
    pass


Shape: TypeAlias = Empty | Label | Segment | Circle | NoneInside


@frozen
class Drawing:
    name: str
    shapes: list[Shape]
    cover: Shape | None


@frozen
class Moved:
    x: int
    y: int


@frozen
class EventMessage(PublishProtocol, prefix="event", transparent=True):
    event: Color | Moved


@frozen
class Numbers:
    a: int
    b: int
    c: int
    d: float
    e: float
    f: bool
    g: str


@frozen
class Parts:
    maybe: int | None
    none: int | None
    pair: tuple[int, str]
    three: tuple[int, int, int]
    names: dict[str, int]
    boxed: Inner
    unit: None
    seen: set[int]


@frozen
class Raw:
    data: list[int]


@frozen
class RawBytes:
    data: bytes


@frozen
class Tree:
    value: int
    children: list[Tree]


@frozen
class Forest(Struct, transparent=True):
    trees: list[Forest]


@frozen
class Leaf(Struct, transparent=True):
    value: int


@frozen
class Sum(Struct, as_array=True):
    left: Leaf | Sum
    right: Leaf | Sum


@frozen
class Name(Struct, transparent=True):
    text: str


@frozen
class Id(Struct, transparent=True):
    number: int


@frozen
class Ok(Struct, Generic[T], transparent=True):
    value: T


@frozen
class Err(Struct, Generic[T], transparent=True):
    error: T


# struct Numbers { a: u8, b: i64, c: u64, d: f32, e: f64, f: bool, g: char }
F32 = 0.10000000149011612  # 0.1_f32
NUMBERS = "a7616118ff61623b7fffffffffffffff61631bffffffffffffffff6164fa3dcccccd6165fb3fb999999999999a6166f5616762c3a9"
# struct Parts { maybe: Option<u32>, none: Option<u32>, pair: (u8, String), three: [u8; 3],
#                names: BTreeMap<String, i32>, boxed: Box<Inner>, unit: (), seen: BTreeSet<u8> }
PARTS = (
    "a8656d6179626507646e6f6e65f664706169728201617865746872656583010203656e616d6573a1616b20"
    "65626f786564a161780164756e6974f6647365656e8101"
)
# struct Drawing { name: String, shapes: Vec<Shape>, cover: Option<Shape> }
DRAWING = (
    "a3646e616d656164667368617065738365456d707479a1654c6162656c6161a166436972636c65a166726164697573f9400065636f766572f6"
)

GOLDEN: dict[str, tuple[Any, object, str]] = {
    # struct Text { text: String, count: u64 }
    "named": (Text, Text("hi", 300), "a2647465787462686965636f756e7419012c"),
    # struct Hello(String);
    "newtype": (Hello, Hello("h\u00e9llo"), "6668c3a96c6c6f"),
    # struct Meters(f64);
    "newtype_f64": (Meters, Meters(1.0), "f93c00"),
    # struct Inner { x: u32 }  struct Wrapped(Inner);
    "newtype_struct": (Wrapped, Wrapped(Inner(1)), "a1617801"),
    # struct Names(Vec<String>);
    "newtype_list": (Names, Names(["a", "b"]), "8261616162"),
    # struct Point(f64, f64);
    "tuple_struct": (Point, Point(1.0, -0.1), "82f93c00fbbfb999999999999a"),
    # struct Mark(String, Point, Option<u8>);
    "tuple_struct_nested": (Mark, Mark("m", Point(1.5, 2.0), None), "83616d82f93e00f94000f6"),
    # struct Nothing;
    "unit_struct": (Nothing, Nothing(), "f6"),
    # struct NoFields {}
    "no_fields": (NoFields, NoFields(), "a0"),
    # struct NoElements();
    "no_elements": (NoElements, NoElements(), "80"),
    # enum Color { Red, Green }
    "unit_variant": (Color, Color.GREEN, "65477265656e"),
    "unit_variant_by_name": (Counted, Counted.Green, "65477265656e"),
    # enum Shape { Empty, Label(String), Segment(f64, f64), Circle { radius: f64 }, NoneInside() }
    "shape_unit": (Shape, Empty(), "65456d707479"),
    "shape_newtype": (Shape, Label("a"), "a1654c6162656c6161"),
    "shape_tuple": (Shape, Segment(0.5, 1.0), "a1675365676d656e7482f93800f93c00"),
    "shape_struct": (Shape, Circle(2.0), "a166436972636c65a166726164697573f94000"),
    "shape_none_inside": (Shape, NoneInside(), "a16a4e6f6e65496e7369646580"),
    "drawing": (Drawing, Drawing("d", [Empty(), Label("a"), Circle(2.0)], None), DRAWING),
    "drawing_cover": (
        Drawing,
        Drawing("d", [], Empty()),
        "a3646e616d656164667368617065738065636f76657265456d707479",
    ),
    # enum Event { Red, Green, Moved { x: i64, y: i64 } }
    "event_unit": (Color | Moved, Color.RED, "63526564"),
    "event_data": (Color | Moved, Moved(-1, 2), "a1654d6f766564a2617820617902"),
    # struct EventMessage(Event);
    "event_message": (EventMessage, EventMessage(Moved(-1, 2)), "a1654d6f766564a2617820617902"),
    "numbers": (Numbers, Numbers(255, -(2**63), 2**64 - 1, F32, 0.1, True, "\u00e9"), NUMBERS),
    "parts": (Parts, Parts(7, None, (1, "x"), (1, 2, 3), {"k": -1}, Inner(1), None, {1}), PARTS),
    # struct Raw { data: Vec<u8> }
    "raw": (Raw, Raw([1, 200]), "a16464617461820118c8"),
    # struct Tree { value: u8, children: Vec<Tree> }
    "tree": (Tree, Tree(1, [Tree(2, [])]), "a26576616c756501686368696c6472656e81a26576616c756502686368696c6472656e80"),
    # struct Forest(Vec<Forest>);
    "forest": (Forest, Forest([Forest([]), Forest([])]), "828080"),
    # enum Expr { Leaf(i64), Sum(Box<Expr>, Box<Expr>) }
    "expr": (
        Leaf | Sum,
        Sum(Leaf(1), Sum(Leaf(2), Leaf(3))),
        "a16353756d82a1644c65616601a16353756d82a1644c65616602a1644c65616603",
    ),
    # Vec<(u32, String)>
    "pairs": (dict[int, str], {1: "a"}, "8182016161"),
    # struct Name(String);  struct Id(u64);  BTreeMap<Name, Id>
    "by_id": (dict[Name, Id], {Name("a"): Id(1)}, "a1616101"),
    # Result<u8, String>
    "ok": (Ok[int] | Err[str], Ok(7), "a1624f6b07"),
    "err": (Ok[int] | Err[str], Err("no"), "a163457272626e6f"),
    # struct Meters(f64);  struct Short(f32);
    "f64_from_int": (float, 3.0, "f94200"),
    "f32": (float, F32, "fa3dcccccd"),
    "f64_huge": (float, 1e300, "fb7e37e43c8800759c"),
    # struct OneTuple((u8,));
    "one_tuple": (tuple[int], (1,), "8101"),
}


@pytest.mark.parametrize(("type_", "value", "golden"), GOLDEN.values(), ids=GOLDEN)
def test_what_rust_writes_is_read(type_: Any, value: object, golden: str) -> None:
    """A payload that Rust wrote is the value that it was of."""
    decoded = decode(bytes.fromhex(golden), type_)
    assert (decoded, type(decoded)) == (value, type(value))


@pytest.mark.parametrize(("type_", "value", "golden"), GOLDEN.values(), ids=GOLDEN)
def test_what_is_written_is_what_rust_reads(type_: Any, value: object, golden: str) -> None:
    """A payload for Rust has the items of one that Rust wrote, byte for byte if there is no float in it."""
    written, expected = encode_as(value, type_), bytes.fromhex(golden)
    assert repr(cbor2.loads(written)) == repr(cbor2.loads(expected))
    assert written == expected or len(written) > len(expected)
    assert written == expected or re.search(rb"\xfb", written)


def test_bytes_are_read_as_a_vec_of_integers() -> None:
    """Bytes are one item, which Rust reads as Vec<u8>, and shorter than what Rust writes for it."""
    assert encode(RawBytes(b"\x01\xc8")) == bytes.fromhex("a164646174614201c8")


NOT_MAPPED = {
    "a Vec<u8> for bytes": (RawBytes, "a16464617461820118c8", "RawBytes.data: expected bytes, got list"),
    "BTreeMap<u32, String>": (dict[int, str], "a1016161", "the bytes are no payload"),
    "a u128 of more than 64 bits": (int, "c249010000000000000000", "tag 2 is not allowed"),
    "a variant that is not known": (Shape, "a16653717561726501", "expected one key, of Empty, Label, "),
    "a newtype in an array": (Hello, "816161", "Hello.text: expected str, got list"),
}


@pytest.mark.parametrize(("type_", "golden", "text"), NOT_MAPPED.values(), ids=NOT_MAPPED)
def test_what_does_not_map_is_refused(type_: Any, golden: str, text: str) -> None:
    """What Rust writes and the Python type has no place for is refused, and not bent."""
    with pytest.raises(MalformedMessage, match=re.escape(text)):
        decode(bytes.fromhex(golden), type_)
