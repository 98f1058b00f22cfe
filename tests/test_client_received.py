"""What a subscription gives: a pair with headers."""

from __future__ import annotations

import copy
import pickle

import pytest
import trio
from attrs import frozen

import t2bus


@frozen
class Hello(t2bus.PublishProtocol, prefix="hello"):
    text: str


@frozen
class HelloRequest(t2bus.RequestProtocol[str], prefix="hello"):
    name: str


RECEIVED = t2bus.Received("hello/alice", "Hello", {"k": "v"})


def test_it_is_a_pair() -> None:
    """A received message unpacks as its topic and its body."""
    topic, body = RECEIVED
    assert (topic, body) == (RECEIVED.topic, RECEIVED.body) == ("hello/alice", "Hello")


def test_it_matches_by_position() -> None:
    """A pattern takes the topic and the body of a received message by their positions."""
    match RECEIVED:
        case t2bus.Received(topic, body):
            assert (topic, body) == ("hello/alice", "Hello")


@pytest.mark.parametrize(
    "other",
    [
        t2bus.Received("hello/bob", "Hello", {"k": "v"}),
        t2bus.Received("hello/alice", "Bye", {"k": "v"}),
        t2bus.Received("hello/alice", "Hello"),
    ],
)
def test_all_of_it_takes_part_in_equality(other: object) -> None:
    """Two received messages are equal if topic, body and headers are."""
    assert other != RECEIVED
    assert not other == RECEIVED  # noqa: SIM201 -- both operators are its own


def test_it_equals_the_pair_that_it_unpacks_as() -> None:
    """A received message equals the bare pair of its topic and body, whatever its headers."""
    assert RECEIVED == ("hello/alice", "Hello")
    assert RECEIVED != ("hello/bob", "Hello")


def test_equal_ones_have_one_hash() -> None:
    """Equal received messages are one in a set."""
    assert {RECEIVED, t2bus.Received("hello/alice", "Hello", {"k": "v"})} == {RECEIVED}


COPIES = [copy.copy, copy.deepcopy, lambda received: pickle.loads(pickle.dumps(received))]


@pytest.mark.parametrize("again", COPIES)
@pytest.mark.parametrize("received", [RECEIVED, t2bus.Received("hello", 1)], ids=["headers", "none"])
def test_it_can_be_copied(again: object, received: t2bus.Received[object]) -> None:
    """A copy, also one that went through pickle, is equal, headers included."""
    assert callable(again)
    assert again(received) == received


@pytest.mark.parametrize("again", COPIES)
async def test_one_that_cannot_be_read_can_be_copied(again: object) -> None:
    """So can the error in its place, with topic and headers."""
    assert callable(again)
    async with t2bus.open_bus() as bus, bus.open_client() as client, client.subscribe(Hello, "*") as messages:
        for headers in (None, {"k": "v"}):
            await client.publish_bytes("hello/alice", b"", headers=headers)
            with pytest.raises(t2bus.MalformedMessage) as caught:
                await messages.receive()
            copied = again(caught.value)
            assert (str(copied), copied.topic) == (str(caught.value), "hello/alice")
            assert copied.headers == (headers or {})


def test_its_repr_has_headers_where_there_are_any() -> None:
    """The text of a received message shows all that it has."""
    assert repr(RECEIVED) == "Received(topic='hello/alice', body='Hello', headers={'k': 'v'})"
    assert repr(t2bus.Received("hello", 1)) == "Received(topic='hello', body=1)"


async def test_what_programs_hold_has_a_short_repr() -> None:
    """The objects of the interface say in a few words what they are, and show nothing of their inside."""
    async with t2bus.open_bus() as bus, bus.open_client() as client:
        async with client.subscribe(Hello, "*") as messages, client.open_publisher(Hello, "alice") as publisher:
            await trio.testing.wait_all_tasks_blocked()
            assert repr(bus) == "<t2bus.Bus at no address: 1 connections>"
            assert repr(client) == "<t2bus.Client: connection 1 of its bus>"
            assert repr(messages) == "<t2bus.Subscription to 'hello/*'>"
            assert repr(publisher) == "<t2bus.Publisher to 'hello/alice': 0 on their way>"
        async with client.serve(HelloRequest, "") as requests, trio.open_nursery() as nursery:
            nursery.start_soon(client.request, "", HelloRequest("Alice"))
            request = await requests.receive()
            assert repr(requests) == "<t2bus.Requests of 'hello'>"
            assert repr(request) == "<t2bus.Request of 'hello': HelloRequest(name='Alice')>"
            await request.respond("Hello Alice")
