"""What ``t2bus serve`` opens: its addresses, the sockets that it inherits, its certificates, and its way to others.

::

    plan = plan_of(settings, take_listeners(), federation_of(settings.federation))
    async with plan.open(host_looked) as bus: ...

The law of this module: an address that other machines can reach without TLS is refused, unless an option insists, and
one that all users of this machine can reach is warned of. What counts is what is bound: names, and ``*``, tell nothing.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ..endpoints import Listener
from ..federation.federation import Federation
from ..federation.requirements import require_engine
from ..server.files import raise_soft_limit
from ..server.hosting import Host
from ..server.open import open_hosted_bus
from ..server.warnings import is_exposed, warn_of_exposure
from ..tls import server_context
from ..transport.address import TcpAddress
from ..transport.default_place import default_address
from .connecting import context_of
from .console import say
from .federating import lacking
from .settings import BadSetting, MissingPackage, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from ..server.bus import Bus
    from ..transport.address import Address


@frozen
class Plan:
    """What a bus is to listen at."""

    settings: Settings
    inherited: tuple[Listener, ...]
    addresses: tuple[str, ...]
    """Those that are still to be opened."""
    is_default: bool
    """Whether no address was named."""
    federation: Federation | None
    """How it joins other servers."""

    @property
    def all_addresses(self) -> tuple[str, ...]:
        """Where the bus will be, in its order; port 0 is not resolved."""
        return (*(str(listener.address) for listener in self.inherited), *self.addresses)

    def open(self, looked: Callable[[], None]) -> AbstractAsyncContextManager[Bus]:
        """Open the bus; certificates that its clients would refuse are wrong usage here.

        Raises:
          BadSetting: the certificates cannot be used; or, on entering, other machines can reach an address.
          TlsFailed: the certificates of the federation cannot be used, on entering.

        """
        settings = self.settings
        context = context_of(self.all_addresses, settings.files, server_context)
        raise_soft_limit(settings.limits)
        host = Host(partial(judge, insecure=settings.insecure_no_auth), self.inherited, looked)
        return open_hosted_bus(
            host,
            *self.addresses,
            tls=context,
            access=settings.access,
            peers=settings.peers,
            limits=settings.limits,
            federation=self.federation,
        )


def federation_of(values: Mapping[str, Any]) -> Federation | None:
    """Return the federation that has these fields, or None if there are none.

    Raises:
      BadSetting: there are too few, or one is wrong.
      MissingPackage: the extra is not installed.

    """
    if not values:
        return None
    if (missing := lacking(values)) is not None:
        raise BadSetting(f"a federation needs {missing}")
    try:
        require_engine()
        return Federation(**values)
    except ModuleNotFoundError as error:
        raise MissingPackage(str(error)) from error
    except ValueError as error:
        raise BadSetting(str(error)) from error


def plan_of(settings: Settings, inherited: tuple[Listener, ...], federation: Federation | None = None) -> Plan:
    """Return what a bus with these settings and inherited sockets listens at; the default address if there are none."""
    is_default = not (settings.addresses or inherited)
    open_already = {str(listener.address) for listener in inherited}
    addresses = (default_address(),) if is_default else settings.addresses
    to_open = tuple(each for each in addresses if each not in open_already)
    return Plan(settings, inherited, to_open, is_default, federation)


def judge(asked: Address, bound: Sequence[Address], *, insecure: bool) -> None:
    """Refuse an address that other machines can reach without TLS, and warn of one that this machine's users can.

    With ``insecure`` nothing is refused.

    Raises:
      BadSetting: other machines can reach it.

    """
    if not isinstance(asked, TcpAddress):
        return
    if not any(map(is_exposed, bound)):
        warning = f"warning: every user of this machine can use the bus at {asked}; unix:PATH is for this user alone"
        say(warning, logging.WARNING)
    elif insecure:
        warn_of_exposure(bound)
    else:
        raise BadSetting(
            f"{asked} can be reached from other machines, without encryption or identities: use tls: instead, "
            "for which `t2bus certs init` makes certificates, or insist with --insecure-no-auth"
        )
