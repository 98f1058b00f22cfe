"""The pages that lie beside the README, where people look for them, as pages of the site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = "https://github.com/t2bus/t2bus/blob/main/"

_LINK: Final = re.compile(r"\]\((?!https?://|#)(?:(?P<page>docs/)|)(?P<path>[^)]+)\)")


def changelog() -> str:
    """Return CHANGELOG.md without its title."""
    return _body("CHANGELOG.md")


def contributing() -> str:
    """Return CONTRIBUTING.md without its title."""
    return _body("CONTRIBUTING.md")


def _body(name: str) -> str:
    """Return a page without its title: links to ``docs/`` lead to the site, others to the sources."""
    text = (ROOT / name).read_text(encoding="utf-8").partition("\n")[2]
    return _LINK.sub(lambda found: f"]({'' if found['page'] else SOURCES}{found['path']})", text)
