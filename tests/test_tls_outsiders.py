"""Programs that are not of t2bus shake hands with a bus: ``openssl s_client``, and Python's ``ssl`` on plain sockets.

They run in real time, in a process or a thread of their own.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import evolve, frozen

from bus_helpers import HELLO, wait_until
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.framing import FrameDecoder
from tls_helpers import HOST, Files, leaf, log, open_watched_site, write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tls_helpers import TlsSite

OPENSSL = shutil.which("openssl") or ""
needs_openssl = pytest.mark.skipif(not OPENSSL, reason="the program openssl is not installed")

PATIENCE = 20.0
"""Seconds of real time that an outsider has."""


@frozen
class Outsider:
    """What somebody brings along who is not of t2bus."""

    files: Files
    has_certificate: bool = True
    version: str = "1.3"
    alpn: str | None = "t2bus/1"


RIGHT = "right"
WRONG = {
    "no certificate": "the peer has shown no certificate",
    "only TLS 1.2": "the peer does not speak TLS 1.3",
    "another protocol": "the peer does not speak the protocol t2bus/1 (ALPN)",
    "no protocol": "the peer does not speak the protocol t2bus/1 (ALPN)",
    "of another authority": "the peer's certificate is of an authority that this end does not trust",
    "trusts another authority": "the peer refused this end: this end's certificate is of an authority that it does not",
}


def outsider(kind: str, folder: Path) -> Outsider:
    by = "another" if kind == "of another authority" else "ours"
    trusts = "another" if kind == "trusts another authority" else "ours"
    right = Outsider(write(folder, "outsider", leaf("alice.example", by=by), trusts=trusts))
    match kind:
        case "no certificate":
            return evolve(right, has_certificate=False)
        case "only TLS 1.2":
            return evolve(right, version="1.2")
        case "another protocol":
            return evolve(right, alpn="h2")
        case "no protocol":
            return evolve(right, alpn=None)
        case _:
            return right


def decoded(data: bytes) -> list[m.ServerMessage]:
    frames = FrameDecoder(1 << 20).feed(data)
    return native.decode_server_messages(frames) if frames else []


def check_welcome(messages: Sequence[m.ServerMessage]) -> None:
    """Check that a bus of this version let the outsider in."""
    first, *_ = messages
    assert isinstance(first, m.Welcome)
    assert first.version == native.VERSION


async def check_refused(site: TlsSite, caplog: pytest.LogCaptureFixture, logged: str) -> None:
    with trio.fail_after(PATIENCE):
        await wait_until(lambda: site.bus.statistics().refused == 1)
    (line,) = log(caplog)
    assert logged in line


# --- openssl


def command(site: TlsSite, who: Outsider) -> list[str]:
    """Return the command line; input goes to the bus as it is, and what the bus says to output."""
    words = [OPENSSL, "s_client", "-connect", f"{site.address.host}:{site.address.port}", "-quiet", "-brief"]
    words += ["-CAfile", str(who.files.ca), "-verify_return_error", f"-tls{who.version.replace('.', '_')}"]
    words += ["-verify_ip", HOST]
    if who.alpn is not None:
        words += ["-alpn", who.alpn]
    if who.has_certificate:
        words += ["-cert", str(who.files.certificate), "-key", str(who.files.key)]
    return words


@needs_openssl
async def test_openssl_gets_in(tmp_path: Path) -> None:
    """``openssl s_client`` completes a handshake of TLS 1.3, and its HELLO is answered by WELCOME."""
    async with open_watched_site(tmp_path) as site:
        words = command(site, outsider(RIGHT, tmp_path))
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                pipe = subprocess.PIPE
                run = partial(trio.run_process, words, stdin=pipe, stdout=pipe, stderr=pipe, check=False)
                process = await nursery.start(run)
                await process.stdin.send_all(native.encode(HELLO))
                answer = b""
                while not decoded(answer):
                    answer += await process.stdout.receive_some()
                said = b""
                while b"TLSv1.3" not in said:
                    said += await process.stderr.receive_some()
                assert site.bus.statistics().identities["alice.example"] == 3
                process.terminate()
        check_welcome(decoded(answer))
        assert site.bus.statistics().refused == 0


@needs_openssl
@pytest.mark.parametrize("kind", WRONG)
async def test_openssl_stays_outside(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """``openssl s_client`` is refused for what is wrong with it, and gets no word of the bus."""
    async with open_watched_site(tmp_path) as site:
        words = command(site, outsider(kind, tmp_path))
        with trio.fail_after(PATIENCE):
            ended = await trio.run_process(
                words, stdin=native.encode(HELLO), capture_stdout=True, capture_stderr=True, check=False
            )
        assert ended.stdout == b""
        await check_refused(site, caplog, WRONG[kind])


# --- Python's ssl, blocking


def context_of(who: Outsider) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(who.files.ca))
    if who.has_certificate:
        context.load_cert_chain(str(who.files.certificate), str(who.files.key))
    if who.alpn is not None:
        context.set_alpn_protocols([who.alpn])
    if who.version == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def converse(site: TlsSite, who: Outsider) -> tuple[str | None, str | None, bytes]:
    """Say HELLO, and return the version of TLS, the protocol, and what the bus said."""
    context = context_of(who)
    with (
        socket.create_connection((site.address.host, site.address.port), timeout=PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as secure,
    ):
        secure.sendall(native.encode(HELLO))
        answer = b""
        while not decoded(answer) and (data := secure.recv(4096)):
            answer += data
        return secure.version(), secure.selected_alpn_protocol(), answer


async def test_python_gets_in(tmp_path: Path) -> None:
    """A blocking socket under Python's own ``ssl``, strict as it is by default, shakes hands and gets a WELCOME."""
    async with open_watched_site(tmp_path) as site:
        who = outsider(RIGHT, tmp_path)
        with trio.fail_after(PATIENCE):
            version, protocol, answer = await trio.to_thread.run_sync(converse, site, who)
        assert (version, protocol) == ("TLSv1.3", "t2bus/1")
        check_welcome(decoded(answer))
        assert site.bus.statistics().refused == 0


@pytest.mark.parametrize("kind", WRONG)
async def test_python_stays_outside(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """A blocking socket under Python's own ``ssl`` is refused for what is wrong with it, with an error or the end."""
    async with open_watched_site(tmp_path) as site:
        with trio.fail_after(PATIENCE):
            try:
                _, _, answer = await trio.to_thread.run_sync(converse, site, outsider(kind, tmp_path))
            except OSError:
                answer = b""
        assert answer == b""
        await check_refused(site, caplog, WRONG[kind])


async def test_python_is_told_why(tmp_path: Path) -> None:
    """The alert with the cause reaches a client that writes before it reads, though the bus has closed by then."""
    async with open_watched_site(tmp_path) as site:
        who = outsider("of another authority", tmp_path)
        with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):
            await trio.to_thread.run_sync(converse, site, who)


async def test_a_session_cannot_be_resumed(tmp_path: Path) -> None:
    """A bus gives no ticket, so that each connection has to show a certificate."""
    async with open_watched_site(tmp_path) as site:
        context = context_of(outsider(RIGHT, tmp_path))

        def tickets() -> bool:
            address = (site.address.host, site.address.port)
            with (
                socket.create_connection(address, timeout=PATIENCE) as plain,
                context.wrap_socket(plain, server_hostname=HOST) as secure,
            ):
                secure.sendall(native.encode(HELLO))
                secure.recv(4096)
                return secure.session is not None and secure.session.has_ticket

        assert not await trio.to_thread.run_sync(tickets)
