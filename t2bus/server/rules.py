"""Reading the file of access rules."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..broker.access_file import LARGEST, mistakes_in, parse
from ..errors import InvalidAccess

if TYPE_CHECKING:
    from ..broker.access import Access


def read_access(path: str | os.PathLike[str]) -> Access:
    """Return the rules that are in a file.

    Raises:
      InvalidAccess: it cannot be read, or says what no rule may say.

    """
    name = os.fspath(path)
    text = _text_of(name)
    try:
        return parse(text)
    except InvalidAccess as error:
        raise InvalidAccess(f"{name}: {error}") from error


def mistakes_of(path: str | os.PathLike[str]) -> list[str]:
    """Return all that is wrong with a file of rules, each with the file and the line as far as that is known.

    Raises:
      InvalidAccess: it cannot be read.

    """
    name = os.fspath(path)
    text = _text_of(name)
    return [mistake.show(name, text) for mistake in mistakes_in(text)]


def _text_of(name: str) -> str:
    try:
        return _read(Path(name)).decode("utf-8-sig")
    except OSError as error:
        raise InvalidAccess(f"{name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidAccess(f"{name}: it is not text in UTF-8") from error
    except InvalidAccess as error:
        raise InvalidAccess(f"{name}: {error}") from error


def _read(path: Path) -> bytes:
    """Return what is in a file, unless it is too much.

    That is told by its bytes: decoding takes a byte order mark away, and may fail where reading ended.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise InvalidAccess(f"it has more than {LARGEST} bytes: use wildcards and groups")
    return data
