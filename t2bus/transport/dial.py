"""From an address to a transport, for a client, and to listeners, for a bus: a new kind of address is a row here."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, assert_never

from ..errors import ConnectFailed
from ..wire.codec import codec_for_bus, codec_for_client
from . import tcp, unix
from .address import Address, TcpAddress, UnixAddress
from .transport import FramedTransport, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import trio

    from ..wire.messages import ClientMessage, ServerMessage

__all__ = ["accept", "connect", "open_listeners"]


async def connect(address: Address, limit: int) -> Transport[ServerMessage, ClientMessage]:
    """Connect to a bus; ``limit`` is the largest frame of the handshake.

    Raises:
      ConnectFailed: nothing listens there; the text says what to do.

    """
    try:
        match address:
            case UnixAddress():
                stream = await unix.connect(address)
            case TcpAddress():
                stream = await tcp.connect(address)
            case _:
                assert_never(address)
    except OSError as error:
        reason = error.strerror or error
        raise ConnectFailed(
            f"cannot connect to {address}: {reason}. Is a bus there? `python -m t2bus serve {address}` starts one"
        ) from error
    codec = codec_for_bus()
    # A unix socket never leaves the machine: copying a payload there is cheaper than compressing it.
    return FramedTransport(stream, limit, lambda _: codec, codec, compresses=not isinstance(address, UnixAddress))


def accept(stream: trio.abc.Stream, limit: int) -> Transport[ClientMessage, ServerMessage]:
    """Return the bus's end of a connection that has come in."""
    return FramedTransport(stream, limit, codec_for_client)


def _listeners(
    address: Address,
) -> AbstractAsyncContextManager[tuple[list[trio.SocketListener], list[UnixAddress] | list[TcpAddress]]]:
    match address:
        case UnixAddress():
            return unix.open_listeners(address)
        case TcpAddress():
            return tcp.open_listeners(address)
        case _:
            assert_never(address)


@asynccontextmanager
async def open_listeners(address: Address) -> AsyncGenerator[tuple[list[trio.SocketListener], tuple[str, ...]], None]:
    """Listen at an address until the body ends; give the listeners and the addresses they are really bound to.

    Raises:
      BindFailed: that is not possible; the text says why.

    """
    async with _listeners(address) as (listeners, bound):
        yield listeners, tuple(map(str, bound))
