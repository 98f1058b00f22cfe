"""What the verbs that are clients have in common: where the bus is, and which certificate to show there.

::

    async with open_client_of(arguments) as client, client.subscribe_bytes(arguments.topic) as messages: ...

The options are ``--addr``, ``--wire``, ``--peer``, and for TLS ``--ca``, ``--certificate`` and ``--key``.

The law of this module: whoever names certificates gets TLS, or an error; never a connection without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..client.connect import open_client
from ..errors import TlsFailed
from ..tls import check, client_context
from ..transport.default_place import default_address
from .console import say
from .settings import BadSetting, files_of

if TYPE_CHECKING:
    import argparse
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from ..client.client import Client


_NO_PLACE: Final = "the wire of the Rust crate t2_bus has no place for headers"


def address_of(arguments: argparse.Namespace) -> str:
    """Return where the bus is: what ``--addr`` says, else where ``t2bus serve`` without an address listens."""
    return arguments.addr or default_address()


def open_client_of(arguments: argparse.Namespace) -> AbstractAsyncContextManager[Client]:
    """Open the client that the options describe, to be used as ``async with``; say what ``--wire t2`` cannot print.

    Raises:
      BadSetting: certificates are named in part only or cannot be used, or the address needs some and there are none.
      InvalidAddress, ConnectFailed: as ``t2bus.open_client``, on entering.

    """
    if arguments.wire == "t2" and getattr(arguments, "headers", False):
        say(f"--headers finds none: {_NO_PLACE}")
    address = address_of(arguments)
    context = context_of([address], files_of(arguments), client_context)
    return open_client(address, tls=context, peers=arguments.peer, wire=arguments.wire)


def headers_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the headers to be sent; on ``--wire t2``, which drops them, say so and return none."""
    if arguments.wire == "t2" and arguments.header:
        say(f"--header is dropped: {_NO_PLACE}")
        return {}
    return dict(arguments.header)


def context_of(
    addresses: Sequence[str], files: Mapping[str, str], make: Callable[..., ssl.SSLContext]
) -> ssl.SSLContext | None:
    """Return what ``make`` makes of certificates, named under ``ca``, ``certificate`` and ``key``; None if none are.

    Raises:
      BadSetting: they are not complete, cannot be used, or would be refused by the other end; or no address is for
        them, or an address needs some and there are none.

    """
    secure = [address for address in addresses if address.startswith("tls:")]
    if not files:
        if secure:
            raise BadSetting(f"{secure[0]} needs certificates: name them with --ca, --certificate and --key")
        return None
    if not secure:
        raise BadSetting(f"certificates are for tls: addresses, and {addresses[0]} is none: nothing would be encrypted")
    if not {"ca", "certificate"} <= files.keys():
        need = "--ca and --certificate, and --key unless the key is in the certificate's file"
        raise BadSetting(f"certificates need {need}")
    try:
        context = make(**files)
        check(context)
    except TlsFailed as error:
        raise BadSetting(str(error)) from error
    return context
