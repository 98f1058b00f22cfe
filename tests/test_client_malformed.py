"""What is said of a message that cannot be read: where it came from, and in the log of whoever runs a service."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Note, Site, Sum, add

if TYPE_CHECKING:
    from collections.abc import Callable

WRONG = b"\xa1\x64text\x05"
"""A Note whose text is a number."""


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "t2bus.client"]


async def test_a_message_that_cannot_be_read_has_its_topic_and_headers(site: Site) -> None:
    """A recorder on a wildcard learns on which topic, and with which headers, the message came."""
    async with site.connect() as client, client.subscribe(Note, "**") as notes:
        await client.publish_bytes("note/lab7/*", WRONG, headers={"serial": "4711"})
        with pytest.raises(t2bus.MalformedMessage, match=r"^Note\.text: expected str, got int$") as caught:
            await notes.receive()
    assert (caught.value.topic, caught.value.headers) == ("note/lab7/*", {"serial": "4711"})


async def test_each_message_of_a_run_has_its_topic(site: Site) -> None:
    """Messages that travel together are told apart when they cannot be read."""
    async with site.connect() as client, client.subscribe(Note, "**") as notes:
        for topic in ("note/a", "note/b"):
            async with client.open_bytes_publisher(topic) as publisher:
                for _ in range(3):
                    await publisher.send(WRONG)
        topics = []
        for _ in range(6):
            with pytest.raises(t2bus.MalformedMessage) as caught:
                await notes.receive()
            topics.append((caught.value.topic, dict(caught.value.headers)))
    assert topics == [("note/a", {})] * 3 + [("note/b", {})] * 3


async def test_an_error_in_a_channel_has_its_topic(memory: Site) -> None:
    """What ``subscribe_into`` sends in the place of a message says which it was."""
    send_channel, receive_channel = trio.open_memory_channel[Any](1)
    async with memory.connect() as client, client.subscribe_into(Note, "*", send_channel):
        await client.publish_bytes("note/a", WRONG, headers={"k": "v"})
        error = await receive_channel.receive()
    assert (type(error), error.topic, error.headers) == (t2bus.MalformedMessage, "note/a", {"k": "v"})


async def test_an_answer_that_cannot_be_read_has_its_topic_and_headers(site: Site) -> None:
    """A requester learns the same of the answer to its request."""
    async with site.connect() as client, client.serve_bytes("add/x") as requests, trio.open_nursery() as nursery:

        async def answer() -> None:
            await (await requests.receive()).respond(b"\xff", headers={"firmware": "7"})

        nursery.start_soon(answer)
        with pytest.raises(t2bus.MalformedMessage, match=r"^Sum: ") as caught:
            await client.request("x", Add(1, 2))
    assert (caught.value.topic, caught.value.headers) == ("add/x", {"firmware": "7"})


async def test_a_request_that_cannot_be_read_has_its_topic(site: Site) -> None:
    """A requester whose request is refused as unreadable learns which it was."""
    async with site.connect() as client, client.serve(Add, "x") as requests, trio.open_nursery() as nursery:
        nursery.start_soon(requests.receive)
        with pytest.raises(t2bus.MalformedMessage) as caught:
            await client.request_bytes("add/x", b"\xff")
        nursery.cancel_scope.cancel()
    assert caught.value.topic == "add/x"


async def test_a_message_that_was_never_sent_has_no_topic(memory: Site) -> None:
    """What the sender is refused was on no topic."""
    async with memory.connect() as client:
        with pytest.raises(t2bus.MalformedMessage) as caught:
            await client.publish("x", Note(5))  # type: ignore[arg-type]
    assert (caught.value.topic, dict(caught.value.headers)) == ("", {})


@pytest.mark.parametrize("headers", [{}, {"k": "v"}], ids=["without headers", "with headers"])
async def test_the_error_can_be_pickled(memory: Site, headers: dict[str, str]) -> None:
    """Another process may be told of it, topic and headers included."""
    async with memory.connect() as client, client.subscribe(Note, "x") as notes:
        await client.publish_bytes("note/x", WRONG, headers=headers)
        with pytest.raises(t2bus.MalformedMessage) as caught:
            await notes.receive()
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (str(copied), copied.topic, dict(copied.headers)) == (str(caught.value), "note/x", headers)


async def ask_badly(client: t2bus.Client, times: int) -> None:
    for _ in range(times):
        with pytest.raises(t2bus.MalformedMessage):
            await client.request_bytes("add/x", b"\xff")


async def test_a_service_logs_what_it_cannot_read(memory: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever runs the service reads in its log on which topic a request came, and what is wrong with it."""
    caplog.set_level(logging.WARNING)
    async with memory.connect() as server, memory.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(server.serve_with, Add, "x", add)
        with pytest.raises(t2bus.MalformedMessage):
            await client.request_bytes("add/x", b"\xa1\x64left\x01")
        nursery.cancel_scope.cancel()
    assert warnings(caplog) == ["a request of add/x cannot be read: Add.right: is missing (1 so far)"]


async def test_a_service_logs_that_once_a_second(
    clock: trio.testing.MockClock, memory: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """A requester that sends nothing else fills no log, and the next line says how many there were."""
    caplog.set_level(logging.WARNING)
    async with memory.connect() as server, memory.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(server.serve_with, Add, "x", add)
        await ask_badly(client, 10)
        assert len(warnings(caplog)) == 1
        await trio.sleep(1)
        await ask_badly(client, 10)
        nursery.cancel_scope.cancel()
    assert [line.rpartition("(")[2] for line in warnings(caplog)] == ["1 so far)", "11 so far)"]


@pytest.mark.parametrize("serve", ["serve", "serve_with"])
async def test_a_service_counts_what_it_cannot_read(memory: Site, serve: str) -> None:
    """The statistics of the client that serves count them, and those of the requester do not."""
    async with memory.connect() as server, memory.connect() as client, trio.open_nursery() as nursery:

        async def answer(*, task_status: trio.TaskStatus[None]) -> None:
            async with server.serve(Add, "x") as requests:
                task_status.started()
                async for request in requests:
                    await request.respond(Sum(request.body.left + request.body.right))

        start: dict[str, Callable[..., Any]] = {"serve": answer, "serve_with": server.serve_with}
        await nursery.start(start[serve], *([] if serve == "serve" else [Add, "x", add]))
        await ask_badly(client, 3)
        assert await client.request("x", Add(1, 2)) == Sum(3)
        assert server.statistics().malformed_requests == 3
        assert client.statistics().malformed_requests == 0
        nursery.cancel_scope.cancel()
