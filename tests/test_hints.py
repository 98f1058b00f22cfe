"""Arguments that are not what a call takes: it raises at once, and says what to write."""

from __future__ import annotations

from collections import UserDict
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Add, Note, Site, Sum, add
from t2bus.testing import memory_bus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def sent(_: object) -> int:
    """Handle, as a function without ``async``."""
    return 5


async def enter(manager: Any) -> None:
    async with manager:
        raise AssertionError("it was entered")


TYPED: list[tuple[Callable[[Any], Awaitable[object]], str]] = [
    (lambda it: it.publish("x", Note), "Note is a class: publish an instance, Note(...)"),
    (lambda it: it.publish(Note("x"), "x"), "the topic comes first: publish(topic, Note(...))"),
    (lambda it: it.publish("x", Add(1, 2)), "Add is not a t2bus.PublishProtocol but a request: call request()"),
    (lambda it: it.publish("x", b"x"), "bytes have no class and no prefix: call publish_bytes(), with the full topic"),
    (lambda it: it.publish("x", 5), "int is not a t2bus.PublishProtocol: derive its class from it, with a prefix"),
    (lambda it: it.request("x", Add), "Add is a class: request an instance, Add(...)"),
    (lambda it: it.request(Add(1, 2), "x"), "the topic comes first: request(topic, Add(...))"),
    (lambda it: it.request("x", Note("x")), "Note is not a t2bus.RequestProtocol, as it is published: call publish()"),
    (lambda it: enter(it.subscribe(Note("x"), "x")), "name the class Note, not an instance: subscribe(Note, topic)"),
    (lambda it: enter(it.subscribe("x", Note)), "the class comes first: subscribe(Note, topic)"),
    (lambda it: enter(it.subscribe(Add, "x")), "Add is not a t2bus.PublishProtocol but a request: call serve()"),
    (
        lambda it: enter(it.serve(Note, "x")),
        "Note is not a t2bus.RequestProtocol, as it is published: call subscribe()",
    ),
    (lambda it: it.serve_with("x", Add, add), "the class comes first: serve_with(Add, topic)"),
    (
        lambda it: it.subscribe_with(Add, "x", add),
        "Add is not a t2bus.PublishProtocol but a request: call serve_with()",
    ),
    (lambda it: enter(it.open_publisher(Add, "x")), "Add is not a t2bus.PublishProtocol but a request: call request()"),
]

TOPICS: list[Callable[[Any], Awaitable[object]]] = [
    lambda it: it.publish_bytes([], b""),
    lambda it: it.request_bytes([], b""),
    lambda it: enter(it.open_bytes_publisher([])),
    lambda it: enter(it.subscribe_bytes([])),
    lambda it: enter(it.serve_bytes([])),
]

HANDLERS: list[tuple[Callable[[Any], object], str]] = [
    (lambda it: it.serve_with(Add, "x", 5), "the handler has to be a function, not of type int"),
    (lambda it: it.serve_bytes_with("x", None), "the handler has to be a function, not of type NoneType"),
    (
        lambda it: it.serve_with(Add, "x", add(Add(1, 2))),
        "the handler is a coroutine: pass the function itself, without calling it",
    ),
    (lambda it: it.subscribe_with(Note, "x", 5), "the handler has to be a function, not of type int"),
    (lambda it: it.subscribe_bytes_with("x", "x"), "the handler has to be a function, not of type str"),
    (lambda it: it.subscribe_with(Note, "x", add, on_lag=5), "the on_lag has to be a function, not of type int"),
    (
        lambda it: it.subscribe_bytes_with("x", add, on_malformed=5),
        "the on_malformed has to be a function, not of type int",
    ),
    (lambda it: it.subscribe_into(Note, "x", None), "NoneType has no send: "),
    (lambda it: it.subscribe_bytes_into("x", trio.open_memory_channel(1)[1]), "MemoryReceiveChannel has no send: "),
]

OPTIONS: list[tuple[Callable[[], object], str]] = [
    (lambda: open_client(reconnect=True), "reconnect cannot be of type bool: write reconnect=t2bus.Reconnect()"),
    (lambda: open_client(limits={}), "limits cannot be of type dict: write limits=t2bus.Limits(...)"),
    (lambda: open_client(name=5), 'name cannot be of type int: write name="oven"'),
    (lambda: open_client(tls="ca.pem"), "tls cannot be of type str: write tls=t2bus.tls.client_context(ca=..., "),
    (lambda: t2bus.open_client(5), "a bus is at an address, a Trio stream, or what an "),  # type: ignore[arg-type]
    (lambda: open_bus(limits={}), "limits cannot be of type dict: write limits=t2bus.Limits(...)"),
    (lambda: open_bus(access={"a": "b"}), 'access cannot be of type dict: write access="access.toml"'),
    (lambda: open_bus(tls="ca.pem"), "tls cannot be of type str: write tls=t2bus.tls.server_context(ca=..., "),
]


def open_client(**options: Any) -> object:
    return t2bus.open_client("unix:x", **options)


def open_bus(**options: Any) -> object:
    return t2bus.open_bus("tcp:127.0.0.1:0", **options)


async def is_refused(kind: type[Exception], text: str, call: Callable[[], Awaitable[object]]) -> None:
    """See that a call raises this before anything else runs."""
    with trio.fail_after(5), pytest.raises(kind) as caught:
        await call()
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(("call", "text"), TYPED)
async def test_a_typed_call_says_what_to_write(
    memory: Site, call: Callable[[Any], Awaitable[object]], text: str
) -> None:
    """Who swaps two arguments, or has the class and the instance mixed up, is told so; the client goes on."""
    async with memory.connect() as client:
        await is_refused(TypeError, text, lambda: call(client))
        assert await client.publish("x", Note("x")) == 0


@pytest.mark.parametrize("call", TOPICS)
async def test_a_topic_is_text(memory: Site, call: Callable[[Any], Awaitable[object]]) -> None:
    """What is no text is refused with its type, also where it could be no key."""
    async with memory.connect() as client:
        await is_refused(TypeError, "a topic is a str, not list", lambda: call(client))


@pytest.mark.parametrize(("call", "text"), HANDLERS)
async def test_what_is_to_be_called_or_sent_to_is_looked_at(
    memory: Site, call: Callable[[Any], object], text: str
) -> None:
    """A handler that is no function, or a channel without ``send``, is refused by the call that is given it."""
    async with memory.connect() as client:
        with pytest.raises(TypeError) as caught:
            call(client)
        assert str(caught.value).startswith(text)
        assert client.statistics().subscriptions == client.statistics().services == 0


@pytest.mark.parametrize(("opening", "text"), OPTIONS)
async def test_an_option_of_another_type_is_refused(opening: Callable[[], object], text: str) -> None:
    """Opening a client or a bus names the option and what to write for it."""
    await is_refused(TypeError, text, lambda: enter(opening()))


async def test_a_client_of_the_process_has_limits_of_their_type() -> None:
    """So does opening one in the process of the bus."""
    async with memory_bus() as bus:
        text = "limits cannot be of type dict: write limits=t2bus.Limits(...)"
        await is_refused(TypeError, text, lambda: enter(bus.open_client(limits={})))  # type: ignore[arg-type]


# --- handlers without async


async def test_a_service_names_a_handler_without_async(memory: Site) -> None:
    """The requester reads which function it is and what to write; the service goes on."""
    async with memory.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, "x", sent)
        for _ in range(2):
            with pytest.raises(t2bus.RemoteError) as caught:
                await client.request("x", Add(1, 2))
            text = "TypeError: the handler sent returned int and not a coroutine: write `async def sent`"
            assert str(caught.value) == text
        nursery.cancel_scope.cancel()


async def test_a_subscription_names_a_handler_without_async(memory: Site) -> None:
    """The call that was given it raises that with the first message."""
    async with memory.connect() as client:
        with pytest.RaisesGroup(pytest.RaisesExc(TypeError, match="write `async def sent`")):
            async with trio.open_nursery() as nursery:
                await nursery.start(client.subscribe_with, Note, "x", sent)
                await client.publish("x", Note("x"))


async def test_a_function_that_returns_a_coroutine_is_a_handler(memory: Site) -> None:
    """Whatever returns something to be awaited will do."""
    async with memory.connect() as client, trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, "x", lambda request: Later(request))  # noqa: PLW0108
        assert await client.request("x", Add(1, 2)) == Sum(3)
        nursery.cancel_scope.cancel()


class Later:
    """Something to be awaited that is no coroutine."""

    def __init__(self, request: Add) -> None:
        self.request = request

    def __await__(self) -> Any:
        return add(self.request).__await__()


# --- headers

WRONG_HEADERS: list[tuple[Any, type[Exception], str]] = [
    ("abc", TypeError, "headers map text to text, and str maps nothing: write headers={'key': 'value'}"),
    ("", TypeError, "headers map text to text, and str maps nothing"),
    ([], TypeError, "headers map text to text, and list maps nothing"),
    (["ab"], TypeError, "headers map text to text, and list maps nothing"),
    (5, TypeError, "headers map text to text, and int maps nothing"),
    ({1: "x"}, TypeError, "headers map text to text"),
    ({"a": None}, TypeError, "headers map text to text"),
    ({"a": "\ud800"}, t2bus.MalformedMessage, "the header 'a' has a lone surrogate, which cannot travel"),
    ({"\ud800": "a"}, t2bus.MalformedMessage, r"the header '\ud800' has a lone surrogate, which cannot travel"),
]


@pytest.mark.parametrize(("headers", "kind", "text"), WRONG_HEADERS)
async def test_headers_are_text_to_text(memory: Site, headers: Any, kind: type[Exception], text: str) -> None:
    """What is no mapping of text to text is refused by everything that sends; the client goes on."""
    async with memory.connect() as client, client.open_publisher(Note, "x") as publisher:
        await is_refused(kind, text, lambda: client.publish("x", Note(""), headers=headers))
        await is_refused(kind, text, lambda: client.request("x", Add(1, 2), headers=headers))
        await is_refused(kind, text, lambda: publisher.send(Note(""), headers=headers))
        await is_refused(kind, text, lambda: publisher.send_batch([Note("")], headers=headers))
        assert await client.publish("x", Note("")) == 0


@pytest.mark.parametrize("headers", [{}, {"k": "v"}, UserDict({"k": "v"})])
async def test_any_mapping_will_do(memory: Site, headers: Any) -> None:
    """Headers are copied, and none are none."""
    async with memory.connect() as client, client.subscribe(Note, "x") as notes:
        await client.publish("x", Note(""), headers=headers)
        assert (await notes.receive()).headers == dict(headers)
