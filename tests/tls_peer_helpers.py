"""Both ends of a connection with TLS: one that is a stream, and one that does just what a test says."""

from __future__ import annotations

import ssl
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import trio
from attrs import define, field
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from stream_helpers import SMALL, open_sockets
from t2bus.tls import prepare
from t2bus.transport.socket_stream import SocketStream
from t2bus.transport.tls_stream import KeptContext, TlsStream
from tls_helpers import HOST, bare_context

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator
    from pathlib import Path

RECORD: Final = 16_384
"""Bytes in one record, at most."""

ALERT, HANDSHAKE, DATA = 21, 22, 23
"""What may be in a record."""


@cache
def context(*, is_server: bool) -> ssl.SSLContext:
    """Return a context for one end, which verifies the other."""
    made = bare_context(is_server=is_server)
    made.verify_mode = ssl.CERT_REQUIRED
    prepare(made, is_server=is_server)
    return made


@define(eq=False)
class TlsPeer:
    """The far end: OpenSSL in memory, and a socket that is never waited for."""

    far: socket.socket
    object: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO

    def seal(self, *parts: bytes) -> bytes:
        """Return these parts as ciphertext, each in records of its own."""
        for part in parts:
            self.object.write(part)
        return self.outgoing.read()

    def seal_end(self) -> bytes:
        """Return what says that this was all."""
        with suppress(ssl.SSLWantReadError):
            self.object.unwrap()
        return self.outgoing.read()

    def open(self, ciphertext: bytes) -> bytes:
        """Return what is in the records that this completes."""
        self.incoming.write(ciphertext)
        data = b""
        try:
            while part := self.object.read(RECORD):
                data += part
        except ssl.SSLWantReadError:
            pass
        return data

    def is_told_the_end(self) -> bool:
        """Whether the other end, which has closed, has said before that this was all."""
        try:
            return self.object.read(1) == b""
        except ssl.SSLWantReadError:
            return False

    def take(self, most: int = 1 << 24) -> bytes:
        """Return the ciphertext that is here now."""
        data = b""
        while len(data) < most:
            try:
                more = self.far.recv(min(most - len(data), 1 << 16))
            except BlockingIOError:
                break
            if not more:
                break
            data += more
        return data

    async def read(self, count: int) -> bytes:
        """Return so many bytes, as they come."""
        data = b""
        with trio.fail_after(10):
            while len(data) < count:
                await trio.lowlevel.wait_readable(self.far)
                data += self.open(self.take(1 << 16))
        return data


@define(eq=False)
class TlsPair:
    """Both ends."""

    near: trio.socket.SocketType
    stream: TlsStream
    peer: TlsPeer

    async def arrived(self) -> None:
        """Wait until something has come, be it the end."""
        with trio.fail_after(10):
            await trio.lowlevel.wait_readable(self.near)

    def say(self, ciphertext: bytes) -> None:
        """Have the far end send this."""
        self.peer.far.sendall(ciphertext)


@contextmanager
def open_tls_pair(
    kind: str = "unix", buffer: int = SMALL, *, behind: bytes = b"", client: ssl.SSLContext | None = None
) -> Generator[TlsPair, None, None]:
    """Put a bus's stream on one of two sockets, whose buffers are full soon; the handshake is over, and was in memory.

    What is to come ``behind`` the handshake is there together with its last bytes.
    """
    with open_sockets(kind, buffer) as (near, far):
        below, kept = SocketStream(near), KeptContext(context(is_server=True))
        secure = trio.SSLStream(below, cast("ssl.SSLContext", kept), server_side=True)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        other = (client or context(is_server=False)).wrap_bio(incoming, outgoing, server_hostname=HOST)
        peer = TlsPeer(far, other, incoming, outgoing)
        for end in (other, kept.object):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
            kept.incoming.write(outgoing.read())
            incoming.write(kept.outgoing.read())
        other.do_handshake()
        kept.incoming.write(outgoing.read() + (peer.seal(behind) if behind else b""))
        kept.object.do_handshake()
        yield TlsPair(near, TlsStream(secure, below, kept), peer)


# --- records that OpenSSL would not make


def _derive(secret: bytes, name: bytes, size: int) -> bytes:
    """HKDF-Expand-Label of RFC 8446, 7.1."""
    label = b"tls13 " + name
    info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    return HKDFExpand(SHA384(), size, info).derive(secret)


@define(eq=False)
class Sealer:
    """Makes the records of one end from its secret: such as ask for new keys, which Python cannot ask for."""

    secret: bytes
    _number: int = field(default=0, init=False)

    @classmethod
    def of(cls, log: Path) -> Sealer:
        """Return that of a client which has logged its secrets."""
        (line,) = (line for line in log.read_text().splitlines() if line.startswith("CLIENT_TRAFFIC_SECRET_0 "))
        return cls(bytes.fromhex(line.split()[2]))

    def seal(self, data: bytes, kind: int = DATA) -> bytes:
        """Return a record with this in it."""
        inner = data + bytes([kind])
        head = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        mask = self._number.to_bytes(12, "big")
        nonce = bytes(one ^ other for one, other in zip(_derive(self.secret, b"iv", 12), mask, strict=True))
        self._number += 1
        return head + AESGCM(_derive(self.secret, b"key", 32)).encrypt(nonce, inner, head)

    def renew(self, *, asks: bool, cut: int = 5) -> tuple[bytes, bytes]:
        """Return the two parts of a message that this end has new keys, and asks for such; the second may be empty."""
        message = bytes([24, 0, 0, 1, asks])
        first = self.seal(message[:cut], HANDSHAKE)
        second = self.seal(message[cut:], HANDSHAKE) if message[cut:] else b""
        self.secret, self._number = _derive(self.secret, b"traffic upd", 48), 0
        return first, second


@contextmanager
def open_sealed_pair(folder: Path) -> Generator[tuple[TlsPair, Sealer], None, None]:
    """Open a pair whose far end says what a test seals."""
    client: Any = bare_context()
    prepare(client, is_server=False)
    client.keylog_filename = str(folder / "keys")
    with open_tls_pair(client=client) as pair:
        yield pair, Sealer.of(folder / "keys")
