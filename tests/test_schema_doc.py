"""What docs/command-line.md says of ``t2bus schema``: its sessions go as shown, and its rules are those of the code."""

from __future__ import annotations

import enum
import re
import shlex
from datetime import date, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest

import t2bus
from cli_helpers import run
from schema_helpers import protocol_of
from t2bus.schema import compare, document

PAGE = Path(__file__).parents[1] / "docs" / "command-line.md"
_BLOCK = re.compile(r"^<!-- (?P<mark>.+?) -->\n```(?:python|text)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ t2bus (?P<words>.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)


def section() -> str:
    return PAGE.read_text(encoding="utf-8").partition("\n## Describing a program\n")[2].partition("\n## ")[0]


def write(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


async def test_sessions_go_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes the files of the section and runs its commands, from top to end, sees what it shows."""
    monkeypatch.chdir(tmp_path)
    commands = 0
    for block in _BLOCK.finditer(section()):
        if not block["mark"].startswith("run"):
            write(block["mark"], block["text"])
            continue
        for shown in _COMMAND.finditer(block["text"]):
            words, _, file = shown["words"].partition(" > ")
            code, output, said = await run(*shlex.split(words))
            assert (code, said) == (int(block["mark"][4:] or 0), "")
            if file:
                write(file, output)
            assert shown["output"] == ("" if file else output)
            commands += 1
    assert commands == section().count("$ t2bus")


# --- the rules


def record(name: str = "Record", **fields: Any) -> Any:
    """Make a class; of a field that is a tuple the second is its default."""
    made = {
        name: attrs.field(type=kind[0], default=kind[1]) if isinstance(kind, tuple) else attrs.field(type=kind)
        for name, kind in fields.items()
    }
    return attrs.make_class(name, made, frozen=True)


def request(prefix: str) -> Any:
    """Make a request with a prefix."""

    @attrs.frozen
    class Ask(t2bus.RequestProtocol[None], prefix=prefix):
        pass

    return Ask


A, B = record("A", a=int), record("B", b=int)

CHANGES: dict[str, tuple[Any, Any]] = {
    "a field with a default is added": (record(a=int), record(a=int, b=(int, 0))),
    "a field without a default is added": (record(a=int), record(a=int, b=int)),
    "a field with a default is removed": (record(a=int, b=(int, 0)), record(a=int)),
    "a field without a default is removed": (record(a=int, b=int), record(a=int)),
    "a field gets another name": (record(a=int), record(b=int)),
    "`int` becomes `int \\| None`, or a union gains a type": (int, int | None),
    "one class in a union becomes two": (A | None, A | B | None),
    "an enum or a `Literal` gains a value": (Literal["a"], Literal["a", "b"]),
    "a member of an enum that travels by name is renamed, and its old name kept as an alias": (
        enum.Enum("E", {"OLD": 1}),
        enum.Enum("E", {"NEW": 1, "OLD": 1}),
    ),
    "`int` becomes `float`": (int, float),
    "`date` becomes `datetime`, an address of `ipaddress` a network": (
        record(a=date, b=IPv4Address),
        record(a=datetime, b=IPv4Network),
    ),
    "`list` becomes `tuple[int, ...]`": (list[int], tuple[int, ...]),
    "`list` becomes `set`": (list[int], set[int]),
    "a class gets another name, outside of unions": (A, record("C", a=int)),
}


def rows() -> dict[str, list[str]]:
    """Return the two other cells of each row."""
    table = section().partition("| change |")[2].partition("\n\n")[0]
    cells = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in table.splitlines()[2:]]
    return {change: others for change, *others in cells}


@pytest.mark.parametrize("change", CHANGES)
def test_the_rules_are_those_of_the_code(change: str) -> None:
    """A row of the table says of each direction whether it breaks, and whether something is ignored."""
    findings = compare(*(document(protocol_of(kind)) for kind in CHANGES[change]))
    for cell, side in zip(rows()[change], ("old", "new"), strict=True):
        told = [each for each in findings if each.writer.startswith(side)]
        as_two = cell == "as one removed and one added"  # that has no default
        assert any(each.breaks for each in told) == (cell.startswith("breaks") or as_two), told
        is_ignored = any(each.text.endswith("is ignored") for each in told)
        assert cell.startswith("breaks") or is_ignored == (cell == "ignored" or as_two), told


def test_the_rules_of_prefixes_are_those_of_the_code() -> None:
    """The two rows about prefixes are true of publications and of requests."""
    here, there = request("here"), request("there")
    assert {each.breaks for each in compare(document(here), document(there))} == {True}
    assert [each.writer for each in compare(document(here), document()) if each.breaks] == ["old requesters"]
    one, other = protocol_of(int, prefix="here"), protocol_of(int, prefix="there")
    assert {each.breaks for each in compare(document(one), document(other))} == {True}
    assert [each.writer for each in compare(document(one), document()) if each.breaks] == ["old publishers"]


def test_every_rule_is_tested() -> None:
    """Each row of the table is one of the two tests above."""
    assert rows().keys() - CHANGES.keys() == {"a prefix gets another name", "a protocol is removed"}
    assert CHANGES.keys() <= rows().keys()
