"""From an address to a transport, for a client, and to listeners, for a bus: a new kind of address is a row here."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, assert_never

import attrs
import trio
from attrs import frozen

from ..errors import ConnectFailed, InvalidAddress
from ..rust.codec import codec_for_client, codec_for_rust_bus
from ..wire.codec import codec_for_bus
from ..wire.messages import ClientMessage, Dialect, ServerMessage
from . import handshake, tcp, unix
from .address import Address, TcpAddress, TlsAddress, UnixAddress
from .framed import FramedTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from ..limits import Limits
    from .transport import Transport

__all__ = ["Listener", "accept", "connect", "open_listeners"]


async def connect(
    address: Address,
    limits: Limits,
    context: ssl.SSLContext | None = None,
    peers: frozenset[str] = frozenset(),
    dialect: Dialect = Dialect.NATIVE,
) -> Transport[ServerMessage, ClientMessage]:
    """Connect to a bus.

    Args:
      address: where it is.
      limits: the bounds of the handshake.
      context: for an address of TLS.
      peers: whose bus it may be, beside this user's and root's, at a unix socket.
      dialect: the wire to speak.

    Raises:
      InvalidAddress: the address is of TLS, and there is no context for it.
      ConnectFailed: nothing listens there, or it is somebody else; the text says what to do.
      TlsFailed: the handshake of TLS failed.

    """
    try:
        match address:
            case UnixAddress():
                stream = await unix.connect(address, peers)
            case TcpAddress():
                stream = await tcp.connect(address)
            case TlsAddress():
                secret = require_context(address, context, "client")
                stream = await handshake.connect(address, secret, limits.handshake_time)
            case _:
                assert_never(address)
    except OSError as error:
        reason = error.strerror or error
        raise ConnectFailed(
            f"cannot connect to {address}: {reason}. Is a bus there? `python -m t2bus serve {address}` starts one"
        ) from error
    codec = codec_for_bus() if dialect is Dialect.NATIVE else codec_for_rust_bus(limits)
    # A unix socket never leaves the machine: copying a payload there is cheaper than compressing it.
    return FramedTransport(
        stream,
        limits.handshake_bytes,
        lambda _: codec,
        codec,
        compresses=not isinstance(address, UnixAddress),
        is_secure=isinstance(address, TlsAddress),
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


def accept(stream: trio.abc.Stream, limits: Limits) -> Transport[ClientMessage, ServerMessage]:
    """Return the bus's end of a connection that has come in."""
    choose = partial(codec_for_client, frame=limits.frame)
    return FramedTransport(stream, limits.handshake_bytes, choose)


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


def _bound(address: TcpAddress | TlsAddress, listener: trio.SocketListener) -> Address:
    """Return the address of the same kind that the listener is really bound to."""
    host, port = listener.socket.getsockname()[:2]
    return attrs.evolve(address, host=host, port=port)
