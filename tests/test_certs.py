"""The certificates of ``t2bus.certs``: what TLS makes of them, what is in them, and the names they carry."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from t2bus.certs import (
    Files,
    InvalidCertificateRequest,
    Pair,
    Role,
    UnusableAuthority,
    build_authority,
    build_client,
    build_server,
    host_name,
    host_names,
    identity_name,
    issue_client,
    issue_server,
    make_ca,
    stem,
)

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2030, 1, 1, tzinfo=UTC)
AUTHORITY = build_authority(NOW)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a CA and the certificate of a bus."""
    make_ca(tmp_path / "certs", ["bus.example", "192.0.2.7"])
    return tmp_path / "certs"


def context(protocol: int, place: Path, own: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(place / "ca.pem")
    context.load_cert_chain(own.certificate, own.key)
    return context


def shake_hands(place: Path, client: Files, server: Files, host: str = "localhost") -> ssl.SSLObject:
    """Return the server's end; both ends demand a certificate and check it strictly."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        context(ssl.PROTOCOL_TLS_CLIENT, place, client).wrap_bio(to_client, to_server, server_hostname=host),
        context(ssl.PROTOCOL_TLS_SERVER, place, server).wrap_bio(to_server, to_client, server_side=True),
    ]
    left = list(ends)
    for end in ends * 3:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        if end in left:
            left.remove(end)
    assert not left
    return ends[1]


def bus_of(place: Path) -> Files:
    return Files(place / "bus.pem", place / "bus.key", (), NOW)


def names_in(certificate: x509.Certificate) -> list[x509.GeneralName]:
    return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def purposes(pair: Pair) -> list[x509.ObjectIdentifier]:
    return list(pair.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


class TestHandshake:
    """What TLS 1.3 with strict checks at both ends makes of them."""

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "bus.example", "192.0.2.7"])
    def test_reaches_the_bus_at_each_host(self, place: Path, host: str) -> None:
        """A client and the bus know each other at every host that the bus was given."""
        assert shake_hands(place, issue_client(place, "alice"), bus_of(place), host).version() == "TLSv1.3"

    def test_refuses_another_host(self, place: Path) -> None:
        """A client refuses a bus at a host that is not in the bus's certificate."""
        with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'other\.example'"):
            shake_hands(place, issue_client(place, "alice"), bus_of(place), "other.example")

    @pytest.mark.parametrize(
        ("identity", "shown"),
        [
            ("alice", ("DNS", "alice")),
            ("alice@example.com", ("email", "alice@example.com")),
            ("spiffe://example.com/alice", ("URI", "spiffe://example.com/alice")),
            ("urn:uuid:6f1c", ("URI", "urn:uuid:6f1c")),
        ],
    )
    def test_shows_who_the_client_is(self, place: Path, identity: str, shown: tuple[str, str]) -> None:
        """The bus reads a client's identity, by its kind, in the subject alternative name alone."""
        peer = shake_hands(place, issue_client(place, identity), bus_of(place)).getpeercert()
        assert peer is not None
        assert peer["subjectAltName"] == (shown,)

    def test_refuses_a_client_as_a_bus(self, place: Path) -> None:
        """A client whose name is that of a host cannot pass for the bus there."""
        impostor = issue_client(place, "localhost")
        with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
            shake_hands(place, issue_client(place, "alice"), impostor)

    def test_refuses_a_bus_as_a_client(self, place: Path) -> None:
        """A bus's certificate lets nobody in as a client."""
        with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
            shake_hands(place, bus_of(place), bus_of(place))

    def test_joins_members(self, tmp_path: Path) -> None:
        """Servers that are one bus know each other, whichever of them connects."""
        _, first = make_ca(tmp_path, role=Role.MEMBER)
        second = issue_server(tmp_path, "south", ["south.example"], role=Role.MEMBER)
        assert shake_hands(tmp_path, second, first).version() == "TLSv1.3"
        assert shake_hands(tmp_path, first, second, "south.example").version() == "TLSv1.3"

    def test_refuses_the_client_of_another_ca(self, place: Path, tmp_path: Path) -> None:
        """A certificate of another CA of the same making is not taken."""
        make_ca(tmp_path / "others")
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(place, issue_client(tmp_path / "others", "alice"), bus_of(place))

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl program")
    @pytest.mark.parametrize(("name", "purpose"), [("bus", "sslserver"), ("alice", "sslclient")])
    def test_convinces_openssl(self, place: Path, name: str, purpose: str) -> None:
        """The openssl program verifies each certificate strictly, for its own purpose."""
        issue_client(place, "alice")
        ca, own = str(place / "ca.pem"), str(place / f"{name}.pem")
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca, own]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0


class TestAuthority:
    """What is in the CA's certificate."""

    def test_issues_leaves_only(self) -> None:
        """The CA may issue certificates and revocation lists, but certify no further CA."""
        extensions = AUTHORITY.certificate.extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.critical
        assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)

    def test_lives_ten_years(self) -> None:
        """A CA is valid from an hour ago and for ten years."""
        assert AUTHORITY.certificate.not_valid_before_utc == NOW - timedelta(hours=1)
        assert AUTHORITY.certificate.not_valid_after_utc == NOW + timedelta(days=3650)

    def test_has_a_name_of_its_own(self) -> None:
        """Two CAs differ in name."""
        assert build_authority(NOW).certificate.subject != AUTHORITY.certificate.subject


class TestLeaf:
    """What is in the certificates that it issues."""

    @pytest.mark.parametrize(
        ("pair", "purpose"),
        [
            (build_client(AUTHORITY, "alice", NOW), ExtendedKeyUsageOID.CLIENT_AUTH),
            (build_server(AUTHORITY, "bus", ["localhost"], NOW), ExtendedKeyUsageOID.SERVER_AUTH),
        ],
    )
    def test_is_for_one_purpose(self, pair: Pair, purpose: x509.ObjectIdentifier) -> None:
        """A leaf signs handshakes at its own end of the connection and nothing else."""
        assert purposes(pair) == [purpose]
        extensions = pair.certificate.extensions
        assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        assert (usage.value.digital_signature, usage.value.key_cert_sign) == (True, False)

    def test_of_a_member_is_for_both_ends(self) -> None:
        """A server that connects to others as they do to it has a leaf for either end."""
        pair = build_server(AUTHORITY, "north", ["localhost"], NOW, role=Role.MEMBER)
        assert purposes(pair) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]

    def test_uses_p256_and_sha256(self) -> None:
        """Keys are on the curve P-256, signatures made with SHA-256."""
        pair = build_client(AUTHORITY, "alice", NOW)
        assert isinstance(pair.key.curve, ec.SECP256R1)
        assert isinstance(pair.certificate.signature_hash_algorithm, hashes.SHA256)

    def test_names_its_issuer_by_key(self) -> None:
        """The key identifier of the issuer is that of the CA."""
        extensions = build_client(AUTHORITY, "alice", NOW).certificate.extensions
        issuer = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        own = AUTHORITY.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert issuer.key_identifier == own.digest

    def test_lives_a_year(self) -> None:
        """A leaf is valid from an hour ago and for 365 days."""
        certificate = build_client(AUTHORITY, "alice", NOW).certificate
        assert certificate.not_valid_before_utc == NOW - timedelta(hours=1)
        assert certificate.not_valid_after_utc == NOW + timedelta(days=365)

    @given(days=st.integers(1, 36_500), age=st.integers(0, 3649))
    def test_ends_with_its_ca(self, days: int, age: int) -> None:
        """A leaf ends after its days, but never after its CA."""
        now = NOW + timedelta(days=age)
        end = build_client(AUTHORITY, "alice", now, days).certificate.not_valid_after_utc
        assert end == min(now + timedelta(days=days), AUTHORITY.certificate.not_valid_after_utc)

    def test_of_an_expired_ca_is_refused(self) -> None:
        """A CA that has ended issues nothing."""
        with pytest.raises(UnusableAuthority, match="the CA expired on 2039-12-30"):
            build_client(AUTHORITY, "alice", NOW + timedelta(days=3650))

    @pytest.mark.parametrize("days", [0, -1, 36_501, 10**12])
    def test_needs_sensible_days(self, days: int) -> None:
        """A validity of no day, or of more than a hundred years, is refused."""
        with pytest.raises(InvalidCertificateRequest, match="valid for 1 to 36500 days"):
            build_client(AUTHORITY, "alice", NOW, days)

    def test_cuts_its_label(self) -> None:
        """The common name is the first 64 characters, the alternative name all of them."""
        identity = "urn:" + "x" * 252
        certificate = build_client(AUTHORITY, identity, NOW).certificate
        assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == identity[:64]
        assert names_in(certificate) == [x509.UniformResourceIdentifier(identity)]

    def test_of_a_server_needs_a_host(self) -> None:
        """A server without a host is refused."""
        with pytest.raises(InvalidCertificateRequest, match="at least one host"):
            build_server(AUTHORITY, "bus", [], NOW)


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?", fullmatch=True)
DNS_NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
EMAILS = st.tuples(st.from_regex(r"[a-z0-9!#$%&'/=?^_`{|}~+-]{1,30}", fullmatch=True), DNS_NAMES).map("@".join)
URIS = st.from_regex(r"(urn:|[a-z]{1,8}://)[a-z0-9._~:/?#@!$&'()+,;=%-]{1,60}", fullmatch=True)


class TestNames:
    """What can be a name."""

    @given(identity=(DNS_NAMES | EMAILS | URIS).filter(lambda name: name not in {"local", "anonymous"}))
    def test_every_form_can_be_certified(self, identity: str) -> None:
        """What has the form of a DNS name, an e-mail address or a URI ends up in a certificate as it is."""
        if not identity.startswith(("uid:", "gid:")):
            (name,) = names_in(build_client(AUTHORITY, identity, NOW).certificate)
            assert name.value == identity

    @given(identity=st.text(max_size=300))
    def test_any_text_is_a_name_or_is_refused(self, identity: str) -> None:
        """No text breaks the making of a name, and none is changed by it."""
        with contextlib.suppress(InvalidCertificateRequest):
            assert identity_name(identity).value == identity

    @pytest.mark.parametrize(
        ("identity", "why"),
        [
            ("local", "is reserved"),
            ("LOCAL", "is reserved"),
            ("anonymous", "is reserved"),
            ("uid:1000", "is reserved"),
            ("uid://1000", "is reserved"),
            ("gid:100@example.com", "is reserved"),
            ("", "is not a DNS name"),
            ("a..b", "is not a DNS name"),
            ("a.", "is not a DNS name"),
            ("-a", "is not a DNS name"),
            ("a b", "is not a DNS name"),
            ("a/../b", "is not a DNS name"),
            ("a" * 64, "is not a DNS name"),
            (".".join(["a"] * 128), "is not a DNS name"),
            ("a" * 257, "at most 256 characters"),
            ("al\x1bice", "cannot be printed"),
            ("alice\n", "cannot be printed"),
            ("bücher.example", "give the A-label"),
            ("*.example", "wildcard"),
            ("urn:*", "wildcard"),
            ("a@b@c", "is not an e-mail address"),
            ("@example.com", "is not an e-mail address"),
            (f"{'a' * 65}@example.com", "is not an e-mail address"),
            ("urn:", "is not a URI"),
            ("://alice", "is not a URI"),
            ("urn:a b", "is not a URI"),
        ],
    )
    def test_refuses_an_identity(self, identity: str, why: str) -> None:
        """What is no name, or is the bus's own to give, is refused with the reason."""
        with pytest.raises(InvalidCertificateRequest, match=why):
            identity_name(identity)

    @pytest.mark.parametrize(
        "host", ["10.0.0.256", "fe80::1%eth0", "[::1]", "*.example", "a:4242", "bücher.example", ""]
    )
    def test_refuses_a_host(self, host: str) -> None:
        """What is neither an IP address nor a DNS name is no host."""
        with pytest.raises(InvalidCertificateRequest):
            host_name(host)

    def test_hosts_are_named_once(self) -> None:
        """Hosts keep their order, and each counts once however it is written."""
        hosts = ["b.example", "::1", "B.Example", "0:0::1", "a.example", "b.example"]
        assert [str(name.value) for name in host_names(hosts)] == ["b.example", "::1", "a.example"]

    @given(name=DNS_NAMES | EMAILS | URIS)
    def test_files_have_tame_names(self, name: str) -> None:
        """The name of a file has no separator, is no option, and fits."""
        file_name = stem(name) if name != "ca" else "x"
        assert set(file_name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-@")
        assert not file_name.startswith(("-", "."))
        assert len(file_name) <= 200

    @pytest.mark.parametrize("name", ["ca", "CA", "-ca", "", "--", "..", ".hidden", "a\n", "*"])
    def test_refuses_a_name_of_files(self, name: str) -> None:
        """A name is refused if its files would be the CA's own, hidden, or without a name."""
        with pytest.raises(InvalidCertificateRequest):
            stem(name)
