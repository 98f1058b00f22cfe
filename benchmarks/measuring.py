"""What is measured, and how: systems in turn, so that a busy moment of the machine meets all.

In each round the programs of all systems of a case are started. Then each system has its turn, again and again, for a
burst of a tenth of a second or so; the others sleep meanwhile. A ratio is taken between bursts of the same turn. What a
new process brings along, such as the places of its objects in memory, is fixed for a round, so there are several.

A system that runs t2bus may be measured in two builds. The second is the baseline: it has its turn after the first, as
a system of its own (``t2bus baseline``), and the first is compared with it.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from attrs import define, field, frozen

from .builds import OWN, Build
from .programs import Failed, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterable

Figures = Mapping[str, float]
Burst = Callable[[], Figures]
"""Measures once. It raises Failed where that did not come to its end."""
Taken = dict[str, list[list[Figures]]]
"""Of each system, by name, what the bursts of each round gave."""
Rounds = Sequence[Sequence[float]]
Result = TypeVar("Result")


@frozen
class System:
    """One of the systems of a comparison."""

    start: Callable[[Build], AbstractContextManager[Burst]]
    """Starts what is measured, and ends it. It raises Failed, or Skipped where that cannot be on this machine."""
    ours: bool = True
    """Whether it runs t2bus; others are measured with the interpreter of the first build, and have no baseline."""


@frozen
class Case:
    """One comparison: each system is measured in turn, and compared with the first of those that are there."""

    title: str
    units: Mapping[str, str]
    """The figures that a measurement gives, each with its unit."""
    systems: Mapping[str, System]
    bursts: int = 1
    """Of each system in a round, after one that is not counted. One alone is counted, and no other system is there."""


@frozen
class Spread:
    """The median of all bursts, between the least and the most of the rounds' medians."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, rounds: Rounds) -> Spread:
        medians = list(map(statistics.median, rounds))
        return cls(statistics.median(value for values in rounds for value in values), min(medians), max(medians))


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
    """To the reference in the same turn; None for the reference itself."""
    to_baseline: Spread | None
    """To the system's own baseline in the same turn; None where there is none."""
    is_baseline: bool
    rounds: int
    bursts: int


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
        starts = self._starts(case)
        taken: Taken = {name: [] for name in starts}
        for number in range(self.rounds):
            print(f"\r\033[K{case.title}: round {number + 1}", end="", file=sys.stderr, flush=True)
            # A case of one burst measures what others would disturb, such as memory.
            for group in [list(taken)] if case.bursts > 1 else [[name] for name in taken]:
                measured = self._round(case, {name: starts[name] for name in group})
                for name in group:
                    if name in measured:
                        taken[name].append(measured[name])
                    else:
                        # Its earlier rounds go too: ratios are between the same rounds.
                        del taken[name]
        print("\r\033[K", end="", file=sys.stderr, flush=True)
        rows = list(_rows(workload, case, taken))
        self.rows += rows
        return rows

    def _starts(self, case: Case) -> dict[str, Callable[[], AbstractContextManager[Burst]]]:
        """Return how each system and each baseline is started, by name, in the order of their turns."""
        starts: dict[str, Callable[[], AbstractContextManager[Burst]]] = {}
        for name, system in case.systems.items():
            if system.ours or not self.only_t2bus:
                starts[name] = partial(system.start, self.build)
            if system.ours and self.baseline is not None:
                starts[_baseline_of(name)] = partial(system.start, self.baseline)
        return starts

    def _round(
        self, case: Case, starts: Mapping[str, Callable[[], AbstractContextManager[Burst]]]
    ) -> dict[str, list[Figures]]:
        """Start these systems, let them make their bursts in turn, and end them; those that fail are left out."""
        taken: dict[str, list[Figures]] = {}
        bursts: dict[str, Burst] = {}
        with ExitStack() as stack:
            stacks = {name: stack.enter_context(ExitStack()) for name in starts}
            for name, start in starts.items():
                burst = self._attempt(case, name, partial(stacks[name].enter_context, start()))
                if burst is not None:
                    bursts[name], taken[name] = burst, []
            for turn in range(case.bursts if case.bursts == 1 else case.bursts + 1):
                # Whoever was first is the last in the next turn: A B B A.
                for name in list(bursts) if turn % 2 == 0 else list(reversed(bursts)):
                    figures = self._attempt(case, name, bursts[name])
                    if figures is None:
                        stacks[name].close()
                        del bursts[name], taken[name]
                    elif turn > 0 or case.bursts == 1:
                        taken[name].append(figures)
        return taken

    def _attempt(self, case: Case, name: str, act: Callable[[], Result]) -> Result | None:
        try:
            return act()
        except (Failed, Skipped) as error:
            self.note(f"{type(error).__name__.lower()}: {case.title}: {name}: {error}")
            return None

    def note(self, text: str) -> None:
        """Keep a remark on the figures and show it, once."""
        if text not in self.notes:
            self.notes.append(text)
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            print(text, flush=True)


def _baseline_of(system: str) -> str:
    return f"{system} baseline"


def _rows(workload: str, case: Case, taken: Taken) -> Iterable[Row]:
    for figure, unit in case.units.items():
        # A system may lack a figure: nothing is accepted where nobody connects.
        measured = {
            system: [[figures[figure] for figures in bursts] for bursts in rounds]
            for system, rounds in taken.items()
            if all(figure in figures for bursts in rounds for figures in bursts)
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
                is_baseline=system in baselines,
                rounds=len(values),
                bursts=case.bursts,
            )


def _ratio(rounds: Rounds, others: Rounds) -> Spread:
    return Spread.of(
        [
            [value / other for value, other in zip(values, those, strict=True)]
            for values, those in zip(rounds, others, strict=True)
        ]
    )
