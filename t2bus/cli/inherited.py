"""Sockets that were open before this process began: socket activation, as systemd does it.

::

    $ systemd-socket-activate -l /run/t2bus/bus -l 4242 --fdname=bus:tls python -m t2bus serve --config bus.toml
    t2bus: serving at unix:/run/t2bus/bus
    t2bus: serving at tls:[::]:4242

``LISTEN_FDS`` says how many there are, from file 3 on, ``LISTEN_FDNAMES`` how each is called, and ``LISTEN_PID`` whom
they are for. A TCP socket whose name begins with ``tls`` is served with TLS. A bus without addresses serves these
alone; an address that is among them is not opened a second time.

The law of this module: what is served is what the socket is really bound to, whatever its name says.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from ..endpoints import Listener, adopt
from ..text import quote
from .settings import BadSetting

_FIRST: Final = 3
"""The first file behind the standard streams (``SD_LISTEN_FDS_START``)."""

_SECURE: Final = "tls"


def take_listeners() -> tuple[Listener, ...]:
    """Return the listeners that this process was started with; the environment names them no more.

    Raises:
      BadSetting: one of them is nothing that a bus can listen at; the text says which and what to write instead.

    """
    count, owner, names = (os.environ.pop(f"LISTEN_{name}", "") for name in ("FDS", "PID", "FDNAMES"))
    if not count or owner != str(os.getpid()):  # they are for another process, of which this one has its environment
        return ()
    if not (count.isascii() and count.isdigit()):
        raise BadSetting(f"LISTEN_FDS={quote(count)} is no number of sockets")
    texts = names.split(":") if names else []
    texts += [""] * (int(count) - len(texts))
    return tuple(_take(number, texts[number - _FIRST]) for number in range(_FIRST, _FIRST + int(count)))


def _take(number: int, name: str) -> Listener:
    """Return the listener of one file, which no child inherits from here on."""
    which = f"the inherited file {number}{f' ({quote(name)})' if name else ''}"
    try:
        os.set_inheritable(number, False)  # noqa: FBT003 -- it takes no names
        sock = socket.socket(fileno=number)
    except OSError as error:
        raise BadSetting(f"{which} is no open socket: {error.strerror}; LISTEN_FDS counts too many") from error
    try:
        return adopt(sock, is_secure=name.startswith(_SECURE))
    except ValueError as error:
        sock.detach()  # whoever gave it keeps it
        raise BadSetting(f"{which} {error}: give `ListenStream=` and `Accept=no` in its .socket unit") from error
