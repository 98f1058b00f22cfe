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
fault. Files are read when a context is made and when it is reread, at no other time.
"""

from __future__ import annotations

import os
import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from attrs import frozen

from .errors import TlsFailed

if TYPE_CHECKING:
    from typing import Any

__all__ = ["ALPN", "client_context", "expiry", "prepare", "reread", "server_context"]

StrPath: TypeAlias = str | os.PathLike[str]
"""What names a file."""

ALPN: Final = "t2bus/1"

_ROUNDS: Final = 8
"""More turns than two ends take to shake hands; a handshake of TLS 1.3 has three flights."""

_AT_ANY_TIME: Final = ssl.VerifyFlags(0x200000)
"""Accept certificates that have expired, or are not valid yet: OpenSSL's ``X509_V_FLAG_NO_CHECK_TIME``."""


@frozen
class _PemFiles:
    """Where a context came from: paths as they were given, so a relative one counts from the working directory."""

    ca: str
    certificate: str
    key: str


class _FileContext(ssl.SSLContext):
    """A context that knows its files, so that they can be read again."""

    files: _PemFiles
    is_server: bool
    expires_at: datetime | None
    """When the certificate that was loaded expires. Its file may hold another one by now, or be gone."""


def server_context(*, ca: StrPath, certificate: StrPath, key: StrPath | None = None) -> ssl.SSLContext:
    """Return the context of a bus that lets in whom its authority has certified, and nobody else.

    The files are read at once. ``bus.reload()`` reads them again, so a renewed certificate needs no restart.

    Args:
      ca: the file with the certificate of the authority, or of several, in PEM.
      certificate: the file with the bus's own certificate, then those between it and the authority's, in PEM.
      key: the file with its private key in PEM, without a password. It must be this user's or root's, and closed to
        all others (mode 0600). By default the key is in ``certificate``.

    Raises:
      TlsFailed: a file cannot be used; the text names it and says why.

    """
    return _context(_files(ca, certificate, key), is_server=True)


def client_context(*, ca: StrPath, certificate: StrPath, key: StrPath | None = None) -> ssl.SSLContext:
    """Return the context of a client that talks to a bus of its authority, and to nobody else.

    Arguments and errors are those of :func:`server_context`. The certificate says who the client is: the name in it is
    the identity that access rules speak of. The files are read at once, and not again: for a renewed certificate make
    a new context, and connect with it.
    """
    return _context(_files(ca, certificate, key), is_server=False)


def _files(ca: StrPath, certificate: StrPath, key: StrPath | None) -> _PemFiles:
    """Take all that names a path for a path, and the certificate's file for that of the key if there is none."""
    return _PemFiles(os.fspath(ca), os.fspath(certificate), os.fspath(certificate if key is None else key))


def _context(files: _PemFiles, *, is_server: bool) -> _FileContext:
    """Read the files into a new context. OpenSSL falls back on the common name unless a client forbids it."""
    context = _FileContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.files, context.is_server = files, is_server
    context.verify_mode = ssl.CERT_REQUIRED
    if not is_server:
        context.hostname_checks_common_name = False
    prepare(context, is_server=is_server)
    _load_authority(context, files)
    _load_own(context, files)
    context.expires_at = _expiry(context)
    return context


def _load_authority(context: ssl.SSLContext, files: _PemFiles) -> None:
    """Trust the authority of the files, and no other; raise ``TlsFailed`` if there is none."""
    try:
        context.load_verify_locations(files.ca)
    except ssl.SSLError as error:
        raise TlsFailed(f"{files.ca} holds no certificate of an authority in PEM") from error
    except OSError as error:
        raise _unreadable(files.ca, error) from error


def _load_own(context: ssl.SSLContext, files: _PemFiles) -> None:
    """Show the certificate of the files; raise ``TlsFailed`` for whatever keeps it and its key from being used."""

    def refuse() -> NoReturn:
        raise TlsFailed(f"{files.key} is encrypted: decrypt it, or pass an ssl.SSLContext of your own")

    _check_key(files)
    try:
        context.load_cert_chain(files.certificate, files.key, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsFailed(f"{files.key} is not the key of the certificate in {files.certificate}") from error
        raise TlsFailed(
            f"{files.certificate} and {files.key} do not hold a certificate and its private key in PEM"
        ) from error
    except OSError as error:
        raise _unreadable(files.certificate, error) from error


def _check_key(files: _PemFiles) -> None:
    """Refuse a key that others than this user and root can read, and a certificate's file without one.

    OpenSSL's own error for the latter says only that there is no PEM. The file of a key alone is not read here: it may
    be a pipe, which gives what it holds once.
    """
    path = files.key
    try:
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
            has_key = path != files.certificate or b"PRIVATE KEY-----" in file.read()
    except OSError as error:
        raise _unreadable(path, error) from error
    if not has_key:
        raise TlsFailed(f"{path} holds no private key: name the file that does")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise TlsFailed(f"others can read the private key in {path}: run `chmod 600 {path}`, or make a new key")
    if status.st_uid not in {0, os.geteuid()}:
        raise TlsFailed(f"the private key in {path} belongs to another user (uid {status.st_uid})")


def _unreadable(path: str, error: OSError) -> TlsFailed:
    return TlsFailed(f"cannot read {path}: {error.strerror or error}")


def prepare(context: ssl.SSLContext, *, is_server: bool) -> None:
    """Set on a context what all connections of the bus have in common; idempotent.

    These are the ALPN protocol, TLS 1.3 or a later version, and on a server no session tickets. The context is changed
    in place, also one that the caller has made.

    Raises:
      ValueError: the context does not verify the peer, or is for the other end; it is unchanged.

    """
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


def reread(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return a new context from the files of this one, or the same if it was not made from files.

    The new certificate is tried on a peer in memory first, so that a bus does not change to one that all would refuse.

    Raises:
      TlsFailed: the files cannot be used, or the other end would refuse the certificate: it is not of this authority,
        has expired, or is not valid yet. The old context is unchanged.

    """
    if not isinstance(context, _FileContext):
        return context
    fresh = _context(context.files, is_server=context.is_server)
    try:
        _show(fresh)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason
        raise TlsFailed(f"the certificate in {context.files.certificate} would be refused: {reason}") from error
    return fresh


def expiry(context: ssl.SSLContext) -> datetime | None:
    """Return when the certificate of a context expires or has expired, in UTC, or None if that is not known.

    It is not known for a context that was not made from files, nor for a certificate that is not of the context's
    authority. What counts is the certificate that was loaded: the files are not read again.
    """
    return context.expires_at if isinstance(context, _FileContext) else None


def _expiry(context: _FileContext) -> datetime | None:
    """Find the end of a context's certificate: :mod:`ssl` tells it of a peer's only, so a peer is shown it."""
    try:
        certificate: dict[str, Any] = _show(context, _AT_ANY_TIME).getpeercert() or {}
    except (ssl.SSLError, ValueError):  # it was refused, or a name in it is not valid text
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)


def _show(context: _FileContext, flags: ssl.VerifyFlags = ssl.VerifyFlags.VERIFY_DEFAULT) -> ssl.SSLObject:
    """Show the context's certificate to a peer in memory, and return the peer after the handshake.

    Args:
      context: what has the certificate; its files are read again.
      flags: what that peer accepts beyond others, such as an expired certificate.

    Raises:
      ssl.SSLError: the peer refuses the certificate.

    """
    files = context.files
    peer = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if context.is_server else ssl.PROTOCOL_TLS_SERVER)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if context.is_server else ssl.PROTOCOL_TLS_CLIENT)
    own.check_hostname = peer.check_hostname = False
    own.verify_mode, peer.verify_mode = ssl.CERT_NONE, ssl.CERT_REQUIRED
    peer.verify_flags |= flags
    _load_authority(peer, files)
    _load_own(own, files)
    if not context.is_server:
        # A server has to show some certificate: this one will do, for the other end does not verify it.
        _load_own(peer, files)
    to_peer, to_own = ssl.MemoryBIO(), ssl.MemoryBIO()
    of_peer = peer.wrap_bio(to_peer, to_own, server_side=not context.is_server)
    of_own = own.wrap_bio(to_own, to_peer, server_side=context.is_server)
    for _ in range(_ROUNDS):
        for end in (of_own, of_peer):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return of_peer
