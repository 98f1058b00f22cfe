"""The figures as a table, as JSON, and as a plot."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from .measuring import Measurements, Row, Spread

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


def write_plot(measurements: Measurements, path: Path) -> str:
    """Draw the figures, a panel for each of a case, but not each process's; return why not, or nothing."""
    if find_spec("matplotlib") is None:
        return "no plot: matplotlib is not installed"
    panels = [rows for rows in _figures(measurements.rows) if len(rows) > 1 and not rows[0].figure.startswith("cpu ")]
    if not panels:
        return "no plot: nothing was compared"
    import matplotlib as mpl  # noqa: PLC0415 -- only where it is there, and asked for

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 -- after the choice of what draws

    columns = min(4, len(panels))
    height = -(-len(panels) // columns)
    figure, axes = plt.subplots(height, columns, figsize=(5 * columns, 2.4 * height), squeeze=False)
    for axis in list(axes.flat)[len(panels) :]:
        axis.remove()
    for axis, rows in zip(axes.flat, panels, strict=False):
        _draw(axis, rows)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    return ""


def _figures(rows: Iterable[Row]) -> Iterable[Sequence[Row]]:
    """Give the rows of each figure of each case, the reference first."""
    figures: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        figures.setdefault((row.case, row.figure), []).append(row)
    return figures.values()


def _draw(axis: object, rows: Sequence[Row]) -> None:
    """Draw the values as bars from the median, with the least and the most."""
    from matplotlib.axes import Axes  # noqa: PLC0415 -- as above

    assert isinstance(axis, Axes)
    medians = [row.value.median for row in rows]
    below = [row.value.median - row.value.least for row in rows]
    above = [row.value.most - row.value.median for row in rows]
    names = [row.system if row.ratio is None else f"{row.system} {row.ratio.median:.2g}x" for row in rows]
    axis.barh(names, medians, xerr=[below, above], color=["tab:orange"] + ["tab:blue"] * (len(rows) - 1))
    axis.invert_yaxis()
    axis.set_title(f"{rows[0].case}\n{rows[0].figure}, {rows[0].unit}", fontsize=8)
    axis.tick_params(labelsize=7)
