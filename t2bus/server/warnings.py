"""What an operator should hear of a bus before it goes wrong."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NoReturn

import trio

from ..tls import first_to_expire
from ..transport.address import Address, TcpAddress, is_loopback

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

_logger = logging.getLogger("t2bus.server")

_NOTICE: Final = timedelta(days=14)

DAY: Final = 86_400.0
"""Seconds between two looks at how long a certificate is still valid."""


def warn_of_expiry(
    context: ssl.SSLContext | None, whose: str = "the bus's", remedy: str = "renew it and reload"
) -> None:
    """Warn if the bus's certificate, or whose it is, or one above it, expires within 14 days."""
    link = None if context is None else first_to_expire(context)
    if link is not None and link.expires_at - datetime.now(UTC) < _NOTICE:
        _logger.warning(
            "%s expires at %s: %s",
            f"{whose} certificate" if link.is_own else f"{link}, above {whose},",
            link.expires_at.isoformat(" ", "minutes"),
            remedy,
        )


async def warn_each_day(context: ssl.SSLContext | None, whose: str, remedy: str) -> NoReturn:
    """Warn of an expiry once a day, the first time in a day from now."""
    while True:
        await trio.sleep(DAY)
        warn_of_expiry(context, whose, remedy)


def warn_of_exposure(bound: Iterable[Address]) -> None:
    """Warn of addresses where nothing is encrypted, nobody is known, and other machines can connect."""
    for address in bound:
        if is_exposed(address):
            _logger.warning("%s is open to whoever can reach this machine, without encryption or identities", address)


def is_exposed(address: Address) -> bool:
    """Tell whether other machines can use a bus at an address that is bound, without certificates."""
    return isinstance(address, TcpAddress) and not is_loopback(address.host)
