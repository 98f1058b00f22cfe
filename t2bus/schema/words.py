"""Layouts in the words of Python: ``list[Point | None]``, for findings and listings.

The law of this module: no text is longer than it is useful, and a type that leads back to itself is named.
"""

from __future__ import annotations

from typing import assert_never

from ..protocol.layouts import (
    Alias,
    AnyPlain,
    Basic,
    Bits,
    Choices,
    ClassLayout,
    Either,
    Entries,
    Layout,
    Positions,
    Repeated,
    Variant,
    Written,
)


def words_of(layout: Layout, *, whole: bool = False) -> str:
    """Return the type that a layout is of. ``whole`` ones say the values of enumerations."""
    match layout:
        case Basic() | ClassLayout() | Alias():
            return layout.name
        case Written():
            return f"{layout.name} (as {words_of(layout.wire)})" if whole and layout.is_own else layout.name
        case Choices():
            values = ", ".join(map(repr, layout.values))
            return layout.name if layout.name and not whole else f"{layout.name or 'Literal'}[{values}]"
        case Bits():
            return f"{layout.name}[{' | '.join(layout.members)}]" if whole else layout.name
        case Repeated():
            more = ", ..." if layout.kind == "tuple" else ""
            return f"{layout.kind}[{words_of(layout.part, whole=whole)}{more}]"
        case Positions():
            return f"tuple[{', '.join(words_of(part, whole=whole) for part in layout.parts) or '()'}]"
        case Entries():
            return f"dict[{words_of(layout.key, whole=whole)}, {words_of(layout.part, whole=whole)}]"
        case Variant():
            return words_of(layout.layout, whole=whole)
        case Either():
            return " | ".join(dict.fromkeys(words_of(member, whole=whole) for member in layout.members))
        case AnyPlain():
            return "Any"
        case _:
            assert_never(layout)
