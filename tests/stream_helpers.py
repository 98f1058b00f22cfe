"""Pairs of connected sockets, and the streams, transports and far ends that tests put on them."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from t2bus.limits import Limits
from t2bus.transport.framed import FramedTransport
from t2bus.transport.socket_stream import SocketStream
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.codec import codec_for_bus
from t2bus.wire.framing import FrameDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from t2bus.transport.tls_stream import TlsStream

LIMITS: Final = Limits()
SMALL: Final = 16_384
"""Bytes of a socket's buffer that is full soon."""

ClientEnd = FramedTransport[m.ServerMessage, m.ClientMessage]


def publication(number: int, size: int = 10) -> m.Publish:
    return m.Publish(number, False, m.Publication("x", bytes([number % 256]) * size))


def socket_pair(kind: str = "unix") -> tuple[socket.socket, socket.socket]:
    """Two connected sockets, of ``"unix"`` or ``"tcp"``."""
    if kind == "unix":
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        return near, server.accept()[0]


def stream_on(end: socket.socket) -> SocketStream:
    """A stream that owns this socket."""
    return SocketStream(trio.socket.from_stdlib_socket(end))


def stream_pair(kind: str = "unix", buffer: int | None = None) -> tuple[SocketStream, SocketStream]:
    """Two connected streams; ``buffer`` makes their sockets full soon."""
    ends = socket_pair(kind)
    for end in ends:
        if buffer is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            # With less TCP waits for acknowledgements that are late on purpose.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * SMALL)
    near, far = ends
    return stream_on(near), stream_on(far)


def connect(stream: trio.abc.Stream) -> ClientEnd:
    """A client's transport on a stream."""
    return FramedTransport(stream, codec_for_bus(), LIMITS.handshake_bytes)


@define(eq=False)
class Wire:
    """The far end of a socket: it is only read when a test says so, and then without waiting."""

    far: socket.socket
    open: Callable[[bytes], bytes] = bytes
    """Makes what was sent of what comes."""
    decoder: FrameDecoder = field(factory=lambda: FrameDecoder(1 << 24))

    def read(self, most: int = 1 << 24) -> list[m.ClientMessage]:
        """Return the messages that are complete with what is here now."""
        messages: list[m.ClientMessage] = []
        while most > 0:
            try:
                data = self.far.recv(min(most, 1 << 16))
            except BlockingIOError:
                break
            most -= len(data)
            messages += native.decode_client_messages(self.decoder.feed(self.open(data)))
        return messages


@define(eq=False)
class TransportPair:
    """A transport on a real socket, and the other end of that."""

    stream: SocketStream | TlsStream
    transport: ClientEnd
    wire: Wire

    async def read_until(self, count: int) -> list[m.ClientMessage]:
        """Read as many messages, while others write them."""
        messages: list[m.ClientMessage] = []
        with trio.fail_after(10):
            while len(messages) < count:
                await trio.lowlevel.wait_readable(self.wire.far)
                messages += self.wire.read(1 << 16)
        return messages


@contextmanager
def open_sockets(
    kind: str = "unix", buffer: int = SMALL
) -> Generator[tuple[trio.socket.SocketType, socket.socket], None, None]:
    """Connect two sockets, whose buffers are full soon: a near one of Trio, and a far one that is never waited for."""
    near, far = socket_pair(kind)
    with near, far:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * SMALL)
        far.setblocking(False)
        with trio.socket.from_stdlib_socket(near) as ours:
            yield ours, far


@contextmanager
def open_transport_pair(kind: str = "unix", buffer: int = SMALL) -> Generator[TransportPair, None, None]:
    """Put a transport on one of two sockets, whose buffers are full soon."""
    with open_sockets(kind, buffer) as (near, far):
        stream = SocketStream(near)
        yield TransportPair(stream, connect(stream), Wire(far))
