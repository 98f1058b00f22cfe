"""What a server needs to join others: the engine's package, and certificates that they will take.

::

    require_engine()  # ModuleNotFoundError: federation needs the package eclipse-zenoh: run ...
    shown = credentials_of(federation)  # TlsFailed: the certificate in north.pem would be refused: ...

Servers connect to each other, so a server's certificate is for both ends of a connection. The engine itself only tells
that a connection was not made, and so what would be refused is found out here, as for the bus's own addresses.

The law of this module: no socket is opened, and what cannot be used raises with the remedy.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..called import command
from ..errors import TlsFailed
from ..tls import check, client_context, server_context

if TYPE_CHECKING:
    import ssl

    from .options import Federation


def require_engine() -> None:
    """Raise ``ModuleNotFoundError`` if the extra is not installed; the engine is not imported."""
    if find_spec("zenoh") is None:
        remedy = "run `python -m pip install 't2bus[zenoh]'`"
        raise ModuleNotFoundError(f"federation needs the package eclipse-zenoh: {remedy}", name="zenoh")


def credentials_of(federation: Federation) -> ssl.SSLContext | None:
    """Return what the server shows the others and trusts, for a look at it; None where they meet without TLS.

    Raises:
      TlsFailed: a file cannot be used, or the others would refuse the certificate at one end or the other.

    """
    if federation.ca is None or federation.cert is None:
        return None
    try:
        check(client_context(ca=federation.ca, certificate=federation.cert, key=federation.key))
        context = server_context(ca=federation.ca, certificate=federation.cert, key=federation.key)
        check(context)
    except TlsFailed as error:
        if "purpose" not in str(error):
            raise
        issue = command("certs", "issue", "NAME", "--member")
        raise TlsFailed(f"{error}; a server needs one for both ends, as `{issue}` makes") from error
    return context


def shares_an_authority(one: ssl.SSLContext, other: ssl.SSLContext) -> bool:
    """Tell whether both trust the same authority, so that whoever is let in by one is by the other too."""
    return not set(one.get_ca_certs(binary_form=True)).isdisjoint(other.get_ca_certs(binary_form=True))
