"""What docs/how-to/evolve.md says of each change to a class, with both classes on one bus."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import t2bus
from how_to_helpers import ROOT
from t2bus.testing import memory_bus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio.testing import MockClock

PAGE = ROOT / "docs" / "how-to" / "evolve.md"


class Color(enum.Enum):
    RED = "red"


class MoreColors(enum.Enum):
    RED = "red"
    GREEN = "green"


@attrs.frozen
class Circle:
    radius: float


@attrs.frozen
class Dot:
    size: float = 1.0


@attrs.frozen
class Disc:
    radius: float


@attrs.frozen
class Square:
    side: float


@attrs.frozen
class Line:
    length: float


NAMES = {each.__name__: each for each in (Color, MoreColors, Circle, Dot, Disc, Square, Line)}

VALUES: dict[str, Sequence[Any]] = {
    "int": [7],
    "float": [1.5],
    "str": ["x"],
    "int | None": [7, None],
    "Color": [Color.RED],
    "MoreColors": [MoreColors.RED, MoreColors.GREEN],
    "Circle": [Circle(1.0)],
    "Circle | Square": [Circle(1.0), Square(1.0)],
    "Circle | Square | Line": [Circle(1.0), Square(1.0), Line(1.0)],
    "Dot": [Dot(2.0)],
    "Dot | Square": [Dot(2.0), Square(1.0)],
    "Disc | Square": [Disc(1.0), Square(1.0)],
}
"""What a field of each type is sent with."""

_ROW = re.compile(r"^\| ([^|]+) \| ([^|]*) \| ([^|]*) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ROWS = _ROW.findall(PAGE.read_text(encoding="utf-8").replace(r"\|", "\0"))[1:]


def fields(cell: str) -> list[str]:
    """Return what a cell of the table shows of a class: a line for each field."""
    return [found.replace("\0", "|") for found in re.findall(r"`(.+?)`", cell)]


def make(cell: str) -> type[Any]:
    """Make the class that a cell describes."""
    lines = ["@attrs.frozen", "class Changing(t2bus.PublishProtocol, prefix='changing'):", "    pass"]
    names: dict[str, Any] = {"attrs": attrs, "t2bus": t2bus, **NAMES}
    source = "\n".join([*lines, *(f"    {field}" for field in fields(cell))])
    exec(compile(source, PAGE.name, "exec", dont_inherit=True), names)
    made: type[Any] = names["Changing"]
    return made


def messages(kind: type[Any], cell: str) -> list[Any]:
    """Return a message for each value that its fields may have, those of other fields being as they are."""
    types = dict(re.findall(r"(\w+): (.+?)(?: = \d+)?$", "\n".join(fields(cell)), re.MULTILINE))
    plain = {name: VALUES[type_][0] for name, type_ in types.items()}
    varied = [kind(**{**plain, name: value}) for name, type_ in types.items() for value in VALUES[type_][1:]]
    return [kind(**plain), *varied]


def values(message: Any) -> list[Any]:
    """Return what its fields hold, with the values of enums, since each end has its own."""
    return [getattr(value, "value", value) for value in attrs.asdict(message, recurse=False).values()]


async def read(written: type[Any], cell: str, read_as: type[Any]) -> str:
    """Publish messages of one class, read them as the other, and say as the page does whether that goes well."""
    said = []
    async with memory_bus() as bus, bus.open_client() as client, client.subscribe(read_as, "x") as received:
        for message in messages(written, cell):
            await client.publish("x", message)
            try:
                body = (await received.receive()).body
            except t2bus.MalformedMessage:
                said.append("no")
            else:
                is_lost = values(message) and values(body) and not any(each in values(body) for each in values(message))
                said.append("the value is lost" if is_lost else "yes")
    return said[0] if len(set(said)) == 1 else "not"


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
async def test_a_change_does_what_the_page_says(clock: MockClock, row: tuple[str, str, str, str, str]) -> None:
    """Messages of one class are read as the other, or not, as the row of the change says."""
    _, old, new, *shown = row
    before, after = make(old), make(new)
    told = [await read(after, new, before), await read(before, old, after)]
    assert told == ["not" if each.startswith("not ") else each for each in shown]


def test_there_are_rows() -> None:
    """The table of the page is found."""
    assert len(ROWS) > 10
