"""What docstrings of t2bus need before napoleon reads them, and what the fields of a class say of themselves.

The law of this module: it changes lines and knows classes, and nothing of pages.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin, get_type_hints

import attrs
from sphinx.pycode import ModuleAnalyzer

if TYPE_CHECKING:
    from collections.abc import Iterator

_LAW: Final = re.compile(r"The laws? of this module")
_WHEN: Final = re.compile(r"Raises, (?P<when>.+):")


def words_of_data(module: str, name: str) -> list[str]:
    """Return the docstring of a constant, which may be defined in a module below the public one."""
    homes = [home for home in sorted(sys.modules) if home == module or home.startswith(f"{module}.")]
    found = (ModuleAnalyzer.for_module(home).find_attr_docs().get(("", name)) for home in homes)
    return next((list(lines) for lines in found if lines), [])


def words_for_checkers(module: str, name: str) -> list[str]:
    """Return the docstring of the first function of this name in the source of a module."""
    tree = ast.parse(ModuleAnalyzer.for_module(module).code)
    function = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name)
    return (ast.get_docstring(function) or "").splitlines()


def leave_out_the_law(lines: list[str]) -> None:
    """Take out what a module says to those who change it, which is always the last but for how to get it."""
    for number, line in enumerate(lines):
        if _LAW.match(line):
            rest = lines[number:]
            end = rest.index("") if not line.rstrip().endswith(":") else len(rest)
            del lines[number : number + end]
            return


def leave_to_members(cls: type | None, lines: list[str]) -> None:
    """Take from the section ``Attributes:`` what is told with the member itself, and the section if nothing is left."""
    if cls is not None and "Attributes:" in lines:
        told = _in_body(cls)
        begin = lines.index("Attributes:")
        kept = [f"  {line}" for name, words in _section(lines[begin + 1 :]) if name not in told for line in words]
        del lines[begin:]
        lines += ["Attributes:", *kept] if kept else []


def _in_body(cls: type) -> set[str]:
    return {name for base in cls.__mro__ for name in vars(base).get("__annotations__", {})}


def attributes(cls: type) -> dict[str, list[str]]:
    """Return what the docstring of a class says of its attributes that its body has, as their own docstrings."""
    lines = (inspect.getdoc(cls) or "").splitlines()
    section = _section(lines[lines.index("Attributes:") + 1 :]) if "Attributes:" in lines else ()
    return {name: _paragraph(words) for name, words in section if name in _in_body(cls)}


def _section(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each name that a section tells of, which is the last of a docstring, and its lines."""
    words: list[str] = []
    for line in inspect.cleandoc("\n".join(["", *lines])).splitlines():
        if words and line and not line.startswith(" "):
            yield words[0].partition(":")[0], words
            words = []
        words.append(line)
    if words:
        yield words[0].partition(":")[0], words


def _paragraph(words: list[str]) -> list[str]:
    """Return ``name: what it is`` as a sentence without the name."""
    said = " ".join(line.strip() for line in words).partition(": ")[2]
    return [f"{said[:1].upper()}{said[1:]}", ""]


def divide_raises(lines: list[str]) -> None:
    """Make ``Raises, where the class is defined:`` a sentence of its own and the section that napoleon knows."""
    for number, line in enumerate(lines):
        if found := _WHEN.fullmatch(line):
            when = found["when"]
            lines[number : number + 1] = [f"{when[0].upper()}{when[1:]}:", "", "Raises:"]


def class_of(owner: str) -> type | None:
    """Return the class of this public name, or None if it is a module."""
    module, _, name = owner.rpartition(".")
    return getattr(importlib.import_module(module), name, None) if module else None


def values(owner: str, field: str) -> tuple[Any, ...]:
    """Return the values of a field whose type is a ``Literal``."""
    cls = class_of(owner)
    if cls is None or not attrs.has(cls):
        return ()
    try:
        kind = get_type_hints(cls).get(field)
    except NameError:  # imported for type checkers only
        return ()
    return get_args(kind) if get_origin(kind) is Literal else ()


def default_of(owner: str, field: str) -> str:
    """Return what the page says of the default of an attrs field, or nothing."""
    cls = class_of(owner)
    if cls is None or not attrs.has(cls):
        return ""
    found = attrs.fields_dict(cls).get(field)
    if found is None:
        return ""
    if found.default is attrs.NOTHING:
        return ""
    if hasattr(found.default, "factory"):  # it is worked out for each object
        return ""
    return f"By default ``{found.default!r}``."
