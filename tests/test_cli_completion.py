"""``t2bus completion``: what shells make of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cli_helpers import run
from t2bus.cli import main

if TYPE_CHECKING:
    from pathlib import Path

COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_shtab_t2bus
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["t2bus", "uns"], []),
        (["t2bus", "unr"], ["unregister"]),
        (["t2bus", "context", "i"], ["import"]),
        (["t2bus", "sub", "--cert"], ["--certificate"]),
        (["t2bus", "sub", "--wire", "t"], ["t2bus", "t2"]),
        (["t2bus", "serve", "--access", "acc"], ["access.toml"]),
    ],
)
async def test_bash_completes(words: list[str], completed: list[str], tmp_path: Path) -> None:
    """Bash completes verbs, those below them, options, choices and files."""
    bash = shutil.which("bash")
    assert bash is not None
    code, script, said = await run("completion", "bash")
    assert (code, said) == (0, "")
    (tmp_path / "t2bus.sh").write_text(script)
    (tmp_path / "access.toml").touch()
    command = [bash, "-c", COMPLETE, "bash", "t2bus.sh", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)  # noqa: ASYNC221 -- nothing else runs
    assert done.stdout.split() == completed


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
async def test_other_shells(shell: str) -> None:
    """Other shells get all verbs too."""
    code, script, said = await run("completion", shell)
    assert (code, said) == (0, "")
    assert "unregister" in script


def test_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    """A shell that is not known is wrong usage."""
    assert main(["completion", "fish"]) == 2
    assert capsys.readouterr().err.startswith("t2bus: argument SHELL: invalid choice: 'fish'")


def test_needs_the_extra(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without shtab the line names the extra."""
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    told = "t2bus: completion needs the package shtab: run `python -m pip install 't2bus[cli]'`\n"
    assert capsys.readouterr() == ("", told)
