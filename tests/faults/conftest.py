"""What the tests of faults share: each prints its figures beside their bounds when all have run.

They are not part of the default run, since they take minutes and want the machine for themselves: ``nox -s faults``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from faults.figures import is_asked_for, measured, pytest_terminal_summary

if TYPE_CHECKING:
    import pytest

__all__ = ["measured", "pytest_ignore_collect", "pytest_terminal_summary"]

HERE: Final = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Stay out of runs that do not ask for these tests by name."""
    return None if is_asked_for(HERE, config) else True
