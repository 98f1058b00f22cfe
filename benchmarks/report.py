"""The figures as a table, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs

from .measuring import Row, Spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from .measuring import Measurements

_NUMBER = r"[\d,.e+-]*\d"
_REACH = rf"\((?P<least>{_NUMBER}) to (?P<most>{_NUMBER})\)"
_SPREAD = re.compile(rf"(?P<system>.*?) (?P<median>{_NUMBER})(?: {_REACH})?(?: (?P<unit>.*))?")

_COLUMNS = ((18, "case, figure"), (28, "system"), (44, "median (least to most)"))


def machine() -> dict[str, object]:
    """Tell what the figures depend on."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def heading() -> str:
    return "".join(f"{title:{width}}" for width, title in _COLUMNS) + "to the first system of its case; to its baseline"


def lines(rows: Sequence[Row]) -> Iterable[str]:
    """Give the table of one case."""
    if rows:
        yield rows[0].case
    figure = ""
    for row in rows:
        name, figure = "" if row.figure == figure else f"  {row.figure}", row.figure
        ratio = "1" if row.ratio is None else f"{_spread(row.ratio)} x {row.reference}"
        if row.to_baseline is not None:
            ratio += f"; {_spread(row.to_baseline)} x baseline"
        cells = zip(_COLUMNS, (name, row.system, f"{_spread(row.value)} {row.unit}"), strict=True)
        yield "".join(f"{cell:{width - 1}} " for (width, _), cell in cells) + ratio


def _spread(spread: Spread) -> str:
    if spread.least == spread.most:
        return _short(spread.median)
    return f"{_short(spread.median)} ({_short(spread.least)} to {_short(spread.most)})"


def _short(value: float) -> str:
    """Give three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_json(measurements: Measurements, path: Path) -> None:
    report = {
        "machine": machine(),
        "builds": {role: build.origin() for role, build in measurements.builds.items()},
        "rounds": measurements.rounds,
        "rows": [attrs.asdict(row) for row in measurements.rows],
        "notes": measurements.notes,
    }
    path.write_text(json.dumps(report, indent=1) + "\n")


def write_markdown(measurements: Measurements, path: Path) -> None:
    """Write a table with a row for each figure: the first system's own, and those of the others as multiples of it; and
    where there is a baseline, those of t2bus as multiples of it.
    """
    titles = ["case, figure", "first system", "the others, as multiples of it (least to most)"]
    if measurements.baseline is not None:
        titles.append("as a multiple of the baseline (least to most)")
    table = [titles, ["---"] * len(titles)]
    for first, *others in _figures(measurements.rows):
        value = f"{first.system} {_spread(first.value)} {first.unit}"
        ratios = (f"{row.system} {_spread(row.ratio)}" for row in others if row.ratio and not row.is_baseline)
        cells = [f"{first.case}, {first.figure}", value, ", ".join(ratios)]
        if measurements.baseline is not None:
            rows = (first, *others)
            cells.append(", ".join(f"{row.system} {_spread(row.to_baseline)}" for row in rows if row.to_baseline))
        table.append(cells)
    path.write_text("".join(f"| {' | '.join(cells)} |\n" for cells in table))


def _figures(rows: Iterable[Row]) -> Iterable[Sequence[Row]]:
    """Give the rows of each figure of each case, the reference first."""
    figures: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        figures.setdefault((row.case, row.figure), []).append(row)
    return figures.values()


def read_markdown(path: Path) -> list[Row]:
    """Return the rows of the table that ``write_markdown`` has written to a page, as far as it tells them.

    The value of a system that is told as a multiple is that multiple of the first one's median.
    """
    cells = [line.strip("| \n").split(" | ") for line in path.read_text(encoding="utf-8").splitlines()]
    start = next(
        (number for number, row in enumerate(cells) if row[:2] == ["case, figure", "first system"]), len(cells)
    )
    return [row for line in cells[start + 2 :] if len(line) > 1 for row in _rows(*line[:3])]


def _rows(title: str, first: str, others: str = "") -> Iterator[Row]:
    case, _, figure = title.rpartition(", ")
    system, value, unit = _read_spread(first)

    def row(name: str, value: Spread, ratio: Spread | None) -> Row:
        return Row("", case, figure, unit, name, value, system, ratio, None, is_baseline=False, rounds=0, bursts=0)

    yield row(system, value, None)
    for other in re.split(r"(?<=[\d)]), ", others) if others else ():
        name, ratio, _ = _read_spread(other)
        multiples = (ratio.median, ratio.least, ratio.most)
        yield row(name, Spread(*(value.median * multiple for multiple in multiples)), ratio)


def _read_spread(text: str) -> tuple[str, Spread, str]:
    """Return whose it is, how much, and the unit, if there is one."""
    found = _SPREAD.fullmatch(text)
    assert found is not None, text
    median, least, most = (found[name] or found["median"] for name in ("median", "least", "most"))
    numbers = (float(number.replace(",", "")) for number in (median, least, most))
    return found["system"], Spread(*numbers), found["unit"] or ""
