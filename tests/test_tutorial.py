"""The tutorial: its files are those of docs/tutorial/lab, and whoever does what it says sees what it shows."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
import trio

import t2bus.testing
from federation_helpers import free_endpoint
from t2bus.cli.parser import make_parser
from tutorial_helpers import LAB, PAGES, TUTORIAL, Reader, blocks, environment

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

MARKS = re.compile(r"file: \S+|terminal: \w+(, (goes on|in any order|numbers vary))*|by hand")
LONGEST = 80
INDEX = TUTORIAL / "index.md"
FILES = sorted(path for path in LAB.iterdir() if path.is_file())


@pytest.fixture
def instead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Work in an empty folder; give what this reader has in the place of what is shown, such as ports that are free."""
    (folder / "lab").mkdir()
    monkeypatch.chdir(folder / "lab")
    ports = {port: free_endpoint("tls").rpartition(":")[2] for port in ("4242", "4280")}
    return {"/run/user/1000": str(folder), "uid:1000": f"uid:{os.getuid()}", **ports}


@pytest.mark.parametrize("number", range(1, len(PAGES) + 1))
async def test_a_step_does_what_it_shows(number: int, folder: Path, instead: dict[str, str]) -> None:
    """Whoever has the files of the steps before and does what a step says sees what it shows."""
    if number == len(PAGES) and shutil.which("curl") is None:
        pytest.skip("there is no curl")
    env = environment(folder)
    async with contextlib.AsyncExitStack() as programs:
        reader = Reader(programs, env, instead)
        for page in PAGES[: number - 1]:
            await reader.prepare(page)
        await reader.follow(PAGES[number - 1])


async def test_the_bus_is_away_and_no_oven_is_blamed(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor kills an oven that does not answer, and none while the bus is away."""
    monkeypatch.syspath_prepend(LAB)
    check = import_module("supervisor").check
    async with (
        t2bus.testing.unsteady_bus() as place,
        place.open_client(reconnect=t2bus.Reconnect()) as client,
        client.serve_bytes("measure/north/oven"),
        trio.open_nursery() as nursery,
    ):
        oven = await nursery.start(partial(trio.run_process, ["sleep", "1000"], check=False))
        nursery.start_soon(check, client, "north/oven", oven)
        await place.lose()
        await trio.sleep(100)
        assert oven.returncode is None
        await place.restore()
        assert await oven.wait() == -signal.SIGKILL
        nursery.cancel_scope.cancel()


def test_the_files_are_those_of_the_lab() -> None:
    """Each file of the lab is whole on one page, word for word."""
    shown = [(block.file, block.text) for page in PAGES for block in blocks(page) if block.file]
    assert sorted(shown) == sorted((path.name, path.read_text(encoding="utf-8")) for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_short(path: Path) -> None:
    """No file of the lab is longer than a reader follows."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("page", [INDEX, *PAGES], ids=lambda page: page.name)
def test_every_block_is_checked(page: Path) -> None:
    """Every block of a page says what it is, so that the tests leave none out."""
    found = blocks(page)
    assert page.read_text(encoding="utf-8").count("\n```") == 2 * len(found)
    assert [block for block in found if block.language != "{toctree}" and not MARKS.fullmatch(block.mark)] == []


def test_the_index_has_every_step() -> None:
    """The index leads to each step, in its table and in what the site makes of it."""
    text = INDEX.read_text(encoding="utf-8")
    assert re.findall(r"^\| \[.*?\]\((.*?)\)", text, re.MULTILINE) == [page.name for page in PAGES]
    (toctree,) = [block.text for block in blocks(INDEX) if block.language == "{toctree}"]
    assert toctree.split()[1:] == [page.stem for page in PAGES]


@pytest.mark.parametrize("page", [INDEX, *PAGES], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page leads to a page, and its anchor to a heading there."""
    broken = []
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]+)(?:#([^)]+))?\)", page.read_text(encoding="utf-8")):
        target = page.parent / path
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_service_runs_a_command_that_exists() -> None:
    """The unit of the last step runs t2bus with words that it knows."""
    (words,) = re.findall(r"^ExecStart=\S+/t2bus (.*)$", (LAB / "lab-bus.service").read_text(), re.MULTILINE)
    make_parser().parse_args(words.split())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_service(tmp_path: Path) -> None:
    """Systemd has nothing to say of the unit of the last step."""
    text = (LAB / "lab-bus.service").read_text(encoding="utf-8").replace("%h/lab/.venv/bin/t2bus", sys.executable)
    unit = tmp_path / "lab-bus.service"
    unit.write_text(text.replace("%h/lab", str(tmp_path)), encoding="utf-8")
    words = ["systemd-analyze", "--user", "verify", str(unit)]
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
