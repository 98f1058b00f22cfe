"""How a command of t2bus is written where a text has one: so that it works for whoever reads it.

::

    >>> command("serve", "unix:my bus")
    "python -m t2bus serve 'unix:my bus'"

Who has called ``t2bus`` is told ``t2bus serve``: the Python that has the package may be another one than ``python``.

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
