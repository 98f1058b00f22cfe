"""A publisher that may not send now: why it waits, what wakes it, and what it is told then."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from attrs import define, field

import t2bus
from pure_helpers import limits_with
from t2bus.testing import unsteady_bus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from bus_helpers import Site

GATHERED = 0.01
"""Seconds, in which what a publisher sends is written, and answered."""

ONE = t2bus.Limits(subscription_messages=1)
"""A window that one message fills."""

FULL: dict[str, tuple[t2bus.Limits, int, dict[str, str] | None]] = {
    "messages": (t2bus.Limits(publisher_messages=2), 1, None),
    "bytes": (t2bus.Limits(publisher_bytes=1000), 500, None),
    "headers": (t2bus.Limits(publisher_bytes=1000), 1, {"k": "v" * 500}),
    "large": (t2bus.Limits(publisher_bytes=100_000), 50_000, None),
}
"""The client's limits, and the size and the headers of a message two of which fill its window."""

BY_WINDOW = pytest.mark.parametrize("window", FULL)

TOO_BROAD = "/".join(["**", "a"] * 6)


@define(eq=False)
class Sender:
    """A task that sends one message, and what became of that."""

    publisher: t2bus.Publisher[bytes]
    payload: bytes = b"last"
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    outcome: Exception | str | None = field(default=None, init=False)

    async def run(self) -> None:
        with self.scope:
            try:
                await self.publisher.send(self.payload)
                self.outcome = "sent"
            except (t2bus.BusError, trio.ClosedResourceError) as error:
                self.outcome = error


@define(eq=False)
class Blocked:
    """A publisher whose window is full, as nobody acknowledges what it has sent, and a task that waits to send more."""

    client: t2bus.Client
    publisher: t2bus.Publisher[bytes]
    sender: Sender
    messages: t2bus.Subscription[bytes]
    """Of another client: taking the messages is what lets them be acknowledged."""


@asynccontextmanager
async def open_blocked(bus: t2bus.Bus, window: str = "messages") -> AsyncGenerator[Blocked, None]:
    """Fill the window of a publisher; its client is closed before anybody is cancelled."""
    limits, size, headers = FULL[window]
    async with (
        bus.open_client(limits=ONE) as other,
        other.subscribe_bytes("x") as messages,
        trio.open_nursery() as nursery,
    ):
        async with bus.open_client(limits=limits) as client:
            # It fills the one place, so that what follows is held.
            assert await client.publish_bytes("x", b"first") == 1
            publisher = client.open_bytes_publisher("x")
            for number in range(2):
                await publisher.send(bytes([number]) * size, headers=headers)
            sender = Sender(publisher)
            nursery.start_soon(sender.run)
            await trio.testing.wait_all_tasks_blocked()
            assert sender.outcome is None
            yield Blocked(client, publisher, sender, messages)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


@define(eq=False)
class MortalBus:
    """A bus that can be ended from outside."""

    bus: t2bus.Bus
    scope: trio.CancelScope


@pytest.fixture
async def mortal() -> AsyncGenerator[MortalBus, None]:
    async def run(*, task_status: trio.TaskStatus[MortalBus]) -> None:
        with trio.CancelScope() as scope:
            async with t2bus.open_bus(limits=t2bus.Limits(matching_steps=10)) as bus:
                task_status.started(MortalBus(bus, scope))
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        mortal: MortalBus = await nursery.start(run)
        yield mortal
        mortal.scope.cancel()


# --- room in the window


@BY_WINDOW
async def test_a_sender_waits_for_its_window(clock: trio.testing.MockClock, memory: Site, window: str) -> None:
    """With as much on its way as may be, in messages or in bytes, a sender waits, and the bus has not got its own."""
    async with open_blocked(memory.bus, window) as blocked:
        assert memory.bus.statistics().deliveries_held == 2
        await trio.sleep(0.5)
        assert blocked.sender.outcome is None
        assert memory.bus.statistics().deliveries_held == 2


@BY_WINDOW
async def test_acknowledgements_wake_a_sender(clock: trio.testing.MockClock, memory: Site, window: str) -> None:
    """A sender that waits for room goes on when one of the publications before it is acknowledged."""
    async with open_blocked(memory.bus, window) as blocked:
        await blocked.messages.receive()
        await trio.testing.wait_all_tasks_blocked()
        assert blocked.sender.outcome == "sent"
        payloads = [(await blocked.messages.receive()).body for _ in range(3)]
        assert [payload[:1] for payload in payloads] == [b"\0", b"\1", b"l"]
        await blocked.publisher.flush()
        assert blocked.publisher.accepted == 3


async def test_each_sender_that_waits_gets_its_turn(clock: trio.testing.MockClock, memory: Site) -> None:
    """Of several senders that wait no more go on than there is room for, and all of them do in the end."""
    async with open_blocked(memory.bus) as blocked, trio.open_nursery() as nursery:
        senders = [blocked.sender, *(Sender(blocked.publisher) for _ in range(4))]
        for sender in senders[1:]:
            nursery.start_soon(sender.run)
        counts = []
        for _ in range(7):
            await blocked.messages.receive()
            await trio.testing.wait_all_tasks_blocked()
            counts.append(sum(sender.outcome == "sent" for sender in senders))
        assert counts == [1, 2, 3, 4, 5, 5, 5]


async def test_a_cancelled_sender_has_sent_nothing(clock: trio.testing.MockClock, memory: Site) -> None:
    """A sender that is cancelled while it waits leaves its room to the next one, and its message is not sent."""
    async with open_blocked(memory.bus) as blocked:
        blocked.sender.scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocked.publisher.send, b"next")
            payloads = [(await blocked.messages.receive()).body[:1] for _ in range(4)]
        assert payloads == [b"f", b"\0", b"\1", b"n"]
        await blocked.publisher.flush()


async def test_windows_are_each_publishers_own(clock: trio.testing.MockClock, memory: Site) -> None:
    """While one publisher has to wait another of the same client sends."""
    async with open_blocked(memory.bus) as blocked:
        async with blocked.client.open_bytes_publisher("y") as other:
            for _ in range(2):
                await other.send(b"free")
        assert blocked.sender.outcome is None


async def test_a_sender_waits_for_room_in_the_outbox(clock: trio.testing.MockClock, memory: Site) -> None:
    """Whatever its window, a publisher of a client with much to be written waits until it is, and goes on then."""
    async with (
        memory.connect() as other,
        other.subscribe_bytes("x") as messages,
        memory.connect(limits=limits_with(outbox_bytes=1)) as client,
        client.open_bytes_publisher("x") as publisher,
    ):
        waiting = []
        for number in range(10):
            await publisher.send(b"%d" % number)
            waiting.append(client.statistics().outbox_bytes)
        assert [(await messages.receive()).body for _ in range(10)] == [b"%d" % number for number in range(10)]
        assert max(waiting) <= 1 + len("x") + len(b"0") + 64


async def test_a_sender_makes_room_of_what_others_have_gathered(clock: trio.testing.MockClock, memory: Site) -> None:
    """With nothing of its own on its way, it is not the one to be woken by what becomes of theirs."""
    async with memory.connect(limits=limits_with(outbox_bytes=1000)) as client:
        one, other = (client.open_bytes_publisher(topic) for topic in "xy")
        await one.send(b"x" * 2000)
        with trio.fail_after(1):
            await other.send(b"y")
        await other.flush()


async def test_sending_is_a_checkpoint(memory: Site) -> None:
    """Others run before a message is sent, whether there is room or the publisher is closed."""
    async with memory.connect() as client:
        async with client.open_bytes_publisher("x") as publisher:
            with trio.testing.assert_checkpoints():
                await publisher.send(b"")
        with pytest.raises(trio.ClosedResourceError), trio.testing.assert_checkpoints():
            await publisher.send(b"")


# --- no room ever


async def test_a_client_that_was_closed_has_no_room(memory: Site) -> None:
    """Sending through a client that was closed raises that it was, again and again."""
    async with memory.connect() as client:
        publisher = client.open_bytes_publisher("x")
        await publisher.send(b"before")
    for _ in range(2):
        with pytest.raises(trio.ClosedResourceError, match="client was closed"):
            await publisher.send(b"after")


async def test_a_client_that_is_being_closed_has_no_room(memory: Site) -> None:
    """While a client says its goodbye nothing is sent behind that, and who tries is told that it was closed."""
    async with trio.open_nursery() as nursery, memory.connect() as client:
        sender = Sender(client.open_bytes_publisher("x"))
        nursery.start_soon(sender.run)
    assert isinstance(sender.outcome, trio.ClosedResourceError)
    assert memory.bus.statistics().published == 0


@BY_WINDOW
async def test_closing_the_client_wakes_a_sender(clock: trio.testing.MockClock, memory: Site, window: str) -> None:
    """A sender that waits for room while its client is closed raises that it was."""
    async with open_blocked(memory.bus, window) as blocked:
        pass
    assert isinstance(blocked.sender.outcome, trio.ClosedResourceError)
    with pytest.raises(trio.ClosedResourceError):
        await blocked.publisher.flush()


async def test_a_bus_that_is_gone_takes_nothing(mortal: MortalBus) -> None:
    """Sending after the connection has ended raises that it did, again and again."""
    async with mortal.bus.open_client() as client:
        publisher = client.open_bytes_publisher("x")
        await publisher.send(b"before")
        await publisher.flush()
        mortal.scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            with pytest.raises(t2bus.Disconnected):
                await publisher.send(b"after")


async def test_the_end_of_the_bus_wakes_a_sender(clock: trio.testing.MockClock, mortal: MortalBus) -> None:
    """A sender that waits for room while the connection ends raises that it did, and so does whoever flushes."""
    async with open_blocked(mortal.bus) as blocked:
        mortal.scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(blocked.sender.outcome, t2bus.Disconnected)
        with pytest.raises(t2bus.Disconnected):
            await blocked.publisher.send(b"more")


async def test_what_was_not_acknowledged_is_told_at_the_end(clock: trio.testing.MockClock, mortal: MortalBus) -> None:
    """A flush that waits while the connection ends raises that it did: nobody knows what became of the messages."""
    async with open_blocked(mortal.bus) as blocked:
        async with trio.open_nursery() as nursery:
            blocked.sender.scope.cancel()

            async def flush() -> None:
                with pytest.raises(t2bus.Disconnected):
                    await blocked.publisher.flush()

            nursery.start_soon(flush)
            await trio.testing.wait_all_tasks_blocked()
            mortal.scope.cancel()
        assert blocked.publisher.accepted == 0


async def test_closing_the_publisher_wakes_a_sender(clock: trio.testing.MockClock, memory: Site) -> None:
    """A sender that waits for room while its publisher is closed raises that it was, and what was sent is published."""
    async with open_blocked(memory.bus) as blocked, trio.open_nursery() as nursery:
        nursery.start_soon(blocked.publisher.aclose)
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(blocked.sender.outcome, trio.ClosedResourceError)
        assert [(await blocked.messages.receive()).body[:1] for _ in range(3)] == [b"f", b"\0", b"\1"]


async def test_closing_the_publisher_wakes_a_sender_without_a_bus(autojump_clock: trio.testing.MockClock) -> None:
    """So does a sender that waits until the bus is there again; one of another publisher goes on waiting."""
    async with (
        unsteady_bus() as place,
        place.open_client(reconnect=t2bus.Reconnect()) as client,
        trio.open_nursery() as nursery,
    ):
        closed, other = (Sender(client.open_bytes_publisher("x")) for _ in range(2))
        await place.lose()
        for sender in (closed, other):
            nursery.start_soon(sender.run)
        await trio.testing.wait_all_tasks_blocked()
        await closed.publisher.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(closed.outcome, trio.ClosedResourceError)
        assert other.outcome is None
        await place.restore()
        await client.connected()
        await trio.testing.wait_all_tasks_blocked()
        assert other.outcome == "sent"


# --- refusals


async def test_a_denied_publication_is_raised_once(clock: trio.testing.MockClock, folder: Path) -> None:
    """What the access rules refuse is raised by the next send, which sends nothing, and by none after it."""
    rules = folder / "access.toml"
    rules.write_text('[everyone]\nsubscribe = ["**"]\npublish = ["y"]\n')
    async with t2bus.open_bus(access=rules) as bus, bus.open_client() as client:
        async with client.open_bytes_publisher("x") as publisher:
            await publisher.send(b"denied")
            await trio.sleep(GATHERED)
            rules.write_text('[everyone]\nsubscribe = ["**"]\npublish = ["**"]\n')
            bus.reload()
            async with client.subscribe_bytes("x") as messages:
                with pytest.raises(t2bus.PermissionDenied):
                    await publisher.send(b"not sent")
                await publisher.send(b"allowed")
                assert (await messages.receive()).body == b"allowed"
        assert publisher.accepted == 1


async def test_several_refusals_are_raised_once(clock: trio.testing.MockClock, mortal: MortalBus) -> None:
    """However many publications are refused before the next send, it raises one error for all of them."""
    async with mortal.bus.open_client() as client, client.subscribe_bytes(TOO_BROAD):
        publisher = client.open_bytes_publisher(TOO_BROAD)
        for _ in range(3):
            await publisher.send(b"too broad")
        await trio.sleep(GATHERED)
        with pytest.raises(t2bus.TopicTooBroad):
            await publisher.send(b"not sent")
        await publisher.flush()
        assert publisher.accepted == 0


async def test_a_refusal_gives_the_room_back(mortal: MortalBus) -> None:
    """A refused publication is not on its way any more: a sender that waits for room is woken, and told of it."""
    limits = t2bus.Limits(publisher_messages=1)
    outcomes: list[Any] = []
    async with mortal.bus.open_client(limits=limits) as client, client.subscribe_bytes(TOO_BROAD):
        publisher = client.open_bytes_publisher(TOO_BROAD)
        for _ in range(4):
            try:
                await publisher.send(b"too broad")
                outcomes.append("sent")
            except t2bus.TopicTooBroad as error:
                outcomes.append(type(error))
    assert outcomes == ["sent", t2bus.TopicTooBroad] * 2


async def test_a_publisher_says_what_is_on_its_way(clock: trio.testing.MockClock, memory: Site) -> None:
    """How many publications are not acknowledged is seen in how a publisher is printed."""
    async with open_blocked(memory.bus) as blocked:
        assert repr(blocked.publisher) == "<t2bus.Publisher to 'x': 2 on their way>"
