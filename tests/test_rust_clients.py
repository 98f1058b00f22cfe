"""Clients of the Rust crate at a running bus, played by frames as the crate writes them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Sum, add, open_bystanders, settle, wait_until
from interop.raw import RawClient, frame, open_raw_client, payload
from pure_helpers import limits_with

if TYPE_CHECKING:
    from pathlib import Path

DEEP = "**/" * 7 + "a"
KEEP_ALIVE = frame({"id": 1, "content": "KeepAlive"})


def sub(topic: str) -> dict[str, object]:
    return {"Sub": {"topic": topic}}


def pub(topic: str, data: bytes) -> dict[str, object]:
    return {"Pub": {"topic": topic, "payload": payload(data)}}


async def farewell(client: RawClient) -> str:
    """Return what a client is told last, which is no answer to any frame, and see that the connection is closed."""
    last: Any = None
    while (message := await client.receive()) is not None:
        last = message
    ack = last["content"]["Ack"]
    assert ack["msg_id"] == 0
    text: str = ack["err"]["RequestFailed"]
    return text


async def acknowledged(client: RawClient, count: int) -> set[int]:
    """Return the ids of so many messages, in whatever order they are acknowledged."""
    return {(await client.expect("Ack"))["content"]["Ack"]["msg_id"] for _ in range(count)}


async def test_the_first_frame_may_be_anything(folder: Path) -> None:
    """A client that has no HELLO may begin with a message that is larger than any HELLO."""
    async with (
        t2bus.open_bus(f"unix:{folder}/bus") as bus,
        bus.open_client() as other,
        other.subscribe_bytes("a") as messages,
        open_raw_client(bus.addresses[0]) as client,
    ):
        assert (await client.answer(pub("a", bytes(4900))))["num_recipients"] == 1
        assert (await messages.receive()).body == bytes(4900)


async def test_the_first_frames_may_come_in_pieces(folder: Path) -> None:
    """However the first bytes are cut, the wire is told by the first one behind the length."""
    data = KEEP_ALIVE + frame({"id": 2, "content": sub("a")})
    async with t2bus.open_bus(f"unix:{folder}/bus") as bus:
        for split in range(1, len(data), 3):
            async with open_raw_client(bus.addresses[0]) as client:
                await client.send_bytes(data[:split])
                await settle()
                await client.send_bytes(data[split:])
                assert await acknowledged(client, 2) == {1, 2}
                assert bus.statistics().subscriptions == 1
            await settle()


async def test_silence(clock: trio.testing.MockClock, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A client of the crate is not pinged, and gone after 90 s without a word: it and the log are told why."""
    caplog.set_level("INFO")
    async with t2bus.open_bus(f"unix:{folder}/bus"), await trio.open_unix_socket(f"{folder}/bus") as stream:
        client = RawClient(stream)
        await client.answer("KeepAlive")
        await trio.sleep(80)
        assert (await client.answer("KeepAlive"))["err"] is None
        start = trio.current_time()
        reason = "nothing was heard of it for 90 s (which its wire sets)"
        assert await farewell(client) == reason
        assert 85 < trio.current_time() - start < 95
        await wait_until(lambda: f"left: {reason}" in caplog.text)


async def test_who_breaks_the_wire_is_told(folder: Path) -> None:
    """A client whose frame is none of the wire is told so before its connection is closed."""
    async with t2bus.open_bus(f"unix:{folder}/bus") as bus, open_raw_client(bus.addresses[0]) as client:
        await client.answer("KeepAlive")
        await client.send("Nonsense")
        assert "a message is of a kind that this end does not take" in await farewell(client)


async def test_a_bus_that_ends_says_so(clock: trio.testing.MockClock, folder: Path) -> None:
    """A client is told that the bus shuts down."""
    async with t2bus.open_bus(f"unix:{folder}/bus"):
        stream = await trio.open_unix_socket(f"{folder}/bus")
        client = RawClient(stream)
        await client.answer("KeepAlive")
    async with stream:
        assert await farewell(client) == "the bus is shutting down"


async def test_who_lags_is_disconnected_with_a_logged_reason(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A client that does not read what it subscribed to is disconnected, and nobody else hears of it."""
    caplog.set_level("INFO")
    limits = limits_with(outbox_bytes=100_000)
    async with t2bus.open_bus(f"unix:{folder}/bus", limits=limits) as bus, open_bystanders(bus.open_client) as others:
        async with open_raw_client(bus.addresses[0]) as client:
            await client.answer(sub("a"))
            while bus.statistics().connections == 3:
                await others.one.publish_bytes("a", bytes(30_000))
        await others.try_out()
    assert "left: it lags, and its wire has no word for that" in caplog.text


async def test_a_topic_that_would_keep_it_busy_is_withheld(folder: Path) -> None:
    """A client's matcher is not given what it would never finish; its publisher is told, and what follows arrives."""
    async with (
        t2bus.open_bus(f"unix:{folder}/bus") as bus,
        bus.open_client() as other,
        open_raw_client(bus.addresses[0]) as client,
    ):
        await client.answer(sub("**"))
        receipt = await other.publish_bytes(DEEP, b"1")
        assert (receipt, receipt.missed) == (0, 1)
        assert await other.publish_bytes("a", b"2") == 1
        message = await client.expect("Pub")
        assert message["content"]["Pub"]["topic"] == "a"
        assert bus.statistics().withheld == 1


async def test_a_request_that_it_cannot_be_sent_fails_at_once(folder: Path) -> None:
    """A request whose frame is too large for the crate is not sent to it, and its requester is told."""
    limits = t2bus.Limits(frame=3 << 20)
    async with (
        t2bus.open_bus(f"unix:{folder}/bus", limits=limits) as bus,
        bus.open_client() as other,
        open_raw_client(bus.addresses[0]) as client,
    ):
        await client.answer({"Srv": {"topic": "s"}})
        with pytest.raises(t2bus.RemoteError, match="too large for the wire of the service"):
            await other.request_bytes("s", noise(2 << 20))
        assert bus.statistics().withheld == 1


async def test_it_is_no_newcomer_for_long(folder: Path) -> None:
    """A client of the crate is let in with its first frame, beside clients of the native wire."""
    limits = t2bus.Limits(handshakes=1)
    async with t2bus.open_bus(f"unix:{folder}/bus", limits=limits) as bus, open_raw_client(bus.addresses[0]) as client:
        await client.answer("KeepAlive")
        async with t2bus.open_client(bus.addresses[0]) as other, trio.open_nursery() as nursery:
            await nursery.start(other.serve_with, Add, "", add)
            assert await other.request("", Add(1, 2)) == Sum(3)
            assert bus.statistics().connections == 2
            nursery.cancel_scope.cancel()


async def test_a_topic_that_is_no_topic_is_not_remembered(folder: Path) -> None:
    """A topic that no bus would take is refused at once, and its megabyte kept nowhere."""
    async with t2bus.open_bus(f"unix:{folder}/bus") as bus, open_raw_client(bus.addresses[0]) as client:
        for content in (sub("a" * 2000), {"Srv": {"topic": "a" * 2000}}, pub("a" * 2000, b"")):
            assert "InvalidTopicString" in (await client.answer(content))["err"]
        assert (await client.answer(sub("a")))["err"] is None


async def test_a_bus_may_allow_longer_topics(folder: Path) -> None:
    """``Limits.topic_length`` holds for clients of the crate too, however long it lets a topic be."""
    limits = t2bus.Limits(topic_length=5000)
    async with t2bus.open_bus(f"unix:{folder}/bus", limits=limits) as bus, open_raw_client(bus.addresses[0]) as client:
        assert (await client.answer(sub("a" * 5000)))["err"] is None
        assert (await client.answer(pub("a" * 5000, b"")))["num_recipients"] == 1
        assert "(Limits.topic_length)" in (await client.answer(sub("a" * 5001)))["err"]["InvalidTopicString"]


async def test_who_is_turned_away_is_not_read(folder: Path) -> None:
    """Of a client that is not let in no more is read than shows which wire it speaks."""
    limits = t2bus.Limits(connections=1)
    async with (
        t2bus.open_bus(f"unix:{folder}/bus", limits=limits) as bus,
        bus.open_client() as other,
        open_raw_client(bus.addresses[0]) as client,
    ):
        await client.send(pub("a", bytes(100_000)))
        assert "all that Limits.connections allows" in await farewell(client)
        assert await other.publish_bytes("a", b"") == 0
        assert bus.statistics().published == 1


def noise(size: int) -> bytes:
    """Return bytes that nothing makes smaller."""
    return random.Random(1).randbytes(size)
