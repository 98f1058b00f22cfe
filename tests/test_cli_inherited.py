"""Socket activation: ``t2bus serve`` with sockets that were open before it, inherited as from systemd."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio

import t2bus
from bus_helpers import names
from cli_helpers import PATIENCE, Lines
from supervisor_helpers import serve_inherited, supervisor
from t2bus import tls
from t2bus.certs import issue_client, make_ca

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path


@pytest.fixture
def unix(folder: Path) -> Generator[socket.socket, None, None]:
    """Listen at a unix socket, as a ``.socket`` unit does."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{folder}/bus")
        sock.listen()
        yield sock


@pytest.fixture
def inet() -> Generator[socket.socket, None, None]:
    """Listen at a port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def at(sock: socket.socket) -> str:
    """The address of a socket as a bus names it, without its kind."""
    name = sock.getsockname()
    return name if isinstance(name, str) else f"{name[0]}:{name[1]}"


async def test_a_unix_socket(unix: socket.socket, folder: Path) -> None:
    """An inherited unix socket is served alone where no address is named, and its file stays when the bus ends."""
    async with serve_inherited([unix]) as serve:
        assert await serve.stderr.next() == f"t2bus: serving at unix:{folder}/bus"
        assert f"--addr unix:{folder}/bus" in await serve.stderr.next()
        async with t2bus.open_client(f"unix:{folder}/bus") as client:
            assert await client.publish_bytes("a", b"") == 0
        serve.process.terminate()
        assert await serve.end() == 0
    assert names(folder) == ["bus"]


async def test_who_came_before(unix: socket.socket, folder: Path) -> None:
    """A client that connected before the bus was started is let in by it."""
    with socket.socket(socket.AF_UNIX) as early:
        early.connect(f"{folder}/bus")
        async with serve_inherited([unix], "-vv") as serve:
            early.sendall(b"\0\0\0\1\x80")
            await serve.stderr.until("connection of ")


async def test_the_bus_after_it(unix: socket.socket, folder: Path) -> None:
    """A bus that ends leaves the socket to the next one, so that no client is refused in between."""
    for _ in range(2):
        async with serve_inherited([unix]) as serve:
            await serve.stderr.until("to talk")
            async with t2bus.open_client(f"unix:{folder}/bus"):
                pass
            serve.process.send_signal(signal.SIGTERM)
            assert await serve.end() == 0
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(f"{folder}/bus")


async def test_tcp(inet: socket.socket) -> None:
    """An inherited TCP socket of loopback is served, with the warning of any other."""
    async with serve_inherited([inet]) as serve:
        assert "every user of this machine can use the bus at tcp:127.0.0.1:" in await serve.stderr.next()
        assert await serve.stderr.next() == f"t2bus: serving at tcp:{at(inet)}"
        async with t2bus.open_client(f"tcp:{at(inet)}"):
            pass


@pytest.mark.parametrize("name", ["tls", "tls-lan"])
async def test_tls(name: str, unix: socket.socket, inet: socket.socket, folder: Path) -> None:
    """A TCP socket whose name begins with ``tls`` is served with TLS."""
    ca, bus = make_ca(folder / "certs")
    alice = issue_client(folder / "certs", "alice")
    files = ["--ca", str(ca.certificate), "--certificate", str(bus.certificate), "--key", str(bus.key)]
    async with serve_inherited([unix, inet], *files, names=f"bus:{name}") as serve:
        assert await serve.stderr.next() == f"t2bus: serving at unix:{folder}/bus"
        assert await serve.stderr.next() == f"t2bus: serving at tls:{at(inet)}"
        context = tls.client_context(ca=ca.certificate, certificate=alice.certificate, key=alice.key)
        async with t2bus.open_client(f"tls:{at(inet)}", tls=context):
            pass


async def test_beside_addresses(unix: socket.socket, folder: Path) -> None:
    """Addresses that are named are listened at too, but one that was inherited is not opened again."""
    async with serve_inherited([unix], f"unix:{folder}/other", f"unix:{folder}/bus") as serve:
        assert await serve.stderr.next() == f"t2bus: serving at unix:{folder}/bus"
        assert await serve.stderr.next() == f"t2bus: serving at unix:{folder}/other"
        for name in ("bus", "other"):
            async with t2bus.open_client(f"unix:{folder}/{name}"):
                pass


async def test_for_another_process(unix: socket.socket, folder: Path) -> None:
    """Sockets that are for another process are left alone, and the bus is where it is without them."""
    env = {"LISTEN_PID": "1", "XDG_RUNTIME_DIR": str(folder)}
    async with serve_inherited([unix], env=env) as serve:
        assert await serve.stderr.next() == f"t2bus: serving at unix:{folder}/t2bus.sock"


async def refused(sock: socket.socket, *, names: str = "", env: Mapping[str, str] | None = None) -> str:
    """Serve with a socket that will not do; return the one line that says so, after exit code 2."""
    async with serve_inherited([sock], names=names, env=env) as serve:
        assert await serve.end() == 2
        assert await serve.stdout.rest() == []
        (said,) = await serve.stderr.rest()
        return said


class TestRefused:
    """Sockets that a bus cannot or must not serve cost exit code 2, and one sentence."""

    async def test_exposed(self) -> None:
        """What other machines can reach without TLS is refused, whatever the socket is called."""
        with socket.create_server(("0.0.0.0", 0)) as sock:
            said = await refused(sock, names="unix")
            assert f"tcp:{at(sock)} can be reached from other machines, without encryption" in said

    async def test_tls_without_certificates(self, inet: socket.socket) -> None:
        """A socket for TLS needs certificates, as an address does."""
        assert f"tls:{at(inet)} needs certificates: name them with --ca" in await refused(inet, names="tls")

    async def test_datagrams(self, folder: Path) -> None:
        """A socket of datagrams is none."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            said = await refused(sock, names="log")
            assert "the inherited file 3 ('log') is no stream socket of a unix path or of TCP: give `ListenS" in said

    async def test_connected(self) -> None:
        """A socket that is a connection is none, as ``Accept=yes`` would pass it."""
        here, there = socket.socketpair()
        with here, there:
            said = await refused(here)
            assert "the inherited file 3 is a socket that does not listen: " in said
            assert "`Accept=no`" in said

    async def test_without_a_path(self) -> None:
        """A unix socket that no address can name is none."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind("\0t2bus-nameless" + str(os.getpid()))
            sock.listen()
            assert "is a unix socket without a path, which no client could name" in await refused(sock)

    async def test_missing(self, unix: socket.socket) -> None:
        """A number of sockets that is too high is told."""
        said = await refused(unix, env={"LISTEN_FDS": "2"})
        assert said.startswith("t2bus: the inherited file 4 is no open socket: ")

    async def test_no_number(self, unix: socket.socket) -> None:
        """A number that is none is told."""
        said = await refused(unix, env={"LISTEN_FDS": "many"})
        assert said == "t2bus: LISTEN_FDS='many' is no number of sockets"


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not installed")
async def test_systemd_itself(folder: Path) -> None:
    """The program of systemd that activates by sockets starts a bus at the first connection."""
    with supervisor(f"{folder}/notify") as systemd:
        words = ["systemd-socket-activate", "-l", f"{folder}/bus", "-E", f"NOTIFY_SOCKET={folder}/notify"]
        python = [f"--setenv={name}={os.environ[name]}" for name in ("PYTHONPATH", "PATH") if name in os.environ]
        process = await trio.lowlevel.open_process(
            [*words, *python, sys.executable, "-m", "t2bus", "serve"], stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        try:
            with trio.fail_after(PATIENCE):
                await Lines(process.stderr).until("Listening on")
                patient = t2bus.Limits(handshake_time=PATIENCE)  # the bus is not there before there is a connection
                async with t2bus.open_client(f"unix:{folder}/bus", limits=patient):
                    assert "READY=1" in await systemd.next()
                process.terminate()
                assert await process.wait() == 0
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + PATIENCE):
                process.kill()
                await process.wait()
                await process.stderr.aclose()
