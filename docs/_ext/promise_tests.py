"""The page of the tests that hold the promises, those of security too, made of their names and docstrings.

A test whose name begins with ``test_promise_06_`` is one of the sixth promise. Others are named in a comment of the
section that promises something: ``<!-- tests: test_this TestThese.test_that -->``.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING, Final

from root_pages import ROOT, SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    Told = tuple[str, int, str]
    """Where a test is: its file, relative to the root, and its line; and what its docstring says."""

PROMISES: Final = ROOT / "docs" / "promises.md"
SECURITY: Final = ROOT / "docs" / "security.md"

_NAMED: Final = re.compile(r"^<!-- tests:\s(.+?)\s-->$", re.MULTILINE | re.DOTALL)
_NUMBER: Final = re.compile(r"test_promise_(\d+)_")


def text() -> str:
    """Return a section for each promise, with what each of its tests shows."""
    tests = all_tests()
    lines: list[str] = []
    for title, names in promised(tests).items():
        lines += [f"## {title}", "", *_told(tests, names)]
    lines += ["## Security", "", "What the page on [security](security.md) promises.", ""]
    for title, names in promised_of_security().items():
        lines += [f"### {title}", "", *_told(tests, names)]
    return "\n".join(lines)


def _told(tests: dict[str, list[Told]], names: list[str]) -> Iterator[str]:
    for name in names:
        for path, line, said in tests[name]:
            yield from (f"[{name}]({SOURCES}{path}#L{line})", f": {said}", "")


def promised(tests: dict[str, list[Told]]) -> dict[str, list[str]]:
    """Return the names of the tests of each promise, by its title, which begins with its number."""
    found: dict[str, list[str]] = {}
    for title, others in _sections(PROMISES.read_text(encoding="utf-8"), "## "):
        number = int(title.partition(".")[0])
        own = [name for name in tests if (of := _NUMBER.match(name)) and int(of[1]) == number]
        found[title] = own + others
    return found


def promised_of_security() -> dict[str, list[str]]:
    """Return the names of the tests of each promise of the page on security, by its title."""
    return dict(_sections(SECURITY.read_text(encoding="utf-8"), "### "))


def _sections(page: str, heading: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the title of each section at this depth, and the tests that it names."""
    for part in re.split(r"^(?=##)", page, flags=re.MULTILINE):
        if part.startswith(heading):
            title = part.partition("\n")[0].removeprefix(heading)
            yield title, [name for names in _NAMED.findall(part) for name in names.split()]


@cache
def all_tests() -> dict[str, list[Told]]:
    """Return what is told of each test by its name, which several may have; a method has its class before its own."""
    found: dict[str, list[Told]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        place = path.relative_to(ROOT).as_posix()
        for name, function in _functions(ast.parse(path.read_text(encoding="utf-8"))):
            said = " ".join((ast.get_docstring(function) or "").replace("``", "`").split())
            found.setdefault(name, []).append((place, function.lineno, said))
    return found


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for function in inner:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test_"):
                yield f"{prefix}{function.name}", function
