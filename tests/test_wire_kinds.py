"""The table of kinds: complete, in step with the classes and the page, and obeyed by what is written by hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

import attrs
import cbor2
import pytest

from t2bus.wire import messages as m
from t2bus.wire.kinds import KINDS, Element, Rest, Row, Sender
from wire_corpus import DIRECTIONS, SPECIFICATION, Direction, body_of

if TYPE_CHECKING:
    from wire_corpus import Message

BY_ROW = pytest.mark.parametrize("row", KINDS, ids=lambda row: row.message.__name__)


def shown(name: str, element: Element | Rest) -> str:
    """Return an element as the page shows it; one that is called like its type is shown once."""
    if isinstance(element, Rest) or element.form == f"`{name}`":
        return element.form
    return f"{name} {element.form}".rstrip()


def line(row: Row) -> str:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", row.message.__name__).upper()
    elements = ", ".join(shown(name, element) for name, element in row.elements.items())
    return f"| {row.number} | {row.sender.value} | {name} | {elements} |"


def array(row: Row, message: Message) -> list[Any]:
    """Return the array of a message, put together element by element."""
    items: list[Any] = [row.number]
    for name, element in row.elements.items():
        value = getattr(message, name)
        if isinstance(element, Rest):
            items += element.plain(value)
        else:
            items.append(value if element.plain is None else element.plain(value))
    return items


def test_the_page_has_the_table() -> None:
    """The table in docs/wire.md says what the rows say."""
    table = "\n".join(["| kind | from | message | elements |", "|---|---|---|---|", *map(line, KINDS)])
    assert f"\n\n{table}\n\n" in SPECIFICATION, f"docs/wire.md has to have this table:\n{table}"


@pytest.mark.parametrize(("sender", "union"), [(Sender.CLIENT, m.ClientMessage), (Sender.BUS, m.ServerMessage)])
def test_every_class_has_one_row(sender: Sender, union: object) -> None:
    """What an end can say are the classes whose rows name it, each once."""
    classes = [row.message for row in KINDS if row.sender in (sender, Sender.BOTH)]
    assert len(classes) == len(set(classes))
    assert set(classes) == set(get_args(union))


def test_numbers_are_given_once() -> None:
    """The rows are in the order of their numbers, none of which comes twice."""
    numbers = [row.number for row in KINDS]
    assert numbers == sorted(set(numbers))


@BY_ROW
def test_elements_are_the_fields_of_the_class(row: Row) -> None:
    """A row names all fields, in the order of the class."""
    assert list(row.elements) == [field.name for field in attrs.fields(row.message)]


@BY_ROW
def test_only_the_last_field_is_a_rest(row: Row) -> None:
    """What takes all elements that are left stands at the end."""
    *others, _ = row.elements.values()
    assert all(isinstance(element, Element) for element in others)


def test_frames_that_are_decoded_by_hand_begin_differently() -> None:
    """The first two bytes tell which function decodes a frame, also where a server may say all kinds."""
    openings = [row.opening for row in KINDS if row.decode is not None]
    assert len(openings) == len(set(openings)) > 0


@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda each: each.sender)
def test_messages_are_encoded_as_their_rows_say(direction: Direction) -> None:
    """A frame holds the elements of the row and nothing else, by whichever function it is encoded."""
    kinds = {row.message: row for row in KINDS}
    for message in [*direction.messages, *direction.large_messages]:
        said = cbor2.dumps(array(kinds[type(message)], message))
        assert cbor2.loads(body_of(message)) == cbor2.loads(said)
