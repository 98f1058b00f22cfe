"""What the verbs that are clients have in common: where the bus is, and what to show there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..client.connect import open_client
from ..errors import TlsFailed
from ..tls import client_context
from ..transport.address import default_address
from .settings import BadSetting

if TYPE_CHECKING:
    import argparse
    import ssl
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from ..client.client import Client

__all__ = ["address_of", "open_client_of", "require_files"]


def address_of(arguments: argparse.Namespace) -> str:
    """Return where the bus is."""
    address: str = arguments.addr or default_address()
    return address


def open_client_of(arguments: argparse.Namespace) -> AbstractAsyncContextManager[Client]:
    """Open the client that the options describe; errors as of ``t2bus.open_client``.

    Raises:
      BadSetting: certificates are named in part only, or the address needs some and there are none.

    """
    address = address_of(arguments)
    files = {"ca": arguments.ca, "certificate": arguments.certificate, "key": arguments.key}
    context: ssl.SSLContext | None = None
    if require_files([address], {name: path for name, path in files.items() if path is not None}):
        try:
            context = client_context(**files)
        except TlsFailed as error:
            raise BadSetting(str(error)) from error
    return open_client(address, tls=context, peers=arguments.peer, wire=arguments.wire)


def require_files(addresses: list[str], files: Mapping[str, str]) -> bool:
    """Tell whether there are certificates.

    Raises:
      BadSetting: they are not complete, or there are none and an address needs some.

    """
    if files and not any(address.startswith("tls:") for address in addresses):
        raise BadSetting(f"certificates are for tls: addresses, and {addresses[0]} is none: nothing would be encrypted")
    if "certificate" in files and "ca" in files:
        return True
    if files:
        raise BadSetting(
            "certificates need --ca and --certificate, and --key unless the key is in the certificate's file"
        )
    for address in addresses:
        if address.startswith("tls:"):
            raise BadSetting(f"{address} needs certificates: name them with --ca, --certificate and --key")
    return False
