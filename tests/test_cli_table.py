"""Figures and tables of the command line: short, aligned, never wider than the screen, and printable."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2bus.cli.figures import Unit, show
from t2bus.cli.table import Column, cut, table, width_of

CELLS = st.text(max_size=40) | st.text("aé炉\u0301\x1b\n ", max_size=40)

COLUMNS = st.lists(st.sampled_from([Unit.TEXT, Unit.COUNT]), min_size=1, max_size=6).map(
    lambda units: [Column(f"T{number}", "", unit) for number, unit in enumerate(units)]
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Column], list[list[str]]]:
    """Columns, and rows that have so many cells."""
    columns = draw(COLUMNS)
    row = st.lists(CELLS, min_size=len(columns), max_size=len(columns))
    return columns, draw(st.lists(row, max_size=5))


# --- tables


@given(tables(), st.none() | st.integers(1, 120), st.booleans())
def test_lines_are_printable(drawn: tuple[list[Column], list[list[str]]], width: int | None, ascii_only: bool) -> None:
    """Whatever the cells are, each row is one line without a control character, in ASCII where that is asked for."""
    columns, cells = drawn
    lines = table(columns, cells, width=width, ascii_only=ascii_only)
    assert len(lines) == len(cells) + 1
    assert all(line.isprintable() for line in lines)
    assert not ascii_only or all(line.isascii() for line in lines)


@given(tables(), st.integers(1, 120))
def test_lines_fit(drawn: tuple[list[Column], list[list[str]]], width: int) -> None:
    """No line is wider than the screen."""
    columns, cells = drawn
    assert all(width_of(line) <= width for line in table(columns, cells, width=width))


@given(tables())
def test_nothing_is_cut_without_a_width(drawn: tuple[list[Column], list[list[str]]]) -> None:
    """In a pipe every cell is there, whole, and all columns are."""
    columns, cells = drawn
    for line, row in zip(table(columns, cells, width=None)[1:], cells, strict=True):
        for text in row:
            shown = text if text.isprintable() else text.encode("unicode_escape").decode()
            assert text.isprintable() <= (shown.strip() in line)


@given(tables())
def test_columns_are_aligned(drawn: tuple[list[Column], list[list[str]]]) -> None:
    """Figures end, and texts begin, in the same cell of the screen in each line."""
    columns, cells = drawn
    closed = [*columns, Column("END", "")]
    lines = table(closed, [[*row, "x"] for row in cells], width=None)
    assert len({width_of(line[: -len("END" if number == 0 else "x")]) for number, line in enumerate(lines)}) == 1


def test_texts_are_cut_before_columns_are() -> None:
    """The widest text gives way first, and the columns on the right go when texts are as short as may be."""
    columns = [Column("NAME", "name"), Column("TOPIC", "topic"), Column("MSGS", "messages", Unit.COUNT)]
    cells = [["recorder.py[47]", "a/very/long/topic/of/many/fragments", "12345"]]
    assert table(columns, cells, width=50)[1] == "recorder.py[47]  a/very/long/topic/of/many…  12345"
    assert table(columns, cells, width=39)[1] == "recorder.py[47]  a/very/long/topic/of/…"
    assert table(columns, cells, width=20)[1] == "recorder.py[47]"
    assert table(columns, cells, width=5)[1] == "reco…"


@pytest.mark.parametrize(
    ("text", "width"), [("oven", 4), ("炉", 2), ("e\u0301", 1), ("", 0), ("\uff21", 2), ("한", 2), ("🔥", 2)]
)
def test_width_is_counted_in_cells(text: str, width: int) -> None:
    """A character of Chinese takes two cells, and an accent that is combined takes none."""
    assert width_of(text) == width


def test_a_wide_character_is_not_halved() -> None:
    """Where half of a wide character would fit, it is left out."""
    assert cut("炉炉炉", 4, "…") == "炉…"
    assert cut("炉炉", 4, "…") == "炉炉"


# --- figures


@given(st.integers(0, 2**64) | st.floats(0, 2**64), st.sampled_from([Unit.COUNT, Unit.BYTES, Unit.SECONDS]))
def test_figures_for_people_are_short(value: float, unit: Unit) -> None:
    """A figure has at most four digits before its unit, however large it is."""
    shown = show(value, unit, human=True)
    if unit is Unit.SECONDS:
        assert re.fullmatch(r"\d+s|\d+[mhd]\d\d[smh]", shown)
    else:
        assert re.fullmatch(r"(\d{1,4}|\d{1,2}\.\d{1,2})( ?[KkMGTPE]?i?B?)", shown)


@given(st.integers(0, 2**64))
def test_figures_for_programs_are_whole(value: int) -> None:
    """In a pipe a count is the number itself."""
    assert int(show(value, Unit.BYTES, human=False)) == value


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0, Unit.COUNT, "0"),
        (0.0, Unit.COUNT, "0"),
        (999, Unit.COUNT, "999"),
        (999.7, Unit.COUNT, "1.00k"),
        (9999, Unit.COUNT, "9999"),
        (10_000, Unit.COUNT, "10.0k"),
        (99_960, Unit.COUNT, "100k"),
        (2**62, Unit.COUNT, "4.61E"),
        (1023, Unit.BYTES, "1023 B"),
        (1536, Unit.BYTES, "1.50 KiB"),
        (59.9, Unit.SECONDS, "59s"),
        (185, Unit.SECONDS, "3m05s"),
        (90_000, Unit.SECONDS, "1d01h"),
        (4711, Unit.TEXT, "4711"),
        (["unix:a", "tcp:b"], Unit.TEXT, "unix:a tcp:b"),
        ("", Unit.TEXT, "-"),
        ([], Unit.TEXT, "-"),
        (None, Unit.COUNT, "-"),
    ],
)
def test_figures_for_people(value: float | str | list[str] | None, unit: Unit, shown: str) -> None:
    """Large figures have three digits and the unit that makes them so, and a dash says that there is none."""
    assert show(value, unit, human=True) == shown
