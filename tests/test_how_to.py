"""What docs/how-to/ shows: every block of it is run, or compared with what it is out of."""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from how_to_helpers import PAGES, ROOT, Step, environment, matches, open_reader, output_of, steps

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

ALL = [step for page in PAGES for step in steps(page)]
PROGRAMS = [step for step in ALL if step.mark == "run" and step.language == "python"]
SESSIONS = [page for page in PAGES if any(step.mark == "run" and step.language == "sh" for step in steps(page))]
CELLS = {page for page in PAGES if any(step.mark == "cell" for step in steps(page))}


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, where commands find the same t2bus."""
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("step", PROGRAMS, ids=str)
async def test_programs_print_what_is_shown(
    step: Step, here: Path, clock: MockClock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program of a page runs as it stands and prints what the block after it shows."""
    program, is_whole, _ = step.text.partition('\n\nif __name__ == "__main__":\n    trio.run(main)\n')
    assert is_whole, "it ends by running main"
    module = ModuleType("how_to")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(program, str(step), "exec", dont_inherit=True), vars(module))
    await module.main()
    printed = capsys.readouterr().out
    assert matches(output_of(step), printed), printed


@pytest.mark.parametrize("page", SESSIONS, ids=lambda page: page.stem)
async def test_sessions_go_as_shown(page: Path, here: Path) -> None:
    """Whoever follows a page in terminals, from its top to its end, sees what it shows."""
    if page in CELLS:
        pytest.importorskip("IPython")
    async with open_reader() as reader:
        await reader.follow(page)
