r"""Mistakes in a file of TOML: all of them instead of the first, each with the line that it is in.

::

    mistakes = Mistakes(InvalidAccess)
    for name, value in document.items():
        with mistakes.at(name):
            raise InvalidAccess("it must be a table")
    mistakes.found[0].show("access.toml", text)  # access.toml:3: it must be a table

:func:`typed`, :func:`texts` and :func:`require_known` look at what was read. A library that reads TOML gives values
without their places, so a line is found by the keys that lead there:

    >>> line_of('[limits]\n# at night\nframe = 0\n', ("limits", "frame"))
    3
    >>> line_of('tls = { ca = 1 }\n', ("tls", "ca"))
    1

The law of this module: standard library and attrs only. A line that is not found is left out, never guessed.
"""

from __future__ import annotations

import re
import tomllib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Mapping, Sequence

_KEY: Final = r"""(?:[A-Za-z0-9_-]+|"[^"\\\n]*"|'[^'\n]*')"""
_KEYS: Final = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_TABLE: Final = re.compile(rf"[ \t]*\[[ \t]*({_KEYS})[ \t]*\][ \t]*(?:#.*)?")
_VALUE: Final = re.compile(rf"[ \t]*({_KEYS})[ \t]*=")


@frozen
class Mistake:
    """What is wrong, and the keys that lead to it; none where it is the whole file that is wrong."""

    keys: tuple[str, ...]
    error: Exception

    @property
    def text(self) -> str:
        """What is wrong, without its place."""
        return str(self.error)

    def show(self, name: str, text: str) -> str:
        """Return the mistake in one line that begins with the name of the file, whose text this is."""
        line = line_of(text, self.keys)
        return f"{name}: {self.text}" if line is None else f"{name}:{line}: {self.text}"


@define(eq=False)
class Mistakes:
    """Gathers what is raised for one place in a file, so that the next place is looked at too."""

    kind: type[Exception]
    """What is gathered; anything else leaves."""
    found: list[Mistake] = field(factory=list, init=False)
    _keys: list[str] = field(factory=list, init=False)

    @contextmanager
    def at(self, *keys: str) -> Generator[None, None, None]:
        """Take a mistake of the body for one of these keys, which are below those of the bodies around it."""
        before = len(self._keys)
        self._keys += keys
        try:
            yield
        except self.kind as error:
            self.found.append(Mistake(tuple(self._keys), error))
        finally:
            del self._keys[before:]


def read_toml(text: str) -> dict[str, Any]:
    """Return what a text of TOML says.

    Raises:
      ValueError: it is none. Usually the error is a ``TOMLDecodeError``, which says where.

    """
    try:
        return tomllib.loads(text)
    except RecursionError:  # without a cause, whose traceback would be a thousand lines
        raise ValueError("it is nested too deeply") from None


_KINDS: Final[dict[type, str]] = {
    dict: "table",
    str: "text in quotes",
    bool: "true or false",
    list: "list of texts",
    int: "whole number",
    float: "number",
}


def typed(table: Mapping[str, Any], name: str, kind: type, default: Any, *, error: type[Exception]) -> Any:
    """Return a value of a table if it is of this type, or the default if there is none; else raise an error."""
    value = table.get(name, default)
    if name in table and type(value) not in ((int, float) if kind is float else (kind,)):
        raise error(f"{name}: this is no {_KINDS[kind]}")
    return value


def texts(table: Mapping[str, Any], name: str, *, error: type[Exception]) -> tuple[str, ...]:
    """Return a list of texts from a table, empty if there is none; ``peers = [100]`` is an error."""
    value = typed(table, name, list, [], error=error)
    if not all(isinstance(each, str) for each in value):
        raise error(f"{name}: this is no {_KINDS[list]}")
    return tuple(value)


def require_known(names: Iterable[str], known: Collection[str], what: str, *, error: type[Exception]) -> None:
    """Raise an error for a name that is not known, with the nearest that is, or else with all of them."""
    for name in names:
        if name not in known:
            from difflib import get_close_matches  # noqa: PLC0415 -- only for an error

            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise error(f"{name!r} is no {what}: {hint}")


def line_of(text: str, keys: Sequence[str]) -> int | None:
    """Return the line, from 1 on, where the value is that the keys lead to, or the nearest one around it."""
    table: tuple[str, ...] = ()
    nearest, depth = None, 0
    for number, line in enumerate(text.splitlines(), 1):
        if found := _TABLE.fullmatch(line):
            place = table = _names(found[1])
        elif found := _VALUE.match(line):
            place = (*table, *_names(found[1]))
        else:
            continue
        if depth < len(place) <= len(keys) and place == tuple(keys[: len(place)]):
            nearest, depth = number, len(place)
    return nearest


def _names(keys: str) -> tuple[str, ...]:
    """Read a key with dots."""
    return tuple(key.strip("\"'") for key in re.findall(_KEY, keys))
