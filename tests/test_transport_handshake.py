"""The parts of TLS below a bus: the identity in a certificate, the words for what went wrong, and taking turns."""

from __future__ import annotations

import ipaddress
import re
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from cryptography.x509 import DNSName, IPAddress, RFC822Name, UniformResourceIdentifier
from hypothesis import given
from hypothesis import strategies as st

import t2bus
from stream_helpers import LIMITS
from t2bus.broker.identity import Identity
from t2bus.endpoints import open_transport
from t2bus.transport import handshake, tcp
from t2bus.transport.address import TlsAddress
from t2bus.transport.handshake import failure, identity_of
from t2bus.transport.turns import Turns
from tls_helpers import HOST, NO_ASCII, NO_TEXT, Leaf, bus_leaf, client_leaf, leaf, odd_leaf, write

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from cryptography import x509

URI = UniformResourceIdentifier("spiffe://example/alice")
DNS = DNSName("alice.example")
EMAIL = RFC822Name("alice@example.org")
IP = IPAddress(ipaddress.ip_address("127.0.0.1"))


@asynccontextmanager
async def shown(folder: Path, leaf: Leaf) -> AsyncGenerator[trio.SSLStream[Any], None]:
    """Give the bus's end of a connection whose client has shown this certificate."""
    near, far = trio.testing.memory_stream_pair()
    server = write(folder, "bus", bus_leaf()).server()
    client = write(folder, "client", leaf).client()
    secure = trio.SSLStream(near, server, server_side=True)
    peer = trio.SSLStream(far, client, server_hostname="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.do_handshake)
        await secure.do_handshake()
    yield secure
    await trio.aclose_forcefully(peer)
    await trio.aclose_forcefully(secure)


async def test_both_ends_can_send_at_once(tmp_path: Path) -> None:
    """After a handshake over a socket both ends can be written to without waiting, and are told as TLS."""
    server = write(tmp_path, "bus", bus_leaf()).server()
    client = write(tmp_path, "client", client_leaf()).client()
    ends: list[trio.abc.Stream] = []

    async def accept(listener: trio.SocketListener) -> None:
        ends.append(await handshake.accept(await listener.accept(), server, Turns(), lambda seconds: None))

    async with tcp.open_listeners(TlsAddress(HOST, 0)) as (listener,), trio.open_nursery() as nursery:
        nursery.start_soon(accept, listener)
        address = TlsAddress(HOST, listener.socket.getsockname()[1])
        ends.append(await handshake.connect(address, client, 5))
    for stream in ends:
        transport = open_transport(stream, LIMITS, wire="t2bus", stays_here=False)
        assert (transport.can_send_nowait, transport.is_secure) == (True, True)
        await transport.aclose()


# --- identities


@pytest.mark.parametrize(
    ("names", "name"),
    [
        ([URI], "spiffe://example/alice"),
        ([DNS], "alice.example"),
        ([EMAIL], "alice@example.org"),
        ([EMAIL, DNS, URI], "spiffe://example/alice"),
        ([EMAIL, DNS], "alice.example"),
        ([EMAIL, IP], "alice@example.org"),
        ([DNS, DNSName("bob"), URI], "spiffe://example/alice"),
        ([EMAIL, RFC822Name("bob@example.org"), DNS], "alice.example"),
        ([DNSName("a" * 256)], "a" * 256),
        ([DNSName("locals")], "locals"),
        ([UniformResourceIdentifier("urn:uid:0")], "urn:uid:0"),
    ],
)
async def test_identities(tmp_path: Path, names: list[x509.GeneralName], name: str) -> None:
    """The one URI counts before the one DNS name, and that before the one e-mail address, in whatever order."""
    async with shown(tmp_path, odd_leaf(*names)) as stream:
        assert identity_of(stream) == Identity(name)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([URI, UniformResourceIdentifier("urn:bob")], "has 2 URIs"),
        ([URI, UniformResourceIdentifier("urn:bob"), DNS], "has 2 URIs"),
        ([DNS, DNSName("bob"), DNSName("carol")], "has 3 DNS names"),
        ([DNS, DNS], "has 2 DNS names"),
        ([EMAIL, RFC822Name("bob@example.org")], "has 2 e-mail addresses"),
    ],
)
async def test_ambiguous_certificates(tmp_path: Path, names: list[x509.GeneralName], text: str) -> None:
    """Several names of the kind that counts are ambiguous, and none of them is taken."""
    async with shown(tmp_path, odd_leaf(*names)) as stream:
        with pytest.raises(t2bus.TlsFailed, match=f"ambiguous: it {text}; issue one with one"):
            identity_of(stream)


@pytest.mark.parametrize("names", [[], [IP]])
async def test_certificates_that_name_nobody(tmp_path: Path, names: list[x509.GeneralName]) -> None:
    """A certificate without a name that counts is refused, for its common name is a label for people."""
    async with shown(tmp_path, odd_leaf(*names)) as stream:
        with pytest.raises(t2bus.TlsFailed, match="names nobody: its SAN has to be a URI, a DNS name or an e-mail"):
            identity_of(stream)


@pytest.mark.parametrize(
    "name",
    [
        DNSName("local"),
        DNSName("anonymous"),
        DNSName("uid:0"),
        DNSName("gid:0"),
        UniformResourceIdentifier("uid:0"),
        UniformResourceIdentifier("local"),
        RFC822Name("anonymous"),
        DNSName("*.example"),
        DNSName("*"),
        UniformResourceIdentifier("spiffe://example/*"),
        DNSName("a" * 257),
        DNSName("alice\n"),
        DNSName("alice\0.example"),
        DNSName("\x1b[2J"),
        DNSName(""),
    ],
    ids=lambda name: repr(name.value[:20]),
)
async def test_names_that_nobody_may_have(tmp_path: Path, name: x509.GeneralName) -> None:
    """Names that the bus gives itself, wildcards, and what is too long, empty or not printable are refused."""
    async with shown(tmp_path, odd_leaf(name)) as stream:
        with pytest.raises(t2bus.TlsFailed, match=r"^no client may have the name '.*' that its certificate gives it$"):
            identity_of(stream)


async def test_a_reserved_name_hides_no_other(tmp_path: Path) -> None:
    """A reserved name of the kind that counts is refused although there is a right one of another kind."""
    async with shown(tmp_path, odd_leaf(DNS, UniformResourceIdentifier("uid:0"))) as stream:
        with pytest.raises(t2bus.TlsFailed, match="no client may have the name 'uid:0'"):
            identity_of(stream)


async def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    """A certificate with a name that cannot be read is refused like any other that is wrong."""
    async with shown(tmp_path, odd_leaf(NO_TEXT)) as stream:
        with pytest.raises(t2bus.TlsFailed, match="the client's certificate cannot be read: a name in it is no text"):
            identity_of(stream)


async def test_a_name_that_is_not_ascii(tmp_path: Path) -> None:
    """A name with letters that no such name can have is refused, for it may look like the name of somebody else."""
    async with shown(tmp_path, odd_leaf(NO_ASCII)) as stream:
        with pytest.raises(t2bus.TlsFailed, match="no client may have the name"):
            identity_of(stream)


async def test_an_international_name_is_its_a_label(tmp_path: Path) -> None:
    """A DNS name in other letters is the A-label that the certificate holds."""
    async with shown(tmp_path, leaf("café.example")) as stream:
        assert identity_of(stream) == Identity("xn--caf-dma.example")


# --- words


def broken_by(cause: BaseException | None) -> trio.BrokenResourceError:
    error = trio.BrokenResourceError()
    error.__cause__ = cause
    return error


def ssl_error(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, "")
    # The attribute is what OpenSSL's queue of errors says; there is no public way to one of one's own.
    error.reason = reason  # type: ignore[assignment]
    return error


def refusal(code: int, message: str = "a message of OpenSSL") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "")
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "refused this end: it asks for a certificate"),
        ("TLSV1_ALERT_UNKNOWN_CA", "refused this end: this end's certificate is of an authority that it does not"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "refused this end: this end's certificate has expired"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "refused this end: this end's certificate is not valid for it"),
        ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "refused this end: this end's certificate was not issued for this"),
        ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "refused this end: this end's certificate is not acceptable"),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "refused this end: this end's certificate was revoked"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "refused this end: it does not speak TLS 1.3"),
        ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "refused this end: it does not speak t2bus/1"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "refused this end: both ends have no cipher in common"),
        ("TLSV1_ALERT_INTERNAL_ERROR", "refused this end: internal error"),
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "the peer has shown no certificate"),
        ("UNSUPPORTED_PROTOCOL", "the peer does not speak TLS 1.3"),
        ("WRONG_VERSION_NUMBER", "what the peer sends is not TLS"),
        ("HTTP_REQUEST", "what the peer sends is HTTP without TLS"),
        ("UNEXPECTED_EOF_WHILE_READING", "closed the connection in the middle of the handshake"),
        (None, "closed the connection in the middle of the handshake"),
        ("NO_SHARED_CIPHER", "TLS says: no shared cipher"),
    ],
)
def test_words_for_what_openssl_says(reason: str | None, text: str) -> None:
    """The reason of an ``ssl.SSLError`` is told in words, the peer's alerts as the peer's."""
    error = failure(broken_by(ssl_error(reason)))
    assert isinstance(error, t2bus.TlsFailed)
    assert text in str(error)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (9, "is not valid yet: compare the clocks"),
        (10, "has expired: renew it"),
        (18, "is signed by itself"),
        (19, "is of an authority that this end does not trust: use one `ca`"),
        (20, "is of an authority that this end does not trust: use one `ca`"),
        (21, "is of an authority that this end does not trust: use one `ca`"),
        (26, "was not issued for this use"),
        (62, "is for another host: connect by a name"),
        (64, "is for another host: connect by an address"),
        (1, "was refused: a message of OpenSSL"),
    ],
)
def test_words_for_a_certificate(code: int, text: str) -> None:
    """What is wrong with the peer's certificate is told in words, or in OpenSSL's when there are none."""
    assert str(failure(broken_by(refusal(code)))).startswith(f"the peer's certificate {text}")


@pytest.mark.parametrize("error", [broken_by(None), broken_by(ConnectionResetError()), trio.EndOfChannel()])
def test_words_for_a_connection_that_just_ended(error: BaseException) -> None:
    """A connection that ended without a word may have been a refusal, which the text says."""
    assert "the peer may have refused this end's certificate" in str(failure(error))


@given(st.none() | st.text(alphabet=st.characters(codec="ascii")))
def test_words_for_anything(reason: str | None) -> None:
    """There are words for whatever OpenSSL may say."""
    assert re.fullmatch(r".+", str(failure(broken_by(ssl_error(reason)))), re.DOTALL)
