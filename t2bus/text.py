r"""Text from others, made fit to be shown: in a log, on a terminal, in the message of an error.

A peer may send a megabyte of anything, and a terminal obeys the escape sequences that are written to it::

    >>> shorten("a long story", 6)
    'a long...'
    >>> quote("a\nb")
    "'a\\nb'"
    >>> printable("a \x1b[31mred\x1b[0m line\n")
    'a \\x1b[31mred\\x1b[0m line\\n'

The law of this module: standard library only; what comes out is never longer than its bound, whatever goes in.
"""

from __future__ import annotations

from typing import Final

QUOTED: Final = 80
"""Characters of a quotation, unless told otherwise: a topic or an address is usually shorter."""


def shorten(text: str, most: int) -> str:
    """Return the text, or where it has more than ``most`` characters as many of it and three dots."""
    return text if len(text) <= most else f"{text[:most]}..."


def quote(text: str, most: int = QUOTED) -> str:
    r"""Return the text in quotes and escaped, at most ``most`` characters of that.

    An escape takes up to ten characters (``\U000e0001``), so the bound is on what is shown. Three dots before the
    closing quote say that something is missing.
    """
    quoted = repr(text[:most])
    return quoted if max(len(text), len(quoted)) <= most else f"{quoted[: most - 4]}...{quoted[0]}"


def printable(text: str, most: int | None = None) -> str:
    """Return the text as one line: shortened to ``most`` characters, and each that is not printable escaped."""
    if most is not None:
        text = shorten(text, most)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def as_text(value: object) -> str:
    """Return ``str(value)``; where code of a program fails to make that, say so instead."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 -- it may be anything, and this often tells of another error
        return f"({type(error).__name__} in its __str__)"


def in_words(name: str) -> str:
    """Write a name of OpenSSL's, such as ``DECRYPT_ERROR``, as words."""
    return name.replace("_", " ").lower()
