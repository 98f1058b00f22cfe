"""Mutual TLS: contexts made from the files of a certificate authority of one's own.

::

    tls = t2bus.tls.server_context(ca="ca.pem", certificate="bus.pem", key="bus.key")
    async with t2bus.open_bus("tls:0.0.0.0:4242", tls=tls) as bus: ...

    tls = t2bus.tls.client_context(ca="ca.pem", certificate="alice.pem", key="alice.key")
    async with t2bus.open_client("tls:bus.example:4242", tls=tls) as client: ...

Both ends show a certificate. Each trusts one authority only: the bus's own, never those of the system, because whoever
that authority has certified may speak on the bus. TLS 1.3 is the least version, the ALPN protocol is ``t2bus/1``, and
the host name that a client connects to must be in the bus's certificate.

A context of your own, made with :mod:`ssl`, can be used wherever one of these can, for keys that are not in files for
instance. It has to verify the peer. What all connections of the bus have in common is set on it: the ALPN protocol, TLS
1.3 at least, and no session tickets.

The law of this module: a context is complete when it is returned, or a :exc:`TlsFailed` names the file that is at
fault. Files are read when a context is made, checked and reread, at no other time.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Final, TypeAlias

from .chain import AT_ANY_TIME, links, refusal, show
from .errors import TlsFailed
from .pem import PemFiles, load_authority, load_own

if TYPE_CHECKING:
    from datetime import datetime

    from .chain import Link

__all__ = ["ALPN", "check", "client_context", "expiry", "prepare", "reread", "server_context"]

StrPath: TypeAlias = str | os.PathLike[str]
"""What names a file."""

ALPN: Final = "t2bus/1"
"""The ALPN protocol that both ends of a connection name."""


class _FileContext(ssl.SSLContext):
    """A context that knows its files, so that they can be read again."""

    files: PemFiles
    is_server: bool
    first_to_expire: Link | None
    """Of the chain that was loaded. Its file may hold another one by now, or be gone."""


def server_context(*, ca: StrPath, certificate: StrPath, key: StrPath | None = None) -> ssl.SSLContext:
    """Return the context of a bus that lets in whom its authority has certified, and nobody else.

    It is for ``tls=`` of :func:`t2bus.open_bus`. The files are read at once. ``bus.reload()`` reads them again, so a
    renewed certificate needs no restart.

    Args:
      ca: the file with the certificate of the authority, or of several, in PEM; an intermediate one will do.
      certificate: the file with the bus's own certificate, then those between it and the authority's, in PEM.
      key: the file with its private key in PEM, without a password. It must be this user's or root's, and closed to
        all others (mode 0600), but for a group that may read a key of root's (mode 0640). By default the key is in
        ``certificate``.

    Raises:
      TlsFailed: a file cannot be used; the text names it and says why.

    """
    return _context(_files(ca, certificate, key), is_server=True)


def client_context(*, ca: StrPath, certificate: StrPath, key: StrPath | None = None) -> ssl.SSLContext:
    """Return the context of a client that talks to a bus of its authority, and to nobody else.

    It is for ``tls=`` of :func:`t2bus.open_client`. Arguments and errors are those of :func:`server_context`. The name
    in the certificate is the client's identity, which access rules speak of. The files are read at once, and again for
    each connection of a client that reconnects; otherwise a renewed certificate takes a new context.
    """
    return _context(_files(ca, certificate, key), is_server=False)


def _files(ca: StrPath, certificate: StrPath, key: StrPath | None) -> PemFiles:
    """Take all that names a path for a path, and the certificate's file for that of the key if there is none."""
    return PemFiles(os.fspath(ca), os.fspath(certificate), os.fspath(certificate if key is None else key))


def _context(files: PemFiles, *, is_server: bool) -> _FileContext:
    """Read the files into a new context. OpenSSL falls back on the common name unless a client forbids it."""
    context = _FileContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.files, context.is_server = files, is_server
    context.verify_mode = ssl.CERT_REQUIRED
    if not is_server:
        context.hostname_checks_common_name = False
    prepare(context, is_server=is_server)
    load_authority(context, files.ca)
    load_own(context, files)
    context.first_to_expire = _first_to_expire(context)
    return context


def prepare(context: ssl.SSLContext, *, is_server: bool) -> None:
    """Set on a context what all connections of the bus have in common; idempotent.

    These are the ALPN protocol, TLS 1.3 or a later version, and on a server no session tickets. The context is changed
    in place, also one that the caller has made.

    Raises:
      TypeError: it is no context.
      ValueError: the context does not verify the peer, or is for the other end; it is unchanged.

    """
    if not issubclass(type(context), ssl.SSLContext):  # isinstance would be unreachable code to type checkers
        make = f"t2bus.tls.{'server' if is_server else 'client'}_context(ca=..., certificate=..., key=...)"
        raise TypeError(f"tls cannot be of type {type(context).__name__}: write tls={make}")
    if context.protocol == (ssl.PROTOCOL_TLS_CLIENT if is_server else ssl.PROTOCOL_TLS_SERVER):
        made, wanted = ("client's", "server_context") if is_server else ("bus's", "client_context")
        raise ValueError(f"this context is a {made}: make one with t2bus.tls.{wanted}(...)")
    if context.verify_mode != ssl.CERT_REQUIRED:
        raise ValueError("this context does not verify the peer: set its verify_mode to ssl.CERT_REQUIRED")
    context.set_alpn_protocols([ALPN])
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_3)
    if is_server:
        # Every connection proves anew who it is. A ticket would let a client back in whose certificate has expired, or
        # whose authority was replaced.
        context.num_tickets = 0


# --- certificates that change while the bus runs


def check(context: ssl.SSLContext) -> None:
    """Raise if the other end would refuse the certificate of a context; its files are read again.

    It is shown to a peer in memory that has the same authority, as all peers have. Of a context that was not made from
    files nothing is known, and nothing is raised.

    Raises:
      TlsFailed: a certificate of the chain would be refused: it has expired or is not valid yet, its key is weak, its
        issuer is missing. The text names that certificate, its file, and OpenSSL's reason.

    """
    if isinstance(context, _FileContext) and (text := refusal(context.files, is_server=context.is_server)):
        raise TlsFailed(text)


def reread(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return a new context from the files of this one, or the same if it was not made from files.

    It is checked, so that a bus does not change to a certificate that all would refuse.

    Raises:
      TlsFailed: the files cannot be used, or :func:`check` refuses them. The old context is unchanged.

    """
    if not isinstance(context, _FileContext):
        return context
    fresh = _context(context.files, is_server=context.is_server)
    check(fresh)
    return fresh


def expiry(context: ssl.SSLContext) -> datetime | None:
    """Return when the first certificate of a context's chain expires or has expired, in UTC; None if that is not known.

    It is not known for a context that was not made from files, nor for a certificate that is not of the context's
    authority. What counts are the certificates that were loaded: the files are not read again.
    """
    link = first_to_expire(context)
    return None if link is None else link.expires_at


def first_to_expire(context: ssl.SSLContext) -> Link | None:
    """Return the place in a context's chain that expires first; None if it is not known, as for :func:`expiry`."""
    return context.first_to_expire if isinstance(context, _FileContext) else None


def _first_to_expire(context: _FileContext) -> Link | None:
    """Find out what :func:`first_to_expire` tells."""
    files = context.files
    try:
        peer = show(files, files.ca, AT_ANY_TIME, is_server=context.is_server)
        return min(links(peer, files), key=lambda link: link.expires_at)
    except (ssl.SSLError, ValueError):  # it was refused, or a name in it is not valid text
        return None
