"""What is measured, and how: systems in turn, round after round, so that a busy moment of the machine meets all.

A system that runs t2bus may be measured in two builds. The second is the baseline: it has its turn after the first, as
a system of its own (``t2bus baseline``), and the first is compared with it, round by round and in the best of all
rounds: neighbours only ever slow a program down, so on a busy machine the best rounds tell more than the median.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from .builds import OWN, Build
from .programs import Failed, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterable

Figures = Mapping[str, float]


@frozen
class System:
    """One of the systems of a comparison."""

    measure: Callable[[Build], Figures]
    ours: bool = True
    """Whether it runs t2bus; others are measured with the interpreter of the first build, and have no baseline."""


@frozen
class Case:
    """One comparison: each system is measured in turn, and compared with the first of those that are there."""

    title: str
    units: Mapping[str, str]
    """The figures that a measurement gives, each with its unit."""
    systems: Mapping[str, System]


@frozen
class Spread:
    """The median of some rounds, between the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@frozen
class Row:
    """A figure of one system."""

    workload: str
    case: str
    figure: str
    unit: str
    system: str
    value: Spread
    reference: str
    ratio: Spread | None
    """To the reference of the same round; None for the reference itself."""
    to_baseline: Spread | None
    """To the system's own baseline of the same round; None where there is none."""
    best_to_baseline: float | None
    """The best round's to the baseline's best."""
    is_baseline: bool
    rounds: int


@define(eq=False)
class Measurements:
    """Runs cases and collects their rows, and in ``notes`` what could not be measured."""

    rounds: int
    build: Build = OWN
    baseline: Build | None = None
    only_t2bus: bool = False
    """Whether systems that do not run t2bus are left out."""
    rows: list[Row] = field(factory=list)
    notes: list[str] = field(factory=list)

    @property
    def builds(self) -> dict[str, Build]:
        """The builds of t2bus that are measured, by their role."""
        return {"measured": self.build, **({} if self.baseline is None else {"baseline": self.baseline})}

    def run(self, workload: str, case: Case) -> list[Row]:
        """Measure one case; return its rows, the reference first."""
        turns = self._turns(case)
        taken: dict[str, list[Figures]] = {system: [] for system in turns}
        for number in range(self.rounds):
            for system in list(taken):
                print(f"\r\033[K{case.title}: {system}, round {number + 1}", end="", file=sys.stderr, flush=True)
                try:
                    taken[system].append(turns[system]())
                except (Failed, Skipped) as error:
                    # Its earlier rounds go too: ratios are between the same rounds.
                    del taken[system]
                    self.note(f"{type(error).__name__.lower()}: {case.title}: {system}: {error}")
        print("\r\033[K", end="", file=sys.stderr, flush=True)
        rows = list(_rows(workload, case, taken)) if self.rounds else []
        self.rows += rows
        return rows

    def _turns(self, case: Case) -> dict[str, Callable[[], Figures]]:
        """Return what has its turn in a round, by name, in order."""
        turns: dict[str, Callable[[], Figures]] = {}
        for name, system in case.systems.items():
            if system.ours or not self.only_t2bus:
                turns[name] = partial(system.measure, self.build)
            if system.ours and self.baseline is not None:
                turns[_baseline_of(name)] = partial(system.measure, self.baseline)
        return turns

    def note(self, text: str) -> None:
        """Keep a remark on the figures and show it, once."""
        if text not in self.notes:
            self.notes.append(text)
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            print(text, flush=True)


def _baseline_of(system: str) -> str:
    return f"{system} baseline"


def _rows(workload: str, case: Case, taken: Mapping[str, list[Figures]]) -> Iterable[Row]:
    for figure, unit in case.units.items():
        # A system may lack a figure: nothing is accepted where nobody connects.
        measured = {
            system: [figures[figure] for figures in rounds]
            for system, rounds in taken.items()
            if all(figure in figures for figures in rounds)
        }
        reference = next(iter(measured), "")
        baselines = {_baseline_of(system) for system in measured}
        for system, values in measured.items():
            before = measured.get(_baseline_of(system))
            yield Row(
                workload=workload,
                case=case.title,
                figure=figure,
                unit=unit,
                system=system,
                value=Spread.of(values),
                reference=reference,
                ratio=None if system == reference else _ratio(values, measured[reference]),
                to_baseline=None if before is None else _ratio(values, before),
                best_to_baseline=None if before is None else _best(values, unit) / _best(before, unit),
                is_baseline=system in baselines,
                rounds=len(values),
            )


def _ratio(values: list[float], others: list[float]) -> Spread:
    return Spread.of([value / other for value, other in zip(values, others, strict=True)])


def _best(values: list[float], unit: str) -> float:
    """Return the greatest of what is done in a second, and the least of times and sizes."""
    return max(values) if unit.endswith("/s") else min(values)
