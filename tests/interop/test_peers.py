"""The peers at the server of their own crate: what they write there is what the other tests take for granted."""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING, Any

import pytest

from interop.protocols import BODIES, ONE_AND_TWO, describe, kind_of

if TYPE_CHECKING:
    import t2bus
    from interop.helpers import Peers

MISSING = "Request failed: Service not found: add/x"
CLAIMED = "Request failed: Claim topic failed: Already claimed"


@pytest.mark.parametrize(("body", "json"), BODIES, ids=describe)
async def test_publish_and_subscribe(there: Peers, body: t2bus.PublishProtocol, json: Any) -> None:
    """A message of each shape comes through as the JSON that it was."""
    kind = kind_of(body)
    async with there.open("sub", kind, "*", 2) as subscriber:
        assert await there.run("pub", kind, "x", dumps(json), 2) == [{"recipients": 1}] * 2
        assert await subscriber.rest() == [{"topic": f"{kind}/x", "value": json}] * 2
        assert await subscriber.end() == 0


async def test_bytes(there: Peers) -> None:
    """Bytes come through, compressed on their way or not."""
    async with there.open("sub-bytes", "**", 2) as subscriber:
        for text in ("00ff", "0123456789abcdef" * 1000):
            await there.run("pub-bytes", "raw/x", text)
            assert await subscriber.event() == {"topic": "raw/x", "hex": text}


async def test_a_malformed_payload_ends_a_subscription(there: Peers) -> None:
    """A typed subscription of the crate ends with the first payload that it cannot read."""
    async with there.open("sub", "hello", "x", 0) as subscriber:
        await there.run("pub-bytes", "hello/x", "ff")
        assert await subscriber.rest() == [{"end": True}]


@pytest.mark.parametrize("window", [1, 256])
async def test_flood_and_count(there: Peers, window: int) -> None:
    """Numbered messages are counted, and found in order."""
    async with there.open("count-sub", "x", 10_000) as subscriber:
        assert await there.run("flood", "x", 10_000, window) == [{"published": 10_000, "recipients": 10_000}]
        assert await subscriber.rest() == [{"received": 10_000, "in_order": True}]


async def test_serve_and_request(there: Peers) -> None:
    """Additions are asked for and made."""
    async with there.open("serve", "answer", "x", 2) as service:
        assert await there.run("live", "x", 0) == [{"response": {"value": 3}}] * 2
        asked = [{"topic": "add/x", "request": {"left": 1, "right": 2}}, {"responded": True}]
        assert await service.rest() == asked * 2
    assert await there.run("request", "x", ONE_AND_TWO) == [{"error": MISSING}]


async def test_a_late_answer(there: Peers) -> None:
    """A service that is late answers when it is told to, and is refused when nobody waits any more."""
    async with there.open("serve", "late", "x", 0) as service, there.open("request", "x", ONE_AND_TWO) as requester:
        await service.event()
        await service.go_on()
        assert await requester.event() == {"response": {"value": 3}}
        assert await service.event() == {"responded": True}


async def test_the_end_of_a_service(there: Peers) -> None:
    """A service may end and its peer stay."""
    async with there.open("serve", "unserve", "x", 1) as service:
        await there.run("request", "x", ONE_AND_TWO)
        assert (await service.event(), await service.event())[1] == {"responded": True}
        assert await service.event() == {"unserved": True}
        assert await there.run("request", "x", ONE_AND_TWO) == [{"error": MISSING}]
        assert await service.end() == 0


async def test_a_service_that_quits(there: Peers) -> None:
    """A service may end as if it had crashed, with a request that is not answered."""
    async with there.open("serve", "quit", "x", 0) as service, there.open("request", "x", ONE_AND_TWO):
        assert len(await service.rest()) == 1
        assert await service.end() == 0


async def test_a_claim_that_is_refused(there: Peers) -> None:
    """A second claim is refused, and the first service goes on."""
    async with there.open("serve", "answer", "x", 0):
        assert await there.refused("serve", "answer", "x", 0) == CLAIMED
        assert await there.run("request", "x", ONE_AND_TWO) == [{"response": {"value": 3}}]


async def test_a_service_that_is_silent(there: Peers) -> None:
    """A service may take requests and never answer them."""
    async with there.open("serve", "silent", "x", 0) as service, there.open("request", "x", ONE_AND_TWO):
        assert await service.event() == {"topic": "add/x", "request": {"left": 1, "right": 2}}


async def test_stop(there: Peers) -> None:
    """The crate's server stops when it is asked to, before or after it has said so."""
    (answer,) = await there.run("stop")
    assert answer in ({"stopped": True}, {"error": "Request failed: Channel closed while awaiting ACK"})


async def test_the_tool(there: Peers) -> None:
    """The tool publishes, prints and lists."""
    async with there.open_tool("sub", "**") as printer, there.open_tool("ls", "**") as lister:
        while (await there.run("pub", "hello", "x", '"go"'))[0]["recipients"] < 2:
            pass
        assert await there.run_tool("pub", "string/x", "text") == ""
        assert await printer.lines.until("string/") == "string/x: text"
        assert [await lister.line() for _ in range(2)] == ["hello/x", "string/x"]
