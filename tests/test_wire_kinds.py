"""The table of kinds: complete, in step with the classes and the page, and obeyed by what is written by hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

import attrs
import cbor2
import pytest

from t2bus.wire import messages as m
from t2bus.wire.kinds import KINDS, Element, Kind, Rest, Sender
from wire_corpus import DIRECTIONS, SPECIFICATION, Direction, body_of

if TYPE_CHECKING:
    from wire_corpus import Message

BY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.message.__name__)
NEVER_TRAVELS = {"dialect"}


def shown(name: str, element: Element | Rest) -> str:
    """Return an element as the page shows it; one that is called like its type is shown once."""
    if isinstance(element, Rest) or element.form == f"`{name}`":
        return element.form
    return f"{name} {element.form}".rstrip()


def row(kind: Kind) -> str:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.message.__name__).upper()
    elements = ", ".join(shown(name, element) for name, element in kind.elements.items())
    return f"| {kind.number} | {kind.sender.value} | {name} | {elements} |"


def array(kind: Kind, message: Message) -> list[Any]:
    """Return the array of a message, put together element by element."""
    items: list[Any] = [kind.number]
    for name, element in kind.elements.items():
        value = getattr(message, name)
        if isinstance(element, Rest):
            items += element.plain(value)
        else:
            items.append(value if element.plain is None else element.plain(value))
    return items


def test_the_page_has_the_table() -> None:
    """The table in docs/wire.md says what the rows say."""
    table = "\n".join(["| kind | from | message | elements |", "|---|---|---|---|", *map(row, KINDS)])
    assert f"\n\n{table}\n\n" in SPECIFICATION, f"docs/wire.md has to have this table:\n{table}"


@pytest.mark.parametrize(("sender", "union"), [(Sender.CLIENT, m.ClientMessage), (Sender.BUS, m.ServerMessage)])
def test_every_class_has_one_row(sender: Sender, union: object) -> None:
    """What an end can say are the classes whose rows name it, each once."""
    classes = [kind.message for kind in KINDS if kind.sender in (sender, Sender.BOTH)]
    assert len(classes) == len(set(classes))
    assert set(classes) == set(get_args(union))


def test_numbers_are_given_once() -> None:
    """The rows are in the order of their numbers, none of which comes twice."""
    numbers = [kind.number for kind in KINDS]
    assert numbers == sorted(set(numbers))


@BY_KIND
def test_elements_are_the_fields_of_the_class(kind: Kind) -> None:
    """A row names all fields that travel, in the order of the class."""
    fields = [field.name for field in attrs.fields(kind.message) if field.name not in NEVER_TRAVELS]
    assert list(kind.elements) == fields


@BY_KIND
def test_only_the_last_field_is_a_rest(kind: Kind) -> None:
    """What takes all elements that are left stands at the end."""
    *others, _ = kind.elements.values()
    assert all(isinstance(element, Element) for element in others)


@pytest.mark.parametrize("sender", [Sender.CLIENT, Sender.BUS])
def test_frames_that_are_decoded_by_hand_begin_differently(sender: Sender) -> None:
    """The first two bytes tell which function decodes a frame."""
    openings = [kind.opening for kind in KINDS if kind.decode is not None and kind.sender is sender]
    assert len(openings) == len(set(openings)) > 0


@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda each: each.sender)
def test_messages_are_encoded_as_their_rows_say(direction: Direction) -> None:
    """A frame holds the elements of the row and nothing else, by whichever function it is encoded."""
    kinds = {kind.message: kind for kind in KINDS}
    for message in [*direction.messages, *direction.large_messages]:
        said = cbor2.dumps(array(kinds[type(message)], message))
        assert cbor2.loads(body_of(message)) == cbor2.loads(said)
