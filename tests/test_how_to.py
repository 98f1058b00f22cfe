"""What docs/how-to/ shows: every block of it is run, or compared with what it is out of."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from how_to_helpers import PAGES, ROOT, Step, environment, matches, open_reader, output_of, steps, words_of
from t2bus.cli.parser import make_parser

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

_LINK = re.compile(r"\]\((?!https?://)([^)#]*\.md|)(?:#([^)]*))?\)")
_ON_GITHUB = re.compile(r"\]\(https://github.com/t2bus/t2bus/blob/main/([^)]*)\)")

ALL = [step for page in PAGES for step in steps(page)]
PROGRAMS = [step for step in ALL if step.mark == "run" and step.language == "python"]
SESSIONS = [page for page in PAGES if any(step.mark == "run" and step.language == "sh" for step in steps(page))]
CELLS = {page for page in PAGES if any(step.mark == "cell" for step in steps(page))}


def stem(page: Path) -> str:
    return page.stem


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


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


@pytest.mark.parametrize("page", SESSIONS, ids=stem)
async def test_sessions_go_as_shown(page: Path, here: Path) -> None:
    """Whoever follows a page in terminals, from its top to its end, sees what it shows."""
    if page in CELLS:
        pytest.importorskip("IPython")
    if any("curl" in step.text for step in steps(page) if step.mark == "run") and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    async with open_reader() as reader:
        await reader.follow(page)


# --- what is not run


@pytest.mark.parametrize("step", [step for step in ALL if step.is_quote], ids=str)
def test_quotes_are_exact(step: Step) -> None:
    """What a page quotes of a file of the repository stands in it, line for line."""
    assert f"\n{step.text}" in (ROOT / step.mark).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_commands_exist(page: Path) -> None:
    """Every command of t2bus on a page is one that it has, also where a container runs it."""
    for words in words_of(steps(page), "t2bus"):
        is_served_by_a_container = not words or words[0].startswith("-")
        make_parser().parse_args([*(["serve"] if is_served_by_a_container else []), *words])
    for command in re.findall(r"`t2bus ([^`]+)`", page.read_text(encoding="utf-8")):
        make_parser().parse_args(shlex.split(command))


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_every_block_is_checked(page: Path) -> None:
    """Every block says what becomes of it; those that are only looked at are of kinds that other tests read."""
    known = re.compile(r"(?:run|until|start|look|output|cell|(?:exit|says|beside|interrupt|take) .+)")
    assert [
        str(step) for step in steps(page) if not (known.fullmatch(step.mark) or step.is_file or step.is_quote)
    ] == []
    looked_at = {step.language for step in steps(page) if step.mark == "look"}
    assert looked_at <= {"sh", "yaml", "dockerfile"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("step", [step for step in ALL if step.language == "ini" and step.is_file], ids=str)
def test_systemd_takes_the_units(step: Step, tmp_path: Path) -> None:
    """A unit that a page shows whole is such that systemd has nothing to say of it."""
    unit = tmp_path / step.mark
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", step.text, flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_files_to_copy_are_there() -> None:
    """What commands take out of the checkout is in it."""
    looked_at = "".join(step.text for step in ALL if step.mark == "look")
    named = re.findall(r"\bdocs/[\w./-]+", looked_at)
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_rules_speak_of_metrics_that_there_are() -> None:
    """Every metric of a rule for Prometheus is one that the page of the monitor lists."""
    listed = set(re.findall(r"^\| `(t2bus_\w+)` \|", (ROOT / "docs" / "monitor.md").read_text(), re.MULTILINE))
    named = {name for step in ALL if step.language == "yaml" for name in re.findall(r"\bt2bus_\w+", step.text)}
    assert named
    assert named <= listed


def test_a_program_in_a_container_is_built_on_the_image_of_the_bus() -> None:
    """What it builds on is what the page builds before, and runs the file that the page names."""
    page = next(page for page in PAGES if page.stem == "containers")
    (recipe,) = [step.text for step in steps(page) if step.mark == "look" and step.language == "dockerfile"]
    base = re.findall(r"^FROM (\w+)$", recipe, re.MULTILINE)
    assert [words[1] for words in words_of(steps(page), "build") if words[0] == "-t"][:1] == base
    assert re.findall(r"^COPY (\S+) /$", recipe, re.MULTILINE) == ["recorder.py"]
    assert '["python", "/recorder.py"]' in recipe


# --- the folder


def test_the_index_lists_every_page() -> None:
    """The index has a row for each page with the page's title, and its table of contents the same in the same order."""
    index = (ROOT / "docs" / "how-to" / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|.*\| \[(.+)\]\((.+)\.md\) \|$", index, re.MULTILINE)
    titles = {page.stem: page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ") for page in PAGES}
    assert {name: title for title, name in rows} == titles
    assert index.partition(":hidden:\n\n")[2].split("\n```")[0].split() == [name for _, name in rows]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs" / "how-to" / "index.md"], ids=stem)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the repository leads to one, and every anchor to a heading."""
    text, broken = page.read_text(encoding="utf-8"), []
    for path, anchor in _LINK.findall(text):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    broken += [path for path in _ON_GITHUB.findall(text) if not (ROOT / path).exists()]
    assert broken == []
