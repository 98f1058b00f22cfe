"""``t2bus schema``: what it prints, and its exit codes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from cli_helpers import run
from schema_helpers import mistakes_in
from t2bus.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

OLD = """
import t2bus
from attrs import frozen

__version__ = "1.5"

@frozen
class Hello(t2bus.PublishProtocol, prefix="hello"):
    text: str

@frozen
class Ping(t2bus.RequestProtocol[None], prefix="ping"):
    pass
"""

NEW = OLD.replace("text: str", "text: str\n    count: int")

Capture: TypeAlias = pytest.CaptureFixture[str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Work in a folder to which modules can be written, each to be imported once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def module(name: str, text: str) -> str:
        monkeypatch.delitem(sys.modules, name, raising=False)
        Path(f"{name}.py").write_text(text, encoding="utf-8")
        return name

    return module


Write: TypeAlias = "Callable[[str, str], str]"


class TestShow:
    """What is printed of a program."""

    def test_a_module(self, write: Write, capsys: Capture) -> None:
        """A module is all protocols in it, as text."""
        assert main(["schema", write("schema_old", OLD)]) == 0
        assert capsys.readouterr().out == ("hello/**  publish Hello\n    text: str\n\nping/**  request Ping -> None\n")

    def test_a_class(self, write: Write, capsys: Capture) -> None:
        """A class can be named behind a colon."""
        assert main(["schema", f"{write('schema_old', OLD)}:Hello"]) == 0
        assert capsys.readouterr().out == "hello/**  publish Hello\n    text: str\n"

    def test_json(self, write: Write, capsys: Capture) -> None:
        """With --json it is an AsyncAPI document, with the version of the package."""
        assert main(["schema", "--json", write("schema_old", OLD)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert mistakes_in(document) == []
        assert document["info"] == {"title": "schema_old", "version": "1.5"}

    def test_a_document_is_shown_as_its_program_is(self, write: Write, capsys: Capture) -> None:
        """A file that --json has written can be named too, and shows the same."""
        shown = []
        assert main(["schema", "--json", write("schema_old", OLD)]) == 0
        Path("old.json").write_text(capsys.readouterr().out, encoding="utf-8")
        for name in ("schema_old", "old.json"):
            assert main(["schema", name]) == 0
            shown.append(capsys.readouterr())
        assert shown[0] == shown[1]

    async def test_as_a_program(self, write: Write) -> None:
        """The installed program imports from the working directory."""
        code, out, said = await run("schema", write("schema_old", OLD))
        assert (code, out.splitlines()[0], said) == (0, "hello/**  publish Hello", "")


class TestDiff:
    """What is printed of two versions."""

    def test_breaks(self, write: Write, capsys: Capture) -> None:
        """What breaks is a line each, with exit code 1."""
        assert main(["schema", "diff", write("schema_old", OLD), write("schema_new", NEW)]) == 1
        assert capsys.readouterr().out.splitlines() == [
            "hello: old publishers -> new subscribers: breaks: Hello.count: is missing, and has no default",
            "hello: new publishers -> old subscribers: note: Hello.count: is ignored",
        ]

    def test_nothing_breaks(self, write: Write, capsys: Capture) -> None:
        """Where nothing breaks it says so, also below notes, with exit code 0."""
        new = write("schema_new", OLD.replace("text: str", "text: str\n    count: int = 0"))
        assert main(["schema", "diff", write("schema_old", OLD), new]) == 0
        assert capsys.readouterr().out == (
            "hello: new publishers -> old subscribers: note: Hello.count: is ignored\nnothing breaks\n"
        )

    def test_json(self, write: Write, capsys: Capture) -> None:
        """With --json each finding is an object, and there is nothing else."""
        assert main(["schema", "diff", "--json", write("schema_old", OLD), write("schema_new", NEW)]) == 1
        first, second = map(json.loads, capsys.readouterr().out.splitlines())
        assert first == {
            "prefix": "hello",
            "writer": "old publishers",
            "reader": "new subscribers",
            "text": "Hello.count: is missing, and has no default",
            "breaks": True,
        }
        assert second["breaks"] is False

    def test_standard_input(self, write: Write, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
        """A document may come from standard input, as that of an older commit does."""
        assert main(["schema", "--json", write("schema_old", OLD)]) == 0
        monkeypatch.setattr(sys, "stdin", io.StringIO(capsys.readouterr().out))
        assert main(["schema", "diff", "-", "schema_old"]) == 0
        assert capsys.readouterr().out == "nothing breaks\n"


WRONG = [
    (["nowhere"], "nowhere cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
    (["failing"], "failing cannot be imported: ZeroDivisionError: division by zero"),
    (["ending"], "ending cannot be imported: SystemExit: 3"),
    (["empty"], "empty has no protocols: no subclass of PublishProtocol or RequestProtocol"),
    (["empty:Hello"], "empty has no 'Hello'"),
    (["empty.py"], "empty.py is a file: name the module, 'empty'"),
    (["schema_old:frozen"], "expected a subclass of t2bus.PublishProtocol or t2bus.RequestProtocol, got "),
    (["none.json"], "none.json: No such file or directory"),
    (["bad.json"], "bad.json is not JSON: "),
    (["other.json"], "other.json: this is no AsyncAPI 3 document: write it with `t2bus schema --json`"),
    (["other.json", "schema_old"], "other.json is a document: name it alone"),
    (["diff", "schema_old"], "diff takes two names, not 1: write `t2bus schema diff OLD NEW`"),
    (["diff", "schema_old", "other.json"], "other.json: this is no AsyncAPI 3 document"),
]


@pytest.mark.parametrize(("words", "text"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_wrong_usage(words: list[str], text: str, write: Write, capsys: Capture) -> None:
    """What is not there, or is no program and no document, is exit code 2 and one line that says what to do."""
    for name, program in (("schema_old", OLD), ("failing", "1 / 0"), ("ending", "raise SystemExit(3)"), ("empty", "")):
        write(name, program)
    Path("bad.json").write_text("{", encoding="utf-8")
    Path("other.json").write_text("{}", encoding="utf-8")
    assert main(["schema", *words]) == 2
    out, said = capsys.readouterr()
    assert (out, said.count("\n")) == ("", 1)
    assert said.startswith(f"t2bus: {text}")
