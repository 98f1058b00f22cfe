"""A bus among others: what is looked at before it joins them, and what runs beside it then.

::

    shown = check_federation(federation, tls, has_rules=access is not None)
    async with joined(routing, federation, shown):
        ...  # the servers of one name are one bus

How servers are one bus is in :mod:`t2bus.federation`. What runs there is imported when a bus joins others: it needs the
engine, which only the extra ``t2bus[zenoh]`` brings.

The law of this module: clients that the bus lets in must not be able to join it as servers, past its access rules.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from ..background import open_background_nursery
from ..called import command
from ..errors import TlsFailed
from ..federation.federation import place_of
from ..federation.requirements import ANYWHERE, credentials_of, require_engine, shares_an_authority
from .warnings import warn_each_day, warn_of_expiry

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from ..federation.federation import Federation
    from .router_task import RouterTask

_logger = logging.getLogger("t2bus.server")

_NAME_ONE: Final = "name an address of this machine that they reach, as its certificate does"
_EXPIRY: Final = ("the federation's", "renew it and start the bus again")
"""The engine reads its files once, so a new certificate takes a new start."""


def check_federation(
    federation: Federation | None, tls: ssl.SSLContext | None, *, has_rules: bool
) -> ssl.SSLContext | None:
    """Raise what cannot be, before anything is opened; return what the server shows others, None if it is nothing.

    Raises:
      ModuleNotFoundError: the extra ``t2bus[zenoh]`` is not installed.
      TlsFailed: the certificates cannot be used, or their authority has certified clients that access rules hold back.

    """
    if federation is None:
        return None
    require_engine()
    if place_of(federation.endpoint).host in ANYWHERE:
        _logger.warning("others cannot look for this server at %s: %s", federation.endpoint, _NAME_ONE)
    shown = credentials_of(federation)
    if shown is not None and tls is not None and shares_an_authority(shown, tls):
        text = f"whoever the authority in {federation.ca} has certified for the bus can join it as a server"
        remedy = f"give the servers one of their own, as `{command('certs', 'init', '--member')}` makes"
        if has_rules:
            raise TlsFailed(f"{text}, and no access rule would hold for it: {remedy}")
        _logger.warning("%s: %s", text, remedy)
    warn_of_expiry(shown, *_EXPIRY)
    return shown


@asynccontextmanager
async def joined(
    routing: RouterTask, federation: Federation | None, shown: ssl.SSLContext | None
) -> AsyncGenerator[None, None]:
    """Be one of several servers until the body ends, and warn once a day of what is shown and ends soon."""
    if federation is None:
        yield
        return
    from .federated import federated  # noqa: PLC0415 -- only this needs the engine

    async with open_background_nursery() as nursery, federated(routing, federation):
        nursery.start_soon(warn_each_day, shown, *_EXPIRY)
        yield
