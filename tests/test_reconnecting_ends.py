"""Whether a bus that cannot be reached is worth another try, and what of a client the bus has not missed yet."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from attrs import define, field

import t2bus
from bus_helpers import Add, Note, Sum, add, expect, open_fake_bus, wait_until
from t2bus.testing import memory_bus, unsteady_bus
from tls_helpers import bus_leaf, client_leaf, leaf, write

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from bus_helpers import RawPeer
    from t2bus.wire import messages as m

Clock = trio.testing.MockClock

STEADY = t2bus.Reconnect(first=0.1, longest=1.0, jitter=0.0)


# --- a wire that can be cut, so that only the client hears of it


@define(eq=False)
class Wire:
    """A way to a bus, which is told nothing when it is cut."""

    bus: t2bus.Bus
    nursery: trio.Nursery
    near: trio.abc.Stream | None = field(default=None, init=False)

    async def dial(self) -> trio.abc.Stream:
        client, self.near = trio.testing.memory_stream_pair()
        far, served = trio.testing.memory_stream_pair()
        self.nursery.start_soon(pump, self.near, far)
        self.nursery.start_soon(pump, far, self.near)
        self.nursery.start_soon(partial(self.bus.serve_stream, served, identity="robot"))
        await trio.lowlevel.checkpoint()
        return client

    async def cut(self) -> None:
        assert self.near is not None
        await trio.aclose_forcefully(self.near)


async def pump(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
    """Pass bytes on until an end is closed here; the other is left as it is."""
    try:
        while data := await source.receive_some(65_536):
            await sink.send_all(data)
    except (trio.ClosedResourceError, trio.BrokenResourceError):
        pass


@asynccontextmanager
async def open_wire() -> AsyncGenerator[tuple[Wire, t2bus.Client], None]:
    async with memory_bus() as bus, trio.open_nursery() as nursery:
        wire = Wire(bus, nursery)
        async with t2bus.open_client(wire.dial, reconnect=STEADY) as client:
            yield wire, client
        nursery.cancel_scope.cancel()


async def test_a_claim_that_its_own_ghost_holds_is_won_back(autojump_clock: Clock) -> None:
    """The bus has not noticed the loss; it finds it out when the topic is claimed anew, and the service goes on."""
    async with open_wire() as (wire, client), trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, "", add)
        await wire.cut()
        await client.connected()
        assert trio.current_time() < 2
        async with wire.bus.open_client() as other:
            assert await other.request("", Add(1, 2)) == Sum(3)
        nursery.cancel_scope.cancel()


async def test_a_ghost_keeps_no_message_from_the_client(autojump_clock: Clock) -> None:
    """Its subscription is another one's; what is published reaches the new one, once."""
    async with open_wire() as (wire, client), client.subscribe(Note, "") as notes:
        await wire.cut()
        await client.connected()
        await client.publish("", Note("after"))
        assert isinstance(await anext(notes.items()), t2bus.Lagged)
        assert (await notes.receive()).body == Note("after")
        with pytest.raises(trio.WouldBlock):
            notes.receive_nowait()


async def test_a_claim_may_end_while_it_is_contested(autojump_clock: Clock) -> None:
    """A service that is closed while its topic is the ghost's is not claimed again."""
    async with open_wire() as (wire, client):
        async with client.serve(Add, ""):
            await wire.cut()
            await trio.sleep(0.2)
            assert client.state == "connecting"
        await client.connected()
        assert client.statistics().services == 0


async def test_a_refused_subscription_ends_with_the_reason(autojump_clock: Clock) -> None:
    """Where the next bus allows less, what it refuses raises that, and the rest goes on."""
    async with trio.open_nursery() as nursery:
        async with memory_bus() as first, memory_bus(subscriptions=1) as second:
            wire = Wire(first, nursery)
            async with (
                t2bus.open_client(wire.dial, reconnect=STEADY) as client,
                client.subscribe(Note, "a") as kept,
                client.subscribe(Note, "b") as refused,
            ):
                wire.bus = second
                await wire.cut()
                await client.connected()
                assert isinstance(await anext(kept.items()), t2bus.Lagged)
                assert isinstance(await anext(refused.items()), t2bus.Lagged)
                with pytest.raises(t2bus.LimitExceeded):
                    await refused.receive()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_with_one_refused() -> AsyncGenerator[tuple[t2bus.Client, t2bus.Subscription[Note]]]:
    """Give a client with two subscriptions, the second of which the bus refused between two losses."""
    async with (
        unsteady_bus() as place,
        place.open_client(reconnect=STEADY) as client,
        client.subscribe(Note, "kept"),
        client.subscribe(Note, "too/deep") as refused,
    ):
        for depth in (2, 16):
            await place.lose()
            place.limits = t2bus.Limits(topic_depth=depth)
            await place.restore()
            await client.connected()
        assert isinstance(await anext(refused.items()), t2bus.Lagged)
        await expect(t2bus.InvalidTopic, refused.receive)
        yield client, refused


async def test_promise_04_a_subscription_that_was_refused_ends_no_other(autojump_clock: Clock) -> None:
    """Closed after the next loss, it leaves alone what has been subscribed to over the new connection."""
    async with open_with_one_refused() as (client, refused), client.subscribe(Note, "new") as notes:
        await refused.aclose()
        assert await client.publish("new", Note("x")) == 1
        assert (await notes.receive()).body == Note("x")


async def test_promise_04_a_subscription_that_was_refused_ends_no_service(autojump_clock: Clock) -> None:
    """Closed after the next loss, it leaves alone what has been claimed over the new connection."""
    async with open_with_one_refused() as (client, refused), client.serve(Add, "") as requests:
        await refused.aclose()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request, "", Add(1, 2))
            await (await requests.receive()).respond(Sum(3))


# --- whether to try again


async def failure_of(address: str | Callable[[], Awaitable[trio.abc.Stream]], **options: object) -> t2bus.ConnectFailed:
    with pytest.raises(t2bus.ConnectFailed) as caught:
        async with t2bus.open_client(address, **options):  # type: ignore[arg-type]
            raise AssertionError
    return caught.value


async def test_nobody_there_is_worth_another_try(tmp_path: Path) -> None:
    """Nothing listens, or its socket was left behind."""
    assert (await failure_of(f"unix:{tmp_path}/bus")).retryable
    assert (await failure_of(f"unix:{tmp_path}/no/such/folder/bus")).retryable
    async with open_fake_bus(nothing) as address:
        pass
    assert (await failure_of(address)).retryable


async def test_what_is_no_socket_is_not(folder: Path) -> None:
    """A file or a folder does not become a bus by waiting."""
    file = folder / "file"
    file.write_text("")
    for path in (file, folder):
        assert not (await failure_of(f"unix:{path}", reconnect=STEADY)).retryable


async def test_an_opener_that_takes_too_long_is_worth_another_try() -> None:
    """A function of the program that opens a stream may bound itself by ``trio.fail_after``."""

    async def dial() -> trio.abc.Stream:
        with trio.fail_after(0):
            await trio.sleep_forever()
        raise AssertionError

    failure = await failure_of(dial)
    assert failure.retryable
    assert str(failure) == "cannot open a stream to the bus: TooSlowError"


async def nothing(_: RawPeer[m.ClientMessage]) -> None:
    await trio.lowlevel.checkpoint()


async def test_a_connection_that_is_closed_at_once_is_worth_another_try() -> None:
    """So is a bus that is about to end."""
    async with open_fake_bus(nothing) as address:
        assert (await failure_of(address)).retryable


async def test_silence_is_worth_another_try(autojump_clock: Clock) -> None:
    """What does not answer may be a bus that is very busy."""
    near, far = trio.testing.memory_stream_pair()

    async def dial() -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return near

    assert (await failure_of(dial)).retryable
    await far.aclose()


async def test_what_is_no_bus_is_not() -> None:
    """It will not become one."""

    async def speak_another_language(peer: RawPeer[m.ClientMessage]) -> None:
        await peer.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.receive()

    async with open_fake_bus(speak_another_language) as address:
        assert not (await failure_of(address, reconnect=STEADY)).retryable


async def test_not_to_be_let_in_is_not() -> None:
    """The bus has said so itself."""
    limits = t2bus.Limits(connections=1)
    async with t2bus.open_bus("tcp:127.0.0.1:0", limits=limits) as bus, bus.open_client():
        assert not (await failure_of(bus.addresses[0], reconnect=STEADY)).retryable


async def test_a_refused_certificate_ends_a_client_for_good(tmp_path: Path) -> None:
    """A bus that comes back with another authority is not waited for: every call says what is wrong."""
    ours = write(tmp_path, "bus", bus_leaf())
    theirs = write(tmp_path, "other", leaf("127.0.0.1", by="theirs"), trusts="theirs")
    client_files = write(tmp_path, "client", client_leaf())
    limits, reconnect = t2bus.Limits(drain=0.1), t2bus.Reconnect(first=0.01, longest=0.02)
    async with t2bus.open_bus("tls:127.0.0.1:0", tls=ours.server(), limits=limits) as bus:
        address = bus.addresses[0]
        tls = client_files.client()
        async with t2bus.open_client(address, tls=tls, reconnect=reconnect) as client:
            await bus.aclose()
            async with t2bus.open_bus(address, tls=theirs.server(), limits=limits):
                await wait_until(lambda: client.state == "disconnected")
                assert isinstance(client.last_error, t2bus.TlsFailed)
                with pytest.raises(t2bus.Disconnected, match="cannot be reached again"):
                    await client.publish("", Note("x"))
