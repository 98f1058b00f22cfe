"""What a bus that joins others is refused before it opens: a missing engine, and certificates that let too much in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs
import pytest
import trio.testing

import t2bus
from bus_helpers import names, wait_until
from t2bus.certs import Role, issue_client, issue_server, make_ca
from t2bus.federation.requirements import credentials_of
from t2bus.server.joining import check_federation
from t2bus.server.warnings import DAY, warn_each_day
from tls_helpers import AGO, LONG_AGO, expires_in, leaf, write

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

REMEDY = "give the servers one of their own, as `python -m t2bus certs init --member` makes"


@pytest.fixture
def members(tmp_path: Path) -> Path:
    """Make an authority for servers, and the certificate of the first."""
    make_ca(tmp_path / "members", role=Role.MEMBER)
    return tmp_path / "members"


def showing(ca: Path, certificate: Path, key: Path) -> t2bus.Federation:
    return t2bus.Federation(bus="plant", endpoint="tls:127.0.0.1:7447", ca=ca, cert=certificate, key=key)


def federation(folder: Path, name: str = "bus") -> t2bus.Federation:
    return showing(folder / "ca.pem", folder / f"{name}.pem", folder / f"{name}.key")


def bus_context(folder: Path) -> ssl.SSLContext:
    """Return the context of a bus that lets in whom the authority in the folder has certified."""
    return t2bus.tls.server_context(ca=folder / "ca.pem", certificate=folder / "bus.pem", key=folder / "bus.key")


class TestEngine:
    """The extra."""

    async def test_is_missing(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without it nothing is opened, and the error says how to install it."""
        monkeypatch.setitem(sys.modules, "zenoh", None)
        alone = t2bus.Federation(bus="plant", endpoint="tcp:127.0.0.1:0")
        with pytest.raises(ModuleNotFoundError, match=r"needs the package eclipse-zenoh: .* 't2bus\[zenoh\]'"):
            async with t2bus.open_bus(f"unix:{folder}/bus", federation=alone):
                pass
        assert names(folder) == []


class TestCertificate:
    """What is shown to the other servers."""

    def test_of_a_member(self, members: Path) -> None:
        """The certificates that are made for members are taken, those of the first and of others."""
        issue_server(members, "south", ["127.0.0.1"], role=Role.MEMBER)
        assert credentials_of(federation(members)) is not None
        assert credentials_of(federation(members, "south")) is not None

    def test_for_another_host(self, members: Path) -> None:
        """One that others would refuse at the endpoint is refused, with the command that makes another."""
        issue_server(members, "south", ["south.example"], role=Role.MEMBER)
        with pytest.raises(t2bus.TlsFailed) as caught:
            credentials_of(federation(members, "south"))
        assert str(caught.value) == (
            f"the certificate in {members}/south.pem is not for 127.0.0.1, where others look for this server: make one "
            "by `python -m t2bus certs issue NAME --member --host 127.0.0.1`, or name another endpoint"
        )

    @pytest.mark.parametrize("host", ["south.example", "0.0.0.0", "[::]"])
    def test_for_its_host(self, members: Path, host: str) -> None:
        """One that is for the host of the endpoint is taken, and so is one that would be looked for at all of them."""
        issue_server(members, "south", ["south.example"], role=Role.MEMBER)
        shown = attrs.evolve(federation(members, "south"), endpoint=f"tls:{host}:7447")
        assert credentials_of(shown) is not None

    def test_none(self) -> None:
        """Where servers meet without TLS nothing is shown."""
        assert credentials_of(t2bus.Federation(bus="plant", endpoint="tcp:127.0.0.1:0")) is None

    @pytest.mark.parametrize("name", ["server", "client"])
    def test_for_one_end(self, members: Path, name: str) -> None:
        """One that is for one end of a connection only is refused, with the command that makes another."""
        issue_server(members, "server", ["127.0.0.1"])
        (members / "bus.pem").unlink()  # it would keep the authority from certifying a client
        issue_client(members, "client")
        with pytest.raises(t2bus.TlsFailed) as caught:
            credentials_of(federation(members, name))
        assert str(caught.value) == (
            f"the certificate in {members}/{name}.pem would be refused: unsuitable certificate purpose; "
            "a server needs one for both ends, as `python -m t2bus certs issue NAME --member` makes"
        )

    def test_has_expired(self, tmp_path: Path) -> None:
        """One that the others would refuse for another reason is refused with that."""
        files = write(tmp_path, "end", leaf("127.0.0.1", not_before=LONG_AGO, not_after=AGO))
        shown = showing(files.ca, files.certificate, files.key)
        with pytest.raises(t2bus.TlsFailed) as caught:
            credentials_of(shown)
        assert str(caught.value) == f"the certificate in {files.certificate} would be refused: certificate has expired"

    async def test_is_looked_at_first(self, folder: Path, members: Path) -> None:
        """A bus whose certificate cannot be read opens nothing."""
        with pytest.raises(t2bus.TlsFailed, match="cannot read"):
            async with t2bus.open_bus(f"unix:{folder}/bus", federation=federation(members, "nobody")):
                pass
        assert names(folder) == []


class TestEndpoint:
    """Where the others find this server."""

    @pytest.mark.parametrize(("host", "lines"), [("0.0.0.0", 1), ("[::]", 1), ("127.0.0.1", 0)])
    def test_is_one(self, members: Path, host: str, lines: int, caplog: pytest.LogCaptureFixture) -> None:
        """One that is all addresses at once is warned of, since nobody else can look there."""
        check_federation(attrs.evolve(federation(members), endpoint=f"tls:{host}:7447"), None, has_rules=False)
        text = f"others cannot look for this server at tls:{host}:7447: name an address of this machine that they reach"
        assert [text in message for message in caplog.messages] == [True] * lines


class TestAuthority:
    """An authority that has certified clients of the bus: whoever is one could be a server."""

    @pytest.fixture
    def shared(self, tmp_path: Path) -> Path:
        """Make an authority for the bus and for servers."""
        make_ca(tmp_path / "certs")
        issue_server(tmp_path / "certs", "north", ["127.0.0.1"], role=Role.MEMBER)
        return tmp_path / "certs"

    def test_is_refused_with_rules(self, shared: Path) -> None:
        """With access rules it is refused, since no rule would hold for who joins as a server."""
        with pytest.raises(t2bus.TlsFailed) as caught:
            check_federation(federation(shared, "north"), bus_context(shared), has_rules=True)
        assert str(caught.value) == (
            f"whoever the authority in {shared}/ca.pem has certified for the bus can join it as a server, "
            f"and no access rule would hold for it: {REMEDY}"
        )

    def test_is_warned_of_without(self, shared: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Without rules, where every client may do everything, it is warned of."""
        check_federation(federation(shared, "north"), bus_context(shared), has_rules=False)
        (text,) = caplog.messages
        said = f"whoever the authority in {shared}/ca.pem has certified for the bus can join it as a server"
        assert text == f"{said}: {REMEDY}"

    @pytest.mark.parametrize("has_rules", [True, False])
    def test_of_its_own(self, shared: Path, members: Path, has_rules: bool, caplog: pytest.LogCaptureFixture) -> None:
        """An authority for servers alone is what it should be."""
        check_federation(federation(members), bus_context(shared), has_rules=has_rules)
        assert caplog.messages == []

    def test_of_a_bus_without_tls(self, shared: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A bus that nobody reaches with certificates shares no authority."""
        check_federation(federation(shared, "north"), None, has_rules=True)
        assert caplog.messages == []


class TestExpiry:
    """A certificate that ends soon."""

    def test_is_warned_of(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """It is warned of when the bus opens, with what to do."""
        files = write(tmp_path, "end", expires_in(days=3))
        shown = showing(files.ca, files.certificate, files.key)
        check_federation(shown, None, has_rules=False)
        (text,) = caplog.messages
        assert text.startswith("the federation's certificate expires at ")
        assert text.endswith(": renew it and start the bus again")

    async def test_is_warned_of_daily(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, clock: trio.testing.MockClock
    ) -> None:
        """It is warned of again with each day that the bus runs."""
        files = write(tmp_path, "end", expires_in(days=3))
        context = t2bus.tls.server_context(ca=files.ca, certificate=files.certificate, key=files.key)
        clock.autojump_threshold = float("inf")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(warn_each_day, context, "the federation's", "renew it")
            for lines in range(3):
                await trio.testing.wait_all_tasks_blocked()
                assert len(caplog.messages) == lines
                clock.jump(DAY)
            await wait_until(lambda: len(caplog.messages) == 3)
            nursery.cancel_scope.cancel()
