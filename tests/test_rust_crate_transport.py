"""The crate's wire as a transport, where it does what no translator can."""

from __future__ import annotations

import ssl

import trio
import trio.testing

import t2bus
from t2bus.rust.crate_transport import RustBusTransport
from t2bus.wire import messages as m


async def test_a_bus_of_the_crate_sees_the_end_of_what_is_said() -> None:
    """Its wire has no word for the end, so the sending side of the stream is closed, and the other can be read."""
    near, far = trio.testing.memory_stream_pair()
    await RustBusTransport.open(near, t2bus.Limits(), is_secure=False).end()
    assert await far.receive_some(1) == b""
    await far.send_all(b"x")
    assert await near.receive_some(1) == b"x"


async def test_a_stream_that_has_no_such_end_stays_open() -> None:
    """Where only both sides can be closed at once, the end waits for that."""
    near, far = trio.testing.memory_stream_pair()
    secure = trio.SSLStream(near, ssl.create_default_context(), server_hostname="a.test")
    await RustBusTransport.open(secure, t2bus.Limits(), is_secure=True).end()
    await near.send_all(b"x")
    assert await far.receive_some(1) == b"x"


async def test_what_says_nothing_is_no_sign() -> None:
    """A message that this wire has no bytes for is not written: that bus has heard nothing."""
    near, far = trio.testing.memory_stream_pair()
    transport = RustBusTransport.open(near, t2bus.Limits(), is_secure=False)
    credit = m.Credit((1, 1, 1))
    await transport.send([credit])
    assert not transport.signs().has_written
    await transport.send([credit, m.Ping(0)])
    assert transport.signs().has_written
    assert await far.receive_some()
