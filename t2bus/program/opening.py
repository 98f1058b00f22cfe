"""The client that the options of :func:`t2bus.add_arguments` describe.

::

    async with t2bus.client_of(arguments) as client, client.subscribe(Hello, arguments.room) as messages: ...

Where no address is given, it is the one of the default context, or else where ``t2bus serve`` without an address
listens.

The law of this module: whoever names certificates gets TLS, or an error; never a connection without it. Certificates of
a context are for its own address, and those that are given take the place of all of them; so do peers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..called import command
from ..client.connect import open_client
from ..contexts.document import FILES, PREFIX, BusContext
from ..contexts.file import find, find_default
from ..errors import InvalidAddress, TlsFailed
from ..tls import check, client_context, server_context
from ..transport.default_place import default_address

if TYPE_CHECKING:
    import argparse
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from ..client.client import Client
    from ..client.dialling import Reconnect


def client_of(
    arguments: argparse.Namespace, *, name: str | None = None, reconnect: Reconnect | None = None
) -> AbstractAsyncContextManager[Client]:
    """Open the client that the options of :func:`t2bus.add_arguments` describe; ``async with`` gives it.

    ::

        async with t2bus.client_of(parser.parse_args()) as client: ...

    Without an address it is that of the default context, or else :func:`t2bus.default_address`. Contexts and
    certificates are read by this call. The connection is made on entering, as by :func:`t2bus.open_client`, whose
    errors may come then.

    Args:
      arguments: what a parser with these options has returned.
      name: what the program calls itself, as for :func:`t2bus.open_client`.
      reconnect: how to come back to a bus that was lost, or that is not there yet; likewise.

    Raises:
      InvalidAddress: there is no such context; certificates are named in part only or for an address without TLS, or
        the address needs some and there are none.
      TlsFailed: certificates cannot be used, or the bus would refuse them.

    """
    bus = bus_of(arguments)
    context = context_of([bus.address], bus.files, client_context)
    return open_client(bus.address, tls=context, peers=bus.peers, wire=bus.wire, name=name, reconnect=reconnect)


def bus_of(arguments: argparse.Namespace) -> BusContext:
    """Return which bus the options mean: a context with what they say beside, or an address that inherits from none.

    Raises:
      InvalidAddress: there is no such context, or the file of contexts cannot be read.

    """
    address: str | None = arguments.addr
    if address is None:
        bus = find_default() or BusContext(default_address())
    else:
        bus = find(address) if address.startswith(PREFIX) else BusContext(address)
    if files := files_of(arguments):
        bus = attrs.evolve(bus, files=files)
    if arguments.peer:
        bus = attrs.evolve(bus, peers=tuple(arguments.peer))
    return bus if arguments.wire is None else attrs.evolve(bus, wire=arguments.wire)


def files_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the files of TLS that the options name, under ``ca``, ``certificate`` and ``key``."""
    return {name: path for name in FILES if (path := getattr(arguments, name)) is not None}


def context_of(
    addresses: Sequence[str], files: Mapping[str, str], make: Callable[..., ssl.SSLContext]
) -> ssl.SSLContext | None:
    """Return what ``make`` makes of certificates, named under ``ca``, ``certificate`` and ``key``; None if none are.

    Raises:
      InvalidAddress: they are not complete; or no address is for them, or an address needs some and there are none.
      TlsFailed: they cannot be used, or would be refused by the other end.

    """
    secure = [address for address in addresses if address.startswith("tls:")]
    if not files:
        if secure:
            raise InvalidAddress(f"{secure[0]} needs certificates: name them with --ca, --certificate and --key")
        return None
    if not secure:
        place = addresses[0]
        raise InvalidAddress(f"certificates are for tls: addresses, and {place} is not one: nothing would be encrypted")
    if not {"ca", "certificate"} <= files.keys():
        need = "--ca and --certificate, and --key unless the key is in the certificate's file"
        raise InvalidAddress(f"certificates need {need}")
    context = make(**files)
    try:
        check(context)
    except TlsFailed as error:
        raise TlsFailed(_of_the_other_end(files, make) or str(error)) from error
    return context


def _of_the_other_end(files: Mapping[str, str], make: Callable[..., ssl.SSLContext]) -> str | None:
    """Say that a certificate would do at the other end of a connection, which is why it is refused; None if not."""
    is_server = make is server_context
    try:
        check((client_context if is_server else server_context)(**files))
    except TlsFailed:
        return None
    certificate = files["certificate"]
    if is_server:
        issue = command("certs", "issue", "NAME", "--server")
        return f"{certificate} is a client's certificate; a bus needs one made by `{issue}`"
    issue = command("certs", "issue", "NAME")
    return f"{certificate} is a bus's certificate; a client needs one made by `{issue}`"
