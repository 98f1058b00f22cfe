"""What docs/how-to/rust.md shows: its program in Rust, as it stands there, and its program in Python on one bus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from how_to_helpers import ROOT, environment, open_reader

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from interop.helpers import Rust


async def test_the_page_goes_as_shown(every_rust: list[Rust], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever follows the page in terminals sees what it shows, with the oven in Rust."""
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    async with open_reader(oven=every_rust[-1].oven) as reader:
        await reader.follow(ROOT / "docs" / "how-to" / "rust.md")
