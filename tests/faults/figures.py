"""What runs of faults show in the end: all their figures, a line for each.

The law of this module: a run shows each line once, whatever folders its tests are in.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from faults.measured import Measured

if TYPE_CHECKING:
    from collections.abc import Generator

    from _pytest.terminal import TerminalReporter

FIGURES: Final = pytest.StashKey[list[str]]()


def is_asked_for(folder: Path, config: pytest.Config) -> bool:
    """Tell whether a run names this folder, or something in it."""
    asked = [Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args]
    return any(path == folder or folder in path.parents for path in asked)


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Generator[Measured, None, None]:
    """Give what takes figures, holds them against their bounds and keeps them for the end of the run."""
    measured = Measured(request.config.stash.setdefault(FIGURES, []))
    yield measured
    if measured.missed:
        pytest.xfail("; ".join(measured.missed))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Show all figures of the run, a line for each."""
    if lines := terminalreporter.config.stash.get(FIGURES, []):
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)
        lines.clear()
