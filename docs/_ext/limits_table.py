"""The table of :class:`t2bus.Limits`, made of its fields and their docstrings."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Final

import attrs

import t2bus

_SIZES: Final = ("frame",)
"""Bounds in bytes whose names do not end in ``_bytes``."""

_STEPS: Final = {"turn_steps": "steps", "matching_steps": "steps", "accepts": "a second"}


def text() -> str:
    """Return a table for each group of bounds, under the titles that their comments have in the source."""
    lines: list[str] = []
    defaults = attrs.asdict(t2bus.Limits())
    for title, fields in groups().items():
        lines += [f"## {title[0].upper()}{title[1:]}", "", ":::{container} stacked"]
        lines += ["| limit | default | what it bounds, and what happens there |", "|---|--:|---|"]
        lines += [f"| `{name}` | {amount(name, defaults[name])} | {said} |" for name, said in fields.items()]
        lines += [":::", ""]
    return "\n".join(lines)


def groups() -> dict[str, dict[str, str]]:
    """Return the docstring of each bound, by the comment that its group begins with."""
    path = Path(inspect.getsourcefile(t2bus.Limits) or "")
    source = path.read_text(encoding="utf-8")
    (cls,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "Limits")
    comments = {number: line.strip() for number, line in enumerate(source.splitlines(), 1)}
    found: dict[str, dict[str, str]] = {}
    for field, docstring in zip(cls.body, cls.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if (comment := comments[field.lineno - 1]).startswith("# --- "):
            found[comment.removeprefix("# --- ")] = {}
        assert isinstance(docstring, ast.Expr)
        assert isinstance(docstring.value, ast.Constant)
        said = str(docstring.value.value)
        found[list(found)[-1]][field.target.id] = " ".join(said.split()).replace("``", "`")
    return found


def amount(name: str, value: int | float) -> str:  # noqa: PYI041 -- which of the two it is makes a difference
    """Return a value with its unit: ``1 MiB``, ``5 s``, ``1,024``."""
    if isinstance(value, float):
        return f"{value:g} s"
    if name.endswith("_bytes") or name in _SIZES:
        unit, size = ("MiB", 1 << 20) if value >= 1 << 20 else ("KiB", 1 << 10)
        return f"{value / size:g} {unit}"
    return f"{value:,} {_STEPS.get(name, '')}".rstrip()
