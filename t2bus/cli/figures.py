"""Figures as people read them, and as programs do.

::

    >>> show(123_456, Unit.COUNT, human=True), show(123_456, Unit.COUNT, human=False)
    ('123k', '123456')
    >>> show(1_500_000, Unit.BYTES, human=True), show(7384.5, Unit.SECONDS, human=True)
    ('1.43 MiB', '2h03m')
    >>> show(None, Unit.COUNT, human=True)
    '-'

On a terminal a large figure has three digits and a unit, so that columns are narrow and orders of magnitude are seen.
In a pipe it is the whole number, for programs that add and compare.

The law of this module: pure, and every figure is short and ASCII, whatever its value.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

NONE: Final = "-"
"""Stands where there is nothing to show, so that a row has as many words as there are columns."""

_WHOLE: Final = 10_000
"""Counts below are short enough as they are."""

_TIMES: Final = (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1))
"""Each unit of time with the smaller one that is shown behind it."""


class Unit(Enum):
    """What a figure counts."""

    TEXT = auto()
    """Nothing: it is a name, or a number that is one."""
    COUNT = auto()
    BYTES = auto()
    SECONDS = auto()


def show(value: float | str | list[str] | None, unit: Unit, *, human: bool) -> str:
    """Return a figure in its unit: rounded for people, whole for programs. Text stays as it is, unless it is empty."""
    if value is None or value in ("", []):
        return NONE
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(value)
    if not human or unit is Unit.TEXT:
        return str(value) if isinstance(value, int) else f"{value:.1f}"
    match unit:
        case Unit.SECONDS:
            return _time(value)
        case Unit.BYTES:
            return _scaled(value, 1024, (" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"))
        case _ if isinstance(value, int) and value < _WHOLE:
            return str(value)
        case _:
            return _scaled(value, 1000, ("", "k", "M", "G", "T", "P", "E"))


def _scaled(value: float, step: int, units: tuple[str, ...]) -> str:
    """Return a figure with three digits and the unit in which that is enough."""
    is_whole = isinstance(value, int)
    for unit in units[:-1]:
        if round(value) < step:
            return f"{value if is_whole else _three_digits(value)}{unit}"
        value, is_whole = value / step, False
    return f"{_three_digits(value)}{units[-1]}"


def _three_digits(value: float) -> str:
    """Return a number of less than a thousand with three digits; a rate of zero is short, for most rates are."""
    if value == 0:
        return "0"
    for text in (f"{value:.2f}", f"{value:.1f}"):
        if len(text) == len("1.23"):
            return text
    return f"{value:.0f}"


def _time(seconds: float) -> str:
    """Return a time in its two largest units: ``42s``, ``3m05s``, ``2h03m``, ``12d07h``."""
    whole = max(0, int(seconds))
    for unit, size, smaller, part in _TIMES:
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part:02}{smaller}"
    return f"{whole}s"
