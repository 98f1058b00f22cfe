"""What the tests of faults share: each prints its figures beside their bounds when all have run.

They are not part of the default run, since they take minutes and want the machine for themselves: ``nox -s faults``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from faults.measured import Measured

if TYPE_CHECKING:
    from collections.abc import Generator

    from _pytest.terminal import TerminalReporter

HERE: Final = Path(__file__).parent
FIGURES: Final = pytest.StashKey[list[str]]()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Stay out of runs that do not ask for these tests by name."""
    asked = [Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path == HERE or HERE in path.parents for path in asked) else True


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
