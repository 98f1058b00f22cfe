"""``t2bus serve --log-format json``: standard error as one object of JSON a line."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import t2bus
from cli_helpers import command
from t2bus.cli import main
from t2bus.cli.log_lines import log_to_stderr

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "\x1b[31m\x7f\u202e\ud800\n{"


def written(capsys: pytest.CaptureFixture[str], form: str = "json") -> list[Any]:
    """Return what was logged."""
    lines = capsys.readouterr().err.splitlines()
    assert all(line.isprintable() for line in lines)
    return [json.loads(line) for line in lines] if form == "json" else lines


async def test_program(folder: Path) -> None:
    """All that the command writes to standard error is such an object, what it says itself and what is logged."""
    async with command("serve", f"unix:{folder}/bus", "--log-format", "json", "-vv") as serve:
        assert json.loads(await serve.stderr.until("to talk"))["logger"] == "t2bus.cli"
        async with t2bus.open_client(f"unix:{folder}/bus"):
            pass
        left = json.loads(await serve.stderr.until(" left"))
        assert left.keys() == {"time", "level", "logger", "message", "extra"}
        assert (left["level"], left["logger"]) == ("INFO", "t2bus.server")
        assert left["extra"].keys() == {"event", "client", "client_name", "identity"}
        assert left["time"].endswith("Z")
        assert abs(datetime.now(UTC) - datetime.fromisoformat(left["time"])) < timedelta(minutes=1)
        serve.process.terminate()
        for line in await serve.stderr.rest():
            json.loads(line)


def test_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What ends the command is an object too."""
    assert main(["serve", f"unix:{folder}/no/bus", "--log-format", "json"]) == 1
    (error,) = written(capsys)
    assert error["level"] == "ERROR"
    assert (
        error["message"] == f"cannot listen at unix:{folder}/no/bus: No such file or directory: make its folder first"
    )


def test_more(capsys: pytest.CaptureFixture[str]) -> None:
    """What a record carries beside its message is below ``extra``, whatever it is."""
    with log_to_stderr(1, "json"):
        logging.getLogger("t2bus.test").info("%s", "x", extra={"peer": 7, "kind": {1}, "name_of": HOSTILE})
    (line,) = written(capsys)
    assert line["message"] == "x"
    assert line["extra"] == {"peer": 7, "kind": "{1}", "name_of": HOSTILE}


def test_exception(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback is text in the same line."""
    with log_to_stderr(0, "json"):
        try:
            int(HOSTILE)
        except ValueError:
            logging.getLogger("t2bus.test").exception("internal error")
    (line,) = written(capsys)
    assert line["level"] == "ERROR"
    assert line["exception"].startswith("Traceback (most recent call last):\n")


@pytest.mark.parametrize("form", ["text", "json"])
def test_printable(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a peer has put into a record, it is one line of printable characters."""
    with log_to_stderr(0, form):
        logging.getLogger("t2bus.test").warning("%s", HOSTILE)
    assert len(written(capsys, form)) == 1


@pytest.mark.parametrize(("verbosity", "levels"), [(0, 1), (1, 2), (2, 3)])
def test_verbosity(verbosity: int, levels: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Each ``-v`` lets one more level through."""
    logger = logging.getLogger("t2bus.test")
    with log_to_stderr(verbosity, "json"):
        logger.warning("a")
        logger.info("b")
        logger.debug("c")
    assert [line["message"] for line in written(capsys)] == ["a", "b", "c"][:levels]


def test_unwritable(capsys: pytest.CaptureFixture[str]) -> None:
    """A record that cannot be made a line is told of, and raises nothing in the bus."""

    class Broken:
        def __repr__(self) -> str:
            raise KeyError("no name")

    with log_to_stderr(0, "json"):
        logging.getLogger("t2bus.test").warning("x", extra={"peer": Broken()})
    assert "KeyError: 'no name'" in capsys.readouterr().err
