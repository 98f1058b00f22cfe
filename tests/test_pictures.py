"""The pictures of README and docs/: they are there, small, told in words, and readable on light and dark pages."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)]
DRAWN_BY_HAND = sorted((DOCS / "pictures").glob("*.svg"))
PICTURES = [*DRAWN_BY_HAND, *sorted(DOCS.glob("*.svg"))]

SVG = "{http://www.w3.org/2000/svg}"
LARGEST = 40_000
NARROW = 400
SMALLEST_TEXT = 12

_IMAGE = re.compile(r"!\[([^]]*)]\(([^)]*)\)")
_COLOUR = re.compile(r"--([\w-]+): *(#\w+);")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def colours(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return what the style sheet of a picture names in the light, and in the dark."""
    style, *_ = ET.parse(path).iter(f"{SVG}style")
    light, is_both, dark = (style.text or "").partition("prefers-color-scheme: dark")
    assert is_both
    return dict(_COLOUR.findall(light)), dict(_COLOUR.findall(dark))


def brightness(colour: str) -> float:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return (299 * red + 587 * green + 114 * blue) / 255_000


def used(path: Path) -> str:
    """Return all that a picture draws, without what its style sheet names."""
    return re.sub(r"--[\w-]+: *#\w+;", "", path.read_text(encoding="utf-8"))


def test_pictures_are_told_in_words() -> None:
    """Every picture of a page has a text for who does not see it."""
    images = [image for page in PAGES for image in _IMAGE.findall(page.read_text(encoding="utf-8"))]
    assert [place for text, place in images if len(text.split()) < 2] == []


@pytest.mark.parametrize("path", PICTURES, ids=name)
def test_pictures_are_shown(path: Path) -> None:
    """Every picture is on a page."""
    places = {place for page in PAGES for _, place in _IMAGE.findall(page.read_text(encoding="utf-8"))}
    assert [place for place in places if place.endswith(path.relative_to(DOCS).as_posix())]


@pytest.mark.parametrize("path", PICTURES, ids=name)
def test_pictures_follow_the_light(path: Path) -> None:
    """Each is dark on light and light on dark, and takes every colour that it names for one from the other too."""
    light, dark = colours(path)
    assert light.keys() == dark.keys()
    in_light, in_dark = (sorted(map(brightness, scheme.values())) for scheme in (light, dark))
    assert in_light[-1] > 0.9
    assert in_dark[0] < 0.1
    assert set(re.findall(r"var\(--([\w-]+)\)", used(path))) <= light.keys()


@pytest.mark.parametrize("path", PICTURES, ids=name)
def test_pictures_are_small(path: Path) -> None:
    """No picture has more than 40 kB."""
    assert path.stat().st_size <= LARGEST


@pytest.mark.parametrize("path", DRAWN_BY_HAND, ids=name)
def test_pictures_are_readable_on_a_telephone(path: Path) -> None:
    """Those drawn by hand are 400 pixels wide, have no text below 12 pixels, and a title."""
    root = ET.parse(path).getroot()
    assert root.get("width") == str(NARROW)
    assert root.findtext(f"{SVG}title")
    sizes = [int(size) for size in re.findall(r"(\d+)px", used(path).replace("stroke-width: 5px", ""))]
    assert min(sizes) >= SMALLEST_TEXT
