"""``t2bus.add_arguments`` and ``t2bus.client_of``: the options of a client in a program of one's own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

import t2bus
from cli_helpers import python
from t2bus.certs import issue_client, make_ca
from t2bus.contexts.document import BusContext
from t2bus.contexts.file import change

if TYPE_CHECKING:
    from trio.testing import MockClock

PROGRAM = """
import argparse
import t2bus

parser = argparse.ArgumentParser(prog="program")
t2bus.add_arguments(parser)
arguments = parser.parse_args()

import trio

async def main():
    async with t2bus.client_of(arguments) as client:
        print(await client.request_bytes("echo", b"hello"))

trio.run(main)
"""


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    t2bus.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name a file of contexts that is not there."""
    path = tmp_path / "contexts.toml"
    monkeypatch.setenv("T2BUS_CONTEXTS", str(path))
    return path


async def name_of(arguments: argparse.Namespace, bus: t2bus.Bus) -> str:
    """Return as whom a client of these options is known to a bus."""
    async with t2bus.client_of(arguments) as client:
        await client.publish_bytes("a", b"")
        (name,) = bus.statistics().identities
        return name


class TestProgram:
    """A program that has the options."""

    async def test_finds_its_bus(self, address: str) -> None:
        """A program with these options talks to the bus that they name."""
        async with python("-c", PROGRAM, "--addr", address) as program:
            assert await program.stdout.rest() == ["b'hello'"]
            assert await program.end() == 0

    async def test_finds_its_bus_by_the_environment(self, address: str) -> None:
        """Without options it talks to the bus of ``T2BUS_ADDR``."""
        async with python("-c", PROGRAM, env={"T2BUS_ADDR": address}) as program:
            assert await program.stdout.rest() == ["b'hello'"]

    async def test_help_is_instant(self) -> None:
        """Its help lists the options, and neither Trio nor attrs is imported for it."""
        async with python("-X", "importtime", "-c", PROGRAM, "--help") as program:
            said = "\n".join(await program.stdout.rest())
            imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in await program.stderr.rest()}
        assert [
            name for name in ("--addr", "--wire", "--peer", "--ca", "--certificate", "--key") if name not in said
        ] == []
        assert "argparse" in imported
        assert not {"trio", "attr", "attrs", "cbor2"} & imported

    async def test_wrong_environment(self) -> None:
        """A wrong variable ends it as a wrong option does."""
        async with python("-c", PROGRAM, env={"T2BUS_PEER": "me"}) as program:
            said = await program.stderr.rest()
            assert await program.end() == 2
        assert (
            said[-1]
            == "program: error: T2BUS_PEER: 'me' is no peer of a unix socket: write uid:N or gid:N with N a number"
        )


class TestDefaults:
    """What holds where an option is not given."""

    def test_peers_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Peers that are given stand in the place of those in the environment."""
        monkeypatch.setenv("T2BUS_PEER", "uid:1 gid:2")
        assert parsed().peer == ["uid:1", "gid:2"]
        assert parsed("--peer", "uid:3", "--peer", "uid:4").peer == ["uid:3", "uid:4"]

    async def test_default_context(self, contexts: Path, bus: t2bus.Bus) -> None:
        """Without an address it is the bus of the default context."""
        change(lambda known: known.adding("a", BusContext(bus.addresses[0])).using("a"))
        async with t2bus.client_of(parsed()) as client:
            assert await client.publish_bytes("a", b"") == 0

    async def test_usual_place(self, contexts: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a default context it is the address of ``t2bus serve`` without one."""
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
        async with t2bus.open_bus(t2bus.default_address()), t2bus.client_of(parsed()) as client:
            assert await client.publish_bytes("a", b"") == 0

    async def test_waits_for_its_bus(self, folder: Path, clock: MockClock) -> None:
        """With ``reconnect`` a client may begin before its bus."""
        arguments = parsed("--addr", f"unix:{folder}/bus")
        came = trio.Event()

        async def come() -> None:
            async with t2bus.client_of(arguments, reconnect=t2bus.Reconnect()) as client:
                assert await client.publish_bytes("a", b"") == 0
            came.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(come)
            await trio.sleep(1)
            async with t2bus.open_bus(f"unix:{folder}/bus"):
                await came.wait()

    async def test_no_contexts(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without platformdirs there is no default context, and that is no error."""
        monkeypatch.delenv("T2BUS_CONTEXTS")
        monkeypatch.setitem(sys.modules, "platformdirs", None)
        await self.test_usual_place(folder, folder, monkeypatch)

    async def test_wire_of_the_context(self, contexts: Path, bus: t2bus.Bus) -> None:
        """The wire is the context's, unless one is given."""
        change(lambda known: known.adding("a", BusContext(bus.addresses[0], wire="t2")))
        async with (
            t2bus.client_of(parsed("--addr", "name:a")) as old,
            t2bus.client_of(parsed("--addr", "name:a", "--wire", "t2bus")) as new,
            new.subscribe_bytes("a") as messages,
        ):
            await old.publish_bytes("a", b"1", headers={"k": "v"})
            await new.publish_bytes("a", b"2", headers={"k": "v"})
            assert [(await messages.receive()).headers for _ in range(2)] == [{}, {"k": "v"}]


class TestCertificates:
    """Which certificates are shown."""

    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, contexts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make certificates in a folder, and a context of alice."""
        make_ca(tmp_path / "certs")
        for name in ("alice", "bob"):
            issue_client(tmp_path / "certs", name)
        monkeypatch.chdir(tmp_path)

    def write(self, address: str) -> None:
        files = {"ca": "certs/ca.pem", "certificate": "certs/alice.pem", "key": "certs/alice.key"}
        change(lambda known: known.adding("a", BusContext(address, files)).using("a"))

    def bob(self) -> list[str]:
        return ["--ca", "certs/ca.pem", "--certificate", "certs/bob.pem", "--key", "certs/bob.key"]

    async def test_of_the_context(self, contexts: Path) -> None:
        """A context shows its own certificates, by its name and as the default, and others where they are given."""
        tls = t2bus.tls.server_context(ca="certs/ca.pem", certificate="certs/bus.pem", key="certs/bus.key")
        async with t2bus.open_bus("tls:127.0.0.1:0", tls=tls) as bus:
            self.write(*bus.addresses)
            assert await name_of(parsed(), bus) == "alice"
            assert await name_of(parsed("--addr", "name:a"), bus) == "alice"
            assert await name_of(parsed("--addr", "name:a", *self.bob()), bus) == "bob"

    def test_an_address_inherits_none(self, contexts: Path) -> None:
        """An address that is given as such has no certificates, though the default context is the same bus."""
        self.write("tls:127.0.0.1:1")
        with pytest.raises(t2bus.InvalidAddress, match=r"needs certificates: name them with --ca"):
            t2bus.client_of(parsed("--addr", "tls:127.0.0.1:1"))

    def test_those_of_the_environment_are_given(self, contexts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Certificates in the environment count as given, and take the place of all of the context's."""
        self.write("tls:127.0.0.1:1")
        monkeypatch.setenv("T2BUS_CA", "certs/ca.pem")
        with pytest.raises(t2bus.InvalidAddress, match="certificates need --ca and --certificate"):
            t2bus.client_of(parsed())

    def test_never_without_tls(self) -> None:
        """Certificates for an address without TLS are an error."""
        with pytest.raises(t2bus.InvalidAddress, match="nothing would be encrypted"):
            t2bus.client_of(parsed("--addr", "unix:x", *self.bob()))

    def test_unusable(self) -> None:
        """Certificates that cannot be used are told at once."""
        Path("certs/bob.key").unlink()
        with pytest.raises(t2bus.TlsFailed, match=r"certs/bob\.key"):
            t2bus.client_of(parsed("--addr", "tls:127.0.0.1:1", *self.bob()))
