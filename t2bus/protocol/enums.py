"""Enumerations: the adapters of the classes of :mod:`enum`.

::

    RED = "red"               Color.RED travels as "red"
    LOW = auto()              Level.LOW travels as "LOW"
    READ = 1; WRITE = 2       Rights.READ | Rights.WRITE travels as 3, where Rights is a Flag

The theory. What travels has to mean the same in the next version of a program. A text does, and a value that is used as
such, as the number of an ``IntEnum`` is. Any other value is the program's own, and the name stands for it.

The law of this module: it decides by the class alone, so that all members travel in one way.
"""

from __future__ import annotations

from contextlib import suppress
from enum import Enum, Flag
from typing import TYPE_CHECKING, Any, TypeGuard

from .adapters import Refusal, TypeAdapter, name_of, union
from .layouts import Bits, Choices
from .scalars import STR, travels_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .layouts import Layout


def is_enum(type_: Any) -> TypeGuard[type[Enum]]:
    """Whether it is an enumeration."""
    return isinstance(type_, type) and issubclass(type_, Enum)


def enumeration(kind: type[Enum], compile_: Callable[[Any], TypeAdapter]) -> TypeAdapter:
    """Make the adapter of an enumeration. ``compile_`` makes those of the types of its values.

    Its values travel if they are text or mean something by themselves, as those of flags and of an ``IntEnum`` do.
    Otherwise the names of the members travel: a number from ``auto()`` changes when a member is added before it.
    """
    meaningful = issubclass(kind, Flag) or all(isinstance(member, type(member.value)) for member in kind)
    if meaningful or all(type(member.value) is str for member in kind):
        kinds: Iterable[TypeAdapter] = map(compile_, dict.fromkeys(type(member.value) for member in kind))
        values = [member.value for member in kind]
        adapter = union(name_of(kind), kinds)
        layout: Layout = _bits(kind) if issubclass(kind, Flag) else Choices(kind.__name__, _travelling(adapter, values))
        return travels_as(adapter, kind, lambda member: member.value, kind, values=values, layout=layout)
    also = {name: str(member.name) for name, member in kind.__members__.items() if name != member.name}
    layout = Choices(kind.__name__, tuple(member.name for member in kind), also)
    return travels_as(STR, kind, lambda member: member.name, kind.__getitem__, values=kind.__members__, layout=layout)


def _bits(kind: type[Flag]) -> Bits:
    boundary = getattr(kind, "_boundary_")  # noqa: B009 -- documented, but typeshed has it not
    return Bits(kind.__name__, {name: member.value for name, member in kind.__members__.items()}, boundary.name)


def _travelling(adapter: TypeAdapter, values: Iterable[Any]) -> tuple[Any, ...]:
    """Return the plain items of the values that can travel: an enumeration may have a number of more than 64 bits."""
    items = []
    for value in values:
        with suppress(Refusal):
            items.append(adapter.to_plain(value))
    return tuple(items)
