"""The site that is made of docs/: its generated parts say all there is, and its reference has the public names."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

import command_page
import limits_table
import promise_tests
import root_pages
import t2bus
from generated_pages import MAKERS, MARK, fill
from t2bus import certs, schema, status, testing, tls, topic
from t2bus.cli.exits import Exit
from t2bus.cli.parser import make_parser
from t2bus.program.environment import variable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

PUBLIC_MODULES = [status, testing, tls, topic, schema, certs]


def relative(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()


# --- the first page


def test_the_first_program_prints_what_is_shown() -> None:
    """The program of the first page runs as it stands and prints what the block after it shows."""
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^<!-- run -->\n```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (shown,) = re.findall(r"^<!-- output -->\n```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == shown


# --- what is generated


def test_everything_that_is_made_has_a_place() -> None:
    """Each generated part stands on one page, and each page asks for parts that there are."""
    marks = [mark for page in PAGES for mark in MARK.findall(page.read_text(encoding="utf-8"))]
    assert sorted(marks) == sorted(MAKERS)


def test_no_mark_is_left() -> None:
    """A page whose parts have been filled in has no mark of them any more."""
    assert [relative(page) for page in PAGES if MARK.search(fill(page.read_text(encoding="utf-8")))] == []


@cache
def commands() -> str:
    return command_page.text()


def all_verbs(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for _, _, verb in command_page.verbs(parser):
        yield verb
        yield from all_verbs(verb)


@pytest.mark.parametrize("verb", list(all_verbs(make_parser())), ids=lambda verb: verb.prog.replace(" ", "-"))
def test_a_verb_is_explained(verb: argparse.ArgumentParser) -> None:
    """The section of a verb has each of its arguments and their variables, or they are those of every client."""
    text = commands()
    found = re.search(rf"^#+ {re.escape(verb.prog)}$(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    shared = text.partition("\n## t2bus")[0] if "options of every client" in found[1] else ""
    for action in verb._actions:
        if isinstance(action, argparse._SubParsersAction) or action.dest == "help":
            continue
        written = command_page.written(action)
        section = found[1] if f"\n{written}\n" in found[1] else shared
        assert f"\n{written}\n" in section
        if action.option_strings:
            assert f"`{variable(action)}`" in section.partition(f"\n{written}\n")[2].partition("\n\n")[0]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("send VALUE as text, see --strict", "send VALUE as text, see `--strict`"),
        ("may have `*` and **, a_b or t2bus[cli]", r"may have `*` and \*\*, a\_b or t2bus\[cli\]"),
        ("100 %% of it", "100 % of it"),
    ],
)
def test_help_is_no_markup(said: str, shown: str) -> None:
    """Text of the help is shown as it is, with options as code."""
    assert command_page.prose(said) == shown


def test_every_exit_code_is_explained() -> None:
    """The table of exit codes has a row for each, in their order."""
    rows = re.findall(r"^\| (\d+) \| \S.* \|$", command_page.exit_codes(), re.MULTILINE)
    assert [int(code) for code in rows] == [code.value for code in Exit]


def test_every_limit_has_a_row() -> None:
    """The tables of limits have each once, in their order, and say something of it."""
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [A-Z].*\. \|$", limits_table.text(), re.MULTILINE)
    assert rows == [field.name for field in attrs.fields(t2bus.Limits)]


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("requests", 1024, "1,024"),
        ("frame", 1 << 20, "1 MiB"),
        ("handshake_bytes", 4096, "4 KiB"),
        ("stall", 1.0, "1 s"),
        ("accepts", 1000, "1,000 a second"),
    ],
)
def test_a_default_has_its_unit(name: str, value: float, shown: str) -> None:
    """Bytes, seconds and counts are written as such."""
    assert limits_table.amount(name, value) == shown


def test_every_test_of_a_promise_is_told() -> None:
    """The page of the promises' tests has the name and the docstring of each, with a link to its line."""
    tests = promise_tests.all_tests()
    text = promise_tests.text()
    for promised in (promise_tests.promised(tests), promise_tests.promised_of_security()):
        for name in (name for names in promised.values() for name in names):
            for path, line, said in tests[name]:
                assert f"[{name}]({root_pages.SOURCES}{path}#L{line})\n: {said}\n" in text


def test_links_of_pages_beside_the_readme_lead_to_the_site() -> None:
    """On the site a link to ``docs/`` is one to the page beside, and others lead to the sources."""
    text = root_pages.contributing()
    assert "](design.md)" in text
    assert "](https://github.com/t2bus/t2bus/blob/main/SECURITY.md)" in text
    assert "](docs/" not in text


# --- the reference


def names_of(module: ModuleType) -> set[str]:
    return {f"{module.__name__}.{name}" for name in module.__all__}


def test_the_reference_has_every_public_name() -> None:
    """Each public name has its place in the reference, once, and nothing else has."""
    pages = (DOCS / "reference").glob("*.md")
    directives = r"^\.\. auto(?:class|data|exception|function):: (\S+)$"
    shown = [name for page in pages for name in re.findall(directives, page.read_text(encoding="utf-8"), re.MULTILINE)]
    public = names_of(t2bus).union(*map(names_of, PUBLIC_MODULES))
    modules = {module.__name__ for module in PUBLIC_MODULES}
    of_errors = {f"t2bus.topic.{name}" for name in ("BusError", "InvalidTopic", "TopicTooBroad")}
    single = {"t2bus.monitor.serve.open_monitor"}
    assert sorted(shown) == sorted(public - modules - of_errors | single)
