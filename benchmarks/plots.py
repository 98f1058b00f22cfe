"""Five pictures of the figures: `python -m benchmarks.plots FIGURES PICTURE.svg` draws those of an earlier run.

FIGURES is what `--json` has written, or a page with the table that `--markdown` has written. Drawn are
``PICTURE-rate.svg`` and ``-cpu.svg``, one to one by the size of a message, ``-fan.svg``, ``-latency.svg``, and
``-bars.svg``, the four figures of the README, each where it was measured. The ending tells the format. An SVG is dark
where its reader prefers that. Systems have colours that the colour-blind tell apart (those of Okabe and Ito), and
markers of their own.
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
from .report import read_markdown
from .work import FAN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes

BATCHES: Final = "t2bus, in batches"
ONE_BY_ONE: Final = "t2bus, one by one"

_INK: Final = "#1f2328"
_GROUND: Final = "#fffffe"
_DARK: Final = {_INK: "#e6edf3", _GROUND: "#0d1117"}
"""What takes the place of colours in the dark; no system has one of them but the one that is drawn in ink."""

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
    "rust": (_INK, "*"),
}
"""The colour and the marker of each system that is drawn, in the order of the legends."""

_FOUR: Final = (BATCHES, ONE_BY_ONE, "redis", "nats")
"""The systems of the bars of the README."""

_ONE_TO_ONE: Final = re.compile(r"1:1, ([\d,]+) B, (pipelined|in batches of \d+)")
_IN_BATCHES: Final = re.compile(r"(.*), in batches of \d+")
_FANS: Final = {
    f"1:{FAN}, 100 B": f"one to {FAN}, all in one process",
    f"1:{FAN}, 100 B, two processes": f"one to {FAN}, in two processes",
    f"{FAN}:1, sensor/**, 100 B": f"{FAN} to one",
}
_REQUESTS: Final = {
    "request, 100 B": "one after another",
    "in process, request, 100 B": "one after another",
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
        Picture("cpu", "Processor time of all processes", cpu, lines=_by_size(rows, "cpu")),
        Picture("bars", "100 B, one publisher, one subscriber", "messages per second", bars=_four(rows)),
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


def _four(rows: Iterable[Row]) -> Bars:
    lines = _by_size(rows, "rate")
    values = {name: lines[name][100] for name in _FOUR if 100 in lines.get(name, {})}
    return {"": values} if values else {}


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

    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color")
    # The same figures give the same file.
    look: Any = {"font.size": 11, "svg.hashsalt": picture.name, "svg.fonttype": "none", **dict.fromkeys(inked, _INK)}
    height = 4.6 if picture.lines else 1.0 + 0.27 * sum(len(group) + 1 for group in picture.bars.values())
    with mpl.rc_context(look):
        figure = Figure(figsize=(5.6, height), dpi=100, facecolor=_GROUND, layout="constrained")
        axes = figure.subplots()
        axes.set_facecolor(_GROUND)
        if picture.lines:
            _draw_lines(axes, picture.lines)
            figure.legend(loc="outside lower center", ncols=3, frameon=False)
        else:
            _draw_bars(axes, picture.bars)
        axes.set_title(f"{picture.title}\n{picture.axis}", fontsize=11, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    if path.suffix == ".svg":
        path.write_text(_in_both_lights(path.read_text(encoding="utf-8")), encoding="utf-8")


def _in_both_lights(svg: str) -> str:
    """Return the picture with ink and ground that follow what its reader prefers; texts are in the reader's font."""
    light = "".join(f"--{number}: {colour}; " for number, colour in enumerate(_DARK))
    dark = "".join(f"--{number}: {colour}; " for number, colour in enumerate(_DARK.values()))
    for number, colour in enumerate(_DARK):
        svg = svg.replace(colour, f"var(--{number})")
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", svg)
    style = f"<style>svg {{ {light}}} @media (prefers-color-scheme: dark) {{ svg {{ {dark}}} }}</style>"
    return re.sub(r"(<svg [^>]*>)", lambda found: f"{found[1]}\n {style}", svg, count=1)


def _draw_lines(axes: Axes, lines: Lines) -> None:
    """Draw a line for each system on logarithmic axes, with the least and the most of the rounds."""
    for name in filter(lines.__contains__, _STYLES):
        colour, marker = _STYLES[name]
        sizes = sorted(lines[name])
        medians, reach = _with_reach([lines[name][size] for size in sizes])
        drawn = axes.errorbar(
            sizes, medians, yerr=reach, label=name, elinewidth=1, capsize=2, color=colour, marker=marker
        )
        drawn[0].set_linestyle("--" if name == "bare Trio" else "-")
        drawn[0].set_linewidth(3.0 if name.startswith("t2bus") else 1.5)
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = sorted({size for line in lines.values() for size in line})
    axes.set_xticks(sizes, [f"{size:,} B" for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(alpha=0.2)


def _draw_bars(axes: Axes, groups: Bars) -> None:
    """Draw a bar for each system of each group, its name before it and its value behind."""
    row = 0
    ticks: dict[int, str] = {}
    for title, group in groups.items():
        if title:
            axes.text(0, row, title, fontstyle="italic", verticalalignment="center")
            row += 1
        there = [name for name in _STYLES if name in group]
        places = list(range(row, row + len(there)))
        medians, reach = _with_reach([group[name] for name in there])
        colours = [_STYLES[name][0] for name in there]
        look = {"ecolor": _INK, "elinewidth": 1, "capsize": 2}
        axes.barh(places, medians, height=0.8, xerr=reach, color=colours, error_kw=look)
        for place, median, above in zip(places, medians, reach[1], strict=True):
            axes.annotate(short(median), (median + above, place), (5, 0), textcoords="offset points", va="center")
        ticks.update(zip(places, there, strict=True))
        row = places[-1] + 1
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(row - 0.4, -0.6)
    axes.margins(x=0.2)
    axes.set_xlim(left=0)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def short(value: float) -> str:
    """Give three digits: more are not true of any machine."""
    return f"{float(f'{value:.3g}'):,.0f}"


def _with_reach(values: Sequence[Spread]) -> tuple[list[float], list[list[float]]]:
    """Return the medians, and how far the rounds reach below and above them."""
    below = [max(0.0, value.median - value.least) for value in values]
    above = [max(0.0, value.most - value.median) for value in values]
    return [value.median for value in values], [below, above]


def read(path: Path) -> list[Row]:
    """Return the rows of a run, from what ``--json`` has written or from a page with the table of ``--markdown``."""
    if path.suffix == ".md":
        return read_markdown(path)
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    for row in rows:
        row.update({name: Spread(**value) for name, value in row.items() if isinstance(value, dict)})
    return [Row(**row) for row in rows]


if __name__ == "__main__":
    figures, picture = map(Path, sys.argv[1:])
    if reason := write(read(figures), picture):
        raise SystemExit(reason)
