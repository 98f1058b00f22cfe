"""The page of the tests that hold the promises, made of their names and docstrings.

A test whose name begins with ``test_promise_06_`` is one of the sixth promise. Others are named in a comment of that
promise's section: ``<!-- tests: test_this test_that -->``.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
PROMISES: Final = ROOT / "docs" / "promises.md"
SOURCES: Final = "https://github.com/t2bus/t2bus/blob/main/"

_TITLE: Final = re.compile(r"^## (?P<number>\d+)\. (?P<words>.+)$", re.MULTILINE)
_OTHERS: Final = re.compile(r"^<!-- tests: (.+) -->$", re.MULTILINE)
_NUMBER: Final = re.compile(r"test_promise_(\d+)_")

Told = tuple[str, int, str]
"""Where a test is, relative to the root: its file, its line; and what its docstring says."""


def text() -> str:
    """Return a section for each promise, with what each of its tests shows."""
    tests = dict(all_tests())
    lines: list[str] = []
    for title, names in promised(tests).items():
        lines += [f"## {title}", ""]
        for name in names:
            path, line, said = tests[name]
            lines += [f"[{name}]({SOURCES}{path}#L{line})", f": {said}", ""]
    return "\n".join(lines)


def promised(tests: dict[str, Told]) -> dict[str, list[str]]:
    """Return the names of the tests of each promise, by its title; raises ``KeyError`` for one that there is not."""
    page = PROMISES.read_text(encoding="utf-8")
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]
    found: dict[str, list[str]] = {}
    for part in parts:
        title = _TITLE.match(part)
        assert title is not None, part
        number = int(title["number"])
        own = [name for name in tests if (of := _NUMBER.match(name)) and int(of[1]) == number]
        others = [name for names in _OTHERS.findall(part) for name in names.split()]
        if absent := [name for name in others if name not in tests]:
            raise KeyError(f"{title['words']}: there is no {', '.join(absent)}")
        found[title[0].removeprefix("## ")] = own + others
    return found


def all_tests() -> Iterator[tuple[str, Told]]:
    """Yield the name of each test that is a function, in the order of files and lines, and what is told of it."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                said = " ".join((ast.get_docstring(node) or "").replace("``", "`").split())
                yield node.name, (path.relative_to(ROOT).as_posix(), node.lineno, said)
