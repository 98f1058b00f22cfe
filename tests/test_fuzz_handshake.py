"""What strangers may send first, mutated: the listeners stay up, and those who are in notice nothing.

The suite sends some hundreds; ``nox -s fuzz`` sends ten thousand of each kind (``T2BUS_FUZZ``).
"""

from __future__ import annotations

import os
import random
import ssl
from typing import TYPE_CHECKING

import pytest
import trio

import t2bus
from bus_helpers import HELLO, open_bystanders
from t2bus.certs import issue_client, make_ca
from t2bus.transport.address import TcpAddress, TlsAddress, parse
from t2bus.wire import native

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COUNT = int(os.environ.get("T2BUS_FUZZ", "300"))
"""Of each kind of first message."""

AT_ONCE = 16
DAYS = 2


def client_hello(context: ssl.SSLContext) -> bytes:
    """Return the first bytes of a right client."""
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """Return the bytes with a few of them changed, left out, repeated, put in, or cut off."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(data) + 1), chance.randint(1, 8)
        match chance.randrange(6):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = chance.randbytes(length)
            case 3:
                data[at:at] = data[at : at + length]
            case 4:
                data[at:] = b""
            case _:  # a length field near the front
                data[min(at, 8) : min(at, 8) + 1] = bytes([chance.choice([0, 1, 127, 128, 255])])
    return bytes(data)


def attempts(address: TcpAddress | TlsAddress, seed: bytes, name: str) -> Iterator[tuple[str, int, bytes]]:
    chance = random.Random(name)
    for _ in range(COUNT):
        yield address.host, address.port, mutated(seed, chance)


async def say_it(host: str, port: int, data: bytes) -> None:
    """Connect, send it, and read what the bus makes of it until it closes."""
    try:
        async with await trio.open_tcp_stream(host, port) as stream:
            await stream.send_all(data)
            await stream.send_eof()
            while await stream.receive_some():
                pass
    except (trio.BrokenResourceError, OSError):
        pass


async def say_all(source: Iterator[tuple[str, int, bytes]]) -> None:
    for host, port, data in source:
        await say_it(host, port, data)


@pytest.mark.parametrize("kind", ["tls", "tcp"])
async def test_mutated_first_messages(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """However a ClientHello or a HELLO is mutated, the bus serves everybody else, and keeps nothing of it."""
    folder = tmp_path / "certs"
    make_ca(folder, days=DAYS)
    issue_client(folder, "client", days=DAYS)
    ca = folder / "ca.pem"
    server = t2bus.tls.server_context(ca=ca, certificate=folder / "bus.pem", key=folder / "bus.key")
    client = t2bus.tls.client_context(ca=ca, certificate=folder / "client.pem", key=folder / "client.key")
    async with t2bus.open_bus(f"{kind}:127.0.0.1:0", tls=server) as bus:
        address = parse(bus.addresses[0])
        assert isinstance(address, TcpAddress | TlsAddress)
        seed = client_hello(client) if kind == "tls" else native.encode(HELLO)
        source = attempts(address, seed, kind)
        async with open_bystanders(lambda: t2bus.open_client(str(address), tls=client)) as bystanders:
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(say_all, source)
            assert next(source, None) is None
            await bystanders.try_out()
        async with t2bus.open_client(str(address), tls=client) as late:
            assert await late.publish_bytes("a", b"") == 0
            assert bus.statistics().connections == 1
    assert "internal error" not in caplog.text
