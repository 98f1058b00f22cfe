"""What the verbs that are clients have in common: where the bus is, and which certificate to show there.

::

    async with open_client_of(arguments) as client, client.subscribe_bytes(arguments.topic) as messages: ...

The options are those of :func:`t2bus.add_arguments`, which any program can have.

The law of this module: certificates that cannot be used are wrong usage, for no bus was asked yet.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from ..errors import TlsFailed
from ..program import opening
from .console import say
from .settings import BadSetting

if TYPE_CHECKING:
    import argparse
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from ..client.client import Client


_NO_PLACE: Final = "the wire of the Rust crate t2_bus has no place for headers"


def address_of(arguments: argparse.Namespace) -> str:
    """Return where the bus is, whether by its address, by a context, or by what is usual."""
    return opening.bus_of(arguments).address


def open_client_of(arguments: argparse.Namespace) -> AbstractAsyncContextManager[Client]:
    """Open the client that the options describe, to be used as ``async with``; say what ``--wire t2`` cannot print.

    Raises:
      BadSetting: certificates cannot be used.
      InvalidAddress: as ``t2bus.client_of``, and as ``t2bus.open_client`` on entering.
      ConnectFailed: as ``t2bus.open_client``, on entering.

    """
    if getattr(arguments, "headers", False) and opening.bus_of(arguments).wire == "t2":
        say(f"--headers finds none: {_NO_PLACE}")
    try:
        return opening.client_of(arguments, name=f"t2bus {arguments.verb}[{os.getpid()}]")
    except TlsFailed as error:
        raise BadSetting(str(error)) from error


def headers_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the headers to be sent; on the wire ``t2``, which drops them, say so and return none."""
    if arguments.header and opening.bus_of(arguments).wire == "t2":
        say(f"--header is dropped: {_NO_PLACE}")
        return {}
    return dict(arguments.header)


def context_of(
    addresses: Sequence[str], files: Mapping[str, str], make: Callable[..., ssl.SSLContext]
) -> ssl.SSLContext | None:
    """Return the context of certificates, as :func:`t2bus.program.opening.context_of`.

    Raises:
      BadSetting: they cannot be used, or would be refused by the other end.
      InvalidAddress: they are not complete; or no address is for them, or an address needs some and there are none.

    """
    try:
        return opening.context_of(addresses, files, make)
    except TlsFailed as error:
        raise BadSetting(str(error)) from error
