"""The certificates themselves: what is in them, and nothing of where their files are.

::

    ca = build_authority(now)
    bus = build_server(ca, "t2bus bus", ["localhost", "127.0.0.1"], now)
    alice = build_client(ca, "alice", now, days=7)
    north = build_server(ca, "t2bus north", ["north.example"], now, role=Role.MEMBER)

They are of the plainest kind that strict verification accepts (``VERIFY_X509_STRICT``, the default since Python 3.13):
keys on the curve P-256, signatures with SHA-256, and each extension critical or not as RFC 5280 has it. Who a
certificate is for is in the subject alternative name alone; the common name is a label for people. The time is an
argument, and has a time zone.

The law of this module: a certificate is for one end of a connection, server or client, and for both only if it is a
member's; it expires with its CA at the latest.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..documented import Documented
from .names import InvalidCertificateRequest, host_names, identity_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.x509 import GeneralName

CLIENT: Final = (ExtendedKeyUsageOID.CLIENT_AUTH,)
"""What the certificate of a client may be used for."""

CA_DAYS: Final = 3650
"""How long a CA is valid."""
LEAF_DAYS: Final = 365
"""How long other certificates are valid unless told otherwise."""
_MOST_DAYS: Final = 36_500
"""A hundred years."""

_SKEW: Final = timedelta(hours=1)
"""A certificate is valid from this much before it is made: the clock of whoever verifies it may be behind."""

LONGEST_LABEL: Final = 64
"""Characters of a common name; RFC 5280 allows no more."""


class UnusableAuthority(OSError):
    """There is no CA that can issue in the folder, or no certificate that can be renewed as was asked.

    Its text says which file, and why: it has expired, is of another key, or is somebody else's. It is an ``OSError``,
    as is all else that can be wrong with the folder.
    """


class Role(Enum):
    """What a server is to whoever it shows its certificate; the value is what the certificate may be used for."""

    BUS = (ExtendedKeyUsageOID.SERVER_AUTH,)
    """Clients connect to it."""
    MEMBER = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    """It is one of several servers that are one bus, and connect to each other."""


@frozen
class Pair(metaclass=Documented):
    """A certificate and its private key."""

    certificate: x509.Certificate
    """As ``cryptography`` has it."""
    key: ec.EllipticCurvePrivateKey
    """On the curve P-256."""


def build_authority(now: datetime, days: int = CA_DAYS) -> Pair:
    """Return a new CA, which may issue certificates but no further CA.

    Raises:
      InvalidCertificateRequest: the days are not from 1 to 36,500.

    """
    key = ec.generate_private_key(ec.SECP256R1())
    label = f"t2bus CA {secrets.token_hex(4)}"  # two CAs of one name are hard to tell apart
    builder = _builder(key, label, None, now, _end(now, days))
    return Pair(builder.sign(key, hashes.SHA256()), key)


def build_server(
    authority: Pair,
    label: str,
    hosts: Sequence[str],
    now: datetime,
    days: int = LEAF_DAYS,
    *,
    role: Role = Role.BUS,
) -> Pair:
    """Return a certificate by which clients know the bus, or members each other, at these hosts.

    Hosts are DNS names and IP addresses. The label is for people; it is cut to 64 characters. The certificate is valid
    from ``now``, which has a time zone, for so many days, but never longer than the CA.

    Raises:
      InvalidCertificateRequest: there is no host, or one is wrong, or the days are.
      UnusableAuthority: the CA has expired.

    """
    if not hosts:
        raise InvalidCertificateRequest("a server's certificate needs at least one host")
    return _build_leaf(authority, label, host_names(hosts), role.value, now=now, days=days)


def build_client(authority: Pair, identity: str, now: datetime, days: int = LEAF_DAYS) -> Pair:
    """Return a certificate by which the bus knows a client, by exactly one name; otherwise as :func:`build_server`.

    Raises:
      InvalidCertificateRequest: the identity or the days are wrong.
      UnusableAuthority: the CA has expired.

    """
    names = [identity_name(identity)]
    return _build_leaf(authority, identity, names, CLIENT, now=now, days=days)


def _build_leaf(
    authority: Pair,
    label: str,
    names: list[GeneralName],
    purposes: Sequence[x509.ObjectIdentifier],
    *,
    now: datetime,
    days: int,
) -> Pair:
    """Return what the CA has signed for these purposes; it expires with the CA at the latest."""
    end = min(_end(now, days), authority.certificate.not_valid_after_utc)
    if end <= now:
        raise UnusableAuthority(f"the CA expired on {end:%Y-%m-%d}: make a new one in another folder")
    key = ec.generate_private_key(ec.SECP256R1())
    signer = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(key, label, authority.certificate.subject, now, end)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer), critical=False)
    )
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    key: ec.EllipticCurvePrivateKey, label: str, issuer: x509.Name | None, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    """Return what the certificates of a CA and of all others have in common. Without an issuer it is that of a CA."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label[:LONGEST_LABEL])])
    authority = issuer is None
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(_usage(authority=authority), critical=True)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    """Return what a key may be used for: that of a CA to sign certificates, any other one to sign handshakes."""
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _end(now: datetime, days: int) -> datetime:
    if not 1 <= days <= _MOST_DAYS:
        raise InvalidCertificateRequest(f"a certificate is valid for 1 to {_MOST_DAYS} days, not {days}")
    return now + timedelta(days=days)
