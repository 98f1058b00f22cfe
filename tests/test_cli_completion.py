"""``t2bus completion``: what shells make of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli_helpers import run
from t2bus.called import install
from t2bus.cli import main

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


BEHIND_COLONS = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_t2bus
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["sub", "--addr", ""], ["name:lab", "name:oven"]),
        (["sub", "a", "--addr", "n"], ["name:lab", "name:oven"]),
        (["sub", "--addr", "name", ":"], ["lab", "oven"]),
        (["sub", "--addr", "name", ":", "o"], ["oven"]),
        (["sub", "--addr", "name", ":", "oven", "--cert"], ["--certificate"]),
    ],
)
async def test_bash_completes_names(
    words: list[str], completed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The buses that have names are offered as addresses, also behind the colon, at which bash splits a word."""
    bash = shutil.which("bash")
    assert bash is not None
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("T2BUS_CONTEXTS", str(tmp_path / "contexts.toml"))
    monkeypatch.setenv("T2BUS_JSON", "1")
    for name in ("lab", "oven"):
        await run("register", name, "unix:/x")
    _, script, _ = await run("completion", "bash")
    (tmp_path / "t2bus.sh").write_text(script)
    command = [bash, "-c", BEHIND_COLONS, "bash", "t2bus.sh", "t2bus", *words]
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
    told = f"t2bus: completion needs the package shtab: run `{install('cli')}`\n"
    assert capsys.readouterr() == ("", told)
