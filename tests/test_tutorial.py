"""The tutorial: its files are those of docs/tutorial/lab, and whoever does what it says sees what it shows."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

import pytest

from federation_helpers import free_endpoint
from tutorial_helpers import LAB, PAGES, TUTORIAL, Reader, blocks, environment

if TYPE_CHECKING:
    from pathlib import Path

MARKS = re.compile(r"file: \S+|terminal: \w+(, (goes on|in any order|numbers vary))*|by hand")
LONGEST_PROGRAM = 80


@pytest.fixture
def instead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Work in an empty folder; give what this reader has in the place of what is shown: a user, and ports that are free."""
    (folder / "lab").mkdir()
    monkeypatch.chdir(folder / "lab")
    ports = {port: free_endpoint("tls").rpartition(":")[2] for port in ("4242", "4280")}
    return {"/run/user/1000": str(folder), "uid:1000": f"uid:{os.getuid()}", **ports}


@pytest.mark.parametrize("number", range(1, len(PAGES) + 1))
async def test_a_step_does_what_it_shows(number: int, folder: Path, instead: dict[str, str]) -> None:
    """Whoever has the files of the steps before and does what a step says sees what it shows."""
    env = environment(folder)
    async with contextlib.AsyncExitStack() as programs:
        reader = Reader(programs, env, instead)
        for page in PAGES[: number - 1]:
            await reader.prepare(page)
        await reader.follow(PAGES[number - 1])


def test_the_files_are_those_of_the_lab() -> None:
    """Each file of the lab is whole on one page, word for word."""
    shown = [(block.file, block.text) for page in PAGES for block in blocks(page) if block.file]
    assert sorted(shown) == sorted((path.name, path.read_text(encoding="utf-8")) for path in LAB.iterdir() if path.is_file())


def test_programs_are_short() -> None:
    """No file of the lab is longer than a reader follows."""
    assert {path.name: n for path in LAB.glob("*.*") if (n := len(path.read_text().splitlines())) > LONGEST_PROGRAM} == {}


@pytest.mark.parametrize("page", [*PAGES, TUTORIAL / "index.md"], ids=lambda page: page.name)
def test_every_block_is_checked(page: Path) -> None:
    """Every block of a page says what it is, so none is left out by the tests."""
    text = re.sub(r"^```\{toctree\}.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len([b for b in blocks(page) if b.language])
    assert [block.mark for block in blocks(page) if block.language and not MARKS.fullmatch(block.mark)] == []
