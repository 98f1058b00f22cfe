"""What is measured, and how: systems in turn, round after round, so that a busy moment of the machine meets all."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from .programs import Failed, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterable

Measure = Callable[[], Mapping[str, float]]


@frozen
class Case:
    """One comparison: each system is measured in turn, and compared with the first of those that are there."""

    title: str
    units: Mapping[str, str]
    """The figures that a measurement gives, each with its unit."""
    systems: Mapping[str, Measure]


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
    """A figure of one system; ``ratio`` is to the first system's of the same round, and None for that system itself."""

    workload: str
    case: str
    figure: str
    unit: str
    system: str
    value: Spread
    reference: str
    ratio: Spread | None
    rounds: int


@define(eq=False)
class Measurements:
    """Runs cases and collects their rows, and in ``notes`` what could not be measured."""

    rounds: int
    rows: list[Row] = field(factory=list)
    notes: list[str] = field(factory=list)

    def run(self, workload: str, case: Case) -> list[Row]:
        """Measure one case; return its rows, the reference first."""
        taken: dict[str, list[Mapping[str, float]]] = {system: [] for system in case.systems}
        for number in range(self.rounds):
            for system in list(taken):
                print(f"\r\033[K{case.title}: {system}, round {number + 1}", end="", file=sys.stderr, flush=True)
                try:
                    taken[system].append(case.systems[system]())
                except (Failed, Skipped) as error:
                    # Its earlier rounds go too: ratios are between the same rounds.
                    del taken[system]
                    self._note(f"{type(error).__name__.lower()}: {case.title}: {system}: {error}")
        print("\r\033[K", end="", file=sys.stderr, flush=True)
        rows = list(_rows(workload, case, taken)) if self.rounds else []
        self.rows += rows
        return rows

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            print(text, flush=True)


def _rows(workload: str, case: Case, taken: Mapping[str, list[Mapping[str, float]]]) -> Iterable[Row]:
    for figure, unit in case.units.items():
        reference = ""
        base: list[float] = []
        for system, rounds in taken.items():
            # A system may lack a figure: nothing is accepted where nobody connects.
            values = [measured[figure] for measured in rounds if figure in measured]
            if not values:
                continue
            ratio = None
            if reference:
                ratio = Spread.of([value / first for value, first in zip(values, base, strict=True)])
            else:
                reference, base = system, values
            yield Row(workload, case.title, figure, unit, system, Spread.of(values), reference, ratio, len(values))
