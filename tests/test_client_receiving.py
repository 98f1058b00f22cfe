"""The ways to receive: without waiting, without ending at a gap, and with a handler."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Note, Site, Sum, settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


async def publish_with_troubles(client: t2bus.Client) -> None:
    """Publish one message, one that cannot be read, one that is missing where two wait, and one more."""
    await client.publish("x", Note("one"))
    await client.publish_bytes("note/x", b"\xff", headers={"k": "v"})
    await client.publish("x", Note("dropped"))


TWO = t2bus.Limits(subscription_messages=2)


# --- items


async def next_items(items: AsyncIterator[Any], count: int) -> list[Any]:
    return [await anext(items) for _ in range(count)]


async def test_items_do_not_end_at_a_gap(memory: Site) -> None:
    """``items()`` gives what is missing or cannot be read in its place, and goes on."""
    async with memory.connect(limits=TWO) as client, client.subscribe(Note, "x") as messages:
        await publish_with_troubles(client)
        items = messages.items()
        one, malformed, lagged = await next_items(items, 3)
        assert one == t2bus.Received("note/x", Note("one"))
        assert isinstance(malformed, t2bus.MalformedMessage)
        assert (malformed.topic, malformed.headers) == ("note/x", {"k": "v"})
        assert isinstance(lagged, t2bus.Lagged)
        await client.publish("x", Note("two"))
        assert await anext(items) == t2bus.Received("note/x", Note("two"))


async def test_items_can_be_left_and_begun_again(memory: Site) -> None:
    """Leaving the loop loses nothing, and needs no closing."""
    async with memory.connect() as client, client.subscribe(Note, "x") as messages:
        for text in "abc":
            await client.publish("x", Note(text))
        texts = []
        for _ in range(3):
            async for item in messages.items():
                assert isinstance(item, t2bus.Received)
                texts.append(item.body.text)
                break
        assert texts == ["a", "b", "c"]


async def test_a_cancelled_loop_over_items_loses_nothing(memory: Site) -> None:
    """Cancelled while it waits or as a message comes, ``items()`` leaves that to the next receiver."""
    async with memory.connect() as client, client.subscribe(Note, "x") as messages:
        await client.publish("x", Note("kept"))
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(messages.items())
        assert scope.cancelled_caught
        assert (await messages.receive()).body == Note("kept")


@pytest.mark.parametrize(
    ("end", "error"), [("client", trio.ClosedResourceError), ("bus", trio.BrokenResourceError)], ids=["client", "bus"]
)
async def test_items_end_with_the_connection(memory: Site, end: str, error: type[Exception]) -> None:
    """The end of the connection is no item: it is raised."""
    async with memory.connect() as client, client.subscribe(Note, "x") as messages:
        await client.publish("x", Note("last"))
        await settle()
        await (client.aclose() if end == "client" else memory.bus.aclose())
        items = messages.items()
        assert await anext(items) == t2bus.Received("note/x", Note("last"))
        with pytest.raises(error):
            await anext(items)


# --- without waiting


async def test_receive_nowait_gives_what_has_arrived(site: Site) -> None:
    """``receive_nowait`` gives what is here, in order, and raises ``trio.WouldBlock`` where nothing is."""
    async with site.connect() as client, client.subscribe(Note, "x") as messages:
        with pytest.raises(trio.WouldBlock):
            messages.receive_nowait()
        for text in "ab":
            await client.publish("x", Note(text))
        await settle()
        assert [messages.receive_nowait().body.text for _ in range(2)] == ["a", "b"]
        with pytest.raises(trio.WouldBlock):
            messages.receive_nowait()


async def test_receive_nowait_raises_what_stands_in_the_stream(memory: Site) -> None:
    """Gaps and messages that cannot be read are raised in their places without waiting, too."""
    async with memory.connect(limits=TWO) as client, client.subscribe(Note, "x") as messages:
        await publish_with_troubles(client)
        await settle()
        assert messages.receive_nowait().body == Note("one")
        with pytest.raises(t2bus.MalformedMessage):
            messages.receive_nowait()
        await settle()
        with pytest.raises(t2bus.Lagged):
            messages.receive_nowait()


async def test_receive_nowait_gives_credit_back(memory: Site) -> None:
    """A program that only ever receives without waiting keeps its subscription alive."""
    async with memory.connect(limits=TWO) as client, client.subscribe(Note, "x") as messages:
        for number in range(20):
            await client.publish("x", Note(str(number)))
            await settle()
            assert messages.receive_nowait().body.text == str(number)


async def test_receive_nowait_beside_a_receiver_is_refused(memory: Site) -> None:
    """Two receivers at once are refused, whichever of them waits."""
    async with (
        memory.connect() as client,
        client.subscribe(Note, "x") as messages,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(messages.receive)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            messages.receive_nowait()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["subscription", "service"])
async def test_receive_nowait_after_the_end(memory: Site, kind: str) -> None:
    """Without waiting, an end is told as with it: closed here, or the bus is gone."""
    async with memory.connect() as client:
        opened: Any = client.subscribe(Note, "x") if kind == "subscription" else client.serve(Add, "x")
        async with opened as channel:
            await channel.aclose()
            with pytest.raises(trio.ClosedResourceError):
                channel.receive_nowait()
        opened = client.subscribe(Note, "x") if kind == "subscription" else client.serve(Add, "x")
        async with opened as channel:
            await memory.bus.aclose()
            await settle()
            with pytest.raises(t2bus.Disconnected):
                channel.receive_nowait()


async def test_requests_without_waiting(site: Site) -> None:
    """``receive_nowait`` of a service gives the requests that are here, and answers by itself those it cannot read."""
    async with site.connect() as server, site.connect() as client, server.serve(Add, "x") as requests:
        with pytest.raises(trio.WouldBlock):
            requests.receive_nowait()
        sums: list[Sum] = []

        async def ask(left: int) -> None:
            sums.append(await client.request("x", Add(left, 1)))

        async def ask_nonsense() -> None:
            with pytest.raises(t2bus.MalformedMessage):
                await client.request_bytes("add/x", b"\xff")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_nonsense)
            await settle()
            nursery.start_soon(ask, 1)
            await settle()
            request = requests.receive_nowait()
            with pytest.raises(trio.WouldBlock):
                requests.receive_nowait()
            await request.respond(Sum(request.body.left + request.body.right))
        assert sums == [Sum(2)]


# --- with a handler


async def start(nursery: trio.Nursery, call: Callable[..., Any], *args: Any, **options: Any) -> None:
    await nursery.start(partial(call, *args, **options))


async def test_a_handler_is_given_each_message_in_order(site: Site) -> None:
    """``subscribe_with`` awaits the handler with each body, one after the other."""
    texts: list[str] = []

    async def handler(note: Note) -> None:
        await trio.lowlevel.checkpoint()
        texts.append(note.text)

    async with site.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(client.subscribe_with, Note, "*", handler)
        for number in range(10):
            await client.publish("x", Note(str(number)))
        await settle()
        assert texts == [str(number) for number in range(10)]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("raw", [False, True])
async def test_a_handler_may_be_given_the_whole(memory: Site, raw: bool) -> None:
    """With ``whole=True`` the handler is given topic and headers too."""
    received: list[t2bus.Received[Any]] = []

    async def handler(message: t2bus.Received[Any]) -> None:
        await trio.lowlevel.checkpoint()
        received.append(message)

    async with memory.connect() as client, trio.open_nursery() as nursery:
        if raw:
            await start(nursery, client.subscribe_bytes_with, "note/*", handler, whole=True)
        else:
            await start(nursery, client.subscribe_with, Note, "*", handler, whole=True)
        await client.publish("x", Note("hello"), headers={"k": "v"})
        await settle()
        assert (received[0].topic, received[0].headers) == ("note/x", {"k": "v"})
        assert (received[0].body == Note("hello")) is not raw
        nursery.cancel_scope.cancel()


async def test_a_handler_of_bytes_is_given_payloads(memory: Site) -> None:
    """The raw twin gives payloads as they came."""
    payloads: list[bytes] = []

    async def handler(payload: bytes) -> None:
        await trio.lowlevel.checkpoint()
        payloads.append(payload)

    async with memory.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(client.subscribe_bytes_with, "x/**", handler)
        await client.publish_bytes("x/y", b"raw")
        await settle()
        assert payloads == [b"raw"]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_lag_and_malformed_have_their_handlers(memory: Site, asynchronous: bool) -> None:
    """``on_lag`` and ``on_malformed`` are called in their places, and may be asynchronous."""
    told: list[Any] = []

    async def handler(note: Note) -> None:
        await trio.lowlevel.checkpoint()
        told.append(note.text)

    async def tell(error: Exception) -> None:
        await trio.lowlevel.checkpoint()
        told.append(error)

    tell_any = tell if asynchronous else told.append
    async with memory.connect() as client, trio.open_nursery() as nursery:
        await start(
            nursery, client.subscribe_with, Note, "x", handler, messages=2, on_lag=tell_any, on_malformed=tell_any
        )
        with trio.CancelScope(shield=True):
            await publish_all_at_once(client, [Note("one"), None, Note("dropped")])
            await settle()
            await client.publish("x", Note("two"))
        await settle()
        assert (told[0], told[-1]) == ("one", "two")
        assert {type(error) for error in told[1:-1]} == {t2bus.MalformedMessage, t2bus.Lagged}
        nursery.cancel_scope.cancel()


async def publish_all_at_once(client: t2bus.Client, notes: list[Note | None]) -> None:
    """Publish without letting anybody receive in between; None is a message that cannot be read."""
    async with trio.open_nursery() as nursery:
        for note in notes:
            if note is None:
                nursery.start_soon(client.publish_bytes, "note/x", b"\xff")
            else:
                nursery.start_soon(client.publish, "x", note)
            await trio.lowlevel.checkpoint()


async def publish_for_ever(client: t2bus.Client) -> None:
    """Publish more than anybody takes."""
    while True:
        await publish_all_at_once(client, [Note("a"), Note("b"), Note("c")])


async def test_what_nobody_handles_is_logged(memory: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Without ``on_lag`` and ``on_malformed`` both are logged, once a second, and the handler goes on."""
    texts: list[str] = []
    go_on = trio.Event()

    async def handler(note: Note) -> None:
        texts.append(note.text)
        await go_on.wait()

    caplog.set_level(logging.WARNING, "t2bus.client")
    async with memory.connect() as client, trio.open_nursery() as nursery:
        await start(nursery, client.subscribe_with, Note, "x", handler, messages=3)
        await client.publish("x", Note("one"))
        await settle()
        for _ in range(2):
            await client.publish_bytes("note/x", b"\xff")
        for _ in range(5):
            await client.publish("x", Note("lost"))
        go_on.set()
        await settle()
        await client.publish("x", Note("two"))
        await settle()
        assert (texts[0], texts[-1]) == ("one", "two")
        nursery.cancel_scope.cancel()
    assert caplog.text.count("a message of note/x cannot be read") == 1
    assert caplog.text.count("the handler of note/x fell behind") == 1


@pytest.mark.parametrize("place", ["handler", "on_lag"])
async def test_what_a_handler_raises_leaves_as_it_is(memory: Site, place: str) -> None:
    """What a handler raises, or what is called for a gap, leaves ``subscribe_with`` bare, which has ended then."""

    async def handler(_note: Note) -> None:
        await trio.lowlevel.checkpoint()
        if place == "handler":
            raise KeyError("mine")

    def on_lag(_error: t2bus.Lagged) -> None:
        raise KeyError("mine")

    async with memory.connect() as client, memory.connect() as other, trio.open_nursery() as nursery:
        nursery.start_soon(publish_for_ever, other)
        with pytest.raises(KeyError, match="mine"):
            await client.subscribe_with(Note, "x", handler, messages=1, on_lag=on_lag)
        nursery.cancel_scope.cancel()
        assert client.statistics().subscriptions == 0


async def test_a_handler_sets_the_pace(memory: Site, autojump_clock: trio.testing.MockClock) -> None:
    """A paced publisher waits for a handler that takes its time, and nothing is lost."""
    texts: list[str] = []

    async def handler(note: Note) -> None:
        await trio.sleep(0.1)
        texts.append(note.text)

    async with memory.connect() as client, trio.open_nursery() as nursery:
        await start(nursery, client.subscribe_with, Note, "x", handler, messages=2)
        async with client.open_publisher(Note, "x") as publisher:
            for number in range(10):
                await publisher.send(Note(str(number)))
        await trio.sleep(1)
        assert texts == [str(number) for number in range(10)]
        nursery.cancel_scope.cancel()


async def test_raw_subscriptions_into_one_channel(memory: Site) -> None:
    """``subscribe_bytes_into`` sends payloads as they came into a channel of the program's own."""
    send_channel, receive_channel = trio.open_memory_channel[Any](0)
    async with (
        memory.connect() as client,
        client.subscribe_bytes_into("a/*", send_channel),
        client.subscribe_bytes_into("b/*", send_channel),
    ):
        for topic in ("a/x", "b/x"):
            await client.publish_bytes(topic, b"raw")
            assert await receive_channel.receive() == t2bus.Received(topic, b"raw")
        await memory.bus.aclose()
        assert {type(await receive_channel.receive()) for _ in range(2)} == {t2bus.Disconnected}
