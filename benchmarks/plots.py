"""Four pictures of the figures: `python -m benchmarks.plots FIGURES.json PICTURE.svg` draws those of an earlier run.

They are ``PICTURE-rate.svg`` and ``-cpu.svg``, one to one by the size of a message, ``-fan.svg`` and ``-latency.svg``,
each where it was measured. The ending tells the format. The background is white, for pages of any colour; systems have
colours that the colour-blind tell apart (those of Okabe and Ito), and markers of their own.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from .measuring import Row, Spread
from .work import FAN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes

BATCHES: Final = "t2bus, in batches"
ONE_BY_ONE: Final = "t2bus, one by one"

_STYLES: Final = {
    BATCHES: ("#D55E00", "o"),
    ONE_BY_ONE: ("#E69F00", "s"),
    "t2bus": ("#E69F00", "s"),
    "t2bus, in process": ("#D55E00", "o"),
    "bare Trio": ("#808080", "x"),
    "nats": ("#0072B2", "^"),
    "redis": ("#009E73", "v"),
    "pyzmq": ("#CC79A7", "D"),
    "mosquitto": ("#56B4E9", "P"),
    "rust": ("#000000", "*"),
}
"""The colour and the marker of each system that is drawn, in the order of the legends."""

_ONE_TO_ONE: Final = re.compile(r"1:1, ([\d,]+) B, (pipelined|in batches of \d+)")
_IN_BATCHES: Final = re.compile(r"(.*), in batches of \d+")
_FANS: Final = {
    f"1:{FAN}, 100 B": f"one to {FAN},\none process",
    f"1:{FAN}, 100 B, two processes": f"one to {FAN},\ntwo processes",
    f"{FAN}:1, sensor/**, 100 B": f"{FAN} to one",
}
_REQUESTS: Final = {
    "request, 100 B": "one after\nanother",
    "in process, request, 100 B": "one after\nanother",
    "request, 100 B, 1 ms apart": "1 ms apart",
}

Lines = dict[str, dict[int, Spread]]
"""Of each system, its values by the size of a message."""
Bars = dict[str, dict[str, Spread]]
"""Of each group, the values of its systems."""


@frozen
class Picture:
    """What is drawn, and what is written beside it."""

    name: str
    title: str
    axis: str
    lines: Lines = field(factory=dict)
    bars: Bars = field(factory=dict)


def pictures(rows: Iterable[Row]) -> Sequence[Picture]:
    """Return the pictures for which something was measured; baselines are in none."""
    rows = [row for row in rows if not row.is_baseline]
    one, cpu = "One publisher, one subscriber", "us for each message (less is better)"
    fan, request = f"Fan-out and fan-in, {FAN} clients, 100 B", "A request and its response, 100 B"
    every = [
        Picture("rate", one, "messages per second (more is better)", lines=_by_size(rows, "rate")),
        Picture("fan", fan, "deliveries per second (more is better)", bars=_fans(rows)),
        Picture("latency", request, "median, us (less is better)", bars=_latencies(rows)),
        Picture("cpu", f"{one}: processor time of all processes", cpu, lines=_by_size(rows, "cpu")),
    ]
    return [picture for picture in every if picture.lines or picture.bars]


def _by_size(rows: Iterable[Row], figure: str) -> Lines:
    lines: Lines = {}
    for row in rows:
        if row.figure != figure or not (match := _ONE_TO_ONE.fullmatch(row.case)):
            continue
        size, batches = int(match[1].replace(",", "")), match[2] != "pipelined"
        if name := _drawn_as(row.system, batches=batches):
            lines.setdefault(name, {})[size] = row.value
    return lines


def _drawn_as(system: str, *, batches: bool) -> str:
    """Return the name of a system in a picture that shows batches too; nothing where its other case is drawn."""
    if system == "t2bus":
        return BATCHES if batches else ONE_BY_ONE
    return "" if batches else system


def _fans(rows: Iterable[Row]) -> Bars:
    bars: Bars = {}
    for row in rows:
        match = _IN_BATCHES.fullmatch(row.case)
        group = _FANS.get(match[1] if match else row.case)
        name = _drawn_as(row.system, batches=match is not None)
        if group and name and row.figure == "rate":
            bars.setdefault(group, {})[name] = row.value
    return bars


def _latencies(rows: Iterable[Row]) -> Bars:
    bars: Bars = {}
    for row in rows:
        name = "t2bus, in process" if row.system == "in process" else row.system
        if row.figure == "p50" and row.case in _REQUESTS and name in _STYLES:
            bars.setdefault(_REQUESTS[row.case], {})[name] = row.value
    return bars


# --- drawing


def write(rows: Iterable[Row], path: Path) -> str:
    """Draw the pictures; return why there is none, or nothing."""
    if find_spec("matplotlib") is None:
        return "no plot: matplotlib is not installed"
    several = pictures(rows)
    for picture in several:
        _write(picture, path.with_stem(f"{path.stem}-{picture.name}"))
    return "" if several else "no plot: none of what was measured has one"


def _write(picture: Picture, path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 -- only where it is there, and asked for
    from matplotlib.figure import Figure  # noqa: PLC0415 -- as above

    # The same figures give the same file.
    with mpl.rc_context({"font.size": 11, "svg.hashsalt": picture.name}):
        figure = Figure(figsize=(8, 5), dpi=100, facecolor="white", layout="constrained")
        axes = figure.subplots()
        if picture.lines:
            _draw_lines(axes, picture.lines)
            axes.set_ylabel(picture.axis)
        else:
            _draw_bars(axes, picture.bars)
            axes.set_xlabel(picture.axis)
        axes.set_title(picture.title, fontsize=13, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_lines(axes: Axes, lines: Lines) -> None:
    """Draw a line for each system on logarithmic axes, with the least and the most of the rounds."""
    for name in filter(lines.__contains__, _STYLES):
        colour, marker = _STYLES[name]
        sizes = sorted(lines[name])
        medians, reach = _with_reach([lines[name][size] for size in sizes])
        look = {"color": colour, "marker": marker, "linestyle": "--" if name == "bare Trio" else "-"}
        wide = 3.0 if name.startswith("t2bus") else 1.5
        axes.errorbar(sizes, medians, yerr=reach, label=name, linewidth=wide, elinewidth=1, capsize=2, **look)
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = sorted({size for line in lines.values() for size in line})
    axes.set_xticks(sizes, [f"{size:,} B" for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    axes.grid(alpha=0.3)
    axes.set_xlabel("size of a message")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _draw_bars(axes: Axes, groups: Bars) -> None:
    """Draw a bar for each system of each group, and write its value beside it."""
    names = [name for name in _STYLES if any(name in group for group in groups.values())]
    row, middles = 0.0, []
    for group in groups.values():
        there = [name for name in names if name in group]
        places = [row + number for number in range(len(there))]
        medians, reach = _with_reach([group[name] for name in there])
        bars = axes.barh(places, medians, height=0.85, xerr=reach, color=[_STYLES[name][0] for name in there])
        texts = [f"{name}: {median:,.0f}" for name, median in zip(there, medians, strict=True)]
        axes.bar_label(bars, texts, padding=4, fontsize=9)
        middles.append((places[0] + places[-1]) / 2)
        row = places[-1] + 2
    axes.set_yticks(middles, list(groups))
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.margins(x=0.3)
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _with_reach(values: Sequence[Spread]) -> tuple[list[float], list[list[float]]]:
    """Return the medians, and how far the rounds reach below and above them."""
    below = [max(0.0, value.median - value.least) for value in values]
    above = [max(0.0, value.most - value.median) for value in values]
    return [value.median for value in values], [below, above]


def read(path: Path) -> list[Row]:
    """Return the rows of a run that were written with ``--json``."""
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    for row in rows:
        row.update({name: Spread(**value) for name, value in row.items() if isinstance(value, dict)})
    return [Row(**row) for row in rows]


if __name__ == "__main__":
    figures, picture = map(Path, sys.argv[1:])
    if reason := write(read(figures), picture):
        raise SystemExit(reason)
