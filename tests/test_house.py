"""The house rules that no linter checks, read from the source."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "t2bus"
MODULES = sorted(PACKAGE.rglob("*.py"))
TEST_MODULES = sorted((ROOT / "tests").rglob("test_*.py"))

LONGEST_FUNCTION = 40
LONGEST_MODULE = 350

SHOW_OR_JUDGE_DATES = {
    "t2bus/certs/folder.py",
    "t2bus/chain.py",
    "t2bus/cli/event_lines.py",
    "t2bus/cli/message_lines.py",
    "t2bus/cli/subscribing.py",
    "t2bus/server/federated.py",
    "t2bus/server/warnings.py",
}
"""What has to know the date: lines for people, certificates, and servers that compare the ages of two claims."""

ON_BOTH_SIDES = {"connection", "outbox", "pubsub", "requests", "service", "status"}
"""Parts that a bus and a client both have: each has a module of that name."""

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_submodule(name: str) -> bool:
    return (PACKAGE / f"{name}.py").exists() or (PACKAGE / name / "__init__.py").exists()


def is_bare(node: ast.Import | ast.ImportFrom, path: Path) -> bool:
    """Whether this takes a name out of ``t2bus/__init__.py``; ``from t2bus import topic`` takes a module."""
    if isinstance(node, ast.Import):
        return any(name.name == "t2bus" for name in node.names)
    above = len(path.relative_to(ROOT).parts) - 1
    from_package = node.module == "t2bus" if node.level == 0 else node.module is None and node.level == above
    return from_package and not all(is_submodule(name.name) for name in node.names)


def reads_wall_clock(node: ast.AST) -> bool:
    """Whether this is ``time.time``, ``time.time_ns`` or a ``now`` of a ``datetime``."""
    if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
        return False
    return (node.value.id, node.attr) in {("time", "time"), ("time", "time_ns"), ("datetime", "now")}


def length(function: Function) -> int:
    """Its lines from `def` to its last one, without those of the docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        assert docstring.end_lineno is not None
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def is_one_sentence(docstring: str | None) -> bool:
    """Whether it ends in a full stop, and neither a second sentence nor a second paragraph begins in it."""
    return re.fullmatch(r"(?:(?![.!?]\s+[A-Z]|\n\s*\n).)+\.", docstring or "", re.DOTALL) is not None


@frozen
class Facts:
    """What the tests ask of a module. Its tree is not kept: the collector would look at it in every test after."""

    bare_imports: list[int]
    """Their lines."""
    long_functions: dict[str, int]
    clock_reads: list[str]
    classes: list[str]
    unstated: list[str]
    """Tests that do not say in one sentence what they show."""


@cache
def facts(path: Path) -> Facts:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))))
    functions = [node for node in nodes if isinstance(node, Function)]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    tests = [node for node in functions if node.name.startswith("test")]
    return Facts(
        [node.lineno for node in imports if is_bare(node, path)],
        {node.name: length(node) for node in functions if length(node) > LONGEST_FUNCTION},
        [ast.unparse(node) for node in nodes if reads_wall_clock(node)],
        [node.name for node in nodes if isinstance(node, ast.ClassDef) and not node.name.startswith("_")],
        [node.name for node in tests if not is_one_sentence(ast.get_docstring(node))],
    )


def test_no_module_imports_the_bare_package() -> None:
    """Nothing inside t2bus imports the public names from above it."""
    assert {relative(path): lines for path in MODULES if (lines := facts(path).bare_imports)} == {}


def test_modules_are_short() -> None:
    """A module is at most 350 lines long."""
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_functions_are_short() -> None:
    """A function is at most 40 lines long, its docstring not counted."""
    assert {relative(path): found for path in MODULES if (found := facts(path).long_functions)} == {}


def test_the_wall_clock_is_for_dates() -> None:
    """The wall clock, which may be set at any time, is read where dates are shown or judged, and nowhere else."""
    assert {relative(path) for path in MODULES if facts(path).clock_reads} <= SHOW_OR_JUDGE_DATES


def test_no_class_name_stands_twice() -> None:
    """A name of a class means one thing."""
    count = Counter(name for path in MODULES for name in facts(path).classes)
    assert {name for name, times in count.items() if times > 1} == set()


def test_a_module_name_stands_twice_for_two_sides_only() -> None:
    """A name of a module means one thing, or the same part of a bus and of a client."""
    count = Counter(path.stem for path in MODULES if path.stem != "__init__")
    assert {name for name, times in count.items() if times > 1} == ON_BOTH_SIDES
    assert max(count.values()) == 2


@pytest.mark.parametrize("path", [path for path in MODULES if ">>> " in path.read_text(encoding="utf-8")], ids=relative)
def test_examples_are_true(path: Path) -> None:
    """What a docstring shows of an interactive session is what Python answers."""
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert doctest.testmod(module).failed == 0


def test_tests_state_their_fact() -> None:
    """Every test says in one sentence what it shows."""
    assert {relative(path): names for path in TEST_MODULES if (names := facts(path).unstated)} == {}
