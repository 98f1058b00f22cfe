"""Peers of a bus over TLS that speak something else, or half of it, and what a client meets that is no bus."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import HELLO, Site, open_fake_bus
from t2bus.wire import native
from tls_helpers import (
    HOST,
    bare_context,
    check_refusal,
    client_hello,
    client_leaf,
    open_watched_site,
    read_to_end,
    reset,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

    from bus_helpers import Bystanders

Behaviour = Callable[[trio.SocketStream], Awaitable[None]]

NEWEST, OLD = ssl.TLSVersion.MAXIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_2


# --- peers of a bus


async def say(data: bytes, stream: trio.SocketStream) -> None:
    await stream.send_all(data)
    await read_to_end(stream)


async def say_and_leave(data: bytes, stream: trio.SocketStream) -> None:
    await stream.send_all(data)
    await stream.aclose()


async def say_and_reset(data: bytes, stream: trio.SocketStream) -> None:
    await stream.send_all(data)
    reset(stream)


async def shake_hands(protocols: list[str], newest: ssl.TLSVersion, stream: trio.SocketStream) -> None:
    """Shake hands with a right certificate, these ALPN protocols, and this version of TLS at most."""
    context = bare_context()
    context.maximum_version = newest
    context.set_alpn_protocols(protocols)
    secure = trio.SSLStream(stream, context, server_hostname=HOST)
    try:
        await secure.send_all(native.encode(HELLO))
    except trio.BrokenResourceError:
        return
    await read_to_end(secure)


HALF = client_hello()[:100]
IN_THE_MIDDLE = "the peer closed the connection in the middle of the handshake"
BROKEN_OFF = "closed in the middle of the handshake"
NO_ALPN = "the peer does not speak the protocol t2bus/1 (ALPN)"
TOO_SLOW = "no handshake of TLS within 5 s (Limits.handshake_time)"

PEERS: dict[str, tuple[Behaviour, str]] = {
    "garbage": (partial(say, b"\xff" * 1000), "what the peer sends is not TLS"),
    "a hello of t2bus": (partial(say, native.encode(HELLO)), "what the peer sends is not TLS"),
    "http": (partial(say, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "what the peer sends is HTTP without TLS"),
    "garbage in a record": (partial(say, b"\x16\x03\x01\x00\x10" + b"\xff" * 16), "TLS says: "),
    "a record that is too long": (partial(say, b"\x16\x03\x01\xff\xff" + b"\xff" * 70_000), "TLS says: "),
    "only TLS 1.2": (partial(shake_hands, ["t2bus/1"], OLD), "the peer does not speak TLS 1.3"),
    "another protocol": (partial(shake_hands, ["h2"], NEWEST), NO_ALPN),
    "no protocol": (partial(shake_hands, [], NEWEST), NO_ALPN),
    "silent": (read_to_end, TOO_SLOW),
    "silent after a byte": (partial(say, b"\x16"), TOO_SLOW),
    "silent after half a ClientHello": (partial(say, HALF), TOO_SLOW),
    "silent after a ClientHello": (partial(say, client_hello()), TOO_SLOW),
    "closes at once": (partial(say_and_leave, b""), IN_THE_MIDDLE),
    "closes after half a ClientHello": (partial(say_and_leave, HALF), IN_THE_MIDDLE),
    "closes after a ClientHello": (partial(say_and_leave, client_hello()), "in the middle of the handshake"),
    "resets at once": (partial(say_and_reset, b""), BROKEN_OFF),
    "resets after half a ClientHello": (partial(say_and_reset, HALF), BROKEN_OFF),
    "resets after a ClientHello": (partial(say_and_reset, client_hello()), BROKEN_OFF),
}


@pytest.mark.parametrize(("behave", "logged"), PEERS.values(), ids=PEERS)
async def test_peers_that_do_not_shake_hands(
    clock: trio.testing.MockClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    behave: Behaviour,
    logged: str,
) -> None:
    """A peer that does not shake hands as it should is disconnected and logged, and nobody else minds."""
    async with open_watched_site(tmp_path) as site:
        with trio.fail_after(10):
            async with await site.open_stream() as stream:
                await behave(stream)
        await check_refusal(site, caplog, logged)


async def test_every_end_of_a_handshake_half_way(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """A peer may leave after any byte of its ClientHello, and it is counted once."""
    async with open_watched_site(tmp_path) as site:
        cuts = range(1, len(client_hello()), 16)
        for cut in cuts:
            async with await site.open_stream() as stream:
                await stream.send_all(client_hello()[:cut])
                await stream.send_eof()
                await read_to_end(stream)
        assert site.bus.statistics().refused == len(cuts)


async def test_a_handshake_byte_by_byte(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """A ClientHello that arrives one byte at a time is answered like any other."""
    async with open_watched_site(tmp_path) as site, await site.open_stream() as stream:
        for byte in client_hello():
            await stream.send_all(bytes([byte]))
        answer = await stream.receive_some()
        assert answer[:2] == b"\x16\x03"


async def test_a_client_that_says_nothing_after_its_handshake(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """A client that has shaken hands and sends no HELLO is disconnected in the end."""
    async with open_watched_site(tmp_path) as site, await site.open_stream() as stream:
        context = bare_context()
        context.set_alpn_protocols(["t2bus/1"])
        secure = trio.SSLStream(stream, context, server_hostname=HOST)
        await secure.do_handshake()
        with trio.fail_after(7):
            await read_to_end(secure)
        assert site.bus.statistics().violations == 1


async def test_what_is_read_before_a_hello_is_bounded_inside_tls(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """A frame that is longer than ``Limits.handshake_bytes`` is refused before HELLO, within TLS as well."""
    async with open_watched_site(tmp_path) as site, await site.open_stream() as stream:
        context = bare_context()
        context.set_alpn_protocols(["t2bus/1"])
        secure = trio.SSLStream(stream, context, server_hostname=HOST)
        await secure.send_all((1_000_000).to_bytes(4, "big") + bytes(1000))
        with trio.fail_after(3):
            await read_to_end(secure)
        assert site.bus.statistics().violations == 1


# --- what a client meets


Answer = Callable[[trio.abc.Stream], Awaitable[None]]


async def answer(data: bytes, stream: trio.abc.Stream) -> None:
    await stream.receive_some()
    await stream.send_all(data)
    await read_to_end(stream)


async def take_and_leave(stream: trio.abc.Stream) -> None:
    await stream.receive_some()
    await stream.aclose()


async def leave(stream: trio.abc.Stream) -> None:
    await stream.aclose()


async def serve_old_tls(stream: trio.abc.Stream) -> None:
    """Answer as a server that knows TLS 1.2 only: with an alert, which ``trio.SSLStream`` would not send."""
    context = bare_context(is_server=True)
    context.maximum_version = OLD
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(await stream.receive_some())
    with pytest.raises(ssl.SSLError):
        server.do_handshake()
    await stream.send_all(outgoing.read())
    await read_to_end(stream)


async def serve_tls(protocols: list[str], after: Answer, stream: trio.abc.Stream) -> None:
    """Shake hands as a server with a right certificate, and do what is to be done after it."""
    context = bare_context(is_server=True)
    context.set_alpn_protocols(protocols)
    secure = trio.SSLStream(stream, context, server_side=True)
    try:
        await secure.do_handshake()
        await after(secure)
    except trio.BrokenResourceError:
        pass
    finally:
        await trio.aclose_forcefully(stream)


SERVERS: dict[str, tuple[Answer, type[t2bus.ConnectFailed], str]] = {
    "garbage": (partial(answer, b"\xff" * 1000), t2bus.TlsFailed, "what the peer sends is not TLS"),
    "http": (partial(answer, b"HTTP/1.1 400 Bad Request\r\n\r\n"), t2bus.TlsFailed, "what the peer sends is not TLS"),
    "nothing": (read_to_end, t2bus.TlsFailed, "no handshake of TLS within 5 s: is it a t2bus bus that listens there?"),
    "half a record": (partial(answer, b"\x16\x03\x03\x00\x7a\x02"), t2bus.TlsFailed, "no handshake of TLS within 5 s"),
    "the end at once": (leave, t2bus.TlsFailed, "in the middle of the handshake"),
    "the end after a ClientHello": (take_and_leave, t2bus.TlsFailed, IN_THE_MIDDLE),
    "only TLS 1.2": (serve_old_tls, t2bus.TlsFailed, "the peer refused this end: it does not speak TLS 1.3"),
    "no protocol": (partial(serve_tls, [], read_to_end), t2bus.TlsFailed, NO_ALPN),
    "another protocol": (partial(serve_tls, ["h2"], read_to_end), t2bus.TlsFailed, NO_ALPN),
    "TLS, then the end": (
        partial(serve_tls, ["t2bus/1"], take_and_leave),
        t2bus.TlsFailed,
        "the connection was closed in the middle of the handshake: the peer may have refused this end's certificate",
    ),
    "TLS, then garbage": (
        partial(serve_tls, ["t2bus/1"], partial(answer, b"\xff" * 1000)),
        t2bus.ConnectFailed,
        "what listens there does not speak the wire of t2bus",
    ),
    "TLS, then nothing": (
        partial(serve_tls, ["t2bus/1"], read_to_end),
        t2bus.ConnectFailed,
        "no bus answered within 5 s",
    ),
}


@pytest.mark.parametrize(("behave", "kind", "text"), SERVERS.values(), ids=SERVERS)
async def test_servers_that_are_no_bus(
    clock: trio.testing.MockClock,
    tmp_path: Path,
    behave: Answer,
    kind: type[t2bus.ConnectFailed],
    text: str,
) -> None:
    """A client that meets something else than a bus over TLS raises within seconds, and says what it met."""

    async def handle(peer: Any) -> None:
        await behave(peer.stream)

    async with open_fake_bus(handle) as address:
        with pytest.raises(t2bus.ConnectFailed) as caught, trio.fail_after(10):
            async with t2bus.open_client(
                address.replace("tcp:", "tls:"), tls=write(tmp_path, "client", client_leaf()).client()
            ):
                pass
    assert type(caught.value) is kind
    assert text in str(caught.value)


async def test_a_bus_over_plain_tcp(
    clock: trio.testing.MockClock, tmp_path: Path, tcp: Site, bystanders: Bystanders
) -> None:
    """A client that takes a bus over plain TCP for one over TLS gets ``TlsFailed``, and the bus minds nobody else."""
    with pytest.raises(t2bus.TlsFailed, match="in the middle of the handshake"):
        async with t2bus.open_client(
            tcp.bus.addresses[0].replace("tcp:", "tls:"), tls=write(tmp_path, "client", client_leaf()).client()
        ):
            pass
    assert tcp.bus.statistics().violations == 1


async def test_nobody_listens(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """A port that nobody listens at raises ``ConnectFailed``, for no certificate is to blame."""
    context = write(tmp_path, "client", client_leaf()).client()
    with pytest.raises(t2bus.ConnectFailed, match=r"^cannot connect to tls:127\.0\.0\.1:1: ") as caught:
        async with t2bus.open_client("tls:127.0.0.1:1", tls=context):
            pass
    assert type(caught.value) is t2bus.ConnectFailed
