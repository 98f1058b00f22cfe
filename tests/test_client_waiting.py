"""Calls that wait: each gets what is its own, however they are mixed and cancelled, and pings are answered."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from t2bus.wire import messages as m
from t2bus.wire import native
from tap_helpers import CALLER, SILENT, Tap, answer, call, delivery, open_answered_client, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import t2bus


# --- who gets what


@pytest.mark.parametrize("topic", ["request", "publish"])
async def test_each_call_gets_its_answer(topic: str) -> None:
    """Calls that come one after the other are each written by the caller, and each gets its answer."""
    async with open_answered_client() as (client, tap), trio.open_nursery() as nursery:

        async def ask() -> None:
            for number in range(5):
                if topic == "request":
                    assert await client.request_bytes("x", b"%d" % number) == b"%d" % number
                else:
                    assert await client.publish_bytes("x", b"q") == 1

        nursery.start_soon(ask, name=CALLER)
        await tap.expect(m.Ask if topic == "request" else m.Publish, 5)
        assert [step.is_of_caller for step in tap.writes] == [True] * 5


async def test_a_service_answers_one_request_after_the_other() -> None:
    """A service that answers each request before it takes the next writes each answer by itself, in order."""

    def next_call(message: m.ClientMessage) -> Sequence[m.ServerMessage]:
        return (call(message.call + 1),) if isinstance(message, m.Respond) and message.call < 4 else answer(message)

    async with open_answered_client(answer=next_call) as (client, tap), trio.open_nursery() as nursery:

        async def serve() -> None:
            async with client.serve_bytes("x") as requests:
                while True:
                    request = await requests.receive()
                    await request.respond(request.body)

        nursery.start_soon(serve, name=CALLER)
        await trio.testing.wait_all_tasks_blocked()
        tap.say(call(0))
        await tap.expect(m.Respond, 5)
        assert tap.of_kind(m.Respond) == [m.Respond(number, b"%d" % number) for number in range(5)]
        assert all(step.is_of_caller for step in tap.writes)
        nursery.cancel_scope.cancel()


async def test_many_ask_at_once() -> None:
    """Of several calls at once each gets its own answer, again and again."""
    async with open_answered_client() as (client, _):
        answers: list[bytes] = []

        async def ask(payload: bytes) -> None:
            answers.append(await client.request_bytes("x", payload))

        for _ in range(3):
            async with trio.open_nursery() as nursery:
                for number in range(10):
                    nursery.start_soon(ask, b"%d" % number)
            assert sorted(answers) == [b"%d" % number for number in range(10)]
            answers.clear()


async def test_what_comes_is_taken_in_while_nobody_waits() -> None:
    """When no call waits, a ping is answered and a publication taken in all the same."""
    async with open_answered_client() as (client, tap), client.subscribe_bytes("x"):
        await client.request_bytes("x", b"q")
        tap.say(m.Ping(7))
        assert await tap.expect(m.Pong) == m.Pong(7)
        tap.say(delivery(1))
        await until(lambda: client.statistics().messages_waiting == 1)


async def test_who_waits_for_ever_keeps_nobody_waiting() -> None:
    """While one waits for what never comes, all others get what is theirs."""
    async with (
        open_answered_client() as (client, tap),
        client.subscribe_bytes("a") as one,
        client.subscribe_bytes("b") as other,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(one.receive)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(10):
            for number in range(5):
                assert await client.request_bytes("x", b"%d" % number) == b"%d" % number
                assert await client.publish_bytes("x", b"") == 1
                tap.say(delivery(number, 2))
                assert (await other.receive()).body == b"%d" % number
        nursery.cancel_scope.cancel()


async def test_several_receive_side_by_side() -> None:
    """Tasks that each wait for a subscription of their own get what is for it, in order."""
    received: list[list[bytes]] = [[], []]
    async with open_answered_client() as (client, tap), trio.open_nursery() as nursery:

        async def receive(place: int) -> None:
            async with client.subscribe_bytes("x") as messages:
                while True:
                    received[place].append((await messages.receive()).body)

        for place in range(2):
            nursery.start_soon(receive, place)
            await trio.testing.wait_all_tasks_blocked()
        for number in range(7):
            tap.say(delivery(number, number % 2 + 1))
            await trio.testing.wait_all_tasks_blocked()
        assert received == [[b"0", b"2", b"4", b"6"], [b"1", b"3", b"5"]]
        nursery.cancel_scope.cancel()


async def test_several_take_requests_of_one_service() -> None:
    """Of many requests, each is taken by one of the tasks that receive, and answered once."""
    taken: list[int] = []
    async with open_answered_client() as (client, tap), client.serve_bytes("x") as requests:

        async def serve() -> None:
            while True:
                request = await requests.receive()
                taken.append(int(request.body))
                await request.respond(b"")

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(serve)
            numbers = count()
            for together in (1, 2, 3, 7, 1, 1, 4, 1):
                tap.say(*(call(next(numbers)) for _ in range(together)))
                await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert sorted(taken) == list(range(20))
        assert sorted(each.call for each in tap.of_kind(m.Respond)) == list(range(20))


async def test_a_response_comes_byte_by_byte() -> None:
    """However slowly a response comes in, the call that waits for it gets it whole."""
    answers: list[bytes] = []
    async with open_answered_client() as (client, tap), trio.open_nursery() as nursery:

        async def ask() -> None:
            answers.append(await client.request_bytes(SILENT, b"q"))

        nursery.start_soon(ask)
        asked = await tap.expect(m.Ask)
        for byte in native.encode(m.Response(asked.id, b"answer")):
            assert answers == []
            tap.far.sendall(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        assert answers == [b"answer"]


async def test_every_call_that_waits_is_a_checkpoint() -> None:
    """A call gives other tasks their turn, and can be cancelled, though what it waits for is there already."""
    async with (
        open_answered_client() as (client, tap),
        client.subscribe_bytes("x") as messages,
        client.serve_bytes("x") as requests,
    ):
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: client.request_bytes("x", b"q"),
            lambda: client.publish_bytes("x", b"q"),
            messages.receive,
            requests.receive,
        ]
        tap.say(delivery(1), m.Call(1, 2, None, "x", b"q"))
        await until(lambda: client.statistics().messages_waiting == 1)
        for each in calls:
            with trio.testing.assert_checkpoints():
                await each()


# --- programs that let hardly anybody run


async def test_a_program_that_computes_answers_pings() -> None:
    """A program that computes, and gives others their turn only now and then, answers each ping in such a turn."""
    async with open_answered_client() as (client, tap), client.subscribe_bytes("x"):
        for number in range(1, 4):
            tap.say(m.Ping(number), delivery(number))
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            assert tap.of_kind(m.Pong)[-1] == m.Pong(number)
            assert client.statistics().messages_waiting == number


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_polling_keeps_nobody_from_what_comes(is_cancelled: bool) -> None:
    """While a task tries to receive in a scope that has expired, over and over, pings and others get what is theirs."""

    async def poll() -> None:
        while True:
            with trio.move_on_after(0) as scope:
                if is_cancelled:
                    scope.cancel()
                await messages.receive()

    async with (
        open_answered_client() as (client, tap),
        client.subscribe_bytes("x") as messages,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(poll)
        tap.say(m.Ping(7))
        assert await tap.expect(m.Pong) == m.Pong(7)
        for number in range(3):
            assert await client.request_bytes("x", b"%d" % number) == b"%d" % number
        nursery.cancel_scope.cancel()


# --- cancelling

STEPS = st.lists(st.sampled_from(["say", "cancel", "pass", "pass", "settle"]), max_size=20)


async def take_while_cancelled(
    tap: Tap[m.ClientMessage],
    channel: t2bus.Subscription[bytes] | t2bus.Requests[bytes, bytes],
    say: Callable[[int], m.ServerMessage],
    steps: list[str],
) -> None:
    """Receive numbers again and again, cancelled where the steps say so, and see that all came once and in order."""
    taken: list[int] = []
    scope = trio.CancelScope()

    async def run() -> None:
        nonlocal scope
        while True:
            with trio.CancelScope() as scope:
                taken.append(int((await channel.receive()).body))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        said = 0
        for step in steps:
            match step:
                case "say":
                    tap.say(say(said))
                    said += 1
                case "cancel":
                    scope.cancel()
                case "pass":
                    await trio.lowlevel.checkpoint()
                case _:
                    await trio.testing.wait_all_tasks_blocked()
        await until(lambda: len(taken) == said)
        nursery.cancel_scope.cancel()
    assert taken == list(range(said))


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("passes", range(9))
async def test_a_receive_can_be_cancelled_at_any_pass(passes: int, before: bool) -> None:
    """Whether a publication comes some passes before the cancellation or after it, the next receive gets it."""
    first, last = ("say", "cancel") if before else ("cancel", "say")
    async with open_answered_client() as (client, tap), client.subscribe_bytes("x") as messages:
        steps = [*["pass"] * passes, first, *["pass"] * passes, last, *["pass"] * passes]
        await take_while_cancelled(tap, messages, delivery, ["settle", *steps, "settle", *steps])


@given(STEPS)
@steady(60)
async def test_a_cancelled_receive_loses_no_publication(steps: list[str]) -> None:
    """However receiving is cancelled, every publication is received once and in order."""
    async with open_answered_client() as (client, tap), client.subscribe_bytes("x") as messages:
        await take_while_cancelled(tap, messages, delivery, steps)


@given(STEPS)
@steady(60)
async def test_a_cancelled_receive_loses_no_request(steps: list[str]) -> None:
    """However receiving is cancelled, every request is received once and in order."""
    async with open_answered_client() as (client, tap), client.serve_bytes("x") as requests:
        await take_while_cancelled(tap, requests, call, steps)


@pytest.mark.parametrize("passes", range(9))
async def test_a_cancelled_request_leaves_the_others_theirs(passes: int) -> None:
    """A request that is cancelled while it waits tells the bus, and the next one gets its own answer."""
    async with open_answered_client() as (client, tap):
        await client.request_bytes("x", b"q")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request_bytes, SILENT, b"q")
            for _ in range(passes):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        asked = [each.id for each in tap.of_kind(m.Ask) if each.topic == SILENT]
        assert tap.of_kind(m.Cancel) == [m.Cancel(number) for number in asked]
        assert await client.request_bytes("x", b"next") == b"next"
        assert client.statistics().requests_pending == 0
