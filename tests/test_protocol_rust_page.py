"""What docs/rust.md shows: its Python runs, values travel as what stands behind them, and its limits are true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cbor2
import pytest

import t2bus
from t2bus.protocol import decode, encode

PAGE = Path(__file__).parents[1] / "docs" / "rust.md"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHOWN = re.compile(r"^(\S.*?)  # (.+)$", re.MULTILINE)
BLOCKS = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
_ROW = re.compile(r"^\|[^|]+\| ([0-9][0-9, ]*) \| (`[^|]+`) \|$", re.MULTILINE)
SHOWN = [shown for language, text in BLOCKS if language == "python" for shown in _SHOWN.findall(text)]


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """Run all Python of the page, one block after the other, and return what it defines."""
    names: dict[str, Any] = {"__name__": __name__}
    for language, text in BLOCKS:
        if language == "python":
            exec(compile(text, PAGE.name, "exec", dont_inherit=True), names)
    return names


@pytest.mark.parametrize(("expression", "plain"), SHOWN)
def test_the_page_shows_what_travels(names: dict[str, Any], expression: str, plain: str) -> None:
    """What stands behind a value on the page is the plain item that it travels as."""
    payload = encode(eval(expression, names))
    assert cbor2.loads(payload) == json.loads(plain)


@pytest.mark.parametrize("expression", [expression for expression, _ in SHOWN])
def test_the_values_of_the_page_come_back(names: dict[str, Any], expression: str) -> None:
    """Each value on the page is read from its own payload."""
    value = eval(expression, names)
    assert decode(encode(value), type(value)) == value


def test_every_rust_block_has_its_python() -> None:
    """After the imports the page alternates between the two languages, and each pair shows a payload."""
    languages = [language for language, _ in BLOCKS]
    assert languages == ["python", *["rust", "python"] * (len(languages) // 2)]
    assert all(_SHOWN.search(text) for _, text in BLOCKS[2::2])


def test_the_limits_of_the_page_are_the_defaults() -> None:
    """Each bound in the table has the name of a limit, and the default that the page says."""
    named = {
        name: float(figure.replace(",", ""))
        for figures, names in _ROW.findall(PAGE.read_text(encoding="utf-8"))
        for name, figure in zip(re.findall(r"`(\w+)`", names), figures.split(", "), strict=True)
    }
    assert {"subscriptions", "topic_length", "connections_per_identity", "total_bytes"} < named.keys()
    assert named == {name: getattr(t2bus.Limits(), name) for name in named}
