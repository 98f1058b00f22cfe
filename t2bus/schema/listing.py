"""A document as text for people: the topics of a program, and the fields of what passes there.

::

    hello/**  publish Hello
        A greeting.
        text: str  What is said.
        count: int = 0

    measure/**  request Measure -> Reading
        samples: int = 1

    Reading
        celsius: float

The law of this module: it shows what the document says, which may be of another version, or of another program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.layouts import Alias, ClassLayout, Either, Entries, Layout, Positions, Repeated, Variant, Written
from .reading import protocols_of
from .words import words_of

if TYPE_CHECKING:
    from .asyncapi import Document


def listing(document: Document) -> str:
    """Return the topics, classes and fields that a document tells of, as lines of text.

    Raises:
      BadDocument: it is none that t2bus could have written.

    """
    protocols = protocols_of(document)
    blocks: list[str] = []
    classes: dict[int, ClassLayout | Alias] = {}
    for protocol in protocols:
        answer = "" if protocol.response is None else f" -> {words_of(protocol.response)}"
        head = f"{protocol.prefix}/**  {protocol.role} {protocol.name}{answer}"
        blocks.append("\n".join([head, *_body(protocol.message)]))
        _gather(protocol.message, classes)
        _gather(protocol.response or Either(()), classes)
    messages = {id(protocol.message) for protocol in protocols}
    others = [layout for layout in classes.values() if id(layout) not in messages]
    return "\n\n".join(blocks + ["\n".join([_title(each), *_body(each)]) for each in others])


def _title(layout: ClassLayout | Alias) -> str:
    """Return the name of a class, and its shape if that is no map; of an alias what it stands for."""
    if isinstance(layout, Alias):
        assert layout.target is not None, "it was read from a document"
        return f"{layout.name} = {words_of(layout.target, whole=True)}"
    return f"{layout.name}  {layout.shape}" if layout.shape else layout.name


def _body(layout: Layout) -> list[str]:
    """Return the lines of a class: its docstring, and a line for each field."""
    if not isinstance(layout, ClassLayout):
        return []
    lines = [f"    {line}".rstrip() for line in layout.doc.splitlines()]
    fields = [
        f"{field.name}: {words_of(field.layout, whole=True)}{f' = {field.default}' if field.default else ''}"
        for field in layout.fields
    ]
    width = max((len(text) for text, field in zip(fields, layout.fields, strict=True) if field.doc), default=0)
    for text, field in zip(fields, layout.fields, strict=True):
        lines.append(f"    {text:{width}}  {' '.join(field.doc.split())}".rstrip())
    return lines


def _gather(layout: Layout, found: dict[int, ClassLayout | Alias]) -> None:
    """Put the classes and aliases in a layout into ``found``, each before those in it."""
    if isinstance(layout, ClassLayout | Alias):
        if id(layout) in found:
            return
        found[id(layout)] = layout
    for part in _parts(layout):
        _gather(part, found)


def _parts(layout: Layout) -> tuple[Layout, ...]:
    match layout:
        case ClassLayout():
            return tuple(field.layout for field in layout.fields)
        case Alias():
            return () if layout.target is None else (layout.target,)
        case Either():
            return layout.members
        case Positions():
            return layout.parts
        case Repeated():
            return (layout.part,)
        case Entries():
            return (layout.key, layout.part)
        case Variant():
            return (layout.layout,)
        case Written():
            return (layout.wire,)
        case _:
            return ()
