"""Who reads from the bus: a call that waits in a quiet client reads by itself, and the client's task does otherwise."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from bus_helpers import settle, wait_until
from pure_helpers import steady
from t2bus.wire import messages as m
from t2bus.wire import native
from watched_bus import CALLER, SILENT, TASK, WatchedBus, answer, call, delivery, open_watched_client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


# --- who reads


@pytest.mark.parametrize("topic", ["request", "publish"])
async def test_who_asks_alone_reads_the_answer(topic: str) -> None:
    """After the first exchange, the answer to a call that comes alone is read by the call."""
    async with open_watched_client() as (client, bus), trio.open_nursery() as nursery:

        async def ask() -> None:
            for _ in range(5):
                await (client.request_bytes if topic == "request" else client.publish_bytes)("x", b"q")

        nursery.start_soon(ask, name=CALLER)
        await wait_until(lambda: len(bus.reads) == 5)
        assert bus.reads == [TASK, *[CALLER] * 4]
        assert [step.task for step in bus.tap.writes] == [CALLER] * 5


async def test_who_serves_one_at_a_time_reads_the_requests() -> None:
    """A service that answers each request before it takes the next reads and writes all by itself."""
    async with open_watched_client() as (client, bus), trio.open_nursery() as nursery:

        def next_call(message: m.ClientMessage) -> Sequence[m.ServerMessage]:
            return (call(message.call + 1),) if isinstance(message, m.Respond) and message.call < 4 else answer(message)

        async def serve() -> None:
            async with client.serve_bytes("x") as requests:
                while True:
                    request = await requests.receive()
                    await request.respond(request.body)

        bus.answer = next_call
        nursery.start_soon(serve, name=CALLER)
        await bus.until_led()
        bus.tap.say(call(0))
        await bus.tap.expect(m.Respond, 5)
        assert bus.tap.of_kind(m.Respond) == [m.Respond(number, b"%d" % number) for number in range(5)]
        assert bus.reads == [TASK, *[CALLER] * 5]
        assert {step.task for step in bus.tap.writes} == {CALLER}
        nursery.cancel_scope.cancel()


async def test_who_receives_alone_reads_the_publications() -> None:
    """A subscriber that waits reads what comes for it by itself."""
    received: list[bytes] = []
    async with open_watched_client() as (client, bus), trio.open_nursery() as nursery:

        async def receive() -> None:
            async with client.subscribe_bytes("x") as messages:
                while True:
                    received.append((await messages.receive()).body)

        nursery.start_soon(receive, name=CALLER)
        for number in range(5):
            await bus.until_led()
            bus.tap.say(delivery(number))
        await settle()
        assert received == [b"%d" % number for number in range(5)]
        assert bus.reads == [TASK, *[CALLER] * 5]
        nursery.cancel_scope.cancel()


async def test_while_much_is_asked_the_task_reads() -> None:
    """Of several calls none reads where nobody did before: the task does it for all, and each gets its own answer."""
    async with open_watched_client() as (client, bus):
        answers: list[bytes] = []

        async def ask(payload: bytes) -> None:
            answers.append(await client.request_bytes("x", payload))

        for _ in range(3):
            await client.request_bytes("x", b"q")
            await settle()
            bus.reads.clear()
            async with trio.open_nursery() as nursery:
                for number in range(10):
                    nursery.start_soon(ask, b"%d" % number, name=CALLER)
            assert sorted(answers) == [b"%d" % number for number in range(10)]
            assert set(bus.reads) == {TASK}
            answers.clear()


async def test_when_a_call_has_left_the_task_reads() -> None:
    """After a call has left and no other came, a ping is answered and a publication taken in all the same."""
    async with open_watched_client() as (client, bus), client.subscribe_bytes("x"):
        for _ in range(2):
            await client.request_bytes("x", b"q")
        await settle()
        bus.reads.clear()
        bus.tap.say(m.Ping(7))
        assert await bus.tap.expect(m.Pong) == m.Pong(7)
        bus.tap.say(delivery(1))
        await wait_until(lambda: client.statistics().messages_waiting == 1)
        assert bus.reads == [TASK, TASK]


async def test_who_waits_for_ever_keeps_nobody_waiting() -> None:
    """Who waits for ever hands the socket over when another call waits beside it, and all get what is theirs."""
    with trio.fail_after(10):
        async with (
            open_watched_client() as (client, bus),
            client.subscribe_bytes("a") as one,
            client.subscribe_bytes("b") as other,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(one.receive, name="listener")
            await bus.until_led()
            bus.reads.clear()
            for number in range(5):
                assert await client.request_bytes("x", b"%d" % number) == b"%d" % number
                assert await client.publish_bytes("x", b"") == 1
                bus.tap.say(delivery(number, 2))
                assert (await other.receive()).body == b"%d" % number
            assert bus.reads == ["listener", *[TASK] * 14]
            nursery.cancel_scope.cancel()


async def test_several_take_requests_of_one_service() -> None:
    """Of many requests, each is taken by one of the tasks that receive, of which one reads."""
    taken: list[int] = []
    async with open_watched_client() as (client, bus), client.serve_bytes("x") as requests:

        async def serve() -> None:
            while True:
                request = await requests.receive()
                taken.append(int(request.body))
                await request.respond(b"")

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(serve)
            await bus.until_led()
            numbers = count()
            for together in (1, 2, 3, 7, 1, 1, 4, 1):
                bus.tap.say(*(call(next(numbers)) for _ in range(together)))
                await settle()
            nursery.cancel_scope.cancel()
        assert sorted(taken) == list(range(20))
        assert sorted(each.call for each in bus.tap.of_kind(m.Respond)) == list(range(20))


async def test_a_response_comes_byte_by_byte() -> None:
    """However slowly a response comes in, the call that reads it gets it whole."""
    async with open_watched_client() as (client, bus), trio.open_nursery() as nursery:
        answers: list[bytes] = []

        async def ask() -> None:
            await client.request_bytes("x", b"q")
            answers.append(await client.request_bytes(SILENT, b"q"))

        nursery.start_soon(ask, name=CALLER)
        await bus.until_led()
        bus.reads.clear()
        response = native.encode(m.Response(bus.tap.of_kind(m.Ask)[-1].id, b"answer"))
        for byte in response:
            assert answers == []
            bus.tap.far.sendall(bytes([byte]))
            await settle()
        assert answers == [b"answer"]
        assert bus.reads == [CALLER] * len(response)


async def test_a_call_that_reads_is_a_checkpoint() -> None:
    """A call that reads by itself gives other tasks their turn, and can be cancelled."""
    async with (
        open_watched_client() as (client, bus),
        client.subscribe_bytes("x") as messages,
        client.serve_bytes("x") as requests,
    ):
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: client.request_bytes("x", b"q"),
            lambda: client.publish_bytes("x", b"q"),
            messages.receive,
            requests.receive,
        ]
        said: list[list[m.ServerMessage]] = [[], [], [delivery(1)], [m.Call(1, 2, None, "x", b"q")]]
        for each, messages_of_bus in zip(calls, said, strict=True):
            await client.request_bytes("x", b"q")
            await trio.lowlevel.checkpoint()
            bus.reads.clear()
            bus.tap.say(*messages_of_bus)
            with trio.testing.assert_checkpoints():
                await each()
            await trio.lowlevel.checkpoint()
            assert bus.reads == [trio.lowlevel.current_task().name.rpartition(".")[2]]


async def test_waiting_for_what_is_so_is_a_checkpoint() -> None:
    """Whoever waits for what is so already lets others run, and reads nothing."""
    async with open_watched_client() as (client, bus):
        with trio.testing.assert_checkpoints():
            await client._connection.reader.wait(lambda: True, trio.sleep_forever)
        assert bus.reads == []


# --- cancelling

STEPS = st.lists(st.sampled_from(["say", "cancel", "pass", "pass", "settle"]), max_size=20)


async def take_while_cancelled(
    bus: WatchedBus, take: Callable[[], Awaitable[int]], say: Callable[[int], m.ServerMessage], steps: list[str]
) -> None:
    """Take again and again, cancelled where the steps say so, and see that all came once and in order."""
    taken: list[int] = []
    scope = trio.CancelScope()

    async def run() -> None:
        nonlocal scope
        while True:
            with trio.CancelScope() as scope:
                taken.append(await take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        said = 0
        for step in steps:
            match step:
                case "say":
                    bus.tap.say(say(said))
                    said += 1
                case "cancel":
                    scope.cancel()
                case "pass":
                    await trio.lowlevel.checkpoint()
                case _:
                    await trio.testing.wait_all_tasks_blocked()
        await wait_until(lambda: len(taken) == said)
        nursery.cancel_scope.cancel()
    assert taken == list(range(said))


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("passes", range(9))
async def test_a_receive_can_be_cancelled_at_any_pass(passes: int, before: bool) -> None:
    """Whether a publication comes some passes before the cancellation or after it, the next receive gets it."""
    first, last = ("say", "cancel") if before else ("cancel", "say")
    async with open_watched_client() as (client, bus), client.subscribe_bytes("x") as messages:

        async def take() -> int:
            return int((await messages.receive()).body)

        steps = [*["pass"] * passes, first, *["pass"] * passes, last, *["pass"] * passes]
        await take_while_cancelled(bus, take, delivery, ["settle", *steps, "settle", *steps])


@given(STEPS)
@steady(60)
async def test_a_cancelled_receive_loses_no_publication(steps: list[str]) -> None:
    """However receiving is cancelled, every publication is received once and in order."""
    async with open_watched_client() as (client, bus), client.subscribe_bytes("x") as messages:

        async def take() -> int:
            return int((await messages.receive()).body)

        await take_while_cancelled(bus, take, delivery, steps)


@given(STEPS)
@steady(60)
async def test_a_cancelled_receive_loses_no_request(steps: list[str]) -> None:
    """However receiving is cancelled, every request is received once and in order."""
    async with open_watched_client() as (client, bus), client.serve_bytes("x") as requests:

        async def take() -> int:
            return int((await requests.receive()).body)

        await take_while_cancelled(bus, take, call, steps)


@pytest.mark.parametrize("passes", range(9))
async def test_a_cancelled_request_leaves_the_others_theirs(passes: int) -> None:
    """A request that is cancelled while it reads tells the bus, and the next one gets its own answer."""
    async with open_watched_client() as (client, bus):
        await client.request_bytes("x", b"q")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request_bytes, SILENT, b"q")
            for _ in range(passes):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        asked = [each.id for each in bus.tap.of_kind(m.Ask) if each.topic == SILENT]
        assert bus.tap.of_kind(m.Cancel) == [m.Cancel(number) for number in asked]
        assert await client.request_bytes("x", b"next") == b"next"
        assert client.statistics().requests_pending == 0


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_polling_keeps_nobody_from_the_socket(is_cancelled: bool) -> None:
    """While one task tries to receive without ever waiting, over and over, pings are answered."""

    async def poll() -> None:
        while True:
            with trio.move_on_after(0) as scope:
                if is_cancelled:
                    scope.cancel()
                await messages.receive()

    async with open_watched_client() as (client, bus), client.subscribe_bytes("x") as messages:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            bus.tap.say(m.Ping(7))
            for _ in range(100):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert bus.tap.of_kind(m.Pong) == [m.Pong(7)]


async def test_where_several_wait_the_task_reads() -> None:
    """Calls that wait beside each other leave the socket to the task, which wakes each."""
    async with open_watched_client() as (client, bus), trio.open_nursery() as nursery:
        received: list[bytes] = []

        async def receive() -> None:
            async with client.subscribe_bytes("x") as messages:
                while True:
                    received.append((await messages.receive()).body)

        for _ in range(2):
            nursery.start_soon(receive, name=CALLER)
        await wait_until(lambda: client.statistics().subscriptions == 2)
        await settle()
        for number in range(7):
            bus.tap.say(delivery(number, number % 2 + 1))
            await settle()
        assert received == [b"%d" % number for number in range(7)]
        assert bus.reads[-6:] == [TASK] * 6
        nursery.cancel_scope.cancel()


async def test_others_do_not_wait_for_the_next_call_of_one_that_has_left() -> None:
    """A call that has what it waited for leaves at once to the task what another call waits for."""
    async with open_watched_client() as (client, bus), client.subscribe_bytes("x") as messages:
        await client.request_bytes("x", b"q")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request_bytes, SILENT, b"q")
            await bus.until_led()
            nursery.start_soon(messages.receive)
            await settle()
            (asked,) = (each.id for each in bus.tap.of_kind(m.Ask) if each.topic == SILENT)
            bus.tap.say(m.Response(asked, b"a"))
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            assert client.statistics().requests_pending == 0
            assert client._connection.reader._is_taken
            bus.tap.say(delivery(1))
