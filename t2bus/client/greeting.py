"""What a program calls itself: ``recorder.py[4711]``, unless it says otherwise.

::

    async with t2bus.open_client("unix:my_bus", name="oven") as client: ...

The law of this module: a name is for people. Nothing is allowed or refused for it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..hints import require
from ..text import printable, quote
from ..wire.compression import ZLIB
from ..wire.messages import Hello
from ..wire.native import VERSION
from ..wire.values import NAME_LENGTH


def hello(name: str | None) -> Hello:
    """Return what a client of this name says first; raises as :func:`own_name`."""
    return Hello(VERSION, "t2bus-python", (ZLIB,), own_name(name))


def own_name(name: str | None) -> str:
    """Return a name if it can be one, and that of this process for None.

    Raises:
      TypeError: it is no text.
      ValueError: it is empty, too long, or not printable.

    """
    if name is None:
        return _name_of_process()
    require("name", name, str, '"oven"')
    if not (0 < len(name) <= NAME_LENGTH and name.isprintable()):
        raise ValueError(f"{quote(name)} is no name of a client: use 1 to {NAME_LENGTH} printable characters")
    return name


def _name_of_process() -> str:
    """Return the name of the program with the id of its process; ``python -m recorder`` is ``recorder`` too."""
    path = Path(sys.argv[0] if sys.argv else "")
    program = path.parent.name if path.name == "__main__.py" else path.name
    if program in ("", "-c", "-"):
        program = "python"
    end = f"[{os.getpid()}]"
    return printable(program)[: NAME_LENGTH - len(end)] + end
