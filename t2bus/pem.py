"""The files of a certificate: loaded into contexts, or refused with the reason.

The law of this module: a file that cannot be used raises a :exc:`TlsFailed` that names it.
"""

from __future__ import annotations

import os
import shlex
import ssl
import stat
from pathlib import Path
from typing import Any, NoReturn

from attrs import frozen

from .errors import TlsFailed
from .text import in_words


@frozen
class PemFiles:
    """Where a context came from: paths as they were given, so a relative one counts from the working directory."""

    ca: str
    certificate: str
    key: str


def load_authority(context: ssl.SSLContext, trusted: str | bytes) -> None:
    """Trust the certificates in a file, or those of these bytes in DER, each as it stands; add none of the system's.

    So an intermediate authority can be trusted without the one above it.

    Raises:
      TlsFailed: there is none in the file, or one is damaged.

    """
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if isinstance(trusted, bytes):
        context.load_verify_locations(cadata=trusted)
        return
    try:
        context.load_verify_locations(trusted)
    except ssl.SSLError as error:
        if error.reason == "NO_CERTIFICATE_OR_CRL_FOUND":
            raise TlsFailed(f"{trusted} holds no certificate of an authority in PEM") from error
        raise TlsFailed(f"a certificate in {trusted} is damaged: OpenSSL cannot read it") from error
    except OSError as error:
        raise _unreadable(trusted, error) from error


def authorities(path: str) -> list[tuple[dict[str, Any], bytes]]:
    """Return all certificates of authorities in a file, as :mod:`ssl` tells what is in them and in DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    load_authority(context, path)
    return list(zip(context.get_ca_certs(), context.get_ca_certs(binary_form=True), strict=True))


def load_own(context: ssl.SSLContext, files: PemFiles) -> None:
    """Show the certificate of the files; raise ``TlsFailed`` for whatever keeps it and its key from being used."""

    def refuse() -> NoReturn:
        raise TlsFailed(f"{files.key} is encrypted: decrypt it, or pass an ssl.SSLContext of your own")

    if files.key == files.certificate and not _has_key(files.key):
        raise TlsFailed(f"{files.key} holds no private key: name the file that does")
    _require_private(files.key)
    try:
        context.load_cert_chain(files.certificate, files.key, password=refuse)
    except ssl.SSLError as error:
        raise TlsFailed(_what_is_wrong(files, error)) from error
    except OSError as error:
        raise _unreadable(files.certificate, error) from error


def _what_is_wrong(files: PemFiles, error: ssl.SSLError) -> str:
    """Say why a certificate and its key could not be loaded, in OpenSSL's words where it has any."""
    reason = error.reason or ""
    if reason == "KEY_VALUES_MISMATCH":
        if _begins_with_authority(files.certificate):
            return f"{files.certificate} begins with an authority: the certificate of {files.key} comes first in it"
        return f"{files.key} is not the key of the certificate in {files.certificate}"
    if reason.startswith("EE_"):
        return f"the certificate in {files.certificate} cannot be used: {in_words(reason.removeprefix('EE_'))}"
    if reason.startswith("CA_"):
        return f"one above the certificate in {files.certificate} cannot be used: {in_words(reason)}"
    if error.library == "PEM":
        return f"a certificate in {files.certificate} is damaged: OpenSSL cannot read it"
    return f"{files.certificate} and {files.key} do not hold a certificate and its private key in PEM"


def _begins_with_authority(path: str) -> bool:
    """Tell whether the first certificate in a file is of an authority: it has to be the one of the key."""
    first, end, _ = Path(path).read_bytes().decode("ascii", "ignore").partition("-----END CERTIFICATE-----")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=first + end)
    return bool(context.get_ca_certs())


def _has_key(path: str) -> bool:
    """Tell whether a private key of any kind is in a file: OpenSSL's own error says only that there is no PEM."""
    try:
        return b"PRIVATE KEY-----" in Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _require_private(path: str) -> None:
    """Refuse a key that others than this user and root can read or change.

    A group may read a key of root's, as in PostgreSQL: so are secrets mounted for programs that must not own them.
    """
    try:
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
    except OSError as error:
        raise _unreadable(path, error) from error
    if status.st_uid not in {0, os.geteuid()}:
        copy = _copying(path)
        raise TlsFailed(f"the private key in {path} belongs to another user (uid {status.st_uid}): {copy}")
    if stat.S_IMODE(status.st_mode) & (0o077 if status.st_uid else 0o037):
        other = "make a new key" if status.st_uid == os.geteuid() else "have it mounted with mode 0440"
        raise TlsFailed(f"others can read the private key in {path}: {closing(path, status)}, or {other}")


def closing(path: str, status: os.stat_result) -> str:
    """Return how this user gets a key that is closed to others, as an order whose command works."""
    if os.geteuid() in {0, status.st_uid} and not os.statvfs(path).f_flag & os.ST_RDONLY:
        return f"run `{shlex.join(['chmod', '600', path])}`"
    return _copying(path)


def _copying(path: str) -> str:
    """Return what to do with a file of which this user cannot change the owner or the mode."""
    return f"use a copy of your own, such as `{shlex.join(['install', '-m', '600', path, 'private.key'])}` makes"


def _unreadable(path: str, error: OSError) -> TlsFailed:
    return TlsFailed(f"cannot read {path}: {error.strerror or error}")
