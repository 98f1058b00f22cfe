"""Contexts: what their files may be, what is set on them, and what is known of their certificates."""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

import t2bus
from t2bus.tls import ALPN, expiry, prepare, reread
from tls_helpers import (
    AGO,
    AHEAD,
    CLIENT,
    FAR_AHEAD,
    LONG_AGO,
    NO_TEXT,
    SERVER,
    Files,
    Leaf,
    authority,
    bare_context,
    bus_leaf,
    client_leaf,
    expires_in,
    leaf,
    odd_leaf,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[[Files], ssl.SSLContext]

both_sides = pytest.mark.parametrize("make", [Files.server, Files.client], ids=["bus", "client"])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Give the right files of an end."""
    return write(tmp_path, "end", bus_leaf())


# --- what is set


@both_sides
def test_both_ends_verify_and_speak_tls_1_3(make: Make, files: Files) -> None:
    """A context asks for the peer's certificate and for TLS 1.3 at least."""
    context = make(files)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3


@both_sides
def test_only_the_own_authority_is_trusted(make: Make, files: Files) -> None:
    """A context trusts the authority of its file and none of the system's."""
    (trusted,) = make(files).get_ca_certs(binary_form=True)
    assert ssl.DER_cert_to_PEM_cert(trusted).split() == authority().cert_pem.bytes().decode().split()


def test_a_client_checks_the_host(files: Files) -> None:
    """A client's context checks the host name, and never against the common name."""
    context = files.client()
    assert context.check_hostname
    assert not context.hostname_checks_common_name


def test_a_bus_gives_no_tickets(files: Files) -> None:
    """A bus's context lets nobody resume a session, so that every connection shows its certificate."""
    own = bare_context(is_server=True)
    own.verify_mode = ssl.CERT_REQUIRED
    prepare(own, is_server=True)
    assert own.num_tickets == files.server().num_tickets == 0


def test_several_authorities(files: Files) -> None:
    """The file of the authority may hold several of them, for the time of a change."""
    files.ca.write_bytes(authority().cert_pem.bytes() + authority("another").cert_pem.bytes())
    assert len(files.server().get_ca_certs()) == 2


@both_sides
def test_paths_may_be_text(make: Make, files: Files) -> None:
    """Paths are text as well as ``pathlib``'s."""
    context = t2bus.tls.server_context(ca=str(files.ca), certificate=str(files.certificate), key=str(files.key))
    assert expiry(context) == expiry(make(files))


@both_sides
def test_certificate_and_key_in_one_file(make: Make, files: Files) -> None:
    """Without a key, it is looked for in the file of the certificate, which is private then."""
    files.certificate.write_bytes(bus_leaf().certificate + bus_leaf().key)
    files.certificate.chmod(0o600)
    files.key.unlink()
    assert expiry(make(Files(files.ca, files.certificate, files.certificate))) is not None
    context = t2bus.tls.client_context(ca=files.ca, certificate=files.certificate)
    assert expiry(context) is not None


# --- contexts of one's own


def test_what_is_set_on_a_context_of_ones_own() -> None:
    """A context of one's own gets TLS 1.3 at least."""
    context = bare_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    prepare(context, is_server=False)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert ALPN == "t2bus/1"


@pytest.mark.parametrize("mode", [ssl.CERT_NONE, ssl.CERT_OPTIONAL])
async def test_a_context_that_does_not_verify(mode: ssl.VerifyMode) -> None:
    """A context that does not insist on the peer's certificate raises ``ValueError`` on both sides."""
    context = bare_context(is_server=True)
    context.verify_mode = mode
    with pytest.raises(ValueError, match=r"does not verify the peer: set its verify_mode to ssl\.CERT_REQUIRED"):
        async with t2bus.open_bus("tls:127.0.0.1:0", tls=context):
            pass
    context = bare_context()
    context.check_hostname = False
    context.verify_mode = mode
    with pytest.raises(ValueError, match="does not verify the peer"):
        async with t2bus.open_client("tls:127.0.0.1:1", tls=context):
            pass


async def test_a_context_for_the_other_end(files: Files) -> None:
    """A context of a client is none for a bus, nor the reverse, and the error says which to make."""
    with pytest.raises(ValueError, match=r"this context is a client's: make one with t2bus\.tls\.server_context"):
        async with t2bus.open_bus("tls:127.0.0.1:0", tls=files.client()):
            pass
    with pytest.raises(ValueError, match=r"this context is a bus's: make one with t2bus\.tls\.client_context"):
        async with t2bus.open_client("tls:127.0.0.1:1", tls=files.server()):
            pass


async def test_an_address_of_tls_needs_a_context() -> None:
    """An address of TLS without a context raises ``InvalidAddress``, which says what to pass."""
    with pytest.raises(t2bus.InvalidAddress, match=r"pass tls=t2bus\.tls\.server_context\("):
        async with t2bus.open_bus("tls:127.0.0.1:0"):
            pass
    with pytest.raises(t2bus.InvalidAddress, match=r"pass tls=t2bus\.tls\.client_context\("):
        async with t2bus.open_client("tls:127.0.0.1:1"):
            pass


def test_what_is_not_known_of_a_context_of_ones_own() -> None:
    """A context of one's own is reread as itself, and its expiry is not known."""
    context = bare_context(is_server=True)
    assert reread(context) is context
    assert expiry(context) is None


# --- the certificate in force


@both_sides
def test_reading_again(make: Make, files: Files) -> None:
    """Reading again gives a new context of the same kind from what the files hold now, and leaves the old one."""
    old = make(files)
    files.replace(leaf("127.0.0.1", not_after=FAR_AHEAD))
    fresh = reread(old)
    assert fresh.protocol is old.protocol
    assert expiry(fresh) == FAR_AHEAD.replace(tzinfo=UTC)
    assert expiry(old) != expiry(fresh)


@pytest.mark.parametrize(
    ("make", "leaf", "text"),
    [
        (Files.server, leaf("127.0.0.1", not_before=LONG_AGO, not_after=AGO), "certificate has expired"),
        (Files.client, leaf("alice", not_before=LONG_AGO, not_after=AGO), "certificate has expired"),
        (Files.server, leaf("127.0.0.1", not_before=AHEAD, not_after=FAR_AHEAD), "certificate is not yet valid"),
        (Files.client, leaf("alice", not_before=AHEAD, not_after=FAR_AHEAD), "certificate is not yet valid"),
        (Files.server, leaf("127.0.0.1", by="another"), "unable to get local issuer certificate"),
        (Files.client, leaf("alice", by="another"), "unable to get local issuer certificate"),
        (Files.server, odd_leaf(uses=(CLIENT,)), "un.*certificate purpose"),
        (Files.client, odd_leaf(uses=(SERVER,)), "un.*certificate purpose"),
    ],
)
def test_reading_again_what_peers_would_refuse(make: Make, files: Files, leaf: Leaf, text: str) -> None:
    """Reading again raises ``TlsFailed`` for a certificate that the other end would not take."""
    context = make(files)
    files.replace(leaf)
    named = re.escape(str(files.certificate))
    with pytest.raises(t2bus.TlsFailed, match=f"^the certificate in {named} would be refused: {text}"):
        reread(context)


@both_sides
def test_reading_again_what_cannot_be_used(make: Make, files: Files) -> None:
    """Reading again raises for the files what making the context does."""
    context = make(files)
    files.key.write_bytes(client_leaf().key)
    with pytest.raises(t2bus.TlsFailed, match="is not the key of the certificate"):
        reread(context)


@both_sides
def test_the_time_of_expiry(make: Make, files: Files) -> None:
    """The expiry of a certificate is known to the second."""
    files.replace(leaf("127.0.0.1", not_after=FAR_AHEAD))
    assert expiry(make(files)) == FAR_AHEAD.replace(tzinfo=UTC)


def test_the_expiry_of_a_certificate_with_one_use(files: Files) -> None:
    """The expiry is known for a certificate that is only for this end of a connection."""
    files.replace(odd_leaf(uses=(SERVER,)))
    assert expiry(files.server()) == FAR_AHEAD.replace(tzinfo=UTC)
    files.replace(odd_leaf(uses=(CLIENT,)))
    assert expiry(files.client()) == FAR_AHEAD.replace(tzinfo=UTC)


def test_the_expiry_of_a_certificate_that_has_expired(files: Files) -> None:
    """A certificate that has expired can be loaded, and when it expired is known."""
    files.replace(leaf("127.0.0.1", not_before=LONG_AGO, not_after=AGO))
    assert expiry(files.server()) == AGO.replace(tzinfo=UTC)


def test_the_expiry_of_a_certificate_of_another_authority(files: Files) -> None:
    """The expiry of a certificate that is not of the context's authority is not known."""
    files.replace(leaf("127.0.0.1", by="another"))
    assert expiry(files.server()) is None


def test_a_certificate_with_a_name_that_is_no_text(files: Files) -> None:
    """A certificate with a name that Python cannot read can be loaded; only its expiry is not known."""
    files.replace(odd_leaf(NO_TEXT))
    assert expiry(files.client()) is None


def test_expiry_is_of_what_is_in_force(files: Files) -> None:
    """The expiry is that of the certificate that was loaded, whatever becomes of the files."""
    context = files.server()
    soon = expires_in(days=3)
    files.replace(soon)
    assert expiry(context) == datetime(3000, 1, 1, tzinfo=UTC)
    fresh = expiry(reread(context))
    assert fresh is not None
    assert timedelta(days=2) < fresh - datetime.now(UTC) <= timedelta(days=3)
    files.key.unlink()
    assert expiry(context) == datetime(3000, 1, 1, tzinfo=UTC)
