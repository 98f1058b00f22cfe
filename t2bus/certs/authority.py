"""What is in the folder of a CA: the CA itself, and a certificate that is to be renewed.

::

    authority_of(Path("certs"))  # the CA, or an error that says what is wrong with it
    renewed(Path("certs/bus.pem"), Role.BUS.value)  # ("t2bus bus", ("localhost", "127.0.0.1", "::1"))

The law of this module: nothing is written. What only looks like a CA, or like the certificate that was asked for, is
refused with the file and the reason.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from ..called import command
from ..pem import closing
from .build import CLIENT, Pair, Role, UnusableAuthority

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_OTHERS: Final = 0o077
"""The bits of a mode that let anybody but the owner do something."""


def first_hosts(folder: Path) -> tuple[str, ...]:
    """Return the hosts of the certificate that was made with the CA; none if it is not in the folder any more."""
    try:
        return names_of(_first(folder))
    except (OSError, ValueError, x509.ExtensionNotFound):
        return ()


def authority_of(folder: Path, *options: str) -> Pair:
    """Return the CA that is in the folder; raise ``UnusableAuthority`` for all that only looks like one.

    The options are those of the command that makes one.
    """
    key_path, path = folder / "ca.key", folder / "ca.pem"
    if not key_path.exists() and not path.exists():
        made = command("certs", "init", *options, str(folder))
        raise FileNotFoundError(f"no authority in {folder}: name its folder with --folder, or make one with `{made}`")
    key_pem, certificate_pem = _read_key(key_path), _read(path)
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


def _read_key(path: Path) -> bytes:
    """Return the key of the CA; raise ``PermissionError`` if anybody else than this user and root may have read it."""
    data = _read(path)
    status = path.stat()
    if status.st_uid not in {0, os.geteuid()}:
        raise PermissionError(f"{path} belongs to another user (uid {status.st_uid}), who could be anybody with it")
    if status.st_mode & _OTHERS:
        remedy = f"if one has, make a new CA, else {closing(str(path), status)}"
        raise PermissionError(f"{path} can be read by other users, who could make certificates with it: {remedy}")
    return data


def _read(path: Path) -> bytes:
    """Return what is in a file of the CA, of which another one is there."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        remedy = "bring it from where it is kept, or name another folder with --folder"
        raise FileNotFoundError(f"{path} is not there, without which the authority cannot issue: {remedy}") from error


def renewed(path: Path, wanted: Sequence[x509.ObjectIdentifier]) -> tuple[str, tuple[str, ...]]:
    """Return the label and the names of a certificate that is to be renewed; it has to be for what is wanted."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        purposes = _purposes(certificate)
        names = names_of(certificate)
        label = str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no {path} to renew: leave out --renew, or check the name") from error
    except (ValueError, IndexError, x509.ExtensionNotFound) as error:
        raise UnusableAuthority(f"{path} is not a certificate that can be renewed") from error
    if purposes != {*wanted}:
        for known, (whose, options) in _KINDS.items():
            if purposes == {*known}:
                raise UnusableAuthority(f"{path} is a {whose}'s certificate: renew it with {options}")
        raise UnusableAuthority(f"{path} is not a certificate that can be renewed")
    return label, names


_KINDS: Final = {
    Role.BUS.value: ("bus", "--server --renew"),
    Role.MEMBER.value: ("member", "--member --renew"),
    CLIENT: ("client", "--renew alone"),
}
"""Whose a certificate is by what it may be used for, and the options that renew it."""


def of_another(path: Path, owner: str, name: str) -> UnusableAuthority:
    """Return the error of a certificate whose file has the name that another one's would have too."""
    return UnusableAuthority(f"{path} is the certificate of {owner}, not of {name}: check the name, or choose another")


def refuse_members(folder: Path) -> None:
    """Raise ``UnusableAuthority`` if the CA is that of servers which are one bus, as its first certificate shows."""
    try:
        is_of_members = _purposes(_first(folder)) == {*Role.MEMBER.value}
    except (OSError, ValueError, x509.ExtensionNotFound):
        return
    if is_of_members:
        raise UnusableAuthority(
            f"{folder} has the authority of servers that are one bus, which a client of it could join as a server: "
            f"name the folder of another authority with --folder, or make one with `{command('certs', 'init')}`"
        )


def _purposes(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    return {*certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value}


def _first(folder: Path) -> x509.Certificate:
    """Return the certificate that was made with the CA."""
    return x509.load_pem_x509_certificate((folder / "bus.pem").read_bytes())


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return whom a certificate is for, in its order."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(name.value) for name in names)
