"""The names that certificates carry, and the names of their files.

``alice`` is a DNS name, ``alice@lab.example`` an e-mail address, and ``spiffe://lab/oven`` a URI, whose files are
``spiffe---lab-oven.pem`` and ``.key``. The hosts of a bus are DNS names, as ``bus.example``, and IP addresses.

The law of this module: a name is one that every TLS library reads in the same way. So it is plain ASCII, has no
wildcard, and its form alone tells what it is: a URI, an e-mail address, an IP address or a DNS name.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from typing import TYPE_CHECKING, Final

from cryptography import x509

from ..broker.identity import is_reserved

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_NAME: Final = 256
"""Characters of an identity: a bus accepts no longer one either."""

_LONGEST_DNS_NAME: Final = 253
"""Characters of a DNS name, as RFC 1035 bounds it."""

_LONGEST_STEM: Final = 200
"""Characters of a file's name without its suffix; file systems allow 255 with it."""

_LABEL: Final = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_DNS: Final = rf"{_LABEL}(?:\.{_LABEL})*"
_ATOM: Final = r"[A-Za-z0-9!#$%&'/=?^_`{|}~+-]+"
_DNS_NAME: Final = re.compile(_DNS)
_EMAIL: Final = re.compile(rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_DNS}")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()+,;=%-]+")


class InvalidCertificateRequest(ValueError):
    """What was asked for cannot be put into a certificate: correct the name, the hosts or the days.

    It is a ``ValueError`` of the caller's; nothing was written.
    """


def identity_name(identity: str) -> x509.GeneralName:
    """Return a client's identity as a certificate carries it: a URI, an e-mail address or else a DNS name.

    It is a URI if it has ``://`` in it or begins with ``urn:``, and an e-mail address if it has an ``@``.

    Raises:
      InvalidCertificateRequest: it is none of these, or is reserved for clients without a certificate.

    """
    _check_text(identity)
    folded = identity.casefold()
    if is_reserved(folded):
        raise InvalidCertificateRequest(f"{identity!r} is reserved: the bus gives it to clients without a certificate")
    if "://" in identity or folded.startswith("urn:"):
        if _URI.fullmatch(identity):
            return x509.UniformResourceIdentifier(identity)
        raise InvalidCertificateRequest(f"{identity!r} is not a URI")
    if "@" in identity:
        if _EMAIL.fullmatch(identity):
            return x509.RFC822Name(identity)
        raise InvalidCertificateRequest(f"{identity!r} is not an e-mail address")
    return _dns_name(identity)


def host_name(host: str) -> x509.GeneralName:
    """Return a host as a certificate carries it: an IP address or a DNS name.

    Raises:
      InvalidCertificateRequest: it is neither.

    """
    _check_text(host)
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if getattr(address, "scope_id", None) is None:  # a zone means something on one machine only
            return x509.IPAddress(address)
    name = _dns_name(host)
    if host.rpartition(".")[2].isdigit():  # 10.0.0.256 would be a DNS name that nobody can look up
        raise InvalidCertificateRequest(f"{host!r} is neither an IP address nor a DNS name")
    return name


def _check_text(text: str) -> None:
    """Raise ``InvalidCertificateRequest`` for what no name of any kind may have in it."""
    if len(text) > _LONGEST_NAME:
        raise InvalidCertificateRequest(f"a name has at most {_LONGEST_NAME} characters, this one {len(text)}")
    if not text.isprintable():
        raise InvalidCertificateRequest(f"{text!r} has characters that cannot be printed")
    if not text.isascii():
        raise InvalidCertificateRequest(f"{text!r} is not ASCII: give the A-label (xn--...) of a name in other letters")
    if "*" in text:
        raise InvalidCertificateRequest(f"{text!r} has a wildcard: give each name of its own")


def _dns_name(name: str) -> x509.DNSName:
    """Return a DNS name as a certificate carries it, or raise ``InvalidCertificateRequest`` with the rules for one."""
    if len(name) <= _LONGEST_DNS_NAME and _DNS_NAME.fullmatch(name):
        return x509.DNSName(name)
    raise InvalidCertificateRequest(
        f"{name!r} is not a DNS name: labels of 1 to 63 letters, digits, '-' and '_', a dot between them, "
        f"{_LONGEST_DNS_NAME} characters at most"
    )


def host_names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """Return the hosts as :func:`host_name` does, each once; ``bus.example`` and ``BUS.example`` are the same."""
    names: dict[str, x509.GeneralName] = {}
    for host in hosts:
        names.setdefault(host.casefold(), host_name(host))
    return list(dict.fromkeys(names.values()))  # an IPv6 address may be written in several ways


def stem(name: str) -> str:
    """Return the name of a certificate's files, without their suffix: what no file should have in its name is a ``-``.

    Two identities may have files of one name, as ``urn:a/b`` and ``urn:a-b`` have; the second is refused where the
    first has been issued.

    Raises:
      InvalidCertificateRequest: no file can have it, or the CA's own files do.

    """
    _check_text(name)
    stem = re.sub(r"[^A-Za-z0-9._@-]", "-", name).lstrip("-")[:_LONGEST_STEM]  # in front, `-` would begin an option
    if not stem or stem.startswith("."):
        raise InvalidCertificateRequest(f"{name!r} makes no name for a file")
    if stem.casefold() == "ca":  # also where the file system does not tell CA from ca
        raise InvalidCertificateRequest(f"{name!r} would take the place of the CA's own files: choose another name")
    return stem
