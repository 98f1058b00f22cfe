"""The targets of fuzzing hold for what they begin with, so that one that fails has found something."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "fuzz"
TARGETS = sorted(path.stem for path in FOLDER.glob("*_*.py"))


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds_for_its_seeds(name: str) -> None:
    """A target raises nothing for any of its seeds, nor for a seed that lacks its end or has bytes behind it."""
    target = importlib.import_module(name)
    for seed in target.SEEDS:
        for data in (seed, seed[:-1], seed + b"\0"):
            target.run(data)
