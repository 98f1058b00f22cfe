"""Programs as their users write them, for type checkers: none of this runs, ``nox -s types`` reads it.

mypy and pyright both read it strictly. ``assert_type`` says what a checker infers. A line that ends in ``type: ignore``
is a mistake that both have to find: where one does not, it reports the comment as unused.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from functools import partial
from typing import Any, Generic, TypeVar, assert_type

import trio
from attrs import frozen

import t2bus

T = TypeVar("T")


@frozen
class Reading:
    celsius: float


@frozen
class Calibrated(Reading):
    at: float


@frozen
class Measure(t2bus.RequestProtocol[Calibrated], prefix="measure"):
    samples: int = 1


@frozen
class Count(t2bus.RequestProtocol[int], prefix="count"):
    pass


@frozen
class Stop(t2bus.RequestProtocol[None], prefix="stop"):
    pass


@frozen
class Find(t2bus.RequestProtocol[list[str] | None], prefix="find"):
    name: str


@frozen
class Setpoint(t2bus.PublishProtocol, prefix="setpoint"):
    celsius: float


@frozen
class Event(t2bus.PublishProtocol, Generic[T], prefix="event"):
    data: T


def take(reading: Reading) -> None:
    print(reading.celsius)


async def request_where_more_is_taken(client: t2bus.Client) -> object:
    """What takes an object, a base class, a union or a wider number takes a response."""
    print(await client.request("oven", Measure()))
    print(f"{await client.request('oven', Measure())}", repr(await client.request("", Stop())))
    take(await client.request("oven", Measure()))
    reading: Reading = await client.request("oven", Measure())
    maybe: Calibrated | None = await client.request("oven", Measure())
    seconds: float = await client.request("", Count())
    names = [*(await client.request("", Find("a")) or [])]
    anything: list[object] = [reading, maybe, seconds, names, await client.request("", Count())]
    anything.append(await client.request("oven", Measure()))
    by_name: dict[str, Reading | int] = {"a": await client.request("oven", Measure())}
    if await client.request("", Count()) > 3:
        return await client.request("oven", Measure())
    return max(await client.request("", Count()), 3), by_name


async def request_gives_the_response_type(client: t2bus.Client) -> None:
    """The response type is that of the class line."""
    assert_type(await client.request("oven", Measure()), Calibrated)
    assert_type(await client.request("", Count()), int)
    assert_type(await client.request("", Find("a")), list[str] | None)
    assert_type((await client.request_received("oven", Measure())).body, Calibrated)
    assert_type((await client.request("oven", Measure())).celsius, float)


async def request_is_checked(client: t2bus.Client) -> None:
    """A response is not of a narrower type, nor of another."""
    text: str = await client.request("", Count())  # type: ignore[arg-type]
    number: bool = await client.request("", Count())  # type: ignore[arg-type]
    names: list[str] = await client.request("", Find("a"))  # type: ignore[arg-type]
    (await client.request("oven", Measure())).kelvin  # type: ignore[attr-defined] # noqa: B018
    await client.request("oven", Setpoint(1.0))  # type: ignore[arg-type]
    await client.request("oven", Reading(1.0))  # type: ignore[arg-type]
    await client.request("oven", Measure)  # type: ignore[arg-type]
    print(text, number, names)


async def publish_is_checked(client: t2bus.Client) -> None:
    """Publications are instances of protocols, and not requests."""
    assert_type(int(await client.publish("oven", Setpoint(180.0))), int)
    await client.publish("oven", Event(3))
    await client.publish("oven", Measure())  # type: ignore[arg-type]
    await client.publish("oven", Reading(1.0))  # type: ignore[arg-type]
    await client.publish("oven", Setpoint("hot"))  # type: ignore[arg-type]
    async with client.open_publisher(Setpoint, "oven") as publisher:
        await publisher.send(Setpoint(1.0))
        await publisher.send(Event(3))  # type: ignore[arg-type]
    async with client.open_publisher(Event[int], "oven") as events:
        await events.send(Event(3))
        await events.send(Event("hot"))  # type: ignore[arg-type]


async def subscribe_gives_messages(client: t2bus.Client) -> None:
    """What is received is of the class that was subscribed to, its arguments included."""
    async with client.subscribe(Setpoint, "*") as setpoints:
        received = await setpoints.receive()
        assert_type(received, t2bus.Received[Setpoint])
        topic, body = received
        assert_type(topic, str)
        assert_type(body, Setpoint)
        assert_type(received.body.celsius, float)
        wider: trio.abc.ReceiveChannel[t2bus.Received[t2bus.PublishProtocol]] = setpoints
        narrower: t2bus.Subscription[Event[int]] = setpoints  # type: ignore[assignment]
        print(wider, narrower)
    async with client.subscribe(Event[int], "*") as events:
        assert_type((await events.receive()).body, Event[int])
        assert_type((await events.receive()).body.data, int)
    async with client.subscribe_bytes("**") as everything:
        assert_type((await everything.receive()).body, bytes)
    async with client.subscribe(Measure, "*"):  # type: ignore[type-var]
        pass


async def count(_request: Count) -> int:
    await trio.lowlevel.checkpoint()
    return 3


async def serve_gives_requests(client: t2bus.Client) -> None:
    """Requests are of the class that is served, and handlers take it."""
    async with client.serve(Count, "") as requests:
        assert_type((await requests.receive()).body, Count)
    async with trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Count, "", count)
        nursery.start_soon(client.request, "", Count())


async def serve_takes_a_handler_of_its_requests(client: t2bus.Client) -> None:
    """A handler of other requests is none of these."""
    await client.serve_with(Measure, "", count)  # type: ignore[arg-type]


async def count_whole(request: t2bus.Request[Count, Any]) -> None:
    await request.respond(3, headers={"unit": "pieces"})


async def handlers_take_the_body_or_the_whole(client: t2bus.Client, whole: bool) -> None:
    """Whether a handler is given the body or the whole is said by ``whole=``, and it has to be the one or the other."""
    if whole:
        await client.serve_with(Count, "", count_whole, whole=True, finish=True)
    await client.serve_with(Count, "", count_whole)  # type: ignore[arg-type]


async def handle(setpoint: Setpoint) -> None:
    await trio.lowlevel.checkpoint()
    print(setpoint)


async def handle_whole(received: t2bus.Received[Setpoint]) -> None:
    await trio.lowlevel.checkpoint()
    print(received.topic, received.body.celsius)


async def subscriptions_have_handlers(client: t2bus.Client, nursery: trio.Nursery) -> None:
    """A handler of messages is checked like one of requests, and what is called for gaps may return anything."""
    lags: list[t2bus.Lagged] = []
    await nursery.start(client.subscribe_with, Setpoint, "*", handle)
    await nursery.start(partial(client.subscribe_with, Setpoint, "*", handle_whole, whole=True, on_lag=lags.append))
    await client.subscribe_with(Setpoint, "*", handle, on_malformed=malformed, latest=True, messages=10)


async def handlers_of_messages_are_checked(client: t2bus.Client) -> None:
    """A handler of whole messages is none of bodies."""
    await client.subscribe_with(Setpoint, "*", handle_whole)  # type: ignore[arg-type]


async def items_are_told_apart(client: t2bus.Client) -> None:
    """What ``items()`` gives is a message, a gap, or one that cannot be read."""
    async with client.subscribe(Setpoint, "*", latest=True) as setpoints:
        assert_type(setpoints.receive_nowait(), t2bus.Received[Setpoint])
        async for item in setpoints.items():
            if isinstance(item, t2bus.Lagged):
                assert_type(item.dropped, int | None)
            elif isinstance(item, t2bus.MalformedMessage):
                assert_type(item.topic, str)
            else:
                assert_type(item, t2bus.Received[Setpoint])


async def serve_takes_requests(client: t2bus.Client) -> None:
    """What is published cannot be served."""
    async with client.serve(Setpoint, ""):  # type: ignore[type-var]
        pass


class Version:
    def __init__(self, text: str) -> None:
        self.text = text


def register() -> None:
    """What encode makes is what decode takes, and of the type that travels."""
    t2bus.register_scalar(Version, str, Version)
    t2bus.register_scalar(complex, lambda z: (z.real, z.imag), lambda pair: complex(*pair), wire=tuple[float, float])
    t2bus.register_scalar(Version, len, Version)  # type: ignore[arg-type]
    t2bus.register_scalar(Version, str, Version, wire=int)  # type: ignore[arg-type]


def malformed(error: t2bus.MalformedMessage) -> Any:
    """An unreadable message says where it came from."""
    assert_type(error.topic, str)
    return error.headers.get("trace")
