"""How a command of t2bus is written where a text has one: so that it works for whoever reads it.

::

    >>> command("serve", "unix:my bus")
    "python -m t2bus serve 'unix:my bus'"

Who has called ``t2bus`` is told ``t2bus serve``: the Python that has the package may be another one than ``python``. So
what installs a package names the Python that runs.

The law of this module: standard library only; a command can be copied as it is.
"""

from __future__ import annotations

import shlex
import sys
from typing import Final

_SCRIPT: Final = "t2bus"


def command(*words: str) -> str:
    """Return a command of t2bus as a shell reads it."""
    program = [_SCRIPT] if sys.argv[0].rpartition("/")[2] == _SCRIPT else ["python", "-m", "t2bus"]
    return shlex.join([*program, *words])


def install(extra: str) -> str:
    """Return the command that installs what an extra brings, for the Python that runs."""
    return shlex.join([sys.executable or "python", "-m", "pip", "install", f"t2bus[{extra}]"])
