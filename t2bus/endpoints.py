"""From an address to a transport, for a client, and to listeners and the wire that a peer speaks, for a bus.

A new kind of address, or of wire, is a row here; what runs above knows transports only. A bus tells the wires apart by
the first byte of the first frame, so that clients of different wires share one listener: a native frame is a CBOR
array, one of the Rust crate ``t2_bus`` is a map.
"""

from __future__ import annotations

import os
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

import attrs
import trio
from attrs import frozen

from .called import command
from .errors import ConnectFailed, InvalidAddress, ProtocolViolation
from .rust.crate_transport import RustBusTransport, RustClientTransport
from .transport import handshake, tcp, unix
from .transport.address import Address, TcpAddress, TlsAddress, UnixAddress, is_loopback
from .transport.default_place import other_place
from .transport.forks import keep_from_children
from .transport.framed import FramedTransport
from .transport.socket_stream import SocketStream
from .transport.tls_stream import TlsStream
from .wire.codec import codec_for_bus, codec_for_client
from .wire.framing import HEADER_SIZE

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from .limits import Limits
    from .transport.transport import Transport
    from .wire.messages import ClientMessage, ServerMessage

    ClientTransport = Transport[ServerMessage, ClientMessage]
    BusTransport = Transport[ClientMessage, ServerMessage]

_ARRAY: Final = 4
_MAP: Final = 5
"""The CBOR major types of an array and a map, in the top three bits of their first byte."""


# --- a client's side


async def connect(
    address: Address,
    limits: Limits,
    context: ssl.SSLContext | None = None,
    peers: frozenset[str] = frozenset(),
    *,
    wire: str = "t2bus",
) -> trio.abc.Stream:
    """Connect to whatever listens at an address.

    Args:
      address: where it is.
      limits: the bounds of the handshake.
      context: for an address of TLS.
      peers: whose bus it may be, beside this user's and root's, at a unix socket.
      wire: as for :func:`open_transport`. A bus of the Rust crate names no protocol in the handshake of TLS.

    Raises:
      InvalidAddress: the address is of TLS, and there is no context for it.
      ConnectFailed: nothing listens there, or it is somebody else; the text says what to do.
      TlsFailed: the handshake of TLS failed.

    """
    try:
        match address:
            case UnixAddress():
                return SocketStream((await unix.connect(address, peers)).socket)
            case TcpAddress():
                return SocketStream((await tcp.connect(address)).socket)
            case TlsAddress():
                secret = require_context(address, context, "client")
                names_protocol = wire == "t2bus"
                return await handshake.connect(address, secret, limits.handshake_time, names_protocol=names_protocol)
            case _:
                assert_never(address)
    except OSError as error:
        text = f"cannot connect to {address}: {error.strerror or error}. {_remedy(address, error)}"
        may_help = not (isinstance(error, PermissionError) or _is_no_socket(address))
        raise ConnectFailed(text, retryable=may_help) from error


def _is_no_socket(address: Address) -> bool:
    """Tell whether something else is where a socket would be."""
    return isinstance(address, UnixAddress) and Path(address.path).exists() and not Path(address.path).is_socket()


def _remedy(address: Address, error: OSError) -> str:
    """Return what may help where no bus was reached; a command in it can be copied as it is, and then works."""
    match address:
        case UnixAddress(path) if isinstance(error, PermissionError):
            user, folder = f"uid:{os.geteuid()}", Path(path).parent
            peer = f"it has to be started with `--peer {user}` (peers=[{user!r}] in a program)"
            return f"If another user's bus is there, {peer}, and {user} has to be let into the folder {folder}"
        case UnixAddress(path) if not Path(path).parent.is_dir():
            return f"There is no folder {Path(path).parent}"
        case UnixAddress() if _is_no_socket(address):
            return "What is there is no socket"
        case TcpAddress(host) if host != "localhost" and not is_loopback(host):
            return "Is a bus there?"
        case TlsAddress():
            return "Is a bus there?"
        case UnixAddress() | TcpAddress():
            start = command("serve", str(address))
            other = other_place(address)
            return f"Is a bus there? `{start}` starts one" + ("" if other is None else f"; {other}")
        case _:
            assert_never(address)


def open_transport(stream: trio.abc.Stream, limits: Limits, *, wire: str, stays_here: bool) -> ClientTransport:
    """Return a client's end of a connection to a bus.

    Args:
      stream: what connects them.
      limits: the client's own.
      wire: ``"t2bus"``, or ``"t2"`` for a bus of the Rust crate.
      stays_here: whether the stream never leaves the machine: copying a payload is cheaper than compressing it there.

    """
    is_secure = isinstance(stream, trio.SSLStream | TlsStream)
    if wire == "t2":
        return RustBusTransport.open(stream, limits, is_secure=is_secure)
    return FramedTransport(
        stream, codec_for_bus(), limits.handshake_bytes, compresses=not stays_here, is_secure=is_secure
    )


def require_context(address: TlsAddress, context: ssl.SSLContext | None, side: str) -> ssl.SSLContext:
    """Return the context for an address of TLS.

    Raises:
      InvalidAddress: there is none.

    """
    if context is None:
        raise InvalidAddress(
            f"{address} needs certificates: pass tls=t2bus.tls.{side}_context(ca=..., certificate=..., key=...)"
        )
    return context


# --- a bus's side

_NO_WIRE: Final = "the first frame is not a t2bus/1 HELLO, nor of the Rust crate t2_bus"


async def recognise(stream: trio.abc.Stream, limits: Limits) -> BusTransport:
    """Wait until a peer has said so much that its wire is known, and return the bus's end of the connection.

    Raises:
      trio.EndOfChannel: the peer has closed its end before.
      trio.BrokenResourceError: the connection broke.
      ProtocolViolation: this is no wire that the bus speaks.

    """
    head, most = b"", max(limits.handshake_bytes, limits.frame)
    try:
        while len(head) <= HEADER_SIZE:
            # All of it, since a socket that is closed with bytes unread takes back what it has not sent yet.
            data = await stream.receive_some(limits.handshake_bytes)
            if not data:
                raise trio.EndOfChannel
            head += data
            # No wire begins with so much. Whoever says only this is not waited for.
            if len(head) >= HEADER_SIZE and not 0 < int.from_bytes(head[:HEADER_SIZE]) <= most:
                raise ProtocolViolation(_NO_WIRE)
    except trio.ClosedResourceError as error:
        raise trio.BrokenResourceError("the stream was closed") from error
    major = head[HEADER_SIZE] >> 5
    if major == _ARRAY:
        return FramedTransport(stream, codec_for_client(), limits.handshake_bytes, head)
    if major == _MAP:
        return RustClientTransport.open(stream, limits, head)
    raise ProtocolViolation(_NO_WIRE)


@frozen
class Listener:
    """An open listener and the address that it is really bound to."""

    listener: trio.SocketListener
    address: Address


@asynccontextmanager
async def open_listeners(address: Address, mode: int) -> AsyncGenerator[list[Listener], None]:
    """Listen at an address until the body ends; ``mode`` is that of a unix socket's file.

    Raises:
      BindFailed: that is not possible; the text says why.

    """
    match address:
        case UnixAddress():
            async with unix.open_listener(address, mode) as listener:
                yield [Listener(listener, address)]
        case TcpAddress() | TlsAddress():
            async with tcp.open_listeners(address) as listeners:
                yield [Listener(listener, _bound(address, listener)) for listener in listeners]
        case _:
            assert_never(address)


def adopt(sock: socket.socket, *, is_secure: bool) -> Listener:
    """Return the listener of a socket that somebody else has opened; a TCP one speaks TLS if it ``is_secure``.

    Raises:
      ValueError: no bus can listen there; the text says what it is.

    """
    if sock.type != socket.SOCK_STREAM or sock.family not in {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6}:
        raise ValueError("is no stream socket of a unix path or of TCP")
    if not _is_listening(sock):
        raise ValueError("is a socket that does not listen")
    name = sock.getsockname()
    if sock.family != socket.AF_UNIX:
        kind = TlsAddress if is_secure else TcpAddress
        address: Address = kind(tcp.name_of(name), name[1])
    elif isinstance(name, str) and name:
        address = UnixAddress(name)
    else:
        raise ValueError("is a unix socket without a path, which no client could name")
    return Listener(keep_from_children(trio.SocketListener(trio.socket.from_stdlib_socket(sock))), address)


def _is_listening(sock: socket.socket) -> bool:
    """Tell whether a socket listens; where the system does not say, it is taken for one that does."""
    try:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) != 0
    except OSError:
        return True


def _bound(address: TcpAddress | TlsAddress, listener: trio.SocketListener) -> Address:
    """Return the address of the same kind that the listener is really bound to."""
    name = listener.socket.getsockname()
    return attrs.evolve(address, host=tcp.name_of(name), port=name[1])
