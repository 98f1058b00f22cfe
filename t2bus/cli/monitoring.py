"""``t2bus serve --monitor``: the monitor of the bus that is served.

::

    $ t2bus serve unix:my_bus --monitor 127.0.0.1:4280
    t2bus: serving at unix:my_bus
    t2bus: monitor at http://127.0.0.1:4280/

What it is, is in :mod:`t2bus.monitor`; that package is imported when the option is given, for it needs more than t2bus
itself does.

The law of this module: what cannot be is said before the bus opens.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from .console import say
from .settings import MissingPackage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager
    from types import ModuleType

    from ..server.bus import Bus

_EXTRA: Final = ("hypercorn", "prometheus_client", "starlette")


def monitor_of(address: str | None) -> Callable[[Bus], AbstractAsyncContextManager[None]]:
    """Return what runs the monitor of a bus at an address, or nothing for None, as long as a body runs.

    Raises:
      MissingPackage: the extra is not installed.
      InvalidAddress: it is no address, or one that other machines can reach.

    """
    if address is None:
        return lambda _bus: nullcontext()
    serve = _serving(address)

    @asynccontextmanager
    async def monitor(bus: Bus) -> AsyncGenerator[None, None]:
        async with serve.open_monitor(bus, address) as places:
            for place in places:
                say(f"monitor at {place}")
            if not address.startswith("unix:"):
                warning = "every user of this machine can look at the monitor; unix:PATH is for this user alone"
                say(f"warning: {warning}", logging.WARNING)
            yield

    return monitor


async def check_monitor(address: str | None) -> None:
    """Raise what would be raised if a monitor was opened there."""
    if address is not None:
        async with _serving(address).listening(address):
            pass


def _serving(address: str) -> ModuleType:
    """Return what serves a monitor; raises as :func:`monitor_of`."""
    try:
        from ..monitor import serve
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        raise MissingPackage(str(error)) from error
    serve.place_of(address)
    return serve
