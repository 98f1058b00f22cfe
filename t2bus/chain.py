"""Whether the other end would take a certificate, until when, and if not, which of its chain is at fault.

Python can load a certificate and not read it. So it is shown to a peer in memory, and what that peer sees of it, or its
refusal, is the answer: no X.509 is parsed here.

The law of this module: OpenSSL alone decides what is wrong; what is found out here is only with which certificate.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from .pem import authorities, load_authority, load_own
from .text import in_words, quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .pem import PemFiles

    _Certificate = tuple[dict[str, Any], bytes]

_ROUNDS: Final = 8
"""More turns than two ends take to shake hands; a handshake of TLS 1.3 has three flights."""

AT_ANY_TIME: Final = ssl.VerifyFlags(0x200000)
"""Accept certificates that have expired, or are not valid yet: OpenSSL's ``X509_V_FLAG_NO_CHECK_TIME``."""

_UNTIMELY: Final = {9, 10}
"""OpenSSL's numbers (``X509_V_ERR_...``) for a certificate that is not valid yet, or has expired."""

_NO_AUTHORITY: Final = {24, 25, 32, 79}
"""The same for a certificate that may not issue others, or not this one."""

_NOT_ISSUED: Final = {2, 7, 18, 19, 20, 21}
"""The same for a certificate that none of those that are trusted has issued."""


@frozen
class Link:
    """A place in a chain: the certificates of one name in one file, of which OpenSSL takes one that fits."""

    file: str
    certificates: bytes
    """In DER, one after the other."""
    name: str
    issuer: str
    valid_from: datetime
    expires_at: datetime
    """The times, in UTC, of the last of them to expire."""
    is_own: bool
    """Whether this is the end's own, and not one above it."""

    def __str__(self) -> str:
        return f"the certificate {'' if self.is_own else f'of {quote(self.name)} '}in {self.file}"


def links(peer: ssl.SSLObject, files: PemFiles) -> list[Link]:
    """Return the chain from what the peer was shown towards what is trusted, as far as it is in the files.

    Raises:
      ValueError: a name in a certificate is not valid text.

    """
    own = authorities(files.certificate)
    known = [(files.ca, authorities(files.ca)), (files.certificate, own)]
    shown = (peer.getpeercert() or {}, peer.getpeercert(binary_form=True) or b"")
    chain = [_link(files.certificate, [shown], is_own=True)]
    for _ in range(len(own) + 1):
        above = [_link(path, fitting) for path, some in known if (fitting := _of_name(chain[-1].issuer, some))]
        chain += above[:1]
        if not above or above[0].file == files.ca:
            break
    return chain


def _link(file: str, fitting: Sequence[_Certificate], *, is_own: bool = False) -> Link:
    """Return the place where one of these certificates of one name stands."""
    last = max((content for content, _ in fitting), key=lambda content: _time(content["notAfter"]))
    return Link(
        file,
        b"".join(der for _, der in fitting),
        _name(last["subject"]),
        _name(last["issuer"]),
        _time(last["notBefore"]),
        _time(last["notAfter"]),
        is_own,
    )


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def _of_name(name: str, certificates: Iterable[_Certificate]) -> list[_Certificate]:
    return [one for one in certificates if _name(one[0]["subject"]) == name]


def _name(parts: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Return a distinguished name as text."""
    return ", ".join(value for part in parts for _, value in part)


def refusal(files: PemFiles, *, is_server: bool) -> str | None:
    """Return which certificate the other end, with the same authority, would refuse and why; None if it takes all."""
    try:
        show(files, files.ca, is_server=is_server)
    except ssl.SSLError as error:
        return _blame(files, error, is_server=is_server)
    return None


def _blame(files: PemFiles, error: ssl.SSLError, *, is_server: bool) -> str:
    """Trust each link of the chain in turn: the first that is refused then is at fault, or its issuer is missing."""
    try:
        chain = links(show(files, files.certificate, AT_ANY_TIME, is_server=is_server), files)
    except (ssl.SSLError, ValueError):  # its chain has no order, it is for another use, or it cannot be read
        which = "one above the certificate" if _number(error) in _NO_AUTHORITY else "the certificate"
        return f"{which} in {files.certificate} would be refused: {_reason(error)}"
    last = chain[0]
    if _number(error) in _UNTIMELY and not last.valid_from <= datetime.now(UTC) <= last.expires_at:
        return f"{last} would be refused: {_reason(error)}"
    for link in chain[1:]:
        try:
            show(files, link.certificates, is_server=is_server)
        except ssl.SSLError as failure:
            if _number(failure) in _NOT_ISSUED:
                break
            return f"{link} would be refused: {_reason(failure)}"
        last = link
    text = f"{last} would be refused: {_reason(error)}"
    if last.issuer == last.name:
        return f"{text}; {files.ca} does not hold it"
    return f"{text}; neither {files.certificate} nor {files.ca} holds that of {quote(last.issuer)} which issued it"


def _number(error: ssl.SSLError) -> int:
    """Return OpenSSL's number for what is wrong with a certificate, 0 for errors of other kinds."""
    return error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else 0


def _reason(error: ssl.SSLError) -> str:
    return error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else in_words(error.reason or "")


def show(
    files: PemFiles,
    trusted: str | bytes,
    flags: ssl.VerifyFlags = ssl.VerifyFlags.VERIFY_DEFAULT,
    *,
    is_server: bool,
    host: str | None = None,
) -> ssl.SSLObject:
    """Show the certificate of the files to a peer in memory, and return the peer after the handshake.

    Args:
      files: what has the certificate.
      trusted: what the peer trusts, as for :func:`~t2bus.pem.load_authority`.
      flags: what the peer accepts beyond others, such as an expired certificate.
      is_server: whether the certificate is a bus's; the peer is a client then.
      host: where such a client connects to; None for one to whom that is all the same.

    Raises:
      ssl.SSLError: the peer refuses the certificate.

    """
    peer = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if is_server else ssl.PROTOCOL_TLS_SERVER)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    own.check_hostname, peer.check_hostname = False, host is not None
    own.verify_mode, peer.verify_mode = ssl.CERT_NONE, ssl.CERT_REQUIRED
    peer.verify_flags |= flags
    load_authority(peer, trusted)
    load_own(own, files)
    if not is_server:
        # A server has to show some certificate: this one will do, for the other end does not verify it.
        load_own(peer, files)
    to_peer, to_own = ssl.MemoryBIO(), ssl.MemoryBIO()
    of_peer = peer.wrap_bio(to_peer, to_own, server_side=not is_server, server_hostname=host)
    of_own = own.wrap_bio(to_own, to_peer, server_side=is_server)
    for _ in range(_ROUNDS):
        for end in (of_own, of_peer):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return of_peer
