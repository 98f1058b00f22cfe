"""Chains: which certificate of one is at fault, until when it holds, and what may be trusted of it."""

from __future__ import annotations

import re
from datetime import UTC
from functools import cache
from typing import TYPE_CHECKING, Final

import pytest
from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import t2bus
from bus_helpers import Note, wait_until
from t2bus.tls import check, expiry, reread
from tls_helpers import AGO, AHEAD, FAR_AHEAD, LONG_AGO, Files, log

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    Make = Callable[[Files], ssl.SSLContext]

both_sides = pytest.mark.parametrize("make", [Files.server, Files.client], ids=["bus", "client"])
HOST: Final = "localhost"


@frozen
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@cache
def issue(
    name: str,
    by: Issued | None = None,
    *,
    is_ca: bool = True,
    not_before: datetime = LONG_AGO,
    not_after: datetime = FAR_AHEAD,
    is_weak: bool = False,
) -> Issued:
    """Return a certificate that an authority has issued, or one of its own; it is the same for the same arguments."""
    key = rsa.generate_private_key(65_537, 1024) if is_weak else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer = key if by is None else by.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not is_ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return Issued(builder.sign(signer, hashes.SHA256()), key)


def write(folder: Path, trusted: Issued, own: Issued, *above: Issued) -> Files:
    """Write the certificate of an end, those above it, its key and what it trusts."""
    files = Files(folder / "ca.pem", folder / "end.pem", folder / "end.key")
    files.ca.write_bytes(trusted.pem())
    files.certificate.write_bytes(b"".join(each.pem() for each in (own, *above)))
    files.key.touch(0o600)
    files.key.write_bytes(own.key_pem())
    return files


ROOT = issue("root")
MIDDLE = issue("middle", ROOT)
EXPIRED = issue("middle", ROOT, not_after=AGO)
EARLY = issue("middle", ROOT, not_before=AHEAD)
NO_CA = issue("middle", ROOT, is_ca=False)
OLD_ROOT = issue("root", not_after=AGO)
WEAK_ROOT = issue("root", is_weak=True)
OTHER_ROOT = issue("root", not_before=AGO)


def end(by: Issued) -> Issued:
    """Return a certificate of either end."""
    return issue(HOST, by, is_ca=False)


OWN = end(MIDDLE)


def fills(text: str, files: Files) -> str:
    """Return a pattern for a text about files."""
    return f"^{re.escape(text.format(ca=files.ca, end=files.certificate, key=files.key))}$"


# --- what peers would refuse

REFUSED: Final = {
    "an intermediate that has expired": (
        (ROOT, end(EXPIRED), EXPIRED),
        "the certificate of 'middle' in {end} would be refused: certificate has expired",
    ),
    "an intermediate that is not valid yet": (
        (ROOT, end(EARLY), EARLY),
        "the certificate of 'middle' in {end} would be refused: certificate is not yet valid",
    ),
    "an expired certificate below a right intermediate": (
        (ROOT, issue(HOST, MIDDLE, is_ca=False, not_after=AGO), MIDDLE),
        "the certificate in {end} would be refused: certificate has expired",
    ),
    "an intermediate that is missing": (
        (ROOT, OWN),
        (
            "the certificate in {end} would be refused: unable to get local issuer certificate; "
            "neither {end} nor {ca} holds that of 'middle' which issued it"
        ),
    ),
    "another intermediate of the same name": (
        (ROOT, OWN, EARLY),
        (
            "the certificate in {end} would be refused: unable to get local issuer certificate; "
            "neither {end} nor {ca} holds that of 'middle' which issued it"
        ),
    ),
    "an authority that is missing": (
        (issue("another"), OWN, MIDDLE),
        (
            "the certificate of 'middle' in {end} would be refused: unable to get local issuer certificate; "
            "neither {end} nor {ca} holds that of 'root' which issued it"
        ),
    ),
    "another authority of the same name": (
        (OTHER_ROOT, OWN, MIDDLE),
        (
            "the certificate of 'middle' in {end} would be refused: unable to get local issuer certificate; "
            "neither {end} nor {ca} holds that of 'root' which issued it"
        ),
    ),
    "an authority that is shown and not trusted": (
        (issue("another"), OWN, MIDDLE, ROOT),
        (
            "the certificate of 'root' in {end} would be refused: self-signed certificate in certificate chain; "
            "{ca} does not hold it"
        ),
    ),
    "an authority that has expired": (
        (OLD_ROOT, end(OLD_ROOT)),
        "the certificate of 'root' in {ca} would be refused: certificate has expired",
    ),
    "an intermediate that is no authority": (
        (ROOT, end(NO_CA), NO_CA),
        "one above the certificate in {end} would be refused: invalid CA certificate",
    ),
}


@both_sides
@pytest.mark.parametrize(("chain", "text"), REFUSED.values(), ids=REFUSED)
def test_what_peers_would_refuse(make: Make, tmp_path: Path, chain: tuple[Issued, ...], text: str) -> None:
    """What the other end would not take is refused with the certificate, the file, and OpenSSL's reason."""
    files = write(tmp_path, *chain)
    context = make(files)
    with pytest.raises(t2bus.TlsFailed, match=fills(text, files)):
        check(context)
    with pytest.raises(t2bus.TlsFailed, match=fills(text, files)):
        reread(context)


@pytest.mark.parametrize(
    ("make", "reason"), [(Files.server, "CA certificate key too weak"), (Files.client, "ca key too small")]
)
def test_an_authority_with_a_short_key(make: Make, tmp_path: Path, reason: str) -> None:
    """An authority whose key is short is named, with the reason that this end has for it."""
    files = write(tmp_path, WEAK_ROOT, end(WEAK_ROOT))
    with pytest.raises(
        t2bus.TlsFailed, match=fills(f"the certificate of 'root' in {{ca}} would be refused: {reason}", files)
    ):
        check(make(files))


@both_sides
@pytest.mark.parametrize(
    "chain",
    [
        (ROOT, end(ROOT)),
        (ROOT, OWN, MIDDLE),
        (ROOT, OWN, ROOT, MIDDLE),
        (MIDDLE, OWN),
        (MIDDLE, OWN, MIDDLE),
        (OWN, OWN),
        (ROOT, OWN, EXPIRED, MIDDLE),
    ],
    ids=["one", "two", "any order above", "an intermediate is trusted", "and shown", "itself", "with an old one"],
)
def test_what_peers_take(make: Make, tmp_path: Path, chain: tuple[Issued, ...]) -> None:
    """A chain that leads to what is trusted is taken, whatever else is in its file."""
    context = make(write(tmp_path, *chain))
    check(context)
    assert expiry(context) is not None


async def test_an_intermediate_authority_alone_is_trusted(tmp_path: Path) -> None:
    """Both ends may trust an intermediate authority without the one above it."""
    files = write(tmp_path, MIDDLE, OWN)
    async with (
        t2bus.open_bus("tls:127.0.0.1:0", tls=files.server()) as bus,
        t2bus.open_client(bus.addresses[0].replace("127.0.0.1", HOST), tls=files.client()) as client,
    ):
        assert await client.publish("x", Note("")) == 0


# --- what cannot be loaded

WEAK: Final = issue("weak", ROOT, is_ca=False, is_weak=True)
WEAK_MIDDLE: Final = issue("middle", ROOT, is_weak=True)
UNUSABLE: Final = {
    "a short key": ((ROOT, WEAK), "the certificate in {end} cannot be used: key too small"),
    "a short key above": (
        (ROOT, end(WEAK_MIDDLE), WEAK_MIDDLE),
        "one above the certificate in {end} cannot be used: ca key too small",
    ),
}


@both_sides
@pytest.mark.parametrize(("chain", "text"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_openssl_does_not_load(make: Make, tmp_path: Path, chain: tuple[Issued, ...], text: str) -> None:
    """What OpenSSL does not load is refused with its reason."""
    files = write(tmp_path, *chain)
    with pytest.raises(t2bus.TlsFailed, match=fills(text, files)):
        make(files)


@both_sides
def test_the_order_of_a_bundle(make: Make, tmp_path: Path) -> None:
    """A file that begins with an authority's certificate is said to do so."""
    files = write(tmp_path, ROOT, OWN)
    files.certificate.write_bytes(MIDDLE.pem() + OWN.pem())
    text = "{end} begins with an authority: the certificate of {key} comes first in it"
    with pytest.raises(t2bus.TlsFailed, match=fills(text, files)):
        make(files)


@both_sides
@pytest.mark.parametrize("damaged", [MIDDLE.pem().replace(b"MII", b"MIJ", 1), MIDDLE.pem().replace(b"MII", b"***", 1)])
def test_a_damaged_certificate(make: Make, tmp_path: Path, damaged: bytes) -> None:
    """A file with a certificate that cannot be read is named, whatever is before it."""
    files = write(tmp_path, ROOT, OWN)
    files.certificate.write_bytes(OWN.pem() + damaged)
    with pytest.raises(
        t2bus.TlsFailed, match=fills("a certificate in {end} is damaged: OpenSSL cannot read it", files)
    ):
        make(files)
    files.ca.write_bytes(ROOT.pem() + damaged)
    with pytest.raises(t2bus.TlsFailed, match=fills("a certificate in {ca} is damaged: OpenSSL cannot read it", files)):
        make(files)


# --- the whole chain expires


@both_sides
def test_the_first_of_a_chain_to_expire(make: Make, tmp_path: Path) -> None:
    """A chain expires with the first of its certificates to do so, those of the authorities included."""
    soon = AHEAD.replace(year=2800)
    for name, chain in {
        "own": (ROOT, issue(HOST, MIDDLE, is_ca=False, not_after=soon), MIDDLE),
        "middle": (ROOT, end(issue("middle", ROOT, not_after=soon)), issue("middle", ROOT, not_after=soon)),
        "root": (issue("root", not_after=soon), end(issue("root", not_after=soon))),
    }.items():
        (tmp_path / name).mkdir()
        assert expiry(make(write(tmp_path / name, *chain))) == soon.replace(tzinfo=UTC)


def test_what_is_not_of_the_chain_may_expire(tmp_path: Path) -> None:
    """The expiry of what is in the files and not needed does not count."""
    assert expiry(write(tmp_path, MIDDLE, OWN, EXPIRED, OLD_ROOT).server()) == FAR_AHEAD.replace(tzinfo=UTC)


async def test_an_intermediate_that_has_expired(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A bus names what has expired above its certificate when it opens, and its client learns that it may be there."""
    files = write(tmp_path, ROOT, end(EXPIRED), EXPIRED)
    right = tmp_path / "right"
    right.mkdir()
    async with t2bus.open_bus("tls:127.0.0.1:0", tls=files.server()) as bus:
        (line,) = log(caplog)
        assert line == (
            f"the certificate of 'middle' in {files.certificate}, above the bus's, expires at 2002-01-01 00:00+00:00: "
            "renew it and reload"
        )
        with pytest.raises(t2bus.TlsFailed, match="certificate has expired: renew it, or the one above it"):
            async with t2bus.open_client(
                bus.addresses[0].replace("127.0.0.1", HOST), tls=write(right, ROOT, OWN, MIDDLE).client()
            ):
                pass


async def test_an_intermediate_that_is_not_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where a bus does not show an intermediate, its client is told that one may be missing, and so is the bus."""
    files = write(tmp_path, ROOT, OWN)
    async with t2bus.open_bus("tls:127.0.0.1:0", tls=files.server()) as bus:
        with pytest.raises(t2bus.TlsFailed, match="use one `ca` on both sides, and show the intermediates"):
            async with t2bus.open_client(bus.addresses[0].replace("127.0.0.1", HOST), tls=files.client()):
                pass
        await wait_until(lambda: bool(log(caplog)))
        assert log(caplog)[0].endswith("use one `ca` on both sides, and show the intermediates")
