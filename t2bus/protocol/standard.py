"""The standard library: how its values travel that are neither plain items nor have parts.

::

    date(2024, 2, 29)           "2024-02-29"
    timedelta(seconds=2)        2000000
    IPv4Network("10.0.0.0/8")   "10.0.0.0/8"
    Path("/var/log")            "/var/log"

The theory. Each has one spelling as text that it reads back itself, and that other languages know. So a value travels
as that text, in the way that its own documentation recommends.

The law of this module: no spelling costs its reader more than its length. ``Fraction("1e1000000000")`` would.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import attrs

from .adapters import Conversion, Refusal, TypeAdapter
from .layouts import NONE_WRITTEN
from .scalars import INT, STR, travels_as

if TYPE_CHECKING:
    from collections.abc import Iterable

_RATIO: Final = re.compile("-?[0-9]+(/[0-9]+)?")


def _isoformat(value: datetime | time) -> str:
    """Return a time as text. One that Python reads back wrongly is refused: it takes ``+00:00:00.000001`` for UTC."""
    offset = value.utcoffset()
    if offset is not None and offset.microseconds:
        raise Refusal("an offset of a fraction of a second cannot travel")
    return value.isoformat()


def _ratio(text: str) -> Fraction:
    """Read a fraction as it is written. Python takes exponents too, and computes what they stand for."""
    if not _RATIO.fullmatch(text):
        raise ValueError("not as a fraction is written")
    return Fraction(text)


def _path(kind: type[PurePath]) -> TypeAdapter:
    """Make the adapter of a kind of path. Of ``Path`` the values are of another class, that of the system."""

    def write(path: PurePath) -> str:
        text = str(path)
        if kind is PureWindowsPath and kind(text) != path:  # Python 3.11 reads a few of them otherwise, such as //a//
            raise Refusal("a path that is not read as it is written cannot travel")
        return text

    return travels_as(STR, type(kind()), write, kind, name=kind.__name__, heirs=True)


def _spelled(kind: type, read: Conversion | None = None) -> TypeAdapter:
    """Make the adapter of a type that ``str`` writes and that reads it itself."""
    return travels_as(STR, kind, str, read or kind)


STANDARD: Final[dict[Any, TypeAdapter]] = {
    datetime: travels_as(STR, datetime, _isoformat, datetime.fromisoformat),
    date: travels_as(STR, date, date.isoformat, date.fromisoformat),
    time: travels_as(STR, time, _isoformat, time.fromisoformat),
    timedelta: travels_as(INT, timedelta, lambda delta: delta // timedelta.resolution, timedelta.resolution.__mul__),
    Fraction: _spelled(Fraction, _ratio),
    **{kind: _spelled(kind) for kind in (Decimal, UUID)},
    **{kind: _spelled(kind) for kind in (IPv4Address, IPv4Network, IPv4Interface)},
    **{kind: _spelled(kind) for kind in (IPv6Address, IPv6Network, IPv6Interface)},
    **{kind: _path(kind) for kind in (Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath)},
}

_FAMILIES: Final = (
    (IPv4Address, IPv6Address, ip_address),
    (IPv4Network, IPv6Network, ip_network),
    (IPv4Interface, IPv6Interface, ip_interface),
)
"""Pairs of types of which no text is both, and the function that tells which it is."""


def families(members: Iterable[Any]) -> list[tuple[set[Any], list[TypeAdapter]]]:
    """Return the pairs among the members of a union whose texts do not look alike.

    Each comes with its adapters: those that write, and the one that reads for all.
    """
    found = []
    for first, second, read in _FAMILIES:
        if {first, second} <= set(members):
            writers = [attrs.evolve(STANDARD[kind], plain_types=frozenset()) for kind in (first, second)]
            name = f"{first.__name__} | {second.__name__}"
            reader = travels_as(STR, object, str, read, name=name, layout=NONE_WRITTEN)
            found.append(({first, second}, [*writers, attrs.evolve(reader, value_types=frozenset())]))
    return found
