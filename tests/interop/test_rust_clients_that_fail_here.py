"""Rust clients at a bus of t2bus that break, leave, lag or ask for too much: the bus and the others go on."""

from __future__ import annotations

import contextlib
import logging
import random
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
import trio

import t2bus
from bus_helpers import wait_until
from interop.helpers import Peers, Rust
from interop.protocols import DEEP, HEAVY, ONE_AND_TWO, Add, Hello, Sum
from interop.raw import frame, open_raw_client, payload

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE = 5
"""Seconds; far less than the time-outs that would answer for a peer that has gone."""


async def is_well(here: Peers, client: t2bus.Client) -> bool:
    """Try whether a publication and a request between here and Rust come through."""
    async with here.open("serve", "answer", "well", 0), client.subscribe(Hello, "well") as messages:
        assert await here.run("pub", "hello", "well", '"well"') == [{"recipients": 1}]
        assert await messages.receive() == t2bus.Received("hello/well", Hello("well"))
        return await client.request("well", Add(1, 2)) == Sum(3)


# --- malformed


async def test_a_malformed_payload_from_rust(here: Peers, client: t2bus.Client) -> None:
    """A payload from Rust that is no message of the class costs a subscriber here that one item."""
    async with client.subscribe(Hello, "x") as messages:
        await here.run("pub-bytes", "hello/x", "ff")
        await here.run("pub", "hello", "x", '"next"')
        with pytest.raises(t2bus.MalformedMessage):
            await messages.receive()
        assert (await messages.receive()).body == Hello("next")


async def test_a_malformed_payload_to_rust(here: Peers, client: t2bus.Client) -> None:
    """A payload that ends a Rust client's subscription leaves other subscribers theirs."""
    async with here.open("sub", "hello", "x", 0) as typed, here.open("sub-bytes", "hello/x", 2) as raw:
        assert await client.publish_bytes("hello/x", b"\xff") == 2
        assert await typed.event() == {"end": True}
        await client.publish("x", Hello("next"))
        assert [(await raw.event())["hex"] for _ in range(2)] == ["ff", cbor2.dumps("next").hex()]
    assert await is_well(here, client)


async def test_a_payload_that_is_not_compressed_as_it_says(here: Peers, client: t2bus.Client) -> None:
    """A payload that says it is compressed and is not reaches nobody as a message, and the next one is received."""
    async with client.subscribe(Hello, "x") as messages, open_raw_client(here.address) as raw:
        await raw.answer({"Pub": {"topic": "hello/x", "payload": {"data": b"garbage", "is_compressed": True}}})
        await raw.answer({"Pub": {"topic": "hello/x", "payload": payload(cbor2.dumps("next"))}})
        try:
            message = await messages.receive()
        except t2bus.MalformedMessage:
            message = await messages.receive()
        assert message.body == Hello("next")


async def test_what_does_not_unpack_does_not_end_rust(here: Peers) -> None:
    """A payload that says it is compressed and is not does not keep a Rust client from the next one."""
    async with here.open("sub-bytes", "x", 1) as peer, open_raw_client(here.address) as raw:
        await raw.answer({"Pub": {"topic": "x", "payload": {"data": b"garbage", "is_compressed": True}}})
        await raw.answer({"Pub": {"topic": "x", "payload": payload(b"next")}})
        assert await peer.event() == {"topic": "x", "hex": b"next".hex()}


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x10\x00\x01" + bytes(100),
        b"\xff\xff\xff\xff",
        frame({"id": 1}),
        frame({"id": -1, "content": "KeepAlive"}),
        frame({"id": 1, "content": {"Sing": {"topic": "x"}}}),
        frame({"id": 1, "content": {"Sub": {"topic": 1}}}),
        frame({"id": 1, "content": {"Pub": {"topic": "x", "payload": {"data": [256], "is_compressed": False}}}}),
        b"\x00\x00\x00\x02\xa1\xff",
    ],
    ids=["too long", "far too long", "no content", "no id", "unknown", "wrong type", "no byte", "no CBOR"],
)
async def test_a_malformed_frame(here: Peers, bus: t2bus.Bus, client: t2bus.Client, data: bytes) -> None:
    """A frame that is none costs its sender the connection and others nothing."""
    async with here.open("sub", "hello", "x", 1) as bystander:
        async with open_raw_client(here.address) as raw:
            await raw.answer("KeepAlive")
            await raw.send_bytes(data)
            while await raw.receive() is not None:
                pass
        await wait_until(lambda: bus.statistics().connections == 2)
        await client.publish("x", Hello("next"))
        assert await bystander.event() == {"topic": "hello/x", "value": "next"}


# --- frame by frame


@pytest.mark.parametrize(
    ("content", "error", "recipients"),
    [
        ({"Sub": {"topic": "a/**"}}, None, None),
        ({"Unsub": {"topic": "never/subscribed"}}, None, None),
        ({"Srv": {"topic": "a"}}, None, None),
        ({"Unsrv": {"topic": "never/served"}}, None, None),
        ("KeepAlive", None, None),
        ({"Pub": {"topic": "x", "payload": payload(b"\x01\xff")}}, None, 0),
        ({"Pub": {"topic": "x", "payload": {"data": b"\x01\xff", "is_compressed": False}}}, None, 0),
        ({"Pub": {"topic": "x", "payload": payload(b""), "later": [1]}}, None, 0),
        ({"Sub": {"topic": "A"}}, "InvalidTopicString", None),
        ({"Pub": {"topic": "a//b", "payload": payload(b"")}}, "InvalidTopicString", None),
        ({"Srv": {"topic": "a/*"}}, "ClaimWildcardNotSupported", None),
        ({"Req": {"topic": "nobody", "payload": payload(b"")}}, {"ServiceNotFound": "nobody"}, None),
        ({"Rsp": {"req_id": 7, "status": "Ok", "payload": payload(b"")}}, "InvalidRequestId", None),
    ],
    ids=lambda case: str(case)[:40],
)
async def test_every_message_is_acknowledged(here: Peers, content: Any, error: Any, recipients: int | None) -> None:
    """Each message of a Rust client is acknowledged, with the crate's own error if it is refused."""
    async with open_raw_client(here.address) as raw:
        found = await raw.answer(content)
        if isinstance(error, str) and isinstance(found["err"], dict):
            found["err"] = next(iter(found["err"]))
        assert (found["err"], found["num_recipients"]) == (error, recipients)
        assert (await raw.answer("KeepAlive"))["err"] is None


async def test_stop_is_refused(here: Peers, client: t2bus.Client) -> None:
    """A Rust client cannot stop the bus."""
    (answer,) = await here.run("stop")
    assert answer["error"].startswith("Request failed: ")
    assert await is_well(here, client)


# --- who leaves


async def test_a_rust_service_quits(here: Peers, client: t2bus.Client) -> None:
    """When a Rust service ends with a request pending, a requester here gets ``ServiceGone`` at once."""
    async with here.open("serve", "quit", "x", 0):
        with trio.fail_after(AT_ONCE), pytest.raises(t2bus.ServiceGone):
            await client.request("x", Add(1, 2))


async def test_a_rust_service_quits_on_rust(here: Peers) -> None:
    """When a Rust service ends with a request pending, a Rust requester gets an error at once."""
    async with here.open("serve", "quit", "x", 0):
        with trio.fail_after(AT_ONCE):
            (answer,) = await here.run("request", "x", ONE_AND_TWO)
    assert set(answer) == {"error"}


async def test_a_service_here_quits_on_rust(here: Peers, client: t2bus.Client) -> None:
    """When a service here ends with a request pending, a Rust requester gets an error at once."""
    async with client.serve(Add, "x") as requests, here.open("request", "x", ONE_AND_TWO) as peer:
        await requests.receive()
        with trio.fail_after(AT_ONCE):
            await requests.aclose()
            assert set(await peer.event()) == {"error"}


async def test_a_service_here_fails_on_rust(here: Peers, client: t2bus.Client) -> None:
    """When a service here cannot carry a request out, a Rust requester gets an error at once and may ask again."""
    async with client.serve(Add, "x") as requests, here.open("request", "x", ONE_AND_TWO) as peer:
        with trio.fail_after(AT_ONCE):
            await (await requests.receive()).fail("no way")
            assert set(await peer.event()) == {"error"}
        async with here.open("request", "x", ONE_AND_TWO) as another:
            await (await requests.receive()).respond(Sum(3))
            assert await another.event() == {"response": {"value": 3}}


async def test_a_rust_requester_quits(here: Peers, client: t2bus.Client) -> None:
    """When a Rust requester ends, services of either side go on."""
    async with here.open("serve", "late", "x", 0) as service:
        async with here.open("request", "x", ONE_AND_TWO):
            await service.event()
        await service.go_on()
        assert set(await service.event()) <= {"responded", "refused"}
        await service.go_on()
        assert await client.request("x", Add(1, 2)) == Sum(3)
    async with client.serve(Add, "y") as requests:
        async with here.open("request", "y", ONE_AND_TWO):
            request = await requests.receive()
        await request.respond(Sum(3))
        async with here.open("request", "y", ONE_AND_TWO) as peer:
            await (await requests.receive()).respond(Sum(3))
            assert await peer.event() == {"response": {"value": 3}}


async def test_a_requester_here_gives_up(here: Peers, bus: t2bus.Bus, client: t2bus.Client) -> None:
    """A Rust service whose requester here has given up answers into nothing, and the next request for good."""
    async with here.open("serve", "late", "x", 0) as service:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request, "x", Add(1, 2))
            await service.event()
            nursery.cancel_scope.cancel()
        await wait_until(lambda: client.statistics().requests_pending == 0)
        await service.go_on()
        assert set(await service.event()) <= {"responded", "refused"}
        await service.go_on()
        assert await client.request("x", Add(2, 2)) == Sum(4)
        assert bus.statistics().requests_pending == 0


# --- claims


async def test_rust_cannot_claim_what_is_served(here: Peers, client: t2bus.Client) -> None:
    """A Rust claim of a topic that is served here or there is refused, and the service goes on."""
    refusal = "Request failed: Claim topic failed: Already claimed"
    async with client.serve(Add, "x") as requests, here.open("serve", "answer", "y", 0):
        assert await here.refused("serve", "answer", "x", 0) == refusal
        assert await here.refused("serve", "answer", "y", 0) == refusal
        assert await client.request("y", Add(1, 2)) == Sum(3)
        async with here.open("request", "x", ONE_AND_TWO) as peer:
            await (await requests.receive()).respond(Sum(4))
            assert await peer.event() == {"response": {"value": 4}}


async def test_what_rust_serves_cannot_be_claimed(here: Peers, client: t2bus.Client) -> None:
    """A claim from here of a topic that Rust serves raises ``TopicClaimed``, and that service goes on."""
    async with here.open("serve", "answer", "x", 0):
        with pytest.raises(t2bus.TopicClaimed):
            async with client.serve(Add, "x"):
                pass
        assert await client.request("x", Add(1, 2)) == Sum(3)


# --- too much


async def test_a_rust_subscriber_that_does_not_read(
    here: Peers, bus: t2bus.Bus, client: t2bus.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A Rust subscriber that lags is disconnected, the reason is logged, and others miss nothing."""
    caplog.set_level(logging.INFO, "t2bus")
    data = random.Random(1).randbytes(16_384)
    received = 0

    async def take() -> None:
        nonlocal received
        while received < 4096:
            await messages.receive()
            received += 1

    async with client.subscribe_bytes("raw") as messages, open_raw_client(here.address) as lagging:
        await lagging.answer({"Sub": {"topic": "raw"}})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            async with client.open_bytes_publisher("raw") as publisher:
                for _ in range(4096):
                    await publisher.send(data)
        await wait_until(lambda: bus.statistics().connections == 1)
        while await lagging.receive() is not None:
            pass
    assert received == 4096
    assert len([message for message in caplog.messages if "it lags" in message]) == 1
    assert await is_well(here, client)


@pytest.mark.parametrize("subscribed", [DEEP, "/".join("*" * 14), "**/n"], ids=["names", "stars", "any"])
async def test_a_heavy_topic_does_not_end_rust(here: Peers, client: t2bus.Client, subscribed: str) -> None:
    """A topic that the crate's own matcher takes for ever with does not keep a Rust client from the next message."""
    async with here.open("sub", "hello", subscribed, 0) as peer:
        with contextlib.suppress(t2bus.TopicTooBroad):
            await client.publish(HEAVY, Hello("heavy"))
        await client.publish(DEEP, Hello("next"))
        assert await peer.event() == {"topic": f"hello/{DEEP}", "value": "next"}


async def test_a_large_publication_does_not_end_rust(rust: Rust, folder: Path) -> None:
    """A publication that does not fit in a frame of the crate does not keep a Rust client from the next one."""
    data = random.Random(2).randbytes(3 << 19)
    async with (
        t2bus.open_bus(f"unix:{folder}/bus", limits=t2bus.Limits(frame=1 << 21)) as bus,
        bus.open_client() as client,
        client.subscribe_bytes("raw") as messages,
        Peers(rust, bus.addresses[0]).open("sub-bytes", "raw", 1) as peer,
    ):
        for body in (data, b"next"):
            await client.publish_bytes("raw", body)
            assert (await messages.receive()).body == body
        assert await peer.event() == {"topic": "raw", "hex": b"next".hex()}
