"""The fragments of which the next release makes its changelog: named as CONTRIBUTING.md says, and made for users."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "changelog.d"
FRAGMENTS = sorted(path for path in FOLDER.glob("*") if path.name != "README.md")
_PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CONTRIBUTING = _PAGE.partition("## The changelog\n")[2].partition("\n## ")[0]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["towncrier"]
KINDS = [kind["directory"] for kind in SETTINGS["type"]]

NAME = re.compile(rf"\+[a-z0-9-]+\.(?:{'|'.join(KINDS)})\.md")


def test_fragments_have_names_that_tell_their_kind() -> None:
    """A fragment has a name that tells its kind."""
    assert [path.name for path in FRAGMENTS if not NAME.fullmatch(path.name)] == []


def test_fragments_are_written() -> None:
    """A fragment has a text, without a dash before it."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in FRAGMENTS}
    assert [name for name, text in texts.items() if not re.match(r"[^-*\s]", text)] == []


def test_the_kinds_are_those_of_contributing() -> None:
    """CONTRIBUTING.md names the kinds that there are, in the order of the changelog, and its example is one."""
    (listed,) = re.findall(r"^The kinds are (.*)\.", CONTRIBUTING, re.MULTILINE)
    assert re.findall(r"`(\w+)`", listed) == KINDS
    (example,) = re.findall(r"changelog\.d/(\+\S+)", CONTRIBUTING)
    assert NAME.fullmatch(example)


def test_releases_have_their_place() -> None:
    """The changelog has the line below which releases are put, once, and above all that is there."""
    before, mark, after = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition(SETTINGS["start_string"])
    assert mark
    assert "\n## " not in before
    assert mark not in after
