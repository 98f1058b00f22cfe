"""``t2bus match``: the verdict of ``python -m t2bus.topic``."""

from __future__ import annotations

import pytest

from cli_helpers import run
from t2bus import topic
from t2bus.cli import main


@pytest.mark.parametrize(
    ("words", "code"), [(["a/*", "*/b"], 0), (["a/**", "a"], 0), (["a/b", "a/c"], 1), (["**/a", "a/**/b"], 1)]
)
def test_is_that_of_the_module(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Words and exit code are those of the module, for topics that match and for others."""
    assert topic.main(words) == code
    told = capsys.readouterr()
    assert main(["match", *words]) == code
    assert capsys.readouterr() == told


@pytest.mark.parametrize("words", [["**", "bus/event/left"], ["*/event/*", "bus/event/left"], ["bus/event/*", "**"]])
def test_of_the_bus_s_own_topics(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wildcard in front meets none of the bus's own topics on a bus, whatever it includes."""
    assert topic.main(words) == 0
    capsys.readouterr()
    assert main(["match", *words]) == 1
    said = "no match on a bus: topics below bus/ are its own, and a wildcard in front does not reach them\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("words", [["bus/**", "bus/event/left"], ["**", "buses/left"]])
def test_of_topics_that_are_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever names the bus's own topics meets them, and others that begin alike are as all topics are."""
    assert main(["match", *words]) == 0
    assert capsys.readouterr().out.startswith("match: ")


async def test_as_a_program() -> None:
    """The installed program prints the verdict on standard output."""
    assert await run("match", "lobby/*", "*/alice") == (
        0,
        "match: both hold 'lobby/alice'; neither includes the other\n",
        "",
    )


@pytest.mark.parametrize("words", [["A", "b"], ["a", "b/"], ["a", "a/" * 16 + "a"], ["a"]])
def test_invalid(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An invalid topic, also one deeper than a bus takes it, is exit code 2."""
    assert main(["match", *words]) == 2
    out, said = capsys.readouterr()
    assert (out, said.count("\n")) == ("", 1)
