"""What a server needs to join others: the engine's package, and certificates that they will take.

::

    require_engine()  # ModuleNotFoundError: federation needs the package eclipse-zenoh: run ...
    shown = credentials_of(federation)  # TlsFailed: the certificate in north.pem would be refused: ...

Servers connect to each other, so a server's certificate is for both ends of a connection. The engine itself only tells
that a connection was not made, and so what would be refused is found out here, as for the bus's own addresses.

The law of this module: no socket is opened, and what cannot be used raises with the remedy.
"""

from __future__ import annotations

import ssl
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from ..called import command, install
from ..chain import show
from ..errors import TlsFailed
from ..pem import PemFiles
from ..tls import check, client_context, server_context
from .federation import place_of

if TYPE_CHECKING:
    from .federation import Federation

ANYWHERE: Final = {"0.0.0.0", "::"}  # noqa: S104 -- nothing is bound here
"""The hosts of endpoints that are all addresses of a machine at once, and so tell others of none."""


def require_engine() -> None:
    """Raise ``ModuleNotFoundError`` if the extra is not installed; the engine is not imported."""
    if find_spec("zenoh") is None:
        remedy = f"run `{install('zenoh')}`"
        raise ModuleNotFoundError(f"federation needs the package eclipse-zenoh: {remedy}", name="zenoh")


def credentials_of(federation: Federation) -> ssl.SSLContext | None:
    """Return what the server shows the others and trusts, for a look at it; None where they meet without TLS.

    Raises:
      TlsFailed: a file cannot be used, or the others would refuse the certificate at one end or the other.

    """
    ca, certificate, key = federation.ca, federation.cert, federation.key
    if ca is None or certificate is None or key is None:
        return None
    try:
        check(client_context(ca=ca, certificate=certificate, key=key))
        context = server_context(ca=ca, certificate=certificate, key=key)
        check(context)
    except TlsFailed as error:
        if "purpose" not in str(error):
            raise
        issue = command("certs", "issue", "NAME", "--member")
        raise TlsFailed(f"{error}; a server needs one for both ends, as `{issue}` makes") from error
    _check_host(PemFiles(ca, certificate, key), place_of(federation.endpoint).host)
    return context


def _check_host(files: PemFiles, host: str) -> None:
    """Refuse a certificate that is for another host than the one at which others are told to look for this server.

    One that listens at all addresses of its machine is looked for at each, which are not known here.
    """
    if host in ANYWHERE:
        return
    try:
        show(files, files.ca, is_server=True, host=host)
    except ssl.SSLError as error:
        renew = command("certs", "issue", "NAME", "--member", "--host", host)
        text = f"the certificate in {files.certificate} is not for {host}, where others look for this server"
        raise TlsFailed(f"{text}: make one by `{renew}`, or name another endpoint") from error


def shares_an_authority(one: ssl.SSLContext, other: ssl.SSLContext) -> bool:
    """Tell whether both trust the same authority, so that whoever is let in by one is by the other too."""
    return not set(one.get_ca_certs(binary_form=True)).isdisjoint(other.get_ca_certs(binary_form=True))
