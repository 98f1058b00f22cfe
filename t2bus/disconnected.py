"""The end of a connection, as an error of the bus that is one of Trio's too.

::

    try:
        async for topic, hello in messages:
            print(topic, hello.text)
    except trio.BrokenResourceError:  # what every Trio channel raises whose other end is gone
        ...

It has a module of its own because :mod:`t2bus.errors` knows no Trio.
"""

from __future__ import annotations

import trio

from .errors import BusError

__all__ = ["Disconnected"]


class Disconnected(BusError, trio.BrokenResourceError):
    """The connection to the bus ended; the text says why. Calls that were pending may or may not have had effect.

    Every later call of that client raises it too: open a new client, and subscribe and serve again. One that was opened
    with ``reconnect`` does so by itself, and only what was pending raises it.
    """
