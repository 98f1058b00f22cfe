"""What the tests of TLS share: authorities, certificates of every kind, and buses that are reached over TLS."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio
import trustme
from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

import t2bus
from bus_helpers import Note, Site, open_bystanders, wait_until
from t2bus.transport.address import TlsAddress, parse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import pytest

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
LONG_AGO, AGO = datetime(2001, 1, 1), datetime(2002, 1, 1)  # noqa: DTZ001 -- certificates are in UTC
AHEAD, FAR_AHEAD = datetime(2900, 1, 1), datetime(2901, 1, 1)  # noqa: DTZ001 -- certificates are in UTC
HOST: Final = "127.0.0.1"
NO_TEXT: Final = bytes([0x30, 0x04, 0x82, 0x02, 0xFF, 0xFE])
"""A subject alternative name in DER: a DNS name of two bytes that no text is encoded as."""
NO_ASCII: Final = bytes([0x30, 0x04, 0x82, 0x02, 0xC3, 0xA9])
"""The same of two bytes that would be a letter with an accent."""


# --- certificates


@frozen
class Leaf:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes


@cache
def _authority(name: str) -> trustme.CA:
    return trustme.CA(organization_name=name)


def authority(name: str = "ours") -> trustme.CA:
    """Return an authority, the same for the same name."""
    return _authority(name)


@cache
def leaf(*names: str, by: str = "ours", not_before: datetime | None = None, not_after: datetime | None = None) -> Leaf:
    """Return a certificate for both ends of a connection, the same for the same arguments."""
    made = authority(by).issue_cert(*names, not_before=not_before, not_after=not_after)
    return Leaf(made.cert_chain_pems[0].bytes(), made.private_key_pem.bytes())


@cache
def odd_leaf(*names: x509.GeneralName | bytes, uses: tuple[x509.ObjectIdentifier, ...] = (CLIENT,)) -> Leaf:
    """Return a certificate that trustme does not make: with names of any kind, or with a SAN of such bytes."""
    ca = authority()
    key = ec.generate_private_key(ec.SECP256R1())
    signer = load_pem_private_key(ca.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    certificate = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    subject_key = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd")]))
        .issuer_name(certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(LONG_AGO)
        .not_valid_after(FAR_AHEAD)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key), critical=False)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    )
    for name in names:
        if isinstance(name, bytes):
            san = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, name)
            builder = builder.add_extension(san, critical=False)
    if general := [name for name in names if not isinstance(name, bytes)]:
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    made = builder.sign(signer, hashes.SHA256())
    return Leaf(made.public_bytes(Encoding.PEM), _in_pem(key))


def _in_pem(key: Any, secret: bytes | None = None) -> bytes:
    encryption = NoEncryption() if secret is None else BestAvailableEncryption(secret)
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return pem


def encrypted(leaf: Leaf) -> Leaf:
    """Return the same certificate, with the key encrypted."""
    return Leaf(leaf.certificate, _in_pem(load_pem_private_key(leaf.key, None), b"a secret"))


def expires_in(**time: float) -> Leaf:
    """Return a certificate of a bus that expires so much from now."""
    return leaf(HOST, not_after=(datetime.now(UTC) + timedelta(**time)).replace(tzinfo=None, microsecond=0))


# --- files


@frozen
class Files:
    """The files that a context is made from."""

    ca: Path
    certificate: Path
    key: Path

    def server(self) -> ssl.SSLContext:
        return t2bus.tls.server_context(ca=self.ca, certificate=self.certificate, key=self.key)

    def client(self) -> ssl.SSLContext:
        return t2bus.tls.client_context(ca=self.ca, certificate=self.certificate, key=self.key)

    def replace(self, leaf: Leaf) -> None:
        """Write another certificate into the same files."""
        self.certificate.write_bytes(leaf.certificate)
        self.key.write_bytes(leaf.key)


def write(folder: Path, name: str, leaf: Leaf, *, trusts: str = "ours") -> Files:
    """Write a certificate, its key, and the authority that its owner trusts."""
    files = Files(folder / f"{name}-ca.pem", folder / f"{name}.pem", folder / f"{name}.key")
    files.ca.write_bytes(authority(trusts).cert_pem.bytes())
    files.key.touch(mode=0o600)
    files.replace(leaf)
    return files


def bus_leaf() -> Leaf:
    """Return a right certificate of a bus."""
    return leaf(HOST)


def client_leaf() -> Leaf:
    """Return a right certificate of a client."""
    return leaf("alice.example")


def bare_context(*, is_server: bool = False, with_certificate: bool = True) -> ssl.SSLContext:
    """Return a context that owes nothing to t2bus, for any version of TLS; a server's asks for no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    if with_certificate:
        # What trustme issued, through trustme's own way into a context: there are no files that a test has to keep.
        authority().issue_cert(HOST if is_server else "alice.example").configure_cert(context)
    return context


# --- buses


@frozen
class TlsSite(Site):
    """A bus at an address of TLS, and the way to it with a right certificate."""

    address: TlsAddress
    files: Files
    """Those of the bus."""

    async def open_stream(self) -> trio.SocketStream:
        """Connect to the bus and say nothing."""
        return await trio.open_tcp_stream(self.address.host, self.address.port)

    async def try_out(self) -> None:
        """See that a new client gets in, within a second."""
        with trio.fail_after(1):
            async with self.connect() as client:
                assert await client.publish("anything", Note("")) == 0


@asynccontextmanager
async def open_tls_site(
    folder: Path, leaf: Leaf | None = None, *, limits: t2bus.Limits | None = None, beside: str | None = None
) -> AsyncGenerator[TlsSite, None]:
    """Open a bus at an address of TLS, and at one ``beside`` it if there is one; then that is the way to it."""
    files = write(folder, "bus", leaf or bus_leaf())
    right = write(folder, "right", client_leaf()).client()
    addresses = [f"tls:{HOST}:0", *([] if beside is None else [beside])]
    async with t2bus.open_bus(*addresses, tls=files.server(), limits=limits) as bus:
        address = parse(bus.addresses[0])
        assert isinstance(address, TlsAddress)
        connect = partial(t2bus.open_client, bus.addresses[-1], tls=right if beside is None else None)
        yield TlsSite(bus, connect, address, files)


@asynccontextmanager
async def open_watched_site(folder: Path, *, limits: t2bus.Limits | None = None) -> AsyncGenerator[TlsSite, None]:
    """Open a bus with bystanders over TLS; when the body has ended, they still work and a right client gets in."""
    async with open_tls_site(folder, limits=limits) as site:
        async with open_bystanders(site.connect) as bystanders:
            yield site
            await bystanders.try_out()
        await site.try_out()


def log(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the bus has logged as a warning or worse."""
    return [record.getMessage() for record in caplog.records if record.name == "t2bus.server" and record.levelno >= 30]


async def check_refusal(site: TlsSite, caplog: pytest.LogCaptureFixture, *words: str) -> None:
    """Check that the bus has counted one refusal, and logged it once, in these words."""
    await wait_until(lambda: site.bus.statistics().refused > 0)
    assert site.bus.statistics().refused == 1
    (line,) = log(caplog)
    assert line.startswith(f"connection of {HOST} refused: ")
    for part in words:
        assert part in line


# --- peers


async def read_to_end(stream: trio.abc.ReceiveStream) -> None:
    """Read until the other end closes the connection, one way or the other."""
    try:
        while await stream.receive_some():
            pass
    except trio.BrokenResourceError:
        pass


@cache
def client_hello() -> bytes:
    """Return what a right client says first."""
    context = bare_context(with_certificate=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([t2bus.tls.ALPN])
    outgoing = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOST).do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake cannot be over before it has begun")


def reset(stream: trio.SocketStream) -> None:
    """Close a connection in such a way that the other end gets an error instead of its end."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()
