"""Credit of a program that takes little: it goes back soon, without the program taking more, and only what is owed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from attrs import define, field

import t2bus
from bus_helpers import Count, Site
from pure_helpers import Program, of_kind, publication
from t2bus.session.windows import PROMPT, UNSEEN
from t2bus.wire import messages as m
from tap_helpers import Tap, open_tapped_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from t2bus.session.windows import ReceiveWindow

WINDOW = 16
"""Messages. What goes back at once, in bulk, is two of them."""

LIMITS = t2bus.Limits(subscription_messages=WINDOW)
SOON = 2 * PROMPT
"""Seconds; those that are owed for :data:`PROMPT` when the keeper looks are given back by then."""
LATER = UNSEEN + SOON
LONG = 5.0
"""Seconds, in which nobody is asked for a sign of life."""

# --- over a bus


@define(eq=False)
class Flow:
    """A subscription, and one who publishes to it without waiting for it."""

    publisher: t2bus.Client
    client: t2bus.Client
    messages: t2bus.Subscription[bytes]

    async def publish(self, count: int) -> None:
        for _ in range(count):
            assert await self.publisher.publish_bytes("x", b"payload") == 1

    async def credit(self) -> int:
        """Use up what credit the bus has, and return how many messages it was."""
        count = 0
        while await self.publisher.publish_bytes("x", b"payload"):
            count += 1
        return count


@pytest.fixture
async def flow(memory: Site) -> AsyncGenerator[Flow, None]:
    """Open a subscription whose last credit went back just now."""
    async with (
        memory.connect() as publisher,
        memory.connect(limits=LIMITS) as client,
        client.subscribe_bytes("x") as messages,
    ):
        flow = Flow(publisher, client, messages)
        await flow.publish(1)
        await messages.receive()
        await trio.sleep(LONG)
        await flow.publish(1)
        await messages.receive()
        # The keeper looks after PROMPT.
        await trio.sleep(1.5 * PROMPT)
        yield flow


async def test_one_message_of_a_spent_window_goes_back_soon(clock: trio.testing.MockClock, flow: Flow) -> None:
    """A program that takes one message and then nothing gives its credit back, though it takes no other."""
    assert await flow.credit() == WINDOW
    await flow.messages.receive()
    await trio.sleep(SOON)
    assert await flow.credit() == 1


async def test_credit_does_not_go_back_for_each_message(clock: trio.testing.MockClock, flow: Flow) -> None:
    """What was taken just now is owed for a while: no time, no credit."""
    assert await flow.credit() == WINDOW
    await flow.messages.receive()
    assert await flow.credit() == 0


@pytest.mark.parametrize(("wait", "back"), [(SOON, 0), (LATER, 1)])
async def test_one_message_of_an_open_window_goes_back_later(
    clock: trio.testing.MockClock, flow: Flow, wait: float, back: int
) -> None:
    """While the bus is not known to have no credit left it gets back what was taken, but not quite as soon."""
    await flow.publish(8)
    await flow.messages.receive()
    await trio.sleep(wait)
    assert await flow.credit() == WINDOW - 8 + back


async def test_a_slow_program_loses_nothing(clock: trio.testing.MockClock, memory: Site) -> None:
    """A program that takes a message within each stall time is seen to be alive, however large its window is."""
    async with (
        memory.connect() as publisher,
        memory.connect(limits=LIMITS) as client,
        client.subscribe(Count, "x") as messages,
        trio.open_nursery() as nursery,
    ):

        async def publish() -> None:
            async with publisher.open_publisher(Count, "x") as channel:
                for number in range(2 * WINDOW):
                    await channel.send(Count(number))

        nursery.start_soon(publish)
        for number in range(2 * WINDOW):
            await trio.sleep(memory.bus.limits.stall - 2 * PROMPT)
            assert (await messages.receive()).body.number == number


# --- as a bus hears it

GRANT = (1, len("x") + len(b"payload"))
"""What one message gives back."""


@define(eq=False)
class Tapped:
    """A client whose every word is heard, and which hears what a test says."""

    client: t2bus.Client
    tap: Tap[m.ClientMessage]

    @asynccontextmanager
    async def subscribe(self) -> AsyncGenerator[t2bus.Subscription[bytes], None]:
        """Subscribe, and accept that and the end of it."""
        accepted = m.Accepted(1, (0,) * 10)
        self.tap.say(accepted)
        async with self.client.subscribe_bytes("x") as messages:
            yield messages
            self.tap.say(accepted)

    def deliver(self, count: int, *subscriptions: int) -> None:
        run = m.Run("x", [b"payload"] * count)
        self.tap.say(m.DeliverRun(subscriptions or (1,), run))

    @property
    def credit(self) -> list[tuple[tuple[int, int, int], ...]]:
        """What was given back by each message that gave any."""
        return [message.grants for message in self.tap.of_kind(m.Credit)]


@pytest.fixture
async def tapped() -> AsyncGenerator[Tapped, None]:
    async with open_tapped_client() as (client, tap):
        yield Tapped(client, tap)


async def test_what_is_owed_goes_back_once(clock: trio.testing.MockClock, tapped: Tapped) -> None:
    """All that was taken meanwhile goes back as one message, and nothing more is said after that."""
    async with tapped.subscribe() as messages:
        tapped.deliver(5)
        for _ in range(3):
            await messages.receive()
        assert tapped.credit == []
        await trio.sleep(LATER)
        assert tapped.credit == [((1, 3, 3 * GRANT[1]),)]
        await trio.sleep(LONG)
        assert len(tapped.credit) == 1


async def test_each_time_something_is_owed_it_goes_back(clock: trio.testing.MockClock, tapped: Tapped) -> None:
    """When nothing was owed for a while, what is taken then goes back as well."""
    async with tapped.subscribe() as messages:
        for count in range(1, 4):
            tapped.deliver(1)
            await messages.receive()
            await trio.sleep(LATER)
            assert tapped.credit == [((1, *GRANT),)] * count
            await trio.sleep(1)


async def test_credit_of_several_subscriptions_goes_back_together(
    clock: trio.testing.MockClock, tapped: Tapped
) -> None:
    """Each subscription gives back its own, also one that began to owe while another did."""
    async with tapped.subscribe() as one, tapped.subscribe() as other:
        tapped.deliver(2, 1, 2)
        await one.receive()
        await trio.sleep(PROMPT / 2)
        await other.receive()
        await other.receive()
        await trio.sleep(LATER)
        assert tapped.credit == [((1, *GRANT), (2, 2, 2 * GRANT[1]))]


async def test_nothing_goes_back_that_was_not_taken(clock: trio.testing.MockClock, tapped: Tapped) -> None:
    """Messages that wait for the program, however long, give no credit back."""
    async with tapped.subscribe():
        tapped.deliver(5)
        await trio.sleep(LONG)
        assert tapped.client.statistics().messages_waiting == 5
        assert tapped.credit == []


async def test_what_was_unsubscribed_owes_nothing(clock: trio.testing.MockClock, tapped: Tapped) -> None:
    """After its end a subscription gives nothing back, and others do."""
    async with tapped.subscribe() as one:
        async with tapped.subscribe() as other:
            tapped.deliver(1, 1, 2)
            await one.receive()
            await other.receive()
        await trio.sleep(LONG)
        assert tapped.credit == [((1, *GRANT),)]
    await trio.sleep(1)
    assert len(tapped.credit) == 1


# --- in the session


@define(eq=False)
class Debtor:
    """A session that tells when it begins to owe."""

    program: Program = field(factory=lambda: Program(LIMITS))
    debts: list[list[int]] = field(factory=list)
    """Which subscriptions owed each time that it was told."""

    def __attrs_post_init__(self) -> None:
        session = self.program.session
        session.owes = lambda: self.debts.append(list(session.owing))

    def subscribe(self) -> ReceiveWindow:
        inlet = self.program.session.subscribe("a", self.program.wake_inlet, self.program.done)
        self.program.read()
        return inlet

    def give_back(self, now: float) -> list[m.Credit]:
        self.program.session.give_back(now)
        return of_kind(self.program.read(), m.Credit)

    @property
    def owing(self) -> list[int]:
        return list(self.program.session.owing)


def take(*inlets: ReceiveWindow) -> None:
    """Have each receive a message that its program takes."""
    for inlet in inlets:
        inlet.put(publication())
        inlet.take()


def test_a_session_tells_when_it_begins_to_owe() -> None:
    """The first message that is taken is told of, and others that follow, of whichever subscription, are not."""
    debtor = Debtor()
    one, other = debtor.subscribe(), debtor.subscribe()
    assert (debtor.debts, debtor.owing) == ([], [])
    take(one, other)
    assert (debtor.debts, debtor.owing) == ([[one.id]], [one.id, other.id])
    debtor.give_back(100)
    assert debtor.owing == []
    take(other)
    assert debtor.debts == [[one.id], [other.id]]


def test_it_owes_until_it_gives_back() -> None:
    """What has not been owed for long enough stays owed, and is given back once, when it has."""
    debtor = Debtor()
    inlet = debtor.subscribe()
    take(inlet)
    assert debtor.give_back(100) == [m.Credit(((1, 1, 2),))]
    take(inlet)
    assert debtor.give_back(100 + UNSEEN / 2) == []
    assert debtor.owing == [inlet.id]
    assert debtor.give_back(100 + 2 * UNSEEN) == [m.Credit(((1, 1, 2),))]
    assert debtor.give_back(200) == []
    assert debtor.owing == []


def test_a_spent_window_is_given_back_to_sooner() -> None:
    """To a bus that is known to have no credit left it goes back after the shorter of the two times."""
    debtor = Debtor()
    one, other = debtor.subscribe(), debtor.subscribe()
    take(one, other)
    debtor.give_back(100)
    for _ in range(WINDOW):
        other.put(publication())
    take(one)
    other.take()
    assert debtor.give_back(100 + PROMPT / 2) == []
    assert debtor.give_back(100 + 2 * PROMPT) == [m.Credit(((other.id, 1, 2),))]
    assert debtor.owing == [one.id]


def test_a_subscription_that_ended_owes_nothing() -> None:
    """Unsubscribing forgets the debt of that subscription and of no other."""
    debtor = Debtor()
    one, other = debtor.subscribe(), debtor.subscribe()
    take(one, other)
    debtor.program.session.unsubscribe(one, None)
    assert debtor.owing == [other.id]
    assert debtor.give_back(100) == [m.Credit(((other.id, 1, 2),))]


def test_nothing_is_owed_after_the_end() -> None:
    """When the connection has ended nothing is owed, and giving back gives nothing."""
    debtor = Debtor()
    take(debtor.subscribe())
    debtor.program.session.close(t2bus.Disconnected("gone"))
    assert debtor.owing == []
    assert debtor.give_back(100) == []


def test_what_went_back_in_bulk_is_not_owed() -> None:
    """When all that was taken has gone back in bulk nothing is given back any more, not even credit of nothing."""
    debtor = Debtor()
    inlet = debtor.subscribe()
    take(inlet, inlet)
    assert of_kind(debtor.program.read(), m.Credit) == [m.Credit(((1, 2, 4),))]
    assert debtor.give_back(100) == []
    assert debtor.owing == []
