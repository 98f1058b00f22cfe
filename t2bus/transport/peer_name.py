"""How those are named who may be at the other end of a unix socket: ``uid:1000``, a user, or ``gid:100``, a group.

::

    >>> check_peer("uid:1000")
    >>> check_peer("alice")
    Traceback (most recent call last):
    ValueError: 'alice' is no peer of a unix socket: write uid:N or gid:N with N a number

The law of this module: standard library only, for the grammar of the command line and the contexts need no socket.
"""

from __future__ import annotations

import re
from typing import Final

from ..text import quote

_PEER: Final = re.compile(r"[ug]id:[0-9]{1,10}")


def check_peer(name: str) -> None:
    """Raise ``ValueError`` unless this is the name of a peer."""
    if not _PEER.fullmatch(name):
        raise ValueError(f"{quote(name)} is no peer of a unix socket: write uid:N or gid:N with N a number")
