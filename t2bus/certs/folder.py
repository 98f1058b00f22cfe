"""The folder of a CA: making it, issuing from it, and renewing what is in it.

::

    certs/                  mode 0700
      ca.pem   ca.key       the CA; its key is needed to issue only
      bus.pem  bus.key      the bus, for localhost and the hosts that were named
      alice.pem  alice.key  a client; each .key has mode 0600

Each file is written under a scratch name, with its mode from the start, and flushed to the disk. Then it is linked into
place, which fails where something is there already; only renewing renames, which replaces.

The law of this module: a key is closed to other users from the moment its file exists, no file is ever half written,
and none is replaced but by a newer certificate of the same owner.
"""

from __future__ import annotations

import os
import secrets
import shlex
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from ..documented import Documented
from ..pem import closing
from .build import (
    CA_DAYS,
    CLIENT,
    LEAF_DAYS,
    Pair,
    Role,
    UnusableAuthority,
    build_authority,
    build_client,
    build_server,
)
from .names import host_names, identity_name, stem

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
"""What the certificate of the first bus is for in any case, so that a trial on one machine needs no names."""

_OTHERS: Final = 0o077
"""The bits of a mode that let anybody but the owner do something."""


@frozen
class Files(metaclass=Documented):
    """What was written: a certificate and its private key."""

    certificate: Path
    """PEM, mode 0644."""
    key: Path
    """PEM, PKCS8 without a password, mode 0600."""
    names: tuple[str, ...]
    """Whom the certificate is for: an identity, or hosts; empty for that of the CA."""
    expires: datetime
    """In UTC."""


def make_ca(
    folder: Path, hosts: Sequence[str] = (), *, days: int = LEAF_DAYS, role: Role = Role.BUS
) -> tuple[Files, Files]:
    """Make a CA for ten years, and the certificate of a bus at this machine and at ``hosts``.

    With :attr:`Role.MEMBER` the CA is for servers that are one bus, and the bus is the first of them. Such a CA should
    certify no clients: whoever has a certificate of it can join the servers, past all access rules.

    Args:
      folder: where to write the four files; it is made if need be, closed to other users.
      hosts: DNS names and IP addresses at which the bus is reached, beside those of :data:`LOCAL_HOSTS`.
      days: how long the bus's certificate is valid.
      role: what the bus's certificate is for.

    Returns:
      The files of the CA, then those of the bus. All four are there, or on an error none of them.

    Raises:
      InvalidCertificateRequest: a host or the days are wrong.
      FileExistsError: one of these files exists; a CA is never replaced.
      OSError: the folder or the files cannot be written.

    """
    now = datetime.now(UTC)
    authority = build_authority(now, CA_DAYS)
    bus = build_server(authority, "t2bus bus", [*LOCAL_HOSTS, *hosts], now, days, role=role)
    _make_folder(folder)
    ca_files, bus_files = _files(folder, "ca", authority), _files(folder, "bus", bus)
    for files in (ca_files, bus_files):
        _check_absent(files, "it is never replaced; make the new CA in another folder")
    _write([(ca_files, authority), (bus_files, bus)], replace=False)
    return ca_files, bus_files


def issue_server(
    folder: Path,
    name: str,
    hosts: Sequence[str] = (),
    *,
    days: int = LEAF_DAYS,
    renew: bool = False,
    role: Role = Role.BUS,
) -> Files:
    """Issue the certificate of a further bus, or of a further server of the same bus.

    Args:
      folder: that of the CA.
      name: for the files alone, ``NAME.pem`` and ``NAME.key``; no program reads it in the certificate.
      hosts: DNS names and IP addresses at which the bus is reached, and no others. None, when renewing, keeps those
        that the certificate has.
      days: how long it is valid, but never longer than the CA.
      renew: whether to replace the certificate and the key that are there; if there are none, they are issued.
      role: what the certificate is for.

    Raises:
      InvalidCertificateRequest: the name, a host or the days are wrong, or there is no host.
      FileExistsError: a file of that name exists and is not to be renewed.
      UnusableAuthority: there is no CA that can issue, or the certificate there is not for this role.
      OSError: the files cannot be read or written.

    """
    file_name = stem(name)
    host_names(hosts)  # what is wrong with the request comes before what is wrong with the folder
    old = _old_names(folder / f"{file_name}.pem", role.value) if renew else ()
    authority = _authority(folder, *(["--member"] if role is Role.MEMBER else []))
    pair = build_server(authority, f"t2bus {name}", hosts or old, datetime.now(UTC), days, role=role)
    return _place(folder, file_name, pair, renew=renew)


def issue_client(folder: Path, identity: str, *, days: int = LEAF_DAYS, renew: bool = False) -> Files:
    """Issue a client's certificate.

    Args:
      folder: that of the CA.
      identity: who the client is to access rules: a URI, an e-mail address, or else a DNS name. The files are named
        like it, as far as files can be: ``urn:alice/1`` is in ``urn-alice-1.pem``.
      days: how long it is valid, but never longer than the CA.
      renew: whether to replace the certificate and the key that are there; if there are none, they are issued.

    Raises:
      InvalidCertificateRequest: the identity or the days are wrong.
      FileExistsError: a file of that name exists and is not to be renewed.
      UnusableAuthority: there is no CA that can issue, or the certificate there is somebody else's.
      OSError: the files cannot be read or written.

    """
    name, file_name = identity_name(identity), stem(identity)
    path = folder / f"{file_name}.pem"
    if renew and _old_names(path, CLIENT) not in ((), (str(name.value),)):
        raise UnusableAuthority(f"{path} is not the certificate of {identity}, so that this one cannot renew it")
    pair = build_client(_authority(folder), identity, datetime.now(UTC), days)
    return _place(folder, file_name, pair, renew=renew)


def _place(folder: Path, file_name: str, pair: Pair, *, renew: bool) -> Files:
    """Write what was issued. The look before is for its remedy; that nothing is replaced is the law of writing."""
    files = _files(folder, file_name, pair)
    if not renew:
        _check_absent(files, "renew it with --renew")
    _write([(files, pair)], replace=renew)
    return files


# --- reading


def _authority(folder: Path, *options: str) -> Pair:
    """Return the CA that is in the folder; raise ``UnusableAuthority`` for all that only looks like one.

    The options are those of the command that makes one.
    """
    key_pem, certificate_pem = _read_key(folder / "ca.key", *options), _read(folder / "ca.pem", *options)
    try:
        key = load_pem_private_key(key_pem, password=None)
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:  # a key with a password is a TypeError
        raise UnusableAuthority(f"{folder} holds no CA of `t2bus certs init`: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not constraints.ca:
        raise UnusableAuthority(f"{folder} holds no CA of `t2bus certs init`")
    if certificate.public_key() != key.public_key():
        raise UnusableAuthority(f"{folder / 'ca.key'} is not the key of {folder / 'ca.pem'}")
    return Pair(certificate, key)


def _read_key(path: Path, *options: str) -> bytes:
    """Return the key of the CA; raise ``PermissionError`` if anybody else than this user and root may have read it."""
    data = _read(path, *options)
    status = path.stat()
    if status.st_uid not in {0, os.geteuid()}:
        raise PermissionError(f"{path} belongs to another user (uid {status.st_uid}), who could be anybody with it")
    if status.st_mode & _OTHERS:
        remedy = f"if one has, make a new CA, else {closing(str(path), status)}"
        raise PermissionError(f"{path} can be read by other users, who could make certificates with it: {remedy}")
    return data


def _read(path: Path, *options: str) -> bytes:
    """Return what is in a file of the CA, or say how a CA is made."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        command = shlex.join(["t2bus", "certs", "init", *options, str(path.parent)])
        raise FileNotFoundError(f"{path} is not there: run `{command}` first") from error


def _old_names(path: Path, wanted: Sequence[x509.ObjectIdentifier]) -> tuple[str, ...]:
    """Return the names of a certificate that is to be renewed, or none where there is no file."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = _names(certificate)
    except FileNotFoundError:
        return ()
    except (ValueError, x509.ExtensionNotFound) as error:
        raise UnusableAuthority(f"{path} is not a certificate that can be renewed") from error
    if set(purposes) != set(wanted):
        kind = {Role.BUS.value: "server", Role.MEMBER.value: "member", CLIENT: "client"}[tuple(wanted)]
        raise UnusableAuthority(f"{path} is not the certificate of a {kind}, so that this one cannot renew it")
    return names


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(name.value) for name in names)


# --- writing


def _make_folder(folder: Path) -> None:
    """Make the folder for this user alone; one that is there keeps its mode."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _files(folder: Path, file_name: str, pair: Pair) -> Files:
    """Say where a certificate and its key are going to be, without writing them."""
    names = () if file_name == "ca" else _names(pair.certificate)
    certificate, key = folder / f"{file_name}.pem", folder / f"{file_name}.key"
    return Files(certificate, key, names, pair.certificate.not_valid_after_utc)


def _check_absent(files: Files, remedy: str) -> None:
    """Raise ``FileExistsError`` if one of the two is there, also as a link that leads nowhere."""
    for path in (files.key, files.certificate):
        if os.path.lexists(path):
            raise FileExistsError(f"{path} exists: {remedy}")


def _write(written: Sequence[tuple[Files, Pair]], *, replace: bool) -> None:
    """Put certificates and keys in place: all of them, or on an error none that was not there before.

    First every file is written under a scratch name, which is what may fail; then each takes its place, the key before
    its certificate. What was linked is taken away again if a later one fails; what was renewed stays.
    """
    with ExitStack() as scratches, ExitStack() as placed:
        moves: list[tuple[Path, Path]] = []
        for files, pair in written:
            key = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            certificate = pair.certificate.public_bytes(Encoding.PEM)
            for path, data, mode in ((files.key, key, 0o600), (files.certificate, certificate, 0o644)):
                scratch = path.with_name(f".{secrets.token_hex(8)}")
                scratches.callback(scratch.unlink, missing_ok=True)
                with _naming(path):
                    _create(scratch, data, mode)
                moves.append((scratch, path))
        for scratch, path in moves:
            with _naming(path):
                if replace:
                    scratch.replace(path)
                else:
                    path.hardlink_to(scratch)
                    placed.callback(path.unlink, missing_ok=True)
        placed.pop_all()


@contextmanager
def _naming(path: Path) -> Generator[None, None, None]:
    """Let an error name the file that was asked for, not the scratch file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _create(path: Path, data: bytes, mode: int) -> None:
    """Write a new file that has its mode from the start, and that is on the disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
