"""Pages of the site that are made of the program: the command line, the limits, the tests of the promises.

A page says where, by a comment of its own line such as ``<!-- generated: limits -->``; what stands there is made while
Sphinx reads the page, as Markdown, so that its headings and links are those of any page.

The law of this module: what is made is in modules of its own, which know nothing of Sphinx and are tested without it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import command_page
import limits_table
import promise_tests
import root_pages

if TYPE_CHECKING:
    from collections.abc import Callable

    from sphinx.application import Sphinx

MAKERS: Final[dict[str, Callable[[], str]]] = {
    "commands": command_page.text,
    "exit codes": command_page.exit_codes,
    "limits": limits_table.text,
    "promise tests": promise_tests.text,
    "changelog": root_pages.changelog,
    "contributing": root_pages.contributing,
}

MARK: Final = re.compile(r"^<!-- generated: (.+) -->$", re.MULTILINE)


def fill(source: str) -> str:
    """Return a page with all that is to be made in its place; raises ``KeyError`` for what nobody makes."""
    return MARK.sub(lambda found: MAKERS[found[1]](), source)


def _read(_app: Sphinx, _page: str, source: list[str]) -> None:
    source[0] = fill(source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Have pages filled as they are read."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
