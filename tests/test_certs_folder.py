"""The folder of a CA in ``t2bus.certs``: modes, what is never replaced, renewing, and folders that are no CA's."""

from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from t2bus.certs import (
    InvalidCertificateRequest,
    Role,
    UnusableAuthority,
    build_authority,
    issue_client,
    issue_server,
    make_ca,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a CA and the certificate of a bus."""
    make_ca(tmp_path / "certs", ["bus.example"])
    return tmp_path / "certs"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


def key_of(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def certificate_of(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


class TestMaking:
    """A CA and what it issues, as files."""

    def test_makes_four_files(self, place: Path) -> None:
        """A new folder holds the CA and the bus, and no scratch file."""
        assert sorted(contents(place)) == ["bus.key", "bus.pem", "ca.key", "ca.pem"]

    def test_closes_the_folder_and_the_keys(self, place: Path) -> None:
        """The folder and the keys are their owner's alone."""
        issue_client(place, "alice")
        assert mode(place) == 0o700
        assert [mode(path) for path in sorted(place.glob("*.key"))] == [0o600] * 3

    def test_creates_keys_closed(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A key's file is created with mode 0600 under any umask, and never opened to others by a later change."""
        opened: list[tuple[int, int]] = []
        really_open = os.open

        def watched(path: str | Path, flags: int, mode: int = 0o777) -> int:
            opened.append((flags & os.O_EXCL, mode))
            return really_open(path, flags, mode)

        monkeypatch.setattr(os, "open", watched)
        before = os.umask(0)
        try:
            files = issue_client(place, "alice")
        finally:
            os.umask(before)
        assert opened == [(os.O_EXCL, 0o600), (os.O_EXCL, 0o644)]
        assert mode(files.key) == 0o600

    def test_keys_are_plain_pkcs8(self, place: Path) -> None:
        """A key is PKCS8 without a password, and that of the certificate beside it."""
        files = issue_client(place, "alice")
        assert files.key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
        assert key_of(files.key).public_key() == certificate_of(files.certificate).public_key()

    def test_says_what_it_made(self, place: Path) -> None:
        """The result names the files, the identity and the end."""
        files = issue_client(place, "urn:alice/1", days=7)
        assert files.certificate == place / "urn-alice-1.pem"
        assert files.key == place / "urn-alice-1.key"
        assert files.names == ("urn:alice/1",)
        assert files.expires == certificate_of(files.certificate).not_valid_after_utc

    def test_the_bus_is_reached_at_home(self, tmp_path: Path) -> None:
        """The bus's hosts are this machine's own and those that were asked for."""
        _, bus = make_ca(tmp_path / "new", ["bus.example", "::1"])
        assert bus.names == ("localhost", "127.0.0.1", "::1", "bus.example")

    def test_leaves_a_folder_that_is_there(self, tmp_path: Path) -> None:
        """A folder that exists keeps its mode and what lies in it."""
        tmp_path.chmod(0o750)
        (tmp_path / "other").touch()
        make_ca(tmp_path)
        assert mode(tmp_path) == 0o750
        assert (tmp_path / "other").exists()

    def test_a_wrong_host_makes_nothing(self, tmp_path: Path) -> None:
        """A request that is refused leaves no folder."""
        with pytest.raises(InvalidCertificateRequest):
            make_ca(tmp_path / "new", ["*.example"])
        assert not (tmp_path / "new").exists()

    def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        """A file where the folder should be is refused."""
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError, match="is not a folder"):
            make_ca(tmp_path / "file")

    def test_a_failure_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the last of the files cannot be put in place, none of them stays, and the error names it."""
        really_link = os.link

        def full(source: str | Path, target: str | Path, **options: bool) -> None:
            if str(target).endswith("bus.pem"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
            really_link(source, target, **options)

        monkeypatch.setattr(os, "link", full)
        with pytest.raises(OSError, match="No space left") as caught:
            make_ca(tmp_path)
        assert caught.value.filename == str(tmp_path / "bus.pem")
        assert contents(tmp_path) == {}


class TestNeverReplaced:
    """What exists stays."""

    @pytest.mark.parametrize("name", ["ca.pem", "ca.key", "bus.pem", "bus.key"])
    def test_a_ca_is_not_replaced(self, tmp_path: Path, name: str) -> None:
        """Any one of the four files keeps a CA from being made, also one that leads nowhere."""
        (tmp_path / name).symlink_to("nowhere")
        with pytest.raises(FileExistsError, match=f"{name} exists"):
            make_ca(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [name]

    @pytest.mark.parametrize("name", ["alice.pem", "alice.key"])
    def test_a_certificate_is_not_replaced(self, place: Path, name: str) -> None:
        """Either file of a certificate keeps another from being issued in its place."""
        (place / name).write_text("precious")
        before = contents(place)
        remedy = "renew it with --renew" if name == "alice.pem" else "move it away first, or choose another name"
        with pytest.raises(FileExistsError, match=f"{name} exists: {remedy}"):
            issue_client(place, "alice")
        assert contents(place) == before

    def test_the_first_of_two_wins(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that another run puts there at the last moment is not replaced either."""
        before = contents(place)
        really_open = os.open

        def late(path: str | Path, flags: int, mode: int = 0o777) -> int:
            (place / "alice.pem").write_text("precious")
            return really_open(path, flags, mode)

        monkeypatch.setattr(os, "open", late)  # so it comes after the look and before the first file is written
        with pytest.raises(FileExistsError):
            issue_client(place, "alice")
        assert contents(place) == before | {"alice.pem": b"precious"}

    @pytest.mark.parametrize("renew", [False, True])
    def test_the_ca_is_no_client(self, place: Path, renew: bool) -> None:
        """A client or a bus of the name ``ca`` is refused, also as a renewal."""
        with pytest.raises(InvalidCertificateRequest, match="the CA's own files"):
            issue_client(place, "ca", renew=renew)
        with pytest.raises(InvalidCertificateRequest, match="the CA's own files"):
            issue_server(place, "ca", ["localhost"], renew=renew)


class TestRenewing:
    """What ``renew`` replaces, and what not."""

    def test_makes_a_new_pair(self, place: Path) -> None:
        """A renewed certificate has a key of its own, closed like the first, and leaves no scratch file."""
        old = key_of(issue_client(place, "alice").key)
        files = issue_client(place, "alice", renew=True)
        assert key_of(files.key).public_key() != old.public_key()
        assert key_of(files.key).public_key() == certificate_of(files.certificate).public_key()
        assert mode(files.key) == 0o600
        assert len(contents(place)) == 6

    def test_refuses_what_is_not_there(self, place: Path) -> None:
        """Where there is nothing to renew, perhaps for a mistyped name, no identity is made."""
        before = contents(place)
        said = "there is no .*/bob.pem to renew: leave out --renew, or check the name"
        with pytest.raises(FileNotFoundError, match=said):
            issue_client(place, "bob", renew=True)
        with pytest.raises(FileNotFoundError, match=said):
            issue_server(place, "bob", ["localhost"], renew=True)
        assert contents(place) == before

    def test_keeps_the_hosts(self, place: Path) -> None:
        """A bus that is renewed without hosts keeps its own."""
        assert issue_server(place, "bus", renew=True).names == ("localhost", "127.0.0.1", "::1", "bus.example")

    def test_adds_hosts(self, place: Path) -> None:
        """A bus that is renewed with hosts has those beside its own, each once."""
        names = ("localhost", "127.0.0.1", "::1", "bus.example", "new.example")
        assert issue_server(place, "bus", ["BUS.example", "new.example"], renew=True).names == names

    def test_refuses_the_bus_as_a_client(self, place: Path) -> None:
        """A client does not take the place of a bus of its name."""
        with pytest.raises(UnusableAuthority, match=r"bus\.pem is a bus's certificate: renew it with --server --renew"):
            issue_client(place, "bus", renew=True)

    def test_refuses_a_client_as_a_bus(self, place: Path) -> None:
        """A bus does not take the place of a client of its name."""
        issue_client(place, "alice")
        with pytest.raises(
            UnusableAuthority, match=r"alice\.pem is a client's certificate: renew it with --renew alone"
        ):
            issue_server(place, "alice", ["localhost"], renew=True)

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            (Role.BUS, Role.MEMBER, "is a bus's certificate: renew it with --server"),
            (Role.MEMBER, Role.BUS, "is a member's certificate: renew it with --member"),
        ],
    )
    def test_refuses_another_role(self, place: Path, old: Role, new: Role, said: str) -> None:
        """The certificate of a bus does not become that of a member, nor the other way round."""
        issue_server(place, "north", ["north.example"], role=old)
        with pytest.raises(UnusableAuthority, match=said):
            issue_server(place, "north", renew=True, role=new)

    def test_keeps_the_hosts_of_a_member(self, place: Path) -> None:
        """A member that is renewed without hosts keeps its own."""
        issue_server(place, "north", ["north.example"], role=Role.MEMBER)
        assert issue_server(place, "north", renew=True, role=Role.MEMBER).names == ("north.example",)

    def test_refuses_another_identity(self, place: Path) -> None:
        """An identity whose file has the same name is another client."""
        issue_client(place, "urn:a/b")
        with pytest.raises(UnusableAuthority, match="is the certificate of urn:a/b, not of urn:a-b: check the name"):
            issue_client(place, "urn:a-b", renew=True)

    def test_refuses_another_server(self, place: Path) -> None:
        """A server whose file has the same name is another server."""
        issue_server(place, "x/y", ["localhost"])
        with pytest.raises(UnusableAuthority, match="is the certificate of x/y, not of x-y: check the name"):
            issue_server(place, "x-y", renew=True)
        assert issue_server(place, "x/y", renew=True).names == ("localhost",)

    def test_renews_a_long_name(self, place: Path) -> None:
        """A server whose name is longer than what a certificate says for people is renewed too."""
        issue_server(place, "n" * 100, ["localhost"])
        assert issue_server(place, "n" * 100, renew=True).names == ("localhost",)

    def test_refuses_what_is_no_certificate(self, place: Path) -> None:
        """A file that is no certificate is not renewed."""
        (place / "alice.pem").write_text("precious")
        with pytest.raises(UnusableAuthority, match="not a certificate that can be renewed"):
            issue_client(place, "alice", renew=True)

    def test_refuses_an_authority(self, place: Path) -> None:
        """A certificate that is for neither end is not renewed."""
        (place / "alice.pem").write_bytes((place / "ca.pem").read_bytes())
        with pytest.raises(UnusableAuthority, match="not a certificate that can be renewed"):
            issue_client(place, "alice", renew=True)


class TestAuthority:
    """Folders that nothing is issued from."""

    @pytest.mark.parametrize("name", ["ca.key", "ca.pem"])
    def test_needs_both_files(self, place: Path, name: str) -> None:
        """Without either file of the CA, such as a key that is kept elsewhere, the error says which is not there."""
        (place / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"{name} is not there, .*: bring it from where it is kept"):
            issue_client(place, "alice")

    def test_of_servers_certifies_no_client(self, tmp_path: Path) -> None:
        """An authority of servers that are one bus certifies no client, who could join them as a server."""
        make_ca(tmp_path / "members", role=Role.MEMBER)
        with pytest.raises(UnusableAuthority, match="which a client of it could join as a server"):
            issue_client(tmp_path / "members", "eve")
        assert not (tmp_path / "members/eve.pem").exists()

    @pytest.mark.parametrize("first", [None, b"nonsense"])
    def test_does_without_the_first(self, place: Path, first: bytes | None) -> None:
        """A CA whose first certificate is elsewhere, or cannot be read, certifies clients."""
        (place / "bus.pem").unlink()
        if first is not None:
            (place / "bus.pem").write_bytes(first)
        assert issue_client(place, "alice").names == ("alice",)

    @pytest.mark.parametrize("bits", [0o640, 0o604, 0o620])
    def test_refuses_an_open_key(self, place: Path, bits: int) -> None:
        """A key that anybody else can use is refused with the remedy."""
        (place / "ca.key").chmod(bits)
        with pytest.raises(PermissionError, match=r"chmod 600 .*ca\.key"):
            issue_client(place, "alice")

    def test_refuses_an_expired_ca(self, place: Path) -> None:
        """A CA that has ended issues nothing, and nothing is written."""
        old = build_authority(datetime.now(UTC) - timedelta(days=2), 1)
        (place / "ca.key").write_bytes(old.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (place / "ca.pem").write_bytes(old.certificate.public_bytes(Encoding.PEM))
        with pytest.raises(UnusableAuthority, match="the CA expired"):
            issue_client(place, "alice")
        assert len(contents(place)) == 4

    def test_refuses_the_key_of_another(self, place: Path) -> None:
        """The key has to be that of the certificate."""
        (place / "ca.key").write_bytes((place / "bus.key").read_bytes())
        with pytest.raises(UnusableAuthority, match="is not the key of"):
            issue_client(place, "alice")

    def test_refuses_a_leaf(self, place: Path) -> None:
        """A leaf is no CA, even with its key."""
        for suffix in ("key", "pem"):
            (place / f"ca.{suffix}").write_bytes((place / f"bus.{suffix}").read_bytes())
        with pytest.raises(UnusableAuthority, match="holds no CA"):
            issue_client(place, "alice")

    @pytest.mark.parametrize("name", ["ca.key", "ca.pem"])
    def test_refuses_what_is_no_pem(self, place: Path, name: str) -> None:
        """Files that hold something else are refused."""
        (place / name).write_text("nonsense")
        with pytest.raises(UnusableAuthority, match="holds no CA"):
            issue_client(place, "alice")

    def test_refuses_a_key_with_a_password(self, place: Path) -> None:
        """A key that needs a password is refused."""
        locked = key_of(place / "ca.key").private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        (place / "ca.key").write_bytes(locked)
        with pytest.raises(UnusableAuthority, match="holds no CA"):
            issue_client(place, "alice")
