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
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ..documented import Documented
from .authority import authority_of, names_of, of_another, refuse_members, renewed
from .build import (
    CA_DAYS,
    CLIENT,
    LEAF_DAYS,
    LONGEST_LABEL,
    Pair,
    Role,
    build_authority,
    build_client,
    build_server,
)
from .names import host_names, identity_name, stem

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
"""What the certificate of the first bus is for in any case, so that a trial on one machine needs no names."""


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
      hosts: DNS names and IP addresses at which the bus is reached. When renewing, they are added to those that the
        certificate has; it loses none.
      days: how long it is valid, but never longer than the CA.
      renew: whether to replace the certificate and the key that are there.
      role: what the certificate is for.

    Raises:
      InvalidCertificateRequest: the name, a host or the days are wrong, or there is no host.
      FileExistsError: a file of that name exists and is not to be renewed.
      FileNotFoundError: there is no CA, or nothing to renew.
      UnusableAuthority: the CA cannot issue, or the certificate there is of another server, or not for this role.
      OSError: the files cannot be read or written.

    """
    file_name, label = stem(name), f"t2bus {name}"
    host_names(hosts)  # what is wrong with the request comes before what is wrong with the folder
    authority = authority_of(folder, *(["--member"] if role is Role.MEMBER else []))
    old: tuple[str, ...] = ()
    if renew:
        label_there, old = renewed(folder / f"{file_name}.pem", role.value)
        if label_there != label[:LONGEST_LABEL]:
            raise of_another(folder / f"{file_name}.pem", label_there.removeprefix("t2bus "), name)
    pair = build_server(authority, label, [*old, *hosts], datetime.now(UTC), days, role=role)
    return _place(folder, file_name, pair, renew=renew)


def issue_client(folder: Path, identity: str, *, days: int = LEAF_DAYS, renew: bool = False) -> Files:
    """Issue a client's certificate.

    Args:
      folder: that of the CA.
      identity: who the client is to access rules: a URI, an e-mail address, or else a DNS name. The files are named
        like it, as far as files can be: ``urn:alice/1`` is in ``urn-alice-1.pem``.
      days: how long it is valid, but never longer than the CA.
      renew: whether to replace the certificate and the key that are there.

    Raises:
      InvalidCertificateRequest: the identity or the days are wrong.
      FileExistsError: a file of that name exists and is not to be renewed.
      FileNotFoundError: there is no CA, or nothing to renew.
      UnusableAuthority: the CA cannot issue, or is that of servers which are one bus; or the certificate there is
        somebody else's.
      OSError: the files cannot be read or written.

    """
    name, file_name = identity_name(identity), stem(identity)
    authority = authority_of(folder)
    refuse_members(folder)
    path = folder / f"{file_name}.pem"
    if renew and (names := renewed(path, CLIENT)[1]) != (str(name.value),):
        raise of_another(path, ", ".join(names), identity)
    pair = build_client(authority, identity, datetime.now(UTC), days)
    return _place(folder, file_name, pair, renew=renew)


def _place(folder: Path, file_name: str, pair: Pair, *, renew: bool) -> Files:
    """Write what was issued. The look before is for its remedy; that nothing is replaced is the law of writing."""
    files = _files(folder, file_name, pair)
    if not renew:
        can_be_renewed = files.certificate.exists()
        _check_absent(
            files, "renew it with --renew" if can_be_renewed else "move it away first, or choose another name"
        )
    _write([(files, pair)], replace=renew)
    return files


# --- writing


def _make_folder(folder: Path) -> None:
    """Make the folder for this user alone; one that is there keeps its mode."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _files(folder: Path, file_name: str, pair: Pair) -> Files:
    """Say where a certificate and its key are going to be, without writing them."""
    names = () if file_name == "ca" else names_of(pair.certificate)
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
