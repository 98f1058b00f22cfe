"""Text from others, made fit to be shown: in a log, on a terminal."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str, most: int | None = None) -> str:
    """Return the text as one line, cut to ``most`` characters, with whatever is not printable in it escaped."""
    if most is not None and len(text) > most:
        text = f"{text[:most]}..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
