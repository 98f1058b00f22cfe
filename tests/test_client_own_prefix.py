"""Topics that begin with the prefix that is put before them: a warning, and a hint where nobody serves."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import trio
from attrs import frozen

import t2bus
from bus_helpers import Add, Note, Site, add

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CHANNEL: trio.MemorySendChannel[Any] = trio.open_memory_channel[Any](10)[0]


async def ignore(_: object) -> None:
    await trio.lowlevel.checkpoint()


async def publish(client: t2bus.Client, topic: str) -> None:
    await client.publish(topic, Note("hello"))


async def open_publisher(client: t2bus.Client, topic: str) -> None:
    async with client.open_publisher(Note, topic):
        pass


async def subscribe(client: t2bus.Client, topic: str) -> None:
    async with client.subscribe(Note, topic):
        pass


async def subscribe_into(client: t2bus.Client, topic: str) -> None:
    async with client.subscribe_into(Note, topic, CHANNEL):
        pass


async def subscribe_with(client: t2bus.Client, topic: str) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(client.subscribe_with, Note, topic, ignore)
        nursery.cancel_scope.cancel()


async def request(client: t2bus.Client, topic: str) -> None:
    with pytest.raises(t2bus.ServiceNotFound):
        await client.request(topic, Add(1, 2))


async def serve(client: t2bus.Client, topic: str) -> None:
    async with client.serve(Add, topic):
        pass


async def serve_with(client: t2bus.Client, topic: str) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, topic, add)
        nursery.cancel_scope.cancel()


DOORS: list[Callable[[t2bus.Client, str], Awaitable[None]]] = [
    publish,
    open_publisher,
    subscribe,
    subscribe_into,
    subscribe_with,
    request,
    serve,
    serve_with,
]
each_door = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)


def prefix_of(door: Callable[..., object]) -> str:
    return "add" if door in (request, serve, serve_with) else "note"


@each_door
async def test_each_call_warns_once(memory: Site, door: Callable[[t2bus.Client, str], Awaitable[None]]) -> None:
    """A topic that begins with its own prefix is warned of once, in the line of the program that made the call."""
    prefix = prefix_of(door)
    async with memory.connect() as client:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(3):
                await door(client, f"{prefix}/x")
        [warning] = caught
    text = str(warning.message)
    assert warning.category is UserWarning
    assert text.startswith(f"{door.__name__}('{prefix}/x', ...): the topic begins with '{prefix}', the prefix of ")
    assert f"'{prefix}/{prefix}/x' on the bus" in text
    assert f"'x' is '{prefix}/x' there" in text
    source, first = inspect.getsourcelines(door)
    assert warning.filename == __file__
    assert f"client.{door.__name__}" in source[warning.lineno - first]


@each_door
@pytest.mark.parametrize("topic", ["", "x", "{}s/x", "{}_x", "x/{}", "*", "**"])
async def test_other_topics_are_no_mistake(
    memory: Site, door: Callable[[t2bus.Client, str], Awaitable[None]], topic: str
) -> None:
    """A topic that only looks alike, or has the prefix elsewhere, warns of nothing."""
    if "*" in topic and door in (request, serve, serve_with):
        topic = "x"
    async with memory.connect() as client:
        await door(client, topic.format(prefix_of(door)))


async def test_the_prefix_alone_is_a_mistake_too(memory: Site) -> None:
    """Who means the prefix alone writes ``""``, and the warning says so."""
    async with memory.connect() as client:
        with pytest.warns(UserWarning, match="'' is 'note' there"):
            await client.publish("note", Note("hello"))


@frozen
class Deep(t2bus.PublishProtocol, prefix="lab/oven"):
    number: int = 0


async def test_a_prefix_of_several_fragments(memory: Site) -> None:
    """A prefix counts as a whole: its first fragment alone is no mistake."""
    async with memory.connect() as client:
        await client.publish("lab/x", Deep())
        with pytest.warns(UserWarning, match="'lab/oven/lab/oven/x' on the bus"):
            await client.publish("lab/oven/x", Deep())


async def test_calls_and_protocols_warn_apart(memory: Site) -> None:
    """Each call warns for each protocol, and so does another client."""
    async with memory.connect() as client, memory.connect() as other:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                await publish(client, "note/x")
                await subscribe(client, "note/x")
                await publish(other, "note/y")
        assert len(caught) == 3


async def test_nobody_serves_a_doubled_topic(memory: Site) -> None:
    """``ServiceNotFound`` says that the topic begins with its own prefix."""
    async with memory.connect() as client, client.serve(Add, "x"):
        with (
            pytest.warns(UserWarning, match="add/add/x"),
            pytest.raises(
                t2bus.ServiceNotFound, match=r"'add/add/x'.*; the topic begins with 'add', .*'x' is 'add/x' there"
            ),
        ):
            await client.request("add/x", Add(1, 2))
        with pytest.raises(t2bus.ServiceNotFound) as caught:
            await client.request("y", Add(1, 2))
        assert "begins" not in str(caught.value)


async def test_a_task_of_its_own_warns_all_the_same(memory: Site) -> None:
    """A call that a nursery starts warns, though no line of the program is on its stack."""
    async with memory.connect() as client:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(client.publish, "note/x", Note("hello"))
    [warning] = caught
    assert "note/note/x" in str(warning.message)
