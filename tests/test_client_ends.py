"""A call that waits is woken by whatever ends what it waits for, and told how that was."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import WELCOME
from t2bus.wire import messages as m
from t2bus.wire.framing import frame
from tap_helpers import SILENT, Tap, answer, open_answered_client, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Bus = Tap[m.ClientMessage]

SMALL = 4096
"""Bytes of a socket's buffer that is full soon."""


async def request(client: t2bus.Client) -> None:
    for topic in ("x", SILENT):
        await client.request_bytes(topic, b"q")


async def publish(client: t2bus.Client) -> None:
    for topic in ("x", SILENT):
        await client.publish_bytes(topic, b"q")


async def receive(client: t2bus.Client) -> None:
    async with client.subscribe_bytes("x") as messages:
        await messages.receive()


async def receive_request(client: t2bus.Client) -> None:
    async with client.serve_bytes("x") as requests:
        await requests.receive()


CALLS: list[Callable[[t2bus.Client], Awaitable[None]]] = [request, publish, receive, receive_request]
"""Each waits for ever in the end."""

each_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)


# --- closing a subscription or a service


def silent_at_the_end(message: m.ClientMessage) -> Sequence[m.ServerMessage]:
    return () if isinstance(message, m.Unsubscribe | m.Unclaim) else answer(message)


@pytest.mark.parametrize("what", ["subscription", "service"])
@pytest.mark.parametrize("answers", [True, False])
async def test_closing_it_wakes_who_waits(what: str, answers: bool) -> None:
    """Who receives is told at once that another task closed it, though the bus may not answer."""
    async with open_answered_client(answer=answer if answers else silent_at_the_end) as (client, _):
        is_told = trio.Event()

        async def run(channel: trio.abc.ReceiveChannel[Any]) -> None:
            with pytest.raises(trio.ClosedResourceError, match=f"this {what} was closed"):
                await channel.receive()
            is_told.set()

        open_it: Any = client.subscribe_bytes if what == "subscription" else client.serve_bytes
        async with open_it("x") as channel, trio.open_nursery() as nursery:
            nursery.start_soon(run, channel)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(channel.aclose)
            await trio.testing.wait_all_tasks_blocked()
            assert is_told.is_set()
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("what", ["subscription", "service"])
async def test_closing_it_cancelled_wakes_who_waits(what: str) -> None:
    """Closing that is cancelled at once, with a bus that never answers, wakes who receives all the same."""
    async with open_answered_client(answer=silent_at_the_end) as (client, _):
        ends: list[str] = []

        async def run(channel: trio.abc.ReceiveChannel[Any]) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await channel.receive()
            ends.append(what)

        open_it: Any = client.subscribe_bytes if what == "subscription" else client.serve_bytes
        async with open_it("x") as channel, trio.open_nursery() as nursery:
            for _ in range(1 if what == "subscription" else 3):
                nursery.start_soon(run, channel)
            await trio.testing.wait_all_tasks_blocked()
            with trio.CancelScope() as scope:
                scope.cancel()
                await channel.aclose()
            await trio.testing.wait_all_tasks_blocked()
            assert set(ends) == {what}
            assert len(ends) == (1 if what == "subscription" else 3)
        assert await client.request_bytes("x", b"q") == b"q"


async def test_closing_one_disturbs_no_other() -> None:
    """Who receives from one subscription goes on when another task closes another one."""
    async with (
        open_answered_client() as (client, tap),
        client.subscribe_bytes("a") as one,
        client.subscribe_bytes("b") as other,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(one.receive)
        await trio.testing.wait_all_tasks_blocked()
        await other.aclose()
        await trio.testing.wait_all_tasks_blocked()
        tap.say(m.Deliver((1,), m.Publication("a", b"")))
        await until(lambda: not nursery.child_tasks)


# --- the end of the connection


def violate(tap: Bus) -> None:
    tap.say(WELCOME)


def send_garbage(tap: Bus) -> None:
    tap.far.sendall(frame(b"\xff"))


def break_in_a_frame(tap: Bus) -> None:
    tap.far.sendall(frame(bytes(10))[:5])
    tap.far.close()


ENDS: dict[str, tuple[Callable[[Bus], None], str, bool]] = {
    "goodbye": (lambda tap: tap.say(m.Goodbye("for today")), "the bus said goodbye: for today", False),
    "violation": (lambda tap: tap.say(m.Error("shame")), "the bus closed this connection: shame", False),
    "end": (lambda tap: tap.far.close(), "the bus closed the connection", False),
    "end in a frame": (break_in_a_frame, "the bus closed the connection", False),
    "broken rules": (violate, "the bus broke the rules of the wire: WELCOME is said once", True),
    "garbage": (send_garbage, "the bus broke the rules of the wire", True),
}


async def expect_the_loss(call: Callable[[t2bus.Client], Awaitable[None]], client: t2bus.Client, reason: str) -> None:
    with pytest.raises(t2bus.Disconnected, match=reason):
        await call(client)


@each_call
@pytest.mark.parametrize("end", ENDS)
async def test_the_end_wakes_who_waits(call: Callable[[t2bus.Client], Awaitable[None]], end: str) -> None:
    """However the bus ends it, the call that waits says why, and the bus is told if it broke the rules."""
    act, reason, is_told = ENDS[end]
    async with open_answered_client() as (client, tap), trio.open_nursery() as nursery:
        nursery.start_soon(expect_the_loss, call, client, reason)
        await trio.testing.wait_all_tasks_blocked()
        act(tap)
        await until(lambda: not nursery.child_tasks)
        await trio.testing.wait_all_tasks_blocked()
        assert len(tap.of_kind(m.Error)) == is_told
        with pytest.raises(t2bus.Disconnected, match=reason):
            await client.publish_bytes("x", b"")


@each_call
async def test_silence_wakes_who_waits(
    clock: trio.testing.MockClock, call: Callable[[t2bus.Client], Awaitable[None]]
) -> None:
    """A bus that says nothing for ``Limits.silence`` is gone for the call that waits."""
    async with open_answered_client() as (client, tap), trio.open_nursery() as nursery:
        nursery.start_soon(expect_the_loss, call, client, r"Limits\.silence")
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await wait_for_end(nursery)
        assert 19 <= trio.current_time() - began <= 22
        assert len(tap.of_kind(m.Ping)) == 1


@each_call
async def test_a_stalled_write_wakes_who_waits(
    clock: trio.testing.MockClock, call: Callable[[t2bus.Client], Awaitable[None]]
) -> None:
    """A bus that takes nothing for ``Limits.write_stall`` is gone for the call that waits."""
    async with open_answered_client(SMALL) as (client, tap), trio.open_nursery() as nursery:
        nursery.start_soon(expect_the_loss, call, client, r"Limits\.write_stall")
        await trio.testing.wait_all_tasks_blocked()
        tap.is_open = False
        began = trio.current_time()
        nursery.start_soon(expect_the_loss, publish_much, client, r"Limits\.write_stall")
        await wait_for_end(nursery)
        assert 9 <= trio.current_time() - began <= 12


@each_call
async def test_a_broken_write_wakes_who_waits(
    clock: trio.testing.MockClock, call: Callable[[t2bus.Client], Awaitable[None]]
) -> None:
    """A bus that cannot be written to any more is lost for the call that waits, after a moment for its last words."""
    async with open_answered_client() as (client, tap), trio.open_nursery() as nursery:
        nursery.start_soon(expect_the_loss, call, client, "the connection to the bus broke")
        await trio.testing.wait_all_tasks_blocked()
        tap.far.shutdown(socket.SHUT_RD)
        began = trio.current_time()
        nursery.start_soon(expect_the_loss, publish_much, client, "the connection to the bus broke")
        await wait_for_end(nursery)
        assert 1 <= trio.current_time() - began <= 2


async def publish_much(client: t2bus.Client) -> None:
    await client.publish_bytes(SILENT, bytes(1_000_000))


async def wait_for_end(nursery: trio.Nursery) -> None:
    """Wait until no task of this nursery runs, as time passes."""
    with trio.fail_after(100):
        while nursery.child_tasks:  # noqa: ASYNC110 -- nothing tells
            await trio.sleep(0.5)


@each_call
@pytest.mark.parametrize("closes", [True, False])
async def test_closing_the_client_wakes_who_waits(
    clock: trio.testing.MockClock, call: Callable[[t2bus.Client], Awaitable[None]], closes: bool
) -> None:
    """The call that waits is told that its client was closed, whether the bus says its part or not."""
    async with trio.open_nursery() as nursery:
        is_told = trio.Event()

        async def run(client: t2bus.Client) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await call(client)
            is_told.set()

        async with open_answered_client() as (client, tap):
            tap.closes = closes
            nursery.start_soon(run, client)
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
        await until(is_told.is_set)
        assert trio.current_time() - began <= (0.5 if closes else 2)
    assert type(tap.messages[-1]) is m.Goodbye


@each_call
async def test_closing_the_client_cancelled_wakes_who_waits(call: Callable[[t2bus.Client], Awaitable[None]]) -> None:
    """A client that is closed at once, in a cancelled scope, tells the call that waits so."""
    async with trio.open_nursery() as nursery:

        async def run(client: t2bus.Client) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await call(client)

        with trio.CancelScope() as scope:
            async with open_answered_client() as (client, _):
                nursery.start_soon(run, client)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        await until(lambda: not nursery.child_tasks)
