"""What docs/operate.md and the files beside it show: units that systemd takes, and commands that exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from cli_helpers import command, run
from t2bus.cli.parser import make_parser

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "operate.md"
UNITS = sorted((DOCS / "systemd").rglob("t2bus*.*"))
CONTAINER = DOCS / "container" / "Containerfile"

_COMMAND = re.compile(r"(?:sudo (?:-u t2bus )?|systemd-socket-activate .*? )?t2bus (.*)")
"""A line of a shell that runs t2bus, and its arguments."""

KNOWS_NOTIFY_RELOAD = 253
"""The version of systemd that came with it."""


def relative(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()


def settings_of(unit: Path) -> dict[str, list[str]]:
    """Return what a unit sets, whatever the section."""
    found = defaultdict(list)
    for line in unit.read_text(encoding="utf-8").splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found[name].append(value)
    return found


def instructions() -> dict[str, str]:
    """Return what the recipe of the container says last of each kind."""
    text = re.sub(r"^#.*\n", "", CONTAINER.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", "")
    return dict(re.findall(r"^([A-Z]+) +(.*)$", text, re.MULTILINE))


def health_check() -> list[str]:
    words: list[str] = json.loads(instructions()["HEALTHCHECK"].partition("CMD ")[2])
    assert words[0] == "t2bus"
    return words[1:]


def test_all_are_named() -> None:
    """The page names each file that lies beside it for an operator."""
    text = PAGE.read_text(encoding="utf-8")
    assert [path for path in (*UNITS, CONTAINER) if path.name not in text] == []
    assert UNITS


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("scope", ["system", "user"])
def test_systemd_takes_the_units(scope: str, tmp_path: Path) -> None:
    """The units are such that systemd has nothing to say of them."""
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    is_old = int(version.split()[1]) < KNOWS_NOTIFY_RELOAD
    copies = []
    for unit in UNITS:
        if (unit.parent.name == "user") == (scope == "user"):
            text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text(), flags=re.MULTILINE)
            copies.append(tmp_path / unit.name)
            copies[-1].write_text(text.replace("Type=notify-reload", "Type=notify") if is_old else text)
    done = subprocess.run(
        ["systemd-analyze", f"--{scope}", "verify", *copies],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=relative)
def test_a_service_is_supervised(unit: Path) -> None:
    """A service says when it is ready, is watched and started again, may drain, and its command is right."""
    settings = settings_of(unit)
    assert settings["Type"] == ["notify-reload"]
    assert settings["Restart"] == ["on-failure"]
    assert int(settings["WatchdogSec"][0]) >= 2
    assert int(settings["TimeoutStopSec"][0]) > 5
    (line,) = settings["ExecStart"]
    make_parser().parse_args(shlex.split(line)[1:])


def test_sockets_for_tls_say_so() -> None:
    """A socket unit for other machines has the name that makes the bus speak TLS there, and the others a path."""
    for unit in (unit for unit in UNITS if unit.suffix == ".socket"):
        settings = settings_of(unit)
        (place,), (name,) = settings["ListenStream"], settings["FileDescriptorName"]
        assert place.startswith("/") or name.startswith("tls")


def test_the_container_is_not_roots() -> None:
    """The container runs as a user of its own, and what it runs parses."""
    said = instructions()
    assert int(said["USER"].partition(":")[0]) > 0
    make_parser().parse_args([*json.loads(said["ENTRYPOINT"]), *json.loads(said["CMD"])][1:])


async def test_the_health_check(folder: Path) -> None:
    """The health check of the container tells a bus that serves from none."""
    words = [word.replace("/run/t2bus/bus", f"{folder}/bus") for word in health_check()]
    assert (await run(*words))[0] != 0
    async with command("serve", f"unix:{folder}/bus") as serve:
        await serve.stderr.until("to talk")
        assert (await run(*words))[0] == 0


def test_commands_exist() -> None:
    """Every command of t2bus on the page is one that it has."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    # What the shell puts in a word is a number in each of them.
    lines = re.sub(r"\$\(.*?\)", "0", "".join(blocks).replace("\\\n", "")).splitlines()
    commands = [found[1] for line in lines if (found := _COMMAND.match(line))]
    assert len(commands) >= 6
    for words in commands:
        make_parser().parse_args([word for word in shlex.split(words) if not re.match(r"\d>|&", word)])
