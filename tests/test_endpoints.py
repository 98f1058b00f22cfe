"""The door of a bus: which wire a peer speaks, told by the first byte behind the length of its first frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cbor2
import pytest
import trio
import trio.testing

from rust_corpus import HELLO as CRATE
from t2bus.endpoints import recognise
from t2bus.errors import ProtocolViolation
from t2bus.limits import Limits
from t2bus.rust import frames as r
from t2bus.rust.crate_transport import RustClientTransport
from t2bus.transport.framed import FramedTransport
from t2bus.wire import messages as m
from t2bus.wire.framing import HEADER_SIZE
from t2bus.wire.native import VERSION, encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HELLO = m.Hello(VERSION, "a test", ("zlib",))


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(HEADER_SIZE, "big") + body


async def wire_of(first: int) -> type | str:
    """Return the kind of transport for a client whose first frame begins with this byte, or why there is none."""
    peer, stream = trio.testing.memory_stream_pair()
    await peer.send_all(framed(bytes([first])))
    try:
        return type(await recognise(stream, Limits()))
    except ProtocolViolation as error:
        return str(error)


async def test_the_first_byte_decides_which_wire_a_client_speaks() -> None:
    """An array of any size is the native wire, a map is that of the Rust crate, and anything else is none."""
    wires = [await wire_of(first) for first in range(256)]
    assert wires[0x80:0xA0] == [FramedTransport] * 32
    assert wires[0xA0:0xC0] == [RustClientTransport] * 32
    refused = [*wires[:0x80], *wires[0xC0:]]
    assert [each for each in refused if "first frame is not a t2bus/1 HELLO" not in str(each)] == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (encode(HELLO), [[HELLO]]),
        (
            r.encode_control(1, r.Kind.SUB, "a"),
            [[CRATE], [m.Subscribe(1, "a", 1 << 62, 1 << 62)]],
        ),
    ],
    ids=["native", "crate"],
)
async def test_a_frame_in_pieces_is_the_same_frame(data: bytes, said: list[list[m.ClientMessage]]) -> None:
    """However the first frame is cut, its wire is told, and nothing of it is lost; a HELLO comes alone."""
    for cut in range(1, len(data)):
        peer, stream = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            await peer.send_all(data[:cut])
            nursery.start_soon(peer.send_all, data[cut:])
            transport = await recognise(stream, Limits())
            assert [list(await transport.receive()) for _ in said] == said


@pytest.mark.parametrize(
    "frame",
    [
        b"GET / HTTP/1.1\r\nHost: bus\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\0",
        b"{}",
        cbor2.dumps("HELLO"),
    ],
)
async def test_another_protocol_is_told_what_this_port_speaks(frame: bytes) -> None:
    """Whoever speaks something else is refused with words that help."""
    peer, stream = trio.testing.memory_stream_pair()
    await peer.send_all(framed(frame))
    with pytest.raises(ProtocolViolation, match="nor of the Rust crate t2_bus"):
        await recognise(stream, Limits())


@pytest.mark.parametrize("length", [0, (1 << 20) + 1, (1 << 32) - 1])
async def test_a_length_that_no_wire_begins_with_is_refused_at_once(length: int) -> None:
    """Whoever declares a first frame that is empty or too large is not waited for."""
    peer, stream = trio.testing.memory_stream_pair()
    await peer.send_all(length.to_bytes(HEADER_SIZE, "big"))
    with pytest.raises(ProtocolViolation, match="nor of the Rust crate t2_bus"):
        await recognise(stream, Limits())


@pytest.mark.parametrize("leave", [trio.StapledStream.send_eof, trio.StapledStream.aclose])
@pytest.mark.parametrize("size", [0, 1, 3, 4])
async def test_who_says_too_little_has_left(
    size: int, leave: Callable[[trio.abc.HalfCloseableStream], Awaitable[None]]
) -> None:
    """A peer that ends before it has begun is no violation."""
    peer, stream = trio.testing.memory_stream_pair()
    await peer.send_all(encode(HELLO)[:size])
    await leave(peer)
    with pytest.raises(trio.EndOfChannel):
        await recognise(stream, Limits())


async def test_a_stream_that_is_closed_here_is_broken() -> None:
    """A stream that its owner closes while it waits for the first frame is no connection any more."""
    _, stream = trio.testing.memory_stream_pair()
    await stream.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await recognise(stream, Limits())
